package monitor

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stream is n rows in the order of time, one a minute: a price with two
// decimals, a temperature, a region of four, a flag.
func stream(seed uint64, n int) *table.Table {
	r := rand.New(rand.NewPCG(seed, 1))
	price, temp, flag, times, region := make([]float64, n), make([]float64, n), make([]float64, n), make([]int64, n), make([]string, n)
	for i := range n {
		price[i] = math.Round(100*math.Exp(1+0.5*r.NormFloat64())) / 100
		temp[i] = 15 + 8*r.NormFloat64()
		region[i] = []string{"North", "North", "South", "East", "West"}[r.IntN(5)]
		flag[i] = float64(r.IntN(10) / 8)
		times[i] = noon.Add(time.Duration(i-n) * time.Minute).UnixMicro()
	}
	return table.Must(table.Times("at", times), table.Floats("price", price), table.Floats("temp", temp),
		table.Strings("region", region), &table.Column{Name: "flag", Type: table.Bool, Floats: flag})
}

var streamColumns = []schema.Column{
	{Name: "price", Kind: schema.Numeric}, {Name: "temp", Kind: schema.Numeric}, {Name: "region", Kind: schema.Categorical}, {Name: "flag", Kind: schema.Boolean},
}

func compare(t *testing.T, ref, cur *table.Table, change func(*Input)) *Report {
	t.Helper()
	in := Input{Reference: Of(ref), Current: Of(cur), Columns: streamColumns, Time: "at", ReferenceTime: "at", Now: noon}
	if change != nil {
		change(&in)
	}
	if in.Truth != nil && in.Truth.Rows == nil {
		in.Truth.Rows = cur
	}
	r, err := Compare(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return r
}

// with replaces a column by its values sent through f.
func with(t *table.Table, name string, f func(i int, v float64) float64) *table.Table {
	c := *t.Column(name)
	c.Floats = slices.Clone(c.Floats)
	for i, v := range c.Floats {
		c.Floats[i] = f(i, v)
	}
	out, err := t.With(&c)
	if err != nil {
		panic(err)
	}
	return out
}

func levelsOf(t *table.Table, name string, f func(text string) string) *table.Table {
	c := t.Column(name)
	texts := make([]string, c.Len())
	for i := range texts {
		texts[i] = f(c.Text(i))
	}
	out, err := t.With(table.Strings(name, texts))
	if err != nil {
		panic(err)
	}
	return out
}

func TestNoDrift(t *testing.T) {
	r := compare(t, stream(1, 5000), stream(2, 2000), nil)
	if r.Drift || len(r.Reasons) != 0 || len(r.Faults) != 0 || !r.EnoughRows {
		t.Errorf("%+v", r)
	}
	if r.Verdict != "No drift in 4 columns over 2,000 rows." {
		t.Errorf("verdict %q", r.Verdict)
	}
	if !slices.Equal(r.Order, []string{"price", "temp", "region", "flag"}) {
		t.Errorf("order %v", r.Order)
	}
	if !strings.HasPrefix(r.ReportID, "r20260301t120000z-") || !reportID.MatchString(r.ReportID) {
		t.Errorf("id %q", r.ReportID)
	}
	if r.Window.From != "2026-02-28T02:40:00Z" || r.Window.To != "2026-03-01T11:59:00Z" {
		t.Errorf("window %+v", r.Window)
	}
}

func TestShift(t *testing.T) {
	ref := stream(1, 5000)
	cur := with(stream(2, 2000), "temp", func(_ int, v float64) float64 { return v + 3 })
	r := compare(t, ref, cur, nil)
	if !r.Drift || !slices.Equal(r.Drifted(), []string{"temp"}) || len(r.Faults) != 0 {
		t.Fatalf("%v, faults %v", r.Drifted(), r.Faults)
	}
	c := r.Columns["temp"]
	if c.P > c.Threshold || c.Effect < 0.1 || c.Wasserstein < 0.3 || c.Wasserstein > 0.45 || !strings.Contains(c.Reason, "the median went from 1") || c.Change.Kind != ShiftChange || math.Abs(float64(c.Change.By)-3) > 0.5 {
		t.Errorf("%+v", c)
	}
	if d := c.Mean.Now - c.Mean.Then; d < 2.5 || d > 3.5 {
		t.Errorf("mean %+v", c.Mean)
	}
	sum := 0.0
	for _, s := range c.Histogram.Now {
		sum += float64(s)
	}
	if math.Abs(sum-1) > 1e-9 || len(c.Histogram.Edges) != len(c.Histogram.Now)+1 {
		t.Errorf("histogram %+v", c.Histogram)
	}
	// The same rows in another order are the same distribution.
	rows := rand.New(rand.NewPCG(5, 5)).Perm(cur.NumRows())
	if again := compare(t, ref, cur.Take(rows), nil); again.ReportID != r.ReportID {
		t.Error("rows are not put in the order of time")
	}
}

func TestFaults(t *testing.T) {
	nan := math.NaN()
	ref, cur := stream(1, 5000), stream(2, 2000)
	for _, c := range []struct {
		name, column, kind string
		factor             float64
		cur                *table.Table
	}{
		{"absent", "price", "absent", 0, cur.Drop("price")},
		{"empty", "price", "empty", 0, with(cur, "price", func(int, float64) float64 { return nan })},
		{"empty levels", "region", "empty", 0, withoutLevels(cur, "region")},
		{"frozen", "temp", "frozen", 0, with(cur, "temp", func(int, float64) float64 { return 20 })},
		{"frozen level", "region", "frozen", 0, levelsOf(cur, "region", func(string) string { return "South" })},
		{"cents", "price", "unit", 100, with(cur, "price", func(_ int, v float64) float64 { return v * 100 })},
		{"thousandth", "price", "unit", 0.001, with(cur, "price", func(_ int, v float64) float64 { return v / 1000 })},
		{"inches", "price", "unit", 2.54, with(cur, "price", func(_ int, v float64) float64 { return v * 2.54 })},
		{"miles", "price", "unit", 1 / 1.609344, with(cur, "price", func(_ int, v float64) float64 { return v / 1.609344 })},
		{"sign", "price", "unit", -1, with(cur, "price", func(_ int, v float64) float64 { return -v })},
		{"fahrenheit", "temp", "unit", 0, with(cur, "temp", func(_ int, v float64) float64 { return 1.8*v + 32 })},
		{"renamed", "region", "renamed", 0, levelsOf(cur, "region", func(s string) string { return strings.Replace(s, "East", "Ost", 1) })},
		{"texts", "price", "type", 0, asTexts(cur, "price")},
	} {
		r := compare(t, ref, c.cur, nil)
		if !r.Drift || len(r.Faults) != 1 {
			t.Errorf("%s: drift %v, faults %+v", c.name, r.Drifted(), r.Faults)
			continue
		}
		f := r.Faults[0]
		if f.Column != c.column || f.Kind != c.kind || f.Detail == "" || math.Abs(f.Factor-c.factor) > 1e-9 {
			t.Errorf("%s: %+v", c.name, f)
		}
		if !slices.Equal(r.Drifted(), []string{c.column}) || !strings.Contains(r.Verdict, "fault") {
			t.Errorf("%s: drifted %v: %s", c.name, r.Drifted(), r.Verdict)
		}
	}
}

func withoutLevels(t *table.Table, name string) *table.Table {
	codes := slices.Repeat([]int32{-1}, t.NumRows())
	out, _ := t.With(&table.Column{Name: name, Type: table.String, Codes: codes})
	return out
}

// asTexts writes a third of the values as words.
func asTexts(t *table.Table, name string) *table.Table {
	c := t.Column(name)
	texts := make([]string, c.Len())
	for i := range texts {
		if texts[i] = c.Format(i); i%3 == 0 {
			texts[i] = "n.a."
		}
	}
	out, _ := t.With(table.Strings(name, texts))
	return out
}

// TestGrowthIsNoFault: what grew by a factor near that of a unit is drift, and
// no slip of units.
func TestGrowthIsNoFault(t *testing.T) {
	ref, cur := stream(1, 5000), stream(2, 2000)
	for _, by := range []float64{1.6, 2.5, 3.7, 5} {
		grown := with(cur, "price", func(_ int, v float64) float64 { return math.Round(100*v*by) / 100 })
		if r := compare(t, ref, grown, nil); !r.Drift || len(r.Faults) != 0 {
			t.Errorf("%v: drift %v, faults %+v", by, r.Drift, r.Faults)
		}
	}
}

func TestNotEnoughRows(t *testing.T) {
	ref := stream(1, 5000)
	cur := with(stream(2, 40), "price", func(_ int, v float64) float64 { return v * 1000 })
	for _, c := range []*table.Table{cur, cur.Slice(0, 0)} {
		r := compare(t, ref, c, nil)
		if r.Drift || r.EnoughRows || len(r.Faults) != 0 || !strings.HasPrefix(r.Verdict, "Not enough rows") {
			t.Errorf("%d rows: %+v", c.NumRows(), r)
		}
	}
	if r := compare(t, ref.Slice(0, 0), stream(2, 500), nil); r.Drift || r.EnoughRows {
		t.Errorf("no reference: %+v", r)
	}
	if r := compare(t, ref, cur, func(in *Input) { in.Options.MinRows = 40 }); !r.Drift {
		t.Error("40 rows are enough when asked for")
	}
}

// TestTrivia: with many rows a shift that nobody would act on is significant,
// and is not flagged.
func TestTrivia(t *testing.T) {
	ref := stream(1, 300_000)
	cur := with(stream(2, 300_000), "temp", func(_ int, v float64) float64 { return v + 0.12 })
	r := compare(t, ref, cur, func(in *Input) { in.Options.MinEffect = 0.01 })
	if c := r.Columns["temp"]; r.Drift || c.P > c.Threshold {
		t.Errorf("p %v, threshold %v, effect %v, drift %v", c.P, c.Threshold, c.Effect, r.Drift)
	}
	if r := compare(t, ref, cur, func(in *Input) { in.Options.MinEffect = -1 }); !r.Drift {
		t.Error("without a floor it is drift")
	}
}

func TestPredictionAndSkipped(t *testing.T) {
	ref, cur := stream(1, 3000), stream(2, 1500)
	cur = with(cur, "temp", func(_ int, v float64) float64 { return v + 5 })
	r := compare(t, ref, cur, func(in *Input) {
		in.Columns = []schema.Column{{Name: "price", Kind: schema.Numeric}, {Name: "at", Kind: schema.Time}, {Name: "lost", Kind: schema.Numeric}}
		in.Predictions = []string{"temp", "nowhere"}
	})
	if !r.Drift || len(r.Drifted()) != 0 || !r.Prediction["temp"].Drift || len(r.Prediction) != 1 {
		t.Errorf("%v, %v", r.Columns, r.Prediction)
	}
	if len(r.Skipped) != 2 || r.Skipped[0].Column != "at" || r.Skipped[1].Reason != "not in the reference" {
		t.Errorf("skipped %v", r.Skipped)
	}
}

func TestPerformance(t *testing.T) {
	n := 1200
	r := rand.New(rand.NewPCG(8, 8))
	actual, pred := make([]float64, n), make([]float64, n)
	for i := range actual {
		actual[i] = 10 + r.NormFloat64()
		pred[i] = actual[i] + 2*r.NormFloat64()
		if i%4 == 0 {
			actual[i] = math.NaN()
		}
	}
	cur, err := stream(2, n).With(table.Floats("actual", actual), table.Floats("predicted_y", pred))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		holdout float64
		drift   bool
	}{{1, true}, {1.6, false}, {3, false}, {math.NaN(), false}} {
		rep := compare(t, stream(1, 5000), cur, func(in *Input) {
			in.Truth = &Truth{Task: schema.Regression, Actual: "actual", Outputs: []string{"predicted_y"}, Metric: score.MAEMetric, Holdout: c.holdout}
		})
		p := rep.Performance
		if p.Drift != c.drift || rep.Drift != c.drift || p.Labeled != 900 || p.Now < 1.4 || p.Now > 1.8 || !(p.Lo < p.Now && p.Now < p.Hi) {
			t.Errorf("holdout %v: %+v", c.holdout, p)
		}
	}
}

func TestPerformanceOfClasses(t *testing.T) {
	n := 600
	truth, yes, no := make([]string, n), make([]float64, n), make([]float64, n)
	for i := range truth {
		truth[i], yes[i] = "no", 0.2
		if i%3 == 0 {
			truth[i] = "yes"
		}
		if i%50 == 0 {
			truth[i] = "perhaps" // no class of the model
		}
		no[i] = 1 - yes[i]
	}
	cur, _ := stream(2, n).With(table.Strings("actual", truth), table.Floats("p_yes", yes), table.Floats("p_no", no))
	for _, c := range []struct {
		metric score.Metric
		then   float64
		drift  bool
		shown  score.Metric
	}{{score.AccuracyMetric, .9, true, score.AccuracyMetric}, {score.AccuracyMetric, .68, false, score.AccuracyMetric}, {score.AUCMetric, .99, true, score.AUCMetric}, {score.ECEMetric, .01, false, score.LogLossMetric}} {
		r := compare(t, stream(1, 3000), cur, func(in *Input) {
			in.Truth = &Truth{Task: schema.Binary, Classes: []string{"no", "yes"}, Actual: "actual", Outputs: []string{"p_no", "p_yes"}, Metric: c.metric, Holdout: c.then}
		})
		p := r.Performance
		if p.Labeled != n-12 || p.Drift != c.drift || p.Metric != c.shown || !(p.Lo <= p.Now && p.Now <= p.Hi) {
			t.Errorf("%+v: %+v", c, p)
		}
	}
	in := Input{Reference: Of(stream(1, 300)), Current: Of(cur), Columns: streamColumns, Now: noon, Truth: &Truth{Task: schema.Binary, Rows: cur, Actual: "truth"}}
	if _, err := Compare(context.Background(), in); err == nil {
		t.Error("a truth without its column was taken")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	columns := slices.Repeat(streamColumns, 50)
	for i := range columns {
		columns[i].Name = "temp"
	}
	if _, err := Compare(ctx, Input{Reference: Of(stream(1, 2000)), Current: Of(stream(2, 2000)), Columns: columns}); err == nil {
		t.Error("a cancelled comparison ended well")
	}
}

func TestKindOf(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	shuffled, cents, skus, cities, notes := count0(3000), make([]float64, 3000), make([]string, 8000), make([]string, 300), make([]string, 2000)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for i := range cents {
		cents[i] = float64(r.IntN(5000))
	}
	for i := range skus {
		skus[i] = "sku" + present.Short(float64(r.IntN(2000)))
	}
	for i := range cities {
		cities[i] = "city" + present.Short(float64(int(200*math.Sqrt(r.Float64()))))
	}
	for i := range notes {
		notes[i] = "called back at " + present.Short(r.Float64())
	}
	for _, c := range []struct {
		name string
		col  *table.Column
		kind schema.Kind
	}{
		{"identifiers in any order", table.Floats("x", shuffled), ""}, {"amounts", table.Floats("x", cents), schema.Numeric},
		{"articles", table.Strings("x", skus), schema.Categorical}, {"towns", table.Strings("x", cities), schema.Categorical}, {"free text", table.Strings("x", notes), ""},
	} {
		if kind, reason := kindOf(c.col, c.col.Type); kind != c.kind || (kind == "") != (reason != "") {
			t.Errorf("%s: %q, %q", c.name, kind, reason)
		}
	}
}

func TestKinds(t *testing.T) {
	ref, _ := stream(1, 2000).With(table.Floats("row", count0(2000)), table.Strings("id", ids("a", 2000)), table.Strings("old", ids("x", 1)[:1:1]).Take(make([]int, 2000)))
	cur, _ := stream(2, 500).With(table.Floats("row", count0(500)), table.Strings("id", ids("b", 500)), table.Floats("new", count0(500)))
	r := compare(t, ref, cur, func(in *Input) { in.Columns = nil })
	for _, c := range append(slices.Clone(streamColumns), schema.Column{Name: "old", Kind: schema.Categorical}) {
		if got := r.Columns[c.Name]; got == nil || got.Kind != c.Kind {
			t.Errorf("%s: %+v", c.Name, got)
		}
	}
	if row := r.Columns["row"]; len(r.Columns) != len(streamColumns)+3 || row == nil || row.Kind != schema.Text || row.Levels != nil {
		t.Errorf("columns %v", r.Order)
	}
	// A column of identifiers that died is noticed.
	gone, _ := cur.With(&table.Column{Name: "id", Type: table.String, Codes: slices.Repeat([]int32{-1}, 500)})
	if dead := compare(t, ref, gone, func(in *Input) { in.Columns = nil }); !slices.Contains(dead.Ranked, "id") || dead.Columns["id"].Change.Kind != EmptyChange {
		t.Errorf("a dead column: %s, %+v", dead.Verdict, dead.Faults)
	}
	var names []string
	for _, s := range r.Skipped {
		names = append(names, s.Column)
		if s.Reason == "" {
			t.Errorf("%s without a reason", s.Column)
		}
	}
	if !slices.Equal(names, []string{"at", "row", "id", "new"}) {
		t.Errorf("skipped %v", r.Skipped)
	}
}

func count0(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i)
	}
	return v
}

func ids(prefix string, n int) []string {
	v := make([]string, n)
	for i := range v {
		v[i] = prefix + strings.Repeat("i", i%7) + string(rune('0'+i%10)) + present.Short(float64(i))
	}
	return v
}

// BenchmarkCompare is the size of a busy month: 100,000 reference rows and a
// million current ones in ten columns.
func BenchmarkCompare(b *testing.B) {
	wide := func(seed uint64, n int) (*table.Table, []schema.Column) {
		base := stream(seed, n)
		var cols []*table.Column
		var kinds []schema.Column
		for i := range 10 {
			c, kind := *base.Column("temp"), schema.Numeric
			if i >= 7 {
				c, kind = *base.Column("region"), schema.Categorical
			}
			c.Name = string(rune('a' + i))
			cols = append(cols, &c)
			kinds = append(kinds, schema.Column{Name: c.Name, Kind: kind})
		}
		return table.Must(cols...), kinds
	}
	ref, columns := wide(1, 100_000)
	cur, _ := wide(2, 1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compare(context.Background(), Input{Reference: Of(ref), Current: Of(cur), Columns: columns, Now: noon}); err != nil {
			b.Fatal(err)
		}
	}
}
