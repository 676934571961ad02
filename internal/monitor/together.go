package monitor

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/drift/domain"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// keptPairs is the number of pairs of columns that a report lists.
const keptPairs = 10

// together looks at all input columns at once, for what none of them shows
// alone: whether a classifier tells the samples apart, and how pairs of columns
// go together. Columns that are gone or empty are found without it and left
// out.
func (w *watch) together(ctx context.Context, in Input, r *Report, o Options) error {
	var jobs []*job
	for _, j := range w.jobs {
		if !j.prediction && !j.presence && j.curIndex >= 0 && j.column.Missing.Now < 1 && j.column.Missing.Then < 1 {
			jobs = append(jobs, j)
		}
	}
	if len(jobs) == 0 || !r.EnoughRows {
		return nil
	}
	refStep := newSampler(in.Reference.Rows).steps(w.ref, in.Reference.NumRows())
	ref, cur := domainSample(jobs, refStep, true), domainSample(jobs, w.curStep, false)
	options := domain.Options{Seed: o.Seed, Threads: o.Threads}
	c, err := domain.Classify(ctx, ref, cur, options)
	if err != nil {
		return fmt.Errorf("compare columns together: %w", err)
	}
	r.Domain = &Domain{AUC: Number(c.AUC), Lo: Number(c.Lo), Hi: Number(c.Hi), Null: Number(c.Null), P: Number(c.P), Within: c.Within, Rows: c.Rows, By: []Weight{}}
	for _, b := range c.Columns {
		r.Domain.By = append(r.Domain.By, Weight{b.Name, Number(b.Weight)})
	}
	pairs, err := domain.Dependence(ctx, ref, cur, options)
	if err != nil {
		return fmt.Errorf("compare pairs of columns: %w", err)
	}
	for _, p := range pairs[:min(len(pairs), keptPairs)] {
		r.Dependence = append(r.Dependence, Dependence{
			A: p.A, B: p.B, Measure: p.Measure, Then: Number(p.Then), Now: Number(p.Now), P: Number(p.P), Drift: p.P <= o.Alpha,
		})
	}
	return nil
}

// domainSample are the sampled rows of columns in the order of their steps.
func domainSample(jobs []*job, step []int32, ref bool) domain.Sample {
	var order []int
	if !slices.IsSorted(step) {
		order = make([]int, len(step))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return int(step[i] - step[j]) })
	}
	s := domain.Sample{Block: taken(step, order)}
	for _, j := range jobs {
		c := j.cur
		if ref {
			c = j.ref
		}
		s.Columns = append(s.Columns, j.domainColumn(c, order))
	}
	return s
}

func (j *job) domainColumn(c *table.Column, order []int) domain.Column {
	if j.kind == schema.Numeric {
		v, _ := numbersOf(c)
		return domain.Column{Name: j.name, Values: taken(v, order)}
	}
	codes := new(coder).of(c, &j.dict)
	return domain.Column{Name: j.name, Codes: taken(codes, order), Levels: len(j.dict.names)}
}

// taken are v's values at rows, all for no order.
func taken[T any](v []T, order []int) []T {
	if order == nil {
		return v
	}
	out := make([]T, len(order))
	for i, k := range order {
		out[i] = v[k]
	}
	return out
}

// judgeTogether gives the classifier its verdict: it is one more member of the
// family of columns. What a column shows by itself needs no classifier.
func (r *Report) judgeTogether(limit float64) {
	if d := r.Domain; d != nil {
		d.Drift = r.EnoughRows && float64(d.P) <= limit
	}
}

// String says what the classifier found.
func (d *Domain) String() string {
	s := fmt.Sprintf("a classifier tells the current rows from the reference (AUC %s, interval %s to %s)", present.Short(float64(d.AUC)), present.Short(float64(d.Lo)), present.Short(float64(d.Hi)))
	if d.Within {
		s = "how columns go together changed: " + s
	}
	var by []string
	for _, w := range d.By[:min(len(d.By), 3)] {
		if w.Weight >= 0.1 {
			by = append(by, w.Column)
		}
	}
	if len(by) > 0 {
		s += ", by " + list(by)
	}
	return s
}

// calibrate sets the p-values of restless columns by resamples of the
// reference.
func (j *job) calibrate(o Options) {
	j.compared.Calibrate(o.Resamples, o.Seed)
	j.column.P = Number(j.compared.P)
	for i, t := range j.compared.Tests {
		j.column.Tests[i].P = Number(t.P)
	}
}

// calibration says where the bounds come from, and returns the level that is
// shared out among columns: more than the level where columns err together.
func (w *watch) calibration(r *Report, o Options) float64 {
	nan := Number(math.NaN())
	c := &Calibration{PerYear: nan, Checks: nan, Level: Number(o.Alpha), Seasons: []string{}}
	if b := o.Budget; b != nil {
		c.PerYear, c.Checks = Number(b.PerYear), Number(b.Checks())
	}
	var compared []*drift.Comparison
	for _, j := range w.jobs {
		compared = append(compared, j.compared)
		if k := j.compared.Calibration; k.Resamples > 0 {
			c.Resamples, c.Block = k.Resamples, max(c.Block, k.Block)
		}
		for _, s := range j.compared.Seasons {
			if !slices.Contains(c.Seasons, s) {
				c.Seasons = append(c.Seasons, s)
			}
		}
	}
	r.Calibration = c
	if n := float64(len(compared)); n > 0 {
		c.Columns = Number(drift.EffectiveColumns(compared))
		return min(o.Alpha*n/float64(c.Columns), 0.5)
	}
	return o.Alpha
}
