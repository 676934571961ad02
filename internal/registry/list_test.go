package registry

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/schema"
)

func TestList(t *testing.T) {
	r, v := publish(t, 3)
	must(t, r.Promote(v[0], "up", created))
	must(t, r.Promote(v[1], "up", created))
	overwrite(t, filepath.Join(r.Path(v[2]), metricsFile), nil)
	list, err := r.List()
	must(t, err)
	if len(list) != 3 {
		t.Fatalf("%d entries", len(list))
	}
	e := list[0]
	if e.Version != v[0] || e.State != StatePrevious || e.Rows != 200 || e.Metrics.Holdout["rmse"] != 2.25 || e.Bytes < 1000 || e.Reason != "first" || !e.Created.Equal(created) {
		t.Errorf("got %+v", e)
	}
	if list[1].State != StateCurrent || list[2].State != "" || !strings.Contains(list[2].Fault, metricsFile) {
		t.Errorf("got %+v", list[1:])
	}
	if list, err := Open(filepath.Join(t.TempDir(), "none")).List(); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestShow(t *testing.T) {
	r, v := publish(t, 2)
	must(t, r.Promote(v[0], "up", created))
	must(t, r.Promote(v[1], "on", created))
	d, err := r.Show(v[0])
	must(t, err)
	if d.State != StatePrevious || d.Template.Target != "sales" || d.Metrics.Metric != "rmse" || d.Manifest.Version != v[0] || len(d.Served) != 2 {
		t.Errorf("got %+v", d)
	}
	_, err = r.Show("..")
	refused(t, err, "", "no name of a version")
}

func TestDiff(t *testing.T) {
	r := Open(t.TempDir())
	a, err := r.Publish(bundle(schema.Regression, 1))
	must(t, err)
	b := bundle(schema.Regression, 1)
	b.Template.Columns[4].Kind = schema.Boolean
	b.Template.Columns[6].Name = "remark"
	b.Template.Features[0].Op = schema.Month
	b.Template.Seal()
	note := *b.Golden.Column("note")
	note.Name = "remark"
	b.Golden, err = b.Golden.With(&note)
	must(t, err)
	b.Metrics.Holdout["rmse"] = 1
	b.Lineage.Parameters = map[string]string{"num_leaves": "8", "lambda_l2": "0.5"}
	v, err := r.Publish(b)
	must(t, err)
	c, err := r.Diff(a, v)
	must(t, err)
	if len(c.Columns) != 3 || c.Columns[0].What != "retyped" || c.Columns[1].Column != "note" || c.Columns[2].Column != "remark" {
		t.Errorf("columns %v", c.Columns)
	}
	if want := []string{"−date.hour", "+date.hour"}; !reflect.DeepEqual(c.Features, want) {
		t.Errorf("features %v", c.Features)
	}
	if want := []Pair{{"lambda_l2", "", "0.5"}, {"num_leaves", "7", "8"}, {"seed", "1", ""}}; !reflect.DeepEqual(c.Parameters, want) {
		t.Errorf("parameters %v", c.Parameters)
	}
	if want := []Pair{{"rmse", "2.25", "1"}}; !reflect.DeepEqual(c.Metrics, want) {
		t.Errorf("metrics %v", c.Metrics)
	}
	if len(c.Files) == 0 {
		t.Error("no file differs in size")
	}
	same, err := r.Diff(a, a)
	must(t, err)
	if !reflect.DeepEqual(same, &Comparison{A: a, B: a}) {
		t.Errorf("differs from itself: %+v", same)
	}
	if _, err := r.Diff(a, "v0009-00000000"); err == nil {
		t.Error("compared with nothing")
	}
}

func TestPrune(t *testing.T) {
	r, v := publish(t, 7)
	for _, i := range []int{0, 1, 4, 1, 2} {
		must(t, r.Promote(v[i], "up", created))
	}
	check := func(keep int, want ...string) {
		t.Helper()
		removed, err := r.Prune(keep)
		must(t, err)
		if len(want) != len(removed) || len(want) > 0 && !reflect.DeepEqual(removed, want) {
			t.Errorf("keeping %d removed %v, expected %v", keep, removed, want)
		}
	}
	if _, err := r.Prune(0); err == nil {
		t.Error("pruned everything")
	}
	check(7)
	check(2, v[3])       // the newest two, 4, 1 and 2 of the last two changes, and the first that served
	check(1, v[4], v[5]) // the newest, current 2, previous 1 and the first
	left, err := r.Versions()
	must(t, err)
	if want := []string{v[0], v[1], v[2], v[6]}; !reflect.DeepEqual(left, want) {
		t.Errorf("left %v, expected %v", left, want)
	}
	if _, err := r.Rollback("x", created); err != nil {
		t.Error(err)
	}
}

// What a rollback would go to stays even when no late change names it.
func TestPruneKeepsTheWayBack(t *testing.T) {
	r, v := publish(t, 4)
	for _, name := range v[:3] {
		must(t, r.Promote(name, "up", created))
	}
	_, err := r.Rollback("worse", created) // from 2 to 1: a second one would go to 0
	must(t, err)
	removed, err := r.Prune(1)
	must(t, err)
	if removed != nil {
		t.Errorf("removed %v", removed)
	}
	got, err := r.Rollback("worse still", created)
	must(t, err)
	if got != v[0] {
		t.Errorf("rolled back to %s", got)
	}
}

// What somebody names stays.
func TestPruneSpares(t *testing.T) {
	r, v := publish(t, 4)
	must(t, r.Promote(v[3], "up", created))
	removed, err := r.Prune(1, v[1])
	must(t, err)
	if !slices.Equal(removed, []string{v[0], v[2]}) {
		t.Errorf("removed %v", removed)
	}
}

func TestPruneCrashes(t *testing.T) {
	for n := 0; ; n++ {
		r, v := publish(t, 3)
		must(t, r.Promote(v[2], "up", created))
		disk := faulty.New(faulty.StopAt(n))
		r.disk = durable.Disk{FS: disk}
		_, err := r.Prune(1)
		r.disk = durable.Disk{}
		if err == nil {
			break
		}
		must(t, disk.PowerCut())
		checkWhole(t, r)
		if _, err := r.Publish(bundle(schema.Regression, 9)); err != nil {
			t.Fatal(err)
		}
		n += 9 // a version has many files: every tenth operation will do
	}
}

func TestExport(t *testing.T) {
	r, v := publish(t, 1)
	l, err := r.Load(v[0])
	must(t, err)
	out := filepath.Join(t.TempDir(), "a", "model")
	must(t, l.ExportMLflow(out, false))
	alone, err := LoadDir(out)
	must(t, err)
	if alone.Model.Version != v[0] || alone.Unlisted != nil {
		t.Errorf("exported %s with %v", alone.Model.Version, alone.Unlisted)
	}
	if err := l.ExportMLflow(out, false); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
	must(t, l.ExportMLflow(out, true))
	empty := t.TempDir()
	must(t, l.ExportMLflow(empty, false))
	foreign := t.TempDir()
	overwrite(t, filepath.Join(foreign, "thesis.txt"), nil)
	if err := l.ExportMLflow(foreign, true); err == nil || !strings.Contains(err.Error(), "no MLflow model") {
		t.Errorf("got %v", err)
	}
	for _, dir := range []string{filepath.Dir(out), filepath.Dir(empty)} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if durable.IsTemp(e.Name()) {
				t.Errorf("left %s", e.Name())
			}
		}
	}

	text := filepath.Join(t.TempDir(), "model.txt")
	must(t, l.ExportLightGBM(text, false))
	if string(content(t, text)) != string(content(t, filepath.Join(l.Dir, lightgbmFile))) {
		t.Error("the text differs")
	}
	if err := l.ExportLightGBM(text, false); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("got %v", err)
	}
	must(t, l.ExportLightGBM(text, true))

	overwrite(t, filepath.Join(l.Dir, lightgbmFile), []byte("x"))
	refused(t, l.ExportLightGBM(text, true), lightgbmFile, "since the version was loaded")
	refused(t, l.ExportMLflow(filepath.Join(t.TempDir(), "x"), true), lightgbmFile, "")
}
