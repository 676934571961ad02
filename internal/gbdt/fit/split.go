package fit

import (
	"math"
	"slices"
)

// epsilon starts sums of hessians, so that none is zero
// (kEpsilon, a float32 constant, in LightGBM).
const epsilon = float64(float32(1e-15))

// sums are gradients and hessians added up over rows.
type sums struct{ g, h float64 }

// interval bounds the output of a leaf.
type interval struct{ lo, hi float64 }

func unbounded() interval { return interval{math.Inf(-1), math.Inf(1)} }

func (b interval) clip(x float64) float64 { return min(max(x, b.lo), b.hi) }

// split is the best way known to part a leaf.
type split struct {
	feature     int     // of Dataset.features; −1 when there is none
	index       int     // the feature's number in the table
	gain        float64 // above that of not splitting; −Inf when there is none
	left, right int64   // packed sums
	leftOut     float64
	rightOut    float64
	l2          float64  // of the outputs
	threshold   int      // number: the last bin that goes left
	defaultLeft bool     // number: missing values go left
	bins        []uint16 // category: the bins that go left
}

func (s *split) reset() {
	s.feature, s.index, s.gain = -1, math.MaxInt, math.Inf(-1)
}

// better reports whether s is to be preferred to o: by gain, and among equals
// by the lower feature.
func (s *split) better(o *split) bool {
	if s.gain != o.gain {
		return s.gain > o.gain
	}
	return s.index < o.index
}

// copyFrom copies o and keeps the memory of s.
func (s *split) copyFrom(o *split) {
	bins := append(s.bins[:0], o.bins...)
	*s = *o
	s.bins = bins
}

// scan finds the best split of one feature at a time. Each worker has one.
type scan struct {
	p       *Params
	packing *packing
	best    split // of the feature at hand
	sorted  []rankedBin

	// The leaf at hand.
	sum        int64 // packed
	total      sums  // the same, and 2ε
	rows       int
	perHessian float64 // rows for each unit of hessian: bins hold no counts
	base       float64 // what a split's gain must be above
	bounds     interval
	monotone   int  // of the feature: outputs rise with it (1) or fall (−1)
	clips      bool // outputs may be cut off: gains are not those of the best outputs
}

type rankedBin struct {
	bin   int
	value float64
}

// threshold takes λ1 off the magnitude of a gradient sum.
func (s *scan) threshold(g float64) float64 {
	if s.p.LambdaL1 == 0 {
		return g
	}
	return math.Copysign(max(0, math.Abs(g)-s.p.LambdaL1), g)
}

// output is the best output of a leaf within its bounds.
func (s *scan) output(g, h, l2 float64, b interval) float64 {
	out := -s.threshold(g) / (h + l2)
	if d := s.p.MaxDeltaStep; d > 0 && math.Abs(out) > d {
		out = math.Copysign(d, out)
	}
	return b.clip(out)
}

// gain is the loss that one leaf's output takes off, twice over. Unless the
// output is cut off, that is T(g)²/(h+λ2).
func (s *scan) gain(g, h, l2 float64) float64 {
	t := s.threshold(g)
	if !s.clips {
		return t * t / (h + l2)
	}
	return s.gainOf(g, h, l2, s.output(g, h, l2, s.bounds))
}

func (s *scan) gainOf(g, h, l2, out float64) float64 {
	return -(2*s.threshold(g)*out + (h+l2)*out*out)
}

// gains is the gain of both sides of a split.
func (s *scan) gains(left, right sums, l2 float64) float64 {
	if s.monotone == 0 {
		return s.gain(left.g, left.h, l2) + s.gain(right.g, right.h, l2)
	}
	lo, hi := s.output(left.g, left.h, l2, s.bounds), s.output(right.g, right.h, l2, s.bounds)
	if s.monotone > 0 && lo > hi || s.monotone < 0 && lo < hi {
		return 0
	}
	return s.gainOf(left.g, left.h, l2, lo) + s.gainOf(right.g, right.h, l2, hi)
}

// begin turns to a leaf: its packed sum, its rows, the bounds of its output.
func (s *scan) begin(sum int64, rows int, bounds interval) {
	s.sum, s.rows, s.bounds = sum, rows, bounds
	s.total = s.packing.unpack(sum)
	s.total.h += 2 * epsilon
	s.perHessian = float64(rows) / s.total.h
	s.clips = s.p.MaxDeltaStep > 0
	s.base = s.p.MinGainToSplit
	if t := s.threshold(s.total.g); s.clips {
		s.base += s.gainOf(s.total.g, s.total.h, s.p.LambdaL2, s.output(s.total.g, s.total.h, s.p.LambdaL2, unbounded()))
	} else {
		s.base += t * t / (s.total.h + s.p.LambdaL2)
	}
	s.clips = s.clips || bounds != unbounded()
}

// find looks for the best split of a feature in the leaf at hand, whose
// histogram is hist. monotone is the feature's constraint. It reports whether there is one with positive gain, and
// leaves it in s.best.
func (s *scan) find(f *feature, monotone int, hist []int64) bool {
	s.best.reset()
	s.monotone = monotone
	switch {
	case f.categorical && f.bins <= s.p.MaxCatToOnehot:
		s.oneAgainstRest(hist)
	case f.categorical:
		s.categorySets(hist)
	case f.missing && f.bins > 2:
		s.downward(hist[:f.bins-1])
		s.upward(hist)
	default:
		s.downward(hist)
		// With two bins of which one is NaN's, the one split sends NaN right.
		s.best.defaultLeft = !f.missing
	}
	return s.best.gain > math.Inf(-1)
}

func (s *scan) count(h float64) int { return int(h*s.perHessian + 0.5) }

// part is the sum of one side, ε included.
func (s *scan) part(sum int64) sums {
	p := s.packing.unpack(sum)
	p.h += epsilon
	return p
}

func (s *scan) rest(p sums) sums { return sums{s.total.g - p.g, s.total.h - p.h} }

// downward tries every threshold from the last bin of hist to the first and
// sends missing values left. Ties go to the higher threshold.
func (s *scan) downward(hist []int64) {
	if sum, gain, at := s.sweep(hist, len(hist)-1, 0, -1, s.base); at >= 0 {
		s.take(s.sum-sum, gain, s.p.LambdaL2)
		s.best.threshold, s.best.defaultLeft = at-1, true
	}
}

// upward tries every threshold from the first bin on and sends missing
// values, the last bin of hist, right. It replaces a split found before only
// by a better one.
func (s *scan) upward(hist []int64) {
	if sum, gain, at := s.sweep(hist, 0, len(hist)-1, 1, max(s.base, s.best.gain+s.base)); at >= 0 {
		s.take(sum, gain, s.p.LambdaL2)
		s.best.threshold, s.best.defaultLeft = at, false
	}
}

// sweep adds up bins from one on, step by step, before another, and compares
// what is added up with the rest. It returns the packed sum, the gain and the
// last bin of the best split that gains more than best, or bin −1.
func (s *scan) sweep(hist []int64, from, before, step int, best float64) (bestSum int64, gain float64, at int) {
	p, l2 := *s.packing, s.p.LambdaL2
	minData, minHessian := s.p.MinDataInLeaf, s.p.MinSumHessianInLeaf
	// Gains that are those of the best outputs are compared without a division
	// first; the factor leaves those to it that rounding might decide.
	plain := !s.clips && s.monotone == 0 && s.p.LambdaL1 == 0
	const surely = 1 - 1e-12
	total, rows, perHessian := s.total, s.rows, s.perHessian
	var sum int64
	count := 0
	at = -1
	for t := from; t != before; t += step {
		e := hist[t]
		if e == 0 {
			continue // the split is the last one again
		}
		sum += e
		count += int(float64(e&p.mask)*p.hUnit*perHessian + 0.5)
		if count < minData {
			continue
		}
		one := sums{float64(sum>>p.shift) * p.gUnit, float64(sum&p.mask)*p.hUnit + epsilon}
		if one.h < minHessian {
			continue
		}
		rest := sums{total.g - one.g, total.h - one.h}
		if rows-count < minData || rest.h < minHessian {
			break
		}
		if a, b := one.h+l2, rest.h+l2; plain && one.g*one.g*b+rest.g*rest.g*a < best*a*b*surely {
			continue
		}
		left, right := one, rest
		if step < 0 {
			left, right = rest, one
		}
		if g := s.gains(left, right, l2); g > best {
			best, bestSum, at = g, sum, t
		}
	}
	return bestSum, best, at
}

// take makes the split with the given left side the best.
func (s *scan) take(left int64, gain, l2 float64) {
	b := &s.best
	b.gain, b.l2 = gain-s.base, l2
	b.left, b.right = left, s.sum-left
	l := s.part(left)
	r := s.rest(l)
	b.leftOut, b.rightOut = s.output(l.g, l.h, l2, s.bounds), s.output(r.g, r.h, l2, s.bounds)
}

// oneAgainstRest tries every category alone on the left. Bin 0 always goes
// right.
func (s *scan) oneAgainstRest(hist []int64) {
	best, at := s.base, -1
	for t := 1; t < len(hist); t++ {
		one := s.packing.unpack(hist[t])
		count := s.count(one.h)
		other := sums{s.total.g - one.g, s.total.h - one.h - epsilon}
		if count < s.p.MinDataInLeaf || one.h < s.p.MinSumHessianInLeaf ||
			s.rows-count < s.p.MinDataInLeaf || other.h < s.p.MinSumHessianInLeaf {
			continue
		}
		one.h += epsilon
		if g := s.gains(one, other, s.p.LambdaL2); g > best {
			best, at = g, t
		}
	}
	if at >= 0 {
		s.take(hist[at], best, s.p.LambdaL2)
		s.best.bins = append(s.best.bins[:0], uint16(at))
		s.best.defaultLeft = false
	}
}

// categorySets sorts the categories by their smoothed mean gradient and tries
// to part them anywhere in that order, taking sets from either end: for the
// squared loss the best of all sets is among these (Fisher 1958).
func (s *scan) categorySets(hist []int64) {
	s.sorted = s.sorted[:0]
	for t := 1; t < len(hist); t++ {
		if hist[t] == 0 && s.p.CatSmooth > 0 {
			continue
		}
		if e := s.packing.unpack(hist[t]); float64(s.count(e.h)) >= s.p.CatSmooth {
			s.sorted = append(s.sorted, rankedBin{t, e.g / (e.h + s.p.CatSmooth)})
		}
	}
	slices.SortFunc(s.sorted, func(a, b rankedBin) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return a.bin - b.bin
	})
	best := s.base
	size, fromEnd := 0, false
	var bestLeft int64
	for _, end := range [2]bool{false, true} {
		if n, left, gain := s.categoryPrefix(hist, end, best); n > 0 {
			best, bestLeft, size, fromEnd = gain, left, n, end
		}
	}
	if size == 0 {
		return
	}
	s.take(bestLeft, best, s.p.LambdaL2+s.p.CatL2)
	s.best.bins = s.best.bins[:0]
	for i := range size {
		s.best.bins = append(s.best.bins, uint16(s.ranked(i, fromEnd).bin))
	}
	s.best.defaultLeft = false
}

func (s *scan) ranked(i int, fromEnd bool) rankedBin {
	if fromEnd {
		i = len(s.sorted) - 1 - i
	}
	return s.sorted[i]
}

// categoryPrefix returns the size, packed sum and gain of the best set of
// categories from one end of the order, or size 0 when none gains more than
// best.
func (s *scan) categoryPrefix(hist []int64, fromEnd bool, best float64) (size int, bestLeft int64, gain float64) {
	l2 := s.p.LambdaL2 + s.p.CatL2
	most := min(s.p.MaxCatThreshold, (len(s.sorted)+1)/2)
	var sum int64
	count, group := 0, 0
	for i := range most {
		e := hist[s.ranked(i, fromEnd).bin]
		n := s.count(float64(e&s.packing.mask) * s.packing.hUnit)
		sum += e
		count += n
		group += n
		left := s.part(sum)
		if count < s.p.MinDataInLeaf || left.h < s.p.MinSumHessianInLeaf {
			continue
		}
		right := s.rest(left)
		if s.rows-count < max(s.p.MinDataInLeaf, s.p.MinDataPerGroup) || right.h < s.p.MinSumHessianInLeaf {
			break
		}
		if group < s.p.MinDataPerGroup {
			continue
		}
		group = 0
		if g := s.gains(left, right, l2); g > best {
			best, bestLeft, size = g, sum, i+1
		}
	}
	return size, bestLeft, best
}
