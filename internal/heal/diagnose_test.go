package heal_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
)

// TestDiagnoseCases: one sign at a time, and none.
func TestDiagnoseCases(t *testing.T) {
	quiet := []heal.InputSign{{Column: "price", P: 0.6}, {Column: "region", P: 0.4}}
	for name, c := range map[string]struct {
		signs heal.Signs
		want  heal.CauseKind
	}{
		"a calm world":            {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: -3, Concept: -4, Spoilt: -3}}, heal.NoCause},
		"prices in cents":         {heal.Signs{Inputs: []heal.InputSign{{Column: "price", P: 0, Drift: true}}, Faults: []heal.FaultSign{{Column: "price", Kind: "unit"}}}, heal.DataFault},
		"prices rose":             {heal.Signs{Inputs: []heal.InputSign{{Column: "price", P: 1e-9, Drift: true}}, Relation: &heal.Relation{Rows: 500, Target: -3, Concept: -4, Spoilt: -3}}, heal.CovariateShift},
		"everybody buys more":     {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: 40, Concept: 36, Spoilt: -3}}, heal.TargetShift},
		"one region turns":        {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: -2, Concept: 20, Spoilt: 1}}, heal.ConceptShift},
		"a week of wrong labels":  {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: 1, Concept: -3, Spoilt: 60}}, heal.PoisonedLabels},
		"labels stay away":        {heal.Signs{Inputs: quiet, Arrival: &heal.Arrival{Due: 500, Arrived: 20, Usual: 0.95}}, heal.LateLabels},
		"December again":          {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: 5, Concept: 1, Spoilt: -3}, Season: &heal.Season{Period: "year", Traits: []heal.Trait{{Of: "the target", Now: 9, Then: 9.2, Spread: 2}, {Of: "traffic", Now: 5, Then: 5.5, Spread: 1.5}}}}, heal.SeasonSeen},
		"a December of its own":   {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: 15, Concept: 9, Spoilt: -3}, Season: &heal.Season{Period: "year", Traits: []heal.Trait{{Of: "the target", Now: 9, Then: 0.2, Spread: 2}}}}, heal.TargetShift},
		"two signs that disagree": {heal.Signs{Inputs: quiet, Relation: &heal.Relation{Rows: 500, Target: 12, Concept: 12.3, Spoilt: -3}}, heal.NotSure},
		"hardly a sign":           {heal.Signs{Inputs: []heal.InputSign{{Column: "price", P: 0.01}}}, heal.NotSure},
	} {
		if got := heal.Diagnose(c.signs)[0]; got.Kind != c.want {
			t.Errorf("%s: %s, expected %s", name, got.Kind, c.want)
		}
	}
}

// TestHarmless: a column on which the model does not rest may move.
func TestHarmless(t *testing.T) {
	for weight, want := range map[float64]bool{0.001: true, 0.4: false} {
		first := heal.Diagnose(heal.Signs{Inputs: []heal.InputSign{{Column: "shoe size", P: 1e-9, Drift: true, Importance: weight}}})[0]
		if first.Kind != heal.CovariateShift || first.Harmless != want {
			t.Errorf("importance %v: %+v", weight, first)
		}
	}
}

// TestDiagnoseIsADistribution: whatever the signs, the probabilities are
// numbers that add up to 1 and are ranked, nothing is cut from the evidence,
// the causes survive their file, and the order of the columns is of no account.
func TestDiagnoseIsADistribution(t *testing.T) {
	number := func(t *rapid.T, name string) float64 {
		return rapid.SampledFrom([]float64{-1e300, -40, -3, -1e-9, 0, 0.5, 4, 12, 90, 1e300}).Draw(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := heal.Signs{}
		for range rapid.IntRange(0, 4).Draw(t, "columns") {
			s.Inputs = append(s.Inputs, heal.InputSign{Column: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "column"), P: rapid.Float64Range(0, 1).Draw(t, "p"), Drift: rapid.Bool().Draw(t, "drift")})
		}
		if rapid.Bool().Draw(t, "faulty") {
			s.Faults = []heal.FaultSign{{Column: "a", Kind: "unit"}}
		}
		if rapid.Bool().Draw(t, "labelled") {
			s.Relation = &heal.Relation{Target: number(t, "target"), Concept: number(t, "concept"), Spoilt: number(t, "spoilt")}
		}
		if rapid.Bool().Draw(t, "arrivals") {
			s.Arrival = &heal.Arrival{Due: rapid.IntRange(0, 1000).Draw(t, "due"), Usual: rapid.Float64Range(0, 1).Draw(t, "usual")}
			s.Arrival.Arrived = rapid.IntRange(0, s.Arrival.Due).Draw(t, "arrived")
		}
		if rapid.Bool().Draw(t, "seasons") {
			s.Season = &heal.Season{Traits: []heal.Trait{{Now: number(t, "now"), Then: number(t, "then"), Spread: rapid.Float64Range(0, 5).Draw(t, "spread")}}}
		}
		causes := heal.Diagnose(s)
		sum := 0.0
		for i, c := range causes {
			sum += c.Probability
			if math.IsNaN(c.Probability) || c.Probability < 0 || c.Evidence == nil || i > 0 && c.Probability > causes[i-1].Probability {
				t.Fatalf("cause %d: %+v", i, c)
			}
		}
		if len(causes) != 9 || math.Abs(sum-1) > 1e-9 {
			t.Fatalf("%d causes of %v in sum", len(causes), sum)
		}
		b, err := json.Marshal(heal.Diagnosis{Causes: causes, Signs: s})
		if err != nil {
			t.Fatal(err)
		}
		var d heal.Diagnosis
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		if again := heal.Diagnose(d.Signs); !reflect.DeepEqual(again, causes) {
			t.Fatalf("from the file follows %+v, expected %+v", again, causes)
		}
		turned := s
		turned.Inputs = nil
		for i := len(s.Inputs) - 1; i >= 0; i-- {
			turned.Inputs = append(turned.Inputs, s.Inputs[i])
		}
		for i, c := range heal.Diagnose(turned) {
			if c.Kind != causes[i].Kind || math.Abs(c.Probability-causes[i].Probability) > 1e-12 {
				t.Fatalf("turned round: %s %v, expected %s %v", c.Kind, c.Probability, causes[i].Kind, causes[i].Probability)
			}
		}
	})
}

// outcomes are rows of a perfect law y = 10·x + noise, or of classes; change
// may spoil a row.
func outcomes(seed uint64, n int, classes bool, change func(i int, x float64, y *float64)) heal.Outcomes {
	rng := rand.New(rand.NewPCG(seed, 1))
	o := heal.Outcomes{Bins: [][]int{nil}}
	for i := range n {
		x := rng.NormFloat64()
		var y, out float64
		if classes {
			out = 1 / (1 + math.Exp(-2*x))
			if rng.Float64() < out {
				y = 1
			}
		} else {
			out = 10 * x
			y = out + rng.NormFloat64()
		}
		change(i, x, &y)
		bin := 0
		if x > 0 {
			bin = 1
		}
		o.Label, o.Output = append(o.Label, y), append(o.Output, out)
		o.Block, o.Bins[0] = append(o.Block, i*8/n), append(o.Bins[0], bin)
	}
	return o
}

// TestRelate: each change of the labels speaks most for what it is; labels that
// are as before speak for nothing. Numbers and classes alike.
func TestRelate(t *testing.T) {
	same := func(int, float64, *float64) {}
	columns := []heal.Binning{{Column: "x", Bins: []string{"low", "high"}}}
	rng := rand.New(rand.NewPCG(5, 5))
	for name, c := range map[string]struct {
		classes bool
		change  func(i int, x float64, y *float64)
		best    string
	}{
		"numbers as before": {false, same, ""},
		"classes as before": {true, same, ""},
		"numbers moved":     {false, func(_ int, _ float64, y *float64) { *y += 1 }, "target"},
		"numbers stretched": {false, func(_ int, _ float64, y *float64) { *y *= 1.2 }, "target"},
		"numbers moved by x": {false, func(_ int, x float64, y *float64) {
			if x > 0 {
				*y -= 2
			}
		}, "concept"},
		"log odds moved by 1": {true, func(_ int, x float64, y *float64) {
			before, after := 1/(1+math.Exp(-2*x)), 1/(1+math.Exp(-2*x-1))
			if *y == 0 && rng.Float64() < (after-before)/(1-before) {
				*y = 1
			}
		}, "target"},
		"classes turned": {true, func(_ int, x float64, y *float64) { *y = 1 - *y }, "concept"},
		"ten times, in a batch": {false, func(i int, _ float64, y *float64) {
			if i/100 == 3 && i%8 == 0 {
				*y *= 10
			}
		}, "spoilt"},
		"turned over, in a batch": {true, func(i int, _ float64, y *float64) {
			if i/100 == 3 && i%3 == 0 {
				*y = 1 - *y
			}
		}, "spoilt"},
	} {
		r := heal.Relate(outcomes(1, 2000, c.classes, same), outcomes(2, 800, c.classes, c.change), columns, c.classes)
		factors := map[string]float64{"": 0, "target": r.Target, "concept": r.Concept, "spoilt": r.Spoilt}
		for other, f := range factors {
			if other != c.best && f >= factors[c.best] {
				t.Errorf("%s: %q has %.2f, %q %.2f", name, other, f, c.best, factors[c.best])
			}
		}
	}
	if r := heal.Relate(outcomes(1, 39, false, same), outcomes(2, 800, false, same), columns, false); r != nil {
		t.Errorf("39 rows say %+v", r)
	}
}

// TestRelateOnNoise: labels that are as before are seldom called anything else,
// and a constant target is no reason to fall over.
func TestRelateOnNoise(t *testing.T) {
	same := func(int, float64, *float64) {}
	columns := []heal.Binning{{Column: "x", Bins: []string{"low", "high"}}}
	for _, classes := range []bool{false, true} {
		wrong := 0
		for seed := range uint64(200) {
			r := heal.Relate(outcomes(2*seed, 1000, classes, same), outcomes(2*seed+1, 400, classes, same), columns, classes)
			if max(r.Target, r.Concept, r.Spoilt) > 2 {
				wrong++
			}
		}
		if wrong > 4 {
			t.Errorf("classes %v: %d of 200 windows of noise have a factor above e²", classes, wrong)
		}
	}
	flat := func(_ int, _ float64, y *float64) { *y = 0 }
	for _, classes := range []bool{false, true} {
		a := outcomes(1, 100, classes, flat)
		for i := range a.Output {
			a.Output[i] = 0
		}
		r := heal.Relate(a, a, columns, classes)
		if v := r.Target + r.Concept + r.Spoilt; math.IsNaN(v) || math.IsInf(v, 0) || max(r.Target, r.Concept, r.Spoilt) > 0 {
			t.Errorf("a constant says %+v", r)
		}
	}
}
