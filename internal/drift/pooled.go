package drift

import (
	"iter"
	"math"
	"sort"
)

// step is a value of the pooled sample, with the number of times that either
// sample holds it. −0 and +0 are one value.
type step struct {
	x    float64
	a, b int
}

// steps walks through the distinct values of two sorted samples without NaN,
// in ascending order, in time O(n+m).
func steps(a, b []float64) iter.Seq[step] {
	return func(yield func(step) bool) {
		i, j := 0, 0
		for i < len(a) || j < len(b) {
			var x float64
			if j == len(b) || i < len(a) && a[i] <= b[j] {
				x = a[i]
			} else {
				x = b[j]
			}
			i0, j0 := i, j
			for i < len(a) && a[i] == x {
				i++
			}
			for j < len(b) && b[j] == x {
				j++
			}
			if !yield(step{x, i - i0, j - j0}) {
				return
			}
		}
	}
}

// finite is the part of a sorted sample without NaN that is finite.
func finite(sorted []float64) []float64 {
	lo := sort.Search(len(sorted), func(i int) bool { return sorted[i] >= -math.MaxFloat64 })
	hi := sort.Search(len(sorted), func(i int) bool { return sorted[i] > math.MaxFloat64 })
	return sorted[lo:hi]
}

// scaleFor is the power of two by which values of magnitude up to greatest are
// multiplied so that neither their differences nor the squares of these
// overflow or vanish: 1 for all that one meets, which keeps results as they
// are. Multiplying by it is exact but for values too small to matter beside
// the greatest.
func scaleFor(greatest float64) float64 {
	if greatest == 0 || greatest > 0x1p-300 && greatest < 0x1p300 {
		return 1
	}
	_, exponent := math.Frexp(greatest)
	return math.Ldexp(1, min(max(-exponent, -1000), 1000))
}

// scaleOf is scaleFor the greatest finite value of sorted samples.
func scaleOf(samples ...[]float64) float64 {
	greatest := 0.0
	for _, s := range samples {
		if s = finite(s); len(s) > 0 {
			greatest = max(greatest, -s[0], s[len(s)-1])
		}
	}
	return scaleFor(greatest)
}

// scaled returns u·v; v itself when u is 1.
func scaled(v []float64, u float64) []float64 {
	if u == 1 {
		return v
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = u * x
	}
	return out
}
