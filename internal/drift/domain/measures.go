package domain

import "math"

// estimate is a measure in one sample.
type estimate struct {
	measure  string
	value    float64 // as it is reported
	theta    float64 // as it is compared
	variance float64 // of theta
	df       float64 // of variance
}

// A measure is a function of sums over rows, so that leaving rows out is
// subtracting their sums.
type measure struct {
	name  string
	width int
	add   func(sums []float64, row int)
	// theta is what is compared, floor the variance that it has in independent
	// rows of independent columns: the jackknife's is never taken for less.
	theta func(sums []float64) (theta, floor float64)
	value func(theta float64) float64
}

// measure measures two columns.
func (p *prepared) measure(a, b int) estimate {
	x, y := &p.cols[a], &p.cols[b]
	switch {
	case x.code != nil && y.code != nil:
		return p.jackknife(cramer(x, y))
	case x.code != nil:
		return p.jackknife(ratio(y, x))
	case y.code != nil:
		return p.jackknife(ratio(x, y))
	}
	return p.jackknife(spearman(x, y))
}

// jackknife leaves out a group of steps at a time: with g groups the variance
// is (g−1)/g · Σ(θ₋ᵢ − θ̄)² (Künsch 1989 for blocks of dependent rows).
func (p *prepared) jackknife(m measure) estimate {
	e := estimate{m.name, math.NaN(), math.NaN(), math.NaN(), float64(p.groups - 1)}
	if p.groups < 2 || m.width == 0 {
		return e
	}
	all := make([]float64, m.width*(p.groups+2))
	total, rest, sums := all[:m.width], all[m.width:2*m.width], all[2*m.width:]
	for row, g := range p.group {
		m.add(sums[int(g)*m.width:int(g+1)*m.width], row)
	}
	for i, v := range sums {
		total[i%m.width] += v
	}
	theta, floor := m.theta(total)
	if math.IsNaN(theta) {
		return e
	}
	e.theta, e.value = theta, m.value(theta)
	left := make([]float64, 0, p.groups)
	mean := 0.0
	for g := range p.groups {
		for i := range rest {
			rest[i] = total[i] - sums[g*m.width+i]
		}
		if t, _ := m.theta(rest); !math.IsNaN(t) {
			left = append(left, t)
			mean += t
		}
	}
	if len(left) < p.groups {
		return e // all that there is hangs on one group
	}
	mean /= float64(p.groups)
	squares := 0.0
	for _, t := range left {
		squares += (t - mean) * (t - mean)
	}
	e.variance = max(floor, e.df/float64(p.groups)*squares)
	return e
}

// Fewest rows with both values, and the greatest |correlation| that Fisher's
// transform is taken of.
const (
	rowsFew     = 8
	almostOne   = 1 - 1e-9
	almostEqual = 1e-12 // of sums of squares of ranks to their number
)

// spearman is the correlation of ranks; θ is its Fisher transform, artanh ρ,
// with variance 1/(n−3).
func spearman(x, y *preparedColumn) measure {
	return measure{
		name: Spearman, width: 6,
		add: func(s []float64, row int) {
			if a, b := x.rank[row], y.rank[row]; !math.IsNaN(a) && !math.IsNaN(b) {
				s[0]++
				s[1] += a
				s[2] += b
				s[3] += a * a
				s[4] += b * b
				s[5] += a * b
			}
		},
		theta: func(s []float64) (float64, float64) {
			n := s[0]
			if n < rowsFew {
				return math.NaN(), 0
			}
			xx, yy, xy := s[3]-s[1]*s[1]/n, s[4]-s[2]*s[2]/n, s[5]-s[1]*s[2]/n
			if xx <= n*almostEqual || yy <= n*almostEqual {
				return math.NaN(), 0
			}
			return math.Atanh(max(-almostOne, min(almostOne, xy/math.Sqrt(xx*yy)))), 1 / (n - 3)
		},
		value: math.Tanh,
	}
}

// ratio is the correlation ratio of ranks by levels. θ is ε² = 1 − (n−1)/(n−k)·(1−η²)
// for k levels (Kelley 1935), which is 0 on average in independent columns,
// where η² is not; the measure is its root, 0 below 0.
func ratio(x, level *preparedColumn) measure {
	return measure{
		name: CorrelationRatio, width: 3 * level.levels,
		add: func(s []float64, row int) {
			if a, c := x.rank[row], level.code[row]; c >= 0 && !math.IsNaN(a) {
				s[3*c]++
				s[3*c+1] += a
				s[3*c+2] += a * a
			}
		},
		theta: func(s []float64) (float64, float64) {
			var n, k, sum, squares, between float64
			for i := 0; i < len(s); i += 3 {
				if s[i] > 0.5 {
					k++
					n += s[i]
					sum += s[i+1]
					squares += s[i+2]
					between += s[i+1] * s[i+1] / s[i]
				}
			}
			all := squares - sum*sum/n
			if n < rowsFew || k < 2 || n <= k || !(all > n*almostEqual) {
				return math.NaN(), 0
			}
			eta2 := (between - sum*sum/n) / all
			return 1 - (n-1)/(n-k)*(1-eta2), 2 * (k - 1) / (n * n)
		},
		value: rootAbove0,
	}
}

// cramer is Cramér's V. θ is V² with Bergsma's (2013) correction, which is 0
// on average in independent columns: with φ² = χ²/n, r rows and c columns,
// (φ² − (r−1)(c−1)/(n−1)) / (min(r̃, c̃) − 1), r̃ = r − (r−1)²/(n−1). The measure
// is its root, 0 below 0.
func cramer(x, y *preparedColumn) measure {
	r, c := x.levels, y.levels
	return measure{
		name: CramersV, width: r * c,
		add: func(s []float64, row int) {
			if a, b := x.code[row], y.code[row]; a >= 0 && b >= 0 {
				s[int(a)*c+int(b)]++
			}
		},
		theta: func(s []float64) (float64, float64) {
			n, down, across := margins(s, r, c)
			phi2, rows, cols := -1.0, 0.0, 0.0
			for i, a := range down {
				if a == 0 {
					continue
				}
				rows++
				for j, b := range across {
					if b > 0 {
						phi2 += s[i*c+j] * s[i*c+j] / (a * b)
					}
				}
			}
			for _, b := range across {
				if b > 0 {
					cols++
				}
			}
			if n < rowsFew || rows < 2 || cols < 2 {
				return math.NaN(), 0
			}
			df := (rows - 1) * (cols - 1)
			size := min(rows-(rows-1)*(rows-1)/(n-1), cols-(cols-1)*(cols-1)/(n-1)) - 1
			if size <= 0 {
				return math.NaN(), 0
			}
			return (phi2 - df/(n-1)) / size, 2 * df / (n * n * size * size)
		},
		value: rootAbove0,
	}
}

func margins(s []float64, r, c int) (n float64, down, across []float64) {
	down, across = make([]float64, r), make([]float64, c)
	for i := range r {
		for j := range c {
			v := s[i*c+j]
			n += v
			down[i] += v
			across[j] += v
		}
	}
	return n, down, across
}

func rootAbove0(theta float64) float64 { return min(1, math.Sqrt(max(0, theta))) }
