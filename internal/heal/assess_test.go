package heal_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/score"
)

// TestAssessActsWithinBounds: whatever is seen, a cure is tried only with a
// reason, out of the cooldown unless asked for, and with labels enough; and
// with all three it always is.
func TestAssessActsWithinBounds(t *testing.T) {
	hours := func(t *rapid.T, name string, lo, hi int) time.Duration {
		return time.Duration(rapid.IntRange(lo, hi).Draw(t, name)) * time.Hour
	}
	rapid.Check(t, func(t *rapid.T) {
		p := heal.Policy{
			Cooldown: hours(t, "cooldown", 0, 50), MaxAge: hours(t, "max age", 0, 80), MinLabels: rapid.IntRange(0, 300).Draw(t, "min labels"),
			NewLabels: rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "new labels"), Confidence: 0.9,
		}
		age := hours(t, "age", 0, 100)
		e := heal.Evidence{
			Now: now, Promoted: now.Add(-age), Forced: rapid.Bool().Draw(t, "forced"), Reasons: rapid.SliceOfN(rapid.StringN(1, 8, 8), 0, 2).Draw(t, "reasons"),
			Labels: rapid.IntRange(0, 600).Draw(t, "labels"), Learnt: rapid.IntRange(0, 1000).Draw(t, "learnt"),
		}
		old := p.MaxAge > 0 && age > p.MaxAge
		rich := p.NewLabels > 0 && float64(e.Labels) >= p.NewLabels*float64(max(e.Learnt, 1))
		reason := e.Forced || len(e.Reasons) > 0 || old || rich
		cooling := age < p.Cooldown && !e.Forced
		want := reason && !cooling && e.Labels >= p.MinLabels

		a := heal.Assess(p, e)
		if a.Act != want {
			t.Fatalf("act %v because %q, expected %v", a.Act, a.Because, want)
		}
		if a.Because == "" || a.Reasons == nil {
			t.Fatalf("nothing is said: %+v", a)
		}
		if a.Act && len(a.Reasons) == 0 {
			t.Fatalf("acts without a reason: %+v", a)
		}
		for i, r := range e.Reasons {
			if a.Reasons[i] != r {
				t.Fatalf("reasons %q do not begin with those seen, %q", a.Reasons, e.Reasons)
			}
		}
		if early, ok := heal.Cooling(p, e); ok != cooling || ok && early.Act {
			t.Fatalf("cooling %v, expected %v", ok, cooling)
		}
	})
}

// TestOldAtMaxAge: a champion is too old after the greatest age, not at it.
func TestOldAtMaxAge(t *testing.T) {
	e := heal.Evidence{Now: now, Promoted: now.Add(-policy.MaxAge), Labels: 500, Learnt: 50_000}
	if a := heal.Assess(policy, e); a.Act {
		t.Errorf("acts at the greatest age: %s", a.Because)
	}
	e.Promoted = e.Promoted.Add(-1)
	if a := heal.Assess(policy, e); !a.Act {
		t.Errorf("does not act beyond the greatest age: %s", a.Because)
	}
}

// TestChooseCases: the rule in examples, which say where its edges are.
func TestChooseCases(t *testing.T) {
	p := heal.Policy{Margin: 0.01, Confidence: 0.9}
	match := func(mean, lo float64) heal.Match {
		return heal.Match{Rows: 500, Champion: 10, Loss: 10 - mean, Gain: score.Interval{Mean: mean, Lo: lo, Hi: 2*mean - lo}}
	}
	for name, c := range map[string]struct {
		trials []heal.Trial
		want   int
		why    string
	}{
		"no trial":                              {nil, -1, "no cure could be tried"},
		"proven on both":                        {[]heal.Trial{{Cure: "a", All: match(1, 0.5), Newest: match(1, 0.5)}}, 0, `"a" lowers the loss by 10.0 %`},
		"proven on the newest alone":            {[]heal.Trial{{Cure: "a", All: match(-1, -2), Newest: match(2, 0.5)}}, -1, "not proven"},
		"the usual, proven on the newest alone": {[]heal.Trial{{Cure: "a", Usual: true, All: match(-1, -2), Newest: match(2, 0.5)}}, 0, "20.0 %"},
		"proven on all, a little on the newest": {[]heal.Trial{{Cure: "a", All: match(1, 0.5), Newest: match(0.001, -3)}}, -1, "not proven"},
		"the usual, a little on the newest":     {[]heal.Trial{{Cure: "a", Usual: true, All: match(1, 0.5), Newest: match(0.001, -3)}}, 0, "10.0 %"},
		"proven on all, lost on the newest":     {[]heal.Trial{{Cure: "a", Usual: true, All: match(1, 0.5), Newest: match(-0.001, -3)}}, -1, "not proven"},
		"proven on all, nothing on the newest":  {[]heal.Trial{{Cure: "a", Usual: true, All: match(1, 0.5), Newest: match(0, -3)}}, -1, "not proven"},
		"the interval ends at the margin":       {[]heal.Trial{{Cure: "a", All: match(1, 0.1), Newest: match(1, 0.1)}}, -1, "margin 0.1"},
		"a gain that is not proven":             {[]heal.Trial{{Cure: "a", All: match(1, -0.1), Newest: match(1, -0.1)}}, -1, "best of 1 cures"},
		"the greater of two":                    {[]heal.Trial{{Cure: "a", All: match(1, 0.5), Newest: match(1, 0.5)}, {Cure: "b", All: match(2, 0.2), Newest: match(2, 0.2)}}, 1, `"b"`},
		"greater but not proven":                {[]heal.Trial{{Cure: "a", All: match(1, 0.5), Newest: match(1, 0.5)}, {Cure: "b", All: match(2, 0), Newest: match(2, 0)}}, 0, `"a"`},
		"a tie goes to the first":               {[]heal.Trial{{Cure: "a", All: match(1, 0.5), Newest: match(1, 0.5)}, {Cure: "b", All: match(1, 0.5), Newest: match(1, 0.5)}}, 0, `"a"`},
		"a champion without loss":               {[]heal.Trial{{Cure: "a"}}, -1, "stays"},
	} {
		got, why := heal.Choose(p, c.trials)
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %d because %q, expected %d because %q", name, got, why, c.want, c.why)
		}
	}
	// Without a margin a gain must still be above nothing.
	if got, _ := heal.Choose(heal.Policy{}, []heal.Trial{{All: match(1, 0), Newest: match(1, 0)}}); got != -1 {
		t.Error("an interval that touches 0 was taken for a proof")
	}
}
