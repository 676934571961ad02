// Package registry keeps the model versions in exported_model/.
//
// A version is a directory that is written once, proved, and never changed:
//
//	exported_model/
//	  v0001-5f3a9c07/    one version: healml's model, an MLflow model and a
//	    manifest.json    plain folder at once (docs/format/version.md)
//	    template.json
//	    model.arrow …
//	  CURRENT            one line: the version that serves
//	  history/000001.json  one immutable record a change of CURRENT
//	  lock               held while any of this changes
//
// What changes is only the pointer file CURRENT, swapped by rename. A reader
// therefore needs no lock: it reads CURRENT, then a directory that nobody
// touches. Everything that writes ([Registry.Publish], [Registry.Promote],
// [Registry.Swap], [Registry.Rollback], [Registry.Prune]) takes the lock
// itself and waits for it for a few seconds; a caller must not hold it.
//
// Nothing in a version is trusted before it is checked. [Registry.Load]
// verifies the manifest against its own digest, every file against the
// manifest, the template and trees against their formats, and at last
// predicts the golden rows and compares bit for bit. A version that fails is
// reported as a [*VersionError] and never half used.
package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/healml/healml/internal/durable"
)

const (
	currentFile = "CURRENT"
	historyDir  = "history"
	lockFile    = "lock"
)

// ErrNoCurrent says that no version was ever promoted.
var ErrNoCurrent = errors.New("no version serves yet: CURRENT does not exist")

// VersionError says why a version cannot be used.
type VersionError struct {
	Version string // name of the version or of its directory; empty when CURRENT names none
	File    string // the file at fault, relative to the directory; may be empty
	Reason  string // what is wrong
	Hint    string // what the operator can do; may be empty
	Err     error  // cause; may be nil
}

func (e *VersionError) Error() string {
	var s string
	if e.Version != "" {
		s = "version " + e.Version + ": "
	}
	if e.File != "" {
		s += e.File + ": "
	}
	s += e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *VersionError) Unwrap() error { return e.Err }

// Registry is the directory exported_model/. It holds no state of its own:
// any number of processes may open the same directory.
type Registry struct {
	dir   string
	disk  durable.Disk
	tries int // how often a writer asks for the lock
}

// Open names the registry in dir. The directory need not exist yet; it is
// made by the first Publish.
func Open(dir string) *Registry { return &Registry{dir: dir, tries: lockTries} }

// OpenOn is Open on a disk that may fail, for tests of what a crash leaves.
func OpenOn(dir string, disk durable.Disk) *Registry {
	return &Registry{dir: dir, disk: disk, tries: lockTries}
}

// Dir is the directory of the registry.
func (r *Registry) Dir() string { return r.dir }

// Path is the directory of a version.
func (r *Registry) Path(version string) string { return filepath.Join(r.dir, version) }

var versionName = regexp.MustCompile(`^v([0-9]{4,9})-[0-9a-f]{8}$`)

// ValidName reports whether s has the form of a version name: v, at least
// four digits, a dash and eight hexadecimal digits.
func ValidName(s string) bool { return versionName.MatchString(s) }

// number is the running number in a version name, 0 when it is not one.
func number(version string) int {
	m := versionName.FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// Versions are the names of the versions present, oldest first. A directory
// that does not exist has none.
func (r *Registry) Versions() ([]string, error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	return names, nil
}

// lockTries × lockPause is how long a writer waits for another: longer than
// any change of the pointer takes, shorter than a user's patience.
const (
	lockTries = 100
	lockPause = 50 * time.Millisecond
)

// locked runs change while holding the registry's lock. When another process
// keeps it for too long the error satisfies errors.Is(err, durable.ErrLocked).
func (r *Registry) locked(change func() error) error {
	if err := r.disk.MkdirAll(r.dir); err != nil {
		return err
	}
	for try := 1; ; try++ {
		l, err := durable.Lock(filepath.Join(r.dir, lockFile))
		switch {
		case err == nil:
			err := r.sweep()
			if err == nil {
				err = change()
			}
			return errors.Join(err, l.Unlock())
		case !errors.Is(err, durable.ErrLocked) || try >= r.tries:
			return fmt.Errorf("lock registry: %w", err)
		}
		time.Sleep(lockPause)
	}
}

// sweep removes what killed processes left half-written. The lock is held.
func (r *Registry) sweep() error {
	for _, dir := range []string{r.dir, filepath.Join(r.dir, historyDir)} {
		if _, err := r.disk.SweepTemp(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
