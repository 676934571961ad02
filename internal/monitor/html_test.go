package monitor

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/present/pagetest"
)

// reports are all the shapes that a page must bear.
func reports() map[string]*Report {
	return map[string]*Report{
		"story": story(), "calm": calm(), "hostile": hostileStory(), "unknown": unknown(), "bare": bare(), "one": one(), "wide": wide(60, 30), "all": wide(200, 200), "thousand": wide(1000, 300),
	}
}

func pageOf(t testing.TB, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPages also leaves the pages in the folder $PAGES, for looking at.
func TestPages(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			page := pageOf(t, r)
			pagetest.Check(t, page)
			if dir := os.Getenv("PAGES"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(page), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestPageTellsAll: what the report holds can be read, in the order in which a
// reader needs it.
func TestPageTellsAll(t *testing.T) {
	text := pagetest.Text(pageOf(t, story()))
	for _, want := range []string{
		"Drift: 5 of 12 columns", "What to do next", "Mend the feed of price", "Look at the feed as a whole: there are more rows", "Look for an outage", "Send rows in the order of time", "Look for a retry", "healml drift", "healml retrain --dry-run", "v0003-1f0c9a2b", "70,412", "528,113", "at most 1 false alarm a year",
		"Rows by step of 1d", "Drifted columns", "data fault: other unit", "The values look multiplied by 100", "Since 2026-02-08 (between 2026-02-06 and 2026-02-09)", "Usual cure: Convert the values", "mean by step",
		"region categorical ≠ other shares", "temperature numeric ≠ moved", "The change sits in 26 % of the rows", "discount numeric ≠ missing values", "channel categorical ≠ new level", "Since the window began, or before.", "Predictions", "The values rose by 4.0", "Performance", "worse than tolerated, and by more than it varies by itself", "98.2 % have their truth", "up to 2026-02-16", "after 14 days", "9,812 newer rows wait", "have higher predictions", "Of 12 earlier estimates 11 held the truth", "0.0002", "21,004",
		"In 2 parts of the rows errors changed", "channel: app ≠", "+6.3", "19.2 or more", "missing", "too extreme", "slope", "0.81", "intercept", "35 % of what was lost",
		"AUC of 0.83", "61.0 %", "rank correlation", "correlation ratio", "Against the first reference", "v0001-0badcafe", "Columns that hold", "humidity", "Left out", "orders the rows", "400 resamples", "weekday", "Glossary",
	} {
		_, after, ok := strings.Cut(text, want)
		if !ok {
			t.Errorf("the page does not say %q, or too early", want)
			continue
		}
		text = after
	}
	if calm := pagetest.Text(pageOf(t, calm())); !strings.Contains(calm, "Nothing. The rows look as those of the reference") || strings.Contains(calm, "retrain") || strings.Contains(calm, "Change began") {
		t.Error("a calm page gives work")
	}
}

// TestManyFaults: faults that the advice has no room for are listed, each with
// its cure.
func TestManyFaults(t *testing.T) {
	r := story()
	if strings.Contains(pagetest.Text(pageOf(t, r)), "Faults of the data feed") {
		t.Error("few faults are told twice")
	}
	r.Faults = append(r.Faults, Fault{Column: "stock", Kind: "frozen", Detail: "every value is 0; the reference runs from 1 to 70"})
	page := pageOf(t, r)
	pagetest.Check(t, page)
	text := pagetest.Text(page)
	for _, want := range []string{"Mend 1 more fault of the feed", "Faults of the data feed", "price ! other unit", "The whole table ! number of rows", "! repeated rows", "stock ! stuck", "Look at the sensor"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestPageSize: mail takes it and a browser opens it at once, however many
// columns there are.
func TestPageSize(t *testing.T) {
	for _, c := range []struct{ columns, drifted, most int }{{12, 5, 100_000}, {200, 0, 250_000}, {200, 200, 500_000}, {1000, 0, 500_000}, {1000, 1000, 800_000}} {
		if n := len(pageOf(t, wide(c.columns, c.drifted))); n > c.most {
			t.Errorf("%d columns, %d drifted: %d bytes", c.columns, c.drifted, n)
		}
	}
	for _, name := range []string{"column number 3", "column number 997"} {
		if !strings.Contains(pageOf(t, wide(1000, 300)), ">"+name+"<") {
			t.Errorf("%s is not on the page", name)
		}
	}
}

// TestPageOfAnything: no numbers and no texts break a page.
func TestPageOfAnything(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) Number {
		return rapid.OneOf(rapid.Just(Number(math.NaN())), rapid.Just(Number(math.Inf(1))), rapid.Just(Number(math.Inf(-1))), rapid.Custom(func(t *rapid.T) Number { return Number(rapid.Float64().Draw(t, "v")) })).Draw(t, "n")
	})
	numbers := rapid.SliceOfN(number, 0, 70)
	rapid.Check(t, func(rt *rapid.T) {
		r := story()
		name := rapid.String().Draw(rt, "name")
		c := r.Columns["temperature"]
		c.Histogram = &Histogram{numbers.Draw(rt, "edges"), numbers.Draw(rt, "then"), numbers.Draw(rt, "now")}
		c.Trend = &Trend{rapid.String().Draw(rt, "of"), numbers.Draw(rt, "then"), numbers.Draw(rt, "now")}
		c.Levels = []LevelPair{{name, number.Draw(rt, "a"), number.Draw(rt, "b"), true}}
		c.P, c.Effect, c.PSI, c.KS = number.Draw(rt, "p"), number.Draw(rt, "e"), number.Draw(rt, "psi"), number.Draw(rt, "ks")
		c.Change.Text, c.Change.Since.At = name, rapid.SampledFrom([]string{"", "7", "-1", "2026-02-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T00:00:00Z", name}).Draw(rt, "at")
		r.Timeline.Now = r.Timeline.Now[:rapid.IntRange(0, 60).Draw(rt, "steps")]
		r.Columns[name], r.Order[1] = c, name
		r.Domain.AUC, r.Domain.Lo = number.Draw(rt, "auc"), number.Draw(rt, "lo")
		r.Performance.Now, r.Performance.Hi = number.Draw(rt, "metric"), number.Draw(rt, "hi")
		page := pageOf(t, r)
		if m := regexp.MustCompile(`d="[^"]*(NaN|Inf|e[+-])[^"]*"`).FindString(page); m != "" {
			rt.Fatalf("drawn: %s", m)
		}
		pagetest.Check(t, page)
		var b bytes.Buffer
		if err := Render(&b, r, false, rapid.IntRange(1, 200).Draw(rt, "width")); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestPlace: a moment is put between the steps that hold it.
func TestPlace(t *testing.T) {
	timed := &Timeline{Now: []Step{{day(0), 1}, {day(1), 1}, {day(3), 1}}}
	rows := &Timeline{Now: []Step{{"0", 1}, {"150", 1}, {"300", 1}}}
	for _, c := range []struct {
		of   *Timeline
		at   string
		want float64
		ok   bool
	}{
		{timed, day(0), 0, true}, {timed, day(-9), 0, true}, {timed, day(1), 1, true}, {timed, day(2), 1.5, true}, {timed, day(4), 2.5, true}, {timed, day(99), 3, true}, {timed, "7", 0, false}, {timed, "soon", 0, false},
		{rows, "75", 0.5, true}, {rows, "300", 2, true}, {rows, "450", 3, true}, {rows, day(1), 0, false},
	} {
		if got, ok := c.of.step(c.at); ok != c.ok || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, %v, expected %v", c.at, got, ok, c.want)
		}
	}
	if p := timed.place(&Since{At: day(2), Lo: day(1), Hi: day(3)}); p == nil || *p != (place{1.5, 1, 2}) {
		t.Errorf("%v", p)
	}
	if p := timed.place(&Since{Before: true}); p == nil || p.At != 0 {
		t.Errorf("before: %v", p)
	}
	if timed.place(nil) != nil || (&Timeline{}).place(&Since{At: day(0)}) != nil || (*Timeline)(nil).place(&Since{At: day(0)}) != nil {
		t.Error("a place without a change or a timeline")
	}
}

func BenchmarkHTML(b *testing.B) {
	for _, n := range []int{10, 200, 1000} {
		r := wide(n, n/3)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var w bytes.Buffer
				if err := r.HTML(&w); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(w.Len()))
			}
		})
	}
}

// TestOldFormat: what a report of format 1 does not know is not shown as 0.
func TestOldFormat(t *testing.T) {
	r := story()
	for _, c := range r.Columns {
		c.Energy, c.MMD, c.CramerVonMises = 0, 0, 0
	}
	name := "energy distance</th>" // of a card; the glossary has it, too
	if !strings.Contains(pageOf(t, r), name) {
		t.Error("format 2 lacks it")
	}
	if r.Format = 1; strings.Contains(pageOf(t, r), name) {
		t.Error("format 1 has it")
	}
}
