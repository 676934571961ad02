package table

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"
)

// chunkEncoder makes the pages of one column of one row group, and keeps its
// memory for the next.
type chunkEncoder struct {
	out    []byte // the pages
	levels []byte
	body   []byte // of a page, before it is packed
	packed []byte
	codes  []int32
	dict   []uint64 // of numbers
	slots  [2 * mostNumbers]int32
	remap  []int32
	order  []int32 // of texts: codes in the order of first use
}

// mostNumbers is the greatest number of distinct numbers for which a
// dictionary is made.
const mostNumbers = 4096

// encode sets out to the pages of c, and at to what is known of them, with
// offsets in out.
func (e *chunkEncoder) encode(at *columnChunk, c *Column) {
	n := c.Len()
	*at = columnChunk{dictionary: -1, values: n}
	e.out = e.out[:0]
	e.missing(at, c)
	present := n - at.missing
	switch {
	case c.Type == String && e.textDictionary(c, present):
		e.dictionaryPage(at, func() {
			for _, k := range e.order {
				e.text(c.Dict[k])
			}
		}, len(e.order))
		e.indices(len(e.order))
	case c.Type == String:
		e.body = e.body[:0]
		for _, k := range c.Codes {
			if k >= 0 {
				e.text(c.Dict[k])
			}
		}
	case c.Type == Bool:
		e.bools(c.Floats)
	default:
		e.bounds(at, c)
		if e.numberDictionary(c) {
			e.dictionaryPage(at, func() {
				for _, v := range e.dict {
					e.body = binary.LittleEndian.AppendUint64(e.body, v)
				}
			}, len(e.dict))
			e.indices(len(e.dict))
			break
		}
		e.numbers(c)
	}
	e.dataPage(at)
}

func (e *chunkEncoder) text(s string) {
	e.body = binary.LittleEndian.AppendUint32(e.body, uint32(len(s)))
	e.body = append(e.body, s...)
}

// missing sets the levels: one run when no value, or each, is missing, else a
// bit a row.
func (e *chunkEncoder) missing(at *columnChunk, c *Column) {
	n := c.Len()
	groups := (n + 7) / 8
	e.levels = binary.AppendUvarint(e.levels[:0], uint64(groups)<<1|1)
	start := len(e.levels)
	e.levels = append(e.levels, make([]byte, groups)...)
	set := e.levels[start:]
	present := 0
	mark := func(i int) {
		set[i>>3] |= 1 << (i & 7)
		present++
	}
	switch c.Type {
	case String:
		for i, k := range c.Codes {
			if k >= 0 {
				mark(i)
			}
		}
	case Time:
		for i, v := range c.Times {
			if v != NoTime {
				mark(i)
			}
		}
	default:
		for i, v := range c.Floats {
			if v == v { //nolint:gocritic // not NaN
				mark(i)
			}
		}
	}
	at.missing = n - present
	if present == 0 || present == n {
		e.levels = binary.AppendUvarint(e.levels[:0], uint64(n)<<1)
		e.levels = append(e.levels, byte(min(present, 1)))
	}
}

// bounds notes the least and greatest number or time. 0 is taken for both
// zeros, as the format asks.
func (e *chunkEncoder) bounds(at *columnChunk, c *Column) {
	if at.missing == at.values {
		return
	}
	if c.Type == Time {
		lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
		for _, v := range c.Times {
			if v != NoTime {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		at.least = binary.LittleEndian.AppendUint64(nil, uint64(lo))
		at.greatest = binary.LittleEndian.AppendUint64(nil, uint64(hi))
		return
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range c.Floats {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	at.least = binary.LittleEndian.AppendUint64(nil, math.Float64bits(lo))
	at.greatest = binary.LittleEndian.AppendUint64(nil, math.Float64bits(hi))
}

// textDictionary gives each text its code, and is false when too few come
// again.
func (e *chunkEncoder) textDictionary(c *Column, present int) bool {
	e.remap = slices.Grow(e.remap[:0], len(c.Dict))[:len(c.Dict)]
	for k := range e.remap {
		e.remap[k] = -1
	}
	e.codes, e.order = e.codes[:0], e.order[:0]
	for _, k := range c.Codes {
		if k < 0 {
			continue
		}
		if e.remap[k] < 0 {
			if len(e.order) > present/2 {
				return false
			}
			e.remap[k] = int32(len(e.order))
			e.order = append(e.order, k)
		}
		e.codes = append(e.codes, e.remap[k])
	}
	return present > 0
}

// each passes the numbers of c that are not missing by their bits.
func each(c *Column, visit func(uint64) bool) {
	if c.Type == Time {
		for _, v := range c.Times {
			if v != NoTime && !visit(uint64(v)) {
				return
			}
		}
		return
	}
	for _, v := range c.Floats {
		if v == v && !visit(math.Float64bits(v)) { //nolint:gocritic // not NaN
			return
		}
	}
}

// numberDictionary gives each number its code, and is false when there are too
// many.
func (e *chunkEncoder) numberDictionary(c *Column) bool {
	clear(e.slots[:])
	e.codes, e.dict = e.codes[:0], e.dict[:0]
	most := min(mostNumbers, c.Len()/2)
	few := true
	each(c, func(v uint64) bool {
		at := v * 0x9e3779b97f4a7c15 >> 51 % uint64(len(e.slots))
		for e.slots[at] != 0 && e.dict[e.slots[at]-1] != v {
			at = (at + 1) % uint64(len(e.slots))
		}
		if e.slots[at] == 0 {
			if few = len(e.dict) < most; !few {
				return false
			}
			e.dict = append(e.dict, v)
			e.slots[at] = int32(len(e.dict))
		}
		e.codes = append(e.codes, e.slots[at]-1)
		return true
	})
	return few && len(e.dict) > 0
}

func (e *chunkEncoder) numbers(c *Column) {
	e.body = e.body[:0]
	each(c, func(v uint64) bool {
		e.body = binary.LittleEndian.AppendUint64(e.body, v)
		return true
	})
}

// bools packs values into bits.
func (e *chunkEncoder) bools(v []float64) {
	e.body = e.body[:0]
	n := 0
	for _, x := range v {
		if x != x { //nolint:gocritic // NaN
			continue
		}
		if n&7 == 0 {
			e.body = append(e.body, 0)
		}
		if x != 0 {
			e.body[n>>3] |= 1 << (n & 7)
		}
		n++
	}
}

// indices sets body to e.codes: the number of bits, then one run.
func (e *chunkEncoder) indices(distinct int) {
	width := max(bits.Len(uint(distinct-1)), 1)
	e.body = append(e.body[:0], byte(width))
	if distinct == 1 {
		e.body = binary.AppendUvarint(e.body, uint64(len(e.codes))<<1)
		e.body = append(e.body, 0)
		return
	}
	groups := (len(e.codes) + 7) / 8
	e.body = binary.AppendUvarint(e.body, uint64(groups)<<1|1)
	var word uint64
	filled, left := 0, groups*8-len(e.codes)
	put := func(k int32) {
		word |= uint64(k) << filled
		if filled += width; filled >= 32 {
			e.body = binary.LittleEndian.AppendUint32(e.body, uint32(word))
			word >>= 32
			filled -= 32
		}
	}
	for _, k := range e.codes {
		put(k)
	}
	for range left {
		put(0)
	}
	for ; filled > 0; filled -= 8 {
		e.body = append(e.body, byte(word))
		word >>= 8
	}
}

// dictionaryPage appends the page of what fill puts into body.
func (e *chunkEncoder) dictionaryPage(at *columnChunk, fill func(), n int) {
	e.body = e.body[:0]
	fill()
	e.packed = s2.EncodeSnappy(e.packed[:cap(e.packed)], e.body)
	w := &thriftWriter{}
	w.begin()
	w.i32(1, parquetPageDict)
	w.i32(2, int32(len(e.body)))
	w.i32(3, int32(len(e.packed)))
	w.structure(7)
	w.i32(1, int32(n))
	w.i32(2, parquetPlain)
	w.end()
	w.end()
	at.dictionary = int64(len(e.out))
	at.encoding = parquetDictionary
	at.unpacked += int64(len(w.b) + len(e.body))
	at.size += int64(len(w.b) + len(e.packed))
	e.out = append(append(e.out, w.b...), e.packed...)
}

// dataPage appends the page of levels and body.
func (e *chunkEncoder) dataPage(at *columnChunk) {
	body, small := e.body, true
	e.packed = s2.EncodeSnappy(e.packed[:cap(e.packed)], e.body)
	if len(e.packed) < len(e.body) {
		body = e.packed
	} else {
		small = false
	}
	w := &thriftWriter{}
	w.begin()
	w.i32(1, parquetPageV2)
	w.i32(2, int32(len(e.levels)+len(e.body)))
	w.i32(3, int32(len(e.levels)+len(body)))
	w.structure(8)
	w.i32(1, int32(at.values))
	w.i32(2, int32(at.missing))
	w.i32(3, int32(at.values))
	w.i32(4, at.encoding)
	w.i32(5, int32(len(e.levels)))
	w.i32(6, 0)
	w.bool(7, small)
	w.end()
	w.end()
	at.data = int64(len(e.out))
	at.unpacked += int64(len(w.b) + len(e.levels) + len(e.body))
	at.size += int64(len(w.b) + len(e.levels) + len(body))
	e.out = append(append(append(e.out, w.b...), e.levels...), body...)
}
