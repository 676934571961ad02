package present

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Short writes a number with four digits, – for none.
func Short(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	if a := math.Abs(v); a >= 1e4 && a < 1e15 {
		return Thousands(int(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Percent writes a share so that small ones do not become 0.
func Percent(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v == 0:
		return "0 %"
	case math.Abs(v) < 0.001:
		return strconv.FormatFloat(100*v, 'g', 2, 64) + " %"
	}
	return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
}

// Thousands groups digits.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	from := 0
	if n < 0 {
		from = 1
	}
	for i := len(s) - 3; i > from; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Small writes a distance with three decimals, where more would only be noise.
func Small(v float64) string {
	switch {
	case math.Abs(v) >= 10:
		return Short(v)
	case v > 0 && v < 0.0005:
		return "<0.001"
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// Probability is a p-value for people.
func Probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return "-"
	case p < 0.0001:
		return "<.0001"
	}
	return fmt.Sprintf("%.4f", p)
}

// Lasting writes seconds as people do: "14 days", "3.5 hours".
func Lasting(seconds float64) string {
	for _, u := range []struct {
		name string
		of   float64
	}{{"days", 86400}, {"hours", 3600}, {"minutes", 60}} {
		if seconds >= 2*u.of {
			if v := seconds / u.of; v < 10 {
				return Short(math.Round(10*v)/10) + " " + u.name
			}
			return Thousands(int(math.Round(seconds/u.of))) + " " + u.name
		}
	}
	return Thousands(int(math.Round(max(seconds, 0)))) + " seconds"
}

// Cut shortens s to n letters.
func Cut(s string, n int) string {
	if r := []rune(s); len(r) > max(n, 2) {
		return string(r[:max(n, 2)-1]) + "…"
	}
	return s
}

// Shown is a name from data as people may see it: letters without shape as �,
// a name that cannot be seen in quotes.
func Shown(name string) string {
	if s := Printable(name); strings.Trim(s, " \u00a0\u2003\u3000\u200b\u200c\u200d") != "" {
		return s
	}
	return strconv.Quote(name)
}

// Printable shows what has no shape of its own, such as the orders that a
// terminal obeys, as �: names come from data.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsGraphic(c) || c == '\u200c' || c == '\u200d' { // joiners of letters and emoji
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

// Sentence ends s with a full stop.
func Sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// Moment writes a time, in UTC, as the day, with the minute unless that is
// midnight.
func Moment(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04")
}
