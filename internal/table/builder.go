package table

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// errWide says that a column of whole numbers has one beyond ±2^53 and must
// be read again as text.
var errWide = errors.New("a whole number is beyond 2^53")

// badValue is a value that no column can hold.
type badValue struct{ value, want string }

func (e *badValue) Error() string { return e.want }

// builder gathers the values of a column, or of a column's part. It is always
// of one type. Fields of CSV go through add: when one does not fit, the builder
// moves on to the first later type that it fits. Values of files that have
// types go through addInt, addTime and the like.
type builder struct {
	readPlan
	name    string
	typ     Type
	seen    bool // a value that is not missing was met
	broken  bool // the type moved on after values were stored, which are void
	loose   bool // texts are not looked up; see ReadOptions.Loose
	wide    bool // whole numbers are taken as text
	floats  []float64
	times   []int64
	codes   []int32
	index   map[string]int32
	dict    []string
	last    []byte   // the last text that was looked up
	value   int64    // what it stands for: a code or a time
	scratch [20]byte // the digits of a whole number
}

// newBuilders makes the builders for the rows in [lo, hi). They begin with
// the types that the first row's values fit and have room for as many values
// as the first rows let expect.
func (f *csvFile) newBuilders(plan []readPlan, lo, hi int) []builder {
	const sample = 16 << 10
	rows := 16
	if head := f.data[lo:min(hi, lo+sample)]; len(head) > 0 {
		lines := max(bytes.Count(head, []byte("\n")), bytes.Count(head, []byte("\r")), 1)
		rows += int(1.05 * float64(hi-lo) * float64(lines) / float64(len(head)))
	}
	first := f.scan(lo, hi)
	more := first.skipBlank()
	cols := make([]builder, len(plan))
	for i, p := range plan {
		c := builder{readPlan: p, name: f.names[i], typ: p.start}
		if more {
			b, _, err := first.field()
			if more = err == nil && first.next(); err == nil && p.read {
				c.reserve(0)
				c.add(b)
			}
		}
		cols[i] = builder{readPlan: p, name: c.name, typ: c.typ}
		if p.read {
			cols[i].reserve(rows)
		}
	}
	return cols
}

func (c *builder) reserve(rows int) {
	switch c.typ {
	case String:
		c.codes = make([]int32, 0, rows)
		c.index = make(map[string]int32)
	case Time:
		c.times = make([]int64, 0, rows)
	default:
		c.floats = make([]float64, 0, rows)
	}
}

func (c *builder) len() int { return max(len(c.floats), len(c.times), len(c.codes)) }

// add appends the value that b stands for. It reports false when the type is
// fixed and b does not fit.
func (c *builder) add(b []byte) bool {
	bare := trim(b)
	if missing(bare) {
		c.addMissing()
		return true
	}
	for !c.put(b, bare) {
		if c.fixed {
			return false
		}
		c.advance()
	}
	c.seen = true
	return true
}

// put appends a value that is not missing if it fits the type; String keeps
// the blanks around it.
func (c *builder) put(b, bare []byte) (ok bool) {
	var v float64
	switch c.typ {
	case String:
		c.codes = append(c.codes, c.code(b))
		return true
	case Time:
		us, ok := c.time(bare)
		if ok {
			c.times = append(c.times, us)
		}
		return ok
	case Bool:
		if v, ok = parseBool(bare); !ok && c.fixed {
			v, _, ok = parseFloat(bare)
			ok = ok && (v == 0 || v == 1)
		}
	default:
		var big bool
		v, big, ok = parseFloat(bare)
		ok = ok && (!big || c.fixed)
	}
	if ok {
		c.floats = append(c.floats, v)
	}
	return ok
}

// advance moves to the next type. Missing values carry over; other values
// would have to be parsed again, which the next pass does.
func (c *builder) advance() {
	rows := c.len()
	c.broken = c.broken || c.seen
	capacity := max(cap(c.floats), cap(c.times), rows)
	c.floats, c.times, c.last = nil, nil, nil
	c.typ++
	c.reserve(capacity)
	for range rows {
		c.addMissing()
	}
}

func (c *builder) addMissing() {
	switch c.typ {
	case String:
		c.codes = append(c.codes, -1)
	case Time:
		c.times = append(c.times, NoTime)
	default:
		c.floats = append(c.floats, nan)
	}
}

// as makes c a column of type t, and reports false when the values must be
// read again for that.
func (c *builder) as(t Type) bool {
	for !c.seen && c.typ < t {
		c.advance()
	}
	return c.typ == t && !c.broken
}

// code is the code of b's text. Runs of one value cost no look-up.
func (c *builder) code(b []byte) int32 {
	if c.last != nil && bytes.Equal(b, c.last) {
		return int32(c.value)
	}
	k, ok := int32(0), false
	if !c.loose {
		k, ok = c.index[string(b)]
	}
	if !ok {
		k = int32(len(c.dict))
		s := string(b)
		if !c.loose {
			c.index[s] = k
		}
		c.dict = append(c.dict, s)
	}
	c.remember(b, int64(k))
	return k
}

func (c *builder) time(b []byte) (us int64, ok bool) {
	if c.last != nil && bytes.Equal(b, c.last) {
		return c.value, true
	}
	us, ok = parseTime(b)
	if ok {
		c.remember(b, us)
	}
	return us, ok
}

func (c *builder) remember(b []byte, value int64) {
	c.last = append(c.last[:0], b...)
	c.value = value
}

// addInt appends a whole number; errWide when it is not exact as a float64.
func (c *builder) addInt(v int64) error {
	switch {
	case c.wide:
		c.codes = append(c.codes, c.code(strconv.AppendInt(c.scratch[:0], v, 10)))
	case v > maxWhole || v < -maxWhole:
		return errWide
	default:
		c.floats = append(c.floats, float64(v))
	}
	return nil
}

// addUint is addInt without a sign.
func (c *builder) addUint(v uint64) error {
	switch {
	case c.wide:
		c.codes = append(c.codes, c.code(strconv.AppendUint(c.scratch[:0], v, 10)))
	case v > maxWhole:
		return errWide
	default:
		c.floats = append(c.floats, float64(v))
	}
	return nil
}

// addTime appends v units of so many microseconds.
func (c *builder) addTime(v, unit int64) error {
	if v > math.MaxInt64/unit || v < math.MinInt64/unit {
		return &badValue{fmt.Sprint(v), "the time is out of range"}
	}
	c.times = append(c.times, v*unit)
	return nil
}

// addText appends a text, which must be UTF-8.
func (c *builder) addText(v []byte) error {
	known := len(c.dict)
	k := c.code(v)
	if len(c.dict) > known && !utf8.Valid(v) {
		return &badValue{string(v), "the text is not UTF-8"}
	}
	c.codes = append(c.codes, k)
	return nil
}

func (c *builder) column() *Column {
	return &Column{Name: c.name, Type: c.typ, Floats: c.floats, Codes: c.codes, Dict: c.dict, Times: c.times}
}
