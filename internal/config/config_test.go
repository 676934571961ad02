package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/gbdt/fit"
)

const day = 24 * time.Hour

// load reads text as root/healml.yaml.
func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, config.FileName), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, found, err := config.Load(root, "")
	if !found {
		t.Errorf("the file was not found: %v", err)
	}
	return c, err
}

func TestLoad(t *testing.T) {
	got, err := load(t, `
data: data/sales.csv
target: Sales Total
time: Date
task: regression
metric: rmse
seed: 18446744073709551615
columns:
  - {name: Store ID, kind: categorical}
  - {name: note, kind: drop}
train: {holdout: 0.5, threads: 3, set: {num_leaves: 63, learning_rate: 0.05, boost_from_average: false, max_bin: "255"}}
serve:
  address: 0.0.0.0:80
  lenient: true
  poll: 250ms
  allowed_hosts: [a.example, b.example]
log: {durability: interval, keep: 2w}
drift: {window: 1.5d, alpha: 0.05}
alert: {webhook: 'https://hooks.example/a?b=c', secret_file: key, command: [mail, -s, 'drift, again', ops@example.com], repeat: 2d}
metrics: {textfile: /var/lib/node_exporter}
retrain: {cooldown: 0, max_age: 90d, margin: 0}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Data, want.Target, want.Time, want.Task, want.Metric, want.Seed = "data/sales.csv", "Sales Total", "Date", "regression", "rmse", 1<<64-1
	want.Columns = []config.Column{{Name: "Store ID", Kind: "categorical"}, {Name: "note", Kind: "drop"}}
	want.Train.Holdout, want.Train.Threads = 0.5, 3
	want.Train.Set = got.Train.Set // below
	want.Serve.Address, want.Serve.Lenient, want.Serve.Poll, want.Serve.AllowedHosts = "0.0.0.0:80", true, 250*time.Millisecond, []string{"a.example", "b.example"}
	want.Log.Durability, want.Log.Keep = "interval", 14*day
	want.Drift.Window, want.Drift.Alpha = 36*time.Hour, 0.05
	want.Alert.Webhook, want.Alert.SecretFile, want.Alert.Repeat = "https://hooks.example/a?b=c", "key", 2*day
	want.Alert.Command, want.Metrics.Textfile = []string{"mail", "-s", "drift, again", "ops@example.com"}, "/var/lib/node_exporter"
	want.Retrain.Cooldown, want.Retrain.MaxAge, want.Retrain.Margin = 0, 90*day, 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nexpected\n%+v", got, want)
	}
	p := fit.Defaults()
	for k, v := range got.Train.Set {
		if err := p.Set(k, v); err != nil {
			t.Error(err)
		}
	}
	if len(got.Train.Set) != 4 || p.NumLeaves != 63 || p.LearningRate != 0.05 || p.BoostFromAverage || p.MaxBin != 255 {
		t.Errorf("parameters %q became %+v", got.Train.Set, p)
	}
}

// TestDefaultsHold: without a file, and with one that says nothing.
func TestDefaultsHold(t *testing.T) {
	if err := config.Default().Validate(); err != nil {
		t.Fatal(err)
	}
	c, found, err := config.Load(t.TempDir(), "")
	if err != nil || found || !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("without a file: %+v, found %v, %v", c, found, err)
	}
	for _, text := range []string{"", "# nothing\n", "serve:\n", "train:\n  # holdout: 0.3\nlog:\n", "serve:\n  address:\n", "columns:\n"} {
		if c, err := load(t, text); err != nil || !sameButEmpty(c, config.Default()) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// sameButEmpty compares two configurations; empty and nil are alike.
func sameButEmpty(a, b *config.Config) bool { return fmt.Sprint(*a) == fmt.Sprint(*b) }

// TestFaults: every fault stops, is an *Error with its file, and names the key.
func TestFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"serv: {poll: 1s}":                   {"serv", "unknown key"},
		"seed: 1.5":                          {"seed", "whole"},
		"seed: -0.5":                         {"seed", "whole"},
		"drift: {min_rows: 100.5}":           {"drift.min_rows", "whole"},
		"models: {keep: .inf}":               {"models.keep", "whole"},
		"seed: -1e3":                         {"seed", "whole"},
		"models: {keep: .nan}":               {"models.keep", "whole"},
		"serve: {adress: x}":                 {"serve.adress", "unknown key"},
		"columns: [{name: a, kid: numeric}]": {"kid"},
		"log: {keep: 30}":                    {"log.keep", "no unit", "7d"},
		"log: {keep: 30x}":                   {"log.keep", "30x"},
		"serve: [1]":                         {"serve"},
		"target: {a: 1}":                     {"target"},
		"seed: -1":                           {"seed"},
		"seed: many":                         {"seed"},
		"a: [":                               {"line"},
		"a: 1\na: 2":                         {"already defined"},
		"task: forecast":                     {"task", "forecast", "multiclass"},
		"metric: r2":                         {"metric", "r2", "mae"},
		"metric: auc\ntask: multiclass":      {"metric", "auc", "logloss"},
		"columns: [{kind: numeric}]":         {"columns[0].name"},
		"columns: [{name: a, kind: number}]": {"columns: a", "number", "numeric", "drop"},
		"train: {holdout: 0}":                {"train.holdout"},
		"train: {holdout: 0.51}":             {"train.holdout"},
		"train: {holdout: .nan}":             {"train.holdout"},
		"train: {threads: -1}":               {"train.threads"},
		"log: {durability: never}":           {"log.durability", "never"},
		"log: {segment_bytes: 4095}":         {"log.segment_bytes"},
		"log: {interval: 0}":                 {"log.interval"},
		"log: {segment_age: 999ms}":          {"log.segment_age"},
		"log: {keep: -1h}":                   {"log.keep"},
		"drift: {alpha: -0.1}":               {"drift.alpha"},
		"drift: {false_alarms_per_year: 0}":  {"drift.false_alarms_per_year"},
		"drift: {every: 0s}":                 {"drift.every"},
		"drift: {alpha: 1}":                  {"drift.alpha"},
		"drift: {min_rows: 1}":               {"drift.min_rows"},
		"drift: {min_rows: 10, max_rows: 9}": {"drift.max_rows"},
		"drift: {window: 999ms}":             {"drift.window"},
		"retrain: {confidence: 0.5}":         {"retrain.confidence"},
		"retrain: {confidence: 1}":           {"retrain.confidence"},
		"retrain: {confidence: .nan}":        {"retrain.confidence"},
		"retrain: {margin: -0.1}":            {"retrain.margin"},
		"retrain: {margin: 1}":               {"retrain.margin"},
		"retrain: {margin: .nan}":            {"retrain.margin"},
		"retrain: {new_labels: -1}":          {"retrain.new_labels"},
		"retrain: {new_labels: .nan}":        {"retrain.new_labels"},
		"retrain: {min_labels: 19}":          {"retrain.min_labels"},
		"retrain: {cooldown: -1h}":           {"retrain.cooldown"},
		"retrain: {max_age: -1d}":            {"retrain.max_age"},
		"retrain: {max_rows: -1}":            {"retrain.max_rows"},
		"drift: {keep: -1}":                  {"drift.keep"},
		"models: {keep: 0}":                  {"models.keep"},
		"serve: {max_rows: 0}":               {"serve", "max_rows"},
		"serve: {max_body: 0}":               {"serve", "max_body"},
		"serve: {max_in_flight: 0}":          {"serve", "max_in_flight"},
		"serve: {poll: 9ms}":                 {"serve.poll"},
		"serve: {header_timeout: 0}":         {"serve.header_timeout"},
		"serve: {read_timeout: 0}":           {"serve.read_timeout"},
		"serve: {write_timeout: 0}":          {"serve.write_timeout"},
		"serve: {idle_timeout: 0}":           {"serve.idle_timeout"},
		"serve: {drain_timeout: -1ms}":       {"serve.drain_timeout"},
		"alert: {webhook: hooks.example}":    {"alert.webhook", "https://"},
		"alert: {secret: short}":             {"alert.secret", "24"},
		"alert: {command: ['', x]}":          {"alert.command"},
		"alert: {timeout: 0}":                {"alert.timeout"},
		"alert: {command_timeout: 0}":        {"alert.command_timeout"},
		"alert: {repeat: -1h}":               {"alert.repeat"},
		"alert: {url: 'https://a.example'}":  {"alert.url", "unknown key"},
		"metrics: {textfile: {a: 1}}":        {"metrics.textfile"},
		"alert: {secret: 0123456789012345678901234, secret_file: s}": {"alert.secret", "alert.secret_file"},
	} {
		_, err := load(t, text)
		var e *config.Error
		if !errors.As(err, &e) || filepath.Base(e.File) != config.FileName {
			t.Errorf("%s: error %v, expected an *Error of the file", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %q should name %q", text, err, w)
			}
		}
	}
}

// TestSecretsStay: no fault repeats what is secret, whatever is wrong with it.
func TestSecretsStay(t *testing.T) {
	for _, text := range []string{
		"webhook: sesame", "webhook: 'https://bob:ses/ame@host/'", "webhook: 'ftp://host/sesame'", "webhook: {a: sesame}", "webhook: [[sesame]]",
		"secret: sesame", "secret: whsec_sesame!", "secret: {a: sesame}", "secret: [[sesame]]", "secret: [sesame, x]",
		"secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n  secret_file: x",
	} {
		_, err := load(t, "alert:\n  "+text+"\n")
		if err == nil {
			t.Errorf("%s is taken", text)
		} else if strings.Contains(err.Error(), "ses") || strings.Contains(err.Error(), "MfKQ9r8") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestMetricOfAnyTask: while the task is left open, so is the metric.
func TestMetricOfAnyTask(t *testing.T) {
	for _, metric := range []string{"mae", "rmse", "auc", "logloss", "brier"} {
		if _, err := load(t, "metric: "+metric); err != nil {
			t.Error(err)
		}
	}
}

func TestExplicitFile(t *testing.T) {
	root := t.TempDir()
	other := filepath.Join(root, "other.yaml")
	var e *config.Error
	if _, found, err := config.Load(root, other); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) || found || !strings.Contains(err.Error(), other) {
		t.Errorf("a file that was named and is missing: %v", err)
	}
	for file, target := range map[string]string{other: "a", filepath.Join(root, config.FileName): "b"} {
		if err := os.WriteFile(file, []byte("target: "+target), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c, found, err := config.Load(root, other); err != nil || !found || c.Target != "a" {
		t.Errorf("the file that was named does not win: %+v, %v", c, err)
	}
}

// TestEnvironment: a variable wins over the file and the default, an empty one
// does not count, and a fault in one names the key.
func TestEnvironment(t *testing.T) {
	const text = "serve: {address: 'file:1'}\nlog: {keep: 5d}\n"
	for name, value := range map[string]string{
		"HEALML_SERVE_ADDRESS": "env:2", "HEALML_LOG_KEEP": "1w", "HEALML_SERVE_ALLOWED_HOSTS": "a.example,b.example",
		"HEALML_RETRAIN_MIN_LABELS": "300", "HEALML_DRIFT_ALPHA": "0.02", "HEALML_SERVE_LENIENT": "true", "HEALML_DATA": "", "HEALML_TARGET": "Sales",
	} {
		t.Setenv(name, value)
	}
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Serve.Address, want.Log.Keep, want.Serve.AllowedHosts = "env:2", 7*day, []string{"a.example", "b.example"}
	want.Retrain.MinLabels, want.Drift.Alpha, want.Serve.Lenient, want.Target = 300, 0.02, true, "Sales"
	if !sameButEmpty(c, want) {
		t.Errorf("read\n%+v\nexpected\n%+v", c, want)
	}
	t.Setenv("HEALML_LOG_KEEP", "30")
	if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "log.keep") {
		t.Errorf("error %v should name log.keep", err)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"7d": 7 * day, "2w": 14 * day, "0.5d": 12 * time.Hour, "0d": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond, "0": 0, "-5m": -5 * time.Minute,
	} {
		if got, err := config.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v, expected %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "w", "7", "-1d", "1d12h", "7 d", "NaNd", "Infd", "1e300w", "200000000d", "week", "1y"} {
		if got, err := config.ParseDuration(s); err == nil || !strings.Contains(err.Error(), "7d") {
			t.Errorf("%q: %v, %v, expected an error that shows how", s, got, err)
		}
	}
}

// TestDocumented: docs/configuration.md lists every key with its default and
// its variable, and no other.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| [^|]* \\| ([^|]*) \\| ([^|]*) \\|")
	told := map[string][2]string{}
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		told[m[1]] = [2]string{strings.Trim(m[2], "`"), strings.Trim(m[3], "`")}
	}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			key := prefix + v.Type().Field(i).Tag.Get("mapstructure")
			if v.Field(i).Kind() == reflect.Struct {
				walk(key+".", v.Field(i))
				continue
			}
			row, ok := told[key]
			if !ok {
				t.Errorf("%s is not in the document", key)
				continue
			}
			delete(told, key)
			if want := "HEALML_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")); row[1] != want && row[1] != "–" {
				t.Errorf("%s: the document gives the variable %q, expected %q", key, row[1], want)
			}
			value := v.Field(i).Interface()
			if d, isDuration := value.(time.Duration); isDuration {
				if got, err := config.ParseDuration(row[0]); err != nil || got != d {
					t.Errorf("%s: the document gives the default %q, it is %v", key, row[0], d)
				}
			} else if !v.Field(i).IsZero() && row[0] != fmt.Sprint(value) {
				t.Errorf("%s: the document gives the default %q, it is %v", key, row[0], value)
			}
		}
	}
	walk("", reflect.ValueOf(*config.Default()))
	for key := range told {
		t.Errorf("the document has the key %s, which there is not", key)
	}
}
