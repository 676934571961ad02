package fit

import (
	"cmp"
	"math"
	"slices"
)

// epsilon starts sums of hessians, so that none is zero
// (kEpsilon, a float32 constant, in LightGBM).
const epsilon = float64(float32(1e-15))

// sums are gradients and hessians added up over rows.
type sums struct{ g, h float64 }

// split is the best way known to part a leaf.
type split struct {
	feature     int     // of Dataset.features; −1 when there is none
	index       int     // the feature's number in the table
	gain        float64 // above that of not splitting; −Inf when there is none
	left, right sums
	leftOut     float64
	rightOut    float64
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
	p      *Params
	best   split // of the feature at hand
	sorted []rankedBin
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

// gain is the loss that one leaf's best output takes off, twice over.
func (s *scan) gain(g, h, l2 float64) float64 {
	t := s.threshold(g)
	return t * t / (h + l2)
}

func (s *scan) output(g, h, l2 float64) float64 {
	return -s.threshold(g) / (h + l2)
}

// find looks for the best split of a feature in a leaf of n rows with the
// given sums, whose histogram is hist. It reports whether there is one with
// positive gain, and leaves it in s.best.
func (s *scan) find(f *feature, hist []entry, total sums, n int) bool {
	s.best.reset()
	total.h += 2 * epsilon
	l := leaf{total: total, n: n, perHessian: float64(n) / total.h,
		base: s.gain(total.g, total.h, s.p.LambdaL2) + s.p.MinGainToSplit}
	switch {
	case f.categorical && f.bins <= s.p.MaxCatToOnehot:
		s.oneAgainstRest(hist, &l)
	case f.categorical:
		s.categorySets(hist, &l)
	case f.missing && f.bins > 2:
		s.downward(hist[:f.bins-1], &l)
		s.upward(hist, &l)
	default:
		s.downward(hist, &l)
		// With two bins of which one is NaN's, the one split sends NaN right.
		s.best.defaultLeft = !f.missing
	}
	return s.best.gain > math.Inf(-1)
}

// leaf is what the scans need to know of the leaf.
type leaf struct {
	total      sums
	n          int
	perHessian float64 // rows for each unit of hessian: bins hold no counts
	base       float64 // what a split's gain must be above
}

func (l *leaf) count(h float64) int { return int(h*l.perHessian + 0.5) }

// downward tries every threshold from the last bin of hist to the first and
// sends missing values left. Ties go to the higher threshold.
func (s *scan) downward(hist []entry, l *leaf) {
	var right sums
	right.h = epsilon
	count := 0
	best, bestLeft, at := l.base, sums{}, -1
	for t := len(hist) - 1; t >= 1; t-- {
		e := &hist[t]
		right.g += e.g
		right.h += e.h
		count += l.count(e.h)
		if count < s.p.MinDataInLeaf || right.h < s.p.MinSumHessianInLeaf {
			continue
		}
		left := sums{l.total.g - right.g, l.total.h - right.h}
		if l.n-count < s.p.MinDataInLeaf || left.h < s.p.MinSumHessianInLeaf {
			break
		}
		if g := s.gain(left.g, left.h, s.p.LambdaL2) + s.gain(right.g, right.h, s.p.LambdaL2); g > best {
			best, bestLeft, at = g, left, t-1
		}
	}
	if at >= 0 {
		s.take(l, bestLeft, best, s.p.LambdaL2)
		s.best.threshold, s.best.defaultLeft = at, true
	}
}

// upward tries every threshold from the first bin on and sends missing
// values, the last bin of hist, right. It replaces a split found before only
// by a better one.
func (s *scan) upward(hist []entry, l *leaf) {
	var left sums
	left.h = epsilon
	count := 0
	best, bestLeft, at := max(l.base, s.best.gain+l.base), sums{}, -1
	for t := range len(hist) - 1 {
		e := &hist[t]
		left.g += e.g
		left.h += e.h
		count += l.count(e.h)
		if count < s.p.MinDataInLeaf || left.h < s.p.MinSumHessianInLeaf {
			continue
		}
		right := sums{l.total.g - left.g, l.total.h - left.h}
		if l.n-count < s.p.MinDataInLeaf || right.h < s.p.MinSumHessianInLeaf {
			break
		}
		if g := s.gain(left.g, left.h, s.p.LambdaL2) + s.gain(right.g, right.h, s.p.LambdaL2); g > best {
			best, bestLeft, at = g, left, t
		}
	}
	if at >= 0 {
		s.take(l, bestLeft, best, s.p.LambdaL2)
		s.best.threshold, s.best.defaultLeft = at, false
	}
}

// take makes the split with the given left side the best.
func (s *scan) take(l *leaf, left sums, gain, l2 float64) {
	b := &s.best
	right := sums{l.total.g - left.g, l.total.h - left.h}
	b.gain = gain - l.base
	b.leftOut, b.rightOut = s.output(left.g, left.h, l2), s.output(right.g, right.h, l2)
	b.left, b.right = sums{left.g, left.h - epsilon}, sums{right.g, right.h - epsilon}
}

// oneAgainstRest tries every category alone on the left. Bin 0 always goes
// right.
func (s *scan) oneAgainstRest(hist []entry, l *leaf) {
	best, at := l.base, -1
	for t := 1; t < len(hist); t++ {
		e := hist[t]
		count := l.count(e.h)
		other := sums{l.total.g - e.g, l.total.h - e.h - epsilon}
		if count < s.p.MinDataInLeaf || e.h < s.p.MinSumHessianInLeaf ||
			l.n-count < s.p.MinDataInLeaf || other.h < s.p.MinSumHessianInLeaf {
			continue
		}
		if g := s.gain(other.g, other.h, s.p.LambdaL2) + s.gain(e.g, e.h+epsilon, s.p.LambdaL2); g > best {
			best, at = g, t
		}
	}
	if at >= 0 {
		s.take(l, sums{hist[at].g, hist[at].h + epsilon}, best, s.p.LambdaL2)
		s.best.bins = append(s.best.bins[:0], uint16(at))
		s.best.defaultLeft = false
	}
}

// categorySets sorts the categories by their smoothed mean gradient and tries
// to part them anywhere in that order, taking sets from either end: for the
// squared loss the best of all sets is among these (Fisher 1958).
func (s *scan) categorySets(hist []entry, l *leaf) {
	s.sorted = s.sorted[:0]
	for t := 1; t < len(hist); t++ {
		if float64(l.count(hist[t].h)) >= s.p.CatSmooth {
			s.sorted = append(s.sorted, rankedBin{t, hist[t].g / (hist[t].h + s.p.CatSmooth)})
		}
	}
	slices.SortStableFunc(s.sorted, func(a, b rankedBin) int { return cmp.Compare(a.value, b.value) })
	best := l.base
	size, fromEnd := 0, false
	var bestLeft sums
	for _, end := range [2]bool{false, true} {
		if n, left, gain := s.categoryPrefix(hist, l, end, best); n > 0 {
			best, bestLeft, size, fromEnd = gain, left, n, end
		}
	}
	if size == 0 {
		return
	}
	s.take(l, bestLeft, best, s.p.LambdaL2+s.p.CatL2)
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

// categoryPrefix returns the size, sums and gain of the best set of
// categories from one end of the order, or size 0 when none gains more than
// best.
func (s *scan) categoryPrefix(hist []entry, l *leaf, fromEnd bool, best float64) (size int, bestLeft sums, gain float64) {
	l2 := s.p.LambdaL2 + s.p.CatL2
	most := min(s.p.MaxCatThreshold, (len(s.sorted)+1)/2)
	var left sums
	left.h = epsilon
	count, group := 0, 0
	for i := range most {
		e := hist[s.ranked(i, fromEnd).bin]
		n := l.count(e.h)
		left.g += e.g
		left.h += e.h
		count += n
		group += n
		if count < s.p.MinDataInLeaf || left.h < s.p.MinSumHessianInLeaf {
			continue
		}
		right := sums{l.total.g - left.g, l.total.h - left.h}
		if l.n-count < max(s.p.MinDataInLeaf, s.p.MinDataPerGroup) || right.h < s.p.MinSumHessianInLeaf {
			break
		}
		if group < s.p.MinDataPerGroup {
			continue
		}
		group = 0
		if g := s.gain(left.g, left.h, l2) + s.gain(right.g, right.h, l2); g > best {
			best, bestLeft, size = g, left, i+1
		}
	}
	return size, bestLeft, best
}
