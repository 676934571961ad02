package gbdt

import (
	"fmt"
	"math"
)

// Bits of a node's decision byte.
const (
	Categorical  = 1 << 0 // the node tests membership in a category set
	DefaultLeft  = 1 << 1 // missing values go left
	MissingZero  = 1 << 2 // zero and NaN are missing
	MissingNaN   = 2 << 2 // NaN is missing
	missingMask  = 3 << 2
	decisionMask = Categorical | DefaultLeft | missingMask
)

// ZeroThreshold is the greatest magnitude that a node with [MissingZero]
// takes for zero: LightGBM's float32 constant 1e-35f, widened.
const ZeroThreshold = float64(float32(1e-35))

// MaxOutputs bounds [Model.NumOutputs], so that a damaged file cannot make
// its reader reserve memory without end.
const MaxOutputs = 1 << 16

// Model is an ensemble of trees. It is plain data; [Model.Validate] says
// whether it makes sense, and [NewPredictor] makes it predict.
type Model struct {
	// Trees are in the order in which they were grown. Tree i adds to output
	// i mod TreesPerIteration; the length is a multiple of that.
	Trees []Tree
	// NumClass is the number of classes of a multiclass model, 1 otherwise.
	NumClass int
	// TreesPerIteration is the number of outputs.
	TreesPerIteration int
	// LabelIndex is the column of the label in the training file. It means
	// nothing here and is kept for round trips.
	LabelIndex int
	// Objective is LightGBM's name with its settings, as in "binary
	// sigmoid:1"; see [ParseObjective]. Empty stands for raw output.
	Objective string
	// AverageOutput divides the raw score by the number of iterations
	// (random forests).
	AverageOutput bool
	// FeatureNames has one name a feature. None has white space.
	FeatureNames []string
	// FeatureInfos has one note a feature: "[min:max]" of the training data,
	// the categories in bin order joined by ":", or "none" when unused.
	FeatureInfos []string
	// Monotone has −1, 0 or 1 a feature, or is nil. It is kept for round
	// trips: a grown tree needs it no more.
	Monotone []int
	// Params are the training parameters in order, by LightGBM's names.
	Params [][2]string
	// PandasCategorical is the JSON that LightGBM's Python package keeps on
	// the last line (categories by column); empty means null.
	PandasCategorical string
}

// Tree is one tree with n = len(LeafValue) ≥ 1 leaves. The arrays over inner
// nodes have n−1 elements, those over leaves n; the package comment tells
// what they mean.
type Tree struct {
	Feature   []int32   // index of the tested feature
	Threshold []float64 // number, or index of the category set
	Decision  []uint8   // kind of the test
	Left      []int32   // child taken when the test holds
	Right     []int32   // child taken otherwise

	Gain           []float64 // loss reduction of the split
	InternalValue  []float64 // output the node would have as a leaf
	InternalWeight []float64 // sum of hessians
	InternalCount  []int64   // training rows

	LeafValue  []float64 // output, learning rate included
	LeafWeight []float64 // sum of hessians
	LeafCount  []int64   // training rows

	// CatBoundaries has one element more than there are category sets and
	// starts with 0; nil without sets.
	CatBoundaries []int32
	CatThreshold  []uint32

	// Shrinkage is the rate that the leaves were multiplied with, 1 for the
	// tree that carries the initial score.
	Shrinkage float64
}

// NumLeaves is the number of leaves.
func (t *Tree) NumLeaves() int { return len(t.LeafValue) }

// NumSets is the number of category sets.
func (t *Tree) NumSets() int { return max(len(t.CatBoundaries)-1, 0) }

// Set is the category set of an inner node that tests membership in one: bit v of
// the words stands for category v.
func (t *Tree) Set(node int) []uint32 {
	i := int(t.Threshold[node])
	return t.CatThreshold[t.CatBoundaries[i]:t.CatBoundaries[i+1]]
}

// NumOutputs is the number of values that a prediction holds: 1, or the
// number of classes for a multiclass model. A binary model has 1, the
// probability of class 1.
func (m *Model) NumOutputs() int { return m.TreesPerIteration }

// NumIterations is the number of boosting rounds.
func (m *Model) NumIterations() int { return len(m.Trees) / m.TreesPerIteration }

// NumFeatures is the length of the rows that the model predicts from.
func (m *Model) NumFeatures() int { return len(m.FeatureNames) }

// ModelError says which part of a model makes no sense. Tree and Node are −1
// when the fault is not in a tree or not at a node.
type ModelError struct {
	Tree, Node int
	Reason     string
}

func (e *ModelError) Error() string {
	switch {
	case e.Tree < 0:
		return "model: " + e.Reason
	case e.Node < 0:
		return fmt.Sprintf("model: tree %d: %s", e.Tree, e.Reason)
	default:
		return fmt.Sprintf("model: tree %d, node %d: %s", e.Tree, e.Node, e.Reason)
	}
}

// Validate reports the first way in which the model contradicts itself, as a
// *[ModelError]. A model that passes can be predicted with and written
// without further checks: every index is in range, every tree is one tree
// that reaches each of its nodes and leaves exactly once, category sets lie
// within their array, and thresholds and leaves are numbers (leaves finite).
func (m *Model) Validate() error {
	bad := func(format string, a ...any) error {
		return &ModelError{Tree: -1, Node: -1, Reason: fmt.Sprintf(format, a...)}
	}
	k := m.TreesPerIteration
	switch {
	case k < 1 || k > MaxOutputs:
		return bad("%d trees per iteration, expected 1 to %d", k, MaxOutputs)
	case m.NumClass < 1 || m.NumClass > MaxOutputs:
		return bad("%d classes, expected 1 to %d", m.NumClass, MaxOutputs)
	case len(m.Trees)%k != 0:
		return bad("%d trees are no multiple of the %d trees per iteration", len(m.Trees), k)
	case len(m.FeatureNames) == 0:
		return bad("no features")
	case len(m.FeatureInfos) != len(m.FeatureNames):
		return bad("%d feature infos for %d features", len(m.FeatureInfos), len(m.FeatureNames))
	case m.Monotone != nil && len(m.Monotone) != len(m.FeatureNames):
		return bad("%d monotone constraints for %d features", len(m.Monotone), len(m.FeatureNames))
	case m.AverageOutput && len(m.Trees) == 0:
		return bad("an average over no trees")
	}
	o, err := ParseObjective(m.Objective)
	if err != nil {
		return bad("%s", err)
	}
	if o.Outputs != 0 && (o.Outputs != k || o.Outputs != m.NumClass) {
		return bad("objective %q with %d classes and %d trees per iteration", m.Objective, m.NumClass, k)
	}
	var walk treeWalk
	for i := range m.Trees {
		if node, reason := walk.check(&m.Trees[i], len(m.FeatureNames)); reason != "" {
			return &ModelError{Tree: i, Node: node, Reason: reason}
		}
	}
	return nil
}

// treeWalk checks trees one after another and keeps its memory.
type treeWalk struct {
	seen  []bool // inner nodes, then leaves
	stack []int32
}

// check returns the node (or −1) and the reason for which t is no tree over
// features numbered below features, or an empty reason.
func (w *treeWalk) check(t *Tree, features int) (node int, reason string) {
	if reason := t.checkSizes(); reason != "" {
		return -1, reason
	}
	for i := range t.Feature {
		if reason := t.checkNode(i, features); reason != "" {
			return i, reason
		}
	}
	for i, v := range t.LeafValue {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return -1, fmt.Sprintf("leaf %d has the value %v", i, v)
		}
	}
	return w.checkShape(t)
}

// checkShape walks from the root and wants to see every node and leaf once.
func (w *treeWalk) checkShape(t *Tree) (node int, reason string) {
	leaves := len(t.LeafValue)
	inner := leaves - 1
	if inner == 0 {
		return -1, ""
	}
	if n := inner + leaves; cap(w.seen) < n {
		w.seen = make([]bool, n)
	} else {
		w.seen = w.seen[:n]
		clear(w.seen)
	}
	w.stack = append(w.stack[:0], 0)
	w.seen[0] = true
	count := 1
	for len(w.stack) > 0 {
		i := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		for _, c := range [2]int32{t.Left[i], t.Right[i]} {
			at := int(c)
			if c < 0 {
				at = inner + int(^c)
			}
			if at >= len(w.seen) || c >= int32(inner) {
				return int(i), fmt.Sprintf("child %d does not exist", c)
			}
			if w.seen[at] {
				return int(i), fmt.Sprintf("child %d is reached twice", c)
			}
			w.seen[at] = true
			count++
			if c >= 0 {
				w.stack = append(w.stack, c)
			}
		}
	}
	if count != inner+leaves {
		return -1, fmt.Sprintf("only %d of %d nodes and leaves are reached", count, inner+leaves)
	}
	return -1, ""
}

func (t *Tree) checkSizes() string {
	leaves := len(t.LeafValue)
	if leaves == 0 || leaves > math.MaxInt32 {
		return fmt.Sprintf("%d leaves", leaves)
	}
	for _, a := range []struct {
		name      string
		got, want int
	}{
		{"features", len(t.Feature), leaves - 1},
		{"thresholds", len(t.Threshold), leaves - 1},
		{"decision types", len(t.Decision), leaves - 1},
		{"left children", len(t.Left), leaves - 1},
		{"right children", len(t.Right), leaves - 1},
		{"gains", len(t.Gain), leaves - 1},
		{"internal values", len(t.InternalValue), leaves - 1},
		{"internal weights", len(t.InternalWeight), leaves - 1},
		{"internal counts", len(t.InternalCount), leaves - 1},
		{"leaf weights", len(t.LeafWeight), leaves},
		{"leaf counts", len(t.LeafCount), leaves},
	} {
		if a.got != a.want {
			return fmt.Sprintf("%d %s for %d leaves", a.got, a.name, leaves)
		}
	}
	return t.checkSets()
}

func (t *Tree) checkSets() string {
	b := t.CatBoundaries
	if len(b) == 0 {
		if len(t.CatThreshold) > 0 {
			return "category words without boundaries"
		}
		return ""
	}
	if b[0] != 0 || int(b[len(b)-1]) != len(t.CatThreshold) {
		return "category boundaries do not span the category words"
	}
	for i := 1; i < len(b); i++ {
		if b[i] < b[i-1] {
			return fmt.Sprintf("category boundary %d is below the one before", i)
		}
	}
	return ""
}

func (t *Tree) checkNode(i, features int) string {
	if f := t.Feature[i]; f < 0 || int(f) >= features {
		return fmt.Sprintf("feature %d of %d", f, features)
	}
	d, x := t.Decision[i], t.Threshold[i]
	if d&^decisionMask != 0 || d&missingMask == missingMask {
		return fmt.Sprintf("decision type %d is unknown", d)
	}
	if math.IsNaN(x) {
		return "the threshold is NaN"
	}
	if d&Categorical != 0 && !(x >= 0 && x < float64(t.NumSets()) && x == math.Trunc(x)) {
		return fmt.Sprintf("category set %v of %d", x, t.NumSets())
	}
	return ""
}
