package heal_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/score"
)

var (
	now    = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	policy = heal.Policy{Cooldown: 20 * time.Hour, MinLabels: 200, MaxAge: 30 * 24 * time.Hour, NewLabels: 0.25, Margin: 0.01, Confidence: 0.9}
)

func TestAssess(t *testing.T) {
	long := now.Add(-48 * time.Hour)
	for _, c := range []struct {
		name string
		e    heal.Evidence
		act  bool
		why  string
	}{
		{"nothing happened", heal.Evidence{Promoted: long, Labels: 1000, Learnt: 50_000}, false, "no reason"},
		{"drift", heal.Evidence{Promoted: long, Labels: 1000, Learnt: 50_000, Reasons: []string{"price drifted"}}, true, "price drifted"},
		{"drift in the cooldown", heal.Evidence{Promoted: now.Add(-19 * time.Hour), Labels: 1000, Learnt: 50_000, Reasons: []string{"price drifted"}}, false, "cooldown"},
		{"drift at the end of the cooldown", heal.Evidence{Promoted: now.Add(-20 * time.Hour), Labels: 1000, Learnt: 50_000, Reasons: []string{"price drifted"}}, true, "price drifted"},
		{"by hand in the cooldown", heal.Evidence{Promoted: now.Add(-time.Hour), Labels: 1000, Learnt: 50_000, Forced: true}, true, "by hand"},
		{"by hand without labels", heal.Evidence{Promoted: long, Labels: 199, Learnt: 50_000, Forced: true}, false, "199 labelled rows"},
		{"drift younger than all labels", heal.Evidence{Promoted: long, Labels: 1000, Learnt: 50_000, Reasons: []string{"price drifted"}, Began: now.Add(-time.Hour), Labelled: now.Add(-2 * time.Hour)}, false, "no label is younger than 2024-05-31 22:00"},
		{"drift as old as a label", heal.Evidence{Promoted: long, Labels: 1000, Learnt: 50_000, Reasons: []string{"price drifted"}, Began: now.Add(-2 * time.Hour), Labelled: now.Add(-2 * time.Hour)}, true, "price drifted"},
		{"young drift beside much that is new", heal.Evidence{Promoted: long, Labels: 1000, Learnt: 2000, Reasons: []string{"price drifted"}, Began: now.Add(-time.Hour), Labelled: now.Add(-2 * time.Hour)}, true, "price drifted"},
		{"old", heal.Evidence{Promoted: now.Add(-31 * 24 * time.Hour), Labels: 200, Learnt: 50_000}, true, "31 days"},
		{"much that is new", heal.Evidence{Promoted: long, Labels: 250, Learnt: 1000}, true, "250 labelled rows are new"},
		{"a little that is new", heal.Evidence{Promoted: long, Labels: 249, Learnt: 1000}, false, "no reason"},
	} {
		c.e.Now = now
		a := heal.Assess(policy, c.e)
		if a.Act != c.act || !strings.Contains(a.Because, c.why) {
			t.Errorf("%s: act %v because %q, expected %v because %q", c.name, a.Act, a.Because, c.act, c.why)
		}
	}
}

func matches(t *rapid.T, label string) heal.Match {
	champion := rapid.Float64Range(0.1, 10).Draw(t, label+" champion")
	gain := rapid.Float64Range(-2, 2).Draw(t, label+" gain")
	half := rapid.Float64Range(0, 2).Draw(t, label+" half width")
	return heal.Match{Rows: 500, Champion: champion, Loss: champion - gain, Gain: score.Interval{Mean: gain, Lo: gain - half, Hi: gain + half}}
}

// TestChoose: whatever the trials, only a proven one wins, a proven one always
// wins, and their order does not matter.
func TestChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "trials")
		var trials []heal.Trial
		anyProven := false
		proven := func(tr heal.Trial) bool {
			newest, all := tr.Newest.Gain.Lo > policy.Margin*tr.Newest.Champion, tr.All.Gain.Lo > policy.Margin*tr.All.Champion
			if tr.Usual {
				return newest || all && tr.Newest.Gain.Mean > 0
			}
			return newest && all
		}
		usual := rapid.IntRange(-1, n-1).Draw(t, "usual")
		for i := range n {
			tr := heal.Trial{Cure: string(rune('a' + i)), Usual: i == usual, All: matches(t, "all"), Newest: matches(t, "newest")}
			anyProven = anyProven || proven(tr)
			trials = append(trials, tr)
		}
		best, why := heal.Choose(policy, trials)
		if why == "" {
			t.Fatal("no reason is given")
		}
		if (best >= 0) != anyProven {
			t.Fatalf("chose %d, although a proven trial exists: %v", best, anyProven)
		}
		if best >= 0 && !proven(trials[best]) {
			t.Fatalf("chose %+v, which is not proven", trials[best])
		}
		name := ""
		if best >= 0 {
			name = trials[best].Cure
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(n, func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
		again, _ := heal.Choose(policy, trials)
		if again < 0 != (name == "") || again >= 0 && trials[again].Cure != name {
			t.Fatalf("chose %q in one order and %d in another", name, again)
		}
	})
}

// TestLevel: the chance of a lucky winner over all intervals stays the policy's.
func TestLevel(t *testing.T) {
	for n := 1; n <= 10; n++ {
		if got, want := 2*float64(n)*(1-policy.Level(n)), 1-policy.Confidence; got > want+1e-12 || got < want-1e-12 {
			t.Errorf("%d trials: the errors add up to %v, expected %v", n, got, want)
		}
	}
}
