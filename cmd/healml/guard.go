package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
)

func (a *app) limits() heal.Limits {
	return heal.Limits{PerWeek: a.conf.Heal.PerWeek, Oscillation: a.conf.Heal.Oscillation}
}

func (a *app) bakePolicy() heal.BakePolicy {
	c := a.conf.Heal
	return heal.BakePolicy{Length: c.Bake, Margin: c.Margin, Alpha: c.Alpha}
}

func (a *app) guardOptions() retrain.GuardOptions {
	return retrain.GuardOptions{State: a.state(), Incidents: a.incidents(), Registry: a.registry(), Limits: a.limits(), Shadow: a.conf.Heal.Shadow}
}

// watch looks at the bake, if there is one, and acts on what it sees: a version
// that is proven worse is taken back, which is the incident that is returned.
// Without a guard, which is a rehearsal, it only says what it would do. What
// keeps it from looking is a warning: it is looked again at the next run.
func (a *app) watch(g *retrain.Guard, s heal.State) (*retrain.Incident, error) {
	if s.Phase != heal.Baking {
		return nil, nil
	}
	r, err := a.lookAt(*s.Bake)
	if err != nil {
		a.warn("%s could not be compared with %s: %v", s.Bake.Promoted, s.Bake.Predecessor, err)
		return nil, nil
	}
	a.gauges = append(a.gauges, bakeGauges(r)...)
	switch {
	case r.Verdict.Outcome == heal.BakeRuns:
		return nil, nil
	case g == nil && r.Verdict.Outcome == heal.BakeWorse:
		a.warn("%s would be taken back: %s", s.Bake.Promoted, r.Verdict.Because)
		return nil, nil
	case g == nil:
		return nil, nil
	case r.Verdict.Outcome == heal.BakePassed:
		a.log.Info("the bake is over", "version", s.Bake.Promoted, "because", r.Verdict.Because)
		return nil, g.End(r.Verdict, a.now())
	}
	from, err := a.registry().Pointer()
	if err != nil {
		return nil, err
	}
	return g.TakeBack(from, *r, a.now())
}

// watchShadow looks at what is in shadow, if anything is, and promotes it or
// drops it when that is decided, which is the incident that is returned. Without
// a guard it only says what it would do.
func (a *app) watchShadow(g *retrain.Guard, s heal.State) (*retrain.Incident, error) {
	if s.Shadow == nil {
		return nil, nil
	}
	r, err := a.lookAtShadow(*s.Shadow)
	if err != nil {
		a.warn("%s could not be compared with %s: %v", s.Shadow.Challenger, s.Shadow.Champion, err)
		return nil, nil
	}
	switch {
	case r.Verdict.Outcome == heal.BakeRuns:
		a.log.Info("in shadow", "version", s.Shadow.Challenger, "because", r.Verdict.Because)
		return nil, nil
	case g == nil:
		a.warn("%s would be %s: %s", s.Shadow.Challenger, map[bool]string{true: "promoted", false: "dropped"}[r.Verdict.Outcome == heal.BakePassed], r.Verdict.Because)
		return nil, nil
	}
	from, err := a.registry().Pointer()
	if err != nil {
		return nil, err
	}
	in, err := g.EndShadow(from, *r, a.now())
	if err != nil {
		return nil, err
	}
	return in, in.Write(a.incidents())
}

// watched are the versions that the guard compares.
func (a *app) watched() (versions []string) {
	s, err := retrain.ReadGuard(a.guardOptions())
	if err != nil {
		a.warn("%v", err)
	}
	if s.Bake != nil {
		versions = append(versions, s.Bake.Promoted, s.Bake.Predecessor)
	}
	if s.Shadow != nil {
		versions = append(versions, s.Shadow.Challenger, s.Shadow.Champion)
	}
	return versions
}

// lookAt compares what bakes with its predecessor.
func (a *app) lookAt(b heal.Bake) (*retrain.BakeRecord, error) {
	p := a.bakePolicy()
	if p.Length == 0 {
		return &retrain.BakeRecord{Policy: p, Bake: b, At: a.now().UTC(), Verdict: heal.BakeVerdict{Outcome: heal.BakePassed, Because: "heal.bake is 0: nothing was compared"}}, nil
	}
	rows, err := a.versus(b.Promoted, b.Predecessor)
	if err != nil {
		return nil, err
	}
	return rows.Look(p, b, a.now())
}

// lookAtShadow compares what is in shadow with the champion.
func (a *app) lookAtShadow(s heal.Shadow) (*retrain.BakeRecord, error) {
	p := a.bakePolicy()
	p.Length = a.conf.Heal.Shadow
	rows, err := a.versus(s.Challenger, s.Champion)
	if err != nil {
		return nil, err
	}
	return rows.LookAtShadow(p, s, a.now())
}

// versus are the rows that two versions are compared on.
func (a *app) versus(one, other string) (rows retrain.BakeRows, err error) {
	rows = retrain.BakeRows{Predictions: a.predictions(), Actuals: a.actuals(), Threads: a.conf.Train.Threads}
	if rows.Promoted, err = a.load(one); err != nil {
		return rows, err
	}
	rows.Predecessor, err = a.load(other)
	return rows, err
}

// watchAside looks at the bake from another job, unless healing is at work,
// which does it by itself.
func (a *app) watchAside() {
	own := a.gauges
	defer func() { a.gauges = own }() // a series is in the file of one job
	err := a.aside(func(g *retrain.Guard) error {
		in, err := a.watch(g, g.State())
		if in != nil {
			a.warn("%s was taken back, %s serves again: %s", in.Champion, in.Version, in.Reason)
			a.announceHealing(in)
		}
		if in != nil || err != nil {
			return err
		}
		if in, err = a.watchShadow(g, g.State()); in != nil {
			a.announceHealing(in)
		}
		return err
	})
	if err != nil {
		a.warn("the guard over promotions: %v", err)
	}
}

// aside runs do with the guard, from outside of the healing job; while that is
// at work nothing is done, for it sees to it by itself.
func (a *app) aside(do func(*retrain.Guard) error) error {
	err := a.guarded(0, func() error {
		g, err := retrain.OpenGuard(a.guardOptions(), a.now())
		if err != nil {
			return err
		}
		return do(g)
	})
	if errors.Is(err, durable.ErrLocked) {
		return nil
	}
	return err
}

// guardPatience is how long healing waits for another job to have had its look
// at a bake.
const guardPatience = 60 * time.Second

// guarded runs do while it holds the lock of the guard, for which it waits.
func (a *app) guarded(patience time.Duration, do func() error) (err error) {
	if err := durable.MkdirAll(a.state()); err != nil {
		return err
	}
	const pause = 50 * time.Millisecond
	lock, err := durable.Lock(filepath.Join(a.state(), "healing.lock"))
	for tries := patience / pause; errors.Is(err, durable.ErrLocked) && tries > 0; tries-- {
		time.Sleep(pause)
		lock, err = durable.Lock(filepath.Join(a.state(), "healing.lock"))
	}
	if err != nil {
		return fmt.Errorf("the guard over promotions: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	return do()
}

// followHand lets the guard know that a human moved the pointer. A promotion
// ends a freeze, also one of the version that is in force already.
func (a *app) followHand(promoted bool) {
	a.tracked = true
	err := a.aside(func(g *retrain.Guard) error {
		if !promoted {
			return nil
		}
		_, err := g.Thaw("models promote", a.now())
		return err
	})
	if err != nil {
		a.warn("the guard over promotions: %v", err)
	}
}

// thawResult is what retrain --thaw prints.
type thawResult struct {
	Action heal.Action `json:"action"` // none
	Thawed bool        `json:"thawed"`
	Phase  heal.Phase  `json:"phase"`
	Reason string      `json:"reason"`
}

// runThaw lets healing act again. A state that cannot be read is put aside.
func runThaw(a *app) error {
	g, err := retrain.OpenGuard(a.guardOptions(), a.now())
	if errors.Is(err, retrain.ErrJournal) {
		a.warn("%v; it is put aside", err)
		g, err = retrain.Reset(a.guardOptions(), a.now())
		if err != nil {
			return err
		}
		return a.printThaw(g, true, "the state of healing could not be read and begins anew")
	}
	if err != nil {
		return err
	}
	why := g.State().Why
	thawed, err := g.Thaw("retrain --thaw", a.now())
	if err != nil {
		return err
	}
	if !thawed {
		return a.printThaw(g, false, "healing was not frozen")
	}
	return a.printThaw(g, true, "healing may act again; it was frozen because "+why)
}

func (a *app) printThaw(g *retrain.Guard, thawed bool, reason string) error {
	a.gauges = guardGauges(g.State(), a.now())
	return a.print(thawResult{heal.None, thawed, g.State().Phase, reason}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, reason)
		return err
	})
}

// guardGauges are what the guard knows.
func guardGauges(s heal.State, now time.Time) []gauge {
	n, _ := s.Promotions(now)
	return []gauge{
		{"healml_healing_frozen", "1 while healing promotes nothing until a human lets it.", truth(s.Phase == heal.Frozen), nil},
		{"healml_healing_baking", "1 while a promotion is compared with its predecessor.", truth(s.Phase == heal.Baking), nil},
		{"healml_healing_shadow", "1 while a challenger is compared with the champion before it may be promoted.", truth(s.Shadow != nil), nil},
		{"healml_healing_promotions", "Promotions by healing within the last seven days.", float64(n), nil},
	}
}

// bakeGauges are what a look at a bake saw.
func bakeGauges(r *retrain.BakeRecord) []gauge {
	out := []gauge{
		{"healml_bake_rows", "Labelled rows that a promotion and its predecessor were compared on.", float64(r.Verdict.Rows), nil},
		{"healml_bake_worse", "1 when the promotion was proven worse than its predecessor.", truth(r.Verdict.Outcome == heal.BakeWorse), nil},
	}
	if r.Verdict.Blocks > 0 {
		out = append(out,
			gauge{"healml_bake_loss", "Mean loss in the bake.", r.Verdict.Promoted, []string{"version", "promoted"}},
			gauge{"healml_bake_loss", "Mean loss in the bake.", r.Verdict.Predecessor, []string{"version", "predecessor"}},
		)
	}
	return out
}

// barred is what keeps healing from beginning, nil when nothing does.
func (a *app) barred(o retrainOptions, s heal.State) *retrain.Barrier {
	if _, ok := heal.Permit(a.limits(), s, a.now()); ok || o.force && s.Phase != heal.Frozen {
		return nil
	}
	return &retrain.Barrier{State: s, Limits: a.limits(), At: a.now().UTC()}
}

// unreadable is the state while its files cannot be read: nothing is promoted.
func unreadable(err error, now time.Time) heal.State {
	return heal.State{Phase: heal.Frozen, Since: now.UTC(), Why: err.Error()}
}

// explanation is what retrain --explain prints.
type explanation struct {
	*retrain.Incident
	Conditions []heal.Condition `json:"conditions"`
}

// runExplain says what keeps healing from promoting anything, and what would
// let it. Nothing is changed.
func runExplain(ctx context.Context, a *app, o retrainOptions) error {
	o.dryRun, o.explain = true, true
	s, err := retrain.ReadGuard(a.guardOptions())
	if errors.Is(err, retrain.ErrJournal) {
		s = unreadable(err, a.now())
	} else if err != nil {
		return err
	}
	in, err := a.heal(ctx, o)
	if err != nil {
		return err
	}
	var trials []heal.Trial
	chosen := -1
	for i, t := range in.Trials {
		trials = append(trials, t.Trial)
		if t.Cure == in.Cure && in.Action == heal.Retrain {
			chosen = i
		}
	}
	e := explanation{in, heal.Explain(in.Policy, a.limits(), s, *in.Evidence, in.Rows > 0, trials, chosen)}
	if b := a.barred(o, s); b != nil {
		in.Action = heal.None
		in.Reason, _ = heal.Permit(b.Limits, b.State, b.At)
	}
	return a.print(e, func(w io.Writer) error {
		fmt.Fprintf(w, "%s\n\n", in.Reason)
		for _, c := range e.Conditions {
			mark := "yes"
			if !c.OK {
				mark = "NO"
			}
			fmt.Fprintf(w, "%-9s %-4s %s\n", c.Name, mark, c.Now)
			if c.Needed != "" {
				fmt.Fprintf(w, "%14s needed: %s\n", "", c.Needed)
			}
		}
		return nil
	})
}

// healingStatus is what status says of the guard.
type healingStatus struct {
	Phase      heal.Phase    `json:"phase"`
	Since      time.Time     `json:"since,omitzero"`
	Why        string        `json:"why,omitempty"`
	Bake       *heal.Bake    `json:"bake,omitempty"`
	Shadow     *heal.Shadow  `json:"shadow,omitempty"`
	LastBake   *heal.BakeEnd `json:"last_bake,omitempty"`
	Promotions int           `json:"promotions_this_week"`
}

func (a *app) healingStatus() *healingStatus {
	s, err := retrain.ReadGuard(a.guardOptions())
	if err != nil {
		s = unreadable(err, a.now())
		s.Since = time.Time{}
	}
	n, _ := s.Promotions(a.now())
	return &healingStatus{s.Phase, s.Since, s.Why, s.Bake, s.Shadow, s.Passed, n}
}

func (h *healingStatus) text(w io.Writer) {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	switch h.Phase {
	case heal.Frozen:
		fmt.Fprint(w, "guard     FROZEN")
		if !h.Since.IsZero() {
			fmt.Fprintf(w, " since %s", at(h.Since))
		}
		fmt.Fprintf(w, ": %s; when you have looked at it: healml retrain --thaw\n", h.Why)
	case heal.Baking:
		fmt.Fprintf(w, "guard     %s is compared with %s since %s\n", h.Bake.Promoted, h.Bake.Predecessor, at(h.Bake.Began))
	default:
		fmt.Fprint(w, "guard     steady")
		if h.LastBake != nil {
			fmt.Fprintf(w, "; %s passed its bake at %s: %s", h.LastBake.Promoted, at(h.LastBake.At), h.LastBake.Why)
		}
		fmt.Fprintln(w)
	}
	if s := h.Shadow; s != nil {
		fmt.Fprintf(w, "shadow    %s is compared with %s since %s, before it may be promoted\n", s.Challenger, s.Champion, at(s.Began))
	}
}

// reportSources is a report with its digest; nothing when there is none.
func (a *app) reportSources(r *monitor.Report) []retrain.Source {
	if r == nil {
		return nil
	}
	sum, err := fileDigest(filepath.Join(a.reports(), r.ReportID, "report.json"))
	if err != nil {
		return nil
	}
	return []retrain.Source{{ID: r.ReportID, SHA256: sum}}
}
