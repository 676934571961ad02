package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

const (
	arrowMagic   = "ARROW1"
	continuation = 0xffffffff
)

// messages reads the messages of an IPC stream from memory. Unlike Arrow's
// own reader it checks every length before it is believed, and tells a stream
// that ended from one that was cut short.
type messages struct {
	content
	pos, end int64  // what is left to read
	exact    bool   // the stream ends at end and needs no end marker
	body     []byte // of the last batch, whose memory the next one takes
	// Columns and dictionaries of views say in each batch how many buffers
	// they have: the number of such columns, and whether (1) or not (0) there
	// are such dictionaries.
	views, dictionaryViews int
}

// newMessages finds the messages in a file or stream: a file's lie between its
// first magic bytes and its footer.
func newMessages(c content) (*messages, error) {
	magic, err := c.span(0, min(c.size, int64(len(arrowMagic))), nil)
	if err != nil {
		return nil, err
	}
	if string(magic) != arrowMagic {
		return &messages{content: c, end: c.size}, nil
	}
	const head, tail = 8, 4 + len(arrowMagic)
	cut := errors.New("it does not end as an Arrow file does; it may be cut short")
	if c.size < int64(head+tail) {
		return nil, cut
	}
	b, err := c.span(c.size-int64(tail), int64(tail), nil)
	if err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(b, []byte(arrowMagic)) {
		return nil, cut
	}
	end := c.size - int64(tail) - int64(binary.LittleEndian.Uint32(b))
	if end < head {
		return nil, errors.New("its footer is longer than the file")
	}
	return &messages{content: c, pos: head, end: end, exact: true}, nil
}

func (m *messages) Retain()  {}
func (m *messages) Release() {}

// take reads the next n bytes, to buf's memory if that is large enough.
func (m *messages) take(n int64, buf []byte) ([]byte, error) {
	if n < 0 || n > m.end-m.pos {
		return nil, fmt.Errorf("a message of %d bytes runs over the end; it may be cut short", n)
	}
	b, err := m.span(m.pos, n, buf)
	m.pos += n
	return b, err
}

// skip moves over n bytes.
func (m *messages) skip(n int64) error {
	if n < 0 || n > m.end-m.pos {
		return fmt.Errorf("a message of %d bytes runs over the end; it may be cut short", n)
	}
	m.pos += n
	return nil
}

// Message returns the next message, io.EOF after the last. Unless the file is
// in memory, the body of a batch is valid until the next batch.
func (m *messages) Message() (*ipc.Message, error) {
	meta, err := m.next()
	if err != nil {
		return nil, err
	}
	n := bodyLen(meta)
	var body []byte
	if kindOf(meta) != kindBatch || m.whole != nil {
		body, err = m.take(n, nil)
	} else {
		m.body, err = m.take(n, m.body)
		body = m.body
	}
	if err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body)), nil
}

func bodyLen(meta []byte) int64 {
	return ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(nil)).BodyLen()
}

// kindOf is the kind of a message that was checked.
func kindOf(meta []byte) byte {
	message := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
	return message.GetByteSlot(messageKind, 0)
}

// next returns the checked metadata of the next message, io.EOF after the
// last. Its body comes next.
func (m *messages) next() ([]byte, error) {
	if m.pos == m.end && m.exact {
		return nil, io.EOF
	}
	size, err := m.size()
	if err != nil {
		return nil, err
	}
	if size == 0 {
		if rest := m.end - m.pos; rest > 0 && !m.exact {
			return nil, fmt.Errorf("%d bytes follow the end of the stream", rest)
		}
		return nil, io.EOF
	}
	meta, err := m.take(size, nil)
	if err != nil {
		return nil, err
	}
	return meta, m.check(meta)
}

// countRows is the number of rows of all batches, by the metadata alone.
func (m *messages) countRows() (rows int64, err error) {
	for {
		meta, err := m.next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return 0, err
		}
		if kindOf(meta) == kindBatch {
			message := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
			header, _ := child(message, messageHeader)
			n := header.GetInt64Slot(batchLength, 0)
			if n < 0 || n > math.MaxInt64-rows {
				return 0, errMessage
			}
			rows += n
		}
		if err := m.skip(bodyLen(meta)); err != nil {
			return 0, err
		}
	}
}

// size reads the length of the next message's metadata; 0 marks the end.
func (m *messages) size() (int64, error) {
	b, err := m.take(4, nil)
	if err != nil {
		return 0, errors.New("the end marker is missing; it may be cut short")
	}
	size := binary.LittleEndian.Uint32(b)
	if size == continuation { // absent before version 0.15
		if b, err = m.take(4, nil); err != nil {
			return 0, err
		}
		size = binary.LittleEndian.Uint32(b)
	}
	return int64(size), nil
}

// The slots of Arrow's flatbuffers tables that hold what Arrow allocates by,
// and the kinds of messages and types that tell how much.
const (
	messageKind    = 6
	messageHeader  = 8
	messageCustom  = 12
	kindSchema     = 1
	kindDictionary = 2
	kindBatch      = 3

	schemaFields    = 6
	schemaCustom    = 8
	fieldKind       = 8
	fieldDictionary = 12
	fieldChildren   = 14
	fieldCustom     = 16
	kindBinaryView  = 23
	kindTextView    = 24

	dictionaryData = 6
	batchLength    = 4
	batchVariadic  = 12
)

var errMessage = errors.New("the metadata of a message is malformed")

// check checks the lengths of vectors in a message's metadata. It panics where
// a flatbuffer points outside of its bytes, as Arrow would.
func (m *messages) check(b []byte) error {
	if len(b) < 8 {
		return errMessage
	}
	message := flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
	header, ok := child(message, messageHeader)
	if !ok {
		return errMessage
	}
	fits := vectorFits(message, messageCustom, 4)
	switch kind := message.GetByteSlot(messageKind, 0); kind {
	case kindSchema:
		budget := len(b) / 4
		fits = fits && vectorFits(header, schemaCustom, 4) && m.fieldsFit(header, schemaFields, &budget)
	case kindBatch:
		fits = fits && variadicFits(header, m.views)
	case kindDictionary:
		data, ok := child(header, dictionaryData)
		fits = fits && ok && variadicFits(data, m.dictionaryViews)
	default:
		return fmt.Errorf("a message is of the unknown kind %d", kind)
	}
	if !fits {
		return errMessage
	}
	return nil
}

// child is the table in a slot of t.
func child(t flatbuffers.Table, slot flatbuffers.VOffsetT) (flatbuffers.Table, bool) {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return t, false
	}
	return flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(t.Pos + o)}, true
}

// vectorFits reports whether the vector in a slot, of elements of so many
// bytes, lies within the buffer. No vector fits too.
func vectorFits(t flatbuffers.Table, slot flatbuffers.VOffsetT, size int64) bool {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	return o == 0 || int64(t.Vector(o))+int64(t.VectorLen(o))*size <= int64(len(t.Bytes))
}

// vectorLen is the length of the vector in a slot, 0 without one.
func vectorLen(t flatbuffers.Table, slot flatbuffers.VOffsetT) int {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return 0
	}
	return t.VectorLen(o)
}

// fieldsFit checks the fields in a slot and all below them, of which there
// may be no more than budget, and counts those of views. Dictionaries of nested
// values are refused, for they could hold any number of views.
func (m *messages) fieldsFit(t flatbuffers.Table, slot flatbuffers.VOffsetT, budget *int) bool {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return true
	}
	if !vectorFits(t, slot, 4) {
		return false
	}
	for i := range t.VectorLen(o) {
		if *budget--; *budget < 0 {
			return false
		}
		at := t.Vector(o) + flatbuffers.UOffsetT(i)*4
		f := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}
		if !vectorFits(f, fieldCustom, 4) || !m.fieldsFit(f, fieldChildren, budget) {
			return false
		}
		kind := f.GetByteSlot(fieldKind, 0)
		view, dictionary := kind == kindBinaryView || kind == kindTextView, f.Offset(fieldDictionary) != 0
		switch {
		case dictionary && vectorLen(f, fieldChildren) > 0:
			return false
		case dictionary && view:
			m.dictionaryViews = 1
		case view:
			m.views++
		}
	}
	return true
}

// variadicFits checks the counts of buffers of a batch's views. Arrow reads
// one for each column of views, also from behind a vector with fewer.
func variadicFits(batch flatbuffers.Table, views int) bool {
	o := flatbuffers.UOffsetT(batch.Offset(batchVariadic))
	if o == 0 {
		return true
	}
	if !vectorFits(batch, batchVariadic, 8) || batch.VectorLen(o) < views {
		return false
	}
	for i := range batch.VectorLen(o) {
		n := batch.GetInt64(batch.Vector(o) + flatbuffers.UOffsetT(i)*8)
		if n < 0 || n > int64(len(batch.Bytes)) {
			return false
		}
	}
	return true
}

// bounded is an allocator that refuses requests for more than data of so many
// bytes could unpack to, which only a damaged length makes.
type bounded struct {
	memory.Allocator
	packed int
}

// allocator is what a file of so many bytes is decoded with.
func allocator(fileSize int) memory.Allocator {
	return bounded{memory.NewGoAllocator(), fileSize}
}

func (a bounded) Allocate(size int) []byte {
	a.check(size)
	return a.Allocator.Allocate(size)
}

func (a bounded) Reallocate(size int, b []byte) []byte {
	a.check(size)
	return a.Allocator.Reallocate(size, b)
}

func (a bounded) check(size int) {
	if size < 0 || !unpacks(int64(a.packed), int64(size)) {
		panic(fmt.Sprintf("a length of %d bytes is out of range", size))
	}
}
