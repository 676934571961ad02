package retrain

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/healml/healml/internal/present"
)

//go:embed incident.html.tmpl
var pageSource string

// page is parsed when the first incident is told.
var page = sync.OnceValue(func() *template.Template {
	t := template.New("incident").Funcs(template.FuncMap{
		"short": present.Short, "percent": present.Percent, "thousands": present.Thousands, "moment": present.Moment,
		"name":  func(s string) string { return present.Cut(present.Shown(s), longName) },
		"text":  func(s string) string { return present.Cut(present.Printable(s), longText) },
		"upper": upper, "bar": present.Bar, "gained": gained,
	})
	template.Must(t.New("style").Parse(present.Style))
	return template.Must(t.Parse(pageSource))
})

// HTML writes the incident as one page that needs nothing else: no script, no
// style sheet, no font from elsewhere. The losses of rows are on it when the
// incident was just made, or [Incident.LoadLosses] read them.
func (in *Incident) HTML(w io.Writer) error {
	if err := page().Execute(w, in.told()); err != nil {
		return fmt.Errorf("write incident page: %w", err)
	}
	return nil
}

// upper begins a sentence.
func upper(s string) string {
	if s == "" {
		return s
	}
	r := []rune(s)
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

// gained writes a gain as a signed percentage, – for none.
func gained(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%+.1f %%", 100*v)
}

// timeWide is how many units a calendar's axis has.
const timeWide = 1000

// Lane draws one entry of the calendar.
func (c *calendar) Lane(e dated) template.HTML {
	d := present.Draw("lane", timeWide, "")
	d.Rect("past", 0, 40, timeWide, 20)
	at := func(v float64) int {
		x, _ := present.At(v, float64(c.From.UnixMicro()), float64(c.To.UnixMicro()), timeWide)
		return x
	}
	from, to := at(float64(e.From.UnixMicro())), at(float64(e.To.UnixMicro()))
	switch {
	case e.Open:
		d.Rect("run", 0, 20, max(to, 2), 60)
	case e.To.After(e.From):
		d.Rect("run", from, 20, max(to-from, 2), 60)
	case e.Mark:
		d.Line("mark", from)
	default:
		d.Dot("dot", from, present.High/2)
	}
	return d.HTML()
}

// Forest draws a gain: the interval as a bar with a dot, nothing gained as a
// line, the margin as a dashed one.
func (c *contest) Forest(g gain) template.HTML {
	d := present.Draw("interval", 400, "")
	d.Path("level", fmt.Sprintf("M0 50H%d", d.Wide))
	if x, ok := present.At(0, c.Lo, c.Hi, d.Wide); ok {
		d.Line("zero", x)
	}
	if x, ok := present.At(c.Margin, c.Lo, c.Hi, d.Wide); ok && c.Margin > 0 {
		d.Line("limit", x)
	}
	a, okA := present.At(g.Lo, c.Lo, c.Hi, d.Wide)
	b, okB := present.At(g.Hi, c.Lo, c.Hi, d.Wide)
	if okA && okB {
		d.Rect("b", a, 30, max(b-a, 2), 40)
	}
	if x, ok := present.At(g.Mean, c.Lo, c.Hi, d.Wide); ok {
		d.Dot("dot", x, 50)
	}
	return d.HTML()
}

// stepWide is how many units a group of rows is wide.
const stepWide = 20

// Drawing shows both losses by group, the border of the newest block marked.
func (c *course) Drawing() template.HTML {
	label := fmt.Sprintf("Mean loss by group of rows, between %s and %s: the champion's and that of %s", present.Short(c.Lo), present.Short(c.Hi), c.Cure)
	d := present.Draw("chart", stepWide*len(c.Rows), label)
	if c.Border > 0 {
		d.Rect("past", stepWide*c.Border, 0, d.Wide-stepWide*c.Border, present.High)
	}
	d.Path("ta", curve(c.Champion, c.Lo, c.Hi))
	d.Path("tb", curve(c.Cures, c.Lo, c.Hi))
	return d.HTML()
}

// Drawing shows the losses of both versions by block.
func (w *watched) Drawing() template.HTML {
	promoted, predecessor := w.series()
	d := present.Draw("chart", max(stepWide*len(w.Blocks), 1), fmt.Sprintf("Mean loss by block, between %s and %s: that of %s and of its predecessor", present.Short(w.Lo), present.Short(w.Hi), w.Bake.Promoted))
	d.Path("ta", curve(predecessor, w.Lo, w.Hi))
	d.Path("tb", curve(promoted, w.Lo, w.Hi))
	return d.HTML()
}

// curve joins values between lo and hi.
func curve(v []float64, lo, hi float64) string {
	if !(hi > lo) {
		pad := max(math.Abs(lo)/10, 1e-9)
		lo, hi = lo-pad, hi+pad
	}
	var b strings.Builder
	begun := false
	for i, x := range v {
		y, ok := present.At(x, lo, hi, present.High-10)
		if !ok {
			begun = false
			continue
		}
		if !begun {
			fmt.Fprintf(&b, "M%d %dh0", stepWide*i+stepWide/2, present.High-5-y)
		} else {
			fmt.Fprintf(&b, "L%d %d", stepWide*i+stepWide/2, present.High-5-y)
		}
		begun = true
	}
	return b.String()
}

// group is a row of the table of losses.
type group struct {
	Rows           int
	Champion, Cure float64
	Newest         bool
}

// Groups are the rows of that table.
func (c *course) Groups() (out []group) {
	for i, n := range c.Rows {
		out = append(out, group{n, c.Champion[i], c.Cures[i], i >= c.Border})
	}
	return out
}
