package train_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// TestGateWantsMoreThanAConstant: equal is not better, and a metric that could
// not be taken is not good.
func TestGateWantsMoreThanAConstant(t *testing.T) {
	for name, c := range map[string]struct {
		metric        score.Metric
		ours, base    map[string]float64
		passed, final bool
	}{
		"better":                   {metric: "mae", ours: map[string]float64{"mae": 1}, base: map[string]float64{"mae": 1.1}, passed: true},
		"equal":                    {metric: "mae", ours: map[string]float64{"mae": 1}, base: map[string]float64{"mae": 1}},
		"worse":                    {metric: "mae", ours: map[string]float64{"mae": 1.2}, base: map[string]float64{"mae": 1.1}},
		"higher is better":         {metric: "auc", ours: map[string]float64{"auc": 0.7}, base: map[string]float64{"auc": 0.5}, passed: true},
		"higher is better, worse":  {metric: "auc", ours: map[string]float64{"auc": 0.4}, base: map[string]float64{"auc": 0.5}},
		"not finite, so left out":  {metric: "mae", ours: map[string]float64{}, base: map[string]float64{"mae": 1.1}},
		"one class in the holdout": {metric: "auc", ours: map[string]float64{}, base: map[string]float64{}},
	} {
		r := &train.Result{Metric: c.metric, Holdout: c.ours, Baseline: c.base}
		v, err := r.Gate(nil, 0.9, 1)
		if err != nil || v.Passed != c.passed || len(v.Reasons) == 0 || !strings.Contains(v.Reasons[0], string(c.metric)) {
			t.Errorf("%s: %+v, %v, expected passed %v", name, v, err, c.passed)
		}
	}
}

// TestGateAgainstOthers: a champion that cannot be compared is no hindrance,
// and the reason is told.
func TestGateAgainstOthers(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 100, Still: true})
	run := func(tab *table.Table, target string) *train.Result {
		t.Helper()
		res, err := train.Run(context.Background(), prepare(t, tab, target), train.Options{Holdout: 0.2, Threads: 1, Set: map[string]string{"num_iterations": "20"}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	champion := func(r *train.Result) *train.Champion {
		m, err := r.Model("v0001-00000000")
		if err != nil {
			t.Fatal(err)
		}
		return &train.Champion{Model: m, Learned: synth.Start}
	}
	ours := run(tab, "sales")
	more, err := tab.With(table.Floats("stock", slices.Clone(tab.Column("price").Floats)))
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*train.Champion{"made for another task": champion(run(tab, "promo")), `column "stock" is missing`: champion(run(more, "sales"))} {
		v, err := ours.Gate(c, 0.9, 1)
		if err != nil || !v.Passed || v.Compared != 0 || v.Gain != nil || !strings.Contains(strings.Join(v.Reasons, "; "), want) {
			t.Errorf("%+v, %v, expected %q", v, err, want)
		}
	}
	// Against itself a model is neither better nor worse, though it knows the rows.
	v, err := ours.Gate(champion(ours), 0.9, 1)
	if err != nil || v.Compared != ours.Rows.Len()-ours.Test || v.Champion["mae"] <= 0 {
		t.Errorf("%+v, %v, expected %d rows compared", v, err, ours.Rows.Len()-ours.Test)
	}
}

// TestGateLetsNoiseBe: a loss that is a little greater by chance is not proven
// worse.
func TestGateLetsNoiseBe(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 60, Still: true})
	res, err := train.Run(context.Background(), prepare(t, tab, "sales"), train.Options{Holdout: 0.2, Threads: 1, Set: map[string]string{"num_iterations": "20"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := res.Model("v0001-00000000")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := res.Rows.Predict(res.Trees, res.Test, res.Rows.Len(), 1)
	if err != nil {
		t.Fatal(err)
	}
	worse := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		res.Outputs = slices.Clone(theirs)
		for i := range res.Outputs {
			res.Outputs[i] += rng.NormFloat64()
		}
		v, err := res.Gate(&train.Champion{Model: m, Learned: synth.Start}, 0.95, 1)
		if err != nil {
			t.Fatal(err)
		}
		if v.Gain.Mean < 0 && v.Gain.Hi > 0 {
			worse++
			if !v.Passed || !strings.Contains(strings.Join(v.Reasons, "; "), "not proven worse") {
				t.Errorf("refused: %+v", v)
			}
		}
	}
	if worse == 0 {
		t.Error("no case was met")
	}
}

// TestClassified: both classified tasks are learnt, and what is kept of them
// are probabilities.
func TestClassified(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	n := 600
	x, z, two, three := make([]float64, n), make([]float64, n), make([]string, n), make([]string, n)
	for i := range n {
		x[i], z[i] = rng.NormFloat64(), rng.NormFloat64()
		two[i], three[i] = "no", "low"
		if x[i]+0.3*rng.NormFloat64() > 0 {
			two[i] = "yes"
		}
		if s := x[i] + z[i]; s > 1 {
			three[i] = "high"
		} else if s > -1 {
			three[i] = "mid"
		}
	}
	for task, label := range map[schema.Task][]string{schema.Binary: two, schema.Multiclass: three} {
		tab := table.Must(table.Floats("x", x), table.Floats("z", z), table.Strings("label", label))
		res, err := train.Run(context.Background(), prepare(t, tab, "label"), train.Options{Holdout: 0.3, Threads: 1, Set: map[string]string{"num_iterations": "40"}})
		if err != nil {
			t.Fatal(err)
		}
		k := res.Rows.Template.Outputs()
		if res.Rows.Template.Task != task || res.Metric != score.LogLossMetric || len(res.Outputs) != k*(n-res.Test) {
			t.Fatalf("%s task by %s with %d outputs of %d rows, expected %s", res.Rows.Template.Task, res.Metric, len(res.Outputs), n-res.Test, task)
		}
		for i := 0; i < len(res.Outputs); i += k {
			sum := 0.0
			for _, p := range res.Outputs[i : i+k] {
				sum += p
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("%s: probabilities %v", task, res.Outputs[i:i+k])
			}
		}
		if res.Holdout["logloss"] > 0.6*res.Baseline["logloss"] || res.Holdout["accuracy"] < 0.8 || res.Last["logloss"] < res.Baseline["logloss"] {
			t.Errorf("%s: %v beside %v of a constant and %v of the label before", task, res.Holdout, res.Baseline, res.Last)
		}
		ref, err := res.Reference(50)
		if err != nil {
			t.Fatal(err)
		}
		if ref.NumRows() != 50 || ref.Column("predicted_label") == nil || ref.Column("p_"+res.Rows.Template.Classes[k-1]) == nil || ref.Column("label") == nil {
			t.Errorf("%s: the reference has the columns %q", task, ref.Names())
		}
	}
}

// TestSeasonNeedsTwoYears: a feature that follows the year is chosen where it
// explains everything, but only after two cycles of it.
func TestSeasonNeedsTwoYears(t *testing.T) {
	for days, want := range map[int]bool{700: false, 1095: true} {
		at, x, y := make([]int64, days), make([]float64, days), make([]float64, days)
		rng := rand.New(rand.NewPCG(2, 2))
		for d := range days {
			date := synth.Start.AddDate(0, 0, d)
			at[d], x[d] = date.UnixMicro(), rng.NormFloat64()
			y[d] = 10*math.Sin(2*math.Pi*float64(date.YearDay())/365) + 0.5*rng.NormFloat64()
		}
		rows := prepare(t, table.Must(table.Times("date", at), table.Floats("x", x), table.Floats("y", y)), "y")
		res, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(res.Rows.Template.Features, func(f schema.Feature) bool { return f.Op == schema.Month || f.Op == schema.YearDay })
		if got != want {
			t.Errorf("%d days: features %+v, the season among them: %v, expected %v", days, res.Rows.Template.Features, got, want)
		}
	}
}
