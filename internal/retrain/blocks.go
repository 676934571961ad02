package retrain

import (
	"slices"

	"github.com/healml/healml/internal/table"
)

const (
	// recordBlocks is how many blocks before the newest the choice rests on.
	recordBlocks = 4
	// provenBlocks is how many of the newest blocks a cure is proven on. A cure
	// is fitted before each.
	provenBlocks = 2
	// blockShare is the least size of a block as a share of all rows: less says
	// too little about windows that are much longer.
	blockShare = 1.0 / 20
)

// block is a stretch of rows [lo, hi).
type block struct{ lo, hi int }

// blocks cuts the newest rows into up to recordBlocks+1 stretches, oldest
// first, of about size rows and at least half of that. Rows of one time are
// never parted, nor does a stretch lie on both sides of fresh, and rows before
// least are left to be learnt from. The newest one lies behind fresh.
func blocks(times []int64, n, fresh, least, size int) []block {
	var out []block
	floor := fresh
	for hi := n; hi > least && len(out) <= recordBlocks; {
		if hi <= floor {
			floor = least
		}
		lo := boundary(times, max(hi-size, floor), floor)
		if lo-floor < size/2 {
			lo = floor
		}
		if hi-lo < size/2 && len(out) > 0 {
			if floor == least {
				break
			}
			hi = lo // a remainder too short to judge by
			continue
		}
		out = append(out, block{lo, hi})
		hi = lo
	}
	slices.Reverse(out)
	return out
}

// boundary is at, or the row before it at which rows may be split without
// parting rows of one time, but not before floor. Rows without a time stand
// alone.
func boundary(times []int64, at, floor int) int {
	for at > floor && at < len(times) && times[at] != table.NoTime && times[at-1] == times[at] {
		at--
	}
	return at
}
