package table

import "encoding/binary"

// compact walks over Thrift's compact protocol, in which Parquet writes its
// footer and page headers. Arrow trusts the lengths in there and allocates by
// them; a walk ahead of Arrow finds those that the data cannot hold. After the
// first fault bad is set and everything reads as zero.
type compact struct {
	b   []byte
	bad bool
}

// The protocol's types, as they stand in field headers.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

func (c *compact) fail() {
	c.bad = true
	c.b = nil
}

func (c *compact) byte() byte {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *compact) advance(n uint64) {
	if n > uint64(len(c.b)) {
		c.fail()
		return
	}
	c.b = c.b[n:]
}

func (c *compact) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *compact) varint() int64 {
	v := c.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// fields calls take for every field of the struct at hand; take reports
// whether it read the value, which is skipped otherwise.
func (c *compact) fields(depth int, take func(id int64, typ byte) bool) {
	for id := int64(0); ; {
		head := c.byte()
		if head == 0 {
			return
		}
		if delta := head >> 4; delta != 0 {
			id += int64(delta)
		} else {
			id = c.varint()
		}
		if !take(id, head&0x0f) {
			c.skip(head&0x0f, depth)
		}
	}
}

// skip moves over a value. Structures nested deeper than depth are a fault.
func (c *compact) skip(typ byte, depth int) {
	switch typ {
	case thriftTrue, thriftFalse: // the value is in the header
	case thriftByte:
		c.advance(1)
	case 4, 5, thriftI64:
		c.uvarint()
	case thriftDouble:
		c.advance(8)
	case thriftBinary:
		c.advance(c.uvarint())
	case thriftList, thriftSet:
		head := c.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.uvarint()
		}
		c.elements(n, depth, head&0x0f)
	case thriftMap:
		n := c.uvarint()
		if n > 0 {
			kinds := c.byte()
			c.elements(n, depth, kinds>>4, kinds&0x0f)
		}
	case thriftStruct:
		if depth == 0 {
			c.fail()
			return
		}
		c.fields(depth-1, func(int64, byte) bool { return false })
	default:
		c.fail()
	}
}

// elements moves over n elements of a list, or pairs of a map. Each takes at
// least a byte, so more of them than bytes is a fault.
func (c *compact) elements(n uint64, depth int, types ...byte) {
	if n > uint64(len(c.b)) {
		c.fail()
		return
	}
	for range n {
		for _, typ := range types {
			if typ == thriftTrue || typ == thriftFalse {
				typ = thriftByte
			}
			c.skip(typ, depth)
		}
		if c.bad {
			return
		}
	}
}
