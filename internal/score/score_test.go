package score

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/schema"
)

type golden struct {
	Label, Pred, Prob []float64
	RMSE, MAE         float64
	MAELog1p          float64 `json:"mae_log1p"`
	AUC, LogLoss      float64
	Accuracy          float64
	Brier, ECE        float64
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12*max(1, math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestGolden compares with scikit-learn, see testdata/golden.py.
func TestGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g map[schema.Task]golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	r := g[schema.Regression]
	near(t, "rmse", RMSE(r.Label, r.Pred), r.RMSE)
	near(t, "mae", MAE(r.Label, r.Pred), r.MAE)
	near(t, "mae_log1p", MAELog1p(r.Label, r.Pred), r.MAELog1p)
	for task, k := range map[schema.Task]int{schema.Binary: 1, schema.Multiclass: 3} {
		c := g[task]
		near(t, "logloss", LogLoss(c.Label, c.Prob, k), c.LogLoss)
		near(t, "accuracy", Accuracy(c.Label, c.Prob, k), c.Accuracy)
		near(t, "brier", Brier(c.Label, c.Prob, k), c.Brier)
	}
	c := g[schema.Binary]
	near(t, "auc", AUC(c.Label, c.Prob), c.AUC)
	near(t, "ece", ECE(c.Label, c.Prob, 10), c.ECE)
	two := make([]float64, 0, 2*len(c.Prob))
	for _, p := range c.Prob {
		two = append(two, 1-p, p)
	}
	for m, want := range map[Metric]float64{AUCMetric: c.AUC, LogLossMetric: c.LogLoss, AccuracyMetric: c.Accuracy, BrierMetric: c.Brier, ECEMetric: c.ECE} {
		got, err := Evaluate(m, schema.Binary, c.Label, two, 2)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "evaluate "+string(m), got, want)
	}
	for m, want := range map[Metric]float64{RMSEMetric: r.RMSE, MAEMetric: r.MAE, MAELog1pMetric: r.MAELog1p} {
		got, err := Evaluate(m, schema.Regression, r.Label, r.Pred, 1)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "evaluate "+string(m), got, want)
	}
}

func TestLossesMeanIsTheMetric(t *testing.T) {
	for _, task := range []schema.Task{schema.Regression, schema.Binary, schema.Multiclass} {
		k := map[schema.Task]int{schema.Regression: 1, schema.Binary: 2, schema.Multiclass: 3}[task]
		label := []float64{1, 0, 1, 1}
		out := []float64{.2, .8, .5, .5, .9, .1, .3, .7, .1, .1, .1, .1}[:4*k]
		for _, m := range Metrics(task) {
			loss, err := Losses(m, task, label, out, k)
			if !m.PerRow() {
				if err == nil {
					t.Errorf("%s has losses", m)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := Evaluate(m, task, label, out, k)
			if err != nil {
				t.Fatal(err)
			}
			switch got := Mean(loss); m {
			case RMSEMetric:
				near(t, string(m), math.Sqrt(got), want)
			case AccuracyMetric:
				near(t, string(m), 1-got, want)
			default:
				near(t, string(m), got, want)
			}
		}
	}
}

func TestEdges(t *testing.T) {
	nan := math.NaN()
	for name, v := range map[string]float64{
		"rmse of none": RMSE(nil, nil), "auc of none": AUC(nil, nil), "ece of none": ECE(nil, nil, 10), "logloss of none": LogLoss(nil, nil, 2),
		"auc of one class": AUC([]float64{1, 1}, []float64{.1, .2}), "auc with NaN": AUC([]float64{1, 0}, []float64{nan, .2}),
		"ece with NaN": ECE([]float64{1}, []float64{nan}, 10), "mae with NaN": MAE([]float64{nan}, []float64{1}),
		"logloss with NaN": LogLoss([]float64{nan, 1}, []float64{.5, .5}, 1), "accuracy with NaN": Accuracy([]float64{1}, []float64{nan}, 1),
		"median of none": Median(nil), "median with NaN": Median([]float64{1, nan}), "log1p with NaN": MAELog1p([]float64{1}, []float64{nan}),
	} {
		if !math.IsNaN(v) {
			t.Errorf("%s is %v", name, v)
		}
	}
	near(t, "certain and wrong", LogLoss([]float64{1}, []float64{0}, 1), -math.Log(1e-15))
	near(t, "negative counts as 0", MAELog1p([]float64{0}, []float64{-5}), 0)
	near(t, "ties", AUC([]float64{0, 1, 0, 1}, []float64{.5, .5, .5, .5}), .5)
	near(t, "upper edge", ECE([]float64{1, 0}, []float64{.1, .05}, 10), math.Abs(1-.1-.05)/2)
	near(t, "odd median", Median([]float64{3, 1, 2}), 2)
	near(t, "even median", Median([]float64{4, 1, 2, 9}), 3)
}

func TestBaselines(t *testing.T) {
	p := Prior([]float64{0, 1, 1, math.NaN(), 2}, 3)
	for i, want := range []float64{.25, .5, .25} {
		near(t, "prior", p[i], want)
	}
	near(t, "prior of none", Prior(nil, 4)[2], .25)
	last := LastValue([]float64{5, 6, 7}, 1)
	for i, want := range []float64{1, 5, 6} {
		near(t, "last value", last[i], want)
	}
	if c := Constant([]float64{1, 2}, 2); len(c) != 4 || c[2] != 1 || c[3] != 2 {
		t.Errorf("constant: %v", c)
	}
}

func TestBetter(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		m    Metric
		a, b float64
		want bool
	}{
		{MAEMetric, 1, 2, true}, {MAEMetric, 2, 1, false}, {AUCMetric, .9, .8, true}, {AccuracyMetric, .8, .9, false},
		{MAEMetric, 1, 1, false}, {MAEMetric, nan, 1, false}, {MAEMetric, 1, nan, true}, {AUCMetric, nan, nan, false},
	} {
		if got := c.m.Better(c.a, c.b); got != c.want {
			t.Errorf("%s: %v better than %v is %v", c.m, c.a, c.b, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, err := range map[string]error{
		"metric of another task": second(Evaluate(AUCMetric, schema.Regression, []float64{1}, []float64{1}, 1)),
		"wrong length":           second(Evaluate(MAEMetric, schema.Regression, []float64{1, 2}, []float64{1}, 1)),
		"too many a row":         second(Evaluate(MAEMetric, schema.Regression, []float64{1}, []float64{1, 2}, 2)),
		"too few a row":          second(Evaluate(LogLossMetric, schema.Multiclass, []float64{1}, []float64{1, 2}, 2)),
		"label no class":         second(Evaluate(LogLossMetric, schema.Binary, []float64{2}, []float64{.5, .5}, 2)),
		"label between classes":  second(Evaluate(LogLossMetric, schema.Binary, []float64{.5}, []float64{.5}, 1)),
		"negative label":         second(Evaluate(LogLossMetric, schema.Binary, []float64{-1}, []float64{.5}, 1)),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func second(_ float64, err error) error { return err }

// TestAUCProperties: the area does not see monotone changes of the score and
// turns over with the labels.
func TestAUCProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "n")
		label, score := make([]float64, n), make([]float64, n)
		for i := range label {
			label[i] = float64(rapid.IntRange(0, 1).Draw(t, "label"))
			score[i] = float64(rapid.IntRange(0, 9).Draw(t, "score"))
		}
		label[0], label[1] = 0, 1
		a := AUC(label, score)
		pairs, wins := 0.0, 0.0
		other, moved := make([]float64, n), make([]float64, n)
		for i := range label {
			other[i], moved[i] = 1-label[i], math.Exp(score[i]/3)
			for j := range label {
				if label[i] == 1 && label[j] == 0 {
					pairs++
					if score[i] > score[j] {
						wins++
					} else if score[i] == score[j] {
						wins += .5
					}
				}
			}
		}
		for _, v := range []float64{wins / pairs, AUC(label, moved), 1 - AUC(other, score)} {
			if math.Abs(a-v) > 1e-12 {
				t.Fatalf("%v, expected %v", a, v)
			}
		}
	})
}

// TestBootstrapCovers: the interval holds the true mean about as often as it
// claims, for independent and for autocorrelated losses, where an interval
// that took rows one by one would fail half the time.
func TestBootstrapCovers(t *testing.T) {
	for _, c := range []struct{ phi, least, most float64 }{{0, .90, .98}, {.8, .87, .98}} {
		r := rand.New(rand.NewPCG(1, 2))
		const trials, n = 400, 600
		covered := 0
		for trial := range trials {
			a, b := make([]float64, n), make([]float64, n)
			e := r.NormFloat64()
			for i := range a {
				e = c.phi*e + math.Sqrt(1-c.phi*c.phi)*r.NormFloat64()
				b[i] = r.ExpFloat64()
				a[i] = b[i] + 3 + e
			}
			if i := PairedBlockBootstrap(a, b, 20, 500, .95, uint64(trial)); i.Lo <= 3 && 3 <= i.Hi {
				covered++
			}
		}
		if share := float64(covered) / trials; share < c.least || share > c.most {
			t.Errorf("phi %v: covered %.3f", c.phi, share)
		}
	}
}

func TestBootstrapEdges(t *testing.T) {
	a, b := []float64{1, 2, 3, 4, 5, 6, 7, 8}, make([]float64, 8)
	if x, y := PairedBlockBootstrap(a, b, 4, 300, .9, 7), PairedBlockBootstrap(a, b, 4, 300, .9, 7); x != y {
		t.Errorf("not a function of the seed: %v, %v", x, y)
	}
	if x, y := PairedBlockBootstrap(a, b, 4, 300, .9, 7), PairedBlockBootstrap(a, b, 4, 300, .9, 8); x == y {
		t.Errorf("the seed does nothing: %v", x)
	}
	i := PairedBlockBootstrap(a, b, 4, 0, 0, 1)
	if !(i.Lo < i.Mean && i.Mean < i.Hi) || i.Mean != 4.5 {
		t.Errorf("interval %v", i)
	}
	if j := PairedBlockBootstrap(b, a, 4, 0, 0, 1); j.Mean != -i.Mean {
		t.Errorf("turned over: %v", j)
	}
	if j := PairedBlockBootstrap(a, a, 4, 0, 0, 1); j != (Interval{}) {
		t.Errorf("the same losses: %v", j)
	}
	for name, v := range map[string][]float64{"none": nil, "one": {1}, "NaN": {1, math.NaN(), 2, 3}} {
		if j := BlockBootstrap(v, 0, 0, 0, 1); !math.IsInf(j.Lo, -1) || !math.IsInf(j.Hi, 1) {
			t.Errorf("%s: %v", name, j)
		}
	}
	if j := BlockBootstrap(a, 100, 0, 0, 1); math.IsInf(j.Lo, 0) { // at most one block a row
		t.Errorf("more blocks than rows: %v", j)
	}
}

func BenchmarkBlockBootstrap(b *testing.B) {
	v := make([]float64, 100_000)
	for i := range v {
		v[i] = float64(i % 97)
	}
	b.ReportAllocs()
	for b.Loop() {
		BlockBootstrap(v, 30, 2000, .95, 1)
	}
}
