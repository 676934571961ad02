package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/splitmix"
	"github.com/healml/healml/internal/table"
)

// Rows are the rows of a sample, read part by part: a [table.Table] or a
// [table.Source]. They are read more than once.
type Rows interface {
	NumRows() int
	Names() []string
	// Stream passes parts to visit, those of one column in order and never two
	// at a time, those of different columns at once.
	Stream(visit func(table.Part) error) error
}

// Data is one side of a comparison.
type Data struct {
	Rows
	// Times, if not nil, are the same rows with only the column of their time,
	// for sources that read it faster alone.
	Times Rows
}

// Of makes a table one side of a comparison.
func Of(t *table.Table) Data { return Data{Rows: t} }

// sampleRows is the number of rows of a sample that are kept as they are, for
// what counts cannot tell.
const sampleRows = 1 << 17

// readAll reads all rows of d, again when a column turns out to be of another
// type; begin is called before each time.
func readAll(d Rows, begin func(), visit func(table.Part) error) error {
	for {
		begin()
		if err := d.Stream(visit); !errors.Is(err, table.ErrRetyped) {
			return err
		}
	}
}

// clock is what is known of the times of a sample's rows.
type clock struct {
	rows  Rows
	index int // of the column of times, -1 for none
	span  drift.Span
}

// clockOf looks through the times in a column.
func clockOf(d Data, name string) (*clock, error) {
	c := &clock{rows: d.Rows, index: -1, span: drift.NewSpan()}
	if d.Times != nil {
		c.rows = d.Times
	}
	if name == "" {
		return c, nil
	}
	err := readAll(c.rows, func() { c.index, c.span = -1, drift.NewSpan() }, func(p table.Part) error {
		if p.Name == name && p.Type == table.Time {
			c.index = p.Index
			c.span.Add(p.Times)
		}
		return nil
	})
	return c, err
}

// steps cuts the rows into steps of a width.
func (c *clock) steps(width int64) (*drift.Steps, error) {
	var t *drift.TimeSteps
	err := readAll(c.rows, func() { t = drift.NewTimeSteps(width, c.span) }, func(p table.Part) error {
		if p.Index == c.index {
			t.Add(p.Times)
		}
		return nil
	})
	return t.Steps(), err
}

// leastSteps is the number of stretches of time that a reference must span;
// with fewer, order is that of rows.
const leastSteps = 8

// cut cuts both samples into steps, of time if both have one.
func (w *watch) cut(in Input) error {
	x, err := clockOf(in.Reference, in.ReferenceTime)
	if err != nil {
		return err
	}
	y, err := clockOf(in.Current, in.Time)
	if err != nil {
		return err
	}
	w.span, w.ordered = y.span, x.index >= 0 && x.span.Ordered
	if width := drift.StepWidth(x.span, y.span); width > 0 && x.span.Known() && y.span.Known() {
		if w.ref, err = x.steps(width); err == nil {
			w.cur, err = y.steps(width)
		}
		if err != nil || w.ref.Span() >= leastSteps {
			return err
		}
	}
	w.ref, w.cur = drift.RowSteps(in.Reference.NumRows()), drift.RowSteps(in.Current.NumRows())
	return nil
}

// ordered is d with the rows of a table put in the order of their times, which
// tells more than the steps that rows in disorder are cut into.
func ordered(d Data, name string) Data {
	if t, ok := d.Rows.(*table.Table); ok {
		return Of(orderedTable(t, name))
	}
	return d
}

// orderedTable is t in the order of its column of times; rows without one come
// last.
func orderedTable(t *table.Table, name string) *table.Table {
	c := t.Column(name)
	if name == "" || c == nil || c.Type != table.Time {
		return t
	}
	later := func(i, j int) int {
		a, b := c.Times[i], c.Times[j]
		switch {
		case a == b:
			return 0
		case a == table.NoTime:
			return 1
		case b == table.NoTime:
			return -1
		}
		return cmp.Compare(a, b)
	}
	rows := make([]int, len(c.Times))
	sorted := true
	for i := range rows {
		rows[i] = i
		sorted = sorted && (i == 0 || later(i-1, i) <= 0)
	}
	if sorted {
		return t
	}
	slices.SortStableFunc(rows, later)
	return t.Take(rows)
}

// sampler keeps rows of a sample: all of them, or one of every few, drawn by
// their number alone, so that the values of a row stay together.
type sampler struct {
	stride int
	cols   []*table.Column
}

func newSampler(d Rows) *sampler {
	return &sampler{stride: (d.NumRows() + sampleRows - 1) / sampleRows, cols: make([]*table.Column, len(d.Names()))}
}

// whole reports whether every row is kept.
func (s *sampler) whole() bool { return s.stride <= 1 }

// add keeps what is drawn of a part.
func (s *sampler) add(p table.Part) {
	c := s.cols[p.Index]
	if c == nil {
		c = &table.Column{Name: p.Name, Type: p.Type}
		s.cols[p.Index] = c
	}
	c.Dict = p.Dict
	if s.whole() {
		c.Floats, c.Codes, c.Times = append(c.Floats, p.Floats...), append(c.Codes, p.Codes...), append(c.Times, p.Times...)
		return
	}
	s.each(p.Row, p.Row+p.Len(), func(row int) {
		switch row -= p.Row; p.Type {
		case table.String:
			c.Codes = append(c.Codes, p.Codes[row])
		case table.Time:
			c.Times = append(c.Times, p.Times[row])
		default:
			c.Floats = append(c.Floats, p.Floats[row])
		}
	})
}

// each calls visit for the rows in [from, to) that are drawn.
func (s *sampler) each(from, to int, visit func(row int)) {
	stride := max(s.stride, 1)
	for block := from / stride; block*stride < to; block++ {
		if row := block*stride + int(splitmix.Mix(uint64(block))%uint64(stride)); row >= from && row < to {
			visit(row)
		}
	}
}

// steps are the steps of the rows that are drawn of so many.
func (s *sampler) steps(of *drift.Steps, rows int) []int32 {
	var out []int32
	of.Each(0, rows, func(step, lo, hi int) {
		s.each(lo, hi, func(int) { out = append(out, int32(step)) })
	})
	return out
}

// table is what was kept of all columns.
func (s *sampler) table(names []string) (*table.Table, error) {
	cols := make([]*table.Column, len(names))
	for i, c := range s.cols {
		if cols[i] = c; c == nil {
			cols[i] = table.Floats(names[i], []float64{})
		}
	}
	t, err := table.New(cols...)
	if err != nil {
		return nil, fmt.Errorf("sample rows: %w", err)
	}
	return t, nil
}

// sampleOf is d in memory if it is small, and else some hundred thousand rows
// of it, drawn evenly.
func sampleOf(d Rows) (*table.Table, error) {
	if t, ok := d.(*table.Table); ok && t.NumRows() <= sampleRows {
		return t, nil
	}
	var s *sampler
	err := readAll(d, func() { s = newSampler(d) }, func(p table.Part) error {
		s.add(p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.table(d.Names())
}
