package train_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// prepare infers and encodes a table.
func prepare(t testing.TB, tab *table.Table, target string) *train.Rows {
	t.Helper()
	inf, err := feature.Infer(tab, feature.InferOptions{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := train.Prepare(tab, inf, train.TimesOf(tab, inf.Time), nil)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestPrepareOrdersByTimeAndKeepsTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(train.MinRows+10, 60).Draw(t, "rows")
		days, y, x := make([]int64, n), make([]float64, n), make([]float64, n)
		unlabelled := 0
		for i := range n {
			days[i] = rapid.Int64Range(0, 12).Draw(t, "day") * 24 * 3600 * 1e6
			y[i] = float64(i) + 0.25 // says where the row stood
			x[i] = float64(i % 7)
			if unlabelled < 10 && rapid.Bool().Draw(t, "unlabelled") {
				y[i] = math.NaN()
				unlabelled++
			}
		}
		tab := table.Must(table.Times("when", days), table.Floats("x", x), table.Floats("y", y))
		inf := &feature.Inferred{Target: "y", Time: "when", Task: schema.Regression, Choices: []feature.Choice{{Name: "when", Kind: schema.Time, Use: true}, {Name: "x", Kind: schema.Numeric, Use: true}}}
		rows, err := train.Prepare(tab, inf, days, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rows.Len() != n-unlabelled || rows.Unlabelled != unlabelled {
			t.Fatalf("%d rows and %d unlabelled of %d with %d", rows.Len(), rows.Unlabelled, n, unlabelled)
		}
		for i := 1; i < rows.Len(); i++ {
			if rows.Times[i] < rows.Times[i-1] || rows.Times[i] == rows.Times[i-1] && rows.Labels[i] < rows.Labels[i-1] {
				t.Fatalf("rows %d and %d are out of order", i-1, i)
			}
		}
		cut := rows.Cut(rapid.Float64Range(0, 1).Draw(t, "share"))
		if cut <= 0 || cut >= rows.Len() {
			t.Fatalf("cut at %d of %d", cut, rows.Len())
		}
		if rows.Times[cut] == rows.Times[cut-1] && rows.Times[0] != rows.Times[rows.Len()-1] {
			t.Fatalf("cut at %d parts rows of one time", cut)
		}
	})
}

func TestPrepareNeedsRows(t *testing.T) {
	tab := table.Must(table.Floats("x", make([]float64, 25)), table.Floats("y", slices.Repeat([]float64{1, 2.5, math.NaN(), math.NaN(), math.NaN()}, 5)))
	inf := &feature.Inferred{Target: "y", Task: schema.Regression, Choices: []feature.Choice{{Name: "x", Kind: schema.Numeric, Use: true}}}
	if _, err := train.Prepare(tab, inf, nil, nil); !errors.Is(err, train.ErrTooFew) {
		t.Errorf("error %v, expected ErrTooFew", err)
	}
}

// TestRun: a model of the shop's sales beats a constant by far, is the same
// for any number of threads, and uses no feature that follows the year while
// there are less than two.
func TestRun(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 240, Still: true})
	rows := prepare(t, tab, "sales")
	var texts [2]bytes.Buffer
	var permutations [2]map[string]float64
	for i, threads := range []int{1, 2} {
		res, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Seed: 7, Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if res.Holdout["mae"] > 0.5*res.Baseline["mae"] {
			t.Errorf("mae %v is no good beside %v of a constant", res.Holdout["mae"], res.Baseline["mae"])
		}
		for _, f := range res.Rows.Template.Features {
			if f.Op == schema.Month || f.Op == schema.YearDay {
				t.Errorf("feature %s was chosen on 240 days", f.Name)
			}
		}
		if err := res.Trees.WriteText(&texts[i]); err != nil {
			t.Fatal(err)
		}
		if err := res.Rows.Template.Validate(); err != nil {
			t.Error(err)
		}
		if res.Permuted != min(2000, rows.Len()-res.Test) || res.Permutation["price"] < 0.1*res.Holdout["mae"] || len(res.Permutation) == 0 {
			t.Errorf("permutation importance %v on %d rows beside mae %v: prices matter", res.Permutation, res.Permuted, res.Holdout["mae"])
		}
		permutations[i] = res.Permutation
		v, err := res.Gate(nil, 0.9, 1)
		if err != nil || !v.Passed {
			t.Errorf("the first model does not pass: %+v, %v", v, err)
		}
	}
	if !bytes.Equal(texts[0].Bytes(), texts[1].Bytes()) {
		t.Error("one and two threads make different models")
	}
	if !maps.Equal(permutations[0], permutations[1]) {
		t.Errorf("one and two threads measure different importances: %v", permutations)
	}
}

// TestPermutation: a column that decides matters, one of noise does not, a
// time counts by its features together, and text not at all.
func TestPermutation(t *testing.T) {
	n := 2000
	rng := rand.New(rand.NewPCG(8, 8))
	at, x, noise, y := make([]int64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		when := synth.Start.Add(time.Duration(i) * 6 * time.Hour)
		at[i], x[i], noise[i] = when.UnixMicro(), rng.NormFloat64(), rng.NormFloat64()
		y[i] = 4*x[i] + 3*float64(when.Weekday()) + float64(when.Hour())/6
	}
	rows := prepare(t, table.Must(table.Times("date", at), table.Floats("x", x), table.Floats("noise", noise), table.Floats("y", y)), "y")
	res, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Threads: 1, Set: map[string]string{"num_iterations": "60"}})
	if err != nil {
		t.Fatal(err)
	}
	p := res.Permutation
	if len(p) != 3 || p["x"] < 2 || p["date"] < 2 || math.Abs(p["noise"]) > 0.1 {
		t.Errorf("importance %v, expected x and date far above noise", p)
	}
}

func TestRunRefuses(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 30, Still: true})
	rows := prepare(t, tab, "sales")
	if _, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Metric: "auc"}); err == nil || !strings.Contains(err.Error(), "auc") {
		t.Errorf("error %v should name the metric", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := train.Run(ctx, rows, train.Options{Holdout: 0.2}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, expected the context's", err)
	}
}

// TestGate: a model that is proven worse than the champion does not pass, and a
// champion is not judged on rows that it knows.
func TestGate(t *testing.T) {
	run := func(tab *table.Table, set map[string]string) *train.Result {
		t.Helper()
		res, err := train.Run(context.Background(), prepare(t, tab, "sales"), train.Options{Holdout: 0.2, Seed: 1, Set: set})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	good, _ := synth.Sales(3, synth.Options{Days: 200, Still: true})
	strong := run(good, nil)
	champion := func(r *train.Result, learned time.Time) *train.Champion {
		m, err := r.Model("v0001-00000000")
		if err != nil {
			t.Fatal(err)
		}
		return &train.Champion{Model: m, Learned: learned}
	}
	blind := run(good, map[string]string{"num_iterations": "8", "num_leaves": "3"})
	v, err := blind.Gate(champion(strong, synth.Start), 0.9, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.Passed || v.Gain == nil {
		t.Errorf("a challenger that is worse by far passed: %+v", v)
	}
	last := synth.Start.AddDate(0, 0, 199)
	v, err = strong.Gate(champion(blind, last), 0.9, 1)
	if err != nil || !v.Passed || v.Compared != 0 || !strings.Contains(strings.Join(v.Reasons, " "), "not compared") {
		t.Errorf("a champion was judged on rows that it knows: %+v, %v", v, err)
	}
}
