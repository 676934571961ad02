// Package model joins a locked template, its encoder and the trees into one
// immutable bundle that predicts: raw row in, prediction out.
package model

import (
	"fmt"
	"math"
	"sync"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Flag marks what was unusual about a predicted row. Flags are logged.
type Flag uint32

// The flags, as bits of prediction_flags in the log.
const (
	Unseen     Flag = 1 << iota // a category that training never saw
	Missing                     // a missing value where training had none
	OutOfRange                  // a number beyond those seen in training
	Repaired                    // predicted as if a fault of the feed were undone
)

// Model is one version ready to predict. It is immutable and safe for
// concurrent use.
type Model struct {
	Version  string
	Template *schema.Template
	Trees    *gbdt.Model

	encoder   *feature.Encoder
	predictor *gbdt.Predictor
	scratch   sync.Pool // *[]float64 of len(Template.Features)
}

// New checks that the trees fit the template and prepares them.
func New(version string, t *schema.Template, trees *gbdt.Model) (*Model, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if n := len(trees.FeatureNames); n != len(t.Features) {
		return nil, fmt.Errorf("model: the trees read %d features, the template makes %d", n, len(t.Features))
	}
	want := t.Outputs()
	if t.Task == schema.Binary {
		want = 1 // P(class 1)
	}
	if n := trees.NumOutputs(); n != want {
		return nil, fmt.Errorf("model: the trees give %d outputs a row, a %s task with %d classes needs %d", n, t.Task, len(t.Classes), want)
	}
	p, err := gbdt.NewPredictor(trees)
	if err != nil {
		return nil, fmt.Errorf("prepare predictor: %w", err)
	}
	m := &Model{Version: version, Template: t, Trees: trees, encoder: feature.NewEncoder(t), predictor: p}
	m.scratch.New = func() any {
		s := make([]float64, len(t.Features))
		return &s
	}
	return m, nil
}

// Encoder is the encoder of the model's template.
func (m *Model) Encoder() *feature.Encoder { return m.encoder }

// Predict writes the prediction of one raw row to dst: the value for a
// regression, else one probability a class. len(raw) is the number of the
// template's columns, len(dst) is Template.Outputs(). It does not allocate.
func (m *Model) Predict(dst, raw []float64) {
	s := m.scratch.Get().(*[]float64)
	m.encoder.Encode(*s, raw)
	if m.Template.Task == schema.Binary {
		m.predictor.Predict(dst[1:2], *s)
		dst[0] = 1 - dst[1]
	} else {
		m.predictor.Predict(dst, *s)
	}
	m.scratch.Put(s)
}

// Flags are the flags of one raw row.
func (m *Model) Flags(raw []float64) Flag {
	var f Flag
	for i := range m.Template.Columns {
		c := &m.Template.Columns[i]
		f |= flag(c, raw[i])
	}
	return f
}

func flag(c *schema.Column, v float64) Flag {
	switch {
	case c.Kind == schema.Text:
		return 0
	case math.IsNaN(v):
		if c.Missing {
			return 0
		}
		return Missing
	case c.Kind == schema.Categorical && v < 0:
		return Unseen
	case c.Kind == schema.Numeric && (c.Min == nil || v < *c.Min || v > *c.Max):
		return OutOfRange
	}
	return 0
}

// Predictions are those of a table's rows.
type Predictions struct {
	Outputs []float64 // row-major, rows × Template.Outputs()
	Flags   []Flag    // one a row
}

// PredictTable predicts every row of t, on all cores. The errors are those of
// [feature.Encoder.Table].
func (m *Model) PredictTable(t *table.Table, threads int) (*Predictions, error) {
	b, err := m.encoder.Table(t)
	if err != nil {
		return nil, err
	}
	return m.PredictBatch(b, threads), nil
}

// PredictBatch predicts every row of an encoded batch.
func (m *Model) PredictBatch(b *feature.Batch, threads int) *Predictions {
	p := &Predictions{Flags: make([]Flag, b.Rows)}
	for i := range m.Template.Columns {
		c := &m.Template.Columns[i]
		for r, v := range b.Raw[i] {
			p.Flags[r] |= flag(c, v)
		}
	}
	p.Outputs = Outputs(m.Template, m.predictor, b.Features, b.Rows, threads)
	return p
}

// Outputs predicts n rows of features, column-major, for the task and classes
// of t: row-major, n × t.Outputs().
func Outputs(t *schema.Template, p *gbdt.Predictor, features [][]float64, n, threads int) []float64 {
	out := make([]float64, n*t.Outputs())
	if t.Task != schema.Binary {
		p.PredictColumns(out, features, threads)
		return out
	}
	positive := out[n:] // P(class 1) of every row, spread out from the front
	p.PredictColumns(positive, features, threads)
	for i, v := range positive {
		out[2*i], out[2*i+1] = 1-v, v
	}
	return out
}

// Columns are the predictions as table columns: predicted_<target>, and
// p_<class> for each class of a classified task.
func (p *Predictions) Columns(t *schema.Template) []*table.Column {
	k := t.Outputs()
	if !t.Task.Classified() {
		return []*table.Column{table.Floats(t.PredictionName(), p.Outputs)}
	}
	n := len(p.Flags)
	label := &table.Column{Name: t.PredictionName(), Type: table.String, Dict: t.Classes, Codes: make([]int32, n)}
	cols := []*table.Column{label}
	for c, name := range t.ProbabilityNames() {
		v := make([]float64, n)
		for i := range n {
			v[i] = p.Outputs[i*k+c]
		}
		cols = append(cols, table.Floats(name, v))
	}
	for i := range n {
		label.Codes[i] = int32(Best(p.Outputs[i*k : i*k+k]))
	}
	return cols
}

// Best is the index of the greatest output, the first of equals.
func Best(outputs []float64) int {
	best := 0
	for i, v := range outputs {
		if v > outputs[best] {
			best = i
		}
	}
	return best
}
