package table

import (
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/testdata"
)

// TestOthersReadOurs has pyarrow and duckdb read what this package writes.
func TestOthersReadOurs(t *testing.T) {
	python := testdata.Python(t)
	dir := t.TempDir()
	texts := Strings("texts, of \"all\" kinds", []string{"", "NA", "Zoë", "a\nb", strings.Repeat("long", 5000)})
	tables := map[string]*Table{
		"long": long(),
		"small": Must(
			Floats("emp.var.rate", []float64{math.Inf(1), math.Inf(-1), 5e-324, math.Copysign(0, -1), math.NaN()}),
			&Column{Name: "b", Type: Bool, Floats: []float64{1, 0, 1, 1, 0}},
			Times("t", []int64{-1, 0, NoTime, -62135596800 * second, 253402300799 * second}),
			texts,
			Floats("gone", []float64{math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()}),
		),
		"sliced": long().Slice(groupRows-3, groupRows+3),
		"empty":  long().Slice(0, 0),
	}
	paths := map[string]string{}
	args := []string{"testdata/describe.py"}
	for name, table := range tables {
		for _, ext := range []string{".parquet", ".arrow"} {
			path := filepath.Join(dir, name+ext)
			if err := Write(path, table); err != nil {
				t.Fatal(err)
			}
			paths[path] = name
			args = append(args, path)
		}
	}
	var stderr strings.Builder
	cmd := exec.Command(python, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var read map[string][]foreignColumn
	text := strings.ReplaceAll(string(out), "Infinity", strconv.FormatFloat(infinity, 'g', -1, 64))
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	if len(read) != len(tables)*3 {
		t.Fatalf("%d results, want %d", len(read), len(tables)*3)
	}
	for key, cols := range read {
		path, _, _ := strings.Cut(key, " ")
		want := tables[paths[path]]
		if len(cols) != len(want.Columns()) {
			t.Errorf("%s: %d columns", key, len(cols))
			continue
		}
		for i, c := range want.Columns() {
			cols[i].compare(t, key, c)
		}
	}
}

// foreignColumn is a column as describe.py prints it.
type foreignColumn struct {
	Name, Type        string
	Rows, Nulls, Step int
	Values            []any
}

func (f *foreignColumn) compare(t *testing.T, key string, c *Column) {
	want := map[Type]string{Float: "double", Bool: "bool", String: "string", Time: "timestamp[us, tz=UTC]"}[c.Type]
	nulls := 0
	for i := range c.Len() {
		if c.Missing(i) {
			nulls++
		}
	}
	if f.Name != c.Name || f.Type != want || f.Rows != c.Len() || f.Nulls != nulls {
		t.Errorf("%s: column %q of %s, %d rows, %d nulls; want %q, %s, %d, %d",
			key, f.Name, f.Type, f.Rows, f.Nulls, c.Name, want, c.Len(), nulls)
		return
	}
	for k, v := range f.Values {
		if i := k * f.Step; !sameValue(v, c, i) {
			t.Errorf("%s: column %q, row %d: %v, want %q (missing %t)", key, f.Name, i+1, v, c.Format(i), c.Missing(i))
			return
		}
	}
}

func sameValue(v any, c *Column, i int) bool {
	if v == nil || c.Missing(i) {
		return v == nil && c.Missing(i)
	}
	if text, ok := v.(string); ok {
		return c.Type == String && c.Text(i) == text
	}
	number := v.(float64)
	switch {
	case c.Type == Time:
		return float64(c.Times[i]) == number
	case c.Type == String:
		return false
	case math.Abs(number) == infinity:
		return math.IsInf(c.Floats[i], int(number/1e308))
	}
	return c.Floats[i] == number
}

// infinity stands for what Python writes as Infinity, which JSON does not know.
const infinity = 1.5e308
