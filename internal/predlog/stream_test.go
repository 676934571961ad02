package predlog

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// randomLogs draws predictions and actuals with repeated, contradicting,
// unknown and unusable values, partly sealed and merged.
func randomLogs(rt *rapid.T, preds, acts string) {
	quick := durable.Disk{FS: faulty.New(nil)}
	must := func(err error) {
		if err != nil {
			rt.Fatal(err)
		}
	}
	ids := rapid.IntRange(1, 60).Draw(rt, "ids")
	name := func(i int) string {
		if i%3 == 0 {
			return fmt.Sprintf("0190c8b4-6d1e-7a2b-8c3d-%012x", i)
		}
		return fmt.Sprintf("id-%d", i)
	}
	for range rapid.IntRange(0, 3).Draw(rt, "segments") {
		w, err := OpenWriter(preds, WriterOptions{Now: clock(), Disk: quick})
		must(err)
		for range rapid.IntRange(0, 20).Draw(rt, "rows") {
			r := sale(rapid.IntRange(0, ids).Draw(rt, "id"))
			r.ID = name(rapid.IntRange(0, ids).Draw(rt, "named"))
			r.At += rapid.Int64Range(0, 2).Draw(rt, "day") * allDay
			must(w.Append(context.Background(), sales(), []Record{r}))
		}
		must(w.Close())
	}
	for range rapid.IntRange(0, 3).Draw(rt, "actual segments") {
		w, err := OpenActualsWriter(acts, WriterOptions{Now: clock(), Disk: quick})
		must(err)
		for range rapid.IntRange(0, 30).Draw(rt, "actuals") {
			must(w.Append(context.Background(), []Actual{{
				ID:     name(rapid.IntRange(0, 2*ids).Draw(rt, "of")),
				Value:  rapid.SampledFrom([]string{"1", "1.0", "2", "-0", "0", "inf", "", "x", "3.25"}).Draw(rt, "value"),
				At:     noon + rapid.Int64Range(0, 5).Draw(rt, "received")*second,
				Source: "test",
			}}))
		}
		must(w.Close())
	}
	for _, dir := range []string{preds, acts} {
		if rapid.Bool().Draw(rt, "sealed") {
			_, err := Seal(dir, clock()().Add(1<<40), SealOptions{Disk: quick})
			must(err)
			if rapid.Bool().Draw(rt, "merged") {
				_, err := Compact(dir, CompactOptions{Disk: quick})
				must(err)
			}
		}
	}
}

// The streamed join gives what Join gives on tables, and counts the same.
func TestStreamEqualsJoin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		preds, acts := filepath.Join(root, "p"), filepath.Join(root, "a")
		randomLogs(rt, preds, acts)
		for _, task := range []schema.Task{schema.Regression, schema.Binary} {
			p, _, err := Read(preds, 0, maxTime, ReadOptions{})
			if err != nil {
				rt.Fatal(err)
			}
			a, _, err := ReadActuals(acts, 0, maxTime, ReadOptions{})
			if err != nil {
				rt.Fatal(err)
			}
			want, wantStats := Join(p, a, task)
			s, err := OpenStream(preds, acts, StreamOptions{Task: task, To: maxTime, Now: maxTime, Temp: root})
			if err != nil {
				rt.Fatal(err)
			}
			var got []*table.Table
			if err := s.Each(func(t *table.Table) error { got = append(got, t); return nil }); err != nil {
				rt.Fatal(err)
			}
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			if s.Stats.JoinStats != wantStats {
				rt.Fatalf("%s: stats %+v, expected %+v", task, s.Stats.JoinStats, wantStats)
			}
			if a, b := rowTexts(got...), rowTexts(want); !slices.Equal(a, b) {
				rt.Fatalf("%s: rows\n%q, expected\n%q", task, a, b)
			}
		}
	})
}

// rowTexts is every row as text, sorted.
func rowTexts(tables ...*table.Table) []string {
	var rows []string
	for _, t := range tables {
		names := t.Names()
		slices.Sort(names)
		for i := range t.NumRows() {
			s := ""
			for _, n := range names {
				s += n + "=" + t.Column(n).Format(i) + ";"
			}
			rows = append(rows, s)
		}
	}
	slices.Sort(rows)
	return rows
}

// What does not fit the buffers goes through files, which are gone at the end.
func TestStreamSpills(t *testing.T) {
	root := t.TempDir()
	preds, acts := filepath.Join(root, "p"), filepath.Join(root, "a")
	const rows = 30_000
	disk := durable.Disk{FS: faulty.New(nil)}
	w := open(t, preds, WriterOptions{Disk: disk, Durability: Interval, QueueRows: rows + 1})
	a, err := OpenActualsWriter(acts, WriterOptions{Now: clock(), Disk: disk, Durability: Interval, QueueRows: rows + 1})
	if err != nil {
		t.Fatal(err)
	}
	recs, as := make([]Record, rows), make([]Actual, rows)
	for i := range recs {
		recs[i] = sale(i)
		as[rows-1-i] = Actual{ID: recs[i].ID, Value: fmt.Sprint(i), At: recs[i].At + 90*second}
	}
	// All in one part of the join: the worst case for its memory.
	s := newSpill("x", actualWidth, 2, func() (string, error) { return root, nil })
	b := make([]byte, actualWidth)
	for i := range 3 * s.most / actualWidth {
		b[0], b[1], b[2] = byte(i), byte(i>>8), byte(i>>16)
		if err := s.add(1, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "x-1")); err != nil {
		t.Error("nothing was written out:", err)
	}
	back, err := s.load(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(back) / actualWidth {
		if r := back[i*actualWidth:]; int(r[0])|int(r[1])<<8|int(r[2])<<16 != i {
			t.Fatalf("record %d came back as %v", i, r[:3])
		}
	}
	if _, err := os.Stat(filepath.Join(root, "x-1")); err == nil {
		t.Error("the file is still there")
	}
	for lo := 0; lo < rows; lo += 1000 {
		if err := w.Append(context.Background(), sales(), recs[lo:lo+1000]); err != nil {
			t.Fatal(err)
		}
		if err := a.Append(context.Background(), as[lo:lo+1000]); err != nil {
			t.Fatal(err)
		}
	}
	closeWriter(t, w)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := OpenStream(preds, acts, StreamOptions{Task: schema.Regression, To: maxTime, Now: maxTime})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if st.Stats.Matched != rows || st.Stats.LagMedian < 84*second || st.Stats.LagMedian > 90*second {
		t.Errorf("stats %+v", st.Stats)
	}
	if err := st.Each(func(tab *table.Table) error {
		id, v := tab.Column(ColumnID), tab.Column(ColumnActual)
		for i := range tab.NumRows() {
			if id.Text(i) != fmt.Sprintf("id-%.0f", v.Floats[i]) {
				return fmt.Errorf("row %s has actual %v", id.Text(i), v.Floats[i])
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A reading that was begun goes on over files that are sealed, merged and
// removed under it.
func TestStreamHoldsItsFiles(t *testing.T) {
	root := t.TempDir()
	preds := filepath.Join(root, "p")
	fill(t, preds, 3, 10)
	s, err := OpenStream(preds, filepath.Join(root, "none"), StreamOptions{Task: schema.Regression, To: maxTime, Now: maxTime})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sealAll(t, preds)
	if err := os.RemoveAll(preds); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.Each(func(tab *table.Table) error { n += tab.NumRows(); return nil }); err != nil || n != 30 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// An export in either format reads back as the joined table.
func TestExport(t *testing.T) {
	root := t.TempDir()
	preds, acts := filepath.Join(root, "p"), filepath.Join(root, "a")
	fill(t, preds, 2, 10)
	sealAll(t, preds)
	w := open(t, preds, WriterOptions{}) // another version's columns, not sealed yet
	other := &Layout{Target: "sales", Columns: []LayoutColumn{{Name: "price", Kind: schema.Text}, {Name: "extra", Kind: schema.Numeric}}}
	if err := w.Append(context.Background(), other, []Record{{ID: "odd", At: noon, Version: "v2", Values: []float64{0, 7}, Texts: []string{"dear, \"very\"\nso", ""}, Outputs: []float64{1}}}); err != nil {
		t.Fatal(err)
	}
	closeWriter(t, w)
	a, err := OpenActualsWriter(acts, WriterOptions{Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Append(context.Background(), []Actual{{ID: "odd", Value: "5", At: noon + second}, {ID: "id-3", Value: "6", At: noon + second}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	read := func() *table.Table {
		p, _, err := Read(preds, 0, maxTime, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		acts, _, err := ReadActuals(acts, 0, maxTime, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		joined, _ := Join(p, acts, schema.Regression)
		return joined
	}
	want := rowTexts(read())
	for _, name := range []string{"out.csv", "out.parquet"} {
		s, err := OpenStream(preds, acts, StreamOptions{Task: schema.Regression, To: maxTime, Now: maxTime})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, name)
		if err := s.Export(path); err != nil {
			t.Fatal(err)
		}
		s.Close()
		types := map[string]table.Type{}
		for _, c := range read().Columns() {
			types[c.Name] = c.Type
		}
		back, err := table.Read(path, table.ReadOptions{Types: types})
		if err != nil {
			t.Fatal(err)
		}
		if got := rowTexts(back); !slices.Equal(got, want) {
			t.Errorf("%s: rows\n%q, expected\n%q", name, got, want)
		}
	}
}

func TestExportOfNothing(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"out.csv", "out.parquet"} {
		s, err := OpenStream(filepath.Join(root, "p"), filepath.Join(root, "a"), StreamOptions{Task: schema.Binary, To: maxTime, Now: maxTime})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Export(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		back, err := table.Read(filepath.Join(root, name), table.ReadOptions{})
		if err != nil || back.NumRows() != 0 || back.Column(ColumnActual) == nil {
			t.Errorf("%s: %v, %v", name, back, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Every key falls into one of the parts, and no part has far more than its
// share.
func TestParts(t *testing.T) {
	for size, want := range map[int64]int{0: 64, 25 * 64 * partRows: 64, 25*64*partRows + 25: 128, 1 << 60: 256} {
		if got := partsFor(size); got != want {
			t.Errorf("%d parts for %d bytes, expected %d", got, size, want)
		}
	}
	for _, parts := range []int{64, 256} {
		counts := make([]int, parts)
		key := make([]byte, 16)
		for i := range 1000 * parts {
			joinKey(key, fmt.Sprintf("0190c8b4-6d1e-7a2b-8c3d-%012x", i)) // ids that differ in few bytes
			counts[partOf(hashKey(key), parts)]++
		}
		if lo, hi := slices.Min(counts), slices.Max(counts); lo < 800 || hi > 1200 {
			t.Errorf("of %d parts one has %d, one %d of 1000", parts, lo, hi)
		}
	}
}

func TestLagQuantiles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lags := rapid.SliceOfN(rapid.Int64Range(-5, 1<<50), 1, 50).Draw(rt, "lags")
		var h lagHistogram
		for i, l := range lags {
			h.add(l)
			lags[i] = max(l, 0)
		}
		slices.Sort(lags)
		for _, q := range []float64{0.5, 0.9, 1} {
			want := lags[int(math.Ceil(q*float64(len(lags))))-1]
			if got := h.quantile(q); got > want || float64(got) < float64(want)*15/16-1 {
				rt.Fatalf("quantile %v is %d, expected %d", q, got, want)
			}
		}
	})
}

// A clock that jumps back, by a minute or over a day, moves no row: within a
// day rows stream as they were logged, before and after they are sealed and
// merged, and none is lost.
func TestClockJumps(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "p")
	jumps := []int64{0, 60, -60, 90, -86400, -86460, 120, 86400, 30}
	for part := range 3 {
		w := open(t, dir, WriterOptions{Now: clockFrom(int64(part))})
		for k := range 3 {
			i := 3*part + k
			r := sale(i)
			r.At = noon + jumps[i]*second
			if err := w.Append(context.Background(), sales(), []Record{r}); err != nil {
				t.Fatal(err)
			}
		}
		closeWriter(t, w)
	}
	want := "id-4 id-5 | id-0 id-1 id-2 id-3 id-6 id-8 | id-7"
	for _, when := range []string{"sealed", "merged"} {
		sealAll(t, dir)
		if when == "merged" {
			if _, err := Compact(dir, CompactOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		got, last := "", ""
		if _, err := Scan(dir, 0, maxTime, []string{ColumnID}, func(tab *table.Table) error {
			for i := range tab.NumRows() {
				d := day(tab.Column(ColumnTime).Times[i])
				if d != last && last != "" {
					got += "| "
				}
				last = d
				got += tab.Column(ColumnID).Text(i) + " "
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got = got[:max(0, len(got)-1)]; got != want {
			t.Errorf("%s: %s, expected %s", when, got, want)
		}
	}
}
