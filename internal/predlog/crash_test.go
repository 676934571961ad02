package predlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/table"
)

// sweep runs job once for each of its disk operations, stopping there, and
// has check look at what a kill, and what a power cut, leaves. It goes through
// at most limit operations, evenly spread.
func sweep(t *testing.T, limit int, prepare func(dir string), job func(d durable.Disk, dir string) error, check func(t *testing.T, dir string, err error)) {
	t.Helper()
	dir := t.TempDir()
	prepare(dir)
	whole := faulty.New(nil)
	if err := job(durable.Disk{FS: whole}, dir); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	check(t, dir, nil)
	ops := whole.Ops()
	if ops < 5 {
		t.Fatalf("only %d operations", ops)
	}
	step := max(1, ops/limit)
	for _, cut := range []bool{false, true} {
		for n := rand.IntN(step); n < ops; n += step {
			dir := t.TempDir()
			prepare(dir)
			disk := faulty.New(faulty.StopAt(n))
			err := job(durable.Disk{FS: disk}, dir)
			if cut {
				if err := disk.PowerCut(); err != nil {
					t.Fatal(err)
				}
			}
			t.Run(fmt.Sprintf("cut=%v/op=%d", cut, n), func(t *testing.T) { check(t, dir, err) })
		}
	}
}

// Whatever operation the process dies in, every row that Append answered for
// is read, once, before and after the log is recovered and sealed.
func TestWriterCrashes(t *testing.T) {
	var acked []int
	sweep(t, 30, func(string) {},
		func(d durable.Disk, dir string) error {
			acked = nil
			w, err := OpenWriter(dir, WriterOptions{Now: clock(), Disk: d, MaxBytes: 3000})
			if err != nil {
				return err
			}
			for i := range 30 {
				if err := w.Append(context.Background(), sales(), []Record{sale(i)}); err == nil {
					acked = append(acked, i)
				}
			}
			return w.Close()
		},
		func(t *testing.T, dir string, _ error) {
			holds := func(when string) {
				got, _ := readIDs(t, dir)
				for _, i := range acked {
					if n := len(slices.DeleteFunc(slices.Clone(got), func(g int) bool { return g != i })); n != 1 {
						t.Fatalf("%s: row %d was answered for and is read %d times", when, i, n)
					}
				}
			}
			holds("after the crash")
			w := open(t, dir, WriterOptions{})
			closeWriter(t, w)
			if s := w.Stats(); len(s.Gaps) > 0 {
				t.Errorf("gaps %v", s.Gaps)
			}
			holds("reopened")
			sealAll(t, dir)
			holds("sealed")
			if d, err := Stat(dir); err != nil || d.Segments+d.Open+d.Quarantined > 0 {
				t.Errorf("left %+v, %v", d, err)
			}
		})
}

// Sealing and merging may die anywhere: no row is lost or doubled, and the
// next attempt ends in the same state.
func TestSealerCrashes(t *testing.T) {
	prepare := func(dir string) {
		for s := range 3 {
			w := open(t, dir, WriterOptions{Disk: durable.Disk{FS: faulty.New(nil)}})
			appendSales(t, w, sales(), count(4*s, 4*s+4)...)
			closeWriter(t, w)
		}
	}
	job := func(d durable.Disk, dir string) error {
		if _, err := Seal(dir, time.Time{}, SealOptions{Disk: d}); err != nil {
			return err
		}
		_, err := Compact(dir, CompactOptions{Disk: d})
		return err
	}
	sweep(t, 20, prepare, job, func(t *testing.T, dir string, _ error) {
		expectIDs(t, dir, count(0, 12))
		if err := job(durable.Disk{FS: faulty.New(nil)}, dir); err != nil {
			t.Fatal(err)
		}
		if r := expectIDs(t, dir, count(0, 12)); r.Files != 1 || r.Segments != 0 || len(r.Findings) != 0 {
			t.Errorf("after the next attempt: %+v", r)
		}
		temp, err := filepath.Glob(filepath.Join(dir, "date=*", ".tmp-*"))
		if err != nil || len(temp) > 0 && !strings.Contains(temp[0], fmt.Sprintf(".tmp-%d-", os.Getpid())) {
			t.Errorf("left %q, %v", temp, err)
		}
	})
}

// A batch that spans two days may die anywhere; written again with other
// times, it is there once.
func TestBatchCrashes(t *testing.T) {
	batch := func(shift int64) *table.Table {
		b := newRowBuilder(&segmentHeader{Kind: predictions, Layout: sales()})
		for i := range 6 {
			r := sale(i)
			r.At += shift + int64(i%2)*allDay
			row := cursor{b: appendRecord(nil, sales(), &r)[4:]}
			b.addRow(&row)
		}
		return b.table()
	}
	job := func(d durable.Disk, dir string, shift int64) error {
		_, err := writeBatch(d, dir, predictions, batch(shift), "file.csv")
		return err
	}
	sweep(t, 30, func(string) {},
		func(d durable.Disk, dir string) error { return job(d, dir, 0) },
		func(t *testing.T, dir string, _ error) {
			if err := job(durable.Disk{FS: faulty.New(nil)}, dir, 3*allDay); err != nil {
				t.Fatal(err)
			}
			tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for i := range tab.NumRows() {
				ids = append(ids, tab.Column(ColumnID).Text(i))
			}
			slices.Sort(ids)
			if got := strings.Join(ids, " "); got != "id-0 id-1 id-2 id-3 id-4 id-5" {
				t.Errorf("log holds %s", got)
			}
		})
}

// The disk fills up and is emptied again while the log is being written.
func TestDiskFullAndBack(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "syncdir", "rename"} {
		t.Run(op, func(t *testing.T) {
			dir := t.TempDir()
			disk := faulty.New(nil)
			var now time.Time
			var mu sync.Mutex
			tick := func(d time.Duration) time.Time {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(d)
				return time.UnixMicro(noon).Add(now.Sub(time.Time{}))
			}
			w := open(t, dir, WriterOptions{Now: func() time.Time { return tick(time.Microsecond) }, Disk: durable.Disk{FS: disk}, MaxBytes: 2000})
			var acked, refused []int
			log := func(lo, hi int) {
				for i := lo; i < hi; i++ {
					if err := w.Append(context.Background(), sales(), []Record{sale(i)}); err == nil {
						acked = append(acked, i)
					} else if errors.Is(err, durable.ErrWrite) && errors.Is(err, syscall.ENOSPC) {
						refused = append(refused, i)
					} else {
						t.Fatalf("row %d: %v", i, err)
					}
				}
			}
			log(0, 5)
			if len(acked) != 5 {
				t.Fatal("rows refused by a sound disk")
			}
			disk.SetFault(func(o faulty.Op) error {
				if o.Name == op {
					return &fs.PathError{Op: op, Path: o.Path, Err: syscall.ENOSPC}
				}
				return nil
			})
			log(5, 40)
			attempts := disk.Ops()
			log(40, 60) // refused without asking the disk
			if op != "rename" && (len(refused) < 20 || disk.Ops() > attempts+8) {
				t.Errorf("%d rows refused, %d further operations", len(refused), disk.Ops()-attempts)
			}
			s := w.Stats()
			if s.Errors == 0 || !strings.Contains(s.LastError, "no space left") || s.LastErrorTime.IsZero() || s.Rows != int64(len(acked)) {
				t.Errorf("stats %+v with %d rows acked", s, len(acked))
			}
			disk.SetFault(nil)
			tick(2 * time.Second)
			log(60, 70)
			if got := acked[len(acked)-10:]; !slices.Equal(got, count(60, 70)) {
				t.Errorf("after the disk had room again: %v", got)
			}
			expectIDs(t, dir, acked)
			_ = w.Close() // reports the renames that failed
			sealAll(t, dir)
			expectIDs(t, dir, acked)
		})
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	disk := durable.Disk{FS: faulty.New(func(faulty.Op) error { return syscall.EROFS })}
	if _, err := OpenWriter(filepath.Join(t.TempDir(), "log"), WriterOptions{Now: clock(), Disk: disk}); !errors.Is(err, durable.ErrWrite) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("error %v", err)
	}
}

const killedRows = 400

// logUntilKilled is the child of TestKill: it appends from several goroutines
// and prints each row's number once Append answered for it.
func logUntilKilled(dir string) {
	w, err := OpenWriter(dir, WriterOptions{Now: time.Now, MaxBytes: 4000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	first, err := strconv.Atoi(os.Getenv("PREDLOG_TEST_FIRST"))
	if err != nil {
		os.Exit(1)
	}
	layout := sales()
	var print sync.Mutex
	for g := range 8 {
		go func() {
			for i := first + g; ; i += 8 {
				if w.Append(context.Background(), layout, []Record{sale(i)}) == nil {
					print.Lock()
					fmt.Println(i)
					print.Unlock()
				}
			}
		}()
	}
	select {}
}

// A server is killed under load, again and again, while its log is sealed: no
// row that it answered for is lost or doubled.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acked []int
	for round := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "PREDLOG_TEST_CHILD="+dir, "PREDLOG_TEST_FIRST="+strconv.Itoa(round*1_000_000))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			i, err := strconv.Atoi(lines.Text())
			if err != nil {
				break // a line that the kill cut short
			}
			acked = append(acked, i)
			if n == killedRows {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // killed
		if _, err := Seal(dir, time.Time{}, SealOptions{Leftovers: round%2 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	got, stats := readIDs(t, dir)
	seen := map[int]int{}
	for _, i := range got {
		seen[i]++
		if seen[i] > 1 {
			t.Fatalf("row %d is read twice", i)
		}
	}
	for _, i := range acked {
		if seen[i] != 1 {
			t.Fatalf("row %d was answered for and is lost (%d rows, %+v)", i, len(got), stats)
		}
	}
	if len(acked) < 4*killedRows || len(stats.Findings) > 0 {
		t.Errorf("%d rows, findings %v", len(acked), stats.Findings)
	}
}

// Writers, a sealer that also merges, and readers at once: a reader sees every
// row that was answered for before it began, and none twice.
func TestAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{MaxBytes: 3000})
	const writers, rows = 4, 150
	var mu sync.Mutex
	var acked []int
	var writing, others sync.WaitGroup
	for g := range writers {
		writing.Go(func() {
			layout := sales()
			for i := range rows {
				id := g*rows + i
				if err := w.Append(context.Background(), layout, []Record{sale(id)}); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				acked = append(acked, id)
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	loop := func(f func() error) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loop(func() error {
		if _, err := Seal(dir, time.Time{}, SealOptions{Leftovers: true}); err != nil {
			return err
		}
		_, err := Compact(dir, CompactOptions{MinFiles: 3})
		return err
	})
	for range 2 {
		loop(func() error {
			mu.Lock()
			before := slices.Clone(acked)
			mu.Unlock()
			tab, stats, err := Read(dir, 0, maxTime, ReadOptions{})
			if err != nil {
				return err
			}
			seen := map[string]bool{}
			id := tab.Column(ColumnID)
			for i := range tab.NumRows() {
				if seen[id.Text(i)] {
					return fmt.Errorf("%s is read twice", id.Text(i))
				}
				seen[id.Text(i)] = true
			}
			for _, i := range before {
				if !seen["id-"+strconv.Itoa(i)] {
					return fmt.Errorf("row %d is not read; %d are (%+v)", i, len(seen), stats)
				}
			}
			return nil
		})
	}
	writing.Wait()
	close(stop)
	others.Wait()
	closeWriter(t, w)
	sealAll(t, dir)
	expectIDs(t, dir, count(0, writers*rows))
}
