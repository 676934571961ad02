package retrain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/registry"
)

// Guard moves the pointer for healing and watches what it promoted. Every move
// is an intent first: the incident is written beside the journal, the intent is
// recorded, the pointer moves, the incident appears among the others, the end
// is recorded. [OpenGuard] finishes what a crash cut short at any of these
// steps, by looking at the pointer.
type Guard struct {
	journal
	reg       *registry.Registry
	incidents string
	limits    heal.Limits
	shadow    time.Duration
}

// GuardOptions say where a guard works.
type GuardOptions struct {
	State     string // directory of healing.json
	Incidents string
	Registry  *registry.Registry
	Limits    heal.Limits
	// Shadow is how long a challenger is compared with the champion on rows to
	// come before it may be promoted; 0: it is promoted at once.
	Shadow time.Duration
	Disk   durable.Disk // zero: the operating system's
}

func (o GuardOptions) guard() *Guard {
	return &Guard{journal: journal{dir: o.State, disk: o.Disk}, reg: o.Registry, incidents: o.Incidents, limits: o.Limits, shadow: o.Shadow}
}

// ReadGuard is the state of the guard as its files have it, an unfinished
// intent included, after what others did to the pointer since. Nothing is
// changed, and no lock is needed. The error matches [ErrJournal] when the files
// cannot be read, or is that of the registry's history.
func ReadGuard(o GuardOptions) (heal.State, error) {
	g := o.guard()
	if err := g.read(); err != nil {
		return g.state, err
	}
	events, err := g.unseen(time.Time{})
	for _, e := range events {
		e.At = e.Move.At
		g.state, _ = heal.Next(g.state, e)
	}
	return g.state, err
}

// OpenGuard reads the state, finishes a move that was cut short, and takes
// note of what others did to the pointer meanwhile. The caller holds the job's
// lock. The errors match [ErrJournal], or are those of the disk.
func OpenGuard(o GuardOptions, now time.Time) (*Guard, error) {
	g := o.guard()
	if err := g.read(); err != nil {
		return nil, err
	}
	if g.state.Intent != nil {
		if err := g.resolve(now); err != nil {
			return nil, fmt.Errorf("finish what was cut short: %w", err)
		}
	}
	if err := g.sweep(); err != nil {
		return nil, err
	}
	return g, g.follow(now)
}

// State is what the guard knows now.
func (g *Guard) State() heal.State { return g.state }

// Barrier is that state for an incident.
func (g *Guard) Barrier(now time.Time) Barrier {
	return Barrier{State: g.state, Limits: g.limits, At: now.UTC()}
}

// End records that the bake ended well, or undecided.
func (g *Guard) End(v heal.BakeVerdict, now time.Time) error {
	return g.add(heal.Event{Kind: heal.Passed, At: now.UTC(), Why: v.Because})
}

// Thaw lets healing act again; it says whether it was frozen.
func (g *Guard) Thaw(why string, now time.Time) (bool, error) {
	if g.state.Phase != heal.Frozen {
		return false, nil
	}
	return true, g.add(heal.Event{Kind: heal.Thawed, At: now.UTC(), Why: why})
}

// staged is where an incident waits for the pointer to move.
func (g *Guard) staged(id string) string { return filepath.Join(g.entryDir(), "staged-"+id) }

// promote puts in.Version in force and keeps the incident, unless healing went
// in circles: then nothing is promoted, and healing is frozen. A nil Guard
// moves the pointer and does no more; the caller then writes the incident.
func (g *Guard) promote(reg *registry.Registry, in *Incident, from registry.Pointer, now time.Time) error {
	if g == nil {
		if err := reg.Swap(from, in.Version, "healed: "+in.Reason, now); err != nil {
			return fmt.Errorf("promote %s: %w", in.Version, err)
		}
		in.Promoted = true
		return nil
	}
	if why, yes := g.circles(in.Version, now); yes {
		b := g.Barrier(now)
		b.To = in.Version
		in.Guard, in.Action, in.Reason = &b, heal.None, "frozen: "+why
		return g.add(heal.Event{Kind: heal.Halted, At: now.UTC(), Why: why})
	}
	if g.shadow > 0 {
		return g.cast(in, now)
	}
	return g.putInForce(in, from, now)
}

// cast puts in.Version into the shadow of the champion. The incident is there
// before: a crash in between leaves a version that nobody waits for.
func (g *Guard) cast(in *Incident, now time.Time) error {
	until := now.UTC().Add(g.shadow)
	in.ShadowUntil = &until
	if err := in.write(g.disk, g.incidents, filepath.Join(g.incidents, in.ID)); err != nil {
		return err
	}
	s := heal.Shadow{Challenger: in.Version, Champion: in.Champion, Began: now.UTC(), Action: in.Action, Incident: in.ID}
	return g.add(heal.Event{Kind: heal.Shadowed, At: now.UTC(), Why: in.Reason, Shadow: &s})
}

// EndShadow promotes the challenger that r found to be better than the champion,
// or drops it, and returns the incident that says why; it is written already
// when it promotes.
func (g *Guard) EndShadow(from registry.Pointer, r BakeRecord, now time.Time) (*Incident, error) {
	s := *g.state.Shadow
	in := &Incident{
		Format: incidentFormat, At: now.UTC(), Champion: s.Champion, Action: heal.Keep, Metric: r.Metric, Reason: r.Verdict.Because,
		Reasons: []string{fmt.Sprintf("%s was compared with %s since %s", s.Challenger, s.Champion, present.Moment(s.Began))},
		Rows:    r.Verdict.Rows, Labels: r.Verdict.Rows, Excluded: []Exclusion{}, Trials: []Trial{}, Basis: Basis{Shadow: &r},
	}
	if r.Verdict.Outcome != heal.BakePassed {
		in.identify()
		return in, g.add(heal.Event{Kind: heal.Dropped, At: now.UTC(), Why: in.Reason})
	}
	in.Action, in.Version = s.Action, s.Challenger
	in.identify()
	return in, g.putInForce(in, from, now)
}

// putInForce makes in.Version the champion.
func (g *Guard) putInForce(in *Incident, from registry.Pointer, now time.Time) error {
	in.Promoted = true
	m := heal.Move{Kind: heal.MovePromote, From: from.Version, To: in.Version, Reason: "healed: " + in.Reason}
	if err := g.move(in, m, from, now); err != nil {
		in.Promoted = false
		return fmt.Errorf("promote %s: %w", in.Version, err)
	}
	return nil
}

// circles says whether healing would bring back what it took out of force not
// long ago. A nil Guard remembers nothing.
func (g *Guard) circles(version string, now time.Time) (why string, yes bool) {
	if g == nil {
		return "", false
	}
	return heal.Oscillates(g.limits, g.state, version, now.UTC())
}

// TakeBack puts the predecessor of what bakes in force again, which freezes
// healing, and returns the incident that says why, already written.
func (g *Guard) TakeBack(from registry.Pointer, r BakeRecord, now time.Time) (*Incident, error) {
	in := &Incident{
		Format: incidentFormat, At: now.UTC(), Champion: r.Bake.Promoted, Action: heal.Rollback, Metric: r.Metric, Version: r.Bake.Predecessor,
		Reasons: []string{fmt.Sprintf("%s is worse than %s, which it replaced", r.Bake.Promoted, r.Bake.Predecessor)}, Reason: r.Verdict.Because,
		Rows: r.Verdict.Rows, Labels: r.Verdict.Rows, Excluded: []Exclusion{}, Trials: []Trial{}, Basis: Basis{Bake: &r},
	}
	in.identify()
	m := heal.Move{Kind: heal.MoveRollback, From: r.Bake.Promoted, To: r.Bake.Predecessor, Reason: in.Reason}
	if err := g.move(in, m, from, now); err != nil {
		return nil, fmt.Errorf("take %s back: %w", r.Bake.Promoted, err)
	}
	return in, nil
}

// move carries a move out, from its intent to its end.
func (g *Guard) move(in *Incident, m heal.Move, from registry.Pointer, now time.Time) error {
	m.At, m.Generation, m.Incident = now.UTC(), from.Generation, in.ID
	if err := in.write(g.disk, g.entryDir(), g.staged(in.ID)); err != nil {
		return err
	}
	doc, err := in.document()
	if err != nil {
		return err
	}
	if err := g.add(heal.Event{Kind: heal.Intended, At: m.At, Move: &m}); err != nil {
		return err
	}
	err = g.reg.Move(from, registry.Move{
		To: m.To, Back: m.Kind == heal.MoveRollback, Reason: m.Reason, At: m.At, Incident: in.ID, SHA256: hexSum(doc),
	})
	if err != nil {
		return errors.Join(err, g.resolve(now))
	}
	return g.finish(now)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// finish makes the incident of the intent appear and records the end.
func (g *Guard) finish(now time.Time) error {
	id := g.state.Intent.Incident
	dst := filepath.Join(g.incidents, id)
	if err := g.disk.MkdirAll(g.incidents); err != nil {
		return err
	}
	if _, err := os.Stat(dst); errors.Is(err, fs.ErrNotExist) {
		if err := g.disk.Rename(g.staged(id), dst); err != nil {
			return err
		}
	}
	return g.add(heal.Event{Kind: heal.Done, At: now.UTC()})
}

// resolve ends an intent by what became of the pointer.
func (g *Guard) resolve(now time.Time) error {
	m := g.state.Intent
	changes, err := g.reg.History()
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Seq == m.Generation+1 && c.To == m.To && c.Incident == m.Incident {
			return g.finish(now)
		}
	}
	return g.add(heal.Event{Kind: heal.Abandoned, At: now.UTC(), Why: "it was cut short before the pointer moved"})
}

// sweep removes incidents that wait for nothing.
func (g *Guard) sweep() error {
	if _, err := g.disk.SweepTemp(g.entryDir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := os.ReadDir(g.entryDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return journalFault(g.entryDir(), err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "staged-") {
			if err := g.disk.RemoveAll(filepath.Join(g.entryDir(), f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostFollowed bounds how many moves of others are taken note of at once.
const mostFollowed = 8

// follow takes note of moves of the pointer that the guard did not make.
func (g *Guard) follow(now time.Time) error {
	events, err := g.unseen(now)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := g.add(e); err != nil {
			return err
		}
	}
	return nil
}

// unseen are those moves.
func (g *Guard) unseen(now time.Time) (events []heal.Event, err error) {
	changes, err := g.reg.History()
	if err != nil {
		return nil, err
	}
	for i, c := range changes {
		if c.Seq <= g.state.Generation || i < len(changes)-mostFollowed {
			continue
		}
		kind := heal.MovePromote
		if c.Kind == string(heal.MoveRollback) {
			kind = heal.MoveRollback
		}
		m := heal.Move{Kind: kind, At: c.At, From: c.From, To: c.To, Generation: c.Seq, Reason: c.Reason}
		events = append(events, heal.Event{Kind: heal.Moved, At: now.UTC(), Move: &m})
	}
	return events, nil
}

// Reset puts a journal that cannot be read aside and begins a new one, in
// which healing may act. A file of a later build is left alone.
func Reset(o GuardOptions, now time.Time) (*Guard, error) {
	_, err := ReadGuard(o)
	var newer registry.NewerError
	if errors.As(err, &newer) {
		return nil, err
	}
	g := o.guard()
	aside := g.entryDir() + "-damaged-" + now.UTC().Format("20060102t150405z")
	if _, err := os.Stat(g.entryDir()); err == nil {
		if err := g.disk.Rename(g.entryDir(), aside); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(g.snapshotPath()); err == nil {
		if err := g.disk.Remove(g.snapshotPath()); err != nil {
			return nil, err
		}
	}
	return OpenGuard(o, now)
}
