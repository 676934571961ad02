package fit

import (
	"math"
	"slices"
)

// sortFloats sorts numbers without NaN, ascending. Long slices go through a
// radix sort of four passes, several times as fast as comparisons.
func sortFloats(v []float64) {
	if len(v) < 1<<10 {
		slices.Sort(v)
		return
	}
	const digit = 16
	keys := make([]uint64, len(v))
	spare := make([]uint64, len(v))
	for i, x := range v {
		keys[i] = orderedBits(x)
	}
	counts := make([]uint32, 1<<digit)
	for shift := 0; shift < 64; shift += digit {
		clear(counts)
		for _, k := range keys {
			counts[uint16(k>>shift)]++
		}
		if counts[uint16(keys[0]>>shift)] == uint32(len(keys)) {
			continue // all the same here
		}
		at := uint32(0)
		for i, n := range counts {
			counts[i] = at
			at += n
		}
		for _, k := range keys {
			d := uint16(k >> shift)
			spare[counts[d]] = k
			counts[d]++
		}
		keys, spare = spare, keys
	}
	for i, k := range keys {
		v[i] = fromOrderedBits(k)
	}
}

// orderedBits maps numbers to integers in the same order.
func orderedBits(x float64) uint64 {
	b := math.Float64bits(x)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

func fromOrderedBits(k uint64) float64 {
	return math.Float64frombits(k ^ (uint64(int64(^k)>>63) | 1<<63))
}
