package retrain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/train"
)

var at = time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)

// bench is a root with two versions, of which the first is in force.
type bench struct {
	root string
	v    [2]string
}

// quick is a disk that works and does not wait.
func quick() durable.Disk { return durable.Disk{FS: faulty.New(nil)} }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newBench trains both versions.
func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{root: t.TempDir()}
	stream, _ := synth.Sales(3, synth.Options{Days: 30, Still: true})
	inf, err := feature.Infer(stream, feature.InferOptions{Target: "sales"})
	ok(t, err)
	rows, err := train.Prepare(stream, inf, train.TimesOf(stream, inf.Time), nil)
	ok(t, err)
	for i := range b.v {
		res, err := train.Run(t.Context(), rows, train.Options{Holdout: 0.2, Seed: 1, Threads: 1, Set: map[string]string{"num_iterations": fmt.Sprint(5 + i)}})
		ok(t, err)
		reference, err := res.Reference(100)
		ok(t, err)
		b.v[i], err = b.registry(quick()).Publish(&registry.Bundle{
			Template: res.Rows.Template, Trees: res.Trees, Reference: reference, Golden: res.Rows.Sample(0, 4), Created: at,
			Metrics: &registry.Metrics{Metric: "mae", Rows: 1, Holdout: res.Holdout, Iterations: res.Best}, Lineage: registry.Lineage{Rows: 1, CreatedBy: "train"},
		})
		ok(t, err)
	}
	ok(t, b.registry(quick()).Promote(b.v[0], "first", at))
	return b
}

func (b bench) registry(d durable.Disk) *registry.Registry {
	return registry.OpenOn(filepath.Join(b.root, "exported_model"), d)
}

// copy is the same root elsewhere.
func (b bench) copy(t *testing.T) bench {
	t.Helper()
	root := t.TempDir()
	ok(t, os.CopyFS(root, os.DirFS(b.root)))
	return bench{root, b.v}
}

func (b bench) options(d durable.Disk) GuardOptions {
	return GuardOptions{
		State: filepath.Join(b.root, "state"), Incidents: filepath.Join(b.root, "incidents"), Registry: b.registry(d), Disk: d,
		Limits: heal.Limits{PerWeek: 9, Oscillation: time.Hour},
	}
}

func (b bench) open(t *testing.T, now time.Time) *Guard {
	t.Helper()
	g, err := OpenGuard(b.options(quick()), now)
	ok(t, err)
	return g
}

func (b bench) pointer(t *testing.T) registry.Pointer {
	t.Helper()
	p, err := b.registry(quick()).Pointer()
	ok(t, err)
	return p
}

// heals promotes the second version.
func (b bench) heals(d durable.Disk, from registry.Pointer, now time.Time) (*Incident, error) {
	g, err := OpenGuard(b.options(d), now)
	if err != nil {
		return nil, err
	}
	in := &Incident{Format: 1, At: now, Champion: b.v[0], Action: heal.Retrain, Version: b.v[1], Reason: "it is better", Reasons: []string{"the test"}, Excluded: []Exclusion{}, Trials: []Trial{}}
	in.identify()
	return in, g.promote(b.registry(d), in, from, now)
}

// takesBack rolls the second version back.
func (b bench) takesBack(d durable.Disk, from registry.Pointer, now time.Time) (*Incident, error) {
	g, err := OpenGuard(b.options(d), now)
	if err != nil {
		return nil, err
	}
	if g.State().Bake == nil {
		return nil, errors.New("nothing bakes")
	}
	return g.TakeBack(from, BakeRecord{Bake: *g.State().Bake, At: now, Blocks: []heal.BakeBlock{}, Verdict: heal.BakeVerdict{Because: "it is worse"}}, now)
}

// TestShadowSurvives stops the process, and cuts the power, at every operation
// of a challenger's way into the shadow and out of it. Whatever it leaves, the
// champion answers, or the challenger with its incident, and the guard knows.
func TestShadowSurvives(t *testing.T) {
	base := newBench(t)
	base.open(t, at)
	cast := func(b bench, d durable.Disk, now time.Time) error {
		o := b.options(d)
		o.Shadow = 24 * time.Hour
		g, err := OpenGuard(o, now)
		if err != nil {
			return err
		}
		in := &Incident{Format: 1, At: now, Champion: b.v[0], Action: heal.Refit, Version: b.v[1], Reason: "it is better", Excluded: []Exclusion{}, Trials: []Trial{}}
		in.identify()
		return g.promote(b.registry(d), in, b.pointer(t), now)
	}
	end := func(outcome heal.Outcome) func(b bench, d durable.Disk, now time.Time) error {
		return func(b bench, d durable.Disk, now time.Time) error {
			g, err := OpenGuard(b.options(d), now)
			if err != nil {
				return err
			}
			if g.State().Shadow == nil {
				return nil // it came through before
			}
			_, err = g.EndShadow(b.pointer(t), BakeRecord{Bake: heal.Bake{Promoted: b.v[1], Predecessor: b.v[0]}, At: now, Blocks: []heal.BakeBlock{}, Verdict: heal.BakeVerdict{Outcome: outcome, Because: "it was seen"}}, now)
			return err
		}
	}
	shadowed := base.copy(t)
	ok(t, cast(shadowed, quick(), at.Add(time.Hour)))
	for name, c := range map[string]struct {
		from bench
		do   func(b bench, d durable.Disk, now time.Time) error
		then func(s heal.State, version string) bool // how it ends when nothing stops it
	}{
		"into it": {base, cast, func(s heal.State, v string) bool {
			return s.Shadow != nil && s.Shadow.Action == heal.Refit && v == base.v[0]
		}},
		"promoted": {shadowed, end(heal.BakePassed), func(s heal.State, v string) bool { return s.Shadow == nil && s.Phase == heal.Baking && v == base.v[1] }},
		"dropped":  {shadowed, end(heal.BakeWorse), func(s heal.State, v string) bool { return s.Shadow == nil && s.Phase == heal.Steady && v == base.v[0] }},
	} {
		for _, cut := range []bool{false, true} {
			n := 0
			for ; ; n++ {
				b := c.from.copy(t)
				disk := faulty.New(faulty.StopAt(n))
				err := c.do(b, durable.Disk{FS: disk}, at.Add(2*time.Hour))
				if err == nil {
					if s := b.open(t, at.Add(3*time.Hour)).State(); !c.then(s, b.pointer(t).Version) {
						t.Fatalf("%s: %+v with %s in force", name, s, b.pointer(t).Version)
					}
					break
				}
				if !errors.Is(err, faulty.ErrStopped) {
					t.Fatalf("%s, operation %d: %v", name, n, err)
				}
				if cut {
					ok(t, disk.PowerCut())
				}
				g := b.open(t, at.Add(3*time.Hour))
				s, version := g.State(), b.pointer(t).Version
				if s.Intent != nil || (version == b.v[1]) != (s.Phase == heal.Baking) || version == b.v[1] && s.Shadow != nil {
					t.Fatalf("%s, operation %d: %+v with %s in force", name, n, s, version)
				}
				// The loop goes on: the same again comes through.
				ok(t, c.do(b, quick(), at.Add(4*time.Hour)))
				if s := b.open(t, at.Add(5*time.Hour)).State(); !c.then(s, b.pointer(t).Version) {
					t.Fatalf("%s, after operation %d: %+v with %s in force", name, n, s, b.pointer(t).Version)
				}
			}
			if t.Logf("%s: %d operations (power cut %v)", name, n, cut); n < 5 {
				t.Errorf("%s: %d operations", name, n)
			}
		}
	}
}

// TestGuardSurvives stops the process, and cuts the power, at every operation
// of a promotion, of a rollback, and of what follows them. Whatever it leaves,
// the next run finds either the old state or the new one, whole, and goes on.
func TestGuardSurvives(t *testing.T) {
	base := newBench(t)
	base.open(t, at)
	promoted := base.copy(t)
	_, err := promoted.heals(quick(), promoted.pointer(t), at.Add(time.Hour))
	ok(t, err)
	for name, c := range map[string]struct {
		from bench
		do   func(b bench, d durable.Disk, from registry.Pointer, now time.Time) (*Incident, error)
		then heal.Phase
		old  heal.Phase
		in   [2]string // in force before and after
	}{
		"promotion": {base, bench.heals, heal.Baking, heal.Steady, base.v},
		"rollback":  {promoted, bench.takesBack, heal.Frozen, heal.Baking, [2]string{base.v[1], base.v[0]}},
		"end":       {promoted, bench.ends, heal.Steady, heal.Baking, [2]string{base.v[1], base.v[1]}},
	} {
		for _, cut := range []bool{false, true} {
			made, not, n := 0, 0, 0
			for ; ; n++ {
				b := c.from.copy(t)
				disk := faulty.New(faulty.StopAt(n))
				_, err := c.do(b, durable.Disk{FS: disk}, b.pointer(t), at.Add(2*time.Hour))
				if err == nil {
					break
				}
				if !errors.Is(err, faulty.ErrStopped) {
					t.Fatalf("%s, operation %d: %v", name, n, err)
				}
				if cut {
					ok(t, disk.PowerCut())
				}
				if b.settled(t, fmt.Sprintf("%s, operation %d, power cut %v", name, n, cut), c.in, c.old, c.then) {
					made++
				} else {
					not++
				}
				b.goesOn(t, c.old)
			}
			t.Logf("%s: %d operations (power cut %v), %d had come through, %d had not", name, n, cut, made, not)
			if n < 5 || not == 0 || made == 0 {
				t.Errorf("%s: %d operations, %d made and %d not", name, n, made, not)
			}
		}
	}
}

// ends lets the bake pass.
func (b bench) ends(d durable.Disk, _ registry.Pointer, now time.Time) (*Incident, error) {
	g, err := OpenGuard(b.options(d), now)
	if err != nil {
		return nil, err
	}
	return nil, g.End(heal.BakeVerdict{Because: "it is as good"}, now)
}

// settled checks what the run after a crash finds, and says whether the move
// came through.
func (b bench) settled(t *testing.T, where string, in [2]string, old, then heal.Phase) bool {
	t.Helper()
	g, err := OpenGuard(b.options(quick()), at.Add(3*time.Hour))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	s, version := g.State(), b.pointer(t).Version
	made := s.Phase == then
	if s.Intent != nil || s.Phase != old && s.Phase != then {
		t.Fatalf("%s: %+v", where, s)
	}
	if want := map[bool]string{false: in[0], true: in[1]}[made]; version != want {
		t.Fatalf("%s: %s is in force while %s, expected %s", where, version, s.Phase, want)
	}
	// Every change that healing made has its incident, unchanged, and no
	// incident tells of a change that was not made.
	chain, err := b.registry(quick()).Chain()
	ok(t, err)
	history, err := b.registry(quick()).History()
	ok(t, err)
	for _, l := range chain {
		if l.Fault != "" {
			t.Fatalf("%s: %s", where, l.Fault)
		}
	}
	told := 0
	for _, c := range history {
		if c.Incident == "" {
			continue
		}
		told++
		doc, err := os.ReadFile(filepath.Join(b.root, "incidents", c.Incident, "incident.json"))
		if err != nil || hexSum(doc) != c.IncidentSHA256 {
			t.Fatalf("%s: the incident of %+v: %v", where, c, err)
		}
	}
	ids, err := List(filepath.Join(b.root, "incidents"))
	if err != nil || len(ids) != told {
		t.Fatalf("%s: %d incidents of %d changes: %v", where, len(ids), told, err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.root, "state", "healing", "staged-*")); len(left) > 0 {
		t.Fatalf("%s: %q is left", where, left)
	}
	// The journal alone comes to the same state.
	ok(t, os.Remove(filepath.Join(b.root, "state", "healing.json")))
	again, err := ReadGuard(b.options(quick()))
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Fatalf("%s: the journal says %+v, expected %+v: %v", where, again, s, err)
	}
	return made
}

// goesOn: after a crash the loop can do all it could do before.
func (b bench) goesOn(t *testing.T, old heal.Phase) {
	t.Helper()
	g := b.open(t, at.Add(4*time.Hour))
	_, err := g.Thaw("the test", at.Add(4*time.Hour))
	ok(t, err)
	if b.pointer(t).Version == b.v[1] {
		ok(t, b.registry(quick()).Promote(b.v[0], "by hand", at.Add(4*time.Hour)))
	}
	_, err = b.heals(quick(), b.pointer(t), at.Add(5*time.Hour))
	ok(t, err)
	if s := b.open(t, at.Add(6*time.Hour)).State(); s.Phase != heal.Baking || s.Bake.Promoted != b.v[1] {
		t.Fatalf("after a crash while %s the next promotion led to %+v", old, s)
	}
}

// TestGuardFollowsHand: what a human does ends a bake; a promotion ends a
// freeze, a rollback does not.
func TestGuardFollowsHand(t *testing.T) {
	b := newBench(t)
	_, err := b.heals(quick(), b.pointer(t), at)
	ok(t, err)
	reg := b.registry(quick())
	_, err = reg.Rollback("by hand", at.Add(time.Minute))
	ok(t, err)
	if s := b.open(t, at).State(); s.Phase != heal.Steady {
		t.Errorf("a rollback by hand while baking led to %+v", s)
	}
	_, err = b.heals(quick(), b.pointer(t), at.Add(2*time.Hour))
	ok(t, err)
	in, err := b.takesBack(quick(), b.pointer(t), at.Add(3*time.Hour))
	ok(t, err)
	if in.Action != heal.Rollback || in.Version != b.v[0] || b.pointer(t).Version != b.v[0] {
		t.Fatalf("not taken back: %+v", in)
	}
	if _, err := b.heals(quick(), b.pointer(t), at.Add(30*24*time.Hour)); !errors.Is(err, errNotTaken) {
		t.Errorf("a promotion while frozen: %v", err)
	}
	ok(t, reg.Promote(b.v[1], "I know better", at.Add(4*time.Hour)))
	if s := b.open(t, at.Add(5*time.Hour)).State(); s.Phase != heal.Steady {
		t.Errorf("a promotion by hand while frozen led to %+v", s)
	}
}

// TestGuardFreezesCircles: what healing took out of force comes not back by
// healing; it freezes instead, and says so in an incident that replays.
func TestGuardFreezesCircles(t *testing.T) {
	b := newBench(t)
	_, err := b.heals(quick(), b.pointer(t), at)
	ok(t, err)
	g := b.open(t, at)
	in := &Incident{Format: 1, At: at, Champion: b.v[1], Action: heal.Retrain, Version: b.v[0], Reason: "it is better", Reasons: []string{}}
	in.identify()
	ok(t, g.promote(nil, in, b.pointer(t), at.Add(time.Minute)))
	if in.Promoted || in.Action != heal.None || !in.Frozen() || g.State().Phase != heal.Frozen || b.pointer(t).Version != b.v[1] {
		t.Errorf("%s is in force, %+v, %+v", b.pointer(t).Version, in, g.State())
	}
	if why, yes := in.Guard.bars(); !yes || why != in.Reason {
		t.Errorf("recomputed: %v, %q, expected %q", yes, why, in.Reason)
	}
}

// TestJournalRefuses: what cannot be read is never taken for a state in which
// healing may act.
func TestJournalRefuses(t *testing.T) {
	base := newBench(t)
	_, err := base.heals(quick(), base.pointer(t), at)
	ok(t, err)
	_, err = base.takesBack(quick(), base.pointer(t), at.Add(time.Hour))
	ok(t, err)
	whole, err := ReadGuard(base.options(quick()))
	ok(t, err)
	last := filepath.Join("state", "healing", "000005.json") // moved, intended, done, intended, done
	edit := func(path, from, to string) func(b bench) {
		return func(b bench) {
			doc, err := os.ReadFile(filepath.Join(b.root, path))
			ok(t, err)
			if !strings.Contains(string(doc), from) {
				t.Fatalf("%s has no %s:\n%s", path, from, doc)
			}
			ok(t, os.WriteFile(filepath.Join(b.root, path), []byte(strings.Replace(string(doc), from, to, 1)), 0o644))
		}
	}
	snapshotGone := func(b bench) { ok(t, os.Remove(filepath.Join(b.root, "state", "healing.json"))) }
	both := func(f ...func(bench)) func(bench) {
		return func(b bench) {
			for _, g := range f {
				g(b)
			}
		}
	}
	newer := func(path string, v any) func(bench) {
		return func(b bench) {
			doc, err := registry.Seal(v)
			ok(t, err)
			ok(t, os.WriteFile(filepath.Join(b.root, path), doc, 0o644))
		}
	}
	for name, c := range map[string]struct {
		damage func(b bench)
		want   string // of the error; "" when the state survives
		reset  bool   // --thaw can begin anew
	}{
		"nothing":                    {func(bench) {}, "", true},
		"no snapshot":                {snapshotGone, "", true},
		"damaged snapshot":           {edit("state/healing.json", "frozen", "steady"), "", true},
		"an entry flipped":           {both(snapshotGone, edit(last, "done", "gone")), "digest", true},
		"an entry missing":           {both(snapshotGone, func(b bench) { ok(t, os.Remove(filepath.Join(b.root, "state", "healing", "000003.json"))) }), "comes after 2", true},
		"the last entry missing":     {func(b bench) { ok(t, os.Remove(filepath.Join(b.root, last))) }, "missing", true},
		"a snapshot of a later one":  {newer("state/healing.json", snapshot{Format: 2}), "format 2", false},
		"an entry of a later one":    {newer("state/healing/000006.json", entry{Format: 2, Seq: 6}), "format 2", false},
		"an entry that does not fit": {newer("state/healing/000006.json", entry{Format: 1, Seq: 6, Event: heal.Event{Kind: heal.Passed}}), "digest", true},
	} {
		b := base.copy(t)
		c.damage(b)
		s, err := ReadGuard(b.options(quick()))
		if c.want == "" {
			if err != nil || !reflect.DeepEqual(s, whole) {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
			continue
		}
		if !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, expected %q", name, err, c.want)
		}
		if _, err := OpenGuard(b.options(quick()), at); !errors.Is(err, ErrJournal) {
			t.Errorf("%s: opened, %v", name, err)
		}
		g, err := Reset(b.options(quick()), at)
		if (err == nil) != c.reset || c.reset && g.State().Phase != heal.Steady {
			t.Errorf("%s: reset %v", name, err)
		}
	}
}
