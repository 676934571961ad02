package domain

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func ramp(n int, f func(i int) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func codes(n, levels, first int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(first + i*7%levels)
	}
	return out
}

func checkResult(t testing.TB, r *Result) {
	t.Helper()
	if !(r.P >= 0 && r.P <= 1) {
		t.Errorf("p-value %v", r.P)
	}
	if math.IsNaN(r.AUC) != (len(r.Columns) == 0) || math.IsNaN(r.AUC) && r.P != 1 {
		t.Errorf("%+v", r)
	}
	if r.AUC < 0 || r.AUC > 1 || r.Lo > r.AUC || r.Hi < r.AUC {
		t.Errorf("%+v", r)
	}
	sum := 0.0
	for i, c := range r.Columns {
		if c.Weight < 0 || i > 0 && c.Weight > r.Columns[i-1].Weight {
			t.Errorf("weights %v", r.Columns)
		}
		sum += c.Weight
	}
	if len(r.Columns) > 0 && math.Abs(sum-1) > 1e-9 {
		t.Errorf("weights add up to %v", sum)
	}
}

func checkPairs(t testing.TB, pairs []Pair) {
	t.Helper()
	for i, p := range pairs {
		if !(p.P >= p.Raw && p.P <= 1 && p.Raw >= 0) || math.IsNaN(p.Z) && p.P != 1 || i > 0 && p.P < pairs[i-1].P {
			t.Errorf("%+v", p)
		}
	}
}

// What cannot be compared has NaN and p-value 1, and nothing panics.
func TestEdges(t *testing.T) {
	nan := math.NaN()
	number := func(v []float64) Sample { return Sample{Columns: []Column{{Name: "x", Values: v}}} }
	level := func(v []int32) Sample { return Sample{Columns: []Column{{Name: "x", Codes: v, Levels: 20}}} }
	normal := ramp(500, func(i int) float64 { return float64(i * 7919 % 500) })
	wide := Sample{}
	for range 1000 {
		wide.Columns = append(wide.Columns, Column{Name: "x", Values: normal[:100]})
	}
	huge := ramp(500, func(i int) float64 { return []float64{math.Inf(1), math.Inf(-1), 1e308, -1e308, nan}[i%5] })
	oneBlock := number(normal)
	oneBlock.Block = make([]int32, len(normal))
	for name, c := range map[string]struct {
		ref, cur Sample
		told     bool // that there is an area
	}{
		"no columns":          {Sample{}, Sample{}, false},
		"no columns but rows": {Sample{Block: []int32{1, 2, 3}}, Sample{Block: []int32{1, 2}}, false},
		"no rows":             {number(nil), number(nil), false},
		"no current rows":     {number(normal), number(nil), false},
		"no reference rows":   {number(nil), number(normal), false},
		"one row":             {number(normal), number([]float64{1}), false},
		"one row each":        {number([]float64{2}), number([]float64{1}), false},
		"two rows":            {number(normal), number([]float64{1, 2}), true},
		"constant":            {number(ramp(300, func(int) float64 { return 4 })), number(ramp(300, func(int) float64 { return 4 })), false},
		"another constant":    {number(ramp(300, func(int) float64 { return 4 })), number(ramp(300, func(int) float64 { return 5 })), true},
		"all missing":         {number(ramp(300, func(int) float64 { return nan })), number(ramp(300, func(int) float64 { return nan })), false},
		"died":                {number(normal), number(ramp(300, func(int) float64 { return nan })), true},
		"all missing levels":  {level(codes(300, 1, -1)), level(codes(300, 1, -5)), false},
		"new levels":          {level(codes(300, 10, 0)), level(codes(300, 10, 10)), true},
		"codes out of range":  {level(codes(300, 10, 0)), level(codes(300, 10, 1000)), true},
		"infinite":            {number(huge), number(normal), true},
		"one block":           {number(normal), oneBlock, false},
		"identical":           {number(normal), number(normal), true},
		"1000 columns":        {wide, wide, true},
	} {
		r, err := Classify(context.Background(), c.ref, c.cur, Options{Threads: 2})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if math.IsNaN(r.AUC) == c.told {
			t.Errorf("%s: %+v", name, r)
		}
		if len(r.Columns) > MaxColumns {
			t.Errorf("%s: %d columns", name, len(r.Columns))
		}
		checkResult(t, r)
		pairs, err := Dependence(context.Background(), c.ref, c.cur, Options{Threads: 2})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkPairs(t, pairs)
	}
}

func TestRefuses(t *testing.T) {
	x := Column{Name: "x", Values: []float64{1, 2, 3}}
	for want, s := range map[string]Sample{
		"has 2 rows":       {Columns: []Column{x, {Name: "y", Values: []float64{1, 2}}}},
		"not ascending":    {Columns: []Column{x}, Block: []int32{2, 1, 3}},
		"expected 2":       {Columns: []Column{x}, Block: []int32{1, 2}},
		"values and codes": {Columns: []Column{{Name: "x", Values: x.Values, Codes: []int32{1, 2, 3}}}},
		"0 in the current": {},
		"and z in":         {Columns: []Column{{Name: "z", Values: x.Values}}},
		"levels in one":    {Columns: []Column{{Name: "x", Codes: []int32{1, 2, 3}, Levels: 4}}},
		"has -1 levels":    {Columns: []Column{{Name: "x", Codes: []int32{1, 2, 3}, Levels: -1}}},
	} {
		_, err := Classify(context.Background(), Sample{Columns: []Column{x}}, s, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want ...%s...", err, want)
		}
		if _, again := Dependence(context.Background(), Sample{Columns: []Column{x}}, s, Options{}); again == nil {
			t.Errorf("%s: Dependence takes it", want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ref, cur := series{rows: 600}.pair(1, 400, false)
	if _, err := Classify(ctx, ref, cur, Options{}); err == nil {
		t.Error("a cancelled context is ignored")
	}
	if _, err := Dependence(ctx, ref, cur, Options{}); err == nil {
		t.Error("a cancelled context is ignored")
	}
}

// The result does not depend on the number of threads, and the input stays.
func TestThreads(t *testing.T) {
	ref, cur := series{rows: 2400, effect: .3, ar: .5}.pair(3, 1800, true)
	var results []*Result
	var tables [][]Pair
	for _, threads := range []int{0, 1, 2, 5} {
		r, err := Classify(context.Background(), ref, cur, Options{Threads: threads, Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Dependence(context.Background(), ref, cur, Options{Threads: threads, Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		results, tables = append(results, r), append(tables, p)
	}
	for i := range results {
		if !reflect.DeepEqual(results[i], results[0]) || !reflect.DeepEqual(tables[i], tables[0]) {
			t.Errorf("run %d differs: %+v %+v", i, results[i], results[0])
		}
	}
	again, _ := series{rows: 2400, effect: .3, ar: .5}.pair(3, 1800, true)
	if !reflect.DeepEqual(again.Columns[0], ref.Columns[0]) {
		t.Error("the reference was changed")
	}
}

// Any samples of any shape are told about without a panic.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, math.NaN(), math.Inf(1)}))
		rows := [2]int{rapid.IntRange(0, 60).Draw(t, "n"), rapid.IntRange(0, 60).Draw(t, "m")}
		var s [2]Sample
		for c := range rapid.IntRange(0, 4).Draw(t, "columns") {
			categorical := rapid.Bool().Draw(t, "categorical")
			for i := range s {
				column := Column{Name: string(rune('a' + c))}
				if categorical {
					column.Codes, column.Levels = rapid.SliceOfN(rapid.Int32Range(-1, 5), rows[i], rows[i]).Draw(t, "codes"), 5
				} else {
					column.Values = rapid.SliceOfN(value, rows[i], rows[i]).Draw(t, "values")
				}
				s[i].Columns = append(s[i].Columns, column)
			}
		}
		for i := range s {
			if len(s[i].Columns) > 0 && rapid.Bool().Draw(t, "blocks") {
				s[i].Block = make([]int32, rows[i])
				for k := 1; k < rows[i]; k++ {
					s[i].Block[k] = s[i].Block[k-1] + rapid.Int32Range(0, 1).Draw(t, "step")
				}
			}
		}
		r, err := Classify(context.Background(), s[0], s[1], Options{MaxRows: rapid.IntRange(0, 80).Draw(t, "most")})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, c := range r.Columns {
			sum += c.Weight
		}
		if !(r.P >= 0 && r.P <= 1) || len(r.Columns) > 0 && math.Abs(sum-1) > 1e-9 {
			t.Fatalf("%+v", r)
		}
		pairs, err := Dependence(context.Background(), s[0], s[1], Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			if !(p.P >= p.Raw && p.P <= 1) || p.Then < -1 || p.Then > 1 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// Numbers may be measured in any unit: pairs do not change at all.
func TestUnits(t *testing.T) {
	ref, cur := series{rows: 1200}.pair(5, 800, false)
	want, err := Dependence(context.Background(), ref, cur, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cur.Columns {
		for k, v := range cur.Columns[i].Values {
			cur.Columns[i].Values[k] = 1.8*v + 32
		}
	}
	got, err := Dependence(context.Background(), ref, cur, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("pairs depend on the unit of the current sample")
	}
}

// The first row's value decides what is constant, in either sample.
func TestConstant(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		a, b []float64
		want bool
	}{
		{[]float64{1, 1}, []float64{1}, true},
		{[]float64{1, 1}, []float64{2}, false},
		{[]float64{nan}, []float64{nan}, true},
		{[]float64{nan}, []float64{0}, false},
		{nil, []float64{3, 3}, true},
		{nil, nil, true},
		{[]float64{0}, []float64{math.Copysign(0, -1)}, true},
	} {
		a, b := Column{Values: c.a}, Column{Values: c.b}
		if got := constant(&a, len(c.a), &b, len(c.b)); got != c.want {
			t.Errorf("%v %v: %v", c.a, c.b, got)
		}
	}
}

func TestHolm(t *testing.T) {
	pairs := []Pair{{Raw: .01, Z: 3}, {Raw: .011, Z: 3}, {Raw: .2, Z: 1}, {Raw: 1, Z: math.NaN()}}
	holm(pairs)
	for i, want := range []float64{.03, .03, .2, 1} {
		near(t, "p", pairs[i].P, want, 1e-12)
	}
}
