package gbdt

import (
	"math"
	"sync"
)

// Explainer tells how much each feature had to do with a raw score: the
// Shapley values of path-dependent TreeSHAP (Lundberg, Erion and Lee,
// "Consistent Individualized Feature Attribution for Tree Ensembles",
// arXiv 1802.03888), which LightGBM calls pred_contrib. A feature that a set
// of features leaves out is averaged over by the training rows that went each
// way. It holds its own copy of the trees and is safe for concurrent use.
//
// # How it is fast
//
// On the way to a leaf with d different features, a row either agrees with
// feature i (oᵢ = 1, it passes all of the path's tests of that feature) or not
// (oᵢ = 0). With zᵢ the share of training rows that the tests of feature i let
// through, a leaf of value v gives feature j
//
//	v·(oⱼ−zⱼ)·∫₀¹ Π_{i≠j} (oᵢt + zᵢ(1−t)) dt
//
// because the integral of t^s(1−t)^(d−1−s) is the Shapley weight of a set of
// size s. So all that depends on the row is a pattern of d bits, and what
// each pattern gives is tabled when the explainer is made. Leaves that lie
// together share a table: its index holds the pattern of the path to the root
// of their subtree and one bit for each test within.
//
// Where tables would be too large, the integral is taken for each row, exactly
// and without cancellation, by Gauss–Legendre quadrature with ⌈d/2⌉ points,
// in time O(leaves·d) a tree, with the products shared between the leaves as in
// Linear TreeSHAP (Yu et al., arXiv 2209.08192).
type Explainer struct {
	features, outputs int
	bias              []float64 // one an output
	trees             []shapTree
	sets              []uint32
	table             []float64
	scratch           sync.Pool // *shapScratch, fit for every tree
}

// shapTree is one tree of at least two leaves.
type shapTree struct {
	output int
	// upper are the tests above the tables, parents first. Test i finds the
	// pattern of its path in place i and leaves one for each child in the
	// child's place; the groups' places follow those of upper.
	upper  []shapNode
	groups []shapGroup
	inner  []shapNode // tests within the groups
	list   []int32    // features of the groups' tables

	edges []shapEdge // the rest, parents first
	quad  *quadrature
}

// shapNode is a test. Bit shift of a pattern is that of its feature.
type shapNode struct {
	threshold   float64 // of a category set: first word in sets
	feature     int32
	kind        uint8
	shift       uint8 // within a group: where the outcome goes
	words       int32 // length of a category set
	left, right int32 // places
}

// Kinds of tests: where NaN goes, and what is rare.
const (
	shapNaNRight uint8 = iota
	shapNaNLeft
	shapZeroRight
	shapZeroLeft
	shapCategory
)

// shapGroup is a subtree whose contributions are tabled.
type shapGroup struct {
	mask         uint64 // bits of the path's pattern
	table        int    // where the table begins
	first, last  int32  // range in inner
	from, to     int32  // range in list
	placeOfGroup int32
}

// shapEdge leads from an upper test to a child that holds leaves without a
// table. Those leaves are edges themselves; group roots are not.
type shapEdge struct {
	node    int32 // the test, in upper
	parent  int32 // edge into the test, −1 at the root
	same    int32 // nearest edge above with the same feature, −1 without
	feature int32
	side    uint64 // 1 for the left child
	leaf    bool
	zero    float64 // share let through by the path's tests of the feature
	value   float64 // of the leaf
	inverse int32   // where 1/(t+zero·(1−t)) stands, at each point
}

// quadrature holds the points of ∫₀¹ and what is needed of each.
type quadrature struct {
	points   []float64 // t
	weight   []float64
	rest     []float64 // 1−t
	overRest []float64 // 1/(1−t)
	ones     []float64
	inverse  []float64 // by edge: 1/(t+z(1−t))
}

// shapScratch is the memory of one row's walk.
type shapScratch struct {
	pattern []uint64
	left    []uint64  // by upper test: 1 when the row went left
	one     []bool    // by edge: the row agrees with the edge's feature
	product []float64 // by edge and point
	sum     []float64
	nulls   []float64 // by edge
}

// NumOutputs is the number of outputs explained.
func (e *Explainer) NumOutputs() int { return e.outputs }

// NumFeatures is the length of the rows.
func (e *Explainer) NumFeatures() int { return e.features }

// Contributions sets dst to what each feature adds to each output's raw
// score: NumOutputs runs of NumFeatures+1 values, the last of which is the
// expected raw score. A run adds up to what [Predictor.Raw] gives, but for
// rounding; like that, it is not averaged for random forests. The length of
// row is NumFeatures; NaN is missing, a category is its code. It allocates
// nothing.
func (e *Explainer) Contributions(dst, row []float64) {
	dst = dst[:e.outputs*(e.features+1)]
	row = row[:e.features]
	s := e.scratch.Get().(*shapScratch)
	e.start(dst)
	for i := range e.trees {
		t := &e.trees[i]
		at := t.output * (e.features + 1)
		e.add(t, dst[at:at+e.features], row, s)
	}
	e.scratch.Put(s)
}

// start sets the contributions of one row to those of no tree.
func (e *Explainer) start(dst []float64) {
	clear(dst)
	for k, b := range e.bias {
		dst[k*(e.features+1)+e.features] = b
	}
}

// shapRows is the number of rows that meet one tree after another together,
// so that the tree's tables stay in the cache meanwhile.
const shapRows = 256

// ContributionsColumns explains every row of a column-major table: cols has
// one slice a feature, all of length n, and dst receives n runs as
// [Explainer.Contributions] writes them. Up to threads goroutines share the
// rows; the result does not depend on their number. With no rows nothing
// happens.
func (e *Explainer) ContributionsColumns(dst []float64, cols [][]float64, threads int) {
	n := len(cols[0])
	dst = dst[:n*e.outputs*(e.features+1)]
	shareRows(n, shapRows, threads, func(lo, hi int) { e.explainRows(dst, cols, lo, hi) })
}

// explainRows explains rows [lo, hi).
func (e *Explainer) explainRows(dst []float64, cols [][]float64, lo, hi int) {
	s := e.scratch.Get().(*shapScratch)
	defer e.scratch.Put(s)
	f, stride := e.features, e.outputs*(e.features+1)
	rows := make([]float64, min(shapRows, max(hi-lo, 0))*f)
	for ; lo < hi; lo += shapRows {
		n := min(shapRows, hi-lo)
		for c, col := range cols[:f] {
			for i, x := range col[lo : lo+n] {
				rows[i*f+c] = x
			}
		}
		block := dst[lo*stride : (lo+n)*stride]
		for i := range n {
			e.start(block[i*stride : (i+1)*stride])
		}
		for k := range e.trees {
			t := &e.trees[k]
			at := t.output * (f + 1)
			for i := range n {
				e.add(t, block[i*stride+at:i*stride+at+f], rows[i*f:(i+1)*f], s)
			}
		}
	}
}

// add adds a tree's contributions to phi, which has one value a feature.
func (e *Explainer) add(t *shapTree, phi, row []float64, s *shapScratch) {
	pattern := s.pattern
	pattern[0] = math.MaxUint64
	for i := range t.upper {
		n := &t.upper[i]
		bit := n.goes(row[n.feature])
		if n.kind > shapNaNLeft {
			bit = asBit(e.special(n, row[n.feature]))
		}
		s.left[i] = bit
		p := pattern[i]
		pattern[n.left] = p &^ ((bit ^ 1) << n.shift)
		pattern[n.right] = p &^ (bit << n.shift)
	}
	for i := range t.groups {
		g := &t.groups[i]
		at := pattern[g.placeOfGroup] & g.mask
		for k := g.first; k < g.last; k++ {
			n := &t.inner[k]
			bit := n.goes(row[n.feature])
			if n.kind > shapNaNLeft {
				bit = asBit(e.special(n, row[n.feature]))
			}
			at |= bit << n.shift
		}
		list := t.list[g.from:g.to]
		values := e.table[g.table+int(at)*len(list):]
		values = values[:len(list)]
		for k, f := range list {
			phi[f] += values[k]
		}
	}
	if len(t.edges) > 0 {
		t.integrate(phi, s)
	}
}

// goes decides a test on a number: 1 for left, else 0, without a branch. The
// rarer kinds are special's.
func (n *shapNode) goes(x float64) uint64 {
	return asBit(x <= n.threshold) | asBit(x != x)&uint64(n.kind)
}

// asBit compiles to a move.
func asBit(b bool) uint64 {
	var bit uint64
	if b {
		bit = 1
	}
	return bit
}

// special decides the rarer kinds.
func (e *Explainer) special(n *shapNode, x float64) bool {
	if n.kind == shapCategory {
		// Truncation towards zero, as in C: −0.5 is category 0.
		if !(x > -1 && x < 1<<31) {
			return false
		}
		c := uint32(int32(x))
		return c/32 < uint32(n.words) && e.sets[int(n.threshold)+int(c/32)]>>(c%32)&1 != 0
	}
	if math.Abs(x) <= ZeroThreshold || x != x {
		return n.kind == shapZeroLeft
	}
	return x <= n.threshold
}

// integrate adds the contributions of the leaves without a table. Going down,
// an edge's product is that of oᵢt+zᵢ(1−t) over its path's features, at each
// point; going up, its sum is that of the leaves below. An edge with the
// feature of one above replaces that one's factor.
//
// A leaf gives its feature j the sum of product·(oⱼ−zⱼ)/(oⱼt+zⱼ(1−t)). Where oⱼ
// is 0 the fraction is −1/(1−t) whatever zⱼ: that sum is the same for all such
// features and kept in nulls.
func (t *shapTree) integrate(phi []float64, s *shapScratch) {
	q := len(t.quad.weight)
	for i := range t.edges {
		e := &t.edges[i]
		above := e.same < 0 || s.one[e.same]
		one := above && s.left[e.node] == e.side
		s.one[i] = one
		parent := t.quad.ones
		if e.parent >= 0 {
			parent = s.product[int(e.parent)*q : (int(e.parent)+1)*q]
		}
		product, sum := s.product[i*q:(i+1)*q], s.sum[i*q:(i+1)*q]
		t.descend(product, parent, e, one, above)
		s.nulls[i] = 0
		if e.leaf {
			s.nulls[i] = t.quad.leaf(sum, product, e.value)
		} else {
			clear(sum)
		}
	}
	for i := len(t.edges) - 1; i >= 0; i-- {
		e := &t.edges[i]
		sum := s.sum[i*q : (i+1)*q]
		if e.same < 0 || s.one[e.same] {
			phi[e.feature] += t.share(sum, s.nulls[i], e, s.one[i])
		}
		if e.parent >= 0 {
			s.nulls[e.parent] += s.nulls[i]
			up := s.sum[int(e.parent)*q:]
			up = up[:len(sum)]
			for k, v := range sum {
				up[k] += v
			}
		}
	}
}

// descend sets product to its parent's, times an edge's factor over that of
// the same feature above. Where the row does not agree with the one above, the
// quotient is that of their shares; a share of zero there has made the product
// zero for good.
func (t *shapTree) descend(product, parent []float64, e *shapEdge, one, above bool) {
	rest, points, zero := t.quad.rest[:len(product)], t.quad.points[:len(product)], e.zero
	parent = parent[:len(product)]
	if e.same < 0 {
		if one {
			for k := range product {
				product[k] = parent[k] * (points[k] + zero*rest[k])
			}
			return
		}
		for k := range product {
			product[k] = parent[k] * (zero * rest[k])
		}
		return
	}
	up := &t.edges[e.same]
	inverse := t.quad.inverse[up.inverse:]
	inverse = inverse[:len(product)]
	switch {
	case one:
		for k := range product {
			product[k] = parent[k] * inverse[k] * (points[k] + zero*rest[k])
		}
	case above:
		for k := range product {
			product[k] = parent[k] * inverse[k] * (zero * rest[k])
		}
	default:
		ratio := 0.0
		if up.zero > 0 {
			ratio = zero / up.zero
		}
		for k := range product {
			product[k] = parent[k] * ratio
		}
	}
}

// leaf sets sum to a leaf's weighted products and returns their sum over 1−t.
func (q *quadrature) leaf(sum, product []float64, value float64) (nulls float64) {
	weight, overRest := q.weight[:len(sum)], q.overRest[:len(sum)]
	product = product[:len(sum)]
	for k := range sum {
		v := product[k] * weight[k] * value
		sum[k] = v
		nulls += v * overRest[k]
	}
	return nulls
}

// share is what the leaves of sum give an edge's feature beyond what they give
// the same feature by the edge above, with which the row agrees.
func (t *shapTree) share(sum []float64, nulls float64, e *shapEdge, one bool) float64 {
	out := -nulls
	if one {
		out = (1 - e.zero) * dot(sum, t.quad.inverse[e.inverse:])
	}
	if e.same >= 0 {
		up := &t.edges[e.same]
		out -= (1 - up.zero) * dot(sum, t.quad.inverse[up.inverse:])
	}
	return out
}

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	sum := 0.0
	for k, v := range a {
		sum += v * b[k]
	}
	return sum
}
