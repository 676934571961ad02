package monitor

import (
	"strconv"
	"time"

	"github.com/healml/healml/internal/drift"
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
