package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
)

type initOptions struct {
	dataOptions
	force bool
}

func newInitCommand(a *app) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:     "init DATA --target COLUMN",
		Short:   "Look at a data file and write a commented healml.yaml",
		Example: "  healml init sales.csv --target sales",
		Args:    oneArg("DATA"),
		RunE:    func(_ *cobra.Command, args []string) error { return runInit(a, args[0], o) },
	}
	addDataFlags(a, cmd, &o.dataOptions)
	cmd.Flags().BoolVar(&o.force, "force", false, "overwrite a healml.yaml that is there")
	return cmd
}

func addDataFlags(a *app, cmd *cobra.Command, o *dataOptions) {
	f := cmd.Flags()
	a.badRowsFlag(f)
	f.StringVar(&o.target, "target", "", "column to predict")
	f.StringVar(&o.time, "time", "", "column that orders the rows in time (default: the only column of times)")
	f.StringVar(&o.task, "task", "", "regression, binary or multiclass (default: by the target's values)")
	f.StringSliceVar(&o.categorical, "categorical", nil, "columns to take as categories though they look like numbers")
	f.StringSliceVar(&o.drop, "drop", nil, "columns to leave out")
	f.StringSliceVar(&o.keep, "keep", nil, "columns to use though healml would leave them out")
}

func runInit(a *app, data string, o initOptions) error {
	a.conf = config.Default() // what an older healml.yaml says does not count
	t, inf, err := a.readLabelled(data, o.dataOptions, nil)
	if err != nil {
		return err
	}
	path := a.configFile
	if path == "" {
		path = a.path(config.FileName)
	}
	if _, err := os.Stat(path); err == nil && !o.force {
		return usageError{fmt.Errorf("%s exists already; --force overwrites it", path)}
	} else if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("look for %s: %w", path, err)
	}
	b, err := renderConfig(a.relative(data), a.badRows, t.NumRows(), inf)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	if err := durable.WriteFile(path, b); err != nil {
		return err
	}
	for _, w := range inf.Warnings {
		a.warn("%s", w)
	}
	return a.print(initResult(path, t.NumRows(), inf), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s: %s of %q on %d rows; next: healml train\n", path, inf.Task, inf.Target, t.NumRows())
		return err
	})
}

// relative is data as the configuration names it: relative to the root when it
// lies below, else absolute.
func (a *app) relative(data string) string {
	abs, err := filepath.Abs(data)
	if err != nil {
		return data
	}
	root, err := filepath.Abs(a.root)
	if err != nil {
		return abs
	}
	if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return abs
}

func initResult(path string, rows int, inf *feature.Inferred) any {
	type column struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
		Use  bool   `json:"use"`
		Why  string `json:"why"`
	}
	cols := []column{}
	for _, c := range inf.Choices {
		cols = append(cols, column{c.Name, string(c.Kind), c.Use, c.Why})
	}
	return struct {
		Config   string   `json:"config"`
		Rows     int      `json:"rows"`
		Target   string   `json:"target"`
		Task     string   `json:"task"`
		Time     string   `json:"time"`
		Classes  []string `json:"classes,omitempty"`
		Columns  []column `json:"columns"`
		Warnings []string `json:"warnings"`
	}{path, rows, inf.Target, string(inf.Task), inf.Time, inf.Classes, cols, append([]string{}, inf.Warnings...)}
}

var configTemplate = template.Must(template.New("config").Funcs(template.FuncMap{
	"q":   quoteYAML,
	"one": func(s string) string { return strings.Join(strings.Fields(s), " ") },
}).Parse(`# healml's configuration, written by healml init from {{q .Data}} ({{.Rows}} rows).
# Every other setting has a default; docs/configuration.md lists them all.

data: {{q .Data}}
{{- with .Bad}}

# So many rows of a CSV file may be set aside as bad, into data/bad/.
bad_rows: {{q .}}
{{- end}}

# What is predicted, and how: {{one .Inf.TaskWhy}}.
target: {{q .Inf.Target}}
task: {{.Inf.Task}}

# The column that orders rows in time. The newest rows are kept apart to test
# on, and history is cut by it.{{if not .Inf.Time}} None was found: rows are taken in file order.{{end}}
time: {{q .Inf.Time}}
{{range .Inf.Warnings}}
# Note: {{one .}}.
{{end}}
# What each column is: numeric, categorical, boolean, time, text (logged, not
# learnt from) or drop (left out).
columns:
{{- range .Inf.Choices}}
  # {{one .Why}}
  - {name: {{q .Name}}, kind: {{if .Use}}{{.Kind}}{{else}}drop{{end}}}
{{- end}}

train:
  holdout: 0.2 # share of the newest rows kept apart to measure the model
  # set: {num_leaves: 31, learning_rate: 0.1} # LightGBM's parameters

drift:
  window: 7d # how far back the live window reaches
  every: 1h  # how often healml drift runs, as the crontab has it
  false_alarms_per_year: 1 # that you bear, over all columns together

# Tell somebody: a webhook (signed), or a program with the event on its input.
# alert:
#   webhook: https://hooks.example.org/…
#   secret_file: /etc/healml/webhook.secret

retrain:
  cooldown: 20h   # nothing is promoted sooner after the last promotion
  min_labels: 200 # actuals needed to judge a cure
  margin: 0.01    # share of the loss that a cure must save for certain

heal:
  # What may be done to values that a broken feed bent, before they are predicted:
  # unit (a column that came multiplied is divided again), renamed (a level that
  # goes by a like name is read as the old one). The log keeps what was sent.
  map_back: [unit, renamed]
`))

func renderConfig(data, bad string, rows int, inf *feature.Inferred) ([]byte, error) {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, struct {
		Data, Bad string
		Rows      int
		Inf       *feature.Inferred
	}{data, bad, rows, inf})
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return b.Bytes(), nil
}

// quoteYAML is s as a YAML scalar: bare when it is a plain word.
func quoteYAML(s string) string {
	plain := s != ""
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		other := c >= '0' && c <= '9' || c == '.' || c == '/' || c == '-'
		if !letter && (i == 0 || !other) {
			plain = false
		}
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}
