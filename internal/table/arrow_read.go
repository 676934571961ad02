package table

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// DecodeArrow reads an Arrow IPC file or stream from memory; name stands for
// it in errors. What is read of which type is as with [DecodeParquet], as are
// the limits of finding damage: the bytes of values have no checksum.
func DecodeArrow(name string, b []byte, o ReadOptions) (*Table, error) {
	return guard(name, func() (*Table, error) {
		r, _, err := openArrow(name, inMemory(b))
		if err != nil {
			return nil, err
		}
		return readArrow(name, r, o)
	})
}

// openArrow reads the schema.
func openArrow(name string, c content) (*ipc.Reader, *messages, error) {
	m, err := newMessages(c)
	if err != nil {
		return nil, nil, damaged(name, err)
	}
	r, err := ipc.NewReaderFromMessageReader(m, ipc.WithAllocator(allocator(int(c.size))))
	if err != nil {
		return nil, nil, damaged(name, err)
	}
	return r, m, nil
}

// keptFields are the numbers and names of the fields that o keeps.
func keptFields(name string, fields []arrow.Field, o ReadOptions) (kept []int, keptNames []string, err error) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	keep, err := o.keep(name, names)
	if err != nil {
		return nil, nil, err
	}
	for i, f := range fields {
		if !keep[i] {
			continue
		}
		if !readable(f.Type) {
			return nil, nil, &Error{File: name, Column: f.Name,
				Want: fmt.Sprintf("is of type %s, which is not supported; cast it to float64, utf8 or timestamp, or leave the column out", f.Type)}
		}
		kept = append(kept, i)
		keptNames = append(keptNames, f.Name)
	}
	return kept, keptNames, nil
}

func readArrow(name string, r *ipc.Reader, o ReadOptions) (*Table, error) {
	fields := r.Schema().Fields()
	kept, keptNames, err := keptFields(name, fields, o)
	if err != nil {
		return nil, err
	}
	records, rows, err := readRecords(r)
	if err != nil {
		return nil, damaged(name, err)
	}
	cols, err := readColumns(name, keptNames, func(k int) (*Column, error) {
		parts := make([]arrow.Array, len(records))
		for i, record := range records {
			parts[i] = record.Column(kept[k])
		}
		return arrowColumn(name, fields[kept[k]], parts, rows)
	})
	if err != nil {
		return nil, err
	}
	return assemble(name, cols, rows, o)
}

// readRecords reads all record batches.
func readRecords(r *ipc.Reader) (records []arrow.Record, rows int64, err error) {
	for r.Next() {
		record := r.Record()
		if err := plausible(record); err != nil {
			return nil, 0, err
		}
		record.Retain()
		records = append(records, record)
		rows += record.NumRows()
	}
	return records, rows, r.Err()
}

// plausible refuses rows for which there are no bytes. Most arrays hold their
// length against their buffers when they are made; those of booleans and views
// do not, and a null column has its length from the metadata alone.
func plausible(record arrow.Record) error {
	rows, most := record.NumRows(), int64(1<<20)
	for _, c := range record.Columns() {
		if int64(c.Len()) != rows {
			return fmt.Errorf("a batch of %d rows has a column of %d", rows, c.Len())
		}
	}
	for _, c := range record.Columns() {
		switch id := c.DataType().ID(); {
		case id == arrow.BOOL:
			most = max(most, 8*valueBytes(c))
		case id == arrow.STRING_VIEW:
			most = max(most, valueBytes(c)/int64(arrow.ViewHeaderSizeBytes))
		case id != arrow.NULL && readable(c.DataType()):
			return nil
		}
	}
	if rows > most {
		return fmt.Errorf("a batch says that it has %d rows, but has no values for them", rows)
	}
	return nil
}

// valueBytes is the size of the buffer behind an array's bitmap of nulls.
func valueBytes(a arrow.Array) int64 {
	buffers := a.Data().Buffers()
	if len(buffers) < 2 || buffers[1] == nil {
		return 0
	}
	return int64(buffers[1].Len())
}

// readable reports whether columns of type t can be read.
func readable(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.NULL, arrow.BOOL, arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64,
		arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.BINARY, arrow.LARGE_BINARY,
		arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP:
		return true
	case arrow.DICTIONARY:
		value := t.(*arrow.DictionaryType).ValueType
		return value.ID() != arrow.DICTIONARY && readable(value)
	}
	return false
}

// typeOf is the type that a readable column becomes.
func typeOf(t arrow.DataType, wide bool) Type {
	switch t.ID() {
	case arrow.DICTIONARY:
		return typeOf(t.(*arrow.DictionaryType).ValueType, wide)
	case arrow.BOOL:
		return Bool
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.BINARY, arrow.LARGE_BINARY:
		return String
	case arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP:
		return Time
	case arrow.INT64, arrow.UINT64:
		if wide {
			return String
		}
	}
	return Float
}

// arrowColumn joins the parts of a column.
func arrowColumn(file string, f arrow.Field, parts []arrow.Array, rows int64) (*Column, error) {
	b := &builder{name: f.Name}
	for {
		b.typ = typeOf(f.Type, b.wide)
		b.reserve(int(rows))
		err := appendArrays(b, parts)
		var bad *badValue
		switch {
		case errors.Is(err, errWide):
			*b = builder{name: f.Name, wide: true}
			continue
		case errors.As(err, &bad):
			return nil, &Error{File: file, Line: b.len() + 1, Column: f.Name, Value: bad.value, Want: bad.want}
		case err != nil:
			return nil, damaged(file, err)
		}
		return b.column(), nil
	}
}

func appendArrays(b *builder, parts []arrow.Array) error {
	for _, part := range parts {
		if err := appendArray(b, part); err != nil {
			return err
		}
	}
	return nil
}
