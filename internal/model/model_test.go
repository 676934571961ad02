package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

var (
	tasks      = []schema.Task{schema.Regression, schema.Binary, schema.Multiclass}
	priceRange = [2]float64{-10, 100}
)

// template has a column of every kind; price and at had missing values in
// training, the others had none.
func template(task schema.Task) *schema.Template {
	t := &schema.Template{
		Task: task, Target: "y", Time: "at",
		Columns: []schema.Column{
			{Name: "at", Kind: schema.Time, Missing: true},
			{Name: "shop", Kind: schema.Categorical, Levels: []string{"A", "B", "C"}},
			{Name: "price", Kind: schema.Numeric, Min: &priceRange[0], Max: &priceRange[1], Missing: true},
			{Name: "stock", Kind: schema.Numeric, Min: &priceRange[0], Max: &priceRange[1]},
			{Name: "empty", Kind: schema.Numeric, Missing: true},
			{Name: "promo", Kind: schema.Boolean},
			{Name: "note", Kind: schema.Text},
		},
	}
	switch task {
	case schema.Binary:
		t.Classes = []string{"no", "yes"}
	case schema.Multiclass:
		t.Classes = []string{"low", "mid", "high"}
	}
	t.Features = feature.Features(t.Columns, []schema.Op{schema.Weekday, schema.Month})
	t.Seal()
	return t
}

// stump splits feature f at threshold, or on the category set {0, 2}.
func stump(f int, threshold float64, categorical bool, left, right float64) gbdt.Tree {
	t := gbdt.Tree{
		Feature: []int32{int32(f)}, Threshold: []float64{threshold}, Decision: []uint8{gbdt.MissingNaN | gbdt.DefaultLeft},
		Left: []int32{^0}, Right: []int32{^1}, Gain: []float64{1}, InternalValue: []float64{0}, InternalWeight: []float64{2}, InternalCount: []int64{2},
		LeafValue: []float64{left, right}, LeafWeight: []float64{1, 1}, LeafCount: []int64{1, 1}, Shrinkage: 1,
	}
	if categorical {
		t.Threshold[0], t.Decision[0] = 0, gbdt.Categorical
		t.CatBoundaries, t.CatThreshold = []int32{0, 1}, []uint32{1<<0 | 1<<2}
	}
	return t
}

// trees has one stump for each feature and output, so that every feature
// counts and no two outputs are alike.
func trees(t *schema.Template) *gbdt.Model {
	m := &gbdt.Model{NumClass: 1, TreesPerIteration: 1, Objective: "regression"}
	switch t.Task {
	case schema.Binary:
		m.Objective = "binary sigmoid:1"
	case schema.Multiclass:
		m.Objective, m.NumClass, m.TreesPerIteration = "multiclass num_class:3", 3, 3
	}
	for i, f := range t.Features {
		m.FeatureNames = append(m.FeatureNames, strings.ReplaceAll(f.Name, ".", "_"))
		m.FeatureInfos = append(m.FeatureInfos, "none")
		for k := range m.TreesPerIteration {
			v := 1 / float64(i+3*k+2)
			m.Trees = append(m.Trees, stump(i, float64(i+k), f.Op == schema.Level, -v, v))
		}
	}
	return m
}

func build(t testing.TB, task schema.Task) *model.Model {
	t.Helper()
	tmpl := template(task)
	m, err := model.New("v0001-00000000", tmpl, trees(tmpl))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// rows makes n rows with missing values, levels never seen and numbers out of
// range.
func rows(n int, seed uint64) *table.Table {
	rng := rand.New(rand.NewPCG(seed, 1))
	at, shop := make([]int64, n), make([]string, n)
	price, stock, empty, promo, note := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]string, n)
	maybe := func(v float64) float64 {
		if rng.IntN(5) == 0 {
			return math.NaN()
		}
		return v
	}
	for i := range n {
		if at[i] = rng.Int64N(2e15); rng.IntN(5) == 0 {
			at[i] = table.NoTime
		}
		shop[i] = []string{"A", "B", "C", "never seen"}[rng.IntN(4)]
		price[i], stock[i] = maybe(rng.NormFloat64()*80), maybe(rng.NormFloat64()*80)
		empty[i], promo[i] = maybe(rng.NormFloat64()), maybe(float64(rng.IntN(2)))
	}
	c := table.Strings("shop", shop)
	for i := range n {
		if rng.IntN(5) == 0 {
			c.Codes[i] = -1
		}
	}
	// In another order than the template's.
	return table.Must(table.Strings("note", note), table.Floats("price", price), c, table.Times("at", at), table.Floats("stock", stock),
		table.Floats("empty", empty), &table.Column{Name: "promo", Type: table.Bool, Floats: promo})
}

// TestOneRowIsABatchOfOne: a row alone, in a table, and in parts of a table for
// any number of threads has the same prediction to the bit, and the same flags.
func TestOneRowIsABatchOfOne(t *testing.T) {
	for _, task := range tasks {
		m := build(t, task)
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(0, 70).Draw(t, "rows")
			tab := rows(n, rapid.Uint64().Draw(t, "seed"))
			p, err := m.PredictTable(tab, rapid.IntRange(0, 4).Draw(t, "threads"))
			if err != nil {
				t.Fatal(err)
			}
			k := m.Template.Outputs()
			if len(p.Outputs) != n*k || len(p.Flags) != n {
				t.Fatalf("%d outputs and %d flags of %d rows", len(p.Outputs), len(p.Flags), n)
			}
			b, err := m.Encoder().Table(tab)
			if err != nil {
				t.Fatal(err)
			}
			raw, dst := make([]float64, len(m.Template.Columns)), make([]float64, k)
			for i := range n {
				b.Row(raw, i)
				m.Predict(dst, raw)
				if !slices.Equal(dst, p.Outputs[i*k:i*k+k]) {
					t.Fatalf("%s, row %d: %v alone, %v in the table", task, i, dst, p.Outputs[i*k:i*k+k])
				}
				if f := m.Flags(raw); f != p.Flags[i] {
					t.Fatalf("%s, row %d: flags %b alone, %b in the table", task, i, f, p.Flags[i])
				}
			}
		})
	}
}

// TestPredict: the sum of the stumps, worked out by hand.
func TestPredict(t *testing.T) {
	// Features: at.weekday, at.month, shop, price, stock, empty, promo. Leaves
	// are ∓1/(i+2+3k); 1970-01-01 was a Thursday (4) in month 1.
	raw := []float64{0, 2, 50, math.NaN(), math.NaN(), 1, math.NaN()}
	// Left where a value is at most i+k or missing: per feature and output.
	sign := [][3]float64{{1, 1, 1}, {-1, -1, -1}, {-1, -1, -1}, {1, 1, 1}, {-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}}
	var score [3]float64
	for i, s := range sign {
		for k := range score {
			score[k] += s[k] / float64(i+3*k+2)
		}
	}
	softmax := func(k int) float64 {
		return math.Exp(score[k]) / (math.Exp(score[0]) + math.Exp(score[1]) + math.Exp(score[2]))
	}
	yes := 1 / (1 + math.Exp(-score[0]))
	for task, want := range map[schema.Task][]float64{
		schema.Regression: {score[0]}, schema.Binary: {1 - yes, yes}, schema.Multiclass: {softmax(0), softmax(1), softmax(2)},
	} {
		got := make([]float64, len(want))
		build(t, task).Predict(got, raw)
		for k := range want {
			if math.Abs(got[k]-want[k]) > 1e-12 {
				t.Errorf("%s: %v, expected %v", task, got, want)
				break
			}
		}
	}
}

func TestFlags(t *testing.T) {
	m := build(t, schema.Regression)
	for name, c := range map[string]struct {
		change map[int]float64
		want   model.Flag
	}{
		"as in training":                {nil, 0},
		"bounds are in range":           {map[int]float64{2: -10, 3: 100}, 0},
		"missing where there were some": {map[int]float64{0: math.NaN(), 2: math.NaN(), 4: math.NaN()}, 0},
		"missing number":                {map[int]float64{3: math.NaN()}, model.Missing},
		"missing level":                 {map[int]float64{1: math.NaN()}, model.Missing},
		"missing boolean":               {map[int]float64{5: math.NaN()}, model.Missing},
		"level never seen":              {map[int]float64{1: -1}, model.Unseen},
		"the first level":               {map[int]float64{1: 0}, 0},
		"too small":                     {map[int]float64{2: math.Nextafter(-10, -11)}, model.OutOfRange},
		"too great":                     {map[int]float64{3: math.Nextafter(100, 101)}, model.OutOfRange},
		"infinite":                      {map[int]float64{3: math.Inf(1)}, model.OutOfRange},
		"a number where there was none": {map[int]float64{4: 0}, model.OutOfRange},
		"text says nothing":             {map[int]float64{6: 5}, 0},
		"a time long ago":               {map[int]float64{0: -1e18}, 0},
		"all at once":                   {map[int]float64{1: -1, 2: 1e9, 5: math.NaN()}, model.Unseen | model.Missing | model.OutOfRange},
	} {
		raw := []float64{0, 1, 5, 5, math.NaN(), 1, math.NaN()}
		for i, v := range c.change {
			raw[i] = v
		}
		if got := m.Flags(raw); got != c.want {
			t.Errorf("%s: flags %03b, expected %03b", name, got, c.want)
		}
	}
	// The bits are a format: they stand in logs.
	if model.Unseen != 1 || model.Missing != 2 || model.OutOfRange != 4 {
		t.Error("the bits of the flags changed")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		task   schema.Task
		change func(*schema.Template, *gbdt.Model)
		want   string
	}{
		"fewer features": {schema.Regression, func(_ *schema.Template, m *gbdt.Model) {
			m.FeatureNames, m.FeatureInfos = m.FeatureNames[:6], m.FeatureInfos[:6]
		}, "6 features, the template makes 7"},
		"outputs of another task": {schema.Regression, func(_ *schema.Template, m *gbdt.Model) {
			*m = *trees(template(schema.Multiclass))
		}, "3 outputs a row"},
		"one output for three classes": {schema.Multiclass, func(_ *schema.Template, m *gbdt.Model) {
			*m = *trees(template(schema.Binary))
		}, "with 3 classes needs 3"},
		"template changed after it was sealed": {schema.Regression, func(t *schema.Template, _ *gbdt.Model) { t.Target = "z" }, "fingerprint"},
		"tree that reads beyond":               {schema.Binary, func(_ *schema.Template, m *gbdt.Model) { m.Trees[0].Feature[0] = 7 }, "feature 7 of 7"},
	} {
		tmpl := template(c.task)
		m := trees(tmpl)
		c.change(tmpl, m)
		if _, err := model.New("v", tmpl, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v should say %q", name, err, c.want)
		}
	}
}

func TestColumns(t *testing.T) {
	for _, task := range tasks {
		m := build(t, task)
		p, err := m.PredictTable(rows(40, 3), 1)
		if err != nil {
			t.Fatal(err)
		}
		cols := p.Columns(m.Template)
		if cols[0].Name != "predicted_y" || len(cols) != 1+len(m.Template.Classes) {
			t.Fatalf("%s: %d columns, the first %q", task, len(cols), cols[0].Name)
		}
		k := m.Template.Outputs()
		for i := range 40 {
			out := p.Outputs[i*k : i*k+k]
			if !task.Classified() {
				if cols[0].Floats[i] != out[0] {
					t.Fatalf("row %d: %v, expected %v", i, cols[0].Floats[i], out[0])
				}
				continue
			}
			sum := 0.0
			for c, class := range m.Template.Classes {
				sum += out[c]
				if cols[1+c].Name != "p_"+class || cols[1+c].Floats[i] != out[c] {
					t.Fatalf("%s, row %d: %s is %v, expected p_%s of %v", task, i, cols[1+c].Name, cols[1+c].Floats[i], class, out[c])
				}
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Fatalf("%s, row %d: probabilities add up to %v", task, i, sum)
			}
			if got, want := cols[0].Text(i), m.Template.Classes[model.Best(out)]; got != want || out[model.Best(out)] != slices.Max(out) {
				t.Fatalf("%s, row %d: class %q of %v", task, i, got, out)
			}
		}
	}
	if b := model.Best([]float64{0.2, 0.4, 0.4}); b != 1 {
		t.Errorf("best of equals is %d, expected the first", b)
	}
}

// TestNoAllocation: predicting one row costs no memory, whatever the task.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	raw := []float64{1.7e15, 1, 5, 5, math.NaN(), 1, math.NaN()}
	for _, task := range tasks {
		m := build(t, task)
		dst := make([]float64, m.Template.Outputs())
		if n := testing.AllocsPerRun(200, func() { m.Predict(dst, raw); m.Flags(raw) }); n != 0 {
			t.Errorf("%s: %v allocations a row", task, n)
		}
	}
}

// TestConcurrent: goroutines that share a model do not disturb each other.
func TestConcurrent(t *testing.T) {
	m := build(t, schema.Multiclass)
	tab := rows(64, 9)
	want, err := m.PredictTable(tab, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Encoder().Table(tab)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			raw, dst := make([]float64, len(m.Template.Columns)), make([]float64, 3)
			for i := range 64 * 20 {
				i = (i + 16*g) % 64
				b.Row(raw, i)
				if m.Predict(dst, raw); !slices.Equal(dst, want.Outputs[3*i:3*i+3]) {
					t.Errorf("row %d: %v, expected %v", i, dst, want.Outputs[3*i:3*i+3])
					return
				}
			}
		})
	}
	wg.Wait()
}
