package heal

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// CauseKind is what may lie behind a change.
type CauseKind string

// The causes that [Diagnose] tells apart. NotSure is none: it is what is left
// when the evidence does not tell the two likeliest apart.
const (
	DataFault      CauseKind = "data_fault"      // a feed is broken: the inputs are not what they say
	CovariateShift CauseKind = "covariate_shift" // the inputs moved, what follows from them did not
	TargetShift    CauseKind = "target_shift"    // the target moved as a whole, whatever the inputs
	ConceptShift   CauseKind = "concept_shift"   // what follows from the inputs changed
	SeasonSeen     CauseKind = "season"          // the same weeks of an earlier year looked like this
	PoisonedLabels CauseKind = "poisoned_labels" // a part of the actuals of some batches is wrong
	LateLabels     CauseKind = "late_labels"     // actuals stay away
	NoCause        CauseKind = "nothing"
	NotSure        CauseKind = "not_sure"
)

// Cause is one explanation.
type Cause struct {
	Kind        CauseKind `json:"kind"`
	Probability float64   `json:"probability"` // of all causes they add up to 1
	// Form says which fault of the data it is, as drift reports name it, or
	// that rows were "repeated", say; empty of other causes.
	Form     string   `json:"form,omitempty"`
	Columns  []string `json:"columns,omitempty"` // in which it sits
	Segment  string   `json:"segment,omitempty"` // the part of the rows in which it sits, in words
	Evidence []string `json:"evidence"`          // sentences with numbers
	// Harmless says that inputs moved on which the model hardly rests.
	Harmless bool `json:"harmless,omitempty"`
}

// Diagnosis is the causes, the likeliest first, and what they rest on, from
// which [Diagnose] computes them again.
type Diagnosis struct {
	Causes []Cause `json:"causes"`
	Signs  Signs   `json:"signs"`
}

// Signs are what a diagnosis rests on. Parts that are not known are nil or
// empty, and say nothing for or against any cause.
type Signs struct {
	Rows    int         `json:"rows"` // of the window
	Faults  []FaultSign `json:"faults"`
	Inputs  []InputSign `json:"inputs"` // every column that was compared
	Arrival *Arrival    `json:"arrival,omitempty"`
	Season  *Season     `json:"season,omitempty"`
	// Relation is what labelled rows of the window say.
	Relation *Relation `json:"relation,omitempty"`
	// Together is the p-value of a classifier that tells the window from the
	// reference by all columns; nil when none was asked.
	Together *float64 `json:"together,omitempty"`
}

// FaultSign is a fault of the feed that was found.
type FaultSign struct {
	Column string `json:"column,omitempty"` // empty: the whole table
	Kind   string `json:"kind"`
	Detail string `json:"detail"` // a sentence
	// Part says that it was found in a part of the window only.
	Part bool `json:"part,omitempty"`
}

// InputSign is how one column moved.
type InputSign struct {
	Column string  `json:"column"`
	P      float64 `json:"p_value"` // of its comparison with the reference, in [0, 1]
	Drift  bool    `json:"drift"`
	Text   string  `json:"text,omitempty"` // what became of it, when it drifted
	// Importance is the column's part in the model's gain, in [0, 1]; 1 when it
	// is not known.
	Importance float64 `json:"importance"`
}

// prior are the odds before anything is seen: that something happened at all
// is as likely as not, since somebody or something asked.
var prior = []struct {
	kind  CauseKind
	share float64
}{
	{NoCause, 0.55}, {CovariateShift, 0.14}, {DataFault, 0.08}, {TargetShift, 0.06},
	{ConceptShift, 0.07}, {SeasonSeen, 0.05}, {PoisonedLabels, 0.025}, {LateLabels, 0.025},
}

// chances are how often each sign is there under each cause: the stated, and
// on purpose weak, knowledge of the diagnosis. A sign's Bayes factor is mixed
// with 1 by them, so that no sign can rule a cause out for more than the log of
// its chance.
type chances struct {
	fault  float64 // a fault of the feed is found
	inputs float64 // columns without a fault move
	// How the labels stand to the predictions: as before, moved as a whole,
	// moved by the inputs, spoilt in part. They add up to 1.
	same, target, concept, spoilt float64
	late                          float64 // actuals are overdue
}

func chancesOf(k CauseKind) chances {
	switch k {
	case DataFault:
		return chances{fault: 0.9, inputs: 0.15, same: 0.4, target: 0.2, concept: 0.35, spoilt: 0.05, late: 0.003}
	case CovariateShift:
		return chances{fault: 0.01, inputs: 0.95, same: 0.978, target: 0.005, concept: 0.015, spoilt: 0.002, late: 0.003}
	case TargetShift:
		return chances{fault: 0.01, inputs: 0.15, same: 0.05, target: 0.923, concept: 0.025, spoilt: 0.002, late: 0.003}
	case ConceptShift:
		return chances{fault: 0.01, inputs: 0.1, same: 0.05, target: 0.03, concept: 0.918, spoilt: 0.002, late: 0.003}
	case SeasonSeen:
		return chances{fault: 0.01, inputs: 0.6, same: 0.5, target: 0.4, concept: 0.09, spoilt: 0.01, late: 0.003}
	case PoisonedLabels:
		return chances{fault: 0.005, inputs: 0.05, same: 0.04, target: 0.04, concept: 0.02, spoilt: 0.9, late: 0.003}
	case LateLabels:
		return chances{fault: 0.005, inputs: 0.05, same: 0.963, target: 0.02, concept: 0.015, spoilt: 0.002, late: 0.98}
	}
	return chances{fault: 0.005, inputs: 0.02, same: 0.973, target: 0.01, concept: 0.015, spoilt: 0.002, late: 0.003}
}

// sure is how many times as likely as the second the first cause must be to
// stand before NotSure: "substantial" evidence in Kass and Raftery's terms lies
// between 3 and 20.
const sure = 5

// Diagnose weighs the causes by Bayes' rule, taking the signs as independent
// given the cause, and returns all of them, the likeliest first; equals are in
// the order of their kinds. The probabilities add up to 1. NotSure takes from
// each the share √(p₂/p₁)/√sure of the first two, so that it comes first unless
// the first cause is some sure times as likely as the second.
func Diagnose(s Signs) []Cause {
	moved := s.moved()
	logs := make([]float64, len(prior))
	top := math.Inf(-1)
	for i, h := range prior {
		logs[i] = math.Log(h.share) + s.logLikelihood(h.kind, moved)
		top = max(top, logs[i])
	}
	causes := make([]Cause, 0, len(prior)+1)
	sum := 0.0
	for i, h := range prior {
		c := Cause{Kind: h.kind, Probability: math.Exp(logs[i] - top)}
		sum += c.Probability
		s.tell(&c, moved)
		causes = append(causes, c)
	}
	for i := range causes {
		causes[i].Probability /= sum
	}
	rank(causes)
	first, second := causes[0].Probability, causes[1].Probability
	doubt := doubtOf(first, second)
	unsure := Cause{Kind: NotSure, Probability: doubt, Evidence: []string{fmt.Sprintf("%s is %s times as likely as %s", causes[0].Kind.words(), short(first/second), causes[1].Kind.words())}}
	for i := range causes {
		causes[i].Probability *= 1 - doubt
	}
	causes = append(causes, unsure)
	rank(causes)
	return causes
}

// doubtOf is the q that makes p₁(1−q) = q where p₁ = sure·p₂ and nothing else
// is left; it grows with p₂/p₁ and is 0 where p₂ is.
func doubtOf(first, second float64) float64 {
	edge := float64(sure) / (2*sure + 1) // q at p₁ = sure·p₂ = sure/(sure+1)
	return min(edge*math.Sqrt(sure*second/first), 0.9)
}

func rank(causes []Cause) {
	slices.SortStableFunc(causes, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(a.Kind, b.Kind))
	})
}

// logLikelihood is of the signs under a cause, up to a constant that all causes
// share.
func (s Signs) logLikelihood(k CauseKind, moved float64) float64 {
	c := chancesOf(k)
	l := math.Log(1 - c.fault)
	if len(s.Faults) > 0 {
		l = math.Log(c.fault)
	}
	l += mix(c.inputs, moved)
	if r := s.Relation; r != nil {
		target, concept, spoilt := r.factors()
		l += logSum(math.Log(c.same), math.Log(c.target)+target, math.Log(c.concept)+concept, math.Log(c.spoilt)+spoilt)
	}
	if a := s.Arrival; a != nil {
		l += mix(c.late, a.logFactor())
	}
	if k == SeasonSeen {
		l += s.Season.logFactor()
	}
	return l
}

// most bounds the log of any one sign's Bayes factor: a model of the world that
// is this simple is never surer.
const most = 12

func clip(l float64) float64 { return max(-most, min(most, l)) }

// mix is the log of the Bayes factor of a sign that is there with the given
// chance.
func mix(chance, logFactor float64) float64 {
	return logSum(math.Log(1-chance), math.Log(chance)+clip(logFactor))
}

// logSum is log Σ exp; the greatest must be finite.
func logSum(v ...float64) float64 {
	top := slices.Max(v)
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum)
}

// alternative is the exponent of the p-value's density under a change,
// a·p^(a−1) (Sellke, Bayarri and Berger 2001): half of all changes have p below
// .03.
const alternative = 0.2

// moved is the log of the Bayes factor for a change in the columns that have no
// fault, by the least p-value among them and, when none has one, the
// classifier's, corrected for their number (Šidák). 0 when nothing was compared.
func (s Signs) moved() float64 {
	least, n := math.NaN(), 0
	for _, in := range s.Inputs {
		if s.faulty(in.Column) || math.IsNaN(in.P) {
			continue
		}
		n++
		if n == 1 || in.P < least {
			least = in.P
		}
	}
	if t := s.Together; t != nil && len(s.Faults) == 0 {
		if n++; n == 1 || *t < least {
			least = *t
		}
	}
	if n == 0 || math.IsNaN(least) {
		return 0
	}
	// 1−(1−p)ⁿ without loss for small p.
	p := -math.Expm1(float64(n) * math.Log1p(-min(least, 1-1e-12)))
	return pFactor(p)
}

// pFactor is the log of the Bayes factor of a p-value.
func pFactor(p float64) float64 {
	return math.Log(alternative) + (alternative-1)*math.Log(max(p, 1e-12))
}

func (s Signs) faulty(column string) bool {
	return slices.ContainsFunc(s.Faults, func(f FaultSign) bool { return f.Column == column })
}
