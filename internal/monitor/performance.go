package monitor

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// Performance is the metric on the rows whose truth is known.
type Performance struct {
	Metric  score.Metric `json:"metric"`
	Labeled int          `json:"labeled"` // rows compared
	Then    Number       `json:"then"`    // on the holdout
	Now     Number       `json:"now"`
	Lo      Number       `json:"lo"` // interval of Now
	Hi      Number       `json:"hi"`
	// P is the chance of a metric so bad, given how the holdout's own blocks
	// vary; null when the version does not tell.
	P     Number `json:"p_value"`
	Drift bool   `json:"drift"` // worse than chance makes it and than is tolerated
	// Coverage is the share of rows with their truth in the steps compared,
	// which end at MatureUntil (RFC 3339). LagP95 is how many seconds pass
	// until 95 % of the truths are in, Waiting the number of newer rows
	// without one.
	Coverage    Number `json:"coverage"`
	MatureUntil string `json:"mature_until,omitempty"`
	LagP95      Number `json:"lag_p95"`
	Waiting     int    `json:"waiting"`
	Note        string `json:"note,omitempty"` // what to know of the comparison, in words
	// Segments whose errors changed most for the worse, worst first.
	Segments    []SegmentError `json:"segments"`
	Calibration *Recalibrated  `json:"calibration,omitempty"`
}

// judgeModel sets Performance and Estimate.
func (r *Report) judgeModel(t *Truth, cur *table.Table, o Options) error {
	j, err := t.judged(cur)
	if err != nil {
		return err
	}
	w := j.mature(t)
	if r.Performance, err = performance(t, j, w, o); err != nil {
		return err
	}
	if r.Estimate, err = expect(t, cur, o); err != nil || r.Estimate == nil {
		return err
	}
	r.Estimate.Record = recordOf(t, j, w)
	return nil
}

// compared are the rows that the metric is taken on.
type compared struct {
	rows    []int // of the judged rows
	label   []float64
	outputs []float64
	loss    []float64
	weight  []float64 // mean 1; nil: all 1
	step    []int     // rows of one are alike
	micros  int64     // their span; 0: not known
}

// performance takes the metric on the labelled rows of j that are whole; nil
// when there is no labelled row. The calibration error is no mean over rows and
// gives way to the task's default.
func performance(t *Truth, j *judged, w *whole, o Options) (*Performance, error) {
	m := estimate.Metric(t.Metric, t.Task)
	then := t.Holdout
	if t.Metric != "" && t.Metric != m {
		then = math.NaN()
	}
	nan := Number(math.NaN())
	p := &Performance{Metric: m, Now: nan, Lo: nan, Hi: nan, P: nan, Coverage: nan, LagP95: nan, Segments: []SegmentError{}}
	e := t.Estimator
	if e != nil && (e.Metric != m || e.K != len(t.Outputs) || e.Task != t.Task) {
		e = nil
	}
	if e != nil && math.IsNaN(then) {
		then = e.Then
	}
	p.Then = Number(then)
	c, labelled := p.gather(t, j, w)
	if labelled == 0 {
		return nil, nil
	}
	if len(c.label) == 0 {
		p.Labeled = labelled
		p.say("none of the labelled rows belongs to a stretch of time whose truth is complete, so the metric is not compared")
		return p, nil
	}
	if err := c.measure(t, m); err != nil {
		return nil, err
	}
	c.cluster(j, e)
	stale := w != nil && w.stale
	if stale {
		p.say("no truth came in within the window; these rows are older")
	}
	p.compare(c, e, o, stale)
	if e != nil && !math.IsNaN(float64(p.Now)) {
		p.explain(t, j, c, e, o)
	}
	return p, nil
}

// gather picks the rows, and returns also how many have a label at all.
func (p *Performance) gather(t *Truth, j *judged, w *whole) (*compared, int) {
	c := &compared{}
	k := len(t.Outputs)
	var served, known, strange, labelled int
	for i, y := range j.label {
		out := j.outputs[i*k : (i+1)*k]
		usable := !math.IsNaN(y) && !math.IsInf(y, 0) && finite(out)
		if usable {
			labelled++
		}
		if w != nil && !w.use[w.step[i]] {
			if !j.known[i] && w.step[i] > w.last {
				p.Waiting++
			}
			continue
		}
		served++
		if j.known[i] {
			known++
			if !usable {
				strange++
			}
		} else if w == nil {
			p.Waiting++
		}
		if usable {
			c.rows = append(c.rows, i)
			c.label = append(c.label, y)
			c.outputs = append(c.outputs, out...)
		}
	}
	p.Labeled = len(c.label)
	p.Coverage = rate(known, served)
	if w != nil {
		p.LagP95 = Number(w.lag / 1e6)
		if w.last >= 0 {
			p.MatureUntil = w.until().Format(time.RFC3339)
		}
	}
	if strange > 0 {
		p.say(fmt.Sprintf("%s labelled rows are left out: their class or value is not one that the model can be measured by, or the prediction is missing", present.Thousands(strange)))
	}
	if w != nil && len(c.label) > 0 {
		c.weigh(p, t, j, w)
	}
	return c, labelled
}

func finite(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

func (p *Performance) say(s string) {
	if p.Note != "" {
		p.Note += "; "
	}
	p.Note += s
}

// measure takes the losses, weighted.
func (c *compared) measure(t *Truth, m score.Metric) (err error) {
	if c.loss, err = estimate.Losses(m, t.Task, c.label, c.outputs, len(t.Outputs)); err != nil {
		return fmt.Errorf("take %s of the labelled rows: %w", m, err)
	}
	for i, w := range c.weight {
		c.loss[i] *= w
	}
	return nil
}

// cluster numbers the rows by steps in which they are taken to be alike: those
// of the holdout when there are at least five of them, else eighths of the
// window; runs of rows when times are not known.
func (c *compared) cluster(j *judged, e *estimate.Estimator) {
	n := len(c.rows)
	if j.order != nil {
		times := make([]int64, n)
		for i, r := range c.rows {
			times[i] = j.order[r]
		}
		if l := estimate.StepLength(times); l > 0 {
			first := 0
			for times[first] == table.NoTime {
				first++
			}
			c.micros = times[n-1] - times[first] + 1
			if e != nil && e.Steps.Micros > 0 && c.micros/e.Steps.Micros >= 5 {
				l = e.Steps.Micros
			} else {
				l = max(c.micros/8, 1)
			}
			l = max(l, c.micros/60)
			c.step = estimate.StepsOf(times, n, l, 0)
			return
		}
	}
	c.step = estimate.StepsOf(nil, n, 0, min(30, int(math.Sqrt(float64(n)))))
}

// compare sets the metric, its interval, and whether it is worse than it was.
func (p *Performance) compare(c *compared, e *estimate.Estimator, o Options, stale bool) {
	now := estimate.MeanOf(c.loss, c.step)
	p.Now = Number(estimate.OfLoss(p.Metric, now.Mean))
	if math.IsNaN(now.Mean) { // the AUC of one class
		p.Now = Number(math.NaN())
		p.say(fmt.Sprintf("the %s is not defined on these rows", p.Metric))
		return
	}
	if t := estimate.TrendFree(c.loss, c.step); t.Variance < now.Variance {
		now = t // a loss that grows must not hide in its own growth
	}
	free := float64(now.Steps - 1)
	reach := estimate.Reach(o.Confidence, now.Variance, free, 0, 1)
	if sp, before, ok := expectedSpread(e, c); ok {
		window, wfree := sp.Window, sp.Free
		if now.Variance > window && !math.IsInf(now.Variance, 0) {
			window, wfree = now.Variance, free
		}
		reach = estimate.Reach(o.Confidence, window, wfree, 0, 1)
		p.P = Number(estimate.Greater(now.Mean-before, window, wfree, sp.Holdout, sp.Free))
		if window == sp.Window { // one estimate of both parts
			p.P = Number(estimate.Greater(now.Mean-before, window+sp.Holdout, wfree, 0, 1))
		}
	} else {
		// Plain rows: the bootstrap asks for no steps of time.
		i := score.BlockBootstrap(c.loss, 0, 0, o.Confidence, o.Seed)
		reach = max(reach, i.Hi-i.Mean, i.Mean-i.Lo)
		if c.micros == 0 {
			reach = max(i.Hi-i.Mean, i.Mean-i.Lo)
		}
	}
	lo, hi := estimate.Ends(p.Metric, now.Mean-reach, now.Mean+reach)
	p.Lo, p.Hi = Number(lo), Number(hi)
	enough := p.Labeled >= o.MinRows && !stale
	if math.IsNaN(float64(p.P)) {
		p.Drift = enough && worse(p.Metric, float64(p.Then), lo, hi, o.Tolerance)
		return
	}
	p.Drift = enough && float64(p.P) <= o.Alpha && worse(p.Metric, float64(p.Then), float64(p.Now), float64(p.Now), o.Tolerance)
}

// expectedSpread is how the mean loss of such a window varies by itself, and
// what it was on the holdout.
func expectedSpread(e *estimate.Estimator, c *compared) (sp estimate.Spread, then float64, ok bool) {
	if e == nil {
		return sp, 0, false
	}
	sp, ok = e.Steps.LossSpread(len(c.loss), c.micros)
	return sp, e.MeanLoss(), ok
}

// worse reports whether the whole of [lo, hi] is worse than then by more than
// the tolerance: a share of then, or, where more is better, of what is missing
// to 1. It is false when then is NaN.
func worse(m score.Metric, then, lo, hi, tolerance float64) bool {
	if m.HigherIsBetter() {
		return hi < then-tolerance*(1-then)
	}
	return lo > then+tolerance*math.Abs(then)
}

// weigh looks whether, in the steps compared, the rows whose truth is known were
// predicted otherwise than those whose truth is not, by the standardised
// difference of their predictions (Austin 2009; above .25 counts). If so, rows
// are weighted so that each fifth of the predictions has the share that it has
// among all rows (post-stratification).
func (c *compared) weigh(p *Performance, t *Truth, j *judged, w *whole) {
	k := len(t.Outputs)
	var known, open []float64
	for i := range j.label {
		if v := j.outputs[i*k+k-1]; w.use[w.step[i]] && !math.IsNaN(v) {
			if j.known[i] {
				known = append(known, v)
			} else {
				open = append(open, v)
			}
		}
	}
	d := standardised(known, open)
	if len(open) < 10 || math.Abs(d) <= 0.25 {
		return
	}
	mine := make([]float64, len(c.label))
	for i := range mine {
		mine[i] = c.outputs[i*k+k-1]
	}
	c.weight = stratify(mine, append(known, open...))
	direction := "higher"
	if d < 0 {
		direction = "lower"
	}
	p.say(fmt.Sprintf("the rows whose truth is known have %s predictions than the others (by %s standard deviations), and are weighted to make up for it", direction, present.Short(math.Abs(d))))
}

// standardised is the difference of the means over the root of the mean
// variance; 0 when it cannot be told.
func standardised(a, b []float64) float64 {
	variance := func(v []float64, m float64) float64 {
		s := 0.0
		for _, x := range v {
			s += (x - m) * (x - m)
		}
		return s / float64(len(v))
	}
	ma, mb := score.Mean(a), score.Mean(b)
	d := (ma - mb) / math.Sqrt((variance(a, ma)+variance(b, mb))/2)
	if math.IsNaN(d) || math.IsInf(d, 0) {
		return 0
	}
	return d
}

// stratify weights values so that fifths of all have their share. Fifths that no
// value is in cannot be made up for.
func stratify(values, all []float64) []float64 {
	const parts = 5
	cuts := cutsOf(all, parts)
	part := func(v float64) int {
		q := 0
		for q < len(cuts) && v >= cuts[q] {
			q++
		}
		return q
	}
	var want, have [parts]float64
	for _, v := range all {
		want[part(v)]++
	}
	for _, v := range values {
		have[part(v)]++
	}
	weight := make([]float64, len(values))
	sum := 0.0
	for i, v := range values {
		q := part(v)
		weight[i] = want[q] / have[q]
		sum += weight[i]
	}
	for i := range weight {
		weight[i] *= float64(len(weight)) / sum
	}
	return weight
}

// String says how the metric stands.
func (p *Performance) String() string {
	if math.IsNaN(float64(p.Now)) {
		return fmt.Sprintf("%s cannot be told of %s labelled rows: %s", p.Metric, present.Thousands(p.Labeled), p.Note)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s is %s (%s to %s) on %s labelled rows", p.Metric, present.Short(float64(p.Now)), present.Short(float64(p.Lo)), present.Short(float64(p.Hi)), present.Thousands(p.Labeled))
	if !math.IsNaN(float64(p.Then)) {
		s.WriteString(", was " + present.Short(float64(p.Then)) + " on the holdout")
	}
	if p.MatureUntil != "" && p.Waiting > 0 {
		fmt.Fprintf(&s, "; %s rows after %s wait for their truth", present.Thousands(p.Waiting), p.MatureUntil)
	}
	if p.Note != "" {
		s.WriteString("; " + p.Note)
	}
	return s.String()
}

// classified reports whether the outputs are probabilities.
func (t *Truth) classified() bool { return t.Task != schema.Regression }
