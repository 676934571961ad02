package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

type driftOptions struct {
	reference, current, time string
	window                   string
	together                 bool
}

func newDriftCommand(a *app) *cobra.Command {
	var o driftOptions
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Compare what is served now with what the model was trained on",
		Long: `Compares the live window with the reference of the version in force: every
input column, the predictions, and, where actuals came in, the error. Writes a
report to data/reports/ and exits with 10 when drift is found.

With --reference and --current it compares two files and needs no model.`,
		Example: "  healml drift\n  healml drift --reference january.csv --current june.csv --time date",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.window != "" {
				d, err := config.ParseDuration(o.window)
				if err != nil || d <= 0 {
					return usageError{fmt.Errorf("--window is %q, expected such as 12h or 7d", o.window)}
				}
				a.conf.Drift.Window = d
			}
			if (o.reference == "") != (o.current == "") {
				return usageError{fmt.Errorf("--reference and --current go together")}
			}
			if o.reference != "" {
				return runDriftFiles(cmd.Context(), a, o)
			}
			return a.job("drift", func() error { return runDrift(cmd.Context(), a) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.reference, "reference", "", "compare with this file instead of a version's reference")
	f.StringVar(&o.current, "current", "", "compare this file instead of the live window")
	f.StringVar(&o.time, "time", "", "column that orders the rows of the two files in time")
	f.StringVar(&o.window, "window", "", "how far back the live window reaches, such as 7d (default: drift.window)")
	f.BoolVar(&o.together, "together", false, "look at all columns of the two files at once, too (live: drift.together)")
	return cmd
}

// monitorOptions are those of a comparison of two files; those of the live
// window have a budget a year.
func (a *app) monitorOptions() monitor.Options {
	return monitor.Options{Alpha: a.conf.Drift.Alpha, MinRows: a.conf.Drift.MinRows, Threads: a.conf.Train.Threads, Seed: a.conf.Seed}
}

func (a *app) liveOptions() monitor.Options {
	o, c := a.monitorOptions(), a.conf.Drift
	if c.Alpha == 0 {
		o.Budget = &drift.Budget{PerYear: c.PerYear, Window: c.Window, Every: c.Every}
	}
	o.Together = c.Together
	return o
}

func runDriftFiles(ctx context.Context, a *app, o driftOptions) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // parts live briefly: a smaller heap costs no time here
	}
	ref, err := openRows(o.reference, o.time)
	if err != nil {
		return err
	}
	defer ref.close()
	cur, err := openRows(o.current, o.time)
	if err != nil {
		return err
	}
	defer cur.close()
	options := a.monitorOptions()
	options.Together = o.together
	r, err := monitor.Compare(ctx, monitor.Input{
		Reference: ref.data, Current: cur.data, Time: o.time, ReferenceTime: o.time, Now: a.now(), Options: options,
	})
	if err != nil {
		return err
	}
	return a.report(r)
}

// rowsFile is a data file that is read part by part.
type rowsFile struct {
	data  monitor.Data
	files []*table.Source
}

// openRows opens a file whose rows may be ordered by a column of times.
func openRows(path, time string) (*rowsFile, error) {
	f := &rowsFile{}
	o := table.ReadOptions{}
	if time != "" {
		o.Types = map[string]table.Type{time: table.Time}
	}
	src, err := table.Open(path, o)
	if err != nil {
		return nil, err
	}
	f.data.Rows, f.files = src, append(f.files, src)
	if time == "" || !slices.Contains(src.Names(), time) {
		return f, nil
	}
	o.Columns = []string{time}
	if src, err = table.Open(path, o); err != nil {
		f.close()
		return nil, err
	}
	f.data.Times, f.files = src, append(f.files, src)
	return f, nil
}

func (f *rowsFile) close() {
	for _, s := range f.files {
		s.Close()
	}
}

func runDrift(ctx context.Context, a *app) error {
	loaded, err := a.load("")
	if err != nil {
		return err
	}
	r, err := a.compareLive(ctx, loaded)
	if err != nil {
		return err
	}
	found := a.report(r)
	a.tellDrift(r)
	a.watchAside()
	return errors.Join(found, monitor.PruneReports(a.reports(), a.conf.Drift.Keep))
}

// compareLive compares what the version served within the window with its
// reference, and its error on what came true within the window with that of
// its holdout.
func (a *app) compareLive(ctx context.Context, l *registry.Loaded) (*monitor.Report, error) {
	tmpl := l.Model.Template
	ref, err := l.Reference()
	if err != nil {
		return nil, err
	}
	now := a.now()
	from := now.Add(-a.conf.Drift.Window)
	all, _, err := a.joined(tmpl.Task, 0, now.UnixMicro()+1)
	if err != nil {
		return nil, err
	}
	all = servedBy(all, l.Manifest.Version)
	live := since(all, predlog.ColumnTime, from)
	if n := live.NumRows(); n > a.conf.Drift.MaxRows {
		live = live.Slice(n-a.conf.Drift.MaxRows, n)
	}
	order := tmpl.Time
	if live.Column(order) == nil {
		order = predlog.ColumnTime
	}
	metric := score.Metric(l.Metrics.Metric)
	holdout, ok := l.Metrics.Holdout[l.Metrics.Metric]
	if !ok {
		holdout = math.NaN()
	}
	in := monitor.Input{
		Reference: monitor.Of(ref), Current: monitor.Of(live), Columns: tmpl.Columns, Time: order, ReferenceTime: tmpl.Time, ModelVersion: l.Manifest.Version,
		From: from, To: now, Now: now, Options: a.liveOptions(),
		Predictions: append([]string{tmpl.PredictionName()}, tmpl.ProbabilityNames()...),
	}
	if all.NumRows() > 0 {
		in.Truth = &monitor.Truth{
			Rows: all, Task: tmpl.Task, Classes: tmpl.Classes, Actual: predlog.ColumnActual, Outputs: outputsOf(tmpl), Metric: metric, Holdout: holdout,
			Predicted: predlog.ColumnTime, Arrived: predlog.ColumnActualTime, Order: order, Window: a.conf.Drift.Window, Now: now, Template: tmpl,
		}
		if in.Truth.Estimator, err = l.Estimator(); err != nil {
			a.warn("nothing is expected of rows without truth: %v", err)
		}
		if in.Truth.Past, err = monitor.PastEstimates(a.reports(), l.Manifest.Version, now, 20); err != nil {
			return nil, err
		}
	}
	return monitor.Compare(ctx, in)
}

// outputsOf names the columns that a metric reads.
func outputsOf(t *schema.Template) []string {
	if t.Task.Classified() {
		return t.ProbabilityNames()
	}
	return []string{t.PredictionName()}
}

// servedBy are the rows that a version predicted.
func servedBy(t *table.Table, version string) *table.Table {
	c := t.Column(predlog.ColumnVersion)
	if c == nil {
		return t
	}
	var rows []int
	for i := range c.Len() {
		if c.Text(i) == version {
			rows = append(rows, i)
		}
	}
	return t.Take(rows)
}

// since are the rows whose time in column is later than from.
func since(t *table.Table, column string, from time.Time) *table.Table {
	c := t.Column(column)
	if c == nil {
		return t.Slice(0, 0)
	}
	var rows []int
	for i, us := range c.Times {
		if us != table.NoTime && us > from.UnixMicro() {
			rows = append(rows, i)
		}
	}
	return t.Take(rows)
}

// report keeps a report, prints it and says by the exit code what it found.
func (a *app) report(r *monitor.Report) error {
	path, err := monitor.WriteReport(a.reports(), r)
	if err != nil {
		return err
	}
	err = a.print(r, func(w io.Writer) error {
		if err := monitor.Render(w, r, a.colour(w), width(w)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\nreport: %s\n", path)
		return err
	})
	if err == nil && r.Drift {
		return outcome(exitDrift)
	}
	return err
}

// lastReport is the newest report on a version, nil when there is none.
func (a *app) lastReport() (*monitor.Report, error) {
	ids, err := monitor.ListReports(a.reports())
	for _, id := range slices.Backward(ids) {
		r, err := monitor.ReadReport(a.reports(), id)
		if err != nil || r.ModelVersion != "" {
			return r, err
		}
	}
	return nil, err
}
