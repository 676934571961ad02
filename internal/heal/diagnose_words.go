package heal

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

func (k CauseKind) words() string { return strings.ReplaceAll(string(k), "_", " ") }

// harmlessImportance is the part of the model's gain below which it does well
// without a column.
const harmlessImportance = 0.02

// tell puts into words what of the signs bears on a cause.
func (s Signs) tell(c *Cause, moved float64) {
	c.Evidence = []string{}
	switch c.Kind {
	case DataFault:
		s.tellFaults(c)
	case CovariateShift:
		s.tellInputs(c, moved)
	case TargetShift, ConceptShift, PoisonedLabels:
		s.Relation.tell(c)
	case SeasonSeen:
		s.Season.tell(c)
	case LateLabels:
		s.Arrival.tell(c)
	case NoCause:
		s.tellNothing(c, moved)
	}
}

func (s Signs) tellFaults(c *Cause) {
	if len(s.Faults) == 0 {
		c.say("no fault of the feed was found")
	}
	for i, f := range s.Faults {
		if i == 0 {
			c.Form = f.Kind
		}
		name := ""
		if f.Column != "" {
			name = f.Column + ": "
			if !slices.Contains(c.Columns, f.Column) {
				c.Columns = append(c.Columns, f.Column)
			}
		}
		part := ""
		if f.Part {
			part = ", in a part of the window"
		}
		c.say("%s%s%s", name, f.Detail, part)
	}
}

func (s Signs) tellInputs(c *Cause, moved float64) {
	weight := 0.0
	for _, in := range s.Inputs {
		if in.Drift && !s.faulty(in.Column) {
			c.Columns = append(c.Columns, in.Column)
			weight += in.Importance
			c.say("%s: %s (p = %s; %s of the model rests on it)", in.Column, in.Text, short(in.P), percent(in.Importance))
		}
	}
	if len(c.Columns) == 0 {
		c.say("no column without a fault moved")
	}
	c.Harmless = len(c.Columns) > 0 && weight < harmlessImportance
	if r := s.Relation; r != nil && len(c.Columns) > 0 {
		c.say("where inputs are as known, the labels stand to the predictions as before: %s of residuals, %s before", short(r.Bias.Now), short(r.Bias.Then))
	}
	c.say("log of the Bayes factor for inputs that moved: %s", short(moved))
}

func (s Signs) tellNothing(c *Cause, moved float64) {
	c.say("log of the Bayes factor for inputs that moved: %s", short(moved))
	if r := s.Relation; r != nil {
		c.say("and for labels that stand otherwise to the predictions: %s as a whole, %s by the inputs, %s in some batches, on %d rows",
			short(r.Target), short(r.Concept), short(r.Spoilt), r.Rows)
	} else {
		c.say("too few labels came in to say how they stand to the predictions")
	}
}

func (r *Relation) tell(c *Cause) {
	if r == nil {
		c.say("too few labels came in to say how they stand to the predictions")
		return
	}
	switch c.Kind {
	case TargetShift:
		c.say("the target's mean went from %s to %s, and label less prediction from %s to %s, on %d rows", short(r.Label.Then), short(r.Label.Now), short(r.Bias.Then), short(r.Bias.Now), r.Rows)
		c.say("log of the Bayes factor for one move of the whole: %s, with rows counting for 1/%s each", short(r.Target), short(r.Design))
	case ConceptShift:
		c.Segment = r.where()
		if r.Column != "" {
			c.Columns = []string{r.Column}
			c.say("where %s is %s, label less prediction went from %s to %s", r.Column, r.Bin, short(r.BinOf.Then), short(r.BinOf.Now))
		}
		c.say("the mean error went from %s to %s on %d rows", short(r.Error.Then), short(r.Error.Now), r.Rows)
		c.say("log of the Bayes factor for a move by the inputs: %s", short(r.Concept))
	case PoisonedLabels:
		c.say("%s of the labels in %d rows look spoilt, %s before", percent(r.SpoiltShare), r.SpoiltRows, percent(r.SpoiltBefore))
		c.say("log of the Bayes factor: %s", short(r.Spoilt))
	}
}

func (s *Season) tell(c *Cause) {
	if s == nil || len(s.Traits) == 0 {
		c.say("there is no earlier period to compare with")
		return
	}
	c.say("log of the Bayes factor for a window like the same phase one %s before: %s", s.Period, short(s.logFactor()))
	traits := slices.Clone(s.Traits)
	slices.SortStableFunc(traits, func(a, b Trait) int {
		if math.Abs(a.Now) > math.Abs(b.Now) {
			return -1
		}
		return 1
	})
	for _, t := range traits[:min(3, len(traits))] {
		c.say("%s: %s from its mean now, %s then, in standard deviations between periods", t.Of, short(t.Now), short(t.Then))
	}
}

func (a *Arrival) tell(c *Cause) {
	if a == nil {
		c.say("when actuals came in is not known")
		return
	}
	c.say("of %d rows whose actual should be in by now, %d have it in time, %s; usually %s", a.Due, a.Arrived,
		percent(float64(a.Arrived)/float64(max(a.Due, 1))), percent(a.Usual))
}

func (c *Cause) say(format string, args ...any) {
	c.Evidence = append(c.Evidence, fmt.Sprintf(format, args...))
}

// short writes a number with three digits.
func short(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func percent(share float64) string {
	return strconv.FormatFloat(100*share, 'f', 1, 64) + " %"
}

// String is the cause in a few words, with where it sits.
func (c Cause) String() string {
	s := c.Kind.words()
	if c.Form != "" {
		s += " (" + strings.ReplaceAll(c.Form, "_", " ") + ")"
	}
	switch {
	case c.Segment != "":
		s += ", where " + c.Segment
	case len(c.Columns) > 0:
		s += ", in " + strings.Join(c.Columns, ", ")
	}
	return s
}
