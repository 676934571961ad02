// Package train makes a model of labelled rows: it orders them in time, keeps
// the newest apart, chooses calendar features and the objective on what lies
// before, fits, evaluates against a trivial baseline, and fits again on
// everything with what was learnt.
//
//	         oldest ──────────────────────────────────► newest
//	choose   ████████████▒▒▒▒                            calendar, objective
//	tune     ████████████████████████▒▒▒▒▒               number of trees
//	test     █████████████████████████████▒▒▒▒▒          the metrics that count
//	final    ██████████████████████████████████          the model that serves
//
// █ learnt from, ▒ predicted. No figure that is reported comes from a row that
// had a part in fitting or choosing.
package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Rows are labelled rows in time order, encoded once for any number of fits.
type Rows struct {
	Table    *table.Table // raw columns and the target
	Template *schema.Template
	Labels   []float64 // value or class index, never NaN
	Times    []int64   // µs UTC, ascending, missing times first; nil without a time column
	// Unlabelled counts the rows of the source whose target was missing.
	Unlabelled int

	// HalfLife, when above 0, lets a row weigh half as much in training as one
	// that is so much newer. It needs Times.
	HalfLife time.Duration
	// Hide is the share of cells, [0, 1), that training is not shown, of columns
	// that are never missing: it learns to do without each of them.
	Hide float64
	// Base, when not nil, is a model of this template that training starts
	// from: it grows more trees on it or, with Refit, learns its leaves anew.
	Base  *gbdt.Model
	Refit bool

	batch *feature.Batch
}

// ErrTooFew says that there are not enough labelled rows to learn and test.
var ErrTooFew = errors.New("too few labelled rows")

// ErrOtherTask says that rows have another target than a version.
var ErrOtherTask = errors.New("the data does not fit the version")

// MinRows is the least number of labelled rows that [Prepare] accepts.
const MinRows = 20

// Prepare orders the labelled rows of t by times (µs UTC, one a row; stable, so
// the table's order decides among equals; nil keeps that order) and encodes
// them. Rows without a target are left out. The errors are ErrTooFew and those
// of the encoder.
func Prepare(t *table.Table, inf *feature.Inferred, times []int64, calendar []schema.Op) (*Rows, error) {
	labels := feature.Labels(t.Column(inf.Target), inf.Classes)
	order := make([]int, 0, len(labels))
	for i, y := range labels {
		if !math.IsNaN(y) && !math.IsInf(y, 0) {
			order = append(order, i)
		}
	}
	if len(order) < MinRows {
		return nil, fmt.Errorf("%w: %d, expected at least %d", ErrTooFew, len(order), MinRows)
	}
	if times != nil {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	}
	r := &Rows{Unlabelled: t.NumRows() - len(order), Table: t, Times: times}
	if !isIdentity(order, t.NumRows()) {
		r.Table = t.Take(order)
		if times != nil {
			r.Times = make([]int64, len(order))
			for i, row := range order {
				r.Times[i] = times[row]
			}
		}
	}
	r.Labels = feature.Labels(r.Table.Column(inf.Target), inf.Classes)
	return r, r.encode(feature.NewTemplate(r.Table, inf, calendar))
}

// TimesOf are the times of t's rows by the column called name; nil for "".
func TimesOf(t *table.Table, name string) []int64 {
	if name == "" {
		return nil
	}
	return t.Column(name).Times
}

func isIdentity(order []int, n int) bool {
	if len(order) != n {
		return false
	}
	for i, r := range order {
		if r != i {
			return false
		}
	}
	return true
}

// encode derives the features of tmpl, which may be none yet: the calendar is
// chosen later.
func (r *Rows) encode(tmpl *schema.Template) error {
	r.Template = tmpl
	batch, err := feature.NewEncoder(tmpl).Table(r.Table)
	if err != nil {
		return err
	}
	r.batch = batch
	return nil
}

// WithCalendar returns the same rows under a template with other calendar
// operations; raw columns are shared.
func (r *Rows) WithCalendar(ops []schema.Op) (*Rows, error) {
	tmpl := *r.Template
	tmpl.Features = feature.Features(tmpl.Columns, ops)
	tmpl.Seal()
	out := *r
	return &out, out.encode(&tmpl)
}

// Under returns the same rows under another template, which a version has
// locked: its columns must be there, and its classes be those of the labels.
func (r *Rows) Under(tmpl *schema.Template) (*Rows, error) {
	if !slices.Equal(tmpl.Classes, r.Template.Classes) {
		return nil, fmt.Errorf("%w: it has the classes %q, the version %q", ErrOtherTask, r.Template.Classes, tmpl.Classes)
	}
	if tmpl.Target != r.Template.Target || tmpl.Task != r.Template.Task {
		return nil, fmt.Errorf("%w: it is a %s of %q, the version a %s of %q", ErrOtherTask, r.Template.Task, r.Template.Target, tmpl.Task, tmpl.Target)
	}
	out := *r
	return &out, out.encode(tmpl)
}

// weights are those of rows [lo, hi) by their age; nil without a half-life.
func (r *Rows) weights(lo, hi int) []float64 {
	if r.HalfLife <= 0 || r.Times == nil {
		return nil
	}
	w, newest := make([]float64, hi-lo), r.Times[hi-1]
	for i, t := range r.Times[lo:hi] {
		if t != table.NoTime {
			age := float64(newest-t) / float64(r.HalfLife.Microseconds())
			w[i] = math.Exp2(-min(age, 1000))
		}
	}
	return w
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Labels) }

// Cut is the row nearest to share·Len, in (0, Len), at which rows may be split
// without parting rows of one time.
func (r *Rows) Cut(share float64) int {
	n := r.Len()
	at := min(max(int(math.Round(share*float64(n))), 1), n-1)
	if r.Times == nil {
		return at
	}
	lo, hi := at, at
	for lo > 0 && r.Times[lo-1] == r.Times[at] {
		lo--
	}
	for hi < n && r.Times[hi] == r.Times[at] {
		hi++
	}
	switch {
	case lo > 0 && (at-lo <= hi-at || hi == n):
		return lo
	case hi < n:
		return hi
	}
	return at // every row has one time
}

// Span is the time of the first and last row of [lo, hi); zero without times.
func (r *Rows) Span(lo, hi int) (from, to time.Time) {
	if r.Times == nil || lo >= hi {
		return
	}
	return Span(r.Times[lo:hi])
}

// Span is the first known and the last of ascending times; zero when none is
// known.
func Span(times []int64) (from, to time.Time) {
	first := slices.IndexFunc(times, func(us int64) bool { return us != table.NoTime })
	if first < 0 {
		return
	}
	return time.UnixMicro(times[first]).UTC(), time.UnixMicro(times[len(times)-1]).UTC()
}

// data is rows [lo, hi) as the trainer takes them, sharing memory.
func (r *Rows) data(lo, hi int) *fit.Data {
	d := &fit.Data{Label: r.Labels[lo:hi]}
	for i, f := range r.Template.Features {
		d.Names = append(d.Names, f.Name)
		d.Features = append(d.Features, r.batch.Features[i][lo:hi])
		d.Categorical = append(d.Categorical, f.Op == schema.Level)
	}
	return d
}

// Fit trains on rows [lo, hi), from Base when there is one. With early stopping
// (p.EarlyStoppingRound > 0) the rows [hi, valid) decide the number of trees;
// else valid is not read.
func (r *Rows) Fit(ctx context.Context, lo, hi, valid int, p fit.Params, progress func(iteration int, loss float64)) (*fit.Result, error) {
	var v *fit.Data
	if p.EarlyStoppingRound > 0 && valid > hi {
		v = r.data(hi, valid)
	}
	data := r.data(lo, hi)
	data.Weight = r.weights(lo, hi)
	if r.Hide > 0 && !r.Refit {
		r.hide(data, lo)
	}
	var res *fit.Result
	var err error
	switch {
	case r.Base != nil && r.Refit:
		var m *gbdt.Model
		if m, err = fit.Refit(r.Base, data, p); err == nil {
			res = &fit.Result{Model: m, BestIteration: m.NumIterations()}
		}
	case r.Base != nil:
		res, err = fit.Continue(ctx, r.Base, data, v, p, progress)
	default:
		res, err = fit.Train(ctx, data, v, p, progress)
	}
	if err != nil {
		return nil, fmt.Errorf("fit rows %d to %d: %w", lo, hi, err)
	}
	return res, nil
}

// Predict predicts rows [lo, hi) with trees made of these rows' template:
// row-major, Template.Outputs() values a row.
func (r *Rows) Predict(trees *gbdt.Model, lo, hi, threads int) ([]float64, error) {
	p, err := gbdt.NewPredictor(trees)
	if err != nil {
		return nil, fmt.Errorf("prepare predictor: %w", err)
	}
	cols := make([][]float64, len(r.batch.Features))
	for i, c := range r.batch.Features {
		cols[i] = c[lo:hi]
	}
	return model.Outputs(r.Template, p, cols, hi-lo, threads), nil
}

// Slice is the rows from lo on, under the same template.
func (r *Rows) Slice(lo int) *Rows {
	n := r.Len()
	out := &Rows{Table: r.Table.Slice(lo, n), Template: r.Template, Labels: r.Labels[lo:], HalfLife: r.HalfLife, Hide: r.Hide, Base: r.Base, Refit: r.Refit}
	if r.Times != nil {
		out.Times = r.Times[lo:]
	}
	out.batch = &feature.Batch{Rows: n - lo}
	for _, c := range r.batch.Raw {
		out.batch.Raw = append(out.batch.Raw, c[lo:])
	}
	for _, c := range r.batch.Features {
		out.batch.Features = append(out.batch.Features, c[lo:])
	}
	return out
}
