package access

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/healml/healml/internal/durable"
)

// File is a file of tokens that a server follows. It is safe for concurrent
// use.
type File struct {
	path string
	last []byte // by Refresh alone
	now  atomic.Pointer[Tokens]
}

// Follow reads a file of tokens.
func Follow(path string) (*File, error) {
	f := &File{path: path}
	_, err := f.Refresh()
	return f, err
}

// Tokens are those of the last file that could be read.
func (f *File) Tokens() *Tokens { return f.now.Load() }

// Refresh reads the file again, and says whether it had changed. After an error
// the tokens stay that were read before. It is called by one goroutine at a
// time.
func (f *File) Refresh() (changed bool, err error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("read tokens: %w", err)
	}
	if f.now.Load() != nil && bytes.Equal(b, f.last) {
		return false, nil
	}
	t, err := Parse(f.path, b)
	if err != nil {
		return false, err
	}
	f.last = b
	f.now.Store(t)
	return true, nil
}

// Read reads a file of tokens; one that is not there has none.
func Read(path string) (*Tokens, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return &Tokens{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return Parse(path, b)
}

// Write replaces a file of tokens. It holds no secret: whoever reads it learns
// who may ask, and cannot.
func Write(path string, t *Tokens) error { return durable.WriteFile(path, t.Format()) }
