package fit

import "unsafe"

//go:generate go run kernels_gen.go

// A histogram has one packed sum a bin: the sum of the packed gradients of the
// rows of a leaf that fall into the bin. Integers add up to the same whatever
// their order, so rows and features may be shared out in any way.

// laneHistograms are the histograms of a group of narrow features.
type laneHistograms = [narrowLanes * narrowBins]int64

// stage holds the bins and gradients of scattered rows behind one another.
// Fetching them in a loop of its own keeps many reads from memory under way;
// adding them up, group by group, finds them in the nearest cache.
type stage struct {
	words []uint64
	quant []int64
}

// Rows of a stage: no more than keep it and the histograms of a group in the
// nearest cache.
const (
	stagedWords = 1 << 11
	leastStaged = 32
	mostStaged  = 512
)

func newStage(stride int) stage {
	n := min(max(stagedWords/max(stride, 1), leastStaged), mostStaged)
	return stage{make([]uint64, n*stride), make([]int64, n)}
}

// fetch takes in the bins and gradients of rows.
func (s *stage) fetch(d *Dataset, rows []int32, quant []int64) {
	for i, r := range rows {
		s.quant[i] = quant[r]
	}
	dst, src := s.words, d.words
	switch d.stride {
	case 1:
		for i, r := range rows {
			dst[i] = src[r]
		}
	case 2:
		for i, r := range rows {
			from, to := (*[2]uint64)(src[2*int(r):]), (*[2]uint64)(dst[2*i:])
			to[0], to[1] = from[0], from[1]
		}
	case 3:
		for i, r := range rows {
			from, to := (*[3]uint64)(src[3*int(r):]), (*[3]uint64)(dst[3*i:])
			to[0], to[1], to[2] = from[0], from[1], from[2]
		}
	case 4:
		for i, r := range rows {
			from, to := (*[4]uint64)(src[4*int(r):]), (*[4]uint64)(dst[4*i:])
			to[0], to[1], to[2], to[3] = from[0], from[1], from[2], from[3]
		}
	default:
		for i, r := range rows {
			copy(dst[i*d.stride:(i+1)*d.stride], src[int(r)*d.stride:])
		}
	}
}

// accumulate adds rows to the histograms of the groups for which alive is
// true.
func (d *Dataset) accumulate(hist []int64, alive []bool, rows []int32, quant []int64, s *stage) {
	for len(rows) > 0 {
		n := min(len(s.quant), len(rows))
		prefetch(d.words, d.stride, rows[n:min(2*n, len(rows))])
		prefetch(quant, 1, rows[n:min(2*n, len(rows))])
		s.fetch(d, rows[:n], quant)
		d.add(hist, alive, s.words, s.quant[:n])
		rows = rows[n:]
	}
}

// prefetch asks for rows of size numbers each, which will be read soon.
func prefetch[T any](table []T, size int, rows []int32) {
	if len(rows) > 0 {
		prefetchRows(unsafe.Pointer(unsafe.SliceData(table)), uintptr(size)*unsafe.Sizeof(table[0]), &rows[0], len(rows))
	}
}

// accumulateRange adds the rows of [lo, hi).
func (d *Dataset) accumulateRange(hist []int64, alive []bool, lo, hi int, quant []int64) {
	for ; lo < hi; lo += mostStaged {
		end := min(lo+mostStaged, hi)
		d.add(hist, alive, d.words[lo*d.stride:end*d.stride], quant[lo:end])
	}
}

// add adds rows that lie behind one another.
func (d *Dataset) add(hist []int64, alive []bool, words []uint64, quant []int64) {
	for i := range d.groups {
		if g := &d.groups[i]; !alive[i] {
			continue
		} else if g.wide {
			g.addWide(hist[g.at:g.at+g.size], words[g.word:], d.stride, quant)
		} else {
			g.kernel((*laneHistograms)(hist[g.at:]), words[g.word:], d.stride, quant)
		}
	}
}

func (g *group) addWide(hist []int64, words []uint64, stride int, quant []int64) {
	const perWord = wideLanes / 2
	starts := g.starts[:g.hi-g.lo]
	for i, q := range quant {
		w := words[i*stride]
		for k, at := range starts[:min(perWord, len(starts))] {
			hist[int(at)+int(uint16(w>>(16*k)))] += q
		}
		if len(starts) > perWord {
			w = words[i*stride+1]
			for k, at := range starts[perWord:] {
				hist[int(at)+int(uint16(w>>(16*k)))] += q
			}
		}
	}
}

// merge adds the histogram part b to a.
func merge(a, b []int64) {
	b = b[:len(a)]
	for i := range a {
		a[i] += b[i]
	}
}

// subtract takes the histogram part b from a.
func subtract(a, b []int64) {
	b = b[:len(a)]
	for i := range a {
		a[i] -= b[i]
	}
}
