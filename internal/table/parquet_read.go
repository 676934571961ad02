package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// DecodeParquet reads a Parquet file from memory; name stands for it in
// errors. Columns of numbers, booleans, dates, timestamps and strings are
// read, with any of the encodings and compressions that docs/format/tables.md
// lists; whole numbers beyond ±2^53 make a column String. A column of another
// kind is an *Error, unless o.Columns leaves it out.
//
// Parquet has no checksum that is in use: bytes that changed within a page may
// read as other values. Everything else is an *Error.
func DecodeParquet(name string, b []byte, o ReadOptions) (*Table, error) {
	return guard(name, func() (*Table, error) {
		f, err := openParquet(name, content{at: bytes.NewReader(b), size: int64(len(b)), whole: b})
		if err != nil {
			return nil, err
		}
		return readParquet(f, o)
	})
}

// openParquet checks the ends of the file and reads its metadata.
func openParquet(name string, c content) (*parquetFile, error) {
	if err := checkParquet(name, c); err != nil {
		return nil, err
	}
	r, err := file.NewParquetReader(io.NewSectionReader(c.at, 0, c.size))
	if err != nil {
		return nil, damaged(name, err)
	}
	return &parquetFile{name: name, content: c, r: r}, nil
}

// checkParquet looks at the ends of the file.
func checkParquet(name string, c content) error {
	const tail = 8 // the footer's length and the magic bytes
	if c.size < 4+tail {
		return damaged(name, "it does not start as a Parquet file does")
	}
	head, err := c.span(0, 4, nil)
	if err != nil {
		return damaged(name, err)
	}
	if !bytes.HasPrefix(head, []byte("PAR1")) {
		return damaged(name, "it does not start as a Parquet file does")
	}
	end, err := c.span(c.size-tail, tail, nil)
	if err != nil {
		return damaged(name, err)
	}
	switch string(end[4:]) {
	case "PAR1":
	case "PARE":
		return &Error{File: name, Want: "is an encrypted Parquet file, which is not supported; write it without encryption"}
	default:
		return damaged(name, "it does not end as a Parquet file does; it may be cut short")
	}
	size := int64(binary.LittleEndian.Uint32(end))
	if size > c.size-4-tail {
		return damaged(name, "its footer is longer than the file")
	}
	footer, err := c.span(c.size-tail-size, size, nil)
	if err == nil {
		err = checkFooter(footer)
	}
	if err != nil {
		return damaged(name, err)
	}
	return nil
}

type parquetFile struct {
	content
	name  string
	r     *file.Reader
	loose []string // of ReadOptions
}

// scratch is memory that the reading of one column leaves to the next.
type scratch struct {
	chunk  []byte
	floats []float64
}

// field is a top-level field of the schema. leaf is the index of its column,
// -1 when it is nested or repeated.
type field struct {
	node schema.Node
	leaf int
}

func (f *parquetFile) fields() (fields []field, names []string) {
	sc := f.r.MetaData().Schema
	for i := range sc.NumColumns() {
		root := sc.ColumnRoot(i)
		if n := len(fields); n > 0 && fields[n-1].node == root {
			continue // another column of a nested field
		}
		leaf := -1
		if root.Type() == schema.Primitive && root.RepetitionType() != parquet.Repetitions.Repeated {
			leaf = i
		}
		fields = append(fields, field{root, leaf})
		names = append(names, root.Name())
	}
	return fields, names
}

// kept are the fields that o keeps.
func (f *parquetFile) kept(o ReadOptions) (kept []field, keptNames []string, err error) {
	fields, names := f.fields()
	keep, err := o.keep(f.name, names)
	if err != nil {
		return nil, nil, err
	}
	for i, fd := range fields {
		if keep[i] {
			kept = append(kept, fd)
			keptNames = append(keptNames, names[i])
		}
	}
	return kept, keptNames, nil
}

// readParquet reads the columns that o keeps.
func readParquet(f *parquetFile, o ReadOptions) (*Table, error) {
	f.loose = o.Loose
	kept, names, err := f.kept(o)
	if err != nil {
		return nil, err
	}
	cols, err := readColumns(f.name, names, func(i int) (*Column, error) { return f.column(kept[i], &scratch{}) })
	if err != nil {
		return nil, err
	}
	return assemble(f.name, cols, f.r.NumRows(), o)
}

// column reads one column through all row groups. It takes what s holds.
func (f *parquetFile) column(fd field, s *scratch) (*Column, error) {
	descr, err := f.flat(fd)
	if err != nil {
		return nil, err
	}
	b := &builder{name: fd.node.Name(), loose: slices.Contains(f.loose, fd.node.Name())}
	for {
		d := decoderOf(b, descr)
		if d == nil {
			return nil, f.unsupported(b.name, typeName(descr), castHint)
		}
		rows := int(min(f.r.NumRows(), max(1<<20, f.size))) // a damaged file may say any number
		if cap(s.floats) >= rows && (b.typ == Float || b.typ == Bool) {
			b.floats = s.floats[:0]
		} else {
			b.reserve(rows)
		}
		err := f.fault(f.decode(fd.leaf, descr, s, d), b.name, b.len())
		if errors.Is(err, errWide) {
			*b = builder{name: b.name, wide: true, loose: b.loose}
			continue
		}
		if err != nil {
			return nil, err
		}
		return b.column(), nil
	}
}

func typeName(descr *schema.Column) string {
	if l := descr.LogicalType(); l != nil && !l.IsNone() {
		return l.String()
	}
	return descr.PhysicalType().String()
}

// decode runs all row groups of a column through d.
func (f *parquetFile) decode(leaf int, descr *schema.Column, s *scratch, d decoder) error {
	meta := f.r.MetaData()
	for g := range f.r.NumRowGroups() {
		m, err := meta.RowGroup(g).ColumnChunk(leaf)
		if err != nil {
			return err
		}
		if m.CryptoMetadata() != nil {
			return errors.New("the column is encrypted, which is not supported")
		}
		rows := meta.RowGroup(g).NumRows()
		chunk, err := f.chunk(m, s)
		if err != nil {
			return err
		}
		if err := checkPages(chunk, rows, m.Compression()); err != nil {
			return err
		}
		// Arrow sees the very bytes that were checked, even if the file changes.
		pages, err := file.NewPageReader(&unread{chunk}, m.NumValues(), m.Compression(), memory.NewGoAllocator(), nil)
		if err != nil {
			return err
		}
		checked := &checkedPages{PageReader: pages, descr: descr}
		if err := d(file.NewColumnReader(descr, checked, allocator(int(f.size)), f.r.BufferPool()), rows); err != nil {
			return err
		}
	}
	return nil
}
