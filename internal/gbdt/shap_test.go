package gbdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/testdata"
)

func explainer(t testing.TB, m *Model) *Explainer {
	t.Helper()
	e, err := NewExplainer(m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// scale is the sum of magnitudes, to which rounding is relative.
func scale(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Abs(x)
	}
	return sum
}

// apart is the greatest difference between contributions, relative to scale.
func apart(got, want []float64) float64 {
	worst := 0.0
	for i, x := range got {
		if !(math.Abs(x-want[i]) <= worst) {
			worst = math.Abs(x - want[i])
		}
	}
	if s := scale(want); s > 0 {
		worst /= s
	}
	return worst
}

// contributionGoldens are the models for which testdata/shap has what LightGBM
// answers, with their rows.
func contributionGoldens(t testing.TB) map[string]string {
	t.Helper()
	rows := map[string]string{"testdata/shap/deep.txt": "testdata/shap/deep_rows.csv"}
	paths, err := filepath.Glob("testdata/shap/*.csv")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d goldens: %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".csv")
		if !strings.HasPrefix(name, "deep") {
			rows["testdata/"+name+".txt"] = "testdata/rows.csv"
		}
	}
	return rows
}

// Contributions are those of LightGBM, from tables and from quadrature, a row
// at a time and in columns.
func TestExplainsAsLightGBM(t *testing.T) {
	for model, file := range contributionGoldens(t) {
		t.Run(filepath.Base(model), func(t *testing.T) {
			near := 1e-12
			if strings.HasSuffix(model, "deep.txt") {
				near = 1e-9 // LightGBM takes factors out by dividing and loses digits on long paths
			}
			m := readModel(t, model)
			rows := readRows(t, file)
			want := readRows(t, "testdata/shap/"+strings.TrimSuffix(filepath.Base(model), "txt")+"csv")
			for _, most := range []int{shapMost, 20, 0} {
				e, err := newExplainer(m, most)
				if err != nil {
					t.Fatal(err)
				}
				n := e.NumOutputs() * (e.NumFeatures() + 1)
				got := make([]float64, n)
				all := make([]float64, n*len(rows))
				e.ContributionsColumns(all, turn(rows), 2)
				for i, row := range rows {
					e.Contributions(got, row)
					if d := apart(got, want[i]); !(d <= near) {
						t.Fatalf("most %d, row %d: %v, expected %v", most, i, got, want[i])
					}
					if !slices.Equal(got, all[i*n:(i+1)*n]) {
						t.Fatalf("most %d, row %d: %v in columns, %v alone", most, i, all[i*n:(i+1)*n], got)
					}
				}
			}
		})
	}
}

// On paths of many features the contributions are those of the definition.
func TestExplainsLongPathsByDefinition(t *testing.T) {
	m := readModel(t, "testdata/shap/deep.txt")
	rows := readRows(t, "testdata/shap/deep_rows.csv")
	for _, most := range []int{shapMost, 0} {
		e, err := newExplainer(m, most)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, e.NumFeatures()+1)
		for i, want := range readRows(t, "testdata/shap/deep_exact.csv") {
			if e.Contributions(got, rows[i]); !(apart(got, want) <= 1e-14) {
				t.Errorf("most %d, row %d: %v, expected %v", most, i, got, want)
			}
		}
	}
}

// The goldens would prove little if they did not come through every part.
func TestExplainerParts(t *testing.T) {
	var groups, inner, upper, edges, same, kinds int
	seen := map[uint8]bool{}
	for model := range contributionGoldens(t) {
		e := explainer(t, readModel(t, model))
		for i := range e.trees {
			s := &e.trees[i]
			groups, inner, upper, edges = groups+len(s.groups), inner+len(s.inner), upper+len(s.upper), edges+len(s.edges)
			for _, n := range slices.Concat(s.inner, s.upper) {
				seen[n.kind] = true
			}
			for _, d := range s.edges {
				if d.same >= 0 {
					same++
				}
			}
		}
	}
	kinds = len(seen)
	if groups == 0 || inner == 0 || upper == 0 || edges == 0 || same == 0 || kinds != 5 {
		t.Errorf("%d groups, %d inner and %d upper tests, %d edges, %d of a feature that was above, %d kinds of tests", groups, inner, upper, edges, same, kinds)
	}
}

// subsets is TreeSHAP by its definition: the value of each set of features,
// weighed over all sets.
type subsets struct {
	t *Tree
}

// value is the mean of the leaves when only the features in set are known.
func (s *subsets) value(c int32, row []float64, set uint) (v, rows float64) {
	if c < 0 {
		return s.t.LeafValue[^c], float64(s.t.LeafCount[^c])
	}
	l, lr := s.value(s.t.Left[c], row, set)
	r, rr := s.value(s.t.Right[c], row, set)
	f := s.t.Feature[c]
	if set>>f&1 == 0 {
		return (l*lr + r*rr) / (lr + rr), lr + rr
	}
	if s.goesLeft(c, row[f]) {
		return l, lr + rr
	}
	return r, lr + rr
}

// goesLeft asks the predictor, by a tree of this one test.
func (s *subsets) goesLeft(c int32, x float64) bool {
	m := stump(s.t, c)
	p, err := NewPredictor(m)
	if err != nil {
		panic(err)
	}
	out := []float64{0}
	p.Raw(out, []float64{x})
	return out[0] == 1
}

// stump is a model of one test of t: 1 for left, 0 for right.
func stump(t *Tree, c int32) *Model {
	return &Model{NumClass: 1, TreesPerIteration: 1, FeatureNames: []string{"x"}, FeatureInfos: []string{"none"}, Trees: []Tree{{
		Feature: []int32{0}, Threshold: t.Threshold[c : c+1], Decision: t.Decision[c : c+1], Left: []int32{^0}, Right: []int32{^1},
		Gain: []float64{1}, InternalValue: []float64{0}, InternalWeight: []float64{0}, InternalCount: []int64{2},
		LeafValue: []float64{1, 0}, LeafWeight: []float64{0, 0}, LeafCount: []int64{1, 1}, Shrinkage: 1,
		CatBoundaries: t.CatBoundaries, CatThreshold: t.CatThreshold,
	}}}
}

func (s *subsets) contributions(row []float64, features int) []float64 {
	out := make([]float64, features+1)
	values := make([]float64, 1<<features)
	for set := range values {
		values[set], _ = s.value(s.t.root(), row, uint(set))
	}
	for set := range values {
		for f := range features {
			if set>>f&1 == 0 {
				k := bits.OnesCount(uint(set))
				weight := math.Gamma(float64(k+1)) * math.Gamma(float64(features-k)) / math.Gamma(float64(features+1))
				out[f] += weight * (values[set|1<<f] - values[set])
			}
		}
	}
	out[features] = values[0]
	return out
}

// tame makes a drawn tree one that rounding can be judged on: leaves of
// ordinary size.
func tame(t *rapid.T, tree *Tree) {
	for i := range tree.LeafValue {
		tree.LeafValue[i] = rapid.Float64Range(-10, 10).Draw(t, "leaf")
		tree.LeafCount[i] = rapid.Int64Range(1, 50).Draw(t, "rows")
	}
	for i := range tree.Threshold {
		if tree.Decision[i]&Categorical == 0 {
			tree.Threshold[i] = rapid.SampledFrom([]float64{-1, 0, 0.5, 3}).Draw(t, "threshold")
		}
	}
	if n := len(tree.LeafCount); n > 2 && rapid.Bool().Draw(t, "an empty leaf") {
		tree.LeafCount[0] = 0
		if _, err := countTree(tree); err != nil {
			tree.LeafCount[0] = 1
		}
	}
}

var explained = rapid.SampledFrom([]float64{-2, -1, 0, 0.2, 1, 2, 7, 33, math.NaN(), math.Inf(1)})

// On any small tree the contributions are those of the definition, from
// tables and from quadrature.
func TestExplainsByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.IntRange(1, 5).Draw(t, "features")
		tree := drawTree(t, f)
		tame(t, &tree)
		m := &Model{NumClass: 1, TreesPerIteration: 1, Trees: []Tree{tree}, FeatureNames: make([]string, f), FeatureInfos: make([]string, f)}
		row := rapid.SliceOfN(explained, f, f).Draw(t, "row")
		s := subsets{t: &tree}
		want := s.contributions(row, f)
		for _, most := range []int{shapMost, 12, 0} {
			e, err := newExplainer(m, most)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float64, f+1)
			e.Contributions(got, row)
			for i := range got {
				if math.Abs(got[i]-want[i]) > 1e-12*(1+scale(tree.LeafValue)) {
					t.Fatalf("most %d: %v, expected %v", most, got, want)
				}
			}
		}
	})
}

// chain is a tree whose paths hold up to n features, one leaf at each.
func chain(n int) *Model {
	t := Tree{Shrinkage: 1}
	m := &Model{NumClass: 1, TreesPerIteration: 1}
	for i := range n {
		m.FeatureNames, m.FeatureInfos = append(m.FeatureNames, fmt.Sprint("f", i)), append(m.FeatureInfos, "none")
		next := int32(i + 1)
		if i == n-1 {
			next = ^int32(n)
		}
		t.Feature, t.Threshold, t.Decision = append(t.Feature, int32(i)), append(t.Threshold, 0), append(t.Decision, 8)
		t.Left, t.Right = append(t.Left, ^int32(i)), append(t.Right, next)
	}
	for i := range n + 1 {
		t.LeafValue, t.LeafCount = append(t.LeafValue, float64(i%7)-3), append(t.LeafCount, int64(5+i%3))
	}
	t.Gain, t.InternalValue, t.InternalWeight = make([]float64, n), make([]float64, n), make([]float64, n)
	t.InternalCount, t.LeafWeight = make([]int64, n), make([]float64, n+1)
	m.Trees = []Tree{t}
	return m
}

// Paths of more features than a pattern has bits add up as well.
func TestExplainsLongPaths(t *testing.T) {
	for _, n := range []int{1, 2, 9, 10, 11, 63, 64, 65, 66, 200, 1000} {
		m := chain(n)
		e, p := explainer(t, m), predictor(t, m)
		row, got, raw := make([]float64, n), make([]float64, n+1), make([]float64, 1)
		for stop := range n + 1 {
			if n > 100 && stop%(n/10) != 0 {
				continue
			}
			for i := range row {
				row[i] = 1
				if i >= stop {
					row[i] = -1
				}
			}
			e.Contributions(got, row)
			p.Raw(raw, row)
			sum := 0.0
			for _, v := range got {
				sum += v
			}
			if !(math.Abs(sum-raw[0]) < 1e-12*max(1, scale(got))) {
				t.Fatalf("%d features, %d agree: contributions add up to %v, expected %v", n, stop, sum, raw[0])
			}
		}
	}
}

// Contributions add up to the raw score, for every objective.
func TestContributionsAddUp(t *testing.T) {
	rows := readRows(t, "testdata/rows.csv")
	for _, path := range ownModels(t) {
		m := readModel(t, path)
		checkSums(t, m, rows)
	}
}

func checkSums(t testing.TB, m *Model, rows [][]float64) {
	t.Helper()
	e, p := explainer(t, m), predictor(t, m)
	n := e.NumFeatures() + 1
	got, raw := make([]float64, n*e.NumOutputs()), make([]float64, p.NumOutputs())
	for i, row := range rows {
		e.Contributions(got, row)
		p.Raw(raw, row)
		for k, want := range raw {
			sum := 0.0
			for _, v := range got[k*n : (k+1)*n] {
				sum += v
			}
			if !(math.Abs(sum-want) <= 1e-12*max(1, scale(got))) {
				t.Fatalf("row %d, output %d: contributions add up to %v, expected %v", i, k, sum, want)
			}
		}
	}
}

// The models of the leaves and LightGBM projects, versions 2 and 3.
func TestContributionsOfOthersAddUp(t *testing.T) {
	dir := filepath.Join(testdata.Shared(t), "data/lightgbm/models")
	paths, err := filepath.Glob(filepath.Join(dir, "*.model"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d models: %v", len(paths), err)
	}
	for _, path := range append(paths, filepath.Join(dir, "lg_breast_cancer.txt"), filepath.Join(dir, "model_simple.txt")) {
		m := readModel(t, path)
		rows := make([][]float64, 20)
		for i := range rows {
			for f := range m.FeatureNames {
				rows[i] = append(rows[i], float64((i*31+f*17)%23)/4-1)
			}
		}
		if _, err := NewExplainer(m); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		checkSums(t, m, rows)
	}
}

func TestExplainerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		harm       func(*Model)
		tree, node int
	}{
		"no counts":        {func(m *Model) { clear(m.Trees[2].LeafCount) }, 2, 0},
		"a negative count": {func(m *Model) { m.Trees[1].LeafCount[3] = -1 }, 1, -1},
		"a path of 8000":   {func(m *Model) { *m = *chain(8000) }, 0, -1},
		"an invalid model": {func(m *Model) { m.Trees[0].Left[0] = 99 }, 0, 0},
	} {
		m := readModel(t, "testdata/regression.txt")
		c.harm(m)
		var e *ModelError
		if _, err := NewExplainer(m); !errors.As(err, &e) || e.Tree != c.tree || e.Node != c.node {
			t.Errorf("%s: %v, expected tree %d and node %d", name, err, c.tree, c.node)
		}
	}
}

// What is not needed may be missing: the counts of inner nodes.
func TestExplainsWithoutInnerCounts(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	before := explainer(t, m)
	for i := range m.Trees {
		clear(m.Trees[i].InternalCount)
	}
	after := explainer(t, m)
	row := readRows(t, "testdata/rows.csv")[0]
	a, b := make([]float64, 6), make([]float64, 6)
	before.Contributions(a, row)
	after.Contributions(b, row)
	if !slices.Equal(a, b) {
		t.Errorf("%v without the counts, %v with them", b, a)
	}
}

func TestContributionsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for model, file := range contributionGoldens(t) {
		e, row := explainer(t, readModel(t, model)), readRows(t, file)[0]
		dst := make([]float64, e.NumOutputs()*(e.NumFeatures()+1))
		if n := testing.AllocsPerRun(20, func() { e.Contributions(dst, row) }); n != 0 {
			t.Errorf("%s: %v allocations", model, n)
		}
	}
}

func TestContributionsColumns(t *testing.T) {
	rows := readRows(t, "testdata/rows.csv")
	for len(rows) < 3*shapRows {
		rows = append(rows, rows...)
	}
	rows = rows[:2*shapRows+17]
	e := explainer(t, readModel(t, "testdata/multiclass.txt"))
	n := e.NumOutputs() * (e.NumFeatures() + 1)
	want := make([]float64, n*len(rows))
	for i, row := range rows {
		e.Contributions(want[i*n:(i+1)*n], row)
	}
	for _, threads := range []int{0, 1, 2, 3, 50} {
		got := make([]float64, n*len(rows))
		e.ContributionsColumns(got, turn(rows), threads)
		if !slices.Equal(got, want) {
			t.Errorf("%d threads explain otherwise than Contributions", threads)
		}
	}
	e.ContributionsColumns(nil, make([][]float64, e.NumFeatures()), 2) // no rows
}

// Whatever is read and has counts is explained, and its contributions add up.
func FuzzExplain(f *testing.F) {
	f.Add([]byte(small), 0.0)
	for _, path := range []string{"testdata/constant.txt", "testdata/forest.txt", "testdata/multiclass.txt", "testdata/zero_missing.txt"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, 1.5)
	}
	f.Fuzz(func(t *testing.T, b []byte, x float64) {
		m, err := ReadText("fuzz", b)
		if err != nil || m.NumFeatures() > 1000 || m.NumOutputs() > 100 {
			return
		}
		tables, err := NewExplainer(m)
		if err != nil {
			return
		}
		quadratures, err := newExplainer(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, m.NumFeatures())
		for i := range row {
			row[i] = x * float64(1+i%3)
		}
		n := m.NumFeatures() + 1
		raw := make([]float64, m.NumOutputs())
		predictor(t, m).Raw(raw, row)
		size := 0.0 // of all leaves, to which rounding is relative
		for i := range m.Trees {
			size += scale(m.Trees[i].LeafValue)
		}
		if size > 1e300 {
			return // sums may overflow
		}
		for _, e := range []*Explainer{tables, quadratures} {
			got := make([]float64, n*m.NumOutputs())
			e.Contributions(got, row)
			for k, want := range raw {
				sum := 0.0
				for _, v := range got[k*n : (k+1)*n] {
					sum += v
				}
				if !(math.Abs(sum-want) <= 1e-10*max(size, 1e-300)) {
					t.Fatalf("output %d: contributions %v add up to %v, expected %v", k, got[k*n:(k+1)*n], sum, want)
				}
			}
		}
	})
}

func ExampleExplainer() {
	m := &Model{
		NumClass: 1, TreesPerIteration: 1, Objective: "regression",
		FeatureNames: []string{"price", "promo"}, FeatureInfos: []string{"[0:10]", "[0:1]"},
		Trees: []Tree{{
			Feature: []int32{1}, Threshold: []float64{0.5}, Decision: []uint8{DefaultLeft | MissingNaN},
			Left: []int32{^0}, Right: []int32{^1},
			Gain: []float64{9}, InternalValue: []float64{12}, InternalWeight: []float64{8}, InternalCount: []int64{8},
			LeafValue: []float64{10, 18}, LeafWeight: []float64{6, 2}, LeafCount: []int64{6, 2}, Shrinkage: 1,
		}},
	}
	e, err := NewExplainer(m)
	if err != nil {
		panic(err)
	}
	out := make([]float64, e.NumOutputs()*(e.NumFeatures()+1))
	e.Contributions(out, []float64{3, 1})
	fmt.Println("price", out[0], "promo", out[1], "expected", out[2])
	// Output: price 0 promo 6 expected 12
}

// benchModel is the model and the float32 rows that HEALML_BENCH_MODEL and
// HEALML_BENCH_ROWS name (scripts/bench/shap.sh sets both), by default a small
// model of three classes.
func benchModel(b *testing.B) (*Explainer, [][]float64) {
	b.Helper()
	if path := os.Getenv("HEALML_BENCH_MODEL"); path != "" {
		e := explainer(b, readModel(b, path))
		raw, err := os.ReadFile(os.Getenv("HEALML_BENCH_ROWS"))
		if err != nil {
			b.Fatal(err)
		}
		rows := make([][]float64, min(len(raw)/4/e.NumFeatures(), 20_000))
		for i := range rows {
			for range e.NumFeatures() {
				rows[i] = append(rows[i], float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
				raw = raw[4:]
			}
		}
		return e, rows
	}
	dir := filepath.Join(testdata.Shared(b), "data/lightgbm/models")
	rows := readRows(b, filepath.Join(dir, "multiclass_test.tsv"))
	for i := range rows {
		rows[i] = rows[i][1:]
	}
	return explainer(b, readModel(b, filepath.Join(dir, "lgmulticlass.model"))), rows
}

func BenchmarkContributions(b *testing.B) {
	e, rows := benchModel(b)
	dst := make([]float64, e.NumOutputs()*(e.NumFeatures()+1))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.Contributions(dst, rows[i%len(rows)])
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkContributionsColumns(b *testing.B) {
	e, rows := benchModel(b)
	cols := turn(rows)
	dst := make([]float64, len(rows)*e.NumOutputs()*(e.NumFeatures()+1))
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.ContributionsColumns(dst, cols, threads)
			}
			b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkNewExplainer(b *testing.B) {
	m := readModel(b, filepath.Join(testdata.Shared(b), "data/lightgbm/models/lgmulticlass.model"))
	for b.Loop() {
		explainer(b, m)
	}
}
