package estimate

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

type goldenLine struct {
	P, Y, Variance           []float64
	Step                     []int
	Centre, Slope, Intercept float64
}

type goldenFile struct {
	Isotonic struct{ X, Y, At, Want []float64 }
	Binary   struct {
		P, Y, Now                     []float64
		LogLoss, Brier, Accuracy, AUC float64
		Holdout                       map[string]float64
		AUCVariance                   float64 `json:"auc_variance"`
	}
	Multiclass struct {
		P, Y, Now                []float64
		LogLoss, Brier, Accuracy float64
	}
	Numbers struct {
		X, G, F, Y []float64
		Now        struct{ X, G, F []float64 }
		Want       map[string]map[string]float64
	}
	Logistic, Linear goldenLine
}

// golden is what scikit-learn and LightGBM say, see testdata/golden.py.
func golden(t *testing.T) *goldenFile {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Isotonic.Want) == 0 || len(g.Numbers.Want) != 3 {
		t.Fatal("the golden file is empty")
	}
	return &g
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(math.Abs(want), 1e-3)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestGoldenIsotonic(t *testing.T) {
	g := golden(t).Isotonic
	c := FitIsotonic(g.X, g.Y)
	for i, x := range g.At {
		near(t, "at "+strconv.FormatFloat(x, 'g', 4, 64), c.At(x), g.Want[i], 1e-12)
	}
}

func pairs(p []float64) []float64 {
	out := make([]float64, 0, 2*len(p))
	for _, v := range p {
		out = append(out, 1-v, v)
	}
	return out
}

func TestGoldenBinary(t *testing.T) {
	g := golden(t).Binary
	for m, want := range map[score.Metric]float64{
		score.LogLossMetric: g.LogLoss, score.BrierMetric: g.Brier, score.AccuracyMetric: g.Accuracy, score.AUCMetric: g.AUC,
	} {
		for k := 1; k <= 2; k++ {
			out, now := g.P, g.Now
			if k == 2 {
				out, now = pairs(out), pairs(now)
			}
			e := mustFit(t, &Holdout{Task: schema.Binary, Metric: m, K: k, Labels: g.Y, Outputs: out})
			if e.Confidence.Curves == nil {
				t.Fatal("the rows need calibration and got none")
			}
			near(t, "holdout "+string(m), e.Then, g.Holdout[string(m)], 1e-9)
			r, err := e.Estimate(Window{Outputs: now}, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			near(t, string(m), r.Now, want, 1e-9)
			if !(r.Lo < r.Now && r.Now < r.Hi) {
				t.Errorf("%s: interval %+v", m, r)
			}
		}
	}
	rows := make([]int, len(g.P))
	for i := range rows {
		rows[i] = i
	}
	loss, err := Losses(score.AUCMetric, schema.Binary, g.Y, g.P, 1)
	if err != nil {
		t.Fatal(err)
	}
	n := float64(len(rows))
	near(t, "DeLong's variance", MeanOf(loss, rows).Variance*(n-1)/n, g.AUCVariance, 1e-9)
}

func TestGoldenMulticlass(t *testing.T) {
	g := golden(t).Multiclass
	for m, want := range map[score.Metric]float64{score.LogLossMetric: g.LogLoss, score.BrierMetric: g.Brier, score.AccuracyMetric: g.Accuracy} {
		e := mustFit(t, &Holdout{Task: schema.Multiclass, Metric: m, K: 3, Labels: g.Y, Outputs: g.P})
		if len(e.Confidence.Curves) != 3 {
			t.Fatal("the rows need calibration and got none")
		}
		r, err := e.Estimate(Window{Outputs: g.Now}, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(m), r.Now, want, 1e-9)
	}
}

// TestGoldenNumbers compares with LightGBM on as many trees as were chosen.
func TestGoldenNumbers(t *testing.T) {
	g := golden(t).Numbers
	grown := 0
	for m, want := range g.Want {
		e := mustFit(t, &Holdout{
			Task: schema.Regression, Metric: score.Metric(m), K: 1, Labels: g.Y, Outputs: g.F,
			Names: []string{"x", "g"}, Features: [][]float64{g.X, g.G}, Categorical: []bool{false, true},
		})
		trees := strings.Count(e.Errors.Whole.Text, "Tree=")
		r, err := e.Estimate(Window{Outputs: g.Now.F, Features: [][]float64{g.Now.X, g.Now.G}}, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		near(t, m, r.Now, want[strconv.Itoa(trees)], 2e-3)
		grown += trees
		if m == "mae" && (trees == 0 || math.Abs(r.Now-want["0"]) < 0.1*want["0"]) {
			t.Errorf("%d trees expect %v of rows that are far noisier than the holdout's %v", trees, r.Now, want["0"])
		}
	}
	if grown == 0 {
		t.Error("no error model grew a tree")
	}
}

func TestGoldenLines(t *testing.T) {
	g := golden(t)
	for name, c := range map[string]struct {
		task schema.Task
		goldenLine
	}{"logistic": {schema.Binary, g.Logistic}, "linear": {schema.Regression, g.Linear}} {
		r := Recalibrate(c.task, c.Y, c.P, 1, c.Step, math.NaN())
		if r == nil {
			t.Fatalf("%s: no line", name)
		}
		near(t, name+" centre", r.Centre, c.Centre, 1e-9)
		near(t, name+" slope", r.Slope, c.Slope, 1e-5)
		near(t, name+" intercept", r.Intercept, c.Intercept, 1e-5)
		for i, v := range []float64{r.VarIntercept, r.Covariance, r.Covariance, r.VarSlope} {
			near(t, name+" variance", v, c.Variance[i], 1e-4)
		}
	}
}

func mustFit(t *testing.T, h *Holdout) *Estimator {
	t.Helper()
	e, err := Fit(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	if e == nil {
		t.Fatal("no estimator")
	}
	return e
}
