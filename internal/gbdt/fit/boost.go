package fit

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/gbdt"
)

// run boosts: each iteration grows, for every output, a tree on the
// derivatives of the loss at the scores so far, and adds it to them.
func (t *trainer) run(ctx context.Context, progress func(iteration int, validLoss float64)) (*Result, error) {
	r := &Result{}
	best, bestLoss := 0, math.Inf(1)
	t.drawFeatures() // LightGBM draws once before the first tree
	for i := 1; i <= t.p.NumIterations; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !t.iterate(i - 1) {
			break
		}
		loss := math.NaN()
		if t.valid != nil {
			loss = t.loss(t.valid)
			r.Valid = append(r.Valid, loss)
			if bestLoss-loss > t.p.EarlyStoppingMinDelta || i == 1 {
				best, bestLoss = i, loss
			}
		}
		if progress != nil {
			progress(i, loss)
		}
		if t.p.EarlyStoppingRound > 0 && i-best >= t.p.EarlyStoppingRound {
			break
		}
	}
	if t.p.EarlyStoppingRound > 0 && best > 0 {
		t.trees = t.trees[:best*t.p.NumClass]
	}
	r.BestIteration = len(t.trees) / t.p.NumClass
	var err error
	r.Model, err = t.model()
	return r, err
}

// iterate grows the trees of iteration i. It reports false when none could be
// split: then there is nothing more to learn, and only the first iteration
// leaves its trees, which are constants. A forest goes on: the next bag is
// another.
func (t *trainer) iterate(i int) bool {
	first := i == 0
	if first {
		t.begin()
	}
	if first || !t.forest {
		t.gradients()
	}
	t.sample(i)
	grown := 0
	for k := range t.p.NumClass {
		tree := t.grow(k, i)
		if tree.NumLeaves() > 1 {
			grown++
		}
		t.trees = append(t.trees, tree)
	}
	if t.forest {
		return true
	}
	if grown == 0 && !first {
		t.trees = t.trees[:len(t.trees)-t.p.NumClass]
	}
	return grown > 0
}

// sample draws the rows of iteration i.
func (t *trainer) sample(i int) {
	switch {
	case t.bag != nil && i%t.p.BaggingFreq == 0:
		t.in, t.out = t.bag.draw(t.train.rows, t.in, t.out)
	case t.goss != nil && i >= int(1/t.p.LearningRate):
		if i == int(1/t.p.LearningRate) {
			t.in = make([]int32, 0, len(t.train.rows)) // it was the rows themselves
			t.whole = false
		}
		t.in, t.out = t.goss.draw(t.train.rows, t.grad, t.in, t.out)
		for k, grad := range t.grad {
			t.blocks(t.train.rows, func(b int, rows []int32) { t.extents[k][b] = extentOf(rows, grad) })
		}
	}
}

// begin starts the scores from the best constants.
func (t *trainer) begin() {
	t.initial = make([]float64, t.p.NumClass)
	if !t.p.BoostFromAverage || t.train.data.init != nil {
		return
	}
	for k := range t.initial {
		if s := t.objective.start(&t.train.target, k); math.Abs(s) > epsilon {
			t.initial[k] = s
			t.shift(k, s)
		}
	}
}

// shift adds a constant to all scores of output k.
func (t *trainer) shift(k int, by float64) {
	for _, s := range t.sides() {
		for i := range s.scores[k] {
			s.scores[k][i] += by
		}
	}
}

func (t *trainer) sides() []*side {
	if t.valid == nil {
		return []*side{&t.train}
	}
	return []*side{&t.train, t.valid}
}

// grow grows the tree of output k in iteration i and adds it to the scores.
// What could not be split is a constant.
func (t *trainer) grow(k, i int) gbdt.Tree {
	if !t.objective.constant(&t.train.target, k) && len(t.usable) > 0 && len(t.in) > 0 {
		t.drawFeatures()
		g := t.grower.grow(t.in, t.whole, t.grad[k], joinExtents(t.extents[k]))
		if g.NumLeaves() > 1 {
			return t.finish(g, k, i)
		}
	}
	value := 0.0
	if i == 0 || t.forest {
		value = t.constant(k)
	}
	if i == 0 && !t.p.BoostFromAverage {
		t.shift(k, value)
	}
	if t.forest && t.valid != nil {
		for r := range t.valid.scores[k] {
			t.average(&t.valid.scores[k][r], value, i)
		}
	}
	return gbdt.Tree{LeafValue: []float64{value}, LeafWeight: []float64{0},
		LeafCount: []int64{int64(len(t.train.rows))}, Shrinkage: 1}
}

// constant is the best constant of output k, 0 on top of other scores.
func (t *trainer) constant(k int) float64 {
	if t.p.BoostFromAverage || t.train.data.init != nil {
		return t.initial[k]
	}
	return t.objective.start(&t.train.target, k)
}

// average takes the value of tree i into an average of trees.
func (t *trainer) average(score *float64, value float64, i int) {
	*score += (value - *score) / float64(i+1)
}

// finish shrinks the tree, adds it to the scores, and folds the initial score
// into the first one; into every one of a forest, whose trees are not shrunk.
func (t *trainer) finish(g *grown, k, i int) gbdt.Tree {
	if r, ok := t.objective.(renewer); ok {
		t.renew(r, g, k)
	}
	rate := t.p.LearningRate
	if t.forest {
		rate = 1
	}
	for i := range g.LeafValue {
		g.LeafValue[i] = flush(g.LeafValue[i] * rate)
	}
	for i := range g.InternalValue {
		g.InternalValue[i] = flush(g.InternalValue[i] * rate)
	}
	g.Shrinkage = rate
	if !t.forest {
		t.addScores(g, k)
	}
	if b := t.initial[k]; (i == 0 || t.forest) && b != 0 {
		for i := range g.LeafValue {
			g.LeafValue[i] = flush(g.LeafValue[i] + b)
		}
		for i := range g.InternalValue {
			g.InternalValue[i] = flush(g.InternalValue[i] + b)
		}
		g.Shrinkage = 1
	}
	if t.forest && t.valid != nil {
		score := t.valid.scores[k]
		t.walk(g, func(r int32, value float64) { t.average(&score[r], value, i) })
	}
	return g.Tree
}

// walk sends the validation rows down a tree.
func (t *trainer) walk(g *grown, do func(row int32, value float64)) {
	t.blocks(t.valid.rows, func(_ int, rows []int32) {
		for _, r := range rows {
			do(r, g.LeafValue[g.leaf(t.valid.data, r)])
		}
	})
}

// flush reads numbers too near to zero as zero.
func flush(x float64) float64 {
	if math.Abs(x) <= gbdt.ZeroThreshold {
		return 0
	}
	return x
}

// renew sets the leaves from the residuals of their rows.
func (t *trainer) renew(r renewer, g *grown, k int) {
	buffer := make([]residual, len(t.in))
	t.crew.run(len(g.LeafValue), func(_, i int) {
		l := &t.grower.leaves[i]
		g.LeafValue[i] = r.renew(&t.train.target, t.grower.rowsOf(l), t.train.scores[k], buffer[l.begin:l.begin+l.count])
	})
}

// addScores adds the tree to the scores. Rows of the bag know their leaves,
// the others walk.
func (t *trainer) addScores(g *grown, k int) {
	if len(t.out) > 0 {
		t.blocks(t.out, func(_ int, rows []int32) {
			for _, r := range rows {
				t.grower.leafOf[r] = uint16(g.leaf(t.train.data, r))
			}
		})
	}
	t.pending = append(t.pending[:0], g.LeafValue...)
	if t.p.NumClass > 1 {
		t.blocks(t.train.rows, func(_ int, rows []int32) { t.addPending(rows, t.train.scores[k]) })
		t.pending = t.pending[:0]
	}
	if t.valid != nil {
		score := t.valid.scores[k]
		t.walk(g, func(r int32, value float64) { score[r] += value })
	}
}

// addPending adds the leaves of the last tree to the scores of rows.
func (t *trainer) addPending(rows []int32, score []float64) {
	leafOf, values := t.grower.leafOf, t.pending
	for _, r := range rows {
		score[r] += values[leafOf[r]]
	}
}

// blocks shares out rows in blocks of rowBlock.
func (t *trainer) blocks(rows []int32, do func(block int, rows []int32)) {
	t.crew.run((len(rows)+rowBlock-1)/rowBlock, func(_, b int) {
		do(b, rows[b*rowBlock:min((b+1)*rowBlock, len(rows))])
	})
}

// gradients sets the derivatives at all rows and notes their extents.
func (t *trainer) gradients() {
	t.blocks(t.train.rows, func(b int, rows []int32) {
		if len(t.pending) > 0 {
			t.addPending(rows, t.train.scores[0])
		}
		t.objective.gradients(&t.train.target, rows, t.train.scores, t.grad)
		for k, grad := range t.grad {
			t.extents[k][b] = extentOf(rows, grad)
		}
	})
	t.pending = t.pending[:0]
}

// loss is the mean loss of one side.
func (t *trainer) loss(s *side) float64 {
	t.blocks(s.rows, func(b int, rows []int32) {
		s.parts[b] = t.objective.loss(&s.target, rows, s.scores)
	})
	sum := 0.0
	for _, x := range s.parts {
		sum += x
	}
	return sum / s.weights
}

// drawFeatures draws the features of the next tree.
func (t *trainer) drawFeatures() {
	n := len(t.usable)
	draw := t.grower.draw
	if t.p.FeatureFraction >= 1 {
		for i := range draw {
			draw[i] = true
		}
		return
	}
	clear(draw)
	t.drawn = t.features.sample(t.drawn[:0], n, max(roundInt(float64(n)*t.p.FeatureFraction), min(1, n)))
	for _, i := range t.drawn {
		draw[t.usable[i]] = true
	}
}

// model puts the trees together.
func (t *trainer) model() (*gbdt.Model, error) {
	d := t.train.data
	m := &gbdt.Model{
		Trees: t.trees, NumClass: t.p.NumClass, TreesPerIteration: t.p.NumClass,
		Objective: t.objective.line(), FeatureNames: slices.Clone(d.names), Params: t.p.List(),
		AverageOutput: t.forest, Monotone: t.monotone,
	}
	var categories []string
	for f, mapper := range d.mappers {
		m.FeatureInfos = append(m.FeatureInfos, mapper.info())
		if mapper.categorical {
			categories = append(categories, strconv.Itoa(f))
		}
	}
	m.Params = append(m.Params, [2]string{"categorical_feature", strings.Join(categories, ",")})
	return m, m.Validate()
}
