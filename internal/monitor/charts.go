package monitor

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/present"
)

// span is the least and the greatest finite number; ok is false without any.
func span(v ...[]Number) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range v {
		for _, n := range s {
			if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
				lo, hi = min(lo, f), max(hi, f)
			}
		}
	}
	return lo, hi, lo <= hi
}

// skyline is the outline of bars of equal width, closed along the ground.
func skyline(v []float64, top float64, wide int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M0 %d", present.High)
	for i, x := range v {
		y := present.High
		if h, ok := present.At(x, 0, top, present.High); ok {
			y -= h
		}
		fmt.Fprintf(&b, "V%dH%d", y, (i+1)*wide/len(v))
	}
	fmt.Fprintf(&b, "V%d", present.High)
	return b.String()
}

// histogramDrawing shows shares of equal bins, then as a filled hill and now as
// a line over it, at most n bins; empty when no share is known.
func histogramDrawing(h *Histogram, class string, n int, label string) template.HTML {
	then, now := merge(h.Then, n), merge(h.Now, n)
	if len(then) == 0 || len(now) == 0 {
		return ""
	}
	top := 0.0
	for _, v := range append(append([]float64{}, then...), now...) {
		top = max(top, v)
	}
	if top == 0 {
		return ""
	}
	d := present.Draw(class, 240, label)
	d.Path("a", skyline(then, top, d.Wide))
	d.Path("b", skyline(now, top, d.Wide))
	return d.HTML()
}

// levelsDrawing is a small picture of the shares of levels: each a pair of bars.
func levelsDrawing(ls []LevelPair, class string) template.HTML {
	top := 1e-12
	for _, l := range ls {
		for _, n := range []Number{l.Then, l.Now} {
			if n > 0 {
				top = max(top, float64(n))
			}
		}
	}
	d := present.Draw(class, 240, "")
	step := d.Wide / len(ls)
	for i, l := range ls {
		if h, ok := present.At(float64(l.Then), 0, top, present.High); ok && h > 0 {
			d.Rect("a", i*step+step/8, present.High-h, 3*step/8, h)
		}
		if h, ok := present.At(float64(l.Now), 0, top, present.High); ok && h > 0 {
			d.Rect("b", i*step+step/2, present.High-h, 3*step/8, h)
		}
	}
	return d.HTML()
}

// bars are a level's shares: then above, now below, on a scale up to top.
func bars(then, now Number, top float64) template.HTML {
	d := present.Draw("bars", 200, "")
	for i, n := range []Number{then, now} {
		if w, ok := present.At(float64(n), 0, top, d.Wide); ok && w > 0 {
			d.Rect([...]string{"a", "b"}[i], 0, 12+40*i, max(w, 1), 34)
		}
	}
	return d.HTML()
}

// The units of a step and of the gap between then and now.
const (
	stepWide = 10
	gapWide  = 20
)

// axis is the time under a drawing: the steps of either sample side by side.
type axis struct{ then, now int }

func (x axis) wide() int { return stepWide*(x.then+x.now) + x.gap() }

// gap parts the samples where there are two.
func (x axis) gap() int {
	if x.then == 0 || x.now == 0 {
		return 0
	}
	return gapWide
}

// start is where the current rows begin.
func (x axis) start() int { return stepWide*x.then + x.gap() }

// stepLine joins the values of steps, and breaks where there is none: where
// more steps are without a value than is usual for these rows.
func stepLine(v []Number, from int, lo, hi float64) string {
	var b strings.Builder
	last, usual := -len(v)-1, stride(v)
	for i, n := range v {
		y, ok := present.At(float64(n), lo, hi, present.High-10)
		if !ok {
			continue
		}
		x := from + stepWide*i + stepWide/2
		switch {
		case i-last <= usual:
			fmt.Fprintf(&b, "L%d %d", x, present.High-5-y)
		default: // the stroke of no length shows a value that stands alone
			fmt.Fprintf(&b, "M%d %dh0", x, present.High-5-y)
		}
		last = i
	}
	return b.String()
}

// stride is the usual number of steps from one value to the next, at least 1:
// 7 for what comes once a week and is drawn by day. Of seven gaps at most one
// is not usual.
func stride(v []Number) int {
	var gaps []int
	last := -1
	for i, n := range v {
		if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		if last >= 0 {
			gaps = append(gaps, i-last)
		}
		last = i
	}
	if len(gaps) == 0 {
		return 1
	}
	slices.Sort(gaps)
	return gaps[len(gaps)*85/100]
}

// trendDrawing shows a figure by step, then | now, with the level of then
// carried on as a dashed line and the beginning of the change marked.
func trendDrawing(t *Trend, x axis, lo, hi float64, mark *place, label string) template.HTML {
	if hi == lo {
		pad := max(math.Abs(lo)/10, 1e-9)
		lo, hi = lo-pad, hi+pad
	}
	d := present.Draw("chart", max(x.wide(), 1), label)
	mark.mark(d, x)
	if level, ok := present.At(average(t.Then), lo, hi, present.High-10); ok && x.now > 0 {
		d.Path("level", fmt.Sprintf("M0 %dH%d", present.High-5-level, d.Wide))
	}
	d.Path("ta", stepLine(t.Then, 0, lo, hi))
	d.Path("tb", stepLine(t.Now, x.start(), lo, hi))
	return d.HTML()
}

func average(v []Number) float64 {
	sum, n := 0.0, 0
	for _, x := range v {
		if f := float64(x); !math.IsNaN(f) {
			sum, n = sum+f, n+1
		}
	}
	return sum / float64(n)
}

// place is where a change began, in steps of the current rows; Lo ≤ At ≤ Hi.
type place struct{ At, Lo, Hi float64 }

func (p *place) mark(d *present.Drawing, x axis) {
	if p == nil {
		return
	}
	to := func(v float64) int { return x.start() + int(math.Round(v*stepWide)) }
	d.Rect("band", to(p.Lo), 0, max(to(p.Hi)-to(p.Lo), 2), present.High)
	d.Line("mark", to(p.At))
}

// place finds a beginning on the timeline; nil when it is not on it.
func (t *Timeline) place(s *Since) *place {
	if t == nil || s == nil || len(t.Now) == 0 {
		return nil
	}
	p, ok := t.step(s.At)
	if !ok {
		if !s.Before {
			return nil
		}
		p = 0
	}
	out := &place{p, p, p}
	if lo, ok := t.step(s.Lo); ok {
		out.Lo = min(lo, p)
	}
	if hi, ok := t.step(s.Hi); ok {
		out.Hi = max(hi, p)
	}
	return out
}

// step places a moment among the current steps, in [0, len(t.Now)].
func (t *Timeline) step(moment string) (float64, bool) {
	v, timed, ok := momentOf(moment)
	if !ok {
		return 0, false
	}
	last, lastStep := 0.0, 0.0
	for i, s := range t.Now {
		from, sameKind, ok := momentOf(s.From)
		if !ok || sameKind != timed {
			return 0, false
		}
		if v < from {
			if i == 0 {
				return 0, true
			}
			return float64(i-1) + (v-last)/(from-last), true
		}
		if i > 0 {
			lastStep = from - last
		}
		last = from
	}
	if lastStep <= 0 {
		return float64(len(t.Now) - 1), true
	}
	return min(float64(len(t.Now)-1)+(v-last)/lastStep, float64(len(t.Now))), true
}

// rowsDrawing shows the rows of each step, either sample against its own most.
func rowsDrawing(t *Timeline, x axis, topThen, topNow int, mark *place, label string) template.HTML {
	d := present.Draw("rows", max(x.wide(), 1), label)
	mark.mark(d, x)
	for k, s := range [][]Step{t.Then, t.Now} {
		v := make([]float64, len(s))
		for i := range s {
			v[i] = float64(s[i].Rows)
		}
		class, from, top := "a", 0, topThen
		if k == 1 {
			class, from, top = "b", x.start(), topNow
		}
		var b strings.Builder
		for i, n := range v {
			if y, ok := present.At(n, 0, float64(max(top, 1)), present.High); ok && y > 0 {
				fmt.Fprintf(&b, "M%d %dv-%dh%dv%dz", from+stepWide*i+1, present.High, y, stepWide-2, y)
			}
		}
		d.Path(class, b.String())
	}
	return d.HTML()
}

// laneDrawing marks the beginning of one column's change under the rows.
func laneDrawing(x axis, p *place) template.HTML {
	d := present.Draw("lane", max(x.wide(), 1), "")
	d.Rect("past", 0, 0, stepWide*x.then, present.High)
	d.Rect("run", x.start()+int(math.Round(p.At*stepWide)), 35, max(int(math.Round((float64(x.now)-p.At)*stepWide)), 1), 30)
	p.mark(d, x)
	return d.HTML()
}

// An interval is a value with its bounds and what it is held against.
type interval struct{ now, lo, hi, then, limit Number }

// intervalDrawing shows the interval as a bar with a dot, the value that it is
// held against as a line and the limit as a dashed one, from lo to hi.
func intervalDrawing(v interval, lo, hi float64) template.HTML {
	d := present.Draw("interval", 400, "")
	d.Path("level", fmt.Sprintf("M0 50H%d", d.Wide))
	if x, ok := present.At(float64(v.limit), lo, hi, d.Wide); ok {
		d.Line("limit", x)
	}
	if x, ok := present.At(float64(v.then), lo, hi, d.Wide); ok {
		d.Line("then", x)
	}
	a, okA := present.At(float64(v.lo), lo, hi, d.Wide)
	b, okB := present.At(float64(v.hi), lo, hi, d.Wide)
	if okA && okB {
		d.Rect("b", a, 30, max(b-a, 2), 40)
	}
	if x, ok := present.At(float64(v.now), lo, hi, d.Wide); ok {
		d.Dot("dot", x, 50)
	}
	return d.HTML()
}

// pairDrawing shows a measure then and now between lo and hi.
func pairDrawing(then, now Number, lo, hi float64) template.HTML {
	d := present.Draw("interval", 200, "")
	d.Path("level", fmt.Sprintf("M0 50H%d", d.Wide))
	if x, ok := present.At(0, lo, hi, d.Wide); ok {
		d.Line("zero", x)
	}
	a, okA := present.At(float64(then), lo, hi, d.Wide)
	b, okB := present.At(float64(now), lo, hi, d.Wide)
	if okA && okB {
		d.Path("move", fmt.Sprintf("M%d 50H%d", a, b))
	}
	if okA {
		d.Dot("ring", a, 50)
		d.Dot("hole", a, 50)
	}
	if okB {
		d.Dot("dot", b, 50)
	}
	return d.HTML()
}
