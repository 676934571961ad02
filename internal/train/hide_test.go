package train_test

import (
	"context"
	"math"
	"testing"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/train"
)

// TestHideInsures: a model from which some cells were hidden loses little where
// all columns are there, and far less than another where one is not.
func TestHideInsures(t *testing.T) {
	stream, _ := synth.Sales(3, synth.Options{Days: 300, Still: true})
	inf, err := feature.Infer(stream, feature.InferOptions{Target: "sales"})
	must(t, err)
	rows, err := train.Prepare(stream, inf, train.TimesOf(stream, inf.Time), nil)
	must(t, err)
	blank, err := synth.Inject(stream, 0, synth.Blank("price"))
	must(t, err)
	silent, err := train.Prepare(blank, inf, train.TimesOf(blank, inf.Time), nil)
	must(t, err)
	if silent, err = silent.Under(rows.Template); err != nil {
		t.Fatal(err)
	}
	p, err := train.Params(rows.Template.Task, 0, 1, 1, map[string]string{"num_iterations": "60"})
	must(t, err)
	p.EarlyStoppingRound = 0
	cut := rows.Cut(0.7)
	losses := func(hide float64) (clean, without float64) {
		rows.Hide = hide
		res, err := rows.Fit(context.Background(), 0, cut, 0, p, nil)
		must(t, err)
		a, err := rows.Predict(res.Model, cut, rows.Len(), 1)
		must(t, err)
		b, err := silent.Predict(res.Model, cut, rows.Len(), 1)
		must(t, err)
		return score.MAE(rows.Labels[cut:], a), score.MAE(rows.Labels[cut:], b)
	}
	clean, without := losses(0)
	insured, silentInsured := losses(0.005)
	t.Logf("clean %.3g → %.3g, price missing %.3g → %.3g", clean, insured, without, silentInsured)
	if insured > 1.02*clean {
		t.Errorf("hiding costs %.2f %%", 100*(insured/clean-1))
	}
	if silentInsured > 0.8*without {
		t.Errorf("a missing price costs %.3g after all, %.3g without hiding", silentInsured, without)
	}
}

// TestWithoutIsBlind: no tree splits on a column that is left out, and the rows
// themselves are as they were.
func TestWithoutIsBlind(t *testing.T) {
	stream, _ := synth.Sales(3, synth.Options{Days: 100, Still: true})
	inf, err := feature.Infer(stream, feature.InferOptions{Target: "sales"})
	must(t, err)
	rows, err := train.Prepare(stream, inf, train.TimesOf(stream, inf.Time), nil)
	must(t, err)
	p := fit.Defaults()
	p.NumIterations, p.NumThreads = 20, 1
	used := func(r *train.Rows) float64 {
		res, err := r.Fit(context.Background(), 0, r.Len(), 0, p, nil)
		must(t, err)
		total := 0.0
		for i, f := range r.Template.Features {
			if f.Source == "price" {
				total += res.Model.Importance(gbdt.BySplit)[i]
			}
		}
		return total
	}
	if n := used(rows.Without("price", "no such column")); n != 0 {
		t.Errorf("price is split on %v times", n)
	}
	if used(rows) == 0 || math.IsNaN(rows.Labels[0]) {
		t.Error("the rows lost price for good")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
