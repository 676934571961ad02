package monitor

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// performance takes the metric on the labelled rows of cur, which is in the
// order of time; nil when there is no labelled row. A metric that is no mean
// over rows gives way to the task's default, because only means have an
// interval.
func performance(t *Truth, cur *table.Table, o Options) (*Performance, error) {
	m := t.Metric
	then := t.Holdout
	if m == "" {
		m = score.Default(t.Task)
	} else if !m.PerRow() {
		m, then = score.Default(t.Task), math.NaN()
	}
	label, outputs, err := t.labelled(cur)
	if err != nil {
		return nil, err
	}
	if len(label) == 0 {
		return nil, nil
	}
	loss, err := score.Losses(m, t.Task, label, outputs, len(t.Outputs))
	if err != nil {
		return nil, fmt.Errorf("take %s of the labelled rows: %w", m, err)
	}
	i := score.BlockBootstrap(loss, 0, 0, o.Confidence, o.Seed)
	now, lo, hi := ofLoss(m, i.Mean), ofLoss(m, i.Lo), ofLoss(m, i.Hi)
	if lo > hi {
		lo, hi = hi, lo
	}
	p := &Performance{Metric: m, Labeled: len(label), Then: Number(then), Now: Number(now), Lo: Number(lo), Hi: Number(hi)}
	// NaN compares false: without a holdout value there is no drift to find.
	if m.HigherIsBetter() {
		p.Drift = hi < then-o.Tolerance*(1-then)
	} else {
		p.Drift = lo > then+o.Tolerance*math.Abs(then)
	}
	p.Drift = p.Drift && len(label) >= o.MinRows
	return p, nil
}

// ofLoss turns a mean of [score.Losses] into the metric.
func ofLoss(m score.Metric, loss float64) float64 {
	switch m {
	case score.RMSEMetric:
		return math.Sqrt(max(loss, 0))
	case score.AccuracyMetric:
		return 1 - loss
	}
	return loss
}

// labelled reads the rows that have a truth and finite outputs. A class that
// the model does not know takes part as one that it gave no chance to (its row
// is left out of the count when outputs are missing).
func (t *Truth) labelled(cur *table.Table) (label, outputs []float64, err error) {
	actual := cur.Column(t.Actual)
	if actual == nil {
		return nil, nil, fmt.Errorf("compare predictions: no column %q with the truth", t.Actual)
	}
	cols := make([]*table.Column, len(t.Outputs))
	for i, name := range t.Outputs {
		if cols[i] = cur.Column(name); cols[i] == nil || len(cols[i].Floats) != cur.NumRows() {
			return nil, nil, fmt.Errorf("compare predictions: no column %q with numbers", name)
		}
	}
	truth := t.truth(actual)
	for i, y := range truth {
		if math.IsNaN(y) {
			continue
		}
		row := len(outputs)
		for _, c := range cols {
			outputs = append(outputs, c.Floats[i])
		}
		if slices.ContainsFunc(outputs[row:], math.IsNaN) {
			outputs = outputs[:row]
			continue
		}
		label = append(label, y)
	}
	return label, outputs, nil
}

// truth is the actual column as labels, NaN where unknown. Classes that the
// model does not have are unknown, too: no loss is defined for them.
func (t *Truth) truth(actual *table.Column) []float64 {
	if t.Task == schema.Regression {
		v, _ := numbersOf(actual)
		return v
	}
	var levels dictionary
	codes := new(coder).of(actual, &levels)
	dict := levels.names
	class := make([]float64, len(dict))
	for k, text := range dict {
		class[k] = math.NaN()
		if i := slices.Index(t.Classes, text); i >= 0 {
			class[k] = float64(i)
		}
	}
	v := make([]float64, len(codes))
	for i, k := range codes {
		if v[i] = math.NaN(); k >= 0 {
			v[i] = class[k]
		}
	}
	return v
}
