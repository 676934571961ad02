package drift

import (
	"math"
	"sort"
)

// Grid cuts numbers into cells at quantiles of a reference. Values that are
// heavy in the reference are cells of their own, the others lie in the open
// intervals between the edges (an edge that is no such value belongs to the
// interval above it).
type Grid struct {
	Edges []float64 // ascending, distinct
	Heavy []bool    // per edge: is a cell of its own
	id    []uint8   // raw cell (2i below edge i, 2i+1 at it) → cell
	cells int
	// tenths maps cells to those of the grid of ten parts, on which distances
	// are taken, as is the custom.
	tenths []uint8
	ten    int // cells of that
}

// maxEdges keeps the cells within a byte.
const maxEdges = 120

// NewGrid makes a grid with edges at parts−1 inner quantiles of a sorted
// sample and at its least and greatest value. A value is heavy when it makes
// up a quarter of what one part should hold. Without values the grid has one
// cell.
func NewGrid(sorted []float64, parts int) *Grid {
	g := &Grid{}
	n := len(sorted)
	parts = min(max(parts, 1), maxEdges-1)
	for i := 0; i <= parts && n > 0; i++ {
		e := sorted[(2*i*(n-1)+parts)/(2*parts)]
		if k := len(g.Edges); k == 0 || e > g.Edges[k-1] {
			g.Edges = append(g.Edges, e)
			at := sort.SearchFloat64s(sorted, e)
			end := at + sort.Search(n-at, func(j int) bool { return sorted[at+j] > e })
			g.Heavy = append(g.Heavy, 4*parts*(end-at) >= n)
		}
	}
	g.id = make([]uint8, 2*len(g.Edges)+1)
	for i, heavy := range g.Heavy {
		g.id[2*i+1] = g.id[2*i] + 1
		g.id[2*i+2] = g.id[2*i+1]
		if heavy {
			g.id[2*i+2]++
		}
	}
	g.cells = int(g.id[len(g.id)-1]) + 1
	return g
}

// Len is the number of cells.
func (g *Grid) Len() int { return g.cells }

// Cell is the cell of x, which is not NaN.
func (g *Grid) Cell(x float64) uint8 {
	lo, n := 0, len(g.Edges) // lo: number of edges below x
	for n > 0 {
		h := n / 2
		if g.Edges[lo+h] < x {
			lo += h + 1
			n -= h + 1
		} else {
			n = h
		}
	}
	if lo < len(g.Edges) && g.Edges[lo] == x {
		return g.id[2*lo+1]
	}
	return g.id[2*lo]
}

// merge maps g's cells to those of a coarser grid of the same sample, whose
// edges are among g's.
func (g *Grid) merge(coarse *Grid) []uint8 {
	out := make([]uint8, g.cells)
	for i, e := range g.Edges {
		out[g.id[2*i]] = coarse.Cell(math.Nextafter(e, math.Inf(-1)))
		out[g.id[2*i+1]] = coarse.Cell(e)
	}
	if n := len(g.Edges); n > 0 {
		out[g.cells-1] = coarse.Cell(math.Inf(1))
		if e := g.Edges[n-1]; !g.Heavy[n-1] || e == math.Inf(1) {
			out[g.cells-1] = coarse.Cell(e)
		}
	}
	return out
}

// Tenth is the cell of x, which is not NaN, on the grid of ten parts that a
// [NumberGrid] has within.
func (g *Grid) Tenth(x float64) uint8 { return g.tenths[g.Cell(x)] }

// Tenths is the number of those cells.
func (g *Grid) Tenths() int { return g.ten }
