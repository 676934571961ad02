package onnx

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/testdata"
)

// pair is a graph with rows and the predictions that a runtime must give.
type pair struct {
	m    *model.Model
	rows [][]float64 // raw, in the order of the template's columns
	text [][]string  // of categorical columns
}

// TestRuntimeAgrees has ONNX Runtime predict with every objective and every
// kind of node, missing values, categories and calendar features.
func TestRuntimeAgrees(t *testing.T) {
	python := testdata.Python(t)
	dir := t.TempDir()
	args := []string{"testdata/check.py"}
	for name, p := range pairs(t) {
		graph, err := Encode(p.m, "test")
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Join(dir, name)
		if err := os.WriteFile(base+".onnx", graph, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(base+".csv", p.csv(), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, base)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "agree"); n < 22 {
		t.Errorf("%d models were compared:\n%s", n, out)
	}
	t.Logf("%s", out)
}

// csv has a line a row: the raw columns, then what the model says.
func (p *pair) csv() []byte {
	var b bytes.Buffer
	t := p.m.Template
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	for k := range t.Outputs() {
		names = append(names, fmt.Sprintf("want%d", k))
	}
	fmt.Fprintln(&b, strings.Join(names, ","))
	out := make([]float64, t.Outputs())
	for i, row := range p.rows {
		p.m.Predict(out, row)
		var cells []string
		for c, v := range row {
			switch {
			case t.Columns[c].Kind == schema.Categorical:
				cells = append(cells, p.text[i][c])
			case t.Columns[c].Kind == schema.Time && math.IsNaN(v):
				cells = append(cells, strconv.FormatInt(math.MinInt64, 10))
			case t.Columns[c].Kind == schema.Time:
				cells = append(cells, strconv.FormatInt(int64(v), 10))
			default:
				cells = append(cells, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		for _, v := range out {
			cells = append(cells, strconv.FormatFloat(v, 'g', -1, 64))
		}
		fmt.Fprintln(&b, strings.Join(cells, ","))
	}
	return b.Bytes()
}

func pairs(t *testing.T) map[string]*pair {
	t.Helper()
	out := map[string]*pair{"calendar": calendarPair(t)}
	found, err := filepath.Glob("../gbdt/testdata/*.txt")
	if err != nil || len(found) < 20 {
		t.Fatalf("%d models: %v", len(found), err)
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		trees, err := gbdt.ReadText(path, b)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".txt")] = numberPair(t, trees)
	}
	return out
}

// numberPair asks a model of LightGBM's by bare features: numbers of all sizes,
// the thresholds themselves and their neighbours, categories, zeros and NaN.
func numberPair(t *testing.T, trees *gbdt.Model) *pair {
	t.Helper()
	tmpl := &schema.Template{Task: schema.Regression, Target: "y"}
	if n := trees.NumOutputs(); n > 1 {
		tmpl.Task = schema.Multiclass
		for k := range n {
			tmpl.Classes = append(tmpl.Classes, fmt.Sprintf("class %d", k))
		}
	} else if strings.HasPrefix(trees.Objective, "binary") {
		tmpl.Task, tmpl.Classes = schema.Binary, []string{"no", "yes"}
	}
	names := make([]string, trees.NumFeatures())
	for i := range names {
		names[i] = fmt.Sprintf("x%d", i)
		tmpl.Columns = append(tmpl.Columns, schema.Column{Name: names[i], Kind: schema.Numeric, Missing: true})
		tmpl.Features = append(tmpl.Features, schema.Feature{Name: names[i], Source: names[i], Op: schema.Value})
	}
	tmpl.Seal()
	m := *trees
	m.FeatureNames = names
	p := &pair{m: newModel(t, tmpl, &m)}
	cuts := make([][]float64, len(names))
	for i := range m.Trees {
		for k, f := range m.Trees[i].Feature {
			cuts[f] = append(cuts[f], m.Trees[i].Threshold[k])
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		row := make([]float64, len(names))
		for f := range row {
			row[f] = draw(rng, cuts[f])
		}
		p.rows = append(p.rows, row)
	}
	return p
}

func draw(rng *rand.Rand, cuts []float64) float64 {
	switch rng.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return []float64{0, math.Copysign(0, -1), 1e-36, -1e-36, 1e-34, -0.5, 1e300, math.Inf(1), math.Inf(-1), 3e9}[rng.IntN(10)]
	case 2:
		return float64(rng.IntN(60) - 2)
	case 3:
		return float64(rng.IntN(40)) + rng.Float64()
	case 4, 5:
		if len(cuts) > 0 {
			x := cuts[rng.IntN(len(cuts))]
			return []float64{x, math.Nextafter(x, 1e300), math.Nextafter(x, -1e300)}[rng.IntN(3)]
		}
	}
	return rng.NormFloat64() * 3
}

func newModel(t *testing.T, tmpl *schema.Template, trees *gbdt.Model) *model.Model {
	t.Helper()
	m, err := model.New("v0001-test", tmpl, trees)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// calendarPair tells every value of every part of a date apart, and categories
// by name.
func calendarPair(t *testing.T) *pair {
	t.Helper()
	tmpl := &schema.Template{Task: schema.Regression, Target: "y", Columns: []schema.Column{
		{Name: "#when", Kind: schema.Time, Missing: true},
		{Name: "place", Kind: schema.Categorical, Levels: []string{"north", "S 1", "1.5", "übrig"}},
		{Name: "promo", Kind: schema.Boolean, Missing: true},
	}}
	last := map[schema.Op]int{schema.Hour: 23, schema.Weekday: 6, schema.Day: 31, schema.Month: 12, schema.YearDay: 366}
	trees := &gbdt.Model{NumClass: 1, TreesPerIteration: 1, Objective: "regression"}
	stump := func(decision uint8, threshold, low, high float64, set ...uint32) {
		tree := gbdt.Tree{Feature: []int32{int32(len(tmpl.Features) - 1)}, Threshold: []float64{threshold}, Decision: []uint8{decision}, Left: []int32{-1}, Right: []int32{-2},
			Gain: []float64{1}, InternalValue: []float64{0}, InternalWeight: []float64{2}, InternalCount: []int64{2},
			LeafValue: []float64{low, high}, LeafWeight: []float64{1, 1}, LeafCount: []int64{1, 1}, Shrinkage: 1}
		if set != nil {
			tree.CatBoundaries, tree.CatThreshold = []int32{0, int32(len(set))}, set
		}
		trees.Trees = append(trees.Trees, tree)
	}
	feature := func(source string, op schema.Op) {
		name := source + "." + string(op)
		tmpl.Features = append(tmpl.Features, schema.Feature{Name: name, Source: source, Op: op})
		trees.FeatureNames, trees.FeatureInfos = append(trees.FeatureNames, name), append(trees.FeatureInfos, "none")
	}
	scale := 1.0
	for _, op := range schema.Calendar() {
		feature("#when", op)
		for v := range last[op] + 1 {
			stump(gbdt.MissingNaN, float64(v), 0, scale)
		}
		scale *= 400
	}
	feature("place", schema.Level)
	for v := range 4 {
		stump(gbdt.Categorical, 0, 0.5/float64(v+2), 0, 1<<v)
	}
	feature("promo", schema.Value)
	stump(gbdt.MissingNaN|gbdt.DefaultLeft, 0.5, 0.001, 0)
	tmpl.Seal()
	p := &pair{m: newModel(t, tmpl, trees)}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 5000 {
		us := float64(rng.Int64N(400*366*dayMicros) - 200*366*dayMicros)
		if i%5 == 0 { // the first and the last days of months and years, to the microsecond
			us = float64((rng.Int64N(40000)-20000)*dayMicros - int64(rng.IntN(2)))
		}
		if i%97 == 0 {
			us = math.NaN()
		}
		place := []string{"north", "S 1", "1.5", "übrig", "", "elsewhere", "North"}[rng.IntN(7)]
		code, _ := p.m.Encoder().Level(1, place)
		p.rows = append(p.rows, []float64{us, code, []float64{0, 1, math.NaN()}[rng.IntN(3)]})
		p.text = append(p.text, []string{"", place, ""})
	}
	return p
}

// TestEncodeIsDeterministic, and names no value like a column.
func TestEncodeIsDeterministic(t *testing.T) {
	p := calendarPair(t)
	a, err := Encode(p.m, "test")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Encode(p.m, "test")
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("two graphs of one model differ: %v", err)
	}
	if !bytes.Contains(a, []byte("##1")) || !bytes.Contains(a, []byte("healml_template")) {
		t.Error("values are called like columns, or the template is missing")
	}
}
