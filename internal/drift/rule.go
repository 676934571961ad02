package drift

import (
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Defaults of a verdict.
const (
	DefaultAlpha     = 0.005
	DefaultMinRows   = 100
	DefaultMinEffect = 0.005
)

// Holm keeps the chance of any false alarm among the columns at its value
// (Holm 1979), whatever the columns' dependence.
type Holm float64

// Limits returns one bound a column, given all their p-values in the same
// order: a column drifts when its p-value is not above its bound. P-values that are NaN take no part and get the
// bound 0.
func (h Holm) Limits(p []float64) []float64 {
	order := make([]int, 0, len(p))
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case p[i] < p[j]:
			return -1
		case p[i] > p[j]:
			return 1
		}
		return 0
	})
	limits := make([]float64, len(p))
	bound := 0.0
	for rank, i := range order {
		next := float64(h) / float64(len(order)-rank)
		if rank == 0 || p[order[rank-1]] <= bound {
			bound = next
		}
		limits[i] = bound // once one column stays, all behind it do
	}
	return limits
}

// Budget is a number of false alarms that is borne in a year.
type Budget struct {
	PerYear float64       // alarms a year, more than 0
	Window  time.Duration // length of the current sample
	Every   time.Duration // from one comparison to the next
}

const (
	year      = 8765*time.Hour + 49*time.Minute + 12*time.Second
	mostLevel = 0.05 // of one comparison, however large the budget
)

// Checks is the number of comparisons in a year.
func (b Budget) Checks() float64 { return float64(year) / float64(max(b.Every, 1)) }

// Level is the chance of a false alarm that one comparison may have. Windows
// that do not overlap err one by one, and the budget is shared out among them.
// Those that do see nearly the same rows: alarms less than a window apart are
// one. The score of overlapping windows is near a Gaussian process
// whose correlation falls linearly to 0 over a window, for which the rate of
// crossings of u, looked at every Δ of a window W, is
//
//	2·u·φ(u)·ν(u·√(2Δ/W)) / W
//
// with ν the correction for looking now and then only (Siegmund 1985,
// "Sequential Analysis", for two-sided scores). It is at most 5 %.
func (b Budget) Level() float64 {
	apart := b.PerYear / b.Checks()
	if b.Every >= b.Window || b.Window <= 0 {
		return min(apart, mostLevel)
	}
	perYear := func(u float64) float64 {
		x := u * math.Sqrt(2*float64(b.Every)/float64(b.Window))
		return float64(year) / float64(b.Window) * 2 * u * distuv.UnitNormal.Prob(u) * overshoot(x)
	}
	lo, hi := 1., 12. // perYear falls from 1 on
	for range 60 {
		if mid := (lo + hi) / 2; perYear(mid) > b.PerYear {
			lo = mid
		} else {
			hi = mid
		}
	}
	return min(max(normalP(hi), apart), mostLevel)
}

// overshoot is ν(x), by the approximation of Siegmund and Yakir (2007, "The
// statistics of gene mapping", eq. 5.7).
func overshoot(x float64) float64 {
	if x < 1e-6 {
		return 1
	}
	half := distuv.UnitNormal.CDF(x/2) - 0.5
	return 2 / x * half / (x/2*distuv.UnitNormal.CDF(x/2) + distuv.UnitNormal.Prob(x/2))
}
