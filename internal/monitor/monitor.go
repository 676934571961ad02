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
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Input is what a comparison is made of. Only Reference, Current and Columns
// are needed.
type Input struct {
	Reference, Current *table.Table
	// Columns are the input columns to compare; only Name and Kind are read.
	// Columns of kinds Time and Text are listed as left out. See [KindsOf].
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
	// ModelVersion is the version whose reference this is; may be empty.
	ModelVersion string
	// From and To bound the current window, half-open; zero: taken from the
	// Time column when there is one.
	From, To time.Time
	// Now dates the report.
	Now     time.Time
	Options Options
}

// Options tune a comparison; the zero value stands for the defaults.
type Options struct {
	// Alpha is the chance of any false alarm over all columns in one
	// comparison; 0: [drift.DefaultAlpha].
	Alpha float64
	// Rule, if not nil, replaces Holm's at Alpha.
	Rule drift.Rule
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
	if o.Alpha == 0 {
		o.Alpha = drift.DefaultAlpha
	}
	if o.Rule == nil {
		o.Rule = drift.Holm(o.Alpha)
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

// Compare makes the report. It fails only on input that contradicts itself (a
// truth that names absent columns, say) or when ctx ends; columns that are
// empty, constant or absent are findings, not errors.
func Compare(ctx context.Context, in Input) (*Report, error) {
	o := in.Options.withDefaults()
	ref, cur := ordered(in.Reference, in.ReferenceTime), ordered(in.Current, in.Time)
	r := &Report{
		Format: Format, Created: in.Now.UTC().Format(time.RFC3339), ModelVersion: in.ModelVersion,
		ReferenceRows: ref.NumRows(), Rows: cur.NumRows(),
		EnoughRows: min(ref.NumRows(), cur.NumRows()) >= o.MinRows,
		Window:     window(in, cur),
		Columns:    map[string]*Column{}, Prediction: map[string]*Column{},
		Skipped:  slices.Clone(in.Skipped),
		Settings: Settings{o.Alpha, o.MinRows, max(o.MinEffect, 0), o.Tolerance},
	}
	jobs := jobsOf(in, ref, cur, r)
	if err := run(ctx, jobs, o.Threads); err != nil {
		return nil, fmt.Errorf("compare columns: %w", err)
	}
	r.judge(jobs, o)
	if in.Truth != nil {
		if err := r.judgeModel(in.Truth, cur, o); err != nil {
			return nil, err
		}
	}
	r.conclude()
	r.ReportID = r.id(in.Now)
	return r, nil
}

// job is the comparison of one column.
type job struct {
	name       string
	kind       schema.Kind
	prediction bool
	ref, cur   *table.Column
	column     *Column
	faults     []Fault
}

func jobsOf(in Input, ref, cur *table.Table, r *Report) []*job {
	var jobs []*job
	for _, c := range in.Columns {
		a, b := ref.Column(c.Name), cur.Column(c.Name)
		switch {
		case c.Kind == schema.Time || c.Kind == schema.Text:
			r.skip(c.Name, "a "+string(c.Kind)+" column has no distribution to compare")
		case a == nil:
			r.skip(c.Name, "not in the reference")
		default:
			j := &job{name: c.Name, kind: c.Kind, ref: a, cur: b}
			if b == nil {
				j.fault(Fault{Kind: "absent", Detail: "the column is not in the current rows at all"})
				j.cur = table.Floats(c.Name, nans(cur.NumRows()))
			}
			jobs = append(jobs, j)
		}
	}
	for _, name := range in.Predictions {
		a, b := ref.Column(name), cur.Column(name)
		if a != nil && b != nil {
			kind := schema.Numeric
			if a.Type == table.String {
				kind = schema.Categorical
			}
			jobs = append(jobs, &job{name: name, kind: kind, prediction: true, ref: a, cur: b})
		}
	}
	return jobs
}

// nans stands for a column that is absent.
func nans(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

// run works off the jobs on some goroutines and waits for them.
func run(ctx context.Context, jobs []*job, threads int) error {
	next := make(chan *job)
	var wg sync.WaitGroup
	for range min(threads, len(jobs)) {
		wg.Go(func() {
			for j := range next {
				j.compare()
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
func (r *Report) judge(jobs []*job, o Options) {
	p := make([]float64, len(jobs))
	for i, j := range jobs {
		p[i] = float64(j.column.P)
	}
	limits := o.Rule.Limits(p)
	for i, j := range jobs {
		c := j.column
		c.Threshold = Number(limits[i])
		dead := c.Missing.Now == 1 && c.Missing.Then < 0.5 // however often it paused before
		c.Drift = r.EnoughRows && (dead || p[i] <= limits[i] && float64(c.Effect) >= o.MinEffect)
		if c.Drift {
			c.Reason = c.reason()
		}
		if j.prediction {
			r.Prediction[j.name] = c
			r.PredictionOrder = append(r.PredictionOrder, j.name)
			continue
		}
		r.Columns[j.name] = c
		r.Order = append(r.Order, j.name)
		if c.Drift { // what a column has always done is no fault
			r.Faults = append(r.Faults, j.faults...)
		}
	}
}

// ordered is t in the order of its time column; missing times come last.
func ordered(t *table.Table, name string) *table.Table {
	c := t.Column(name)
	if name == "" || c == nil || c.Type != table.Time {
		return t
	}
	later := func(i, j int) int {
		a, b := c.Times[i], c.Times[j]
		switch {
		case a == b:
			return 0
		case a == table.NoTime:
			return 1
		case b == table.NoTime || a < b:
			return -1
		}
		return 1
	}
	sorted := true
	for i := 1; i < len(c.Times) && sorted; i++ {
		sorted = later(i-1, i) <= 0
	}
	if sorted {
		return t
	}
	rows := make([]int, len(c.Times))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, later)
	return t.Take(rows)
}

// window is the span of the current rows.
func window(in Input, cur *table.Table) Window {
	from, to := in.From, in.To
	if c := cur.Column(in.Time); c != nil && c.Type == table.Time {
		for _, us := range c.Times { // in order, missing ones last
			if us == table.NoTime {
				break
			}
			if from.IsZero() {
				from = time.UnixMicro(us)
			}
			if in.To.IsZero() {
				to = time.UnixMicro(us)
			}
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
