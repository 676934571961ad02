package feature_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// sales is a small table of every kind of column.
func sales(t *testing.T, n int) *table.Table {
	t.Helper()
	price, promo, target, instant, empty := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	region, note := make([]string, n), make([]string, n)
	days := make([]int64, n)
	for i := range n {
		price[i] = 1.5 + float64(i%7)
		promo[i] = float64(i % 2)
		target[i] = 10 + 3*float64(i%5) + promo[i]
		instant[i] = float64(i + 1)
		empty[i] = math.NaN()
		region[i] = []string{"South", "North", "East"}[i%3]
		note[i] = "row " + strings.Repeat("x", i%5) + time.Unix(int64(i), 0).UTC().String()
		days[i] = time.Date(2024, 1, 1+i, 0, 0, 0, 0, time.UTC).UnixMicro()
	}
	tab, err := table.New(table.Times("date", days), table.Strings("region", region), table.Strings("note", note),
		table.Floats("price", price), table.Floats("promo", promo), table.Floats("instant", instant), table.Floats("empty", empty), table.Floats("sales", target))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestInferChoosesAndExplains(t *testing.T) {
	inf, err := feature.Infer(sales(t, 60), feature.InferOptions{Target: "sales"})
	if err != nil {
		t.Fatal(err)
	}
	if inf.Task != schema.Regression || inf.Time != "date" {
		t.Errorf("task %s, time %q; expected regression by date", inf.Task, inf.Time)
	}
	want := map[string]struct {
		kind schema.Kind
		use  bool
		why  string
	}{
		"date": {schema.Time, true, "calendar"}, "region": {schema.Categorical, true, "3 different"}, "note": {schema.Text, false, "no value comes twice"},
		"price": {schema.Numeric, true, "numbers from"}, "promo": {schema.Numeric, true, "whole numbers"},
		"instant": {schema.Numeric, false, "counts the rows"}, "empty": {schema.Numeric, false, "every value is missing"},
	}
	if len(inf.Choices) != len(want) {
		t.Fatalf("%d choices, expected %d", len(inf.Choices), len(want))
	}
	for _, c := range inf.Choices {
		w := want[c.Name]
		if c.Use != w.use || (c.Use && c.Kind != w.kind) || !strings.Contains(c.Why, w.why) {
			t.Errorf("%s: kind %s, use %v, %q; expected %+v", c.Name, c.Kind, c.Use, c.Why, w)
		}
	}
}

// Columns that come in parts are what they are as a whole.
func TestInferenceOfParts(t *testing.T) {
	for _, rows := range []int{25, 60, 21_000} {
		whole := sales(t, rows)
		id, gap, mixed := make([]float64, rows), make([]float64, rows), make([]float64, rows)
		for i := range rows {
			id[i], gap[i], mixed[i] = float64((i*11+3)%rows), float64(i), 3*float64(i%5)
			if i == rows/2 {
				gap[i] = math.NaN()
			}
			if i == rows-1 {
				mixed[i] = 0.5
			}
		}
		whole, err := whole.With(table.Floats("id", id), table.Floats("gap", gap), table.Floats("mixed", mixed))
		if err != nil {
			t.Fatal(err)
		}
		o := feature.InferOptions{Target: "sales"}
		want, err := feature.Infer(whole, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []int{1, 7, 1000} {
			in, err := feature.NewInference(whole.Names(), rows, o)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range whole.Columns() {
				for lo := 0; lo < rows; lo += part {
					in.Add(i, lo, c.Slice(lo, min(lo+part, rows)))
				}
			}
			got, err := in.Infer(whole.Column("sales"))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%d rows in parts of %d: inferred\n%+v, want\n%+v", rows, part, got, want)
			}
		}
		if c := want.Choices[len(want.Choices)-3]; c.Name != "id" || c.Use {
			t.Errorf("%+v; expected an identifier", c)
		}
	}
}

func TestInferTask(t *testing.T) {
	col := func(v ...float64) *table.Column { return table.Floats("y", v) }
	repeat := func(n int, v ...float64) *table.Column {
		var out []float64
		for range n {
			out = append(out, v...)
		}
		return table.Floats("y", out)
	}
	for _, c := range []struct {
		name    string
		y       *table.Column
		task    schema.Task
		classes string
		fault   string
	}{
		{"two numbers", repeat(5, 0, 1), schema.Binary, "0 1", ""},
		{"two numbers, falling", repeat(5, 7, -2), schema.Binary, "-2 7", ""},
		{"yes and no", table.Strings("y", []string{"yes", "no", "yes"}), schema.Binary, "no yes", ""},
		{"three names", table.Strings("y", []string{"c", "a", "b"}), schema.Multiclass, "a b c", ""},
		{"a run of whole numbers", repeat(5, 2, 0, 1, 3), schema.Multiclass, "0 1 2 3", ""},
		{"whole numbers with a gap", repeat(5, 0, 1, 5), schema.Regression, "", ""},
		{"fractions", repeat(5, 0.5, 1, 1.5), schema.Regression, "", ""},
		{"one value", repeat(5, 3), "", "", "one value only"},
		{"no value", col(math.NaN(), math.NaN()), "", "", "no value"},
		{"times", table.Times("y", []int64{1, 2, 3}), "", "", "holds times"},
	} {
		x := make([]float64, c.y.Len())
		for i := range x {
			x[i] = float64(i) / 3
		}
		inf, err := feature.Infer(table.Must(table.Floats("x", x), c.y), feature.InferOptions{Target: "y"})
		var fault *feature.TargetError
		switch {
		case c.fault != "":
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v, expected a TargetError with %q", c.name, err, c.fault)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case inf.Task != c.task || strings.Join(inf.Classes, " ") != c.classes:
			t.Errorf("%s: %s of %q, expected %s of %q", c.name, inf.Task, inf.Classes, c.task, c.classes)
		}
	}
}

func TestInferNamesUnknownColumns(t *testing.T) {
	tab := sales(t, 30)
	if _, err := feature.Infer(tab, feature.InferOptions{Target: "sale"}); err == nil || !strings.Contains(err.Error(), "promo") {
		t.Errorf("error %v should list the columns", err)
	}
	if _, err := feature.Infer(tab, feature.InferOptions{Target: "sales", Drop: []string{"nope"}}); err == nil || !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("error %v should name the column", err)
	}
	if _, err := feature.Infer(tab, feature.InferOptions{Target: "sales", Drop: []string{"date", "region", "price", "promo"}}); !errors.Is(err, feature.ErrNoFeatures) {
		t.Errorf("error %v, expected ErrNoFeatures", err)
	}
}

func TestLeaks(t *testing.T) {
	n := 50
	a, b, c, sum, scaled := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		a[i], b[i], c[i] = float64(i*7%13), float64(i*5%11), float64(i%4)
		sum[i] = a[i] + b[i]
		scaled[i] = 32 + 1.8*sum[i]
	}
	tab := table.Must(table.Floats("casual", a), table.Floats("registered", b), table.Floats("fahrenheit", scaled), table.Floats("other", c), table.Floats("cnt", sum))
	inf, err := feature.Infer(tab, feature.InferOptions{Target: "cnt"})
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range inf.Choices {
		if want := ch.Name == "other"; ch.Use != want {
			t.Errorf("%s: use %v, expected %v (%s)", ch.Name, ch.Use, want, ch.Why)
		}
	}
	if all := strings.Join(inf.Warnings, "\n"); !strings.Contains(all, `"casual" and "registered" sum to the target`) || !strings.Contains(all, "other units") {
		t.Errorf("warnings %q", all)
	}
	inf, err = feature.Infer(tab, feature.InferOptions{Target: "cnt", Keep: []string{"casual", "registered"}})
	if err != nil {
		t.Fatal(err)
	}
	if !inf.Choices[0].Use || !inf.Choices[1].Use || !strings.Contains(strings.Join(inf.Warnings, ""), "kept as asked for") {
		t.Errorf("--keep does not keep, or does not warn: %+v %q", inf.Choices, inf.Warnings)
	}
	// One row that does not fit clears both.
	sum[20] += 5
	inf, err = feature.Infer(tab, feature.InferOptions{Target: "cnt"})
	if err != nil {
		t.Fatal(err)
	}
	if len(inf.Warnings) != 0 {
		t.Errorf("warned of a leak that is none: %q", inf.Warnings)
	}
}

// TestCalendar compares the calendar with time.Time on random times of two
// thousand years.
func TestCalendar(t *testing.T) {
	cols := []schema.Column{{Name: "t", Kind: schema.Time}}
	tmpl := &schema.Template{Task: schema.Regression, Target: "y", Columns: cols, Features: feature.Features(cols, schema.Calendar())}
	tmpl.Seal()
	e := feature.NewEncoder(tmpl)
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(-30_000_000_000_000_000, 30_000_000_000_000_000).Draw(t, "us")
		got := make([]float64, len(tmpl.Features))
		e.Encode(got, []float64{float64(us)})
		at := time.UnixMicro(us).UTC()
		want := map[schema.Op]int{schema.Hour: at.Hour(), schema.Weekday: int(at.Weekday()), schema.Day: at.Day(), schema.Month: int(at.Month()), schema.YearDay: at.YearDay()}
		for i, f := range tmpl.Features {
			// A float64 carries microseconds exactly up to 2^53 (year 2255); beyond,
			// times within a rounding of midnight may fall on its other side.
			if math.Abs(float64(us)) < 1<<53 && got[i] != float64(want[f.Op]) {
				t.Fatalf("%s of %s is %v, expected %d", f.Op, at, got[i], want[f.Op])
			}
		}
	})
}

// TestOneCodePath holds a row encoded for serving against the same row of a
// table encoded for training, for any values.
func TestOneCodePath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "rows")
		levels := []string{"a", "b", "c"}
		texts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "new"}), n, n).Draw(t, "level")
		nums := rapid.SliceOfN(rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN())), n, n).Draw(t, "number")
		times := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 4e15), rapid.Just(int64(table.NoTime))), n, n).Draw(t, "time")
		cols := []schema.Column{{Name: "when", Kind: schema.Time}, {Name: "c", Kind: schema.Categorical, Levels: levels}, {Name: "x", Kind: schema.Numeric}}
		tmpl := &schema.Template{Task: schema.Regression, Target: "y", Columns: cols, Features: feature.Features(cols, []schema.Op{schema.Hour, schema.Month})}
		tmpl.Seal()
		if err := tmpl.Validate(); err != nil {
			t.Fatal(err)
		}
		e := feature.NewEncoder(tmpl)
		batch, err := e.Table(table.Must(table.Floats("x", nums), table.Strings("c", texts), table.Times("when", times)))
		if err != nil {
			t.Fatal(err)
		}
		raw, got := make([]float64, len(cols)), make([]float64, len(tmpl.Features))
		for i := range n {
			code, known := e.Level(1, texts[i])
			if known != (texts[i] != "new") || (!known && code != -1) {
				t.Fatalf("level %q has code %v, known %v", texts[i], code, known)
			}
			when := float64(times[i])
			if times[i] == table.NoTime {
				when = math.NaN()
			}
			copy(raw, []float64{when, code, nums[i]})
			e.Encode(got, raw)
			for f := range got {
				if want := batch.Features[f][i]; math.Float64bits(got[f]) != math.Float64bits(want) {
					t.Fatalf("row %d, %s: served %v, trained %v", i, tmpl.Features[f].Name, got[f], want)
				}
			}
		}
	})
}

func TestTableListsEveryDifference(t *testing.T) {
	cols := []schema.Column{{Name: "price", Kind: schema.Numeric}, {Name: "region", Kind: schema.Categorical, Levels: []string{"1", "2"}}, {Name: "when", Kind: schema.Time}}
	tmpl := &schema.Template{Task: schema.Regression, Target: "y", Columns: cols, Ignored: []string{"note"}, Features: feature.Features(cols, nil)}
	tmpl.Seal()
	e := feature.NewEncoder(tmpl)
	_, err := e.Table(table.Must(table.Strings("price", []string{"cheap"}), table.Floats("extra", []float64{1}), table.Floats("region", []float64{2}),
		table.Strings("note", []string{"read by nobody"}), table.Floats("y", []float64{1}), table.Strings("prediction_id", []string{"1"})))
	var mismatch *feature.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("error %v, expected a MismatchError", err)
	}
	got := map[string]string{}
	for _, d := range mismatch.Differences {
		got[d.Column] = d.What
	}
	want := map[string]string{"price": "retyped", "extra": "added", "when": "missing"}
	if len(got) != len(want) {
		t.Errorf("differences %v, expected %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, expected %q", k, got[k], v)
		}
	}
	// Numbers may name levels.
	batch, err := e.Table(table.Must(table.Floats("price", []float64{3}), table.Floats("region", []float64{2}), table.Times("when", []int64{0})))
	if err != nil || batch.Raw[1][0] != 1 {
		t.Errorf("the number 2 should name level \"2\" (code 1): %v, %v", batch, err)
	}
}

func TestTemplateDoesNotDependOnRowOrder(t *testing.T) {
	tab := sales(t, 60)
	inf, err := feature.Infer(tab, feature.InferOptions{Target: "sales"})
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]int, tab.NumRows())
	for i := range rows {
		rows[i] = len(rows) - 1 - i
	}
	a := feature.NewTemplate(tab, inf, []schema.Op{schema.Weekday})
	b := feature.NewTemplate(tab.Take(rows), inf, []schema.Op{schema.Weekday})
	if a.Fingerprint != b.Fingerprint {
		t.Errorf("fingerprints %s and %s differ", a.Fingerprint, b.Fingerprint)
	}
	again, err := schema.Parse(a.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if again.Fingerprint != a.Fingerprint || schema.Diff(a, again) != nil {
		t.Error("a template does not survive its file")
	}
}
