package table

import (
	"fmt"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// appendArray appends all values of a to b, which has the type that [typeOf]
// says.
func appendArray(b *builder, a arrow.Array) error {
	switch a := a.(type) {
	case *array.Null:
		return appendEach(b, a, nil)
	case *array.Boolean:
		return appendEach(b, a, func(i int) error {
			v := 0.0
			if a.Value(i) {
				v = 1
			}
			b.floats = append(b.floats, v)
			return nil
		})
	case *array.Float16:
		return appendEach(b, a, func(i int) error { b.floats = append(b.floats, float64(a.Value(i).Float32())); return nil })
	case *array.Float32:
		return appendNumbers(b, a, a.Float32Values())
	case *array.Float64:
		return appendNumbers(b, a, a.Float64Values())
	case *array.Int8:
		return appendNumbers(b, a, a.Int8Values())
	case *array.Int16:
		return appendNumbers(b, a, a.Int16Values())
	case *array.Int32:
		return appendNumbers(b, a, a.Int32Values())
	case *array.Uint8:
		return appendNumbers(b, a, a.Uint8Values())
	case *array.Uint16:
		return appendNumbers(b, a, a.Uint16Values())
	case *array.Uint32:
		return appendNumbers(b, a, a.Uint32Values())
	case *array.Int64:
		return appendEach(b, a, func(i int) error { return b.addInt(a.Value(i)) })
	case *array.Uint64:
		return appendEach(b, a, func(i int) error { return b.addUint(a.Value(i)) })
	case *array.Date32:
		return appendEach(b, a, func(i int) error { return b.addTime(int64(a.Value(i)), day) })
	case *array.Date64:
		return appendEach(b, a, func(i int) error { return b.addTime(int64(a.Value(i)), 1000) })
	case *array.Timestamp:
		return appendTimestamps(b, a)
	case *array.Dictionary:
		return appendDictionary(b, a)
	}
	return appendTexts(b, a)
}

func appendTexts(b *builder, a arrow.Array) error {
	switch a := a.(type) {
	case *array.String:
		return appendEach(b, a, func(i int) error { return b.addText(bytesOf(a.Value(i))) })
	case *array.LargeString:
		return appendEach(b, a, func(i int) error { return b.addText(bytesOf(a.Value(i))) })
	case *array.StringView:
		return appendEach(b, a, func(i int) error { return b.addText(bytesOf(a.Value(i))) })
	case *array.Binary:
		return appendEach(b, a, func(i int) error { return b.addText(a.Value(i)) })
	case *array.LargeBinary:
		return appendEach(b, a, func(i int) error { return b.addText(a.Value(i)) })
	}
	return fmt.Errorf("it holds an array of type %s", a.DataType())
}

// appendEach calls add for every value that is not missing, in order.
func appendEach(b *builder, a arrow.Array, add func(i int) error) error {
	for i := range a.Len() {
		if a.IsNull(i) || add == nil {
			b.addMissing()
		} else if err := add(i); err != nil {
			return err
		}
	}
	return nil
}

func appendNumbers[T int8 | int16 | int32 | uint8 | uint16 | uint32 | float32 | float64](b *builder, a arrow.Array, values []T) error {
	nulls := a.NullN() > 0
	for i, v := range values {
		if nulls && a.IsNull(i) {
			b.floats = append(b.floats, nan)
		} else {
			b.floats = append(b.floats, float64(v))
		}
	}
	return nil
}

func appendTimestamps(b *builder, a *array.Timestamp) error {
	unit, parts := int64(1), int64(1)
	switch a.DataType().(*arrow.TimestampType).Unit {
	case arrow.Second:
		unit = second
	case arrow.Millisecond:
		unit = 1000
	case arrow.Nanosecond:
		parts = 1000
	}
	return appendEach(b, a, func(i int) error { return b.addTime(floorDiv(int64(a.Value(i)), parts), unit) })
}

// appendDictionary reads each level of a dictionary once.
func appendDictionary(b *builder, a *array.Dictionary) error {
	levels := &builder{typ: b.typ, wide: b.wide}
	levels.reserve(a.Dictionary().Len())
	if err := appendArray(levels, a.Dictionary()); err != nil {
		return err
	}
	return appendEach(b, a, func(i int) error {
		k := a.GetValueIndex(i)
		switch {
		case b.typ == Time:
			b.times = append(b.times, levels.times[k])
		case b.typ != String:
			b.floats = append(b.floats, levels.floats[k])
		case levels.codes[k] < 0:
			b.addMissing()
		default:
			return b.addText(bytesOf(levels.dict[levels.codes[k]]))
		}
		return nil
	})
}

// bytesOf is s without a copy; the bytes must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
