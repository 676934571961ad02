package table

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// groupRows is the number of rows of a row group.
const groupRows = 128 << 10

// EncodeParquet writes t as a Parquet file: version 2 pages, snappy, a row
// group for every 131,072 rows. All columns are optional; numbers are DOUBLE,
// booleans BOOLEAN, texts STRING, times TIMESTAMP(µs, UTC). A table without
// columns is an error.
func EncodeParquet(t *Table) ([]byte, error) {
	if len(t.cols) == 0 {
		return nil, errors.New("encode parquet: the table has no columns")
	}
	props := []parquet.WriterProperty{
		parquet.WithDataPageVersion(parquet.DataPageV2),
		parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithCreatedBy("healml"),
	}
	nodes := make(schema.FieldList, len(t.cols))
	for i, c := range t.cols {
		node, err := nodeOf(c)
		if err != nil {
			return nil, fmt.Errorf("encode parquet: column %q: %w", c.Name, err)
		}
		nodes[i] = node
		props = append(props, parquet.WithDictionaryPath(parquet.ColumnPath{c.Name}, repeats(c)))
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, nodes, -1)
	if err != nil {
		return nil, fmt.Errorf("encode parquet: %w", err)
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	e := newEncoders(t)
	for lo := 0; lo < t.rows; lo += groupRows {
		group := w.AppendRowGroup()
		for i := range t.cols {
			if err := e.write(group, i, lo, min(lo+groupRows, t.rows)); err != nil {
				return nil, fmt.Errorf("encode parquet: column %q: %w", t.cols[i].Name, err)
			}
		}
		if err := group.Close(); err != nil {
			return nil, fmt.Errorf("encode parquet: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode parquet: %w", err)
	}
	return out.Bytes(), nil
}

func nodeOf(c *Column) (schema.Node, error) {
	optional := parquet.Repetitions.Optional
	switch c.Type {
	case Float:
		return schema.NewFloat64Node(c.Name, optional, -1), nil
	case Bool:
		return schema.NewBooleanNode(c.Name, optional, -1), nil
	case String:
		return schema.NewPrimitiveNodeLogical(c.Name, optional, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
	case Time:
		return schema.NewPrimitiveNodeLogical(c.Name, optional, schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), parquet.Types.Int64, -1, -1)
	}
	return nil, fmt.Errorf("unknown %s", c.Type)
}

// repeats guesses from a sample whether values repeat often enough for a
// dictionary to make the column smaller.
func repeats(c *Column) bool {
	const sample = 4096
	n := c.Len()
	step := max(n/sample, 1)
	distinct := make(map[any]struct{}, min(n, sample))
	looked := 0
	for i := 0; i < n && looked < sample; i += step {
		if c.Missing(i) {
			continue
		}
		looked++
		switch c.Type {
		case Bool:
			return false
		case String:
			distinct[c.Codes[i]] = struct{}{}
		case Time:
			distinct[c.Times[i]] = struct{}{}
		default:
			distinct[c.Floats[i]] = struct{}{}
		}
	}
	return len(distinct) <= looked/2
}

// encoders holds the buffers that values pass through on their way to a
// column writer, which takes those that are not missing, and a level for
// every row.
type encoders struct {
	t      *Table
	texts  [][]parquet.ByteArray // the dictionary of each String column
	levels []int16
	floats []float64
	bools  []bool
	times  []int64
	bytes  []parquet.ByteArray
}

func newEncoders(t *Table) *encoders {
	e := &encoders{t: t, texts: make([][]parquet.ByteArray, len(t.cols))}
	for i, c := range t.cols {
		if c.Type != String {
			continue
		}
		e.texts[i] = make([]parquet.ByteArray, len(c.Dict))
		for k, s := range c.Dict {
			e.texts[i][k] = parquet.ByteArray(s)
		}
	}
	return e
}

// write writes rows [lo, hi) of column i as the next column of group.
func (e *encoders) write(group file.SerialRowGroupWriter, i, lo, hi int) error {
	w, err := group.NextColumn()
	if err != nil {
		return err
	}
	c := e.t.cols[i].Slice(lo, hi)
	e.levels = e.levels[:0]
	for k := range hi - lo {
		level := int16(1)
		if c.Missing(k) {
			level = 0
		}
		e.levels = append(e.levels, level)
	}
	switch w := w.(type) {
	case *file.Float64ColumnChunkWriter:
		e.floats = present(e.floats, c.Floats, e.levels)
		_, err = w.WriteBatch(e.floats, e.levels, nil)
	case *file.BooleanColumnChunkWriter:
		e.floats = present(e.floats, c.Floats, e.levels)
		e.bools = e.bools[:0]
		for _, v := range e.floats {
			e.bools = append(e.bools, v != 0)
		}
		_, err = w.WriteBatch(e.bools, e.levels, nil)
	case *file.Int64ColumnChunkWriter:
		e.times = present(e.times, c.Times, e.levels)
		_, err = w.WriteBatch(e.times, e.levels, nil)
	case *file.ByteArrayColumnChunkWriter:
		e.bytes = e.bytes[:0]
		for _, k := range c.Codes {
			if k >= 0 {
				e.bytes = append(e.bytes, e.texts[i][k])
			}
		}
		_, err = w.WriteBatch(e.bytes, e.levels, nil)
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// present gathers in dst the values whose level is not 0.
func present[T any](dst, values []T, levels []int16) []T {
	dst = dst[:0]
	for i, v := range values {
		if levels[i] != 0 {
			dst = append(dst, v)
		}
	}
	return dst
}
