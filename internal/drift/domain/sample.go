package domain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Column is one column of a [Sample]: numbers, or levels when Codes is set.
type Column struct {
	Name   string
	Values []float64 // NaN is missing
	Codes  []int32   // of levels, in [0, Levels); what is outside is missing
	Levels int       // number of levels, of both samples together
}

// Sample is rows in the order of time.
type Sample struct {
	Columns []Column
	// Block is the number of each row's step (an hour, a day), ascending. Rows
	// of one step are alike and never end up on both sides of a cut. Nil
	// stands for steps of equal numbers of rows.
	Block []int32
}

// MaxColumns is how many columns are looked at; see [Classify].
const MaxColumns = 40

// rows checks the sample and returns its number of rows.
func (s *Sample) rows() (int, error) {
	n := len(s.Block)
	for i := range s.Columns {
		c := &s.Columns[i]
		switch {
		case c.Codes != nil && c.Values != nil:
			return 0, fmt.Errorf("column %d (%s) has both values and codes", i, c.Name)
		case c.Levels < 0:
			return 0, fmt.Errorf("column %d (%s) has %d levels", i, c.Name, c.Levels)
		case i == 0 && s.Block == nil:
			n = c.len()
		case c.len() != n:
			return 0, fmt.Errorf("column %d (%s) has %d rows, expected %d", i, c.Name, c.len(), n)
		}
	}
	if !slices.IsSorted(s.Block) {
		return 0, fmt.Errorf("the steps of the rows are not ascending")
	}
	if n > math.MaxInt32 {
		return 0, fmt.Errorf("%d rows, expected at most %d", n, math.MaxInt32)
	}
	return n, nil
}

// checkPair checks both samples against each other.
func checkPair(ref, cur *Sample) (n, m int, err error) {
	if n, err = ref.rows(); err != nil {
		return 0, 0, fmt.Errorf("reference: %w", err)
	}
	if m, err = cur.rows(); err != nil {
		return 0, 0, fmt.Errorf("current: %w", err)
	}
	if len(ref.Columns) != len(cur.Columns) {
		return 0, 0, fmt.Errorf("%d columns in the reference, %d in the current sample", len(ref.Columns), len(cur.Columns))
	}
	for i := range ref.Columns {
		a, b := &ref.Columns[i], &cur.Columns[i]
		switch {
		case a.Name != b.Name:
			return 0, 0, fmt.Errorf("column %d is %s in the reference and %s in the current sample", i, a.Name, b.Name)
		case n > 0 && m > 0 && a.categorical() != b.categorical():
			return 0, 0, fmt.Errorf("column %d (%s) has levels in one sample and numbers in the other", i, a.Name)
		}
	}
	return n, m, nil
}

func (c *Column) len() int {
	if c.Codes != nil {
		return len(c.Codes)
	}
	return len(c.Values)
}

func (c *Column) categorical() bool { return c.Codes != nil }

// at is the value or code of a row, NaN when it is missing.
func (c *Column) at(row int32) float64 {
	if c.Codes == nil {
		return c.Values[row]
	}
	if v := c.Codes[row]; v >= 0 && int(v) < c.Levels {
		return float64(v)
	}
	return math.NaN()
}

// span is the rows [lo, hi).
type span struct{ lo, hi int }

func (s span) len() int { return s.hi - s.lo }

// Steps of rows whose time is not known: at least so many in a stretch of the
// reference, and in the current sample.
const stepsWanted = 12

// stepRows is the length of such steps for n and m rows.
func stepRows(n, m int) int {
	return max(1, min(n/(stepsWanted*stretchesLeast), m/stepsWanted))
}

// blocks are the spans of equal Block, or of length rows where there are none;
// a shorter rest belongs to the last.
func (s *Sample) blocks(n, length int) []span {
	var out []span
	if s.Block == nil {
		for lo := 0; lo < n; lo += length {
			if n-lo < 2*length {
				return append(out, span{lo, n})
			}
			out = append(out, span{lo, lo + length})
		}
		return out
	}
	for lo := 0; lo < n; {
		hi := lo + 1
		for hi < n && s.Block[hi] == s.Block[lo] {
			hi++
		}
		out = append(out, span{lo, hi})
		lo = hi
	}
	return out
}

func rowsOf(blocks []span) int {
	n := 0
	for _, b := range blocks {
		n += b.len()
	}
	return n
}

// pick adds to dst a share of the span's rows, one at random of each
// 1/share consecutive ones.
func (s span) pick(dst []int32, share float64, r *rand.Rand) []int32 {
	if share >= 1 {
		for i := s.lo; i < s.hi; i++ {
			dst = append(dst, int32(i))
		}
		return dst
	}
	stride := 1 / share
	for at := r.Float64() * stride; ; at += stride {
		row := s.lo + int(at)
		if row >= s.hi {
			return dst
		}
		dst = append(dst, int32(row))
	}
}

// Rows of either sample that the choice of columns is made by.
const choiceRows = 2000

// choose returns the columns to look at, ascending: all, or the most that
// have most to tell. A column tells as much as the share of its rows that
// are present and do not have its most frequent value, in the sample where
// that is more; of equal ones the first are taken. Columns that have one value in all rows
// are left out.
func choose(ref, cur *Sample, n, m, most int) []int {
	telling := make([]float64, len(ref.Columns))
	var order []int
	for i := range ref.Columns {
		a, b := variety(&ref.Columns[i], n), variety(&cur.Columns[i], m)
		telling[i] = max(a.present-a.most, b.present-b.most)
		if !constant(&ref.Columns[i], n, &cur.Columns[i], m) {
			order = append(order, i)
		}
	}
	if len(order) > most {
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case telling[a] > telling[b]:
				return -1
			case telling[a] < telling[b]:
				return 1
			}
			return 0
		})
		order = order[:most]
		slices.Sort(order)
	}
	return order
}

// shares of rows.
type shares struct {
	present float64 // not missing
	most    float64 // of the most frequent value
}

// variety looks at every so manieth of n rows.
func variety(c *Column, n int) shares {
	if n == 0 {
		return shares{}
	}
	step := (n + choiceRows - 1) / choiceRows
	present := make([]float64, 0, choiceRows)
	rows := 0.0
	for i := 0; i < n; i += step {
		if v := c.at(int32(i)); !math.IsNaN(v) {
			present = append(present, v)
		}
		rows++
	}
	slices.Sort(present)
	most := 0
	for lo := 0; lo < len(present); {
		hi := lo + 1
		for hi < len(present) && present[hi] == present[lo] {
			hi++
		}
		most = max(most, hi-lo)
		lo = hi
	}
	return shares{float64(len(present)) / rows, float64(most) / rows}
}

// constant reports whether a column has one value, or none, in all rows of
// both samples.
func constant(a *Column, n int, b *Column, m int) bool {
	first := math.NaN()
	for _, s := range []struct {
		c *Column
		n int
	}{{a, n}, {b, m}} {
		for i := range s.n {
			v := s.c.at(int32(i))
			if i == 0 && (s.c == a || n == 0) {
				first = v
			}
			if v != first && !(math.IsNaN(v) && math.IsNaN(first)) {
				return false
			}
		}
	}
	return true
}

// Values that are ranked within steps must hardly ever be the same: how two
// columns go together is apart from what each of them does only then.
const mostTies = 0.1

// continuous picks the columns of numbers whose values are hardly ever the
// same in either sample.
func continuous(ref, cur *Sample, n, m int, columns []int) []int {
	var out []int
	for _, c := range columns {
		if ref.Columns[c].categorical() {
			continue
		}
		a, b := variety(&ref.Columns[c], n), variety(&cur.Columns[c], m)
		if a.most <= mostTies*a.present && b.most <= mostTies*b.present {
			out = append(out, c)
		}
	}
	return out
}
