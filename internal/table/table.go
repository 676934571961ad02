// Package table holds columnar batches in memory and moves them in and out of
// CSV, Parquet and Arrow IPC. It is the only importer of Arrow.
//
// A [Table] has named columns of equal length in one of four types. Missing
// values stand in the data itself (NaN, code −1, [NoTime]), so a column is
// one or two flat slices and needs no bitmap.
package table

import (
	"fmt"
	"math"
	"slices"
)

// Type is the type of a column's values.
type Type uint8

// The types, in the order in which a column of texts is tried against them.
const (
	Float  Type = iota + 1 // Floats; NaN is missing
	Bool                   // Floats, 0 or 1; NaN is missing
	Time                   // Times, microseconds since 1970 UTC; NoTime is missing
	String                 // Codes into Dict; −1 is missing
)

func (t Type) String() string {
	switch t {
	case Float:
		return "number"
	case Bool:
		return "boolean"
	case String:
		return "string"
	case Time:
		return "time"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// NoTime marks a missing time.
const NoTime = math.MinInt64

// Column is a named run of values. Only the slice that belongs to its Type is
// set. Dict has no duplicates; its order is that of first appearance.
type Column struct {
	Name   string
	Type   Type
	Floats []float64
	Codes  []int32
	Dict   []string
	Times  []int64
}

// Len is the number of values.
func (c *Column) Len() int {
	switch c.Type {
	case String:
		return len(c.Codes)
	case Time:
		return len(c.Times)
	default:
		return len(c.Floats)
	}
}

// Missing reports whether value i is missing.
func (c *Column) Missing(i int) bool {
	switch c.Type {
	case String:
		return c.Codes[i] < 0
	case Time:
		return c.Times[i] == NoTime
	default:
		return math.IsNaN(c.Floats[i])
	}
}

// hasValues reports whether any value is not missing.
func (c *Column) hasValues() bool {
	for i := range c.Len() {
		if !c.Missing(i) {
			return true
		}
	}
	return false
}

// Text is value i of a String column, "" when missing.
func (c *Column) Text(i int) string {
	if c.Codes[i] < 0 {
		return ""
	}
	return c.Dict[c.Codes[i]]
}

// Format is value i as it would stand in a CSV file, "" when missing.
func (c *Column) Format(i int) string { return formatValue(c, i) }

// Take returns the values at rows, in that order. Dict is shared.
func (c *Column) Take(rows []int) *Column {
	out := &Column{Name: c.Name, Type: c.Type, Dict: c.Dict}
	switch c.Type {
	case String:
		out.Codes = take(c.Codes, rows)
	case Time:
		out.Times = take(c.Times, rows)
	default:
		out.Floats = take(c.Floats, rows)
	}
	return out
}

// Slice returns the values in [lo, hi), sharing memory.
func (c *Column) Slice(lo, hi int) *Column {
	out := *c
	switch c.Type {
	case String:
		out.Codes = c.Codes[lo:hi:hi]
	case Time:
		out.Times = c.Times[lo:hi:hi]
	default:
		out.Floats = c.Floats[lo:hi:hi]
	}
	return &out
}

func take[T any](v []T, rows []int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = v[r]
	}
	return out
}

// Strings returns a String column of the given texts; no text is missing.
func Strings(name string, texts []string) *Column {
	c := &Column{Name: name, Type: String, Codes: make([]int32, len(texts))}
	b := dictBuilder{index: map[string]int32{}}
	for i, s := range texts {
		c.Codes[i] = b.code(s)
	}
	c.Dict = b.dict
	return c
}

// Floats returns a Float column that takes over v.
func Floats(name string, v []float64) *Column { return &Column{Name: name, Type: Float, Floats: v} }

// Times returns a Time column that takes over v.
func Times(name string, v []int64) *Column { return &Column{Name: name, Type: Time, Times: v} }

// AllMissing returns a column of n missing values.
func AllMissing(name string, typ Type, n int) *Column {
	c := &Column{Name: name, Type: typ}
	c.appendFrom(nil, n, nil)
	return c
}

// AsText is c as a String column, each value as it would stand in a CSV file.
// A String column is returned as it is.
func (c *Column) AsText() *Column {
	if c.Type == String {
		return c
	}
	out := &Column{Name: c.Name, Type: String, Codes: make([]int32, c.Len())}
	b := dictBuilder{index: map[string]int32{}}
	for i := range out.Codes {
		if out.Codes[i] = -1; !c.Missing(i) {
			out.Codes[i] = b.code(c.Format(i))
		}
	}
	out.Dict = b.dict
	return out
}

type dictBuilder struct {
	index map[string]int32
	dict  []string
}

func (b *dictBuilder) code(s string) int32 {
	if k, ok := b.index[s]; ok {
		return k
	}
	k := int32(len(b.dict))
	b.index[s] = k
	b.dict = append(b.dict, s)
	return k
}

// Table is a set of columns of equal length. It is not changed after it was
// made; functions that select return a new one that shares memory.
type Table struct {
	cols []*Column
	rows int
}

// New makes a table of cols. Names must be unique and lengths equal.
func New(cols ...*Column) (*Table, error) {
	t := &Table{cols: cols}
	seen := make(map[string]bool, len(cols))
	for i, c := range cols {
		if seen[c.Name] {
			return nil, fmt.Errorf("table: two columns are called %q", c.Name)
		}
		seen[c.Name] = true
		if i == 0 {
			t.rows = c.Len()
		} else if c.Len() != t.rows {
			return nil, fmt.Errorf("table: column %q has %d rows, %q has %d", c.Name, c.Len(), cols[0].Name, t.rows)
		}
	}
	return t, nil
}

// Must is New for columns that the caller knows to fit; it panics otherwise.
func Must(cols ...*Column) *Table {
	t, err := New(cols...)
	if err != nil {
		panic(err)
	}
	return t
}

// NumRows is the number of rows.
func (t *Table) NumRows() int { return t.rows }

// Columns are the columns in order; the caller must not change the slice.
func (t *Table) Columns() []*Column { return t.cols }

// Names are the columns' names in order.
func (t *Table) Names() []string {
	names := make([]string, len(t.cols))
	for i, c := range t.cols {
		names[i] = c.Name
	}
	return names
}

// Column returns the column called name, or nil.
func (t *Table) Column(name string) *Column {
	for _, c := range t.cols {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Stream passes each column to visit as one part, as [Source.Stream] does.
func (t *Table) Stream(visit func(Part) error) error {
	faults := make([]error, len(t.cols))
	inParallel(len(t.cols), func(i int) { faults[i] = visit(Part{Index: i, Column: t.cols[i]}) })
	return firstError(faults)
}

// Slice returns rows [lo, hi).
func (t *Table) Slice(lo, hi int) *Table {
	out := &Table{rows: hi - lo, cols: make([]*Column, len(t.cols))}
	for i, c := range t.cols {
		out.cols[i] = c.Slice(lo, hi)
	}
	return out
}

// Take returns the given rows, in that order.
func (t *Table) Take(rows []int) *Table {
	out := &Table{rows: len(rows), cols: make([]*Column, len(t.cols))}
	for i, c := range t.cols {
		out.cols[i] = c.Take(rows)
	}
	return out
}

// Drop returns the table without the named columns; unknown names do nothing.
func (t *Table) Drop(names ...string) *Table {
	out := &Table{rows: t.rows}
	for _, c := range t.cols {
		if !slices.Contains(names, c.Name) {
			out.cols = append(out.cols, c)
		}
	}
	return out
}

// With returns the table with cols appended, each replacing a column of its
// name in place.
func (t *Table) With(cols ...*Column) (*Table, error) {
	all := slices.Clone(t.cols)
	for _, c := range cols {
		if i := slices.IndexFunc(all, func(o *Column) bool { return o.Name == c.Name }); i >= 0 {
			all[i] = c
		} else {
			all = append(all, c)
		}
	}
	return New(all...)
}

// Concat puts the rows of tables one after another. Columns are matched by
// name: the result has the union of the names in order of first appearance;
// a table without a column contributes missing values. Two columns of one
// name and different types are an error.
func Concat(tables ...*Table) (*Table, error) {
	var order []*Column // prototypes
	index := map[string]int{}
	total := 0
	for _, t := range tables {
		total += t.rows
		for _, c := range t.cols {
			i, ok := index[c.Name]
			if !ok {
				index[c.Name] = len(order)
				order = append(order, c)
			} else if order[i].Type != c.Type {
				return nil, fmt.Errorf("table: column %q is %s in one part and %s in another", c.Name, order[i].Type, c.Type)
			}
		}
	}
	out := make([]*Column, len(order))
	for i, proto := range order {
		c := &Column{Name: proto.Name, Type: proto.Type}
		b := dictBuilder{index: map[string]int32{}}
		switch c.Type {
		case String:
			c.Codes = make([]int32, 0, total)
		case Time:
			c.Times = make([]int64, 0, total)
		default:
			c.Floats = make([]float64, 0, total)
		}
		for _, t := range tables {
			c.appendFrom(t.Column(c.Name), t.rows, &b)
		}
		c.Dict = b.dict
		out[i] = c
	}
	return &Table{cols: out, rows: total}, nil
}

// appendFrom adds the n values of src, or n missing values when src is nil.
func (c *Column) appendFrom(src *Column, n int, b *dictBuilder) {
	switch {
	case c.Type == String && src == nil:
		for range n {
			c.Codes = append(c.Codes, -1)
		}
	case c.Type == String:
		remap := make([]int32, len(src.Dict))
		for k := range remap {
			remap[k] = -1
		}
		for _, k := range src.Codes {
			if k >= 0 {
				if remap[k] < 0 {
					remap[k] = b.code(src.Dict[k])
				}
				k = remap[k]
			}
			c.Codes = append(c.Codes, k)
		}
	case c.Type == Time && src == nil:
		for range n {
			c.Times = append(c.Times, NoTime)
		}
	case c.Type == Time:
		c.Times = append(c.Times, src.Times...)
	case src == nil:
		for range n {
			c.Floats = append(c.Floats, math.NaN())
		}
	default:
		c.Floats = append(c.Floats, src.Floats...)
	}
}
