package drift

import (
	"math"
	"slices"
)

// ZeroShare stands in for a share of 0 in [PSI], which would be infinite.
// It is the value that Evidently and most risk departments use.
const ZeroShare = 1e-4

// PSI is the population stability index Σ (q−p)·ln(q/p) of two vectors of
// shares, in nats; shares below [ZeroShare] are lifted to it (Siddiqi 2006,
// "Credit risk scorecards"). By custom .1 is a moderate and .25 a great
// change, whatever the number of rows; with small samples or many cells it is
// great by chance alone.
func PSI(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		a, b := max(p[i], ZeroShare), max(q[i], ZeroShare)
		sum += (b - a) * math.Log(b/a)
	}
	return sum
}

// JensenShannon is the Jensen–Shannon distance, the root of the divergence to
// base 2, in [0, 1] (Endres & Schindelin 2003; scipy's jensenshannon, base 2).
func JensenShannon(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		m := (p[i] + q[i]) / 2
		if p[i] > 0 {
			sum += p[i] * math.Log2(p[i]/m)
		}
		if q[i] > 0 {
			sum += q[i] * math.Log2(q[i]/m)
		}
	}
	return math.Sqrt(max(sum/2, 0))
}

// Hellinger is the Hellinger distance √(½ Σ (√p−√q)²), in [0, 1].
func Hellinger(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		d := math.Sqrt(p[i]) - math.Sqrt(q[i])
		sum += d * d
	}
	return math.Sqrt(sum / 2)
}

// TotalVariation is ½ Σ |p−q|: the share of rows that would have to change
// their cell to make the two alike, in [0, 1].
func TotalVariation(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		sum += math.Abs(p[i] - q[i])
	}
	return sum / 2
}

// LInfinity is the greatest difference of one share, in [0, 1].
func LInfinity(p, q []float64) float64 {
	d := 0.0
	for i := range p {
		d = max(d, math.Abs(p[i]-q[i]))
	}
	return d
}

// Wasserstein is the first Wasserstein (earth mover's) distance of two sorted
// samples without NaN, ∫|F−G|, in the column's unit (scipy's
// wasserstein_distance). It is NaN when a sample is empty and infinite when one
// holds an infinity that the other lacks.
func Wasserstein(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	fa, fb := 1/float64(len(a)), 1/float64(len(b))
	i, j, sum := 0, 0, 0.0
	last := min(a[0], b[0])
	for i < len(a) || j < len(b) {
		x := math.Inf(1)
		if i < len(a) {
			x = a[i]
		}
		if j < len(b) && b[j] < x {
			x = b[j]
		}
		if x != last { // also keeps ∞−∞ out
			sum += math.Abs(float64(i)*fa-float64(j)*fb) * (x - last)
			last = x
		}
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
	}
	return sum
}

// KS is the two-sample Kolmogorov–Smirnov statistic sup|F−G| of two sorted
// samples without NaN, exact with ties. It is NaN when a sample is empty.
func KS(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	i, j, d := 0, 0, 0.0
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return d
}

// KSP is the p-value of a two-sample Kolmogorov–Smirnov statistic d with n and
// m values: Kolmogorov's limiting distribution at d·√(nm/(n+m)). Ties make it
// conservative.
func KSP(d float64, n, m int) float64 {
	if math.IsNaN(d) || n == 0 || m == 0 {
		return math.NaN()
	}
	return Kolmogorov(d * math.Sqrt(float64(n)*float64(m)/float64(n+m)))
}

// Kolmogorov is P(K > x) of Kolmogorov's distribution (scipy's kolmogorov):
// 2 Σ (−1)^(k−1) exp(−2k²x²), and the dual theta series below x = 1, where
// that converges slowly.
func Kolmogorov(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x < 0.2: // 1 to within 1e-12
		return 1
	case x < 1:
		w, sum := math.Sqrt(2*math.Pi)/x, 0.0
		for k := 1.0; k < 8; k++ {
			sum += math.Exp(-(2*k - 1) * (2*k - 1) * math.Pi * math.Pi / (8 * x * x))
		}
		return 1 - w*sum
	}
	sum, sign := 0.0, 1.0
	for k := 1.0; k < 8; k++ {
		sum += sign * math.Exp(-2*k*k*x*x)
		sign = -sign
	}
	return min(2*sum, 1)
}

// Quantile is the q-quantile of a sorted sample, interpolated linearly between
// order statistics (numpy's default); NaN when there is none.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	h := q * float64(len(sorted)-1)
	lo := int(h)
	if lo+1 >= len(sorted) || sorted[lo] == sorted[lo+1] {
		return sorted[lo]
	}
	f := h - float64(lo)
	return sorted[lo]*(1-f) + sorted[lo+1]*f
}

// Moments are the mean and the population standard deviation of the finite
// values, NaN when there is none.
func Moments(v []float64) (mean, std float64) {
	n := 0.0
	for _, x := range v {
		if x-x == 0 {
			n++
			mean += (x - mean) / n
		}
	}
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	ss := 0.0
	for _, x := range v {
		if x-x == 0 {
			ss += (x - mean) * (x - mean)
		}
	}
	return mean, math.Sqrt(ss / n)
}

// Shares divides counts by their sum; all are 0 when the sum is.
func Shares(counts []float64) []float64 {
	sum := 0.0
	for _, c := range counts {
		sum += c
	}
	out := slices.Clone(counts)
	if sum > 0 {
		for i := range out {
			out[i] /= sum
		}
	}
	return out
}
