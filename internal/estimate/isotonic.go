package estimate

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sort"
)

// Isotonic is a rising curve through the points (X, Y), straight between them
// and level beyond. X rises strictly, Y does not fall. No point at all stands
// for the identity.
type Isotonic struct {
	X []float64 `json:"x"`
	Y []float64 `json:"y"`
}

// FitIsotonic is the least-squares fit of a curve that does not fall, by
// pooling adjacent violators (Ayer et al. 1955). Values of one x are averaged
// first. Inner points of level stretches are left out. The result is the
// identity for no rows; NaN is not allowed.
func FitIsotonic(x, y []float64) Isotonic {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	type pool struct{ lo, hi, sum, n float64 }
	var pools []pool
	for i := 0; i < len(order); {
		p := pool{lo: x[order[i]], hi: x[order[i]]}
		for ; i < len(order) && x[order[i]] == p.lo; i++ {
			p.sum += y[order[i]]
			p.n++
		}
		for len(pools) > 0 {
			last := pools[len(pools)-1]
			if last.sum/last.n < p.sum/p.n {
				break
			}
			p = pool{last.lo, p.hi, last.sum + p.sum, last.n + p.n}
			pools = pools[:len(pools)-1]
		}
		pools = append(pools, p)
	}
	var c Isotonic
	for _, p := range pools {
		c.X, c.Y = append(c.X, p.lo), append(c.Y, p.sum/p.n)
		if p.hi > p.lo {
			c.X, c.Y = append(c.X, p.hi), append(c.Y, p.sum/p.n)
		}
	}
	return c
}

// At is the curve's value at x; NaN for NaN.
func (c *Isotonic) At(x float64) float64 {
	n := len(c.X)
	switch {
	case n == 0 || math.IsNaN(x):
		return x
	case x <= c.X[0]:
		return c.Y[0]
	case x >= c.X[n-1]:
		return c.Y[n-1]
	}
	i := sort.SearchFloat64s(c.X, x) // X[i−1] < x ≤ X[i]
	share := (x - c.X[i-1]) / (c.X[i] - c.X[i-1])
	return c.Y[i-1] + share*(c.Y[i]-c.Y[i-1])
}

func (c *Isotonic) validate() error {
	if len(c.X) != len(c.Y) {
		return errors.New("a curve has points without a value")
	}
	for i, y := range c.Y {
		if !finite(c.X[i]) || !finite(y) || i > 0 && (c.X[i] <= c.X[i-1] || y < c.Y[i-1]) {
			return errors.New("a curve does not rise")
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
