package drift

import (
	"math"
	"slices"
)

const (
	radixBits = 11
	radixSize = 1 << radixBits
	passes    = 6 // 6 × 11 ≥ 64 bits
)

// Sorted returns the values of v that are not NaN in ascending order, with the
// number that are NaN. v is left alone.
//
// Long slices are sorted by digits of their bits (least significant first)
// after a mapping of floats to integers of the same order, which takes time
// proportional to the length.
func Sorted(v []float64) (sorted []float64, missing int) {
	sorted = make([]float64, 0, len(v))
	for _, x := range v {
		if x == x {
			sorted = append(sorted, x)
		}
	}
	missing = len(v) - len(sorted)
	if len(sorted) < 4*radixSize {
		slices.Sort(sorted)
		return sorted, missing
	}
	radixSort(sorted)
	return sorted, missing
}

func radixSort(v []float64) {
	var counts [passes][radixSize]uint32
	a, b := make([]uint64, len(v)), make([]uint64, len(v))
	for i, x := range v {
		k := orderedBits(x)
		a[i] = k
		for p := range counts {
			counts[p][k>>(p*radixBits)&(radixSize-1)]++
		}
	}
	for p := range counts {
		shift := p * radixBits
		c := &counts[p]
		if c[a[0]>>shift&(radixSize-1)] == uint32(len(a)) {
			continue // every value has the same digit here
		}
		sum := uint32(0)
		for d, n := range c {
			c[d] = sum
			sum += n
		}
		for _, k := range a {
			d := k >> shift & (radixSize - 1)
			b[c[d]] = k
			c[d]++
		}
		a, b = b, a
	}
	for i, k := range a {
		v[i] = floatOf(k)
	}
}

// orderedBits maps floats to integers in the same order: the sign bit is set
// for positive numbers, and all bits of negative ones are turned over. −0 and
// +0 keep apart, −0 first, and compare equal once back.
func orderedBits(x float64) uint64 {
	b := math.Float64bits(x)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

func floatOf(k uint64) float64 {
	return math.Float64frombits(k ^ ((k>>63 - 1) | 1<<63))
}
