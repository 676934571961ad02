package fit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/healml/healml/internal/gbdt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mixed is n rows of numbers with and without NaN, many zeros, categories of
// 3, 40 and 400 levels and a feature of 1000 values.
func mixed(n int, seed uint64) *Data {
	r := rand.New(rand.NewPCG(seed, 1))
	d := &Data{Features: make([][]float64, 7), Categorical: []bool{false, false, false, true, true, true, false},
		Label: make([]float64, n), Weight: make([]float64, n)}
	for i := range n {
		x := []float64{r.NormFloat64(), r.NormFloat64(), max(0, r.NormFloat64()), float64(r.IntN(3)),
			math.Floor(40 * r.Float64() * r.Float64()), float64(r.IntN(400)), math.Round(1000 * r.Float64())}
		if r.IntN(6) == 0 {
			x[1] = math.NaN()
		}
		if r.IntN(9) == 0 {
			x[4] = -1
		}
		for f := range x {
			d.Features[f] = append(d.Features[f], x[f])
		}
		y := x[0] + 2*x[2]*x[3] + math.Sin(x[4]) + x[6]/300 + math.Mod(x[5]*7, 5) + 0.3*r.NormFloat64()
		if math.IsNaN(x[1]) {
			y += 2
		}
		d.Label[i], d.Weight[i] = y, 0.5+r.Float64()
	}
	return d
}

// classes replaces the labels by their k quantiles.
func classes(d *Data, k int) *Data {
	sorted := slices.Clone(d.Label)
	slices.Sort(sorted)
	out := *d
	out.Label = make([]float64, len(d.Label))
	for i, y := range d.Label {
		at, _ := slices.BinarySearch(sorted, y)
		out.Label[i] = float64(at * k / len(sorted))
	}
	return &out
}

// task is data and parameters for one objective.
func task(objective string, n int, seed uint64) (*Data, Params) {
	d, p := mixed(n, seed), Defaults()
	p.Objective = objective
	switch objective {
	case "binary":
		d = classes(d, 2)
	case "multiclass":
		d, p.NumClass = classes(d, 4), 4
	case "poisson", "tweedie":
		for i, y := range d.Label {
			d.Label[i] = math.Round(math.Abs(y))
		}
	case "gamma":
		for i, y := range d.Label {
			d.Label[i] = math.Abs(y) + 0.01
		}
	}
	return d, p
}

func train(t testing.TB, tr, v *Data, p Params) *Result {
	t.Helper()
	r, err := Train(context.Background(), tr, v, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t testing.TB, m *gbdt.Model) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func predict(t testing.TB, m *gbdt.Model, d *Data) []float64 {
	t.Helper()
	p, err := gbdt.NewPredictor(m)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(d.Label)*p.NumOutputs())
	p.PredictColumns(out, d.Features, 1)
	return out
}

// The bytes of a model do not depend on threads, nor on the run.
func TestThreadsDoNotMatter(t *testing.T) {
	for _, objective := range Objectives() {
		d, p := task(objective, 12000, 1)
		v, _ := task(objective, 5000, 2)
		p.NumIterations, p.BaggingFraction, p.BaggingFreq, p.FeatureFraction, p.Seed = 8, 0.7, 2, 0.8, 9
		p.MaxBin = 700
		var want string
		for _, threads := range []int{1, 1, 2, 3, 0} {
			p.NumThreads = threads
			r := train(t, d, v, p)
			got := text(t, r.Model) + fmt.Sprint(r.Valid)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s: the model differs with %d threads", objective, threads)
			}
		}
	}
}

// Scores in bins while training are what the model predicts from the values:
// the validation loss is that of the predictions.
func TestBinsAndValuesAgree(t *testing.T) {
	for _, objective := range Objectives() {
		d, p := task(objective, 6000, 3)
		v, _ := task(objective, 3000, 4)
		// Values that training has not seen.
		v.Features[5][0], v.Features[5][1], v.Features[3][2], v.Features[3][3] = 999, math.NaN(), 7, -3
		v.Features[0][4], v.Features[0][5], v.Features[2][6], v.Features[1][7] = math.NaN(), math.Inf(1), math.Inf(-1), math.NaN()
		p.NumIterations, p.BaggingFraction, p.BaggingFreq = 10, 0.8, 1
		r := train(t, d, v, p)
		out := predict(t, r.Model, v)
		k := r.Model.NumOutputs()
		var sum, weights float64
		for i, y := range v.Label {
			q := out[i*k : (i+1)*k]
			var loss float64
			switch objective {
			case "regression":
				loss = (q[0] - y) * (q[0] - y)
			case "regression_l1":
				loss = math.Abs(q[0] - y)
			case "huber":
				if d := math.Abs(q[0] - y); d <= p.Alpha {
					loss = d * d / 2
				} else {
					loss = p.Alpha*d - p.Alpha*p.Alpha/2
				}
			case "fair":
				d := math.Abs(q[0]-y) / p.FairC
				loss = p.FairC * p.FairC * (d - math.Log(1+d))
			case "quantile":
				if loss = p.Alpha * (y - q[0]); q[0] > y {
					loss = (1 - p.Alpha) * (q[0] - y)
				}
			case "mape":
				loss = math.Abs(q[0]-y) / max(1, math.Abs(y))
			case "gamma":
				loss = y/q[0] + math.Log(q[0])
			case "tweedie":
				loss = 2*math.Sqrt(q[0]) + 2*y/math.Sqrt(q[0])
			case "poisson":
				loss = q[0] - y*math.Log(q[0])
			case "binary":
				loss = -math.Log(y*q[0] + (1-y)*(1-q[0]))
			case "multiclass":
				loss = -math.Log(q[int(y)])
			}
			sum += loss * v.Weight[i]
			weights += v.Weight[i]
		}
		if got, want := r.Valid[len(r.Valid)-1], sum/weights; math.Abs(got/want-1) > 1e-10 {
			t.Errorf("%s: loss in bins %v, by the model %v", objective, got, want)
		}
		if last := r.Valid[len(r.Valid)-1]; last > 0.985*r.Valid[0] {
			t.Errorf("%s learns nothing: %v", objective, r.Valid)
		}
	}
}

// Counts and weights of every node are those of the training rows that reach
// it, and limits hold.
func TestTreesKeepTheirLimits(t *testing.T) {
	d, p := task("regression", 4000, 5)
	d.Weight = nil
	p.NumIterations, p.MinDataInLeaf, p.MaxDepth, p.MinGainToSplit = 5, 37, 4, 3
	m := train(t, d, nil, p).Model
	pr, err := gbdt.NewPredictor(m)
	if err != nil {
		t.Fatal(err)
	}
	counts := make([][]int64, len(m.Trees))
	for i := range counts {
		counts[i] = make([]int64, m.Trees[i].NumLeaves())
	}
	leaves := make([]int32, len(m.Trees))
	row := make([]float64, len(d.Features))
	for i := range d.Label {
		for f := range row {
			row[f] = d.Features[f][i]
		}
		pr.Leaves(leaves, row)
		for t, l := range leaves {
			counts[t][l]++
		}
	}
	for i := range m.Trees {
		tree := &m.Trees[i]
		if !slices.Equal(counts[i], tree.LeafCount) {
			t.Errorf("tree %d: rows reach the leaves %v, expected %v", i, counts[i], tree.LeafCount)
		}
		if slices.Min(tree.LeafCount) < 37 {
			t.Errorf("tree %d: leaves of %v rows", i, tree.LeafCount)
		}
		if n := tree.NumLeaves(); n > 16 || n < 8 {
			t.Errorf("tree %d: %d leaves at a depth of 4", i, n)
		}
		if g := slices.Min(tree.Gain); g < 3 {
			t.Errorf("tree %d: gain %v", i, g)
		}
		if tree.InternalCount[0] != 4000 || tree.InternalWeight[0] != 4000 {
			t.Errorf("tree %d: root of %v rows and weight %v", i, tree.InternalCount[0], tree.InternalWeight[0])
		}
	}
}

func TestEarlyStopping(t *testing.T) {
	d, p := task("regression", 600, 6)
	v, _ := task("regression", 600, 7)
	p.NumIterations, p.LearningRate, p.EarlyStoppingRound = 500, 0.5, 7
	r := train(t, d, v, p)
	best := 0
	for i, x := range r.Valid {
		if x < r.Valid[best] {
			best = i
		}
	}
	if len(r.Valid) != best+1+7 || r.BestIteration != best+1 || len(r.Model.Trees) != best+1 {
		t.Errorf("%d iterations, best %d, model of %d trees (said %d)", len(r.Valid), best+1, len(r.Model.Trees), r.BestIteration)
	}
	p.EarlyStoppingRound, p.NumIterations = 0, best+1
	if got := train(t, d, nil, p).Model; !slices.EqualFunc(got.Trees, r.Model.Trees, func(a, b gbdt.Tree) bool {
		return slices.Equal(a.LeafValue, b.LeafValue)
	}) {
		t.Error("validation changed the trees")
	}
	p.EarlyStoppingRound = 3
	if _, err := Train(context.Background(), d, nil, p, nil); err == nil {
		t.Error("early stopping without validation data was taken")
	}
}

// All rows through a View are Train; a window is trained as if the rest was
// not there, but for the bins.
func TestViews(t *testing.T) {
	d, p := task("multiclass", 3000, 8)
	p.NumIterations = 4
	ds, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	on := func(rows []int32, valid View) *Result {
		t.Helper()
		r, err := TrainDataset(context.Background(), View{ds, rows}, valid, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if text(t, on(nil, View{}).Model) != text(t, train(t, d, nil, p).Model) {
		t.Error("all rows of a view differ from Train")
	}
	var window, after []int32
	for i := int32(500); i < 2000; i++ {
		window, after = append(window, i), append(after, i+1000)
	}
	a := on(window, View{ds, after})
	for i, y := range d.Label { // rows outside may hold any labels
		if i < 500 || i >= 2000 {
			d.Label[i] = math.Mod(y+1, 4)
		}
	}
	b := on(window, View{})
	if text(t, a.Model) != text(t, b.Model) {
		t.Error("labels outside the window changed the model")
	}
	if len(a.Valid) != 4 || a.Model.Trees[0].InternalCount[0] != 1500 {
		t.Errorf("losses %v, root of %d rows", a.Valid, a.Model.Trees[0].InternalCount[0])
	}
	for name, bad := range map[string]View{"repeated": {ds, []int32{1, 1}}, "beyond": {ds, []int32{3000}}, "negative": {ds, []int32{-1}}, "empty": {ds, []int32{}}} {
		if _, err := TrainDataset(context.Background(), bad, View{}, p, nil); err == nil {
			t.Errorf("%s rows were taken", name)
		}
	}
	other, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TrainDataset(context.Background(), View{Data: ds}, View{Data: other}, p, nil); err == nil {
		t.Error("validation data with other bins were taken")
	}
	p.MaxBin = 99
	if _, err := TrainDataset(context.Background(), View{Data: ds}, View{}, p, nil); err == nil {
		t.Error("other parameters about bins were taken")
	}
}

func TestContextAndProgress(t *testing.T) {
	d, p := task("regression", 500, 9)
	ctx, cancel := context.WithCancel(context.Background())
	var seen []int
	_, err := Train(ctx, d, nil, p, func(i int, loss float64) {
		if !math.IsNaN(loss) {
			t.Errorf("loss %v without validation data", loss)
		}
		if seen = append(seen, i); i == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !slices.Equal(seen, []int{1, 2, 3}) {
		t.Errorf("error %v after %v", err, seen)
	}
}

// Odd tables train to the model that they deserve.
func TestEdges(t *testing.T) {
	n := 200
	ramp, same, nan, odd := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	step := make([]float64, n)
	for i := range n {
		ramp[i], same[i], nan[i] = float64(i), 5, math.NaN()
		odd[i] = []float64{math.Inf(-1), -1e308, -5e-324, 0, 1e308, math.Inf(1), 1.5e308, -1.6e308}[i%8]
		step[i] = float64(i / 100)
	}
	byKind := make([]float64, n)
	for i := range n {
		byKind[i] = float64(i % 8)
	}
	p := Defaults()
	p.NumIterations = 3
	for name, c := range map[string]struct {
		features [][]float64
		label    []float64
		leaves   int // of the first tree; 0: any above 1
	}{
		"constant label":   {[][]float64{ramp}, same, 1},
		"constant feature": {[][]float64{same}, ramp, 1},
		"all missing":      {[][]float64{nan, nan}, ramp, 1},
		"one useful":       {[][]float64{same, nan, ramp}, ramp, 0},
		"step":             {[][]float64{ramp}, step, 2},
		"infinities":       {[][]float64{odd}, byKind, 0},
		"one row":          {[][]float64{{1}}, []float64{3}, 1},
		"two rows":         {[][]float64{{1, 2}}, []float64{3, 4}, 1},
	} {
		d := &Data{Features: c.features, Label: c.label}
		m := train(t, d, nil, p).Model
		got := m.Trees[0].NumLeaves()
		if got != c.leaves && (c.leaves != 0 || got < 2) {
			t.Errorf("%s: %d leaves, expected %d", name, got, c.leaves)
		}
		if c.leaves == 1 && (len(m.Trees) != 1 || math.Abs(predict(t, m, d)[0]-mean(c.label)) > 1e-12) {
			t.Errorf("%s: %d trees predict %v, expected %v", name, len(m.Trees), predict(t, m, d)[0], mean(c.label))
		}
		if _, err := gbdt.ReadText(name, []byte(text(t, m))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A number that is only ever there or missing tells as much.
func TestPresence(t *testing.T) {
	d := &Data{Features: [][]float64{make([]float64, 100)}, Label: make([]float64, 100)}
	for i := range 50 {
		d.Features[0][i], d.Label[i] = math.NaN(), 1
	}
	p := Defaults()
	p.NumIterations, p.LearningRate = 1, 1
	m := train(t, d, nil, p).Model
	if out := predict(t, m, d); out[0] != 1 || out[99] != 0 {
		t.Errorf("missing gives %v, present %v, expected 1 and 0", out[0], out[99])
	}
	if got := m.Trees[0].Decision[0]; got != gbdt.MissingNaN {
		t.Errorf("decision type %d, expected %d", got, gbdt.MissingNaN)
	}
}

func mean(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

// With no lower limits at all, nothing breaks and training data can be learnt
// by heart.
func TestNoLimits(t *testing.T) {
	d, p := task("regression", 300, 10)
	p.MinDataInLeaf, p.MinSumHessianInLeaf, p.MinDataInBin, p.NumLeaves, p.LearningRate, p.NumIterations = 0, 0, 1, 1000, 1, 20
	p.CatSmooth, p.MinDataPerGroup, p.CatL2 = 0, 1, 0
	for i := 0; i < 300; i += 3 {
		d.Weight[i] = 0
	}
	out := predict(t, train(t, d, nil, p).Model, d)
	for i, y := range d.Label {
		if d.Weight[i] > 0 && math.Abs(out[i]-y) > 1e-3 {
			t.Fatalf("row %d: %v, expected %v", i, out[i], y)
		}
	}
}

// Rows of weight 0 are as good as absent.
func TestZeroWeights(t *testing.T) {
	d, p := task("regression_l1", 2000, 11)
	p.NumIterations, p.FeaturePreFilter = 5, false
	d.Weight = slices.Repeat([]float64{1}, 2000)
	for i := 1000; i < 2000; i++ {
		d.Weight[i], d.Label[i] = 0, 1e6
	}
	for i, y := range predict(t, train(t, d, nil, p).Model, d) {
		if math.Abs(y) > 50 {
			t.Fatalf("row %d: %v", i, y)
		}
	}
}

// A class weight is a row weight.
func TestClassWeights(t *testing.T) {
	d, p := task("binary", 3000, 12)
	d.Weight = nil
	p.NumIterations, p.BoostFromAverage = 5, false
	for i := range d.Label { // make class 1 rare
		if i%4 != 0 {
			d.Label[i] = 0
		}
	}
	ones := 0.0
	for _, y := range d.Label {
		ones += y
	}
	p.IsUnbalance = true
	a := train(t, d, nil, p).Model
	p.IsUnbalance, p.ScalePosWeight = false, (3000-ones)/ones
	b := train(t, d, nil, p).Model
	p.ScalePosWeight = 1
	w := *d
	for _, y := range d.Label {
		w.Weight = append(w.Weight, 1+y*((3000-ones)/ones-1))
	}
	c := train(t, &w, nil, p).Model
	for i := range a.Trees {
		if !slices.Equal(a.Trees[i].LeafValue, b.Trees[i].LeafValue) || !slices.Equal(a.Trees[i].LeafValue, c.Trees[i].LeafValue) {
			t.Fatalf("tree %d differs", i)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := func() (*Data, Params) { return task("regression", 100, 13) }
	for name, c := range map[string]struct {
		harm func(*Data, *Params)
		say  string
	}{
		"no features":      {func(d *Data, _ *Params) { d.Features = nil }, "no features"},
		"no rows":          {func(d *Data, _ *Params) { *d = Data{Features: [][]float64{{}}} }, "no rows"},
		"short feature":    {func(d *Data, _ *Params) { d.Features[2] = d.Features[2][1:] }, "feature 2 has 99 rows"},
		"marks":            {func(d *Data, _ *Params) { d.Categorical = d.Categorical[1:] }, "6 categorical marks"},
		"names":            {func(d *Data, _ *Params) { d.Names = []string{"a"} }, "1 names"},
		"label NaN":        {func(d *Data, _ *Params) { d.Label[7] = math.NaN() }, "row 7 has the label NaN"},
		"label huge":       {func(d *Data, _ *Params) { d.Label[7] = 1e308 }, "row 7"},
		"weights short":    {func(d *Data, _ *Params) { d.Weight = d.Weight[1:] }, "99 weights"},
		"weight negative":  {func(d *Data, _ *Params) { d.Weight[3] = -1 }, "row 3 has the weight -1"},
		"weight huge":      {func(d *Data, _ *Params) { d.Weight[3], d.Label[0] = 1e20, 1e20 }, "row 3"},
		"weights all zero": {func(d *Data, _ *Params) { clear(d.Weight) }, "all weights are 0"},
		"binary label":     {func(_ *Data, p *Params) { p.Objective = "binary" }, "expected 0 or 1"},
		"class beyond":     {func(d *Data, p *Params) { clear(d.Label); d.Label[4] = 3; p.Objective, p.NumClass = "multiclass", 3 }, "row 4 has the label 3"},
		"class broken":     {func(d *Data, p *Params) { clear(d.Label); d.Label[4] = 0.5; p.Objective, p.NumClass = "multiclass", 3 }, "row 4 has the label 0.5"},
		"poisson negative": {func(d *Data, p *Params) { d.Label[9] = -1; p.Objective = "poisson" }, "expected at least 0"},
		"poisson zero":     {func(d *Data, p *Params) { clear(d.Label); p.Objective = "poisson" }, "all labels are 0"},
		"parameter":        {func(_ *Data, p *Params) { p.NumLeaves = 1 }, "num_leaves=1: expected 2 to 65536"},
	} {
		d, p := good()
		c.harm(d, &p)
		if _, err := Train(context.Background(), d, nil, p, nil); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, expected %q", name, err, c.say)
		}
	}
	d, p := good()
	v, _ := good()
	v.Features = v.Features[1:]
	v.Categorical = v.Categorical[1:]
	if _, err := Train(context.Background(), d, v, p, nil); err == nil || !strings.Contains(err.Error(), "6 features, expected 7") {
		t.Errorf("narrow validation data: %v", err)
	}
}

// A class that never occurs gets constant trees, and one class alone a
// constant model.
func TestMissingClasses(t *testing.T) {
	d, p := task("multiclass", 1000, 14)
	p.NumClass, p.NumIterations = 5, 3
	m := train(t, d, nil, p).Model
	for i := 4; i < len(m.Trees); i += 5 {
		if m.Trees[i].NumLeaves() != 1 {
			t.Errorf("tree %d of the class that never occurs has %d leaves", i, m.Trees[i].NumLeaves())
		}
	}
	if out := predict(t, m, d)[:5]; out[4] > 1e-10 {
		t.Errorf("probabilities %v", out)
	}
	d, p = task("binary", 1000, 14)
	clear(d.Label)
	m = train(t, d, nil, p).Model
	if out := predict(t, m, d)[0]; len(m.Trees) != 1 || out > 1e-10 {
		t.Errorf("%d trees predict %v", len(m.Trees), out)
	}
}

// A forest is the mean of trees that know nothing of one another: a shorter
// one is the start of a longer one, and its scores are averages.
func TestForest(t *testing.T) {
	for _, objective := range []string{"regression", "binary", "multiclass", "regression_l1"} {
		d, p := task(objective, 4000, 30)
		v, _ := task(objective, 2000, 31)
		p.Boosting, p.BaggingFraction, p.BaggingFreq, p.FeatureFraction, p.NumIterations = "rf", 0.6, 1, 0.7, 12
		long := train(t, d, v, p)
		p.NumIterations = 5
		short := train(t, d, v, p)
		if !long.Model.AverageOutput || len(long.Model.Trees) != 12*p.NumClass {
			t.Fatalf("%s: average %v, %d trees", objective, long.Model.AverageOutput, len(long.Model.Trees))
		}
		for i := range short.Model.Trees {
			if !slices.Equal(short.Model.Trees[i].LeafValue, long.Model.Trees[i].LeafValue) {
				t.Errorf("%s: tree %d depends on the number of trees", objective, i)
			}
		}
		if !slices.Equal(long.Valid[:5], short.Valid) {
			t.Errorf("%s: losses %v, expected %v", objective, long.Valid[:5], short.Valid)
		}
		if objective == "regression" {
			out, sum, weights := predict(t, long.Model, v), 0.0, 0.0
			for i, y := range v.Label {
				sum += (out[i] - y) * (out[i] - y) * v.Weight[i]
				weights += v.Weight[i]
			}
			if got, want := long.Valid[11], sum/weights; math.Abs(got/want-1) > 1e-10 {
				t.Errorf("loss %v, by the model %v", got, want)
			}
		}
	}
}

// Sampling by gradients keeps nearly all of what all rows tell.
func TestGOSS(t *testing.T) {
	d, p := task("regression", 20000, 32)
	v, _ := task("regression", 5000, 33)
	all := train(t, d, v, p)
	if err := p.Set("boosting", "goss"); err != nil {
		t.Fatal(err)
	}
	r := train(t, d, v, p)
	last := len(all.Valid) - 1
	if !slices.Equal(r.Valid[:10], all.Valid[:10]) {
		t.Error("rows are sampled before round 1/learning_rate")
	}
	if got, want := r.Valid[last], all.Valid[last]; got > 1.05*want || got == want {
		t.Errorf("loss %v with sampling, %v without", got, want)
	}
	if n := r.Model.Trees[50].LeafCount; int(sum(n)) > 6600 || int(sum(n)) < 5900 {
		t.Errorf("a tree has %d rows, expected about 6000", sum(n))
	}
	p.NumThreads = 1
	if text(t, train(t, d, v, p).Model) != text(t, r.Model) {
		t.Error("the model depends on threads")
	}
}

func sum(v []int64) (s int64) {
	for _, x := range v {
		s += x
	}
	return s
}

func TestNth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float32Range(0, 2), 1, 300).Draw(t, "v")
		k := rapid.IntRange(1, len(v)).Draw(t, "k")
		sorted := slices.Clone(v)
		slices.Sort(sorted)
		p := Defaults()
		if got, want := newGoss(&p, 1, len(v)).nth(v, k), sorted[len(v)-k]; got != want {
			t.Fatalf("%v, expected %v", got, want)
		}
	})
}

// Predictions rise or fall with a constrained feature, whatever the others.
func TestMonotone(t *testing.T) {
	for _, objective := range []string{"regression", "binary", "poisson"} {
		d, p := task(objective, 5000, 34)
		p.MonotoneConstraints = "1,-1,0,0,0,0,0"
		if len(d.Features) != 7 {
			t.Fatalf("%d features", len(d.Features))
		}
		r := train(t, d, nil, p)
		if !slices.Equal(r.Model.Monotone, []int{1, -1, 0, 0, 0, 0, 0}) {
			t.Errorf("the model says %v", r.Model.Monotone)
		}
		pr, err := gbdt.NewPredictor(r.Model)
		if err != nil {
			t.Fatal(err)
		}
		row, out, falls, moves := make([]float64, 7), []float64{0}, 0, 0
		for i := range 200 {
			for f := range row {
				row[f] = d.Features[f][i]
			}
			for f, sign := range []float64{1, -1} {
				keep, before := row[f], math.Inf(-1)
				for x := -4.0; x <= 4; x += 0.05 {
					row[f] = sign * x
					pr.Raw(out, row)
					if out[0] < before {
						falls++
					}
					if out[0] > before {
						moves++
					}
					before = out[0]
				}
				row[f] = keep
			}
		}
		if falls > 0 || moves < 1000 {
			t.Errorf("%s: predictions go the wrong way %d times, the right one %d times", objective, falls, moves)
		}
	}
	d, p := task("regression", 500, 35)
	p.MonotoneConstraints = "Column_1:-1, Column_0:1"
	named := train(t, d, nil, p).Model
	p.MonotoneConstraints = "1,-1,0,0,0,0,0"
	if text(t, named) != text(t, train(t, d, nil, p).Model) {
		t.Error("constraints by name and by number give different models")
	}
	for constraints, want := range map[string]string{
		"1,0":            "expected 7 numbers",
		"1,0,2,0,0,0,0":  `not "2"`,
		"Column_0:1,x:1": `not "x"`,
		"Column_0:up":    `not "up"`,
		"0,0,0,1,0,0,0":  "whose categories have no order",
	} {
		p.MonotoneConstraints = constraints
		if _, err := Train(context.Background(), d, nil, p, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", constraints, err, want)
		}
	}
}

// A model grown in two goes learns what one grown at once does, nearly, and
// its loss is that of all its trees.
func TestContinue(t *testing.T) {
	for _, objective := range []string{"regression", "binary", "multiclass"} {
		d, p := task(objective, 4000, 36)
		v, _ := task(objective, 2000, 37)
		p.NumIterations = 40
		once := train(t, d, v, p)
		p.NumIterations = 20
		base := train(t, d, v, p)
		r, err := Continue(context.Background(), base.Model, d, v, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Model.Trees) != 40*p.NumClass || len(base.Model.Trees) != 20*p.NumClass {
			t.Errorf("%s: %d trees on %d", objective, len(r.Model.Trees), len(base.Model.Trees))
		}
		if got, want := r.Valid[19], once.Valid[39]; math.Abs(got/want-1) > 0.03 || got > base.Valid[19] {
			t.Errorf("%s: loss %v, at once %v, before %v", objective, got, want, base.Valid[19])
		}
		p.Objective = "poisson"
		p.NumClass = 1
		if _, err := Continue(context.Background(), base.Model, d, nil, p, nil); err == nil || !strings.Contains(err.Error(), "objective") {
			t.Errorf("another objective: %v", err)
		}
	}
}

// Refit leaves leaves that no row reaches, and follows a world whose labels
// have moved.
func TestRefit(t *testing.T) {
	d, p := task("regression", 4000, 38)
	base := train(t, d, nil, p)
	moved := *d
	moved.Label = make([]float64, len(d.Label))
	for i, y := range d.Label {
		moved.Label[i] = 2*y + 3
	}
	loss := func(m *gbdt.Model) float64 {
		s := 0.0
		for i, x := range predict(t, m, &moved) {
			s += (x - moved.Label[i]) * (x - moved.Label[i])
		}
		return s / float64(len(moved.Label))
	}
	p.RefitDecayRate = 0
	got, err := Refit(base.Model, &moved, p)
	if err != nil {
		t.Fatal(err)
	}
	if before, after := loss(base.Model), loss(got); after > before/10 {
		t.Errorf("loss %v, before %v", after, before)
	}
	few := &Data{Label: moved.Label[:1], Categorical: d.Categorical}
	for _, c := range d.Features {
		few.Features = append(few.Features, c[:1])
	}
	p.RefitDecayRate = 0.5
	one, err := Refit(base.Model, few, p)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range one.Trees {
		for j, x := range one.Trees[i].LeafValue {
			if x != base.Model.Trees[i].LeafValue[j] {
				changed++
			}
		}
	}
	if changed > len(one.Trees) || changed == 0 {
		t.Errorf("one row changes %d leaves of %d trees", changed, len(one.Trees))
	}
	p.RefitDecayRate = 1.5
	if _, err := Refit(base.Model, &moved, p); err == nil {
		t.Error("a decay of 1.5 is taken")
	}
}

// The greatest category there can be is learned from, the next is refused by
// name.
func TestGreatestCategory(t *testing.T) {
	d := &Data{Features: [][]float64{make([]float64, 200)}, Categorical: []bool{true}, Names: []string{"shop"}}
	for i := range d.Features[0] {
		d.Features[0][i] = float64(i % 2 * gbdt.MaxCategory)
		d.Label = append(d.Label, float64(i%2))
	}
	p := Defaults()
	p.NumIterations = 1
	m := train(t, d, nil, p).Model
	if out := predict(t, m, d); out[1] <= out[0] {
		t.Errorf("predictions %v and %v", out[0], out[1])
	}
	d.Features[0][7] = gbdt.MaxCategory + 1
	if _, err := Train(context.Background(), d, nil, p, nil); err == nil || !strings.Contains(err.Error(), "feature 0 (shop) has the category 2097120") {
		t.Errorf("%v", err)
	}
}
