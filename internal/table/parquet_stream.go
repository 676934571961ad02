package table

import (
	"errors"
	"fmt"
	"io"
)

// ParquetWriter writes a Parquet file table by table, each as row groups of
// its own, so that the file never stands in memory as a whole. It writes what
// [EncodeParquet] does, in a third of the time: version 2 pages, one a column
// and row group, dictionaries where they make a column smaller, snappy where
// that does, and the least and greatest value of numbers and times. All
// columns are optional. It is not safe for use by several goroutines at once.
type ParquetWriter struct {
	w      io.Writer
	names  []string
	types  []Type
	at     int64 // bytes written
	rows   int64
	groups []rowGroup
	enc    chunkEncoder
	err    error
}

type rowGroup struct {
	rows   int
	chunks []columnChunk
}

// columnChunk says where a column of a row group stands.
type columnChunk struct {
	dictionary      int64 // offset of its page; −1: none
	data            int64 // offset of the data page
	size, unpacked  int64 // of both pages, headers included
	encoding        int32
	values, missing int
	least, greatest []byte // nil: not known
}

const parquetMagic = "PAR1"

// NewParquetWriter begins a file of the columns of first, of which only names
// and types are looked at.
func NewParquetWriter(w io.Writer, first *Table) (*ParquetWriter, error) {
	if len(first.cols) == 0 {
		return nil, errors.New("write parquet: the table has no columns")
	}
	p := &ParquetWriter{w: w}
	for _, c := range first.cols {
		if c.Type < Float || c.Type > String {
			return nil, fmt.Errorf("write parquet: column %q: unknown %s", c.Name, c.Type)
		}
		p.names, p.types = append(p.names, c.Name), append(p.types, c.Type)
	}
	p.write([]byte(parquetMagic))
	return p, p.err
}

func (p *ParquetWriter) write(b []byte) {
	if p.err != nil {
		return
	}
	n, err := p.w.Write(b)
	p.at += int64(n)
	if err != nil {
		p.err = fmt.Errorf("write parquet: %w", err)
	}
}

// Write appends the rows of t. A column that t lacks is missing in all of
// them; one that the file lacks, or of another type, is an error. After an
// error of its writer the file is void.
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
	step := groupLength(cols)
	for lo := 0; lo < t.rows; lo += step {
		p.group(cols, lo, min(lo+step, t.rows))
	}
	return p.err
}

// groupLength is the number of rows of a row group, fewer than groupRows when
// texts are so long that a page might not fit its 31 bits.
func groupLength(cols []*Column) int {
	const most = 256 << 20
	longest := 0
	for _, c := range cols {
		for _, s := range c.Dict {
			longest = max(longest, len(s))
		}
	}
	return max(1, min(groupRows, most/(longest+4)))
}

// group writes rows [lo, hi) as a row group.
func (p *ParquetWriter) group(cols []*Column, lo, hi int) {
	g := rowGroup{rows: hi - lo, chunks: make([]columnChunk, len(cols))}
	for i, c := range cols {
		chunk := &g.chunks[i]
		p.enc.encode(chunk, c.Slice(lo, hi))
		if chunk.dictionary >= 0 {
			chunk.dictionary += p.at
		}
		chunk.data += p.at
		p.write(p.enc.out)
	}
	p.rows += int64(g.rows)
	p.groups = append(p.groups, g)
}

// Close writes the footer; a file without one cannot be read. It does not
// close the writer below.
func (p *ParquetWriter) Close() error {
	if p.err != nil {
		return p.err
	}
	footer := p.footer()
	footer = append(footer, byte(len(footer)), byte(len(footer)>>8), byte(len(footer)>>16), byte(len(footer)>>24))
	p.write(append(footer, parquetMagic...))
	if p.err != nil {
		return p.err
	}
	p.err = errors.New("write parquet: closed")
	return nil
}

// Numbers of parquet.thrift.
const (
	parquetOptional     = 1
	parquetSnappy       = 1
	parquetPlain        = 0
	parquetRLE          = 3
	parquetDictionary   = 8 // RLE_DICTIONARY
	parquetPageDict     = 2
	parquetPageV2       = 3
	convertedUTF8       = 0
	convertedMicros     = 10
	parquetWriterNumber = 2 // of the format
)

// physical are the types of parquet.thrift.
func physical(t Type) int32 {
	switch t {
	case Bool:
		return 0
	case Time:
		return 2
	case String:
		return 6
	}
	return 5
}

// footer is the FileMetaData.
func (p *ParquetWriter) footer() []byte {
	w := &thriftWriter{}
	w.begin()
	w.i32(1, parquetWriterNumber)
	w.list(2, putStruct, len(p.names)+1)
	w.begin()
	w.binary(4, "schema")
	w.i32(5, int32(len(p.names)))
	w.end()
	for i, name := range p.names {
		schemaElement(w, name, p.types[i])
	}
	w.i64(3, p.rows)
	w.list(4, putStruct, len(p.groups))
	for i := range p.groups {
		p.groupMetadata(w, &p.groups[i])
	}
	w.binary(6, "healml")
	w.list(7, putStruct, len(p.names)) // orders of columns: by type
	for range p.names {
		w.begin()
		w.empty(1)
		w.end()
	}
	w.end()
	return w.b
}

func schemaElement(w *thriftWriter, name string, t Type) {
	w.begin()
	w.i32(1, physical(t))
	w.i32(3, parquetOptional)
	w.binary(4, name)
	switch t {
	case String:
		w.i32(6, convertedUTF8)
		w.structure(10)
		w.empty(1)
		w.end()
	case Time:
		w.i32(6, convertedMicros)
		w.structure(10)
		w.structure(8)
		w.bool(1, true) // UTC
		w.structure(2)
		w.empty(2) // µs
		w.end()
		w.end()
		w.end()
	}
	w.end()
}

func (p *ParquetWriter) groupMetadata(w *thriftWriter, g *rowGroup) {
	w.begin()
	w.list(1, putStruct, len(g.chunks))
	var size, unpacked int64
	for i := range g.chunks {
		c := &g.chunks[i]
		size, unpacked = size+c.size, unpacked+c.unpacked
		w.begin()
		w.i64(2, c.first())
		w.structure(3)
		p.chunkMetadata(w, i, c)
		w.end()
		w.end()
	}
	w.i64(2, unpacked)
	w.i64(3, int64(g.rows))
	w.i64(5, g.chunks[0].first())
	w.i64(6, size)
	w.end()
}

// first is the offset of the chunk's first page.
func (c *columnChunk) first() int64 {
	if c.dictionary >= 0 {
		return c.dictionary
	}
	return c.data
}

func (p *ParquetWriter) chunkMetadata(w *thriftWriter, i int, c *columnChunk) {
	w.i32(1, physical(p.types[i]))
	encodings := []int32{parquetRLE, parquetPlain}
	if c.dictionary >= 0 {
		encodings = append(encodings, parquetDictionary)
	}
	w.list(2, putI32, len(encodings))
	for _, e := range encodings {
		w.zigzag(int64(e))
	}
	w.list(3, putBinary, 1)
	w.text(p.names[i])
	w.i32(4, parquetSnappy)
	w.i64(5, int64(c.values))
	w.i64(6, c.unpacked)
	w.i64(7, c.size)
	w.i64(9, c.data)
	if c.dictionary >= 0 {
		w.i64(11, c.dictionary)
	}
	w.structure(12)
	w.i64(3, int64(c.missing))
	if c.least != nil {
		w.binary(5, string(c.greatest))
		w.binary(6, string(c.least))
	}
	w.end()
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

// ParquetRows is the number of rows that the footer of the file of size bytes
// in r gives.
func ParquetRows(name string, r io.ReaderAt, size int64) (int64, error) {
	return guard(name, func() (int64, error) {
		f, err := openParquet(name, content{at: r, size: size})
		if err != nil {
			return 0, err
		}
		return max(f.r.NumRows(), 0), nil
	})
}
