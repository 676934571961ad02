package fit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/testdata"
)

// The models in testdata/golden were trained by LightGBM 4.7; golden.py
// beside them tells how.

// golden is what LightGBM reached.
type golden struct {
	Params      map[string]any
	Loss, First float64 // validation loss after the last and the first round
}

func TestGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/golden/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]golden
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 23 {
		t.Fatalf("%d golden cases", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := Defaults()
			for k, v := range c.Params {
				if err := p.Set(k, fmt.Sprint(v)); err != nil {
					t.Fatal(err)
				}
			}
			train, valid := goldenData(t, name)
			if name == "multiclass" {
				p.NumIterations = 50
			}
			r, err := Train(context.Background(), train, valid, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			tol := 1e-7
			if ties := compareTrees(t, name, r.Model); ties > 0 {
				t.Logf("%d ties", ties)
				tol = 1e-3
			}
			if d := r.Valid[0]/c.First - 1; math.Abs(d) > tol {
				t.Errorf("first loss %v, LightGBM has %v", r.Valid[0], c.First)
			}
			d := r.Valid[len(r.Valid)-1]/c.Loss - 1
			t.Logf("loss %.6g, LightGBM %.6g (%+.3f %%)", r.Valid[len(r.Valid)-1], c.Loss, 100*d)
			if math.Abs(d) > 0.005 {
				t.Errorf("last loss is off by %.2f %%", 100*d)
			}
		})
	}
}

// What LightGBM grows on top of a model, and what it makes of one on other
// labels, comes out here.
func TestContinueAndRefitGolden(t *testing.T) {
	train, _ := goldenData(t, "mixed_regression")
	p := Defaults()
	p.NumLeaves, p.NumIterations = 15, 3
	base := goldenModel(t, "base")
	r, err := Continue(context.Background(), base, train, nil, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ties := compareTrees(t, "continued", r.Model); len(r.Model.Trees) != 7 || ties > 2 {
		t.Errorf("%d trees, %d ties", len(r.Model.Trees), ties)
	}
	for i, y := range train.Label {
		train.Label[i] = 2*y - 1
	}
	p.RefitDecayRate = 0.4
	got, err := Refit(base, train, p)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range goldenModel(t, "refitted").Trees {
		if !near1(got.Trees[i].LeafValue, want.LeafValue, 1e-6) {
			t.Errorf("tree %d: leaves\n %v, expected\n %v", i, got.Trees[i].LeafValue, want.LeafValue)
		}
	}
	p.RefitDecayRate = 1
	same, err := Refit(base, train, p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range base.Trees {
		if !slices.Equal(same.Trees[i].LeafValue, base.Trees[i].LeafValue) {
			t.Errorf("tree %d has changed with a decay of 1", i)
		}
	}
}

func goldenModel(t *testing.T, name string) *gbdt.Model {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/golden", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := gbdt.ReadText(name, b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compareTrees wants the trees of the file to be the first of m, and returns
// the number of ties that fell out otherwise.
func compareTrees(t *testing.T, name string, m *gbdt.Model) (ties int) {
	t.Helper()
	want := goldenModel(t, name)
	if !slices.Equal(m.FeatureInfos, want.FeatureInfos) {
		t.Errorf("feature infos\n %v, expected\n %v", m.FeatureInfos, want.FeatureInfos)
	}
	if m.Objective != want.Objective {
		t.Errorf("objective %q, expected %q", m.Objective, want.Objective)
	}
	if len(want.Trees) == 0 {
		t.Fatal("no trees to compare")
	}
	for i := range want.Trees {
		ties += alignTies(&m.Trees[i], &want.Trees[i]) + alignMirrors(&m.Trees[i], &want.Trees[i])
		if !compareTree(t, i, &m.Trees[i], &want.Trees[i]) {
			break
		}
	}
	return ties
}

// alignMirrors swaps the leaves of nodes of got that split two categories from
// one another where want has them the other way round: both sets gain the
// same, and the last bit decides.
func alignMirrors(got, want *gbdt.Tree) (ties int) {
	for i := range min(len(got.Decision), len(want.Decision)) {
		if got.Decision[i]&want.Decision[i]&gbdt.Categorical == 0 || got.Left[i] >= 0 || got.Right[i] >= 0 {
			continue
		}
		l, r, c := ^got.Left[i], ^got.Right[i], int(got.Threshold[i])
		lo, hi := got.CatBoundaries[c], got.CatBoundaries[c+1]
		if int(max(l, r)) >= len(want.LeafCount) || int(hi) > len(want.CatThreshold) || slices.Equal(got.CatThreshold[lo:hi], want.CatThreshold[lo:hi]) ||
			got.LeafCount[l] != want.LeafCount[r] || got.LeafCount[r] != want.LeafCount[l] {
			continue
		}
		copy(got.CatThreshold[lo:hi], want.CatThreshold[lo:hi])
		got.LeafCount[l], got.LeafCount[r] = got.LeafCount[r], got.LeafCount[l]
		got.LeafValue[l], got.LeafValue[r] = got.LeafValue[r], got.LeafValue[l]
		got.LeafWeight[l], got.LeafWeight[r] = got.LeafWeight[r], got.LeafWeight[l]
		ties++
	}
	return ties
}

// alignTies gives nodes of got the threshold and the default side of want
// where they differ. When no row of a node lies between two thresholds, or is
// missing, both make the same partition, and the last bit of the gain decides
// which one is taken: with rows of one way or the other, counts and values,
// which are compared afterwards, would differ.
func alignTies(got, want *gbdt.Tree) (ties int) {
	for i := range min(len(got.Decision), len(want.Decision)) {
		g, w := got.Decision[i], want.Decision[i]
		if (g|w)&gbdt.Categorical != 0 || got.Feature[i] != want.Feature[i] || g == w && got.Threshold[i] == want.Threshold[i] {
			continue
		}
		got.Decision[i], got.Threshold[i] = w, want.Threshold[i]
		ties++
	}
	return ties
}

func compareTree(t *testing.T, i int, got, want *gbdt.Tree) bool {
	t.Helper()
	same := true
	check := func(what string, equal bool, g, w any) {
		if !equal {
			same = false
			t.Errorf("tree %d: %s\n %v, expected\n %v", i, what, g, w)
		}
	}
	check("features", slices.Equal(got.Feature, want.Feature), got.Feature, want.Feature)
	check("thresholds", slices.Equal(got.Threshold, want.Threshold), got.Threshold, want.Threshold)
	check("decisions", slices.Equal(got.Decision, want.Decision), got.Decision, want.Decision)
	check("left", slices.Equal(got.Left, want.Left), got.Left, want.Left)
	check("right", slices.Equal(got.Right, want.Right), got.Right, want.Right)
	check("counts", slices.Equal(got.LeafCount, want.LeafCount), got.LeafCount, want.LeafCount)
	check("counts", slices.Equal(got.InternalCount, want.InternalCount), got.InternalCount, want.InternalCount)
	check("sets", slices.Equal(got.CatBoundaries, want.CatBoundaries) && slices.Equal(got.CatThreshold, want.CatThreshold),
		got.CatThreshold, want.CatThreshold)
	check("values", near1(got.LeafValue, want.LeafValue, 1e-5), got.LeafValue, want.LeafValue)
	check("weights", near1(got.LeafWeight, want.LeafWeight, 1e-6), got.LeafWeight, want.LeafWeight)
	check("gains", near1(got.Gain, want.Gain, 1e-4), got.Gain, want.Gain)
	check("internal values", near1(got.InternalValue, want.InternalValue, 1e-5), got.InternalValue, want.InternalValue)
	check("internal weights", near1(got.InternalWeight, want.InternalWeight, 1e-5), got.InternalWeight, want.InternalWeight)
	check("shrinkage", got.Shrinkage == want.Shrinkage, got.Shrinkage, want.Shrinkage)
	return same
}

// near1 compares relative to size, with a floor of 1e-3 on it.
func near1(a, b []float64, tol float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) <= tol*max(1e-3, math.Abs(y)) })
}

// goldenData is the data that golden.py trained the case on.
func goldenData(t *testing.T, name string) (train, valid *Data) {
	t.Helper()
	variant, ok := strings.CutPrefix(name, "mixed_")
	if !ok {
		dir := filepath.Join(testdata.Shared(t), "data/lightgbm/train")
		return labelFirst(readNumbers(t, filepath.Join(dir, name+".train"), "\t")),
			labelFirst(readNumbers(t, filepath.Join(dir, name+".test"), "\t"))
	}
	cols := readNumbers(t, "testdata/mixed.csv", ",")
	label := cols[7]
	for i, y := range label {
		switch variant {
		case "poisson", "tweedie":
			label[i] = math.RoundToEven(math.Exp(y / 4))
		case "gamma":
			label[i] = math.Exp(y / 4)
		case "binary":
			label[i] = 0
			if y > 1.5 {
				label[i] = 1
			}
		}
	}
	part := func(lo, hi int) *Data {
		d := &Data{Label: label[lo:hi], Categorical: []bool{false, false, false, true, true, true, false}}
		if variant == "weighted" || variant == "fair" {
			d.Weight = cols[8][lo:hi]
		}
		for _, c := range cols[:7] {
			d.Features = append(d.Features, c[lo:hi])
		}
		return d
	}
	return part(0, 2400), part(2400, 3000)
}

func labelFirst(cols [][]float64) *Data { return &Data{Label: cols[0], Features: cols[1:]} }

// readNumbers reads a file without header, column by column.
func readNumbers(t testing.TB, path, sep string) [][]float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cols [][]float64
	for line := range strings.Lines(string(b)) {
		for i, s := range strings.Split(strings.TrimSpace(line), sep) {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			if i == len(cols) {
				cols = append(cols, nil)
			}
			cols[i] = append(cols[i], v)
		}
	}
	return cols
}
