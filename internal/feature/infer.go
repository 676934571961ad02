package feature

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// InferOptions steers [Infer]; everything but Target may be empty.
type InferOptions struct {
	Target      string
	Time        string      // column that orders rows in time; "" finds it
	Task        schema.Task // "" infers it
	Categorical []string    // columns to take as categories
	Text        []string    // columns to carry but not learn from
	Drop        []string    // columns to leave out
	Keep        []string    // columns to use whatever Infer thinks of them
}

// Choice is what Infer decided about one column, and why.
type Choice struct {
	Name string
	Kind schema.Kind
	Use  bool // as a raw input column of the model
	Why  string
}

// Inferred is the outcome of Infer.
type Inferred struct {
	Target   string
	Time     string
	Task     schema.Task
	TaskWhy  string
	Classes  []string
	Choices  []Choice // every column but the target, in file order
	Warnings []string
}

// TargetError says why a column cannot be the target.
type TargetError struct {
	Target string
	Reason string
	Hint   string
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("target %q %s; %s", e.Target, e.Reason, e.Hint)
}

// ColumnError is a column that was named and is not in the data.
type ColumnError struct {
	Column string
	Have   []string
}

func (e *ColumnError) Error() string {
	return fmt.Sprintf("column %q is not in the data; the columns are %s", e.Column, strings.Join(e.Have, ", "))
}

// ErrNoFeatures says that no column is left to learn from.
var ErrNoFeatures = errors.New("no column is left to learn from")

// Limits of inference.
const (
	maxClasses      = 100 // labels of a string target
	maxWholeClasses = 10  // distinct whole numbers that still read as classes
	textLength      = 60  // mean length above which strings are free text
)

// Infer decides what the columns of t are and what the task is. A column that
// cannot be used is left out with its reason. Rows whose target is missing do
// not count. The errors are *TargetError for a target that is unknown, has no
// value or only one, *ColumnError for another unknown name, and ErrNoFeatures.
func Infer(t *table.Table, o InferOptions) (*Inferred, error) {
	in, err := NewInference(t.Names(), t.NumRows(), o)
	if err != nil {
		return nil, err
	}
	for i, c := range t.Columns() {
		in.Add(i, 0, c)
	}
	return in.Infer(t.Column(o.Target))
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func unknownColumn(name, target string, have []string) error {
	if name == target {
		return &TargetError{name, "is not a column of the data", "the columns are " + strings.Join(have, ", ")}
	}
	return &ColumnError{name, have}
}

func (inf *Inferred) reasons() string {
	parts := make([]string, len(inf.Choices))
	for i, c := range inf.Choices {
		parts[i] = fmt.Sprintf("%q: %s", c.Name, c.Why)
	}
	return strings.Join(parts, "; ")
}

// task infers the task from the values of the target.
func (inf *Inferred) task(c *table.Column, want schema.Task) error {
	fail := func(reason, hint string) error { return &TargetError{c.Name, reason, hint} }
	labels := distinct(c, maxClasses+1)
	switch {
	case len(labels) == 0:
		return fail("has no value", "every row is missing it: check the file")
	case len(labels) == 1:
		return fail(fmt.Sprintf("has one value only (%s)", labels[0]), "there is nothing to learn; a model needs rows of at least two outcomes")
	case c.Type == table.Time:
		return fail("holds times", "predict a number or a class instead, such as the days until that time")
	}
	inf.Task, inf.TaskWhy = guessTask(c, labels)
	if want != "" {
		inf.Task, inf.TaskWhy = want, "as asked for"
	}
	if inf.Task == schema.Regression {
		if c.Type == table.String {
			return fail(fmt.Sprintf("holds text (such as %q)", example(c)), "a regression needs numbers; name the task binary or multiclass to predict classes")
		}
		return nil
	}
	switch {
	case len(labels) > maxClasses:
		return fail(fmt.Sprintf("has more than %d different values", maxClasses), "too many for classes; is it the right column?")
	case inf.Task == schema.Binary && len(labels) != 2:
		return fail(fmt.Sprintf("has %d different values", len(labels)), "a binary task needs two")
	case inf.Task == schema.Multiclass && len(labels) < 3:
		return fail(fmt.Sprintf("has %d different values", len(labels)), "a multiclass task needs three or more")
	}
	sortLabels(labels)
	inf.Classes = labels
	return nil
}

func guessTask(c *table.Column, labels []string) (schema.Task, string) {
	switch {
	case len(labels) == 2:
		return schema.Binary, fmt.Sprintf("two different values, %s and %s", labels[0], labels[1])
	case c.Type == table.String:
		return schema.Multiclass, fmt.Sprintf("%d different names", len(labels))
	case len(labels) <= maxWholeClasses && wholeRun(c):
		return schema.Multiclass, fmt.Sprintf("%d whole numbers in a row from 0 or 1; say regression if their size means something", len(labels))
	default:
		return schema.Regression, "numbers of many values"
	}
}

// wholeRun reports whether the values are exactly 0…k or 1…k.
func wholeRun(c *table.Column) bool {
	seen := map[float64]bool{}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range c.Floats {
		if math.IsNaN(v) {
			continue
		}
		if v != math.Trunc(v) || v < 0 || v > 1000 {
			return false
		}
		seen[v] = true
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo <= 1 && int(hi-lo)+1 == len(seen)
}

// distinct lists up to limit different values as text, in order of appearance.
func distinct(c *table.Column, limit int) []string {
	var out []string
	switch c.Type {
	case table.String:
		seen := make([]bool, len(c.Dict))
		for _, k := range c.Codes {
			if len(out) == limit {
				break
			}
			if k >= 0 && !seen[k] {
				seen[k] = true
				out = append(out, c.Dict[k])
			}
		}
	case table.Time:
		return differing(c, c.Times, limit)
	default:
		return differing(c, c.Floats, limit)
	}
	return out
}

func differing[T comparable](c *table.Column, values []T, limit int) []string {
	var out []string
	seen := map[T]bool{}
	for i, v := range values {
		if len(out) == limit {
			break
		}
		if !seen[v] && !c.Missing(i) {
			seen[v] = true
			out = append(out, c.Format(i))
		}
	}
	return out
}

// sortLabels sorts by value when every label is a number, else by text.
func sortLabels(labels []string) {
	value := make(map[string]float64, len(labels))
	for _, l := range labels {
		v, err := strconv.ParseFloat(l, 64)
		if err != nil {
			slices.Sort(labels)
			return
		}
		value[l] = v
	}
	slices.SortFunc(labels, func(a, b string) int { return cmp.Compare(value[a], value[b]) })
}

// Labels are the values of a target column as trees learn them: the number
// for a regression, else the index into classes. NaN stands for a missing
// value and for a class that is not in classes.
func Labels(c *table.Column, classes []string) []float64 {
	if classes == nil && c.Type != table.String {
		return c.Floats
	}
	index := make(map[string]float64, len(classes))
	for i, s := range classes {
		index[s] = float64(i)
	}
	class := func(i int) float64 {
		if y, ok := index[c.Format(i)]; ok {
			return y
		}
		return math.NaN()
	}
	out := make([]float64, c.Len())
	known := map[float64]float64{} // classes of numbers are few
	for i := range out {
		if c.Missing(i) {
			out[i] = math.NaN()
			continue
		}
		if c.Type == table.String || c.Type == table.Time {
			out[i] = class(i)
			continue
		}
		v := c.Floats[i]
		y, ok := known[v]
		if !ok {
			y = class(i)
			if len(known) < maxClasses {
				known[v] = y
			}
		}
		out[i] = y
	}
	return out
}

func kindOf(t table.Type) schema.Kind {
	switch t {
	case table.String:
		return schema.Categorical
	case table.Time:
		return schema.Time
	case table.Bool:
		return schema.Boolean
	default:
		return schema.Numeric
	}
}

// time settles which column orders the rows: the one named, or the only
// column of times.
func (inf *Inferred) time(columns []summary, o InferOptions) error {
	if o.Time != "" {
		for _, s := range columns {
			if s.name == o.Time && s.typ != table.Time {
				return fmt.Errorf("time column %q holds %ss (such as %q), expected dates or times", o.Time, s.typ, s.example)
			}
		}
		inf.Time = o.Time
		return nil
	}
	var found []string
	for _, s := range columns {
		if s.typ == table.Time && !slices.Contains(o.Drop, s.name) && s.n > 0 {
			found = append(found, s.name)
		}
	}
	switch len(found) {
	case 0:
	case 1:
		inf.Time = found[0]
	default:
		inf.Time = found[0]
		inf.Warnings = append(inf.Warnings, fmt.Sprintf("several columns hold times (%s); %q is taken to order the rows: name another with --time", strings.Join(found, ", "), found[0]))
	}
	return nil
}
