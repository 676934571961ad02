package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteFileReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"one", "", "three"} {
		if err := durable.WriteFile(path, []byte(s)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != s {
			t.Errorf("file holds %q, expected %q", got, s)
		}
	}
	if n := names(t, filepath.Dir(path)); len(n) != 1 {
		t.Errorf("directory holds %q, expected the file alone", n)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o644 != info.Mode().Perm() || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v; expected at most 0644", info.Mode(), err)
	}
}

func TestPublishKeepsTheWritersError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	mine := errors.New("mine")
	err := durable.Publish(path, func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("error %v, expected the writer's own", err)
	}
	if n := names(t, filepath.Dir(path)); len(n) != 0 {
		t.Errorf("left behind %q", n)
	}
}

// sweep runs job once for every operation that it makes, stopping at that one,
// and then hands the directory, as a kill and as a power cut leave it, to
// check. prepare sets the directory up on a sound disk.
func sweep(t *testing.T, prepare func(dir string), job func(d durable.Disk, dir string) error, check func(t *testing.T, dir string, err error)) {
	t.Helper()
	for _, cut := range []bool{false, true} {
		for n := 0; ; n++ {
			dir := t.TempDir()
			prepare(dir)
			disk := faulty.New(faulty.StopAt(n))
			err := job(durable.Disk{FS: disk}, dir)
			done := disk.Ops() <= n
			if cut {
				if err := disk.PowerCut(); err != nil {
					t.Fatal(err)
				}
			}
			t.Run(fmt.Sprintf("cut=%v/op=%d", cut, n), func(t *testing.T) { check(t, dir, err) })
			if done {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				if n < 3 {
					t.Fatalf("only %d operations", n)
				}
				break
			}
		}
	}
}

func TestWriteFileIsAllOrNothing(t *testing.T) {
	sweep(t,
		func(dir string) {
			if err := durable.WriteFile(filepath.Join(dir, "f"), []byte("old")); err != nil {
				t.Fatal(err)
			}
		},
		func(d durable.Disk, dir string) error {
			return d.WriteFile(filepath.Join(dir, "f"), []byte("new text"))
		},
		func(t *testing.T, dir string, err error) {
			got := read(t, filepath.Join(dir, "f"))
			if err == nil && got != "new text" || got != "old" && got != "new text" {
				t.Errorf("error %v; file holds %q", err, got)
			}
			if err != nil && !errors.Is(err, durable.ErrWrite) {
				t.Errorf("error %v is no ErrWrite", err)
			}
		})
}

func TestPublishDirIsAllOrNothing(t *testing.T) {
	sweep(t, func(string) {},
		func(d durable.Disk, dir string) error {
			tmp, err := d.TempDir(dir)
			if err != nil {
				return err
			}
			if err := d.MkdirAll(filepath.Join(tmp, "sub")); err != nil {
				return err
			}
			for _, name := range []string{"a", "sub/b"} {
				// Unsynced on purpose: PublishDir is to do it.
				f, err := d.FS.Create(filepath.Join(tmp, name))
				if err != nil {
					return &durable.WriteError{Path: name, Op: "create", Err: err}
				}
				if _, err := f.Write([]byte("content of " + name)); err != nil {
					_ = f.Close()
					return &durable.WriteError{Path: name, Op: "write", Err: err}
				}
				_ = f.Close()
			}
			return d.PublishDir(tmp, filepath.Join(dir, "dst"))
		},
		func(t *testing.T, dir string, err error) {
			_, gone := os.Stat(filepath.Join(dir, "dst"))
			if gone != nil {
				if err == nil {
					t.Error("published, but not there")
				}
				return
			}
			for _, name := range []string{"a", "sub/b"} {
				if got := read(t, filepath.Join(dir, "dst", name)); got != "content of "+name {
					t.Errorf("%s holds %q", name, got)
				}
			}
		})
}

func TestRenameAndRemoveAreDurable(t *testing.T) {
	sweep(t,
		func(dir string) {
			err := durable.MkdirAll(filepath.Join(dir, "sub"))
			for _, name := range []string{"from", "gone"} {
				err = errors.Join(err, durable.WriteFile(filepath.Join(dir, name), []byte(name)))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		func(d durable.Disk, dir string) error {
			if err := d.Rename(filepath.Join(dir, "from"), filepath.Join(dir, "sub", "to")); err != nil {
				return err
			}
			return d.Remove(filepath.Join(dir, "gone"))
		},
		func(t *testing.T, dir string, err error) {
			_, old := os.Stat(filepath.Join(dir, "from"))
			_, moved := os.Stat(filepath.Join(dir, "sub", "to"))
			_, gone := os.Stat(filepath.Join(dir, "gone"))
			if (old == nil) == (moved == nil) {
				t.Errorf("old name: %v, new name: %v", old, moved)
			}
			if err == nil && (moved != nil || gone == nil) {
				t.Errorf("done, but new name: %v, removed file: %v", moved, gone)
			}
		})
}

func TestPublishDirDoesNotReplace(t *testing.T) {
	dir := t.TempDir()
	tmp, err := durable.TempDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(dir, "dst")
	if err := durable.MkdirAll(dst); err != nil {
		t.Fatal(err)
	}
	if err := durable.PublishDir(tmp, dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, expected that it exists", err)
	}
}

func TestMkdirAllRemoveRename(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := durable.MkdirAll(deep); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(deep, "f")
	if err := durable.WriteFile(file, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := durable.MkdirAll(filepath.Join(file, "sub")); !errors.Is(err, durable.ErrWrite) {
		t.Errorf("directory below a file: %v", err)
	}
	if err := durable.Rename(file, filepath.Join(dir, "g")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "g")); got != "x" {
		t.Errorf("moved file holds %q", got)
	}
	if err := durable.Remove(deep); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(deep); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := durable.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if n := names(t, dir); len(n) != 1 || n[0] != "g" {
		t.Errorf("left %q, expected g", n)
	}
}

func TestRemoveAllDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	victim := filepath.Join(dir, "victim")
	for _, d := range []string{outside, victim} {
		if err := durable.MkdirAll(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.WriteFile(filepath.Join(outside, "keep"), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(victim, "link")); err != nil {
		t.Fatal(err)
	}
	if err := durable.RemoveAll(victim); err != nil {
		t.Fatal(err)
	}
	if n := names(t, outside); len(n) != 1 {
		t.Errorf("the link's target now holds %q", n)
	}
}

func TestSweepTemp(t *testing.T) {
	dir := t.TempDir()
	mine, err := durable.TempDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	dead := []string{".tmp-2147480000-abc1", fmt.Sprintf(".tmp-%d-earlier7", os.Getpid()), ".tmp-nonsense"}
	for _, name := range dead {
		if err := durable.MkdirAll(filepath.Join(dir, name, "sub")); err != nil {
			t.Fatal(err)
		}
	}
	alive := fmt.Sprintf(".tmp-%d-other1", os.Getppid())
	for _, name := range []string{alive, "ordinary"} {
		if err := durable.WriteFile(filepath.Join(dir, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	n, err := durable.SweepTemp(dir)
	if err != nil || n != len(dead) {
		t.Errorf("swept %d, %v; expected %d", n, err, len(dead))
	}
	left := strings.Join(names(t, dir), " ")
	if left != strings.Join([]string{alive, filepath.Base(mine), "ordinary"}, " ") && left != strings.Join([]string{filepath.Base(mine), alive, "ordinary"}, " ") {
		t.Errorf("left %s", left)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := durable.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.Lock(path); !errors.Is(err, durable.ErrLocked) || errors.Is(err, durable.ErrWrite) {
		t.Errorf("second lock: %v", err)
	}
	for range 2 {
		if err := l.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := durable.Lock(path)
	if err != nil {
		t.Fatalf("after unlocking: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.Lock(filepath.Join(path, "below a file")); !errors.Is(err, durable.ErrWrite) {
		t.Errorf("lock that cannot be made: %v", err)
	}
}

func TestWriteErrorSaysWhat(t *testing.T) {
	disk := durable.Disk{FS: faulty.New(func(op faulty.Op) error {
		if op.Name == "write" {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	})}
	path := filepath.Join(t.TempDir(), "f")
	err := disk.WriteFile(path, []byte("text"))
	if !errors.Is(err, durable.ErrWrite) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v matches neither", err)
	}
	if want := "write " + path + ": no space left on device"; err.Error() != want {
		t.Errorf("message %q, expected %q", err, want)
	}
	if n := names(t, filepath.Dir(path)); len(n) != 0 {
		t.Errorf("left behind %q", n)
	}
}
