package drift

import (
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// QuantileShift is by how much the q-quantile of b lies above that of a, two
// sorted samples without NaN, 0 ≤ q ≤ 1, in the column's unit, and an interval
// that covers the shift of the two distributions with probability level. It is
// made of the two quantiles' own intervals between order statistics, which hold
// for any distribution (binomial; David & Nagaraja 2003, section 7.1), joined
// by their squares as Newcombe and MOVER do (Zou & Donner 2008). An end is
// infinite where the sample is too small to bound it, such as beyond the least
// or greatest value, and both are when the shift is; ties make the interval wider
// than it need be. All are NaN when a sample is empty; infinite quantiles of one
// sign have the shift 0.
func QuantileShift(a, b []float64, q, level float64) (shift, lo, hi float64) {
	from, to := Quantile(a, q), Quantile(b, q)
	if from != to {
		shift = to - from
	}
	switch {
	case math.IsNaN(shift):
		return shift, shift, shift
	case math.IsInf(shift, 0):
		return shift, math.Inf(-1), math.Inf(1)
	}
	aLo, aHi := quantileErrors(a, q, level)
	bLo, bHi := quantileErrors(b, q, level)
	return shift, shift - math.Hypot(bLo, aHi), shift + math.Hypot(bHi, aLo)
}

// quantileErrors are how far the interval of a quantile at the level reaches
// below and above it.
func quantileErrors(sorted []float64, q, level float64) (below, above float64) {
	n := len(sorted)
	tail := (1 - level) / 2
	// The number of values below the quantile is binomial: it is < r with at
	// most tail, and ≥ s with at most tail.
	r := binomialQuantile(n, q, tail)
	s := binomialQuantile(n, q, 1-tail) + 1
	at := Quantile(sorted, q)
	below, above = math.Inf(1), math.Inf(1)
	if r >= 1 {
		below = gap(sorted[r-1], at)
	}
	if s <= n {
		above = gap(at, sorted[s-1])
	}
	return below, above
}

// gap is how far y lies above x, 0 when it does not; also for infinities.
func gap(x, y float64) float64 {
	if y <= x {
		return 0
	}
	return y - x
}

// binomialQuantile is the least k with P(X ≤ k) ≥ p for X binomial with n
// trials of probability q.
func binomialQuantile(n int, q, p float64) int {
	lo, hi := 0, n
	for lo < hi {
		k := (lo + hi) / 2
		if binomialCDF(k, n, q) >= p {
			hi = k
		} else {
			lo = k + 1
		}
	}
	return lo
}

// binomialCDF is P(X ≤ k) for X binomial with n trials of probability q.
func binomialCDF(k, n int, q float64) float64 {
	switch {
	case k >= n || q <= 0:
		return 1
	case q >= 1:
		return 0
	}
	return mathext.RegIncBeta(float64(n-k), float64(k)+1, 1-q)
}

// ProportionZ is the two-sided z test of a rows of n against b of m under a
// pooled variance, z positive where the second share is greater (Evidently's
// "z" with the other sign, statsmodels' proportions_ztest). Both are NaN when a
// sample is empty; z is 0 and p 1 when no row or every row counts. For rare
// events prefer [RateZ].
func ProportionZ(a, n, b, m float64) (z, p float64) {
	if n == 0 || m == 0 {
		return math.NaN(), math.NaN()
	}
	pooled := (a + b) / (n + m)
	variance := pooled * (1 - pooled) * (1/n + 1/m)
	if variance <= 0 {
		return 0, 1
	}
	z = (b/m - a/n) / math.Sqrt(variance)
	return z, normalP(z)
}

// ProportionShift is the difference b/m − a/n of two shares, in [−1, 1], and
// the interval of it at a level, within [−1, 1]: Newcombe's (1998) method 10, the
// two [Wilson] intervals joined by their squares. All are NaN when a sample is
// empty.
func ProportionShift(a, n, b, m, level float64) (shift, lo, hi float64) {
	if n == 0 || m == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	p, q := a/n, b/m
	aLo, aHi := Wilson(a, n, level)
	bLo, bHi := Wilson(b, m, level)
	shift = q - p
	return shift, shift - math.Hypot(q-bLo, aHi-p), shift + math.Hypot(bHi-q, p-aLo)
}

// Wilson is Wilson's (1927) score interval of a share of which a rows of n were
// seen, at a level, within [0, 1]. It is NaN without rows.
func Wilson(a, n, level float64) (lo, hi float64) {
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	z := distuv.UnitNormal.Quantile((1 + level) / 2)
	p, z2 := a/n, z*z/n
	middle := (p + z2/2) / (1 + z2)
	half := math.Sqrt(z2*(p*(1-p)+z2/4)) / (1 + z2)
	lo, hi = max(middle-half, 0), min(middle+half, 1)
	if a == 0 {
		lo = 0 // not a rounding above it
	}
	if a == n {
		hi = 1
	}
	return lo, hi
}

// FisherExact is the two-sided p-value of Fisher's (1935) exact test of a rows
// of n against b of m: the probability, given all four totals, of a table that
// is no more probable than this one (scipy's fisher_exact, Evidently's
// "fisher_exact"). Counts are whole. It is NaN when a sample is empty. Time
// grows with the root of the number of rows, or with the distance from what
// was to be expected.
func FisherExact(a, n, b, m float64) float64 {
	if n == 0 || m == 0 {
		return math.NaN()
	}
	events := a + b
	lo, hi := max(0, events-m), min(events, n)
	mode := min(max(math.Floor((events+1)*(n+1)/(n+m+2)), lo), hi)
	// up is how much more probable x+1 of n are than x.
	up := func(x float64) float64 { return (n - x) * (events - x) / ((x + 1) * (m - events + x + 1)) }
	here := 1.0 // the probability of a over the mode's
	for x := mode; x < a; x++ {
		here *= up(x)
	}
	for x := mode; x > a; x-- {
		here /= up(x - 1)
	}
	bound := here * (1 + 1e-9) // rounding separates no equals
	var all, tail float64
	count := func(p float64) bool {
		all += p
		if p <= bound {
			tail += p
		}
		return p > 1e-18*here
	}
	more := count(1)
	for x, p := mode, 1.0; more && x < hi; x++ {
		p *= up(x)
		more = count(p)
	}
	more = true
	for x, p := mode, 1.0; more && x > lo; x-- {
		p /= up(x - 1)
		more = count(p)
	}
	return min(tail/all, 1)
}
