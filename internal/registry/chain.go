package registry

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Link is what is found of one record of the history.
type Link struct {
	Change
	Fault string `json:"fault,omitempty"` // why it cannot be trusted; empty when all holds
	// Chained says that the record carries the digest of the one before.
	Chained bool `json:"chained"`
	Pruned  bool `json:"pruned,omitempty"` // the version that it put in force is gone
}

// Chain checks every record of the history against the one before it, by
// digest, and against the manifest of the version that it put in force, and the
// last against CURRENT. Records are never removed, so a number that is missing
// is a fault; records of builds that did not chain may only come before those
// that do. The error is that of reading the directory.
func (r *Registry) Chain() ([]Link, error) {
	seqs, err := r.sequence()
	if err != nil {
		return nil, err
	}
	var out []Link
	var before *Link
	for i, seq := range seqs {
		l := Link{Change: Change{Seq: seq}}
		c, err := r.readChange(seq)
		switch {
		case err != nil:
			l.Fault = fmt.Sprintf("history record %d: %v", seq, err)
		case seq != i+1 && (i == 0 || seqs[i-1] != seq-1):
			l.Change, l.Fault = *c, fmt.Sprintf("history record %d: the one before it is missing", seq)
		default:
			l.Change = *c
			l.Fault = r.unlike(c, before)
		}
		l.Chained = l.Previous != ""
		if _, err := os.Stat(r.Path(l.To)); l.To != "" && errors.Is(err, os.ErrNotExist) {
			l.Pruned = true
		}
		out = append(out, l)
		before = &out[len(out)-1]
	}
	if n := len(out); n > 0 && out[n-1].Fault == "" {
		out[n-1].Fault = r.beyond(&out[n-1].Change)
	}
	return out, nil
}

// unlike says what of a record does not fit what it names; "" when all does.
func (r *Registry) unlike(c *Change, before *Link) string {
	switch {
	case before != nil && before.SHA256 != "" && c.Previous != "" && c.Previous != before.SHA256:
		return fmt.Sprintf("history record %d: the one before it has the digest %.12s, expected %.12s: it was replaced", c.Seq, before.SHA256, c.Previous)
	case before != nil && before.Chained && c.Previous == "":
		return fmt.Sprintf("history record %d: it does not carry the digest of the one before", c.Seq)
	case before == nil && c.Previous != "":
		return fmt.Sprintf("history record %d: the one before it is missing", c.Seq)
	}
	if c.Manifest == "" {
		return ""
	}
	d, err := r.read(c.To)
	if err != nil {
		return "" // pruned, or damaged, which Verify tells
	}
	if d.Manifest.SHA256 != c.Manifest {
		return fmt.Sprintf("history record %d: %s has the manifest %.12s, expected %.12s: the version was replaced", c.Seq, c.To, d.Manifest.SHA256, c.Manifest)
	}
	return ""
}

// beyond says whether CURRENT names something that the history does not lead to.
func (r *Registry) beyond(last *Change) string {
	current, err := r.Current()
	if err != nil || current == last.To || current == last.From {
		return "" // From: a crash came between the record and the pointer
	}
	return fmt.Sprintf("CURRENT names %s, the last record %d leads to %s: records are missing, or the pointer was written by hand", current, last.Seq, last.To)
}

// Service is a stretch of time in which a version was in force.
type Service struct {
	Change
	Until time.Time `json:"until,omitzero"` // zero: it still is
}

// Services are the stretches in which a version was in force, oldest first.
// Records that cannot be read are reported beside them.
func (r *Registry) Services(version string) ([]Service, error) {
	changes, err := r.History()
	var out []Service
	for i, c := range changes {
		if c.To != version {
			continue
		}
		s := Service{Change: c}
		if i+1 < len(changes) {
			s.Until = changes[i+1].At
		}
		out = append(out, s)
	}
	return out, err
}
