package feature

import (
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Inference is [Infer] for a table whose columns come in parts.
type Inference struct {
	o       InferOptions
	step    int // every step-th row is kept to look for leaks
	columns []summary
}

// NewInference prepares for the named columns of so many rows. The errors are
// those of Infer for unknown names.
func NewInference(names []string, rows int, o InferOptions) (*Inference, error) {
	for _, list := range [][]string{{o.Target}, o.Categorical, o.Text, o.Drop, o.Keep, nonEmpty(o.Time)} {
		for _, n := range list {
			if !slices.Contains(names, n) {
				return nil, unknownColumn(n, o.Target, names)
			}
		}
	}
	in := &Inference{o: o, step: max(1, rows/leakRows), columns: make([]summary, len(names))}
	for i, n := range names {
		in.columns[i] = summary{name: n}
	}
	return in, nil
}

// Add takes in the values of column i from row on. The parts of a column must
// come in order and have one type; codes must mean the same in all. Different
// columns may be added at the same time. Nothing of c is kept.
func (in *Inference) Add(i, row int, c *table.Column) { in.columns[i].add(c, row, in.step) }

// Infer decides, given the whole target column, when all values were added.
func (in *Inference) Infer(target *table.Column) (*Inferred, error) {
	inf := &Inferred{Target: in.o.Target}
	if err := inf.task(target, in.o.Task); err != nil {
		return nil, err
	}
	for i := range in.columns {
		if s := &in.columns[i]; s.name != in.o.Target {
			inf.Choices = append(inf.Choices, s.choose(in.o))
		}
	}
	if err := inf.time(in.columns, in.o); err != nil {
		return nil, err
	}
	inf.leaks(in.columns, in.o.Keep)
	if !slices.ContainsFunc(inf.Choices, func(c Choice) bool { return c.Use && c.Kind != schema.Text }) {
		return nil, fmt.Errorf("%w: %s", ErrNoFeatures, inf.reasons())
	}
	return inf, nil
}

// summary is what a decision about a column needs to know of its values.
type summary struct {
	name    string
	typ     table.Type
	n       int    // values that are not missing
	example string // the first of them

	// Strings.
	length int // bytes of all
	levels int
	known  []bool // by code

	// Numbers.
	last, lo, hi    float64
	fractions, gaps bool      // some value is no whole number; some row is not 1 more than the one before
	identifies      bool      // the name is one of an identifier
	whole           []float64 // then: its values, while all are whole numbers
	sampled         []float64 // every step-th value
}

func (s *summary) add(c *table.Column, row, step int) {
	if s.typ == 0 {
		s.typ, s.lo, s.hi = c.Type, math.Inf(1), math.Inf(-1)
		s.identifies = c.Type == table.Float && idName.MatchString(s.name)
	}
	if s.n == 0 {
		s.example = example(c)
	}
	switch c.Type {
	case table.String:
		s.addCodes(c)
	case table.Time:
		for _, t := range c.Times {
			if t != table.NoTime {
				s.n++
			}
		}
	default:
		s.addNumbers(c.Floats)
		for i := (step - row%step) % step; i < len(c.Floats); i += step {
			s.sampled = append(s.sampled, c.Floats[i])
		}
	}
}

func (s *summary) addCodes(c *table.Column) {
	if n := len(c.Dict) - len(s.known); n > 0 {
		s.known = append(s.known, make([]bool, n)...)
	}
	for _, k := range c.Codes {
		if k < 0 {
			continue
		}
		s.n++
		s.length += len(c.Dict[k])
		if !s.known[k] {
			s.known[k] = true
			s.levels++
		}
	}
}

func (s *summary) addNumbers(values []float64) {
	for i, v := range values {
		if s.fractions && s.gaps {
			s.addMeasured(values[i:])
			break
		}
		if math.IsNaN(v) {
			s.gaps = true
			continue
		}
		s.n++
		s.fractions = s.fractions || v != math.Trunc(v)
		s.gaps = s.gaps && s.n > 1 || s.n > 1 && v != s.last+1
		s.last = v
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
	}
	if s.fractions || !s.identifies {
		s.whole = nil
		return
	}
	for _, v := range values {
		if !math.IsNaN(v) {
			s.whole = append(s.whole, v)
		}
	}
}

// addMeasured takes in numbers when it is clear that they are neither whole
// nor count the rows.
func (s *summary) addMeasured(values []float64) {
	n, lo, hi := 0, s.lo, s.hi
	for _, v := range values {
		if v == v {
			n++
		}
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	s.n, s.lo, s.hi = s.n+n, lo, hi
}

// unique reports whether no number of an identifier comes twice.
func (s *summary) unique() bool {
	slices.Sort(s.whole)
	for i := range len(s.whole) - 1 {
		if s.whole[i] == s.whole[i+1] {
			return false
		}
	}
	return true
}

var idName = regexp.MustCompile(`(?i)(^|[_\s.-])(id|uuid|guid|key|index|rownum|row_number|unnamed_0)$`)

// choose decides about one column by itself.
func (s *summary) choose(o InferOptions) Choice {
	ch := Choice{Name: s.name, Kind: kindOf(s.typ), Use: true}
	leave := func(why string) Choice { ch.Use = false; ch.Why = why; return ch }
	switch {
	case slices.Contains(o.Drop, s.name):
		return leave("left out as asked for")
	case slices.Contains(o.Text, s.name):
		ch.Kind = schema.Text
		ch.Why = "text as asked for: logged, not learnt from"
		return ch
	case slices.Contains(o.Categorical, s.name) && s.typ != table.Time:
		ch.Kind = schema.Categorical
		ch.Why = "categories as asked for"
		return ch
	case s.n == 0:
		return leave("every value is missing")
	case s.name == "prediction_id":
		return leave("identifies a prediction")
	}
	switch s.typ {
	case table.String:
		ch = s.chooseString(ch)
	case table.Time:
		ch.Why = "times; calendar features are chosen when training"
	case table.Bool:
		ch.Why = "true or false"
	default:
		ch = s.chooseNumber(ch)
	}
	if slices.Contains(o.Keep, s.name) && !ch.Use {
		ch.Use, ch.Why = true, "kept as asked for ("+ch.Why+")"
		if ch.Kind == schema.Text {
			ch.Kind = schema.Categorical
		}
	}
	return ch
}

func (s *summary) chooseString(ch Choice) Choice {
	text := func(why string) Choice { ch.Kind, ch.Use, ch.Why = schema.Text, false, why; return ch }
	switch {
	case s.levels > 20 && s.levels == s.n:
		return text("an identifier: no value comes twice")
	case s.levels > 100 && s.levels > s.n/2:
		return text(fmt.Sprintf("text or an identifier: %d different values in %d rows", s.levels, s.n))
	case s.levels > 20 && s.length/s.n > textLength:
		return text("free text")
	}
	ch.Why = fmt.Sprintf("%d different names", s.levels)
	return ch
}

func (s *summary) chooseNumber(ch Choice) Choice {
	whole := !s.fractions
	switch {
	case s.n > 20 && whole && !s.gaps:
		ch.Use, ch.Why = false, "counts the rows: 1 more in each"
	case s.n > 20 && whole && s.identifies && s.unique():
		ch.Use, ch.Why = false, "an identifier: whole numbers, none twice"
	case s.lo == s.hi:
		ch.Why = fmt.Sprintf("numbers; always %v here, kept in case it comes alive", s.lo)
	case whole:
		ch.Why = fmt.Sprintf("whole numbers from %v to %v", s.lo, s.hi)
	default:
		ch.Why = fmt.Sprintf("numbers from %.4g to %.4g", s.lo, s.hi)
	}
	return ch
}
