package drift

import "math"

// EppsSingleton is the test of Epps & Singleton (1986) of the finite values of
// two sorted samples without NaN: the Wald statistic w ≥ 0 of the difference of
// their characteristic functions at .4 and .8 over the pooled semi-interquartile
// range, and its p-value, χ² on as many degrees of freedom as the covariance has
// ranks (scipy's epps_singleton_2samp, Evidently's "es"). It sees differences of
// any kind, in numbers of few values, too. Where the interquartile range is 0,
// which stops SciPy, the pooled standard deviation stands in. Both are NaN with
// fewer than five finite values a sample; equal constants have w 0 and p 1,
// different ones ∞ and 0.
func EppsSingleton(a, b []float64) (w, p float64) {
	a, b = finite(a), finite(b)
	n, m := float64(len(a)), float64(len(b))
	if n < 5 || m < 5 {
		return math.NaN(), math.NaN()
	}
	u := scaleOf(a, b)
	middle, scale := middleOf(a, b, u)
	if scale == 0 {
		return 0, 1
	}
	ma, ca := waves(a, u, middle, scale)
	mb, cb := waves(b, u, middle, scale)
	total := n + m
	for i := range ca {
		for j := range ca {
			ca[i][j] = total/n*ca[i][j] + total/m*cb[i][j]
		}
		mb[i] -= ma[i]
	}
	w, df := wald(ca, mb)
	w *= total
	if df == 0 { // both constant
		return math.Inf(1), 0
	}
	if max(n, m) < 25 {
		w /= 1 + math.Pow(total, -0.45) + 10.1*(math.Pow(n, -1.7)+math.Pow(m, -1.7))
	}
	return w, ChiSquareP(w, df)
}

// middleOf are the median and the semi-interquartile range, or else the
// standard deviation, of u times the pooled values of two sorted samples.
func middleOf(a, b []float64, u float64) (median, scale float64) {
	v := make([]float64, 0, len(a)+len(b))
	for s := range steps(a, b) {
		for range s.a + s.b {
			v = append(v, u*s.x)
		}
	}
	scale = (Quantile(v, 0.75) - Quantile(v, 0.25)) / 2
	if scale == 0 {
		_, _, scale = momentsIn(v, 1)
	}
	return Quantile(v, 0.5), scale
}

type (
	vector4 [4]float64
	matrix4 [4]vector4
)

// waves are the means, and the covariances over n, of the cosines and sines of
// .4 and .8 times (u·x−middle)/scale. The statistic does not depend on the
// middle, digits do.
func waves(v []float64, u, middle, scale float64) (mean vector4, cov matrix4) {
	at := func(x float64) (g vector4) {
		z := (u*x - middle) / scale
		g[2], g[0] = math.Sincos(0.4 * z)
		g[1], g[3] = g[0]*g[0]-g[2]*g[2], 2*g[0]*g[2] // of twice the angle
		return g
	}
	n, start := float64(len(v)), at(v[0]) // sums from it leave a constant 0
	for _, x := range v {
		g := at(x)
		for i := range g {
			g[i] -= start[i]
			mean[i] += g[i]
			for j := range i + 1 {
				cov[i][j] += g[i] * g[j]
			}
		}
	}
	for i := range cov {
		for j := range i + 1 {
			cov[i][j] = (cov[i][j] - mean[i]*mean[j]/n) / n
			cov[j][i] = cov[i][j]
		}
	}
	for i := range mean {
		mean[i] = start[i] + mean[i]/n
	}
	return mean, cov
}

// wald is dᵀC⁺d and the rank of C, by Jacobi's rotations. Eigenvalues below
// 1e-12 of the greatest count as 0, and those of a constant do.
func wald(c matrix4, d vector4) (w float64, rank int) {
	for range 12 { // they converge quadratically
		for i := range c {
			for j := range i {
				rotate(&c, &d, i, j)
			}
		}
	}
	greatest := max(c[0][0], c[1][1], c[2][2], c[3][3])
	for i := range c {
		if v := c[i][i]; v > 1e-12*greatest && v > 1e-28 {
			w += d[i] * d[i] / v
			rank++
		}
	}
	return w, rank
}

// rotate turns axes i and j of c, and of d, so that c[i][j] is 0.
func rotate(c *matrix4, d *vector4, i, j int) {
	if c[i][j] == 0 {
		return
	}
	sin, cos := math.Sincos(math.Atan2(2*c[i][j], c[j][j]-c[i][i]) / 2)
	for k := range c {
		x, y := c[k][i], c[k][j]
		c[k][i], c[k][j] = cos*x-sin*y, sin*x+cos*y
	}
	for k := range c {
		x, y := c[i][k], c[j][k]
		c[i][k], c[j][k] = cos*x-sin*y, sin*x+cos*y
	}
	d[i], d[j] = cos*d[i]-sin*d[j], sin*d[i]+cos*d[j]
}
