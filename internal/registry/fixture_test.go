package registry

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

var created = time.Date(2024, 3, 1, 12, 30, 0, 0, time.UTC)

// template has a column of every kind, and features of every operation.
func template(task schema.Task) *schema.Template {
	lo, hi := -50.0, 1e6
	t := &schema.Template{
		Task: task, Target: "sales", Time: "date",
		Columns: []schema.Column{
			{Name: "date", Kind: schema.Time},
			{Name: "category", Kind: schema.Categorical, Levels: []string{"Books", "Électronique", "Toys & \"Games\"", "true"}, Missing: true},
			{Name: "store", Kind: schema.Categorical, Levels: []string{"1", "12", "3.5", "7"}, Missing: true},
			{Name: "price", Kind: schema.Numeric, Min: &lo, Max: &hi, Missing: true},
			{Name: "stock", Kind: schema.Numeric, Min: &lo, Max: &hi, Integer: true},
			{Name: "promo", Kind: schema.Boolean, Missing: true},
			{Name: "note", Kind: schema.Text},
		},
	}
	switch task {
	case schema.Binary:
		t.Classes = []string{"no", "yes"}
	case schema.Multiclass:
		t.Classes = []string{"low", "mid", "high"}
	}
	t.Features = feature.Features(t.Columns, schema.Calendar())
	t.Seal()
	return t
}

// rows makes n raw rows for template: dates on both sides of 1970 and around
// leap days, levels never seen, and missing values.
func rows(n int, seed uint64) *table.Table {
	rng := rand.New(rand.NewPCG(seed, 1))
	var dates []int64
	var category, store, note []string
	var price, stock, promo []float64
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	missing := func(v float64) float64 {
		if rng.IntN(8) == 0 {
			return math.NaN()
		}
		return v
	}
	leap := time.Date(2024, 2, 28, 0, 0, 0, 0, time.UTC).UnixMicro()
	for i := range n {
		at := leap + int64(i%5)*86400e6
		if i%2 == 1 {
			at = rng.Int64N(4e15) - 2e15
		}
		if rng.IntN(10) == 0 {
			at = table.NoTime
		}
		dates = append(dates, at)
		category = append(category, pick("Books", "Électronique", "Toys & \"Games\"", "true", "Never seen"))
		store = append(store, pick("1", "12", "3.5", "7", "99"))
		note = append(note, pick("a", "b, c"))
		price = append(price, missing(math.Round(rng.NormFloat64()*1e4)/100))
		stock = append(stock, float64(rng.IntN(60)))
		promo = append(promo, missing(float64(rng.IntN(2))))
	}
	c, s := table.Strings("category", category), table.Strings("store", store)
	for i := range n {
		if rng.IntN(9) == 0 {
			c.Codes[i] = -1
		}
		if rng.IntN(9) == 0 {
			s.Codes[i] = -1
		}
	}
	return table.Must(table.Times("date", dates), c, s, table.Floats("price", price), table.Floats("stock", stock),
		&table.Column{Name: "promo", Type: table.Bool, Floats: promo}, table.Strings("note", note))
}

// grow makes a random tree of the given number of leaves over the features of
// t: numeric splits of every missing rule, and category sets.
func grow(rng *rand.Rand, t *schema.Template, leaves int) gbdt.Tree {
	tree := gbdt.Tree{Shrinkage: 0.1, LeafValue: []float64{rng.NormFloat64()}, LeafWeight: []float64{9.5}, LeafCount: []int64{40}}
	for n := range leaves - 1 {
		f := rng.IntN(len(t.Features))
		threshold, decision := rng.NormFloat64()*30, uint8(gbdt.MissingNaN)|uint8(rng.IntN(2))*gbdt.DefaultLeft
		if t.Features[f].Op == schema.Level {
			if tree.CatBoundaries == nil {
				tree.CatBoundaries = []int32{0}
			}
			threshold, decision = float64(len(tree.CatBoundaries)-1), gbdt.Categorical
			tree.CatThreshold = append(tree.CatThreshold, uint32(1+rng.IntN(15)))
			tree.CatBoundaries = append(tree.CatBoundaries, int32(len(tree.CatThreshold)))
		} else if t.Features[f].Op != schema.Value {
			threshold = float64(rng.IntN(12)) + 0.5
		}
		leaf := rng.IntN(n + 1) // which becomes node n; the new leaf is n+1
		for i := range tree.Left {
			if tree.Left[i] == ^int32(leaf) {
				tree.Left[i] = int32(n)
			}
			if tree.Right[i] == ^int32(leaf) {
				tree.Right[i] = int32(n)
			}
		}
		tree.Feature = append(tree.Feature, int32(f))
		tree.Threshold = append(tree.Threshold, threshold)
		tree.Decision = append(tree.Decision, decision)
		tree.Left = append(tree.Left, ^int32(leaf))
		tree.Right = append(tree.Right, ^int32(n+1))
		tree.Gain = append(tree.Gain, 1.5)
		tree.InternalValue = append(tree.InternalValue, 0.25)
		tree.InternalWeight = append(tree.InternalWeight, 80)
		tree.InternalCount = append(tree.InternalCount, 80)
		tree.LeafValue = append(tree.LeafValue, rng.NormFloat64())
		tree.LeafWeight = append(tree.LeafWeight, 1.0/3)
		tree.LeafCount = append(tree.LeafCount, 40)
	}
	return tree
}

// trees makes a random model that fits t.
func trees(t *schema.Template, seed uint64) *gbdt.Model {
	rng := rand.New(rand.NewPCG(seed, 2))
	m := &gbdt.Model{NumClass: 1, TreesPerIteration: 1, Objective: "regression", Params: [][2]string{{"num_leaves", "7"}, {"learning_rate", "0.1"}}}
	switch t.Task {
	case schema.Binary:
		m.Objective = "binary sigmoid:1"
	case schema.Multiclass:
		m.Objective, m.NumClass, m.TreesPerIteration = "multiclass num_class:3", 3, 3
	}
	var names []string
	for _, f := range t.Features {
		names = append(names, f.Name)
		info := "[-100:100]"
		if f.Op == schema.Level {
			info = "0:1:2:3"
		}
		m.FeatureInfos = append(m.FeatureInfos, info)
	}
	m.FeatureNames = gbdt.FeatureNames(names)
	for i := range 4 * m.TreesPerIteration {
		m.Trees = append(m.Trees, grow(rng, t, 1+7*i%9))
	}
	return m
}

// bundle is a whole version; another seed gives other trees.
func bundle(task schema.Task, seed uint64) *Bundle {
	t := template(task)
	return &Bundle{
		Template: t, Trees: trees(t, seed), Reference: rows(200, 7), Golden: rows(40, 8), Created: created,
		Metrics: &Metrics{Metric: "rmse", Rows: 50, Holdout: map[string]float64{"rmse": 1.25 + float64(seed), "mae": 1}, Baseline: map[string]float64{"rmse": 4}},
		Lineage: Lineage{DataFile: "data/sales.csv", Rows: 200, From: created.AddDate(-1, 0, 0), To: created, CreatedBy: "train",
			Parameters: map[string]string{"num_leaves": "7", "seed": string(rune('0' + seed))}, Seed: seed, Reason: "first"},
	}
}

// publish puts versions into a new registry, with trees of seed 1, 2, ….
func publish(t *testing.T, n int) (*Registry, []string) {
	t.Helper()
	r := Open(filepath.Join(t.TempDir(), "exported_model"))
	var versions []string
	for i := range n {
		v, err := r.Publish(bundle(schema.Regression, uint64(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	return r, versions
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwrite replaces a file's content behind the registry's back.
func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, durable.WriteFile(path, b))
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}
