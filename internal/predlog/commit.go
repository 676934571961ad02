package predlog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/healml/healml/internal/durable"
)

const (
	// frameTarget is the size at which a frame is closed, so that damage
	// costs no more rows than need be.
	frameTarget = 256 << 10
	// maxOpen bounds the segments open at once, one a layout: while a model
	// is swapped, old and new both log.
	maxOpen = 4
)

// run is the committer.
func (j *journal) run() {
	defer close(j.ended)
	period := min(j.o.MaxAge, time.Minute)
	if j.o.Durability == Interval {
		period = j.o.SyncEvery
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		batch, closed, rotate := j.take()
		switch {
		case rotate:
			_ = j.closeAll() // an error is in the stats
		case len(batch) > 0:
			j.commit(batch)
			clear(batch)
			j.spare = batch
			select {
			case <-tick.C: // also under load that never pauses
				j.syncAll()
			default:
			}
			j.closeFull()
		case closed:
			j.closeErr = j.closeAll()
			return
		default:
			select {
			case <-j.wake:
			case <-tick.C:
				j.syncAll()
				j.closeFull()
			}
		}
	}
}

// take empties the queue; rotate is true once it was empty, so that what came
// before is in the segments that are closed.
func (j *journal) take() (batch []*entry, closed, rotate bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 && j.rotate {
		j.rotate = false
		return nil, false, true
	}
	batch = j.queue
	j.queue = j.spare[:0]
	j.spare = nil
	j.stats.Queue = 0
	return batch, j.closed, false
}

// commit writes a batch, a frame or more for each layout, syncs what it wrote
// when Durability demands it, and tells the waiters.
func (j *journal) commit(batch []*entry) {
	for _, e := range batch {
		s, err := j.segment(e.layout)
		if err != nil {
			j.finish(e, err)
			continue
		}
		s.add(e)
		if s.bytes >= frameTarget {
			s.writeFrame()
		}
	}
	for _, s := range j.segments {
		if len(s.batch) == 0 {
			continue
		}
		s.writeFrame()
		if j.o.Durability == Ack {
			j.sync(s)
			s.w.Discard() // of a failed one: its waiters are told that nothing was logged
		}
		for i, e := range s.batch {
			j.finish(e, s.err)
			s.batch[i] = nil
		}
		s.batch = s.batch[:0]
	}
	j.dropFailed()
}

// finish reports the outcome of e.
func (j *journal) finish(e *entry, err error) {
	j.mu.Lock()
	switch {
	case err == nil:
		j.stats.Rows += int64(e.rows)
		j.stats.Bytes += int64(len(e.buf))
	case j.o.Durability == Interval:
		j.stats.LostRows += int64(e.rows)
	}
	j.mu.Unlock()
	if j.o.Durability == Ack {
		e.done <- err
	} else {
		j.release(e)
	}
}

// sync makes the frames of s durable.
func (j *journal) sync(s *openSegment) {
	if s.err != nil || s.w.Synced() {
		return
	}
	start := j.o.Now()
	s.err = s.w.Sync()
	took := j.o.Now().Sub(start)
	if s.err != nil {
		j.lose(s)
	}
	s.unsynced = 0
	if j.o.OnSync != nil {
		j.o.OnSync(took)
	}
	j.mu.Lock()
	j.stats.Syncs++
	j.mu.Unlock()
}

// lose counts rows of s that were accepted and then could not be made durable.
func (j *journal) lose(s *openSegment) {
	if j.o.Durability != Interval {
		return // their waiters were told
	}
	j.mu.Lock()
	j.stats.Rows -= s.unsynced
	j.stats.LostRows += s.unsynced
	j.mu.Unlock()
}

// syncAll makes all open segments durable.
func (j *journal) syncAll() {
	for _, s := range j.segments {
		j.sync(s)
	}
	j.dropFailed()
}

// fail notes a failure to write; until retryAt Append returns it at once.
func (j *journal) fail(err error) {
	now := j.o.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failure = err
	j.retryAt = now.Add(j.o.RetryEvery)
	j.stats.Errors++
	j.stats.LastError = err.Error()
	j.stats.LastErrorTime = now
}

// openSegment is a segment being appended to.
type openSegment struct {
	id       string
	layout   *Layout
	began    time.Time
	w        *durable.FrameWriter
	rows     uint64 // written; the sequence number of the next
	unsynced int64  // rows written since the last sync, under Interval
	err      error  // after which the segment is given up

	batch   []*entry // of the commit under way
	written int      // of these, those in frames
	bytes   int      // in batch[written:]
	parts   [][]byte
	count   [4]byte
}

func (s *openSegment) add(e *entry) {
	if len(s.batch) == 0 {
		s.written, s.bytes = 0, 0
	}
	s.batch = append(s.batch, e)
	s.bytes += len(e.buf)
}

// writeFrame writes the rest of the batch as one frame.
func (s *openSegment) writeFrame() {
	rest := s.batch[s.written:]
	s.written, s.bytes = len(s.batch), 0
	if len(rest) == 0 || s.err != nil {
		return
	}
	rows := 0
	s.parts = append(s.parts[:0], s.count[:])
	for _, e := range rest {
		rows += e.rows
		s.parts = append(s.parts, e.buf)
	}
	binary.LittleEndian.PutUint32(s.count[:], uint32(rows))
	s.err = s.w.Append(s.rows, s.parts...)
	clear(s.parts)
	if s.err == nil {
		s.rows += uint64(rows)
		s.unsynced += int64(rows)
	}
}

func sameLayout(a, b *Layout) bool {
	return a == b || a != nil && b != nil && a.key() == b.key()
}

// segment returns the open segment of layout l, the most recently used last.
func (j *journal) segment(l *Layout) (*openSegment, error) {
	for i, s := range j.segments {
		if s.err == nil && sameLayout(s.layout, l) {
			copy(j.segments[i:], j.segments[i+1:])
			j.segments[len(j.segments)-1] = s
			return s, nil
		}
	}
	j.mu.Lock()
	failure, retryAt := j.failure, j.retryAt
	j.mu.Unlock()
	if failure != nil && j.o.Now().Before(retryAt) {
		return nil, failure
	}
	s, err := j.begin(l)
	if err != nil {
		j.fail(err)
		return nil, err
	}
	j.segments = append(j.segments, s)
	j.mu.Lock()
	j.stats.Segments++
	j.stats.Open = len(j.segments)
	j.mu.Unlock()
	return s, nil
}

// begin makes a segment on disk.
func (j *journal) begin(l *Layout) (*openSegment, error) {
	s := &openSegment{began: j.o.Now(), layout: l}
	s.id = newSegmentID(s.began)
	header, err := json.Marshal(segmentHeader{Format: segmentFormat, Kind: j.kind, Segment: s.id, Layout: l})
	if err != nil {
		return nil, fmt.Errorf("begin segment: %w", err)
	}
	s.w, err = j.o.Disk.CreateFrames(filepath.Join(j.dir, walDir, s.id+openExt), header)
	if err != nil {
		return nil, fmt.Errorf("begin segment: %w", err)
	}
	return s, nil
}

// dropFailed closes the segments that met an error. They are never written
// again; what they hold up to their last good offset stays.
func (j *journal) dropFailed() {
	for _, s := range j.segments {
		if s.err != nil {
			j.fail(s.err)
		}
	}
	_ = j.closeIf(func(s *openSegment) bool { return s.err != nil })
}

// closeFull closes the segments that are large or old enough, and the least
// recently used beyond maxOpen.
func (j *journal) closeFull() {
	if len(j.segments) == 0 {
		return
	}
	now := j.o.Now()
	extra := len(j.segments) - maxOpen
	_ = j.closeIf(func(s *openSegment) bool {
		extra--
		return extra >= 0 || s.w.Size() >= j.o.MaxBytes || now.Sub(s.began) >= j.o.MaxAge
	})
}

// closeIf closes the segments that done names and returns what went wrong.
func (j *journal) closeIf(done func(*openSegment) bool) error {
	var errs []error
	kept := j.segments[:0]
	for _, s := range j.segments {
		if !done(s) {
			kept = append(kept, s)
			continue
		}
		if err := j.closeSegment(s); err != nil {
			errs = append(errs, err)
		}
	}
	clear(j.segments[len(kept):])
	j.segments = kept
	j.mu.Lock()
	j.stats.Open = len(kept)
	j.mu.Unlock()
	return errors.Join(errs...)
}

// closeSegment closes the file of s and gives it its final name. Should that
// fail, the next OpenWriter or Seal does it.
func (j *journal) closeSegment(s *openSegment) error {
	err := s.w.Close()
	if s.err != nil {
		err = nil // known already
	} else if err != nil {
		j.lose(s)
	}
	err = errors.Join(err, settle(j.o.Disk, s.w.Path(), s.rows == 0))
	if err != nil {
		j.fail(err)
	}
	return err
}

func (j *journal) closeAll() error {
	return j.closeIf(func(*openSegment) bool { return true })
}
