// Package durable puts bytes on disk so that a crash, a full disk or a power
// cut at any moment leaves either the old state or the new one, and never
// something between.
//
// It knows three shapes of data, and every file that healml writes is one of
// them:
//
//   - A file that is written once ([WriteFile], [Publish]): a temporary file
//     in the same directory is written, fsynced and renamed over the name,
//     then the directory is fsynced, because a rename that is not on disk is
//     undone by a power cut.
//   - A directory that is written once ([TempDir], [PublishDir]): the same,
//     with every file and folder in it fsynced before the rename.
//   - A file that only grows ([CreateFrames], [ReadFrames]): records framed
//     by length, checksum and sequence number, of which a reader takes every
//     one that is whole (docs/format/frames.md).
//
// [Lock] keeps two processes from being the writer of one directory, and
// [SweepTemp] clears what a killed one left behind.
//
// Every failure to change the disk is a [WriteError] and matches [ErrWrite].
// After a failed write or fsync the outcome on disk is unknown, and a second
// fsync that succeeds proves nothing about the first one's pages; so nothing
// here retries, and a [FrameWriter] that failed once refuses all later work.
//
// All changes go through an [FS]. The package-level functions use the
// operating system; tests hand a [Disk] an FS that fails or stops at a chosen
// operation (package durable/faulty).
package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrWrite is matched, with errors.Is, by every error that says the disk
// could not be changed: full, read-only, not permitted, broken.
var ErrWrite = errors.New("cannot write")

// WriteError says which change to the disk was refused.
type WriteError struct {
	Path string
	Op   string // "create", "write", "sync", "rename", "remove", "mkdir", "truncate", "lock"
	Err  error  // what the operating system said
}

func (e *WriteError) Error() string {
	err := e.Err
	// An *os.PathError would repeat the operation and the path.
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Path, err)
}

// Unwrap returns the operating system's error, so that errors.Is finds
// syscall.ENOSPC and its like.
func (e *WriteError) Unwrap() error { return e.Err }

// Is makes every WriteError match [ErrWrite].
func (e *WriteError) Is(target error) bool { return target == ErrWrite }

// failed wraps err, or returns nil when there is none.
func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &WriteError{Path: path, Op: op, Err: err}
}

// FS is every way in which this package changes a disk. Reading is left to
// package os.
type FS interface {
	// Create makes a new file for writing; it must not exist.
	Create(path string) (File, error)
	// Rename moves a file or directory, replacing a file at the new name.
	Rename(from, to string) error
	// Remove deletes a file or an empty directory.
	Remove(path string) error
	// Mkdir makes one directory; its parent must exist.
	Mkdir(path string) error
	// Sync makes what path holds survive a power cut: the bytes of a file,
	// or the names in a directory.
	Sync(path string) error
}

// File is a file being written.
type File interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// OS is the operating system's [FS].
type OS struct{}

const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// Create implements [FS].
func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err // not f: a nil *os.File in the interface is not nil
	}
	return f, nil
}

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements [FS].
func (OS) Remove(path string) error { return os.Remove(path) }

// Mkdir implements [FS].
func (OS) Mkdir(path string) error { return os.Mkdir(path, dirPerm) }

// Sync implements [FS].
func (OS) Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Disk carries out this package's operations on an [FS]. The zero Disk works
// on the operating system's files and is what the functions of the same names
// use.
type Disk struct{ FS FS }

func (d Disk) fs() FS {
	if d.FS == nil {
		return OS{}
	}
	return d.FS
}
