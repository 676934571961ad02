package drift

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// missingCell marks a missing value in a series of cells.
const missingCell = math.MaxUint8

// statistic compares two vectors of counts over the same cells, the last of
// which counts missing values, and writes one z-score a test.
type statistic func(z, a, b []float64)

// spread is what windows of rows tell of a column's own restlessness: for each
// test the mean square of the z-scores of windows against the rest of their
// sample, which is near 1 where rows are independent.
type spread struct {
	meanSquare []float64
	greatest   []float64
	df         float64
	windows    float64
}

// tuning holds the constants of the window rule.
type tuning struct {
	MinWindow int     // least rows of a window
	Windows   int     // wanted in all
	RefMin    int     // windows that the reference must hold at least
	Overlap   float64 // degrees of freedom of a half-overlapping window
	IIDLevel  float64 // confidence below which rows count as independent
	Excess    float64
	Beyond    float64
	Single    float64
}

var tune = tuning{MinWindow: 50, Windows: 20, RefMin: 6, Overlap: 0.4, IIDLevel: 0.8, Beyond: 1.5, Single: 0.2, Excess: 2}

// windowLength is the number of rows of the windows for samples of n and m
// rows: as long as the current sample where the reference holds enough of
// them, and else as long as leaves enough windows to learn a variance from.
func windowLength(n, m int) int {
	w := max((n+m)/tune.Windows, tune.MinWindow)
	return min(w, m, n/tune.RefMin)
}

// restlessness slides windows of w rows by half their length over both
// samples.
func restlessness(ref, cur []uint8, cells, tests, w int, f statistic) spread {
	s := spread{meanSquare: make([]float64, tests), greatest: make([]float64, tests)}
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
			if i == 1 {
				square[t] = min(square[t], tune.Excess*max(s.meanSquare[t], 1))
			} else {
				s.greatest[t] = greatest[t]
			}
			s.meanSquare[t] += (square[t] - s.meanSquare[t]) * k / (s.windows + k)
		}
		s.windows += k
		s.df += (tune.Overlap-tune.Single*float64(w)/float64(len(cur)))*k - 1
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
	var counts [256]int32
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

// independent reports whether no test moves more from window to window than
// it would in independent rows.
func (s spread) independent() bool {
	if s.df < 1 {
		return true
	}
	limit := (distuv.ChiSquared{K: s.df}).Quantile(1 - (1-tune.IIDLevel)/float64(len(s.meanSquare)))
	for _, ms := range s.meanSquare {
		if s.df*ms > limit {
			return false
		}
	}
	return true
}

// p is the p-value of score z in test t: normal for independent rows, else z
// over the windows' root mean square, as Student's t.
func (s spread) p(t int, z float64, independent bool) (p, inflation float64) {
	if independent || s.df < 1 {
		return normalP(z), 1
	}
	inflation = math.Sqrt(max(s.meanSquare[t], 1))
	if math.Abs(z) < tune.Beyond*s.greatest[t] {
		return 1, inflation
	}
	return studentP(z/inflation, s.df), inflation
}
