package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// batchRows is the number of rows of a record batch.
const batchRows = 64 << 10

// EncodeArrow writes t as an Arrow IPC file, uncompressed, with a record
// batch for every 65,536 rows. Numbers are float64, booleans bool, texts utf8,
// times timestamp(µs, UTC). A table without columns is an error.
func EncodeArrow(t *Table) ([]byte, error) {
	var out seekBuffer
	err := writeArrow(t, func(s *arrow.Schema) (arrowWriter, error) { return ipc.NewFileWriter(&out, ipc.WithSchema(s)) })
	return out.Bytes(), err
}

// EncodeArrowStream writes t as [EncodeArrow] does, as an IPC stream.
func EncodeArrowStream(w io.Writer, t *Table) error {
	return writeArrow(t, func(s *arrow.Schema) (arrowWriter, error) { return ipc.NewWriter(w, ipc.WithSchema(s)), nil })
}

type arrowWriter interface {
	Write(arrow.Record) error
	Close() error
}

func writeArrow(t *Table, open func(*arrow.Schema) (arrowWriter, error)) error {
	if len(t.cols) == 0 {
		return errors.New("encode arrow: the table has no columns")
	}
	fields := make([]arrow.Field, len(t.cols))
	for i, c := range t.cols {
		fields[i] = arrow.Field{Name: c.Name, Type: arrowType(c.Type), Nullable: true}
	}
	b := array.NewRecordBuilder(memory.NewGoAllocator(), arrow.NewSchema(fields, nil))
	defer b.Release()
	w, err := open(b.Schema())
	if err != nil {
		return fmt.Errorf("encode arrow: %w", err)
	}
	var valid []bool
	for lo := 0; lo < t.rows; lo += batchRows {
		hi := min(lo+batchRows, t.rows)
		for i, c := range t.cols {
			valid = appendColumn(b.Field(i), c.Slice(lo, hi), valid)
		}
		record := b.NewRecord()
		err := w.Write(record)
		record.Release()
		if err != nil {
			return fmt.Errorf("encode arrow: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("encode arrow: %w", err)
	}
	return nil
}

func arrowType(t Type) arrow.DataType {
	switch t {
	case Bool:
		return arrow.FixedWidthTypes.Boolean
	case String:
		return arrow.BinaryTypes.String
	case Time:
		return arrow.FixedWidthTypes.Timestamp_us
	}
	return arrow.PrimitiveTypes.Float64
}

// appendColumn appends all of c; valid is a buffer to work in.
func appendColumn(b array.Builder, c *Column, valid []bool) []bool {
	valid = valid[:0]
	for i := range c.Len() {
		valid = append(valid, !c.Missing(i))
	}
	switch b := b.(type) {
	case *array.Float64Builder:
		b.AppendValues(c.Floats, valid)
	case *array.BooleanBuilder:
		b.Reserve(len(valid))
		for i, ok := range valid {
			if ok {
				b.Append(c.Floats[i] != 0)
			} else {
				b.AppendNull()
			}
		}
	case *array.StringBuilder:
		b.Reserve(len(valid))
		for i, ok := range valid {
			if ok {
				b.Append(c.Dict[c.Codes[i]])
			} else {
				b.AppendNull()
			}
		}
	case *array.TimestampBuilder:
		b.Reserve(len(valid))
		for i, ok := range valid {
			if ok {
				b.Append(arrow.Timestamp(c.Times[i]))
			} else {
				b.AppendNull()
			}
		}
	}
	return valid
}

// seekBuffer is a buffer that can tell its position, which is all that the
// IPC writer seeks.
type seekBuffer struct{ bytes.Buffer }

func (b *seekBuffer) Seek(int64, int) (int64, error) { return int64(b.Len()), nil }
