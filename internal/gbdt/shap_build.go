package gbdt

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"
)

// Bounds of an explainer's tables: bits of one table's index, values that a
// table may spend on each of its leaves, and values of all tables together (8
// bytes each).
const (
	shapBits   = 9
	shapMost   = 1 << 13
	shapValues = 6 << 20
)

// shapPoints bounds the values that one tree's quadrature holds three times: a
// path of some 5000 different features.
const shapPoints = 1 << 24

// NewExplainer validates the model and prepares it, which takes as long as
// explaining some thousand rows and makes tables of up to 48 MB. The model may
// be changed afterwards without effect on the explainer.
//
// What a row leaves out is weighed by the training rows that each leaf counts.
// A model with a node below which no leaf counts any (a file without
// leaf_count, for which LightGBM answers NaN) is a *[ModelError] that names the
// node. Inner nodes' own counts are not read: they are the sums of these unless
// somebody changed the file. A tree with a path of several thousand different
// features is a *[ModelError], too: it would take too much memory.
func NewExplainer(m *Model) (*Explainer, error) { return newExplainer(m, shapMost) }

// newExplainer spends at most so many values of a table on a leaf.
func newExplainer(m *Model, most int) (*Explainer, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	trees := make([]countedTree, len(m.Trees))
	for i := range m.Trees {
		var err *ModelError
		if trees[i], err = countTree(&m.Trees[i]); err != nil {
			err.Tree = i
			return nil, err
		}
	}
	e := &Explainer{features: m.NumFeatures(), outputs: m.NumOutputs(), bias: make([]float64, m.NumOutputs())}
	for most > 0 && tableValues(trees, most) > shapValues {
		most /= 2
	}
	e.table = make([]float64, 0, tableValues(trees, most))
	var places, edges, points int
	for i := range trees {
		t := &trees[i]
		e.bias[i%e.outputs] += t.expected()
		if len(t.Feature) == 0 {
			continue
		}
		b := shapBuilder{e: e, t: t, most: most, tree: shapTree{output: i % e.outputs}}
		if !b.build() {
			return nil, &ModelError{i, -1, fmt.Sprintf("a path tests %d different features, too many to explain", b.depth)}
		}
		e.trees = append(e.trees, b.tree)
		s := &b.tree
		places = max(places, len(s.upper)+len(s.groups)+1)
		if s.quad != nil {
			edges = max(edges, len(s.edges))
			points = max(points, len(s.edges)*len(s.quad.weight))
		}
	}
	e.scratch.New = func() any {
		return &shapScratch{
			pattern: make([]uint64, places), left: make([]uint64, places), one: make([]bool, edges),
			product: make([]float64, points), sum: make([]float64, points), nulls: make([]float64, edges),
		}
	}
	return e, nil
}

// countedTree is a tree with what lies below each inner node.
type countedTree struct {
	*Tree
	inner []int32   // inner nodes, itself included
	rows  []float64 // training rows that the leaves count
}

// countTree adds up a tree. The error lacks the tree's index.
func countTree(t *Tree) (countedTree, *ModelError) {
	c := countedTree{Tree: t, inner: make([]int32, len(t.Feature)), rows: make([]float64, len(t.Feature))}
	for i, n := range t.LeafCount {
		if n < 0 {
			return c, &ModelError{Node: -1, Reason: fmt.Sprintf("leaf %d counts %d training rows", i, n)}
		}
	}
	var add func(at int32) (inner int32, rows float64)
	add = func(at int32) (inner int32, rows float64) {
		if at < 0 {
			return 0, float64(t.LeafCount[^at])
		}
		li, lr := add(t.Left[at])
		ri, rr := add(t.Right[at])
		c.inner[at], c.rows[at] = 1+li+ri, lr+rr
		return c.inner[at], c.rows[at]
	}
	add(t.root())
	for i, n := range c.rows {
		if n == 0 {
			return c, &ModelError{Node: i, Reason: "no leaf below counts a training row, by which contributions are weighed"}
		}
	}
	return c, nil
}

// root is the child that leads to the root.
func (t *Tree) root() int32 {
	if len(t.Feature) == 0 {
		return ^0
	}
	return 0
}

// share is the part of node i's training rows that went to its child c.
func (t *countedTree) share(i, c int32) float64 {
	if c < 0 {
		return float64(t.LeafCount[^c]) / t.rows[i]
	}
	return t.rows[c] / t.rows[i]
}

// expected is the mean of the leaves over the training rows.
func (t *countedTree) expected() float64 {
	if len(t.Feature) == 0 {
		return t.LeafValue[0]
	}
	sum := 0.0
	for i, v := range t.LeafValue {
		sum += float64(t.LeafCount[i]) / t.rows[0] * v
	}
	return sum
}

// below is the number of inner nodes below a child.
func (t *countedTree) below(c int32) int {
	if c < 0 {
		return 0
	}
	return int(t.inner[c])
}

// tabledValues is the number of values in the table of the subtree below c, 0
// when it is too large: path holds the features above, and
// most bounds the values a leaf.
func (t *countedTree) tabledValues(c int32, path []int32, most int) int {
	n := len(path) + t.below(c)
	if n > shapBits {
		return 0
	}
	values := len(t.featuresBelow(c, slices.Clone(path))) << n
	if values > most*(t.below(c)+1) {
		return 0
	}
	return values
}

// tableValues is the number of values of all tables when a table may have most
// values a leaf.
func tableValues(trees []countedTree, most int) int {
	total := 0
	for i := range trees {
		t := &trees[i]
		var path []int32
		var walk func(c int32)
		walk = func(c int32) {
			if n := t.tabledValues(c, path, most); n > 0 || c < 0 {
				total += n
				return
			}
			known := slices.Contains(path, t.Feature[c])
			if !known {
				path = append(path, t.Feature[c])
			}
			walk(t.Left[c])
			walk(t.Right[c])
			if !known {
				path = path[:len(path)-1]
			}
		}
		walk(t.root())
	}
	return total
}

// featuresBelow appends to list the features tested below c that it lacks.
func (t *Tree) featuresBelow(c int32, list []int32) []int32 {
	if c < 0 {
		return list
	}
	if !slices.Contains(list, t.Feature[c]) {
		list = append(list, t.Feature[c])
	}
	return t.featuresBelow(t.Right[c], t.featuresBelow(t.Left[c], list))
}

// shapBuilder lays out one tree.
type shapBuilder struct {
	e     *Explainer
	t     *countedTree
	most  int
	tree  shapTree
	path  []shapStep
	depth int // most features on the path of a leaf without a table
}

// shapStep is a feature of the path that the builder is on.
type shapStep struct {
	feature int32
	zero    float64 // share let through by the feature's tests
	edge    int32   // the last edge with the feature, −1 without
}

// Places of children while the tree grows: a group, known by its number, and
// a leaf without a table, which needs none.
func groupPlace(i int) int32 { return ^int32(i) }

const noPlace = math.MinInt32

// build lays out the whole tree, unless its quadrature would take too much
// memory.
func (b *shapBuilder) build() bool {
	b.child(b.t.root(), -1)
	t := &b.tree
	final := func(p int32) int32 {
		switch {
		case p == noPlace:
			return int32(len(t.upper) + len(t.groups))
		case p < 0:
			return int32(len(t.upper)) + ^p
		}
		return p
	}
	for i := range t.upper {
		t.upper[i].left, t.upper[i].right = final(t.upper[i].left), final(t.upper[i].right)
	}
	for i := range t.groups {
		t.groups[i].placeOfGroup = final(groupPlace(i))
	}
	if len(t.edges)*b.depth/2 > shapPoints {
		return false
	}
	if len(t.edges) > 0 {
		t.quad = newQuadrature((b.depth + 1) / 2)
		for i := range t.edges {
			t.edges[i].inverse = int32(len(t.quad.inverse))
			for k, p := range t.quad.points {
				t.quad.inverse = append(t.quad.inverse, 1/(p+t.edges[i].zero*t.quad.rest[k]))
			}
		}
	}
	return true
}

// child lays out what is below c, which edge leads to, and returns its place.
func (b *shapBuilder) child(c, edge int32) int32 {
	switch {
	case b.t.tabledValues(c, b.features(), b.most) > 0:
		return b.group(c)
	case c < 0:
		b.depth = max(b.depth, len(b.path))
		e := &b.tree.edges[edge]
		e.leaf, e.value = true, b.t.LeafValue[^c]
		return noPlace
	}
	t := b.t
	at := slices.IndexFunc(b.path, func(s shapStep) bool { return s.feature == t.Feature[c] })
	fresh := at < 0
	if fresh {
		at = len(b.path)
		b.path = append(b.path, shapStep{feature: t.Feature[c], zero: 1, edge: -1})
	}
	i := len(b.tree.upper)
	b.tree.upper = append(b.tree.upper, b.node(c, at))
	was := b.path[at]
	left := b.side(int32(i), c, at, edge, true)
	b.path[at] = was
	right := b.side(int32(i), c, at, edge, false)
	b.path[at] = was
	b.tree.upper[i].left, b.tree.upper[i].right = left, right
	if fresh {
		b.path = b.path[:at]
	}
	return int32(i)
}

// features are those of the path.
func (b *shapBuilder) features() []int32 {
	list := make([]int32, len(b.path))
	for i, s := range b.path {
		list[i] = s.feature
	}
	return list
}

// side lays out one child of the inner node c, which is upper test i. The edge
// to it stays only if it leads to leaves without a table.
func (b *shapBuilder) side(i, c int32, at int, parent int32, left bool) int32 {
	to := b.t.Right[c]
	if left {
		to = b.t.Left[c]
	}
	step := &b.path[at]
	edge := int32(len(b.tree.edges))
	step.zero *= b.t.share(c, to)
	b.tree.edges = append(b.tree.edges, shapEdge{node: i, parent: parent, same: step.edge, feature: step.feature, side: asBit(left), zero: step.zero})
	step.edge = edge
	place := b.child(to, edge)
	if int(edge) == len(b.tree.edges)-1 && !b.tree.edges[edge].leaf {
		b.tree.edges = b.tree.edges[:edge]
	}
	return place
}

// node is inner node c as a test whose feature has the bit shift.
func (b *shapBuilder) node(c int32, shift int) shapNode {
	t := b.t
	n := shapNode{threshold: t.Threshold[c], feature: t.Feature[c], shift: uint8(min(shift, 64))}
	left := t.Decision[c]&DefaultLeft != 0
	switch {
	case t.Decision[c]&Categorical != 0:
		set := int(t.Threshold[c])
		words := t.CatThreshold[t.CatBoundaries[set]:t.CatBoundaries[set+1]]
		n.kind, n.words, n.threshold = shapCategory, int32(len(words)), float64(len(b.e.sets))
		b.e.sets = append(b.e.sets, words...)
		return n
	case t.Decision[c]&missingMask == MissingZero && left:
		n.kind = shapZeroLeft
		return n
	case t.Decision[c]&missingMask == MissingZero:
		n.kind = shapZeroRight
		return n
	case t.Decision[c]&missingMask == 0: // NaN is read as 0
		left = 0 <= t.Threshold[c]
	}
	if left {
		n.kind = shapNaNLeft
	}
	return n
}

// tabled is a feature on the way to a leaf of a group: a row agrees with it
// when the bits of mask in a table's index are all 1 or 0 as in want.
type tabled struct {
	column     int // in the table
	zero       float64
	mask, want uint64
}

// group tables the subtree below c.
func (b *shapBuilder) group(c int32) int32 {
	below := b.t.below(c)
	list := b.features()
	steps := make([]tabled, len(b.path))
	for i, s := range b.path {
		steps[i] = tabled{column: i, zero: s.zero, mask: 1 << i, want: 1 << i}
	}
	list = b.t.featuresBelow(c, list)
	g := shapGroup{
		mask: 1<<len(b.path) - 1, table: len(b.e.table),
		first: int32(len(b.tree.inner)), last: int32(len(b.tree.inner) + below),
		from: int32(len(b.tree.list)), to: int32(len(b.tree.list) + len(list)),
	}
	b.tree.list = append(b.tree.list, list...)
	b.e.table = append(b.e.table, make([]float64, len(list)<<(len(b.path)+below))...)
	b.fill(b.e.table[g.table:], list, c, steps, len(b.path))
	b.tree.groups = append(b.tree.groups, g)
	return groupPlace(len(b.tree.groups) - 1)
}

// fill adds the leaves below c to a table whose next free bit is bit, and
// returns the next.
func (b *shapBuilder) fill(table []float64, list []int32, c int32, steps []tabled, bit int) int {
	if c < 0 {
		addLeaf(table, len(list), steps, b.t.LeafValue[^c])
		return bit
	}
	t := b.t
	b.tree.inner = append(b.tree.inner, b.node(c, bit))
	own := uint64(1) << bit
	bit++
	column := slices.Index(list, t.Feature[c])
	at := slices.IndexFunc(steps, func(s tabled) bool { return s.column == column })
	if at < 0 {
		at = len(steps)
		steps = append(slices.Clone(steps), tabled{column: column, zero: 1})
	}
	for _, to := range [2]int32{t.Left[c], t.Right[c]} {
		down := slices.Clone(steps)
		s := &down[at]
		s.zero *= t.share(c, to)
		s.mask |= own
		if to == t.Left[c] {
			s.want |= own
		}
		bit = b.fill(table, list, to, down, bit)
	}
	return bit
}

// addLeaf adds what a leaf of value v contributes to every row of a table.
func addLeaf(table []float64, columns int, steps []tabled, v float64) {
	d := len(steps)
	leaf := leafTable(steps, v)
	for at := range len(table) / columns {
		pattern := 0
		for i, s := range steps {
			if uint64(at)&s.mask == s.want {
				pattern |= 1 << i
			}
		}
		row := table[at*columns : (at+1)*columns]
		for i, x := range leaf[pattern*d : (pattern+1)*d] {
			row[steps[i].column] += x
		}
	}
}

// leafTable is what a leaf of value v gives each of its path's features, for
// every pattern: row-major, 2^d × d.
func leafTable(steps []tabled, v float64) []float64 {
	d := len(steps)
	q := newQuadrature((d + 1) / 2)
	n := len(q.weight)
	// products has the factors of all features, by pattern and point.
	products := make([]float64, n, n<<d)
	for k, w := range q.weight {
		products[k] = w * v
	}
	coefficient := make([]float64, 2*d*n)
	for i, s := range steps {
		size := len(products)
		products = products[:2*size]
		for k := range size {
			p := q.points[k%n]
			zero := s.zero * q.rest[k%n]
			products[size+k] = products[k] * (p + zero)
			products[k] *= zero
		}
		for k := range n {
			zero := s.zero * q.rest[k]
			if zero > 0 { // else the product is 0 wherever this would count
				coefficient[2*i*n+k] = -1 / q.rest[k]
			}
			coefficient[(2*i+1)*n+k] = (1 - s.zero) / (q.points[k] + zero)
		}
	}
	out := make([]float64, d<<d)
	for pattern := range 1 << d {
		for i := range d {
			c := coefficient[(2*i+pattern>>i&1)*n:]
			sum := 0.0
			for k, x := range products[pattern*n : (pattern+1)*n] {
				sum += x * c[k]
			}
			out[pattern*d+i] = sum
		}
	}
	return out
}

// newQuadrature has so many points of Gauss and Legendre on (0, 1).
func newQuadrature(n int) *quadrature {
	q := &quadrature{
		points: make([]float64, n), weight: make([]float64, n),
		rest: make([]float64, n), overRest: make([]float64, n), ones: make([]float64, n),
	}
	quad.Legendre{}.FixedLocations(q.points, q.weight, 0, 1)
	for i, p := range q.points {
		q.rest[i], q.overRest[i], q.ones[i] = 1-p, 1/(1-p), 1
	}
	return q
}
