package monitor

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/healml/healml/internal/present"
)

// RenderDiff writes a difference for a terminal of the given width: both
// verdicts, what turned, and a line for each column that drifts in either
// report.
func RenderDiff(w io.Writer, d *Difference, color bool, width int) error {
	for _, s := range []struct {
		name string
		side Side
	}{{"then", d.A}, {"now ", d.B}} {
		head := fmt.Sprintf("%s  %s  %s", s.name, s.side.ReportID, s.side.Created)
		if s.side.ModelVersion != "" {
			head += "  " + present.Printable(s.side.ModelVersion)
		}
		if _, err := fmt.Fprintf(w, "%s  %s rows\n", head, present.Thousands(s.side.Rows)); err != nil {
			return err
		}
		fmt.Fprintf(w, "      %s\n", text.WrapSoft(present.Printable(s.side.Verdict), max(width-6, 20)))
	}
	fmt.Fprintln(w)
	if !d.SameReference {
		fmt.Fprintln(w, "They compare with different references: p-values and distances are not of one scale.")
	}
	turned := func(what string, names []string, c text.Color) {
		if len(names) == 0 {
			return
		}
		line := fmt.Sprintf("%-16s %s", what, present.Printable(strings.Join(names, ", ")))
		if color {
			line = c.Sprint(line)
		}
		fmt.Fprintln(w, line)
	}
	turned("began to drift", d.Began, text.FgRed)
	turned("ceased to drift", d.Ceased, text.FgGreen)
	turned("drifts still", d.GoesOn, text.FgYellow)
	if len(d.Began)+len(d.Ceased)+len(d.GoesOn) == 0 {
		fmt.Fprintln(w, "nothing drifts in either")
	}
	d.columns(w)
	d.rest(w, width)
	return nil
}

// columns writes the lines of those that drift in either report.
func (d *Difference) columns(w io.Writer) {
	t := newTextTable(w)
	t.AppendHeader(table.Row{"column", "drift", "p", "psi", "effect", "mean", "missing"})
	quiet, shown := 0, 0
	for _, c := range d.Columns {
		if !was(c.Drift.Then) && !was(c.Drift.Now) {
			quiet++
			continue
		}
		shown++
		t.AppendRow(table.Row{
			present.Printable(present.Cut(c.Column, longLevel)), c.Drift.String(), arrow(c.P, present.Probability), arrow(c.PSI, present.Short), arrow(c.Effect, present.Percent), arrow(c.Mean, present.Short), arrow(c.Missing, present.Percent),
		})
	}
	if shown > 0 {
		fmt.Fprintln(w)
		t.Render()
	}
	if quiet > 0 {
		fmt.Fprintf(w, "\ncolumns that drift in neither: %d\n", quiet)
	}
}

// rest writes the metric and the faults of the feed.
func (d *Difference) rest(w io.Writer, width int) {
	if p := d.Performance; p != nil {
		fmt.Fprintf(w, "%s %s on %s labelled rows\n", p.Metric, arrow(p.Value, present.Short), arrow(p.Rows, present.Short))
	}
	if p := d.Estimate; p != nil {
		fmt.Fprintf(w, "%s %s, estimated for %s rows\n", p.Metric, arrow(p.Value, present.Short), arrow(p.Rows, present.Short))
	}
	for _, g := range []struct {
		what   string
		faults []Fault
	}{{"new fault", d.NewFaults}, {"fault is gone", d.GoneFaults}} {
		for _, f := range g.faults {
			fmt.Fprintf(w, "%s: %s\n", g.what, text.WrapSoft(present.Printable(strings.TrimPrefix(f.Column+": "+f.Detail, ": ")), max(width-2, 20)))
		}
	}
}

// String says how it was and is; a dash where the report does not have it.
func (t Turn) String() string {
	word := func(b *bool) string {
		switch {
		case b == nil:
			return "–"
		case *b:
			return "yes"
		}
		return "no"
	}
	return word(t.Then) + " → " + word(t.Now)
}

// arrow writes a pair, or one dash where neither has a value.
func arrow(p Pair, write func(float64) string) string {
	if math.IsNaN(float64(p.Then)) && math.IsNaN(float64(p.Now)) {
		return "–"
	}
	return write(float64(p.Then)) + " → " + write(float64(p.Now))
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
