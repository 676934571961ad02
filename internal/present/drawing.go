package present

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// A drawing is one SVG that stretches to the width that it is given; its
// corner is 0,0 and its size wide × high units, which are whole numbers to
// keep the page small. Names, numbers and axes are written around it in HTML,
// where they stay legible at every width.
type Drawing struct {
	b    strings.Builder
	Wide int
}

// High is the height of every drawing in its own units.
const High = 100

// Draw begins a drawing. The label tells those who cannot see it what it
// shows; without one it is hidden from them, for what stands beside it in text.
func Draw(class string, wide int, label string) *Drawing {
	d := &Drawing{Wide: wide}
	fmt.Fprintf(&d.b, `<svg class="%s" viewBox="0 0 %d %d" preserveAspectRatio="none"`, class, wide, High)
	if label == "" {
		d.b.WriteString(` aria-hidden="true">`)
	} else {
		fmt.Fprintf(&d.b, ` role="img" aria-label="%s">`, template.HTMLEscapeString(Printable(label)))
	}
	return d
}

// HTML ends the drawing. What is in it are numbers, names of classes and one
// escaped label.
func (d *Drawing) HTML() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String()) //nolint:gosec // see above
}

// Path draws p, in the language of SVG; an empty one is nothing.
func (d *Drawing) Path(class, p string) {
	if p != "" {
		d.b.WriteString(`<path class="` + class + `" d="` + p + `"/>`)
	}
}

// Rect is a bar.
func (d *Drawing) Rect(class string, x, y, w, h int) {
	fmt.Fprintf(&d.b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"/>`, class, x, y, w, h)
}

// Line goes straight down at x.
func (d *Drawing) Line(class string, x int) { d.Path(class, fmt.Sprintf("M%d 0V%d", x, High)) }

// Dot is a round mark however the drawing is stretched: a line of no length
// with round ends.
func (d *Drawing) Dot(class string, x, y int) { d.Path(class, fmt.Sprintf("M%d %dh0", x, y)) }

// At places v on an axis from lo to hi that is size units long. NaN is no place.
func At(v, lo, hi float64, size int) (int, bool) {
	f := (v - lo) / (hi - lo)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return int(math.Round(min(max(f, 0), 1) * float64(size))), true
}

// Bar is a share of 1 as a bar on its track; nothing is drawn of NaN.
func Bar(share float64) template.HTML {
	d := Draw("bars", 200, "")
	if w, ok := At(share, 0, 1, d.Wide); ok {
		d.Rect("track", 0, 25, d.Wide, 50)
		d.Rect("b", 0, 25, w, 50)
	}
	return d.HTML()
}
