package monitor

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/healml/healml/internal/table"
)

// changed is a report with every kind of finding.
func changed(t *testing.T) *Report {
	t.Helper()
	cur := with(stream(2, 2000), "price", func(i int, v float64) float64 {
		if i%10 == 0 {
			return math.NaN()
		}
		return v * 100
	})
	cur = levelsOf(cur, "region", func(s string) string { return strings.Replace(s, "East", "<script>alert(1)</script>", 1) })
	return compare(t, stream(1, 5000), cur, func(in *Input) { in.ModelVersion = "v0001-0badcafe"; in.Predictions = []string{"temp"} })
}

func TestFilesRoundTrip(t *testing.T) {
	dir := t.TempDir()
	r := changed(t)
	path, err := WriteReport(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if path != filepath.Join(dir, r.ReportID) {
		t.Errorf("path %q", path)
	}
	if again, err := WriteReport(dir, r); err != nil || again != path {
		t.Errorf("written twice: %v", err)
	}
	got, err := ReadReport(dir, r.ReportID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Verdict != r.Verdict || got.ReportID != r.ReportID || !got.Columns["price"].Drift || len(got.Faults) != len(r.Faults) || got.Columns["price"].Levels != nil {
		t.Errorf("read back: %+v", got)
	}
	if !math.IsNaN(float64(got.Columns["price"].ChiSquare)) || math.IsNaN(float64(got.Columns["price"].KS)) {
		t.Error("null is not NaN")
	}
	ids, err := ListReports(dir)
	if err != nil || len(ids) != 1 || ids[0] != r.ReportID {
		t.Errorf("list %v, %v", ids, err)
	}
	tbl, err := table.Read(filepath.Join(path, "report.parquet"), table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for i := range tbl.NumRows() {
		if tbl.Column("column").Text(i) == "price" && tbl.Column("statistic").Text(i) == "psi" {
			found = true
			if v := tbl.Column("value").Floats[i]; v != float64(r.Columns["price"].PSI) || tbl.Column("drift").Floats[i] != 1 {
				t.Errorf("psi %v", v)
			}
		}
	}
	if !found {
		t.Error("no psi of price")
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if ids, err := ListReports(filepath.Join(dir, "none")); err != nil || len(ids) != 0 {
		t.Errorf("no folder: %v, %v", ids, err)
	}
	for _, id := range []string{"r20260301t120000z-00000000", "../secrets", ""} {
		if _, err := ReadReport(dir, id); !errors.Is(err, ErrNoReport) {
			t.Errorf("%q: %v", id, err)
		}
	}
	id := "r20260301t120000z-00000000"
	for _, content := range []string{"", "{", `{"format":3}`, `{"format":0}`, `[]`} {
		if err := os.MkdirAll(filepath.Join(dir, id), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, id, "report.json"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReport(dir, id); err == nil || !strings.Contains(err.Error(), "report.json") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// TestWriteFailsWhole: a folder that cannot be written leaves nothing behind.
func TestWriteFailsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	if err := os.WriteFile(dir, nil, 0o644); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	if _, err := WriteReport(dir, changed(t)); err == nil {
		t.Error("written into a file")
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		when("2026-02-01T00:00:00Z"): "2026-02-01", when("2026-02-01T01:30:09+01:00"): "2026-02-01 00:30", when("12345"): "row 12,345", when("noon"): "noon", when(""): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
