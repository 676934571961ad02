package table

import "encoding/binary"

// thriftWriter writes structs in Thrift's compact protocol, as Parquet's
// headers and footers are.
type thriftWriter struct {
	b    []byte
	last []int16 // id of the last field of each open struct
}

// Types of the compact protocol.
const (
	putTrue   = 1
	putFalse  = 2
	putI32    = 5
	putI64    = 6
	putBinary = 8
	putList   = 9
	putStruct = 12
)

func (w *thriftWriter) zigzag(v int64) {
	w.b = binary.AppendUvarint(w.b, uint64(v<<1)^uint64(v>>63))
}

func (w *thriftWriter) begin() { w.last = append(w.last, 0) }

func (w *thriftWriter) end() {
	w.b = append(w.b, 0)
	w.last = w.last[:len(w.last)-1]
}

func (w *thriftWriter) field(id int16, typ byte) {
	last := &w.last[len(w.last)-1]
	if d := id - *last; d > 0 && d <= 15 {
		w.b = append(w.b, byte(d)<<4|typ)
	} else {
		w.b = append(w.b, typ)
		w.zigzag(int64(id))
	}
	*last = id
}

func (w *thriftWriter) i32(id int16, v int32) {
	w.field(id, putI32)
	w.zigzag(int64(v))
}

func (w *thriftWriter) i64(id int16, v int64) {
	w.field(id, putI64)
	w.zigzag(v)
}

func (w *thriftWriter) bool(id int16, v bool) {
	if v {
		w.field(id, putTrue)
	} else {
		w.field(id, putFalse)
	}
}

func (w *thriftWriter) text(s string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *thriftWriter) binary(id int16, s string) {
	w.field(id, putBinary)
	w.text(s)
}

// list begins a list of n elements, which follow.
func (w *thriftWriter) list(id int16, typ byte, n int) {
	w.field(id, putList)
	if n < 15 {
		w.b = append(w.b, byte(n)<<4|typ)
		return
	}
	w.b = append(w.b, 0xf0|typ)
	w.b = binary.AppendUvarint(w.b, uint64(n))
}

// structure begins a struct in a field; end ends it.
func (w *thriftWriter) structure(id int16) {
	w.field(id, putStruct)
	w.begin()
}

// empty is a struct without fields in a field.
func (w *thriftWriter) empty(id int16) {
	w.structure(id)
	w.end()
}
