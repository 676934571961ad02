package predlog

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// The row codec of docs/format/predlog.md: little-endian, each row behind its
// length.

// appendRecord appends the row of r to dst. r fits l.
func appendRecord(dst []byte, l *Layout, r *Record) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.At))
	dst = appendText(dst, r.ID)
	dst = appendText(dst, r.Version)
	dst = binary.LittleEndian.AppendUint32(dst, r.Flags)
	for _, v := range r.Outputs {
		dst = appendFloat(dst, v)
	}
	for i, c := range l.Columns {
		at := l.entry(i)
		switch {
		case !c.text():
			dst = appendFloat(dst, r.Values[at])
		case math.IsNaN(r.Values[at]):
			dst = append(dst, 0)
		default:
			text := r.Texts[at]
			if l.keys != nil && l.keys[i] != nil {
				text = Hide(l.keys[i], c.Name, text)
			}
			dst = binary.AppendUvarint(dst, uint64(len(text))+1)
			dst = append(dst, text...)
		}
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendActual appends the row of a to dst.
func appendActual(dst []byte, a *Actual) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(a.At))
	dst = appendText(dst, a.ID)
	dst = appendText(dst, a.Value)
	dst = appendText(dst, a.Source)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// errRow says that a row's bytes contradict its layout. Under a frame's valid
// checksum only another program, or a fault of this one, brings that about.
var errRow = errors.New("row does not fit the segment's layout")

// cursor takes values off the front of a row; short is set, and zeros
// returned, once there is not enough left.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.short = true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) float() float64 { return math.Float64frombits(c.uint64()) }

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.short = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) text() []byte { return c.take(c.uvarint()) }

// texts builds a String column.
type texts struct {
	codes []int32
	dict  []string
	index map[string]int32
	// borrow makes each text an entry of its own that shares memory with what
	// it was read from: for columns in which hardly any comes twice.
	borrow bool
}

func (t *texts) add(b []byte) {
	if t.borrow {
		t.codes = append(t.codes, int32(len(t.dict)))
		t.dict = append(t.dict, unsafe.String(unsafe.SliceData(b), len(b)))
		return
	}
	k, ok := t.index[string(b)] // no allocation
	if !ok {
		if t.index == nil {
			t.index = make(map[string]int32)
		}
		k = int32(len(t.dict))
		t.dict = append(t.dict, string(b))
		t.index[t.dict[k]] = k
	}
	t.codes = append(t.codes, k)
}

func (t *texts) addMissing() { t.codes = append(t.codes, -1) }

func (t *texts) column(name string) *table.Column {
	return &table.Column{Name: name, Type: table.String, Codes: t.codes, Dict: t.dict}
}

// rowBuilder gathers the rows of a segment as columns.
type rowBuilder struct {
	kind    kind
	layout  *Layout // of predictions
	at      []int64
	id      texts
	version texts // of predictions
	flags   []float64
	outputs [][]float64 // by output
	numbers [][]float64 // by layout column, nil for text ones
	texts   []texts     // by layout column
	value   texts       // of actuals
	source  texts
}

func newRowBuilder(h *segmentHeader) *rowBuilder {
	b := &rowBuilder{kind: h.Kind, layout: h.Layout}
	if b.kind == predictions {
		b.outputs = make([][]float64, b.layout.outputs())
		b.numbers = make([][]float64, len(b.layout.Columns))
		b.texts = make([]texts, len(b.layout.Columns))
	}
	return b
}

// len is the number of rows.
func (b *rowBuilder) len() int { return len(b.at) }

// addFrame adds the rows of one frame, all of them or, on error, none.
func (b *rowBuilder) addFrame(payload []byte) error {
	before := b.len()
	c := cursor{b: payload}
	n := c.uint32()
	for range n {
		row := cursor{b: c.take(uint64(c.uint32()))}
		if !c.short {
			b.addRow(&row)
		}
		if c.short || row.short || len(row.b) != 0 {
			b.truncate(before)
			return errRow
		}
	}
	if n == 0 || len(c.b) != 0 {
		b.truncate(before)
		return errRow
	}
	return nil
}

func (b *rowBuilder) addRow(c *cursor) {
	at := int64(c.uint64())
	if checkTime(at) != nil {
		c.short = true
	}
	b.at = append(b.at, at)
	b.id.add(c.text())
	if b.kind == actuals {
		b.value.add(c.text())
		b.source.add(c.text())
		return
	}
	b.version.add(c.text())
	b.flags = append(b.flags, float64(c.uint32()))
	for k := range b.outputs {
		b.outputs[k] = append(b.outputs[k], c.float())
	}
	for i, col := range b.layout.Columns {
		if !col.text() {
			b.numbers[i] = append(b.numbers[i], c.float())
		} else if n := c.uvarint(); n == 0 {
			b.texts[i].addMissing()
		} else {
			b.texts[i].add(c.take(n - 1))
		}
	}
}

// truncate drops all rows from n on.
func (b *rowBuilder) truncate(n int) {
	b.at = b.at[:n]
	for _, t := range []*texts{&b.id, &b.version, &b.value, &b.source} {
		t.codes = t.codes[:min(n, len(t.codes))]
	}
	b.flags = b.flags[:min(n, len(b.flags))]
	for k := range b.outputs {
		b.outputs[k] = b.outputs[k][:n]
	}
	for i, col := range b.layoutColumns() {
		if col.text() {
			b.texts[i].codes = b.texts[i].codes[:n]
		} else {
			b.numbers[i] = b.numbers[i][:n]
		}
	}
}

func (b *rowBuilder) layoutColumns() []LayoutColumn {
	if b.layout == nil {
		return nil
	}
	return b.layout.Columns
}

// table is the rows as the log's columns. Raw columns whose name the log uses
// itself come as input_<name>.
func (b *rowBuilder) table() *table.Table {
	if b.kind == actuals {
		return table.Must(b.id.column(ColumnID), b.value.column(ColumnActual),
			table.Times(ColumnActualTime, b.at), b.source.column(ColumnActualSource))
	}
	cols := []*table.Column{
		b.id.column(ColumnID),
		table.Times(ColumnTime, b.at),
		b.version.column(ColumnVersion),
		table.Floats(ColumnFlags, b.flags),
	}
	cols = append(cols, b.predicted()...)
	used := make(map[string]bool, len(cols)+len(b.layout.Columns)+2)
	for _, name := range []string{columnSegment, columnSource} {
		used[name] = true
	}
	for _, c := range cols {
		used[c.Name] = true
	}
	for i, lc := range b.layout.Columns {
		name := lc.Name
		for used[name] {
			name = "input_" + name
		}
		used[name] = true
		cols = append(cols, b.raw(i, name))
	}
	return table.Must(cols...)
}

// predicted is predicted_<target> and p_<class> of each class.
func (b *rowBuilder) predicted() []*table.Column {
	name := "predicted_" + b.layout.Target
	if b.layout.Classes == nil {
		return []*table.Column{table.Floats(name, b.outputs[0])}
	}
	label := &table.Column{Name: name, Type: table.String, Dict: b.layout.Classes, Codes: make([]int32, b.len())}
	cols := []*table.Column{label}
	for k, class := range b.layout.Classes {
		cols = append(cols, table.Floats("p_"+class, b.outputs[k]))
	}
	for r := range label.Codes {
		best := 0
		for k := range b.outputs {
			if b.outputs[k][r] > b.outputs[best][r] {
				best = k
			}
		}
		label.Codes[r] = int32(best)
	}
	return cols
}

// raw is layout column i.
func (b *rowBuilder) raw(i int, name string) *table.Column {
	switch b.layout.Columns[i].Kind {
	case schema.Categorical, schema.Text:
		return b.texts[i].column(name)
	case schema.Boolean:
		return &table.Column{Name: name, Type: table.Bool, Floats: b.numbers[i]}
	case schema.Time:
		times := make([]int64, len(b.numbers[i]))
		for r, v := range b.numbers[i] {
			times[r] = table.NoTime
			if !math.IsNaN(v) {
				times[r] = int64(v)
			}
		}
		return table.Times(name, times)
	}
	return table.Floats(name, b.numbers[i])
}
