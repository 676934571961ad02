package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/retrain"
)

// inShadow names the challenger that healing has in shadow, "" for none. The
// journal of healing is read only when it has changed.
func (a *app) inShadow() func() (string, error) {
	var seen time.Time
	version := ""
	return func() (string, error) {
		info, err := os.Stat(filepath.Join(a.state(), "healing")) // each entry of the journal is a new file
		if os.IsNotExist(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if info.ModTime().Equal(seen) {
			return version, nil
		}
		s, err := retrain.ReadGuard(a.guardOptions())
		if err != nil {
			return "", err
		}
		seen, version = info.ModTime(), ""
		if s.Shadow != nil {
			version = s.Shadow.Challenger
		}
		return version, nil
	}
}

// lazyLog is a log that is opened when the first row comes: few servers have a
// challenger in shadow, or ground truth that comes by key.
type lazyLog struct {
	dir     string
	options predlog.WriterOptions
	mu      sync.Mutex
	log     *predlog.Writer
}

func (l *lazyLog) Append(ctx context.Context, layout *predlog.Layout, recs []predlog.Record) error {
	w, err := l.open()
	if err != nil {
		return err
	}
	return w.Append(ctx, layout, recs)
}

func (l *lazyLog) open() (*predlog.Writer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log != nil {
		return l.log, nil
	}
	w, err := predlog.OpenWriter(l.dir, l.options)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.dir, err)
	}
	l.log = w
	return w, nil
}

// Healthy is nil: such a log keeps nobody from predicting.
func (l *lazyLog) Healthy() error { return nil }

func (l *lazyLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}

// shadowSink is the log of what challengers predict in shadow. A crash may lose
// the newest second of it: it tells how a challenger would have answered, and
// nobody was answered so.
func (a *app) shadowSink() *lazyLog {
	o := a.writerOptions(nil)
	o.Durability, o.SyncEvery = predlog.Interval, time.Second
	return &lazyLog{dir: a.shadowLog(), options: o}
}

// keyedSink is the log of ground truth that is to be matched by key.
func (a *app) keyedSink() *lazyLog {
	o := a.writerOptions(nil)
	o.Durability = predlog.Ack
	return &lazyLog{dir: a.keyedLog(), options: o}
}
