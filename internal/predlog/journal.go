package predlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/healml/healml/internal/durable"
)

// Durability says what a nil from Append promises.
type Durability string

// The choices.
const (
	// Ack: the rows are on disk and survive a power cut.
	Ack Durability = "ack"
	// Interval: the rows are queued; they are written at once and fsynced
	// every WriterOptions.SyncEvery. A crash of the process may lose what is
	// being written, a power cut the last interval. Stats counts rows that
	// could not be written after all.
	Interval Durability = "interval"
)

// WriterOptions say how a log is written.
type WriterOptions struct {
	// Now reads the clock; it is required. It names segments, ages them and
	// spaces attempts after a failure.
	Now func() time.Time
	// Durability is Ack unless set.
	Durability Durability
	// SyncEvery is the time between fsyncs under Interval; 0 means 200 ms.
	SyncEvery time.Duration
	// MaxBytes and MaxAge close a segment; 0 means 16 MiB and one hour.
	MaxBytes int64
	MaxAge   time.Duration
	// QueueRows bounds the rows that wait to be written; 0 means 65,536: a
	// second's fsync under load, or 64 batches of a thousand rows at once.
	QueueRows int
	// RetryEvery is the least time between attempts at a new segment after
	// the disk refused one; 0 means one second.
	RetryEvery time.Duration
	// OnSync, if not nil, is told how long each fsync took, by Now.
	OnSync func(time.Duration)
	// Disk is where to write; the zero value is the operating system's.
	Disk durable.Disk
}

func (o WriterOptions) withDefaults() (WriterOptions, error) {
	if o.Now == nil {
		return o, errors.New("prediction log: WriterOptions.Now is required")
	}
	switch o.Durability {
	case "":
		o.Durability = Ack
	case Ack, Interval:
	default:
		return o, fmt.Errorf("prediction log: WriterOptions.Durability is %q, expected %q or %q", o.Durability, Ack, Interval)
	}
	setDefault(&o.SyncEvery, 200*time.Millisecond)
	setDefault(&o.MaxBytes, 16<<20)
	setDefault(&o.MaxAge, time.Hour)
	setDefault(&o.QueueRows, 65536)
	setDefault(&o.RetryEvery, time.Second)
	return o, nil
}

func setDefault[T ~int | ~int64](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// Stats are the counters of a writer since it was opened.
type Stats struct {
	Rows          int64     `json:"rows"`           // accepted and, under Ack, on disk
	LostRows      int64     `json:"lost_rows"`      // under Interval: accepted, then refused by the disk
	Bytes         int64     `json:"bytes"`          // written, in whole frames
	Segments      int64     `json:"segments"`       // begun
	Open          int       `json:"open"`           // segments being appended to
	Syncs         int64     `json:"syncs"`          // fsyncs of rows
	Errors        int64     `json:"errors"`         // failed writes, fsyncs and attempts at a segment
	Busy          int64     `json:"busy"`           // Appends refused with ErrBusy
	Queue         int       `json:"queue"`          // rows waiting
	LastError     string    `json:"last_error"`     // "" when there was none
	LastErrorTime time.Time `json:"last_error_at"`  // zero when there was none
	RecoveredRows int64     `json:"recovered_rows"` // found in segments that a crash left open
	TornBytes     int64     `json:"torn_bytes"`     // cut off their ends
	Gaps          []Finding `json:"gaps"`           // damage found in them
}

// entry is what one Append wants written.
type entry struct {
	layout *Layout // nil: actuals
	rows   int
	buf    []byte
	done   chan error // gets the outcome, under Ack
}

// journal appends rows to the segments of a log. One goroutine, the
// committer, does all the writing.
type journal struct {
	dir  string
	kind kind
	o    WriterOptions
	lock *durable.FileLock
	pool sync.Pool // *entry

	wake  chan struct{} // cap 1: there is work, or the end
	ended chan struct{} // closed when the committer returned

	mu      sync.Mutex
	queue   []*entry
	stats   Stats
	closed  bool
	rotate  bool      // the open segments are to be closed
	failure error     // the last one to write, nil while there was none
	retryAt time.Time // until when it stands for every new attempt

	// The committer's own.
	segments []*openSegment
	spare    []*entry
	closeErr error
}

func openJournal(dir string, k kind, o WriterOptions) (*journal, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.Disk.MkdirAll(filepath.Join(dir, walDir)), o.Disk.SyncDir(dir)); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := durable.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	j := &journal{dir: dir, kind: k, o: o, lock: lock, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	j.pool.New = func() any { return &entry{done: make(chan error, 1)} }
	if err := j.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover log: %w", err), lock.Unlock())
	}
	go j.run()
	return j, nil
}

// recover closes what a crash left open.
func (j *journal) recover() error {
	r, err := closeLeftovers(j.o.Disk, j.dir)
	j.stats.RecoveredRows = r.rows
	j.stats.TornBytes = r.torn
	j.stats.Gaps = r.gaps
	return err
}

// entry returns an empty one.
func (j *journal) entry(l *Layout) *entry {
	e := j.pool.Get().(*entry)
	e.layout, e.rows, e.buf = l, 0, e.buf[:0]
	return e
}

// release gives e back, unless one large Append would keep its memory for
// good.
func (j *journal) release(e *entry) {
	if cap(e.buf) <= 64<<10 {
		j.pool.Put(e)
	}
}

// append queues e and waits for its outcome as Durability demands.
func (j *journal) append(ctx context.Context, e *entry) error {
	wait := j.o.Durability == Ack
	if err := j.enqueue(ctx, e); err != nil {
		j.release(e)
		return err
	}
	if !wait {
		return nil
	}
	select {
	case err := <-e.done:
		j.release(e)
		return err
	case <-ctx.Done():
		return ctx.Err() // the committer may still write e, so it is not reused
	}
}

func (j *journal) enqueue(ctx context.Context, e *entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(e.buf) > durable.MaxPayload/2 {
		return fmt.Errorf("append to %s: %d bytes at once, at most %d are allowed", j.dir, len(e.buf), durable.MaxPayload/2)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case j.failure != nil && j.o.Now().Before(j.retryAt):
		return j.failure
	case j.stats.Queue > 0 && j.stats.Queue+e.rows > j.o.QueueRows:
		j.stats.Busy++
		return ErrBusy
	}
	j.queue = append(j.queue, e)
	j.stats.Queue += e.rows
	select {
	case j.wake <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// rotateSoon has the committer close the open segments once what is queued now
// is written.
func (j *journal) rotateSoon() {
	j.mu.Lock()
	j.rotate = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // it is awake
	}
}

// close ends the journal after writing what is queued.
func (j *journal) close() error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	if !first {
		<-j.ended
		return nil
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.ended
	return errors.Join(j.closeErr, j.lock.Unlock())
}

// snapshot is the counters now.
func (j *journal) snapshot() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

func (j *journal) healthy() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	return j.failure
}
