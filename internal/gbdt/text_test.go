package gbdt

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func write(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What LightGBM 4.7 wrote comes out as it was, byte for byte: header, trees
// and their sizes, importances, parameters and last line.
func TestWritesAsLightGBM(t *testing.T) {
	golden, err := filepath.Glob("fit/testdata/golden/*.txt")
	if err != nil || len(golden) == 0 {
		t.Fatalf("no golden models: %v", err)
	}
	for _, path := range append(ownModels(t), golden...) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := write(t, readModel(t, path))
		if !bytes.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s: byte %d: wrote %q, expected %q", path, at, around(got, at), around(want, at))
		}
	}
}

func around(b []byte, at int) []byte { return b[max(0, at-40):min(len(b), at+40)] }

// finite draws a number as leaves and thresholds may be.
func finite() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(-1e300, 1e300), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 5e-324, 0.1, 1e22, -1e-7}))
}

// sixDigits draws a number that six digits hold.
func sixDigits() *rapid.Generator[float64] {
	return rapid.Map(rapid.IntRange(-39999, 39999), func(i int) float64 { return float64(i) / 4 })
}

func drawTree(t *rapid.T, features int) Tree {
	n := rapid.IntRange(1, 9).Draw(t, "leaves")
	numbers := func(k int, g *rapid.Generator[float64]) []float64 { return rapid.SliceOfN(g, k, k).Draw(t, "numbers") }
	counts := func(k int) []int64 { return rapid.SliceOfN(rapid.Int64Range(0, 1<<40), k, k).Draw(t, "counts") }
	tree := Tree{
		Threshold: numbers(n-1, finite()), LeafValue: numbers(n, finite()), LeafWeight: numbers(n, finite()), LeafCount: counts(n),
		Gain: make([]float64, n-1), InternalValue: make([]float64, n-1), InternalWeight: make([]float64, n-1), InternalCount: counts(n - 1),
		Feature: []int32{}, Decision: []uint8{}, Left: []int32{}, Right: []int32{},
		Shrinkage: rapid.SampledFrom([]float64{1, 0.1, 0.05}).Draw(t, "rate"),
	}
	for i := range n - 1 { // split a leaf at a time
		leaf := ^int32(rapid.IntRange(0, i).Draw(t, "leaf"))
		for p := range tree.Left {
			if tree.Left[p] == leaf {
				tree.Left[p] = int32(i)
			}
			if tree.Right[p] == leaf {
				tree.Right[p] = int32(i)
			}
		}
		tree.Left, tree.Right = append(tree.Left, leaf), append(tree.Right, ^int32(i+1))
		tree.Feature = append(tree.Feature, int32(rapid.IntRange(0, features-1).Draw(t, "feature")))
		tree.Gain[i] = sixDigits().Draw(t, "gain")
		tree.Decision = append(tree.Decision, rapid.SampledFrom([]uint8{0, 2, 4, 6, 8, 10, 1, 9}).Draw(t, "decision"))
		if tree.Decision[i]&Categorical != 0 {
			tree.Threshold[i] = float64(tree.NumSets())
			if tree.CatBoundaries == nil {
				tree.CatBoundaries = []int32{0}
			}
			tree.CatThreshold = append(tree.CatThreshold, rapid.SliceOfN(rapid.Uint32(), 1, 3).Draw(t, "set")...)
			tree.CatBoundaries = append(tree.CatBoundaries, int32(len(tree.CatThreshold)))
		}
	}
	return tree
}

func drawModel(t *rapid.T) *Model {
	k := rapid.SampledFrom([]int{1, 3}).Draw(t, "outputs")
	f := rapid.IntRange(1, 5).Draw(t, "features")
	m := &Model{NumClass: k, TreesPerIteration: k, Objective: "regression", LabelIndex: rapid.IntRange(0, 3).Draw(t, "label")}
	if k > 1 {
		m.Objective = "multiclass num_class:3"
	}
	for range rapid.IntRange(0, 3).Draw(t, "rounds") * k {
		m.Trees = append(m.Trees, drawTree(t, f))
	}
	m.AverageOutput = len(m.Trees) > 0 && rapid.Bool().Draw(t, "average")
	m.FeatureNames = FeatureNames(rapid.SliceOfN(rapid.String(), f, f).Draw(t, "names"))
	for range f {
		m.FeatureInfos = append(m.FeatureInfos, rapid.SampledFrom([]string{"none", "[0:1]", "-1:3:7"}).Draw(t, "info"))
	}
	if rapid.Bool().Draw(t, "constrained") {
		m.Monotone = rapid.SliceOfN(rapid.IntRange(-1, 1), f, f).Draw(t, "monotone")
	}
	if rapid.Bool().Draw(t, "parameters") {
		m.Params = [][2]string{{"boosting", "gbdt"}, {"empty", ""}, {"odd", "[a: b]"}}
		m.PandasCategorical = `[["a", "b"]]`
	}
	return m
}

// Any valid model survives the way through text, but for the subnormal
// numbers and -0 that six digits or LightGBM cannot tell apart.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		var b bytes.Buffer
		if err := m.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		got, err := ReadText("m", b.Bytes())
		if err != nil {
			t.Fatalf("%v\n%s", err, b.Bytes())
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("read\n%+v, expected\n%+v", got, m)
		}
	})
}

func TestGainsAreFlushed(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	m.Trees[0].Gain[0], m.Trees[0].Gain[1], m.Trees[0].Gain[2] = 1e-40, -1e-300, 0x1p-126
	got, err := ReadText("m", write(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if g := got.Trees[0].Gain; g[0] != 0 || g[1] != 0 || g[2] == 0 {
		t.Errorf("gains %v, expected 0, 0 and the least normal float32", g[:3])
	}
}

func TestCategoricalNamesBecomeIndices(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	m.FeatureNames = []string{"a", "b", "c", "d", "e"}
	m.Params = [][2]string{{"categorical_feature", "name:e,gone,b"}}
	if b := write(t, m); !bytes.Contains(b, []byte("[categorical_feature: 4,1]\n")) {
		t.Errorf("no indices in %q", b[bytes.Index(b, []byte("parameters:")):])
	}
}

func TestFeatureNames(t *testing.T) {
	got := FeatureNames([]string{"a b", "a\tb", "a_b", "", "threshold", "x=[1],{\"2\"}:", "größe", "a_b_2"})
	want := []string{"a_b", "a_b_2", "a_b_3", "_", "threshold_", "x__1____2___", "größe", "a_b_2_2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, harm := range map[string]func(*Model){
		"name with a space":      func(m *Model) { m.FeatureNames[0] = "a b" },
		"empty name":             func(m *Model) { m.FeatureNames[0] = "" },
		"info with a line break": func(m *Model) { m.FeatureInfos[0] = "a\nb" },
		"parameter over lines":   func(m *Model) { m.Params[0][1] = "a\nend of parameters" },
		"parameter without name": func(m *Model) { m.Params[0][0] = "" },
		"objective over lines":   func(m *Model) { m.Objective = "regression\nx" },
		"objective with equals":  func(m *Model) { m.Objective = "regression a=b" },
		"last line over lines":   func(m *Model) { m.PandasCategorical = "[\n]" },
		"invalid model":          func(m *Model) { m.Trees[0].Left[0] = 99 },
	} {
		m := readModel(t, "testdata/regression.txt")
		harm(m)
		var b bytes.Buffer
		if err := m.WriteText(&b); err == nil || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes", name, err, b.Len())
		}
	}
}

const small = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] -1:1:2
tree_sizes=183 57

Tree=0
num_leaves=3
num_cat=1
split_feature=1 0
threshold=0 0.5
decision_type=1 10
left_child=-1 -2
right_child=1 -3
leaf_value=1 2 3
cat_boundaries=0 1
cat_threshold=6
is_linear=0


Tree=1
num_leaves=1
num_cat=0
leaf_value=4
shrinkage=1


end of trees

parameters:
[seed: 3]

end of parameters

pandas_categorical:null
`

func TestReadSmall(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":        small,
		"without sizes":   strings.Replace(small, "tree_sizes=183 57\n", "", 1),
		"cut at the tail": small[:strings.Index(small, "end of trees")],
		"no last newline": strings.TrimSuffix(small, "\n"),
		"windows":         strings.ReplaceAll(strings.Replace(small, "tree_sizes=183 57\n", "", 1), "\n", "\r\n"),
	} {
		m, err := ReadText(name, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out := []float64{0}
		predictor(t, m).Predict(out, []float64{9, 0})
		if len(m.Trees) != 2 || out[0] != 7 {
			t.Errorf("%s: %d trees predict %v, expected 2 and 7", name, len(m.Trees), out[0])
		}
	}
}

// Every corruption is refused, where it stands.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		old, new string // replacement in small
		line     int    // 0: a ModelError
		say      string
	}{
		{"tree\nversion", "wood\nversion", 1, "not a LightGBM text model"},
		{"v4", "v9", 2, "v9"},
		{"num_class=1\n", "", 11, "num_class"},
		{"num_class=1\n", "num_class=x\n", 3, "whole number"},
		{"num_class=1\n", "num_class=1\nnum_class=1\n", 4, "twice"},
		{"num_class=1\n", "num_class=70000\n", 0, "70000 classes"},
		{"num_tree_per_iteration=1", "num_tree_per_iteration=0", 0, "0 trees per iteration"},
		{"num_tree_per_iteration=1", "num_tree_per_iteration=3", 0, "no multiple"},
		{"=regression", "=cubist", 7, "cubist"},
		{"=regression", "=multiclass num_class:3", 0, "num_class:3"},
		{"a b\n", "a b c\n", 8, "3 feature names"},
		{"[0:1] -1", "-1", 9, "1 feature infos"},
		{"max_feature_idx=1", "max_feature_idx=1\nmonotone_constraints=1", 7, "1 values, expected 2"},
		{"=183 57", "=182 58", 25, "tree 1 does not start here"},
		{"=183 57", "=170 70", 12, "170 bytes"},
		{"=183 57", "=184 57", 12, "184 bytes"},
		{"=183 57", "=183 54", 26, "54 bytes"},
		{"=183 57", "=183 99999", 26, "99999 bytes"},
		{"=183 57", "=183", 26, "there are more"},
		{"=183 57", "=183 57 9", 33, "lists 3 trees"},
		{"=183 57", "=183 -57", 10, "number of bytes"},
		{"num_leaves=3", "num_leaves=4", 20, "3 values, expected 4"},
		{"num_leaves=3", "num_leaves=9999999999", 20, "expected 9999999999"},
		{"num_leaves=3", "num_leaves=-3", 13, "at least 1"},
		{"num_leaves=3\n", "", 12, "no num_leaves"},
		{"num_leaves=3", "num_leaves 3", 13, "key=value"},
		{"leaf_value=1 2 3", "leaf_value=1 2 3\nleaf_value=1 2 3", 21, "twice"},
		{"leaf_value=1 2 3", "leaf_value=1 x 3", 20, `"x" is not a number`},
		{"leaf_value=1 2 3", "leaf_value=1 1e999 3", 20, "1e999"},
		{"leaf_value=1 2 3", "leaf_value=1 nan 3", 0, "leaf 1 has the value NaN"},
		{"leaf_value=1 2 3", "leaf_value=1 -nan 3", 0, "leaf 1 has the value NaN"},
		{"leaf_value=1 2 3", "leaf_value=1 inf 3", 0, "leaf 1 has the value +Inf"},
		{"split_feature=1 0", "split_feature=1 2", 0, "feature 2 of 2"},
		{"split_feature=1 0", "split_feature=1 4294967296", 15, "4294967296"},
		{"decision_type=1 10", "decision_type=1 256", 17, "256"},
		{"decision_type=1 10", "decision_type=1 14", 0, "decision type 14"},
		{"decision_type=1 10", "decision_type=1 16", 0, "decision type 16"},
		{"threshold=0 0.5", "threshold=0 nan", 0, "threshold is NaN"},
		{"threshold=0 0.5", "threshold=1 0.5", 0, "category set 1 of 1"},
		{"threshold=0 0.5", "threshold=-1 0.5", 0, "category set -1 of 1"},
		{"threshold=0 0.5", "threshold=0.5 0.5", 0, "category set 0.5 of 1"},
		{"left_child=-1 -2", "left_child=-1 1", 0, "reached twice"},
		{"left_child=-1 -2", "left_child=-1 0", 0, "reached twice"},
		{"left_child=-1 -2", "left_child=-1 -1", 0, "reached twice"},
		{"left_child=-1 -2", "left_child=-1 2", 0, "child 2 does not exist"},
		{"left_child=-1 -2", "left_child=-1 -4", 0, "child -4 does not exist"},
		{"left_child=-1 -2", "left_child=-1 -2147483648", 0, "does not exist"},
		{"right_child=1 -3", "right_child=-3 -3", 0, "only 3 of 5"},
		{"num_cat=1", "num_cat=2", 21, "2 values, expected 3"},
		{"num_cat=1", "num_cat=0", 0, "category set 0 of 0"},
		{"num_cat=1", "num_cat=-1", 14, "num_cat"},
		{"cat_boundaries=0 1", "cat_boundaries=0 2", 22, "1 values, expected 2"},
		{"cat_boundaries=0 1", "cat_boundaries=1 1", 0, "do not span"},
		{"cat_threshold=6", "cat_threshold=-6", 22, "-6"},
		{"cat_threshold=6\n", "", 12, "no cat_threshold"},
		{"is_linear=0", "is_linear=1", 23, "linear"},
		{"shrinkage=1", "shrinkage=?", 30, "shrinkage"},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		if text == small {
			t.Fatalf("%q is not in the model", c.old)
		}
		if !strings.Contains(c.old, "=183") {
			text = strings.Replace(text, "tree_sizes=183 57\n", "#\n", 1)
		}
		_, err := ReadText("m.txt", []byte(text))
		var format *FormatError
		var model *ModelError
		switch {
		case err == nil:
			t.Errorf("%q was taken", c.new)
		case !strings.Contains(err.Error(), c.say):
			t.Errorf("%q: %v, expected %q", c.new, err, c.say)
		case c.line == 0 && (!errors.As(err, &model) || !strings.HasPrefix(err.Error(), "m.txt: ")):
			t.Errorf("%q: %v is no ModelError with the file's name", c.new, err)
		case c.line > 0 && (!errors.As(err, &format) || format.Line != c.line || format.Name != "m.txt"):
			t.Errorf("%q: %v, expected line %d", c.new, err, c.line)
		}
	}
}

func TestValidateSizes(t *testing.T) {
	for name, harm := range map[string]func(*Model){
		"features":      func(m *Model) { m.Trees[0].Feature = m.Trees[0].Feature[1:] },
		"gains":         func(m *Model) { m.Trees[0].Gain = nil },
		"counts":        func(m *Model) { m.Trees[0].LeafCount = append(m.Trees[0].LeafCount, 1) },
		"no leaves":     func(m *Model) { m.Trees[0] = Tree{} },
		"words alone":   func(m *Model) { m.Trees[0].CatBoundaries = nil },
		"falling words": func(m *Model) { m.Trees[0].CatBoundaries[1] = -1 },
		"no features":   func(m *Model) { m.FeatureNames, m.FeatureInfos = nil, nil },
		"infos":         func(m *Model) { m.FeatureInfos = m.FeatureInfos[1:] },
		"monotone":      func(m *Model) { m.Monotone = []int{1} },
		"empty average": func(m *Model) { m.Trees, m.AverageOutput = nil, true },
	} {
		m := readModel(t, "testdata/regression.txt")
		harm(m)
		var e *ModelError
		if err := m.Validate(); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := NewPredictor(m); err == nil {
			t.Errorf("%s: a predictor was made", name)
		}
	}
}

// Whatever is read can be predicted with and written, and reads as the same.
func FuzzReadText(f *testing.F) {
	f.Add([]byte(small))
	for _, path := range []string{"testdata/constant.txt", "testdata/forest.txt", "testdata/multiclass.txt", "testdata/zero_missing.txt"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 6000)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadText("fuzz", b)
		if err != nil {
			return
		}
		p := predictor(t, m)
		row := make([]float64, p.NumFeatures())
		for _, x := range []float64{0, -1, 3, 1e300, math.NaN(), math.Inf(1)} {
			for i := range row {
				row[i] = x
			}
			p.Predict(make([]float64, p.NumOutputs()), row)
			p.Leaves(make([]int32, p.NumTrees()), row)
		}
		var first, second bytes.Buffer
		if m.WriteText(&first) != nil {
			return // a text that the format cannot hold
		}
		again, err := ReadText("written", first.Bytes())
		if err != nil {
			t.Fatalf("what was written does not read: %v\n%s", err, first.Bytes())
		}
		if err := again.WriteText(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("written twice, the model differs (%v):\n%s\n%s", err, first.Bytes(), second.Bytes())
		}
	})
}

// BenchmarkLoad reads a model of 100 trees of 31 leaves and predicts once.
func BenchmarkLoad(b *testing.B) {
	shape := modelShape{trees: 100, leaves: 31, features: 28, outputs: 1, cuts: 254}
	r := rand.New(rand.NewPCG(1, 1))
	m := randomModel(r, shape)
	for i := range m.Trees {
		m.Trees[i] = randomTree(r, shape, shape.leaves)
	}
	var text bytes.Buffer
	if err := m.WriteText(&text); err != nil {
		b.Fatal(err)
	}
	row, out := make([]float64, 28), make([]float64, 1)
	b.ReportAllocs()
	for b.Loop() {
		m, err := ReadText("model", text.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		p, err := NewPredictor(m)
		if err != nil {
			b.Fatal(err)
		}
		p.Predict(out, row)
	}
}
