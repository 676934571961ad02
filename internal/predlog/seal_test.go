package predlog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
)

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 4, 5)
	sealAll(t, dir)
	s, err := Compact(dir, CompactOptions{})
	if err != nil || s.Merged != 4 || s.Files != 1 || s.Rows != 20 || s.Days != 1 {
		t.Fatalf("compact: %+v, %v", s, err)
	}
	if r := expectIDs(t, dir, count(0, 20)); r.Files != 1 {
		t.Errorf("read %+v", r)
	}
	w := open(t, dir, WriterOptions{})
	appendSales(t, w, sales(), 20)
	closeWriter(t, w)
	sealAll(t, dir)
	if s, err = Compact(dir, CompactOptions{}); err != nil || s.Merged != 2 || s.Files != 1 {
		t.Fatalf("second compact: %+v, %v", s, err)
	}
	expectIDs(t, dir, count(0, 21))
	if s, err = Compact(dir, CompactOptions{}); err != nil || s.Merged != 0 || s.Files != 0 {
		t.Fatalf("third compact: %+v, %v", s, err)
	}
}

// Rows of one time keep the order of their logging, also when only the older
// of them are sealed.
func TestEqualTimes(t *testing.T) {
	dir := t.TempDir()
	now := clock()
	var second time.Time
	for s := range 2 {
		second = now()
		w := open(t, dir, WriterOptions{Now: now})
		for i := range 3 {
			err := w.Append(context.Background(), sales(), []Record{{ID: fmt.Sprint(s, i), At: noon, Values: make([]float64, 5), Texts: make([]string, 5), Outputs: []float64{0}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		closeWriter(t, w)
	}
	for _, before := range []time.Time{time.UnixMicro(1), second, {}} {
		if _, err := Seal(dir, before, SealOptions{}); err != nil {
			t.Fatal(err)
		}
		tab, _, err := Read(dir, 0, maxTime, ReadOptions{Columns: []string{ColumnID}})
		if err != nil {
			t.Fatal(err)
		}
		if got := rows(t, tab.Drop(ColumnTime)); got != "0 0\n0 1\n0 2\n1 0\n1 1\n1 2" {
			t.Errorf("sealed before %v: read %q", before, got)
		}
	}
}

func TestSealSweeps(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1, 1)
	sealAll(t, dir)
	stale := filepath.Join(dayDir(dir, "2024-01-10"), ".tmp-2147480000-1")
	if err := durable.WriteFile(stale, []byte("half")); err != nil {
		t.Fatal(err)
	}
	sealAll(t, dir)
	if _, err := os.Stat(stale); err == nil {
		t.Error("a dead process's temporary file is still there")
	}
	expectIDs(t, dir, []int{0})
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1, 3)
	sealAll(t, dir)
	if s, err := Prune(dir, PruneOptions{OlderThan: time.UnixMicro(noon + allDay/2 - 1)}); err != nil || s.Files != 0 {
		t.Errorf("pruned %+v, %v before the day was over", s, err)
	}
	if s, err := Prune(dir, PruneOptions{OlderThan: time.UnixMicro(noon + allDay/2)}); err != nil || s.Files != 1 || len(s.Days) != 1 || s.Bytes == 0 {
		t.Errorf("pruned %+v, %v", s, err)
	}
	expectIDs(t, dir, nil)
	if _, err := os.Stat(dayDir(dir, "2024-01-10")); err == nil {
		t.Error("the day's folder is still there")
	}
}

// The oldest days go until the log is small enough, or the disk has room; the
// newest stay whatever happens.
func TestPruneForRoom(t *testing.T) {
	dir := t.TempDir()
	fillDays(t, dir, 5)
	d, err := Stat(dir)
	if err != nil || d.Days != 5 {
		t.Fatal(d, err)
	}
	if s, err := Prune(dir, PruneOptions{}); err != nil || len(s.Days) != 0 {
		t.Errorf("by the zero value: %+v, %v", s, err)
	}
	each := d.FileBytes / 5
	s, err := Prune(dir, PruneOptions{MaxBytes: 3*each + each/2})
	if err != nil || !slices.Equal(s.Days, []string{"2024-01-10", "2024-01-11"}) {
		t.Errorf("by size: %+v, %v", s, err)
	}
	asked := 0
	s, err = Prune(dir, PruneOptions{Room: func() (bool, error) { asked++; return asked > 1, nil }, KeepDays: 1})
	if err != nil || !slices.Equal(s.Days, []string{"2024-01-12"}) {
		t.Errorf("for room: %+v, %v", s, err)
	}
	s, err = Prune(dir, PruneOptions{MaxBytes: 1, KeepDays: 1})
	if err != nil || !slices.Equal(s.Days, []string{"2024-01-13"}) {
		t.Errorf("but one: %+v, %v", s, err)
	}
	if left, err := listDays(dir, 0, maxTime); err != nil || !slices.Equal(left, []string{"2024-01-14"}) {
		t.Errorf("left %v, %v", left, err)
	}
}

// What is merged is bounded: a day's small files become several, none of them
// made of more than MaxBytes, and each row stays once.
func TestCompactIsBounded(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 9, 5)
	sealAll(t, dir)
	d, err := Stat(dir)
	if err != nil || d.Files != 9 {
		t.Fatal(d, err)
	}
	s, err := Compact(dir, CompactOptions{MaxBytes: 4*d.FileBytes/9 + 100})
	if err != nil || s.Days != 1 || s.Merged != 8 || s.Files != 2 || s.Rows != 40 {
		t.Errorf("%+v, %v", s, err)
	}
	if r := expectIDs(t, dir, count(0, 45)); r.Files != 3 {
		t.Errorf("%d files", r.Files)
	}
	if s, err = Compact(dir, CompactOptions{}); err != nil || s.Merged != 3 || s.Files != 1 {
		t.Errorf("without the bound: %+v, %v", s, err)
	}
	expectIDs(t, dir, count(0, 45))
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{})
	for i := range 12 { // three rows a day
		r := sale(i)
		r.At += int64(i/3) * allDay
		if err := w.Append(context.Background(), sales(), []Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	closeWriter(t, w)
	if from, err := Newest(dir, maxTime, 1); err != nil || from != 0 {
		t.Errorf("with nothing sealed: %d, %v", from, err)
	}
	sealAll(t, dir)
	midnight := noon - allDay/2
	for rows, want := range map[int]int64{1: midnight + 3*allDay, 3: midnight + 3*allDay, 4: midnight + 2*allDay, 12: midnight, 13: 0} {
		if from, err := Newest(dir, maxTime, rows); err != nil || from != want {
			t.Errorf("%d rows: %d, %v, expected %d", rows, from, err, want)
		}
	}
	if from, err := Newest(dir, midnight+2*allDay, 3); err != nil || from != midnight+allDay {
		t.Errorf("up to a time: %d, %v", from, err)
	}
	if from, err := Newest(filepath.Join(dir, "none"), maxTime, 3); err != nil || from != 0 {
		t.Errorf("no log: %d, %v", from, err)
	}
}
