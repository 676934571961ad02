package gbdt

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/testdata"
)

// tested is a model on its way through LightGBM.
type tested struct {
	name, path string
	model      *Model
}

// TestLightGBMReads has LightGBM load what is written here and predict with it:
// the same bits as with the file that was read, raw scores and leaves to the
// bit as here, and the same contributions.
func TestLightGBMReads(t *testing.T) {
	python := testdata.Python(t)
	golden, err := filepath.Glob("fit/testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var models []tested
	for _, path := range append(append(ownModels(t), "testdata/shap/deep.txt"), golden...) {
		models = append(models, tested{filepath.Base(path), path, readModel(t, path)})
	}
	dir := t.TempDir()
	for i := range 20 {
		m := rapid.Custom(drawOrdinary).Example(i)
		path := filepath.Join(dir, fmt.Sprintf("drawn%d.txt", i))
		if err := os.WriteFile(path, write(t, m), 0o644); err != nil {
			t.Fatal(err)
		}
		models = append(models, tested{filepath.Base(path), path, m})
	}
	passThrough(t, python, models)
}

// TestLightGBMReadsOthers is the same for the models of the leaves and LightGBM
// projects.
func TestLightGBMReadsOthers(t *testing.T) {
	python, dir := testdata.Python(t), filepath.Join(testdata.Shared(t), "data/lightgbm/models")
	paths, err := filepath.Glob(filepath.Join(dir, "*.model"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d models: %v", len(paths), err)
	}
	var models []tested
	for _, path := range append(paths, filepath.Join(dir, "lg_breast_cancer.txt"), filepath.Join(dir, "model_simple.txt")) {
		models = append(models, tested{filepath.Base(path), path, readModel(t, path)})
	}
	passThrough(t, python, models)
}

// drawOrdinary draws a model whose scores LightGBM can add up without
// overflow and whose leaves it can weigh.
func drawOrdinary(t *rapid.T) *Model {
	m := drawModel(t)
	for i := range m.Trees {
		tree := &m.Trees[i]
		tame(t, tree)
		for k := range tree.LeafCount {
			tree.LeafCount[k] = max(tree.LeafCount[k], 1)
		}
		for k, n := range mustCount(tree).rows {
			tree.InternalCount[k] = int64(n)
		}
	}
	m.Params, m.PandasCategorical, m.Monotone = nil, "", nil
	for i := range m.FeatureNames {
		m.FeatureNames[i] = fmt.Sprint("f", i)
	}
	return m
}

func mustCount(t *Tree) countedTree {
	c, err := countTree(t)
	if err != nil {
		panic(err)
	}
	return c
}

func passThrough(t *testing.T, python string, models []tested) {
	t.Helper()
	dir := t.TempDir()
	file := func(i int, kind string) string { return filepath.Join(dir, fmt.Sprint(i, kind)) }
	args := []string{"testdata/reload.py"}
	for i, m := range models {
		if err := os.WriteFile(file(i, ".written"), write(t, m.model), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, m.path, file(i, ".written"), file(i, ".rows"), file(i, ".out"))
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for at, m := range models {
		p, e := predictor(t, m.model), explainer(t, m.model)
		k, n := p.NumOutputs(), p.NumTrees()
		raw, leaves, contributions := make([]float64, k), make([]int32, n), make([]float64, k*(p.NumFeatures()+1))
		want := readRows(t, file(at, ".out"))
		for i, row := range readRows(t, file(at, ".rows")) {
			p.Raw(raw, row)
			p.Leaves(leaves, row)
			e.Contributions(contributions, row)
			if !slices.Equal(raw, want[i][:k]) {
				t.Fatalf("%s, row %d: raw %v, LightGBM says %v", m.name, i, raw, want[i][:k])
			}
			if !slices.EqualFunc(leaves, want[i][k:k+n], func(a int32, b float64) bool { return float64(a) == b }) {
				t.Fatalf("%s, row %d: leaves %v, LightGBM says %v", m.name, i, leaves, want[i][k:k+n])
			}
			if d := apart(contributions, want[i][k+n:]); !(d <= 1e-9) && !math.IsNaN(scale(want[i][k+n:])) {
				t.Fatalf("%s, row %d: contributions differ by %v: %v, LightGBM says %v", m.name, i, d, contributions, want[i][k+n:])
			}
		}
	}
}
