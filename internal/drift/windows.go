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
	corr       []float64
	n, m, w    float64
}

// tuning holds the constants of the window rule.
type tuning struct {
	MinWindow     int     // least rows of a window
	Windows       int     // wanted in all
	RefMin        int     // windows that the reference must hold at least
	Overlap       float64 // degrees of freedom of a half-overlapping window
	IIDLevel      float64 // confidence below which rows count as independent
	NoCurrent     bool
	Beyond        float64
	RMax, RShrink float64
}

var tune = tuning{MinWindow: 50, Windows: 20, RefMin: 6, Overlap: 0.4, IIDLevel: 0.8, Beyond: 1.5, RMax: 0.7, RShrink: 0.5}

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
	samples := [][]uint8{ref, cur}
	if tune.NoCurrent {
		samples = samples[:1]
	}
	lag, square := make([]float64, tests), make([]float64, tests)
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
		zs := make([][]float64, len(halves)-1)
		for k := range zs {
			for i := range in {
				in[i] = halves[k][i] + halves[k+1][i]
				out[i] = all[i] - in[i]
			}
			zs[k] = make([]float64, tests)
			f(zs[k], out, in)
			for t, v := range zs[k] {
				s.meanSquare[t] += v * v
				s.greatest[t] = max(s.greatest[t], math.Abs(v))
				if k >= 2 {
					lag[t] += v * zs[k-2][t]
					square[t] += (v*v + zs[k-2][t]*zs[k-2][t]) / 2
				}
			}
			windows++
		}
		s.df += tune.Overlap*float64(len(halves)-1) - 1
	}
	if windows == 0 {
		return s
	}
	for t := range s.meanSquare {
		s.meanSquare[t] /= float64(windows)
	}
	s.corr = make([]float64, tests)
	kk := float64(windows) / 2
	for t := range s.corr {
		d := t
		if tests == 5 && (t == 2 || t == 3) {
			d = 0
		}
		if tests == 3 && t < 2 {
			d = -1
		}
		if d >= 0 && square[d] > 0 {
			s.corr[t] = max(0, min(tune.RMax, lag[d]/square[d]+1/kk-tune.RShrink/math.Sqrt(kk)))
		}
	}
	s.n, s.m, s.w = float64(len(ref)), float64(len(cur)), float64(w)
	return s
}

// recolour is variance of mean of j windows relative to independent windows.
func recolour(r, j float64) float64 {
	if r <= 0 || j <= 1 {
		return 1
	}
	f, p := 1.0, 1.0
	for h := 1.0; h < j && p > 1e-4; h++ {
		p *= r
		f += 2 * (1 - h/j) * p
	}
	return f
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
	r := s.corr[t]
	more := (recolour(r, s.m/s.w)/s.m + recolour(r, s.n/s.w)/s.n) / (1/s.m + 1/s.n)
	inflation = math.Sqrt(max(s.meanSquare[t], 1) * more)
	if math.Abs(z) < tune.Beyond*s.greatest[t] {
		return 1, inflation
	}
	return studentP(z/inflation, s.df*(1-r*r)/(1+r*r)), inflation
}
