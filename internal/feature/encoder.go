// Package feature turns raw columns into the numbers that trees read, by one
// code path for training and serving.
//
// A raw row is a []float64 with one value for each column of the template:
//
//	numeric      the number; NaN is missing
//	boolean      0 or 1; NaN is missing
//	categorical  the level's code; −1 is a level never seen, NaN is missing
//	time         microseconds since 1970 UTC; NaN is missing
//	text         NaN: carried in logs only
//
// [Encoder.Encode] derives the features from it. [Infer] decides what the
// columns of a data file are, and [NewTemplate] locks the decision.
package feature

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Encoder applies a template. It is immutable and safe for concurrent use.
type Encoder struct {
	tmpl   *schema.Template
	levels []map[string]int32 // per column, nil unless categorical
	steps  []step             // per feature
}

type step struct {
	col int
	op  schema.Op
}

// NewEncoder prepares a valid template for encoding.
func NewEncoder(t *schema.Template) *Encoder {
	e := &Encoder{tmpl: t, levels: make([]map[string]int32, len(t.Columns)), steps: make([]step, len(t.Features))}
	for i, c := range t.Columns {
		if c.Kind == schema.Categorical {
			e.levels[i] = make(map[string]int32, len(c.Levels))
			for k, s := range c.Levels {
				e.levels[i][s] = int32(k)
			}
		}
	}
	for i, f := range t.Features {
		e.steps[i] = step{t.Column(f.Source), f.Op}
	}
	return e
}

// Template is the template that the encoder applies.
func (e *Encoder) Template() *schema.Template { return e.tmpl }

// Level is the code of text in the categorical column col; −1 and false when
// the level was not seen in training.
func (e *Encoder) Level(col int, text string) (code float64, known bool) {
	if k, ok := e.levels[col][text]; ok {
		return float64(k), true
	}
	return -1, false
}

// LevelBytes is Level for bytes; it does not allocate.
func (e *Encoder) LevelBytes(col int, text []byte) (code float64, known bool) {
	if k, ok := e.levels[col][string(text)]; ok {
		return float64(k), true
	}
	return -1, false
}

// Encode writes the features of one raw row to dst. len(raw) is the number of
// columns and len(dst) that of features. It does not allocate.
func (e *Encoder) Encode(dst, raw []float64) {
	for i, s := range e.steps {
		switch s.op {
		case schema.Value, schema.Level:
			dst[i] = raw[s.col]
		default:
			dst[i] = calendar(s.op, raw[s.col])
		}
	}
}

// Batch is a table in the template's terms, column-major.
type Batch struct {
	Raw      [][]float64 // one slice a template column
	Features [][]float64 // one slice a feature; may share memory with Raw
	Rows     int
}

// Row copies raw row i to dst.
func (b *Batch) Row(dst []float64, i int) {
	for c, col := range b.Raw {
		dst[c] = col[i]
	}
}

// MismatchError lists every way in which a table departs from a template.
type MismatchError struct{ Differences []schema.Difference }

func (e *MismatchError) Error() string {
	parts := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		parts[i] = d.String()
	}
	return "the data does not fit the model's template: " + strings.Join(parts, "; ")
}

// Types tells a reader how to read the template's columns.
func (e *Encoder) Types() map[string]table.Type {
	types := make(map[string]table.Type, len(e.tmpl.Columns))
	for _, c := range e.tmpl.Columns {
		types[c.Name] = TypeOf(c.Kind)
	}
	return types
}

// TypeOf is the table type in which a column of kind k is read.
func TypeOf(k schema.Kind) table.Type {
	switch k {
	case schema.Categorical, schema.Text:
		return table.String
	case schema.Time:
		return table.Time
	case schema.Boolean:
		return table.Bool
	default:
		return table.Float
	}
}

// Table encodes t. Columns may come in any order; the target, the time
// column, prediction_id and ignored columns may be there as well, and text
// columns may be left out. A column that is missing, added or of a type that
// cannot be read as the template's kind is reported in one *MismatchError with
// all the others.
func (e *Encoder) Table(t *table.Table) (*Batch, error) {
	b := &Batch{Rows: t.NumRows(), Raw: make([][]float64, len(e.tmpl.Columns)), Features: make([][]float64, len(e.steps))}
	var diffs []schema.Difference
	for i, want := range e.tmpl.Columns {
		c := t.Column(want.Name)
		if c == nil && want.Kind == schema.Text {
			b.Raw[i] = nans(b.Rows)
			continue
		}
		if c == nil {
			diffs = append(diffs, schema.Difference{Column: want.Name, What: "missing"})
			continue
		}
		raw, detail := e.raw(i, c)
		if detail != "" {
			diffs = append(diffs, schema.Difference{Column: want.Name, What: "retyped", Detail: detail})
		}
		b.Raw[i] = raw
	}
	for _, name := range t.Names() {
		if e.tmpl.Column(name) < 0 && !e.tolerated(name) {
			diffs = append(diffs, schema.Difference{Column: name, What: "added"})
		}
	}
	if diffs != nil {
		return nil, &MismatchError{diffs}
	}
	e.derive(b)
	return b, nil
}

// Columns encodes raw columns, one a template column in its order, of equal
// length; the batch shares their memory.
func (e *Encoder) Columns(raw [][]float64) *Batch {
	b := &Batch{Raw: raw, Features: make([][]float64, len(e.steps))}
	if len(raw) > 0 {
		b.Rows = len(raw[0])
	}
	e.derive(b)
	return b
}

func (e *Encoder) derive(b *Batch) {
	for i, s := range e.steps {
		b.Features[i] = derive(s.op, b.Raw[s.col])
	}
}

func (e *Encoder) tolerated(name string) bool {
	return name == e.tmpl.Target || name == e.tmpl.Time || name == "prediction_id" || slices.Contains(e.tmpl.Ignored, name)
}

// raw converts a column to the template column i; detail says why it cannot.
func (e *Encoder) raw(i int, c *table.Column) (out []float64, detail string) {
	kind := e.tmpl.Columns[i].Kind
	switch {
	case kind == schema.Text:
		return nans(c.Len()), ""
	case kind == schema.Categorical && c.Type == table.String:
		return e.codes(i, c), ""
	case kind == schema.Categorical && c.Type != table.Time:
		return e.codesOf(i, c), ""
	case (kind == schema.Numeric || kind == schema.Boolean) && (c.Type == table.Float || c.Type == table.Bool):
		return c.Floats, ""
	case kind == schema.Time && c.Type == table.Time:
		return micros(c.Times), ""
	}
	if n := c.Len(); allMissing(c) {
		return nans(n), ""
	}
	return nil, fmt.Sprintf("%s (such as %q), expected %s", c.Type, example(c), kind)
}

func (e *Encoder) codes(col int, c *table.Column) []float64 {
	remap := make([]float64, len(c.Dict))
	for k, s := range c.Dict {
		remap[k], _ = e.Level(col, s)
	}
	out := make([]float64, len(c.Codes))
	for i, k := range c.Codes {
		if k < 0 {
			out[i] = math.NaN()
		} else {
			out[i] = remap[k]
		}
	}
	return out
}

// codesOf reads numbers as the names of levels.
func (e *Encoder) codesOf(col int, c *table.Column) []float64 {
	out := make([]float64, c.Len())
	for i := range out {
		if c.Missing(i) {
			out[i] = math.NaN()
		} else {
			out[i], _ = e.Level(col, c.Format(i))
		}
	}
	return out
}

func derive(op schema.Op, raw []float64) []float64 {
	if op == schema.Value || op == schema.Level {
		return raw
	}
	out := make([]float64, len(raw))
	for i, v := range raw {
		out[i] = calendar(op, v)
	}
	return out
}

func micros(times []int64) []float64 {
	out := make([]float64, len(times))
	for i, t := range times {
		if t == table.NoTime {
			out[i] = math.NaN()
		} else {
			out[i] = float64(t)
		}
	}
	return out
}

func nans(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

func allMissing(c *table.Column) bool {
	for i := range c.Len() {
		if !c.Missing(i) {
			return false
		}
	}
	return true
}

// example is the first value that is not missing.
func example(c *table.Column) string {
	for i := range c.Len() {
		if !c.Missing(i) {
			return c.Format(i)
		}
	}
	return ""
}

const dayMicros = 24 * 3600 * 1e6

// calendar reads one part of a UTC time given in microseconds; NaN stays NaN.
func calendar(op schema.Op, us float64) float64 {
	if math.IsNaN(us) {
		return us
	}
	day := math.Floor(us / dayMicros)
	switch op {
	case schema.Hour:
		return math.Floor((us - day*dayMicros) / 3600e6)
	case schema.Weekday:
		w := math.Mod(day+4, 7) // 1970-01-01 was a Thursday
		if w < 0 {
			w += 7
		}
		return w
	}
	_, month, dom, yday := civil(int64(day))
	switch op {
	case schema.Month:
		return float64(month)
	case schema.Day:
		return float64(dom)
	case schema.YearDay:
		return float64(yday)
	}
	panic("feature: unknown calendar operation " + strconv.Quote(string(op)))
}

// civil is the proleptic Gregorian date of a day count since 1970-01-01
// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
func civil(day int64) (year, month, dom, yday int) {
	z := day + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dom = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	year = int(yoe + era*400)
	if month > 12 {
		month -= 12
		year++
	}
	before := [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}
	yday = before[month-1] + dom
	if month > 2 && (year%4 == 0 && year%100 != 0 || year%400 == 0) {
		yday++
	}
	return year, month, dom, yday
}
