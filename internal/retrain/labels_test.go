package retrain_test

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// retell tells labels of logged rows anew, from a source; nil leaves one alone.
func (w *world) retell(t *testing.T, source string, tell func(i int, at time.Time, sales float64) *float64) {
	t.Helper()
	actuals, _, err := predlog.ReadActuals(w.dir("actuals"), 0, w.now.UnixMicro(), predlog.ReadOptions{})
	must(t, err)
	preds, _, err := predlog.Read(w.dir("predictions"), 0, w.now.UnixMicro(), predlog.ReadOptions{})
	must(t, err)
	joined, _ := predlog.Join(preds, actuals, "regression")
	var ids []string
	var values []float64
	var at []int64
	for i := range joined.NumRows() {
		if v := tell(i, time.UnixMicro(joined.Column("date").Times[i]).UTC(), joined.Column(predlog.ColumnActual).Floats[i]); v != nil {
			ids, values, at = append(ids, joined.Column("prediction_id").Format(i)), append(values, *v), append(at, w.now.UnixMicro()-1)
		}
	}
	_, _, err = predlog.WriteActuals(w.dir("actuals"), table.Must(table.Strings("prediction_id", ids), table.Floats(predlog.ColumnActual, values), table.Times(predlog.ColumnActualTime, at)), source, source)
	must(t, err)
}

func still(t *testing.T) *world {
	t.Helper()
	stream, _ := synth.Sales(3, synth.Options{Days: 440, Still: true})
	return newWorld(t, stream, 400, 1)
}

// TestPoisonTeachesNothing: a fifth of a week's labels times ten are left out
// of this round and of every one that follows, until somebody readmits them.
func TestPoisonTeachesNothing(t *testing.T) {
	w := still(t)
	week := synth.Start.AddDate(0, 0, 420)
	r := rand.New(rand.NewPCG(1, 1))
	spoilt := 0
	w.retell(t, "mob", func(_ int, at time.Time, sales float64) *float64 {
		if at.Before(week) || !at.Before(week.AddDate(0, 0, 10)) || r.Float64() > 0.2 {
			return nil
		}
		spoilt++
		sales *= 10
		return &sales
	})
	incidents := filepath.Join(w.root, "incidents")
	in, err := w.heal(t, nil)
	must(t, err)
	if in.Promoted || in.Action != heal.Quarantine || in.Spoilt == nil || !strings.Contains(in.Story(), "readmit") {
		t.Fatalf("%s", in.Story())
	}
	if in.LeftOut < spoilt*9/10 || in.LeftOut > spoilt*13/10 {
		t.Errorf("%d rows are left out, %d are spoilt", in.LeftOut, spoilt)
	}
	must(t, in.Write(incidents))
	if found, err := retrain.Replay(incidents, in.ID); err != nil || len(found) > 0 {
		t.Errorf("replay: %v, %v", found, err)
	}
	again := func(readmit ...string) *retrain.Incident {
		left, err := retrain.ReadLeft(incidents, readmit)
		must(t, err)
		next, err := w.heal(t, func(o *retrain.Options) { o.Sources.Left = left; o.DryRun = true })
		must(t, err)
		return next
	}
	if next := again(); next.LeftOut != 0 || next.Rows != in.Rows || len(next.Excluded) != 1 || next.Excluded[0].Incident != in.ID || next.Excluded[0].Rows != in.LeftOut {
		t.Errorf("the round after: %d rows, %d left out; %+v", next.Rows, next.LeftOut, next.Excluded)
	}
	if next := again(in.ID); next.LeftOut != in.LeftOut {
		t.Errorf("readmitted, %d rows are left out, expected %d", next.LeftOut, in.LeftOut)
	}
}

// TestLineageTellsWhatIsLeftOut: a version says which rows it was not taught.
func TestLineageTellsWhatIsLeftOut(t *testing.T) {
	stream, _ := synth.Sales(5, synth.Options{})
	w := newWorld(t, stream, 860, 0.9, synth.Blank("price"))
	in, err := w.heal(t, nil)
	must(t, err)
	if !in.Promoted || in.LeftOut == 0 {
		t.Fatalf("%d rows are left out: %s", in.LeftOut, in.Reason)
	}
	l, err := w.reg.Load(in.Version)
	must(t, err)
	rows := 0
	for _, e := range l.Manifest.Lineage.Excluded {
		rows += e.Rows
		if e.Incident != in.ID || e.Column == "" || e.Why == "" || e.From.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if rows != in.LeftOut {
		t.Errorf("the lineage tells of %d rows left out, the incident of %d", rows, in.LeftOut)
	}
}

// TestSourceCap: of two sources one tells nearly all; it may teach half of what
// is new, and which of its rows is the same in every run.
func TestSourceCap(t *testing.T) {
	w := still(t)
	w.retell(t, "few", func(i int, _ time.Time, sales float64) *float64 {
		if i%8 != 0 {
			return nil
		}
		return &sales
	})
	dry := func(change func(*retrain.Labels)) *retrain.Incident {
		in, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true; change(&o.Labels) })
		must(t, err)
		return in
	}
	open := dry(func(*retrain.Labels) {})
	in := dry(func(o *retrain.Labels) { o.SourceCap = 0.5 })
	if open.Labels != 800 || in.Labels != 200 || len(in.Excluded) != 1 || in.Excluded[0].Source != "test" || in.LeftOut != 0 {
		t.Errorf("%d labels without a cap, %d with one; %+v", open.Labels, in.Labels, in.Excluded)
	}
	document := func(in *retrain.Incident) string {
		b, err := json.Marshal(in)
		must(t, err)
		return string(b)
	}
	if next := dry(func(o *retrain.Labels) { o.SourceCap = 0.5 }); document(next) != document(in) {
		t.Error("another run with a cap comes to other figures")
	}
}

// TestLabelRate: labels that are of one class more often than is thinkable wait
// for a human.
func TestLabelRate(t *testing.T) {
	w := still(t)
	from := synth.Start.AddDate(0, 0, 420)
	w.retell(t, "flood", func(i int, at time.Time, sales float64) *float64 {
		if at.Before(from) || i%3 == 0 {
			return nil
		}
		sales = 1e4
		return &sales
	})
	rate := func(k float64) *retrain.Incident {
		in, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true; o.Labels.Rate = k })
		must(t, err)
		return in
	}
	in := rate(5)
	flooded := slices.ContainsFunc(in.Excluded, func(e retrain.Exclusion) bool {
		return e.Source == "flood" && strings.Contains(e.Why, "above") && e.Rows > 100
	})
	if !flooded {
		t.Errorf("%+v", in.Excluded)
	}
	for _, e := range in.Excluded {
		if strings.Contains(e.Why, "times off") && e.Source != "flood" {
			t.Errorf("%+v", e)
		}
	}
}

// TestGoldenRows: what loses on the rows that somebody vouches for is ruled
// out, whatever it gains.
func TestGoldenRows(t *testing.T) {
	w := newWorld(t, shifted(), 860, 1)
	golden := &retrain.Golden{File: "golden.csv", SHA256: "abc", Rows: w.past.Slice(w.past.NumRows()-400, w.past.NumRows())}
	in, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true; o.Labels.Golden = golden })
	must(t, err)
	if in.Action != heal.Keep || in.Golden == nil || in.Golden.Rows != 400 || !(in.Golden.Champion > 0) {
		t.Fatalf("golden rows %+v: %s", in.Golden, in.Story())
	}
	usual := in.Trials[0]
	if len(usual.Vetoes) != 1 || !strings.Contains(usual.Vetoes[0], "golden") || usual.Golden <= in.Golden.Champion {
		t.Errorf("%+v", usual)
	}
	if free, err := w.heal(t, func(o *retrain.Options) { o.DryRun = true }); err != nil || free.Action == heal.Keep {
		t.Errorf("without golden rows: %v, %v", free.Action, err)
	}
	for name, bad := range map[string]*table.Table{
		"no target":        golden.Rows.Drop("sales"),
		"a missing target": table.Must(append(golden.Rows.Drop("sales").Columns(), table.AllMissing("sales", table.Float, 400))...),
	} {
		_, err := w.heal(t, func(o *retrain.Options) { o.Labels.Golden = &retrain.Golden{File: "golden.csv", Rows: bad} })
		if err == nil || !strings.Contains(err.Error(), "golden.csv") || !strings.Contains(err.Error(), "sales") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
