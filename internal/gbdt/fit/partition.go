package fit

import (
	"math"
	"slices"
)

// partition puts the rows of a leaf that go left before those that go right,
// each in their old order, and returns the number of the former.
func (g *grower) partition(l *growing, f *feature, table []uint8) int {
	g.span, g.by, g.table = l, f, table
	copy(g.bins[:], table)
	n := g.parts(l.count)
	g.cuts = slices.Grow(g.cuts[:0], n)[:n]
	g.crew.run(n, g.cutJob)
	left := 0
	for _, n := range g.cuts {
		left += n
	}
	g.crew.run(n, g.moveJob)
	l.at = other(l.at)
	return left
}

// cut are the bounds of a block of the leaf.
func (g *grower) cut(b int) (lo, hi int) {
	return g.span.count * b / len(g.cuts), g.span.count * (b + 1) / len(g.cuts)
}

// cutBlock finds out which rows of a block go left.
func (g *grower) cutBlock(_, b int) {
	lo, hi := g.cut(b)
	rows, side := g.rowsOf(g.span)[lo:hi], g.left[lo:hi]
	side = side[:len(rows)]
	n := 0
	if bins := g.by.narrow; bins != nil {
		for i, r := range rows {
			x := g.bins[bins[r]]
			side[i] = x
			n += int(x)
		}
	} else if bins := g.by.wide; bins != nil {
		for i, r := range rows {
			x := g.table[bins[r]]
			side[i] = x
			n += int(x)
		}
	} else {
		n = g.cutByRow(rows, side)
	}
	g.cuts[b] = n
}

// cutByRow is cutBlock for bins that are stored by row alone.
func (g *grower) cutByRow(rows []int32, side []uint8) (n int) {
	d, f := g.data, g.by
	words, stride, shift, mask := d.words[f.word:], d.stride, f.shift&63, uint64(narrowBins-1)
	if f.bins > narrowBins {
		mask = math.MaxUint16
	}
	for len(rows) > 0 {
		now := min(mostStaged, len(rows))
		prefetch(words, stride, rows[now:min(2*now, len(rows))])
		for i, r := range rows[:now] {
			x := g.table[words[int(r)*stride]>>shift&mask]
			side[i] = x
			n += int(x)
		}
		rows, side = rows[now:], side[now:]
	}
	return n
}

// moveBlock moves the rows of a block to their places in the other slice.
func (g *grower) moveBlock(_, b int) {
	lo, hi := g.cut(b)
	left, right := 0, lo
	for c, n := range g.cuts {
		if c < b {
			left += n
			right -= n
		}
		right += n
	}
	to := g.rows[other(g.span.at)][g.span.begin : g.span.begin+g.span.count]
	rows, side := g.rowsOf(g.span)[lo:hi], g.left[lo:hi]
	side = side[:len(rows)]
	for i, r := range rows {
		x := int(side[i])
		at := right + (left-right)&-x
		to[at] = r
		left += x
		right += 1 - x
	}
}
