package monitor

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/healml/healml/internal/drift"
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
		c.Text = fmt.Sprintf("missing values went from %s to %s", percent(then), percent(now))
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
			fresh = append(fresh, strconv.Quote(cut(l.Level, longLevel)))
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
		c.Text = fmt.Sprintf("%s of the rows have levels that the reference lacks: %s", percent(a.unseen), list(fresh))
		return
	}
	if len(a.levels) == 0 {
		c.Kind, c.Text = ShapeChange, "the mix of levels changed"
		return
	}
	c.Kind, c.By, c.New = ShareChange, top.Now-top.Then, top.Level
	c.Text = fmt.Sprintf("the share of %q went from %s to %s", cut(top.Level, longLevel), percent(float64(top.Then)), percent(float64(top.Now)))
	for _, l := range a.levels[:min(len(a.levels), 3)] {
		if float64(l.Then)*float64(a.rows) >= lostRows && l.Now <= lostShare*l.Then && float64(l.Then) >= newLevelShare*a.moved {
			c.Kind, c.By, c.Old, c.New = LostLevelChange, l.Now-l.Then, l.Level, ""
			c.Text = fmt.Sprintf("%q, which %s of the rows had, is gone", cut(l.Level, longLevel), percent(float64(l.Then)))
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
		apart = fmt.Sprintf(", apart from the rows with %s", short(modeOf(a)))
	}
	m := mapOf(x, y)
	q := func(v []float64, p float64) string { return short(drift.Quantile(v, p)) }
	switch strongest := j.compared.Strongest().Name; {
	case strongest == "spike" && m.affine < explained:
		c.Kind, c.Text = ShareChange, j.column.numberReason(strongest)
		if v, then, now := heaviest(a, b); math.Abs(now-then) >= heavyMoved {
			c.By, c.New = Number(now-then), short(v)
			c.Text = fmt.Sprintf("the share of the value %s went from %s to %s", short(v), percent(then), percent(now))
		}
	case m.affine >= explained && m.affine-m.shift <= max(spreadLeast, spreadMore*(1-m.affine)):
		c.Kind, c.By = ShiftChange, Number(m.by)
		c.Text = fmt.Sprintf("the values moved by %s%s%s; the median went from %s to %s", signed(m.by), inSD(m.by, float64(j.column.Std.Then)), apart, q(x, 0.5), q(y, 0.5))
	case m.affine >= explained:
		c.Kind, c.By = ScaleChange, Number(m.slope)
		what := "spread out"
		if m.slope < 1 {
			what = "drew together"
		}
		c.Text = fmt.Sprintf("the values %s by a factor of %s%s; the middle half went from %s … %s to %s … %s", what, short(m.slope), apart, q(x, 0.25), q(x, 0.75), q(y, 0.25), q(y, 0.75))
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
		return "+" + short(v)
	}
	return short(v)
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
		c.Old, where = short(lo), "below "+short(lo)
		c.By = Number(at(b, lo) / m)
	}
	if high {
		c.New = short(hi)
		if low {
			where += " and above " + short(hi)
		} else {
			where, c.By = "above "+short(hi), 0
		}
		c.By += Number(at(b, hi) / m)
	}
	c.Text = fmt.Sprintf("the values are cut off %s: %s of them stand at the bound", where, percent(float64(c.By)))
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
	affine, slope float64 // moved and spread
}

const (
	explained = 0.6 // share from which a map is an explanation
	// Spreading is part of it when it explains this much more than moving
	// alone, and so many times what both leave unexplained.
	spreadLeast = 0.005
	spreadMore  = 3
)

// mapOf fits b's quantiles by those of a, both sorted: a regression weighted
// by f²/(p(1−p)), the inverse of a sample quantile's variance (Mosteller 1946),
// with the density f taken from the spacing of a's quantiles.
func mapOf(a, b []float64) quantileMap {
	const steps, h = 99, 0.02
	var w, x, d [steps]float64
	total := 0.0
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
		total += w[i]
	}
	if total == 0 || math.IsInf(total, 0) { // few values: all quantiles count alike
		for i := range w {
			w[i] = 1
		}
		total = steps
	}
	var mx, md float64
	for i := range steps {
		mx += w[i] / total * x[i]
		md += w[i] / total * d[i]
	}
	var all, moved, xx, xd float64
	for i := range steps {
		all += w[i] * d[i] * d[i]
		moved += w[i] * (d[i] - md) * (d[i] - md)
		xx += w[i] * (x[i] - mx) * (x[i] - mx)
		xd += w[i] * (x[i] - mx) * (d[i] - md)
	}
	if !(all > 0) {
		return quantileMap{}
	}
	m := quantileMap{shift: 1 - moved/all, by: md, affine: 1 - moved/all, slope: 1}
	if xx > 0 {
		m.affine = 1 - (moved-xd*xd/xx)/all
		m.slope = 1 + xd/xx
	}
	return m
}
