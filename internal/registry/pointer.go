package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrMoved says that CURRENT changed between a decision and its execution.
var ErrMoved = errors.New("another version was promoted in the meantime")

// ErrNoPrevious says that there is nothing to roll back to.
var ErrNoPrevious = errors.New("no earlier version is known that could serve")

// Pointer is a state of CURRENT: what it names, and the number of the last
// history record, which tells two moments apart at which the same version
// served.
type Pointer struct {
	Version    string // empty when none was ever promoted
	Generation int
}

// maxCurrent bounds what is read of CURRENT in bytes.
const maxCurrent = 256

// Current is the version that serves, as CURRENT names it. The version itself
// is not looked at. [ErrNoCurrent] when nothing was ever promoted; a
// *[VersionError] when CURRENT does not hold the name of a version.
func (r *Registry) Current() (version string, err error) {
	f, err := os.Open(filepath.Join(r.dir, currentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoCurrent
	}
	if err != nil {
		return "", fmt.Errorf("read pointer: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCurrent))
	if err != nil {
		return "", fmt.Errorf("read pointer: %w", err)
	}
	version = strings.TrimSpace(string(b))
	if !ValidName(version) {
		return "", &VersionError{File: currentFile, Reason: fmt.Sprintf("it holds %.80q, expected the name of a version such as v0001-5f3a9c07", version),
			Hint: "name one anew: healml models promote VERSION"}
	}
	return version, nil
}

// Pointer reads CURRENT together with its generation, for a later
// [Registry.Swap].
func (r *Registry) Pointer() (Pointer, error) {
	v, err := r.Current()
	if err != nil && !errors.Is(err, ErrNoCurrent) {
		return Pointer{}, err
	}
	g, err := r.generation()
	return Pointer{Version: v, Generation: g}, err
}

// Promote lets CURRENT name version, whatever it names now. The version is
// loaded and proved first. Promoting the current version does nothing. at is
// the time to record and reason the words.
func (r *Registry) Promote(version, reason string, at time.Time) error {
	if _, err := r.Load(version); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	return r.locked(func() error {
		current, err := r.Current()
		var bad *VersionError
		if err != nil && !errors.Is(err, ErrNoCurrent) && !errors.As(err, &bad) {
			return fmt.Errorf("promote: %w", err)
		}
		if current == version {
			return nil
		}
		return r.point(Change{At: at, Kind: promoted, From: current, To: version, Reason: reason})
	})
}

// Swap is Promote for a decision that was taken while CURRENT stood at from:
// when it has moved since, nothing happens and the error matches [ErrMoved].
func (r *Registry) Swap(from Pointer, version, reason string, at time.Time) error {
	return r.Move(from, Move{To: version, Reason: reason, At: at})
}

// Move is a change of CURRENT that healing decided.
type Move struct {
	To       string
	Back     bool // a rollback, to a version that served before
	Reason   string
	At       time.Time
	Incident string // id of the healing, with the digest of its incident.json
	SHA256   string
}

// Move is Swap for a promotion or a rollback, with what caused it.
func (r *Registry) Move(from Pointer, m Move) error {
	verb, kind := "promote", promoted
	if m.Back {
		verb, kind = "roll back to", rolledBack
	}
	if _, err := r.Load(m.To); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return r.locked(func() error {
		now, err := r.Pointer()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", verb, err)
		case now != from:
			return fmt.Errorf("%s %s: %w: expected %s (change %d), found %s (change %d)", verb, m.To, ErrMoved,
				orNone(from.Version), from.Generation, orNone(now.Version), now.Generation)
		case now.Version == m.To:
			return nil
		}
		return r.point(Change{At: m.At, Kind: kind, From: from.Version, To: m.To, Reason: m.Reason, Incident: m.Incident, IncidentSHA256: m.SHA256})
	})
}

func orNone(version string) string {
	if version == "" {
		return "none"
	}
	return version
}

// Rollback lets CURRENT name the version that served before, and returns it.
// A second rollback goes one further back, never forth again. Versions that
// cannot be loaded any more are passed over. [ErrNoPrevious] when none is
// left.
func (r *Registry) Rollback(reason string, at time.Time) (version string, err error) {
	err = r.locked(func() error {
		current, err := r.Current()
		if err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		changes, _ := r.History() // what is readable of it must do
		var passed []error
		for _, v := range slices.Backward(stack(changes, current)) {
			if v == current {
				continue
			}
			if _, err := r.Load(v); err != nil {
				passed = append(passed, err)
				continue
			}
			version = v
			return r.point(Change{At: at, Kind: rolledBack, From: current, To: v, Reason: reason})
		}
		return errors.Join(append([]error{fmt.Errorf("roll back from %s: %w", current, ErrNoPrevious)}, passed...)...)
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// point records the change and then makes it. A crash in between leaves a
// record that History passes over. The lock is held.
func (r *Registry) point(c Change) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	c.Format, c.Seq, c.At = changeFormat, g+1, c.At.UTC()
	if last, err := r.readChange(g); err == nil {
		c.Previous = last.SHA256
	}
	if d, err := r.read(c.To); err == nil {
		c.Manifest = d.Manifest.SHA256
	}
	b, err := seal(c)
	if err != nil {
		return fmt.Errorf("encode history record: %w", err)
	}
	if err := r.disk.MkdirAll(filepath.Join(r.dir, historyDir)); err != nil {
		return err
	}
	if err := r.disk.WriteFile(r.changePath(c.Seq), b); err != nil {
		return err
	}
	return r.disk.WriteFile(filepath.Join(r.dir, currentFile), []byte(c.To+"\n"))
}
