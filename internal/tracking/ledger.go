package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/registry"
)

// ledgerFormat is the version of the ledger that this build writes, and the
// newest that it reads.
const ledgerFormat = 1

// Ledger is what a server was told (docs/format/state.md).
type Ledger struct {
	Format   int              `json:"format"`
	Server   string           `json:"server"` // another server knows nothing yet
	Versions map[string]*Told `json:"versions"`
	Champion string           `json:"champion,omitempty"`
}

// ReadLedger reads what the server was told. A ledger that is missing, damaged or
// of another server or build counts as one without an entry: what the server knows
// is then found there.
func ReadLedger(path, server string) (*Ledger, error) {
	l := &Ledger{}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err != nil || json.Unmarshal(b, l) != nil || l.Format != ledgerFormat || l.Server != server {
		l = &Ledger{}
	}
	if l.Versions == nil {
		l.Versions = map[string]*Told{}
	}
	l.Format, l.Server = ledgerFormat, server
	return l, nil
}

// Pending are the versions of the registry that the server does not know of, and
// one more when it has another champion.
func (l *Ledger) Pending(reg *registry.Registry) (int, error) {
	names, err := reg.Versions()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names {
		if t := l.Versions[name]; t == nil || !t.Done {
			n++
		}
	}
	if current, err := reg.Current(); err == nil && current != l.Champion {
		n++
	}
	return n, nil
}

// Follow tells the server what it does not know of a registry, the oldest first,
// and keeps at path what it was told. It stops at the first error.
func Follow(ctx context.Context, s *Server, reg *registry.Registry, path string) (err error) {
	l, err := ReadLedger(path, s.URL)
	if err != nil {
		return err
	}
	names, err := reg.Versions()
	if err != nil {
		return err
	}
	for _, name := range names {
		t := l.Versions[name]
		if t != nil && t.Done {
			continue
		}
		if t == nil {
			t = &Told{}
			l.Versions[name] = t
		}
		loaded, err := reg.Load(name)
		if err != nil {
			return err
		}
		err = s.Tell(ctx, loaded, t)
		if err := errors.Join(err, l.write(path)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	current, err := reg.Current()
	if errors.Is(err, registry.ErrNoCurrent) || err == nil && current == l.Champion {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.Champion(ctx, l.Versions[current].Number); err != nil {
		return err
	}
	l.Champion = current
	return l.write(path)
}

func (l *Ledger) write(path string) error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'))
}
