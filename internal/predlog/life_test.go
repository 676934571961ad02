package predlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/table"
)

// life is all that happens to a log in a drawn order: rows appended by writers
// that come and go, batches, sealing, merging, repair and erasure.
type life struct {
	t      *testing.T
	dir    string
	disk   durable.Disk
	rng    *rand.Rand
	kind   kind
	now    func() time.Time
	next   int
	acked  map[int]bool // rows that were answered for
	erased map[int]bool // rows whose erasure was begun
	failed int          // steps that ended in an error
}

const eraseEvery = 7 // rows whose number is a multiple of it may be erased

func newLife(t *testing.T, dir string, d durable.Disk, seed uint64, k kind) *life {
	return &life{t: t, dir: dir, disk: d, rng: rand.New(rand.NewPCG(seed, 3)), kind: k, now: clock(), acked: map[int]bool{}, erased: map[int]bool{}}
}

func rowID(i int) string { return "id-" + strconv.Itoa(i) }

// writer is either log's, with an Append of row numbers.
type numbers interface {
	append(ids []int) error
	Close() error
}

type predNumbers struct {
	*Writer
	layout *Layout
}

func (w predNumbers) append(ids []int) error {
	recs := make([]Record, len(ids))
	for k, i := range ids {
		recs[k] = sale(i)
		recs[k].At += int64(i%3) * allDay
	}
	return w.Append(context.Background(), w.layout, recs)
}

type actualNumbers struct{ *ActualsWriter }

func lifeActual(i int) Actual {
	return Actual{ID: rowID(i), Value: strconv.Itoa(i), At: noon + int64(i%3)*allDay, Source: "life"}
}

func (w actualNumbers) append(ids []int) error {
	as := make([]Actual, len(ids))
	for k, i := range ids {
		as[k] = lifeActual(i)
	}
	return w.Append(context.Background(), as)
}

func (l *life) open() (numbers, error) {
	o := WriterOptions{Now: l.now, Disk: l.disk, MaxBytes: 2500, RetryEvery: time.Nanosecond}
	if l.kind == actuals {
		w, err := OpenActualsWriter(l.dir, o)
		return actualNumbers{w}, err
	}
	w, err := OpenWriter(l.dir, o)
	return predNumbers{w, sales()}, err
}

func (l *life) take(n int) []int {
	ids := count(l.next, l.next+n)
	l.next += n
	return ids
}

// live does steps until stopped says that the process is dead.
func (l *life) live(steps int, stopped func(error) bool) {
	for range steps {
		err := l.step()
		if err != nil {
			l.failed++
		}
		if stopped(err) {
			return
		}
	}
}

func (l *life) step() error {
	switch n := l.rng.IntN(10); {
	case n < 5:
		return l.session()
	case n < 6:
		return l.batch()
	case n < 8:
		_, err := Seal(l.dir, time.Time{}, SealOptions{Disk: l.disk, Leftovers: true})
		return err
	case n < 9:
		_, err := Compact(l.dir, CompactOptions{Disk: l.disk})
		return err
	default:
		return l.erase()
	}
}

// session is a writer's: opened, used, closed.
func (l *life) session() error {
	w, err := l.open()
	if err != nil {
		return err
	}
	var errs []error
	for range 1 + l.rng.IntN(5) {
		ids := l.take(1 + l.rng.IntN(3))
		if err := w.append(ids); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, i := range ids {
			l.acked[i] = true
		}
	}
	return errors.Join(errors.Join(errs...), w.Close())
}

func (l *life) batch() error {
	ids := l.take(4)
	b := newRowBuilder(&segmentHeader{Kind: l.kind, Layout: sales()})
	for _, i := range ids {
		if l.kind == actuals {
			a := lifeActual(i)
			b.addRow(&cursor{b: appendActual(nil, &a)[4:]})
			continue
		}
		r := sale(i)
		r.At += int64(i%3) * allDay
		b.addRow(&cursor{b: appendRecord(nil, sales(), &r)[4:]})
	}
	var err error
	if l.kind == actuals {
		_, _, err = writeActuals(l.disk, l.dir, b.table(), "file", fmt.Sprint("hash", ids))
	} else {
		_, err = writeBatch(l.disk, l.dir, predictions, b.table(), "file")
	}
	if err == nil {
		for _, i := range ids {
			l.acked[i] = true
		}
	}
	return err
}

func (l *life) erase() error {
	gone := map[string]bool{}
	for i := 0; i < l.next; i += eraseEvery {
		l.erased[i] = true
		gone[rowID(i)] = true
	}
	_, err := Erase(l.dir, Match{ColumnID, gone}, EraseOptions{Disk: l.disk})
	return err
}

// check reads the log: every row that was answered for is there once, but for
// erased ones, and none is there twice.
func (l *life) check(when string) {
	l.t.Helper()
	tab, _, err := read(l.dir, l.kind, 0, maxTime, ReadOptions{Columns: []string{ColumnID}})
	if err != nil {
		l.t.Fatalf("%s: %v", when, err)
	}
	seen := map[string]int{}
	id := tab.Column(ColumnID)
	for i := range tab.NumRows() {
		seen[id.Text(i)]++
	}
	for i := range l.next {
		n := seen[rowID(i)]
		if n > 1 || n == 0 && l.acked[i] && !l.erased[i] {
			l.t.Fatalf("%s: row %d (answered for: %v) is read %d times", when, i, l.acked[i], n)
		}
	}
}

// end opens and tidies the log as the next process does, and checks it.
func (l *life) end() {
	l.t.Helper()
	l.check("after the crash")
	l.disk = durable.Disk{FS: faulty.New(nil)}
	w, err := l.open()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := w.append(l.take(1)); err != nil {
		l.t.Fatal(err)
	}
	l.acked[l.next-1] = true
	if err := w.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.check("reopened")
	if _, err := Seal(l.dir, time.Time{}, SealOptions{Disk: l.disk, Leftovers: true}); err != nil {
		l.t.Fatal(err)
	}
	l.check("sealed")
	if _, err := Compact(l.dir, CompactOptions{Disk: l.disk}); err != nil {
		l.t.Fatal(err)
	}
	l.check("merged")
	if v, err := Verify(l.dir); err != nil || len(v.Findings) > 0 {
		l.t.Fatalf("verify: %+v, %v", v.Findings, err)
	}
}

// memoryDir is a directory in memory if there is one: disks of these tests are
// made up, and thousands of them are made.
func memoryDir() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

// crashPoints is the number of points of one life that are tried in a test
// run; HEALML_SWEEP=1 tries all of many lives, which takes minutes.
func crashPoints(ops int) (step, lives int) {
	if os.Getenv("HEALML_SWEEP") != "" {
		return 1, 24
	}
	return max(1, ops/12), 2
}

// TestLifeCrashes kills the process, and cuts the power, at each operation on
// the disk of several lives: with 0 % of what was not synced kept, no row that
// was answered for is lost or doubled.
func TestLifeCrashes(t *testing.T) {
	points := 0
	_, lives := crashPoints(0)
	for _, k := range []kind{predictions, actuals} {
		for seed := range uint64(lives) {
			whole := faulty.New(nil)
			l := newLife(t, t.TempDir(), durable.Disk{FS: whole}, seed, k)
			l.live(14, func(err error) bool {
				if err != nil {
					t.Fatal(err)
				}
				return false
			})
			l.end()
			step, _ := crashPoints(whole.Ops())
			for n := rand.IntN(step); n < whole.Ops(); n += step {
				for _, cut := range []bool{false, true} {
					crashAt(t, k, seed, n, cut)
					points++
				}
			}
		}
	}
	t.Logf("%d crash points", points)
	if os.Getenv("HEALML_SWEEP") != "" && points < 10_000 {
		t.Errorf("%d crash points, expected 10,000", points)
	}
}

func crashAt(t *testing.T, k kind, seed uint64, n int, cut bool) {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "life")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	disk := faulty.New(faulty.StopAt(n))
	l := newLife(t, dir, durable.Disk{FS: disk}, seed, k)
	dead := false
	l.live(14, func(err error) bool { dead = dead || errors.Is(err, faulty.ErrStopped); return dead })
	if cut {
		if err := disk.PowerCut(); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	if t.Failed() {
		t.Fatalf("%s, seed %d, operation %d, power cut %v", k, seed, n, cut)
	}
}

// faults are what a disk answers for a while, to which operations.
var faults = []struct {
	name   string
	err    error
	hits   func(op string) bool
	length int // operations; 0: for good, until the process ends
}{
	{"EIO on a write", syscall.EIO, func(op string) bool { return op == "write" }, 1},
	{"EIO on an fsync", syscall.EIO, func(op string) bool { return op == "sync" }, 1},
	{"EIO on the fsync of a directory", syscall.EIO, func(op string) bool { return op == "syncdir" }, 1},
	{"EIO on anything", syscall.EIO, func(string) bool { return true }, 3},
	{"ENOSPC", syscall.ENOSPC, func(op string) bool { return op == "write" || op == "create" || op == "mkdir" }, 12},
	{"read-only", syscall.EROFS, func(string) bool { return true }, 0},
}

// TestLifeFaults has the disk refuse for a while from each operation on: the
// process lives on, rows that were refused are so, and nothing else is lost.
func TestLifeFaults(t *testing.T) {
	points := 0
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			_, lives := crashPoints(0)
			for seed := range uint64(min(lives-1, 6)) {
				whole := faulty.New(nil)
				newLife(t, t.TempDir(), durable.Disk{FS: whole}, seed, predictions).live(14, func(error) bool { return false })
				step, _ := crashPoints(whole.Ops())
				for n := rand.IntN(step); n < whole.Ops(); n += step {
					refuse(t, seed, n, f.err, f.hits, f.length)
					points++
				}
			}
		})
	}
	t.Logf("%d faults", points)
}

func refuse(t *testing.T, seed uint64, n int, with error, hits func(string) bool, length int) {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "life")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	left := length
	disk := faulty.New(func(op faulty.Op) error {
		if op.N < n || !hits(op.Name) || length > 0 && left == 0 {
			return nil
		}
		left--
		return &fs.PathError{Op: op.Name, Path: op.Path, Err: with}
	})
	l := newLife(t, dir, durable.Disk{FS: disk}, seed, predictions)
	l.live(14, func(err error) bool {
		if err != nil && !errors.Is(err, with) {
			t.Fatalf("operation %d: %v, expected %v", n, err, with)
		}
		return false
	})
	if err := disk.PowerCut(); err != nil {
		t.Fatal(err)
	}
	l.end()
}

// A batch whose attempt failed at any operation and that is written again is
// on disk once that succeeded, whatever of it was there already.
func TestBatchAgainAfterAFault(t *testing.T) {
	for n := 0; ; n++ {
		dir, failed := t.TempDir(), false
		disk := faulty.New(func(op faulty.Op) error {
			if op.N == n {
				failed = true
				return syscall.EIO
			}
			return nil
		})
		l := newLife(t, dir, durable.Disk{FS: disk}, 1, predictions)
		first := l.batch()
		if !failed {
			if n < 8 {
				t.Errorf("only %d operations", n)
			}
			return
		}
		l.next = 0
		if err := l.batch(); err != nil {
			t.Fatalf("operation %d (%v): again: %v", n, first, err)
		}
		if err := disk.PowerCut(); err != nil {
			t.Fatal(err)
		}
		l.check(fmt.Sprintf("operation %d failed", n))
	}
}

// Every byte of a sealed file flipped, and every length of it cut off: it is
// noticed, costs that file, and the rows of the others are read.
func TestEveryByteOfASealedFile(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 3, 4)
	sealAll(t, dir)
	l, err := list(dir, 0, maxTime)
	if err != nil || len(l.sealed) != 3 {
		t.Fatal(l, err)
	}
	slices.SortFunc(l.sealed, func(a, b sealedFile) int { return int(segmentTime(a.name).Sub(segmentTime(b.name))) })
	path := l.sealed[1].path
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		if _, err := decodeSealed(l.sealed[1], b, table.ReadOptions{}); !errors.Is(err, errDamaged) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for at := range whole {
		for _, bit := range []byte{1, 0x80, 0xff} {
			b := slices.Clone(whole)
			b[at] ^= bit
			check(fmt.Sprintf("byte %d ^ %#x", at, bit), b)
		}
		check(fmt.Sprintf("cut to %d", at), whole[:at])
	}
	for range 20 { // in the log, some of them
		b := slices.Clone(whole)
		if b[rand.IntN(len(b))] ^= 1 << rand.IntN(8); rand.IntN(2) == 0 {
			b = b[:rand.IntN(len(b))]
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := expectIDsIn(t, dir); len(r.Findings) != 1 || r.Findings[0].File != path {
			t.Fatalf("findings %v", r.Findings)
		}
	}
}

// expectIDsIn expects the rows of the first and third of three files of four.
func expectIDsIn(t *testing.T, dir string) ReadStats {
	t.Helper()
	got, stats := readIDs(t, dir)
	slices.Sort(got)
	if len(got) != 8 {
		t.Fatalf("log holds %v", got)
	}
	return stats
}

// A disk that stands still does not stop the server: what waits is bounded,
// the rest is told to come again, a context ends a wait, and once the disk
// moves all that was not refused is there.
func TestStalledDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	stall := make(chan struct{})
	stalled := make(chan struct{}, 1000)
	disk := faulty.New(nil)
	w := open(t, dir, WriterOptions{Disk: durable.Disk{FS: stallingFS{disk, stall, stalled}}, QueueRows: 10})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	layout := sales()
	errs := make(chan error, 100)
	put := func(i int) { errs <- w.Append(ctx, layout, []Record{sale(i)}) }
	go put(0)
	<-stalled // the committer is in the fsync
	for i := range 10 {
		go put(1 + i)
	}
	for w.Stats().Queue < 10 {
		time.Sleep(time.Millisecond)
	}
	if err := w.Append(ctx, layout, []Record{sale(50)}); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the queue: %v", err)
	}
	if s := w.Stats(); s.Busy != 1 || s.Queue != 10 {
		t.Errorf("stats %+v", s)
	}
	close(stall)
	for range 11 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	expectIDs(t, dir, count(0, 11))
}

// stallingFS has files whose fsync waits for a channel once the log has begun.
type stallingFS struct {
	*faulty.FS
	stall   chan struct{}
	stalled chan struct{}
}

func (s stallingFS) Create(path string) (durable.File, error) {
	f, err := s.FS.Create(path)
	return &stallingFile{File: f, s: s}, err
}

type stallingFile struct {
	durable.File
	s     stallingFS
	syncs int
}

func (f *stallingFile) Sync() error {
	if f.syncs++; f.syncs > 1 { // the first is the header's
		f.s.stalled <- struct{}{}
		<-f.s.stall
	}
	return f.File.Sync()
}
