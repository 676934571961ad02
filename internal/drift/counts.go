package drift

import (
	"math"
	"slices"
)

// Counts is one column of a sample: how often each cell occurs in each step.
// It is what tests and change points are made from, has the same size whatever
// the number of rows, and two of the same cells and steps add up.
type Counts struct {
	Steps *Steps
	Cells int // missing values not among them
	n     [][]uint32
}

func newCounts(steps *Steps, cells int) *Counts {
	c := &Counts{Steps: steps, Cells: cells, n: make([][]uint32, len(steps.Rows))}
	flat := make([]uint32, len(c.n)*(cells+1))
	for i := range c.n {
		c.n[i], flat = flat[:cells+1:cells+1], flat[cells+1:]
	}
	return c
}

// NumberCounts counts the values of a column of numbers over the cells of a
// grid.
type NumberCounts struct {
	*Counts
	grid   *Grid
	sums   []float64 // of the finite values by step
	finite []int     // their number
	// mean and spread of the finite values so far, by Welford's recurrence
	// over parts (Chan et al. 1979).
	moments moments
}

// moments are those of a number of values.
type moments struct{ n, mean, square float64 }

// Moments are the mean and the population standard deviation of the finite
// values, NaN when there is none.
func (c *NumberCounts) Moments() (mean, std float64) {
	if c.moments.n == 0 {
		return math.NaN(), math.NaN()
	}
	return c.moments.mean, math.Sqrt(c.moments.square / c.moments.n)
}

// SumsByStep are the sum and the number of the finite values of each step.
func (c *NumberCounts) SumsByStep() (sum, n []float64) {
	n = make([]float64, len(c.finite))
	for i, k := range c.finite {
		n[i] = float64(k)
	}
	return c.sums, n
}

// CountNumbers begins to count a column of numbers. It remembers neither
// values nor their order.
func CountNumbers(steps *Steps, g *Grid) *NumberCounts {
	n := len(steps.Rows)
	return &NumberCounts{Counts: newCounts(steps, g.Len()), grid: g, sums: make([]float64, n), finite: make([]int, n)}
}

// Add counts the values of the rows from row on; NaN is missing.
func (c *NumberCounts) Add(row int, values []float64) {
	c.Steps.Each(row, row+len(values), func(step, lo, hi int) {
		v := values[lo-row : hi-row]
		c.grid.count(c.n[step], v)
		m := momentsOf(v)
		c.sums[step] += m.mean * m.n
		c.finite[step] += int(m.n)
		c.moments.add(m)
	})
}

// momentsOf shifts by the first value, so that no digits are lost to a great
// mean.
func momentsOf(values []float64) (m moments) {
	first := math.NaN()
	sum, square := 0.0, 0.0
	for _, x := range values {
		if x-x != 0 {
			continue
		}
		if m.n == 0 {
			first = x
		}
		m.n++
		x -= first
		sum += x
		square += x * x
	}
	if m.n > 0 {
		m.mean, m.square = first+sum/m.n, max(square-sum*sum/m.n, 0)
	}
	return m
}

func (m *moments) add(o moments) {
	if o.n == 0 {
		return
	}
	n, d := m.n+o.n, o.mean-m.mean
	m.mean += d * o.n / n
	m.square += o.square + d*d*m.n*o.n/n
	m.n = n
}

// LevelCounts counts the levels of a column, whose codes count from 0 and may
// grow as rows are added.
type LevelCounts struct {
	*Counts
	totals []float64 // by code, beyond mostLevels as well
}

// mostLevels is the number of codes that are counted by step; those beyond it
// share one cell there.
const mostLevels = 4096

// BlankNumbers counts every row as missing.
func BlankNumbers(steps *Steps, g *Grid) *NumberCounts {
	c := CountNumbers(steps, g)
	for i, rows := range steps.Rows {
		c.n[i][c.Cells] = uint32(rows)
	}
	return c
}

// BlankLevels counts every row as missing.
func BlankLevels(steps *Steps) *LevelCounts {
	c := CountLevels(steps)
	for i, rows := range steps.Rows {
		c.n[i] = []uint32{uint32(rows)}
	}
	return c
}

// CountLevels begins to count a column of levels.
func CountLevels(steps *Steps) *LevelCounts {
	return &LevelCounts{Counts: &Counts{Steps: steps, n: make([][]uint32, len(steps.Rows))}}
}

// Add counts the codes of the rows from row on; below 0 is missing.
func (c *LevelCounts) Add(row int, codes []int32) {
	c.Steps.Each(row, row+len(codes), func(step, lo, hi int) {
		n := c.n[step]
		for _, k := range codes[lo-row : hi-row] {
			if int(k) >= len(c.totals) {
				c.totals = append(c.totals, make([]float64, int(k)+1-len(c.totals))...)
			}
			if k >= 0 {
				c.totals[k]++
			}
			cell := min(int(k), mostLevels) + 1 // the first is for missing values
			if cell >= len(n) {
				n = append(n, make([]uint32, min(max(cell, len(c.totals))+1, mostLevels+2)-len(n))...)
			}
			n[max(cell, 0)]++
		}
		c.n[step] = n
	})
}

// Totals are the rows of each of so many codes.
func (c *LevelCounts) Totals(codes int) []float64 {
	return append(slices.Clone(c.totals), make([]float64, max(codes-len(c.totals), 0))...)
}

// LevelByStep are the rows of one code, and those that have any, by step.
func (c *LevelCounts) LevelByStep(code int) (n, rows []float64) {
	n, rows = make([]float64, len(c.n)), make([]float64, len(c.n))
	for s, counts := range c.n {
		if code+1 < len(counts) && code < mostLevels {
			n[s] = float64(counts[code+1])
		}
		if len(counts) > 0 {
			rows[s] = sumCounts(counts[1:])
		}
	}
	return n, rows
}

// MissingByStep are the rows without a level, and all rows, by step.
func (c *LevelCounts) MissingByStep() (n, rows []float64) {
	return c.missing(func(counts []uint32) float64 {
		if len(counts) == 0 {
			return 0
		}
		return float64(counts[0])
	})
}

// MissingByStep are the rows without a number, and all rows, by step.
func (c *NumberCounts) MissingByStep() (n, rows []float64) {
	return c.missing(func(counts []uint32) float64 { return float64(counts[c.Cells]) })
}

func (c *Counts) missing(of func([]uint32) float64) (n, rows []float64) {
	n, rows = make([]float64, len(c.n)), make([]float64, len(c.n))
	for s, counts := range c.n {
		n[s], rows[s] = of(counts), float64(c.Steps.Rows[s])
	}
	return n, rows
}

// Since are the rows of each of so many codes from a step on; codes that are
// not counted by step have none.
func (c *LevelCounts) Since(step, codes int) []float64 {
	out := make([]float64, codes)
	for _, n := range c.n[step:] {
		for k := 1; k < len(n) && k <= min(codes, mostLevels); k++ {
			out[k-1] += float64(n[k])
		}
	}
	return out
}

// pooled are counts over cells, cell giving that of each code.
func (c *LevelCounts) pooled(cell []uint8, cells int) *Counts {
	out := newCounts(c.Steps, cells)
	for s, n := range c.n {
		for k, count := range n {
			switch {
			case k == 0:
				out.n[s][cells] += count
			case k <= min(len(cell), mostLevels):
				out.n[s][cell[k-1]] += count
			default:
				out.n[s][cells-1] += count
			}
		}
	}
	return out
}

// total sums all steps: the rows of each cell and, last, the missing ones.
func (c *Counts) total() []float64 {
	sum := make([]float64, c.Cells+1)
	for _, n := range c.n {
		addCounts(sum, n)
	}
	return sum
}

func addCounts(sum []float64, n []uint32) {
	for i, k := range n {
		sum[i] += float64(k)
	}
}

func sumCounts(n []uint32) (sum float64) {
	for _, k := range n {
		sum += float64(k)
	}
	return sum
}

// count counts values over a grid's cells, missing ones last.
func (g *Grid) count(n []uint32, values []float64) {
	for _, x := range values {
		if x != x {
			n[g.cells]++
		} else {
			n[g.Cell(x)]++
		}
	}
}
