// Package repair undoes what a broken feed did to rows before they are
// predicted or learnt from.
//
// A [Step] undoes one fault of one column: values in another unit are scaled
// back, a renamed level is read as what it was called before, or a column that
// cannot be trusted is read as missing. [Table] and [Plan.Row] take steps;
// package inspect finds out which are called for. The rows that are logged stay
// as they were given.
//
// Scaling and renaming bend what a client sent, so both have to be allowed. A
// value is scaled only where that makes it likelier, and a level is renamed
// only if both names are alike and nothing else could be meant: rows of a feed
// that is sound again, and of a sound feed beside a broken one, pass through.
package repair

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/table"
)

// Kind is what a step does.
type Kind string

// The kinds of a [Step].
const (
	Scale      Kind = "scale"      // numbers are divided by Factor
	Rename     Kind = "rename"     // New is read as Old
	Quarantine Kind = "quarantine" // the column is read as missing
)

// Step undoes one fault of one column.
type Step struct {
	Column string `json:"column"`
	Kind   Kind   `json:"kind"`
	// Factor divides, of a Scale, the values that came bent: those outside Low
	// and High, between which nearly all of the reference lies, that come to lie
	// inside. Of those that are inside either way, or outside, and when Low and
	// High are not known, both 0, it is those that come closer to Median, that of
	// the reference, in logarithms. Factor and Median are above 0.
	Factor float64 `json:"factor,omitempty"`
	Median float64 `json:"median,omitempty"`
	Low    float64 `json:"low,omitempty"`
	High   float64 `json:"high,omitempty"`
	Old    string  `json:"old,omitempty"` // of a Rename
	New    string  `json:"new,omitempty"`
	Why    string  `json:"why"` // the fault, one sentence
}

// scaled is v as the step reads it.
func (s *Step) scaled(v float64) (float64, bool) {
	if !(s.bent(v) > 0) { // NaN where signs differ
		return v, false
	}
	return v / s.Factor, true
}

// bent is above 0 when v is likelier to have come bent than not: by how much
// closer to the median it comes, in logarithms, at most the factor's. NaN when v
// cannot tell: it is missing, 0, or of the other sign.
func (s *Step) bent(v float64) float64 {
	back := v / s.Factor
	sure := math.Abs(math.Log(s.Factor))
	if s.Low != 0 || s.High != 0 {
		switch as, is := s.Low <= v && v <= s.High, s.Low <= back && back <= s.High; {
		case as && !is:
			return -sure
		case is && !as:
			return sure
		}
	}
	return max(-sure, min(sure, math.Abs(math.Log(v/s.Median))-math.Abs(math.Log(back/s.Median))))
}

// Run is the stretch of values, from lo to before hi, which are together the
// likeliest to have come bent, of a fault that begins and ends once: outside it a
// value that is as far from the median may well be right. Empty when none is.
func (s *Step) Run(values []float64) (lo, hi int) {
	sum, best, from := 0.0, 0.0, 0
	for i, v := range values {
		gain := s.bent(v)
		if math.IsNaN(gain) {
			continue
		}
		if sum <= 0 {
			sum, from = 0, i
		}
		if sum += gain; sum > best {
			best, lo, hi = sum, from, i+1
		}
	}
	return lo, hi
}

// Table is t with the steps taken in the rows that keep picks, in all of them
// when keep is nil. What is not changed is shared with t. changed tells the
// rows that were; nil when none was. counts has how many each step changed. A
// column that t does not have, or has in a type that the step does not fit, is
// passed over.
func Table(t *table.Table, steps []Step, keep []bool) (out *table.Table, changed []bool, counts []int) {
	cols := slices.Clone(t.Columns())
	counts = make([]int, len(steps))
	for i := range steps {
		at := slices.IndexFunc(cols, func(c *table.Column) bool { return c.Name == steps[i].Column })
		if at < 0 {
			continue
		}
		next, rows := steps[i].column(cols[at], keep)
		if len(rows) == 0 {
			continue
		}
		cols[at], counts[i] = next, len(rows)
		if changed == nil {
			changed = make([]bool, t.NumRows())
		}
		for _, r := range rows {
			changed[r] = true
		}
	}
	if changed == nil {
		return t, nil, counts
	}
	return table.Must(cols...), changed, counts // as many rows under the same names
}

// column is c with the step taken, and the rows that it changed.
func (s *Step) column(c *table.Column, keep []bool) (next *table.Column, rows []int) {
	next = &table.Column{Name: c.Name, Type: c.Type, Dict: c.Dict, Floats: slices.Clone(c.Floats), Codes: slices.Clone(c.Codes), Times: slices.Clone(c.Times)}
	read := s.reader(next)
	for i := range c.Len() {
		if (keep == nil || keep[i]) && !c.Missing(i) && read(i) {
			rows = append(rows, i)
		}
	}
	return next, rows
}

// reader reads value i of c, which is there, as the step has it, in place, and
// says whether it is another now.
func (s *Step) reader(c *table.Column) func(i int) bool {
	switch {
	case s.Kind == Quarantine && c.Type == table.String:
		return func(i int) bool { c.Codes[i] = -1; return true }
	case s.Kind == Quarantine && c.Type == table.Time:
		return func(i int) bool { c.Times[i] = table.NoTime; return true }
	case s.Kind == Quarantine:
		return func(i int) bool { c.Floats[i] = math.NaN(); return true }
	case s.Kind == Scale && c.Type == table.Float:
		return func(i int) (ok bool) { c.Floats[i], ok = s.scaled(c.Floats[i]); return ok }
	case s.Kind == Rename && c.Type == table.String:
		old, fresh := int32(slices.Index(c.Dict, s.Old)), int32(slices.Index(c.Dict, s.New))
		if old < 0 {
			old = int32(len(c.Dict))
			c.Dict = append(slices.Clip(c.Dict), s.Old)
		}
		return func(i int) bool {
			if c.Codes[i] != fresh {
				return false
			}
			c.Codes[i] = old
			return true
		}
	}
	return func(int) bool { return false }
}
