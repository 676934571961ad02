package onnx

import (
	"math"
	"math/bits"

	"github.com/healml/healml/internal/gbdt"
)

var nan = math.NaN()

// variant is what a node reads of a feature.
type variant struct {
	feature int32
	how     reading
}

type reading uint8

const (
	asItIs     reading = iota
	zeroIsNaN          // where zero counts as missing
	asCategory         // cut to a whole number, NaN where it is no category
)

// Modes of nodes.
const (
	leq    = 0
	member = 6
)

// ensemble is a model in the attributes of TreeEnsemble.
type ensemble struct {
	columns  []variant // of the input
	index    map[variant]int64
	roots    []int64
	features []int64
	modes    []byte
	splits   []float64
	missing  []int64 // whether NaN goes to the true side
	onTrue   []int64
	onFalse  []int64
	leafTrue []int64 // whether onTrue is a leaf
	leafFals []int64
	members  []float64 // of category sets, each ended by NaN
	targets  []int64   // of leaves
	weights  []float64
	outputs  int
}

func newEnsemble(m *gbdt.Model) *ensemble {
	e := &ensemble{index: map[variant]int64{}, outputs: m.TreesPerIteration}
	for i := range m.Trees {
		e.add(&m.Trees[i], int64(i%m.TreesPerIteration))
	}
	if len(e.columns) == 0 {
		e.column(variant{0, asItIs}) // the operator needs an input
	}
	return e
}

func (e *ensemble) column(v variant) int64 {
	at, ok := e.index[v]
	if !ok {
		at = int64(len(e.columns))
		e.index[v], e.columns = at, append(e.columns, v)
	}
	return at
}

// add appends a tree. One without a split becomes a node both sides of which
// are its leaf.
func (e *ensemble) add(t *gbdt.Tree, target int64) {
	node, leaf := int64(len(e.modes)), int64(len(e.weights))
	e.roots = append(e.roots, node)
	for _, w := range t.LeafValue {
		e.targets, e.weights = append(e.targets, target), append(e.weights, w)
	}
	if len(t.Feature) == 0 {
		e.node(variant{0, asItIs}, leq, 0, false)
		e.child(&e.onTrue, &e.leafTrue, -1, node, leaf)
		e.child(&e.onFalse, &e.leafFals, -1, node, leaf)
		return
	}
	for i, f := range t.Feature {
		d := t.Decision[i]
		left := d&gbdt.DefaultLeft != 0
		switch {
		case d&gbdt.Categorical != 0:
			e.node(variant{f, asCategory}, member, 0, false)
			e.set(t.Set(i))
		case d&gbdt.MissingZero != 0:
			e.node(variant{f, zeroIsNaN}, leq, t.Threshold[i], left)
		case d&gbdt.MissingNaN != 0:
			e.node(variant{f, asItIs}, leq, t.Threshold[i], left)
		default: // NaN stands for zero
			e.node(variant{f, asItIs}, leq, t.Threshold[i], t.Threshold[i] >= 0)
		}
		e.child(&e.onTrue, &e.leafTrue, t.Left[i], node, leaf)
		e.child(&e.onFalse, &e.leafFals, t.Right[i], node, leaf)
	}
}

func (e *ensemble) node(v variant, mode byte, split float64, missing bool) {
	e.features, e.modes, e.splits = append(e.features, e.column(v)), append(e.modes, mode), append(e.splits, split)
	e.missing = append(e.missing, truth(missing))
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// child notes where a side leads: a node, or the leaf ^c.
func (e *ensemble) child(to, isLeaf *[]int64, c int32, node, leaf int64) {
	if c < 0 {
		*to, *isLeaf = append(*to, leaf+int64(^c)), append(*isLeaf, 1)
	} else {
		*to, *isLeaf = append(*to, node+int64(c)), append(*isLeaf, 0)
	}
}

func (e *ensemble) set(words []uint32) {
	for w, word := range words {
		for ; word != 0; word &= word - 1 {
			e.members = append(e.members, float64(32*w+bits.TrailingZeros32(word)))
		}
	}
	e.members = append(e.members, nan)
}

// trees adds the operator and returns the raw scores, rows × outputs.
func (g *graph) trees(e *ensemble) string {
	columns := make([]string, len(e.columns))
	for i, v := range e.columns {
		columns[i] = g.variant(v)
	}
	x := g.node("", "Concat", columns, attribute("axis", int64(1)))
	n := int64(len(e.modes))
	modes := tensor("", uint8Type, []int64{n}).sub(9, e.modes)
	attributes := []message{
		attribute("aggregate_function", int64(1)), attribute("post_transform", int64(0)), attribute("n_targets", int64(e.outputs)),
		attribute("tree_roots", e.roots), attribute("nodes_featureids", e.features), attribute("nodes_modes", modes),
		attribute("nodes_splits", doubles("", []int64{n}, e.splits)), attribute("nodes_missing_value_tracks_true", e.missing),
		attribute("nodes_truenodeids", e.onTrue), attribute("nodes_trueleafs", e.leafTrue),
		attribute("nodes_falsenodeids", e.onFalse), attribute("nodes_falseleafs", e.leafFals),
		attribute("leaf_targetids", e.targets), attribute("leaf_weights", doubles("", []int64{int64(len(e.weights))}, e.weights)),
	}
	if len(e.members) > 0 {
		attributes = append(attributes, attribute("membership_values", doubles("", []int64{int64(len(e.members))}, e.members)))
	}
	return g.node(mlDomain, "TreeEnsemble", []string{x}, attributes...)
}

// variant is the value of a feature as nodes read it.
func (g *graph) variant(v variant) string {
	x := g.features[v.feature]
	switch v.how {
	case zeroIsNaN:
		zero := g.op("LessOrEqual", g.op("Abs", x), g.number(gbdt.ZeroThreshold))
		return g.op("Where", zero, g.number(nan), x)
	case asCategory:
		known := g.op("And", g.op("Greater", x, g.number(-1)), g.op("Less", x, g.number(1<<31)))
		cut := g.op("Floor", g.op("Abs", x)) // of (−1, 0) it is 0
		return g.op("Where", known, cut, g.number(-1))
	}
	return x
}
