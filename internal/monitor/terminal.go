package monitor

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// The least width that a terminal is written for, and how many drifted columns
// it shows in full.
const (
	leastWidth = 40
	mostFull   = 20
)

// Render writes the report for a terminal of the given width in cells: the
// verdict, what to do, each drifted column with its distribution and trend, what
// was found of all columns together, and a line for each column that holds. No
// line is longer than width, or 40 if that is more.
func Render(w io.Writer, r *Report, color bool, width int) error {
	o := &screen{color: color, width: max(width, leastWidth)}
	verdict := text.FgGreen
	if s := r.standing(); s == driftStanding || s == faultStanding {
		verdict = text.FgRed
	}
	o.say("", r.Verdict, verdict)
	o.say("", r.facts())
	o.head("What to do")
	for _, a := range r.advice() {
		o.say("  ", a.Do)
		if a.Command != "" {
			o.say("      ", a.Command, text.Bold)
		}
	}
	o.drifted(r)
	o.performance(r)
	o.together(r)
	o.holding(r)
	if len(r.Skipped) > 0 {
		o.head("Left out")
	}
	for _, s := range r.Skipped {
		o.say("  ", fmt.Sprintf("%s: %s", cut(shown(s.Column), longName), s.Reason))
	}
	_, err := io.WriteString(w, o.b.String())
	return err
}

// facts says in one sentence what was compared with what.
func (r *Report) facts() string {
	s := thousands(r.Rows) + " rows"
	if r.Window.From != "" {
		s += " from " + when(r.Window.From) + " to " + when(r.Window.To)
	}
	s += fmt.Sprintf(" against %s of the reference", thousands(r.ReferenceRows))
	if r.ModelVersion != "" {
		s += " of " + r.ModelVersion
	}
	return s + "."
}

// screen gathers the lines for a terminal.
type screen struct {
	b     strings.Builder
	color bool
	width int
}

// paint colours s, which takes no more room by that.
func (o *screen) paint(s string, colors ...text.Color) string {
	if !o.color || len(colors) == 0 {
		return s
	}
	return text.Colors(colors).Sprint(s)
}

// say writes s, from data or not, wrapped and every line indented.
func (o *screen) say(indent, s string, colors ...text.Color) {
	for _, line := range wrap(printable(s), o.width-len(indent)) {
		fmt.Fprintf(&o.b, "%s%s\n", indent, o.paint(line, colors...))
	}
}

func (o *screen) head(s string) {
	fmt.Fprintf(&o.b, "\n%s\n", o.paint(s, text.Bold))
}

// drifted shows the drifted columns and predictions.
func (o *screen) drifted(r *Report) {
	names := r.ranked()
	outputs := drifted(r.PredictionOrder, r.Prediction)
	if len(names)+len(outputs) == 0 {
		return
	}
	o.head("Drifted")
	for _, name := range names[:min(len(names), mostFull)] {
		o.column(r, name, r.Columns[name], "")
	}
	for _, name := range outputs[:min(len(outputs), mostFull)] {
		o.column(r, name, r.Prediction[name], "prediction, ")
	}
	if len(names) > mostFull {
		fmt.Fprintf(&o.b, "\n")
		o.say("  ", fmt.Sprintf("and %d more that changed less:", len(names)-mostFull))
		o.table(names[mostFull:], r.Columns)
	}
}

// column shows one drifted column.
func (o *screen) column(r *Report, name string, c *Column, role string) {
	kind := " " + role + printable(string(c.Kind))
	if r.faulty(name) && role == "" {
		kind += ", data fault"
	}
	if c.Change != nil {
		kind += ": " + changeWord(c.Change.Kind)
	}
	kind = strings.TrimRight(fit(" "+kind, o.width/2), " ")
	fmt.Fprintf(&o.b, "%s %s%s\n", o.paint("●", text.FgRed), o.paint(fit(shown(name), o.width-2-cells(kind)), text.Bold), kind)
	const indent = "    "
	o.say(indent, c.told())
	if s := sinceWords(c.since()); s != "" {
		o.say(indent, "S"+s[1:]+".")
	}
	for i, f := range r.Faults {
		if s := cure(f.Kind); s != "" && f.Column == name && role == "" {
			o.say(indent, "Usual cure: "+cure(r.Faults[i].Kind))
			break
		}
	}
	if then, now := c.bars(); len(then) > 0 {
		scale := slices.Max(append(append([]float64{1e-300}, then...), now...))
		o.say(indent, "then "+sparkline(then, scale)+"  now "+sparkline(now, scale))
	}
	numbers := fmt.Sprintf("p %s, effect %s, PSI %s", probability(float64(c.P)), percent(float64(c.Effect)), known(small)(c.PSI))
	if c.Missing.Now > 0 || c.Missing.Then > 0 {
		numbers += ", missing " + rates(c.Missing)
	}
	if c.Unseen > 0 {
		numbers += ", unseen " + percent(float64(c.Unseen))
	}
	o.say(indent, numbers)
	o.trend(indent, r, c)
	for i := range r.Segments {
		if s := &r.Segments[i]; s.Column == name && role == "" {
			o.say(indent, s.told())
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
	label := fit(printable(t.Of), o.width/3) + " "
	room := o.width - len(indent) - cells(label) - 1
	per := (len(t.Then)+len(t.Now))/room + 1
	o.b.WriteString(indent + label + curve(t.Then, max(per, stride(t.Then)), lo, hi) + "│" + curve(t.Now, max(per, stride(t.Now)), lo, hi) + "\n")
	by := ""
	if r.Timeline != nil {
		by = ", by " + stepWords(r.Timeline.Step)
	}
	o.say(indent, fmt.Sprintf("%s%s to %s%s", strings.Repeat(" ", cells(label)), format(lo), format(hi), by))
}

// format is how the trend's numbers are written: rates as percentages.
func (t *Trend) format() func(float64) string {
	if strings.HasPrefix(t.Of, "share") || t.Of == "missing" {
		return percent
	}
	return short
}

// curve draws the means of per neighbours between lo and hi; a gap where there
// is none.
func curve(v []Number, per int, lo, hi float64) string {
	ramp := []rune(blocks)[1:]
	var b strings.Builder
	for part := range slices.Chunk(v, per) {
		mean := average(part)
		k, ok := at(mean, lo, hi, len(ramp)-1)
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
	o.head("Performance")
	for _, row := range s.Rows {
		line := fmt.Sprintf("%s %s (%s to %s) on %s %s, was %s on the holdout", row.Metric, short(float64(row.now)), short(float64(row.lo)), short(float64(row.hi)), thousands(row.N), row.What, short(float64(row.Then)))
		if !math.IsNaN(float64(row.P)) {
			line += " (p " + probability(float64(row.P)) + ")"
		}
		if row.Mark != "" {
			line += ": " + strings.TrimPrefix(row.Mark, "≠ ")
		}
		o.say("  ", line+".", o.alarm(strings.HasPrefix(row.Mark, "≠"))...)
	}
	for _, told := range s.Told {
		o.say("  ", told)
	}
	if e := s.Errors; e != nil {
		o.errors(e)
	}
	if m := s.Meaning; m != nil {
		var numbers []string
		for _, n := range m.Rows {
			numbers = append(numbers, fmt.Sprintf("%s %s → %s", n.Name, short(float64(n.Then)), short(float64(n.Now))))
		}
		o.say("  ", strings.TrimSuffix(m.Told, ".")+" ("+strings.Join(numbers, ", ")+", p "+chance(m.P)+").", o.alarm(m.Drift)...)
	}
	for _, v := range s.Segments {
		o.say("  ", v.Told)
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
		o.say("  ", "In no part of the rows did errors change beyond chance.")
		return
	}
	o.say("  ", strings.TrimSuffix(e.Told, ".")+":")
	for _, row := range found {
		o.say("    ", fmt.Sprintf("%s: %s: %s %s → %s, bias %s, p %s, %s rows", row.Column, row.Level, e.Metric, short(float64(row.Then)), short(float64(row.Now)), row.Bias, chance(row.P), thousands(row.N)))
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
			lines = append(lines, fmt.Sprintf("%s and %s: %s %s → %s.", cut(shown(d.A), longName), cut(shown(d.B), longName), measureName(d.Measure), short(float64(d.Then)), short(float64(d.Now))))
		}
	}
	if f := r.First; f != nil {
		lines = append(lines, fmt.Sprintf("Against the first reference (%s): %s", f.Version, f.Verdict))
	}
	if len(lines) == 0 {
		return
	}
	o.head("All columns together")
	for _, s := range lines {
		o.say("  ", s)
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
	o.head("Columns that hold")
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
	case o.width < 60:
		bars, rest = 6, 8
	case o.width < 80:
		bars, rest = 8, 16
	}
	longest := len("column")
	for _, name := range names {
		longest = max(longest, cells(shown(name)))
	}
	room := min(longest, o.width-2-2*(bars+1)-rest)
	line := func(name, then, now, p, psi, missing string) {
		s := fmt.Sprintf("  %s %s %s %7s", pad(fit(name, room), room), pad(then, bars), pad(now, bars), p)
		if rest > 8 {
			s += fmt.Sprintf(" %7s", psi)
		}
		if rest > 16 {
			s += fmt.Sprintf(" %8s", missing)
		}
		o.b.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	line("column", "then", "now", "p", "PSI", "missing")
	for _, name := range names {
		c := columns[name]
		then, now := c.bars()
		then, now = squeeze(then, bars), squeeze(now, bars)
		scale := slices.Max(append(append([]float64{1e-300}, then...), now...))
		missing := ""
		if c.Missing.Now > 0 {
			missing = percent(float64(c.Missing.Now))
		}
		line(shown(name), sparkline(then, scale), sparkline(now, scale), probability(float64(c.P)), known(small)(c.PSI), missing)
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

// cells is how many columns of a terminal s takes.
func cells(s string) int { return text.StringWidthWithoutEscSequences(s) }

// pad fills s up to n cells.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(n-cells(s), 0)) }

// fit shortens s to n cells, with … for what is gone.
func fit(s string, n int) string {
	if cells(s) <= n {
		return s
	}
	used := 0
	for i, c := range s {
		if used += text.RuneWidth(c); used > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// wrap breaks s between words into lines of at most n cells, and words that are
// longer between letters. A number stays with its per cent. An empty text is no
// line.
func wrap(s string, n int) []string {
	const glued = "\u00a0%"
	s = strings.ReplaceAll(s, " %", glued)
	var lines []string
	line, used := "", 0
	flush := func() {
		if line != "" {
			lines = append(lines, strings.ReplaceAll(strings.TrimRight(line, " "), glued, " %"))
		}
		line, used = "", 0
	}
	for _, word := range strings.SplitAfter(s, " ") {
		if wide := cells(strings.TrimRight(word, " ")); used+wide > n && wide <= n {
			flush()
		}
		for _, c := range word {
			w := text.RuneWidth(c)
			if used+w > n {
				if c == ' ' {
					continue
				}
				flush()
			}
			line, used = line+string(c), used+w
		}
	}
	flush()
	return lines
}

// printable shows what has no shape of its own, such as the orders that a
// terminal obeys, as �: names come from data.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsGraphic(c) || c == '\u200c' || c == '\u200d' { // joiners of letters and emoji
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

// probability is a p-value for people.
func probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return "-"
	case p < 0.0001:
		return "<.0001"
	}
	return fmt.Sprintf("%.4f", p)
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

const blocks = " ▁▂▃▄▅▆▇█"

// sparkline draws shares as bars, the greatest being scale.
func sparkline(v []float64, scale float64) string {
	ramp := []rune(blocks)
	var b strings.Builder
	for _, x := range v {
		k := int(math.Ceil(x / scale * float64(len(ramp)-1)))
		b.WriteRune(ramp[min(max(k, 0), len(ramp)-1)])
	}
	return b.String()
}
