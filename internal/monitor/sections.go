package monitor

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/present"
)

// timelineView is the rows by step with the beginnings of changes below.
type timelineView struct {
	Step               string
	Rows               template.HTML
	ThenGrow, NowGrow  int
	ThenFrom, NowFrom  string
	ThenTo, NowTo      string
	TopThen, TopNow    int
	Lanes              []lane
	More               int
	EmptyThen, EmptyNo int // steps without rows
}

// lane is one column whose change can be dated; Card is the id of its card.
type lane struct {
	Card, Name, Since string
	Drawing           template.HTML
	at                float64
}

func (r *Report) timeline(v *view) *timelineView {
	l := r.Timeline
	if l == nil || len(l.Then)+len(l.Now) == 0 {
		return nil
	}
	x := axis{len(l.Then), len(l.Now)}
	t := &timelineView{Step: stepWords(l.Step), ThenGrow: x.then, NowGrow: x.now, ThenFrom: firstOf(l.Then), NowFrom: firstOf(l.Now)}
	t.TopThen, t.EmptyThen = most(l.Then)
	t.TopNow, t.EmptyNo = most(l.Now)
	if x.then > 0 {
		t.ThenTo = when(l.Then[x.then-1].From)
	}
	if x.now > 0 {
		t.NowTo = when(l.Now[x.now-1].From)
	}
	t.Rows = rowsDrawing(l, x, t.TopThen, t.TopNow, nil, fmt.Sprintf("Rows a step: up to %s in the reference, up to %s now", present.Thousands(t.TopThen), present.Thousands(t.TopNow)))
	for _, c := range v.Cards {
		if p := l.place(c.column.since()); p != nil {
			t.Lanes = append(t.Lanes, lane{c.ID, c.Name, c.Since, laneDrawing(x, p), p.At})
		}
	}
	slices.SortStableFunc(t.Lanes, func(a, b lane) int { return cmp.Compare(a.at, b.at) })
	if n := len(t.Lanes); n > mostLanes {
		t.Lanes = t.Lanes[:mostLanes]
	}
	t.More = len(v.Cards) + len(v.Brief) - len(t.Lanes)
	return t
}

// most is the greatest number of rows of a step, and how many have none.
func most(s []Step) (top, empty int) {
	for _, step := range s {
		top = max(top, step.Rows)
		if step.Rows == 0 {
			empty++
		}
	}
	return top, empty
}

// apart is what the domain classifier found.
type apart struct {
	*Domain
	Told    string
	Drawing template.HTML
	From    Number // where the drawing begins; it ends at 1
	By      []weightView
	More    int
}

type weightView struct {
	Column string
	Weight Number
	Bar    template.HTML
}

func (r *Report) apart() *apart {
	d := r.Domain
	if d == nil {
		return nil
	}
	a := &apart{Domain: d, Told: "All columns together look as they did: a classifier tells current rows from the reference no better than stretches of the reference from each other."}
	switch {
	case math.IsNaN(float64(d.AUC)):
		a.Told = "There were too few rows to tell whether a classifier tells them apart."
	case d.Drift:
		a.Told = fmt.Sprintf("A classifier tells current rows from the reference with an AUC of %s; stretches of the reference reach %s among each other.", known(present.Short)(d.AUC), known(present.Short)(d.Null))
	}
	lo := 0.5
	for _, n := range []Number{d.AUC, d.Lo, d.Null} {
		if n > 0 {
			lo = min(lo, float64(n))
		}
	}
	lo = math.Floor(lo*10) / 10
	a.From = Number(lo)
	a.Drawing = intervalDrawing(interval{d.AUC, d.Lo, d.Hi, d.Null, nanNumber()}, lo, 1)
	for _, w := range d.By[:min(len(d.By), mostParts)] {
		a.By = append(a.By, weightView{present.Cut(present.Shown(w.Column), longName), w.Weight, present.Bar(float64(w.Weight))})
	}
	a.More = len(d.By) - len(a.By)
	return a
}

func nanNumber() Number { return Number(math.NaN()) }

// pairView is how two columns go together.
type pairView struct {
	Dependence
	Name    string // of the measure
	Drawing template.HTML
}

// pairs are the dependences, drifted first.
func (v *view) pairs() {
	all := slices.Clone(v.Dependence)
	slices.SortStableFunc(all, func(a, b Dependence) int {
		switch {
		case a.Drift == b.Drift:
			return 0
		case a.Drift:
			return -1
		}
		return 1
	})
	for _, d := range all[:min(len(all), mostPairs)] {
		lo := -1.0
		if d.Measure != "spearman" {
			lo = 0
		}
		v.Pairs = append(v.Pairs, pairView{d, measureName(d.Measure), pairDrawing(d.Then, d.Now, lo, 1)})
	}
	v.MorePairs = len(all) - len(v.Pairs)
}

func measureName(m string) string {
	switch m {
	case "spearman":
		return "rank correlation"
	case "cramers_v":
		return "Cramér's V"
	}
	return strings.ReplaceAll(present.Printable(m), "_", " ")
}
