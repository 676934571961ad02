package train

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// What choosing may cost: it looks at the newest rows only and grows few trees.
const (
	chooseRows  = 50_000
	chooseTrees = 100
	// chooseGain is the relative gain that a calendar feature or another
	// objective must bring: less is noise.
	chooseGain = 0.003
)

// twoYears is the span below which a feature that follows the year is not even
// tried. In less than two cycles it tells the rows' period, not the season:
// trees then carve newer rows off by it, and retraining cannot reach the rest.
const twoYears = 2 * 365 * 24 * time.Hour

// choose settles the calendar features and, for a regression whose objective
// is left open, the objective, by their loss on the newest quarter of the
// first hi rows.
func (r *Rows) choose(ctx context.Context, hi int, p fit.Params, metric score.Metric, openObjective bool) (*Rows, fit.Params, error) {
	lo := max(0, hi-chooseRows)
	cut := lo + (hi-lo)*3/4
	if cut-lo < MinRows || hi-cut < MinRows {
		return r, p, nil
	}
	p.NumIterations = min(p.NumIterations, chooseTrees)
	t := trial{ctx: ctx, lo: lo, cut: cut, hi: hi, metric: metric}
	best, err := t.loss(r, p)
	if err != nil {
		return nil, p, err
	}
	rows := r
	var ops []schema.Op
	for _, op := range r.calendar() {
		with, err := r.WithCalendar(append(slices.Clone(ops), op))
		if err != nil {
			return nil, p, err
		}
		loss, err := t.loss(with, p)
		if err != nil {
			return nil, p, err
		}
		if loss < best*(1-chooseGain) || math.IsInf(best, 1) {
			best, rows, ops = loss, with, append(ops, op)
		}
	}
	if openObjective && r.sqrtApplies() {
		q := p
		q.RegSqrt = true
		loss, err := t.loss(rows, q)
		if err != nil {
			return nil, p, err
		}
		if loss < best*(1-chooseGain) {
			p = q
		}
	}
	return rows, p, nil
}

// calendar lists the operations worth trying, the usual ones first.
func (r *Rows) calendar() []schema.Op {
	i := slices.IndexFunc(r.Template.Columns, func(c schema.Column) bool { return c.Kind == schema.Time })
	if i < 0 {
		return nil
	}
	var ops []schema.Op
	if slices.ContainsFunc(r.Template.Columns, func(c schema.Column) bool { return c.Kind == schema.Time && !c.DateOnly }) {
		ops = append(ops, schema.Hour)
	}
	ops = append(ops, schema.Weekday, schema.Day)
	if from, to := r.Span(0, r.Len()); to.Sub(from) >= twoYears {
		ops = append(ops, schema.Month, schema.YearDay)
	}
	return ops
}

// sqrtApplies reports whether learning the target's square root makes sense:
// no value is negative and the mean lies well above the median.
func (r *Rows) sqrtApplies() bool {
	if r.Template.Task != schema.Regression || slices.Min(r.Labels) < 0 {
		return false
	}
	return score.Mean(r.Labels) > 1.15*score.Median(r.Labels)
}

// trial measures one choice: learn rows [lo, cut), predict [cut, hi).
type trial struct {
	ctx         context.Context
	lo, cut, hi int
	metric      score.Metric
}

// loss is +Inf when there are no features to learn from.
func (t trial) loss(r *Rows, p fit.Params) (float64, error) {
	if len(r.Template.Features) == 0 {
		return math.Inf(1), nil
	}
	res, err := r.Fit(t.ctx, t.lo, t.cut, t.hi, p, nil)
	if err != nil {
		return 0, err
	}
	out, err := r.Predict(res.Model, t.cut, t.hi, p.NumThreads)
	if err != nil {
		return 0, err
	}
	losses, err := score.Losses(RowMetric(t.metric, r.Template.Task), r.Template.Task, r.Labels[t.cut:t.hi], out, r.Template.Outputs())
	if err != nil {
		return 0, err
	}
	return score.Mean(losses), nil
}

// RowMetric is m when it is a mean over rows, else the task's default metric,
// which is: what trees and paired comparisons need.
func RowMetric(m score.Metric, task schema.Task) score.Metric {
	if m.PerRow() {
		return m
	}
	return score.Default(task)
}
