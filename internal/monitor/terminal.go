package monitor

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Render writes the report for a terminal of the given width: the verdict, and
// a line a column with its distribution then and now.
func Render(w io.Writer, r *Report, color bool, width int) error {
	verdict := printable(r.Verdict)
	if color {
		c := text.FgGreen
		if r.Drift {
			c = text.FgRed
		}
		verdict = c.Sprint(verdict)
	}
	if _, err := fmt.Fprintf(w, "%s\n", text.WrapSoft(verdict, width)); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s rows", thousands(r.Rows))
	if span := r.Window.String(); span != "" {
		fmt.Fprint(w, " "+span)
	}
	fmt.Fprintf(w, " against %s of the reference", thousands(r.ReferenceRows))
	if r.ModelVersion != "" {
		fmt.Fprintf(w, " of %s", printable(r.ModelVersion))
	}
	fmt.Fprint(w, "\n\n")
	t := newTextTable(w)
	t.AppendHeader(table.Row{"", "column", "then", "now", "p", "psi", "js", "missing", "unseen"})
	for _, name := range r.Order {
		t.AppendRow(textRow(name, r.Columns[name], color))
	}
	for _, name := range r.PredictionOrder {
		t.AppendRow(textRow(name, r.Prediction[name], color))
	}
	t.Render()
	if len(r.Reasons) > 0 {
		fmt.Fprintln(w)
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s\n", text.WrapSoft(printable(reason), max(width-2, 20)))
	}
	if p := r.Performance; p != nil && !p.Drift {
		fmt.Fprintf(w, "\n  %s\n", text.WrapSoft(printable(p.String()), max(width-2, 20)))
	}
	if e := r.Estimate; e != nil && !e.Drift {
		fmt.Fprintf(w, "\n  %s\n", text.WrapSoft(printable(e.String()), max(width-2, 20)))
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "  %s: left out, %s\n", printable(s.Column), printable(s.Reason))
	}
	return nil
}

// printable shows what has no shape of its own, such as the orders that a
// terminal obeys, as �: names come from data.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsGraphic(c) {
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

func newTextTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	return t
}

func textRow(name string, c *Column, color bool) table.Row {
	mark := " "
	if c.Drift {
		mark = "●"
		if color {
			mark = text.FgRed.Sprint(mark)
		}
	}
	then, now := c.bars()
	scale := slices.Max(append(append([]float64{1e-300}, then...), now...))
	unseen := ""
	if u := float64(c.Unseen); u > 0 {
		unseen = percent(u)
	}
	missing := ""
	if m := float64(c.Missing.Now); m > 0 || c.Missing.Then > 0 {
		missing = percent(m)
	}
	return table.Row{mark, printable(name), sparkline(then, scale), sparkline(now, scale), probability(float64(c.P)), short(float64(c.PSI)), short(float64(c.JS)), missing, unseen}
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
