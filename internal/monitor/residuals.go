package monitor

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// SegmentError is how the model does on a part of the rows.
type SegmentError struct {
	Column string `json:"column"`
	Level  string `json:"level"` // a level, a third of the numbers, or "missing"
	Rows   int    `json:"rows"`  // labelled ones now
	// Then and Now are the metric on the holdout and now; of the AUC, the mean
	// placement of the rows.
	Then Number `json:"then"`
	Now  Number `json:"now"`
	// Bias is by how much the truth lies higher above the predictions now than
	// it did: in the target's unit, or, of classes, as a share.
	Bias  Number `json:"bias"`
	P     Number `json:"p_value"` // of the loss having risen or the bias having changed
	Drift bool   `json:"drift"`   // by Holm over all segments
}

// Recalibrated says whether predictions still mean what they meant: the line
// from predictions to the truth, see [estimate.Recalibration].
type Recalibrated struct {
	Slope     Pair   `json:"slope"`     // 1 is right
	Intercept Pair   `json:"intercept"` // 0 is right: the bias at the usual prediction
	ECE       Pair   `json:"ece"`       // of classes; null for numbers
	P         Number `json:"p_value"`
	Drift     bool   `json:"drift"`
}

// What counts as a change of calibration or bias, beside being significant.
const (
	slopeEffect    = 0.1
	logOddsEffect  = 0.1
	biasEffect     = 0.02 // of classes
	mostSegments   = 10
	leastDirection = 1e-12
)

// explain sets Segments and Calibration.
func (p *Performance) explain(t *Truth, j *judged, c *compared, e *estimate.Estimator, o Options) {
	// How much more windows vary than their own steps tell, as the holdout has
	// it: what holds for all rows is taken to hold for each part.
	inflate := 1.0
	now := estimate.MeanOf(c.loss, c.step)
	if sp, _, ok := expectedSpread(e, c); ok && now.Variance > 0 {
		inflate = max(1, sp.Window/now.Variance)
	}
	p.segments(t, j, c, e, inflate, o)
	p.recalibrate(t, c, e, inflate, o)
}

func (p *Performance) recalibrate(t *Truth, c *compared, e *estimate.Estimator, inflate float64, o Options) {
	then := e.Calibration
	if then == nil {
		return
	}
	now := estimate.Recalibrate(t.Task, c.label, c.outputs, len(t.Outputs), c.step, then.Centre)
	if now == nil {
		return
	}
	r := &Recalibrated{
		Slope:     Pair{Number(then.Slope), Number(now.Slope)},
		Intercept: Pair{Number(then.Intercept), Number(now.Intercept)},
		ECE:       Pair{Number(math.NaN()), Number(math.NaN())},
		P:         Number(estimate.Differs(then, now, inflate)),
	}
	least := logOddsEffect
	if t.classified() {
		r.ECE = Pair{Number(then.ECE), Number(now.ECE)}
	} else {
		least = o.Tolerance * math.Abs(estimate.OfLoss(p.Metric, e.MeanLoss()))
	}
	moved := math.Abs(now.Slope-then.Slope) >= slopeEffect || math.Abs(now.Intercept-then.Intercept) >= least
	r.Drift = float64(r.P) <= o.Alpha && moved && p.Labeled >= o.MinRows
	p.Calibration = r
}

// segments measures the parts that the holdout knows, where enough rows are
// labelled.
func (p *Performance) segments(t *Truth, j *judged, c *compared, e *estimate.Estimator, inflate float64, o Options) {
	if t.Template == nil || len(e.Segments) == 0 {
		return
	}
	batch := rawOf(t.Template, j.rows.Take(c.rows))
	if batch == nil {
		return
	}
	residual := estimate.Residuals(t.Task, c.label, c.outputs, len(t.Outputs))
	var all []SegmentError
	var worst []float64 // relative rise of the loss
	for i := range e.Segments {
		s := &e.Segments[i]
		col := t.Template.Column(s.Column)
		if col < 0 {
			continue
		}
		loss, bias := s.Measure(batch.Raw[col], c.loss, residual, c.step)
		if loss.Rows < estimate.SegmentRows || loss.Steps < 2 {
			continue
		}
		found, rise := p.segment(t, s, loss, bias, inflate, o)
		all, worst = append(all, found), append(worst, rise)
	}
	p.rank(all, worst, o)
}

// segment compares one part with itself on the holdout.
func (p *Performance) segment(t *Truth, s *estimate.Segment, loss, bias estimate.Mean, inflate float64, o Options) (SegmentError, float64) {
	d := bias.Mean - s.Bias.Mean
	chance := func(diff float64, now, then estimate.Mean) float64 {
		return estimate.Greater(diff, inflate*now.Variance, float64(now.Steps-1), then.Variance, float64(then.Steps-1))
	}
	up := chance(loss.Mean-s.Loss.Mean, loss, s.Loss)
	off := 2 * chance(math.Abs(d), bias, s.Bias)
	then, now := estimate.OfLoss(p.Metric, s.Loss.Mean), estimate.OfLoss(p.Metric, loss.Mean)
	found := SegmentError{
		Column: s.Column, Level: s.Level, Rows: loss.Rows, Then: Number(then), Now: Number(now), Bias: Number(d),
		P: Number(min(1, 2*min(up, off))),
	}
	least := biasEffect
	if !t.classified() {
		least = o.Tolerance * math.Abs(then)
		if p.Metric == score.MAELog1pMetric {
			least = 0 // another unit
		}
	}
	found.Drift = worse(p.Metric, then, now, now, o.Tolerance) || math.Abs(d) > least
	return found, (loss.Mean - s.Loss.Mean) / max(math.Abs(s.Loss.Mean), leastDirection)
}

// rank keeps the segments that matter most: those that drifted first, then by
// how much the loss rose.
func (p *Performance) rank(all []SegmentError, worst []float64, o Options) {
	chances := make([]float64, len(all))
	order := make([]int, len(all))
	for i := range all {
		chances[i], order[i] = float64(all[i].P), i
	}
	for i, limit := range drift.Holm(o.Alpha).Limits(chances) {
		all[i].Drift = all[i].Drift && chances[i] <= limit
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if all[a].Drift != all[b].Drift {
			if all[a].Drift {
				return -1
			}
			return 1
		}
		return cmp.Compare(worst[b], worst[a])
	})
	for _, i := range order[:min(len(order), mostSegments)] {
		p.Segments = append(p.Segments, all[i])
	}
}

// rawOf encodes the template's columns of rows. What is not there or of another
// type counts as missing; nil when that does not help.
func rawOf(t *schema.Template, rows *table.Table) *feature.Batch {
	n := rows.NumRows()
	lost := map[string]bool{}
	for range 2 {
		cols := make([]*table.Column, len(t.Columns))
		for i, c := range t.Columns {
			if cols[i] = rows.Column(c.Name); cols[i] == nil || lost[c.Name] {
				cols[i] = table.Floats(c.Name, nans(n))
			}
		}
		if len(cols) == 0 {
			return nil
		}
		b, err := feature.NewEncoder(t).Table(table.Must(cols...))
		if err == nil {
			return b
		}
		var m *feature.MismatchError
		if !errors.As(err, &m) {
			return nil
		}
		for _, d := range m.Differences {
			lost[d.Column] = true
		}
	}
	return nil
}

// cutsOf are the n−1 values that cut v into n parts; NaN-free, not empty.
func cutsOf(v []float64, n int) []float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	cuts := make([]float64, n-1)
	for q := range cuts {
		cuts[q] = s[(q+1)*len(s)/n]
	}
	return cuts
}

// nans are n values that are missing.
func nans(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}
