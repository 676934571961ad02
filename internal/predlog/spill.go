package predlog

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// spill holds records of equal width in parts. What a part has beyond its
// buffer goes to a file, so that memory does not grow with the records.
type spill struct {
	width int
	dir   func() (string, error) // where files go; asked when the first is made
	name  string
	parts []spillPart
	most  int // bytes of a buffer
}

type spillPart struct {
	mu  sync.Mutex
	buf []byte
	f   *os.File
	n   int64 // bytes in f
}

// Buffers of all parts together may have spillMemory bytes, but each at least
// spillBuffer, before it is written out.
const (
	spillMemory = 8 << 20
	spillBuffer = 16 << 10
)

func newSpill(name string, width, parts int, dir func() (string, error)) *spill {
	return &spill{width: width, dir: dir, name: name, parts: make([]spillPart, parts), most: max(spillBuffer, spillMemory/max(parts, 1))}
}

// add appends records to a part; the caller may go on with b.
func (s *spill) add(part int, b []byte) error {
	p := &s.parts[part]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf = append(p.buf, b...)
	if len(p.buf) < s.most {
		return nil
	}
	if p.f == nil {
		dir, err := s.dir()
		if err != nil {
			return err
		}
		if p.f, err = os.Create(filepath.Join(dir, s.name+"-"+strconv.Itoa(part))); err != nil { //nolint:forbidigo // a crash may lose it: nobody reads it afterwards
			return fmt.Errorf("join: %w", err)
		}
	}
	n, err := p.f.Write(p.buf)
	p.n += int64(n)
	p.buf = p.buf[:0]
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// load returns the records of a part, in dst if it is large enough, and drops
// them from the spill.
func (s *spill) load(part int, dst []byte) ([]byte, error) {
	p := &s.parts[part]
	size := int(p.n) + len(p.buf)
	if cap(dst) < size {
		dst = make([]byte, size)
	}
	dst = dst[:size]
	if p.f != nil {
		if _, err := p.f.ReadAt(dst[:p.n], 0); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
	}
	copy(dst[p.n:], p.buf)
	p.buf = nil
	p.close()
	return dst, nil
}

// close gives the part's file up.
func (p *spillPart) close() {
	if p.f != nil {
		p.f.Close()
		_ = os.Remove(p.f.Name()) // Close removes its directory
		p.f = nil
	}
}

func (s *spill) close() {
	for i := range s.parts {
		s.parts[i].close()
	}
}
