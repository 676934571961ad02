package estimate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
)

// ErrorModel expects the loss of numbers from the features of a row and its
// prediction.
type ErrorModel struct {
	// Features are the names of what the trees read, the prediction last.
	Features []string `json:"features"`
	Whole    Trees    `json:"whole"`
	// Parts are models of the holdout without one stretch each, for the
	// jackknife.
	Parts []Trees `json:"parts"`
}

// Trees are a model of losses: Factor times what the trees say, or Factor alone
// where there are no trees, because a constant predicts losses no worse.
type Trees struct {
	Factor float64 `json:"factor"`
	Text   string  `json:"text,omitempty"` // LightGBM's format, version 4

	model *gbdt.Predictor
}

// The size of an error model. It has few rows to learn from, and the loss of
// one row is mostly noise.
const (
	errorTrees    = 40
	errorLeaves   = 8
	errorLearning = 0.1
	minErrorRows  = 200
)

// stages are the numbers of trees that are tried, 0 being a constant.
var stages = [...]int{0, 5, 10, 20, errorTrees}

func errorParams(rows, threads int) fit.Params {
	p := fit.Defaults()
	p.NumIterations, p.NumLeaves, p.LearningRate = errorTrees, errorLeaves, errorLearning
	p.MinDataInLeaf = max(20, rows/100)
	p.NumThreads = threads
	return p
}

// fitErrors learns losses and returns what each row's loss is expected to be by
// a model that did not learn from the row's stretch. The number of trees is
// the one with the least squared error on those stretches; of equals the least.
func fitErrors(ctx context.Context, h *Holdout, loss []float64, folds [][2]int) (*ErrorModel, []float64, error) {
	e := &ErrorModel{Features: append(slices.Clone(h.Names), predictionName(h.Names))}
	n := len(loss)
	columns := append(slices.Clone(h.Features), h.Outputs)
	parts := make([]*gbdt.Model, len(folds))
	if n >= minErrorRows {
		for i, f := range folds {
			var err error
			if parts[i], err = e.grow(ctx, h, columns, loss, f); err != nil {
				return nil, nil, err
			}
		}
	}
	var best []float64
	var least float64
	count := 0
	for _, trees := range stages {
		cross, err := e.cross(parts, trees, columns, loss, folds, h.Threads)
		if err != nil {
			return nil, nil, err
		}
		sum := 0.0
		for i, l := range loss {
			sum += (l - cross[i]) * (l - cross[i])
		}
		if best == nil || sum < least {
			best, least, count = cross, sum, trees
		}
		if parts[0] == nil {
			break
		}
	}
	for i, f := range folds {
		t, err := newTrees(parts[i], count, columns, loss, f, h.Threads)
		if err != nil {
			return nil, nil, err
		}
		e.Parts = append(e.Parts, *t)
	}
	var whole *gbdt.Model
	if count > 0 {
		var err error
		if whole, err = e.grow(ctx, h, columns, loss, [2]int{}); err != nil {
			return nil, nil, err
		}
	}
	t, err := newTrees(whole, count, columns, loss, [2]int{}, h.Threads)
	if err != nil {
		return nil, nil, err
	}
	e.Whole = *t
	return e, best, nil
}

// predictionName is a name for the prediction that no feature has.
func predictionName(names []string) string {
	name := "prediction"
	for slices.Contains(names, name) {
		name += "_"
	}
	return name
}

// grow fits all trees on the rows outside of a stretch.
func (e *ErrorModel) grow(ctx context.Context, h *Holdout, columns [][]float64, loss []float64, out [2]int) (*gbdt.Model, error) {
	d := &fit.Data{Names: gbdt.FeatureNames(e.Features), Label: without(loss, out, 1), Categorical: append(slices.Clone(h.Categorical), false)}
	for _, c := range columns {
		d.Features = append(d.Features, without(c, out, 1))
	}
	res, err := fit.Train(ctx, d, nil, errorParams(len(d.Label), h.Threads), nil)
	if err != nil {
		return nil, fmt.Errorf("fit the error model: %w", err)
	}
	return res.Model, nil
}

// cross is, for every row, the loss expected by the model of the other
// stretches, with so many trees.
func (e *ErrorModel) cross(parts []*gbdt.Model, trees int, columns [][]float64, loss []float64, folds [][2]int, threads int) ([]float64, error) {
	out := make([]float64, len(loss))
	for i, f := range folds {
		t, err := newTrees(parts[i], trees, columns, loss, f, threads)
		if err != nil {
			return nil, err
		}
		t.predict(out[f[0]:f[1]], slice(columns, f[0], f[1]), threads)
	}
	return out, nil
}

// newTrees is the first trees of m, corrected so that the rows outside of a
// stretch, which it learnt from, are expected to lose in all what they lost.
func newTrees(m *gbdt.Model, trees int, columns [][]float64, loss []float64, out [2]int, threads int) (*Trees, error) {
	rest := without(loss, out, 1)
	t := &Trees{Factor: mean(rest)}
	if m == nil || trees == 0 {
		return t, nil
	}
	cut := *m
	cut.Params, cut.Trees = nil, nil // the number of threads is a parameter
	cut.FeatureInfos = slices.Repeat([]string{"none"}, len(m.FeatureNames))
	for _, tree := range m.Trees[:min(trees, len(m.Trees))] {
		cut.Trees = append(cut.Trees, bare(tree))
	}
	var text bytes.Buffer
	if err := cut.WriteText(&text); err != nil {
		return nil, err
	}
	t.Text, t.Factor = text.String(), 1
	if err := t.prepare(len(columns)); err != nil {
		return nil, err
	}
	said := make([]float64, len(loss))
	t.predict(said, columns, threads)
	if m := mean(without(said, out, 1)); m > 0 {
		t.Factor = mean(rest) / m
	}
	return t, nil
}

// bare is a tree without the statistics that predicting does not read.
func bare(t gbdt.Tree) gbdt.Tree {
	nodes, leaves := len(t.Feature), len(t.LeafValue)
	t.Gain, t.InternalValue, t.InternalWeight = make([]float64, nodes), make([]float64, nodes), make([]float64, nodes)
	t.InternalCount, t.LeafWeight, t.LeafCount = make([]int64, nodes), make([]float64, leaves), make([]int64, leaves)
	return t
}

// prepare reads the text.
func (t *Trees) prepare(columns int) error {
	if !finite(t.Factor) || t.Factor < 0 {
		return fmt.Errorf("the factor is %v", t.Factor)
	}
	if t.Text == "" {
		return nil
	}
	m, err := gbdt.ReadText("error model", []byte(t.Text))
	if err != nil {
		return err
	}
	if t.model, err = gbdt.NewPredictor(m); err != nil {
		return err
	}
	if t.model.NumFeatures() != columns || t.model.NumOutputs() != 1 {
		return errors.New("the trees read other columns than are listed")
	}
	return nil
}

// predict writes the expected losses, none below 0.
func (t *Trees) predict(dst []float64, columns [][]float64, threads int) {
	if t.model == nil {
		for i := range dst {
			dst[i] = t.Factor
		}
		return
	}
	t.model.PredictColumns(dst, columns, threads)
	for i, v := range dst {
		dst[i] = max(v, 0) * t.Factor
	}
}

func slice(columns [][]float64, lo, hi int) [][]float64 {
	out := make([][]float64, len(columns))
	for i, c := range columns {
		out[i] = c[lo:hi]
	}
	return out
}

// losses are the expected losses of rows, and the mean of them by each part.
func (e *ErrorModel) losses(features [][]float64, predictions []float64, threads int) (loss, parts []float64, err error) {
	columns := append(slices.Clone(features), predictions)
	if len(columns) != len(e.Features) {
		return nil, nil, fmt.Errorf("estimate: %d features, the error model reads %d", len(features), len(e.Features)-1)
	}
	loss = make([]float64, len(predictions))
	by := make([]float64, len(predictions))
	for i := range e.Parts {
		e.Parts[i].predict(by, columns, threads)
		parts = append(parts, mean(by))
	}
	e.Whole.predict(loss, columns, threads)
	return loss, parts, nil
}

func (e *ErrorModel) prepare() error {
	if len(e.Features) == 0 {
		return errors.New("the error model reads nothing")
	}
	if err := e.Whole.prepare(len(e.Features)); err != nil {
		return err
	}
	for i := range e.Parts {
		if err := e.Parts[i].prepare(len(e.Features)); err != nil {
			return err
		}
	}
	return nil
}
