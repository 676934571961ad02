package heal_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
)

var versions = []string{"v0001-aaaaaaaa", "v0002-bbbbbbbb", "v0003-cccccccc", "v0004-aaaaaaaa"}

var kinds = []heal.EventKind{heal.Intended, heal.Done, heal.Abandoned, heal.Passed, heal.Shadowed, heal.Dropped, heal.Halted, heal.Thawed, heal.Moved, "unheard of"}

// drawEvent is any event, sensible or not.
func drawEvent(t *rapid.T, at time.Time) heal.Event {
	e := heal.Event{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), At: at, Why: rapid.SampledFrom([]string{"", "because"}).Draw(t, "why")}
	if rapid.IntRange(0, 9).Draw(t, "move") > 0 {
		e.Move = &heal.Move{
			Kind: rapid.SampledFrom([]string{heal.MovePromote, heal.MoveRollback}).Draw(t, "move kind"), At: at,
			From: rapid.SampledFrom(append([]string{""}, versions...)).Draw(t, "from"), To: rapid.SampledFrom(versions).Draw(t, "to"),
			Generation: rapid.IntRange(0, 9).Draw(t, "generation"), Reason: "it was so",
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "shadow") > 0 {
		e.Shadow = &heal.Shadow{Challenger: rapid.SampledFrom(versions).Draw(t, "challenger"), Champion: versions[0], Began: at, Action: heal.Retrain}
	}
	return e
}

// TestNextIsTotal: from the beginning, any sequence of events leads from one
// state that makes sense to another; what is not taken changes nothing; and
// healing promotes nothing while frozen.
func TestNextIsTotal(t *testing.T) {
	seen := map[heal.Phase]map[heal.EventKind]int{}
	walk := func(t *rapid.T) {
		var s heal.State
		at := now
		rollbacks := 0 // since a human last acted
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			at = at.Add(time.Hour)
			e := drawEvent(t, at)
			if s.Phase == heal.Baking && e.Move != nil && rapid.Bool().Draw(t, "fitting") {
				e.Move.From, e.Move.To = s.Bake.Promoted, s.Bake.Predecessor
			}
			before, copied := s, s
			copied.Recent = append([]heal.Switch{}, s.Recent...)
			n, taken := heal.Next(s, e)
			if !reflect.DeepEqual(before, s) || len(copied.Recent) > 0 && !reflect.DeepEqual(copied.Recent, s.Recent) {
				t.Fatalf("%+v was changed by %+v", copied, e)
			}
			if again, ok := heal.Next(s, e); ok != taken || !reflect.DeepEqual(again, n) {
				t.Fatalf("twice %+v gives %+v and %+v", e, n, again)
			}
			checkState(t, n)
			checkStep(t, s, e, n, taken)
			if taken && e.Kind == heal.Done && s.Intent.Kind == heal.MoveRollback {
				rollbacks++
			}
			if taken && (e.Kind == heal.Thawed || e.Kind == heal.Moved) {
				rollbacks = 0
			}
			if rollbacks > 1 {
				t.Fatal("two rollbacks without a human between them")
			}
			if seen[s.Phase] == nil {
				seen[s.Phase] = map[heal.EventKind]int{}
			}
			if taken {
				seen[s.Phase][e.Kind]++
			}
			s = n
		}
	}
	tried := func() bool {
		return seen[heal.Baking][heal.Done] > 0 && seen[heal.Frozen][heal.Moved] > 0 && seen[heal.Baking][heal.Passed] > 0 && seen[heal.Baking][heal.Shadowed] > 0 && seen[heal.Steady][heal.Dropped] > 0
	}
	for round := 0; round < 20 && !tried(); round++ { // a hundred walks may miss a rare way
		rapid.Check(t, walk)
	}
	for _, p := range []heal.Phase{heal.Steady, heal.Baking, heal.Frozen} {
		t.Logf("%s: taken %v", p, seen[p])
	}
	if !tried() {
		t.Error("not every way was tried")
	}
}

// checkState: each phase has what belongs to it and nothing else.
func checkState(t *rapid.T, s heal.State) {
	switch {
	case s.Phase != heal.Steady && s.Phase != heal.Baking && s.Phase != heal.Frozen:
		t.Fatalf("phase %q", s.Phase)
	case (s.Phase == heal.Baking) != (s.Bake != nil), (s.Phase == heal.Frozen) != (s.Why != ""):
		t.Fatalf("%s with bake %v and reason %q", s.Phase, s.Bake, s.Why)
	case s.Intent != nil && s.Intent.Kind == heal.MoveRollback && s.Phase != heal.Baking:
		t.Fatalf("a rollback is under way while %s", s.Phase)
	case s.Shadow != nil && s.Phase == heal.Frozen:
		t.Fatal("something is in shadow while frozen")
	case s.Intent != nil && s.Phase == heal.Frozen:
		t.Fatal("healing moves the pointer while frozen")
	case len(s.Recent) > 64:
		t.Fatalf("%d changes are remembered", len(s.Recent))
	}
}

// checkStep: what each event must and must not do.
func checkStep(t *rapid.T, s heal.State, e heal.Event, n heal.State, taken bool) {
	if s.Phase == "" {
		s.Phase = heal.Steady
	}
	if !taken {
		s.Recent = append([]heal.Switch(nil), s.Recent...)
		n.Recent = append([]heal.Switch(nil), n.Recent...)
		if !reflect.DeepEqual(s, n) {
			t.Fatalf("%+v was not taken and changed %+v to %+v", e, s, n)
		}
		return
	}
	left := s.Phase == heal.Frozen && n.Phase != heal.Frozen
	human := e.Kind == heal.Thawed || e.Kind == heal.Moved && e.Move.Kind == heal.MovePromote
	switch {
	case left && !human:
		t.Fatalf("%s ended a freeze", e.Kind)
	case e.Kind == heal.Halted && n.Phase != heal.Frozen, e.Kind == heal.Thawed && n.Phase != heal.Steady:
		t.Fatalf("%s led to %s", e.Kind, n.Phase)
	case e.Kind == heal.Done && s.Intent.Kind == heal.MoveRollback && n.Phase != heal.Frozen:
		t.Fatalf("a rollback led to %s", n.Phase)
	case e.Kind == heal.Done && s.Intent.Kind == heal.MovePromote && s.Intent.From != "" && (n.Phase != heal.Baking || n.Bake.Predecessor != s.Intent.From):
		t.Fatalf("a promotion led to %+v", n)
	case s.Intent != nil && e.Kind != heal.Done && e.Kind != heal.Abandoned:
		t.Fatalf("%s was taken while a move is under way", e.Kind)
	case n.Shadow != nil && (e.Kind == heal.Done || e.Kind == heal.Moved || e.Kind == heal.Dropped):
		t.Fatalf("%s left %+v in shadow", e.Kind, n.Shadow)
	case e.Kind == heal.Shadowed && !reflect.DeepEqual(n.Shadow, e.Shadow), e.Kind == heal.Abandoned && !reflect.DeepEqual(n.Shadow, s.Shadow):
		t.Fatalf("%s of %+v led to %+v", e.Kind, e.Shadow, n.Shadow)
	case e.Kind == heal.Abandoned && n.Phase != s.Phase:
		t.Fatalf("an abandoned move led from %s to %s", s.Phase, n.Phase)
	}
}

// promote takes s through a promotion of healing.
func promote(t *testing.T, s heal.State, from, to string, at time.Time) heal.State {
	t.Helper()
	s, ok := heal.Next(s, heal.Event{Kind: heal.Intended, At: at, Move: &heal.Move{Kind: heal.MovePromote, At: at, From: from, To: to, Generation: s.Generation}})
	if !ok {
		t.Fatalf("a promotion was refused: %+v", s)
	}
	s, _ = heal.Next(s, heal.Event{Kind: heal.Done, At: at})
	return s
}

func TestBudget(t *testing.T) {
	l := heal.Limits{PerWeek: 3}
	var s heal.State
	for day := range 3 {
		if why, ok := heal.Permit(l, s, now.AddDate(0, 0, day)); !ok {
			t.Fatalf("day %d: %s", day, why)
		}
		s = promote(t, s, versions[day%2], versions[day%2+1], now.AddDate(0, 0, day))
	}
	why, ok := heal.Permit(l, s, now.AddDate(0, 0, 6))
	if ok || !strings.HasPrefix(why, "budget: 3 promotions") || !strings.Contains(why, now.AddDate(0, 0, 7).Format("2006-01-02")) {
		t.Errorf("a fourth within the week: %v, %q", ok, why)
	}
	if why, ok := heal.Permit(l, s, now.AddDate(0, 0, 7)); !ok {
		t.Errorf("a week after the first: %s", why)
	}
	if why, ok := heal.Permit(heal.Limits{}, s, now.AddDate(0, 0, 3)); !ok {
		t.Errorf("without a bound: %s", why)
	}
	// What humans promote costs no budget.
	for range 5 {
		s, _ = heal.Next(s, heal.Event{Kind: heal.Moved, At: now, Move: &heal.Move{Kind: heal.MovePromote, At: now.AddDate(0, 0, 7), To: versions[0], Generation: s.Generation + 1}})
	}
	if why, ok := heal.Permit(l, s, now.AddDate(0, 0, 7)); !ok {
		t.Errorf("after promotions by hand: %s", why)
	}
}

// TestShadowBars: while a challenger is compared nothing else is promoted.
func TestShadowBars(t *testing.T) {
	s, ok := heal.Next(heal.State{}, heal.Event{Kind: heal.Shadowed, At: now, Shadow: &heal.Shadow{Challenger: versions[1], Champion: versions[0], Began: now}})
	if !ok {
		t.Fatal("not taken")
	}
	if because, ok := heal.Permit(heal.Limits{}, s, now); ok || !strings.Contains(because, versions[1]+" is compared with "+versions[0]) {
		t.Errorf("%v, %q", ok, because)
	}
	if s, ok = heal.Next(s, heal.Event{Kind: heal.Dropped, At: now}); !ok || s.Shadow != nil {
		t.Errorf("%+v", s)
	}
	if _, ok := heal.Permit(heal.Limits{}, s, now); !ok {
		t.Error("nothing may be promoted after it")
	}
	if n, ok := heal.Next(s, heal.Event{Kind: heal.Shadowed, At: now}); ok || n.Shadow != nil {
		t.Error("a shadow of nothing")
	}
}

// TestOscillates: what healing took out of force must not come back soon, also
// under another number.
func TestOscillates(t *testing.T) {
	l := heal.Limits{Oscillation: 30 * 24 * time.Hour}
	s := promote(t, heal.State{}, versions[0], versions[1], now)
	for to, want := range map[string]bool{versions[0]: true, versions[3]: true, versions[1]: false, versions[2]: false} {
		if why, got := heal.Oscillates(l, s, to, now.AddDate(0, 0, 10)); got != want || got && !strings.Contains(why, to) {
			t.Errorf("%s: %v, %q", to, got, why)
		}
	}
	if why, got := heal.Oscillates(l, s, versions[0], now.AddDate(0, 0, 31)); got {
		t.Errorf("after a month: %s", why)
	}
	hand, _ := heal.Next(heal.State{}, heal.Event{Kind: heal.Moved, At: now, Move: &heal.Move{Kind: heal.MovePromote, At: now, From: versions[0], To: versions[1], Generation: 1}})
	if why, got := heal.Oscillates(l, hand, versions[0], now.AddDate(0, 0, 1)); got {
		t.Errorf("what a human replaced: %s", why)
	}
}

// TestFreezeAndThaw: one rollback, then nothing until a human comes.
func TestFreezeAndThaw(t *testing.T) {
	s := promote(t, heal.State{}, versions[0], versions[1], now)
	back := &heal.Move{Kind: heal.MoveRollback, At: now, From: versions[1], To: versions[0], Generation: 1, Reason: "it was worse."}
	s, ok := heal.Next(s, heal.Event{Kind: heal.Intended, At: now, Move: back})
	if !ok {
		t.Fatal("the rollback was refused")
	}
	s, _ = heal.Next(s, heal.Event{Kind: heal.Done, At: now})
	why, ok := heal.Permit(heal.Limits{}, s, now.AddDate(1, 0, 0))
	if ok || !strings.HasPrefix(why, "frozen: "+versions[1]+" was taken back: it was worse; ") {
		t.Errorf("a year later: %v, %q", ok, why)
	}
	if _, ok := heal.Next(s, heal.Event{Kind: heal.Intended, Move: &heal.Move{Kind: heal.MovePromote, From: versions[0], To: versions[2]}}); ok {
		t.Error("healing promoted while frozen")
	}
	if byHand, _ := heal.Next(s, heal.Event{Kind: heal.Moved, At: now, Move: &heal.Move{Kind: heal.MoveRollback, Generation: 9}}); byHand.Phase != heal.Frozen || byHand.Generation != 9 {
		t.Errorf("a rollback by hand led to %+v", byHand)
	}
	if s, ok = heal.Next(s, heal.Event{Kind: heal.Thawed, At: now}); !ok || s.Phase != heal.Steady {
		t.Errorf("thawed: %+v", s)
	}
}
