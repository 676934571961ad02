package monitor

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/healml/healml/internal/present"
)

// mostFull is how many drifted columns a terminal shows in full.
const mostFull = 20

// Render writes the report for a terminal of the given width in cells: the
// verdict, what to do, each drifted column with its distribution and trend, what
// was found of all columns together, and a line for each column that holds. No
// line is longer than width, or 40 if that is more.
func Render(w io.Writer, r *Report, color bool, width int) error {
	o := &screen{present.NewScreen(color, width)}
	verdict := text.FgGreen
	if s := r.standing(); s == driftStanding || s == faultStanding {
		verdict = text.FgRed
	}
	o.Say("", r.Verdict, verdict)
	o.Say("", r.facts())
	o.Head("What to do")
	for _, a := range r.advice() {
		o.Say("  ", a.Do)
		if a.Command != "" {
			o.Say("      ", a.Command, text.Bold)
		}
	}
	o.drifted(r)
	o.performance(r)
	o.together(r)
	o.holding(r)
	if len(r.Skipped) > 0 {
		o.Head("Left out")
	}
	for _, s := range r.Skipped {
		o.Say("  ", fmt.Sprintf("%s: %s", present.Cut(present.Shown(s.Column), longName), s.Reason))
	}
	_, err := io.WriteString(w, o.String())
	return err
}

// facts says in one sentence what was compared with what.
func (r *Report) facts() string {
	s := present.Thousands(r.Rows) + " rows"
	if r.Window.From != "" {
		s += " from " + when(r.Window.From) + " to " + when(r.Window.To)
	}
	s += fmt.Sprintf(" against %s of the reference", present.Thousands(r.ReferenceRows))
	if r.ModelVersion != "" {
		s += " of " + r.ModelVersion
	}
	return s + "."
}

// screen gathers the lines for a terminal.
type screen struct{ present.Screen }

// drifted shows the drifted columns and predictions.
func (o *screen) drifted(r *Report) {
	names := r.ranked()
	outputs := drifted(r.PredictionOrder, r.Prediction)
	if len(names)+len(outputs) == 0 {
		return
	}
	o.Head("Drifted")
	for _, name := range names[:min(len(names), mostFull)] {
		o.column(r, name, r.Columns[name], "")
	}
	for _, name := range outputs[:min(len(outputs), mostFull)] {
		o.column(r, name, r.Prediction[name], "prediction, ")
	}
	if len(names) > mostFull {
		fmt.Fprintf(o, "\n")
		o.Say("  ", fmt.Sprintf("and %d more that changed less:", len(names)-mostFull))
		o.table(names[mostFull:], r.Columns)
	}
}

// column shows one drifted column.
func (o *screen) column(r *Report, name string, c *Column, role string) {
	kind := " " + role + present.Printable(string(c.Kind))
	if r.faulty(name) && role == "" {
		kind += ", data fault"
	}
	if c.Change != nil {
		kind += ": " + changeWord(c.Change.Kind)
	}
	kind = strings.TrimRight(present.Fit(" "+kind, o.Width/2), " ")
	fmt.Fprintf(o, "%s %s%s\n", o.Paint("●", text.FgRed), o.Paint(present.Fit(present.Shown(name), o.Width-2-present.Cells(kind)), text.Bold), kind)
	const indent = "    "
	o.Say(indent, c.told())
	if s := sinceWords(c.since()); s != "" {
		o.Say(indent, "S"+s[1:]+".")
	}
	for i, f := range r.Faults {
		if s := cure(f.Kind); s != "" && f.Column == name && role == "" {
			o.Say(indent, "Usual cure: "+cure(r.Faults[i].Kind))
			break
		}
	}
	if then, now := c.bars(); len(then) > 0 {
		scale := slices.Max(append(append([]float64{1e-300}, then...), now...))
		o.Say(indent, "then "+present.Sparkline(then, scale)+"  now "+present.Sparkline(now, scale))
	}
	numbers := fmt.Sprintf("p %s, effect %s, PSI %s", present.Probability(float64(c.P)), present.Percent(float64(c.Effect)), known(present.Small)(c.PSI))
	if c.Missing.Now > 0 || c.Missing.Then > 0 {
		numbers += ", missing " + rates(c.Missing)
	}
	if c.Unseen > 0 {
		numbers += ", unseen " + present.Percent(float64(c.Unseen))
	}
	o.Say(indent, numbers)
	o.trend(indent, r, c)
	for i := range r.Segments {
		if s := &r.Segments[i]; s.Column == name && role == "" {
			o.Say(indent, s.told())
		}
	}
}

// trend draws a figure by step, then│now.
func (o *screen) trend(indent string, r *Report, c *Column) {
	t := c.Trend
	if t == nil {
		return
	}
	lo, hi, ok := span(t.Then, t.Now)
	if !ok || len(t.Then) == 0 || len(t.Now) == 0 {
		return
	}
	format := t.format()
	label := present.Fit(present.Printable(t.Of), o.Width/3) + " "
	room := o.Width - len(indent) - present.Cells(label) - 1
	per := (len(t.Then)+len(t.Now))/room + 1
	o.WriteString(indent + label + curve(t.Then, max(per, stride(t.Then)), lo, hi) + "│" + curve(t.Now, max(per, stride(t.Now)), lo, hi) + "\n")
	by := ""
	if r.Timeline != nil {
		by = ", by " + stepWords(r.Timeline.Step)
	}
	o.Say(indent, fmt.Sprintf("%s%s to %s%s", strings.Repeat(" ", present.Cells(label)), format(lo), format(hi), by))
}

// format is how the trend's numbers are written: rates as percentages.
func (t *Trend) format() func(float64) string {
	if strings.HasPrefix(t.Of, "share") || t.Of == "missing" {
		return present.Percent
	}
	return present.Short
}

// curve draws the means of per neighbours between lo and hi; a gap where there
// is none.
func curve(v []Number, per int, lo, hi float64) string {
	ramp := []rune(present.Blocks)[1:]
	var b strings.Builder
	for part := range slices.Chunk(v, per) {
		mean := average(part)
		k, ok := present.At(mean, lo, hi, len(ramp)-1)
		switch {
		case math.IsNaN(mean):
			b.WriteRune(' ')
		case !ok: // all values are alike
			b.WriteRune(ramp[0])
		default:
			b.WriteRune(ramp[k])
		}
	}
	return b.String()
}

// performance shows the metric, where errors changed and what is expected.
func (o *screen) performance(r *Report) {
	s := r.stands()
	if s == nil {
		return
	}
	o.Head("Performance")
	for _, row := range s.Rows {
		line := fmt.Sprintf("%s %s (%s to %s) on %s %s, was %s on the holdout", row.Metric, present.Short(float64(row.now)), present.Short(float64(row.lo)), present.Short(float64(row.hi)), present.Thousands(row.N), row.What, present.Short(float64(row.Then)))
		if !math.IsNaN(float64(row.P)) {
			line += " (p " + present.Probability(float64(row.P)) + ")"
		}
		if row.Mark != "" {
			line += ": " + strings.TrimPrefix(row.Mark, "≠ ")
		}
		o.Say("  ", line+".", o.alarm(strings.HasPrefix(row.Mark, "≠"))...)
	}
	for _, told := range s.Told {
		o.Say("  ", told)
	}
	if e := s.Errors; e != nil {
		o.errors(e)
	}
	if m := s.Meaning; m != nil {
		var numbers []string
		for _, n := range m.Rows {
			numbers = append(numbers, fmt.Sprintf("%s %s → %s", n.Name, present.Short(float64(n.Then)), present.Short(float64(n.Now))))
		}
		o.Say("  ", strings.TrimSuffix(m.Told, ".")+" ("+strings.Join(numbers, ", ")+", p "+chance(m.P)+").", o.alarm(m.Drift)...)
	}
	for _, v := range s.Segments {
		o.Say("  ", v.Told)
	}
}

// alarm is the colour of what is wrong.
func (o *screen) alarm(wrong bool) []text.Color {
	if wrong {
		return []text.Color{text.FgRed}
	}
	return nil
}

// errors lists the parts of the rows whose errors changed beyond chance.
func (o *screen) errors(e *errorsView) {
	var found []errorRow
	for _, row := range e.Rows {
		if row.Drift {
			found = append(found, row)
		}
	}
	if len(found) == 0 {
		o.Say("  ", "In no part of the rows did errors change beyond chance.")
		return
	}
	o.Say("  ", strings.TrimSuffix(e.Told, ".")+":")
	for _, row := range found {
		o.Say("    ", fmt.Sprintf("%s: %s: %s %s → %s, bias %s, p %s, %s rows", row.Column, row.Level, e.Metric, present.Short(float64(row.Then)), present.Short(float64(row.Now)), row.Bias, chance(row.P), present.Thousands(row.N)))
	}
}

// together shows what was found of all columns together.
func (o *screen) together(r *Report) {
	var lines []string
	if a := r.apart(); a != nil {
		lines = append(lines, a.Told)
	}
	for _, d := range r.Dependence {
		if d.Drift {
			lines = append(lines, fmt.Sprintf("%s and %s: %s %s → %s.", present.Cut(present.Shown(d.A), longName), present.Cut(present.Shown(d.B), longName), measureName(d.Measure), present.Short(float64(d.Then)), present.Short(float64(d.Now))))
		}
	}
	if f := r.First; f != nil {
		lines = append(lines, fmt.Sprintf("Against the first reference (%s): %s", f.Version, f.Verdict))
	}
	if len(lines) == 0 {
		return
	}
	o.Head("All columns together")
	for _, s := range lines {
		o.Say("  ", s)
	}
}

// holding lists the columns and predictions that did not drift.
func (o *screen) holding(r *Report) {
	hold := func(order []string, columns map[string]*Column) (names []string) {
		for _, name := range order {
			if !columns[name].Drift {
				names = append(names, name)
			}
		}
		return names
	}
	names, outputs := hold(r.Order, r.Columns), hold(r.PredictionOrder, r.Prediction)
	if len(names)+len(outputs) == 0 {
		return
	}
	o.Head("Columns that hold")
	all := map[string]*Column{}
	for i, name := range outputs {
		outputs[i] = "prediction " + name
		all[outputs[i]] = r.Prediction[name]
	}
	for _, name := range names {
		all[name] = r.Columns[name]
	}
	o.table(append(names, outputs...), all)
}

// table has a line a column: name, then, now, p-value, PSI and missing values,
// the last two where there is room.
func (o *screen) table(names []string, columns map[string]*Column) {
	bars, rest := 12, 25
	switch {
	case o.Width < 60:
		bars, rest = 6, 8
	case o.Width < 80:
		bars, rest = 8, 16
	}
	longest := len("column")
	for _, name := range names {
		longest = max(longest, present.Cells(present.Shown(name)))
	}
	room := min(longest, o.Width-2-2*(bars+1)-rest)
	line := func(name, then, now, p, psi, missing string) {
		s := fmt.Sprintf("  %s %s %s %7s", present.Pad(present.Fit(name, room), room), present.Pad(then, bars), present.Pad(now, bars), p)
		if rest > 8 {
			s += fmt.Sprintf(" %7s", psi)
		}
		if rest > 16 {
			s += fmt.Sprintf(" %8s", missing)
		}
		o.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	line("column", "then", "now", "p", "PSI", "missing")
	for _, name := range names {
		c := columns[name]
		then, now := c.bars()
		then, now = squeeze(then, bars), squeeze(now, bars)
		scale := slices.Max(append(append([]float64{1e-300}, then...), now...))
		missing := ""
		if c.Missing.Now > 0 {
			missing = present.Percent(float64(c.Missing.Now))
		}
		line(present.Shown(name), present.Sparkline(then, scale), present.Sparkline(now, scale), present.Probability(float64(c.P)), known(present.Small)(c.PSI), missing)
	}
}

// squeeze sums neighbours until at most n are left.
func squeeze(v []float64, n int) []float64 {
	per := (len(v) + n - 1) / n
	var out []float64
	for i, x := range v {
		if i%per == 0 {
			out = append(out, 0)
		}
		out[len(out)-1] += x
	}
	return out
}

// bars are the shares of bins or levels then and now, at most 16.
func (c *Column) bars() (then, now []float64) {
	const most = 16
	if h := c.Histogram; h != nil {
		return merge(h.Then, most), merge(h.Now, most)
	}
	for _, l := range c.Levels[:min(len(c.Levels), most)] {
		then = append(then, max(float64(l.Then), 0))
		now = append(now, max(float64(l.Now), 0))
	}
	return then, now
}

// merge sums neighbours until at most n are left; NaN counts as 0.
func merge(v []Number, n int) []float64 {
	per := (len(v) + n - 1) / n
	var out []float64
	for i, x := range v {
		if i%per == 0 {
			out = append(out, 0)
		}
		if f := float64(x); !math.IsNaN(f) {
			out[len(out)-1] += f
		}
	}
	return out
}
