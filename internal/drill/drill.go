// Package drill rehearses faults on rows that were really served: it bends a
// copy of them, and judges what healing made of that.
package drill

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/splitmix"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// Kind is what goes wrong.
type Kind string

// The kinds.
const (
	UnitJump Kind = "unit-jump" // a number comes in another unit
	Rename   Kind = "rename"    // every level of a text column is spelt otherwise
	Missing  Kind = "missing"   // a column is empty
	Frozen   Kind = "frozen"    // a column repeats one value
	Concept  Kind = "concept"   // what follows from the inputs turns round, for good
	Poison   Kind = "poison"    // a part of one step's labels is wrong
	Late     Kind = "late"      // labels come in three steps late
)

// Kinds are all of them.
var Kinds = []Kind{UnitJump, Rename, Missing, Frozen, Concept, Poison, Late}

// Fault is one fault and where it sits.
type Fault struct {
	Kind   Kind    `json:"fault"`
	Column string  `json:"column,omitempty"`
	Size   float64 `json:"size,omitempty"`  // factor of a unit jump, and of poisoned numbers
	Share  float64 `json:"share,omitempty"` // of a step's labels that are poisoned
	From   int     `json:"from_step"`
	To     int     `json:"to_step"` // first step after it
	Seed   uint64  `json:"seed"`
}

// LateBy is how many steps late labels are.
const LateBy = 3

// OfFeed reports whether the fault sits in the inputs.
func (k Kind) OfFeed() bool { return k == UnitJump || k == Rename || k == Missing || k == Frozen }

// takes reports whether the fault takes away rows to learn from, or their labels
// for a time.
func (k Kind) takes() bool { return k == Missing || k == Frozen || k == Late }

// Fits reports whether a column of a kind can have the fault.
func (k Kind) Fits(c schema.Kind) bool {
	switch k {
	case UnitJump:
		return c == schema.Numeric
	case Rename:
		return c == schema.Categorical
	case Missing, Frozen:
		return c == schema.Numeric || c == schema.Categorical
	}
	return false
}

// In reports whether the fault is there in a step.
func (f *Fault) In(step int) bool { return step >= f.From && step < f.To }

// Inputs are rows of a step as they come in. rows is left as it is.
func (f *Fault) Inputs(rows *table.Table, step int) (*table.Table, error) {
	if !f.Kind.OfFeed() || !f.In(step) {
		return rows, nil
	}
	var faults []synth.Fault
	switch f.Kind {
	case UnitJump:
		faults = append(faults, synth.Scale(f.Column, f.Size))
	case Missing:
		faults = append(faults, synth.Blank(f.Column))
	case Frozen:
		faults = append(faults, synth.Stick(f.Column))
	case Rename:
		c := rows.Column(f.Column)
		if c == nil || c.Type != table.String {
			return nil, fmt.Errorf("rename: no text column %q", f.Column)
		}
		for _, level := range slices.Clone(c.Dict) {
			faults = append(faults, synth.Rename(f.Column, level, strings.ToUpper(level)+" v2"))
		}
	}
	return synth.Inject(rows, 0, faults...)
}

// Truth is what really happens to the rows of a step: labels by value, or by
// number of the class of k. around is the mean that a turned world turns about.
func (f *Fault) Truth(labels []float64, step, k int, around float64) []float64 {
	if f.Kind != Concept || !f.In(step) {
		return labels
	}
	out := make([]float64, len(labels))
	for i, y := range labels {
		if out[i] = 2*around - y; k > 1 {
			out[i] = float64((int(y) + 1) % k)
		}
	}
	return out
}

// Told is what comes in as the labels of a step, of which truth is so.
func (f *Fault) Told(truth []float64, step, k int) []float64 {
	if f.Kind != Poison || !f.In(step) {
		return truth
	}
	out := slices.Clone(truth)
	for i := range out {
		if float64(splitmix.Mix(f.Seed^uint64(step)<<32^uint64(i))>>11)/(1<<53) >= f.Share {
			continue
		}
		if out[i] *= f.Size; k > 1 {
			out[i] = float64((int(truth[i]) + 1) % k)
		}
	}
	return out
}

// Step is what became of one step: the mean losses of three worlds.
type Step struct {
	Step   int     `json:"step"`
	At     string  `json:"at"`
	Rows   int     `json:"rows"`
	Fault  bool    `json:"fault"`
	Clean  float64 `json:"clean_loss"` // no fault, with healing
	Off    float64 `json:"off_loss"`   // the fault, without healing
	On     float64 `json:"on_loss"`    // the fault, with healing
	Alarm  string  `json:"alarm,omitempty"`
	Cause  string  `json:"cause,omitempty"`
	Action string  `json:"action"`
	Reason string  `json:"reason,omitempty"`
	// Promoted, and whether the rows of the fault were then left out or mended.
	Promoted bool `json:"promoted"`
	Guarded  bool `json:"guarded"`
}

// Bounds are what a drill must hold to pass.
type Bounds struct {
	MaxDelay int     `json:"max_delay"` // steps until a feed's fault, or a turned world, is seen
	MaxAfter float64 `json:"max_after"` // loss after the fault over that without one
}

// Verdict is the outcome.
type Verdict struct {
	Passed bool     `json:"passed"`
	Why    []string `json:"why"`
	// Delay is in steps from the beginning to the first sign; −1: none was seen.
	Delay int `json:"delay"`
	// Early counts alarms before the fault.
	Early int `json:"alarms_before"`
	// Harm is the loss during the fault over that without one, with healing off
	// and on; After the same of up to four steps after it; Avoided the share of
	// the harm of all steps that healing took away, 0 where there was none.
	HarmOff float64 `json:"harm_off"`
	HarmOn  float64 `json:"harm_on"`
	After   float64 `json:"after"`
	Avoided float64 `json:"avoided"`
	// Recovered is how many of up to four steps after the fault pass until the
	// loss is, and stays, within MaxAfter of that without one; −1: it is not by
	// the last of them, or there is no step after it.
	Recovered int `json:"recovered"`
}

// Judge says how the drill went. Labels that are poisoned or late need not be
// noticed, only harmless; in a turned world, which has no after, healing has to
// take a half of the harm away. A fault that takes rows or labels away leaves
// less to learn from in a world that moves meanwhile: after it the loss has to
// come back.
func Judge(f Fault, steps []Step, b Bounds) Verdict {
	v := Verdict{Delay: -1, Passed: true, Why: []string{}}
	for _, s := range steps {
		switch seen := s.Alarm != ""; {
		case seen && s.Step < f.From:
			v.Early++
		case seen && v.Delay < 0:
			v.Delay = s.Step - f.From
		}
		if f.Kind.OfFeed() && f.In(s.Step) && s.Promoted && !s.Guarded {
			v.fail("step %d promoted a version that learnt from the faulty rows", s.Step)
		}
	}
	during := func(s Step) bool { return f.In(s.Step) }
	after := func(s Step) bool { return s.Step >= f.To && s.Step < f.To+4 }
	since := func(s Step) bool { return s.Step >= f.From }
	clean := func(s Step) float64 { return s.Clean }
	off := func(s Step) float64 { return s.Off }
	on := func(s Step) float64 { return s.On }
	v.HarmOff, v.HarmOn = ratio(steps, off, clean, during), ratio(steps, on, clean, during)
	v.After = ratio(steps, on, clean, after)
	v.Recovered = recovered(steps, after, b.MaxAfter)
	base := mean(steps, clean, since)
	if harm := mean(steps, off, since) - base; harm > 0 {
		v.Avoided = (mean(steps, off, since) - mean(steps, on, since)) / harm
	}
	if f.Kind.OfFeed() || f.Kind == Concept {
		if v.Delay < 0 {
			v.fail("the fault was never seen")
		} else if v.Delay > b.MaxDelay {
			v.fail("the fault was seen %d steps after it began, at most %d are allowed", v.Delay, b.MaxDelay)
		}
	}
	switch {
	case f.Kind == Concept && v.Avoided < 0.5:
		v.fail("healing took away %.0f %% of the harm, a half is expected", 100*v.Avoided)
	case f.Kind.takes():
		if v.Recovered < 0 {
			v.fail("the loss does not come back to within %.3g times that without the fault, within four steps after it", b.MaxAfter)
		}
	case f.Kind != Concept && v.After > b.MaxAfter:
		v.fail("after the fault the loss is %.3g times that without one, at most %.3g is allowed", v.After, b.MaxAfter)
	}
	return v
}

// recovered counts steps until the loss stays within most times that without a
// fault; −1 when it does not.
func recovered(steps []Step, after func(Step) bool, most float64) int {
	n, out := 0, -1
	for _, s := range steps {
		if !after(s) {
			continue
		}
		switch back := s.On <= most*s.Clean; {
		case !back:
			out = -1
		case out < 0:
			out = n
		}
		n++
	}
	return out
}

func (v *Verdict) fail(format string, args ...any) {
	v.Passed = false
	v.Why = append(v.Why, fmt.Sprintf(format, args...))
}

// mean is that of a loss over the rows of the steps in; 0 when there are none.
func mean(steps []Step, loss func(Step) float64, in func(Step) bool) float64 {
	sum, n := 0.0, 0.0
	for _, s := range steps {
		if in(s) {
			sum += loss(s) * float64(s.Rows)
			n += float64(s.Rows)
		}
	}
	return sum / math.Max(n, 1)
}

// ratio is of two means; 0 when the second is 0.
func ratio(steps []Step, a, b func(Step) float64, in func(Step) bool) float64 {
	if d := mean(steps, b, in); d > 0 {
		return mean(steps, a, in) / d
	}
	return 0
}
