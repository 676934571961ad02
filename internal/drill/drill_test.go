package drill_test

import (
	"math"
	"slices"
	"testing"

	"github.com/healml/healml/internal/drill"
	"github.com/healml/healml/internal/table"
)

func rows() *table.Table {
	return table.Must(table.Floats("price", []float64{1, 2, 3, 4}), table.Strings("region", []string{"north", "south", "north", "west"}))
}

func TestInputs(t *testing.T) {
	for kind, want := range map[drill.Kind][2][]string{
		drill.UnitJump: {{"100", "200", "300", "400"}, nil},
		drill.Missing:  {{"", "", "", ""}, nil},
		drill.Frozen:   {{"1", "1", "1", "1"}, nil},
		drill.Rename:   {nil, {"NORTH v2", "SOUTH v2", "NORTH v2", "WEST v2"}},
		drill.Concept:  {{"1", "2", "3", "4"}, nil},
		drill.Poison:   {{"1", "2", "3", "4"}, nil},
	} {
		column := "price"
		if kind == drill.Rename {
			column = "region"
		}
		f := drill.Fault{Kind: kind, Column: column, Size: 100, From: 3, To: 5}
		for step, bent := range map[int]bool{2: false, 3: true, 4: true, 5: false} {
			got, err := f.Inputs(rows(), step)
			if err != nil {
				t.Fatal(err)
			}
			for k, name := range []string{"price", "region"} {
				expected := want[k]
				if !bent || expected == nil {
					expected = texts(rows().Column(name))
				}
				if have := texts(got.Column(name)); !slices.Equal(have, expected) {
					t.Errorf("%s, step %d: %s is %q, expected %q", kind, step, name, have, expected)
				}
			}
		}
	}
	bad := drill.Fault{Kind: drill.Rename, Column: "price", To: 1}
	if _, err := bad.Inputs(rows(), 0); err == nil {
		t.Error("a number was renamed")
	}
}

func texts(c *table.Column) (out []string) {
	for i := range c.Len() {
		if c.Missing(i) {
			out = append(out, "")
			continue
		}
		out = append(out, c.Format(i))
	}
	return out
}

func TestLabels(t *testing.T) {
	concept := drill.Fault{Kind: drill.Concept, From: 1, To: 9}
	if got := concept.Truth([]float64{1, 5}, 1, 0, 2); !slices.Equal(got, []float64{3, -1}) {
		t.Errorf("turned numbers are %v", got)
	}
	if got := concept.Truth([]float64{0, 2}, 1, 3, 0); !slices.Equal(got, []float64{1, 0}) {
		t.Errorf("turned classes are %v", got)
	}
	if got := concept.Truth([]float64{1, 5}, 0, 0, 2); !slices.Equal(got, []float64{1, 5}) {
		t.Errorf("before the turn, numbers are %v", got)
	}
	truth := make([]float64, 10000)
	for i := range truth {
		truth[i] = 1
	}
	poison := drill.Fault{Kind: drill.Poison, Size: 10, Share: 0.2, From: 1, To: 2, Seed: 7}
	wrong := 0
	for _, y := range poison.Told(truth, 1, 0) {
		if y == 10 {
			wrong++
		}
	}
	if wrong < 1800 || wrong > 2200 || slices.Max(truth) != 1 {
		t.Errorf("%d of 10000 labels are wrong, a fifth was asked for", wrong)
	}
	if !slices.Equal(poison.Told(truth, 1, 0), poison.Told(truth, 1, 0)) {
		t.Error("another run spoils other labels")
	}
	if !slices.Equal(poison.Told(truth, 2, 0), truth) {
		t.Error("labels are wrong after the poison")
	}
}

// story is a fault in steps 2 and 3 of eight; change may alter a step.
func story(change func(s *drill.Step)) []drill.Step {
	var out []drill.Step
	for k := range 8 {
		s := drill.Step{Step: k, Rows: 100, Clean: 1, Off: 1, On: 1}
		if k == 2 || k == 3 {
			s.Off, s.On = 3, 1.5
		}
		if k == 3 {
			s.Alarm = "seen"
		}
		if change != nil {
			change(&s)
		}
		out = append(out, s)
	}
	return out
}

func TestJudge(t *testing.T) {
	bounds := drill.Bounds{MaxDelay: 1, MaxAfter: 1.05}
	unit := drill.Fault{Kind: drill.UnitJump, From: 2, To: 4}
	v := drill.Judge(unit, story(nil), bounds)
	if !v.Passed || v.Delay != 1 || v.HarmOff != 3 || v.HarmOn != 1.5 || v.After != 1 || v.Recovered != 0 || math.Abs(v.Avoided-0.75) > 1e-12 || v.Early != 0 {
		t.Errorf("%+v", v)
	}
	for name, c := range map[string]struct {
		fault  drill.Fault
		change func(s *drill.Step)
	}{
		"never seen":                {unit, func(s *drill.Step) { s.Alarm = "" }},
		"seen too late":             {drill.Fault{Kind: drill.UnitJump, From: 1, To: 4}, nil},
		"a set-back after it":       {unit, func(s *drill.Step) { s.On += float64(s.Step/5) * 0.1 }},
		"faulty rows were learnt":   {unit, func(s *drill.Step) { s.Promoted = s.Step == 3 }},
		"poison has a set-back":     {drill.Fault{Kind: drill.Poison, From: 2, To: 3}, func(s *drill.Step) { s.On += float64(s.Step / 3) }},
		"missing, and not back":     {drill.Fault{Kind: drill.Missing, From: 2, To: 4}, func(s *drill.Step) { s.On += float64(s.Step/7) * 0.1 }},
		"a turned world not healed": {drill.Fault{Kind: drill.Concept, From: 2, To: 8}, func(s *drill.Step) { s.On = s.Off }},
	} {
		if v := drill.Judge(c.fault, story(c.change), bounds); v.Passed || len(v.Why) != 1 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	spared := func(s *drill.Step) { s.Promoted, s.Guarded = s.Step == 3, true }
	if v := drill.Judge(unit, story(spared), bounds); !v.Passed {
		t.Errorf("a promotion without the faulty rows: %+v", v)
	}
	slow := func(s *drill.Step) {
		if s.Step == 4 || s.Step == 5 {
			s.On = 2
		}
	}
	frozen := drill.Fault{Kind: drill.Frozen, From: 2, To: 4}
	if v := drill.Judge(frozen, story(slow), bounds); !v.Passed || v.Recovered != 2 || v.After != 1.5 {
		t.Errorf("what took rows away comes back: %+v", v)
	}
	if v := drill.Judge(unit, story(slow), bounds); v.Passed || v.Recovered != 2 {
		t.Errorf("what took nothing away comes back late: %+v", v)
	}
	quiet := func(s *drill.Step) { s.Alarm = "" }
	if v := drill.Judge(drill.Fault{Kind: drill.Late, From: 2, To: 4}, story(quiet), bounds); !v.Passed || v.Delay != -1 {
		t.Errorf("late labels that nobody noticed: %+v", v)
	}
}
