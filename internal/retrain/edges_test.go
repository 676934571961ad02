package retrain_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
)

// small is a world of a few weeks in which nothing moves.
func small(t *testing.T, faults ...synth.Fault) *world {
	t.Helper()
	stream, _ := synth.Sales(11, synth.Options{Days: 80, Still: true})
	return newWorld(t, stream, 50, 0.3, faults...)
}

// TestShortMemory: when so few rows may be remembered that the champion knows
// none of them, the oldest are learnt from and the rest are judged on.
func TestShortMemory(t *testing.T) {
	w := small(t)
	for _, most := range []int{20, 200, 250, 450, 550} {
		in, err := w.heal(t, func(o *retrain.Options) { o.MaxRows, o.DryRun = most, true })
		if err != nil {
			t.Errorf("newest %d rows: %v", most, err)
			continue
		}
		if in.Rows != most || in.Labels > most || most >= 450 && len(in.Trials) == 0 {
			t.Errorf("newest %d rows: %d rows, %d of them new, %d trials: %s", most, in.Rows, in.Labels, len(in.Trials), in.Reason)
		}
		for _, trial := range in.Trials {
			if trial.All.Rows >= most || trial.Newest.Rows > trial.All.Rows {
				t.Errorf("newest %d rows: judged on %d, the newest %d", most, trial.All.Rows, trial.Newest.Rows)
			}
		}
	}
}

// TestNothingLogged: before the first prediction there is nothing to judge by.
func TestNothingLogged(t *testing.T) {
	w := small(t)
	in, err := w.heal(t, func(o *retrain.Options) {
		o.Sources.Predictions, o.Sources.Actuals = w.dir("none"), w.dir("neither")
	})
	must(t, err)
	if in.Action != heal.None || in.Labels != 0 || !strings.Contains(in.Reason, "waiting for actuals") {
		t.Errorf("%s with %d labels because %s", in.Action, in.Labels, in.Reason)
	}
}

// TestReferenceStandsIn: without the training data, the rows kept with the
// champion are the past.
func TestReferenceStandsIn(t *testing.T) {
	w := small(t)
	in, err := w.heal(t, func(o *retrain.Options) { o.Sources.Data, o.DryRun = nil, true })
	must(t, err)
	if in.Rows != 80*20 || len(in.Trials) == 0 {
		t.Errorf("%d rows and %d trials, expected %d rows: %s", in.Rows, len(in.Trials), 80*20, in.Reason)
	}
}

// TestDeadFeedIsTold: a feed that lost its dates along with a number still
// makes an incident that can be kept.
func TestDeadFeedIsTold(t *testing.T) {
	w := small(t, synth.Blank("price"), synth.Blank("date"))
	in, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true })
	must(t, err)
	dir := filepath.Join(w.root, "incidents")
	must(t, in.Write(dir))
	again, err := retrain.Read(dir, in.ID)
	must(t, err)
	if len(again.Excluded) == 0 {
		t.Errorf("nothing is left out: %s", again.Story())
	}
	kept := 80 * 20
	for _, e := range again.Excluded {
		kept -= e.Rows
		if !e.From.IsZero() && e.From.Before(synth.Start) || e.To.After(w.now) || e.Rows == 0 {
			t.Errorf("%d rows from %v to %v are left out", e.Rows, e.From, e.To)
		}
	}
	if again.Rows != kept {
		t.Errorf("%d rows are learnt from, expected %d", again.Rows, kept)
	}
}

// TestRehearsalLeavesNoTrace: nothing under the root changes.
func TestRehearsalLeavesNoTrace(t *testing.T) {
	stream, _ := synth.Sales(11, synth.Options{Days: 80, Still: true})
	stream, err := synth.Inject(stream, 50*20, synth.Scale("sales", 2)) // everybody buys twice as much
	must(t, err)
	w := newWorld(t, stream, 50, 1)
	files := func() string {
		var b strings.Builder
		must(t, filepath.WalkDir(w.root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				content, err := os.ReadFile(path)
				b.WriteString(path + string(content))
				return err
			}
			return err
		}))
		return b.String()
	}
	before := files()
	in, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true })
	must(t, err)
	if in.Action != heal.Recalibrate || in.Promoted || !strings.Contains(in.Story(), "rehearsal") {
		t.Fatalf("%s", in.Story())
	}
	if files() != before {
		t.Error("a rehearsal changed files")
	}
}
