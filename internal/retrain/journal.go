package retrain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/registry"
)

// The formats of the guard's files (docs/format/state.md), the newest that
// this build reads and those that it writes.
const (
	journalFormat  = 1
	snapshotFormat = 1
)

// entry is one record of the journal: an event that was taken, and the phase
// that it led to.
type entry struct {
	Format   int        `json:"format"`
	Seq      int        `json:"seq"` // 1, 2, …; the file is called by it
	Event    heal.Event `json:"event"`
	Phase    heal.Phase `json:"phase"`
	Previous string     `json:"previous_sha256,omitempty"` // of the record before
	SHA256   string     `json:"sha256"`
}

// snapshot is the state after the entry Seq: what the journal comes to, so
// that it need not be read from its beginning.
type snapshot struct {
	Format int        `json:"format"`
	Seq    int        `json:"seq"`
	Last   string     `json:"last_sha256,omitempty"` // of the entry Seq
	State  heal.State `json:"state"`
	SHA256 string     `json:"sha256"`
}

// journal keeps a heal.State in dir/healing.json and dir/healing/NNNNNN.json.
// The journal is what counts; the snapshot is computed from it.
type journal struct {
	dir   string
	disk  durable.Disk
	state heal.State
	seq   int
	last  string // digest of the last entry
}

// ErrJournal is matched by the errors of a journal that cannot be read.
var ErrJournal = errors.New("the state of healing cannot be read")

// Frozen because of that.
func journalFault(path string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrJournal, path, err)
}

func (j *journal) snapshotPath() string { return filepath.Join(j.dir, "healing.json") }
func (j *journal) entryDir() string     { return filepath.Join(j.dir, "healing") }
func (j *journal) entryPath(seq int) string {
	return filepath.Join(j.entryDir(), fmt.Sprintf("%06d.json", seq))
}

// read reads the snapshot and the entries after it. A snapshot that is missing
// or damaged is made up from the whole journal; one of a later build, and an
// entry that is missing, damaged or of a later build, is an error that matches
// [ErrJournal], because what it says of a freeze is not known.
func (j *journal) read() error {
	seqs, err := j.sequence()
	if err != nil {
		return err
	}
	s, err := j.readSnapshot()
	if err != nil {
		return err
	}
	j.state, j.seq, j.last = s.State, s.Seq, s.Last
	for _, seq := range seqs {
		if seq <= s.Seq {
			continue
		}
		if err := j.take(seq); err != nil {
			return journalFault(j.entryPath(seq), err)
		}
	}
	if n := len(seqs); j.seq > 0 && (n == 0 || seqs[n-1] < j.seq) {
		return journalFault(j.entryPath(j.seq), errors.New("it is missing"))
	}
	if j.state.Phase == "" {
		j.state.Phase = heal.Steady
	}
	return nil
}

// readSnapshot is the zero snapshot when there is none that is whole.
func (j *journal) readSnapshot() (s snapshot, err error) {
	b, err := os.ReadFile(j.snapshotPath())
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{}, nil
	} else if err != nil {
		return snapshot{}, journalFault(j.snapshotPath(), err)
	}
	var newer registry.NewerError
	if err := registry.Unseal(b, snapshotFormat, &s); errors.As(err, &newer) {
		return snapshot{}, journalFault(j.snapshotPath(), err)
	} else if err != nil {
		return snapshot{}, nil // the journal has it all
	}
	return s, nil
}

// sequence lists the numbers of the entries, ascending.
func (j *journal) sequence() ([]int, error) {
	files, err := os.ReadDir(j.entryDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, journalFault(j.entryDir(), err)
	}
	var seqs []int
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			seqs = append(seqs, n)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// take reads the entry seq, which must be the next, and follows it.
func (j *journal) take(seq int) error {
	b, err := os.ReadFile(j.entryPath(seq))
	if err != nil {
		return err
	}
	var e entry
	if err := registry.Unseal(b, journalFormat, &e); err != nil {
		return err
	}
	switch {
	case seq != j.seq+1 || e.Seq != seq:
		return fmt.Errorf("it is numbered %d and comes after %d", e.Seq, j.seq)
	case e.Previous != j.last:
		return fmt.Errorf("it follows a record with the digest %.12s, the one before it has %.12s", e.Previous, j.last)
	}
	next, taken := heal.Next(j.state, e.Event)
	if !taken || next.Phase != e.Phase {
		return fmt.Errorf("%s does not lead from %s to %s", e.Event.Kind, j.state.Phase, e.Phase)
	}
	j.state, j.seq, j.last = next, seq, e.SHA256
	return nil
}

// errNotTaken says that an event makes no sense in the state.
var errNotTaken = errors.New("it is not possible in this state")

// add makes an event happen: its record is written first, the snapshot after
// it. A crash in between loses nothing.
func (j *journal) add(e heal.Event) error {
	next, taken := heal.Next(j.state, e)
	if !taken {
		return fmt.Errorf("%s while %s: %w", e.Kind, j.state.Phase, errNotTaken)
	}
	b, err := registry.Seal(entry{Format: journalFormat, Seq: j.seq + 1, Event: e, Phase: next.Phase, Previous: j.last})
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Kind, err)
	}
	if err := j.disk.MkdirAll(j.entryDir()); err != nil {
		return err
	}
	if err := j.disk.WriteFile(j.entryPath(j.seq+1), b); err != nil {
		return err
	}
	var written entry
	if err := registry.Unseal(b, journalFormat, &written); err != nil {
		return err
	}
	j.state, j.seq, j.last = next, j.seq+1, written.SHA256
	b, err = registry.Seal(snapshot{Format: snapshotFormat, Seq: j.seq, Last: j.last, State: j.state})
	if err != nil {
		return fmt.Errorf("encode state of healing: %w", err)
	}
	return j.disk.WriteFile(j.snapshotPath(), b)
}
