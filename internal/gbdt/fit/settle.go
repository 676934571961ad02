package fit

import (
	"math"
	"slices"
)

// settling is what the output of a node depends on when the tree has grown.
type settling struct {
	exact  sums // of the gradients before they were packed
	l2     float64
	bounds interval
}

// piece is a block of rows of one leaf.
type piece struct {
	leaf int
	rows []int32
	sums
}

// settle notes the leaf of every row and computes the outputs of leaves and
// nodes from gradients that were not rounded.
func (g *grower) settle() {
	t := &g.tree
	g.pieces = g.pieces[:0]
	for i := range t.LeafValue {
		l := &g.leaves[i]
		l.exact = sums{}
		for rows := range slices.Chunk(g.rowsOf(l), rowBlock) {
			g.pieces = append(g.pieces, piece{leaf: i, rows: rows})
		}
	}
	g.crew.run(len(g.pieces), g.settleJob)
	for i := range g.pieces {
		p := &g.pieces[i]
		s := &g.leaves[p.leaf].exact
		s.g, s.h = s.g+p.g, s.h+p.h
	}
	for i := range t.LeafValue {
		t.LeafValue[i], t.LeafWeight[i] = g.output(&g.leaves[i].settling)
	}
	for i := len(t.Feature) - 1; i >= 0; i-- {
		n := &g.nodes[i]
		for _, c := range [2]int32{t.Left[i], t.Right[i]} {
			s := &g.leaves[max(^c, 0)].exact
			if c >= 0 {
				s = &g.nodes[c].exact
			}
			n.exact.g, n.exact.h = n.exact.g+s.g, n.exact.h+s.h
		}
		t.InternalValue[i], t.InternalWeight[i] = g.output(n)
	}
}

// output is the value and the weight of a node.
func (g *grower) output(s *settling) (value, weight float64) {
	return number(g.scans[0].output(s.exact.g, s.exact.h, s.l2, s.bounds)), s.exact.h
}

func (g *grower) sumPiece(_, i int) {
	p := &g.pieces[i]
	prefetch(g.grad, 1, p.rows)
	for _, r := range p.rows {
		g.leafOf[r] = uint16(p.leaf)
	}
	var s sums
	for _, r := range p.rows {
		s.g += float64(g.grad[r].g)
		s.h += float64(g.grad[r].h)
	}
	p.sums = s
}

// number reads NaN, the output of a leaf of no weight, as 0.
func number(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}
