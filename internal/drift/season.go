package drift

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// A season is a way to compare like with like: it puts every step into a
// stratum, such as its weekday.
type season struct {
	name   string
	strata int
	of     func(us int64) int // stratum of the step that begins then
	// longest is the greatest width of a step that lies in one stratum.
	longest int64
	// least is the number of periods that the reference must span.
	period, least int64
}

// seasons are looked for in this order; each is tested in what the ones found
// before it leave.
var seasons = []season{
	{"weekday", 7, func(us int64) int { return int(floorDiv(us, day)+3) % 7 }, day, 7 * day, 4},
	{"hour", 8, func(us int64) int { return int(floorDiv(us, 3*hour)) & 7 }, 3 * hour, day, 4},
	{"month", 12, monthOf, 28 * day, 365 * day, 2},
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// monthOf is the twelfth of the year, which may be a day or two off the
// calendar's.
func monthOf(us int64) int {
	const year = 365.2425 * day
	_, f := math.Modf(float64(us) / year)
	if f < 0 {
		f++
	}
	return min(int(12*f), 11)
}

// seasonLevel is the chance that a season is seen where there is none.
const seasonLevel = 0.001

// strata are the strata of the steps of both samples, with their number and
// the names of the seasons they stand for; one stratum when there is no season.
// score gives figures of a step's counts, in which seasons are looked for.
func strata(ref, cur *Counts, score func(n, out []float64), figures int) (a, b []int, count int, names []string) {
	a, b, count = make([]int, len(ref.n)), make([]int, len(cur.n)), 1
	s := ref.Steps
	if s.Width == 0 || s.Width != cur.Steps.Width {
		return a, b, count, nil
	}
	x, counts := make([][]float64, len(ref.n)), make([]float64, ref.Cells+1)
	rows := make([]float64, len(ref.n))
	for i, n := range ref.n[:s.Len()] {
		if rows[i] = sumCounts(n); rows[i] > 0 {
			x[i] = make([]float64, figures)
			clear(counts)
			addCounts(counts, n)
			score(counts, x[i])
		}
	}
	span := s.Span() * s.Width
	for _, o := range seasons {
		if s.Width > o.longest || span < o.least*o.period {
			continue
		}
		finer, n := make([]int, len(a)), count*o.strata
		for i := range a {
			finer[i] = a[i]*o.strata + o.of(s.at(i))
		}
		if !seasonal(x, rows, a, finer, count, n) {
			continue
		}
		a, count = finer, n
		for i := range b {
			b[i] = b[i]*o.strata + o.of(cur.Steps.at(i))
		}
		names = append(names, o.name)
	}
	return a, b, count, names
}

// seasonal tests whether the finer strata explain more of what steps differ by
// than the coarse ones: the F-test of analysis of variance, weighted by rows
// (Fisher 1925), over all figures.
func seasonal(x [][]float64, rows []float64, coarse, finer []int, coarseCount, finerCount int) bool {
	figures := 0
	for _, v := range x {
		figures = max(figures, len(v))
	}
	for k := range figures {
		before, dfBefore := within(x, rows, k, coarse, coarseCount)
		after, dfAfter := within(x, rows, k, finer, finerCount)
		if dfAfter < 1 || dfBefore <= dfAfter || after < 0 || before <= 0 {
			continue
		}
		f := (before - after) / (dfBefore - dfAfter) / (after/dfAfter + 1e-12*before)
		if (distuv.F{D1: dfBefore - dfAfter, D2: dfAfter}).Survival(f) < seasonLevel/float64(figures) {
			return true
		}
	}
	return false
}

// within is the sum of squares of figure k within strata, and its degrees of
// freedom.
func within(x [][]float64, rows []float64, k int, stratum []int, count int) (square, df float64) {
	sum, weight := make([]float64, count), make([]float64, count)
	for i, v := range x {
		if v != nil {
			sum[stratum[i]] += rows[i] * v[k]
			weight[stratum[i]] += rows[i]
			df++
		}
	}
	for _, w := range weight {
		if w > 0 {
			df--
		}
	}
	for i, v := range x {
		if v != nil {
			d := v[k] - sum[stratum[i]]/weight[stratum[i]]
			square += rows[i] * d * d
		}
	}
	return square, df
}
