package table

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// ParquetWriter writes a Parquet file table by table, each as row groups of
// its own, so that the file never stands in memory as a whole. The file is as
// [EncodeParquet] makes it, but that columns are compressed by dictionaries
// only where the first table's values repeat. It is not safe for use by several
// goroutines at once.
type ParquetWriter struct {
	w     *file.Writer
	names []string
	types []Type
	err   error
}

// NewParquetWriter begins a file of the columns of first, of which only names,
// types and a sample of the values are looked at.
func NewParquetWriter(w io.Writer, first *Table) (*ParquetWriter, error) {
	if len(first.cols) == 0 {
		return nil, errors.New("write parquet: the table has no columns")
	}
	p := &ParquetWriter{}
	props := []parquet.WriterProperty{
		parquet.WithDataPageVersion(parquet.DataPageV2),
		parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithCreatedBy("healml"),
	}
	nodes := make(schema.FieldList, len(first.cols))
	for i, c := range first.cols {
		node, err := nodeOf(c)
		if err != nil {
			return nil, fmt.Errorf("write parquet: column %q: %w", c.Name, err)
		}
		nodes[i] = node
		props = append(props, parquet.WithDictionaryPath(parquet.ColumnPath{c.Name}, repeats(c)))
		p.names, p.types = append(p.names, c.Name), append(p.types, c.Type)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, nodes, -1)
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	p.w = file.NewParquetWriter(&plainWriter{w: w}, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	return p, nil
}

// plainWriter hides that its writer could seek or be closed.
type plainWriter struct{ w io.Writer }

func (p *plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }

// Write appends the rows of t. A column that t lacks is missing in all of
// them; one that the file lacks, or of another type, is an error. After an
// error the file is void.
func (p *ParquetWriter) Write(t *Table) error {
	if p.err != nil {
		return p.err
	}
	cols := make([]*Column, len(p.names))
	found := 0
	for i, name := range p.names {
		c := t.Column(name)
		switch {
		case c == nil:
			c = AllMissing(name, p.types[i], t.rows)
		case c.Type != p.types[i]:
			return fmt.Errorf("write parquet: column %q is %s, expected %s", name, c.Type, p.types[i])
		default:
			found++
		}
		cols[i] = c
	}
	if found < len(t.cols) {
		return fmt.Errorf("write parquet: a table of %d columns has %d that the file does not", len(t.cols), len(t.cols)-found)
	}
	e := newEncoders(&Table{cols: cols, rows: t.rows})
	for lo := 0; lo < t.rows; lo += groupRows {
		if p.err = p.group(e, lo, min(lo+groupRows, t.rows)); p.err != nil {
			return p.err
		}
	}
	return nil
}

// group writes rows [lo, hi) as a row group.
func (p *ParquetWriter) group(e *encoders, lo, hi int) (err error) {
	defer func() { // the library panics when its writer fails
		if r := recover(); r != nil {
			err = fmt.Errorf("write parquet: %v", r)
		}
	}()
	group := p.w.AppendRowGroup()
	for i := range p.names {
		if err := e.write(group, i, lo, hi); err != nil {
			return fmt.Errorf("write parquet: column %q: %w", p.names[i], err)
		}
	}
	if err := group.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// Close writes the footer; a file without one cannot be read. It does not
// close the writer below.
func (p *ParquetWriter) Close() (err error) {
	if p.err != nil {
		return p.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write parquet: %v", r)
		}
	}()
	p.err = errors.New("write parquet: closed")
	if err := p.w.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// ParquetShape is a table of no rows with the columns that [DecodeParquet]
// would give for the file of size bytes in r; only its footer is read.
// Columns of kinds that are not supported are left out, and whole numbers are
// Float, though values beyond ±2^53 would make them String.
func ParquetShape(name string, r io.ReaderAt, size int64) (*Table, error) {
	return guard(name, func() (*Table, error) {
		f, err := openParquet(name, content{at: r, size: size})
		if err != nil {
			return nil, err
		}
		fields, names := f.fields()
		if err := distinctNames(name, names); err != nil {
			return nil, err
		}
		var cols []*Column
		for i, fd := range fields {
			descr, err := f.flat(fd)
			if err != nil {
				continue
			}
			b := &builder{name: names[i]}
			if decoderOf(b, descr) != nil {
				cols = append(cols, b.column())
			}
		}
		return New(cols...)
	})
}
