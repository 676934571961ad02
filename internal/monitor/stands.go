package monitor

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// stands is how the metric stands: on the holdout, on labelled rows, estimated;
// where errors changed, and whether predictions still mean what they meant.
type stands struct {
	Rows       []standRow
	Told       []string
	Rule       string // when the metric drifts; empty without it
	Limits     string // of the estimate; empty without one
	HasHoldout bool
	Errors     *errorsView
	Meaning    *meaning
	Segments   []segmentView
}

type standRow struct {
	What, Metric, Mark string
	Then, P            Number
	interval
	N       int
	Drawing template.HTML
}

// Now is the value.
func (s standRow) Now() Number { return s.now }

// Lo is the lower bound.
func (s standRow) Lo() Number { return s.lo }

// Hi is the upper bound.
func (s standRow) Hi() Number { return s.hi }

func (r *Report) stands() *stands {
	s := &stands{}
	if p := r.Performance; p != nil {
		row := standRow{What: "rows with truth", Metric: present.Printable(string(p.Metric)), Then: p.Then, P: r.chanceOf(p), N: p.Labeled}
		row.interval = interval{p.Now, p.Lo, p.Hi, p.Then, r.tolerated(p.Metric.HigherIsBetter(), p.Then)}
		if p.Drift {
			row.Mark = "≠ worse"
		}
		s.Rows = append(s.Rows, row)
		s.Told = append(s.Told, r.performanceTold()...)
		s.Errors, s.Meaning, s.Rule = p.errors(), p.meaning(), r.metricRule()
	}
	if e := r.Estimate; e != nil {
		row := standRow{What: "current rows, estimated", Metric: present.Printable(string(e.Metric)), Then: e.Then, P: nanNumber(), N: e.Rows}
		row.interval = interval{e.Now, e.Lo, e.Hi, e.Then, r.tolerated(e.Metric.HigherIsBetter(), e.Then)}
		switch {
		case e.Drift && e.proven():
			row.Mark = "≠ worse"
		case e.Drift:
			row.Mark = "worse, not yet proven"
		}
		s.Rows = append(s.Rows, row)
		s.Told = append(s.Told, e.told())
		s.Limits = "An estimate sees that rows became harder. It does not see that the world changed what a row leads to; only the truth does."
	}
	s.draw()
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

// draw puts all rows on one scale.
func (s *stands) draw() {
	var all []Number
	for _, row := range s.Rows {
		all = append(all, row.now, row.lo, row.hi, row.then, row.limit)
		s.HasHoldout = s.HasHoldout || !math.IsNaN(float64(row.then))
	}
	lo, hi, ok := span(all)
	if !ok {
		return
	}
	pad := max((hi-lo)*0.08, math.Abs(hi)*1e-6, 1e-9)
	for i := range s.Rows {
		s.Rows[i].Drawing = intervalDrawing(s.Rows[i].interval, lo-pad, hi+pad)
	}
}

// tolerated is the value beyond which the metric drifts.
func (r *Report) tolerated(higher bool, then Number) Number {
	t := Number(r.Settings.Tolerance)
	if higher {
		return then - t*(1-then)
	}
	return then + t*Number(math.Abs(float64(then)))
}

// beyond reports whether the metric on rows with truth is worse than tolerated,
// by chance or not.
func (r *Report) beyond() bool {
	p := r.Performance
	if p == nil {
		return false
	}
	higher := p.Metric.HigherIsBetter()
	limit := r.tolerated(higher, p.Then)
	return higher && p.Now < limit || !higher && p.Now > limit
}

// chanceOf is the p-value of the metric, which format 1 did not have.
func (r *Report) chanceOf(p *Performance) Number {
	if r.Format < 2 {
		return nanNumber()
	}
	return p.P
}

// metricRule says when the metric drifts.
func (r *Report) metricRule() string {
	if math.IsNaN(float64(r.chanceOf(r.Performance))) {
		return "It drifts when the whole bar is beyond the dashed line."
	}
	return fmt.Sprintf("It drifts when the dot is beyond the dashed line and its p-value at most %s: the bar says how much the metric varies by itself.", present.Percent(r.Settings.Alpha))
}

// performanceTold says how the metric stands, of which rows, and what else to
// know.
func (r *Report) performanceTold() []string {
	p := r.Performance
	if math.IsNaN(float64(p.Now)) {
		return p.covered(r, []string{"Where the truth is known, the metric cannot be told."})
	}
	s := "is within what is tolerated"
	switch {
	case p.Drift && math.IsNaN(float64(r.chanceOf(p))):
		s = "is worse than tolerated, with its whole interval"
	case p.Drift:
		s = "is worse than tolerated, and by more than it varies by itself"
	case r.beyond():
		s = "is worse than tolerated, but by no more than it varies by itself"
	case math.IsNaN(float64(p.Then)):
		s = "can be told, but not what it was on the holdout"
	}
	return p.covered(r, []string{"Where the truth is known, the metric " + s + "."})
}

// covered adds which rows have their truth, how late it comes, and the note.
func (p *Performance) covered(r *Report, out []string) []string {
	if r.Format >= 2 {
		var parts []string
		if p.Coverage > 0 && p.Coverage < 1 {
			parts = append(parts, fmt.Sprintf("Of the rows compared %s have their truth.", present.Percent(float64(p.Coverage))))
		}
		if p.MatureUntil != "" {
			early := ""
			switch r.truthReaches() {
			case beforeChange:
				early = ", which is before the change began"
			case intoInterval:
				early = ", which may be before the change began"
			}
			parts = append(parts, "Compared is what was predicted up to "+when(p.MatureUntil)+early+".")
		}
		if p.LagP95 > 0 {
			parts = append(parts, fmt.Sprintf("Of the truths 95 %% are in after %s.", present.Lasting(float64(p.LagP95))))
		}
		if p.Waiting > 0 {
			which := "newer rows wait for theirs"
			if p.MatureUntil == "" {
				which = "rows wait for their truth"
			}
			parts = append(parts, present.Thousands(p.Waiting)+" "+which+".")
		}
		if len(parts) > 0 {
			out = append(out, strings.Join(parts, " "))
		}
	}
	if p.Note != "" {
		out = append(out, "Note: "+present.Sentence(present.Cut(present.Printable(p.Note), longText)))
	}
	return out
}

// told says how the estimate was made and how far earlier ones could be trusted.
func (e *Estimate) told() string {
	how := "within what is tolerated"
	if e.Drift {
		how = "worse than tolerated"
	}
	s := fmt.Sprintf("Estimated on all current rows without their truth (%s), the metric is %s.", present.Printable(e.Method), how)
	c := e.Record
	if c == nil || c.Checked == 0 {
		return s + " Not yet proven: no earlier estimate could be held against the truth, so it raises no alarm by itself."
	}
	off := ""
	if !math.IsNaN(float64(c.Error)) {
		off = fmt.Sprintf("; they were %s off on average", present.Percent(float64(c.Error)))
	}
	if e.proven() {
		return s + fmt.Sprintf(" Of %d earlier estimates %d held the truth that came in%s.", c.Checked, c.Covered, off)
	}
	return s + fmt.Sprintf(" Not yet proven: %d of %d earlier estimates held%s. It raises no alarm by itself before %d could be checked and %s of them held.", c.Covered, c.Checked, off, provenChecks, strings.Replace(present.Percent(provenShare), ".0", "", 1))
}

// errorsView is a table of parts of the rows whose errors changed most.
type errorsView struct {
	Told   string
	Rows   []errorRow
	Metric string
}

type errorRow struct {
	Column, Level string
	N             int
	Then, Now, P  Number
	Bias          string
	Drift         bool
	Drawing       template.HTML
}

// calmErrors is how many parts are shown when none changed beyond chance.
const calmErrors = 5

func (p *Performance) errors() *errorsView {
	if len(p.Segments) == 0 {
		return nil
	}
	drifted := 0
	var all []Number
	for _, s := range p.Segments {
		if s.Drift {
			drifted++
		}
	}
	v := &errorsView{Metric: present.Printable(string(p.Metric))}
	rows := p.Segments
	switch drifted {
	case 0:
		v.Told = "In no part of the rows did errors change beyond chance. Where they rose most:"
		rows = rows[:min(len(rows), calmErrors)]
	case 1:
		v.Told = "In one part of the rows errors changed beyond chance."
	default:
		v.Told = fmt.Sprintf("In %d parts of the rows errors changed beyond chance.", drifted)
	}
	for _, s := range rows {
		all = append(all, s.Then, s.Now)
	}
	lo, hi, _ := span(all)
	for _, s := range rows {
		v.Rows = append(v.Rows, errorRow{
			present.Cut(present.Shown(s.Column), longName), present.Cut(present.Shown(s.Level), longLevel), s.Rows, s.Then, s.Now, s.P, s.bias(p.Metric), s.Drift,
			pairDrawing(s.Then, s.Now, min(lo, 0), max(hi, 1e-9)),
		})
	}
	return v
}

// bias is the bias with its sign: in the target's unit, or of classes in per
// cent.
func (s *SegmentError) bias(m score.Metric) string {
	b := float64(s.Bias)
	switch {
	case math.IsNaN(b):
		return "–"
	case m.Fits(schema.Regression):
		return signed(b)
	case b > 0:
		return "+" + present.Percent(b)
	}
	return present.Percent(b)
}

// meaning is whether predictions still mean what they meant.
type meaning struct {
	Told  string
	Drift bool
	P     Number
	Rows  []meaningRow
}

type meaningRow struct {
	Name      string
	Then, Now Number
	Right     string
}

func (p *Performance) meaning() *meaning {
	c := p.Calibration
	if c == nil {
		return nil
	}
	m := &meaning{Told: c.told(p.Metric.Fits(schema.Regression)), Drift: c.Drift, P: c.P}
	m.Rows = []meaningRow{{"slope", c.Slope.Then, c.Slope.Now, "1"}, {"intercept", c.Intercept.Then, c.Intercept.Now, "0"}}
	if !math.IsNaN(float64(c.ECE.Now)) {
		m.Rows = append(m.Rows, meaningRow{"calibration error (ECE)", c.ECE.Then, c.ECE.Now, "0"})
	}
	return m
}

// told says what became of the line from predictions to the truth.
func (c *Recalibrated) told(numbers bool) string {
	if !c.Drift {
		return "The line from predictions to the truth did not change beyond chance."
	}
	var parts []string
	slope := float64(c.Slope.Now - c.Slope.Then)
	if math.Abs(slope) >= slopeEffect {
		if slope < 0 {
			parts = append(parts, "predictions became too extreme: high ones are too high, low ones too low")
		} else {
			parts = append(parts, "predictions became too timid: high ones are too low, low ones too high")
		}
	}
	low, high := "what is predicted comes true more often than predicted", "what is predicted comes true less often than predicted"
	if numbers {
		low, high = "predictions are too low on the whole", "predictions are too high on the whole"
	}
	if moved := float64(c.Intercept.Now - c.Intercept.Then); moved > 0 && len(parts) == 0 || moved >= logOddsEffect && !numbers {
		parts = append(parts, low)
	} else if moved < 0 && len(parts) == 0 || moved <= -logOddsEffect && !numbers {
		parts = append(parts, high)
	}
	if len(parts) == 0 {
		return "Predictions no longer mean what they meant."
	}
	return capital(strings.Join(parts, "; ")) + "."
}
