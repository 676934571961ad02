package heal

import (
	"fmt"
	"strings"
)

// Condition is one thing that must hold before healing promotes anything.
type Condition struct {
	Name   string `json:"name"` // freeze, budget, cooldown, reason, labels, proof
	OK     bool   `json:"ok"`
	Now    string `json:"now"`              // how it stands
	Needed string `json:"needed,omitempty"` // what would make it hold; empty when it does
}

// Explain says of each condition whether it holds, in the order in which they
// are looked at. counted says whether labels were counted, and chosen the index
// of the trial that [Choose] took, −1 for none.
func Explain(p Policy, l Limits, s State, e Evidence, counted bool, trials []Trial, chosen int) []Condition {
	out := []Condition{freezeCondition(s), budgetCondition(l, s, e), cooldownCondition(p, e), reasonCondition(p, e, counted), labelsCondition(p, e, counted)}
	out = append(out, proofCondition(p, trials, chosen))
	if s.Shadow != nil {
		out = append(out, shadowCondition(*s.Shadow))
	}
	return out
}

func shadowCondition(s Shadow) Condition {
	return Condition{
		Name: "shadow", Now: fmt.Sprintf("%s is compared with %s since %s", s.Challenger, s.Champion, stamp(s.Began)),
		Needed: "actuals of rows predicted since, or a human: healml models promote " + s.Challenger,
	}
}

func freezeCondition(s State) Condition {
	if s.Phase == Frozen {
		return Condition{"freeze", false, fmt.Sprintf("frozen since %s: %s", stamp(s.Since), s.Why), "a human who looked at it: healml retrain --thaw"}
	}
	now := "healing is free to act"
	if s.Phase == Baking {
		now = fmt.Sprintf("%s is compared with %s since %s; a better one may still be promoted", s.Bake.Promoted, s.Bake.Predecessor, stamp(s.Bake.Began))
	}
	return Condition{Name: "freeze", OK: true, Now: now}
}

func budgetCondition(l Limits, s State, e Evidence) Condition {
	n, oldest := s.Promotions(e.Now)
	c := Condition{Name: "budget", OK: l.PerWeek == 0 || n < l.PerWeek || e.Forced, Now: fmt.Sprintf("%d promotions within seven days, %d may be", n, l.PerWeek)}
	if l.PerWeek == 0 {
		c.Now = fmt.Sprintf("%d promotions within seven days, without a bound", n)
	}
	if !c.OK {
		c.Needed = "to wait until " + stamp(oldest.Add(week))
	}
	return c
}

func cooldownCondition(p Policy, e Evidence) Condition {
	until := e.Promoted.Add(p.Cooldown)
	c := Condition{Name: "cooldown", OK: e.Forced || !e.Now.Before(until), Now: fmt.Sprintf("the champion took over at %s, the cooldown ended at %s", stamp(e.Promoted), stamp(until))}
	if !c.OK {
		c.Now = fmt.Sprintf("the champion took over at %s, the cooldown ends at %s", stamp(e.Promoted), stamp(until))
		c.Needed = "to wait until then, or --force"
	}
	return c
}

func reasonCondition(p Policy, e Evidence, counted bool) Condition {
	free := p
	free.Cooldown = 0 // it is a condition of its own
	reasons := Assess(free, e).Reasons
	if len(reasons) > 0 {
		return Condition{Name: "reason", OK: true, Now: strings.Join(reasons, "; ")}
	}
	var ways []string
	ways = append(ways, "a drift report that finds drift")
	if p.MaxAge > 0 {
		ways = append(ways, fmt.Sprintf("the champion to be older than %s (it is %s)", days(p.MaxAge), days(e.Now.Sub(e.Promoted))))
	}
	if p.NewLabels > 0 && counted {
		ways = append(ways, fmt.Sprintf("%.0f labelled rows that are new to it (%d are)", p.NewLabels*float64(max(e.Learnt, 1)), e.Labels))
	}
	return Condition{"reason", false, "none", strings.Join(append(ways, "or --force"), ", ")}
}

func labelsCondition(p Policy, e Evidence, counted bool) Condition {
	c := Condition{Name: "labels", OK: counted && e.Labels >= p.MinLabels, Now: "not counted"}
	if counted {
		c.Now = fmt.Sprintf("%d labelled rows are newer than what the champion learnt from, %d are needed", e.Labels, p.MinLabels)
	}
	if counted && e.blind() && len(Assess(p, e).Reasons) == len(e.Reasons) {
		return Condition{c.Name, false, fmt.Sprintf("the newest is of %s, the change began at %s", stamp(e.Labelled), stamp(e.Began)), "an actual of a row that is younger than the change"}
	}
	if !c.OK {
		c.Needed = fmt.Sprintf("actuals of %d more rows", p.MinLabels-e.Labels)
		if !counted {
			c.Needed = "the cooldown to end"
		}
	}
	return c
}

func proofCondition(p Policy, trials []Trial, chosen int) Condition {
	if len(trials) == 0 {
		return Condition{"proof", false, "no cure was tried", "the conditions above"}
	}
	_, why := Choose(p, trials)
	c := Condition{Name: "proof", OK: chosen >= 0, Now: why}
	if chosen < 0 {
		c.Needed = fmt.Sprintf("a cure whose gain is above %.3g %% of the champion's loss with its whole interval: more labels make it narrower", 100*p.Margin)
	}
	return c
}
