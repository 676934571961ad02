package monitor

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
)

// after is what a drifted column holds since its change began.
type after struct {
	rows   int
	values []float64   // sorted, of the sample
	levels []LevelPair // all of them, the most changed first
	moved  float64     // total variation of levels
	unseen float64     // share of rows with levels that the reference lacks
	gone   float64     // rate of missing values
}

// leastAfter is the number of rows in which a change shows its shape; with
// fewer, all rows are looked at.
const leastAfter = 50

// since looks at the rows since the step at which the change began, and finds
// what faults they have.
func (j *job) since(step int, sampleSteps []int32) after {
	a := j.rowsSince(step, sampleSteps)
	if a.rows < leastAfter {
		a = j.rowsSince(0, sampleSteps)
	}
	if j.kind == schema.Numeric {
		j.numberFaults(j.a, a.values)
	} else {
		n := len(j.dict.names)
		j.levelFaults(a.levels, total(j.then.levels.Totals(n)), total(j.now.levels.Since(0, n)))
	}
	return a
}

func (j *job) rowsSince(step int, sampleSteps []int32) (a after) {
	rows := j.now.counts().Steps.Rows
	for _, n := range rows[step:] {
		a.rows += n
	}
	if j.kind != schema.Numeric {
		n := len(j.dict.names)
		then, now := j.then.levels.Totals(n), j.now.levels.Since(step, n)
		a.levels = levelPairs(j.dict.names, then, now)
		a.moved = drift.TotalVariation(drift.Shares(then), drift.Shares(now))
		for _, l := range a.levels {
			if l.Unseen {
				a.unseen += float64(l.Now)
			}
		}
		a.gone = 1 - total(now)/float64(max(a.rows, 1))
		return a
	}
	v, _ := numbersOf(j.cur)
	if step > 0 && len(sampleSteps) == len(v) {
		kept := make([]float64, 0, len(v))
		for i, x := range v {
			if int(sampleSteps[i]) >= step {
				kept = append(kept, x)
			}
		}
		v = kept
	}
	var missing int
	a.values, missing = drift.Sorted(v)
	a.gone = float64(missing) / float64(max(len(v), 1))
	return a
}

// change says what became of a drifted column. What faults say goes before
// what the tests do.
func (j *job) change(a after) *Change {
	c := &Change{By: Number(math.NaN())}
	then, now := float64(j.column.Missing.Then), a.gone
	switch f := j.strongestFault(); {
	case f != nil:
		c.Kind, c.Text, c.Old, c.New = f.Kind, f.Detail, f.Old, f.New
		if f.Kind == UnitChange {
			c.By = Number(f.Factor)
		}
	case now == 1:
		c.Kind, c.Text, c.By = EmptyChange, "every value is missing", Number(now-then)
	case j.compared.Strongest().Name == "missing":
		c.Kind, c.By = MissingChange, Number(now-then)
		c.Text = fmt.Sprintf("missing values went from %s to %s", present.Percent(then), present.Percent(now))
	case j.kind == schema.Numeric:
		j.numberChange(c, a.values)
	default:
		j.levelChange(c, a)
	}
	return c
}

func (j *job) strongestFault() *Fault {
	if len(j.faults) == 0 {
		return nil
	}
	return &j.faults[0]
}

const (
	newLevelShare = 0.5  // of the moved rows that unseen levels must make up
	lostShare     = 0.02 // of its old share that a lost level may keep
	lostRows      = 15   // rows expected of a lost level, at least
)

// levelChange tells new, lost and shifted levels apart.
func (j *job) levelChange(c *Change, a after) {
	var fresh []string
	for _, l := range a.levels {
		if l.Unseen && len(fresh) < 5 {
			fresh = append(fresh, strconv.Quote(present.Cut(l.Level, longLevel)))
		}
	}
	top := a.mostCertain(total(j.then.levels.Totals(len(j.dict.names))))
	if len(fresh) > 0 && (top.Unseen || j.compared.Strongest().Name == "unseen" || a.unseen >= newLevelShare*a.moved) {
		c.Kind, c.By = NewLevelChange, Number(a.unseen)
		for _, l := range a.levels {
			if l.Unseen {
				c.New = l.Level
				break
			}
		}
		c.Text = fmt.Sprintf("%s of the rows have levels that the reference lacks: %s", present.Percent(a.unseen), list(fresh))
		return
	}
	if len(a.levels) == 0 {
		c.Kind, c.Text = ShapeChange, "the mix of levels changed"
		return
	}
	c.Kind, c.By, c.New = ShareChange, top.Now-top.Then, top.Level
	c.Text = fmt.Sprintf("the share of %q went from %s to %s", present.Cut(top.Level, longLevel), present.Percent(float64(top.Then)), present.Percent(float64(top.Now)))
	for _, l := range a.levels[:min(len(a.levels), 3)] {
		if float64(l.Then)*float64(a.rows) >= lostRows && l.Now <= lostShare*l.Then && float64(l.Then) >= newLevelShare*a.moved {
			c.Kind, c.By, c.Old, c.New = LostLevelChange, l.Now-l.Then, l.Level, ""
			c.Text = fmt.Sprintf("%q, which %s of the rows had, is gone", present.Cut(l.Level, longLevel), present.Percent(float64(l.Then)))
			return
		}
	}
}

// mostCertain is the level whose share is the least likely to have moved by
// chance, given the number of reference rows that have a level.
func (a *after) mostCertain(then float64) (top LevelPair) {
	now := float64(a.rows) * (1 - a.gone)
	most := -1.0
	for _, l := range a.levels {
		if z := math.Abs(drift.RateZ(float64(l.Then)*then, then, float64(l.Now)*now, now)); z > most {
			top, most = l, z
		}
	}
	return top
}

// numberChange names the simplest map of the reference's values that explains
// the current ones: cut off at a bound, moved, spread.
func (j *job) numberChange(c *Change, b []float64) {
	a := j.a
	if len(a) == 0 || len(b) == 0 {
		c.Kind, c.Text = ShapeChange, j.column.numberReason(j.compared.Strongest().Name)
		return
	}
	if j.clipped(c, b) {
		return
	}
	x, y := withoutMode(a, b)
	apart := ""
	if len(x) < len(a) {
		apart = fmt.Sprintf(", apart from the rows with %s", present.Short(modeOf(a)))
	}
	m := mapOf(x, y)
	q := func(v []float64, p float64) string { return present.Short(drift.Quantile(v, p)) }
	switch strongest := j.compared.Strongest().Name; {
	case strongest == "spike" && m.affine < explained:
		c.Kind, c.Text = ShareChange, j.column.numberReason(strongest)
		if v, then, now := heaviest(a, b); math.Abs(now-then) >= heavyMoved {
			c.By, c.New = Number(now-then), present.Short(v)
			c.Text = fmt.Sprintf("the share of the value %s went from %s to %s", present.Short(v), present.Percent(then), present.Percent(now))
		}
	case m.shift >= explained && m.shift >= m.scale:
		c.Kind, c.By = ShiftChange, Number(m.by)
		c.Text = fmt.Sprintf("the values moved by %s%s%s; the median went from %s to %s", signed(m.by), inSD(m.by, float64(j.column.Std.Then)), apart, q(x, 0.5), q(y, 0.5))
	case m.affine >= explained:
		by := m.factor
		if m.scale < explained {
			by = m.slope
		}
		c.Kind, c.By = ScaleChange, Number(by)
		what := "spread out"
		if by < 1 {
			what = "drew together"
		}
		c.Text = fmt.Sprintf("the values %s by a factor of %s%s; the middle half went from %s … %s to %s … %s", what, present.Short(by), apart, q(x, 0.25), q(x, 0.75), q(y, 0.25), q(y, 0.75))
	default:
		c.Kind, c.Text = ShapeChange, j.column.numberReason(strongest)
	}
}

// heavyMoved is the least change of the share of one value that is named.
const heavyMoved = 0.01

// heaviest is the value of those that many rows of either sample have whose
// share changed most, with its shares.
func heaviest(a, b []float64) (value, then, now float64) {
	const least = 0.02
	shares := func(v []float64) map[float64]float64 {
		out := map[float64]float64{}
		for i := 0; i < len(v); {
			k := i
			for k < len(v) && v[k] == v[i] {
				k++
			}
			out[v[i]] = float64(k-i) / float64(len(v))
			i = k
		}
		return out
	}
	p, q := shares(a), shares(b)
	most := -1.0
	for _, v := range append(slices.Clone(a), b...) {
		if p[v] < least && q[v] < least {
			continue
		}
		if d := math.Abs(q[v] - p[v]); d > most {
			value, then, now, most = v, p[v], q[v], d
		}
	}
	return value, then, now
}

func signed(v float64) string {
	if v > 0 {
		return "+" + present.Short(v)
	}
	return present.Short(v)
}

func inSD(v, sd float64) string {
	if !(sd > 0) {
		return ""
	}
	return fmt.Sprintf(" (%s standard deviations)", strconv.FormatFloat(math.Abs(v)/sd, 'g', 2, 64))
}

const (
	clipShare = 0.02 // of the current rows at the bound, at least
	clipMore  = 3    // times as many as the reference has there
	clipFit   = 0.35 // by which what lies beyond may differ from what is at the bound
)

// clipped notices values cut off at a bound: as many stand at the least or
// greatest value as the reference has from there on outwards.
func (j *job) clipped(c *Change, b []float64) bool {
	a := j.a
	n, m := float64(len(a)), float64(len(b))
	lo, hi := b[0], b[len(b)-1]
	at := func(v []float64, x float64) float64 { // values equal to x
		return float64(sort.Search(len(v), func(i int) bool { return v[i] > x }) - sort.SearchFloat64s(v, x))
	}
	below := float64(sort.Search(len(a), func(i int) bool { return a[i] > lo })) / n
	above := (n - float64(sort.SearchFloat64s(a, hi))) / n
	cut := func(x, beyond float64) bool {
		now, then := at(b, x)/m, at(a, x)/n
		return now >= clipShare && now >= clipMore*then && beyond >= clipMore*then && math.Abs(now-beyond) <= clipFit*beyond
	}
	low, high := lo > a[0] && cut(lo, below), hi < a[len(a)-1] && cut(hi, above)
	if !low && !high {
		return false
	}
	c.Kind = ClipChange
	where := ""
	if low {
		c.Old, where = present.Short(lo), "below "+present.Short(lo)
		c.By = Number(at(b, lo) / m)
	}
	if high {
		c.New = present.Short(hi)
		if low {
			where += " and above " + present.Short(hi)
		} else {
			where, c.By = "above "+present.Short(hi), 0
		}
		c.By += Number(at(b, hi) / m)
	}
	c.Text = fmt.Sprintf("the values are cut off %s: %s of them stand at the bound", where, present.Percent(float64(c.By)))
	return true
}

// modeOf is the most frequent value of a sorted sample, which is not empty.
func modeOf(v []float64) float64 {
	lo, _ := longestRun(v)
	return v[lo]
}

func longestRun(v []float64) (lo, hi int) {
	for i := 0; i < len(v); {
		k := i
		for k < len(v) && v[k] == v[i] {
			k++
		}
		if k-i > hi-lo {
			lo, hi = i, k
		}
		i = k
	}
	return lo, hi
}

const modeShare = 0.3 // of one value, which then may not move with the others

// withoutMode leaves a value out that very many rows of both samples have, as
// zeros where nothing was sold: it stays where it is when the others move.
func withoutMode(a, b []float64) (x, y []float64) {
	lo, hi := longestRun(a)
	from, to := longestRun(b)
	if hi-lo == len(a) || to-from == len(b) || float64(hi-lo) < modeShare*float64(len(a)) ||
		float64(to-from) < modeShare*float64(len(b)) || a[lo] != b[from] {
		return a, b
	}
	drop := func(v []float64, lo, hi int) []float64 { return append(append([]float64{}, v[:lo]...), v[hi:]...) }
	return drop(a, lo, hi), drop(b, from, to)
}

// quantileMap is how far simple maps of the reference's quantiles go to
// explain the current ones, as shares of their squared differences, weighted by
// their precision.
type quantileMap struct {
	shift, by     float64 // moved alone
	scale, factor float64 // spread about the mean, the median or 0, whichever explains most
	affine, slope float64 // moved and spread
}

// explained is the share from which a map is an explanation.
const explained = 0.6

// mapOf fits b's quantiles by those of a, both sorted: regressions weighted
// by f²/(p(1−p)), the inverse of a sample quantile's variance (Mosteller 1946),
// with the density f taken from the spacing of a's quantiles.
func mapOf(a, b []float64) quantileMap {
	const steps, h = 99, 0.02
	w, x, d := make([]float64, steps), make([]float64, steps), make([]float64, steps)
	for i := range steps {
		p := float64(i+1) / (steps + 1)
		lo, hi := max(p-h, 0), min(p+h, 1)
		gap := drift.Quantile(a, hi) - drift.Quantile(a, lo)
		x[i] = drift.Quantile(a, p)
		d[i] = drift.Quantile(b, p) - x[i]
		if gap > 0 {
			f := (hi - lo) / gap
			w[i] = f * f / (p * (1 - p))
		}
	}
	if sum := total(w); sum == 0 || math.IsInf(sum, 0) { // few values: all quantiles count alike
		for i := range w {
			w[i] = 1
		}
	}
	dot := func(u, v func(i int) float64) (sum float64) {
		for i := range steps {
			sum += w[i] * u(i) * v(i)
		}
		return sum
	}
	one, diff := func(int) float64 { return 1 }, func(i int) float64 { return d[i] }
	all := dot(diff, diff)
	if !(all > 0) {
		return quantileMap{}
	}
	n := dot(one, one)
	at := func(i int) float64 { return x[i] }
	mx, md := dot(at, one)/n, dot(diff, one)/n
	m := quantileMap{shift: md * md * n / all, by: md, factor: 1, slope: 1}
	mean, _ := drift.Moments(a)
	for _, centre := range []float64{mean, drift.Quantile(a, 0.5), 0} {
		off := func(i int) float64 { return x[i] - centre }
		if xx, xd := dot(off, off), dot(off, diff); xx > 0 && xd*xd/xx/all > m.scale {
			m.scale, m.factor = xd*xd/xx/all, 1+xd/xx
		}
	}
	m.affine = m.shift
	off := func(i int) float64 { return x[i] - mx }
	if xx, xd := dot(off, off), dot(off, diff); xx > 0 {
		m.affine, m.slope = m.shift+xd*xd/xx/all, 1+xd/xx
	}
	return m
}
