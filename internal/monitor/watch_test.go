package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// opened is a table written to a file and opened as one that is read part by
// part.
func opened(t *testing.T, name string, tab *table.Table) Data {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := table.Write(path, tab); err != nil {
		t.Fatal(err)
	}
	open := func(o table.ReadOptions) *table.Source {
		o.Types = map[string]table.Type{"at": table.Time}
		s, err := table.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	return Data{Rows: open(table.ReadOptions{}), Times: open(table.ReadOptions{Columns: []string{"at"}})}
}

// TestFilesAreAsTables: rows that are read part by part, from any kind of
// file, give the report that they give in memory.
func TestFilesAreAsTables(t *testing.T) {
	ref := stream(1, 6000)
	cur := with(stream(2, 3000), "temp", func(i int, v float64) float64 {
		switch {
		case i%40 == 0:
			return math.NaN()
		case i > 1500:
			return v + 4
		}
		return v
	})
	want := compare(t, ref, cur, func(in *Input) { in.Columns = nil })
	for _, name := range []string{"x.parquet", "x.arrow", "x.csv"} {
		got := compare(t, ref, cur, func(in *Input) {
			in.Columns, in.Reference, in.Current = nil, opened(t, name, ref), opened(t, name, cur)
		})
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got)
		if name != "x.csv" && string(a) != string(b) { // CSV has no booleans
			t.Errorf("%s: %s\nwant %s", name, b, a)
		}
		if !slices.Equal(got.Ranked, want.Ranked) || got.Columns["temp"].P != want.Columns["temp"].P {
			t.Errorf("%s: %v, p %v; want %v, p %v", name, got.Ranked, got.Columns["temp"].P, want.Ranked, want.Columns["temp"].P)
		}
	}
}

// TestManyRowsAreSampled: what counts say is exact for any number of rows; what
// samples say is near.
func TestManyRowsAreSampled(t *testing.T) {
	n := sampleRows*2 + 4321
	ref, cur := stream(1, 20_000), stream(2, n)
	r := compare(t, ref, cur, nil)
	if r.Rows != n || r.Drift {
		t.Errorf("%d rows, drift %v: %s", r.Rows, r.Drift, r.Verdict)
	}
	sorted, _ := drift.Sorted(cur.Column("temp").Floats)
	c := r.Columns["temp"]
	mean, std := drift.Moments(sorted)
	if math.Abs(float64(c.Mean.Now)-mean) > 1e-9 || math.Abs(float64(c.Std.Now)-std) > 1e-9 {
		t.Errorf("moments %v ± %v, want %v ± %v", c.Mean.Now, c.Std.Now, mean, std)
	}
	for _, q := range c.Quantiles {
		if d := float64(q.Now) - drift.Quantile(sorted, q.Q); math.Abs(d) > 0.02*std/math.Sqrt(min(q.Q, 1-q.Q)) {
			t.Errorf("quantile %v is off by %v", q.Q, d)
		}
	}
	if again := compare(t, ref, cur, func(in *Input) { in.Options.Threads = 1 }); again.ReportID != r.ReportID {
		t.Error("one thread gives another report")
	}
}

// TestSamplerTakesWholeRows: the values of a row stay together, whatever the
// parts that columns come in.
func TestSamplerTakesWholeRows(t *testing.T) {
	n := 3*sampleRows + 17
	rows := make([]float64, n)
	for i := range rows {
		rows[i] = float64(i)
	}
	tab := table.Must(table.Floats("a", rows), table.Floats("b", rows))
	s := newSampler(tab)
	for lo, k := 0, 0; lo < n; k++ {
		hi := min(n, lo+1000+k)
		s.add(table.Part{Index: 0, Row: lo, Column: tab.Columns()[0].Slice(lo, hi)})
		lo = hi
	}
	s.add(table.Part{Index: 1, Column: tab.Columns()[1]})
	a, b := s.cols[0].Floats, s.cols[1].Floats
	if !slices.Equal(a, b) || !slices.IsSorted(a) || len(a) < n/4-1 || len(a) > sampleRows {
		t.Errorf("%d and %d rows of %d", len(a), len(b), n)
	}
	step := s.steps(drift.RowSteps(n), n)
	if len(step) != len(a) || !slices.IsSorted(step) {
		t.Errorf("%d steps of %d rows", len(step), len(a))
	}
}

// TestChangeKinds: what was done to a column is what the report says.
func TestChangeKinds(t *testing.T) {
	ref, base := stream(1, 8000), stream(2, 3000)
	sorted, _ := drift.Sorted(ref.Column("temp").Floats)
	lo, hi := drift.Quantile(sorted, 0.1), drift.Quantile(sorted, 0.9)
	for _, c := range []struct {
		kind, column string
		cur          *table.Table
		by           float64
	}{
		{ShiftChange, "temp", with(base, "temp", func(_ int, v float64) float64 { return v + 3 }), 3},
		{ScaleChange, "temp", with(base, "temp", func(_ int, v float64) float64 { return 15 + 1.4*(v-15) }), 1.4},
		{ClipChange, "temp", with(base, "temp", func(_ int, v float64) float64 { return min(max(v, lo), hi) }), 0.2},
		{UnitChange, "price", with(base, "price", func(_ int, v float64) float64 { return 100 * v }), 100},
		{MissingChange, "price", with(base, "price", func(i int, v float64) float64 {
			if i%20 == 0 {
				return math.NaN()
			}
			return v
		}), 0.05},
		{FrozenChange, "temp", with(base, "temp", func(int, float64) float64 { return 20 }), math.NaN()},
		{RenamedChange, "region", levelsOf(base, "region", func(s string) string { return map[bool]string{true: "N.", false: s}[s == "North"] }), math.NaN()},
		{LostLevelChange, "region", levelsOf(base, "region", func(s string) string { return map[bool]string{true: "South", false: s}[s == "West"] }), -0.2},
	} {
		r := compare(t, ref, c.cur, nil)
		if !slices.Equal(r.Ranked, []string{c.column}) {
			t.Errorf("%s: %v drifted", c.kind, r.Ranked)
			continue
		}
		got := r.Columns[c.column].Change
		if got.Kind != c.kind || got.Text == "" || got.Since == nil || !math.IsNaN(c.by) && math.Abs(float64(got.By)-c.by) > 0.15*math.Abs(c.by) {
			t.Errorf("%s by %v: %+v", c.kind, c.by, got)
		}
		if r.Since == nil || r.Since.At != got.Since.At {
			t.Errorf("%s: since %v, the column's %v", c.kind, r.Since, got.Since)
		}
	}
}

// TestChangeInTheMidst: a change within the window is dated, and described by
// the rows that it changed.
func TestChangeInTheMidst(t *testing.T) {
	ref := stream(1, 8000)
	cur := with(stream(2, 3000), "price", func(i int, v float64) float64 {
		if i >= 1800 {
			return 100 * v
		}
		return v
	})
	c := compare(t, ref, cur, nil).Columns["price"].Change
	at, err := time.Parse(time.RFC3339, c.Since.At)
	if err != nil {
		t.Fatal(err)
	}
	began := noon.Add((1800 - 3000) * time.Minute)
	if d := at.Sub(began).Abs(); d > time.Hour || c.Kind != UnitChange || c.Since.Before {
		t.Errorf("%+v, since %+v, which is %s off", c, c.Since, d)
	}
}

// TestSegments: a change that sits in one part of the rows is found there, in
// as few words as will do; one that is everywhere sits nowhere.
func TestSegments(t *testing.T) {
	draw := func(seed uint64, n int, change func(cat, region string) float64) *table.Table {
		r := rand.New(rand.NewPCG(seed, 2))
		cat, region, x := make([]string, n), make([]string, n), make([]float64, n)
		for i := range n {
			cat[i], region[i] = string(rune('a'+r.IntN(5))), string(rune('N'+r.IntN(4)))
			x[i] = r.NormFloat64() + change(cat[i], region[i])
		}
		return table.Must(table.Strings("cat", cat), table.Strings("region", region), table.Floats("x", x))
	}
	still := func(string, string) float64 { return 0 }
	ref := draw(1, 20_000, still)
	for _, c := range []struct {
		name   string
		change func(cat, region string) float64
		want   []Condition
	}{
		{"one level", func(cat, _ string) float64 { return map[bool]float64{true: 2}[cat == "b"] }, []Condition{{"cat", "b"}}},
		{"two at once", func(cat, region string) float64 { return map[bool]float64{true: 3}[cat == "b" && region == "P"] }, []Condition{{"cat", "b"}, {"region", "P"}}},
		{"everywhere", func(string, string) float64 { return 1 }, nil},
	} {
		r := compare(t, ref, draw(2, 6000, c.change), func(in *Input) { in.Columns, in.Time, in.ReferenceTime = nil, "", "" })
		var got []Condition
		if len(r.Segments) > 0 {
			got = r.Segments[0].Where
		}
		if !slices.Equal(r.Ranked, []string{"x"}) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v drifted, segments %+v", c.name, r.Ranked, r.Segments)
		}
	}
}

// TestTableFaults: fewer rows, rows in disorder and rows that come twice are
// faults and no drift.
func TestTableFaults(t *testing.T) {
	ref, cur := stream(1, 30_000), stream(2, 9000)
	twice, err := table.Concat(cur, cur.Slice(6000, 9000))
	if err != nil {
		t.Fatal(err)
	}
	var few []int
	for i := 0; i < cur.NumRows(); i += 4 {
		few = append(few, i)
	}
	for _, c := range []struct {
		kind string
		cur  *table.Table
	}{{"volume", cur.Take(few)}, {"duplicated", twice}} {
		r := compare(t, ref, c.cur, nil)
		if r.Drift || len(r.Faults) != 1 || r.Faults[0].Kind != c.kind || r.Faults[0].Column != "" {
			t.Errorf("%s: drift %v, faults %+v", c.kind, r.Drift, r.Faults)
		}
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(cur.NumRows())
	r := compare(t, ref, cur, func(in *Input) {
		in.Reference, in.Current = opened(t, "a.parquet", ref), opened(t, "b.parquet", cur.Take(order))
	})
	if r.Drift || len(r.Faults) != 1 || r.Faults[0].Kind != "disorder" {
		t.Errorf("disorder: drift %v, faults %+v", r.Drift, r.Faults)
	}
}

// TestTogether: what no column shows alone, the classifier finds, and it is
// said in the verdict.
func TestTogether(t *testing.T) {
	draw := func(seed uint64, n int, sign float64) *table.Table {
		r := rand.New(rand.NewPCG(seed, 3))
		x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			x[i] = r.NormFloat64()
			y[i] = 0.8*sign*x[i] + 0.6*r.NormFloat64()
			z[i] = r.NormFloat64()
		}
		return table.Must(table.Floats("x", x), table.Floats("y", y), table.Floats("z", z))
	}
	ref := draw(1, 8000, 1)
	for _, c := range []struct {
		sign  float64
		drift bool
	}{{1, false}, {-1, true}} {
		r := compare(t, ref, draw(2, 3000, c.sign), func(in *Input) {
			in.Columns, in.Time, in.ReferenceTime, in.Options.Together = nil, "", "", true
		})
		if r.Drift != c.drift || r.Domain == nil || r.Domain.Drift != c.drift || len(r.Ranked) != 0 || len(r.Dependence) != 3 {
			t.Errorf("sign %v: %s, %+v", c.sign, r.Verdict, r.Domain)
		}
		if d := r.Dependence[0]; c.drift && (d.A != "x" || d.B != "y" || !d.Drift) {
			t.Errorf("%+v", r.Dependence)
		}
	}
}

// TestBudget: the level of a report is the budget's, and said so.
func TestBudget(t *testing.T) {
	r := compare(t, stream(1, 3000), stream(2, 2000), func(in *Input) {
		in.Options.Budget = &drift.Budget{PerYear: 1, Window: 7 * 24 * time.Hour, Every: time.Hour}
	})
	c := r.Calibration
	if c.PerYear != 1 || math.Abs(float64(c.Checks)-8766) > 1 || c.Level < 0.001 || c.Level > 0.004 || float64(c.Level) != r.Settings.Alpha {
		t.Errorf("%+v, settings %+v", c, r.Settings)
	}
}

// TestCompareFailsOnBadRows: an error of a file that is read is that of
// the comparison.
func TestCompareFailsOnBadRows(t *testing.T) {
	want := context.DeadlineExceeded
	bad := failing{stream(1, 100), want}
	if _, err := Compare(context.Background(), Input{Reference: Of(stream(1, 500)), Current: Data{Rows: bad}, Columns: []schema.Column{{Name: "temp", Kind: schema.Numeric}}, Now: noon}); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
}

type failing struct {
	*table.Table
	err error
}

func (f failing) Stream(func(table.Part) error) error { return f.err }

// TestAnythingAgainstAnything: whatever either side is, there is a report with
// a line for every column, and it can be written down.
func TestAnythingAgainstAnything(t *testing.T) {
	base := func(n int) *table.Table {
		s := stream(7, n)
		inf, huge := make([]float64, n), make([]float64, n)
		for i := range n {
			inf[i], huge[i] = math.Inf(i%2*2-1), 1e308*s.Column("temp").Floats[i]
		}
		out, err := s.With(table.Floats("inf", inf), table.Floats("huge", huge), table.Floats("gone", nans(n)), table.Floats("one", slices.Repeat([]float64{1}, n)))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	replaced := func(c *table.Column) *table.Table {
		out, err := base(c.Len()).With(c)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	unique := make([]string, 300)
	for i := range unique {
		unique[i] = "v" + present.Short(float64(i))
	}
	sides := map[string]*table.Table{
		"full": base(500), "none": base(0), "one row": base(1), "two rows": base(2), "other columns": base(300).Drop("temp", "region", "price"),
		"texts": replaced(table.Strings("temp", slices.Repeat([]string{"word"}, 300))), "all missing": replaced(table.Floats("temp", nans(300))),
		"no time": replaced(table.Times("at", slices.Repeat([]int64{table.NoTime}, 300))), "one time": replaced(table.Times("at", slices.Repeat([]int64{1e15}, 300))),
		"far past": replaced(table.Times("at", slices.Repeat([]int64{-8e15}, 300))), "new levels": replaced(table.Strings("region", unique)),
	}
	for a, ref := range sides {
		for b, cur := range sides {
			r := compare(t, ref, cur, func(in *Input) { in.Columns, in.Options.Together = nil, true })
			for _, name := range r.Order {
				if c := r.Columns[name]; c == nil || math.IsNaN(float64(c.P)) || c.P < 0 || c.P > 1 {
					t.Errorf("%s against %s: %s is %+v", a, b, name, c)
				}
			}
			if _, err := WriteReport(t.TempDir(), r); err != nil {
				t.Errorf("%s against %s: %v", a, b, err)
			}
		}
	}
}
