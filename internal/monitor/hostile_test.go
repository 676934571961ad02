package monitor

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/healml/healml/internal/present/pagetest"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// hostile are texts that would be read as something else if they were not
// escaped: as HTML, as an attribute, as a template, as orders to a terminal.
var hostile = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'onload='x`, "</title></svg>", "{{.Verdict}}", "\x1b[2J\x1b]0;owned\x07", "two\nlines", "\u202ebackwards", "http://example.com/x"}

// hostileReport has the texts as names of columns and as levels, old and new.
func hostileReport(t *testing.T) *Report {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 2000
	var columns []schema.Column
	var then, now []*table.Column
	for i, name := range hostile {
		a, b := make([]string, n), make([]string, n)
		for r := range n {
			a[r] = hostile[rng.IntN(len(hostile)/2)]
			b[r] = hostile[len(hostile)-1-rng.IntN(len(hostile)/2)]
		}
		if i == 0 {
			b = a // one that holds
		}
		columns = append(columns, schema.Column{Name: name, Kind: schema.Categorical})
		then, now = append(then, table.Strings(name, a)), append(now, table.Strings(name, b))
	}
	return compare(t, table.Must(then...), table.Must(now...), func(in *Input) {
		in.Columns, in.Time, in.ReferenceTime, in.ModelVersion = columns, "", "", "v0001-<b>bold</b>"
	})
}

// TestHostileTexts: names and levels never become markup, nor orders to a
// terminal, and the report survives its files.
func TestHostileTexts(t *testing.T) {
	r := hostileReport(t)
	if !r.Drift {
		t.Fatalf("nothing drifted: %s", r.Verdict)
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	pagetest.Check(t, page.String())
	if strings.Contains(page.String(), "<b>bold") || !strings.Contains(page.String(), "&lt;script&gt;alert(1)") || !strings.Contains(page.String(), "{{.Verdict}}") {
		t.Error("texts are not shown as they are")
	}
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		if err := Render(&out, r, color, 100); err != nil {
			t.Fatal(err)
		}
		plain := out.String()
		if color {
			plain = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(plain, "")
		}
		if strings.ContainsAny(plain, "\x1b\x07") {
			t.Errorf("colour %v: a name gives orders to the terminal", color)
		}
	}
	dir := t.TempDir()
	path, err := WriteReport(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(dir, r.ReportID)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Order) != fmt.Sprint(r.Order) || got.Verdict != r.Verdict {
		t.Errorf("read %q, wrote %q", got.Order, r.Order)
	}
	tab, err := table.Read(filepath.Join(path, parquetFile), table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range tab.NumRows() {
		seen[tab.Column("column").Text(i)] = true
	}
	for _, name := range hostile {
		if !seen[name] {
			t.Errorf("no row of column %q", name)
		}
	}
}

// TestPageStaysSmall: 200 drifted columns, some of whose levels are long texts,
// make a page that a browser opens at once.
func TestPageStaysSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	const n = 400
	var columns []schema.Column
	var then, now []*table.Column
	for i := range 200 {
		name := fmt.Sprintf("column number %d", i)
		if i%2 == 0 {
			a, b := make([]float64, n), make([]float64, n)
			for r := range n {
				a[r], b[r] = rng.NormFloat64(), 2+rng.NormFloat64()
			}
			columns = append(columns, schema.Column{Name: name, Kind: schema.Numeric})
			then, now = append(then, table.Floats(name, a)), append(now, table.Floats(name, b))
			continue
		}
		a, b := make([]string, n), make([]string, n)
		for r := range n {
			a[r] = fmt.Sprintf("level %d %s", rng.IntN(12), strings.Repeat("long ", 1+i%3*300))
			b[r] = fmt.Sprintf("level %d %s", rng.IntN(3), strings.Repeat("long ", 1+i%3*300))
		}
		columns = append(columns, schema.Column{Name: name, Kind: schema.Categorical})
		then, now = append(then, table.Strings(name, a)), append(now, table.Strings(name, b))
	}
	r := compare(t, table.Must(then...), table.Must(now...), func(in *Input) { in.Columns, in.Time, in.ReferenceTime = columns, "", "" })
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if page.Len() > 500_000 || strings.Count(page.String(), "<svg") < 200 {
		t.Errorf("%d bytes with %d charts", page.Len(), strings.Count(page.String(), "<svg"))
	}
	pagetest.Check(t, page.String())
}

// TestReadRefusesGaps: a report that lists a column and does not describe it is
// damaged, which is told and no reason to fall over.
func TestReadRefusesGaps(t *testing.T) {
	dir, id := t.TempDir(), "r20260301t120000z-00000000"
	if err := os.Mkdir(filepath.Join(dir, id), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{`{"format":1,"order":["a"]}`, `{"format":1,"order":["a"],"columns":{"a":null}}`, `{"format":1,"prediction_order":["p"],"columns":{}}`} {
		if err := os.WriteFile(filepath.Join(dir, id, jsonFile), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReport(dir, id); err == nil || !strings.Contains(err.Error(), jsonFile) {
			t.Errorf("%s: error %v should name the file", content, err)
		}
	}
}

// TestPruneReports: the oldest go, and 0 keeps all.
func TestPruneReports(t *testing.T) {
	dir := t.TempDir()
	r := changed(t)
	ids := []string{"r20260301t120000z-00000001", "r20260302t120000z-00000000", "r20260303t120000z-00000000"}
	for _, id := range ids {
		r.ReportID = id
		if _, err := WriteReport(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ keep, left int }{{0, 3}, {5, 3}, {2, 2}, {1, 1}} {
		if err := PruneReports(dir, c.keep); err != nil {
			t.Fatal(err)
		}
		got, err := ListReports(dir)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(ids[3-c.left:]) {
			t.Errorf("keep %d: %q, %v, expected the newest %d", c.keep, got, err, c.left)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); err != nil {
		t.Errorf("a folder that is no report is gone: %v", err)
	}
}
