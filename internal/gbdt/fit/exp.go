package fit

import "math"

const (
	// Adding and taking off 1.5·2^52 rounds to a whole number, which then also
	// stands in the low bits of the sum.
	expRound = 3 << 51
	// ln 2 in two parts: whole multiples of the first are exact.
	ln2High = 6.93147180369123816490e-01
	ln2Low  = 1.90821492927058770002e-10
)

// expNumbers replaces every x by e^x within a relative error of 1e-9, which
// is less than a float32 can tell and takes a fraction of math.Exp's time.
// Beyond ±700 the result is that of ±700; NaN stays NaN.
func expNumbers(v []float64) {
	for i, x := range v {
		x = min(max(x, -700), 700)
		n := x*(1/math.Ln2) + expRound
		bits := math.Float64bits(n)
		n -= expRound
		r := (x - n*ln2High) - n*ln2Low // within ±½ ln 2
		// Taylor's series; what is left out is below r⁹/9! ≈ 2e-10.
		r2 := r * r
		p := (1 + r) + r2*((1./2+r*(1./6))+r2*((1./24+r*(1./120))+r2*(1./720+r*(1./5040)+r2*(1./40320))))
		v[i] = p * math.Float64frombits((bits+1023)<<52)
	}
}

// expBlock is the number of values that go through expInPlace at one go.
const expBlock = 256
