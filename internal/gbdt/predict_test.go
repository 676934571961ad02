package gbdt

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/testdata"
)

// readRows reads a file of numbers, row by row; the separator is any of
// comma, tab and space.
func readRows(t testing.TB, path string) [][]float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for line := range strings.Lines(string(b)) {
		var row []float64
		for _, s := range strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) }) {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			row = append(row, v)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no rows", path)
	}
	return rows
}

func readModel(t testing.TB, path string) *Model {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadText(filepath.Base(path), b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func predictor(t testing.TB, m *Model) *Predictor {
	t.Helper()
	p, err := NewPredictor(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func closeTo(got, want float64) bool {
	return math.Abs(got-want) <= 1e-12*max(1, math.Abs(want)) || math.IsInf(want, 0) && got == want
}

// ownModels are the models that testdata/models.py made with LightGBM 4.7.
func ownModels(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 21 {
		t.Fatalf("%d models in testdata: %v", len(paths), err)
	}
	return paths
}

// Raw scores and leaves are those of LightGBM to the bit, predictions but for
// the last places of exp.
func TestPredictsAsLightGBM(t *testing.T) {
	rows := readRows(t, "testdata/rows.csv")
	for _, path := range ownModels(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p := predictor(t, readModel(t, path))
			want := readRows(t, strings.TrimSuffix(path, "txt")+"csv")
			k := p.NumOutputs()
			raw, out, leaves := make([]float64, k), make([]float64, k), make([]int32, p.NumTrees())
			for i, row := range rows {
				p.Raw(raw, row)
				p.Predict(out, row)
				p.Leaves(leaves, row)
				if !slices.Equal(raw, want[i][:k]) {
					t.Fatalf("row %d: raw %v, expected %v", i, raw, want[i][:k])
				}
				if !slices.EqualFunc(out, want[i][k:2*k], closeTo) {
					t.Fatalf("row %d: %v, expected %v", i, out, want[i][k:2*k])
				}
				for j, l := range leaves {
					if float64(l) != want[i][2*k+j] {
						t.Fatalf("row %d, tree %d: leaf %d, expected %v", i, j, l, want[i][2*k+j])
					}
				}
			}
		})
	}
}

// The models of the leaves and LightGBM projects, versions 2 and 3.
func TestConformance(t *testing.T) {
	dir := filepath.Join(testdata.Shared(t), "data/lightgbm/models")
	for _, c := range []struct {
		model, rows, want string
		drop              int // leading columns of rows that are no features
		raw               bool
	}{
		{"lg_dart_breast_cancer.model", "breast_cancer_test.tsv", "lg_dart_breast_cancer_true_predictions.txt", 0, false},
		{"lgmulticlass.model", "multiclass_test.tsv", "lgmulticlass_true_predictions.txt", 1, false},
		{"lgmulticlass.model", "multiclass_test.tsv", "lgmulticlass_true_raw_predictions.txt", 1, true},
		{"lg_kddcup99.model", "kddcup99_test.tsv", "lg_kddcup99_true_predictions.txt", 0, true},
		{"genlin_fmtp_gamma_AvgClaimAmount.model", "genlin_fmtp_gamma_AvgClaimAmount_features.tsv", "genlin_fmtp_gamma_AvgClaimAmount_true_predictions.txt", 0, false},
		{"genlin_fmtp_poisson_Frequency.model", "genlin_fmtp_poisson_Frequency_features.tsv", "genlin_fmtp_poisson_Frequency_true_predictions.txt", 0, false},
	} {
		t.Run(c.want, func(t *testing.T) {
			p := predictor(t, readModel(t, filepath.Join(dir, c.model)))
			want := readRows(t, filepath.Join(dir, c.want))
			out := make([]float64, p.NumOutputs())
			for i, row := range readRows(t, filepath.Join(dir, c.rows)) {
				if c.raw {
					p.Raw(out, row[c.drop:])
				} else {
					p.Predict(out, row[c.drop:])
				}
				if !slices.EqualFunc(out, want[i], closeTo) {
					t.Fatalf("row %d: %v, expected %v", i, out, want[i])
				}
			}
		})
	}
	t.Run("leaves", func(t *testing.T) {
		p := predictor(t, readModel(t, filepath.Join(dir, "lg_breast_cancer.txt")))
		want := readRows(t, filepath.Join(dir, "lg_breast_cancer_data_pred_leaves.txt"))
		got := make([]int32, p.NumTrees())
		for i, row := range readRows(t, filepath.Join(dir, "lg_breast_cancer_data.txt")) {
			p.Leaves(got, row)
			if !slices.EqualFunc(got, want[i], func(a int32, b float64) bool { return float64(a) == b }) {
				t.Fatalf("row %d: leaves %v, expected %v", i, got, want[i])
			}
		}
	})
}

// The fragments of one tree, and the oldest model, get by hand what they
// should answer.
func TestSmallModels(t *testing.T) {
	dir := filepath.Join(testdata.Shared(t), "data/lightgbm/models")
	head := "tree\nnum_class=1\nlabel_index=0\nmax_feature_idx=1\nfeature_names=a b\nfeature_infos=[0:1] 0:100\n\n"
	for file, answers := range map[string]map[[2]float64]float64{
		"tree_1leaf.txt":   {{1, 2}: 0.123},
		"tree_2leaves.txt": {{5, 0}: 0.43, {5.1, 0}: 0.59, {math.NaN(), 0}: 0.43},
		"tree_3leaves.txt": {{0, 100}: 0.54, {756, 1}: 0.35, {757, 1}: 0.38, {0, 99}: 0.35, {0, -1}: 0.35, {0, math.NaN()}: 0.35, {0, 4e9}: 0.35},
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadText(file, append([]byte(head), b...))
		if err != nil {
			t.Fatal(err)
		}
		p := predictor(t, m)
		for row, want := range answers {
			out := make([]float64, 1)
			if p.Predict(out, row[:]); out[0] != want {
				t.Errorf("%s: %v gives %v, expected %v", file, row, out[0], want)
			}
		}
	}
	p := predictor(t, readModel(t, filepath.Join(dir, "model_simple.txt")))
	out := make([]float64, 1)
	if p.Raw(out, []float64{0, 100}); math.Abs(out[0]) > 10 || out[0] == 0 {
		t.Errorf("model_simple gives %v", out[0])
	}
}

// turn turns rows on their side.
func turn(rows [][]float64) [][]float64 {
	cols := make([][]float64, len(rows[0]))
	for f := range cols {
		cols[f] = make([]float64, len(rows))
		for i := range rows {
			cols[f][i] = rows[i][f]
		}
	}
	return cols
}

func TestPredictColumns(t *testing.T) {
	rows := readRows(t, "testdata/rows.csv")
	for range 5 {
		rows = append(rows, rows...)
	}
	rows = rows[:blockRows*5+17]
	for _, path := range ownModels(t) {
		p := predictor(t, readModel(t, path))
		k := p.NumOutputs()
		want := make([]float64, len(rows)*k)
		for i, row := range rows {
			p.Predict(want[i*k:(i+1)*k], row)
		}
		for _, threads := range []int{0, 1, 2, 3, 50} {
			got := make([]float64, len(rows)*k)
			p.PredictColumns(got, turn(rows), threads)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d threads predict otherwise than Predict", path, threads)
			}
		}
		p.PredictColumns(nil, make([][]float64, p.NumFeatures()), 2) // no rows
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	row := readRows(t, "testdata/rows.csv")[0]
	for _, path := range ownModels(t) {
		p := predictor(t, readModel(t, path))
		out, leaves := make([]float64, p.NumOutputs()), make([]int32, p.NumTrees())
		if n := testing.AllocsPerRun(10, func() { p.Predict(out, row); p.Leaves(leaves, row) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func TestPredictorKeepsItsTrees(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	p := predictor(t, m)
	row := readRows(t, "testdata/rows.csv")[0]
	before, after := make([]float64, 1), make([]float64, 1)
	p.Raw(before, row)
	for i := range m.Trees {
		clear(m.Trees[i].LeafValue)
		clear(m.Trees[i].CatThreshold)
	}
	if p.Raw(after, row); before[0] != after[0] || before[0] == 0 {
		t.Errorf("the model was changed and so was the prediction: %v, %v", before, after)
	}
}

func TestParseObjective(t *testing.T) {
	for line, want := range map[string]string{
		"":                          "raw",
		"binary sigmoid:2":          "binary",
		"mse sqrt":                  "regression",
		"softmax num_class:3":       "multiclass",
		"ovr num_class:3 sigmoid:1": "multiclassova",
		"huber sqrt":                "huber",
	} {
		if want == "raw" {
			want = ""
		}
		if o, err := ParseObjective(line); err != nil || o.Name != want {
			t.Errorf("%q: %+v, %v", line, o, err)
		}
	}
	for _, line := range []string{"cubist", "binary sigmoid:0", "binary sigmoid:x", "binary sigmoid:NaN", "multiclass",
		"multiclass num_class:1", "multiclass num_class:99999999"} {
		if o, err := ParseObjective(line); err == nil {
			t.Errorf("%q was taken: %+v", line, o)
		}
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		line     string
		in, want []float64
	}{
		{"huber sqrt", []float64{-3}, []float64{-3}},
		{"regression sqrt", []float64{-3}, []float64{-9}},
		{"poisson sqrt", []float64{0}, []float64{1}},
		{"binary sigmoid:2", []float64{math.Log(3) / 2}, []float64{0.75}},
		{"cross_entropy_lambda", []float64{0}, []float64{math.Ln2}},
		{"multiclass num_class:3", []float64{1e308, 1e308, -1e308}, []float64{0.5, 0.5, 0}},
		{"multiclassova num_class:2 sigmoid:1", []float64{0, 1000}, []float64{0.5, 1}},
	} {
		o, err := ParseObjective(c.line)
		if err != nil {
			t.Fatal(err)
		}
		if o.Apply(c.in); !slices.EqualFunc(c.in, c.want, closeTo) {
			t.Errorf("%s: %v, expected %v", c.line, c.in, c.want)
		}
	}
}

func ExampleNewPredictor() {
	m := &Model{
		NumClass: 1, TreesPerIteration: 1, Objective: "regression",
		FeatureNames: []string{"price", "promo"}, FeatureInfos: []string{"[0:10]", "[0:1]"},
		Trees: []Tree{{
			Feature: []int32{1}, Threshold: []float64{0.5}, Decision: []uint8{DefaultLeft | MissingNaN},
			Left: []int32{^0}, Right: []int32{^1},
			Gain: []float64{9}, InternalValue: []float64{12}, InternalWeight: []float64{8}, InternalCount: []int64{8},
			LeafValue: []float64{10, 15}, LeafWeight: []float64{5, 3}, LeafCount: []int64{5, 3}, Shrinkage: 1,
		}},
	}
	p, err := NewPredictor(m)
	if err != nil {
		panic(err)
	}
	out := make([]float64, p.NumOutputs())
	for _, row := range [][]float64{{3, 0}, {3, 1}, {3, math.NaN()}} {
		p.Predict(out, row)
		fmt.Println(out[0])
	}
	var b bytes.Buffer
	if err := m.WriteText(&b); err != nil {
		panic(err)
	}
	fmt.Println(strings.SplitN(b.String(), "\n", 3)[1])
	// Output:
	// 10
	// 15
	// 10
	// version=v4
}

func BenchmarkPredictRow(b *testing.B) {
	m := readModel(b, filepath.Join(testdata.Shared(b), "data/lightgbm/models/lgmulticlass.model"))
	p := predictor(b, m)
	rows := readRows(b, filepath.Join(testdata.Shared(b), "data/lightgbm/models/multiclass_test.tsv"))
	out := make([]float64, p.NumOutputs())
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Predict(out, rows[i%len(rows)][1:])
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(p.NumTrees()), "ns/tree")
}

func BenchmarkPredictColumns(b *testing.B) {
	m := readModel(b, filepath.Join(testdata.Shared(b), "data/lightgbm/models/lgmulticlass.model"))
	p := predictor(b, m)
	rows := readRows(b, filepath.Join(testdata.Shared(b), "data/lightgbm/models/multiclass_test.tsv"))
	for range 4 {
		rows = append(rows, rows...)
	}
	cols := turn(rows)[1:]
	out := make([]float64, len(rows)*p.NumOutputs())
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			for b.Loop() {
				p.PredictColumns(out, cols, threads)
			}
			b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)*p.NumTrees()), "ns/tree")
		})
	}
}

// BenchmarkCategoryBlock codes a block of rows for a thousand nodes.
func BenchmarkCategoryBlock(b *testing.B) {
	const nodes, known = 1001, 90
	cc := categoryCoder{nodes: nodes, line: make([]uint32, 32*4), table: make([]uint8, (known+1)*nodes)}
	for v := range known {
		cc.line[v] = uint32((v + 1) * nodes)
	}
	codes, values := make([]uint8, nodes*blockRows), make([]float64, blockRows)
	for i := range values {
		values[i] = float64(i * 7 % known)
	}
	for b.Loop() {
		cc.block(codes, values)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blockRows, "ns/row")
}
