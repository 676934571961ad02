package durable

import (
	"errors"
	"fmt"

	"github.com/gofrs/flock"
)

// ErrLocked is matched, with errors.Is, by the error of [Lock] when another
// process, or another part of this one, holds the lock.
var ErrLocked = errors.New("locked by another run")

// FileLock is an exclusive lock held by this process. The kernel releases it
// when the process ends, however it ends.
type FileLock struct{ f *flock.Flock }

// Lock takes the exclusive lock that path stands for, without waiting:
// [ErrLocked] when it is held. The file at path is made when it is not there;
// it is empty and never removed, since removing it would let two processes
// hold locks on two files of one name. Its directory must exist.
func Lock(path string) (*FileLock, error) {
	f := flock.New(path, flock.SetPermissions(filePerm))
	ok, err := f.TryLock()
	if err != nil {
		return nil, failed("lock", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("lock %s: %w", path, ErrLocked)
	}
	return &FileLock{f}, nil
}

// Unlock releases the lock; a second call does nothing.
func (l *FileLock) Unlock() error { return l.f.Close() }
