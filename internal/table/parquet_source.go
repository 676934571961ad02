package table

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"

	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// parquetSource reads a Parquet file column by column.
type parquetSource struct {
	*parquetFile
	o     ReadOptions
	kept  []field
	names []string
	wide  []bool // whole numbers are taken as text; of Stream
	most  int64  // rows of its parts; parquetRows but in tests
}

// parquetRows is the greatest number of rows of a part of Stream.
const parquetRows = 1 << 16

func (s *Source) openParquet(c content, o ReadOptions) error {
	f, err := guard(s.name, func() (*parquetFile, error) { return openParquet(s.name, c) })
	if err != nil {
		return err
	}
	kept, names, err := f.kept(o)
	if err != nil {
		return err
	}
	if err := distinctNames(s.name, names); err != nil {
		return err
	}
	if n := f.r.NumRows(); n < 0 {
		return damaged(s.name, fmt.Sprintf("it says that it has %d rows", n))
	}
	p := &parquetSource{parquetFile: f, o: o, kept: kept, names: names, wide: make([]bool, len(kept)), most: cmp.Or(s.window, parquetRows)}
	s.rows, s.cols, s.columnar, s.scan, s.stream = int(f.r.NumRows()), names, true, p.scan, p.parts
	return nil
}

// each runs read for every column, with memory that it may use.
func (p *parquetSource) each(read func(i int, s *scratch) error) error {
	spares := make(chan *scratch, runtime.GOMAXPROCS(0))
	for range cap(spares) {
		spares <- &scratch{}
	}
	_, err := readColumns(p.name, p.names, func(i int) (*Column, error) {
		spare := <-spares
		defer func() { spares <- spare }()
		return nil, read(i, spare)
	})
	return err
}

func (p *parquetSource) scan(picked []int, visit func(Part) error) error {
	return p.each(func(i int, s *scratch) error {
		c, err := p.column(p.kept[i], s)
		if err != nil {
			return err
		}
		t, err := assemble(p.name, []*Column{c}, p.r.NumRows(), p.o)
		if err != nil {
			return err
		}
		if cap(c.Floats) > cap(s.floats) {
			s.floats = c.Floats[:0]
		}
		return visit(picks(Part{Index: i, Column: t.cols[0]}, picked))
	})
}

// parts is Stream.
func (p *parquetSource) parts(visit func(Part) error) error {
	retyped := make([]bool, len(p.kept))
	err := p.each(func(i int, s *scratch) error {
		err := p.stream(i, s, visit)
		if errors.Is(err, errWide) {
			retyped[i], err = true, nil
		}
		return err
	})
	for i := range retyped {
		if retyped[i] && err == nil {
			p.wide[i], err = true, ErrRetyped
		}
	}
	return err
}

// stream passes the parts of one column.
func (p *parquetSource) stream(i int, s *scratch, visit func(Part) error) error {
	descr, err := p.flat(p.kept[i])
	if err != nil {
		return err
	}
	b := &builder{name: p.names[i], wide: p.wide[i]}
	d := decoderOf(b, descr)
	if d == nil {
		return p.unsupported(b.name, typeName(descr), castHint)
	}
	b.reserve(int(p.most))
	dict := dictBuilder{index: map[string]int32{}} // of a column that becomes text
	row := 0
	err = p.decode(p.kept[i].leaf, descr, s, func(r file.ColumnChunkReader, rows int64) error {
		for left := rows; left > 0; {
			n := min(left, p.most)
			b.floats, b.times, b.codes = b.floats[:0], b.times[:0], b.codes[:0]
			if err := d(r, n); err != nil {
				return err
			}
			cols, err := fit(p.name, []*Column{b.column()}, p.o)
			if err != nil {
				return &visitError{shifted(err, row)}
			}
			c := *cols[0]
			if c.Type == String && b.typ != String {
				c.recode(&dict)
			}
			if err := visit(Part{Index: i, Row: row, Column: &c}); err != nil {
				return &visitError{err}
			}
			row += int(n)
			left -= n
		}
		return nil
	})
	return p.fault(err, b.name, row+b.len())
}

// visitError carries an error that is not the file's through the decoder.
type visitError struct{ error }

func (e *visitError) Unwrap() error { return e.error }

// shifted is err with its line moved on by some rows.
func shifted(err error, rows int) error {
	var e *Error
	if errors.As(err, &e) && e.Line > 0 {
		e.Line += rows
	}
	return err
}

const castHint = "cast it to double, string or timestamp"

// flat describes a column that is neither nested nor repeated.
func (f *parquetFile) flat(fd field) (*schema.Column, error) {
	if fd.leaf < 0 {
		return nil, f.unsupported(fd.node.Name(), "list, map or struct", "write its parts as columns of their own")
	}
	return f.r.MetaData().Schema.Column(fd.leaf), nil
}

func (f *parquetFile) unsupported(column, what, todo string) error {
	return &Error{File: f.name, Column: column, Want: "is of type " + what + ", which is not supported; " + todo + ", or leave the column out"}
}

// fault names the file, and the row where one is known, in an error of the
// decoder after so many rows.
func (f *parquetFile) fault(err error, column string, rows int) error {
	var bad *badValue
	var own *visitError
	switch {
	case err == nil, errors.Is(err, errWide):
		return err
	case errors.As(err, &own):
		return own.error
	case errors.As(err, &bad):
		return &Error{File: f.name, Line: rows + 1, Column: column, Value: bad.value, Want: bad.want}
	}
	return damaged(f.name, err)
}
