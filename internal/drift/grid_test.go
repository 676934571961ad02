package drift

import (
	"slices"
	"sort"
	"testing"
)

// TestTenths: distances are taken on the very grid of ten parts that a sample
// has, by adding up the finer cells.
func TestTenths(t *testing.T) {
	for name, draw := range shapes() {
		r := newRand(5)
		for n := 2; n < 3000; n = 2*n + 1 {
			ref, _ := Sorted(draw(r, n))
			cur, _ := Sorted(draw(r, n))
			if len(ref) == 0 {
				continue
			}
			g, ten := NumberGrid(ref), NewGrid(ref, 10)
			for _, v := range [][]float64{ref, cur} {
				if got := pool(g.Counts(v), g.tenths, g.ten); !slices.Equal(got, ten.Counts(v)) {
					t.Errorf("%s, %d rows: %v, want %v", name, n, got, ten.Counts(v))
				}
			}
		}
	}
}

// Counts counts the values of a sorted sample in each cell.
func (g *Grid) Counts(sorted []float64) []float64 {
	counts := make([]float64, g.cells)
	at := 0
	for i, e := range g.Edges {
		below := at + sort.SearchFloat64s(sorted[at:], e)
		end := below + sort.Search(len(sorted)-below, func(j int) bool { return sorted[below+j] > e })
		counts[g.id[2*i]] += float64(below - at)
		counts[g.id[2*i+1]] += float64(end - below)
		at = end
	}
	counts[g.cells-1] += float64(len(sorted) - at)
	return counts
}
