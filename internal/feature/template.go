package feature

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// NewTemplate locks what was inferred over the rows of t, with the given
// calendar operations on every time column. Levels are sorted, so that the
// template does not depend on the order of rows. The template is sealed.
func NewTemplate(t *table.Table, inf *Inferred, calendar []schema.Op) *schema.Template {
	tmpl := &schema.Template{Task: inf.Task, Target: inf.Target, Time: inf.Time, Classes: inf.Classes}
	for _, ch := range inf.Choices {
		c := t.Column(ch.Name)
		if !ch.Use {
			tmpl.Ignored = append(tmpl.Ignored, ch.Name)
			continue
		}
		tmpl.Columns = append(tmpl.Columns, describe(c, ch.Kind))
	}
	tmpl.Features = Features(tmpl.Columns, calendar)
	tmpl.Seal()
	return tmpl
}

// Features derives the features of columns in their order, with the given
// calendar operations on every time column.
func Features(columns []schema.Column, calendar []schema.Op) []schema.Feature {
	var out []schema.Feature
	for _, c := range columns {
		switch c.Kind {
		case schema.Numeric, schema.Boolean:
			out = append(out, schema.Feature{Name: c.Name, Source: c.Name, Op: schema.Value})
		case schema.Categorical:
			out = append(out, schema.Feature{Name: c.Name, Source: c.Name, Op: schema.Level})
		case schema.Time:
			for _, op := range calendar {
				if op == schema.Hour && c.DateOnly {
					continue
				}
				out = append(out, schema.Feature{Name: c.Name + "." + string(op), Source: c.Name, Op: op})
			}
		}
	}
	return out
}

func describe(c *table.Column, kind schema.Kind) schema.Column {
	out := schema.Column{Name: c.Name, Kind: kind}
	for i := range c.Len() {
		if c.Missing(i) {
			out.Missing = true
			break
		}
	}
	switch kind {
	case schema.Categorical:
		out.Levels = distinct(c, c.Len()+1)
		slices.Sort(out.Levels)
	case schema.Numeric:
		describeNumbers(c, &out)
	case schema.Time:
		out.DateOnly = true
		for _, us := range c.Times {
			if us != table.NoTime && us%int64(dayMicros) != 0 {
				out.DateOnly = false
				break
			}
		}
	}
	return out
}

func describeNumbers(c *table.Column, out *schema.Column) {
	lo, hi, whole := math.Inf(1), math.Inf(-1), true
	for _, v := range c.Floats {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
		whole = whole && v == math.Trunc(v)
	}
	if lo <= hi {
		out.Min, out.Max, out.Integer = &lo, &hi, whole
	}
}

// Calendar are the operations that a template applies to its time columns.
func Calendar(t *schema.Template) []schema.Op {
	var ops []schema.Op
	for _, f := range t.Features {
		if slices.Contains(schema.Calendar(), f.Op) && !slices.Contains(ops, f.Op) {
			ops = append(ops, f.Op)
		}
	}
	return ops
}

// FromTemplate is the decision that a template was made of, for learning
// again from columns of the same kinds.
func FromTemplate(t *schema.Template) *Inferred {
	inf := &Inferred{Target: t.Target, Time: t.Time, Task: t.Task, Classes: t.Classes}
	for _, c := range t.Columns {
		inf.Choices = append(inf.Choices, Choice{Name: c.Name, Kind: c.Kind, Use: true, Why: "as in the version before"})
	}
	for _, name := range t.Ignored {
		inf.Choices = append(inf.Choices, Choice{Name: name, Why: "left out as in the version before"})
	}
	return inf
}
