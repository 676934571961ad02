package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// sketch is a report of columns that drift (upper case) or do not.
func sketch(id, columns string, predictions ...string) *Report {
	nan := Number(math.NaN())
	r := &Report{Format: Format, ReportID: id, Created: "2026-03-01T12:00:00Z", ModelVersion: "v1", Rows: 500, ReferenceRows: 1000, EnoughRows: true, Columns: map[string]*Column{}, Prediction: map[string]*Column{}, Verdict: "Verdict of " + id}
	column := func(name string) (string, *Column) {
		c := &Column{Kind: schema.Numeric, Drift: strings.ToLower(name) != name, P: 0.5, PSI: 0.1, Effect: 0.2, Missing: Pair{0, 0.25}, Mean: &Pair{3, 4}}
		if c.Drift {
			c.P, c.Reason = 0.001, "the mean moved"
			r.Drift = true
		}
		if name == "n" {
			c.Mean, c.PSI = nil, nan
		}
		return strings.ToLower(name), c
	}
	for _, f := range strings.Fields(columns) {
		name, c := column(f)
		r.Order, r.Columns[name] = append(r.Order, name), c
	}
	for _, f := range predictions {
		name, c := column(f)
		r.PredictionOrder, r.Prediction[name] = append(r.PredictionOrder, name), c
	}
	return r
}

func TestDiff(t *testing.T) {
	a, b := sketch("r1", "A b C d gone", "y"), sketch("r2", "d A B c NEW n", "Y")
	b.Columns["a"].Mean.Now, b.Columns["a"].Missing.Now = 7, 0.5
	a.Faults = []Fault{{Column: "a", Kind: "unit", Detail: "times 100"}, {Column: "c", Kind: "empty", Detail: "nothing is left"}}
	b.Faults = []Fault{{Column: "a", Kind: "unit", Detail: "times 90"}, {Column: "b", Kind: "frozen", Detail: "one value"}}
	a.Performance = &Performance{Metric: score.MAEMetric, Labeled: 40, Now: 4, Lo: 3, Hi: 5}
	b.Performance = &Performance{Metric: score.MAEMetric, Labeled: 60, Now: 6, Lo: 5, Hi: 7, Drift: true}
	d := Diff(a, b)
	if !reflect.DeepEqual(d.Began, []string{"b", "new", "y", "mae"}) || !reflect.DeepEqual(d.Ceased, []string{"c"}) || !reflect.DeepEqual(d.GoesOn, []string{"a"}) {
		t.Errorf("began %q, ceased %q, goes on %q", d.Began, d.Ceased, d.GoesOn)
	}
	var names []string
	for _, c := range d.Columns {
		names = append(names, c.Role+" "+c.Column)
	}
	if want := []string{"input d", "input a", "input b", "input c", "input new", "input n", "input gone", "prediction y"}; !slices.Equal(names, want) {
		t.Errorf("columns %q, expected %q", names, want)
	}
	col := d.Columns[1]
	if col.Mean != (Pair{4, 7}) || col.Missing != (Pair{0.25, 0.5}) || col.P != (Pair{0.001, 0.001}) || col.Reason.Then == "" {
		t.Errorf("column a: %+v", col)
	}
	if gone := d.Columns[6]; gone.Drift.Then == nil || gone.Drift.Now != nil || gone.P.Then != 0.5 || !math.IsNaN(float64(gone.P.Now)) || gone.Kind != schema.Numeric {
		t.Errorf("column gone: %+v", gone)
	}
	if len(d.NewFaults) != 1 || d.NewFaults[0].Column != "b" || len(d.GoneFaults) != 1 || d.GoneFaults[0].Column != "c" {
		t.Errorf("faults %+v and %+v", d.NewFaults, d.GoneFaults)
	}
	if p := d.Performance; p.Value != (Pair{4, 6}) || p.Rows != (Pair{40, 60}) || !was(p.Drift.Now) || was(p.Drift.Then) {
		t.Errorf("performance %+v", p)
	}
	if !d.SameReference || d.A.ReportID != "r1" || d.B.Verdict != "Verdict of r2" {
		t.Errorf("sides %+v, %+v", d.A, d.B)
	}
}

// TestDiffJSON: the keys that docs/format/report.md has, and null for what is
// not there.
func TestDiffJSON(t *testing.T) {
	a, b := sketch("r1", "A"), sketch("r2", "n")
	b.ModelVersion = "v2"
	out, err := json.Marshal(Diff(a, b))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"format":1,"a":{"report_id":"r1","created":"2026-03-01T12:00:00Z","model_version":"v1","window":{"from":"","to":""},"rows":500,"enough_rows":true,"drift":true,"verdict":"Verdict of r1"},"b":{`,
		`"same_reference":false,"began":[],"ceased":["a"],"goes_on":[],"columns":[`,
		`{"column":"n","role":"input","kind":"numeric","drift":{"then":null,"now":false},"p_value":{"then":null,"now":0.5},"psi":{"then":null,"now":null},"effect":{"then":null,"now":0.2},"mean":{"then":null,"now":null},"missing":{"then":null,"now":0.25},"reason":{"then":"","now":""}}`,
		`"new_faults":[],"gone_faults":[]}`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// TestDiffMetrics: one report without a metric, and two with different ones.
func TestDiffMetrics(t *testing.T) {
	with, without := sketch("r1", "a"), sketch("r2", "a")
	with.Performance = &Performance{Metric: score.MAEMetric, Now: 4, Labeled: 9, Drift: true}
	if d := Diff(with, without); !slices.Equal(d.Ceased, []string{"mae"}) || !math.IsNaN(float64(d.Performance.Value.Now)) || d.Performance.Drift.Now != nil {
		t.Errorf("lost: %+v", d.Performance)
	}
	other := sketch("r3", "a")
	other.Performance = &Performance{Metric: score.RMSEMetric, Now: 5, Labeled: 9}
	if d := Diff(with, other); d.Performance.Metric != score.RMSEMetric || !math.IsNaN(float64(d.Performance.Value.Then)) {
		t.Errorf("another metric: %+v", d.Performance)
	}
	if d := Diff(without, without); d.Performance != nil || d.Estimate != nil {
		t.Errorf("none: %+v", d.Performance)
	}
	without.Estimate = &Estimate{Metric: score.MAEMetric, Now: 6, Lo: 5, Hi: 7, Rows: 80, Drift: true}
	d := Diff(with, without)
	if e := d.Estimate; e == nil || e.Value.Now != 6 || e.Rows.Now != 80 || !math.IsNaN(float64(e.Value.Then)) || !slices.Equal(d.Began, []string{"estimated mae"}) {
		t.Errorf("estimate: %+v, began %q", e, d.Began)
	}
}

// TestDiffProperties: a report differs in nothing from itself, and the other
// way round everything is the other way round.
func TestDiffProperties(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) *Report {
		var names []string
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			switch rapid.IntRange(0, 2).Draw(t, n) {
			case 1:
				names = append(names, n)
			case 2:
				names = append(names, strings.ToUpper(n))
			}
		}
		return sketch(fmt.Sprint("r", rapid.IntRange(0, 9).Draw(t, "id")), strings.Join(rapid.Permutation(names).Draw(t, "order"), " "))
	})
	sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		there, back := Diff(a, b), Diff(b, a)
		if !slices.Equal(sorted(there.Began), sorted(back.Ceased)) || !slices.Equal(sorted(there.GoesOn), sorted(back.GoesOn)) || len(there.Columns) != len(back.Columns) {
			t.Fatalf("there %+v, back %+v", there, back)
		}
		if n := len(there.Began) + len(there.GoesOn); n != len(b.Drifted()) {
			t.Fatalf("%d drift now, the report has %d", n, len(b.Drifted()))
		}
		if self := Diff(a, a); len(self.Began)+len(self.Ceased) != 0 || len(self.GoesOn) != len(a.Drifted()) {
			t.Fatalf("itself: %+v", self)
		}
	})
}

func TestRenderDiff(t *testing.T) {
	a, b := sketch("r1", "A b c"), sketch("r2", "a B\x1b[31m c")
	b.ModelVersion = "v2"
	b.Faults = []Fault{{Column: "b", Kind: "frozen", Detail: "one value"}, {Kind: "volume", Detail: "half the rows are missing"}}
	var out bytes.Buffer
	if err := RenderDiff(&out, Diff(a, b), false, 100); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"then  r1", "now   r2", "different references", "began to drift   b", "ceased to drift  a", "yes → no", "0.0010 → 0.5000", "drift in neither: 2", "new fault: b: one value", "new fault: half the rows"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("orders to the terminal come through: %q", out.String())
	}
	out.Reset()
	if err := RenderDiff(&out, Diff(sketch("r1", "a"), sketch("r2", "a")), false, 100); err != nil || !strings.Contains(out.String(), "nothing drifts in either") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
