package drift

import "math"

// MannWhitney is the Mann–Whitney (Wilcoxon rank sum) test of two sorted
// samples without NaN (Mann & Whitney 1947): auc = P(a < b) + ½P(a = b), in [0, 1];
// the normal score z of it, positive where b is greater, with the variance that
// ties leave, without a correction for continuity; and its two-sided p-value
// (scipy's mannwhitneyu with method="asymptotic", use_continuity=False). All
// are NaN when a sample is empty; constants that are equal have z 0, p 1.
// Infinities are values like others.
func MannWhitney(a, b []float64) (auc, z, p float64) {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	n, m := float64(len(a)), float64(len(b))
	excess, below, ties := 0, 0, 0.0 // excess: pairs with a < b less those with a > b
	for s := range steps(a, b) {
		excess += s.b*(2*below+s.a) - s.b*len(a)
		below += s.a
		t := float64(s.a + s.b)
		ties += t * (t*t - 1)
	}
	total := n + m
	d := float64(excess) / (2 * n * m) // auc − ½
	variance := (total + 1 - ties/(total*(total-1))) / (12 * n * m)
	if variance <= 0 {
		return 0.5, 0, 1
	}
	z = d / math.Sqrt(variance)
	return 0.5 + d, z, normalP(z)
}

// Mood is Mood's (1954) test of spread of two sorted samples without NaN: the
// normal score z of the mean squared distance of b's ranks from the middle of
// the pooled sample, positive where b is wider, with the variance that ties
// leave (Mielke 1967), and its two-sided p-value (scipy's mood, whose sign is
// the other way round). A change of location counts as spread, too. Both are
// NaN when a sample is empty or there are fewer than 3 values; constants that
// are equal have z 0, p 1. Infinities are values like others.
func Mood(a, b []float64) (z, p float64) {
	n, m := float64(len(a)), float64(len(b))
	total := n + m
	if n == 0 || m == 0 || total < 3 {
		return math.NaN(), math.NaN()
	}
	// A value that is held t times gets the mean of its t ranks' scores, in
	// units of the squared number of ranks.
	mean := (1 - 1/(total*total)) / 12
	var sum, squares, below float64
	for s := range steps(a, b) {
		t := float64(s.a + s.b)
		mid := (below + t/2 - total/2) / total
		score := mid*mid + (t*t-1)/(12*total*total) - mean
		sum += float64(s.b) * score
		squares += t * score * score
		below += t
	}
	if squares < 1e-20*total { // but for rounding, every value scores alike
		return 0, 1
	}
	z = sum / math.Sqrt(n*m/(total*(total-1))*squares)
	return z, normalP(z)
}

// WelchT is Welch's (1947) test of the means of the finite values of two
// samples: t, positive where b is greater, its degrees of freedom and the
// two-sided p-value (scipy's ttest_ind with equal_var=False, whose sign is the
// other way round). All are NaN with fewer than two finite values a sample.
// Constants have the degrees of [StudentT]: t 0 and p 1 when they are equal, ±∞
// and 0 when not.
func WelchT(a, b []float64) (t, df, p float64) {
	n, m, d, va, vb := meansOf(a, b)
	if math.IsNaN(d) {
		return d, d, d
	}
	va, vb = va/n, vb/m
	df = n + m - 2
	if v := va + vb; v > 0 {
		wa, wb := va/v, vb/v
		df = 1 / (wa*wa/(n-1) + wb*wb/(m-1))
	}
	t, p = tOf(d, va+vb, df)
	return t, df, p
}

// StudentT is Student's test of the means of the finite values of two samples
// under one variance, Evidently's "t_test" (scipy's ttest_ind, whose sign is the
// other way round): t, positive where b is greater, n+m−2 degrees of freedom and the
// two-sided p-value. Where the variances differ, prefer [WelchT], whose rules
// for NaN and constants it shares.
func StudentT(a, b []float64) (t, df, p float64) {
	n, m, d, va, vb := meansOf(a, b)
	if math.IsNaN(d) {
		return d, d, d
	}
	df = n + m - 2
	t, p = tOf(d, ((n-1)*va+(m-1)*vb)/df*(1/n+1/m), df)
	return t, df, p
}

// meansOf are the numbers of finite values of two samples, the difference of
// their means and their unbiased variances, times a common power of two. The difference is NaN
// when either has fewer than two.
func meansOf(a, b []float64) (n, m, d, va, vb float64) {
	u := scaleFor(max(greatestFinite(a), greatestFinite(b)))
	n, ma, sa := momentsIn(a, u)
	m, mb, sb := momentsIn(b, u)
	if n < 2 || m < 2 {
		return n, m, math.NaN(), 0, 0
	}
	return n, m, mb - ma, sa * sa * n / (n - 1), sb * sb * m / (m - 1)
}

// tOf is d over its standard error, with its p-value; a constant has none.
func tOf(d, variance, df float64) (t, p float64) {
	switch {
	case variance > 0:
		t = d / math.Sqrt(variance)
		return t, studentP(t, df)
	case d == 0:
		return 0, 1
	}
	return math.Copysign(math.Inf(1), d), 0
}

// BrownForsythe is the test of spread of Brown & Forsythe (1974), Levene's
// about medians, of the finite values of two sorted samples without NaN: F on 1
// and n+m−2 degrees of freedom, and its p-value (scipy's levene with
// center="median"). It is NaN without finite values in a sample, or with
// fewer than 3 of them. When no value differs from the others in its distance
// from the median, F is 0 and p 1 if the distances are the same in both samples,
// ∞ and 0 if not.
func BrownForsythe(a, b []float64) (f, p float64) {
	a, b = finite(a), finite(b)
	n, m := float64(len(a)), float64(len(b))
	if n == 0 || m == 0 || n+m < 3 {
		return math.NaN(), math.NaN()
	}
	u := scaleOf(a, b)
	_, ma, sa := momentsIn(deviations(a, u), 1)
	_, mb, sb := momentsIn(deviations(b, u), 1)
	within := n*sa*sa + m*sb*sb
	between := n * m / (n + m) * (mb - ma) * (mb - ma)
	rounding := 1e-28 * (n*ma*ma + m*mb*mb)
	switch {
	case within > rounding:
		f = (n + m - 2) * between / within
	case between <= rounding:
		return 0, 1
	default:
		return math.Inf(1), 0
	}
	return f, studentP(math.Sqrt(f), n+m-2)
}

// deviations are the distances of u times the values of a sorted sample from
// its median.
func deviations(sorted []float64, u float64) []float64 {
	v := make([]float64, len(sorted))
	n := len(sorted)
	median := (u*sorted[(n-1)/2] + u*sorted[n/2]) / 2
	for i, x := range sorted {
		v[i] = math.Abs(u*x - median)
	}
	return v
}
