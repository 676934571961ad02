package synth

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/table"
)

// Fault changes one column from row from on. It returns a new column and
// leaves its argument as it was.
type Fault struct {
	column string
	apply  func(c *table.Column, from int) (*table.Column, error)
}

// Inject returns t with the faults applied, in order, to the rows from from
// on; earlier rows and t itself are untouched. from may lie in [0, rows]. A
// fault that names a column t lacks, or one whose type it cannot change, is
// an error.
func Inject(t *table.Table, from int, faults ...Fault) (*table.Table, error) {
	if from < 0 || from > t.NumRows() {
		return nil, fmt.Errorf("inject: row %d is not in [0, %d]", from, t.NumRows())
	}
	for _, f := range faults {
		c := t.Column(f.column)
		if c == nil {
			return nil, fmt.Errorf("inject: no column %q", f.column)
		}
		changed, err := f.apply(c, from)
		if err != nil {
			return nil, fmt.Errorf("inject into column %q: %w", f.column, err)
		}
		if t, err = t.With(changed); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Offset moves a numeric column's mean: it adds sds standard deviations of
// the rows before from (of all rows when from is 0).
func Offset(column string, sds float64) Fault {
	return numeric(column, func(before []float64) func(float64) float64 {
		_, sd := moments(before)
		return func(v float64) float64 { return v + sds*sd }
	})
}

// Scale multiplies a numeric column, as a change of unit does: dollars to
// cents is a factor of 100.
func Scale(column string, factor float64) Fault {
	return numeric(column, func([]float64) func(float64) float64 {
		return func(v float64) float64 { return v * factor }
	})
}

// Stick repeats the last value before from, as a dead sensor does (the first
// value when from is 0). A missing value sticks too.
func Stick(column string) Fault {
	return Fault{column, func(c *table.Column, from int) (*table.Column, error) {
		rows := make([]int, c.Len())
		for i := range rows {
			rows[i] = min(i, max(from-1, 0))
		}
		return c.Take(rows), nil
	}}
}

// Blank makes every value missing, as when a feed drops the column.
func Blank(column string) Fault {
	return Fault{column, func(c *table.Column, from int) (*table.Column, error) {
		out := clone(c)
		for i := from; i < c.Len(); i++ {
			switch c.Type {
			case table.String:
				out.Codes[i] = -1
			case table.Time:
				out.Times[i] = table.NoTime
			default:
				out.Floats[i] = math.NaN()
			}
		}
		return out, nil
	}}
}

// Rename gives a level of a string column another spelling, as a change
// upstream does: "North" becomes "NORTH".
func Rename(column, old, spelling string) Fault {
	return Fault{column, func(c *table.Column, from int) (*table.Column, error) {
		if c.Type != table.String {
			return nil, fmt.Errorf("rename needs a string column, found %s", c.Type)
		}
		was := int32(slices.Index(c.Dict, old))
		out := clone(c)
		to := int32(slices.Index(c.Dict, spelling))
		if to < 0 {
			to = int32(len(c.Dict))
			out.Dict = append(slices.Clone(c.Dict), spelling)
		}
		for i := from; i < c.Len(); i++ {
			if k := out.Codes[i]; k >= 0 && k == was {
				out.Codes[i] = to
			}
		}
		return out, nil
	}}
}

// Flip turns what a target means upside down and leaves its inputs alone: a
// numeric value is mirrored at the mean of the rows before from (of all rows
// when from is 0), a boolean negated, and the levels of a string column with
// exactly two swapped.
func Flip(column string) Fault {
	mirror := numeric(column, func(before []float64) func(float64) float64 {
		mean, _ := moments(before)
		return func(v float64) float64 { return 2*mean - v }
	})
	return Fault{column, func(c *table.Column, from int) (*table.Column, error) {
		switch c.Type {
		case table.Float:
			return mirror.apply(c, from)
		case table.Bool:
			out := clone(c)
			for i := from; i < c.Len(); i++ {
				out.Floats[i] = 1 - out.Floats[i]
			}
			return out, nil
		case table.String:
			if len(c.Dict) != 2 {
				return nil, fmt.Errorf("flip needs two levels, found %d", len(c.Dict))
			}
			out := clone(c)
			for i := from; i < c.Len(); i++ {
				if out.Codes[i] >= 0 {
					out.Codes[i] = 1 - out.Codes[i]
				}
			}
			return out, nil
		}
		return nil, fmt.Errorf("flip cannot turn a column of type %s", c.Type)
	}}
}

// numeric is a fault that maps each value of a Float column; change sees the
// values on which the map may rest. NaN maps to NaN by arithmetic.
func numeric(column string, change func(before []float64) func(float64) float64) Fault {
	return Fault{column, func(c *table.Column, from int) (*table.Column, error) {
		if c.Type != table.Float {
			return nil, fmt.Errorf("needs a number column, found %s", c.Type)
		}
		before := c.Floats[:from]
		if from == 0 {
			before = c.Floats
		}
		change := change(before)
		out := clone(c)
		for i := from; i < c.Len(); i++ {
			out.Floats[i] = change(out.Floats[i])
		}
		return out, nil
	}}
}

// moments are the mean and the standard deviation of the values that are not
// NaN; both are 0 when there is none.
func moments(v []float64) (mean, sd float64) {
	var n, sum, squares float64
	for _, x := range v {
		if !math.IsNaN(x) {
			n++
			sum += x
		}
	}
	if n == 0 {
		return 0, 0
	}
	mean = sum / n
	for _, x := range v {
		if !math.IsNaN(x) {
			squares += (x - mean) * (x - mean)
		}
	}
	return mean, math.Sqrt(squares / n)
}

// clone copies a column's values. Dict is shared.
func clone(c *table.Column) *table.Column {
	out := *c
	out.Floats, out.Codes, out.Times = slices.Clone(c.Floats), slices.Clone(c.Codes), slices.Clone(c.Times)
	return &out
}
