package durable

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// WriteFile replaces the file at path by data, atomically and durably: see
// [Publish].
func WriteFile(path string, data []byte) error { return Disk{}.WriteFile(path, data) }

// Publish replaces the file at path by what write produces, atomically and
// durably: until it returns nil the old file is in place, afterwards the new
// one is and survives a power cut. The writer it passes is buffered. On any
// error, write's own included, the temporary file is removed; an error of
// write is returned as it is. Only when the last step fails, the fsync of the
// directory, may the new file already stand there.
func Publish(path string, write func(io.Writer) error) error { return Disk{}.Publish(path, write) }

// PublishDir makes the directory tmp, made by [TempDir], appear under the
// name dst, atomically and durably. dst must not exist (errors.Is(err,
// fs.ErrExist)); the caller holds the lock of its parent. On error tmp is
// left to the caller.
func PublishDir(tmp, dst string) error { return Disk{}.PublishDir(tmp, dst) }

// TempDir makes a directory ".tmp-<pid>-<random>" inside parent.
func TempDir(parent string) (string, error) { return Disk{}.TempDir(parent) }

// MkdirAll makes dir and the parents it lacks, durably. A directory that is
// there already is no error.
func MkdirAll(dir string) error { return Disk{}.MkdirAll(dir) }

// SyncDir makes the names in dir survive a power cut, also those of entries
// that a process made which died, or met an error, before it could do so.
// What is built on a directory that [MkdirAll] only found needs it once.
func SyncDir(dir string) error { return Disk{}.SyncDir(dir) }

// Remove deletes a file or empty directory, durably. One that is not there is
// no error.
func Remove(path string) error { return Disk{}.Remove(path) }

// Rename moves a file within one file system, replacing a file at the new
// name, durably.
func Rename(from, to string) error { return Disk{}.Rename(from, to) }

// SweepTemp removes the temporary files and directories in dir that dead
// processes left, and returns how many. The caller holds the lock of dir.
// Names of a living process are kept, those of an earlier process that had
// this one's id (a container's is always 1) are not.
func SweepTemp(dir string) (n int, err error) { return Disk{}.SweepTemp(dir) }

// WriteFile is the function of that name on d.
func (d Disk) WriteFile(path string, data []byte) error {
	return d.Publish(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Publish is the function of that name on d.
func (d Disk) Publish(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	tmp := filepath.Join(dir, tempName())
	if err := d.fill(tmp, path, write); err != nil {
		return err
	}
	if err := d.fs().Rename(tmp, path); err != nil {
		_ = d.fs().Remove(tmp) // best effort: SweepTemp takes what stays
		return failed("rename", path, err)
	}
	return failed("sync", dir, d.fs().Sync(dir))
}

// fill writes and fsyncs the temporary file tmp, which is to become path, and
// removes it on failure.
func (d Disk) fill(tmp, path string, write func(io.Writer) error) (err error) {
	f, err := d.fs().Create(tmp)
	if err != nil {
		return failed("create", path, err)
	}
	open := true
	defer func() {
		if open {
			_ = f.Close()
		}
		if err != nil {
			_ = d.fs().Remove(tmp)
		}
	}()
	w := bufio.NewWriterSize(wrapWrites{f, path}, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return failed("sync", path, err)
	}
	open = false
	return failed("close", path, f.Close())
}

// wrapWrites turns the errors of a file's Write into WriteErrors, so that they
// stay recognisable on their way through a caller's encoder.
type wrapWrites struct {
	w    io.Writer
	path string
}

func (w wrapWrites) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	return n, failed("write", w.path, err)
}

// PublishDir is the function of that name on d.
func (d Disk) PublishDir(tmp, dst string) error {
	if _, err := os.Lstat(dst); err == nil {
		return &WriteError{Path: dst, Op: "rename", Err: fs.ErrExist}
	}
	err := filepath.WalkDir(tmp, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("list %s: %w", path, err)
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return nil
		}
		return failed("sync", path, d.fs().Sync(path))
	})
	if err != nil {
		return err
	}
	if err := d.fs().Rename(tmp, dst); err != nil {
		return failed("rename", dst, err)
	}
	// A rename between two directories changes both.
	parents := []string{filepath.Dir(dst)}
	if from := filepath.Dir(tmp); from != parents[0] {
		parents = append(parents, from)
	}
	for _, p := range parents {
		if err := d.fs().Sync(p); err != nil {
			return failed("sync", p, err)
		}
	}
	return nil
}

// TempDir is the function of that name on d.
func (d Disk) TempDir(parent string) (string, error) {
	dir := filepath.Join(parent, tempName())
	if err := d.fs().Mkdir(dir); err != nil {
		return "", failed("mkdir", dir, err)
	}
	return dir, nil
}

// MkdirAll is the function of that name on d.
func (d Disk) MkdirAll(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &WriteError{Path: dir, Op: "mkdir", Err: syscall.ENOTDIR}
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return failed("mkdir", dir, err)
	}
	if err := d.MkdirAll(parent); err != nil {
		return err
	}
	if err := d.fs().Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed("mkdir", dir, err)
	}
	if err := d.fs().Sync(parent); err != nil {
		_ = d.fs().Remove(dir) // so that the next attempt makes it, and syncs, again
		return failed("sync", parent, err)
	}
	return nil
}

// SyncDir is the function of that name on d.
func (d Disk) SyncDir(dir string) error { return failed("sync", dir, d.fs().Sync(dir)) }

// Remove is the function of that name on d.
func (d Disk) Remove(path string) error {
	if err := d.fs().Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return failed("remove", path, err)
	}
	dir := filepath.Dir(path)
	return failed("sync", dir, d.fs().Sync(dir))
}

// Rename is the function of that name on d.
func (d Disk) Rename(from, to string) error {
	if err := d.fs().Rename(from, to); err != nil {
		return failed("rename", to, err)
	}
	// The new name first: a power cut between the two leaves both names or
	// one, never none.
	if err := d.fs().Sync(filepath.Dir(to)); err != nil {
		return failed("sync", filepath.Dir(to), err)
	}
	if dir := filepath.Dir(from); dir != filepath.Dir(to) {
		return failed("sync", dir, d.fs().Sync(dir))
	}
	return nil
}

const tempPrefix = ".tmp-"

// life tells this process from earlier ones that had the same id.
var life = func() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}()

var tempCount atomic.Uint64

func tempName() string {
	return fmt.Sprintf("%s%d-%s%d", tempPrefix, os.Getpid(), life, tempCount.Add(1))
}

// IsTemp reports whether name, without directory, is that of a temporary
// file or directory of this package. Those who list a directory pass over
// such names.
func IsTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// SweepTemp is the function of that name on d.
func (d Disk) SweepTemp(dir string) (n int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		if !IsTemp(e.Name()) || inUse(e.Name()) {
			continue
		}
		if err := d.removeTree(filepath.Join(dir, e.Name())); err != nil {
			return n, err
		}
		n++
	}
	if n > 0 {
		return n, failed("sync", dir, d.fs().Sync(dir))
	}
	return 0, nil
}

// inUse reports whether the process that made the temporary name still runs.
func inUse(name string) bool {
	owner, rest, ok := strings.Cut(strings.TrimPrefix(name, tempPrefix), "-")
	pid, err := strconv.Atoi(owner)
	if !ok || err != nil || pid <= 0 {
		return false
	}
	if pid == os.Getpid() {
		return strings.HasPrefix(rest, life)
	}
	err = syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// removeTree deletes path and what is below it. Symbolic links are deleted,
// never followed.
func (d Disk) removeTree(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("inspect %s: %w", path, err)
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return fmt.Errorf("list %s: %w", path, err)
		}
		for _, e := range entries {
			if err := d.removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return failed("remove", path, d.fs().Remove(path))
}

// RemoveAll deletes path and everything below it, durably. A path that is not
// there is no error. It is not atomic: rename a directory that others read to
// a temporary name first.
func RemoveAll(path string) error { return Disk{}.RemoveAll(path) }

// RemoveAll is the function of that name on d.
func (d Disk) RemoveAll(path string) error {
	if err := d.removeTree(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	return failed("sync", dir, d.fs().Sync(dir))
}
