package predlog

import (
	"context"
	"fmt"
)

// Writer appends to a prediction log. It is safe for concurrent use, and the
// only one on its directory.
type Writer struct{ j *journal }

// OpenWriter opens the log in dir, which is made when it is not there, for
// appending. While another process has it open the error matches
// [durable.ErrLocked]. Segments that a crash left open are closed; what was
// found in them is in Stats.
func OpenWriter(dir string, o WriterOptions) (*Writer, error) {
	j, err := openJournal(dir, predictions, o)
	if err != nil {
		return nil, err
	}
	return &Writer{j}, nil
}

// Append logs recs, all of layout l, and returns nil when they are as safe as
// WriterOptions.Durability says. No records are no error.
//
// [ErrBusy] says that the queue is full, an error that matches
// [durable.ErrWrite] that the disk refused; in both cases nothing was logged,
// and a later Append may succeed. When ctx ends first, ctx.Err() is returned
// and the rows may or may not be logged. recs may be reused once Append
// returned.
func (w *Writer) Append(ctx context.Context, l *Layout, recs []Record) error {
	if len(recs) == 0 {
		return nil
	}
	for i := range recs {
		if err := l.check(&recs[i]); err != nil {
			return fmt.Errorf("append to log: %w", err)
		}
	}
	e := w.j.entry(l)
	for i := range recs {
		e.buf = appendRecord(e.buf, l, &recs[i])
	}
	e.rows = len(recs)
	return w.j.append(ctx, e)
}

// Stats are the counters so far.
func (w *Writer) Stats() Stats { return w.j.snapshot() }

// Healthy reports why an Append would fail now, without writing a row: the
// failure of the last attempt to write, or [ErrClosed]; nil when it went well.
func (w *Writer) Healthy() error { return w.j.healthy() }

// Rotate closes the open segments, soon: the next Append begins new ones. So
// the rows up to now can be sealed, or erased, without an end to writing.
func (w *Writer) Rotate() { w.j.rotateSoon() }

// Close writes what is queued, closes the open segments, ends the writer's
// goroutine and lets go of the lock. Appends that come later get [ErrClosed].
// A second call waits for the first and does nothing.
func (w *Writer) Close() error { return w.j.close() }

// Actual is one piece of ground truth as it came in.
type Actual struct {
	ID     string // of the prediction
	Value  string // as given
	At     int64  // when it was received, microseconds since 1970 UTC
	Source string // who gave it
}

// ActualsWriter is the [Writer] of an actuals log.
type ActualsWriter struct{ j *journal }

// OpenActualsWriter is [OpenWriter] for the actuals log in dir.
func OpenActualsWriter(dir string, o WriterOptions) (*ActualsWriter, error) {
	j, err := openJournal(dir, actuals, o)
	if err != nil {
		return nil, err
	}
	return &ActualsWriter{j}, nil
}

// Append logs as, with the promises of [Writer.Append].
func (w *ActualsWriter) Append(ctx context.Context, as []Actual) error {
	if len(as) == 0 {
		return nil
	}
	for i := range as {
		if err := checkTime(as[i].At); err != nil {
			return fmt.Errorf("append actual %q: %w", as[i].ID, err)
		}
	}
	e := w.j.entry(nil)
	for i := range as {
		e.buf = appendActual(e.buf, &as[i])
	}
	e.rows = len(as)
	return w.j.append(ctx, e)
}

// Stats are the counters so far.
func (w *ActualsWriter) Stats() Stats { return w.j.snapshot() }

// Rotate is [Writer.Rotate].
func (w *ActualsWriter) Rotate() { w.j.rotateSoon() }

// Close is [Writer.Close].
func (w *ActualsWriter) Close() error { return w.j.close() }
