package drift

import (
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// sparse is the least expected count that a cell of the χ² test may have;
// sparser cells are pooled (Cochran 1954).
const sparse = 5

// ChiSquare is Pearson's χ² of homogeneity of two vectors of counts over the
// same cells, with its degrees of freedom (Pearson 1900; scipy's
// chi2_contingency without correction where nothing is pooled). Cells where
// either sample expects fewer than 5 are pooled into one, and into the least of
// the others when that is still too few, so a column of rare levels has a
// distribution near χ². With fewer than two cells it is 0 on 0 degrees.
func ChiSquare(a, b []float64) (x2 float64, df int) {
	return homogeneity(a, b, func(x, y, ex, ey float64) float64 { return (x - ex) * (x - ex) * (1/ex + 1/ey) })
}

// GTest is the log-likelihood ratio 2 Σ O·ln(O/E) of homogeneity of two vectors
// of counts over the same cells, with its degrees of freedom (Wilks 1938; Sokal
// & Rohlf's G; scipy's chi2_contingency with lambda_="log-likelihood" where
// nothing is pooled). Cells are pooled as by [ChiSquare], and its p-value is
// [ChiSquareP], too. With fewer than two cells it is 0 on 0 degrees.
func GTest(a, b []float64) (g float64, df int) {
	g, df = homogeneity(a, b, func(x, y, ex, ey float64) float64 {
		return 2 * (timesLog(x, x/ex) + timesLog(y, y/ey))
	})
	return max(g, 0), df
}

// timesLog is c·ln r, 0 for no count.
func timesLog(c, r float64) float64 {
	if c == 0 {
		return 0
	}
	return c * math.Log(r)
}

// homogeneity sums term over the pooled cells, x and y being the counts and ex
// and ey what either sample expects there.
func homogeneity(a, b []float64, term func(x, y, ex, ey float64) float64) (sum float64, df int) {
	n, m := total(a), total(b)
	if n == 0 || m == 0 {
		return 0, 0
	}
	share := min(n, m) / (n + m)
	var pa, pb float64 // the pool
	least := -1        // the least cell outside of it
	for i := range a {
		switch t := a[i] + b[i]; {
		case t*share < sparse:
			pa, pb = pa+a[i], pb+b[i]
		case least < 0 || t < a[least]+b[least]:
			least = i
		}
	}
	if least < 0 {
		return 0, 0
	}
	merge := pa+pb > 0 && (pa+pb)*share < sparse
	cell := func(x, y float64) {
		if t := x + y; t > 0 {
			e := t * n / (n + m)
			sum += term(x, y, e, t-e)
			df++
		}
	}
	for i := range a {
		switch {
		case (a[i]+b[i])*share < sparse:
		case i == least && merge:
			cell(a[i]+pa, b[i]+pb)
		default:
			cell(a[i], b[i])
		}
	}
	if !merge {
		cell(pa, pb)
	}
	if df--; df < 1 {
		return 0, 0
	}
	return sum, df
}

// ChiSquareP is P(χ² > x2) on df degrees of freedom; 1 without any.
func ChiSquareP(x2 float64, df int) float64 {
	if df < 1 {
		return 1
	}
	return mathext.GammaIncRegComp(float64(df)/2, x2/2)
}

// RateZ compares a rows of n with b rows of m: how many standard errors the
// second share lies above the first, after the arcsine transform, which keeps
// the variance alike for rare and common events, with Anscombe's 3/8 (1948). It
// is 0 when a sample is empty or neither has an event.
func RateZ(a, n, b, m float64) float64 {
	if n == 0 || m == 0 || a+b == 0 {
		return 0
	}
	return 2 * (angle(b, m) - angle(a, n)) / math.Sqrt(1/n+1/m)
}

func angle(c, n float64) float64 { return math.Asin(math.Sqrt((c + 0.375) / (n + 0.75))) }

// NewP is the probability of at least b events in m rows when the n rows
// before had a of them, under the uniform prior that makes their number
// negative binomial (Jeffreys 1961): the test for events too rare for
// [RateZ]. With a = the number of levels seen once it is the Good–Turing
// (1953) test of the mass of levels never seen.
func NewP(a, n, b, m float64) float64 {
	if b == 0 || m == 0 {
		return 1
	}
	return mathext.RegIncBeta(b, a+1, m/(n+m))
}

// ZOf turns a two-sided p-value into the |z| of a normal variable.
func ZOf(p float64) float64 {
	if p >= 1 {
		return 0
	}
	return -distuv.UnitNormal.Quantile(max(p, 1e-300) / 2)
}

// normalP is the two-sided p-value of a normal z.
func normalP(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// studentP is the two-sided p-value of Student's t.
func studentP(t, df float64) float64 {
	if t*t < 1 { // near p = 1 the other tail is the exact one
		return 1 - mathext.RegIncBeta(0.5, df/2, t*t/(df+t*t))
	}
	return mathext.RegIncBeta(df/2, 0.5, df/(df+t*t))
}

func total(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum
}
