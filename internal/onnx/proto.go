package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protobuf message under construction. The field numbers here and
// below are those of onnx.proto.
type message []byte

func (m message) varint(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) sub(field protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

// ints are packed varints.
func (m message) ints(field protowire.Number, v []int64) message {
	var packed []byte
	for _, x := range v {
		packed = protowire.AppendVarint(packed, uint64(x))
	}
	return m.sub(field, packed)
}

// Element types of tensors, onnx.TensorProto.DataType.
type element int64

const (
	uint8Type  element = 2
	int64Type  element = 7
	stringType element = 8
	doubleType element = 11
)

func tensor(name string, t element, dims []int64) message {
	return message{}.ints(1, dims).varint(2, int64(t)).text(8, name)
}

func doubles(name string, dims []int64, v []float64) message {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return tensor(name, doubleType, dims).sub(9, raw)
}

func integers(name string, dims []int64, v []int64) message {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return tensor(name, int64Type, dims).sub(9, raw)
}

func texts(name string, v []string) message {
	m := tensor(name, stringType, []int64{int64(len(v))})
	for _, s := range v {
		m = m.text(6, s)
	}
	return m
}

// attribute is an argument of an operator.
func attribute(name string, v any) message {
	m := message{}.text(1, name)
	switch v := v.(type) {
	case int64:
		return m.varint(3, v).varint(20, 2)
	case message: // a tensor
		return m.sub(5, v).varint(20, 4)
	case []int64:
		return m.ints(8, v).varint(20, 7)
	case []string:
		for _, s := range v {
			m = m.text(9, s)
		}
		return m.varint(20, 8)
	}
	panic("onnx: attribute of an unknown type")
}

// value describes an input or an output of the graph: rows × width, or rows
// when width is 0.
func value(name string, t element, width int64, doc string) message {
	shape := message{}.sub(1, message{}.text(2, "rows"))
	if width > 0 {
		shape = shape.sub(1, message{}.varint(1, width))
	}
	typ := message{}.sub(1, message{}.varint(1, int64(t)).sub(2, shape))
	m := message{}.text(1, name).sub(2, typ)
	if doc != "" {
		m = m.text(3, doc)
	}
	return m
}
