package table

import (
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// arrowSource reads an Arrow IPC file batch by batch.
type arrowSource struct {
	content
	name   string
	rows   int64
	fields []arrow.Field // of the Source's columns
	kept   []int         // their numbers in the file
	names  []string
	wide   []bool // whole numbers are taken as text
	o      ReadOptions
	dicts  []dictBuilder // of columns that become text
	body   []byte        // memory for batches
}

// arrowRows is the greatest number of rows of a part.
const arrowRows = 1 << 16

func (s *Source) openArrow(c content, o ReadOptions) error {
	f, err := guard(s.name, func() (*arrowSource, error) {
		r, _, err := openArrow(s.name, c)
		if err != nil {
			return nil, err
		}
		f := &arrowSource{content: c, name: s.name, o: o}
		fields := r.Schema().Fields()
		if f.kept, f.names, err = keptFields(s.name, fields, o); err != nil {
			return nil, err
		}
		for _, i := range f.kept {
			f.fields = append(f.fields, fields[i])
		}
		m, err := newMessages(c)
		if err != nil {
			return nil, damaged(s.name, err)
		}
		if f.rows, err = m.countRows(); err != nil {
			return nil, damaged(s.name, err)
		}
		return f, distinctNames(s.name, f.names)
	})
	if err != nil {
		return err
	}
	if f.rows > math.MaxInt32 {
		return &Error{File: s.name, Want: fmt.Sprintf("has %d rows, expected at most 2³¹−1", f.rows)}
	}
	f.wide = make([]bool, len(f.kept))
	s.rows, s.cols, s.scan = int(f.rows), f.names, f.scan
	return nil
}

func (f *arrowSource) scan(picked []int, visit func(Part) error) error {
	_, err := guard(f.name, func() (struct{}, error) { return struct{}{}, f.pass(picked, visit) })
	return err
}

func (f *arrowSource) pass(picked []int, visit func(Part) error) error {
	r, m, err := openArrow(f.name, f.content)
	if err != nil {
		return err
	}
	m.body = f.body
	defer func() { f.body = m.body }()
	cols := make([]*builder, len(f.kept))
	f.dicts = make([]dictBuilder, len(f.kept))
	for i, name := range f.names {
		cols[i] = &builder{name: name, wide: f.wide[i], typ: typeOf(f.fields[i].Type, f.wide[i])}
		cols[i].reserve(0)
		f.dicts[i].index = map[string]int32{}
	}
	retyped := make([]bool, len(cols))
	row := int64(0)
	for r.Next() {
		record := r.Record()
		if err := plausible(record); err != nil {
			return damaged(f.name, err)
		}
		if record.NumRows() > f.rows-row {
			return damaged(f.name, "its batches have more rows than they say")
		}
		_, err := readColumns(f.name, f.names, func(i int) (*Column, error) {
			if retyped[i] {
				return nil, nil
			}
			a := record.Column(f.kept[i])
			for lo := 0; lo < a.Len(); lo += arrowRows {
				p, err := f.part(cols[i], a, lo, int(row))
				if errors.Is(err, errWide) {
					retyped[i] = true
					return nil, nil
				}
				if err != nil {
					return nil, err
				}
				if p.Index = i; p.Type == String && cols[i].typ != String {
					p.recode(&f.dicts[i])
				}
				if err := visit(picks(p, picked)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		if err != nil {
			return err
		}
		row += record.NumRows()
	}
	if err := r.Err(); err != nil {
		return damaged(f.name, err)
	}
	if row != f.rows {
		return damaged(f.name, fmt.Sprintf("it has %d rows, its batches say %d", row, f.rows))
	}
	for i := range retyped {
		if retyped[i] {
			f.wide[i], err = true, ErrRetyped
		}
	}
	return err
}

// part reads the values from lo on of the batch that begins with a row. What
// b holds but its dictionary is void then.
func (f *arrowSource) part(b *builder, a arrow.Array, lo, row int) (Part, error) {
	b.floats, b.times, b.codes = b.floats[:0], b.times[:0], b.codes[:0]
	if n := a.Len(); lo > 0 || n > arrowRows {
		a = array.NewSlice(a, int64(lo), int64(min(lo+arrowRows, n)))
	}
	err := appendArray(b, a)
	var bad *badValue
	switch {
	case errors.Is(err, errWide):
		return Part{}, err
	case errors.As(err, &bad):
		return Part{}, &Error{File: f.name, Line: row + lo + b.len() + 1, Column: b.name, Value: bad.value, Want: bad.want}
	case err != nil:
		return Part{}, damaged(f.name, err)
	}
	cols, err := fit(f.name, []*Column{b.column()}, f.o)
	var e *Error
	if errors.As(err, &e) {
		e.Line += row + lo
	}
	if err != nil {
		return Part{}, err
	}
	return Part{Row: row + lo, Column: cols[0]}, nil
}
