package domain

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// alarms counts p-values up to level in draws of a series without drift.
func alarms(t *testing.T, s series, n int, blocks bool, draws int, level float64, p func(ref, cur Sample) float64) int {
	t.Helper()
	found := 0
	for seed := range draws {
		ref, cur := s.pair(uint64(seed)+1000, n, blocks)
		if p(ref, cur) <= level {
			found++
		}
	}
	return found
}

func classifyP(t *testing.T) func(ref, cur Sample) float64 {
	return func(ref, cur Sample) float64 {
		r, err := Classify(context.Background(), ref, cur, Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, r)
		return r.P
	}
}

func dependenceP(t *testing.T) func(ref, cur Sample) float64 {
	return func(ref, cur Sample) float64 {
		pairs, err := Dependence(context.Background(), ref, cur, Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		checkPairs(t, pairs)
		return pairs[0].P
	}
}

// Without drift alarms come at their level, in independent rows and in days
// that are alike and follow one another: no more than a binomial count passes
// once in a thousand.
func TestFalseAlarms(t *testing.T) {
	const level = 0.05
	days := series{rows: 3600, effect: .35, ar: .6, weekday: .2}
	for _, c := range []struct {
		name   string
		s      series
		blocks bool
		draws  int
		p      func(ref, cur Sample) float64
	}{
		{"classify independent", series{rows: 3600}, false, 25, classifyP(t)},
		{"classify days", days, true, 25, classifyP(t)},
		{"dependence independent", series{rows: 3600}, false, 150, dependenceP(t)},
		{"dependence days", days, true, 150, dependenceP(t)},
	} {
		limit := binomialLimit(c.draws, level)
		if got := alarms(t, c.s, 2640, c.blocks, c.draws, level, c.p); got > limit {
			t.Errorf("%s: %d alarms in %d draws, expected at most %d", c.name, got, c.draws, limit)
		}
	}
}

// binomialLimit is the count that is passed once in a thousand.
func binomialLimit(draws int, level float64) int {
	b := distuv.Binomial{N: float64(draws), P: level}
	k := 0
	for b.CDF(float64(k)) < 0.999 {
		k++
	}
	return k
}

// The score of independent rows is standard normal.
func TestScoreIsStandardNormal(t *testing.T) {
	const draws = 40
	var sum, squares float64
	for seed := range draws {
		ref, cur := series{rows: 2400}.pair(uint64(seed), 1600, false)
		r := run{
			zero: side{&ref, ref.blocks(1600, 50), 1}, one: side{&cur, cur.blocks(800, 50), 1},
			columns: []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, within: seed%2 == 1,
		}
		out, err := r.do(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		sum += out.z
		squares += out.z * out.z
	}
	chi := distuv.ChiSquared{K: draws}
	if squares < chi.Quantile(0.0005) || squares > chi.Quantile(0.9995) || sum*sum > 12*draws {
		t.Errorf("mean %v, mean square %v", sum/draws, squares/draws)
	}
}

// Changes that no single column shows are found, in independent rows and in days.
func TestDetects(t *testing.T) {
	for _, c := range changes()[1:] {
		for _, blocks := range []bool{false, true} {
			if blocks && (c.name == "five" || c.name == "one") {
				continue // days differ as much
			}
			s := series{rows: 9000}
			if blocks {
				s.effect, s.ar, s.weekday = .35, .6, .2
			}
			ref, cur := s.pair(7, 6000, blocks)
			c.do(cur.Columns, rand.New(rand.NewPCG(3, 3)))
			r, err := Classify(context.Background(), ref, cur, Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			if r.P > 0.01 {
				t.Errorf("%s, days %v: p %v, area %v", c.name, blocks, r.P, r.AUC)
			}
			top := []string{r.Columns[0].Name, r.Columns[1].Name}
			slices.Sort(top)
			switch c.name {
			case "one":
				top = []string{r.Columns[0].Name}
			case "five":
				top = nil
			}
			want := map[string][]string{"rotation": {"left", "right"}, "sign": {"left", "right"}, "xor": {"gamma", "plain"}, "one": {"plain"}}
			if !slices.Equal(top, want[c.name]) {
				t.Errorf("%s, days %v: %v come first", c.name, blocks, top)
			}
			pairs, err := Dependence(context.Background(), ref, cur, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "rotation" || c.name == "sign" {
				if p := pairs[0]; p.A != "left" || p.B != "right" || p.P > 0.01 || p.Z > 0 {
					t.Errorf("%s, days %v: %+v", c.name, blocks, p)
				}
			}
		}
	}
}
