package drift

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A statistic compares two vectors of counts over the same cells, the last of
// which counts missing values, and writes one z-score a test.
type statistic func(z, a, b []float64)

// duel is a comparison of one column's counts: all that its p-value is made
// of, and what a resample of it needs.
type duel struct {
	f            statistic
	tests, cells int
	strata       int
	seasons      []string
	ref, cur     *pile
	refUnits     []unit
	curUnits     []unit
	n, m         int // rows
	window       int // rows of two units
	// memory is by how much more the samples' difference varies than its
	// windows tell, because neighbouring units are alike; at least 1.
	memory      float64
	now         *Counts
	coarse      []uint8 // cells that changes are dated by; nil: those of counts
	coarseCells int
}

// restlessness is what windows of rows tell of how much a column moves by
// itself: the mean square of the z-scores of windows against the rest of their
// own sample. In independent rows it is 1; where days and weeks differ it is
// more, and a current sample that is no stranger than a window of the
// reference has not drifted.
//
// The constants below were set on series of known dependence so that at most
// one comparison in a hundred alarms without drift, and confirmed on others.
type restlessness struct {
	meanSquare []float64 // by test, of the windows of both samples
	greatest   []float64 // by test, of the reference's windows
	windows    float64   // number, each overlapping the next by half
	df         float64   // of Student's t
}

const (
	windowsWanted = 20 // of the length of both samples together
	windowsLeast  = 6  // in the reference
	windowsMost   = 48 // looked at in a sample
	windowRows    = 50 // least length

	// Half-overlapping windows are not independent, and neither are
	// neighbours that share a long disturbance: each counts for this much of
	// a degree of freedom.
	dfWindow = 0.4
	// When the current sample is but one window, its mean has not become
	// normal, and this much is taken off; in proportion when it is several.
	dfSingle = 0.2
	// The current sample's windows count for at most this many times the
	// square of the reference's mean square, or a change in the midst of the
	// current sample would hide itself. The bound is tight where the
	// reference is calm, and loose where it is restless and its few windows
	// may have missed how much.
	currentExcess = 2
	// A restless column drifts only when its score is this many times the
	// greatest of the reference's own windows.
	beyondGreatest = 1.5
	// Rows count as independent unless the windows contradict it with this
	// confidence. The error that matters is to take restless rows for
	// independent ones, so it is low.
	independentLevel = 0.8
)

// windowLength is the number of rows of a window for samples of n and m rows:
// the current sample's where the reference holds enough windows of it, and
// else what leaves enough windows to learn a variance from.
func windowLength(n, m int) int {
	return min(max((n+m)/windowsWanted, windowRows), m, n/windowsLeast)
}

func newDuel(ref, cur *Counts, f statistic, tests int, figures func(n, out []float64), figureCount int) *duel {
	d := &duel{f: f, tests: tests, cells: ref.Cells, now: cur}
	a, b, strata, names := strata(ref, cur, figures, figureCount)
	d.strata, d.seasons = strata, names
	d.ref, d.cur = ref.pileOf(a, strata), cur.pileOf(b, strata)
	d.n, d.m = int(d.ref.total), int(d.cur.total)
	d.memory = 1
	if d.window = windowLength(d.n, d.m); d.window >= 2 {
		least := float64(d.window / 2)
		d.refUnits, d.curUnits = ref.units(a, least), cur.units(b, least)
		d.memory = d.remembered(figures, figureCount)
	}
	return d
}

// scores compares the samples: one z a test, as if rows were independent.
func (d *duel) scores() []float64 {
	z := make([]float64, d.tests)
	a := make([]float64, d.cells+1)
	d.ref.like(a, d.cur)
	d.f(z, a, d.cur.sum)
	return z
}

// restlessness slides windows of two units over each sample.
func (d *duel) restlessness() restlessness {
	return d.restless(pick(d.refUnits, nil), pick(d.curUnits, nil))
}

// pick points to units, all for no order.
func pick(units []unit, order []int) []*unit {
	out := make([]*unit, 0, len(units))
	if order == nil {
		for i := range units {
			out = append(out, &units[i])
		}
	}
	for _, i := range order {
		out = append(out, &units[i])
	}
	return out
}

func (d *duel) restless(ref, cur []*unit) restlessness {
	s := restlessness{meanSquare: make([]float64, d.tests), greatest: make([]float64, d.tests)}
	for i, units := range [][]*unit{ref, cur} {
		if len(units) < 4 {
			continue
		}
		square, greatest := d.windowScores(units, i == 1)
		k := float64(min(len(units)-1, windowsMost))
		for t := range square {
			if i == 0 {
				s.greatest[t] = greatest[t]
			} else {
				own := max(s.meanSquare[t], 1)
				square[t] = min(square[t], currentExcess*own*own)
			}
			s.meanSquare[t] += (square[t] - s.meanSquare[t]) * k / (s.windows + k)
		}
		s.windows += k
		s.df += k*(dfWindow-dfSingle*float64(d.window)/float64(d.m)) - 1
	}
	return s
}

// windowScores are the mean square and the greatest of the scores of pairs of
// consecutive units against the rest of their sample. Those of the current
// sample are held against what they would have if they differed from the rest
// by the reference's seasons alone.
func (d *duel) windowScores(units []*unit, current bool) (square, greatest []float64) {
	rest, in := newPile(d.strata, d.cells), newPile(d.strata, d.cells)
	for _, u := range units {
		rest.add(u, 1)
	}
	square, greatest = make([]float64, d.tests), make([]float64, d.tests)
	a, z := make([]float64, d.cells+1), make([]float64, d.tests)
	spare := make([]float64, d.cells+1)
	all := len(units) - 1
	k := min(all, windowsMost)
	for w := range k {
		at := w * all / k
		in.clear()
		for _, u := range units[at : at+2] {
			rest.add(u, -1)
			in.add(u, 1)
		}
		if current {
			d.seasoned(a, spare, rest, in)
		} else {
			rest.like(a, in)
		}
		d.f(z, a, in.sum)
		for t, v := range z {
			square[t] += v * v / float64(k)
			greatest[t] = max(greatest[t], math.Abs(v))
		}
		for _, u := range units[at : at+2] {
			rest.add(u, 1)
		}
	}
	return square, greatest
}

// seasoned writes to dst the counts of rest, moved by what the reference says
// that the strata of in differ from those of rest.
func (d *duel) seasoned(dst, spare []float64, rest, in *pile) {
	copy(dst, rest.sum)
	if d.strata == 1 || rest.total == 0 {
		return
	}
	for _, side := range []struct {
		p    *pile
		sign float64
	}{{in, 1}, {rest, -1}} {
		d.ref.like(spare, side.p)
		if t := total(spare); t > 0 {
			for i, x := range spare {
				dst[i] += side.sign * x / t * rest.total
			}
		}
	}
	for i, x := range dst {
		dst[i] = max(x, 0)
	}
}

// independent reports whether no test moves more from window to window than it
// would in independent rows. With too few windows to tell, it is assumed.
func (s restlessness) independent() bool {
	if s.df < 1 {
		return true
	}
	limit := distuv.ChiSquared{K: s.df}.Quantile(1 - (1-independentLevel)/float64(len(s.meanSquare)))
	for _, ms := range s.meanSquare {
		if s.df*ms > limit {
			return false
		}
	}
	return true
}

// p is the p-value of score z in test t: normal for independent rows, else z
// over the windows' root mean square, as Student's t, and no less than one in
// as many windows as there are when z is not beyond what they show.
func (s restlessness) p(t int, z float64, independent bool) (p, inflation float64) {
	if independent || s.df < 1 {
		return normalP(z), 1
	}
	inflation = math.Sqrt(max(s.meanSquare[t], 1))
	p = studentP(z/inflation, s.df)
	if math.Abs(z) < beyondGreatest*s.greatest[t] {
		p = max(p, 2/(2+s.windows)) // half of them are disjoint
	}
	return p, inflation
}

// raw is the p-value of score z in test t that is calibrated: Student's, without
// the bound that the greatest window sets.
func (s restlessness) raw(t int, z float64) float64 {
	return studentP(z/math.Sqrt(max(s.meanSquare[t], 1)), max(s.df, 1))
}
