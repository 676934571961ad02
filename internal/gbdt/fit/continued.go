package fit

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/healml/healml/internal/gbdt"
)

// Continue grows more trees on top of a model: p.NumIterations of them, from
// the raw scores that base gives train. The result's model has base's trees
// first; base itself is not changed. Features, their names, the objective and
// the number of classes must be base's, and base no average of its trees.
func Continue(ctx context.Context, base *gbdt.Model, train, valid *Data, p Params, progress func(iteration int, validLoss float64)) (*Result, error) {
	if err := fits(base, train, &p); err != nil {
		return nil, fmt.Errorf("continue: %w", err)
	}
	started, err := startedFrom(base, train)
	if err != nil {
		return nil, fmt.Errorf("continue: %w", err)
	}
	if valid != nil {
		if valid, err = startedFrom(base, valid); err != nil {
			return nil, fmt.Errorf("continue: validation data: %w", err)
		}
	}
	r, err := Train(ctx, started, valid, p, progress)
	if err != nil {
		return nil, err
	}
	r.Model.Trees = slices.Concat(base.Trees, r.Model.Trees)
	r.BestIteration += base.NumIterations()
	return r, r.Model.Validate()
}

// fits reports why a model cannot go on with data and parameters.
func fits(m *gbdt.Model, d *Data, p *Params) error {
	if err := p.Validate(); err != nil {
		return err
	}
	o, err := gbdt.ParseObjective(m.Objective)
	if err != nil {
		return err
	}
	names := d.Names
	if names == nil {
		names = m.FeatureNames
	}
	switch {
	case m.AverageOutput || p.Boosting == "rf":
		return fmt.Errorf("the trees of a random forest know nothing of one another")
	case o.Name != p.Objective || m.NumOutputs() != p.NumClass:
		return fmt.Errorf("the model's objective is %q with %d outputs, the parameters have %q with %d", m.Objective, m.NumOutputs(), p.Objective, p.NumClass)
	case len(d.Features) != m.NumFeatures():
		return fmt.Errorf("%d features, the model has %d", len(d.Features), m.NumFeatures())
	case !slices.Equal(gbdt.FeatureNames(names), m.FeatureNames):
		return fmt.Errorf("features %q, the model has %q", names, m.FeatureNames)
	}
	return nil
}

// startedFrom is the data with the raw scores of a model.
func startedFrom(m *gbdt.Model, d *Data) (*Data, error) {
	p, err := gbdt.NewPredictor(m)
	if err != nil {
		return nil, err
	}
	out := *d
	out.Names = m.FeatureNames
	out.Init = make([][]float64, p.NumOutputs())
	for k := range out.Init {
		out.Init[k] = make([]float64, len(d.Label))
	}
	raw := make([]float64, p.NumOutputs())
	for i, row := range d.byRow() {
		p.Raw(raw, row)
		for k, x := range raw {
			out.Init[k][i] = x
		}
	}
	return &out, nil
}

// byRow goes through the features row by row; the slice is always the same.
func (d *Data) byRow() iter.Seq2[int, []float64] {
	return func(yield func(int, []float64) bool) {
		row := make([]float64, len(d.Features))
		for i := range d.Label {
			for f, col := range d.Features {
				row[f] = col[i]
			}
			if !yield(i, row) {
				return
			}
		}
	}
}

// Refit keeps the trees of a model and learns their leaves anew: going through
// the trees in order, each leaf becomes
//
//	decay·(what it was) + (1 − decay)·(what data says)
//
// with decay = p.RefitDecayRate, where data's word is the output that training
// would give the leaf, learning rate included. Leaves that no row reaches stay.
// LightGBM, whose refit this is, shrinks those towards 0. Of p it takes the
// objective, its settings, LambdaL1, LambdaL2, MaxDeltaStep and NumThreads;
// features must be the model's. Labels are checked as in training; counts and
// weights of the trees become those of data.
func Refit(m *gbdt.Model, data *Data, p Params) (*gbdt.Model, error) {
	if err := fits(m, data, &p); err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	d, err := newDataset(data)
	if err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	side, err := newSide(View{Data: d}, p.NumClass)
	if err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	leaves, err := leavesOf(m, data)
	if err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	r := refitter{p: &p, objective: newObjective(&p), side: side}
	if err := r.objective.check(&side.target); err != nil {
		return nil, fmt.Errorf("refit: %w", err)
	}
	r.objective.prepare(&side.target)
	for range p.NumClass {
		r.grad = append(r.grad, make([]pair, d.rows))
	}
	out := *m
	out.Trees = slices.Clone(m.Trees)
	for i := range out.Trees {
		k := i % p.NumClass
		if k == 0 {
			r.objective.gradients(&side.target, side.rows, side.scores, r.grad)
		}
		out.Trees[i] = r.tree(m.Trees[i], leaves[i*d.rows:(i+1)*d.rows], k)
	}
	return &out, out.Validate()
}

// leavesOf are the leaves of every row, tree by tree.
func leavesOf(m *gbdt.Model, d *Data) ([]int32, error) {
	p, err := gbdt.NewPredictor(m)
	if err != nil {
		return nil, err
	}
	n := len(d.Label)
	out := make([]int32, p.NumTrees()*n)
	at := make([]int32, p.NumTrees())
	for i, row := range d.byRow() {
		p.Leaves(at, row)
		for t, leaf := range at {
			out[t*n+i] = leaf
		}
	}
	return out, nil
}

type refitter struct {
	p         *Params
	objective objective
	side      *side
	grad      [][]pair
}

// tree is t with new leaves, which are added to the scores of output k.
func (r *refitter) tree(t gbdt.Tree, leafOf []int32, k int) gbdt.Tree {
	n := t.NumLeaves()
	rows := make([][]int32, n)
	total := make([]sums, n)
	for i, leaf := range leafOf {
		g := r.grad[k][i]
		total[leaf].g += float64(g.g)
		total[leaf].h += float64(g.h)
		rows[leaf] = append(rows[leaf], int32(i))
	}
	scan, decay := scan{p: r.p}, r.p.RefitDecayRate
	buffer := make([]residual, len(leafOf))
	t.LeafValue, t.LeafWeight, t.LeafCount = slices.Clone(t.LeafValue), make([]float64, n), make([]int64, n)
	for leaf, s := range total {
		t.LeafWeight[leaf], t.LeafCount[leaf] = s.h, int64(len(rows[leaf]))
		if len(rows[leaf]) == 0 {
			continue
		}
		value := number(scan.output(s.g, s.h+epsilon, r.p.LambdaL2, unbounded()))
		if o, ok := r.objective.(renewer); ok {
			value = o.renew(&r.side.target, rows[leaf], r.side.scores[k], buffer)
		}
		t.LeafValue[leaf] = flush(decay*t.LeafValue[leaf] + (1-decay)*value*t.Shrinkage)
	}
	score := r.side.scores[k]
	for i, leaf := range leafOf {
		score[i] += t.LeafValue[leaf]
	}
	return t
}
