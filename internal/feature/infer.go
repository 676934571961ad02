package feature

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
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
	for _, names := range [][]string{{o.Target}, o.Categorical, o.Text, o.Drop, o.Keep, nonEmpty(o.Time)} {
		for _, n := range names {
			if t.Column(n) == nil {
				return nil, unknownColumn(n, o.Target, t.Names())
			}
		}
	}
	inf := &Inferred{Target: o.Target}
	if err := inf.task(t.Column(o.Target), o.Task); err != nil {
		return nil, err
	}
	for _, c := range t.Columns() {
		if c.Name != o.Target {
			inf.Choices = append(inf.Choices, choose(c, o))
		}
	}
	if err := inf.time(t, o); err != nil {
		return nil, err
	}
	inf.leaks(t, o.Keep)
	if !slices.ContainsFunc(inf.Choices, func(c Choice) bool { return c.Use && c.Kind != schema.Text }) {
		return nil, fmt.Errorf("%w: %s", ErrNoFeatures, inf.reasons())
	}
	return inf, nil
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
	out := make([]float64, c.Len())
	for i := range out {
		v, ok := index[c.Format(i)]
		if !ok || c.Missing(i) {
			v = math.NaN()
		}
		out[i] = v
	}
	return out
}

var idName = regexp.MustCompile(`(?i)(^|[_\s.-])(id|uuid|guid|key|index|rownum|row_number|unnamed_0)$`)

// choose decides about one column by itself.
func choose(c *table.Column, o InferOptions) Choice {
	ch := Choice{Name: c.Name, Kind: kindOf(c), Use: true}
	leave := func(why string) Choice { ch.Use = false; ch.Why = why; return ch }
	switch {
	case slices.Contains(o.Drop, c.Name):
		return leave("left out as asked for")
	case slices.Contains(o.Text, c.Name):
		ch.Kind = schema.Text
		ch.Why = "text as asked for: logged, not learnt from"
		return ch
	case slices.Contains(o.Categorical, c.Name) && c.Type != table.Time:
		ch.Kind = schema.Categorical
		ch.Why = "categories as asked for"
		return ch
	case allMissing(c):
		return leave("every value is missing")
	case c.Name == "prediction_id":
		return leave("identifies a prediction")
	}
	keep := slices.Contains(o.Keep, c.Name)
	switch c.Type {
	case table.String:
		ch = chooseString(c, ch)
	case table.Time:
		ch.Why = "times; calendar features are chosen when training"
	case table.Bool:
		ch.Why = "true or false"
	default:
		ch = chooseNumber(c, ch)
	}
	if keep && !ch.Use {
		ch.Use, ch.Why = true, "kept as asked for ("+ch.Why+")"
		if ch.Kind == schema.Text {
			ch.Kind = schema.Categorical
		}
	}
	return ch
}

func kindOf(c *table.Column) schema.Kind {
	switch c.Type {
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

func chooseString(c *table.Column, ch Choice) Choice {
	n, length := 0, 0
	for _, k := range c.Codes {
		if k >= 0 {
			n++
			length += len(c.Dict[k])
		}
	}
	levels := len(distinct(c, n+1))
	text := func(why string) Choice { ch.Kind, ch.Use, ch.Why = schema.Text, false, why; return ch }
	switch {
	case levels > 20 && levels == n:
		return text("an identifier: no value comes twice")
	case levels > 100 && levels > n/2:
		return text(fmt.Sprintf("text or an identifier: %d different values in %d rows", levels, n))
	case levels > 20 && length/n > textLength:
		return text("free text")
	}
	ch.Why = fmt.Sprintf("%d different names", levels)
	return ch
}

func chooseNumber(c *table.Column, ch Choice) Choice {
	n, whole, rising := 0, true, true
	last := math.Inf(-1)
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range c.Floats {
		if math.IsNaN(v) {
			rising = false
			continue
		}
		n++
		whole = whole && v == math.Trunc(v)
		rising = rising && v == last+1 || n == 1
		last = v
		lo, hi = min(lo, v), max(hi, v)
	}
	switch {
	case n > 20 && whole && rising:
		ch.Use, ch.Why = false, "counts the rows: 1 more in each"
	case n > 20 && whole && idName.MatchString(c.Name) && uniqueNumbers(c, n):
		ch.Use, ch.Why = false, "an identifier: whole numbers, none twice"
	case lo == hi:
		ch.Why = fmt.Sprintf("numbers; always %v here, kept in case it comes alive", lo)
	case whole:
		ch.Why = fmt.Sprintf("whole numbers from %v to %v", lo, hi)
	default:
		ch.Why = fmt.Sprintf("numbers from %.4g to %.4g", lo, hi)
	}
	return ch
}

func uniqueNumbers(c *table.Column, n int) bool {
	seen := make(map[float64]struct{}, n)
	for _, v := range c.Floats {
		if !math.IsNaN(v) {
			seen[v] = struct{}{}
		}
	}
	return len(seen) == n
}

// time settles which column orders the rows: the one named, or the only
// column of times.
func (inf *Inferred) time(t *table.Table, o InferOptions) error {
	if o.Time != "" {
		if c := t.Column(o.Time); c.Type != table.Time {
			return fmt.Errorf("time column %q holds %ss (such as %q), expected dates or times", o.Time, c.Type, example(c))
		}
		inf.Time = o.Time
		return nil
	}
	var found []string
	for _, c := range t.Columns() {
		if c.Type == table.Time && !slices.Contains(o.Drop, c.Name) && !allMissing(c) {
			found = append(found, c.Name)
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
