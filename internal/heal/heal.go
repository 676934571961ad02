// Package heal is the healing policy: given what was seen and what was tried,
// what to do. It is pure: no file, no clock, no randomness, so that a decision
// can be computed again from its evidence.
//
// A decision has two halves. [Assess] says whether there is a reason to look
// for a cure and enough evidence to judge one. If so, the caller lets the
// cures compete on the same rows, and [Choose] takes the one that is proven
// better than leaving the champion alone, or none: doing nothing is a
// candidate, and it wins every tie.
package heal

import (
	"fmt"
	"strings"
	"time"

	"github.com/healml/healml/internal/score"
)

// Action is what was done about a model.
type Action string

// The actions. None: there was no reason to act, or nothing to judge by. Keep:
// cures were tried and none was proven better.
const (
	None        Action = "none"
	Keep        Action = "keep"
	Quarantine  Action = "quarantine"
	Recalibrate Action = "recalibrate"
	Refit       Action = "refit"
	Retrain     Action = "retrain"
	Rollback    Action = "rollback"
)

// Actions are all of them.
func Actions() []Action {
	return []Action{None, Keep, Quarantine, Recalibrate, Refit, Retrain, Rollback}
}

// Policy are the bounds within which healing acts.
type Policy struct {
	Cooldown   time.Duration `json:"cooldown_ns"` // no cure sooner after the last promotion
	MinLabels  int           `json:"min_labels"`  // labelled rows unknown to the champion, at least
	MaxAge     time.Duration `json:"max_age_ns"`  // a champion older than that is a reason; 0: never
	NewLabels  float64       `json:"new_labels"`  // labels unknown to the champion, as a share of what it learnt from, that are a reason; 0: never
	Margin     float64       `json:"margin"`      // gain to clear, as a share of the champion's loss
	Confidence float64       `json:"confidence"`  // of the interval that must clear it, (0.5, 1)
	// SliceLimit is the share of its loss that a category may be proven to lose
	// by a cure that helps as a whole; 0: any.
	SliceLimit float64 `json:"slice_limit"`
}

// Evidence is what is known before any cure is tried.
type Evidence struct {
	Now      time.Time `json:"now"`
	Forced   bool      `json:"forced"`            // somebody asked: a reason by itself
	Promoted time.Time `json:"promoted"`          // when the champion took over
	Reasons  []string  `json:"reasons"`           // what drift reports said since then, in plain words
	Began    time.Time `json:"began,omitzero"`    // when the change that they speak of did; zero: not known
	Labelled time.Time `json:"labelled,omitzero"` // time of the newest labelled row; zero: not known
	Labels   int       `json:"labels"`            // labelled rows that the champion has not learnt from
	Learnt   int       `json:"learnt"`            // rows that it has learnt from
	// Expected is the champion's mean loss on its holdout, and Loss that on the
	// newest rows that it has not learnt from; 0 when not known.
	Expected float64 `json:"expected_loss,omitempty"`
	Loss     float64 `json:"loss,omitempty"`
}

// BreakLimit is how many times the loss that was expected of it a champion may
// lose before that counts as a break of the world.
const BreakLimit = 1.25

// broke reports whether the champion suddenly loses much more than expected.
func (e *Evidence) broke() bool { return e.Expected > 0 && e.Loss > BreakLimit*e.Expected }

// blind reports whether all labels are older than the change.
func (e *Evidence) blind() bool {
	return !e.Began.IsZero() && !e.Labelled.IsZero() && e.Labelled.Before(e.Began)
}

// Assessment is the first half of a decision.
type Assessment struct {
	Act     bool     `json:"act"`     // try the cures
	Reasons []string `json:"reasons"` // to look for a cure; empty when there is none
	Because string   `json:"because"` // one sentence for people
}

// Cooling says whether it is too soon after the last promotion to do anything,
// which can be told before any row is read.
func Cooling(p Policy, e Evidence) (a Assessment, cooling bool) {
	until := e.Promoted.Add(p.Cooldown)
	if e.Forced || !e.Now.Before(until) {
		return Assessment{}, false
	}
	because := fmt.Sprintf("cooldown: the champion took over at %s, nothing is changed before %s", stamp(e.Promoted), stamp(until))
	return Assessment{Reasons: append([]string{}, e.Reasons...), Because: because}, true
}

// Assess says whether to try cures.
func Assess(p Policy, e Evidence) Assessment {
	reasons := append([]string{}, e.Reasons...)
	if e.Forced {
		reasons = append(reasons, "asked for by hand")
	}
	if age := e.Now.Sub(e.Promoted); p.MaxAge > 0 && age > p.MaxAge {
		reasons = append(reasons, fmt.Sprintf("the champion has served for %s, longer than %s", days(age), days(p.MaxAge)))
	}
	if share := float64(e.Labels) / float64(max(e.Learnt, 1)); p.NewLabels > 0 && share >= p.NewLabels {
		reasons = append(reasons, fmt.Sprintf("%d labelled rows are new to the champion, which learnt from %d", e.Labels, e.Learnt))
	}
	if e.broke() {
		reasons = append(reasons, fmt.Sprintf("the champion loses %.4g on the newest labelled rows, where %.4g was expected of it", e.Loss, e.Expected))
	}
	a := Assessment{Reasons: reasons}
	if cooling, ok := Cooling(p, e); ok {
		return cooling
	}
	switch {
	case len(reasons) == 0:
		a.Because = "no reason: no drift was found since the champion took over, it is not too old, and little is new to it"
	case len(reasons) == len(e.Reasons) && e.blind():
		a.Because = fmt.Sprintf("the change began at %s, and no label is younger than %s: what it did to the target cannot be known yet; waiting for actuals", stamp(e.Began), stamp(e.Labelled))
	case e.Labels < p.MinLabels:
		a.Because = fmt.Sprintf("%d labelled rows are newer than what the champion learnt from, %d are needed to judge a cure: waiting for actuals", e.Labels, p.MinLabels)
	default:
		a.Act = true
		a.Because = strings.Join(reasons, "; ")
	}
	return a
}

// Trial is the outcome of one cure against the champion on the same rows,
// which had no part in how the cure was made. It is judged twice: on all of
// them, and on the newest alone, because a change that has just come drowns in
// the rows before it.
type Trial struct {
	Cure   string `json:"cure"`
	All    Match  `json:"all"`
	Newest Match  `json:"newest"` // equal to All when there is one block only
	// Usual marks the cure that wins unless another is proven better than it.
	Usual bool `json:"usual,omitempty"`
	// Floor marks what every cure has to beat and that never wins.
	Floor bool `json:"floor,omitempty"`
	// Versus compares the cure on all rows with the usual one in the champion's
	// place; nil for the usual cure and when there is none.
	Versus *Match `json:"versus,omitempty"`
	// Vetoes are reasons not to take the cure, whatever it gains.
	Vetoes []string `json:"vetoes,omitempty"`
}

// Match is a comparison on one stretch of rows.
type Match struct {
	Rows     int     `json:"rows"`
	Champion float64 `json:"champion_loss"` // mean loss of the champion
	Loss     float64 `json:"loss"`          // mean loss of the cure
	// Gain is Champion − Loss with its interval.
	Gain score.Interval `json:"gain"`
}

// Relative is the gain as a share of the champion's loss; 0 when that is 0.
func (m Match) Relative() float64 {
	if m.Champion <= 0 {
		return 0
	}
	return m.Gain.Mean / m.Champion
}

// Clears reports whether the whole interval of the gain lies above the margin.
func (m Match) Clears(margin float64) bool { return m.Gain.Lo > margin*m.Champion && m.Gain.Lo > 0 }

// Best is the match that speaks for the cure: the newest rows when they prove
// it, else all.
func (t Trial) Best(margin float64) Match {
	if t.Newest.Clears(margin) {
		return t.Newest
	}
	return t.All
}

// proven reports whether the trial clears the margin, and is not losing on the
// newest rows what it wins on older ones. A cure that was not settled before
// these rows were looked at has to clear it on all and on the newest: it may
// stand out by what one short stretch had for once.
func (t Trial) proven(margin float64) bool {
	newest, all := t.Newest.Clears(margin), t.All.Clears(margin)
	if !t.Usual {
		return newest && all
	}
	return newest || all && t.Newest.Gain.Mean > 0
}

// Level is the confidence that each interval of n trials must have, so that
// the chance of a lucky winner among them stays that of one (Bonferroni; every
// trial is judged on two stretches).
func (p Policy) Level(n int) float64 { return 1 - (1-p.Confidence)/float64(2*max(n, 1)) }

// Choose returns the index of the trial to take, or −1, and says why.
//
// Of the trials that are proven better than the champion, lose less than the
// floor and have no veto, it is the usual cure: how that one is made was
// settled on other rows, so that its gain is no lucky pick. Another takes its
// place when it is proven better on the same rows, and when the usual cure is
// not there to be taken. Of several, the one that gains most; the first of
// equals.
func Choose(p Policy, trials []Trial) (int, string) {
	best := -1
	for i, t := range trials {
		if !eligible(p, t, trials) {
			continue
		}
		if best < 0 || ahead(p, t, trials[best]) {
			best = i
		}
	}
	if best >= 0 {
		m := trials[best].Best(p.Margin)
		return best, fmt.Sprintf("%q lowers the loss by %.1f %% on %d rows that neither had seen (from %.4g to %.4g; interval of the gain %.3g to %.3g)",
			trials[best].Cure, 100*m.Relative(), m.Rows, m.Champion, m.Loss, m.Gain.Lo, m.Gain.Hi)
	}
	return -1, kept(p, trials)
}

func eligible(p Policy, t Trial, trials []Trial) bool {
	if t.Floor || len(t.Vetoes) > 0 || !t.proven(p.Margin) {
		return false
	}
	for _, f := range trials {
		if f.Floor && f.All.Loss <= t.All.Loss {
			return false
		}
	}
	return true
}

// ahead reports whether a takes the place of b; both may be taken.
func ahead(p Policy, a, b Trial) bool {
	switch {
	case b.Usual:
		return a.outdoes()
	case a.Usual:
		return !b.outdoes()
	}
	return a.Best(p.Margin).Relative() > b.Best(p.Margin).Relative()
}

// outdoes reports whether the trial is proven better than the usual cure.
func (t Trial) outdoes() bool { return t.Versus != nil && t.Versus.Clears(0) }

// kept says why the champion stays.
func kept(p Policy, trials []Trial) string {
	closest, count := -1, 0
	for i, t := range trials {
		if t.Floor {
			continue
		}
		count++
		if closest < 0 || t.Best(p.Margin).Relative() > trials[closest].Best(p.Margin).Relative() {
			closest = i
		}
	}
	if closest < 0 {
		return "no cure could be tried"
	}
	t := trials[closest]
	m := t.Best(p.Margin)
	head := fmt.Sprintf("the champion stays: the best of %d cures, %q, changes its loss by %+.1f %%", count, t.Cure, -100*m.Relative())
	switch {
	case t.proven(p.Margin) && len(t.Vetoes) > 0:
		return head + ", but " + strings.Join(t.Vetoes, "; ")
	case t.proven(p.Margin):
		return head + ", and a constant does as well"
	case m.Gain.Hi < p.Margin*m.Champion:
		return head + fmt.Sprintf(", and no more than %.3g of %.3g can be gained, less than the margin of %.3g", max(m.Gain.Hi, 0), m.Champion, p.Margin*m.Champion)
	}
	return head + fmt.Sprintf(", which is not proven (interval of the gain %.3g to %.3g, margin %.3g)", m.Gain.Lo, m.Gain.Hi, p.Margin*m.Champion)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}
