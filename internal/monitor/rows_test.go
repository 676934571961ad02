package monitor

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/testdata"
)

// TestTableRoundTrip: every part of a report is in its table, reads back as
// written, and what is unknown is missing.
func TestTableRoundTrip(t *testing.T) {
	for name, r := range reports() {
		path := filepath.Join(t.TempDir(), parquetFile)
		want := r.Table()
		if err := table.Write(path, want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := table.Read(path, table.ReadOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.NumRows() != want.NumRows() {
			t.Fatalf("%s: %d rows of %d", name, got.NumRows(), want.NumRows())
		}
		for _, a := range want.Columns() {
			b := got.Column(a.Name)
			if b == nil || b.Type != a.Type {
				t.Fatalf("%s: column %s", name, a.Name)
			}
			a, b := a.AsText(), b.AsText()
			for i := range a.Len() {
				if a.Missing(i) != b.Missing(i) || !a.Missing(i) && a.Text(i) != b.Text(i) {
					t.Fatalf("%s: %s of row %d is %q, written %q", name, a.Name, i, b.Text(i), a.Text(i))
				}
			}
		}
	}
	roles := map[string]int{}
	all := story().Table()
	for i := range all.NumRows() {
		roles[all.Column("role").Text(i)]++
	}
	for _, role := range []string{inputRole, predictionRole, metricRole, estimateRole, domainRole, dependenceRole, segmentRole, faultRole, firstRole, reportRole} {
		if roles[role] == 0 {
			t.Errorf("no row of the role %s", role)
		}
	}
	blank := unknown().Table()
	for i := range blank.NumRows() {
		if s := blank.Column("statistic").Text(i); s == "psi" && !math.IsNaN(blank.Column("value").Floats[i]) {
			t.Errorf("an unknown %s is %v", s, blank.Column("value").Floats[i])
		}
	}
}

// TestOthersReadTable: pyarrow and DuckDB find in report.parquet what
// report.json says, no more and no less.
func TestOthersReadTable(t *testing.T) {
	python := testdata.Python(t)
	r := story()
	path, err := WriteReport(t.TempDir(), r)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, filepath.Join("testdata", "report_parquet.py"), path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(path, parquetFile)); err != nil || info.Size() > 50_000 {
		t.Errorf("%v bytes, %v", info.Size(), err)
	}
	t.Logf("%s", out)
}
