package estimate

import (
	"errors"
	"math"
	"slices"

	"github.com/healml/healml/internal/table"
)

// Steps are the holdout by stretches of time, those without rows left out: what
// tells how much the loss varies from window to window by itself.
type Steps struct {
	// Micros is the length of a step in µs; 0: steps have equal numbers of
	// rows, because times are not known.
	Micros int64 `json:"micros"`
	At     []int `json:"at"`   // numbers of the steps from 0 on, ascending
	Rows   []int `json:"rows"` // of each
	// Loss is the mean loss of a step's rows, Missed the mean of their loss
	// less what an estimate that had not seen them expected.
	Loss   []float64 `json:"loss"`
	Missed []float64 `json:"missed"`
	// LossNoise and MissedNoise are the variance of one row about the mean of
	// its step.
	LossNoise   float64 `json:"loss_noise"`
	MissedNoise float64 `json:"missed_noise"`
}

const (
	mostSteps  = 400
	equalSteps = 200
	minute     = int64(60e6)
	day        = 24 * 60 * minute
	// fewDays is the span from which steps are days at least, so that rows of
	// one day are not taken for independent of each other.
	fewDays = 20 * day
)

// lengths of a step that people understand, in µs.
var lengths = [...]int64{minute, 5 * minute, 15 * minute, 60 * minute, 6 * 60 * minute, day, 7 * day, 30 * day, 365 * day}

// StepLength is the length of steps that cut times, ascending with those
// missing first, into at most some 400; 0 when there are not at least two
// different times, or a tenth of them is missing.
func StepLength(times []int64) int64 {
	known := times
	for len(known) > 0 && known[0] == table.NoTime {
		known = known[1:]
	}
	if len(known) == 0 || 10*(len(times)-len(known)) > len(times) || known[0] == known[len(known)-1] {
		return 0
	}
	span := known[len(known)-1] - known[0]
	for _, l := range lengths {
		if span/l < mostSteps && (l >= day || span < fewDays) {
			return l
		}
	}
	return span / (mostSteps - 1)
}

// StepsOf numbers rows by step: those of length micros from the first time on,
// or, with micros 0, equal numbers of rows in at most so many steps. Rows
// without a time belong to the first step.
func StepsOf(times []int64, n int, micros int64, most int) []int {
	out := make([]int, n)
	if micros <= 0 {
		most = max(min(most, n), 1)
		for i := range out {
			out[i] = i * most / n
		}
		return out
	}
	var first int64
	for _, t := range times {
		if t != table.NoTime {
			first = t
			break
		}
	}
	for i, t := range times {
		if t != table.NoTime {
			out[i] = int((t - first) / micros)
		}
	}
	return out
}

func newSteps(step []int, micros int64, loss, missed []float64) Steps {
	s := Steps{Micros: micros}
	for lo := 0; lo < len(step); {
		hi := lo
		for hi < len(step) && step[hi] == step[lo] {
			hi++
		}
		s.At, s.Rows = append(s.At, step[lo]), append(s.Rows, hi-lo)
		s.Loss, s.Missed = append(s.Loss, mean(loss[lo:hi])), append(s.Missed, mean(missed[lo:hi]))
		for i := lo; i < hi; i++ {
			a, b := loss[i]-s.Loss[len(s.Loss)-1], missed[i]-s.Missed[len(s.Missed)-1]
			s.LossNoise += a * a
			s.MissedNoise += b * b
		}
		lo = hi
	}
	if free := len(step) - len(s.Rows); free > 0 {
		s.LossNoise /= float64(free)
		s.MissedNoise /= float64(free)
	}
	return s
}

// total is the number of rows.
func (s *Steps) total() int {
	n := 0
	for _, r := range s.Rows {
		n += r
	}
	return n
}

// Spread is the variance of the mean of a window, and of that of the holdout.
type Spread struct {
	Window  float64 // of n rows within the window's time
	Holdout float64 // of all rows of the holdout
	Free    float64 // degrees of freedom
}

// minBlocks is the least number of blocks that say anything of their variance,
// and goodBlocks how many are made when the holdout allows it.
const (
	minBlocks  = 4
	goodBlocks = 8
)

// LossSpread is how much the mean loss of a window of n rows and micros µs (0
// when not known) varies about the holdout's mean by itself. ok is false when
// the holdout has fewer than four blocks to tell it from.
func (s *Steps) LossSpread(n int, micros int64) (sp Spread, ok bool) {
	all := 0.0
	for i, v := range s.Loss {
		all += v * float64(s.Rows[i])
	}
	return s.spread(s.Loss, s.LossNoise, all/float64(s.total()), true, n, micros)
}

// MissedSpread is by how much the estimate of a window misses the truth, as
// mean square: 0 is where it ought to be.
func (s *Steps) MissedSpread(n int, micros int64) (sp Spread, ok bool) {
	return s.spread(s.Missed, s.MissedNoise, 0, false, n, micros)
}

// spread takes the mean square of blocks about centre. The part of it that
// independent rows explain shrinks with their number. The rest, what rows of a
// time have in common, shrinks with the length of the window alone, and slower
// the more consecutive blocks are alike: by (1+ρ)/(1−ρ), ρ being their
// correlation, corrected for its bias (Kendall 1954).
func (s *Steps) spread(v []float64, noise, centre float64, fitted bool, n int, micros int64) (Spread, bool) {
	if len(s.At) == 0 || n <= 0 {
		return Spread{}, false
	}
	span := s.At[len(s.At)-1] + 1
	rows := float64(s.total())
	window := float64(n) * float64(span) / rows // in steps
	if s.Micros > 0 && micros > 0 {
		window = float64(micros) / float64(s.Micros)
	}
	length := min(max(int(math.Ceil(window-1e-9)), 1), max(1, span/goodBlocks))
	means, weights := s.blocks(v, span, length)
	k := float64(len(means))
	if len(means) < minBlocks {
		return Spread{}, false
	}
	square := 0.0
	for i, m := range means {
		w := weights[i] / rows
		square += w * w * (m - centre) * (m - centre)
	}
	free := k
	square *= k
	if fitted {
		free = k - 1
		square *= k / free
	}
	common := max(square-noise*k/rows, 0)
	rho := correlation(means, centre)
	slow := (1 + rho) / (1 - rho)
	at := func(steps, rows float64) float64 {
		return common*min(1, slow*float64(length)/steps) + noise/rows
	}
	return Spread{Window: at(max(window, float64(length)), float64(n)), Holdout: at(float64(span), rows), Free: free}, true
}

// blocks are means and rows of runs of length steps that end with the last one;
// what is left at the beginning joins the first run, and runs without rows are
// left out.
func (s *Steps) blocks(v []float64, span, length int) (means, rows []float64) {
	count := max(span/length, 1)
	sums, weights := make([]float64, count), make([]float64, count)
	for i, at := range s.At {
		b := max(count-1-(span-1-at)/length, 0)
		sums[b] += v[i] * float64(s.Rows[i])
		weights[b] += float64(s.Rows[i])
	}
	for b, w := range weights {
		if w > 0 {
			means, rows = append(means, sums[b]/w), append(rows, w)
		}
	}
	return means, rows
}

// correlation of consecutive values about centre, corrected for bias, in
// [0, .9].
func correlation(v []float64, centre float64) float64 {
	var square, product float64
	for i, x := range v {
		square += (x - centre) * (x - centre)
		if i > 0 {
			product += (x - centre) * (v[i-1] - centre)
		}
	}
	if square == 0 {
		return 0
	}
	rho := product / square
	return min(max(rho+(1+3*rho)/float64(len(v)), 0), 0.9)
}

func (s *Steps) validate() error {
	n := len(s.At)
	if n == 0 || len(s.Rows) != n || len(s.Loss) != n || len(s.Missed) != n {
		return errors.New("the steps have parts of different lengths")
	}
	for i := range n {
		if s.Rows[i] <= 0 || s.At[i] < 0 || i > 0 && s.At[i] <= s.At[i-1] || !finite(s.Loss[i]) || !finite(s.Missed[i]) {
			return errors.New("the steps are not in order")
		}
	}
	if s.Micros < 0 || s.At[n-1] > 1<<20 || slices.Max(s.Rows) > 1<<40 || !(s.LossNoise >= 0) || !(s.MissedNoise >= 0) || !finite(s.LossNoise+s.MissedNoise) {
		return errors.New("the steps have impossible numbers")
	}
	return nil
}
