package gbdt

import (
	"math"
	"sync"
)

// Predictor answers what a model predicts. It holds its own copy of the
// trees, laid out for walking, and is safe for concurrent use.
type Predictor struct {
	nodes    []node
	roots    []int32 // one a tree: node index, or ^index of a leaf
	leaves   []float64
	first    []int32 // index of each tree's leaf 0 in leaves
	sets     []uint32
	features int
	outputs  int
	average  float64 // divisor of the raw score, 1 unless AverageOutput
	link     Objective
}

// node is an inner node. Children are indices into nodes, or ^index into
// leaves. 24 bytes keep a tree of 31 leaves within 12 cache lines.
type node struct {
	threshold float64 // of a category set: first word in sets
	feature   uint32
	kind      uint16
	words     uint16 // length of a category set
	left      int32
	right     int32
}

// Kinds of nodes. NaN at a number's node goes where the kind says; that the
// rules "nothing is missing" (NaN counts as 0) and "NaN is missing" differ is
// settled when the predictor is made.
const (
	numberNaNRight uint16 = iota
	numberNaNLeft
	zeroRight // zero and NaN go right
	zeroLeft
	category
)

// maxSetWords bounds the words of one category set: a set over categories up
// to two million.
const maxSetWords = math.MaxUint16

// NewPredictor validates the model and lays it out. The model may be changed
// afterwards without effect on the predictor.
func NewPredictor(m *Model) (*Predictor, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	link, err := ParseObjective(m.Objective)
	if err != nil {
		return nil, err
	}
	p := &Predictor{features: m.NumFeatures(), outputs: m.NumOutputs(), average: 1, link: link}
	if m.AverageOutput {
		p.average = float64(m.NumIterations())
	}
	var inner, leaves, words int
	for i := range m.Trees {
		inner += len(m.Trees[i].Feature)
		leaves += len(m.Trees[i].LeafValue)
		words += len(m.Trees[i].CatThreshold)
	}
	if inner > math.MaxInt32 || leaves > math.MaxInt32 {
		return nil, &ModelError{-1, -1, "more than 2³¹ nodes"}
	}
	p.nodes = make([]node, 0, inner)
	p.leaves = make([]float64, 0, leaves)
	p.sets = make([]uint32, 0, words)
	for i := range m.Trees {
		if err := p.add(i, &m.Trees[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add appends a tree.
func (p *Predictor) add(index int, t *Tree) error {
	base, leaf := int32(len(p.nodes)), int32(len(p.leaves))
	child := func(c int32) int32 {
		if c < 0 {
			return ^(leaf + ^c)
		}
		return base + c
	}
	root := child(0)
	if len(t.Feature) == 0 {
		root = child(^0)
	}
	p.roots = append(p.roots, root)
	p.first = append(p.first, leaf)
	p.leaves = append(p.leaves, t.LeafValue...)
	word := len(p.sets)
	p.sets = append(p.sets, t.CatThreshold...)
	for i, f := range t.Feature {
		n := node{threshold: t.Threshold[i], feature: uint32(f), left: child(t.Left[i]), right: child(t.Right[i])}
		n.kind = numberKind(t.Decision[i], t.Threshold[i])
		if t.Decision[i]&Categorical != 0 {
			set := int(t.Threshold[i])
			lo, hi := t.CatBoundaries[set], t.CatBoundaries[set+1]
			if hi-lo > maxSetWords {
				return &ModelError{index, i, "the category set has too many words"}
			}
			n.kind, n.words = category, uint16(hi-lo)
			n.threshold = float64(word + int(lo))
		}
		p.nodes = append(p.nodes, n)
	}
	return nil
}

func numberKind(decision uint8, threshold float64) uint16 {
	left := decision&DefaultLeft != 0
	switch decision & missingMask {
	case MissingZero:
		if left {
			return zeroLeft
		}
		return zeroRight
	case 0: // NaN is read as 0
		left = 0 <= threshold
	}
	if left {
		return numberNaNLeft
	}
	return numberNaNRight
}

// NumOutputs is the length of dst that [Predictor.Predict] fills.
func (p *Predictor) NumOutputs() int { return p.outputs }

// NumFeatures is the length of the rows.
func (p *Predictor) NumFeatures() int { return p.features }

// NumTrees is the length of dst that [Predictor.Leaves] fills.
func (p *Predictor) NumTrees() int { return len(p.roots) }

// leaf walks from a root to the index of a leaf.
func (p *Predictor) leaf(at int32, row []float64) int32 {
	nodes := p.nodes
	for at >= 0 {
		n := &nodes[at]
		x := row[n.feature]
		var left bool
		switch n.kind {
		case numberNaNRight:
			left = x <= n.threshold
		case numberNaNLeft:
			left = !(x > n.threshold)
		default:
			left = p.special(n, x)
		}
		if left {
			at = n.left
		} else {
			at = n.right
		}
	}
	return ^at
}

// special decides the rarer kinds of nodes.
func (p *Predictor) special(n *node, x float64) bool {
	if n.kind == category {
		// Truncation towards zero, as in C: −0.5 is category 0.
		if !(x > -1 && x < 1<<31) {
			return false
		}
		c := uint32(int32(x))
		if c/32 >= uint32(n.words) {
			return false
		}
		return p.sets[uint32(n.threshold)+c/32]>>(c%32)&1 != 0
	}
	if math.Abs(x) <= ZeroThreshold || x != x {
		return n.kind == zeroLeft
	}
	return x <= n.threshold
}

// Raw sets dst to the raw scores of a row: the sum of its leaves in tree
// order, before averaging and the objective's transform. The lengths of dst
// and row are NumOutputs and NumFeatures. NaN is missing; a category is its
// code.
func (p *Predictor) Raw(dst, row []float64) {
	row = row[:p.features]
	dst = dst[:p.outputs]
	if len(dst) == 1 {
		sum := 0.0
		for _, root := range p.roots {
			sum += p.leaves[p.leaf(root, row)]
		}
		dst[0] = sum
		return
	}
	clear(dst)
	k := 0
	for _, root := range p.roots {
		dst[k] += p.leaves[p.leaf(root, row)]
		if k++; k == len(dst) {
			k = 0
		}
	}
}

// Predict is Raw followed by averaging and the objective's transform.
func (p *Predictor) Predict(dst, row []float64) {
	p.Raw(dst, row)
	p.finish(dst[:p.outputs])
}

// finish turns raw scores of one row into predictions.
func (p *Predictor) finish(dst []float64) {
	if p.average != 1 {
		for i := range dst {
			dst[i] /= p.average
		}
	}
	p.link.Apply(dst)
}

// Leaves sets dst[t] to the index of the leaf that the row reaches in tree t.
func (p *Predictor) Leaves(dst []int32, row []float64) {
	row = row[:p.features]
	dst = dst[:len(p.roots)]
	for t, root := range p.roots {
		dst[t] = p.leaf(root, row) - p.first[t]
	}
}

// A batch is walked in blocks of blockRows rows by blockTrees trees: the
// rows and the trees' nodes then stay in the nearest cache while each meets
// the other.
const (
	blockRows  = 128
	blockTrees = 16
)

// PredictColumns predicts every row of a column-major table: cols has one
// slice a feature, all of length n, and dst receives n×NumOutputs values,
// row-major. Up to threads goroutines share the rows; the result does not
// depend on their number. With no rows nothing happens.
func (p *Predictor) PredictColumns(dst []float64, cols [][]float64, threads int) {
	n := len(cols[0])
	dst = dst[:n*p.outputs]
	blocks := (n + blockRows - 1) / blockRows
	threads = max(min(threads, blocks), 1)
	var wg sync.WaitGroup
	for t := range threads {
		lo, hi := blocks*t/threads*blockRows, min(blocks*(t+1)/threads*blockRows, n)
		if t == threads-1 {
			p.predictRows(dst, cols, lo, hi)
			break
		}
		wg.Go(func() { p.predictRows(dst, cols, lo, hi) })
	}
	wg.Wait()
}

// predictRows predicts rows [lo, hi).
func (p *Predictor) predictRows(dst []float64, cols [][]float64, lo, hi int) {
	rows := make([]float64, blockRows*p.features)
	for ; lo < hi; lo += blockRows {
		n := min(blockRows, hi-lo)
		for f, col := range cols[:p.features] {
			for i, x := range col[lo : lo+n] {
				rows[i*p.features+f] = x
			}
		}
		block := dst[lo*p.outputs : (lo+n)*p.outputs]
		clear(block)
		for t := 0; t < len(p.roots); t += blockTrees {
			p.addTrees(block, rows, t, min(t+blockTrees, len(p.roots)))
		}
		for i := range n {
			p.finish(block[i*p.outputs : (i+1)*p.outputs])
		}
	}
}

// addTrees adds the leaves of trees [lo, hi) to the raw scores in dst.
func (p *Predictor) addTrees(dst, rows []float64, lo, hi int) {
	k := p.outputs
	for i := range len(dst) / k {
		row := rows[i*p.features : (i+1)*p.features]
		out := dst[i*k : (i+1)*k]
		c := lo % k
		for _, root := range p.roots[lo:hi] {
			out[c] += p.leaves[p.leaf(root, row)]
			if c++; c == k {
				c = 0
			}
		}
	}
}
