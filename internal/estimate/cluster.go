package estimate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Mean is a mean with its variance.
type Mean struct {
	Rows     int     `json:"rows"`
	Mean     float64 `json:"mean"`
	Variance float64 `json:"variance"` // of the mean
	// Steps that the rows come from: one more than the degrees of freedom.
	Steps int `json:"steps"`
}

// MeanOf is the mean of v, with the variance that follows when the rows of one
// step are alike and those of different steps are not (cluster-robust; Liang &
// Zeger 1986, with the factor S/(S−1) of S steps). step has a number a row,
// ascending. With fewer than two steps the variance is +Inf.
func MeanOf(v []float64, step []int) Mean {
	m := Mean{Rows: len(v), Mean: mean(v), Variance: math.Inf(1)}
	sum := 0.0
	for lo := 0; lo < len(v); {
		hi, part := lo, 0.0
		for hi < len(v) && step[hi] == step[lo] {
			part += v[hi] - m.Mean
			hi++
		}
		sum += part * part
		m.Steps++
		lo = hi
	}
	if s := float64(m.Steps); s > 1 {
		n := float64(len(v))
		m.Variance = sum / (n * n) * s / (s - 1)
	}
	return m
}

// TrendFree is MeanOf with the variance about a line through the steps: what a
// loss that has been growing varies by besides. With fewer than four steps it is
// MeanOf.
func TrendFree(v []float64, step []int) Mean {
	m := MeanOf(v, step)
	if m.Steps < 4 {
		return m
	}
	var at, rows, sums []float64
	for lo := 0; lo < len(v); {
		hi, sum := lo, 0.0
		for hi < len(v) && step[hi] == step[lo] {
			sum += v[hi]
			hi++
		}
		at, rows, sums = append(at, float64(len(at))), append(rows, float64(hi-lo)), append(sums, sum)
		lo = hi
	}
	var n, ma, aa, ay float64
	for i := range at {
		n += rows[i]
		ma += rows[i] * at[i]
	}
	ma /= n
	for i := range at {
		aa += rows[i] * (at[i] - ma) * (at[i] - ma)
		ay += (at[i] - ma) * (sums[i] - rows[i]*m.Mean)
	}
	square := 0.0
	for i := range at {
		d := sums[i] - rows[i]*(m.Mean+ay/aa*(at[i]-ma))
		square += d * d
	}
	s := float64(m.Steps)
	m.Variance = square / (n * n) * s / (s - 2)
	m.Steps--
	return m
}

// Greater is the chance that a sum of two independent estimates with variances
// a and b on fa and fb degrees of freedom comes to diff or more when 0 is
// expected: Student's t, Satterthwaite's degrees of freedom. Two variances of
// 0 leave no doubt: 0 for a diff above 0, else 1.
func Greater(diff, a, fa, b, fb float64) float64 {
	switch {
	case math.IsNaN(diff) || math.IsNaN(a+b) || math.IsInf(a+b, 0):
		return 1
	case a+b == 0 && diff > 0:
		return 0
	case a+b == 0:
		return 1
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: free(a, fa, b, fb)}
	return t.Survival(diff / math.Sqrt(a+b))
}

// Reach is how far the ends of an interval of such a sum lie from its middle,
// with confidence conf in (0, 1).
func Reach(conf, a, fa, b, fb float64) float64 {
	if !(a+b > 0) || math.IsInf(a+b, 0) {
		return a + b
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: free(a, fa, b, fb)}
	return t.Quantile((1+conf)/2) * math.Sqrt(a+b)
}

func free(a, fa, b, fb float64) float64 {
	sum := 0.0
	if a > 0 {
		sum += a * a / max(fa, 1)
	}
	if b > 0 {
		sum += b * b / max(fb, 1)
	}
	return max((a+b)*(a+b)/sum, 1)
}
