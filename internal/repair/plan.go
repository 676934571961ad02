package repair

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
)

// Plan takes steps on raw rows of one template. It is immutable.
type Plan struct {
	parts []part
}

type part struct {
	col  int
	step Step
	code float64 // of a Rename: that of Old
}

// NewPlan prepares steps for the rows of an encoder's template; nil when none
// of them is about a column that it knows.
func NewPlan(e *feature.Encoder, steps []Step) *Plan {
	p := &Plan{}
	t := e.Template()
	for _, s := range steps {
		col := t.Column(s.Column)
		if col < 0 {
			continue
		}
		k := part{col: col, step: s}
		switch kind := t.Columns[col].Kind; s.Kind {
		case Scale:
			if kind != schema.Numeric {
				continue
			}
		case Rename:
			known := false
			if kind == schema.Categorical {
				k.code, known = e.Level(col, s.Old)
			}
			if _, taken := e.Level(col, s.New); !known || taken {
				continue // the model knows both, or neither
			}
		}
		p.parts = append(p.parts, k)
	}
	if len(p.parts) == 0 {
		return nil
	}
	return p
}

// Steps are those that the plan takes, one a column and kind; of a nil plan none.
func (p *Plan) Steps() []Step {
	if p == nil {
		return nil
	}
	var out []Step
	for _, k := range p.parts {
		if !slices.ContainsFunc(out, func(s Step) bool { return s.Column == k.step.Column && s.Kind == k.step.Kind }) {
			out = append(out, k.step)
		}
	}
	return out
}

// Row takes the steps on a raw row, in place, and says whether it changed.
// texts are the levels as given; len(raw) and len(texts) are the number of
// columns. It does not allocate.
func (p *Plan) Row(raw []float64, texts []string) (changed bool) {
	for i := range p.parts {
		k := &p.parts[i]
		v := raw[k.col]
		if math.IsNaN(v) {
			continue
		}
		switch k.step.Kind {
		case Scale:
			if back, ok := k.step.scaled(v); ok {
				raw[k.col], changed = back, true
			}
		case Rename:
			if v < 0 && texts[k.col] == k.step.New {
				raw[k.col], changed = k.code, true
			}
		case Quarantine:
			raw[k.col], changed = math.NaN(), true
		}
	}
	return changed
}
