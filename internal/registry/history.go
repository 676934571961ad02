package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/healml/healml/internal/schema"
)

// The kinds of changes of CURRENT.
const (
	promoted   = "promote"
	rolledBack = "rollback"
)

// changeFormat is the version of a history record that this build writes and
// the newest that it reads.
const changeFormat = 1

// Change is one record of exported_model/history: the intent to let CURRENT
// point elsewhere, written before it did. A record whose successor does not
// start where it ended was cut short by a crash and never took effect; see
// [Registry.History].
type Change struct {
	Format int       `json:"format"`
	Seq    int       `json:"seq"` // 1, 2, … ; the file is called by it
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`           // promote or rollback
	From   string    `json:"from,omitempty"` // version that served; empty when none did
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	// Incident is the id of the healing that made the change, with the digest
	// of its incident.json; empty when a human made it.
	Incident       string `json:"incident,omitempty"`
	IncidentSHA256 string `json:"incident_sha256,omitempty"`
	// Manifest is the digest of To's manifest, and Previous that of the record
	// before, which chain the records; empty in those of older builds.
	Manifest string `json:"manifest_sha256,omitempty"`
	Previous string `json:"previous_sha256,omitempty"`
	SHA256   string `json:"sha256"` // over the record with these 64 digits written as zeros
}

func (r *Registry) changePath(seq int) string {
	return filepath.Join(r.dir, historyDir, fmt.Sprintf("%06d.json", seq))
}

// sequence lists the numbers of the records present, ascending.
func (r *Registry) sequence() ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, historyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list history: %w", err)
	}
	var seqs []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			seqs = append(seqs, n)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// generation is the number of the last record, 0 when there is none.
func (r *Registry) generation() (int, error) {
	seqs, err := r.sequence()
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	return seqs[len(seqs)-1], nil
}

// History is every change of CURRENT that took effect, oldest first. Records
// that cannot be read are left out and reported together in err, next to the
// rest.
func (r *Registry) History() (changes []Change, err error) {
	current, _ := r.Current() // without one, the last record stands
	all, err := r.records()
	for i, c := range all {
		next := current
		if i+1 < len(all) {
			next = all[i+1].From
		}
		if next == c.To || i+1 == len(all) && current == "" {
			changes = append(changes, c)
		}
	}
	return changes, err
}

// records reads every record, effective or not.
func (r *Registry) records() (all []Change, err error) {
	seqs, err := r.sequence()
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, seq := range seqs {
		c, err := r.readChange(seq)
		if err != nil {
			faults = append(faults, fmt.Errorf("read history record %d: %w", seq, err))
			continue
		}
		all = append(all, *c)
	}
	return all, errors.Join(faults...)
}

func (r *Registry) readChange(seq int) (*Change, error) {
	b, err := os.ReadFile(r.changePath(seq))
	if err != nil {
		return nil, err
	}
	var c Change
	if err := unseal(b, changeFormat, &c); err != nil {
		return nil, err
	}
	if c.Seq != seq || !ValidName(c.To) || c.From != "" && !ValidName(c.From) {
		return nil, fmt.Errorf("it is numbered %d and goes from %.40q to %.40q", c.Seq, c.From, c.To)
	}
	return &c, nil
}

// stack replays changes as a pile of versions: a promotion lays one on top, a
// rollback takes those above its target off, so that a version that was
// rolled back never comes back as the predecessor of another. The top is
// current, unless that is empty.
func stack(changes []Change, current string) []string {
	var s []string
	top := func(v string) {
		if v != "" && (len(s) == 0 || s[len(s)-1] != v) {
			s = append(s, v)
		}
	}
	for _, c := range changes {
		top(c.From)
		if at := lastIndex(s, c.To); c.Kind == rolledBack && at >= 0 {
			s = s[:at+1]
			continue
		}
		top(c.To)
	}
	top(current)
	return s
}

func lastIndex(s []string, v string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			return i
		}
	}
	return -1
}

// Candidates are the versions that a server may fall back on, best first: the
// current one, those that served before it and were not rolled back, newest
// first, and last those that were. Every one is named once, whether or not it
// still exists or is whole. What cannot be read of the history is passed
// over.
func (r *Registry) Candidates() []string {
	current, _ := r.Current()
	changes, _ := r.History()
	names := stack(changes, current)
	slices.Reverse(names)
	for _, c := range slices.Backward(changes) {
		names = append(names, c.To)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(v string) bool {
		dup := seen[v]
		seen[v] = true
		return dup
	})
}

// Previous is the version that a rollback would go to: the one that served
// before the current one. It is empty when there is none.
func (r *Registry) Previous() string {
	current, err := r.Current()
	if err != nil {
		return ""
	}
	changes, _ := r.History()
	s := stack(changes, current)
	for _, v := range slices.Backward(s) {
		if v != current {
			return v
		}
	}
	return ""
}

// First is the oldest version of l's lineage that is still on disk and has l's
// raw columns and target: of those that the pile of the history has below l,
// see [Registry.Rollback]. It is empty when that is l itself, or when l is not
// in the history. Versions that cannot be read are passed over; err says what
// of the history could not be read.
func (r *Registry) First(l *Loaded) (version string, err error) {
	current, _ := r.Current()
	changes, err := r.History()
	pile, name, tmpl := stack(changes, current), l.Manifest.Version, l.Model.Template
	for _, v := range pile[:max(lastIndex(pile, name), 0)] {
		if v == name {
			return "", err
		}
		d, bad := r.read(v)
		if bad != nil {
			continue
		}
		if t := d.Template; t.Target == tmpl.Target && t.Task == tmpl.Task && len(schema.Diff(t, tmpl)) == 0 {
			return v, err
		}
	}
	return "", err
}
