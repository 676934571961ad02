package heal

import (
	"cmp"
	"math"
	"slices"
)

// Arrival is how labels of the window came in, against how they usually do.
type Arrival struct {
	Due     int     `json:"due"`     // rows of the window whose label should be in by now
	Arrived int     `json:"arrived"` // of those, labels that came within Lag
	Usual   float64 `json:"usual"`   // share of earlier rows whose label came within Lag, (0, 1]
	Lag     float64 `json:"lag_seconds"`
}

// steadiness is for how many rows the usual share counts as knowledge of the
// window's own: shares of days scatter, and the more rows the less do they tell.
const steadiness = 20

// logFactor compares a share of arrivals that may be anything with the usual
// one: both beta-binomial, Beta(1, 1) against Beta of mean Usual and weight
// steadiness.
func (a *Arrival) logFactor() float64 {
	if a.Due == 0 || float64(a.Arrived) >= a.Usual*float64(a.Due) {
		return min(0, -math.Log(2))
	}
	u := min(max(a.Usual, 0.05), 0.98)
	k, n := float64(a.Arrived), float64(a.Due)
	return logBeta(k+1, n-k+1) - (logBeta(k+steadiness*u, n-k+steadiness*(1-u)) - logBeta(steadiness*u, steadiness*(1-u)))
}

func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}

// Season compares the window with the same phase of an earlier period. Each
// trait is a figure of one column, of the target or of the residuals, in
// standard deviations of what the same phases of two periods differ by.
type Season struct {
	Period string  `json:"period"` // "year" or "week"
	Traits []Trait `json:"traits"`
}

// Trait is one figure, less its mean over the history.
type Trait struct {
	Of   string  `json:"of"`
	Now  float64 `json:"now"`
	Then float64 `json:"then"` // at the same phase, one period earlier
	// Spread is the standard deviation of windows of the history about its mean
	// in the same unit, seasons included.
	Spread float64 `json:"spread"`
}

const (
	// ordinaryShift is the scale of a shift that no season foretells, in that of
	// a trait between periods.
	ordinaryShift = 4
	// marked is how far from its mean a trait must have been at the earlier
	// phase for that to have been a season, and mostMarked how many such traits
	// count: those of one world go together.
	marked     = 2.5
	mostMarked = 3
	// odd is how far from its mean a trait must be now, and not have been then,
	// to speak against a season.
	odd = 4
	// recurs is by what a marked phase raises the odds of a season before the
	// window is looked at: what was so in one year mostly is in the next.
	recurs = 6
	// noSeason is the log of the factor when no trait was marked.
	noSeason = -3
)

// logFactor is log f(now | as at that phase before) less that of the better of:
// an ordinary window, and a shift of any size. What counts are the traits that
// were most marked then, and those that are now and were not. Nil or without
// traits: the log of one half, since what cannot be compared cannot be told to
// be a season.
func (s *Season) logFactor() float64 {
	if s == nil || len(s.Traits) == 0 {
		return -math.Ln2
	}
	traits := slices.Clone(s.Traits)
	slices.SortStableFunc(traits, func(a, b Trait) int { return cmp.Compare(math.Abs(b.Then), math.Abs(a.Then)) })
	sum := 0.0
	for i, t := range traits {
		season := logStudent(t.Now-t.Then, math.Sqrt2)
		other := max(logStudent(t.Now, max(t.Spread, 1)), logStudent(t.Now, ordinaryShift))
		if then := math.Abs(t.Then) >= marked; then && i < mostMarked || !then && math.Abs(t.Now) >= odd {
			sum += season - other
		}
	}
	if math.Abs(traits[0].Then) < marked {
		return clip(min(sum, noSeason))
	}
	return clip(sum + math.Log(recurs))
}

// logStudent is the log density at x of Student's t with 4 degrees of freedom
// and a scale. x is cut at a million scales.
func logStudent(x, scale float64) float64 {
	z := max(-1e6, min(1e6, x/scale))
	return math.Log(0.375) - 2.5*math.Log1p(z*z/4) - math.Log(scale)
}
