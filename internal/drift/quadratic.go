package drift

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// CramerVonMises is the two-sample Cramér–von Mises test of two sorted samples
// without NaN (Anderson 1962): the statistic T = nm/(n+m)² Σ (F−G)² over the
// pooled values, in [0, (n+m)/4), and its p-value, that of T, brought to the
// limit's mean and variance, under the limiting distribution
// [CramerVonMisesP].
//
// Without ties both are those of scipy's cramervonmises_2samp with
// method="asymptotic". With ties SciPy's mid-ranks make T greater than the
// formula, and give two equal constants a small p-value; here T is 0 for samples
// of one distribution function, and its mean and variance are those that the
// ties leave. Both are NaN when a sample is empty; p is 1 for one value a sample
// and for equal constants. Infinities are values like others.
func CramerVonMises(a, b []float64) (t, p float64) {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN(), math.NaN()
	}
	n, m := float64(len(a)), float64(len(b))
	k, total := n*m, n+m
	d, below, tied := 0, 0, false
	var sum, mean, same, cross, before float64
	for s := range steps(a, b) {
		count := s.a + s.b
		d += s.a*len(b) - s.b*len(a)
		below += count
		tied = tied || count > 1
		l, f := float64(count), float64(d)
		sum += l * f * f
		// The variance of F−G here is up·(1−up)·total/(k(total−1))·total, its
		// covariance with one further up the same with (1−up) of that.
		up, share := float64(below)/total, l/total
		down := 1 - up
		mean += share * up * down
		same += share * share * up * up * down * down
		cross += share * down * down * before
		before += share * up * up
	}
	t = sum / (k * total * total)
	variance := (total + 1) * (4*k*total - 3*(n*n+m*m) - 2*k) / (180 * total * total * k)
	if tied {
		variance *= 45 * (2*same + 4*cross)
	}
	if variance <= 0 { // n = m = 1, or a constant
		return t, 1
	}
	mean *= total / (total - 1)
	return t, CramerVonMisesP(1.0/6 + (t-mean)/math.Sqrt(45*variance))
}

// CramerVonMisesP is P(W² > x) of the limiting distribution of Cramér and von
// Mises, that of Σ Z²ⱼ/(jπ)² for independent normal Z (Smirnov 1936), with a
// relative error below 1e-10 also far out, where SciPy's 1 − cdf is lost in
// rounding.
func CramerVonMisesP(x float64) float64 {
	if x < 0.003 {
		return 1 // to within 1e-17
	}
	return quadraticTail(x, -1, func(s float64) (y, w float64) {
		root := math.Pi / 2 * s
		return root * root, 1 / math.Sqrt(root)
	})
}

// AndersonDarling is the Anderson–Darling test of two sorted samples without
// NaN: the standardised mid-rank statistic (A²−1)/σ of Scholz & Stephens (1987,
// equation 7), that of scipy's anderson_ksamp with variant="midrank", and its
// p-value. SciPy interpolates that in a table and caps it to [.001, .25]; here it
// is the limiting distribution [AndersonDarlingP] at the standardised A², which
// holds everywhere and is within 6 % of SciPy's inside its range. With ties,
// which widen A², the p-value stands on the variance that they leave, and not on
// the statistic's σ, with which ties are false alarms.
//
// It weighs the tails more than [KS] and [CramerVonMises]. Both are NaN when a
// sample is empty or there are fewer than 4 values; samples of one and the same
// value have p-value 1. Infinities are values like others.
func AndersonDarling(a, b []float64) (z, p float64) {
	n, m := float64(len(a)), float64(len(b))
	total := n + m
	if n == 0 || m == 0 || total < 4 {
		return math.NaN(), math.NaN()
	}
	d, below, tied := 0, 0, false
	var sum, same, cross, before float64
	for s := range steps(a, b) {
		count := s.a + s.b
		if count == len(a)+len(b) {
			break // a constant
		}
		step := s.a*len(b) - s.b*len(a)
		l, f := float64(count), float64(2*d+step)/2 // f and mid reach to the middle of this value
		mid := (float64(below) + l/2) / total
		share := l / total
		variance := mid*(1-mid) - share/4
		sum += share * f * f / variance
		same += share * share
		cross += share * (1 - mid) * (1 - mid) / variance * before
		before += share * mid * mid / variance
		tied = tied || count > 1
		d += step
		below += count
	}
	limit := 2 * (math.Pi*math.Pi - 9) / 3 // the limit's variance, about a mean of 1
	sigma := math.Sqrt(andersonVariance(n, m))
	a2 := (total - 1) / (total * total) * sum / (n * m)
	z = (a2 - 1) / sigma
	if tied && same > 0 {
		sigma = math.Sqrt(2*same + 4*cross)
	}
	return z, AndersonDarlingP(1 + (a2-1)/sigma*math.Sqrt(limit))
}

// andersonVariance is the variance of A² for two samples without ties (Scholz
// & Stephens 1987, equation 4 at k = 2); their sums h and g are written in
// harmonic numbers.
func andersonVariance(n, m float64) float64 {
	total := n + m
	recip := 1/n + 1/m
	h := mathext.Digamma(total) - mathext.Digamma(1)
	second := math.Pi*math.Pi/6 - mathext.Zeta(2, total+1)
	g := second - (2*h+1/total)/total
	a := 4*g - 6 + (10-6*g)*recip
	b := 4*(2*g-4) + 16*h + (2*g-14*h-4)*recip - 8*h + 4*g - 6
	c := 4*(6*h+2*g-2) + 2*(4*h-4*g+6) + (2*h-6)*recip + 4*h
	d := 4*(2*h+6) - 8*h
	return (((a*total+b)*total+c)*total + d) / ((total - 1) * (total - 2) * (total - 3))
}

// AndersonDarlingP is P(A² > x) of the limiting distribution of Anderson and
// Darling (1952), that of Σ Z²ⱼ/(j(j+1)) for independent normal Z, with a
// relative error below 1e-10.
func AndersonDarlingP(x float64) float64 {
	if x < 0.02 {
		return 1 // to within 1e-17
	}
	return quadraticTail(x, 0, func(s float64) (y, w float64) {
		y = (s*s - 1) / 4
		return y, s / (2 * math.Sqrt(math.Pi*y))
	})
}

// quadraticTail is P(Σ Z²ⱼ/μⱼ > x) by Smirnov's formula
//
//	1/π Σₖ (−1)^(k+1) ∫ exp(−xy/2)/(y√|D(y)|) dy   over μ₂ₖ₋₁ < y < μ₂ₖ
//
// (Darling 1955), where D(y) = Π(1−y/μⱼ) and the variable s, which runs from
// 4k+shift−1 to 4k+shift+1 as y crosses the k-th interval, makes the integrand
// exp(−xy/2)·w/√cos(π(s−4k−shift)/2). Its singular ends are those of Gauss–Chebyshev
// quadrature, which converges geometrically.
func quadraticTail(x, shift float64, node func(s float64) (y, w float64)) float64 {
	const (
		nodes = 128
		far   = 45 // exp(−far) no longer counts
	)
	first, _ := node(4 + shift - 1)
	sum, sign := 0.0, 1.0
	for k := 1.0; ; k++ {
		if low, _ := node(4*k + shift - 1); (low-first)*x/2 > far {
			break
		}
		part := 0.0
		for i := range nodes {
			sin, cos := math.Sincos(math.Pi * (float64(i) + 0.5) / nodes)
			y, w := node(4*k + shift + cos)
			end := sin * sin / (2 * (1 + math.Abs(cos))) // (1−|cos|)/2, the way to the nearer end
			part += math.Exp(-(y-first)*x/2) * w * sin / math.Sqrt(math.Sin(math.Pi*end))
		}
		sum += sign * part
		sign = -sign
	}
	return min(max(sum*math.Pi/nodes*math.Exp(-first*x/2), 0), 1)
}
