package registry

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/schema"
)

func current(t *testing.T, r *Registry, want string) {
	t.Helper()
	got, err := r.Current()
	must(t, err)
	if got != want {
		t.Errorf("%s serves, expected %s", got, want)
	}
}

func TestPromote(t *testing.T) {
	r, v := publish(t, 2)
	must(t, r.Promote(v[0], "first", created))
	current(t, r, v[0])
	if b := content(t, filepath.Join(r.dir, currentFile)); string(b) != v[0]+"\n" {
		t.Errorf("CURRENT holds %q", b)
	}
	must(t, r.Promote(v[1], "better", created.Add(time.Hour)))
	must(t, r.Promote(v[1], "again", created))
	current(t, r, v[1])
	h, err := r.History()
	must(t, err)
	if len(h) != 2 {
		t.Fatalf("%d changes: %+v", len(h), h)
	}
	if h[0].SHA256 == "" || h[1].Previous != h[0].SHA256 || h[0].Manifest == "" || h[1].Manifest == h[0].Manifest {
		t.Errorf("the records are not chained: %+v", h)
	}
	for i := range h {
		h[i].SHA256, h[i].Previous, h[i].Manifest = "", "", ""
	}
	want := []Change{
		{Format: 1, Seq: 1, At: created, Kind: "promote", To: v[0], Reason: "first"},
		{Format: 1, Seq: 2, At: created.Add(time.Hour), Kind: "promote", From: v[0], To: v[1], Reason: "better"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %+v", h)
	}
}

// A version that does not load never becomes current.
func TestPromoteRefusesDamage(t *testing.T) {
	r, v := publish(t, 2)
	must(t, r.Promote(v[0], "first", created))
	p, err := r.Pointer()
	must(t, err)
	overwrite(t, filepath.Join(r.Path(v[1]), treesFile), []byte("x"))
	refused(t, r.Promote(v[1], "x", created), treesFile, "bytes")
	refused(t, r.Swap(p, v[1], "x", created), treesFile, "bytes")
	refused(t, r.Promote("../x", "x", created), "", "no name of a version")
	current(t, r, v[0])
}

func TestCurrentRefuses(t *testing.T) {
	r, v := publish(t, 1)
	path := filepath.Join(r.dir, currentFile)
	for _, s := range []string{"", "\n", "..", "../" + v[0], "/etc/passwd", v[0] + "\n" + v[0], v[0] + "x", "v0001", strings.Repeat("v", 1<<20), "\x00"} {
		overwrite(t, path, []byte(s))
		_, err := r.Current()
		refused(t, err, currentFile, "expected the name of a version")
		if _, err := r.Pointer(); err == nil {
			t.Errorf("%.20q is a pointer", s)
		}
		if removed, err := r.Prune(1); err == nil {
			t.Errorf("%.20q: pruned %v", s, removed)
		}
	}
	must(t, r.Promote(v[0], "mend", created)) // the way out that the hint names
	current(t, r, v[0])
	overwrite(t, path, []byte("  "+v[0]+"\r\n"))
	current(t, r, v[0])
}

func TestRollback(t *testing.T) {
	r, v := publish(t, 4)
	if _, err := r.Rollback("x", created); !errors.Is(err, ErrNoCurrent) {
		t.Errorf("got %v, expected ErrNoCurrent", err)
	}
	for _, name := range v[:3] {
		must(t, r.Promote(name, "up", created))
	}
	back := func(want string) {
		t.Helper()
		if p := r.Previous(); p != want {
			t.Errorf("previous is %q, expected %q", p, want)
		}
		got, err := r.Rollback("worse", created)
		must(t, err)
		if got != want {
			t.Errorf("rolled back to %s, expected %s", got, want)
		}
		current(t, r, want)
	}
	back(v[1])
	must(t, r.Promote(v[3], "up", created))
	if got, want := r.Candidates(), []string{v[3], v[1], v[0], v[2]}; !reflect.DeepEqual(got, want) {
		t.Errorf("candidates %v, expected %v", got, want)
	}
	back(v[1]) // not v[2], which was rolled back
	back(v[0]) // further back, not forth
	if p := r.Previous(); p != "" {
		t.Errorf("previous is %q", p)
	}
	if _, err := r.Rollback("x", created); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("got %v, expected ErrNoPrevious", err)
	}
	current(t, r, v[0])
}

func TestRollbackPassesOverDamage(t *testing.T) {
	r, v := publish(t, 3)
	for _, name := range v {
		must(t, r.Promote(name, "up", created))
	}
	overwrite(t, filepath.Join(r.Path(v[1]), templateFile), nil)
	got, err := r.Rollback("worse", created)
	must(t, err)
	if got != v[0] {
		t.Errorf("rolled back to %s", got)
	}
	must(t, r.Promote(v[2], "up", created))
	overwrite(t, filepath.Join(r.Path(v[0]), templateFile), nil)
	_, err = r.Rollback("worse", created)
	if !errors.Is(err, ErrNoPrevious) {
		t.Errorf("got %v", err)
	}
	refused(t, err, templateFile, v[0])
	current(t, r, v[2])
}

func TestSwap(t *testing.T) {
	r, v := publish(t, 2)
	none, err := r.Pointer()
	must(t, err)
	if none != (Pointer{}) {
		t.Errorf("pointer %+v", none)
	}
	must(t, r.Swap(none, v[0], "first", created))
	first, err := r.Pointer()
	must(t, err)
	if first != (Pointer{v[0], 1}) {
		t.Errorf("pointer %+v", first)
	}
	if err := r.Swap(none, v[1], "late", created); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, expected ErrMoved", err)
	}
	// The same version again is not the same moment.
	must(t, r.Promote(v[1], "x", created))
	must(t, r.Promote(v[0], "x", created))
	if err := r.Swap(first, v[1], "late", created); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, expected ErrMoved", err)
	}
	current(t, r, v[0])
}

// Of any number that decide at the same moment one wins.
func TestSwapRace(t *testing.T) {
	r, v := publish(t, 4)
	from, err := r.Pointer()
	must(t, err)
	var won atomic.Int32
	var wg sync.WaitGroup
	for _, name := range v {
		wg.Go(func() {
			switch err := Open(r.dir).Swap(from, name, "race", created); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrMoved):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h, err := r.History()
	must(t, err)
	if won.Load() != 1 || len(h) != 1 {
		t.Errorf("%d won, history %+v", won.Load(), h)
	}
	current(t, r, h[0].To)
}

// A promotion that stops at any operation on the disk leaves CURRENT at the
// old version or the new one, and a history that agrees with it.
func TestPromoteCrashes(t *testing.T) {
	r, v := publish(t, 2)
	must(t, r.Promote(v[0], "first", created))
	for n := 0; ; n++ {
		disk := faulty.New(faulty.StopAt(n))
		r.disk = durable.Disk{FS: disk}
		err := r.Promote(v[1], "second", created)
		r.disk = durable.Disk{}
		if err == nil {
			if n < 8 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
		must(t, disk.PowerCut())
		now, err := r.Current()
		must(t, err)
		h, err := r.History()
		must(t, err)
		if now != v[0] && now != v[1] || h[len(h)-1].To != now {
			t.Fatalf("operation %d: %s serves, the history ends at %s", n, now, h[len(h)-1].To)
		}
		if now == v[1] {
			if p := r.Previous(); p != v[0] {
				t.Fatalf("operation %d: previous is %q", n, p)
			}
			_, err := r.Rollback("again", created)
			must(t, err)
		}
	}
}

func TestHistoryDamaged(t *testing.T) {
	r, v := publish(t, 3)
	for _, name := range v {
		must(t, r.Promote(name, "up", created))
	}
	path := r.changePath(2)
	b := content(t, path)
	for at := range b {
		b[at] ^= 1
		must(t, os.WriteFile(path, b, 0o644))
		if _, err := r.readChange(2); err == nil {
			t.Fatalf("the change of byte %d went unnoticed", at)
		}
		b[at] ^= 1
	}
	must(t, os.WriteFile(path, b[:10], 0o644))
	h, err := r.History()
	if err == nil || !strings.Contains(err.Error(), "history record 2") || len(h) == 0 {
		t.Errorf("got %v, %v", h, err)
	}
	if _, err := r.Prune(1); err == nil {
		t.Error("pruned by a history that cannot be read")
	}
	// What is left must still lead back, since record 3 tells where it began.
	if p := r.Previous(); p != v[1] {
		t.Errorf("previous is %q, expected %q", p, v[1])
	}
	must(t, r.Promote(v[0], "on", created))
	if g, err := r.generation(); err != nil || g != 4 {
		t.Errorf("generation %d, %v", g, err)
	}
}

// The server boots on what is good even when the pointer is not.
func TestCandidatesWithoutCurrent(t *testing.T) {
	r, v := publish(t, 2)
	if got := r.Candidates(); len(got) != 0 {
		t.Errorf("candidates %v", got)
	}
	must(t, r.Promote(v[0], "up", created))
	must(t, r.Promote(v[1], "up", created))
	overwrite(t, filepath.Join(r.dir, currentFile), []byte("garbage"))
	if got, want := r.Candidates(), []string{v[1], v[0]}; !reflect.DeepEqual(got, want) {
		t.Errorf("candidates %v, expected %v", got, want)
	}
}

// By hand or by another tool, CURRENT may be written without a record.
func TestCurrentWrittenByHand(t *testing.T) {
	r, v := publish(t, 3)
	must(t, r.Promote(v[0], "up", created))
	overwrite(t, filepath.Join(r.dir, currentFile), []byte(v[1]+"\n"))
	must(t, r.Promote(v[2], "up", created))
	if got, want := r.Candidates(), []string{v[2], v[1]}; !reflect.DeepEqual(got[:2], want) {
		t.Errorf("candidates %v, expected %v first", got, want)
	}
}

// pile is what the history means: promotions lay a version on a pile,
// rollbacks take off what is above their target.
// TestFirst: the bottom of the pile that has the same columns and is there, but
// never the version itself, and none that was rolled back.
func TestFirst(t *testing.T) {
	r, v := publish(t, 3)
	other := bundle(schema.Binary, 9)
	stranger, err := r.Publish(other)
	must(t, err)
	first := func(of, want string) {
		t.Helper()
		l, err := r.Load(of)
		must(t, err)
		if got, err := r.First(l); err != nil || got != want {
			t.Errorf("the first of %s is %q, expected %q (%v)", of, got, want, err)
		}
	}
	first(v[1], "") // nothing served yet
	for _, name := range []string{stranger, v[2], v[0]} {
		must(t, r.Promote(name, "up", created))
	}
	first(v[0], v[2]) // a version of another task is no ancestor
	first(v[2], "")
	first(v[1], "") // it never served
	_, err = r.Rollback("worse", created)
	must(t, err)
	must(t, r.Promote(v[1], "up", created))
	first(v[1], v[2])
	first(v[0], "") // rolled back: in no lineage
	must(t, r.Promote(v[2], "again", created))
	first(v[2], "")
	must(t, r.Promote(v[0], "again", created))
	first(v[0], v[2])
	must(t, os.Remove(filepath.Join(r.Path(v[2]), manifestFile)))
	first(v[0], v[1])
	must(t, os.RemoveAll(r.Path(v[1])))
	first(v[0], "")
}

func TestHistoryMeansAPile(t *testing.T) {
	names := []string{"v0001-00000000", "v0002-00000000", "v0003-00000000", "v0004-00000000"}
	rapid.Check(t, func(t *rapid.T) {
		var pile []string
		var changes []Change
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			var from string
			if len(pile) > 0 {
				from = pile[len(pile)-1]
			}
			if len(pile) > 1 && rapid.Bool().Draw(t, "back") {
				pile = pile[:len(pile)-1]
				changes = append(changes, Change{Kind: rolledBack, From: from, To: pile[len(pile)-1]})
				continue
			}
			to := rapid.SampledFrom(names).Draw(t, "to")
			if to == from {
				continue
			}
			pile = append(pile, to)
			changes = append(changes, Change{Kind: promoted, From: from, To: to})
		}
		now := pile[len(pile)-1]
		if got := stack(changes, now); !reflect.DeepEqual(got, pile) {
			t.Fatalf("got %v, expected %v after %+v", got, pile, changes)
		}
	})
}
