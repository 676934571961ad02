package gbdt

import "math"

// plain is the layout that every model fits and by which the others are
// judged: nodes as they are stored, walked one tree after another.
type plain struct {
	nodes  []node
	roots  []int32 // one a tree: node index, or ^index of a leaf
	leaves []float64
	first  []int32 // index of each tree's leaf 0 in leaves
	sets   []uint32
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

// maxSetWords bounds the words of one category set.
const maxSetWords = math.MaxUint16

// MaxCategory is the greatest category that a set of a tree can hold.
const MaxCategory = 32*maxSetWords - 1

func newPlain(m *Model) (*plain, error) {
	var inner, leaves, words int
	for i := range m.Trees {
		inner += len(m.Trees[i].Feature)
		leaves += len(m.Trees[i].LeafValue)
		words += len(m.Trees[i].CatThreshold)
	}
	if inner > math.MaxInt32 || leaves > math.MaxInt32 {
		return nil, &ModelError{-1, -1, "more than 2³¹ nodes"}
	}
	p := &plain{
		nodes:  make([]node, 0, inner),
		leaves: make([]float64, 0, leaves),
		sets:   make([]uint32, 0, words),
	}
	for i := range m.Trees {
		if err := p.add(i, &m.Trees[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add appends a tree.
func (p *plain) add(index int, t *Tree) error {
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

// leaf walks from a root to the index of a leaf.
func (p *plain) leaf(at int32, row []float64) int32 {
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
func (p *plain) special(n *node, x float64) bool {
	if n.kind == category {
		c, ok := categoryOf(x)
		if !ok || c/32 >= uint32(n.words) {
			return false
		}
		return p.sets[uint32(n.threshold)+c/32]>>(c%32)&1 != 0
	}
	if math.Abs(x) <= ZeroThreshold || x != x {
		return n.kind == zeroLeft
	}
	return x <= n.threshold
}

// categoryOf returns the category that a number stands for, if any.
// Truncation is towards zero, as in C: −0.5 is category 0.
func categoryOf(x float64) (c uint32, ok bool) {
	if !(x > -1 && x < 1<<31) {
		return 0, false
	}
	return uint32(int32(x)), true
}

// raw adds the leaves of a row to dst.
func (p *plain) raw(dst, row []float64) {
	k := 0
	for _, root := range p.roots {
		dst[k] += p.leaves[p.leaf(root, row)]
		if k++; k == len(dst) {
			k = 0
		}
	}
}

// exits sets dst to the leaves that a row reaches.
func (p *plain) exits(dst []int32, row []float64) {
	for t, root := range p.roots {
		dst[t] = p.leaf(root, row) - p.first[t]
	}
}
