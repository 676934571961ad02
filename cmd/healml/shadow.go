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

// shadowSink is the log of what challengers predict in shadow, which is opened
// when the first does. A crash may lose the newest second of it: it tells how a
// challenger would have answered, and nobody was answered so.
type shadowSink struct {
	app *app
	mu  sync.Mutex
	log *predlog.Writer
}

func (s *shadowSink) Append(ctx context.Context, l *predlog.Layout, recs []predlog.Record) error {
	w, err := s.open()
	if err != nil {
		return err
	}
	return w.Append(ctx, l, recs)
}

func (s *shadowSink) open() (*predlog.Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log != nil {
		return s.log, nil
	}
	o := s.app.writerOptions(nil)
	o.Durability, o.SyncEvery = predlog.Interval, time.Second
	w, err := predlog.OpenWriter(s.app.shadowLog(), o)
	if err != nil {
		return nil, fmt.Errorf("open the log of the shadow: %w", err)
	}
	s.log = w
	return w, nil
}

// Healthy is nil: the shadow keeps nobody from answering.
func (s *shadowSink) Healthy() error { return nil }

func (s *shadowSink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return nil
	}
	return s.log.Close()
}
