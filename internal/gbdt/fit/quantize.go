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
// Decision Trees, 2022). Units are as small as lets the sum over all rows fit
// into its half of the word: no sum over some of them is greater. With
// typical gradients an average one then has 31 − log₂(n) bits, 11 with a
// million rows and 18 with seven thousand, however great the greatest is. When
// all hessians are equal, as they are for the squared loss, they are just
// counted, and the gradient has what is left.
type packing struct {
	shift    uint
	mask     int64
	gUnit    float64 // a power of two
	hUnit    float64 // a power of two, or the hessian of every row
	constant bool    // all hessians are hUnit
}

// extent tells how great gradients and hessians are over rows.
type extent struct {
	g, hLow, hHigh float32 // greatest |g|, least and greatest h
	gSum, hSum     float64 // of |g| and h
}

func newExtent() extent { return extent{hLow: float32(math.Inf(1))} }

func extentOf(rows []int32, grad []pair) extent {
	// Numbers that are not negative are in the order of their bits, which are
	// compared without a branch; and four sums run side by side, for an addition
	// would have to wait for the one before it.
	const sign = 1 << 31
	most, low, high := uint32(0), math.Float32bits(float32(math.Inf(1))), uint32(0)
	var g0, g1, g2, g3, h0, h1, h2, h3 float64
	for ; len(rows) >= 4; rows = rows[4:] {
		p0, p1, p2, p3 := grad[rows[0]], grad[rows[1]], grad[rows[2]], grad[rows[3]]
		b0, b1, b2, b3 := math.Float32bits(p0.g)&^sign, math.Float32bits(p1.g)&^sign, math.Float32bits(p2.g)&^sign, math.Float32bits(p3.g)&^sign
		c0, c1, c2, c3 := math.Float32bits(p0.h), math.Float32bits(p1.h), math.Float32bits(p2.h), math.Float32bits(p3.h)
		most = max(most, max(b0, b1), max(b2, b3))
		low, high = min(low, min(c0, c1), min(c2, c3)), max(high, max(c0, c1), max(c2, c3))
		g0, g1, g2, g3 = g0+float64(math.Float32frombits(b0)), g1+float64(math.Float32frombits(b1)), g2+float64(math.Float32frombits(b2)), g3+float64(math.Float32frombits(b3))
		h0, h1, h2, h3 = h0+float64(p0.h), h1+float64(p1.h), h2+float64(p2.h), h3+float64(p3.h)
	}
	for _, r := range rows {
		p := grad[r]
		b, c := math.Float32bits(p.g)&^sign, math.Float32bits(p.h)
		most, low, high = max(most, b), min(low, c), max(high, c)
		g0, h0 = g0+float64(math.Float32frombits(b)), h0+float64(p.h)
	}
	return extent{
		g: math.Float32frombits(most), hLow: math.Float32frombits(low), hHigh: math.Float32frombits(high),
		gSum: (g0 + g1) + (g2 + g3), hSum: (h0 + h1) + (h2 + h3),
	}
}

func joinExtents(v []extent) extent {
	e := newExtent()
	for _, o := range v {
		e.g, e.hLow, e.hHigh = max(e.g, o.g), min(e.hLow, o.hLow), max(e.hHigh, o.hHigh)
		e.gSum, e.hSum = e.gSum+o.gSum, e.hSum+o.hSum
	}
	return e
}

// maxRows bounds the rows of a table: twice as many leave room for rounding
// in half a word.
const maxRows = 1 << 29

// newPacking is the finest packing for up to n rows, at most maxRows, within
// an extent.
func newPacking(n int, e extent) packing {
	if e.hLow == e.hHigh && e.hLow > 0 {
		shift := uint(bits.Len(uint(n)))
		return packing{shift: shift, mask: 1<<shift - 1, constant: true, hUnit: float64(e.hLow), gUnit: unit(e.gSum, e.g, n, 63-shift)}
	}
	const half = 31 // of the hessians; the gradients have one more and the sign
	return packing{shift: half, mask: 1<<half - 1, gUnit: unit(e.gSum, e.g, n, half+1), hUnit: unit(e.hSum, e.hHigh, n, half)}
}

// unit is the least power of two of which the sum of n numbers, each rounded
// up, is less than 2^bits, and the greatest of them up to 2^30.
func unit(sum float64, most float32, n int, bits uint) float64 {
	if most == 0 {
		return 1
	}
	const slack = 1 + 1e-6 // the sum itself was rounded
	least := max(sum*slack/(math.Ldexp(1, int(bits))-float64(n)-1), math.Ldexp(float64(most), -30))
	_, exp := math.Frexp(least) // least < 2^exp
	return math.Ldexp(1, exp)
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

// floor is math.Floor for numbers within ±2^31.
func floor(x float64) int64 {
	const shift = 1 << 32
	return int64(x+shift) - shift
}
