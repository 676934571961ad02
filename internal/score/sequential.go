package score

import "math"

// Sequence is what an anytime-valid t test says of the mean of a series so
// far.
type Sequence struct {
	N         int     `json:"n"`         // values
	Effective float64 `json:"effective"` // independent values that they are worth, (0, N]
	// Interval holds the mean for all N at once with the confidence asked for;
	// its ends are −Inf and +Inf until there are values enough.
	Interval
	// Evidence is the e-value against a mean of 0: under it, the chance that
	// it ever reaches 1/α is at most α. It says nothing of the side.
	Evidence float64 `json:"evidence"`
}

const (
	// leastSequence is how many values a sequence needs before anything is
	// said: with fewer, their autocorrelation cannot be told.
	leastSequence = 8
	// priorVariance is that of the effect size, mean over standard deviation of
	// a value, in the mixture. It only decides where power goes.
	priorVariance = 0.25
	// mostCorrelated bounds the autocorrelation that is allowed for.
	mostCorrelated = 0.9
)

// SequentialMean tests the mean of v, in the order in which its values came,
// so that one may look after every value and stop when one likes: the chance
// that the interval ever leaves out the true mean is at most alpha, in (0, 1).
//
// It is the t test as a mixture over the effect size δ ~ N(0, g): with ν = n − 1,
// r = 1 + ng and the t statistic against 0,
//
//	E = r^(−1/2) · ((1 + t²/ν) / (1 + t²/(rν)))^((ν+1)/2)
//
// (Lai 1976; Pérez-Ortiz, Lardy, de Heide & Grünwald 2024, "E-statistics,
// group invariance and anytime-valid testing"; Wang & Ramdas 2025, "Anytime-valid
// t-tests and confidence sequences for Gaussian means with unknown variance").
// The interval is the set of means that E does not refuse at 1/alpha. It is
// exact for independent normal values, which means of blocks come near to.
//
// Values that are alike in a row are worth fewer: the variance is widened by
// (1+ρ)/(1−ρ), the long-run variance of a first-order autoregression, and n is
// divided by it. ρ is the first autocorrelation, freed of its bias in short
// series (Marriott & Pope 1954) and taken half a standard error, ½/√n, too
// large, as far as it is above 0.
//
// Fewer than eight values, values that are not finite, and values that are all
// the same give the interval (−Inf, +Inf) and the evidence 1; the result is a
// function of the arguments alone.
func SequentialMean(v []float64, alpha float64) Sequence {
	n := len(v)
	s := Sequence{N: n, Effective: float64(n), Interval: Interval{Mean(v), math.Inf(-1), math.Inf(1)}, Evidence: 1}
	if n < leastSequence || !(alpha > 0 && alpha < 1) {
		return s
	}
	sum, lagged := 0.0, 0.0
	for i, x := range v {
		d := x - s.Mean
		sum += d * d
		if i > 0 {
			lagged += d * (v[i-1] - s.Mean)
		}
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return s
	}
	rho := (lagged/sum+1/float64(n))/(1-3/float64(n)) + 0.5/math.Sqrt(float64(n))
	rho = min(max(rho, 0), mostCorrelated)
	s.Effective = float64(n) * (1 - rho) / (1 + rho)
	s.mixture(sum/float64(n-1), alpha)
	return s
}

// mixture fills in evidence and interval; variance is that of a value, the
// mean being that of Effective independent ones.
func (s *Sequence) mixture(variance, alpha float64) {
	n := s.Effective
	nu := max(n-1, 1)
	r := 1 + n*priorVariance
	// The variance of a mean of N values whose long-run variance is
	// variance·N/Effective is variance/Effective.
	se := math.Sqrt(variance / n)
	t2 := s.Mean / se * (s.Mean / se)
	s.Evidence = math.Exp(-math.Log(r)/2 + (nu+1)/2*(math.Log1p(t2/nu)-math.Log1p(t2/(r*nu))))
	k := math.Exp((math.Log(r) - 2*math.Log(alpha)) / (nu + 1))
	if k >= r {
		return
	}
	half := se * math.Sqrt(nu*(k-1)/(1-k/r))
	s.Lo, s.Hi = s.Mean-half, s.Mean+half
}
