package table

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/testdata"
)

// drawnColumn draws a column of n values: many or few distinct ones, missing
// ones among them or not.
func drawnColumn(rt *rapid.T, name string, n int) *Column {
	distinct := rapid.SampledFrom([]int{1, 2, 3, 200, 1 << 20}).Draw(rt, "distinct")
	missing := rapid.SampledFrom([]int{0, 3, 1}).Draw(rt, "missing") // every so many; 0: none
	seed := rapid.Uint64().Draw(rt, "seed")
	c := &Column{Name: name, Type: rapid.SampledFrom([]Type{Float, Bool, Time, String}).Draw(rt, "type")}
	index := map[int]int32{}
	for range n {
		seed = seed*6364136223846793005 + 1442695040888963407
		k := int(seed>>33) % distinct
		gone := missing > 0 && int(seed>>20)%missing == 0
		switch {
		case c.Type == String && gone:
			c.Codes = append(c.Codes, -1)
		case c.Type == String:
			code, ok := index[k]
			if !ok {
				code = int32(len(c.Dict))
				index[k] = code
				c.Dict = append(c.Dict, strings.Repeat("ä", k%3)+fmt.Sprint(k%7, k))
			}
			c.Codes = append(c.Codes, code)
		case c.Type == Time && gone:
			c.Times = append(c.Times, NoTime)
		case c.Type == Time:
			c.Times = append(c.Times, int64(k)*1e9-5)
		case gone:
			c.Floats = append(c.Floats, math.NaN())
		case c.Type == Bool:
			c.Floats = append(c.Floats, float64(k%2))
		default:
			c.Floats = append(c.Floats, []float64{float64(k) / 8, -float64(k), math.Inf(1), math.Copysign(0, -1)}[k%4])
		}
	}
	return c
}

func drawnTable(rt *rapid.T, n int) *Table {
	var cols []*Column
	for i := range rapid.IntRange(1, 5).Draw(rt, "columns") {
		cols = append(cols, drawnColumn(rt, fmt.Sprint("c", i), n))
	}
	return Must(cols...)
}

// What is written in parts reads back as it was, and the sums of the file are
// those of the table.
func TestParquetWriterRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 7, 8, 9, 300, 5000}).Draw(rt, "rows")
		tab := drawnTable(rt, n)
		var b bytes.Buffer
		w, err := NewParquetWriter(&b, tab)
		if err != nil {
			rt.Fatal(err)
		}
		var sums Sums
		for lo := 0; lo < n || lo == 0; {
			hi := min(n, lo+rapid.IntRange(1, n+1).Draw(rt, "part"))
			if err := errors.Join(w.Write(tab.Slice(lo, hi)), sums.Add(tab.Slice(lo, hi))); err != nil {
				rt.Fatal(err)
			}
			if lo = hi; lo == n {
				break
			}
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		back, err := DecodeParquet("x", b.Bytes(), ReadOptions{})
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(back.Names(), tab.Names()) || back.NumRows() != n {
			rt.Fatalf("%v of %d rows", back.Names(), back.NumRows())
		}
		for k, c := range tab.Columns() {
			d := back.Columns()[k]
			for i := range n {
				if c.Type != d.Type || c.Missing(i) != d.Missing(i) || c.Format(i) != d.Format(i) {
					rt.Fatalf("%s row %d: %s came back as %s", c.Name, i, c.Format(i), d.Format(i))
				}
			}
		}
		got, err := ParquetSums("x", b.Bytes())
		if err != nil {
			rt.Fatal(err)
		}
		if what := sums.Differs(got); what != "" {
			rt.Fatal(what)
		}
		shape, err := ParquetShape("x", bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil || !slices.Equal(shape.Names(), tab.Names()) || shape.Columns()[0].Type != tab.Columns()[0].Type {
			rt.Fatalf("shape %v, %v", shape, err)
		}
	})
}

// pyarrow and DuckDB read the same values out of it, and the bounds hold.
func TestOthersReadParquetWriter(t *testing.T) {
	python := testdata.Python(t)
	const n = 70_000
	nums, times := make([]float64, n), make([]int64, n)
	few, flags := make([]float64, n), make([]float64, n)
	ids, cities := make([]string, n), make([]string, n)
	for i := range n {
		nums[i], times[i], few[i], flags[i] = float64(i)/3, int64(i)*1e6, float64(i%17), float64(i%2)
		ids[i], cities[i] = fmt.Sprintf("id-%08x", i*7919), []string{"Köln", "Rom", "Oslo"}[i%3]
		if i%11 == 5 {
			nums[i], times[i], few[i], flags[i] = math.NaN(), NoTime, math.NaN(), math.NaN()
		}
	}
	city := Strings("city", cities)
	city.Codes[4] = -1
	tab := Must(Floats("num", nums), Times("at", times), Floats("few", few), &Column{Name: "flag", Type: Bool, Floats: flags}, Strings("id", ids), city, AllMissing("none", Float, n))
	path := filepath.Join(t.TempDir(), "x.parquet")
	var b bytes.Buffer
	w, err := NewParquetWriter(&b, tab)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(tab.Slice(0, 40_000)), w.Write(tab.Slice(40_000, n)), w.Close()); err != nil {
		t.Fatal(err)
	}
	csv := filepath.Join(t.TempDir(), "x.csv")
	var text bytes.Buffer
	if err := errors.Join(WriteCSV(&text, tab), os.WriteFile(path, b.Bytes(), 0o600), os.WriteFile(csv, text.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/parquet_writer.py", path, csv).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "same\n") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestParquetWriterRefuses(t *testing.T) {
	tab := Must(Floats("a", []float64{1}), Strings("b", []string{"x"}))
	if _, err := NewParquetWriter(&bytes.Buffer{}, Must()); err == nil {
		t.Error("no columns passed")
	}
	w, err := NewParquetWriter(&bytes.Buffer{}, tab)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]*Table{
		"a type":   Must(Strings("a", []string{"x"})),
		"a column": Must(Floats("c", []float64{1})),
	} {
		if err := w.Write(bad); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if err := errors.Join(w.Write(tab.Drop("b")), w.Close()); err != nil {
		t.Error(err)
	}
	if err := w.Write(tab); err == nil {
		t.Error("written after Close")
	}
	full := errors.New("full")
	w, err = NewParquetWriter(&fullWriter{100, full}, tab)
	for range 20 {
		if err == nil {
			err = w.Write(tab)
		}
	}
	if !errors.Is(err, full) || !errors.Is(w.Close(), full) {
		t.Errorf("error %v", err)
	}
}

type fullWriter struct {
	left int
	err  error
}

func (f *fullWriter) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, f.err
	}
	return len(b), nil
}

// A value that is changed, moved, lost or doubled changes the sums.
func TestSums(t *testing.T) {
	nan := math.NaN()
	a := Must(Floats("f", []float64{1, nan, 2}), Strings("s", []string{"x", "y", "x"}), Times("t", []int64{1, NoTime, 3}))
	of := func(tables ...*Table) *Sums {
		var s Sums
		for _, t2 := range tables {
			if err := s.Add(t2); err != nil {
				t.Fatal(err)
			}
		}
		return &s
	}
	same := Must(a.Column("f"), &Column{Name: "s", Type: String, Codes: []int32{1, 0, 2}, Dict: []string{"y", "x", "x"}}, a.Column("t"))
	if d := of(a).Differs(of(same.Slice(0, 1), same.Slice(1, 3))); d != "" {
		t.Error(d)
	}
	for want, o := range map[string]*Table{
		"2 rows":           a.Slice(0, 2),
		`"f" came back`:    Must(Floats("f", []float64{1, 2, nan}), a.Column("s"), a.Column("t")),
		`"s" came back`:    Must(a.Column("f"), Strings("s", []string{"x", "y", "z"}), a.Column("t")),
		`"t" came back`:    Must(a.Column("f"), a.Column("s"), Times("t", []int64{1, 0, 3})),
		"2 columns":        a.Drop("t"),
		`column "f" came`:  Must(&Column{Name: "g", Type: Float, Floats: []float64{1, nan, 2}}, a.Column("s"), a.Column("t")),
		`column "s" came `: Must(a.Column("f"), Times("s", []int64{1, 2, 3}), a.Column("t")),
	} {
		if d := of(a).Differs(of(o)); !strings.Contains(d, want) {
			t.Errorf("%q, expected %q", d, want)
		}
	}
	if err := of(a).Add(a.Drop("t")); err == nil {
		t.Error("other columns passed")
	}
}

// A loose column has the same texts, and only its Dict is another.
func TestLooseColumns(t *testing.T) {
	tab := Must(Strings("id", []string{"a", "b", "a", "b", "c"}), Strings("s", []string{"x", "y", "x", "x", "y"}))
	tab.Column("id").Codes[3] = -1
	b, err := EncodeParquet(tab)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeParquet("x", b, ReadOptions{Loose: []string{"id", "absent"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if id := back.Column("id"); id.Text(i) != tab.Column("id").Text(i) || id.Missing(i) != (i == 3) {
			t.Errorf("row %d is %q", i, id.Text(i))
		}
	}
	if n := len(back.Column("id").Dict); n != 4 {
		t.Errorf("%d texts, expected one a value", n)
	}
	if n := len(back.Column("s").Dict); n != 2 {
		t.Errorf("%d texts in a column that is not loose", n)
	}
}
