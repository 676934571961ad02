package monitor

import (
	"fmt"
	"math"
	"strings"

	"github.com/healml/healml/internal/present"
)

// conclude sets Drift, Reasons and Verdict from the parts.
func (r *Report) conclude() {
	if r.Skipped == nil {
		r.Skipped = []Skipped{}
	}
	if r.Faults == nil {
		r.Faults = []Fault{}
	}
	r.Reasons = []string{}
	for _, f := range r.Faults {
		r.Reasons = append(r.Reasons, f.String())
	}
	inputs, outputs := r.Ranked, drifted(r.PredictionOrder, r.Prediction)
	for _, name := range inputs {
		if !r.faulty(name) {
			r.Reasons = append(r.Reasons, name+": "+r.Columns[name].Reason)
		}
	}
	for _, name := range outputs {
		r.Reasons = append(r.Reasons, name+": "+r.Prediction[name].Reason)
	}
	worse := r.Performance != nil && r.Performance.Drift
	if worse {
		r.Reasons = append(r.Reasons, r.Performance.String())
	}
	feared := r.Estimate != nil && r.Estimate.Drift && r.Estimate.proven()
	if feared {
		r.Reasons = append(r.Reasons, r.Estimate.String())
	}
	apart := r.Domain != nil && r.Domain.Drift
	if apart {
		r.Reasons = append(r.Reasons, r.Domain.String())
	}
	r.Drift = len(inputs)+len(outputs) > 0 || worse || feared || apart
	r.Verdict = r.sentence(inputs, outputs, worse, feared)
}

// String is the fault in one sentence, with its column before it.
func (f *Fault) String() string {
	if f.Column == "" {
		return f.Detail
	}
	return f.Column + ": " + f.Detail
}

// An estimate is proven, and may raise an alarm by itself, once so many earlier
// ones could be checked and so many of them held.
const (
	provenChecks = 5
	provenShare  = 0.8
)

func (e *Estimate) proven() bool {
	return e.Record != nil && e.Record.Checked >= provenChecks && float64(e.Record.Covered) >= provenShare*float64(e.Record.Checked)
}

func (r *Report) faulty(name string) bool {
	for _, f := range r.Faults {
		if f.Column == name {
			return true
		}
	}
	return false
}

func (r *Report) sentence(inputs, outputs []string, worse, feared bool) string {
	if !r.EnoughRows && !worse && !feared {
		return fmt.Sprintf("Not enough rows for a verdict: %s current and %s reference rows, %d of each are needed.",
			present.Thousands(r.Rows), present.Thousands(r.ReferenceRows), r.Settings.MinRows)
	}
	var parts []string
	if n := len(inputs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d columns drifted (%s)", n, len(r.Columns), list(inputs)))
	}
	if len(outputs) > 0 {
		parts = append(parts, "the predictions drifted ("+list(outputs)+")")
	}
	if worse {
		parts = append(parts, r.Performance.String())
	}
	if feared {
		parts = append(parts, r.Estimate.String())
	}
	if r.Domain != nil && r.Domain.Drift && len(inputs) == 0 {
		parts = append(parts, r.Domain.String())
	}
	s := fmt.Sprintf("No drift in %d columns over %s rows.", len(r.Columns), present.Thousands(r.Rows))
	if len(parts) > 0 {
		s = "Drift: " + strings.Join(parts, "; ") + "."
	}
	if len(r.Faults) > 0 {
		f := r.Faults[0]
		s += fmt.Sprintf(" A data fault is likely: %s.", f.String())
		if more := len(r.Faults) - 1; more > 0 {
			s += fmt.Sprintf(" (%d more)", more)
		}
	}
	if f := r.First; f != nil && f.Drift && len(parts) == 0 {
		s += fmt.Sprintf(" Against the first version's reference (%s): %s", f.Version, strings.TrimPrefix(f.Verdict, "Drift: "))
	}
	return s
}

// numberReason names the first of: a constant, the middle, the spread, one
// value, the mean.
func (c *Column) numberReason(strongest string) string {
	q := func(at float64) Quantile {
		for _, q := range c.Quantiles {
			if q.Q == at {
				return q
			}
		}
		return Quantile{}
	}
	median, box := q(0.5), float64(q(0.75).Then-q(0.25).Then)
	moved := math.Abs(float64(median.Now - median.Then))
	switch {
	case c.Std.Now == 0:
		return fmt.Sprintf("every value is %s; the mean was %s", present.Short(float64(median.Now)), present.Short(float64(c.Mean.Then)))
	case moved > 0 && (moved > box/4 || strongest == "location"):
		return fmt.Sprintf("the median went from %s to %s", present.Short(float64(median.Then)), present.Short(float64(median.Now)))
	case strongest == "spread":
		return fmt.Sprintf("the standard deviation went from %s to %s", present.Short(float64(c.Std.Then)), present.Short(float64(c.Std.Now)))
	case strongest == "spike":
		return "some values are far more or less frequent than they were"
	}
	return fmt.Sprintf("the mean went from %s to %s", present.Short(float64(c.Mean.Then)), present.Short(float64(c.Mean.Now)))
}

// list joins up to four names.
func list(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ")
}
