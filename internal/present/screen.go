package present

import (
	"fmt"
	"math"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// LeastWidth is the least width that a terminal is written for.
const LeastWidth = 40

// Screen gathers the lines for a terminal, none longer than Width cells.
type Screen struct {
	strings.Builder
	Color bool
	Width int
}

// NewScreen is empty; a width below LeastWidth counts as that.
func NewScreen(color bool, width int) Screen {
	return Screen{Color: color, Width: max(width, LeastWidth)}
}

// Paint colours s, which takes no more room by that.
func (o *Screen) Paint(s string, colors ...text.Color) string {
	if !o.Color || len(colors) == 0 {
		return s
	}
	return text.Colors(colors).Sprint(s)
}

// Say writes s, from data or not, wrapped and every line indented.
func (o *Screen) Say(indent, s string, colors ...text.Color) {
	for _, line := range Wrap(Printable(s), o.Width-len(indent)) {
		fmt.Fprintf(o, "%s%s\n", indent, o.Paint(line, colors...))
	}
}

// Head begins a part.
func (o *Screen) Head(s string) {
	fmt.Fprintf(o, "\n%s\n", o.Paint(s, text.Bold))
}

// Cells is how many columns of a terminal s takes.
func Cells(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Pad fills s up to n cells.
func Pad(s string, n int) string { return s + strings.Repeat(" ", max(n-Cells(s), 0)) }

// Fit shortens s to n cells, with … for what is gone.
func Fit(s string, n int) string {
	if Cells(s) <= n {
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

// Wrap breaks s between words into lines of at most n cells, and words that are
// longer between letters. A number stays with its per cent. An empty text is no
// line.
func Wrap(s string, n int) []string {
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
		if wide := Cells(strings.TrimRight(word, " ")); used+wide > n && wide <= n {
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

// Blocks are the heights of a bar, from none to full.
const Blocks = " ▁▂▃▄▅▆▇█"

// Sparkline draws shares as bars, the greatest being scale.
func Sparkline(v []float64, scale float64) string {
	ramp := []rune(Blocks)
	var b strings.Builder
	for _, x := range v {
		k := int(math.Ceil(x / scale * float64(len(ramp)-1)))
		b.WriteRune(ramp[min(max(k, 0), len(ramp)-1)])
	}
	return b.String()
}
