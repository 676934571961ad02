// Package faulty is a disk that fails when a test says so. It passes the
// operations of a [durable.FS] on to real files, can refuse any of them, can
// stop at one as if the process had been killed there, and can then undo
// whatever was not yet fsynced, as a power cut would. An fsync is only noted,
// which makes this disk a fast one.
package faulty

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/healml/healml/internal/durable"
)

// ErrStopped is what every operation returns from the one on that a fault
// answered with it: the process is dead.
var ErrStopped = errors.New("the process stopped here")

// Op is an operation about to be carried out.
type Op struct {
	N    int    // counts from 0
	Name string // "create", "write", "sync", "truncate", "close", "rename", "remove", "mkdir", "syncdir"
	Path string
}

// FS is a durable.FS with faults.
type FS struct {
	mu      sync.Mutex
	fault   func(Op) error
	n       int
	stopped bool
	files   map[string]*state
	names   []change // not fsynced
}

// state says how much of a file a power cut leaves.
type state struct{ size, synced int64 }

// change is a change to the names of a directory, and what takes it back.
type change struct {
	path    string // that was made, moved to, or removed
	from    string // that was moved; "" otherwise
	made    bool
	restore func(path string) error // puts back what stood at path before
}

// New returns a disk that asks fault before every operation and, on an error,
// fails it: without effect, save that a write still writes half of its bytes.
// A nil fault never fails.
func New(fault func(Op) error) *FS { return &FS{fault: fault, files: map[string]*state{}} }

// StopAt is a fault that stops the process at operation n.
func StopAt(n int) func(Op) error {
	return func(op Op) error {
		if op.N == n {
			return ErrStopped
		}
		return nil
	}
}

// Ops is the number of operations so far.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// SetFault replaces the fault.
func (f *FS) SetFault(fault func(Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// step asks for the fault of the next operation. The caller holds f.mu.
func (f *FS) step(name, path string) error {
	if f.stopped {
		return ErrStopped
	}
	op := Op{f.n, name, path}
	f.n++
	if f.fault == nil {
		return nil
	}
	err := f.fault(op)
	f.stopped = errors.Is(err, ErrStopped)
	return err
}

// Create implements [durable.FS].
func (f *FS) Create(path string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step("create", path); err != nil {
		return nil, err
	}
	inner, err := durable.OS{}.Create(path)
	if err != nil {
		return nil, err
	}
	s := &state{}
	f.files[path] = s
	f.names = append(f.names, change{path: path, made: true})
	return &file{f, inner, s, path}, nil
}

// saved returns a function that puts back what stands at path now.
func saved(path string) func(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return func(string) error { return nil }
	}
	if info.IsDir() {
		return durable.OS{}.Mkdir
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return func(string) error { return err }
	}
	return func(path string) error { return durable.WriteFile(path, content) }
}

// moved renames from to to, and what is below it, in what f knows.
func (f *FS) moved(from, to string) {
	follow := func(path string) string {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == filepath.Separator) {
			return to + rest
		}
		return path
	}
	files := make(map[string]*state, len(f.files))
	for path, s := range f.files {
		files[follow(path)] = s
	}
	f.files = files
	for i := range f.names {
		f.names[i].path, f.names[i].from = follow(f.names[i].path), follow(f.names[i].from)
	}
}

// Rename implements [durable.FS].
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step("rename", to); err != nil {
		return err
	}
	restore := saved(to)
	if err := (durable.OS{}).Rename(from, to); err != nil {
		return err
	}
	delete(f.files, to)
	f.moved(from, to)
	f.names = append(f.names, change{path: to, from: from, restore: restore})
	return nil
}

// Remove implements [durable.FS].
func (f *FS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step("remove", path); err != nil {
		return err
	}
	restore := saved(path)
	if err := (durable.OS{}).Remove(path); err != nil {
		return err
	}
	delete(f.files, path)
	f.names = append(f.names, change{path: path, restore: restore})
	return nil
}

// Mkdir implements [durable.FS].
func (f *FS) Mkdir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step("mkdir", path); err != nil {
		return err
	}
	if err := (durable.OS{}).Mkdir(path); err != nil {
		return err
	}
	f.names = append(f.names, change{path: path, made: true})
	return nil
}

// Sync implements [durable.FS].
func (f *FS) Sync(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step("syncdir", path); err != nil {
		return err
	}
	if s, ok := f.files[path]; ok {
		s.synced = s.size
	}
	f.names = slices.DeleteFunc(f.names, func(c change) bool { return filepath.Dir(c.path) == path })
	return nil
}

// PowerCut stops the disk and undoes everything that was not fsynced: names
// that were made, changed or removed, and bytes that were written.
func (f *FS) PowerCut() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	var errs []error
	for path, s := range f.files {
		if s.size > s.synced {
			if err := os.Truncate(path, s.synced); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	for n := len(f.names) - 1; n >= 0; n-- {
		c := f.names[n]
		f.names = f.names[:n]
		if err := f.undo(c); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (f *FS) undo(c change) error {
	switch {
	case c.made:
		return os.RemoveAll(c.path)
	case c.from == "":
		return c.restore(c.path)
	}
	if err := (durable.OS{}).Rename(c.path, c.from); err != nil {
		return err
	}
	f.moved(c.path, c.from)
	return c.restore(c.path)
}

// file is a file of an FS.
type file struct {
	fs    *FS
	inner durable.File
	state *state
	path  string
}

func (f *file) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.stopped {
		return 0, ErrStopped
	}
	fault := f.fs.step("write", f.path)
	if fault != nil {
		p = p[:len(p)/2]
	}
	n, err := f.inner.Write(p)
	f.state.size += int64(n)
	return n, errors.Join(fault, err)
}

func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("sync", f.path); err != nil {
		return err
	}
	f.state.synced = f.state.size
	return nil
}

func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("truncate", f.path); err != nil {
		return err
	}
	f.state.size = min(f.state.size, size)
	f.state.synced = min(f.state.synced, size)
	return f.inner.Truncate(size)
}

// Close closes the real file even when it fails: a dead process has none
// open.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return errors.Join(f.fs.step("close", f.path), f.inner.Close())
}
