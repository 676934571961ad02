package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/healml/healml/internal/schema"
)

// The states of an [Entry].
const (
	StateCurrent  = "current"  // CURRENT names it
	StatePrevious = "previous" // a rollback would go to it
)

// Entry is a version in a list.
type Entry struct {
	Version string    `json:"version"`
	State   string    `json:"state,omitempty"` // StateCurrent, StatePrevious or empty
	Created time.Time `json:"created,omitzero"`
	Rows    int       `json:"rows"`  // learned from
	Bytes   int64     `json:"bytes"` // on disk
	Reason  string    `json:"reason,omitempty"`
	Metrics *Metrics  `json:"metrics,omitempty"`
	// Fault says why the version cannot be used; the rest is then empty. List
	// looks at the manifest and the metrics only: Verify looks at everything.
	Fault string `json:"fault,omitempty"`
}

// List is every version present, oldest first. One that is damaged is listed
// with its fault.
func (r *Registry) List() ([]Entry, error) {
	names, err := r.Versions()
	if err != nil {
		return nil, err
	}
	current, _ := r.Current()
	previous := r.Previous()
	entries := make([]Entry, 0, len(names))
	for _, v := range names {
		e := Entry{Version: v}
		switch v {
		case current:
			e.State = StateCurrent
		case previous:
			e.State = StatePrevious
		}
		if d, err := r.read(v); err != nil {
			e.Fault = err.Error()
		} else {
			e.Created, e.Rows, e.Bytes = d.Manifest.Created, d.Manifest.Lineage.Rows, d.Manifest.Size()
			e.Reason, e.Metrics = d.Manifest.Lineage.Reason, &d.Metrics
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Description is what can be told of a version without its trees.
type Description struct {
	State    string           `json:"state,omitempty"`
	Manifest Manifest         `json:"manifest"`
	Metrics  Metrics          `json:"metrics"`
	Template *schema.Template `json:"template"`
	Served   []Change         `json:"served,omitempty"` // changes of CURRENT to or from the version
}

// Show describes a version. The manifest, the template and the metrics are
// checked, the other files are not read.
func (r *Registry) Show(version string) (*Description, error) {
	d, err := r.read(version)
	if err != nil {
		return nil, err
	}
	switch current, _ := r.Current(); version {
	case current:
		d.State = StateCurrent
	case r.Previous():
		d.State = StatePrevious
	}
	changes, err := r.History()
	for _, c := range changes {
		if c.From == version || c.To == version {
			d.Served = append(d.Served, c)
		}
	}
	return d, err
}

// read reads the manifest, the template and the metrics of a version.
func (r *Registry) read(version string) (*Description, error) {
	o := &opened{dir: r.Path(version), version: version, parsed: map[string][]byte{}}
	if !ValidName(version) {
		return nil, o.fault("", "this is no name of a version", hintList, nil)
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return nil, o.fault("", "it cannot be opened", hintList, err)
	}
	defer root.Close()
	o.root = root
	if err := o.readManifest(); err != nil {
		return nil, err
	}
	for _, name := range []string{templateFile, metricsFile} {
		if err := o.check(name); err != nil {
			return nil, err
		}
	}
	d := &Description{Manifest: *o.manifest}
	if d.Template, err = schema.Parse(o.parsed[templateFile]); err != nil {
		return nil, o.fault(templateFile, "it is not valid", hintUpgrade, err)
	}
	if err := json.Unmarshal(o.parsed[metricsFile], &d.Metrics); err != nil {
		return nil, o.fault(metricsFile, "it is not valid", hintRestore, err)
	}
	return d, nil
}

// Comparison says how version B differs from version A.
type Comparison struct {
	A string `json:"a"`
	B string `json:"b"`
	// Columns are the raw columns that B lacks, adds or types otherwise.
	Columns []schema.Difference `json:"columns"`
	// Features are the names of features that only one of the two has,
	// prefixed with − (A's) or + (B's).
	Features []string `json:"features"`
	// Parameters, Metrics and Files that differ: by name, the value in A and
	// in B, "" where there is none. Files are compared by size in bytes.
	Parameters []Pair `json:"parameters"`
	Metrics    []Pair `json:"metrics"`
	Files      []Pair `json:"files"`
}

// Pair is a named value in two versions.
type Pair struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Diff compares two versions.
func (r *Registry) Diff(a, b string) (*Comparison, error) {
	da, err := r.read(a)
	if err != nil {
		return nil, err
	}
	db, err := r.read(b)
	if err != nil {
		return nil, err
	}
	c := &Comparison{A: a, B: b, Columns: schema.Diff(da.Template, db.Template)}
	for _, f := range da.Template.Features {
		if !slices.Contains(db.Template.Features, f) {
			c.Features = append(c.Features, "−"+f.Name)
		}
	}
	for _, f := range db.Template.Features {
		if !slices.Contains(da.Template.Features, f) {
			c.Features = append(c.Features, "+"+f.Name)
		}
	}
	c.Parameters = pairs(da.Manifest.Lineage.Parameters, db.Manifest.Lineage.Parameters)
	c.Metrics = pairs(da.Metrics.Holdout, db.Metrics.Holdout)
	c.Files = pairs(sizes(&da.Manifest), sizes(&db.Manifest))
	return c, nil
}

func sizes(m *Manifest) map[string]int64 {
	out := make(map[string]int64, len(m.Files))
	for name, f := range m.Files {
		out[name] = f.Bytes
	}
	return out
}

// pairs lists the keys under which two maps differ, in order.
func pairs[V comparable](a, b map[string]V) []Pair {
	keys := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(keys)
	var out []Pair
	for _, k := range slices.Compact(keys) {
		va, inA := a[k]
		vb, inB := b[k]
		if va == vb && inA == inB {
			continue
		}
		p := Pair{Name: k}
		if inA {
			p.A = fmt.Sprint(va)
		}
		if inB {
			p.B = fmt.Sprint(vb)
		}
		out = append(out, p)
	}
	return out
}

// Prune removes old versions and returns their names. It keeps the newest
// keep (at least 1), the current one, the one that a rollback would go to,
// those named in the last keep changes of CURRENT, and those of spare. While
// CURRENT cannot be read nothing is removed.
func (r *Registry) Prune(keep int, spare ...string) (removed []string, err error) {
	if keep < 1 {
		return nil, fmt.Errorf("prune: keep is %d, expected at least 1", keep)
	}
	err = r.locked(func() error {
		kept, err := r.pinned(keep)
		if err != nil {
			return err
		}
		names, err := r.Versions()
		if err != nil {
			return err
		}
		for _, v := range names[:max(0, len(names)-keep)] {
			if kept[v] || slices.Contains(spare, v) {
				continue
			}
			if err := r.remove(v); err != nil {
				return err
			}
			removed = append(removed, v)
		}
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("prune: %w", err)
	}
	return removed, nil
}

// pinned are the versions that Prune must not remove.
func (r *Registry) pinned(keep int) (map[string]bool, error) {
	current, err := r.Current()
	if err != nil && !errors.Is(err, ErrNoCurrent) {
		return nil, err
	}
	changes, err := r.History()
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{current: true, r.Previous(): true}
	if len(changes) > 0 { // drift is measured from the first one, too
		kept[changes[0].To] = true
	}
	for _, c := range changes[max(0, len(changes)-keep):] {
		kept[c.From], kept[c.To] = true, true
	}
	return kept, nil
}

// remove takes a version out of sight in one step and then deletes it. What a
// crash leaves is a temporary directory that the next change sweeps.
func (r *Registry) remove(version string) error {
	tmp, err := r.disk.TempDir(r.dir)
	if err != nil {
		return err
	}
	if err := r.disk.Rename(r.Path(version), filepath.Join(tmp, version)); err != nil {
		return err
	}
	return r.disk.RemoveAll(tmp)
}
