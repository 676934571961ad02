package predlog

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// rows are a table's rows as CSV lines without a header.
func rows(t *testing.T, tab *table.Table) string {
	t.Helper()
	var b strings.Builder
	if err := table.WriteCSV(&b, tab); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\n")
	return strings.ReplaceAll(strings.TrimSpace(body), "\r", "")
}

func TestActualsWriter(t *testing.T) {
	dir := t.TempDir()
	w, err := OpenActualsWriter(dir, WriterOptions{Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	as := []Actual{{"b", "2.50", noon + second, "http"}, {"a", "é, \"x\"", noon, "http"}}
	if err := w.Append(context.Background(), as); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(context.Background(), []Actual{{ID: "c", At: -1}}); err == nil {
		t.Error("took a time before 1970")
	}
	if err := w.Append(context.Background(), nil); err != nil {
		t.Errorf("no actuals: %v", err)
	}
	if s := w.Stats(); s.Rows != 2 || s.Segments != 1 {
		t.Errorf("stats %+v", s)
	}
	want := "a,\"é, \"\"x\"\"\",2024-01-10T12:00:00Z,http\nb,2.50,2024-01-10T12:00:01Z,http"
	for _, step := range []func(){
		func() {},
		func() {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		},
		func() { sealAll(t, dir) },
		func() { sealAll(t, dir) },
	} {
		step()
		tab, _, err := ReadActuals(dir, 0, maxTime, ReadOptions{})
		if err != nil || rows(t, tab) != want {
			t.Errorf("read %s, %v", rows(t, tab), err)
		}
	}
}

func actualsTable(ids, values []string, at ...int64) *table.Table {
	return table.Must(table.Strings(ColumnID, ids), table.Strings(ColumnActual, values), table.Times(ColumnActualTime, at))
}

func TestWriteActuals(t *testing.T) {
	dir := t.TempDir()
	in := table.Must(
		table.Strings(ColumnID, []string{"a", "b", "c"}),
		table.Floats(ColumnActual, []float64{1.5, math.NaN(), 3}),
		table.Times(ColumnActualTime, []int64{noon, noon, noon + allDay}),
		table.Floats("other", make([]float64, 3)),
	)
	n, already, err := WriteActuals(dir, in, "truth.csv", "hash one")
	if n != 2 || already || err != nil {
		t.Fatalf("first: %d, %v, %v", n, already, err)
	}
	later := table.Must(in.Column(ColumnID), in.Column(ColumnActual), table.Times(ColumnActualTime, []int64{noon + 9*allDay, noon + 9*allDay, noon + 9*allDay}))
	if n, already, err = WriteActuals(dir, later, "copy.csv", "hash one"); n != 2 || !already || err != nil {
		t.Fatalf("same content: %d, %v, %v", n, already, err)
	}
	tab, _, err := ReadActuals(dir, 0, maxTime, ReadOptions{})
	if want := "a,1.5,2024-01-10T12:00:00Z,truth.csv\nc,3,2024-01-11T12:00:00Z,truth.csv"; err != nil || rows(t, tab) != want {
		t.Errorf("read %s, %v", rows(t, tab), err)
	}
	if _, already, err = WriteActuals(dir, in, "truth.csv", "hash two"); already || err != nil {
		t.Errorf("other content: %v, %v", already, err)
	}
	if _, err := Compact(dir, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, already, _ = WriteActuals(dir, in, "truth.csv", "hash two"); !already {
		t.Error("not recognised after compaction")
	}
}

func TestWriteActualsRefuses(t *testing.T) {
	good := actualsTable([]string{"a"}, []string{"1"}, noon)
	for name, c := range map[string]struct {
		t    *table.Table
		hash string
	}{
		"no id":        {good.Drop(ColumnID), "h"},
		"no value":     {good.Drop(ColumnActual), "h"},
		"no time":      {good.Drop(ColumnActualTime), "h"},
		"no hash":      {good, ""},
		"missing time": {actualsTable([]string{"a"}, []string{"1"}, table.NoTime), "h"},
		"text as time": {table.Must(good.Column(ColumnID), good.Column(ColumnActual), table.Strings(ColumnActualTime, []string{"now"})), "h"},
	} {
		if _, _, err := WriteActuals(t.TempDir(), c.t, "s", c.hash); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func predictionsTable(ids ...string) *table.Table {
	at, version := make([]int64, len(ids)), make([]string, len(ids))
	for i := range ids {
		at[i], version[i] = noon+int64(i)*second, "v1"
	}
	return table.Must(table.Strings(ColumnID, ids), table.Times(ColumnTime, at), table.Strings(ColumnVersion, version),
		table.Floats(ColumnFlags, make([]float64, len(ids))), table.Floats("predicted_y", make([]float64, len(ids))))
}

func TestWriteBatch(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := WriteBatch(dir, predictionsTable("a", "b"), "in.csv"); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteBatch(dir, predictionsTable("b", "c"), "in.csv"); err != nil {
		t.Fatal(err)
	}
	if err := WriteBatch(dir, predictionsTable(), "in.csv"); err != nil {
		t.Errorf("no rows: %v", err)
	}
	tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
	if err != nil || tab.NumRows() != 4 || strings.Join(tab.Names(), " ") != "prediction_id prediction_time model_version prediction_flags predicted_y" {
		t.Errorf("%d rows of %q, %v", tab.NumRows(), tab.Names(), err)
	}
	for _, name := range []string{ColumnID, ColumnTime, ColumnVersion} {
		if err := WriteBatch(dir, predictionsTable("x").Drop(name), "in.csv"); err == nil {
			t.Errorf("took a batch without %s", name)
		}
	}
}

// A batch whose file was damaged is written afresh.
func TestWriteBatchMends(t *testing.T) {
	dir := t.TempDir()
	if err := WriteBatch(dir, predictionsTable("a"), "in.csv"); err != nil {
		t.Fatal(err)
	}
	l, err := list(dir, 0, maxTime)
	if err != nil || len(l.sealed) != 1 {
		t.Fatal(l, err)
	}
	if err := durable.WriteFile(l.sealed[0].path, []byte("PAR1 no more")); err != nil {
		t.Fatal(err)
	}
	if err := WriteBatch(dir, predictionsTable("a"), "in.csv"); err != nil {
		t.Fatal(err)
	}
	if tab, s, err := Read(dir, 0, maxTime, ReadOptions{}); err != nil || tab.NumRows() != 1 || len(s.Findings) != 0 {
		t.Errorf("%d rows, %+v, %v", tab.NumRows(), s, err)
	}
}

func TestJoinRegression(t *testing.T) {
	preds := predictionsTable("a", "b", "c", "d", "a")
	acts := actualsTable(
		[]string{"a", "b", "b", "b", "zz", "c", "a", "zz"},
		[]string{"1", "2", "2.0", "5", "9", "high", " 4 ", "9"},
		noon+4, noon+5, noon+1, noon+2, noon, noon, noon+3, noon+1)
	got, s := Join(preds, acts, schema.Regression)
	want := JoinStats{Predictions: 5, Actuals: 8, Matched: 3, Duplicates: 1, Conflicts: 3, Unknown: 2, Invalid: 1, Coverage: 0.6}
	if s != want {
		t.Errorf("stats %+v, expected %+v", s, want)
	}
	y, at := got.Column(ColumnActual), got.Column(ColumnActualTime)
	for i, v := range []float64{1, 2, math.NaN(), math.NaN(), 1} {
		when := map[float64]int64{1: noon + 4, 2: noon + 5}[v]
		if math.IsNaN(v) {
			when = table.NoTime
		}
		if y.Type != table.Float || y.Floats[i] != v && !(math.IsNaN(v) && y.Missing(i)) || at.Times[i] != when {
			t.Errorf("row %d: %v at %d", i, y.Floats[i], at.Times[i])
		}
	}
	if got.NumRows() != 5 || len(got.Names()) != 8 {
		t.Errorf("%d rows of %q", got.NumRows(), got.Names())
	}
}

func TestJoinClasses(t *testing.T) {
	preds := predictionsTable("a", "b", "c")
	// Received at the same time: the later row wins. inf is a class like any.
	acts := actualsTable([]string{"a", "a", "b", "c"}, []string{"no", "yes", "inf", "NA"}, noon, noon, noon, noon)
	got, s := Join(preds, acts, schema.Binary)
	y := got.Column(ColumnActual)
	if y.Type != table.String || y.Text(0) != "yes" || y.Text(1) != "inf" || !y.Missing(2) {
		t.Errorf("actuals %q %q %q", y.Text(0), y.Text(1), y.Text(2))
	}
	if s.Matched != 2 || s.Conflicts != 1 || s.Invalid != 1 {
		t.Errorf("stats %+v", s)
	}
	if _, s := Join(predictionsTable(), acts, schema.Binary); s.Coverage != 0 || s.Unknown != 3 {
		t.Errorf("no predictions: %+v", s)
	}
	for _, v := range []string{"inf", "NaN", "1e400", "0x", ""} {
		if _, ok := parseTruth(v, schema.Regression); ok {
			t.Errorf("%q is taken for a number", v)
		}
	}
}

// A batch beyond a file's size becomes several, and is known again.
func TestLargeBatches(t *testing.T) {
	if raceEnabled {
		t.Skip("slow under the race detector")
	}
	dir := t.TempDir()
	n := chunkRows + 3
	ids, times := make([]string, n), make([]int64, n)
	for i := range ids {
		ids[i], times[i] = fmt.Sprint(i), noon
	}
	preds := table.Must(table.Strings(ColumnID, ids), table.Strings(ColumnVersion, slices.Repeat([]string{"v"}, n)), table.Times(ColumnTime, times))
	truth := table.Must(table.Strings(ColumnID, ids), table.Strings(ColumnActual, ids), table.Times(ColumnActualTime, times))
	for _, wantAlready := range []bool{false, true} {
		if err := WriteBatch(filepath.Join(dir, "p"), preds, "file"); err != nil {
			t.Fatal(err)
		}
		if got, already, err := WriteActuals(filepath.Join(dir, "a"), truth, "file", "hash"); err != nil || got != n || already != wantAlready {
			t.Fatalf("%d, %v, %v", got, already, err)
		}
	}
	s, err := OpenStream(filepath.Join(dir, "p"), filepath.Join(dir, "a"), StreamOptions{Task: schema.Regression, To: maxTime, Now: maxTime, Columns: []string{}})
	if err != nil || s.Stats.Matched != n || s.Stats.Predictions != n || s.Stats.Actuals != n {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, log := range []string{"p", "a"} {
		if d, err := Stat(filepath.Join(dir, log)); err != nil || d.Files != 2 {
			t.Errorf("%+v, %v", d, err)
		}
	}
}
