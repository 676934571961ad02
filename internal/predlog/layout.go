package predlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/healml/healml/internal/schema"
)

// Layout says what a logged prediction consists of. It must not be changed
// after its first use.
type Layout struct {
	Target  string         `json:"target"`
	Classes []string       `json:"classes,omitempty"` // nil: the output is a number
	Columns []LayoutColumn `json:"columns"`

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
	if len(r.Values) != len(l.Columns) {
		return fmt.Errorf("record %q has %d values for %d columns", r.ID, len(r.Values), len(l.Columns))
	}
	if len(r.Texts) != len(l.Columns) {
		for _, c := range l.Columns {
			if c.text() {
				return fmt.Errorf("record %q has %d texts for %d columns", r.ID, len(r.Texts), len(l.Columns))
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
