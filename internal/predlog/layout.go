package predlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Layout says what a logged prediction consists of. It must not be changed
// after its first use.
type Layout struct {
	Target  string         `json:"target"`
	Classes []string       `json:"classes,omitempty"` // nil: the output is a number
	Columns []LayoutColumn `json:"columns"`

	// from says, when it is not nil, which entry of a Record a column stands
	// in; the others are dropped.
	from  []int
	given int // entries of a Record
	// keys, when not nil, has the key under which a text column is hashed; nil
	// for columns that are logged as given.
	keys [][]byte

	canonical atomic.Pointer[string]
}

// LayoutColumn is one raw column.
type LayoutColumn struct {
	Name string      `json:"name"`
	Kind schema.Kind `json:"kind"`
}

// text reports whether values of the column stand in Record.Texts.
func (c LayoutColumn) text() bool { return c.Kind == schema.Categorical || c.Kind == schema.Text }

// LayoutOf is the layout of the predictions of t.
func LayoutOf(t *schema.Template) *Layout {
	l := &Layout{Target: t.Target, Columns: make([]LayoutColumn, len(t.Columns))}
	if t.Task.Classified() {
		l.Classes = t.Classes
	}
	for i, c := range t.Columns {
		l.Columns[i] = LayoutColumn{c.Name, c.Kind}
	}
	return l
}

// Extra is a column of requests that the model does not read and the log
// keeps.
type Extra struct {
	Name string
	// Key, if not nil, is the secret under which [Hide] hashes the column's
	// texts before they are logged.
	Key []byte
}

// LayoutWith is the layout of the predictions of t whose requests may also
// carry extras: their texts stand behind the template's columns in a
// [Record]. An extra with a key that is a column of the template is hashed
// when it is text, and dropped otherwise: it was asked for that its values
// are not logged.
func LayoutWith(t *schema.Template, extras []Extra) *Layout {
	l := LayoutOf(t)
	if len(extras) == 0 {
		return l
	}
	secret := map[string][]byte{}
	for _, e := range extras {
		if e.Key != nil {
			secret[e.Name] = e.Key
		}
	}
	var columns []LayoutColumn
	add := func(at int, c LayoutColumn) {
		columns = append(columns, c)
		l.from = append(l.from, at)
		l.keys = append(l.keys, secret[c.Name])
	}
	for i, c := range l.Columns {
		if secret[c.Name] == nil || c.Kind == schema.Text {
			add(i, c)
		}
	}
	beside := NewExtras(t, extras)
	for i, e := range beside {
		add(len(l.Columns)+i, LayoutColumn{e.Name, schema.Text})
	}
	l.given = len(l.Columns) + len(beside)
	l.Columns = columns
	return l
}

// NewExtras are the extras that are no columns of t.
func NewExtras(t *schema.Template, extras []Extra) []Extra {
	return slices.DeleteFunc(slices.Clone(extras), func(e Extra) bool { return t.Column(e.Name) >= 0 })
}

// Hide is what is logged in place of a text of a private column: the first
// 128 bits of HMAC-SHA-256 over the column's name, a zero byte and the text,
// in hexadecimal behind "hmac:". Equal texts of a column stay equal, so that
// their rows can still be counted, found and erased.
func Hide(key []byte, column, text string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(column))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return "hmac:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// Extend adds to cols, the columns of a batch of predictions of t, those of
// the extras that input has, and hides what is private, as a server does that
// logs with [LayoutWith].
func Extend(cols []*table.Column, t *schema.Template, input *table.Table, extras []Extra) []*table.Column {
	for _, e := range NewExtras(t, extras) {
		if c := input.Column(e.Name); c != nil {
			cols = append(cols, c.AsText())
		}
	}
	for _, e := range extras {
		i := slices.IndexFunc(cols, func(c *table.Column) bool { return c.Name == e.Name })
		if i < 0 || e.Key == nil {
			continue
		}
		if k := t.Column(e.Name); k >= 0 && t.Columns[k].Kind != schema.Text {
			cols = slices.Delete(cols, i, i+1)
			continue
		}
		hidden := *cols[i].AsText()
		hidden.Dict = slices.Clone(hidden.Dict)
		for k, text := range hidden.Dict {
			hidden.Dict[k] = Hide(e.Key, e.Name, text)
		}
		cols[i] = &hidden
	}
	return cols
}

// entries is the number of entries of a Record's Values.
func (l *Layout) entries() int {
	if l.from != nil {
		return l.given
	}
	return len(l.Columns)
}

// entry is where column i stands in a Record.
func (l *Layout) entry(i int) int {
	if l.from != nil {
		return l.from[i]
	}
	return i
}

// outputs is the number of values in Record.Outputs.
func (l *Layout) outputs() int { return max(1, len(l.Classes)) }

// key is equal for equal layouts.
func (l *Layout) key() string {
	if k := l.canonical.Load(); k != nil {
		return *k
	}
	b, err := json.Marshal(l)
	if err != nil {
		panic("predlog: marshal layout: " + err.Error()) // plain data: cannot fail
	}
	k := string(b)
	l.canonical.Store(&k)
	return k
}

// validate checks a layout that was read from a file.
func (l *Layout) validate() error {
	if l.Target == "" {
		return errors.New("layout without a target")
	}
	for _, c := range l.Columns {
		if !c.Kind.Valid() {
			return fmt.Errorf("layout column %q has unknown kind %q", c.Name, c.Kind)
		}
	}
	return nil
}

// Record is one prediction to be logged. Values and Texts have one entry a
// layout column: categorical and text columns stand in Texts, and are missing
// when their entry in Values is NaN; the others stand in Values, where NaN is
// missing and a time is in microseconds.
type Record struct {
	ID      string
	At      int64  // microseconds since 1970 UTC, not negative
	Version string // of the model
	Values  []float64
	Texts   []string  // may be nil when no column is text
	Outputs []float64 // the number, or one probability a class
	Flags   uint32
}

// check reports how r departs from l.
func (l *Layout) check(r *Record) error {
	if len(r.Values) != l.entries() {
		return fmt.Errorf("record %q has %d values for %d columns", r.ID, len(r.Values), l.entries())
	}
	if len(r.Texts) != l.entries() {
		for _, c := range l.Columns {
			if c.text() {
				return fmt.Errorf("record %q has %d texts for %d columns", r.ID, len(r.Texts), l.entries())
			}
		}
	}
	if len(r.Outputs) != l.outputs() {
		return fmt.Errorf("record %q has %d outputs, expected %d", r.ID, len(r.Outputs), l.outputs())
	}
	if err := checkTime(r.At); err != nil {
		return fmt.Errorf("record %q: %w", r.ID, err)
	}
	return nil
}
