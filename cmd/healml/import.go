package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

type importOptions struct {
	data, template string
	target, time   string
	classes        []string
}

func newModelsImportCommand(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import MODEL --data DATA --target COLUMN",
		Short: "Publish a model that LightGBM trained",
		Long: `Publishes a LightGBM text model (versions 2 to 4) as a version, without
promoting it. Its raw columns are the columns of DATA called like its features;
DATA also gives the reference that later traffic is compared with and, where it
holds the target, the metrics. Integer categories stay numbers; categories of
pandas are taken by name.

With --template the columns and features are those of a template.json of an
earlier version instead.`,
		Example: "  healml models import model.txt --data rows.csv --target sales",
		Args:    oneArg("MODEL"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runModelsImport(cmd.Context(), a, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "rows such as the model was trained on (.csv, .parquet or .arrow)")
	f.StringVar(&o.template, "template", "", "template.json with the model's columns and features")
	f.StringVar(&o.target, "target", "", "what the model predicts; DATA need not hold it")
	f.StringVar(&o.time, "time", "", "column of DATA that orders the rows in time")
	f.StringSliceVar(&o.classes, "classes", nil, "classes in the model's order (default: by the target's values)")
	return cmd
}

// imported is what import prints.
type imported struct {
	Version  string             `json:"version"`
	Task     schema.Task        `json:"task"`
	Target   string             `json:"target"`
	Columns  []string           `json:"columns"`
	Trees    int                `json:"trees"`
	Rows     int                `json:"rows"` // of the data with a label
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Promoted bool               `json:"promoted"` // never: promote asks for it
}

func runModelsImport(ctx context.Context, a *app, path string, o importOptions) error {
	switch {
	case o.data == "":
		return usageError{fmt.Errorf("--data is missing: name rows such as the model was trained on; later traffic is compared with them")}
	case o.template != "" && (o.target != "" || o.time != "" || o.classes != nil):
		return usageError{fmt.Errorf("--template says what --target, --time and --classes would; leave them out")}
	case o.template == "" && o.target == "":
		return usageError{fmt.Errorf("--target is missing: name what the model predicts")}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	trees, err := gbdt.ReadText(path, b)
	if err != nil {
		return err
	}
	tmpl, t, err := o.adopt(trees)
	if err != nil {
		return err
	}
	for _, name := range tmpl.Ignored {
		a.notice("column %q is left out: no feature is called like it", name)
	}
	bundle, err := importBundle(ctx, tmpl, trees, t, score.Metric(a.conf.Metric), a.conf.Train.Threads)
	if err != nil {
		return err
	}
	if bundle.Lineage.DataSHA256, err = dataDigest(o.data); err != nil {
		return err
	}
	bundle.Created = a.now()
	bundle.Lineage.DataFile, bundle.Lineage.CreatedBy, bundle.Lineage.Program = o.data, "import", version
	bundle.Lineage.Reason = "imported from " + filepath.Base(path)
	name, err := a.registry().Publish(bundle)
	if err != nil {
		return err
	}
	out := imported{Version: name, Task: tmpl.Task, Target: tmpl.Target, Trees: len(trees.Trees), Rows: bundle.Metrics.Rows, Metrics: bundle.Metrics.Holdout}
	for _, c := range tmpl.Columns {
		out.Columns = append(out.Columns, c.Name)
	}
	return a.print(out, func(w io.Writer) error {
		fmt.Fprintf(w, "%s: %d trees, %s of %q from %s\n", name, out.Trees, out.Task, out.Target, strings.Join(out.Columns, ", "))
		if m := bundle.Metrics; m.Rows > 0 {
			fmt.Fprintf(w, "%s %s on the %d labelled rows of %s, from which it may have learnt\n", m.Metric, number(m.Holdout, m.Metric), m.Rows, o.data)
		}
		_, err := fmt.Fprintf(w, "not promoted; next: healml models promote %s\n", name)
		return err
	})
}

// adopt reads the data and settles the template.
func (o importOptions) adopt(trees *gbdt.Model) (*schema.Template, *table.Table, error) {
	if o.template != "" {
		b, err := os.ReadFile(o.template)
		if err != nil {
			return nil, nil, fmt.Errorf("read template: %w", err)
		}
		given, err := schema.Parse(b)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", errBadData, o.template, err)
		}
		tmpl, err := model.AdoptTemplate(trees, given)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", o.template, err)
		}
		types := feature.NewEncoder(tmpl).Types()
		if tmpl.Time != "" {
			types[tmpl.Time] = table.Time
		}
		t, err := table.Read(o.data, table.ReadOptions{Types: types})
		return tmpl, t, err
	}
	t, err := table.Read(o.data, table.ReadOptions{})
	if err != nil {
		return nil, nil, err
	}
	types := model.AdoptTypes(trees, t.Names())
	if o.time != "" {
		if t.Column(o.time) == nil {
			return nil, nil, &feature.ColumnError{Column: o.time, Have: t.Names()}
		}
		types[o.time] = table.Time
	}
	if len(types) > 0 {
		if t, err = table.Read(o.data, table.ReadOptions{Types: types}); err != nil {
			return nil, nil, err
		}
	}
	tmpl, err := model.Adopt(trees, t, model.Adoption{Target: o.target, Time: o.time, Classes: o.classes})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.data, err)
	}
	return tmpl, t, nil
}

// importBundle is a foreign model as the registry publishes it: rows of t are
// the reference, the golden rows, and what the metrics are measured on.
func importBundle(ctx context.Context, tmpl *schema.Template, trees *gbdt.Model, t *table.Table, metric score.Metric, threads int) (*registry.Bundle, error) {
	if t.NumRows() == 0 {
		return nil, fmt.Errorf("%w: the data has no rows, only a header", errBadData)
	}
	m, err := model.New("", tmpl, trees)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadData, err)
	}
	rows := referenceRows(t, tmpl)
	predicted, err := m.PredictTable(rows, threads)
	if err != nil {
		return nil, err
	}
	reference, err := rows.With(predicted.Columns(tmpl)...)
	if err != nil {
		return nil, fmt.Errorf("%w: a column has the name of a prediction: %w", errBadData, err)
	}
	metrics := &registry.Metrics{Metric: string(metric), Iterations: trees.NumIterations(), Importance: registry.NewImportance(tmpl, trees, nil, "", 0)}
	if metric == "" || !metric.Fits(tmpl.Task) {
		metrics.Metric = string(score.Default(tmpl.Task))
	}
	if target := rows.Column(tmpl.Target); target != nil {
		if err := measure(metrics, tmpl, target, predicted.Outputs); err != nil {
			return nil, err
		}
	}
	expected, err := importEstimator(ctx, tmpl, trees, rows, metrics, threads)
	if err != nil {
		return nil, err
	}
	from, to := span(t.Column(tmpl.Time))
	if metrics.Rows > 0 {
		metrics.From, metrics.To = from, to
	}
	return &registry.Bundle{
		Template: tmpl, Trees: trees, Reference: reference, Golden: sampleRows(t, tmpl, registry.GoldenRows), Metrics: metrics, Estimator: expected,
		Lineage: registry.Lineage{Rows: t.NumRows(), From: from, To: to, Dropped: tmpl.Ignored, Parameters: importedParameters(trees)},
	}, nil
}

// importEstimator learns from the labelled rows that a model came with what
// errors to expect; nil when they are few or not labelled. The model may have
// learnt from them, so they may be expected too small, as the metrics say, too.
func importEstimator(ctx context.Context, tmpl *schema.Template, trees *gbdt.Model, t *table.Table, m *registry.Metrics, threads int) (*estimate.Estimator, error) {
	if m.Rows < estimate.MinRows {
		return nil, nil
	}
	var times []int64
	if c := t.Column(tmpl.Time); tmpl.Time != "" && c != nil && c.Type == table.Time {
		times = c.Times
	}
	rows, err := train.Prepare(t, feature.FromTemplate(tmpl), times, nil)
	if err != nil {
		return nil, err
	}
	if rows, err = rows.Under(tmpl); err != nil {
		return nil, err
	}
	outputs, err := rows.Predict(trees, 0, rows.Len(), threads)
	if err != nil {
		return nil, err
	}
	return rows.Estimator(ctx, 0, rows.Len(), outputs, score.Metric(m.Metric), threads)
}

// span is the first and last time of a column; zero without one.
func span(c *table.Column) (from, to time.Time) {
	if c == nil || c.Type != table.Time {
		return
	}
	lo, hi := int64(math.MaxInt64), int64(table.NoTime)
	for _, us := range c.Times {
		if us != table.NoTime {
			lo, hi = min(lo, us), max(hi, us)
		}
	}
	if hi == table.NoTime {
		return
	}
	return time.UnixMicro(lo).UTC(), time.UnixMicro(hi).UTC()
}

// referenceRows are the rows of t that a reference keeps, in the order of time.
func referenceRows(t *table.Table, tmpl *schema.Template) *table.Table {
	t = sampleRows(t, tmpl, t.NumRows())
	var times []int64
	if c := t.Column(tmpl.Time); tmpl.Time != "" && c != nil && c.Type == table.Time {
		order := make([]int, c.Len())
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.Times[a], c.Times[b]) })
		t = t.Take(order)
		times = t.Column(tmpl.Time).Times
	}
	return t.Take(train.Stretches(times, t.NumRows(), train.ReferenceRows))
}

// sampleRows are up to n rows of t, evenly spaced, with what a reference holds.
func sampleRows(t *table.Table, tmpl *schema.Template, n int) *table.Table {
	var cols []*table.Column
	for _, c := range t.Columns() {
		if c.Name == tmpl.Target || c.Name == tmpl.Time || tmpl.Column(c.Name) >= 0 {
			cols = append(cols, c)
		}
	}
	total := t.NumRows()
	pick := make([]int, min(n, total))
	for i := range pick {
		pick[i] = i * total / len(pick)
	}
	return table.Must(cols...).Take(pick)
}

// measure sets the metrics of the rows whose label is known.
func measure(m *registry.Metrics, tmpl *schema.Template, target *table.Column, outputs []float64) error {
	if !tmpl.Task.Classified() && target.Type != table.Float && target.Type != table.Bool {
		return fmt.Errorf("%w: the target %q holds %ss, but the model predicts a number", errBadData, target.Name, target.Type)
	}
	k := tmpl.Outputs()
	var labels, known []float64
	for i, y := range feature.Labels(target, tmpl.Classes) {
		if !math.IsNaN(y) && !math.IsInf(y, 0) {
			labels = append(labels, y)
			known = append(known, outputs[i*k:(i+1)*k]...)
		}
	}
	if labels == nil {
		return nil
	}
	values, err := train.Evaluate(tmpl.Task, labels, known, k)
	if err != nil {
		return err
	}
	if _, ok := values[m.Metric]; !ok {
		m.Metric = string(score.Default(tmpl.Task))
	}
	if _, ok := values[m.Metric]; ok {
		m.Holdout, m.Rows = values, len(labels)
	}
	return nil
}

// importedParameters are those of the model's parameters that shape a tree and
// that training here understands, for learning again later.
func importedParameters(trees *gbdt.Model) map[string]string {
	out := map[string]string{}
	scratch := fit.Defaults()
	for _, p := range trees.Params {
		switch p[0] {
		case "learning_rate", "num_leaves", "max_depth", "min_data_in_leaf", "min_sum_hessian_in_leaf", "lambda_l1", "lambda_l2",
			"min_gain_to_split", "feature_fraction", "bagging_fraction", "bagging_freq", "max_bin":
			if scratch.Set(p[0], p[1]) == nil {
				out[p[0]] = p[1]
			}
		}
	}
	if o, err := gbdt.ParseObjective(trees.Objective); err == nil && o.Name != "" && scratch.Set("objective", o.Name) == nil {
		out["objective"] = o.Name
	}
	return out
}
