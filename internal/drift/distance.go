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

// KullbackLeibler is the Kullback–Leibler divergence Σ p·ln(p/q) of the vector
// of shares p from q, in nats, ≥ 0 (Kullback & Leibler 1951; scipy's entropy).
// With p the reference it is Evidently's "kl_div". Shares below [ZeroShare] are
// lifted to it and divided by their sum again; it is NaN when either vector sums
// to 0, that is, has no rows. It is not symmetric; the sum of both directions
// is [PSI] but for that division.
func KullbackLeibler(p, q []float64) float64 {
	if total(p) == 0 || total(q) == 0 {
		return math.NaN()
	}
	var sp, sq, sum float64
	for i := range p {
		a, b := max(p[i], ZeroShare), max(q[i], ZeroShare)
		sp, sq = sp+a, sq+b
		sum += a * math.Log(a/b)
	}
	return max(sum/sp-math.Log(sp/sq), 0)
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
// samples without NaN, ∫|F−G|, in the column's unit (Kantorovich 1942; scipy's
// wasserstein_distance). It is NaN when a sample is empty and infinite when the
// samples hold an infinity at different rates.
func Wasserstein(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	u := scaleOf(a, b)
	return cdfIntegral(a, b, u, math.Abs) / u
}

// cdfIntegral is ∫f(F−G) over u·x, for f(0) = 0.
func cdfIntegral(a, b []float64, u float64, f func(d float64) float64) float64 {
	n, m := len(a), len(b)
	nm := float64(n) * float64(m)
	d, sum, last := 0, 0.0, 0.0 // d is n·m·(F−G): an integer, so that 0 is 0
	for s := range steps(a, b) {
		x := s.x * u
		if d != 0 { // also keeps 0·∞ out
			sum += f(float64(d)/nm) * (x - last)
		}
		d += s.a*m - s.b*n
		last = x
	}
	return sum
}

// KS is the two-sample Kolmogorov–Smirnov statistic sup|F−G| of two sorted
// samples without NaN, in [0, 1], exact with ties (Smirnov 1939; scipy's
// ks_2samp). It is NaN when a sample is empty. Infinities are values like
// others.
func KS(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return math.NaN()
	}
	d, greatest := 0, 0 // n·m·(F−G)
	for s := range steps(a, b) {
		d += s.a*m - s.b*n
		greatest = max(greatest, d, -d)
	}
	return float64(greatest) / (float64(n) * float64(m))
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
// order statistics (numpy's default), for q in [0, 1]. It is NaN when there is
// none, and between −∞ and +∞.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	h := q * float64(len(sorted)-1)
	lo := int(h)
	f := h - float64(lo)
	if f == 0 || sorted[lo] == sorted[lo+1] {
		return sorted[lo]
	}
	return sorted[lo]*(1-f) + sorted[lo+1]*f
}

// Moments are the mean and the population standard deviation of the finite
// values, NaN when there is none.
func Moments(v []float64) (mean, std float64) {
	u := scaleFor(greatestFinite(v))
	_, mean, std = momentsIn(v, u)
	return mean / u, std / u
}

// momentsIn are the number of finite values, and the moments of u times these.
// Sums start at the first value, so that a constant has a deviation of exactly 0.
func momentsIn(v []float64, u float64) (n, mean, std float64) {
	start, sum := 0.0, 0.0
	for _, x := range v {
		if x-x == 0 {
			if n == 0 {
				start = u * x
			}
			n++
			sum += u*x - start
		}
	}
	if n == 0 {
		return 0, math.NaN(), math.NaN()
	}
	mean = start + sum/n
	var rest, squares float64
	for _, x := range v {
		if x-x == 0 {
			d := u*x - mean
			rest += d // what rounding left
			squares += d * d
		}
	}
	return n, mean + rest/n, math.Sqrt(max(squares-rest*rest/n, 0) / n)
}

func greatestFinite(v []float64) float64 {
	g := 0.0
	for _, x := range v {
		if x = math.Abs(x); x <= math.MaxFloat64 && x > g {
			g = x
		}
	}
	return g
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
