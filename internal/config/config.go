// Package config reads healml.yaml: every setting with its default, checked
// as a whole before anything runs. It is the only importer of viper.
//
// A key can be overridden by the environment: HEALML_SERVE_ADDRESS sets
// serve.address. An unknown key is an error, so that a typing mistake never
// silently keeps a default.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"

	"github.com/healml/healml/internal/alert"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// FileName is the configuration file looked for in the root directory.
const FileName = "healml.yaml"

// Config is the whole configuration.
type Config struct {
	Data    string   `mapstructure:"data"`   // training data file; relative to the root
	Target  string   `mapstructure:"target"` // column to predict
	Time    string   `mapstructure:"time"`   // column that orders rows; "" takes file order
	Task    string   `mapstructure:"task"`   // regression, binary, multiclass; "" infers it
	Metric  string   `mapstructure:"metric"` // what gates compare; "" is mae or logloss by task
	Seed    uint64   `mapstructure:"seed"`
	BadRows string   `mapstructure:"bad_rows"` // rows of CSV that may be set aside, a number or a share in %
	Columns []Column `mapstructure:"columns"`  // what each input column is; others are inferred

	Train   Train   `mapstructure:"train"`
	Serve   Serve   `mapstructure:"serve"`
	Log     Log     `mapstructure:"log"`
	Drift   Drift   `mapstructure:"drift"`
	Retrain Retrain `mapstructure:"retrain"`
	Heal    Heal    `mapstructure:"heal"`
	Models  Models  `mapstructure:"models"`
	Alert   Alert   `mapstructure:"alert"`
	Metrics Metrics `mapstructure:"metrics"`

	MLflow   MLflow   `mapstructure:"mlflow"`
	Schedule Schedule `mapstructure:"schedule"`
}

// Column fixes what one column is.
type Column struct {
	Name string `mapstructure:"name"`
	Kind string `mapstructure:"kind"` // a schema.Kind, or "drop"
}

// Train configures fitting.
type Train struct {
	Holdout float64           `mapstructure:"holdout"` // share of the newest rows kept apart, (0, 0.5]
	Threads int               `mapstructure:"threads"` // 0 takes every core
	Hide    float64           `mapstructure:"hide"`    // share of cells that training is not shown, [0, 0.5]
	Set     map[string]string `mapstructure:"set"`     // LightGBM parameters
}

// Serve configures the HTTP server.
type Serve struct {
	Address       string        `mapstructure:"address"`
	Lenient       bool          `mapstructure:"lenient"`        // take extra fields and numeric strings
	Poll          time.Duration `mapstructure:"poll"`           // how often CURRENT is looked at
	MaxBody       int64         `mapstructure:"max_body"`       // bytes of a request
	MaxRows       int           `mapstructure:"max_rows"`       // rows of a batch
	MaxInFlight   int           `mapstructure:"max_in_flight"`  // requests at once; beyond: 503
	HeaderTimeout time.Duration `mapstructure:"header_timeout"` // to read a request's header
	ReadTimeout   time.Duration `mapstructure:"read_timeout"`   // to read a whole request
	WriteTimeout  time.Duration `mapstructure:"write_timeout"`  // to write an answer
	IdleTimeout   time.Duration `mapstructure:"idle_timeout"`   // of a kept-alive connection
	DrainTimeout  time.Duration `mapstructure:"drain_timeout"`  // for requests in flight at a stop
	AllowedHosts  []string      `mapstructure:"allowed_hosts"`  // Host headers answered; empty takes any
	Origins       []string      `mapstructure:"origins"`        // of pages elsewhere whose scripts may post
	BulkBody      int64         `mapstructure:"bulk_body"`      // bytes of a request in CSV or Arrow
	BulkRows      int           `mapstructure:"bulk_rows"`      // rows of one
	MaxConns      int           `mapstructure:"max_connections"`
	ModelName     string        `mapstructure:"model_name"` // in the Open Inference Protocol; "": the target
	Tokens        string        `mapstructure:"tokens"`     // file of who may ask; "": whoever reaches the address. Relative to the root, as the next three
	TLSCert       string        `mapstructure:"tls_cert"`   // certificate and its key; "": no TLS
	TLSKey        string        `mapstructure:"tls_key"`
	TLSClientCA   string        `mapstructure:"tls_client_ca"` // clients must show a certificate that it signed; "": they need none
	AccessLog     bool          `mapstructure:"access_log"`    // a line about each request
}

// Log configures the prediction log.
type Log struct {
	Durability   string        `mapstructure:"durability"` // ack: fsync before the answer; interval: every Interval
	Interval     time.Duration `mapstructure:"interval"`   // what a crash may lose with durability interval
	SegmentBytes int64         `mapstructure:"segment_bytes"`
	SegmentAge   time.Duration `mapstructure:"segment_age"`
	Keep         time.Duration `mapstructure:"keep"`       // age at which sealed days are removed; 0 keeps all
	KeepBytes    int64         `mapstructure:"keep_bytes"` // of sealed files: beyond, the oldest days are removed; 0 keeps all
	// KeepDays newest days are removed neither for KeepBytes nor for room.
	KeepDays int `mapstructure:"keep_days"`
	// DiskHigh is the share of the disk in use from which on the oldest days
	// are removed; 0: never.
	DiskHigh float64     `mapstructure:"disk_high"`
	Columns  []LogColumn `mapstructure:"columns"` // of requests, logged beside those of the model
}

// LogColumn is a column of requests that the model does not read.
type LogColumn struct {
	Name    string `mapstructure:"name"`
	Private bool   `mapstructure:"private"` // hashed before it is logged
}

// Drift configures the comparison of the live window with the reference.
type Drift struct {
	Window  time.Duration `mapstructure:"window"`   // how far back the live window reaches
	MinRows int           `mapstructure:"min_rows"` // fewer: no verdict
	MaxRows int           `mapstructure:"max_rows"` // more: the newest
	// PerYear is the number of false alarms a year that is borne, and Every
	// how often the check runs.
	PerYear float64       `mapstructure:"false_alarms_per_year"`
	Every   time.Duration `mapstructure:"every"`
	// Alpha, if not 0, is the chance of a false alarm of one check over all
	// columns, instead of a budget a year.
	Alpha    float64 `mapstructure:"alpha"`
	Together bool    `mapstructure:"together"` // look at all columns at once, too
	Keep     int     `mapstructure:"keep"`     // reports kept; 0 keeps all
}

// Retrain configures the healing job.
type Retrain struct {
	Cooldown   time.Duration `mapstructure:"cooldown"`    // no promotion sooner after the last
	MinLabels  int           `mapstructure:"min_labels"`  // labelled rows since the champion's training
	Margin     float64       `mapstructure:"margin"`      // relative gain that must be cleared
	Confidence float64       `mapstructure:"confidence"`  // of the gain's interval
	MaxAge     time.Duration `mapstructure:"max_age"`     // a champion older than that is a reason by itself; 0: never
	NewLabels  float64       `mapstructure:"new_labels"`  // so many new labels, as a share of what the champion learnt from, are a reason too; 0: never
	MaxRows    int           `mapstructure:"max_rows"`    // newest labelled rows learnt from
	SliceLimit float64       `mapstructure:"slice_limit"` // share of its loss that a category may be proven to lose; 0: any
	Budget     time.Duration `mapstructure:"budget"`      // no further cure is tried after so long; 0: all are
}

// Heal configures the guard over what healing promoted.
type Heal struct {
	Bake        time.Duration `mapstructure:"bake"`                // how long a promotion is compared with its predecessor; 0: not at all
	Shadow      time.Duration `mapstructure:"shadow"`              // how long a challenger is compared with the champion before it is promoted; 0: not at all
	Margin      float64       `mapstructure:"margin"`              // share of the predecessor's loss by which it may be worse
	Alpha       float64       `mapstructure:"alpha"`               // chance to take a version back that is not worse than that
	PerWeek     int           `mapstructure:"promotions_per_week"` // at most; 0: no bound
	Oscillation time.Duration `mapstructure:"oscillation"`         // what healing took out of force comes not back within; 0: it may
	Quarantine  bool          `mapstructure:"quarantine"`          // a column with a fault is read as missing
	MapBack     []string      `mapstructure:"map_back"`            // faults whose values are mapped back: unit, renamed
	Golden      string        `mapstructure:"golden"`              // file of labelled rows on which no promotion may lose; "": none
	SourceCap   float64       `mapstructure:"source_cap"`          // share of new labels that one source may tell; 0: any
	LabelRate   float64       `mapstructure:"label_rate"`          // times by which the share of a class may differ from what it was; 0: any
	Readmit     []string      `mapstructure:"readmit"`             // incidents whose left-out rows are learnt from again
}

// Models configures the registry.
type Models struct {
	Keep int `mapstructure:"keep"` // versions that prune leaves beside those in use
}

// Alert configures who is told of drift and healing.
type Alert struct {
	Webhook    string        `mapstructure:"webhook"`     // address to post to; "": none. Secret
	Secret     string        `mapstructure:"secret"`      // signs what is posted; see alert.ParseSecret
	SecretFile string        `mapstructure:"secret_file"` // holds it; relative to the root
	Timeout    time.Duration `mapstructure:"timeout"`     // of one try
	Command    []string      `mapstructure:"command"`     // program and arguments; none: no command
	// CommandTimeout is when the command and its children are killed.
	CommandTimeout time.Duration `mapstructure:"command_timeout"`
	Repeat         time.Duration `mapstructure:"repeat"` // the same news is not told sooner
}

// MLflow configures the tracking server that is told of versions.
type MLflow struct {
	TrackingURI string        `mapstructure:"tracking_uri"` // http(s)://HOST; "": none
	Experiment  string        `mapstructure:"experiment"`
	Model       string        `mapstructure:"model"`   // name in its model registry; "": the target
	Timeout     time.Duration `mapstructure:"timeout"` // of all that one command tells
}

// Schedule is when healml schedule runs the jobs: expressions of cron, in the
// time zone of the machine; "": never.
type Schedule struct {
	Drift   string `mapstructure:"drift"`
	Retrain string `mapstructure:"retrain"`
	Compact string `mapstructure:"compact"`
	Prune   string `mapstructure:"prune"`
}

// Metrics configures what is left for Prometheus.
type Metrics struct {
	Textfile string `mapstructure:"textfile"` // directory of node_exporter's textfile collector; "": none
}

// Default is the configuration of an empty file.
func Default() *Config {
	day := 24 * time.Hour
	return &Config{
		Seed: 1, BadRows: "0",
		Train: Train{Holdout: 0.2, Hide: 0.005},
		Serve: Serve{
			Address: "127.0.0.1:8080", Poll: time.Second, MaxBody: 1 << 20, MaxRows: 1000, MaxInFlight: 512,
			HeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second,
			IdleTimeout: 60 * time.Second, DrainTimeout: 10 * time.Second, BulkBody: 16 << 20, BulkRows: 100_000, MaxConns: 1024,
		},
		Log:     Log{Durability: "ack", Interval: time.Second, SegmentBytes: 32 << 20, SegmentAge: time.Hour, KeepDays: 7},
		Drift:   Drift{Window: 7 * day, MinRows: 100, MaxRows: 1_000_000, PerYear: 1, Every: time.Hour, Together: true, Keep: 400},
		Retrain: Retrain{Cooldown: 20 * time.Hour, MinLabels: 200, Margin: 0.01, Confidence: 0.99, MaxAge: 30 * day, NewLabels: 0.05, MaxRows: 2_000_000, SliceLimit: 1, Budget: time.Minute},
		Heal:    Heal{Bake: 7 * day, Margin: 0.02, Alpha: 0.05, PerWeek: 4, Oscillation: 30 * day, Quarantine: true},
		Models:  Models{Keep: 10},

		MLflow:   MLflow{Experiment: "healml", Timeout: 30 * time.Second},
		Schedule: Schedule{Drift: "7 * * * *", Retrain: "37 3 * * *", Compact: "17 4 * * *", Prune: "47 4 * * *"},
		Alert:    Alert{Timeout: 10 * time.Second, CommandTimeout: time.Minute, Repeat: day},
	}
}

// Error is a fault in the configuration; the user mends it.
type Error struct {
	File string
	Key  string
	Err  error
}

func (e *Error) Error() string {
	where := e.File
	if where == "" {
		where = "configuration"
	}
	if e.Key != "" {
		where += ": " + e.Key
	}
	return where + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Load reads file over the defaults and the environment over both. When file
// is "", root/healml.yaml is read if it exists. found says whether a file was
// read. The errors are *Error.
func Load(root, file string) (c *Config, found bool, err error) {
	explicit := file != ""
	if !explicit {
		file = filepath.Join(root, FileName)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("."))
	v.SetConfigType("yaml")
	v.SetEnvPrefix("HEALML")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	c = Default()
	if err := bindDefaults(v, c); err != nil {
		return nil, false, err
	}
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
		found = true
		if err := v.ReadConfig(strings.NewReader(string(b))); err != nil {
			return nil, true, &Error{File: file, Err: err}
		}
	case !explicit && errors.Is(err, fs.ErrNotExist):
	default:
		return nil, false, &Error{File: file, Err: err}
	}
	err = v.UnmarshalExact(c, viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(durationHook, wholeHook, mapstructure.StringToSliceHookFunc(","))))
	if err != nil {
		return nil, found, &Error{File: file, Err: plain(err)}
	}
	if err := c.Validate(); err != nil {
		var e *Error
		if errors.As(err, &e) && found {
			e.File = file
		}
		return nil, found, err
	}
	return c, found, nil
}

// bindDefaults tells viper every key, so that the environment is read.
func bindDefaults(v *viper.Viper, c *Config) error {
	var m map[string]any
	if err := mapstructure.Decode(c, &m); err != nil {
		return fmt.Errorf("list configuration keys: %w", err)
	}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for k, val := range m {
			if sub, ok := val.(map[string]any); ok {
				walk(prefix+k+".", sub)
				continue
			}
			v.SetDefault(prefix+k, val)
		}
	}
	walk("", m)
	return nil
}

var invalidKeys = regexp.MustCompile(`'([^']*)' has invalid keys: ([^\n]*)`)

// plain strips the decoder's lead so that the message names just the keys.
func plain(err error) error {
	m := invalidKeys.FindStringSubmatch(err.Error())
	if m == nil {
		_, faults, ok := strings.Cut(err.Error(), "error(s):\n\n")
		if !ok {
			return err
		}
		return errors.New(strings.ReplaceAll(strings.TrimSpace(faults), "\n", "; "))
	}
	keys := strings.Split(m[2], ", ")
	for i, k := range keys {
		if m[1] != "" {
			keys[i] = m[1] + "." + k
		}
	}
	return fmt.Errorf("unknown key %s; docs/configuration.md lists them all", strings.Join(keys, ", "))
}

// Validate reports the first setting out of its range, as *Error.
func (c *Config) Validate() error {
	bad := func(key, format string, args ...any) error {
		return &Error{Key: key, Err: fmt.Errorf(format, args...)}
	}
	if c.Task != "" && !schema.Task(c.Task).Valid() {
		return bad("task", "%q, expected regression, binary or multiclass", c.Task)
	}
	if err := c.validateMetric(); err != nil {
		return bad("metric", "%w", err)
	}
	if _, err := table.ParseBadRows(c.BadRows); err != nil {
		return bad("bad_rows", "%w", err)
	}
	for i, col := range c.Columns {
		if col.Name == "" {
			return bad(fmt.Sprintf("columns[%d].name", i), "empty")
		}
		if col.Kind != Drop && !schema.Kind(col.Kind).Valid() {
			return bad("columns: "+col.Name, "kind %q, expected one of %v or %s", col.Kind, schema.Kinds(), Drop)
		}
	}
	for i, col := range c.Log.Columns {
		if col.Name == "" || col.Name == "prediction_id" {
			return bad(fmt.Sprintf("log.columns[%d].name", i), "%q, expected a field of requests", col.Name)
		}
		if slices.ContainsFunc(c.Log.Columns[:i], func(o LogColumn) bool { return o.Name == col.Name }) {
			return bad(fmt.Sprintf("log.columns[%d].name", i), "%q is listed twice", col.Name)
		}
	}
	switch {
	case c.Log.KeepBytes < 0:
		return bad("log.keep_bytes", "%d, expected 0 (keep all) or more", c.Log.KeepBytes)
	case c.Log.KeepDays < 0:
		return bad("log.keep_days", "%d, expected 0 or more", c.Log.KeepDays)
	case !(c.Log.DiskHigh >= 0 && c.Log.DiskHigh <= 1):
		return bad("log.disk_high", "%v, expected from 0 (never) to 1", c.Log.DiskHigh)
	case !(c.Train.Holdout > 0 && c.Train.Holdout <= 0.5):
		return bad("train.holdout", "%v, expected more than 0 and at most 0.5", c.Train.Holdout)
	case !(c.Train.Hide >= 0 && c.Train.Hide <= 0.5):
		return bad("train.hide", "%v, expected from 0 to 0.5", c.Train.Hide)
	case c.Train.Threads < 0:
		return bad("train.threads", "%d, expected 0 (every core) or more", c.Train.Threads)
	case c.Log.Durability != "ack" && c.Log.Durability != "interval":
		return bad("log.durability", "%q, expected ack or interval", c.Log.Durability)
	case c.Log.SegmentBytes < 4096:
		return bad("log.segment_bytes", "%d, expected at least 4096", c.Log.SegmentBytes)
	case !(c.Drift.Alpha >= 0 && c.Drift.Alpha < 1):
		return bad("drift.alpha", "%v, expected 0 (from the budget) or more, and less than 1", c.Drift.Alpha)
	case !(c.Drift.PerYear > 0 && c.Drift.PerYear <= 1e6):
		return bad("drift.false_alarms_per_year", "%v, expected more than 0", c.Drift.PerYear)
	case c.Drift.MinRows < 2:
		return bad("drift.min_rows", "%d, expected at least 2", c.Drift.MinRows)
	case c.Drift.MaxRows < c.Drift.MinRows:
		return bad("drift.max_rows", "%d, expected at least drift.min_rows (%d)", c.Drift.MaxRows, c.Drift.MinRows)
	case !(c.Retrain.Confidence > 0.5 && c.Retrain.Confidence < 1):
		return bad("retrain.confidence", "%v, expected between 0.5 and 1", c.Retrain.Confidence)
	case !(c.Retrain.Margin >= 0 && c.Retrain.Margin < 1):
		return bad("retrain.margin", "%v, expected at least 0 and below 1", c.Retrain.Margin)
	case !(c.Retrain.SliceLimit >= 0):
		return bad("retrain.slice_limit", "%v, expected at least 0", c.Retrain.SliceLimit)
	case !(c.Retrain.NewLabels >= 0):
		return bad("retrain.new_labels", "%v, expected at least 0", c.Retrain.NewLabels)
	case c.Retrain.MinLabels < 20:
		return bad("retrain.min_labels", "%d, expected at least 20", c.Retrain.MinLabels)
	case c.Retrain.MaxRows < 0:
		return bad("retrain.max_rows", "%d, expected 0 (all) or more", c.Retrain.MaxRows)
	case !(c.Heal.Margin >= 0 && c.Heal.Margin < 1):
		return bad("heal.margin", "%v, expected at least 0 and below 1", c.Heal.Margin)
	case !(c.Heal.Alpha > 0 && c.Heal.Alpha < 0.5):
		return bad("heal.alpha", "%v, expected more than 0 and below 0.5", c.Heal.Alpha)
	case slices.ContainsFunc(c.Heal.MapBack, func(s string) bool { return s != "unit" && s != "renamed" }):
		return bad("heal.map_back", "%v, expected a list of unit and renamed", c.Heal.MapBack)
	case !(c.Heal.SourceCap >= 0 && c.Heal.SourceCap <= 1):
		return bad("heal.source_cap", "%v, expected 0 (any) to 1", c.Heal.SourceCap)
	case c.Heal.LabelRate != 0 && !(c.Heal.LabelRate > 1):
		return bad("heal.label_rate", "%v, expected 0 (any) or more than 1", c.Heal.LabelRate)
	case c.Heal.PerWeek < 0:
		return bad("heal.promotions_per_week", "%d, expected 0 (no bound) or more", c.Heal.PerWeek)
	case c.Drift.Keep < 0:
		return bad("drift.keep", "%d, expected 0 (all) or more", c.Drift.Keep)
	case c.Models.Keep < 1:
		return bad("models.keep", "%d, expected at least 1", c.Models.Keep)
	case min(int64(c.Serve.MaxRows), int64(c.Serve.BulkRows), c.Serve.MaxBody, c.Serve.BulkBody, int64(c.Serve.MaxInFlight), int64(c.Serve.MaxConns)) < 1:
		return bad("serve", "max_rows, max_body, bulk_rows, bulk_body, max_in_flight and max_connections must be at least 1")
	case c.MLflow.TrackingURI != "" && !strings.HasPrefix(c.MLflow.TrackingURI, "http://") && !strings.HasPrefix(c.MLflow.TrackingURI, "https://"):
		return bad("mlflow.tracking_uri", "%q, expected http://HOST or https://HOST", c.MLflow.TrackingURI)
	case c.MLflow.Experiment == "":
		return bad("mlflow.experiment", "empty")
	case (c.Serve.TLSCert == "") != (c.Serve.TLSKey == ""):
		return bad("serve.tls_cert", "a certificate needs its key: set serve.tls_cert and serve.tls_key, or neither")
	case c.Serve.TLSClientCA != "" && c.Serve.TLSCert == "":
		return bad("serve.tls_client_ca", "clients show certificates in TLS only: set serve.tls_cert and serve.tls_key, too")
	}
	if err := c.validateDurations(bad); err != nil {
		return err
	}
	return c.Alert.validate(bad)
}

// validate checks the alerts. No error repeats the address or the secret.
func (a *Alert) validate(bad func(key, format string, args ...any) error) error {
	if a.Webhook != "" {
		if _, err := alert.ParseURL(a.Webhook); err != nil {
			return bad("alert.webhook", "%w", err)
		}
	}
	if a.Secret != "" {
		if a.SecretFile != "" {
			return bad("alert.secret", "alert.secret_file is set, too: one of them must go")
		}
		if _, err := alert.ParseSecret(a.Secret); err != nil {
			return bad("alert.secret", "%w", err)
		}
	}
	if len(a.Command) > 0 && a.Command[0] == "" {
		return bad("alert.command", "the program, its first element, is empty")
	}
	return nil
}

// validateMetric checks that the metric fits the task, or any task when the
// task is left to be inferred.
func (c *Config) validateMetric() error {
	if c.Metric == "" {
		return nil
	}
	tasks := []schema.Task{schema.Task(c.Task)}
	if c.Task == "" {
		tasks = []schema.Task{schema.Regression, schema.Binary, schema.Multiclass}
	}
	var known []score.Metric
	for _, task := range tasks {
		if score.Metric(c.Metric).Fits(task) {
			return nil
		}
		known = append(known, score.Metrics(task)...)
	}
	return fmt.Errorf("%q, expected one of %v", c.Metric, known)
}

func (c *Config) validateDurations(bad func(key, format string, args ...any) error) error {
	for _, d := range []struct {
		key string
		v   time.Duration
		min time.Duration
	}{
		{"serve.poll", c.Serve.Poll, 10 * time.Millisecond},
		{"serve.header_timeout", c.Serve.HeaderTimeout, time.Millisecond},
		{"serve.read_timeout", c.Serve.ReadTimeout, time.Millisecond},
		{"serve.write_timeout", c.Serve.WriteTimeout, time.Millisecond},
		{"serve.idle_timeout", c.Serve.IdleTimeout, time.Millisecond},
		{"serve.drain_timeout", c.Serve.DrainTimeout, 0},
		{"log.interval", c.Log.Interval, time.Millisecond},
		{"log.segment_age", c.Log.SegmentAge, time.Second},
		{"log.keep", c.Log.Keep, 0},
		{"drift.window", c.Drift.Window, time.Second},
		{"drift.every", c.Drift.Every, time.Second},
		{"retrain.cooldown", c.Retrain.Cooldown, 0},
		{"retrain.max_age", c.Retrain.MaxAge, 0},
		{"retrain.budget", c.Retrain.Budget, 0},
		{"heal.bake", c.Heal.Bake, 0},
		{"heal.shadow", c.Heal.Shadow, 0},
		{"heal.oscillation", c.Heal.Oscillation, 0},
		{"mlflow.timeout", c.MLflow.Timeout, 10 * time.Millisecond},
		{"alert.timeout", c.Alert.Timeout, 10 * time.Millisecond},
		{"alert.command_timeout", c.Alert.CommandTimeout, 10 * time.Millisecond},
		{"alert.repeat", c.Alert.Repeat, 0},
	} {
		if d.v < d.min {
			return bad(d.key, "%v, expected at least %v", d.v, d.min)
		}
	}
	return nil
}

// Drop is the kind of a column that is left out.
const Drop = "drop"
