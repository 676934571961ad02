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
}

// tuning holds the constants of the window rule.
type tuning struct {
	MinWindow int     // least rows of a window
	Windows   int     // wanted in all
	RefMin    int     // windows that the reference must hold at least
	Overlap   float64 // degrees of freedom of a half-overlapping window
	IIDLevel  float64 // confidence below which rows count as independent
	NoCurrent bool
	Beyond    float64
	Single    float64
}

var tune = tuning{MinWindow: 50, Windows: 20, RefMin: 6, Overlap: 0.4, IIDLevel: 0.8, Beyond: 1.5, Single: 0.15}

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
	windows := 0
	z := make([]float64, tests)
	samples := [][]uint8{ref, cur}
	if tune.NoCurrent {
		samples = samples[:1]
	}
	for _, ids := range samples {
		halves := halfCounts(ids, cells, w/2)
		if len(halves) < 4 {
			continue
		}
		all := make([]float64, cells+1)
		for _, h := range halves {
			for i, c := range h {
				all[i] += c
			}
		}
		in, out := make([]float64, cells+1), make([]float64, cells+1)
		for k := 0; k+1 < len(halves); k++ {
			for i := range in {
				in[i] = halves[k][i] + halves[k+1][i]
				out[i] = all[i] - in[i]
			}
			f(z, out, in)
			for t, v := range z {
				s.meanSquare[t] += v * v
				s.greatest[t] = max(s.greatest[t], math.Abs(v))
			}
			windows++
		}
		s.df += (tune.Overlap-tune.Single*float64(w)/float64(len(cur)))*float64(len(halves)-1) - 1
	}
	for t := range s.meanSquare {
		s.meanSquare[t] /= float64(max(windows, 1))
	}
	return s
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
