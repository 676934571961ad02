package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/float16"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/google/uuid"
)

// decoder appends the rows values of a column chunk to the builder that it
// was made for.
type decoder func(r file.ColumnChunkReader, rows int64) error

// decoderOf sets b's type to that of the column and returns what reads it;
// nil when the column's type is not supported. A builder that is wide takes
// whole numbers as text.
func decoderOf(b *builder, descr *schema.Column) decoder {
	switch logical := descr.LogicalType().(type) {
	case *schema.DecimalLogicalType, *schema.TimeLogicalType, schema.IntervalLogicalType, schema.BSONLogicalType:
		return nil
	case schema.DateLogicalType:
		return decodeEach(b, Time, func(v int32) error { return b.addTime(int64(v), day) })
	case *schema.TimestampLogicalType:
		return timestamps(b, logical.TimeUnit())
	case *schema.IntLogicalType:
		return integers(b, descr, logical.IsSigned())
	case schema.UUIDLogicalType:
		return decodeEach(b, String, func(v parquet.FixedLenByteArray) error { return b.addUUID(v) })
	case schema.Float16LogicalType:
		return decodeEach(b, Float, func(v parquet.FixedLenByteArray) error {
			if len(v) != 2 {
				return &badValue{want: "is no 16-bit float"}
			}
			b.floats = append(b.floats, float64(float16.FromBits(binary.LittleEndian.Uint16(v)).Float32()))
			return nil
		})
	}
	switch descr.PhysicalType() {
	case parquet.Types.Boolean:
		return decodeEach(b, Bool, func(v bool) error {
			x := 0.0
			if v {
				x = 1
			}
			b.floats = append(b.floats, x)
			return nil
		})
	case parquet.Types.Int32, parquet.Types.Int64:
		return integers(b, descr, true)
	case parquet.Types.Int96:
		return decodeEach(b, Time, func(v parquet.Int96) error { return b.addInt96(v) })
	case parquet.Types.Float:
		return decodeNumbers[float32](b)
	case parquet.Types.Double:
		return decodeNumbers[float64](b)
	case parquet.Types.ByteArray:
		return decodeEach(b, String, func(v parquet.ByteArray) error { return b.addText(v) })
	}
	return nil
}

func timestamps(b *builder, unit schema.TimeUnitType) decoder {
	switch unit {
	case schema.TimeUnitMillis:
		return decodeEach(b, Time, func(v int64) error { return b.addTime(v, 1000) })
	case schema.TimeUnitMicros:
		return decodeEach(b, Time, func(v int64) error { return b.addTime(v, 1) })
	case schema.TimeUnitNanos:
		return decodeEach(b, Time, func(v int64) error { return b.addTime(floorDiv(v, 1000), 1) })
	}
	return nil
}

func integers(b *builder, descr *schema.Column, signed bool) decoder {
	typ := Float
	if b.wide {
		typ = String
	}
	switch {
	case descr.PhysicalType() == parquet.Types.Int32 && signed:
		return decodeNumbers[int32](b)
	case descr.PhysicalType() == parquet.Types.Int32:
		return decodeEach(b, Float, func(v int32) error { b.floats = append(b.floats, float64(uint32(v))); return nil })
	case signed:
		return decodeEach(b, typ, b.addInt)
	}
	return decodeEach(b, typ, func(v int64) error { return b.addUint(uint64(v)) })
}

// addInt96 appends a timestamp of the days of Hive and Impala: nanoseconds of
// the day, then the Julian day.
func (c *builder) addInt96(v parquet.Int96) error {
	const epoch = 2440588 // 1970-01-01
	days := int64(binary.LittleEndian.Uint32(v[8:])) - epoch
	us := floorDiv(int64(binary.LittleEndian.Uint64(v[:8])), 1000)
	if days > math.MaxInt64/day-1 || us < 0 || us >= day {
		return &badValue{fmt.Sprintf("%x", v[:]), "the time is out of range"}
	}
	return c.addTime(days*day+us, 1)
}

// addUUID appends the text form of 16 bytes.
func (c *builder) addUUID(v []byte) error {
	id, err := uuid.FromBytes(v)
	if err != nil {
		return &badValue{fmt.Sprintf("%x", v), "is no UUID"}
	}
	return c.addText([]byte(id.String()))
}

// valueReader is what the readers of all physical types have in common.
type valueReader[T any] interface {
	ReadBatch(n int64, values []T, definition, repetition []int16) (rows int64, read int, err error)
}

// decodeEach returns a decoder to type t that calls add for every value that
// is not missing, in order.
func decodeEach[T any](b *builder, t Type, add func(T) error) decoder {
	return decodeBatches(b, t, add, func(values []T) error {
		for _, v := range values {
			if err := add(v); err != nil {
				return err
			}
		}
		return nil
	})
}

// decodeNumbers returns a decoder of numbers that fit a float64.
func decodeNumbers[T int32 | float32 | float64](b *builder) decoder {
	add := func(v T) error { b.floats = append(b.floats, float64(v)); return nil }
	return decodeBatches(b, Float, add, func(values []T) error {
		n := len(b.floats)
		b.floats = slices.Grow(b.floats, len(values))[:n+len(values)]
		dst := b.floats[n:]
		for i, v := range values {
			dst[i] = float64(v)
		}
		return nil
	})
}

// decodeBatches returns a decoder that calls addAll for batches in which no
// value is missing, and add for the values of others.
func decodeBatches[T any](b *builder, t Type, add func(T) error, addAll func([]T) error) decoder {
	b.typ = t
	const batch = 4096
	var values [batch]T
	var definition [batch]int16
	return func(r file.ColumnChunkReader, rows int64) error {
		typed, ok := r.(valueReader[T])
		if !ok {
			return fmt.Errorf("its logical type does not fit %s", r.Type())
		}
		nullable := r.Descriptor().MaxDefinitionLevel() > 0
		for left := rows; left > 0; {
			n, read, err := typed.ReadBatch(min(left, batch), values[:], definition[:], nil)
			switch {
			case err != nil:
				return err
			case r.Err() != nil:
				return r.Err()
			case n <= 0 || int64(read) > n || !nullable && int64(read) != n:
				return fmt.Errorf("%d of %d rows could be read", rows-left, rows)
			}
			left -= n
			if int64(read) == n {
				if err := addAll(values[:n]); err != nil {
					return err
				}
				continue
			}
			next := 0
			for _, d := range definition[:n] {
				if d == 0 {
					b.addMissing()
					continue
				}
				if next == read {
					return errors.New("a page holds fewer values than it says")
				}
				if err := add(values[next]); err != nil {
					return err
				}
				next++
			}
		}
		return nil
	}
}
