package estimate

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// world draws rows of one law: x moves with shift, and what a row leads to
// depends on x alone. days rows a day, from day first on.
type world struct{ rng *rand.Rand }

func newWorld(seed uint64) *world { return &world{rand.New(rand.NewPCG(seed, 99))} }

func (w *world) class(n int, shift float64) (label, outputs []float64) {
	for range n {
		x := w.rng.NormFloat64() + shift
		p := 1 / (1 + math.Exp(-1.7*x-0.3)) // too sure, and off
		y := 0.0
		if w.rng.Float64() < 1/(1+math.Exp(-x)) {
			y = 1
		}
		label, outputs = append(label, y), append(outputs, 1-p, p)
	}
	return label, outputs
}

func (w *world) number(n int, shift float64) (label, outputs, x []float64) {
	for range n {
		v := w.rng.NormFloat64() + shift
		f := 10 + 3*v
		x, outputs = append(x, v), append(outputs, f)
		label = append(label, f+w.rng.NormFloat64()*(0.5+math.Abs(v+1)))
	}
	return label, outputs, x
}

func days(n, perDay int) []int64 {
	at := make([]int64, n)
	for i := range at {
		at[i] = int64(i/perDay) * day
	}
	return at
}

// TestCoverage: intervals hold the truth of the same rows at least as often as
// they promise, when rows move and what they lead to does not.
func TestCoverage(t *testing.T) {
	check := func(name string, seeds int, draw func(seed uint64) (r Result, truth float64)) {
		least := 0.95 - 3*math.Sqrt(0.95*0.05/float64(seeds))
		held, width := 0, 0.0
		for seed := range uint64(seeds) {
			r, truth := draw(seed)
			if r.Lo <= truth && truth <= r.Hi {
				held++
			}
			width += (r.Hi - r.Lo) / float64(seeds)
		}
		share := float64(held) / float64(seeds)
		t.Logf("%s: %.3f of the intervals hold the truth, mean width %.4f", name, share, width)
		if share < least {
			t.Errorf("%s: %.3f of the intervals hold the truth, want %.3f", name, share, least)
		}
	}
	for _, m := range []score.Metric{score.LogLossMetric, score.BrierMetric, score.AccuracyMetric, score.AUCMetric} {
		for _, shift := range []float64{0, 0.8} {
			check(string(m)+shiftName(shift), 200, func(seed uint64) (Result, float64) {
				w := newWorld(seed)
				y, out := w.class(3000, 0)
				e := mustFit(t, &Holdout{Task: schema.Binary, Metric: m, K: 2, Labels: y, Outputs: out, Times: days(3000, 50)})
				y, out = w.class(350, shift)
				r, err := e.Estimate(Window{Outputs: out, Micros: 7 * day}, 0.95)
				if err != nil {
					t.Fatal(err)
				}
				truth, _ := score.Evaluate(m, schema.Binary, y, out, 2)
				return r, truth
			})
		}
	}
	for _, m := range []score.Metric{score.MAEMetric, score.RMSEMetric, score.MAELog1pMetric} {
		for _, shift := range []float64{0, 0.8} {
			check(string(m)+shiftName(shift), 80, func(seed uint64) (Result, float64) {
				w := newWorld(seed)
				y, out, x := w.number(2400, 0)
				e := mustFit(t, &Holdout{
					Task: schema.Regression, Metric: m, K: 1, Labels: y, Outputs: out, Times: days(2400, 40),
					Names: []string{"x"}, Features: [][]float64{x}, Categorical: []bool{false}, Threads: 1,
				})
				y, out, x = w.number(280, shift)
				r, err := e.Estimate(Window{Outputs: out, Features: [][]float64{x}, Micros: 7 * day}, 0.95)
				if err != nil {
					t.Fatal(err)
				}
				truth, _ := score.Evaluate(m, schema.Regression, y, out, 1)
				return r, truth
			})
		}
	}
}

func shiftName(shift float64) string {
	if shift == 0 {
		return ", same rows"
	}
	return ", rows moved"
}

// TestSees: an estimate tells of rows that are harder, in its direction.
func TestSees(t *testing.T) {
	w := newWorld(1)
	y, out, x := w.number(4000, 0)
	e := mustFit(t, &Holdout{
		Task: schema.Regression, Metric: score.MAEMetric, K: 1, Labels: y, Outputs: out,
		Names: []string{"x"}, Features: [][]float64{x}, Categorical: []bool{false},
	})
	_, out, x = w.number(1000, 1)
	r, err := e.Estimate(Window{Outputs: out, Features: [][]float64{x}}, 0.95)
	if err != nil || r.Lo < 1.1*e.Then {
		t.Errorf("%+v, %v of rows whose error is far above %v", r, err, e.Then)
	}
}

// TestSpreadOfDays: where rows of a day are alike, the spread of a window's mean
// is that of its days, not that of its rows.
func TestSpreadOfDays(t *testing.T) {
	var ratio, naive []float64
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		loss := make([]float64, 0, 5600)
		effect := 0.0
		for range 56 {
			effect = 0.6*effect + 0.8*rng.NormFloat64() // variance 1
			for range 100 {
				loss = append(loss, 5+effect+rng.NormFloat64())
			}
		}
		times := days(len(loss), 100)
		s := newSteps(StepsOf(times, len(loss), day, 0), day, loss, loss)
		sp, ok := s.LossSpread(700, 7*day)
		if !ok {
			t.Fatal("no spread")
		}
		// Of a mean over 7 days: 1/49·(7 + 2·Σ(7−k)·.6^k) + 1/700.
		want := 1 / 700.0
		for i := range 7 {
			for j := range 7 {
				want += math.Pow(0.6, math.Abs(float64(i-j))) / 49
			}
		}
		ratio = append(ratio, sp.Window/want)
		naive = append(naive, 2/700.0/want)
	}
	if m := score.Mean(ratio); m < 0.75 || m > 1.3 {
		t.Errorf("the spread is %.2f of what it is in truth", m)
	}
	if m := score.Mean(naive); m > 0.1 {
		t.Errorf("the test is too easy: rows taken for independent give %.2f", m)
	}
}

func TestFitSaysNothing(t *testing.T) {
	y, out := newWorld(1).class(200, 0)
	bad := slices.Clone(out)
	bad[17] = math.NaN()
	ones := make([]float64, len(y))
	for name, h := range map[string]*Holdout{
		"no rows":               {Task: schema.Binary, K: 2},
		"few rows":              {Task: schema.Binary, K: 2, Labels: y[:40], Outputs: out[:80]},
		"NaN output":            {Task: schema.Binary, K: 2, Labels: y, Outputs: bad},
		"one class's AUC":       {Task: schema.Binary, Metric: score.AUCMetric, K: 2, Labels: ones, Outputs: out},
		"AUC of one prediction": {Task: schema.Binary, Metric: score.AUCMetric, K: 1, Labels: y, Outputs: ones},
	} {
		if e, err := Fit(context.Background(), h); e != nil || err != nil {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	if _, err := Fit(context.Background(), &Holdout{Task: schema.Binary, K: 2, Labels: y, Outputs: out[:100]}); err == nil {
		t.Error("outputs of other rows were taken")
	}
}

// TestEdges: constants, single classes and tied times give estimators that work
// and read back.
func TestEdges(t *testing.T) {
	n := 300
	flat, half, ramp := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		half[i], ramp[i] = 0.5, float64(i)
	}
	missing := make([]int64, n)
	for i := range missing {
		missing[i] = table.NoTime
	}
	for name, h := range map[string]*Holdout{
		"constant probability": {Task: schema.Binary, K: 1, Labels: newLabels(n), Outputs: half},
		"one class":            {Task: schema.Binary, K: 1, Labels: flat, Outputs: half},
		"sure and right":       {Task: schema.Binary, K: 1, Labels: newLabels(n), Outputs: newLabels(n)},
		"calibration error":    {Task: schema.Binary, Metric: score.ECEMetric, K: 1, Labels: newLabels(n), Outputs: half},
		"no error":             {Task: schema.Regression, K: 1, Labels: ramp, Outputs: ramp},
		"constant prediction":  {Task: schema.Regression, K: 1, Labels: ramp, Outputs: flat},
		"one time":             {Task: schema.Regression, K: 1, Labels: ramp, Outputs: flat, Times: make([]int64, n)},
		"no times":             {Task: schema.Regression, K: 1, Labels: ramp, Outputs: flat, Times: missing},
	} {
		e := mustFit(t, h)
		b, err := e.Marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, _ := back.Marshal()
		if !bytes.Equal(b, again) {
			t.Errorf("%s: reads back as something else", name)
		}
		for _, rows := range []int{0, 1, 7, n} {
			r, err := back.Estimate(Window{Outputs: h.Outputs[:rows]}, 0.95)
			if err != nil || (rows == 0) != math.IsNaN(r.Now) || r.Lo > r.Now || r.Hi < r.Now {
				t.Errorf("%s: %d rows: %+v, %v", name, rows, r, err)
			}
		}
	}
}

func newLabels(n int) []float64 {
	y := make([]float64, n)
	for i := range y {
		y[i] = float64(i * 7 % 3 % 2)
	}
	return y
}

// TestThreads: the bytes do not depend on the number of threads.
func TestThreads(t *testing.T) {
	y, out, x := newWorld(3).number(3000, 0)
	var first []byte
	for _, threads := range []int{1, 2, 5} {
		e := mustFit(t, &Holdout{
			Task: schema.Regression, Metric: score.MAEMetric, K: 1, Labels: y, Outputs: out, Threads: threads,
			Names: []string{"x"}, Features: [][]float64{x}, Categorical: []bool{false},
			Columns: []Column{{Name: "x", Kind: schema.Numeric, Values: x}},
		})
		b, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, b) {
			t.Errorf("%d threads give other bytes than 1", threads)
		}
		first = b
		if len(e.Segments) != 3 {
			t.Errorf("%d segments, want three thirds: %+v", len(e.Segments), e.Segments)
		}
	}
}

// TestDamage: every broken file is refused with an error, none crashes.
func TestDamage(t *testing.T) {
	w := newWorld(4)
	y, out := w.class(1500, 0)
	classes, _ := mustFit(t, &Holdout{Task: schema.Binary, K: 2, Labels: y, Outputs: out, Times: days(1500, 10)}).Marshal()
	v, f, x := w.number(600, 0)
	numbers, _ := mustFit(t, &Holdout{Task: schema.Regression, K: 1, Labels: v, Outputs: f, Names: []string{"x"}, Features: [][]float64{x}, Categorical: []bool{false}}).Marshal()
	replace := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("no %q to damage", old)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	for name, b := range map[string][]byte{
		"empty":             nil,
		"not JSON":          []byte("tree\nversion=v4"),
		"cut off":           classes[:len(classes)/2],
		"more behind":       append(slices.Clone(classes), "{}"...),
		"no task":           replace(classes, `"task":"binary"`, `"task":""`),
		"another task":      replace(classes, `"task":"binary"`, `"task":"regression"`),
		"metric":            replace(classes, `"metric":"logloss"`, `"metric":"mae"`),
		"outputs":           replace(classes, `"outputs":2`, `"outputs":3`),
		"falling curve":     replace(classes, `"y":[`, `"y":[0.99,`),
		"steps backwards":   replace(classes, `"at":[0,1,`, `"at":[1,0,`),
		"rows below 0":      replace(classes, `"rows":[10,`, `"rows":[-10,`),
		"noise below 0":     replace(classes, `"loss_noise":`, `"loss_noise":-`),
		"no trees":          replace(numbers, `Tree=0`, `Tree=`),
		"features":          replace(numbers, `"features":["x",`, `"features":[`),
		"factor below 0":    replace(numbers, `"factor":`, `"factor":-`),
		"child out of tree": replace(numbers, `left_child=`, `left_child=99`),
	} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: was taken", name)
		} else if errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v, but the format is the same", name, err)
		}
	}
	if _, err := Parse(replace(classes, `"format":1`, `"format":2`)); !errors.Is(err, ErrNewer) {
		t.Errorf("a later format: %v", err)
	}
	if e, _ := Parse(numbers); e != nil {
		if _, err := e.Estimate(Window{Outputs: []float64{1, 2}}, 0.95); err == nil || !strings.Contains(err.Error(), "features") {
			t.Errorf("rows without features: %v", err)
		}
	}
}

// TestIsotonicProperties: the curve never falls, lies within its values, keeps
// their mean, and no rising change of x alters it.
func TestIsotonicProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		x := rapid.SliceOfN(rapid.Float64Range(-5, 5), n, n).Draw(t, "x")
		y := rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(t, "y")
		c := FitIsotonic(x, y)
		if err := c.validate(); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range x {
			v := c.At(x[i])
			if v < slices.Min(y)-1e-12 || v > slices.Max(y)+1e-12 {
				t.Fatalf("%v is outside of the values", v)
			}
			sum += v - y[i]
		}
		if math.Abs(sum) > 1e-9*float64(n) {
			t.Fatalf("the mean moved by %v", sum)
		}
	})
}

// TestPlacements: their mean is one less the AUC, with ties and in any order.
func TestPlacements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 80).Draw(t, "n")
		p, y := make([]float64, n), make([]float64, n)
		for i := range p {
			p[i] = float64(rapid.IntRange(0, 6).Draw(t, "p")) / 6
			y[i] = float64(rapid.IntRange(0, 1).Draw(t, "y"))
		}
		want := 1 - score.AUC(y, p)
		got := mean(placements(p, y))
		if math.IsNaN(want) != math.IsNaN(got) || math.Abs(want-got) > 1e-9 {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
