// Package schema describes the raw columns that a model takes in and locks
// them, with the features derived from them, in a [Template].
//
// A Template is written once with a model version (template.json, see
// docs/format/template.md) and never changed. Training and serving read the
// same Template, so a column that went missing, appeared or changed its kind
// is found by [Diff] and never silently mismatched.
package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Kind says how a raw column is read and compared.
type Kind string

// The kinds. Text stands for free text and identifiers: such columns are
// carried in logs but are never features.
const (
	Numeric     Kind = "numeric"
	Categorical Kind = "categorical"
	Boolean     Kind = "boolean"
	Time        Kind = "time"
	Text        Kind = "text"
)

// Kinds lists every kind in the order of its declaration.
func Kinds() []Kind { return []Kind{Numeric, Categorical, Boolean, Time, Text} }

// Valid reports whether k is one of [Kinds].
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// Task is what the model predicts.
type Task string

// The tasks.
const (
	Regression Task = "regression"
	Binary     Task = "binary"
	Multiclass Task = "multiclass"
)

// Valid reports whether t is a known task.
func (t Task) Valid() bool { return t == Regression || t == Binary || t == Multiclass }

// Classified reports whether the task predicts one of a set of classes.
func (t Task) Classified() bool { return t == Binary || t == Multiclass }

// Column is one raw input column of a template.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Levels are the categories seen in training, in code order: the code of
	// Levels[i] is i. Nil unless Kind is Categorical.
	Levels []string `json:"levels,omitempty"`
	// Min and Max bound the finite values seen in training (Numeric only;
	// nil when there was none).
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
	// Integer says that every value seen was a whole number (Numeric only).
	Integer bool `json:"integer,omitempty"`
	// Missing says that training data had missing values in this column.
	Missing bool `json:"missing,omitempty"`
	// DateOnly says that every time seen was midnight (Time only).
	DateOnly bool `json:"date_only,omitempty"`
}

// Op derives one feature from a raw column.
type Op string

// The operations. Value passes a numeric or boolean through; Level is the
// category's code; the rest read a UTC time.
const (
	Value   Op = "value"
	Level   Op = "level"
	Month   Op = "month"   // 1…12
	Day     Op = "day"     // of the month, 1…31
	YearDay Op = "yearday" // 1…366
	Weekday Op = "weekday" // 0 (Sunday)…6
	Hour    Op = "hour"    // 0…23
)

// Calendar lists the operations on times.
func Calendar() []Op { return []Op{Hour, Weekday, Day, Month, YearDay} }

// Feature is one input of the trees.
type Feature struct {
	Name   string `json:"name"`
	Source string `json:"source"` // name of a raw column
	Op     Op     `json:"op"`
}

// Version is the template format that this build writes and the newest that
// it reads.
const Version = 1

// Template is the locked description of a model's input and output.
type Template struct {
	Format int    `json:"format"`
	Task   Task   `json:"task"`
	Target string `json:"target"`
	// Time names the column that orders rows in time; empty when rows are
	// taken in file order. It may or may not also be a raw input column.
	Time string `json:"time,omitempty"`
	// Classes are the labels of a classified task in class order; for
	// Binary, Classes[1] is the positive class. Nil for Regression.
	Classes []string `json:"classes,omitempty"`
	Columns []Column `json:"columns"` // raw input, in order
	// Ignored names columns that training saw and left out. Input may carry
	// them; they are never read. Any other unknown column is an error.
	Ignored  []string  `json:"ignored,omitempty"`
	Features []Feature `json:"features"` // derived, in the trees' order
	// Fingerprint is the SHA-256 (hex) over the rest; [Template.Seal] sets it.
	Fingerprint string `json:"fingerprint"`
}

// Seal sets Format and Fingerprint. Call it once, when nothing will change.
func (t *Template) Seal() {
	t.Format = Version
	t.Fingerprint = t.fingerprint()
}

func (t *Template) fingerprint() string {
	c := *t
	c.Fingerprint = ""
	b, err := json.Marshal(&c)
	if err != nil {
		panic("schema: marshal template: " + err.Error()) // plain data: cannot fail
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Column returns the index of the raw column called name, or -1.
func (t *Template) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// PredictionName is the name under which the prediction is answered and
// logged: predicted_<target>.
func (t *Template) PredictionName() string { return "predicted_" + t.Target }

// ProbabilityNames are p_<class>, one a class; nil for Regression.
func (t *Template) ProbabilityNames() []string {
	if !t.Task.Classified() {
		return nil
	}
	names := make([]string, len(t.Classes))
	for i, c := range t.Classes {
		names[i] = "p_" + c
	}
	return names
}

// Outputs is the number of values a prediction holds: 1 for Regression, the
// number of classes otherwise.
func (t *Template) Outputs() int {
	if t.Task.Classified() {
		return len(t.Classes)
	}
	return 1
}

// Validate reports the first way in which the template contradicts itself.
func (t *Template) Validate() error {
	if t.Format < 1 || t.Format > Version {
		return fmt.Errorf("template: format %d is not known to this build (it reads 1 to %d)", t.Format, Version)
	}
	if !t.Task.Valid() {
		return fmt.Errorf("template: unknown task %q", t.Task)
	}
	if t.Target == "" {
		return fmt.Errorf("template: no target")
	}
	switch {
	case t.Task == Binary && len(t.Classes) != 2:
		return fmt.Errorf("template: binary task with %d classes, expected 2", len(t.Classes))
	case t.Task == Multiclass && len(t.Classes) < 3:
		return fmt.Errorf("template: multiclass task with %d classes, expected at least 3", len(t.Classes))
	case t.Task == Regression && len(t.Classes) != 0:
		return fmt.Errorf("template: regression with classes")
	}
	seen := make(map[string]Kind, len(t.Columns))
	for _, c := range t.Columns {
		if _, dup := seen[c.Name]; dup || c.Name == "" || c.Name == t.Target {
			return fmt.Errorf("template: column name %q is empty, doubled or the target's", c.Name)
		}
		if !c.Kind.Valid() {
			return fmt.Errorf("template: column %q has unknown kind %q", c.Name, c.Kind)
		}
		seen[c.Name] = c.Kind
	}
	if len(t.Features) == 0 {
		return fmt.Errorf("template: no features")
	}
	for _, f := range t.Features {
		kind, ok := seen[f.Source]
		if !ok {
			return fmt.Errorf("template: feature %q reads unknown column %q", f.Name, f.Source)
		}
		var fits bool
		switch f.Op {
		case Value:
			fits = kind == Numeric || kind == Boolean
		case Level:
			fits = kind == Categorical
		default:
			fits = kind == Time && slices.Contains(Calendar(), f.Op)
		}
		if !fits {
			return fmt.Errorf("template: feature %q applies %q to the %s column %q", f.Name, f.Op, kind, f.Source)
		}
	}
	if want := t.fingerprint(); t.Fingerprint != want {
		return fmt.Errorf("template: fingerprint %.12s does not match its content (%.12s)", t.Fingerprint, want)
	}
	return nil
}

// Parse reads template.json and validates it.
func Parse(b []byte) (*Template, error) {
	var t Template
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &t, nil
}

// Marshal returns the bytes of template.json.
func (t *Template) Marshal() []byte {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		panic("schema: marshal template: " + err.Error())
	}
	return append(b, '\n')
}

// Difference is one way in which a set of columns departs from a template.
type Difference struct {
	Column string `json:"column"`
	What   string `json:"what"`             // "missing", "added", "retyped"
	Detail string `json:"detail,omitempty"` // for retyped: what was found and what was expected
}

func (d Difference) String() string {
	if d.Detail == "" {
		return fmt.Sprintf("column %q is %s", d.Column, d.What)
	}
	return fmt.Sprintf("column %q is %s: %s", d.Column, d.What, d.Detail)
}

// Diff compares the raw columns of two templates: what b lacks, adds or types
// otherwise than a. Order does not count.
func Diff(a, b *Template) []Difference {
	var out []Difference
	for _, c := range a.Columns {
		switch j := b.Column(c.Name); {
		case j < 0:
			out = append(out, Difference{c.Name, "missing", ""})
		case b.Columns[j].Kind != c.Kind:
			out = append(out, Difference{c.Name, "retyped", fmt.Sprintf("%s, expected %s", b.Columns[j].Kind, c.Kind)})
		}
	}
	for _, c := range b.Columns {
		if a.Column(c.Name) < 0 {
			out = append(out, Difference{c.Name, "added", ""})
		}
	}
	return out
}
