package train_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// TestCutIsNearest: of all places where rows may be split, the nearest is
// taken, and when every row has one time, the place that was asked for.
func TestCutIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(train.MinRows, 40).Draw(t, "rows")
		times := make([]int64, n)
		for i := 1; i < n; i++ {
			times[i] = times[i-1] + rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "step")
		}
		rows := &train.Rows{Labels: make([]float64, n), Times: times}
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		at := min(max(int(math.Round(share*float64(n))), 1), n-1)
		nearest := n
		for i := 1; i < n; i++ {
			if times[i-1] != times[i] {
				nearest = min(nearest, max(i-at, at-i))
			}
		}
		got := rows.Cut(share)
		if nearest == n {
			nearest = 0 // no place is allowed
		}
		if d := max(got-at, at-got); d != nearest {
			t.Fatalf("times %v: cut at %d for %d, the nearest place is %d away", times, got, at, nearest)
		}
		if got := (&train.Rows{Labels: rows.Labels}).Cut(share); got != at {
			t.Fatalf("without times: cut at %d, expected %d", got, at)
		}
	})
}

func TestSpan(t *testing.T) {
	day := int64(24 * 3600 * 1e6)
	rows := &train.Rows{Labels: make([]float64, 4), Times: []int64{table.NoTime, table.NoTime, day, 3 * day}}
	for _, c := range []struct {
		lo, hi   int
		from, to int64
	}{{0, 4, day, 3 * day}, {2, 3, day, day}, {3, 4, 3 * day, 3 * day}, {0, 2, table.NoTime, 0}, {2, 2, table.NoTime, 0}} {
		from, to := rows.Span(c.lo, c.hi)
		if c.from == table.NoTime {
			if !from.IsZero() || !to.IsZero() {
				t.Errorf("[%d, %d): %v to %v, expected nothing", c.lo, c.hi, from, to)
			}
		} else if from.UnixMicro() != c.from || to.UnixMicro() != c.to {
			t.Errorf("[%d, %d): %v to %v", c.lo, c.hi, from, to)
		}
	}
	if from, _ := (&train.Rows{Labels: make([]float64, 4)}).Span(0, 4); !from.IsZero() {
		t.Errorf("rows without times begin at %v", from)
	}
}

// TestWithCalendar: other features of the same rows, and the rows themselves
// stay as they were.
func TestWithCalendar(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 40, Still: true})
	rows := prepare(t, tab, "sales")
	before := rows.Template.Fingerprint
	with, err := rows.WithCalendar([]schema.Op{schema.Weekday, schema.Day})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range with.Template.Features {
		names = append(names, f.Name)
	}
	for _, want := range []string{"date.weekday", "date.day"} {
		if !slices.Contains(names, want) {
			t.Errorf("features %q lack %s", names, want)
		}
	}
	if err := with.Template.Validate(); err != nil {
		t.Error(err)
	}
	if rows.Template.Fingerprint != before || rows.Template.Validate() != nil || len(rows.Template.Features) != len(names)-2 {
		t.Error("the rows that were asked changed")
	}
	if without, err := with.WithCalendar(nil); err != nil || without.Template.Fingerprint != before {
		t.Errorf("there and back is another template: %v", err)
	}
}

// TestSlicePredictsAlike: the newest rows alone are the same rows.
func TestSlicePredictsAlike(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 40, Still: true})
	rows := prepare(t, tab, "sales")
	p, err := train.Params(schema.Regression, 0, 1, 1, map[string]string{"num_iterations": "5"})
	if err != nil {
		t.Fatal(err)
	}
	p.EarlyStoppingRound = 0
	res, err := rows.Fit(context.Background(), 0, rows.Len(), 0, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	lo, n := 317, rows.Len()
	part := rows.Slice(lo)
	want, err := rows.Predict(res.Model, lo, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := part.Predict(res.Model, 0, n-lo, 2)
	if err != nil {
		t.Fatal(err)
	}
	if part.Len() != n-lo || !slices.Equal(got, want) || !slices.Equal(part.Labels, rows.Labels[lo:]) || !slices.Equal(part.Times, rows.Times[lo:]) {
		t.Error("the part differs from the rows that it was cut from")
	}
	s := rows.Sample(lo, 100)
	if s.NumRows() != 100 || s.Column("sales").Floats[0] != rows.Labels[lo] || !slices.IsSorted(s.Column("date").Times) {
		t.Error("a sample is not in the order of time")
	}
	if s := rows.Sample(lo, 1_000_000); s.NumRows() != n-lo {
		t.Errorf("%d rows of %d", s.NumRows(), n-lo)
	}
}

// TestHostileNames: a model of columns with any names survives its file.
func TestHostileNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	n := 200
	y := make([]float64, n)
	cols := []*table.Column{table.Floats("y", y)}
	inf := &feature.Inferred{Target: "y", Task: schema.Regression}
	for _, name := range []string{"a b", "a_b", "Tree", "num_leaves", "x=[1]", "Preis\u00a0in\u2003€", "日本", "tab\t", "end of trees", "\x7f", "-0"} {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
			y[i] += v[i]
		}
		cols = append(cols, table.Floats(name, v))
		inf.Choices = append(inf.Choices, feature.Choice{Name: name, Kind: schema.Numeric, Use: true})
	}
	rows, err := train.Prepare(table.Must(cols...), inf, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Threads: 1, Set: map[string]string{"num_iterations": "20"}})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := res.Trees.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	again, err := gbdt.ReadText("model.txt", text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.FeatureNames, res.Trees.FeatureNames) {
		t.Errorf("names %q became %q", res.Trees.FeatureNames, again.FeatureNames)
	}
	want, err := rows.Predict(res.Trees, 0, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rows.Predict(again, 0, n, 1); err != nil || !slices.Equal(got, want) {
		t.Errorf("the model that was read predicts otherwise: %v", err)
	}
}
