package monitor

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed report.html.tmpl
var pageSource string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"short": known(short), "percent": known(percent),
	"prob": func(n Number) string { return probability(float64(n)) }, "thousands": thousands, "chart": chart,
	"some": func(n Number) bool { return n > 0 }, // false for NaN
}).Parse(pageSource))

// known formats a number, – when there is none.
func known(format func(float64) string) func(Number) string {
	return func(n Number) string {
		if math.IsNaN(float64(n)) {
			return "–"
		}
		return format(float64(n))
	}
}

// HTML writes the report as one page that needs nothing else: no script, no
// style sheet, no font from elsewhere.
func (r *Report) HTML(w io.Writer) error {
	type row struct {
		Name, Role string
		*Column
	}
	var rows []row
	for _, name := range r.PredictionOrder {
		rows = append(rows, row{name, "prediction", r.Prediction[name]})
	}
	for _, name := range r.Order {
		rows = append(rows, row{name, "input", r.Columns[name]})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.Drift == b.Drift:
			return 0
		case a.Drift:
			return -1
		}
		return 1
	})
	if err := page.Execute(w, struct {
		*Report
		Shown []row
	}{r, rows}); err != nil {
		return fmt.Errorf("write report page: %w", err)
	}
	return nil
}

// The size of a chart in its own units.
const (
	chartWidth, chartHeight = 240.0, 50.0
	mostLevels              = 8
)

// longLevel is where a level's name is cut in sentences and tips.
const longLevel = 40

// chart draws a column's distribution then and now: a histogram as two
// outlines, levels as pairs of bars.
func chart(c *Column) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="distribution then and now">`, chartWidth, chartHeight+12)
	switch {
	case c.Histogram != nil && len(c.Histogram.Edges) > 1:
		outlines(&b, c.Histogram)
	case len(c.Levels) > 0:
		pairs(&b, c.Levels[:min(len(c.Levels), mostLevels)])
	default:
		fmt.Fprintf(&b, `<text x="0" y="20">nothing to draw</text>`)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // made of numbers and escaped texts
}

func outlines(b *strings.Builder, h *Histogram) {
	then, now := merge(h.Then, len(h.Then)), merge(h.Now, len(h.Now))
	top := slices.Max(append(append([]float64{1e-12}, then...), now...))
	for _, side := range []struct {
		class string
		v     []float64
	}{{"then", then}, {"now", now}} {
		fmt.Fprintf(b, `<path class="%s" d="M0 %g`, side.class, chartHeight)
		step := chartWidth / float64(len(side.v))
		for i, x := range side.v {
			y := chartHeight * (1 - x/top)
			fmt.Fprintf(b, "L%.1f %.1fL%.1f %.1f", float64(i)*step, y, float64(i+1)*step, y)
		}
		fmt.Fprintf(b, `L%g %g"/>`, chartWidth, chartHeight)
	}
	first, last := h.Edges[0], h.Edges[len(h.Edges)-1]
	fmt.Fprintf(b, `<text x="0" y="%g">%s</text><text x="%g" y="%g" text-anchor="end">%s</text>`,
		chartHeight+10, short(float64(first)), chartWidth, chartHeight+10, short(float64(last)))
}

func pairs(b *strings.Builder, ls []LevelPair) {
	top := 1e-12
	for _, l := range ls {
		for _, v := range []float64{float64(l.Then), float64(l.Now)} {
			if !math.IsNaN(v) {
				top = max(top, v)
			}
		}
	}
	step := chartWidth / float64(len(ls))
	for i, l := range ls {
		fmt.Fprintf(b, `<g><title>%s: %s → %s</title>`, template.HTMLEscapeString(cut(l.Level, longLevel)), percent(float64(l.Then)), percent(float64(l.Now)))
		for k, v := range []float64{float64(l.Then), float64(l.Now)} {
			if math.IsNaN(v) {
				v = 0
			}
			height := chartHeight * v / top
			class := [...]string{"then", "now"}[k]
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
				class, (float64(i)+0.1+0.4*float64(k))*step, chartHeight-height, 0.38*step, height)
		}
		b.WriteString("</g>")
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, (float64(i)+0.5)*step, chartHeight+10, template.HTMLEscapeString(cut(l.Level, int(step/6))))
	}
}

// cut shortens s to n letters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > max(n, 2) {
		return string(r[:max(n, 2)-1]) + "…"
	}
	return s
}
