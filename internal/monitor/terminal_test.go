package monitor

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/healml/healml/internal/present"
)

func rendered(t *testing.T, r *Report, color bool, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, r, color, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRender(t *testing.T) {
	out := rendered(t, changed(t), false, 100)
	if !strings.HasPrefix(out, "Drift: 2 of 4 columns drifted (price, region)") || strings.Contains(out, "\x1b") || !strings.Contains(out, "█") || !strings.Contains(out, "v0001-0badcafe") {
		t.Errorf("%s", out)
	}
	if out := rendered(t, changed(t), true, 100); !strings.Contains(out, "\x1b[31m") {
		t.Error("no colour")
	}
	rendered(t, compare(t, stream(1, 0), stream(2, 0), nil), false, 80)
}

// TestRenderTellsAll: what was found is told in the order in which it is needed.
func TestRenderTellsAll(t *testing.T) {
	out := rendered(t, story(), false, 120)
	for _, want := range []string{
		"Drift: 5 of 12 columns", "70,412 rows from 2026-01-01 to 2026-03-02", "What to do\n", "Mend the feed of price", "healml drift", "healml retrain --dry-run",
		"Drifted\n", "● price  numeric, data fault: other unit\n", "The values look multiplied by 100", "Since 2026-02-08 (between 2026-02-06 and 2026-02-09).", "Usual cure: ", "now ", "missing 1.2 % → 1.1 %", "│", "2.408 to 232.7, by 1d",
		"● region  categorical: other shares\n", "● temperature  numeric: moved\n", "● discount  numeric: missing values\n", "● channel  categorical: new level\n", "Since the window began, or before.", "● predicted_sales  prediction, numeric: moved\n",
		"Performance\n", "mae 4.9 (4.6 to 5.2) on 21,004 rows with truth, was 4.1 on the holdout (p 0.0002): worse.", "mae 5.3 (4.7 to 5.9) on 49,408 current rows, estimated", "worse than tolerated", "98.2 % have their truth", "9,812 newer rows", "11 held the truth", "channel: app: mae 4 → 9.1, bias +6.3", "too extreme", "slope 0.99 → 0.81", "All columns together\n", "AUC of 0.83", "rank correlation -0.62 → 0.05", "first reference (v0001-0badcafe)",
		"Columns that hold\n", "  column", "  humidity", "Left out\n", "  date: orders the rows\n",
	} {
		_, after, ok := strings.Cut(out, want)
		if !ok {
			t.Fatalf("%q is not told, or too early:\n%s", want, out)
		}
		out = after
	}
	if out := rendered(t, calm(), false, 80); !strings.Contains(out, "Nothing.") || strings.Contains(out, "●") || strings.Contains(out, "retrain") {
		t.Errorf("a calm report gives work:\n%s", out)
	}
}

// TestRenderFits: no line is longer than the terminal is wide, whatever stands
// in it, and colours change nothing but the colours.
func TestRenderFits(t *testing.T) {
	for name, r := range reports() {
		for _, width := range []int{0, 40, 60, 80, 120, 300} {
			out := rendered(t, r, false, width)
			for _, line := range strings.Split(out, "\n") {
				if n := present.Cells(line); n > max(width, present.LeastWidth) || strings.HasSuffix(line, " ") {
					t.Errorf("%s at %d: %d cells: %q", name, width, n, line)
				}
			}
			if plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(rendered(t, r, true, width), ""); plain != out {
				t.Errorf("%s at %d: colours change the text", name, width)
			}
		}
	}
}
