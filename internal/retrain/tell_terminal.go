package retrain

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/score"
)

// Render tells the incident on a terminal of the given width in cells, in the
// order of its page. No line is longer than width, or 40 if that is more.
func (in *Incident) Render(w io.Writer, color bool, width int) error {
	v := in.told()
	o := &screen{present.NewScreen(color, width)}
	o.Say("", v.Headline, v.colour(), text.Bold)
	o.Say("", present.Sentence(upper(in.Reason)))
	o.Head("What to do")
	for _, s := range v.Next {
		o.Say("  ", s.Do)
		if s.Command != "" {
			o.Say("      ", s.Command, text.Bold)
		}
	}
	o.calendar(v.When)
	o.seen(v)
	o.causes(v.Behind)
	o.watched(v.Watched)
	o.contest(v.Tried)
	o.course(v.Course)
	o.windows(v.Windows)
	o.Head("Rules that held")
	for _, s := range v.Rules {
		o.Say("  ", s)
	}
	o.Say("  ", "To compute the decision again: healml incidents replay "+in.ID)
	_, err := io.WriteString(w, o.String())
	return err
}

// colour is that of the outcome.
func (v *told) colour() text.Color {
	switch v.Class {
	case "alarm":
		return text.FgRed
	case "calm":
		return text.FgGreen
	}
	return text.FgYellow
}

type screen struct{ present.Screen }

// item is a line of a list.
func (o *screen) item(s string) {
	for i, line := range present.Wrap(present.Printable(s), o.Width-4) {
		if i == 0 {
			fmt.Fprintf(o, "  - %s\n", line)
		} else {
			fmt.Fprintf(o, "    %s\n", line)
		}
	}
}

func (o *screen) seen(v *told) {
	if v.Watched != nil && len(v.Seen) == 0 {
		return
	}
	o.Head("What was seen")
	if len(v.Seen) == 0 {
		o.Say("  ", "Nothing that asks for a cure.")
	}
	for _, s := range v.Seen {
		o.item(upper(s))
	}
	if v.Watched == nil {
		o.Say("  ", fmt.Sprintf("%s labelled rows, %s of them new to the champion.", present.Thousands(v.Rows), present.Thousands(v.Labels)))
	}
}

func (o *screen) calendar(c *calendar) {
	if c == nil {
		return
	}
	o.Head("When")
	for _, e := range c.Entries {
		o.Say("  ", e.Told()+"  "+present.Cut(present.Shown(e.Name), longName))
	}
}

// bars are a share of 1 in n cells.
func bars(share float64, n int) string {
	k := 0
	if share > 0 {
		k = int(math.Round(min(share, 1) * float64(n)))
	}
	return strings.Repeat("█", k) + strings.Repeat("░", n-k)
}

func (o *screen) causes(behind []causeTold) {
	if len(behind) == 0 {
		return
	}
	o.Head("What lies behind it")
	for _, c := range behind {
		if c.Unlikely {
			continue
		}
		s := upper(c.Name)
		if c.Harmless {
			s += " (harmless: the model hardly rests on it)"
		}
		o.Say("  ", fmt.Sprintf("%s %7s  %s", bars(c.Probability, 10), present.Percent(c.Probability), s))
		for _, e := range c.Evidence {
			o.Say("      ", upper(e))
		}
	}
}

func (o *screen) watched(w *watched) {
	if w == nil {
		return
	}
	o.Head(w.Title)
	o.Say("  ", w.Told)
	promoted, predecessor := w.series()
	o.curves(w.Lo, w.Hi, len(promoted), w.Names[1], predecessor, w.Names[0], promoted)
}

// forest draws a gain on n cells: ├─●─┤ with │ for nothing gained and ┊ for the
// margin, where neither is covered.
func (c *contest) forest(g gain, n int) string {
	cells := slices.Repeat([]rune{' '}, n)
	at := func(v float64) (int, bool) { return present.At(v, c.Lo, c.Hi, n-1) }
	if x, ok := at(c.Margin); ok && c.Margin > 0 {
		cells[x] = '┊'
	}
	if x, ok := at(0); ok {
		cells[x] = '│'
	}
	a, okA := at(g.Lo)
	b, okB := at(g.Hi)
	if okA && okB {
		for i := a; i <= b; i++ {
			if cells[i] == ' ' {
				cells[i] = '─'
			}
		}
		cells[a], cells[b] = '├', '┤'
	}
	if x, ok := at(g.Mean); ok {
		cells[x] = '●'
	}
	return string(cells)
}

func (o *screen) contest(c *contest) {
	if c == nil {
		return
	}
	o.Head("What was tried")
	o.Say("  ", c.Told)
	o.Say("  ", fmt.Sprintf("The gain over the champion with its interval, from %s to %s of its loss: │ nothing gained, ┊ the margin of %s.", gained(c.Lo), gained(c.Hi), present.Percent(c.Margin)))
	wide := min(max((o.Width-30)/2, 12), 40)
	both := 4+2*(wide+10) <= o.Width
	for _, t := range c.Trials {
		mark, colors := " ", []text.Color{}
		switch {
		case t.Won:
			mark, colors = "✓", []text.Color{text.FgGreen}
		case t.Out:
			mark = "✗"
		}
		o.Say(mark+" ", upper(t.Cure)+": "+t.Verdict, colors...)
		if both {
			fmt.Fprintf(o, "    %s %8s  %s %8s\n", c.forest(t.Gain[0], wide), gained(t.Gain[0].Mean), c.forest(t.Gain[1], wide), gained(t.Gain[1].Mean))
			continue
		}
		for i, of := range []string{"all", "new"} {
			fmt.Fprintf(o, "    %s %s %8s\n", of, c.forest(t.Gain[i], o.Width-18), gained(t.Gain[i].Mean))
		}
	}
	if both {
		fmt.Fprintf(o, "    %s  %s\n", present.Pad("on all", wide+9), "on the newest")
	}
	if len(c.Skipped) > 0 {
		o.Say("  ", "Not tried, for want of time: "+strings.Join(c.Skipped, "; ")+".")
	}
}

func (o *screen) course(c *course) {
	if c == nil {
		return
	}
	o.Head("How losses went")
	o.curves(c.Lo, c.Hi, c.Border, "champion", c.Champion, "cure", c.Cures)
	newest := ""
	if c.Border > 0 {
		newest = "; after │ the newest block"
	}
	o.Say("  ", fmt.Sprintf("Means of groups of rows, from %s to %s; the cure: %s%s.", present.Short(c.Lo), present.Short(c.Hi), c.Cure, newest))
}

// curves draws two series of the same length under one another, parted at the
// border.
func (o *screen) curves(lo, hi float64, border int, nameA string, a []float64, nameB string, b []float64) {
	room := o.Width - 2 - 13
	per := (len(a) + room - 2) / (room - 1)
	for _, s := range []struct {
		name string
		v    []float64
	}{{nameA, a}, {nameB, b}} {
		line := trace(s.v[:min(border, len(s.v))], per, lo, hi)
		if border > 0 && border < len(s.v) {
			line += "│"
		}
		line += trace(s.v[min(border, len(s.v)):], per, lo, hi)
		fmt.Fprintf(o, "  %s %s\n", present.Pad(s.name, 12), line)
	}
}

// trace draws the means of per neighbours between lo and hi.
func trace(v []float64, per int, lo, hi float64) string {
	ramp := []rune(present.Blocks)[1:]
	var b strings.Builder
	for part := range slices.Chunk(v, max(per, 1)) {
		k, ok := present.At(score.Mean(part), lo, hi, len(ramp)-1)
		if !ok {
			k = 0
		}
		b.WriteRune(ramp[k])
	}
	return b.String()
}

func (o *screen) windows(w *windowsTold) {
	if w == nil {
		return
	}
	o.Head("What to learn from")
	o.Say("  ", fmt.Sprintf("What each window of the past would have lost on %d blocks before the newest, and its weight in the mix:", w.Blocks))
	for _, r := range w.Rows {
		o.Say("  ", fmt.Sprintf("%s %5.0f %%  %s  %s", bars(r.Weight, 10), 100*r.Weight, present.Pad(present.Short(r.Loss), 8), r.Cure))
	}
}

// Cause names the likeliest cause with its probability, "" without a diagnosis.
func (in *Incident) Cause() (string, float64) {
	if c, ok := in.likeliest(); ok {
		return c.String(), c.Probability
	}
	return "", 0
}

// Gained is the match that speaks for the cure that won, on the newest rows when
// they prove it, else on all; false when none did.
func (in *Incident) Gained() (heal.Match, bool) {
	for _, t := range in.Trials {
		if in.Cure != "" && t.Cure == in.Cure {
			return t.Best(in.Policy.Margin), true
		}
	}
	return heal.Match{}, false
}
