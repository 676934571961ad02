package drift

import "math"

// EnergyDistance is the energy distance √(2E|X−Y| − E|X−X′| − E|Y−Y′|) =
// √(2∫(F−G)²) of two sorted samples without NaN (Székely & Rizzo 2013,
// "Energy statistics"; scipy's energy_distance, Evidently's "ed"). Its unit is
// the root of the column's: values multiplied by c multiply it by √c. It is NaN
// when a sample is empty and infinite when the samples hold an infinity at
// different rates. Time O(n+m).
func EnergyDistance(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	u := scaleOf(a, b)
	return math.Sqrt(2*cdfIntegral(a, b, u, func(d float64) float64 { return d * d })) / math.Sqrt(u)
}

// DefaultMMDRows bounds the time of [MMD] to some milliseconds.
const DefaultMMDRows = 1000

// MMD is the unbiased estimate of the squared maximum mean discrepancy
// E k(X,X′) + E k(Y,Y′) − 2E k(X,Y) of two sorted samples without NaN (Gretton
// et al. 2012, "A kernel two-sample test", equation 3), with the Gaussian
// kernel k(x,y) = exp(−(x−y)²/w²), w being the median distance of two values of
// the pooled sample that differ (their median heuristic; the lower median, of
// the finite distances). It lies in (−2, 2), is without unit, and is around 0
// and may be less than it for samples of one distribution. It is NaN when a
// sample has fewer than two values. Infinities of one sign are at distance 0.
//
// Time is O(rows²). A sample of more than rows values (0: [DefaultMMDRows]) is
// represented by that many of its quantiles, while the estimate remains
// unbiased for the number that it has, so that much less is lost than by
// drawing rows at random.
func MMD(a, b []float64, rows int) float64 {
	n, m := float64(len(a)), float64(len(b))
	if n < 2 || m < 2 {
		return math.NaN()
	}
	if rows <= 0 {
		rows = DefaultMMDRows
	}
	a, b = thinned(a, rows), thinned(b, rows)
	u := scaleOf(a, b)
	a, b = scaled(a, u), scaled(b, u)
	return discrepancy(a, b, n, m, medianGap(a, b))
}

// discrepancy is the unbiased estimate for samples of n and m values that a and
// b represent. The mean of the kernel over all pairs counts each value with
// itself, where k = 1.
func discrepancy(a, b []float64, n, m, w float64) float64 {
	aa := (n*meanSelfKernel(a, w) - 1) / (n - 1)
	bb := (m*meanSelfKernel(b, w) - 1) / (m - 1)
	return aa + bb - 2*meanKernel(a, b, w)
}

// thinned is the sorted sample, or k evenly spaced quantiles of it.
func thinned(sorted []float64, k int) []float64 {
	n := len(sorted)
	if n <= k {
		return sorted
	}
	out := make([]float64, k)
	for i := range out {
		out[i] = sorted[(2*i+1)*n/(2*k)]
	}
	return out
}

// reach is the distance in widths beyond which a pair adds less than 1e-21 to a
// sum of kernels and is left out.
const reach = 7

// kernelRow is the sum of exp(−(x−y)²/w²) over the values of a sorted sample
// that are not less than x − reach·w.
func kernelRow(x float64, sorted []float64, w float64) float64 {
	sum := 0.0
	for _, y := range sorted {
		if x == y {
			sum++
			continue
		}
		d := (x - y) / w
		if d < -reach {
			break
		}
		sum += math.Exp(-d * d)
	}
	return sum
}

// meanKernel is the mean of the kernel over all pairs of two sorted samples.
func meanKernel(a, b []float64, w float64) float64 {
	sum, from := 0.0, 0
	for _, x := range a {
		for from < len(b) && b[from] < x-reach*w {
			from++
		}
		sum += kernelRow(x, b[from:], w)
	}
	return sum / (float64(len(a)) * float64(len(b)))
}

// meanSelfKernel is meanKernel(a, a, w) in half the time.
func meanSelfKernel(a []float64, w float64) float64 {
	k, sum := float64(len(a)), 0.0
	for i, x := range a {
		sum += kernelRow(x, a[i+1:], w)
	}
	return (2*sum + k) / (k * k)
}

// medianGap is the lower median of the distances of the values of two sorted
// samples that differ and are finite; 1 when none are. It is found by halving
// the range of possible floats, 64 times O(n+m).
func medianGap(a, b []float64) float64 {
	v := make([]float64, 0, len(a)+len(b))
	for s := range steps(finite(a), finite(b)) {
		for range s.a + s.b {
			v = append(v, s.x)
		}
	}
	equal := gapsUpTo(v, 0)
	all := len(v) * (len(v) - 1) / 2
	if all == equal {
		return 1
	}
	rank := equal + (all-equal+1)/2
	lo, hi := uint64(1), math.Float64bits(v[len(v)-1]-v[0]) // positive floats are ordered as their bits
	for lo < hi {
		mid := lo + (hi-lo)/2
		if gapsUpTo(v, math.Float64frombits(mid)) >= rank {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return math.Float64frombits(lo)
}

// gapsUpTo counts the pairs of a sorted sample that are at most d apart.
func gapsUpTo(v []float64, d float64) int {
	count, i := 0, 0
	for j, x := range v {
		for x-v[i] > d {
			i++
		}
		count += j - i
	}
	return count
}
