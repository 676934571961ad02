package retrain

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/present/pagetest"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

var noon = time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)

// healed is an incident that has every part but a bake.
func healed() *Incident {
	match := func(rows int, gain float64) heal.Match {
		return heal.Match{Rows: rows, Champion: 10, Loss: 10 - gain, Gain: score.Interval{Mean: gain, Lo: gain - 1, Hi: gain + 1}}
	}
	trial := func(cure string, all, newest float64) Trial {
		return Trial{Trial: heal.Trial{Cure: cure, All: match(900, all), Newest: match(300, newest)}, Folds: 2, From: noon.AddDate(0, 0, -7), To: noon, Action: heal.Retrain}
	}
	in := &Incident{
		Format: 1, ID: "i20240601t120000z-0badcafe", At: noon, Champion: "v0001-0badcafe", Learned: noon.AddDate(0, -1, 0), Reasons: []string{"price drifted"}, Rows: 51234, Labels: 900,
		Excluded: []Exclusion{{From: noon.AddDate(0, 0, -9), To: noon.AddDate(0, 0, -8), Column: "price", Why: "values are 100 times what they were", Rows: 41}},
		Repaired: []Exclusion{{From: noon.AddDate(0, 0, -5), To: noon.AddDate(0, 0, -4), Column: "region", Why: "nord is north", Rows: 77}},
		Diagnosis: &heal.Diagnosis{Causes: []heal.Cause{
			{Kind: heal.ConceptShift, Probability: 0.9, Segment: "region is north", Evidence: []string{"the mean error went from 1 to 3.25"}},
			{Kind: heal.CovariateShift, Probability: 0.095, Harmless: true, Evidence: []string{"2 columns moved"}},
			{Kind: heal.DataFault, Probability: 0.005, Form: "unit", Columns: []string{"price"}, Evidence: []string{"no fault was found"}},
		}},
		Spoilt: &heal.Spoilt{Batches: 1, Rows: 400, Share: 0.2, Usual: 0.01, Sources: []string{"crm"}}, Metric: "mae", Break: &Break{Expected: 7, Loss: 9.5},
		Record: []Recorded{{Cure: "all labelled rows", Losses: []float64{9, 8.5}, Loss: 8.7, Weight: 0.25}, {Cure: "newest 1/2 of the labelled rows", Window: 2500, Losses: []float64{8, 7.5}, Loss: 7.7, Weight: 0.75}},
		Trials: []Trial{trial("all labelled rows", -2, -1.5), trial("newest 1/2 of the labelled rows", 2, 3), trial("refit the leaves", 1.5, 0.25), trial("a constant", 4, 4), trial("recalibrate", 0.1, 0.2)},
		Policy: heal.Policy{Cooldown: time.Hour, MinLabels: 200, MaxAge: 720 * time.Hour, NewLabels: 0.25, Margin: 0.005, Confidence: 0.9, SliceLimit: 0.1},
		Action: heal.Retrain, Cure: "newest 1/2 of the labelled rows", Promoted: true, Version: "v0002-0badcafe", Reason: "it lowers the loss by 30 %", Skipped: []string{"roll back"},
		Basis: Basis{Evidence: &heal.Evidence{Now: noon, Promoted: noon.AddDate(0, 0, -20), Began: noon.AddDate(0, 0, -6), Labelled: noon.Add(-time.Hour), Labels: 900, Learnt: 50334}, Seed: 7, Cures: 6, Golden: &GoldenSet{File: "golden.csv", Rows: 12, Champion: 3.5}},
	}
	in.Trials[3].Floor = true
	in.Trials[2].Vetoes = []string{"it loses 40 % in region = south"}
	columns := []*table.Column{table.Floats(championColumn, ramp(900, 10))}
	for i := range in.Trials {
		columns = append(columns, table.Floats(lossColumn(i), ramp(900, 8+float64(i))))
	}
	in.losses = table.Must(columns...)
	return in
}

func ramp(n int, mean float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = mean + math.Sin(float64(i)/50)
	}
	return v
}

// taken is a rollback by the bake.
func taken() *Incident {
	r := &BakeRecord{Policy: heal.BakePolicy{Length: 7 * 24 * time.Hour, Margin: 0.02, Alpha: 0.01}, Bake: heal.Bake{Promoted: "v0002-0badcafe", Predecessor: "v0001-0badcafe", Began: noon.AddDate(0, 0, -2)}, Metric: "mae", At: noon}
	for i := range 6 {
		r.Blocks = append(r.Blocks, heal.BakeBlock{From: noon.Add(time.Duration(i-9) * time.Hour), To: noon.Add(time.Duration(i-8) * time.Hour), Rows: 50, Promoted: 4 + float64(i)/10, Predecessor: 3})
	}
	r.Verdict = heal.BakeVerdict{Outcome: heal.BakeWorse, Blocks: 6, Rows: 300, Promoted: 4.25, Predecessor: 3, Excess: &score.Interval{Mean: 1.19, Lo: 0.5, Hi: 2}, E: 4321, Because: "it is worse"}
	return &Incident{Format: 1, ID: "i20240601t120000z-00000001", At: noon, Champion: "v0002-0badcafe", Version: "v0001-0badcafe", Action: heal.Rollback, Reason: "it is worse", Basis: Basis{Bake: r}}
}

func kept() *Incident {
	in := healed()
	in.Action, in.Cure, in.Promoted, in.Version = heal.Keep, "", false, ""
	return in
}

// tales are incidents of all shapes.
func tales() map[string]*Incident {
	quarantine := kept()
	quarantine.Action, quarantine.LeftOut = heal.Quarantine, 80
	frozen := &Incident{Format: 1, ID: "i20240601t120000z-00000002", At: noon, Champion: "v1", Action: heal.None, Reason: "frozen: it went in circles", Policy: heal.Policy{MinLabels: 1, Confidence: 0.9}, Basis: Basis{Guard: &Barrier{Limits: heal.Limits{PerWeek: 3, Oscillation: time.Hour}}}}
	hostile := healed()
	evil := "</style><script>alert(1)</script>\x1b[2J\u202e{{.}}\"'<&" + strings.Repeat("x", 2000)
	hostile.Champion, hostile.Reason, hostile.Metric = evil, evil, evil
	hostile.Reasons, hostile.Skipped = []string{evil}, []string{evil}
	hostile.Excluded[0].Column, hostile.Repaired[0].Why = evil, evil
	hostile.Diagnosis.Causes[0].Segment, hostile.Diagnosis.Causes[0].Evidence = evil, []string{evil}
	hostile.Trials[0].Cure, hostile.Trials[2].Vetoes = evil, []string{evil}
	hostile.Spoilt.Sources, hostile.Golden.File, hostile.Record[0].Cure = []string{evil}, evil, evil
	shadowed := healed()
	until := noon.AddDate(0, 0, 7)
	shadowed.Promoted, shadowed.ShadowUntil = false, &until
	shown := taken()
	shown.Shadow, shown.Bake, shown.Action, shown.Promoted = shown.Bake, nil, heal.Refit, true
	shown.Champion, shown.Version = shown.Version, shown.Champion
	rehearsed := healed()
	rehearsed.Promoted, rehearsed.Version = false, ""
	return map[string]*Incident{"healed": healed(), "kept": kept(), "taken back": taken(), "quarantine": quarantine, "frozen": frozen, "hostile": hostile, "rehearsed": rehearsed, "shadowed": shadowed, "shown": shown, "bare": {Format: 1, At: noon}}
}

func pageOf(t testing.TB, in *Incident) string {
	t.Helper()
	var b bytes.Buffer
	if err := in.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestIncidentPages also leaves the pages in the folder $PAGES, for looking at.
func TestIncidentPages(t *testing.T) {
	for name, in := range tales() {
		t.Run(name, func(t *testing.T) {
			page := pageOf(t, in)
			pagetest.Check(t, page)
			if again := pageOf(t, in); again != page {
				t.Error("the same incident gives another page")
			}
			if dir := os.Getenv("PAGES"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(page), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// inOrder fails unless all texts are there, each after the one before.
func inOrder(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		_, after, ok := strings.Cut(text, want)
		if !ok {
			t.Errorf("%q is missing, or too early", want)
			continue
		}
		text = after
	}
}

// TestPageTells: the page has the story in the order in which a reader asks.
func TestPageTells(t *testing.T) {
	inOrder(t, pagetest.Text(pageOf(t, healed())),
		"Healed", "v0002-0badcafe took over from v0001-0badcafe", "It lowers the loss by 30 %", "What to do next", "healml models rollback", "51,234", "900 new to the champion",
		"When", "up to 2024-05-01", "2024-05-12", "cures were judged on", "2024-05-25 12:00 to 2024-06-01 12:00", "decision",
		"What was seen", "Price drifted", "41 rows", `in column "price"`, "77 rows", "nord is north", "20.0 % look wrong, where 1.0 % usually do; they were written by crm", "A break", "where 7 was expected", "12 golden rows of golden.csv",
		"What lies behind it", "Concept shift, where region is north", "90.0 %", "The mean error went from 1 to 3.25", "Covariate shift", "harmless", "unlikely", "Data fault (unit), in price",
		"What was tried", "900 rows from", "Lower mae is better: the champion has 10", "margin of 0.5 %", "All labelled rows", "worse than the champion", "-20.0 %", "-30.0 % to -10.0 %", "✓", "taken", "+20.0 %", "ruled out: it loses 40 % in region = south", "the floor", "not proven", "Not tried, for want of time: roll back",
		"How losses went", "newest 1/2", "shaded: the newest block", "What to learn from", "2 blocks", "75.0 %", "Rules that held", "90.0 % confidence", "0.5 % of its loss", "lose more than 10.0 %", "at least 200", "30 days", "healml incidents replay i20240601t120000z-0badcafe", "Every number")
	inOrder(t, pagetest.Text(pageOf(t, taken())), "Taken back", "v0001-0badcafe serves again in place of v0002-0badcafe", "healml retrain --thaw", "bake of v0002-0badcafe", "The bake", "300 rows", "6 blocks", "4.25 against 3 mae", "e-value of 4321", "1.19 (0.5 to 2)", "watched for 7 days", "more than 2.0 %", "at most 1.0 %")
	inOrder(t, pagetest.Text(pageOf(t, tales()["shadowed"])), "In shadow", "v0002-0badcafe is compared with v0001-0badcafe", "Until 2024-06-08 12:00", "healml models promote v0002-0badcafe")
	inOrder(t, pagetest.Text(pageOf(t, tales()["shown"])), "Healed", "v0002-0badcafe took over from v0001-0badcafe", "shadow of v0002-0badcafe", "The shadow", "was put in the shadow of v0001-0badcafe", "the champion", "the challenger")
	inOrder(t, pagetest.Text(pageOf(t, kept())), "Kept", "Healing looks again", "proven on all rows and on the newest; another was taken")
	inOrder(t, pagetest.Text(pageOf(t, tales()["quarantine"])), "Quarantine", "80 rows in excluded.parquet", "readmit: [i20240601t120000z-0badcafe]")
	inOrder(t, pagetest.Text(pageOf(t, tales()["frozen"])), "Healing is frozen", "healml retrain --thaw", "Nothing that asks for a cure", "at most 3 times in seven days")
}

// TestEveryNumber: what incident.json holds stands on the page.
func TestEveryNumber(t *testing.T) {
	for name, in := range tales() {
		doc, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		text := pagetest.Text(pageOf(t, in))
		found := regexp.MustCompile(`[:\[,]-?[0-9][0-9.e+-]*[,}\]]`).FindAllString(string(doc), -1)
		if len(found) < 3 {
			t.Fatalf("%s has %d numbers", name, len(found))
		}
		for _, n := range found {
			if n = strings.Trim(n, ":[,}]"); !strings.Contains(text, n) {
				t.Errorf("%s: %s is not on the page", name, n)
			}
		}
	}
}

// TestCourse: no group reaches over the border of the newest block, all rows
// count, and means are right.
func TestCourse(t *testing.T) {
	in := healed()
	c := in.course()
	rows, sum := 0, 0.0
	for i, n := range c.Rows {
		if rows += n; (rows <= 600) != (i < c.Border) {
			t.Errorf("group %d ends at row %d, the border is group %d", i, rows, c.Border)
		}
		sum += float64(n) * c.Champion[i]
	}
	if want := score.Mean(in.losses.Column(championColumn).Floats) * 900; rows != 900 || math.Abs(sum-want) > 1e-6 {
		t.Errorf("%d rows that add up to %g, expected %g", rows, sum, want)
	}
	if c.Cure != in.Cure || math.Abs(score.Mean(c.Cures)-9) > 0.1 { // that of the second trial
		t.Errorf("the curve of %s about %g", c.Cure, score.Mean(c.Cures))
	}
	if in = kept(); in.course().Cure != "a constant" { // gained most
		t.Errorf("the curve of %s", in.course().Cure)
	}
}

func rendered(t testing.TB, in *Incident, color bool, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := in.Render(&b, color, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTerminal: the same story, within the width, and with colours alone
// differing.
func TestTerminal(t *testing.T) {
	inOrder(t, rendered(t, healed(), false, 100), "Healed", "What to do", "When", "up to 2024-05-01", "What was seen", "- Price drifted", "What lies behind it", "█████████░  90.0 %  Concept shift", "What was tried", "✓ Newest 1/2", "├", "●", "┤", "+20.0 %", "+30.0 %", "✗ Refit", "How losses went", "champion", "│", "cure", "What to learn from", "75 %", "Rules that held", "incidents replay")
	inOrder(t, rendered(t, taken(), false, 100), "Taken back", "healml retrain --thaw", "The bake", "predecessor", "▁", "promotion", "█")
	escape := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, name := range slices.Sorted(maps.Keys(tales())) {
		for _, width := range []int{1, 40, 57, 80, 200} {
			out := rendered(t, tales()[name], false, width)
			if strings.ContainsRune(out, '\x1b') {
				t.Errorf("%s: what comes from data commands the terminal", name)
			}
			for line := range strings.Lines(out) {
				if n := present.Cells(strings.TrimSuffix(line, "\n")); n > max(width, present.LeastWidth) {
					t.Errorf("%s at %d: %d cells: %q", name, width, n, line)
				}
			}
			if plain := escape.ReplaceAllString(rendered(t, tales()[name], true, width), ""); plain != out {
				t.Errorf("%s at %d: colours change the text", name, width)
			}
		}
	}
}

// TestForest: every sign stands where its number is.
func TestForest(t *testing.T) {
	c := &contest{Lo: -1, Hi: 1, Margin: 0.5}
	for _, x := range []struct {
		g    gain
		want string
	}{
		{gain{0.75, 0.75, 0.75}, "        │   ┊ ●  "},
		{gain{-0.75, -1, -0.5}, "├─●─┤   │   ┊    "},
		{gain{0, -0.5, 0.5}, "    ├───●───┤    "},
		{gain{math.NaN(), math.NaN(), math.NaN()}, "        │   ┊    "},
		{gain{5, -7, 9}, "├───────│───┊───●"},
	} {
		if got := c.forest(x.g, 17); got != x.want {
			t.Errorf("%v: %q, expected %q", x.g, got, x.want)
		}
	}
}

// TestPageOfAnything: no numbers and no texts break a page or a terminal.
func TestPageOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := healed()
		number := func(name string) float64 { return rapid.Float64().Draw(rt, name) }
		for i := range in.Trials {
			in.Trials[i].All = heal.Match{Rows: rapid.IntRange(-1, 1000).Draw(rt, "rows"), Champion: number("champion"), Loss: number("loss"), Gain: score.Interval{Mean: number("mean"), Lo: number("lo"), Hi: number("hi")}}
			in.Trials[i].Newest.Rows = rapid.IntRange(0, 2000).Draw(rt, "newest")
		}
		in.Policy.Margin = number("margin")
		in.Record[0].Weight, in.Diagnosis.Causes[0].Probability = number("weight"), number("probability")
		in.At = time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(rt, "at"), 0)
		losses := make([]float64, rapid.IntRange(0, 60).Draw(rt, "n"))
		for i := range losses {
			losses[i] = number("l")
		}
		in.losses = table.Must(table.Floats(championColumn, losses), table.Floats(lossColumn(rapid.IntRange(0, 2).Draw(rt, "of")), losses))
		in.Cure = rapid.String().Draw(rt, "cure")
		page := pageOf(t, in)
		if m := regexp.MustCompile(`d="[^"]*(NaN|Inf|e[+-])[^"]*"`).FindString(page); m != "" {
			rt.Fatalf("drawn: %s", m)
		}
		pagetest.Check(t, page)
		rendered(t, in, false, rapid.IntRange(1, 200).Draw(rt, "width"))
	})
}
