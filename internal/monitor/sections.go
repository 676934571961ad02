package monitor

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
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
	t := &timelineView{Step: cut(printable(l.Step), longLevel), ThenGrow: x.then, NowGrow: x.now, ThenFrom: firstOf(l.Then), NowFrom: firstOf(l.Now)}
	t.TopThen, t.EmptyThen = most(l.Then)
	t.TopNow, t.EmptyNo = most(l.Now)
	if x.then > 0 {
		t.ThenTo = when(l.Then[x.then-1].From)
	}
	if x.now > 0 {
		t.NowTo = when(l.Now[x.now-1].From)
	}
	t.Rows = rowsDrawing(l, x, t.TopThen, t.TopNow, nil, fmt.Sprintf("Rows a step: up to %s in the reference, up to %s now", thousands(t.TopThen), thousands(t.TopNow)))
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

// stands is how the metric stands: on the holdout, on labelled rows, estimated.
type stands struct {
	Rows       []standRow
	Lo, Hi     string // the ends of the drawings
	Told       []string
	Segments   []segmentView
	Tolerance  float64
	HasHoldout bool
}

type standRow struct {
	What, Metric string
	Drift        bool
	Then         Number
	interval
	N       int
	Drawing template.HTML
}

// Now, Lo and Hi are the value and its bounds.
func (s standRow) Now() Number { return s.now }

// Lo is the lower bound.
func (s standRow) Lo() Number { return s.lo }

// Hi is the upper bound.
func (s standRow) Hi() Number { return s.hi }

func (r *Report) stands() *stands {
	s := &stands{Tolerance: r.Settings.Tolerance}
	if p := r.Performance; p != nil {
		s.Rows = append(s.Rows, standRow{"labelled rows", printable(string(p.Metric)), p.Drift, p.Then, interval{p.Now, p.Lo, p.Hi, p.Then, r.tolerated(p.Metric.HigherIsBetter(), p.Then)}, p.Labeled, ""})
		verb := "is within what is tolerated"
		if p.Drift {
			verb = "is worse than tolerated, with its whole interval"
		}
		s.Told = append(s.Told, fmt.Sprintf("Where the truth is known, the metric %s.", verb))
	}
	if e := r.Estimate; e != nil {
		s.Rows = append(s.Rows, standRow{"estimate, no truth yet", printable(string(e.Metric)), e.Drift, e.Then, interval{e.Now, e.Lo, e.Hi, e.Then, r.tolerated(e.Metric.HigherIsBetter(), e.Then)}, e.Rows, ""})
		s.Told = append(s.Told, e.told())
	}
	var all []Number
	for _, row := range s.Rows {
		all = append(all, row.now, row.lo, row.hi, row.then, row.limit)
		s.HasHoldout = s.HasHoldout || !math.IsNaN(float64(row.then))
	}
	if lo, hi, ok := span(all); ok {
		pad := max((hi-lo)*0.08, math.Abs(hi)*1e-6, 1e-9)
		for i := range s.Rows {
			s.Rows[i].Drawing = intervalDrawing(s.Rows[i].interval, lo-pad, hi+pad)
		}
	}
	for i := range r.Segments { // those of the metric, not of a column that is shown
		if name := r.Segments[i].Column; r.Columns[name] == nil && r.Prediction[name] == nil && !slices.ContainsFunc(r.Segments[:i], func(b Segment) bool { return b.Column == name }) {
			s.Segments = append(s.Segments, r.segmentsOf(name)...)
		}
	}
	if len(s.Rows)+len(s.Segments) == 0 {
		return nil
	}
	return s
}

// tolerated is the value beyond which the metric drifts.
func (r *Report) tolerated(higher bool, then Number) Number {
	t := Number(r.Settings.Tolerance)
	if higher {
		return then - t*(1-then)
	}
	return then + t*Number(math.Abs(float64(then)))
}

// told says how the estimate was made and how far earlier ones could be trusted.
func (e *Estimate) told() string {
	s := fmt.Sprintf("On %s rows without truth the metric is estimated (%s).", thousands(e.Rows), printable(e.Method))
	if e.Drift {
		s = fmt.Sprintf("On %s rows without truth the metric is estimated (%s) to be worse than tolerated.", thousands(e.Rows), printable(e.Method))
	}
	if c := e.Record; c != nil && c.Checked > 0 {
		s += fmt.Sprintf(" Of %d earlier estimates %d held the truth that came in", c.Checked, c.Covered)
		if !math.IsNaN(float64(c.Error)) {
			s += fmt.Sprintf("; they were %s off on average", percent(float64(c.Error)))
		}
		s += "."
	} else {
		s += " No earlier estimate could be checked yet."
	}
	return s
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
		a.Told = fmt.Sprintf("A classifier tells current rows from the reference with an AUC of %s; stretches of the reference reach %s among each other.", known(short)(d.AUC), known(short)(d.Null))
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
		g := draw("bars", 200, "")
		if x, ok := at(float64(w.Weight), 0, 1, g.wide); ok {
			g.rect("track", 0, 25, g.wide, 50)
			g.rect("b", 0, 25, x, 50)
		}
		a.By = append(a.By, weightView{cut(shown(w.Column), longName), w.Weight, g.html()})
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
	return strings.ReplaceAll(printable(m), "_", " ")
}
