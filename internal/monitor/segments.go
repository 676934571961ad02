package monitor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
)

const (
	segmentColumns  = 6    // of levels that rows are parted by, and drifted ones that are looked into
	segmentLevels   = 60   // of such a column, at most
	segmentRows     = 30   // current rows of a segment, at least
	segmentShare    = 0.9  // of the current rows, at most: the rest must be able to speak
	segmentExplains = 0.5  // least part of the change
	segmentAsGood   = 0.9  // of the best explanation, from which a smaller segment is preferred
	segmentCells    = 32   // that a column's distribution is looked at by
	segmentChange   = 1e-4 // least distance that is worth an explanation
)

// leftOut marks rows that are before a change, −1 missing values.
const leftOut = -2

// partition parts the sampled rows of both sides by the levels of one column
// or of two.
type partition struct {
	columns  []*job
	ref, cur []int32 // part of each row, −1 for none
	parts    int
}

// segments looks for the parts of the rows that carry the changes of drifted
// columns.
func (w *watch) segments(found []*job) []Segment {
	singles := w.singles()
	out := []Segment{}
	for _, j := range found[:min(len(found), segmentColumns)] {
		p, _ := j.compared.ChangePoint()
		if s, ok := w.segmentOf(j, p.Lo, singles); ok {
			out = append(out, s)
		}
	}
	return out
}

// singles part the rows by the level columns with few levels, the first of
// them.
func (w *watch) singles() (out []partition) {
	for _, j := range w.jobs {
		if j.kind == schema.Numeric || j.prediction || j.curIndex < 0 || len(j.dict.names) < 2 || len(j.dict.names) > segmentLevels || len(out) == segmentColumns {
			continue
		}
		out = append(out, partition{
			columns: []*job{j}, parts: len(j.dict.names),
			ref: new(coder).of(j.ref, &j.dict), cur: new(coder).of(j.cur, &j.dict),
		})
	}
	return out
}

// cross parts the rows by two partitions at once.
func cross(a, b partition) partition {
	join := func(x, y []int32) []int32 {
		out := make([]int32, len(x))
		for i := range out {
			if out[i] = -1; x[i] >= 0 && y[i] >= 0 {
				out[i] = x[i]*int32(b.parts) + y[i]
			}
		}
		return out
	}
	return partition{append(slices.Clip(a.columns), b.columns...), join(a.ref, b.ref), join(a.cur, b.cur), a.parts * b.parts}
}

// segmentOf finds the smallest part of the rows that explains about as much of
// a column's change as any.
func (w *watch) segmentOf(j *job, step int, singles []partition) (best Segment, ok bool) {
	cellsRef, cellsCur, cells := w.cellsOf(j)
	if len(w.curStep) == len(cellsCur) {
		for i, s := range w.curStep {
			if int(s) < step {
				cellsCur[i] = leftOut
			}
		}
	}
	var all []Segment
	top := 0.0
	try := func(p partition) {
		for _, s := range explain(p, cellsRef, cellsCur, cells) {
			all = append(all, s)
			top = max(top, float64(s.Explains))
		}
	}
	for i, a := range singles {
		if a.columns[0] == j {
			continue
		}
		try(a)
		for _, b := range singles[i+1:] {
			if b.columns[0] != j {
				try(cross(a, b))
			}
		}
	}
	for _, s := range all {
		if float64(s.Explains) >= segmentAsGood*top && (!ok || s.Share < best.Share) {
			best, ok = s, true
		}
	}
	if ok {
		best.Column = j.name
		best.Rows = int(float64(best.Share) * float64(j.rows()))
		best.Text = best.sentence()
	}
	return best, ok
}

func (s *Segment) sentence() string {
	var where []string
	for _, c := range s.Where {
		where = append(where, fmt.Sprintf("%s is %q", c.Column, present.Cut(c.Level, longLevel)))
	}
	return fmt.Sprintf("the change of %s sits in the %s of the rows where %s: without them, %s of it is gone",
		s.Column, present.Percent(float64(s.Share)), strings.Join(where, " and "), present.Percent(float64(s.Explains)))
}

// cellsOf are the cells, few enough, of a column's sampled values; −1 for
// missing.
func (w *watch) cellsOf(j *job) (ref, cur []int32, cells int) {
	if j.kind != schema.Numeric {
		ref, cur = slices.Clone(new(coder).of(j.ref, &j.dict)), slices.Clone(new(coder).of(j.cur, &j.dict))
		for _, v := range [][]int32{ref, cur} {
			for i, k := range v {
				v[i] = min(k, segmentCells-1)
			}
		}
		return ref, cur, segmentCells
	}
	of := func(v []float64) []int32 {
		out := make([]int32, len(v))
		for i, x := range v {
			if out[i] = -1; x == x {
				out[i] = int32(j.grid.Tenth(x))
			}
		}
		return out
	}
	a, _ := numbersOf(j.ref)
	b, _ := numbersOf(j.cur)
	return of(a), of(b), j.grid.Tenths()
}

// explain measures for every part of the rows how much of the distance of the
// column's distributions is gone when the part is left out of both sides.
func explain(p partition, ref, cur []int32, cells int) (out []Segment) {
	count := func(cell, part []int32) (by [][]float64, all []float64) {
		by, all = make([][]float64, p.parts), make([]float64, cells+1)
		for i, c := range cell {
			switch c {
			case leftOut:
				continue
			case -1:
				c = int32(cells)
			}
			all[c]++
			if k := part[i]; k >= 0 {
				if by[k] == nil {
					by[k] = make([]float64, cells+1)
				}
				by[k][c]++
			}
		}
		return by, all
	}
	if len(ref) != len(p.ref) || len(cur) != len(p.cur) {
		return nil
	}
	a, allA := count(ref, p.ref)
	b, allB := count(cur, p.cur)
	whole := excess(allA, allB)
	if whole < segmentChange {
		return nil
	}
	rows := total(allB)
	for k, n := range b {
		if n == nil || total(n) < segmentRows || total(n) > segmentShare*rows {
			continue
		}
		e := 1 - excess(without(allA, a[k]), without(allB, n))/whole
		if e < segmentExplains {
			continue
		}
		s := Segment{Share: Number(total(n) / rows), Explains: Number(min(e, 1))}
		for i, c := range p.columns {
			level := k
			if len(p.columns) == 2 {
				parts := len(p.columns[1].dict.names)
				level = []int{k / parts, k % parts}[i]
			}
			s.Where = append(s.Where, Condition{c.name, c.dict.names[level]})
		}
		out = append(out, s)
	}
	return out
}

func without(all, part []float64) []float64 {
	out := slices.Clone(all)
	for i, n := range part {
		out[i] -= n
	}
	return out
}

// excess is the χ² distance Σ (p−q)²/(p+q) of two distributions, less what
// chance gives it on average, at least 0.
func excess(a, b []float64) float64 {
	n, m := total(a), total(b)
	if n == 0 || m == 0 {
		return 0
	}
	p, q := drift.Shares(a), drift.Shares(b)
	sum, cells := 0.0, 0.0
	for i := range p {
		if s := p[i] + q[i]; s > 0 {
			sum += (p[i] - q[i]) * (p[i] - q[i]) / s
			cells++
		}
	}
	return math.Max(sum-(cells-1)*(1/n+1/m)/2, 0)
}
