package retrain_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// world is a champion trained on the past of a stream, with the rest of it
// logged and its truth known.
type world struct {
	root     string
	reg      *registry.Registry
	past     *table.Table
	champion *registry.Loaded
	promoted time.Time
	now      time.Time
}

// newWorld trains on the first days of stream and logs the rest, broken by
// faults from the row that is a share of it on.
func newWorld(t *testing.T, stream *table.Table, days int, share float64, faults ...synth.Fault) *world {
	t.Helper()
	ctx := context.Background()
	cut := synth.Start.AddDate(0, 0, days)
	at := 0
	for at < stream.NumRows() && stream.Column("date").Times[at] < cut.UnixMicro() {
		at++
	}
	w := &world{root: t.TempDir(), past: stream.Slice(0, at), promoted: cut}
	w.reg = registry.Open(filepath.Join(w.root, "exported_model"))
	inf, err := feature.Infer(w.past, feature.InferOptions{Target: "sales"})
	must(t, err)
	rows, err := train.Prepare(w.past, inf, train.TimesOf(w.past, inf.Time), nil)
	must(t, err)
	res, err := train.Run(ctx, rows, train.Options{Holdout: 0.2, Seed: 1, Threads: 1, Set: map[string]string{"num_iterations": "40"}})
	must(t, err)
	reference, err := res.Reference(5000)
	must(t, err)
	b := &registry.Bundle{
		Template: res.Rows.Template, Trees: res.Trees, Reference: reference, Golden: res.Rows.Sample(0, 8), Created: cut,
		Metrics: &registry.Metrics{Metric: "mae", Rows: 1, Holdout: res.Holdout, Iterations: res.Best},
		Lineage: registry.Lineage{Rows: rows.Len(), CreatedBy: "train"},
	}
	b.Lineage.From, b.Lineage.To = rows.Span(0, rows.Len())
	version, err := w.reg.Publish(b)
	must(t, err)
	must(t, w.reg.Promote(version, "first", cut))
	w.champion, err = w.reg.Load(version)
	must(t, err)
	future := stream.Slice(at, stream.NumRows())
	w.log(t, future, int(share*float64(future.NumRows())), faults)
	return w
}

// log predicts the future with the champion, logs it and tells its truth.
func (w *world) log(t *testing.T, future *table.Table, from int, faults []synth.Fault) {
	t.Helper()
	seen, err := synth.Inject(future.Drop("sales"), from, faults...)
	must(t, err)
	p, err := w.champion.Model.PredictTable(seen, 1)
	must(t, err)
	n := future.NumRows()
	ids, versions, flags, at := make([]string, n), make([]string, n), make([]float64, n), make([]int64, n)
	times := future.Column("date").Times
	for i := range n {
		ids[i], versions[i], at[i] = fmt.Sprint("row-", i), w.champion.Manifest.Version, times[i]+1
	}
	w.now = time.UnixMicro(times[n-1]).Add(24 * time.Hour).UTC()
	cols := []*table.Column{table.Strings("prediction_id", ids), table.Times("prediction_time", at), table.Strings("model_version", versions), table.Floats("prediction_flags", flags)}
	cols = append(cols, p.Columns(w.champion.Model.Template)...)
	must(t, predlog.WriteBatch(w.dir("predictions"), table.Must(append(cols, seen.Columns()...)...), "test"))
	truth := *future.Column("sales")
	truth.Name = predlog.ColumnActual
	for i := range at {
		at[i] = w.now.UnixMicro() - 1
	}
	_, _, err = predlog.WriteActuals(w.dir("actuals"), table.Must(table.Strings("prediction_id", ids), &truth, table.Times(predlog.ColumnActualTime, at)), "test", "all")
	must(t, err)
}

func (w *world) dir(log string) string { return filepath.Join(w.root, "data", log) }

// heal runs one round; change may alter the options.
func (w *world) heal(t *testing.T, change func(*retrain.Options)) (*retrain.Incident, error) {
	t.Helper()
	reference, err := w.champion.Reference()
	must(t, err)
	from, err := w.reg.Pointer()
	must(t, err)
	o := retrain.Options{
		Policy:  heal.Policy{Cooldown: time.Hour, MinLabels: 200, Margin: 0.01, Confidence: 0.99},
		Sources: retrain.Sources{Predictions: w.dir("predictions"), Actuals: w.dir("actuals"), Data: w.past, Reference: reference},
		Reasons: []string{"the test says so"}, Seed: 1, Threads: 1, Now: w.now, Clock: func() time.Time { return w.now }, Progress: func(string, int, int) {},
	}
	if change != nil {
		change(&o)
	}
	return retrain.Run(context.Background(), w.reg, w.champion, from, w.promoted, o)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shifted is the shop's stream from a year before the world moves for good.
func shifted() *table.Table {
	s, _ := synth.Sales(5, synth.Options{})
	return s
}

// TestHealsWhatMoved: after buyers changed, a cure is proven, published with
// its lineage, and put in force; the incident tells the story and survives its
// file.
func TestHealsWhatMoved(t *testing.T) {
	w := newWorld(t, shifted(), 860, 1)
	in, err := w.heal(t, nil)
	must(t, err)
	if !in.Promoted || in.Action != heal.Retrain || in.Version == "" || len(in.Trials) < 3 {
		t.Fatalf("not healed: %s", in.Story())
	}
	current, err := w.reg.Current()
	must(t, err)
	if current != in.Version {
		t.Errorf("%s is in force, expected %s", current, in.Version)
	}
	l, err := w.reg.Load(in.Version)
	must(t, err)
	if l.Manifest.Lineage.Parent != in.Champion || l.Manifest.Lineage.Incident != in.ID {
		t.Errorf("lineage %+v does not lead back to the incident %s", l.Manifest.Lineage, in.ID)
	}
	e, err := l.Estimator()
	must(t, err)
	if e == nil || e.Rows != l.Metrics.Rows || string(e.Metric) != l.Metrics.Metric || math.Abs(e.Then-l.Metrics.Holdout[l.Metrics.Metric]) > 1e-9 {
		t.Errorf("the estimator %+v is not of the rows of %+v", e, l.Metrics)
	}
	dir := filepath.Join(w.root, "incidents")
	must(t, in.Write(dir))
	ids, err := retrain.List(dir)
	must(t, err)
	if len(ids) != 1 || ids[0] != in.ID {
		t.Fatalf("incidents %q, expected %q", ids, in.ID)
	}
	again, err := retrain.Read(dir, in.ID)
	must(t, err)
	if again.Story() != in.Story() || !strings.Contains(again.Story(), "the test says so") {
		t.Errorf("the story changed in its file:\n%s", again.Story())
	}
	for _, id := range []string{"../x", "", "i20240101t000000z-00000000/.."} {
		if _, err := retrain.Read(dir, id); !errors.Is(err, retrain.ErrNoIncident) {
			t.Errorf("reading %q: %v, expected ErrNoIncident", id, err)
		}
	}
}

var replays = flag.Int("replays", 20, "streams in which nothing moves that are replayed")

// TestKeepsWhatHolds: where nothing moved and the champion has seen enough, a
// false alarm leads to no promotion, in any replay.
func TestKeepsWhatHolds(t *testing.T) {
	for seed := range uint64(*replays) {
		stream, _ := synth.Sales(100+seed, synth.Options{Days: 430, Still: true})
		w := newWorld(t, stream, 400, 1)
		in, err := w.heal(t, nil)
		must(t, err)
		if in.Promoted {
			t.Errorf("seed %d: %s", seed, in.Reason)
		}
	}
}

// TestMoreRowsTeach: where nothing moved but the champion has seen little, what
// it gains by more rows is real, and still seldom proven.
func TestMoreRowsTeach(t *testing.T) {
	promoted := 0
	for seed := range uint64(10) {
		stream, _ := synth.Sales(100+seed, synth.Options{Days: 130, Still: true})
		w := newWorld(t, stream, 100, 1)
		in, err := w.heal(t, nil)
		must(t, err)
		if in.Promoted {
			promoted++
		}
	}
	if promoted > 3 {
		t.Errorf("%d of 10 still streams were promoted", promoted)
	}
}

// TestBrokenFeedTeachesNothing: rows that came in while a column was dead or in
// other units are named and left out.
func TestBrokenFeedTeachesNothing(t *testing.T) {
	for name, fault := range map[string]synth.Fault{"all missing": synth.Blank("price"), "in cents": synth.Scale("price", 100), "stuck": synth.Stick("price")} {
		stream, _ := synth.Sales(7, synth.Options{Days: 200, Still: true})
		w := newWorld(t, stream, 130, 0.4, fault)
		in, err := w.heal(t, func(o *retrain.Options) { o.Sources.Repair.Quarantine, o.Report = true, stuckReport })
		must(t, err)
		rows := 0
		for _, e := range in.Excluded {
			rows += e.Rows
			if e.Column != "price" {
				t.Errorf("%s: column %q is blamed: %s", name, e.Column, e.Why)
			}
		}
		if bad := 0.6 * 70 * 20; float64(rows) < 0.85*bad || float64(rows) > 1.5*bad {
			t.Errorf("%s: %d rows are left out, about %.0f are broken", name, rows, bad)
		}
	}
}

// TestStuckOnPurpose: who lets nothing be read as missing says that a column
// which stands still is how the world is, and it is learnt from.
func TestStuckOnPurpose(t *testing.T) {
	stream, _ := synth.Sales(7, synth.Options{Days: 200, Still: true})
	w := newWorld(t, stream, 130, 0.4, synth.Stick("price"))
	in, err := w.heal(t, func(o *retrain.Options) { o.DryRun, o.Report = true, stuckReport })
	must(t, err)
	if len(in.Excluded) > 0 {
		t.Errorf("%+v", in.Excluded)
	}
	// A stretch that stands still in a window which does not is no fault either.
	in, err = w.heal(t, func(o *retrain.Options) { o.Sources.Repair.Quarantine = true })
	must(t, err)
	if len(in.Excluded) > 0 {
		t.Errorf("%+v", in.Excluded)
	}
}

// stuckReport says that the price stood still in the whole of its window.
var stuckReport = &monitor.Report{Faults: []monitor.Fault{{Column: "price", Kind: monitor.FrozenChange}}, Columns: map[string]*monitor.Column{}}

// TestMendedInPart: values that are as far out as bent ones, before the fault
// and after it, are learnt from as they came.
func TestMendedInPart(t *testing.T) {
	stream, _ := synth.Sales(7, synth.Options{Days: 200, Still: true})
	price := stream.Column("price")
	dear := 0
	for i := range price.Floats { // a tenth of what is sold costs a hundred times as much
		if i%10 == 0 {
			price.Floats[i] *= 100
		}
	}
	w := newWorld(t, stream, 130, 0.4, synth.Scale("price", 100))
	in, err := w.heal(t, func(o *retrain.Options) { o.Sources.Repair.Scale = true })
	must(t, err)
	rows := 0
	for _, e := range in.Repaired {
		rows += e.Rows
	}
	for i := (130 + 28) * 20; i < 200*20; i++ {
		dear++
	}
	if rows < dear-20 || rows > dear+20 {
		t.Errorf("%d rows are mended, %d came bent", rows, dear)
	}
}

// TestChangesNothing: without labels, in a rehearsal, in the cooldown, and when
// somebody else moved the pointer meanwhile.
func TestChangesNothing(t *testing.T) {
	w := newWorld(t, shifted(), 860, 1)
	before, err := w.reg.Current()
	must(t, err)
	in, err := w.heal(t, func(o *retrain.Options) { o.Policy.MinLabels = 1_000_000 })
	must(t, err)
	if in.Action != heal.None || !strings.Contains(in.Reason, "waiting for actuals") {
		t.Errorf("without labels: %s because %s", in.Action, in.Reason)
	}
	in, err = w.heal(t, func(o *retrain.Options) { o.DryRun = true })
	must(t, err)
	if in.Action != heal.Retrain || in.Promoted || in.Version != "" {
		t.Errorf("a rehearsal promoted: %+v", in)
	}
	in, err = w.heal(t, func(o *retrain.Options) { o.Policy.Cooldown = 10_000 * time.Hour })
	must(t, err)
	if in.Action != heal.None || !strings.Contains(in.Reason, "cooldown") {
		t.Errorf("in the cooldown: %s because %s", in.Action, in.Reason)
	}
	after, err := w.reg.Current()
	must(t, err)
	if after != before {
		t.Errorf("%s is in force, expected %s still", after, before)
	}
}

// TestPointerMoved: a promotion by hand while the job was at work stands.
func TestPointerMoved(t *testing.T) {
	w := newWorld(t, shifted(), 860, 1)
	in, err := w.heal(t, nil)
	must(t, err)
	if !in.Promoted {
		t.Fatal("nothing was promoted")
	}
	// The job that began before that promotion comes too late.
	reference, err := w.champion.Reference()
	must(t, err)
	_, err = retrain.Run(context.Background(), w.reg, w.champion, registry.Pointer{Version: in.Champion, Generation: 1}, w.promoted, retrain.Options{
		Policy: heal.Policy{MinLabels: 200, Confidence: 0.9}, Reasons: []string{"late"}, Seed: 2, Threads: 1, Now: w.now,
		Sources: retrain.Sources{Predictions: w.dir("predictions"), Actuals: w.dir("actuals"), Data: w.past, Reference: reference},
		Clock:   func() time.Time { return w.now }, Progress: func(string, int, int) {},
	})
	if !errors.Is(err, registry.ErrMoved) {
		t.Errorf("error %v, expected ErrMoved", err)
	}
	current, err := w.reg.Current()
	must(t, err)
	if current != in.Version {
		t.Errorf("%s is in force, expected %s", current, in.Version)
	}
}
