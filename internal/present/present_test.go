package present

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Percent(0): "0 %", Percent(0.5): "50.0 %", Percent(0.00012): "0.012 %", Percent(math.NaN()): "–",
		Thousands(1234567): "1,234,567", Thousands(-1234): "-1,234", Thousands(12): "12", Short(123456.7): "123,457", Short(0.123456): "0.1235", Short(math.NaN()): "–",
		Small(0.12345): "0.123", Small(0.0001): "<0.001", Small(0): "0.000", Small(12.3456): "12.35", Small(-0.25): "-0.250",
		Lasting(0): "0 seconds", Lasting(90): "90 seconds", Lasting(7200): "2 hours", Lasting(1213200): "14 days", Lasting(9 * 3600): "9 hours", Lasting(2.25 * 86400): "2.3 days", Lasting(600): "10 minutes",
		Sparkline([]float64{0, .5, 1}, 1): " ▄█",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 5, ""}, {"one two", 7, "one two"}, {"one two", 6, "one|two"}, {"one  two", 3, "one|two"}, {"abcdefgh", 3, "abc|def|gh"}, {"列の名前", 4, "列の|名前"}, {"at 99 % now", 6, "at|99 %|now"}, {"a " + strings.Repeat("x", 5), 3, "a x|xxx|x"},
	} {
		if got := strings.Join(Wrap(c.s, c.n), "|"); got != c.want {
			t.Errorf("%q in %d: %q, expected %q", c.s, c.n, got, c.want)
		}
	}
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"列の名前", 5, "列の…"}, {"", 3, ""}} {
		if got := Fit(c.s, c.n); got != c.want {
			t.Errorf("%q in %d: %q, expected %q", c.s, c.n, got, c.want)
		}
	}
}

// TestContrast: texts have a contrast of 4.5 or more and lines of 3 against
// what they stand on, light and dark.
func TestContrast(t *testing.T) {
	schemes := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(Style, 2)
	for i, s := range schemes {
		color := map[string][3]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9]+):#([0-9a-f]+)`).FindAllStringSubmatch(s[1], -1) {
			color[m[1]] = rgb(t, m[2])
		}
		if len(color) < 15 {
			t.Fatalf("scheme %d has %d colours", i, len(color))
		}
		for _, c := range []struct {
			least  float64
			pairs  string
			reason string
		}{
			{4.5, "fg/bg fg/card fg/soft dim/bg dim/card dim/soft link/bg link/card bad/card bad/badbg fg/badbg good/goodbg good/card fg/goodbg warn/warnbg fg/warnbg warn/card", "text"},
			{3, "a2/card b/card dim/card card/bad card/good card/warn", "lines and marks"},
		} {
			for _, pair := range strings.Fields(c.pairs) {
				a, b, _ := strings.Cut(pair, "/")
				if got := contrast(color[a], color[b]); got < c.least {
					t.Errorf("scheme %d, %s: %s has a contrast of %.2f, needs %g", i, c.reason, pair, got, c.least)
				}
			}
		}
	}
}

func rgb(t *testing.T, hex string) (c [3]float64) {
	t.Helper()
	if len(hex) == 3 {
		hex = fmt.Sprintf("%c%c%c%c%c%c", hex[0], hex[0], hex[1], hex[1], hex[2], hex[2])
	}
	for i := range c {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c[i] = float64(v) / 255
	}
	return c
}

// contrast is that of WCAG 2: (lighter + .05) over (darker + .05) of relative
// luminances.
func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 {
		for i, v := range c {
			if v <= 0.04045 {
				c[i] = v / 12.92
			} else {
				c[i] = math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
	}
	x, y := luminance(a)+0.05, luminance(b)+0.05
	return max(x, y) / min(x, y)
}
