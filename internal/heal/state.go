package heal

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is where the guard over what healing promoted stands.
type Phase string

// The phases.
const (
	Steady Phase = "steady" // nothing is watched; healing may promote
	Baking Phase = "baking" // the last promotion is compared with its predecessor
	Frozen Phase = "frozen" // healing promotes nothing until a human says so
)

// State is what the guard knows. The zero State is that of a model that
// healing never touched. Bake is there in Baking alone, Why in Frozen alone.
type State struct {
	Phase  Phase     `json:"phase"`          // "" counts as Steady
	Since  time.Time `json:"since,omitzero"` // when the phase began
	Why    string    `json:"why,omitempty"`  // of Frozen, one sentence
	Bake   *Bake     `json:"bake,omitempty"`
	Shadow *Shadow   `json:"shadow,omitempty"` // what may be promoted next
	Intent *Move     `json:"intent,omitempty"` // a change of the pointer that is under way
	// Generation is that of the pointer as the guard saw it last; a greater
	// one without an intent was somebody else.
	Generation int `json:"generation"`
	// Recent are the last changes of the pointer, oldest first, [mostRecent] at
	// most.
	Recent []Switch `json:"recent,omitempty"`
	// Passed is the last bake that ended without a rollback.
	Passed *BakeEnd `json:"passed,omitempty"`
}

// mostRecent bounds the changes that are remembered: more than any budget and
// window look back at.
const mostRecent = 64

// Bake is a promotion under watch.
type Bake struct {
	Promoted    string    `json:"promoted"`
	Predecessor string    `json:"predecessor"`
	Began       time.Time `json:"began"`
	Incident    string    `json:"incident_id,omitempty"` // that promoted it
}

// Shadow is a challenger that cures made and that has yet to show on rows to
// come that it is better than the champion, before it may answer any.
type Shadow struct {
	Challenger string    `json:"challenger"`
	Champion   string    `json:"champion"`
	Began      time.Time `json:"began"`
	Action     Action    `json:"action"`                // that made it
	Incident   string    `json:"incident_id,omitempty"` // that tells of it
}

// BakeEnd is how a bake ended that was not rolled back.
type BakeEnd struct {
	Bake
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// The kinds of a [Move].
const (
	MovePromote  = "promote"
	MoveRollback = "rollback"
)

// Move is a change of the pointer.
type Move struct {
	Kind       string    `json:"kind"` // MovePromote or MoveRollback
	At         time.Time `json:"at"`
	From       string    `json:"from"` // version that it was decided at, with its generation
	Generation int       `json:"generation"`
	To         string    `json:"to"`
	Incident   string    `json:"incident_id,omitempty"`
	Reason     string    `json:"reason"`
}

// Switch is a change of the pointer that took effect.
type Switch struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	From string    `json:"from"`
	To   string    `json:"to"`
	Hand bool      `json:"hand,omitempty"` // a human's
}

// EventKind says what happened to the guard.
type EventKind string

// The kinds of an [Event].
const (
	Intended  EventKind = "intended"  // Move is about to be made
	Done      EventKind = "done"      // the intended move was made
	Abandoned EventKind = "abandoned" // it was not, and will not be
	Passed    EventKind = "passed"    // the bake ended well, or undecided
	Shadowed  EventKind = "shadowed"  // Shadow begins, in place of one before it
	Dropped   EventKind = "dropped"   // the shadow ended, and is not promoted
	Halted    EventKind = "halted"    // healing goes in circles: freeze
	Thawed    EventKind = "thawed"    // a human lets healing act again
	Moved     EventKind = "moved"     // somebody else made Move
)

// Event is what happened.
type Event struct {
	Kind EventKind `json:"kind"`
	At   time.Time `json:"at"`
	Why  string    `json:"why,omitempty"`
	// Move is of Intended and Moved; its Generation is the one before the move
	// for Intended, and after it for Moved.
	Move   *Move   `json:"move,omitempty"`
	Shadow *Shadow `json:"shadow,omitempty"` // of Shadowed
}

// Next is the state after an event. An event that makes no sense in the state
// changes nothing and is not taken: a promotion intended while frozen, a bake
// that ends where none is, anything but an end while a move is under way. s is
// not changed.
func Next(s State, e Event) (next State, taken bool) {
	n := s
	n.Recent = slices.Clone(s.Recent)
	if n.Phase == "" {
		n.Phase = Steady
	}
	if s.Intent != nil && e.Kind != Done && e.Kind != Abandoned {
		return n, false
	}
	switch e.Kind {
	case Intended:
		if e.Move == nil || !n.may(e.Move) {
			return n, false
		}
		m := *e.Move
		n.Intent = &m
	case Done:
		if s.Intent == nil {
			return n, false
		}
		n.done(e)
	case Abandoned:
		if s.Intent == nil {
			return n, false
		}
		n.Intent = nil
	case Passed:
		if n.Phase != Baking {
			return n, false
		}
		n.Passed = &BakeEnd{*s.Bake, e.At, e.Why}
		n.enter(Steady, e.At)
	case Shadowed:
		if e.Shadow == nil || n.Phase == Frozen {
			return n, false
		}
		shadow := *e.Shadow
		n.Shadow = &shadow
	case Dropped:
		if n.Shadow == nil {
			return n, false
		}
		n.Shadow = nil
	case Halted:
		n.freeze(e.At, e.Why)
	case Thawed:
		if n.Phase != Frozen {
			return n, false
		}
		n.enter(Steady, e.At)
	case Moved:
		if e.Move == nil {
			return n, false
		}
		n.moved(e)
	default:
		return n, false
	}
	return n, true
}

// may reports whether healing may make a move: promote unless frozen, take
// back what bakes.
func (s *State) may(m *Move) bool {
	if m.Kind == MoveRollback {
		return s.Phase == Baking && m.From == s.Bake.Promoted && m.To == s.Bake.Predecessor
	}
	return m.Kind == MovePromote && s.Phase != Frozen
}

func (s *State) enter(p Phase, at time.Time) {
	s.Phase, s.Since, s.Bake, s.Why = p, at, nil, ""
}

func (s *State) freeze(at time.Time, why string) {
	s.enter(Frozen, at)
	s.Why, s.Shadow = why, nil
	if why == "" {
		s.Why = "no reason was given"
	}
}

// done ends the intent as it was meant.
func (s *State) done(e Event) {
	m := s.Intent
	s.Intent, s.Shadow = nil, nil // it is promoted, or has another champion
	s.note(Switch{At: m.At, Kind: m.Kind, From: m.From, To: m.To})
	s.Generation = m.Generation + 1
	switch {
	case m.Kind == MoveRollback:
		s.freeze(e.At, fmt.Sprintf("%s was taken back: %s", m.From, m.Reason))
	case m.From == "":
		s.enter(Steady, e.At)
	default:
		s.enter(Baking, m.At)
		s.Bake = &Bake{Promoted: m.To, Predecessor: m.From, Began: m.At, Incident: m.Incident}
	}
}

// moved follows a human, who ends every bake and shadow; a promotion also ends a
// freeze.
func (s *State) moved(e Event) {
	s.Shadow = nil
	s.note(Switch{At: e.Move.At, Kind: e.Move.Kind, From: e.Move.From, To: e.Move.To, Hand: true})
	s.Generation = e.Move.Generation
	if s.Phase == Baking || s.Phase == Frozen && e.Move.Kind == MovePromote {
		s.enter(Steady, e.At)
	}
}

func (s *State) note(c Switch) {
	s.Recent = append(s.Recent, c)
	s.Recent = s.Recent[max(0, len(s.Recent)-mostRecent):]
}

// Limits bound how often healing acts.
type Limits struct {
	PerWeek     int           `json:"promotions_per_week"` // promotions within any seven days; 0: no bound
	Oscillation time.Duration `json:"oscillation_ns"`      // what healing took out of force comes not back within; 0: it may
}

const week = 7 * 24 * time.Hour

// Promotions counts those of healing within the week before now.
func (s State) Promotions(now time.Time) (n int, oldest time.Time) {
	for _, c := range s.Recent {
		if c.Kind == MovePromote && !c.Hand && c.At.After(now.Add(-week)) {
			if n == 0 {
				oldest = c.At
			}
			n++
		}
	}
	return n, oldest
}

// Permit says whether healing may promote anything now, and why not.
func Permit(l Limits, s State, now time.Time) (because string, ok bool) {
	if s.Phase == Frozen {
		return fmt.Sprintf("frozen: %s; nothing is promoted until a human lets it: healml retrain --thaw", strings.TrimSuffix(s.Why, ".")), false
	}
	if n, oldest := s.Promotions(now); l.PerWeek > 0 && n >= l.PerWeek {
		return fmt.Sprintf("budget: %d promotions within seven days, %d may be; the next may come at %s", n, l.PerWeek, stamp(oldest.Add(week))), false
	}
	if c := s.Shadow; c != nil {
		return fmt.Sprintf("shadow: %s is compared with %s since %s; nothing else is tried before that has ended", c.Challenger, c.Champion, stamp(c.Began)), false
	}
	return "", true
}

// Oscillates says whether to would come back soon after healing took it out of
// force. Versions with the same content are the same: the part of the name
// after the number is a digest of it.
func Oscillates(l Limits, s State, to string, now time.Time) (because string, yes bool) {
	for _, c := range slices.Backward(s.Recent) {
		if c.Hand || now.Sub(c.At) > l.Oscillation || content(c.From) != content(to) || content(c.From) == content(c.To) {
			continue
		}
		return fmt.Sprintf("healing goes in circles: %s would come back as %s, %s after %s took its place", c.From, to, days(now.Sub(c.At)), c.To), true
	}
	return "", false
}

// content is what follows the number in a version's name.
func content(version string) string {
	_, digest, _ := strings.Cut(version, "-")
	return digest
}
