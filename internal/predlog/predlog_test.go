package predlog

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PREDLOG_TEST_CHILD"); dir != "" {
		logUntilKilled(dir)
		return
	}
	debug.SetGCPercent(400) // the sweeps make and drop many small logs
	goleak.VerifyTestMain(m)
}

const (
	second = int64(1_000_000)
	noon   = 1704888000 * second // 2024-01-10T12:00:00Z
	allDay = 24 * 3600 * second
)

// clock starts at noon and moves a millisecond a reading.
func clock() func() time.Time {
	var ticks atomic.Int64
	return func() time.Time { return time.UnixMicro(noon + 1000*ticks.Add(1)) }
}

// clockFrom is a clock that begins some seconds after noon.
func clockFrom(seconds int64) func() time.Time {
	tick := clock()
	return func() time.Time { return tick().Add(time.Duration(seconds) * time.Second) }
}

func sales() *Layout {
	return &Layout{Target: "sales", Columns: []LayoutColumn{
		{"price", schema.Numeric}, {"region", schema.Categorical}, {"promo", schema.Boolean}, {"date", schema.Time}, {"note", schema.Text},
	}}
}

// sale is record i; every value follows from i, so that a test can tell a row
// that was changed.
func sale(i int) Record {
	r := Record{
		ID: "id-" + strconv.Itoa(i), At: noon + int64(i)*second, Version: "v0001",
		Values:  []float64{float64(i) / 8, 0, float64(i % 2), float64(noon - int64(i)), 0},
		Texts:   []string{"", "region " + strconv.Itoa(i%3), "", "", "note " + strconv.Itoa(i)},
		Outputs: []float64{float64(i) * 1.5}, Flags: uint32(i % 8),
	}
	if i%5 == 4 {
		r.Values[0], r.Values[1], r.Values[3] = math.NaN(), math.NaN(), math.NaN()
	}
	return r
}

// checkSale reports whether row i of a log is what sale made of it.
func checkSale(t *testing.T, tab *table.Table, row int) (i int) {
	t.Helper()
	id := tab.Column(ColumnID).Text(row)
	i, err := strconv.Atoi(strings.TrimPrefix(id, "id-"))
	if err != nil {
		t.Fatalf("row %d has the id %q", row, id)
	}
	r := sale(i)
	text := func(k int) string {
		if math.IsNaN(r.Values[k]) {
			return ""
		}
		return r.Texts[k]
	}
	same := func(name string, want float64) bool {
		got := tab.Column(name).Floats[row]
		return got == want || math.IsNaN(got) && math.IsNaN(want)
	}
	date := table.NoTime
	if !math.IsNaN(r.Values[3]) {
		date = int(r.Values[3])
	}
	if tab.Column(ColumnTime).Times[row] != r.At || tab.Column(ColumnVersion).Text(row) != r.Version ||
		!same(ColumnFlags, float64(r.Flags)) || !same("predicted_sales", r.Outputs[0]) || !same("price", r.Values[0]) ||
		!same("promo", r.Values[2]) || tab.Column("region").Text(row) != text(1) || tab.Column("note").Text(row) != text(4) ||
		tab.Column("date").Times[row] != int64(date) {
		t.Fatalf("row of %s was changed", id)
	}
	return i
}

// readIDs reads the whole log, checks every row, and returns the numbers of
// its records in the order read.
func readIDs(t *testing.T, dir string) ([]int, ReadStats) {
	t.Helper()
	tab, stats, err := Read(dir, 0, maxTime, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int, tab.NumRows())
	for row := range ids {
		ids[row] = checkSale(t, tab, row)
	}
	return ids, stats
}

func count(lo, hi int) []int {
	var out []int
	for i := lo; i < hi; i++ {
		out = append(out, i)
	}
	return out
}

func expectIDs(t *testing.T, dir string, want []int) ReadStats {
	t.Helper()
	got, stats := readIDs(t, dir)
	if !slices.Equal(got, want) {
		t.Fatalf("log holds %v, expected %v", got, want)
	}
	return stats
}

func open(t *testing.T, dir string, o WriterOptions) *Writer {
	t.Helper()
	if o.Now == nil {
		o.Now = clock()
	}
	w, err := OpenWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func appendSales(t *testing.T, w *Writer, l *Layout, ids ...int) {
	t.Helper()
	var recs []Record
	for _, i := range ids {
		recs = append(recs, sale(i))
	}
	if err := w.Append(context.Background(), l, recs); err != nil {
		t.Fatal(err)
	}
}

func closeWriter(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func sealAll(t *testing.T, dir string) SealStats {
	t.Helper()
	s, err := Seal(dir, time.Time{}, SealOptions{Leftovers: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fillDays seals a row a day.
func fillDays(t *testing.T, dir string, days int) {
	t.Helper()
	w := open(t, dir, WriterOptions{})
	for i := range days {
		r := sale(i)
		r.At += int64(i) * allDay
		if err := w.Append(context.Background(), sales(), []Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	closeWriter(t, w)
	sealAll(t, dir)
}

// fill writes n segments of rows each and closes them.
func fill(t *testing.T, dir string, segments, rows int) {
	t.Helper()
	for s := range segments {
		w := open(t, dir, WriterOptions{})
		for i := range rows {
			appendSales(t, w, sales(), s*rows+i)
		}
		closeWriter(t, w)
	}
}

func TestAppendReadSealRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "predictions")
	w := open(t, dir, WriterOptions{})
	appendSales(t, w, sales(), count(0, 10)...)
	expectIDs(t, dir, count(0, 10)) // while it is open
	appendSales(t, w, sales(), 11, 10)
	if s := w.Stats(); s.Rows != 12 || s.Segments != 1 || s.Open != 1 || s.Syncs != 2 || s.Queue != 0 || s.Errors != 0 {
		t.Errorf("stats %+v", s)
	}
	if s := sealAll(t, dir); s.Segments != 0 {
		t.Errorf("sealed a segment that a writer holds: %+v", s)
	}
	closeWriter(t, w)
	expectIDs(t, dir, count(0, 12)) // in the order of time
	s := sealAll(t, dir)
	if s.Segments != 1 || s.Rows != 12 || s.Files != 1 || len(s.Findings) != 0 {
		t.Errorf("seal: %+v", s)
	}
	if r := expectIDs(t, dir, count(0, 12)); r.Files != 1 || r.Segments != 0 || r.Unsealed != 0 {
		t.Errorf("read: %+v", r)
	}
	if s := sealAll(t, dir); s.Segments != 0 {
		t.Errorf("sealed again: %+v", s)
	}
}

func TestAppendChecksRecords(t *testing.T) {
	w := open(t, t.TempDir(), WriterOptions{})
	for name, change := range map[string]func(*Record){
		"values":    func(r *Record) { r.Values = r.Values[:4] },
		"texts":     func(r *Record) { r.Texts = nil },
		"outputs":   func(r *Record) { r.Outputs = append(r.Outputs, 1) },
		"past":      func(r *Record) { r.At = -1 },
		"year 9999": func(r *Record) { r.At = maxTime },
	} {
		r := sale(0)
		change(&r)
		if err := w.Append(context.Background(), sales(), []Record{r}); err == nil {
			t.Errorf("took a record with wrong %s", name)
		}
	}
	if err := w.Append(context.Background(), sales(), nil); err != nil {
		t.Errorf("no records: %v", err)
	}
	if s := w.Stats(); s.Rows != 0 || s.Segments != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Old and new model log at the same time while they are swapped, with other
// columns and even another type of a column.
func TestLayoutsSideBySide(t *testing.T) {
	dir := t.TempDir()
	classes := &Layout{Target: "kind", Classes: []string{"no", "yes"}, Columns: []LayoutColumn{{"price", schema.Text}, {"prediction_time", schema.Numeric}}}
	w := open(t, dir, WriterOptions{})
	for i := range 6 {
		appendSales(t, w, sales(), 2*i)
		p := float64(i) / 6
		err := w.Append(context.Background(), classes, []Record{{ID: fmt.Sprint("c", i), At: noon + int64(2*i+1)*second, Version: "v2",
			Values: []float64{0, float64(i)}, Texts: []string{"cheap", ""}, Outputs: []float64{1 - p, p}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := w.Stats(); s.Segments != 2 || s.Open != 2 {
		t.Errorf("stats %+v, expected one segment a layout", s)
	}
	closeWriter(t, w)
	for _, sealed := range []bool{false, true} {
		if sealed {
			sealAll(t, dir)
		}
		tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			for name, want := range map[string][2]string{
				ColumnID:                {"id-" + fmt.Sprint(2*i), "c" + fmt.Sprint(i)},
				"price":                 {(&table.Column{Type: table.Float, Floats: sale(2 * i).Values}).Format(0), "cheap"},
				"predicted_kind":        {"", []string{"no", "yes"}[i/4]},
				"input_prediction_time": {"", fmt.Sprint(i)},
				"p_yes":                 {"", (&table.Column{Type: table.Float, Floats: []float64{float64(i) / 6}}).Format(0)},
			} {
				c := tab.Column(name)
				if got := [2]string{c.Format(2 * i), c.Format(2*i + 1)}; got != want {
					t.Errorf("sealed %v, rows %d: %s is %q, expected %q", sealed, 2*i, name, got, want)
				}
			}
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{MaxBytes: 4096})
	for i := range 100 {
		appendSales(t, w, sales(), i)
	}
	s := w.Stats()
	if s.Segments < 3 || s.Open > 1 {
		t.Errorf("stats %+v, expected several segments", s)
	}
	closed := sealAll(t, dir)
	if closed.Segments != int(s.Segments)-s.Open {
		t.Errorf("sealed %d segments of %d beside the writer", closed.Segments, s.Segments)
	}
	expectIDs(t, dir, count(0, 100))
	closeWriter(t, w)

	dir = t.TempDir()
	var now atomic.Int64
	now.Store(noon)
	w = open(t, dir, WriterOptions{Now: func() time.Time { return time.UnixMicro(now.Load()) }, MaxAge: time.Hour})
	appendSales(t, w, sales(), 0)
	now.Add(int64(time.Hour / time.Microsecond))
	appendSales(t, w, sales(), 1)
	appendSales(t, w, sales(), 2)
	if s := w.Stats(); s.Segments != 2 {
		t.Errorf("stats %+v, expected that age closed a segment", s)
	}
	if s, err := Seal(dir, time.UnixMicro(noon), SealOptions{}); err != nil || s.Segments != 0 {
		t.Errorf("sealed %+v, %v before its time", s, err)
	}
	if s, err := Seal(dir, time.UnixMicro(noon+1), SealOptions{}); err != nil || s.Segments != 1 {
		t.Errorf("sealed %+v, %v", s, err)
	}
}

func TestTimeRangeAndColumns(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{})
	var recs []Record
	for i := range 6 { // two a day, the days being 10 to 12 January
		r := sale(i)
		r.At = noon + int64(i%3)*allDay + int64(i)
		recs = append(recs, r)
	}
	if err := w.Append(context.Background(), sales(), recs); err != nil {
		t.Fatal(err)
	}
	closeWriter(t, w)
	for range 2 {
		for _, c := range []struct {
			from, to int64
			want     string
		}{
			{0, maxTime, "id-0 id-3 id-1 id-4 id-2 id-5"},
			{noon + 3, noon + allDay + 4, "id-3 id-1"},
			{noon + 3, noon + 3, ""},
			{noon + allDay/2, noon + allDay + allDay/2, "id-1 id-4"},
			{noon + 2*allDay + 5, maxTime, "id-5"},
		} {
			tab, stats, err := Read(dir, c.from, c.to, ReadOptions{Columns: []string{ColumnID, "no such column"}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range tab.NumRows() {
				got = append(got, tab.Column(ColumnID).Text(i))
			}
			if s := strings.Join(got, " "); s != c.want || stats.Rows != len(got) {
				t.Errorf("from %d to %d: %q, expected %q (%+v)", c.from-noon, c.to-noon, s, c.want, stats)
			}
			if tab.NumRows() > 0 && len(tab.Names()) != 2 {
				t.Errorf("columns %q, expected id and time", tab.Names())
			}
		}
		sealAll(t, dir)
	}
	// Only the days asked for are opened.
	if _, stats, _ := Read(dir, noon+allDay, noon+allDay+1, ReadOptions{}); stats.Files != 1 {
		t.Errorf("opened %d files, expected one", stats.Files)
	}
}

func TestEmptyLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
	if err != nil || tab.NumRows() != 0 || tab.Column(ColumnID) == nil || tab.Column(ColumnTime) == nil {
		t.Errorf("read %v, %v", tab, err)
	}
	for name, f := range map[string]func() error{
		"seal":    func() error { _, err := Seal(dir, time.Time{}, SealOptions{}); return err },
		"compact": func() error { _, err := Compact(dir, CompactOptions{}); return err },
		"stat":    func() error { _, err := Stat(dir); return err },
		"verify":  func() error { _, err := Verify(dir); return err },
		"repair":  func() error { _, err := Repair(dir, SealOptions{}); return err },
		"prune":   func() error { _, err := Prune(dir, PruneOptions{OlderThan: time.UnixMicro(noon)}); return err },
	} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading made the directory")
	}
}

func TestSecondWriterIsLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, WriterOptions{})
	_, err := OpenWriter(dir, WriterOptions{Now: clock()})
	if !isLocked(err) {
		t.Errorf("second writer: %v", err)
	}
	l, err := lockSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Unlock() }()
	if _, err := Seal(dir, time.Time{}, SealOptions{}); !isLocked(err) {
		t.Errorf("second sealer: %v", err)
	}
	if _, err := Compact(dir, CompactOptions{}); !isLocked(err) {
		t.Errorf("compaction beside a sealer: %v", err)
	}
}

func TestWriterOptions(t *testing.T) {
	for name, o := range map[string]WriterOptions{"Now": {}, "Durability": {Now: clock(), Durability: "often"}} {
		if _, err := OpenWriter(t.TempDir(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestLayoutOf(t *testing.T) {
	tmpl := &schema.Template{Task: schema.Binary, Target: "churn", Classes: []string{"no", "yes"},
		Columns: []schema.Column{{Name: "age", Kind: schema.Numeric}, {Name: "city", Kind: schema.Categorical}}}
	l := LayoutOf(tmpl)
	if l.Target != "churn" || len(l.Classes) != 2 || l.outputs() != 2 || len(l.Columns) != 2 || l.Columns[1] != (LayoutColumn{"city", schema.Categorical}) {
		t.Errorf("layout %+v", l)
	}
	tmpl.Task = schema.Regression
	if l := LayoutOf(tmpl); l.Classes != nil || l.outputs() != 1 {
		t.Errorf("regression: %+v", l)
	}
	if !sameLayout(sales(), sales()) || sameLayout(sales(), l) || sameLayout(nil, l) || !sameLayout(nil, nil) {
		t.Error("layouts are compared wrongly")
	}
}

func isLocked(err error) bool {
	return err != nil && strings.Contains(err.Error(), durable.ErrLocked.Error())
}
