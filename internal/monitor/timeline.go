package monitor

import (
	"strconv"
	"time"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
)

// date dates the beginning of a drifted column's change, and describes what it
// became.
func (w *watch) date(j *job) *Change {
	p, ok := j.compared.ChangePoint()
	c := j.change(j.since(p.Step, w.curStep))
	if ok {
		c.Since = &Since{At: stamp(w.cur, p.Step), Lo: stamp(w.cur, p.Lo), Hi: stamp(w.cur, p.Hi), Before: p.Lo == w.first()}
	}
	return c
}

// first is the first step of the current rows that has any.
func (w *watch) first() int {
	for i, rows := range w.cur.Rows {
		if rows > 0 {
			return i
		}
	}
	return 0
}

// stamp is when a step begins, or its first row where no time is known.
func stamp(s *drift.Steps, step int) string {
	if s.Width == 0 {
		return strconv.FormatInt(s.Start(step), 10)
	}
	return time.UnixMicro(s.Start(step)).UTC().Format(time.RFC3339)
}

// strength is the greatest score of a column's tests, each over what the column
// moves by itself.
func (c *Column) strength() (s Number) {
	for _, t := range c.Tests {
		s = max(s, t.Z/t.Inflation, -t.Z/t.Inflation)
	}
	return s
}

// mostSteps is the number of steps of a timeline.
const mostSteps = 60

// timeline joins the steps of one side until there are few enough to draw:
// which step of the timeline each belongs to, and those.
func timeline(s *drift.Steps) (place []int, steps []Step, each int) {
	n := s.Len()
	if n == 0 {
		return nil, []Step{}, 1
	}
	place = make([]int, n)
	if s.Width == 0 {
		each = (n + mostSteps - 1) / mostSteps
		for i := range place {
			place[i] = i / each
		}
	} else {
		gap := spacing(s)
		each = int((s.Span()/gap+mostSteps)/mostSteps) * int(gap)
		for i := range place {
			place[i] = int(s.Cell(i)-s.Cell(0)) / each
		}
	}
	steps = make([]Step, place[n-1]+1)
	for i, k := range place {
		if steps[k].From == "" {
			steps[k].From = stamp(s, i)
		}
		steps[k].Rows += s.Rows[i]
	}
	for k := range steps {
		if steps[k].From == "" { // no row at all
			steps[k].From = time.UnixMicro(s.Start(0) + int64(k*each)*s.Width).UTC().Format(time.RFC3339)
		}
	}
	return place, steps, each
}

// spacing is the least distance of stretches of time with rows: days, of rows
// that are dated by the day.
func spacing(s *drift.Steps) int64 {
	least := s.Span()
	for i := 1; i < s.Len(); i++ {
		if d := s.Cell(i) - s.Cell(i-1); d > 0 {
			least = min(least, d)
		}
	}
	return max(least, 1)
}

// timeline draws both sides.
func (w *watch) timeline(r *Report) {
	var a, b int
	w.refPlace, w.then, a = timeline(w.ref)
	w.curPlace, w.now, b = timeline(w.cur)
	r.Timeline = &Timeline{Step: stepName(w.ref, a), Then: w.then, Now: w.now}
	if name := stepName(w.cur, b); name != r.Timeline.Step {
		r.Timeline.Step += ", then " + name
	}
}

// stepName says how long steps joined each by each are.
func stepName(s *drift.Steps, each int) string {
	if s.Width == 0 {
		rows := 1
		if len(s.Rows) > 0 {
			rows = s.Rows[0]
		}
		return strconv.Itoa(each*rows) + " rows"
	}
	d := time.Duration(s.Width*int64(each)) * time.Microsecond
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// trend is the figure of a column that its strongest test looks at, by step.
func (w *watch) trend(j *job) *Trend {
	missing := j.presence || j.compared.Strongest().Name == "missing" && j.column.Drift
	side := func(t *tally, place []int, steps []Step) (string, []Number) {
		sum, rows := make([]float64, len(steps)), make([]float64, len(steps))
		name := "mean"
		var part, of []float64
		switch {
		case missing:
			name = "missing"
			part, of = t.missingByStep()
		case t.numbers != nil:
			part, of = t.numbers.SumsByStep()
		default:
			k := j.trendLevel()
			name = "share of " + strconv.Quote(present.Cut(j.level(k), longLevel))
			part, of = t.levels.LevelByStep(k)
		}
		for i, k := range place {
			sum[k] += part[i]
			rows[k] += of[i]
		}
		out := make([]Number, len(steps))
		for k := range out {
			out[k] = Number(sum[k] / rows[k])
		}
		return name, out
	}
	tr := &Trend{}
	tr.Of, tr.Then = side(&j.then, w.refPlace, w.then)
	_, tr.Now = side(&j.now, w.curPlace, w.now)
	return tr
}
