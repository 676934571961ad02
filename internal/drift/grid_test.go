package drift

import (
	"slices"
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
