package drift

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

type goldenFile struct {
	Numbers []struct {
		Name        string
		A, B        []float64
		KS          float64
		KSP         float64 `json:"ks_p"`
		Wasserstein float64
		Mean, Std   float64
		Quantiles   []float64
	}
	Levels []struct {
		A, B                                  []float64
		Chi2, P, JS, PSI, Hellinger, TV, LInf float64
		DF                                    int
	}
	Tails struct{ Kolmogorov, Student, Fresh, Normal [][]float64 }
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(math.Abs(want), 1e-300)) && !(want == 0 && math.Abs(got) < tol) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestGolden compares with SciPy, see testdata/golden.py.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Numbers) == 0 || len(g.Levels) == 0 {
		t.Fatal("no golden values")
	}
	for _, c := range g.Numbers {
		a, _ := Sorted(c.A)
		b, _ := Sorted(c.B)
		near(t, c.Name+" ks", KS(a, b), c.KS, 1e-12)
		near(t, c.Name+" ks p", KSP(KS(a, b), len(a), len(b)), c.KSP, 1e-9)
		near(t, c.Name+" wasserstein", Wasserstein(a, b), c.Wasserstein, 1e-12)
		mean, std := Moments(c.A)
		near(t, c.Name+" mean", mean, c.Mean, 1e-12)
		near(t, c.Name+" std", std, c.Std, 1e-12)
		for i, q := range []float64{0, .01, .25, .5, .9, 1} {
			near(t, c.Name+" quantile", Quantile(a, q), c.Quantiles[i], 1e-12)
		}
	}
	for _, c := range g.Levels {
		x2, df := ChiSquare(c.A, c.B)
		near(t, "chi2", x2, c.Chi2, 1e-12)
		near(t, "chi2 p", ChiSquareP(x2, df), c.P, 1e-9)
		if df != c.DF {
			t.Errorf("df %d, want %d", df, c.DF)
		}
		p, q := Shares(c.A), Shares(c.B)
		near(t, "js", JensenShannon(p, q), c.JS, 1e-12)
		near(t, "psi", PSI(p, q), c.PSI, 1e-12)
		near(t, "hellinger", Hellinger(p, q), c.Hellinger, 1e-12)
		near(t, "tv", TotalVariation(p, q), c.TV, 1e-12)
		near(t, "linf", LInfinity(p, q), c.LInf, 1e-12)
	}
	for _, v := range g.Tails.Kolmogorov {
		near(t, "kolmogorov", Kolmogorov(v[0]), v[1], 1e-11)
	}
	for _, v := range g.Tails.Student {
		near(t, "student", studentP(v[0], v[1]), v[2], 1e-9)
	}
	for _, v := range g.Tails.Fresh {
		near(t, "new events", NewP(v[0], v[1], v[2], v[3]), v[4], 1e-9)
	}
	for _, v := range g.Tails.Normal {
		near(t, "normal", normalP(v[0]), v[1], 1e-9)
		if v[0] > 0 {
			near(t, "z of p", ZOf(v[1]), v[0], 1e-9)
		}
	}
}

func TestSorted(t *testing.T) {
	v := make([]float64, 30_000)
	r := newRand(1)
	for i := range v {
		v[i] = r.NormFloat64() * math.Exp(20*r.NormFloat64())
	}
	v[5], v[6], v[7], v[8], v[9], v[10] = math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.NaN()
	before := slices.Clone(v)
	got, missing := Sorted(v)
	if missing != 2 {
		t.Errorf("%d missing", missing)
	}
	want := slices.DeleteFunc(slices.Clone(v), math.IsNaN)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("not in order")
	}
	if !slices.EqualFunc(v, before, func(a, b float64) bool { return a == b || a != a && b != b }) {
		t.Error("the argument was changed")
	}
	if got, missing := Sorted([]float64{math.NaN()}); len(got) != 0 || missing != 1 {
		t.Errorf("all missing: %v, %d", got, missing)
	}
	if got, _ := Sorted(make([]float64, 20_000)); len(got) != 20_000 || got[0] != 0 {
		t.Error("a constant did not survive")
	}
}

// TestChiSquarePools: sparse levels do not make the statistic unreliable, and
// all the counts stay in it.
func TestChiSquarePools(t *testing.T) {
	x2, df := ChiSquare([]float64{500, 400, 3, 2, 1, 0, 94}, []float64{50, 40, 0, 1, 0, 1, 8})
	y2, df2 := ChiSquare([]float64{500, 400, 100}, []float64{50, 40, 10})
	if df != 2 || df2 != 2 || math.Abs(x2-y2) > 1e-12 {
		t.Errorf("%v on %d, want %v on %d", x2, df, y2, df2)
	}
	for name, c := range map[string][2][]float64{
		"none": {{}, {}}, "empty": {{5, 5}, {0, 0}}, "one level": {{10, 0}, {20, 0}}, "all sparse": {{1, 1}, {1, 1}},
	} {
		if x2, df := ChiSquare(c[0], c[1]); x2 != 0 || df != 0 {
			t.Errorf("%s: %v on %d", name, x2, df)
		}
	}
}

func TestGrid(t *testing.T) {
	v := make([]float64, 1000)
	for i := range v {
		v[i] = float64(i)
	}
	for i := range 300 {
		v[i] = 0
	}
	g := NewGrid(v, 10)
	if len(g.Edges) != 9 || !g.Heavy[0] || g.Heavy[4] {
		t.Fatalf("edges %v, heavy %v", g.Edges, g.Heavy)
	}
	counts := g.Counts(v)
	byCell := make([]float64, g.Len())
	for _, x := range v {
		byCell[g.Cell(x)]++
	}
	if !slices.Equal(counts, byCell) {
		t.Errorf("counts %v, cells %v", counts, byCell)
	}
	if g.Cell(-1) != 0 || g.Cell(0) != 1 || g.Cell(.5) != 2 || g.Cell(math.Inf(1)) != uint8(g.Len()-1) {
		t.Error("cells are not where they should be")
	}
	if e := NewGrid(nil, 10); e.Len() != 1 || e.Cell(3) != 0 || e.Counts(nil)[0] != 0 {
		t.Error("a grid without values has one cell")
	}
	if c := NewGrid([]float64{7, 7, 7}, 10); c.Len() != 3 || c.Cell(6) != 0 || c.Cell(7) != 1 || c.Cell(8) != 2 {
		t.Error("a constant has a cell below, of its own, and above")
	}
}
