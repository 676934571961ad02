package serve

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// idField is the optional name of a row in its request. A template's column
// of that name wins.
const idField = "prediction_id"

var errRows = errors.New("too many rows")

// plan is a template prepared for decoding. It is immutable.
type plan struct {
	encoder *feature.Encoder
	cols    []schema.Column // the template's, then the extra ones, which are text
	index   map[string]int  // of cols, or one of the codes below
	lenient bool
	loose   bool      // NaN stands for null, and fields that no column has are stepped over whatever they hold
	blank   []float64 // one row of missing values
	hidden  []bool    // columns of the model that are private and not logged
}

// What a field name can stand for besides a column.
const (
	unknownField = -1 - iota
	ignoredField // carried by the training data, never read
	rowID
)

func newPlan(e *feature.Encoder, lenient bool, extras ...predlog.Extra) *plan {
	t := e.Template()
	cols := slices.Clip(t.Columns)
	for _, x := range predlog.NewExtras(t, extras) {
		cols = append(cols, schema.Column{Name: x.Name, Kind: schema.Text})
	}
	p := &plan{encoder: e, cols: cols, index: map[string]int{}, lenient: lenient, hidden: make([]bool, len(t.Columns))}
	for _, x := range extras {
		if i := t.Column(x.Name); i >= 0 && x.Key != nil {
			p.hidden[i] = t.Columns[i].Kind != schema.Text
		}
	}
	for _, name := range append([]string{t.Target, t.Time}, t.Ignored...) {
		p.index[name] = ignoredField
	}
	delete(p.index, "")
	p.index[idField] = rowID
	for i, c := range cols {
		p.index[c.Name] = i
		p.blank = append(p.blank, math.NaN())
	}
	return p
}

// batch is the memory of one request. It is reused, so that a request whose
// rows look like those before it is decoded without allocating.
type batch struct {
	lexer   lexer
	body    []byte
	media   media // of the body
	answer  media // of the answer
	isArray bool  // there may be any number of rows
	rows    int
	values  []float64 // rows × columns, in the terms of package feature
	texts   []string  // rows × columns; categorical and text columns only
	ids     []string  // one a row; "" when the client gave none
	seen    []int     // per column and one for the id: 1 + the row it was last seen in
	faults  []FieldError
	omitted int

	encoded *feature.Batch // the same rows, when they came as a table; else nil

	sound    []float64 // values with repairs made; not used without any
	repaired []bool    // one a row, or empty

	outputs []float64 // rows × Template.Outputs()
	random  []byte    // what is left of stock
	stock   [320]byte
	records []predlog.Record
	actuals []predlog.Actual
	out     []byte
}

// reset empties the batch but for its body.
func (b *batch) reset(columns int) {
	b.lexer.b, b.lexer.i, b.lexer.nan = b.body, 0, false
	b.isArray, b.rows, b.omitted, b.encoded = false, 0, 0, nil
	b.values, b.ids, b.out = b.values[:0], b.ids[:0], b.out[:0]
	b.texts = b.texts[:0]
	b.seen = sized(b.seen, columns+1)
	clear(b.seen)
	b.faults = nil // handed to the answer
}

// sized is s with n elements of any content.
func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// fault notes that field cannot be taken in the current row.
func (b *batch) fault(field string, value []byte, format string, args ...any) {
	if len(b.faults) >= maxFaults {
		b.omitted++
		return
	}
	f := FieldError{Field: field, Message: fmt.Sprintf(format, args...), Value: value}
	if b.isArray {
		row := b.rows
		f.Row = &row
	}
	b.faults = append(b.faults, f)
}

// decode reads b.body, one object, an array of them or one a line, into b. A body that is
// not JSON is a *syntaxError, one with more than maxRows rows errRows. What is
// JSON but does not fit the template is noted in b.faults, all of it.
func (p *plan) decode(b *batch, maxRows int) error {
	b.reset(len(p.cols))
	return b.each(maxRows, func(depth int) error {
		p.open(b)
		return p.row(b, depth)
	})
}

// open makes room for another row.
func (p *plan) open(b *batch) {
	b.values = append(b.values, p.blank...)
	b.ids = append(b.ids, "")
	for range p.cols {
		b.texts = append(b.texts, "")
	}
}

// each calls row at the beginning of each value of the body: its members when
// it is an array, else the body itself.
func (b *batch) each(maxRows int, row func(depth int) error) error {
	l := &b.lexer
	if b.media == mediaLines {
		return b.eachLine(maxRows, row)
	}
	if l.peek() != '[' {
		if err := row(0); err != nil {
			return err
		}
		b.rows = 1
		return l.end()
	}
	b.isArray = true
	l.i++
	for first := true; ; first = false {
		more, err := l.next(first, ']')
		if err != nil {
			return err
		}
		if !more {
			return l.end()
		}
		if b.rows == maxRows {
			return errRows
		}
		if err := row(1); err != nil {
			return err
		}
		b.rows++
	}
}

// eachLine calls row at the beginning of each value of a body that has one a
// line.
func (b *batch) eachLine(maxRows int, row func(depth int) error) error {
	b.isArray = true
	for l := &b.lexer; l.peek() != 0; b.rows++ {
		if b.rows == maxRows {
			return errRows
		}
		if err := row(0); err != nil {
			return err
		}
		if l.i < len(l.b) && l.b[l.i] != '\n' && l.b[l.i] != '\r' {
			return l.expected("the end of the line")
		}
	}
	return b.lexer.end()
}

// openRow steps into the object of a row. A value of any other kind is
// stepped over and noted.
func (b *batch) openRow(depth int) (bool, error) {
	l := &b.lexer
	if l.peek() == '{' {
		l.i++
		return true, nil
	}
	kind, raw, err := l.value(depth)
	if err == nil {
		b.fault("", quoted(kind, raw), "found %s, expected an object", kind)
	}
	return false, err
}

// row reads one object at the given depth.
func (p *plan) row(b *batch, depth int) error {
	if ok, err := b.openRow(depth); !ok {
		return err
	}
	l, found, guess := &b.lexer, 0, 0
	for first := true; ; first = false {
		more, err := l.next(first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, err := l.key()
		if err != nil {
			return err
		}
		col := p.lookup(name, guess)
		if col < 0 {
			if err := p.other(b, col, name, depth); err != nil {
				return err
			}
			continue
		}
		kind, raw, err := l.value(depth + 1)
		if err != nil {
			return err
		}
		guess = col + 1
		if b.seen[col] == b.rows+1 {
			b.fault(p.cols[col].Name, nil, "given twice")
			continue
		}
		b.seen[col] = b.rows + 1
		found++
		p.set(b, col, kind, raw)
	}
	if found < len(p.cols) {
		p.absent(b)
	}
	return nil
}

// lookup finds the column called name; clients mostly send columns in order,
// so guess is tried before the map.
func (p *plan) lookup(name []byte, guess int) int {
	if guess < len(p.cols) && string(name) == p.cols[guess].Name {
		return guess
	}
	if i, ok := p.index[string(name)]; ok {
		return i
	}
	return unknownField
}

// other reads a member that is no column.
func (p *plan) other(b *batch, code int, name []byte, depth int) error {
	switch code {
	case ignoredField:
		if p.loose {
			_, _, err := b.lexer.value(depth + 1)
			return err
		}
		return b.lexer.skip(depth + 1)
	case rowID:
		kind, raw, err := b.lexer.value(depth + 1)
		if err != nil {
			return err
		}
		if mark := &b.seen[len(p.cols)]; *mark == b.rows+1 {
			b.fault(idField, nil, "given twice")
		} else {
			*mark = b.rows + 1
			b.ids[b.rows] = b.id(kind, raw)
		}
		return nil
	}
	field := string(name)
	kind, raw, err := b.lexer.value(depth + 1)
	if err != nil {
		return err
	}
	near := p.near(field)
	switch {
	case near != "":
		b.fault(field, quoted(kind, raw), "unknown field; did you mean %q? Names are case-sensitive", near)
	case p.loose:
	case !p.lenient:
		b.fault(field, quoted(kind, raw), "unknown field; the model reads %s", p.names())
	case kind == notNumber:
		b.fault(field, quoted(kind, raw), "NaN and Infinity are not JSON")
	}
	return nil
}

// near is the column whose name differs from field only in case.
func (p *plan) near(field string) string {
	for _, c := range p.cols {
		if strings.EqualFold(c.Name, field) {
			return c.Name
		}
	}
	return ""
}

func (p *plan) names() string {
	names := make([]string, len(p.cols))
	for i, c := range p.cols {
		names[i] = c.Name
	}
	return shortList(names)
}

// absent notes the columns that the current row lacks.
func (p *plan) absent(b *batch) {
	for i := range p.cols {
		if c := &p.cols[i]; b.seen[i] != b.rows+1 && c.Kind != schema.Text {
			b.fault(c.Name, nil, "missing; expected %s", wanted(c))
		}
	}
}

// set takes the value of a column.
func (p *plan) set(b *batch, col int, kind token, raw []byte) {
	c := &p.cols[col]
	at := b.rows*len(p.cols) + col
	if p.loose && kind == notNumber && string(raw) == "NaN" {
		kind = null
	}
	if kind == null {
		if !c.Missing && c.Kind != schema.Text {
			b.fault(c.Name, []byte("null"), "null, but training data had no missing values here; expected %s", wanted(c))
		}
		return
	}
	v, ok := 0.0, false
	switch c.Kind {
	case schema.Numeric:
		v, ok = p.number(kind, raw)
	case schema.Boolean:
		v, ok = p.boolean(kind, raw)
	case schema.Time:
		if kind == text {
			var us int64
			us, ok = table.ParseTime(view(raw))
			v = float64(us)
		}
	case schema.Categorical:
		v, b.texts[at], ok = p.level(col, kind, raw)
	case schema.Text:
		if ok = scalar(kind); ok {
			b.texts[at] = string(raw)
		}
	}
	if !ok {
		b.fault(c.Name, quoted(kind, raw), "%s; expected %s", found(kind, raw), wanted(c))
		return
	}
	b.values[at] = v
}

// scalar reports whether a value of this kind has a text.
func scalar(kind token) bool {
	return kind == text || kind == number || kind == boolTrue || kind == boolFalse
}

func (p *plan) number(kind token, raw []byte) (float64, bool) {
	if kind == text && p.lenient {
		raw = bytes.TrimSpace(raw)
		if isNumber(view(raw)) {
			kind = number
		}
	}
	if kind != number {
		return 0, false
	}
	v, err := strconv.ParseFloat(view(raw), 64)
	return v, err == nil
}

func (p *plan) boolean(kind token, raw []byte) (float64, bool) {
	if kind == text && p.lenient {
		switch strings.ToLower(string(raw)) {
		case "true":
			kind = boolTrue
		case "false":
			kind = boolFalse
		}
	}
	switch kind {
	case boolTrue:
		return 1, true
	case boolFalse:
		return 0, true
	}
	v, ok := p.number(kind, raw)
	return v, ok && (v == 0 || v == 1)
}

// level reads a category: its code, and its text for the log. A text that
// stands for a missing value in data files does so here too, when training
// knew missing values and no level of that name.
func (p *plan) level(col int, kind token, raw []byte) (code float64, name string, ok bool) {
	if !scalar(kind) {
		return 0, "", false
	}
	c := &p.cols[col]
	code, known := p.encoder.LevelBytes(col, raw)
	if !known && kind == number { // 1.0 and 1 are one level
		if v, err := strconv.ParseFloat(view(raw), 64); err == nil {
			var short [32]byte
			code, known = p.encoder.LevelBytes(col, strconv.AppendFloat(short[:0], v, 'f', -1, 64))
		}
	}
	switch {
	case known:
		return code, c.Levels[int(code)], true
	case c.Missing && table.IsMissing(view(raw)):
		return math.NaN(), "", true
	default:
		return code, string(raw), true
	}
}

// wanted says what a column takes.
func wanted(c *schema.Column) string {
	switch c.Kind {
	case schema.Numeric:
		return "a number"
	case schema.Boolean:
		return "true, false, 0 or 1"
	case schema.Time:
		if c.DateOnly {
			return `a date such as "2024-01-10"`
		}
		return `a time such as "2024-01-10T15:04:05Z"`
	case schema.Categorical:
		if len(c.Levels) > 0 {
			return "a string such as " + strconv.Quote(c.Levels[0])
		}
	}
	return "a string"
}

// found says what stands where something else was wanted.
func found(kind token, raw []byte) string {
	switch kind {
	case notNumber:
		return string(raw) + " is not a number that JSON knows"
	case number:
		if _, err := strconv.ParseFloat(string(raw), 64); err != nil {
			return "beyond the range of 64-bit numbers"
		}
	case text:
		return "found the string " + strconv.Quote(shorten(string(raw)))
	}
	return "found " + kind.String()
}

func shorten(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// id checks a client's name of a row.
func (b *batch) id(kind token, raw []byte) string {
	switch {
	case kind == null:
		return ""
	case kind != text:
		b.fault(idField, quoted(kind, raw), "found %s, expected a string", kind)
		return ""
	case !validID(raw):
		b.fault(idField, quoted(kind, raw), "expected 1 to 64 characters of A-Z a-z 0-9 . _ : -")
		return ""
	}
	return string(raw)
}

func validID(s []byte) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// view reads bytes as a string without copying, for callees that look at the
// string and do not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
