package domain

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/score"
)

type goldenFile struct {
	Curves []struct {
		Zero, One      []float64
		AUC, Null, Own float64
	}
	Pairs []struct {
		X, Y             []float64
		A, B             []int32
		Spearman         float64
		CramersV         float64 `json:"cramers_v"`
		CorrelationRatio float64 `json:"correlation_ratio"`
	}
}

func golden(t *testing.T) goldenFile {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Curves) == 0 || len(g.Pairs) == 0 {
		t.Fatal("no golden values")
	}
	return g
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestCurveGolden(t *testing.T) {
	for _, g := range golden(t).Curves {
		c := newCurve(both(g.Zero, g.One))
		near(t, "auc", c.auc, g.AUC, 1e-12)
		near(t, "null variance", c.null/g.Null, 1, 1e-9)
		near(t, "own variance", c.own/g.Own, 1, 1e-9)
	}
}

func both(zero, one []float64) []scored {
	var out []scored
	for _, v := range zero {
		out = append(out, scored{v, false})
	}
	for _, v := range one {
		out = append(out, scored{v, true})
	}
	return out
}

// The area is that of package score, and of counting pairs.
func TestCurveCountsPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.Map(rapid.IntRange(-4, 4), func(v int) float64 { return float64(v) / 4 }), 1, 20)
		zero, one := value.Draw(t, "zero"), value.Draw(t, "one")
		wins := 0.0
		for _, a := range zero {
			for _, b := range one {
				switch {
				case b > a:
					wins++
				case b == a:
					wins += 0.5
				}
			}
		}
		want := wins / float64(len(zero)*len(one))
		c := newCurve(both(zero, one))
		if math.Abs(c.auc-want) > 1e-12 {
			t.Fatalf("auc %v, want %v", c.auc, want)
		}
		var label, scores []float64
		for _, s := range both(zero, one) {
			scores = append(scores, s.score)
			label = append(label, map[bool]float64{true: 1}[s.one])
		}
		if got := score.AUC(label, scores); math.Abs(got-c.auc) > 1e-12 {
			t.Fatalf("auc %v, package score has %v", c.auc, got)
		}
		if c.null < 0 || c.null > c.flat*(1+1e-12) || c.own < 0 {
			t.Fatalf("variances %+v", c)
		}
	})
}

func TestMeasuresGolden(t *testing.T) {
	for _, g := range golden(t).Pairs {
		s := Sample{Columns: []Column{
			{Name: "x", Values: g.X}, {Name: "y", Values: g.Y},
			{Name: "a", Codes: g.A, Levels: 5}, {Name: "b", Codes: g.B, Levels: 3},
		}}
		pairs, err := Dependence(context.Background(), s, s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{"xy" + Spearman: g.Spearman, "ab" + CramersV: g.CramersV, "xa" + CorrelationRatio: g.CorrelationRatio}
		for _, p := range pairs {
			if p.Then != p.Now || p.Z != 0 || p.P != 1 {
				t.Errorf("a sample against itself: %+v", p)
			}
			if w, ok := want[p.A+p.B+p.Measure]; ok {
				near(t, p.Measure, p.Then, w, 1e-9)
				delete(want, p.A+p.B+p.Measure)
			}
		}
		if len(want) > 0 {
			t.Errorf("not measured: %v", want)
		}
	}
}
