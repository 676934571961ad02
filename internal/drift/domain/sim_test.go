package domain

import (
	"math"
	"math/rand/v2"
)

// series draws rows of nine dependent columns. With a day effect, rows of one
// day of dayRows are alike, days follow an AR(1), and weekdays differ.
type series struct {
	rows    int
	effect  float64 // deviation of the day effects, of rows 1
	ar      float64
	weekday float64 // deviation of the pattern of the week
}

const dayRows = 120

// draw returns n rows, whose steps are days from the first on.
func (s series) draw(seed uint64) ([]Column, []int32) {
	r := rand.New(rand.NewPCG(seed, 5))
	n := s.rows
	const dims = 8
	var state, pattern [dims]float64
	week := [7][dims]float64{}
	for d := range week {
		for j := range pattern {
			week[d][j] = s.weekday * r.NormFloat64()
		}
	}
	for j := range state {
		state[j] = r.NormFloat64()
	}
	z := make([][dims]float64, n)
	block := make([]int32, n)
	for i := range z {
		if i%dayRows == 0 {
			for j := range state {
				state[j] = s.ar*state[j] + math.Sqrt(1-s.ar*s.ar)*r.NormFloat64()
			}
		}
		day := i / dayRows
		block[i] = int32(day)
		common := r.NormFloat64()
		for j := range dims {
			z[i][j] = r.NormFloat64() + s.effect*state[j] + week[day%7][j]
		}
		z[i][1] = .6*z[i][0] + .8*z[i][1]
		z[i][2] += .5 * common
		z[i][3] += .5 * common
	}
	values := func(f func(z *[dims]float64) float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = f(&z[i])
		}
		return out
	}
	codes := func(f func(z *[dims]float64) int32) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = f(&z[i])
		}
		return out
	}
	return []Column{
		{Name: "left", Values: values(func(z *[dims]float64) float64 { return z[0] })},
		{Name: "right", Values: values(func(z *[dims]float64) float64 { return z[1] })},
		{Name: "gamma", Values: values(func(z *[dims]float64) float64 { return math.Exp(.7 * z[2]) })},
		{Name: "gaps", Values: values(func(z *[dims]float64) float64 {
			if z[4] < -1.2 {
				return math.NaN()
			}
			return 20 + 3*z[3]
		})},
		{Name: "zeros", Values: values(func(z *[dims]float64) float64 { return math.Round(10*max(0, z[4])) / 10 })},
		{Name: "plain", Values: values(func(z *[dims]float64) float64 { return z[5] })},
		{Name: "few", Codes: codes(func(z *[dims]float64) int32 { return level(z[6], 4) }), Levels: 4},
		{Name: "many", Codes: codes(func(z *[dims]float64) int32 { return level(z[7], 60) }), Levels: 60},
		{Name: "flag", Codes: codes(func(z *[dims]float64) int32 {
			if z[5]+z[6] > .8 {
				return 1
			}
			return 0
		}), Levels: 2},
	}, block
}

// level cuts a normal variable into levels of unequal shares.
func level(z float64, levels int) int32 {
	p := .5 * math.Erfc(-z/math.Sqrt2/1.1)
	return min(int32(float64(levels)*p*p), int32(levels-1))
}

// pair cuts a series after n rows.
func (s series) pair(seed uint64, n int, blocks bool) (ref, cur Sample) {
	cols, block := s.draw(seed)
	ref.Columns, cur.Columns = cut(cols, 0, n), cut(cols, n, s.rows)
	if blocks {
		ref.Block, cur.Block = block[:n], block[n:]
	}
	return ref, cur
}

func cut(cols []Column, lo, hi int) []Column {
	out := make([]Column, len(cols))
	for i, c := range cols {
		out[i] = Column{Name: c.Name, Levels: c.Levels}
		if c.Codes != nil {
			out[i].Codes = append([]int32{}, c.Codes[lo:hi]...)
		} else {
			out[i].Values = append([]float64{}, c.Values[lo:hi]...)
		}
	}
	return out
}
