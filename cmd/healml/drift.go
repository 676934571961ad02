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

	"github.com/spf13/cobra"

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
	together                 bool
	live                     windowOptions
}

func newDriftCommand(a *app) *cobra.Command {
	var o driftOptions
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Compare what is served now with what the model was trained on",
		Long: `Compares the live window with the reference of the version in force: every
input column, the predictions, and, where actuals came in, the error. Writes a
report to data/reports/ and exits with 10 when drift is found.

The live window is what the version served within drift.window. --window says
how far back it reaches instead, --rows how many of the newest rows it has, and
--since when it begins: at a time, or with the last promotion. --until ends it
in the past.

With --reference and --current it compares two files and needs no model.`,
		Example: `  healml drift
  healml drift --window 30d
  healml drift --rows 5000
  healml drift --since promotion
  healml drift --since 2026-03-01 --until 2026-03-08T06:00:00Z
  healml drift --reference january.csv --current june.csv --time date`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.reference == "") != (o.current == "") {
				return usageError{fmt.Errorf("--reference and --current go together")}
			}
			if o.reference != "" {
				if err := o.live.refuse(); err != nil {
					return err
				}
				return runDriftFiles(cmd.Context(), a, o)
			}
			w, err := o.live.parse(a.now(), a.conf.Drift)
			if err != nil {
				return err
			}
			return a.job("drift", func() error { return runDrift(cmd.Context(), a, w) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.reference, "reference", "", "compare with this file instead of a version's reference")
	f.StringVar(&o.current, "current", "", "compare this file instead of the live window")
	f.StringVar(&o.time, "time", "", "column that orders the rows of the two files in time")
	a.badRowsFlag(f)
	o.live.addFlags(f)
	f.BoolVar(&o.together, "together", false, "look at all columns of the two files at once, too (live: drift.together)")
	return cmd
}

// monitorOptions are those of a comparison of two files; those of the live
// window have a budget a year.
func (a *app) monitorOptions() monitor.Options {
	return monitor.Options{Alpha: a.conf.Drift.Alpha, MinRows: a.conf.Drift.MinRows, Threads: a.conf.Train.Threads, Seed: a.conf.Seed}
}

func (a *app) liveOptions(w liveWindow) monitor.Options {
	o, c := a.monitorOptions(), a.conf.Drift
	if c.Alpha == 0 {
		o.Budget = &drift.Budget{PerYear: c.PerYear, Window: w.length(), Every: c.Every}
	}
	o.Together = c.Together
	return o
}

func runDriftFiles(ctx context.Context, a *app, o driftOptions) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // parts live briefly: a smaller heap costs no time here
	}
	ref, err := a.openRows(o.reference, o.time)
	if err != nil {
		return err
	}
	defer ref.close()
	cur, err := a.openRows(o.current, o.time)
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
func (a *app) openRows(path, time string) (*rowsFile, error) {
	f := &rowsFile{}
	o := table.ReadOptions{Bad: a.budget()}
	if time != "" {
		o.Types = map[string]table.Type{time: table.Time}
	}
	src, err := table.Open(path, o)
	if err != nil {
		return nil, err
	}
	f.data.Rows, f.files = src, append(f.files, src)
	if err := a.setAside(path, o.Bad, src.NumRows()); err != nil {
		f.close()
		return nil, err
	}
	o.Bad = a.budget() // they are found again
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

func runDrift(ctx context.Context, a *app, w liveWindow) error {
	loaded, err := a.load("")
	if err != nil {
		return err
	}
	if err := w.settle(a.registry(), loaded); err != nil {
		return err
	}
	a.settleKeyed()
	r, live, err := a.compareLive(ctx, loaded, w)
	if err != nil {
		return err
	}
	found := a.report(r)
	a.tellDrift(r)
	if w.latest {
		if err := a.watchFeed(ctx, loaded, live, r); err != nil {
			a.warn("the feed could not be looked at: %v", err)
		}
	}
	a.watchAside()
	return errors.Join(found, monitor.PruneReports(a.reports(), a.conf.Drift.Keep))
}

// liveRows are the rows of a window, the column of times that orders them, and
// the reference that they are held against.
type liveRows struct {
	rows, reference *table.Table
	order           string
}

// compareLive compares what the version served within the window with its
// reference and with that of the first version, and its error on what came true
// within the window with that of its holdout.
func (a *app) compareLive(ctx context.Context, l *registry.Loaded, w liveWindow) (*monitor.Report, *liveRows, error) {
	tmpl := l.Model.Template
	ref, err := l.Reference()
	if err != nil {
		return nil, nil, err
	}
	// Truth comes late, so more is read than the window; of a large log as many
	// rows again, by whole days.
	from, err := predlog.Newest(a.predictions(), w.to.UnixMicro()+1, 2*a.conf.Drift.MaxRows)
	if err != nil {
		return nil, nil, err
	}
	served, _, err := a.joined(tmpl.Task, from, w.to.UnixMicro()+1)
	if err != nil {
		return nil, nil, err
	}
	served = servedBy(served, l.Manifest.Version)
	live := w.cut(served, a.conf.Drift.MaxRows)
	order := tmpl.Time
	if live.Column(order) == nil {
		order = predlog.ColumnTime
	}
	in := monitor.Input{
		Reference: monitor.Of(ref), Current: monitor.Of(live), Columns: tmpl.Columns, Time: order, ReferenceTime: tmpl.Time, ModelVersion: l.Manifest.Version,
		From: w.from, To: w.to, Now: a.now(), Options: a.liveOptions(w), Partial: partial(l, ref),
		Predictions: append([]string{tmpl.PredictionName()}, tmpl.ProbabilityNames()...),
	}
	if in.First, err = a.againstFirst(ctx, l, in); err != nil {
		return nil, nil, err
	}
	if served.NumRows() > 0 {
		if in.Truth, err = a.truth(l, served, order, w); err != nil {
			return nil, nil, err
		}
	}
	r, err := monitor.Compare(ctx, in)
	return r, &liveRows{live, ref, order}, err
}

// partial reports whether a reference has only a part of the rows that its
// version learnt from.
func partial(l *registry.Loaded, ref *table.Table) bool {
	return ref.NumRows() < l.Manifest.Lineage.Rows
}

// truth says what became of the rows that a version served up to the end of the
// window, of which order names the column of times.
func (a *app) truth(l *registry.Loaded, served *table.Table, order string, w liveWindow) (*monitor.Truth, error) {
	tmpl := l.Model.Template
	holdout, ok := l.Metrics.Holdout[l.Metrics.Metric]
	if !ok {
		holdout = math.NaN()
	}
	t := &monitor.Truth{
		Rows: served, Task: tmpl.Task, Classes: tmpl.Classes, Actual: predlog.ColumnActual, Outputs: outputsOf(tmpl), Metric: score.Metric(l.Metrics.Metric), Holdout: holdout,
		Predicted: predlog.ColumnTime, Arrived: predlog.ColumnActualTime, Order: order, Window: w.length(), Now: w.to, Template: tmpl,
	}
	var err error
	if t.Estimator, err = l.Estimator(); err != nil {
		a.warn("nothing is expected of rows without truth: %v", err)
	}
	t.Past, err = monitor.PastEstimates(a.reports(), l.Manifest.Version, w.to, 20)
	return t, err
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
