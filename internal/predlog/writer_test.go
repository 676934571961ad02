package predlog

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
)

// stalled is a disk whose next fsync of a file waits for release.
func stalled() (d durable.Disk, waiting chan struct{}, release func()) {
	waiting, gate := make(chan struct{}), make(chan struct{})
	var once, free sync.Once
	disk := faulty.New(nil)
	syncs := 0
	disk.SetFault(func(op faulty.Op) error {
		if op.Name != "sync" {
			return nil
		}
		if syncs++; syncs > 1 { // the first is that of the segment's header
			once.Do(func() { close(waiting) })
			<-gate
		}
		return nil
	})
	return durable.Disk{FS: disk}, waiting, func() { free.Do(func() { close(gate) }) }
}

// While the disk stalls, rows queue up to the bound, what comes then is
// refused at once, and all that queued share the next fsync.
func TestQueueIsBoundedAndShared(t *testing.T) {
	dir := t.TempDir()
	disk, waiting, release := stalled()
	defer release()
	w := open(t, dir, WriterOptions{Disk: disk, QueueRows: 10})
	var appends sync.WaitGroup
	start := func(ids ...int) {
		appends.Go(func() {
			var recs []Record
			for _, i := range ids {
				recs = append(recs, sale(i))
			}
			if err := w.Append(context.Background(), sales(), recs); err != nil {
				t.Errorf("append of %v: %v", ids, err)
			}
		})
	}
	start(0)
	<-waiting
	for i := range 5 {
		start(1+2*i, 2+2*i)
	}
	for w.Stats().Queue < 10 {
		time.Sleep(time.Millisecond)
	}
	if err := w.Append(context.Background(), sales(), []Record{sale(99)}); !errors.Is(err, ErrBusy) {
		t.Errorf("append to a full queue: %v", err)
	}
	release()
	appends.Wait()
	s := w.Stats()
	if s.Busy != 1 || s.Queue != 0 || s.Rows != 11 || s.Syncs != 2 {
		t.Errorf("stats %+v, expected 11 rows by 2 syncs", s)
	}
	expectIDs(t, dir, count(0, 11))
	// One Append larger than the queue is taken when nothing waits.
	appendSales(t, w, sales(), count(11, 40)...)
}

func TestAppendHeedsItsContext(t *testing.T) {
	disk, waiting, release := stalled()
	defer release()
	w := open(t, t.TempDir(), WriterOptions{Disk: disk})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Append(ctx, sales(), []Record{sale(0)}) }()
	<-waiting
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
	if err := w.Append(ctx, sales(), []Record{sale(1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	release()
	appendSales(t, w, sales(), 2)
	if s := w.Stats(); s.Rows != 2 {
		t.Errorf("stats %+v, expected the rows 0 and 2", s)
	}
}

func TestCloseWritesTheQueue(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{Durability: Interval, SyncEvery: time.Hour})
	for i := range 50 {
		appendSales(t, w, sales(), i)
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if err := w.Append(context.Background(), sales(), []Record{sale(50)}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
	expectIDs(t, dir, count(0, 50))
	open(t, dir, WriterOptions{}) // the lock is free
}

func TestIntervalDoesNotWait(t *testing.T) {
	disk, waiting, release := stalled()
	defer release()
	var synced atomic.Int64
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{Disk: disk, Durability: Interval, SyncEvery: time.Millisecond, OnSync: func(time.Duration) { synced.Add(1) }})
	appendSales(t, w, sales(), 0)
	<-waiting
	for i := 1; i < 20; i++ {
		appendSales(t, w, sales(), i) // returns though the disk is stuck
	}
	release()
	for synced.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	closeWriter(t, w)
	expectIDs(t, dir, count(0, 20))
}

// Fsyncs come at their interval although the queue never runs empty.
func TestIntervalUnderConstantLoad(t *testing.T) {
	disk := faulty.New(nil)
	var synced atomic.Bool
	w := open(t, t.TempDir(), WriterOptions{Disk: durable.Disk{FS: disk}, Durability: Interval, SyncEvery: time.Millisecond, OnSync: func(time.Duration) { synced.Store(true) }})
	writes := 0
	done := make(chan struct{})
	disk.SetFault(func(op faulty.Op) error {
		if op.Name != "write" {
			return nil
		}
		writes++
		if !synced.Load() && writes < 2000 {
			time.Sleep(100 * time.Microsecond)
			return w.Append(context.Background(), sales(), []Record{sale(writes)}) // there is always more
		}
		if writes <= 2000 {
			close(done)
			writes = 3000
		}
		return nil
	})
	appendSales(t, w, sales(), 0)
	<-done
	if !synced.Load() {
		t.Error("never synced while the load lasted")
	}
}

// Of a commit that fails in its second frame, the first is taken back too:
// both callers are told that nothing was logged.
func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	disk := faulty.New(nil)
	w := open(t, dir, WriterOptions{Disk: durable.Disk{FS: disk}})
	appendSales(t, w, sales(), 0)
	large := sale(1)
	large.Texts[4] = strings.Repeat("x", frameTarget)
	var appends sync.WaitGroup
	start := func(r Record) {
		appends.Go(func() {
			if err := w.Append(context.Background(), sales(), []Record{r}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("append: %v", err)
			}
		})
	}
	writes := 0
	disk.SetFault(func(op faulty.Op) error {
		if op.Name != "write" {
			return nil
		}
		switch writes++; writes {
		case 1: // a small commit, during which two large rows queue up
			appends.Add(1)
			go func() {
				defer appends.Done()
				start(large)
				start(large)
			}()
			for w.Stats().Queue < 2 {
				time.Sleep(time.Millisecond)
			}
			return nil
		case 3:
			return syscall.ENOSPC
		}
		return nil
	})
	appendSales(t, w, sales(), 2)
	appends.Wait()
	expectIDs(t, dir, []int{0, 2})
}

// Rows that Append answered for too early are counted when they are lost.
func TestIntervalCountsWhatItLost(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		disk := faulty.New(nil)
		dir := t.TempDir()
		w := open(t, dir, WriterOptions{Disk: durable.Disk{FS: disk}, Durability: Interval, SyncEvery: time.Hour})
		appendSales(t, w, sales(), 0, 1)
		for w.Stats().Rows < 2 {
			time.Sleep(time.Millisecond)
		}
		disk.SetFault(func(o faulty.Op) error {
			if o.Name == op {
				return syscall.EIO
			}
			return nil
		})
		_ = w.Append(context.Background(), sales(), []Record{sale(2)})
		if op == "write" { // noticed at once, and what comes next is refused
			for w.Stats().LastError == "" {
				time.Sleep(time.Millisecond)
			}
			if err := w.Append(context.Background(), sales(), []Record{sale(3)}); !errors.Is(err, syscall.EIO) {
				t.Errorf("append after a failure: %v", err)
			}
		}
		err := w.Close()
		s := w.Stats()
		got, _ := readIDs(t, dir)
		if s.Rows+s.LostRows != 3 || s.LostRows == 0 || int64(len(got)) != s.Rows || s.LastError == "" {
			t.Errorf("%s: stats %+v, %d rows read, %v", op, s, len(got), err)
		}
	}
}

func TestOnSync(t *testing.T) {
	var took []time.Duration
	w := open(t, t.TempDir(), WriterOptions{OnSync: func(d time.Duration) { took = append(took, d) }})
	appendSales(t, w, sales(), 0)
	appendSales(t, w, sales(), 1)
	closeWriter(t, w)
	if !slices.Equal(took, []time.Duration{time.Millisecond, time.Millisecond}) {
		t.Errorf("fsyncs took %v by a clock that moves a millisecond a reading", took)
	}
}

// More layouts than may be open at once: the least recently used gives way.
func TestOpenSegmentsAreBounded(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{})
	for round := range 2 {
		for k := range maxOpen + 2 {
			l := sales()
			l.Target = "t" + strconv.Itoa(k)
			appendSales(t, w, l, round)
			if s := w.Stats(); s.Open > maxOpen+1 {
				t.Fatalf("%d segments are open", s.Open)
			}
		}
	}
	closeWriter(t, w)
	tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
	if err != nil || tab.NumRows() != 2*(maxOpen+2) {
		t.Errorf("%d rows, %v", tab.NumRows(), err)
	}
}

func TestLargeBatchIsSeveralFrames(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{Durability: Interval, SyncEvery: time.Hour})
	for i := range 6000 {
		appendSales(t, w, sales(), i)
	}
	closeWriter(t, w)
	expectIDs(t, dir, count(0, 6000))
}

func TestRecoveryIsReported(t *testing.T) {
	dir := t.TempDir()
	disk := faulty.New(nil)
	w := open(t, dir, WriterOptions{Disk: durable.Disk{FS: disk}})
	appendSales(t, w, sales(), count(0, 5)...)
	disk.SetFault(func(op faulty.Op) error {
		if op.Name == "write" {
			return faulty.ErrStopped
		}
		return nil
	})
	if err := w.Append(context.Background(), sales(), []Record{sale(5)}); err == nil {
		t.Fatal("the process should have died")
	}
	_ = w.Close()
	again := open(t, dir, WriterOptions{})
	s := again.Stats()
	if s.RecoveredRows != 5 || s.TornBytes == 0 || len(s.Gaps) != 0 {
		t.Errorf("stats %+v, expected 5 rows and a torn tail", s)
	}
	appendSales(t, again, sales(), 6)
	expectIDs(t, dir, append(count(0, 5), 6))
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	layout, r := sales(), sale(7)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = appendRecord(buf[:0], layout, &r) }); n > 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	w := open(t, t.TempDir(), WriterOptions{})
	layout, recs := sales(), []Record{sale(7)}
	ctx := context.Background()
	n := testing.AllocsPerRun(200, func() {
		if err := w.Append(ctx, layout, recs); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0.5 && !raceEnabled {
		t.Errorf("%v allocations an append", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	layout, r := sales(), sale(7)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], layout, &r)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkAppend measures answers a second that wait for the disk.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			w, err := OpenWriter(b.TempDir(), WriterOptions{Now: time.Now})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			layout := sales()
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var g sync.WaitGroup
			for range writers {
				g.Go(func() {
					recs := []Record{sale(7)}
					for next.Add(1) <= int64(b.N) {
						if err := w.Append(context.Background(), layout, recs); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			g.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(b.N)/float64(w.Stats().Syncs), "rows/sync")
		})
	}
}

// BenchmarkRecover measures what a restart costs a full segment.
func BenchmarkRecover(b *testing.B) {
	dir := b.TempDir()
	w, err := OpenWriter(dir, WriterOptions{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	recs := make([]Record, 1000)
	for i := range recs {
		recs[i] = sale(i)
	}
	layout := sales()
	for range 120 {
		if err := w.Append(context.Background(), layout, recs); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	files, err := listSegments(dir)
	if err != nil || len(files) != 1 {
		b.Fatal(files, err)
	}
	b.SetBytes(fileSize(files[0].path))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scanSegment(files[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// Rotate closes what was written so far, and appending goes on beside it.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, WriterOptions{})
	w.Rotate() // nothing is open
	appendSales(t, w, sales(), 0, 1)
	w.Rotate()
	deadline := time.Now().Add(10 * time.Second)
	for w.Stats().Open > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the segment is still open")
		}
		time.Sleep(time.Millisecond)
	}
	appendSales(t, w, sales(), 2)
	if s := sealAll(t, dir); s.Segments != 1 || s.Rows != 2 {
		t.Errorf("%+v", s)
	}
	expectIDs(t, dir, count(0, 3))
	closeWriter(t, w)
	if s := w.Stats(); s.Segments != 2 || s.Errors != 0 {
		t.Errorf("%+v", s)
	}
}
