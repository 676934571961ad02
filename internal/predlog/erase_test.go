package predlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
)

func without(ids []int, drop func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(ids), drop)
}

func TestErase(t *testing.T) {
	for condition, gone := range map[string]func(int) bool{
		"region=region 1":      func(i int) bool { return i%3 == 1 && i%5 != 4 },
		"prediction_id=id-7":   func(i int) bool { return i == 7 },
		"price=1.50":           func(i int) bool { return i == 12 },
		"promo=1":              func(i int) bool { return i%2 == 1 },
		"note=nobody wrote it": func(int) bool { return false },
		"model_version=v0001":  func(int) bool { return true },
	} {
		t.Run(condition, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, 2, 10)
			sealAll(t, dir)
			if _, err := Compact(dir, CompactOptions{}); err != nil {
				t.Fatal(err)
			}
			w := open(t, dir, WriterOptions{}) // a closed segment, not sealed yet
			appendSales(t, w, sales(), count(20, 25)...)
			closeWriter(t, w)
			m, err := MatchText(condition)
			if err != nil {
				t.Fatal(err)
			}
			want := without(count(0, 25), gone)
			s, err := Erase(dir, m, EraseOptions{})
			if err != nil || !s.Proven() || s.Rows != int64(25-len(want)) || s.Kept != int64(len(want)) {
				t.Errorf("%+v, %v; expected %d rows left", s, err, len(want))
			}
			expectIDs(t, dir, want)
			if v, err := Verify(dir); err != nil || len(v.Findings) > 0 {
				t.Errorf("verify %+v, %v", v, err)
			}
			if s, err = Erase(dir, m, EraseOptions{}); err != nil || s.Rows != 0 || s.Rewritten+s.Removed != 0 {
				t.Errorf("again: %+v, %v", s, err)
			}
			if len(want) < 25 {
				bytesGone(t, dir, condition)
			}
		})
	}
}

// bytesGone checks that no file below dir holds the value as it is.
func bytesGone(t *testing.T, dir, condition string) {
	t.Helper()
	_, value, _ := strings.Cut(condition, "=")
	if len(value) < 6 { // short ones stand anywhere by chance
		return
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), value) {
			t.Errorf("%s still holds %q", path, value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Rows that a living writer holds open, and files that nobody can read, keep
// Erase from saying that all is gone.
func TestEraseDoesNotSayMoreThanItKnows(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1, 10)
	sealAll(t, dir)
	w := open(t, dir, WriterOptions{})
	appendSales(t, w, sales(), 10, 11, 12)
	m := Match{"region", map[string]bool{"region 1": true}}
	s, err := Erase(dir, m, EraseOptions{})
	if err != nil || s.Proven() || s.Open != 1 || s.Rows != 2 {
		t.Errorf("with an open segment: %+v, %v", s, err)
	}
	closeWriter(t, w)
	if s, err = Erase(dir, m, EraseOptions{}); err != nil || !s.Proven() || s.Rows != 1 {
		t.Errorf("once it is closed: %+v, %v", s, err)
	}
	l, err := list(dir, 0, maxTime)
	if err != nil || len(l.sealed) != 2 {
		t.Fatal(l, err)
	}
	b, err := os.ReadFile(l.sealed[0].path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(l.sealed[0].path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err = Erase(dir, m, EraseOptions{}); err != nil || s.Proven() || len(s.Findings) != 1 {
		t.Errorf("with a damaged file: %+v, %v", s, err)
	}
	if _, err := Repair(dir, SealOptions{}); err != nil {
		t.Fatal(err)
	}
	if s, err = Erase(dir, m, EraseOptions{}); err != nil || s.Proven() || s.Quarantined != 1 {
		t.Errorf("with a file in quarantine: %+v, %v", s, err)
	}
	if s, err = Erase(dir, m, EraseOptions{Quarantined: true}); err != nil || !s.Proven() || s.Removed != 1 {
		t.Errorf("with the quarantine emptied: %+v, %v", s, err)
	}
}

func TestEraseUnderALock(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1, 3)
	lock, err := lockSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := Erase(dir, Match{"region", nil}, EraseOptions{}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("error %v", err)
	}
}

// Erasing may die anywhere: rows that are not meant are read once, and the
// next attempt ends it.
func TestEraseCrashes(t *testing.T) {
	m := Match{"region", map[string]bool{"region 1": true}}
	kept := without(count(0, 16), func(i int) bool { return i%3 == 1 && i%5 != 4 })
	prepare := func(dir string) {
		quick := durable.Disk{FS: faulty.New(nil)}
		for s := range 4 {
			w := open(t, dir, WriterOptions{Disk: quick})
			appendSales(t, w, sales(), count(4*s, 4*s+4)...)
			closeWriter(t, w)
			if s == 1 {
				if _, err := Seal(dir, time.Time{}, SealOptions{Disk: quick}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	job := func(d durable.Disk, dir string) error {
		_, err := Erase(dir, m, EraseOptions{Disk: d})
		return err
	}
	sweep(t, 20, prepare, job, func(t *testing.T, dir string, _ error) {
		got, _ := readIDs(t, dir)
		if rest := without(got, func(i int) bool { return !slices.Contains(kept, i) }); !slices.Equal(rest, kept) {
			t.Fatalf("after the crash the log holds %v, expected all of %v", got, kept)
		}
		s, err := Erase(dir, m, EraseOptions{Disk: durable.Disk{FS: faulty.New(nil)}})
		if err != nil || !s.Proven() {
			t.Fatalf("next attempt: %+v, %v", s, err)
		}
		expectIDs(t, dir, kept)
	})
}

func TestMatchText(t *testing.T) {
	for _, bad := range []string{"", "x", "=x", "x="} {
		if _, err := MatchText(bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
	m, err := MatchText("a=b=c")
	if err != nil || m.Column != "a" || !m.Values["b=c"] {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 2, 5)
	ids, known, findings, err := Find(dir, Match{"note", map[string]bool{"note 3": true, "note 7": true}})
	if err != nil || !known || len(findings) > 0 || len(ids) != 2 || !ids["id-3"] || !ids["id-7"] {
		t.Errorf("%v, %v, %v, %v", ids, known, findings, err)
	}
	if _, known, _, err = Find(dir, Match{"nope", nil}); err != nil || known {
		t.Errorf("known %v, %v", known, err)
	}
}
