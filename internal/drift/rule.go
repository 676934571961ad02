package drift

import (
	"math"
	"slices"
)

// Defaults of a verdict.
const (
	DefaultAlpha     = 0.01
	DefaultMinRows   = 100
	DefaultMinEffect = 0.005
)

// A Rule says at which p-value a column counts as drifted: Limits returns one
// bound a column, given all their p-values in the same order. The column
// drifts when its p-value is not above the bound. A rule of calibrated
// thresholds may ignore p and give what it learned.
type Rule interface {
	Limits(p []float64) []float64
}

// Holm keeps the chance of any false alarm among the columns at its value
// (Holm 1979), whatever the columns' dependence.
type Holm float64

// Limits implements [Rule]. P-values that are NaN take no part and get the
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

// Budget is the rule that raises perYear false alarms a year on average when
// the same columns are compared checks times a year.
func Budget(perYear, checks float64) Holm {
	return Holm(min(perYear/max(checks, 1), 0.5))
}
