package retrain_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
)

// TestBakeLook: on rows that came after a promotion both versions are scored
// as they would have answered; the worse of them is told from the better, the
// rows before the promotion and those without truth do not count, and more rows
// change no block that was there.
func TestBakeLook(t *testing.T) {
	stream, _ := synth.Sales(9, synth.Options{Days: 200, Still: true})
	w := newWorld(t, stream, 120, 1)
	poor := poorer(t, w)
	began := synth.Start.AddDate(0, 0, 130)
	p := heal.BakePolicy{Length: 7 * 24 * time.Hour, Margin: 0.02, Alpha: 0.05}
	look := func(promoted, predecessor *registry.Loaded, since, until time.Time) *retrain.BakeRecord {
		t.Helper()
		rows := retrain.BakeRows{Predictions: w.dir("predictions"), Actuals: w.dir("actuals"), Promoted: promoted, Predecessor: predecessor, Threads: 1}
		r, err := rows.Look(p, heal.Bake{Promoted: promoted.Manifest.Version, Predecessor: predecessor.Manifest.Version, Began: since}, until)
		must(t, err)
		return r
	}
	worse := look(poor, w.champion, began, w.now)
	if worse.Verdict.Outcome != heal.BakeWorse || worse.Verdict.Promoted <= worse.Verdict.Predecessor {
		t.Errorf("a poor model was %s: %s", worse.Verdict.Outcome, worse.Verdict.Because)
	}
	better := look(w.champion, poor, began, w.now)
	if better.Verdict.Outcome != heal.BakePassed || len(better.Blocks) != len(worse.Blocks) {
		t.Errorf("a good model was %s: %s", better.Verdict.Outcome, better.Verdict.Because)
	}
	for i, b := range better.Blocks {
		if a := worse.Blocks[i]; a.Promoted != b.Predecessor || a.Predecessor != b.Promoted {
			t.Fatalf("block %d differs by who is asked first: %+v, %+v", i, a, b)
		}
		if b.From.Before(began.Truncate(24 * time.Hour)) {
			t.Errorf("block %d begins at %v, before the promotion at %v", i, b.From, began)
		}
	}
	if none := look(poor, w.champion, began, w.now.Add(-time.Hour)); none.Verdict.Rows != 0 || none.Verdict.Excess != nil {
		t.Errorf("before any truth came: %+v", none.Verdict)
	}
	// A rollback that rests on it replays.
	in := &retrain.Incident{
		Format: 1, ID: someID, At: w.now, Champion: poor.Manifest.Version, Version: w.champion.Manifest.Version, Action: heal.Rollback,
		Reason: worse.Verdict.Because, Basis: retrain.Basis{Bake: worse},
	}
	dir := filepath.Join(w.root, "incidents")
	must(t, in.Write(dir))
	if differs, err := retrain.Replay(dir, someID); err != nil || len(differs) > 0 {
		t.Errorf("replayed: %v, %v", differs, err)
	}
}

// poorer publishes a version with hardly any tree of the champion's.
func poorer(t *testing.T, w *world) *registry.Loaded {
	t.Helper()
	reference, err := w.champion.Reference()
	must(t, err)
	trees := *w.champion.Model.Trees
	trees.Trees = trees.Trees[:1]
	version, err := w.reg.Publish(&registry.Bundle{
		Template: w.champion.Model.Template, Trees: &trees, Reference: reference, Golden: w.champion.Golden(), Metrics: &w.champion.Metrics,
		Created: w.promoted, Lineage: registry.Lineage{Rows: 1, CreatedBy: "train"},
	})
	must(t, err)
	l, err := w.reg.Load(version)
	must(t, err)
	return l
}

// TestReplay: every outcome of a round is computed again to the last bit, and
// a number that was touched is found.
func TestReplay(t *testing.T) {
	w := newWorld(t, shifted(), 860, 1)
	dir := filepath.Join(w.root, "incidents")
	for name, change := range map[string]func(*retrain.Options){
		"retrain": func(o *retrain.Options) { o.DryRun = true },
		"keep":    func(o *retrain.Options) { o.Policy.Margin = 0.99 },
		"none":    func(o *retrain.Options) { o.Policy.MinLabels = 1_000_000 },
		"cooling": func(o *retrain.Options) { o.Policy.Cooldown = 10_000 * time.Hour },
	} {
		in, err := w.heal(t, change)
		must(t, err)
		in.ID = map[string]string{"retrain": "i20240601t120000z-00000001", "keep": "i20240601t120000z-00000002", "none": "i20240601t120000z-00000003", "cooling": "i20240601t120000z-00000004"}[name]
		must(t, in.Write(dir))
		if differs, err := retrain.Replay(dir, in.ID); err != nil || len(differs) > 0 {
			t.Errorf("%s: %v, %v", name, differs, err)
		}
		if len(in.Trials) == 0 {
			continue
		}
		again, err := retrain.Read(dir, in.ID)
		must(t, err)
		again.Trials[1].All.Gain.Hi += 1e-12
		again.ID = "i20240602t120000z-0000000" + in.ID[len(in.ID)-1:]
		must(t, again.Write(dir))
		if _, err := retrain.Replay(dir, again.ID); err == nil {
			t.Errorf("%s: replayed without losses", name)
		}
		copyFile(t, filepath.Join(dir, in.ID, "losses.parquet"), filepath.Join(dir, again.ID, "losses.parquet"))
		if differs, err := retrain.Replay(dir, again.ID); err != nil || len(differs) != 1 {
			t.Errorf("%s, touched in the twelfth digit: %v, %v", name, differs, err)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o644))
}
