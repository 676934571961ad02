package fit

import (
	"math"

	"golang.org/x/sys/cpu"
)

var expConstants = [16]float64{
	-700, 700, 1 / math.Ln2, expRound, ln2High, ln2Low,
	1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, math.Float64frombits(1023),
}

var vectors = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ

// expInPlace replaces every x by e^x; see [expNumbers], whose bits it gives.
func expInPlace(v []float64) {
	if whole := len(v) &^ 7; vectors && whole > 0 {
		expVectors(&v[0], whole, &expConstants)
		v = v[whole:]
	}
	expNumbers(v)
}

//go:noescape
func expVectors(v *float64, n int, c *[16]float64)
