package drift

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// missingCell marks a missing value in a series of cells.
const missingCell = math.MaxUint8

// A statistic compares two vectors of counts over the same cells, the last of
// which counts missing values, and writes one z-score a test.
type statistic func(z, a, b []float64)

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

// observe slides windows by half their length over each sample.
func observe(ref, cur []uint8, cells, tests int, f statistic) restlessness {
	s := restlessness{meanSquare: make([]float64, tests), greatest: make([]float64, tests)}
	w := windowLength(len(ref), len(cur))
	if w < 2 {
		return s
	}
	for i, ids := range [][]uint8{ref, cur} {
		halves := halfCounts(ids, cells, w/2)
		if len(halves) < 4 {
			continue
		}
		square, greatest := windowScores(halves, cells, tests, f)
		k := float64(len(halves) - 1)
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
		s.df += k*(dfWindow-dfSingle*float64(w)/float64(len(cur))) - 1
	}
	return s
}

// windowScores are the mean square and the greatest of the scores of each pair
// of consecutive halves against the rest of their sample.
func windowScores(halves [][]float64, cells, tests int, f statistic) (square, greatest []float64) {
	all := make([]float64, cells+1)
	for _, h := range halves {
		for i, c := range h {
			all[i] += c
		}
	}
	square, greatest = make([]float64, tests), make([]float64, tests)
	in, out, z := make([]float64, cells+1), make([]float64, cells+1), make([]float64, tests)
	for k := 1; k < len(halves); k++ {
		for i := range in {
			in[i] = halves[k-1][i] + halves[k][i]
			out[i] = all[i] - in[i]
		}
		f(z, out, in)
		for t, v := range z {
			square[t] += v * v / float64(len(halves)-1)
			greatest[t] = max(greatest[t], math.Abs(v))
		}
	}
	return square, greatest
}

// halfCounts counts the cells in consecutive runs of h rows; a shorter rest at
// the end is left out.
func halfCounts(ids []uint8, cells, h int) [][]float64 {
	out := make([][]float64, 0, len(ids)/h)
	for ; len(ids) >= h; ids = ids[h:] {
		out = append(out, countCells(ids[:h], cells))
	}
	return out
}

// countCells counts each cell and, last, the missing values.
func countCells(ids []uint8, cells int) []float64 {
	var counts [math.MaxUint8 + 1]int
	for _, id := range ids {
		counts[id]++
	}
	out := make([]float64, cells+1)
	for i := range cells {
		out[i] = float64(counts[i])
	}
	out[cells] = float64(counts[missingCell])
	return out
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
