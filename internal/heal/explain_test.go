package heal_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
)

// TestExplainAgrees: the conditions say what Permit and Assess decide, and one
// that does not hold says what is needed.
func TestExplainAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := heal.Policy{
			Cooldown: time.Duration(rapid.IntRange(0, 50).Draw(t, "cooldown")) * time.Hour, MinLabels: rapid.IntRange(1, 300).Draw(t, "min labels"),
			MaxAge: time.Duration(rapid.IntRange(0, 90).Draw(t, "max age")) * time.Hour, NewLabels: rapid.SampledFrom([]float64{0, 0.25}).Draw(t, "new labels"), Confidence: 0.9,
		}
		e := heal.Evidence{
			Now: now, Promoted: now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "age")) * time.Hour), Forced: rapid.Bool().Draw(t, "forced"),
			Labels: rapid.IntRange(0, 600).Draw(t, "labels"), Learnt: 1000,
		}
		l := heal.Limits{PerWeek: rapid.IntRange(0, 2).Draw(t, "per week")}
		var s heal.State
		for i := range rapid.IntRange(0, 3).Draw(t, "promotions") {
			s, _ = heal.Next(s, heal.Event{Kind: heal.Intended, Move: &heal.Move{Kind: heal.MovePromote, At: now.Add(-time.Hour), From: versions[i], To: versions[i+1]}})
			s, _ = heal.Next(s, heal.Event{Kind: heal.Done, At: now.Add(-time.Hour)})
		}
		if rapid.Bool().Draw(t, "frozen") {
			s, _ = heal.Next(s, heal.Event{Kind: heal.Halted, At: now, Why: "it went in circles"})
		}
		all := map[string]heal.Condition{}
		for _, c := range heal.Explain(p, l, s, e, true, nil, -1) {
			if c.OK != (c.Needed == "") || c.Now == "" {
				t.Fatalf("%+v", c)
			}
			all[c.Name] = c
		}
		_, permitted := heal.Permit(l, s, now)
		permitted = permitted || e.Forced && s.Phase != heal.Frozen
		if got := all["freeze"].OK && all["budget"].OK; got != permitted {
			t.Fatalf("free to act: %v, expected %v", got, permitted)
		}
		if got := all["cooldown"].OK && all["reason"].OK && all["labels"].OK; got != heal.Assess(p, e).Act {
			t.Fatalf("would act: %v, expected %+v", got, heal.Assess(p, e))
		}
	})
}
