// Package monitor compares a window of live rows with the reference that a
// model was trained on and writes down what it found.
//
// [Compare] takes two tables and returns a [Report]: a verdict a column (from
// package drift), the same for the model's own predictions, the metric where
// the truth is known, and faults of the data feed that look like drift but are
// not. [WriteReport] publishes the report as Parquet, JSON and one HTML page.
// docs/format/report.md describes the files.
//
// The package reads no clock and decides nothing: what to do about a report is
// the business of package heal.
package monitor

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
)

// Input is what a comparison is made of. Only Reference, Current and Columns
// are needed.
type Input struct {
	Reference, Current Data
	// Columns are the input columns to compare; only Name and Kind are read.
	// Columns of kinds Time and Text are listed as left out. When it is nil,
	// every column of the reference is compared but the time's, other times,
	// row numbers, and texts that hardly repeat.
	Columns []schema.Column
	// Skipped are columns that were left out beforehand, for the report.
	Skipped []Skipped
	// Time and ReferenceTime name the column by which the rows of either
	// table are put in order; where it is empty or absent they are taken as
	// they stand. Order counts: it shows how much a column moves by itself.
	Time, ReferenceTime string
	// Predictions names the columns that the model wrote, compared like
	// inputs where both tables have them.
	Predictions []string
	// Truth, if not nil, compares predictions with what came to pass.
	Truth *Truth
	// Partial says that the reference is only a part of the rows that it stands
	// for, so that their number says nothing.
	Partial bool
	// ModelVersion is the version whose reference this is; may be empty.
	ModelVersion string
	// From and To bound the current window, half-open; zero: taken from the
	// Time column when there is one.
	From, To time.Time
	// First, if not nil, is what the same rows showed against the first version's
	// reference; the report tells it and draws no verdict from it.
	First *Baseline
	// Now dates the report.
	Now     time.Time
	Options Options
}

// Options tune a comparison; the zero value stands for the defaults.
type Options struct {
	// Alpha is the chance of any false alarm over all columns in one
	// comparison; 0: [drift.DefaultAlpha].
	Alpha float64
	// Budget, if not nil, sets Alpha.
	Budget *drift.Budget
	// Resamples of the reference by which restless columns are calibrated;
	// 0: [drift.DefaultResamples], below 0: none.
	Resamples int
	// Together also looks at all columns at once, with a classifier.
	Together bool
	// MinRows is the least number of rows, in either table, for a verdict;
	// 0: [drift.DefaultMinRows].
	MinRows int
	// MinEffect is the least change, as a share of rows, that counts;
	// 0: [drift.DefaultMinEffect], below 0: none.
	MinEffect float64
	// Tolerance is by how much the metric may be worse than Holdout,
	// relative to it; 0: .05.
	Tolerance float64
	// Confidence of the metric's interval; 0: .95.
	Confidence float64
	// Threads bounds the goroutines; 0: one a core.
	Threads int
	// Seed draws the bootstrap.
	Seed uint64
}

func (o Options) withDefaults() Options {
	if o.Budget != nil {
		o.Alpha = o.Budget.Level()
	}
	if o.Alpha == 0 {
		o.Alpha = drift.DefaultAlpha
	}
	if o.Resamples == 0 {
		o.Resamples = drift.DefaultResamples
	}
	if o.MinRows == 0 {
		o.MinRows = drift.DefaultMinRows
	}
	if o.MinEffect == 0 {
		o.MinEffect = drift.DefaultMinEffect
	}
	if o.Tolerance == 0 {
		o.Tolerance = 0.05
	}
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return o
}

// Compare makes the report. It fails on rows that cannot be read, on input
// that contradicts itself (a truth that names absent columns, say) or when ctx
// ends; columns that are empty, constant or absent are findings, not errors.
// Of either side some hundred thousand rows at most are in memory.
func Compare(ctx context.Context, in Input) (*Report, error) {
	o := in.Options.withDefaults()
	in.Reference, in.Current = ordered(in.Reference, in.ReferenceTime), ordered(in.Current, in.Time)
	r := &Report{
		Format: Format, Created: in.Now.UTC().Format(time.RFC3339), ModelVersion: in.ModelVersion,
		ReferenceRows: in.Reference.NumRows(), Rows: in.Current.NumRows(),
		EnoughRows: min(in.Reference.NumRows(), in.Current.NumRows()) >= o.MinRows,
		Columns:    map[string]*Column{}, Prediction: map[string]*Column{},
		Skipped: slices.Clone(in.Skipped), First: in.First,
		Segments: []Segment{},
		Settings: Settings{o.Alpha, o.MinRows, max(o.MinEffect, 0), o.Tolerance},
	}
	w, err := newWatch(in, r)
	if err != nil {
		return nil, err
	}
	r.Window = window(in, w.span)
	if err := w.count(ctx, in); err != nil {
		return nil, err
	}
	w.dropRowNumbers(r)
	if err := run(ctx, w.jobs, o.Threads, func(j *job) {
		j.compare()
		j.calibrate(o)
	}); err != nil {
		return nil, fmt.Errorf("compare columns: %w", err)
	}
	if o.Together {
		if err := w.together(ctx, in, r, o); err != nil {
			return nil, err
		}
	}
	w.timeline(r)
	r.judge(w, o)
	if r.EnoughRows {
		r.Faults = append(r.Faults, w.tableFaults(in)...)
	}
	if in.Truth != nil {
		cur, err := sampleOf(in.Current.Rows)
		if err != nil {
			return nil, err
		}
		if err := r.judgeModel(in.Truth, cur, o); err != nil {
			return nil, err
		}
	}
	r.conclude()
	r.ReportID = r.id(in.Now)
	return r, nil
}

// run works off the jobs on some goroutines and waits for them.
func run(ctx context.Context, jobs []*job, threads int, do func(*job)) error {
	next := make(chan *job)
	var wg sync.WaitGroup
	for range min(threads, len(jobs)) {
		wg.Go(func() {
			for j := range next {
				do(j)
			}
		})
	}
	defer wg.Wait()
	defer close(next)
	for _, j := range jobs {
		select {
		case next <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// judge gives each column its verdict. Columns of inputs and predictions are
// one family.
func (r *Report) judge(w *watch, o Options) {
	p := make([]float64, len(w.jobs), len(w.jobs)+1)
	for i, j := range w.jobs {
		p[i] = float64(j.column.P)
	}
	if r.Domain != nil {
		p = append(p, float64(r.Domain.P))
	}
	limits := drift.Holm(w.calibration(r, o)).Limits(p)
	if r.Domain != nil {
		r.judgeTogether(limits[len(limits)-1])
	}
	var found []*job
	for i, j := range w.jobs {
		c := j.column
		c.Threshold = Number(limits[i])
		dead := c.Missing.Now == 1 && c.Missing.Then < 0.5 // however often it paused before
		c.Drift = r.EnoughRows && (dead || p[i] <= limits[i] && float64(c.Effect) >= o.MinEffect)
		if c.Drift {
			c.Change = w.date(j)
			c.Reason = c.Change.Text
			found = append(found, j)
		}
		c.Trend = w.trend(j)
		if j.prediction {
			r.Prediction[j.name] = c
			r.PredictionOrder = append(r.PredictionOrder, j.name)
			continue
		}
		r.Columns[j.name] = c
		r.Order = append(r.Order, j.name)
	}
	slices.SortStableFunc(found, func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.column.P, b.column.P), cmp.Compare(b.column.strength(), a.column.strength()))
	})
	r.Ranked = []string{}
	for i, j := range found {
		if i == 0 {
			r.Since = j.column.Change.Since
		}
		if !j.prediction {
			r.Ranked = append(r.Ranked, j.name)
			r.Faults = append(r.Faults, j.faults...) // what a column has always done is no fault
		}
	}
	r.Segments = w.segments(found)
}

// window is the span of the current rows.
func window(in Input, span drift.Span) Window {
	from, to := in.From, in.To
	if span.Known() {
		if from.IsZero() {
			from = time.UnixMicro(span.First)
		}
		if to.IsZero() {
			to = time.UnixMicro(span.Last)
		}
	}
	format := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return Window{format(from), format(to)}
}
