package fit

import (
	"math"
	"math/bits"
)

// pair is the gradient and the hessian of the loss at one row. They are
// float32, as in LightGBM.
type pair struct{ g, h float32 }

// packing tells how gradients and hessians are put into integers and those
// into one 64-bit word: g·2^shift + h. Words are added as they are: a sum of
// words holds the sum of the gradients above the sum of the hessians, which
// is never negative and always below 2^shift.
//
// A number becomes a count of units, rounded up or down at random so that it
// is right on average (Shi et al., Quantized Training of Gradient Boosting
// Decision Trees, 2022). Of the 64 bits, the count of rows takes its share
// twice and the sign one; the gradient and the hessian of a row share what is
// left: 12 and 11 bits with a million rows, 19 and 18 with seven thousand.
// When all hessians are equal, as they are for the squared loss, they are
// just counted, and the gradient has more bits than its float32 came with.
type packing struct {
	shift    uint
	mask     int64
	gUnit    float64 // a power of two
	hUnit    float64 // a power of two, or the hessian of every row
	constant bool    // all hessians are hUnit
}

// extent is the range of gradients and hessians over rows.
type extent struct{ g, hLow, hHigh float32 }

func newExtent() extent { return extent{0, float32(math.Inf(1)), 0} }

func extentOf(rows []int32, grad []pair) extent {
	e := newExtent()
	for _, r := range rows {
		p := grad[r]
		g := math.Float32frombits(math.Float32bits(p.g) &^ (1 << 31))
		if g > e.g {
			e.g = g
		}
		if p.h < e.hLow {
			e.hLow = p.h
		}
		if p.h > e.hHigh {
			e.hHigh = p.h
		}
	}
	return e
}

func joinExtents(v []extent) extent {
	e := newExtent()
	for _, o := range v {
		e.g, e.hLow, e.hHigh = max(e.g, o.g), min(e.hLow, o.hLow), max(e.hHigh, o.hHigh)
	}
	return e
}

// newPacking is the finest packing for n rows within an extent.
func newPacking(n int, e extent) packing {
	count := bits.Len(uint(n))
	room := max(63-2*count, 2)
	if e.hLow == e.hHigh && e.hLow > 0 {
		return packing{
			shift: uint(count), mask: 1<<count - 1, constant: true, hUnit: float64(e.hLow),
			gUnit: unit(e.g, min(room, 30)),
		}
	}
	hBits := room / 2
	return packing{
		shift: uint(count + hBits), mask: 1<<(count+hBits) - 1,
		gUnit: unit(e.g, min(room-hBits, 30)), hUnit: unit(e.hHigh, min(hBits, 30)),
	}
}

// unit is the power of two of which most is up to 2^bits.
func unit(most float32, bits int) float64 {
	if most == 0 {
		return 1
	}
	_, exp := math.Frexp(float64(most)) // most ≤ 2^exp
	return math.Ldexp(1, exp-bits)
}

// unpack is a sum of words as numbers.
func (p *packing) unpack(sum int64) sums {
	return sums{float64(sum>>p.shift) * p.gUnit, float64(sum&p.mask) * p.hUnit}
}

// pack sets quant at the given rows and returns the sum. Roundings are drawn
// from seed.
func (p *packing) pack(rows []int32, grad []pair, quant []int64, seed uint64) (sum int64) {
	perG := 1 / p.gUnit
	x := seed
	if p.constant {
		for _, r := range rows {
			x = x*mixMul + mixAdd
			q := floor(float64(grad[r].g)*perG+float64(x>>44)*0x1p-20)<<p.shift + 1
			quant[r] = q
			sum += q
		}
		return sum
	}
	perH := 1 / p.hUnit
	for _, r := range rows {
		x = x*mixMul + mixAdd
		g := floor(float64(grad[r].g)*perG + float64(x>>44)*0x1p-20)
		h := floor(float64(grad[r].h)*perH + float64(x>>20&0xfffff)*0x1p-20)
		q := g<<p.shift + h
		quant[r] = q
		sum += q
	}
	return sum
}

// The multiplier and increment of Knuth's 64-bit linear congruential
// generator (MMIX).
const (
	mixMul = 6364136223846793005
	mixAdd = 1442695040888963407
)

// mix scatters a number over 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// floor is math.Floor for numbers within ±2^31.
func floor(x float64) int64 {
	const shift = 1 << 32
	return int64(x+shift) - shift
}
