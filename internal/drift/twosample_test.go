package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// directed are the statistics of [twoSample] that change their sign, or the
// side of ½, when the samples change places.
var directed = map[string]bool{"mw": true, "mood": true, "welch": true, "student": true}

// sides are statistics of one sample only.
var sides = map[string]bool{"mean": true, "std": true}

// ranked are the statistics of [twoSample] that depend on ranks alone.
var ranked = []string{"ks", "cvm", "cvm_p", "ad", "ad_p", "auc", "mw", "mw_p", "mood", "mood_p"}

func alike(x, y float64) bool {
	return x == y || x != x && y != y || math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y), 1e-3)
}

// values are numbers with ties and gaps.
func values(t *rapid.T, what string) []float64 {
	v := rapid.SliceOfN(rapid.IntRange(-20, 20), 2, 40).Draw(t, what)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x) * 0.75
	}
	slices.Sort(out)
	return out
}

// TestTwoSampleSymmetry: who is the reference does not matter, or only for the
// sign.
func TestTwoSampleSymmetry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(t, "a"), values(t, "b")
		back := twoSample(b, a)
		for name, x := range twoSample(a, b) {
			y := back[name]
			switch {
			case sides[name]:
				continue
			case name == "auc":
				y = 1 - y
			case directed[name]:
				y = -y
			}
			if !alike(x, y) {
				t.Errorf("%s: %v and, turned round, %v", name, x, y)
			}
		}
		for _, q := range []float64{0, 0.3, 0.5, 1} {
			s, lo, hi := QuantileShift(a, b, q, 0.9)
			s2, lo2, hi2 := QuantileShift(b, a, q, 0.9)
			if !alike(s, -s2) || !alike(lo, -hi2) || !alike(hi, -lo2) || lo > s || hi < s {
				t.Errorf("quantile %v: %v in [%v, %v] and, turned round, %v in [%v, %v]", q, s, lo, hi, s2, lo2, hi2)
			}
		}
	})
}

// TestTwoSampleOrder: the order of rows does not matter, once sorted.
func TestTwoSampleOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(t, "a"), values(t, "b")
		shuffled, _ := Sorted(rapid.Permutation(a).Draw(t, "order"))
		want := twoSample(a, b)
		for name, got := range twoSample(shuffled, b) {
			if !alike(got, want[name]) {
				t.Errorf("%s: %v, was %v", name, got, want[name])
			}
		}
	})
}

// TestRankInvariance: an increasing map leaves every statistic of ranks exactly
// as it is.
func TestRankInvariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(t, "a"), values(t, "b")
		f := rapid.SampledFrom([]func(float64) float64{
			math.Exp, math.Cbrt, func(x float64) float64 { return x*x*x - 1e6 },
			func(x float64) float64 { return math.Atan(x) * 1e300 },
		}).Draw(t, "map")
		mapped := func(v []float64) []float64 {
			out := make([]float64, len(v))
			for i, x := range v {
				out[i] = f(x)
			}
			return out
		}
		want, got := twoSample(a, b), twoSample(mapped(a), mapped(b))
		for _, name := range ranked {
			if got[name] != want[name] && got[name] == got[name] {
				t.Errorf("%s: %v, was %v", name, got[name], want[name])
			}
		}
	})
}

// TestScale: distances take the unit of the values, tests have none.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(t, "a"), values(t, "b")
		c := rapid.SampledFrom([]float64{0.1, 3, 1e-12, 1e12, 0x1p400, 0x1p-900, 0x1p1015}).Draw(t, "scale")
		want, got := twoSample(a, b), twoSample(scaled(a, c), scaled(b, c))
		for name, x := range want {
			switch name {
			case "wasserstein", "mean", "std":
				x *= c
			case "energy":
				x *= math.Sqrt(c)
			}
			if !(got[name] == x || alike(got[name]/x, 1) || alike(x, got[name])) {
				t.Errorf("%s at scale %g: %v, want %v", name, c, got[name], x)
			}
		}
	})
}

// TestIdentical: a sample is at distance 0 from itself, and no test sees a
// difference.
func TestIdentical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := values(t, "a")
		got := twoSample(a, slices.Clone(a))
		for _, name := range []string{"ks", "wasserstein", "energy", "cvm", "mw", "welch", "student", "bf", "es"} {
			if math.Abs(got[name]) > 1e-12 {
				t.Errorf("%s is %v", name, got[name])
			}
		}
		for _, name := range []string{"mw_p", "mood_p", "welch_p", "student_p", "bf_p", "es_p"} {
			if !(got[name] > 1-1e-6) && got[name] == got[name] {
				t.Errorf("%s is %v", name, got[name])
			}
		}
		if got["ad_p"] < 0.75 || got["cvm_p"] < 0.75 { // at two values, 0 is not far from their mean
			t.Errorf("ad_p is %v, cvm_p %v", got["ad_p"], got["cvm_p"])
		}
		if math.Abs(got["auc"]-0.5) > 1e-12 || math.Abs(got["mood"]) > 1e-9 || got["mmd"] > 1e-12 {
			t.Errorf("auc %v, mood %v, mmd %v", got["auc"], got["mood"], got["mmd"])
		}
		counts := scaled(a, 2)
		for i, x := range counts {
			counts[i] = math.Abs(x)
		}
		g, _ := GTest(counts, counts)
		if p := Shares(counts); g > 1e-9 || KullbackLeibler(p, p) > 1e-12 {
			t.Errorf("g %v, kl %v", g, KullbackLeibler(p, p))
		}
	})
}

// TestShiftGrows: the further a sample moves, the greater is every distance,
// and the smaller is every p-value of location.
func TestShiftGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.SliceOfNDistinct(rapid.IntRange(-50, 50), 4, 40, rapid.ID).Draw(t, "a")
		slices.Sort(whole)
		a := make([]float64, len(whole))
		for i, x := range whole {
			a[i] = float64(x)
		}
		moved := func(d float64) map[string]float64 {
			b := make([]float64, len(a))
			for i, x := range a {
				b[i] = x + d
			}
			return twoSample(a, b)
		}
		last := moved(0.5)
		for d := 1.5; d < 120; d += 10 { // without ties
			next := moved(d)
			for _, name := range []string{"ks", "cvm", "ad", "auc", "mw", "wasserstein", "energy", "welch"} {
				if next[name] < last[name]-1e-12 {
					t.Errorf("%s falls from %v to %v at %v", name, last[name], next[name], d)
				}
			}
			for _, name := range []string{"cvm_p", "ad_p", "mw_p", "welch_p"} {
				if next[name] > last[name]+1e-12 {
					t.Errorf("%s rises from %v to %v at %v", name, last[name], next[name], d)
				}
			}
			if !alike(next["wasserstein"], d) || math.Abs(next["bf"]) > 1e-9 {
				t.Errorf("wasserstein %v, brown-forsythe %v at %v", next["wasserstein"], next["bf"], d)
			}
			last = next
		}
	})
	r := newRand(5)
	a, last := normal(r, 300, 0, 1), math.Inf(-1)
	slices.Sort(a)
	for _, d := range []float64{0, 0.25, 0.5, 1, 2, 4} {
		b := slices.Clone(a)
		for i := range b {
			b[i] += d
		}
		if v := MMD(a, b, 0); v > last {
			last = v
		} else {
			t.Errorf("mmd %v at %v, was %v", v, d, last)
		}
	}
}

// TestSpreadGrows: the tests of spread see a wider sample, with the right sign.
func TestSpreadGrows(t *testing.T) {
	r := newRand(6)
	a := normal(r, 200, 3, 1)
	last, lastF := 0.0, 0.0
	for _, c := range []float64{1.1, 1.5, 2, 4} {
		b := make([]float64, len(a))
		for i, x := range a {
			b[i] = 3 + c*(x-3)
		}
		x, _ := Sorted(a)
		y, _ := Sorted(b)
		z, _ := Mood(x, y)
		f, _ := BrownForsythe(x, y)
		if !(z > last) || !(f > lastF) {
			t.Errorf("at %v: mood %v, was %v; brown-forsythe %v, was %v", c, z, last, f, lastF)
		}
		last, lastF = z, f
	}
}

// TestTwoSampleDefined: whatever floats come, nothing panics, p-values are
// probabilities and NaN means what the documentation says.
func TestTwoSampleDefined(t *testing.T) {
	special := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324, -1e-308, 1e308, 1}
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(special), rapid.Float64()), 1, 8)
		a, _ := Sorted(draw.Draw(t, "a"))
		b, _ := Sorted(draw.Draw(t, "b"))
		fa, fb, all := len(finite(a)), len(finite(b)), len(a)+len(b)
		undefined := map[string]bool{
			"mmd": min(len(a), len(b)) < 2, "mmd20": min(len(a), len(b)) < 2, "ad": all < 4, "ad_p": all < 4, "mood": all < 3, "mood_p": all < 3,
			"welch": min(fa, fb) < 2, "welch_df": min(fa, fb) < 2, "welch_p": min(fa, fb) < 2,
			"student": min(fa, fb) < 2, "student_p": min(fa, fb) < 2, "es": min(fa, fb) < 5, "es_p": min(fa, fb) < 5,
			"bf": min(fa, fb) < 1 || fa+fb < 3, "bf_p": min(fa, fb) < 1 || fa+fb < 3, "mean": fa == 0, "std": fa == 0,
		}
		for name, v := range twoSample(a, b) {
			if (v != v) != undefined[name] {
				t.Errorf("%s is %v", name, v)
			}
			if (name[max(len(name)-2, 0):] == "_p" || name == "ks" || name == "auc") && bounded(v) {
				t.Errorf("%s is %v", name, v)
			}
		}
		for _, q := range []float64{0, 0.1, 0.5, 1} {
			s, lo, hi := QuantileShift(a, b, q, 0.95)
			if fa == len(a) && fb == len(b) && !(lo <= s && s <= hi) {
				t.Errorf("shift %v in [%v, %v]", s, lo, hi)
			}
		}
	})
}

// TestTwoSampleEmpty: without values there is no statistic.
func TestTwoSampleEmpty(t *testing.T) {
	one := []float64{1, 2, 3, 4}
	for name, v := range twoSample(nil, one) {
		if !math.IsNaN(v) {
			t.Errorf("%s of an empty reference is %v", name, v)
		}
	}
	for name, v := range twoSample(one, nil) {
		if !math.IsNaN(v) && !sides[name] {
			t.Errorf("%s of an empty sample is %v", name, v)
		}
	}
	zp, p := ProportionZ(0, 0, 3, 9)
	s, lo, hi := ProportionShift(1, 2, 0, 0, 0.95)
	w, _ := Wilson(0, 0, 0.95)
	q, _, _ := QuantileShift(nil, one, 0.5, 0.95)
	for i, v := range []float64{zp, p, FisherExact(0, 0, 3, 9), s, lo, hi, w, q, KullbackLeibler([]float64{0, 0}, []float64{1, 0}), KullbackLeibler(nil, nil)} {
		if !math.IsNaN(v) {
			t.Errorf("%d is %v", i, v)
		}
	}
	if g, df := GTest([]float64{3, 4}, []float64{0, 0}); g != 0 || df != 0 {
		t.Errorf("g %v on %d", g, df)
	}
}

// TestInfinities: an infinity that both samples hold at the same rate adds
// nothing, one that they do not is infinitely far.
func TestInfinities(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{-inf, 0}, []float64{-inf, 0}, 0},
		{[]float64{0, 0, inf}, []float64{0, 0, 0, 0, inf, inf}, 0},
		{[]float64{-inf, 0, inf}, []float64{-inf, 1.5, inf}, 0.5},
		{[]float64{0, inf}, []float64{0, 0}, inf}, {[]float64{-inf}, []float64{inf}, inf}, {[]float64{inf}, []float64{inf}, 0},
		{[]float64{-1e308, 1e308}, []float64{1e308, 1e308}, 1e308},
	} {
		if got := Wasserstein(c.a, c.b); !alike(got/max(c.want, 1), c.want/max(c.want, 1)) {
			t.Errorf("wasserstein %v %v: %v, want %v", c.a, c.b, got, c.want)
		}
		if got := EnergyDistance(c.a, c.b); (got == 0) != (c.want == 0) || math.IsInf(got, 0) != math.IsInf(c.want, 0) || got != got {
			t.Errorf("energy %v %v: %v", c.a, c.b, got)
		}
	}
	if s, lo, hi := QuantileShift([]float64{1, 2, inf}, []float64{inf, inf, inf}, 1, 0.9); s != 0 || lo > 0 || hi < 0 {
		t.Errorf("shift of infinite quantiles %v in [%v, %v]", s, lo, hi)
	}
	if mean, std := Moments([]float64{-1.5e308, 1.5e308, inf, 1.5e308}); math.Abs(mean/0.5e308-1) > 1e-12 || math.Abs(std/1.4142135623730951e308-1) > 1e-12 {
		t.Errorf("mean %v, std %v", mean, std)
	}
}

// TestTwoSampleNull: without drift p-values are below .05 about one time in
// twenty, and never much more often.
func TestTwoSampleNull(t *testing.T) {
	const runs = 3000
	laws := map[string]func(*rand.Rand) float64{
		"normal": (*rand.Rand).NormFloat64, "heavy": func(r *rand.Rand) float64 { return math.Exp(1.5 * r.NormFloat64()) },
		"ties":  func(r *rand.Rand) float64 { return math.Round(r.NormFloat64() * 2) },
		"zeros": func(r *rand.Rand) float64 { return max(0, r.NormFloat64()-0.5) },
		"bits":  func(r *rand.Rand) float64 { return float64(r.IntN(2)) },
	}
	for law, draw := range laws {
		r, hits := newRand(8), map[string]int{}
		for range runs {
			a, b := sample(r, 45, draw), sample(r, 60, draw)
			for name, p := range twoSample(a, b) {
				if len(name) > 2 && name[len(name)-2:] == "_p" && p < 0.05 {
					hits[name]++
				}
			}
		}
		for _, name := range []string{"cvm_p", "ad_p", "mw_p", "mood_p", "welch_p", "student_p", "bf_p", "es_p"} {
			rate := float64(hits[name]) / runs
			if law == "bits" && name == "bf_p" {
				continue // about a median of 0 or 1 it is hardly ever small
			}
			if rate > 0.064 || rate < 0.035 {
				t.Errorf("%s, %s: below .05 at a rate of %v", law, name, rate)
			}
		}
	}
	r, z, g, n := newRand(9), 0, 0, float64(0)
	for range runs {
		a, b := countsOf(r, 400), countsOf(r, 300)
		if _, p := ProportionZ(a[0], 400, b[0], 300); p < 0.05 {
			z++
		}
		if ChiSquareP(GTest(a, b)) < 0.05 {
			g++
		}
		n++
	}
	if math.Abs(float64(z)/n-0.05) > 0.015 || math.Abs(float64(g)/n-0.05) > 0.015 {
		t.Errorf("proportions %v, g %v of %v", z, g, n)
	}
}

func sample(r *rand.Rand, n int, draw func(*rand.Rand) float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = draw(r)
	}
	slices.Sort(v)
	return v
}

func countsOf(r *rand.Rand, n int) []float64 {
	c := make([]float64, 4)
	for range n {
		c[min(r.IntN(5), 3)]++
	}
	return c
}

// TestCoverage: intervals hold the true shift about as often as they say.
func TestCoverage(t *testing.T) {
	const runs = 3000
	laws := map[string]func(*rand.Rand) float64{
		"normal": (*rand.Rand).NormFloat64, "exponential": (*rand.Rand).ExpFloat64, "uniform": (*rand.Rand).Float64,
		"cauchy": func(r *rand.Rand) float64 { return math.Tan(math.Pi * (r.Float64() - 0.5)) },
	}
	for law, draw := range laws {
		for _, q := range []float64{0.1, 0.5, 0.9} {
			r, held := newRand(10), 0.0
			for range runs {
				a, b := sample(r, 60, draw), sample(r, 110, draw)
				for i := range b {
					b[i] += 2
				}
				if _, lo, hi := QuantileShift(a, b, q, 0.95); lo <= 2 && 2 <= hi {
					held++
				}
			}
			if rate := held / runs; rate < 0.94 || rate > 0.99 {
				t.Errorf("%s, quantile %v: held %v", law, q, rate)
			}
		}
	}
	for _, rates := range [][2]float64{{0.5, 0.6}, {0.02, 0.05}, {0.9, 0.9}} {
		r, held := newRand(11), 0.0
		for range runs {
			a, b := events(r, 100, rates[0]), events(r, 150, rates[1])
			if _, lo, hi := ProportionShift(a, 100, b, 150, 0.95); lo <= rates[1]-rates[0] && rates[1]-rates[0] <= hi {
				held++
			}
		}
		if rate := held / runs; rate < 0.935 || rate > 0.985 {
			t.Errorf("shares %v: held %v", rates, rate)
		}
	}
}

func events(r *rand.Rand, n int, rate float64) (count float64) {
	for range n {
		if r.Float64() < rate {
			count++
		}
	}
	return count
}

// TestMMDThinned: quantiles stand in for the whole sample, and the estimate is
// not biased by them.
func TestMMDThinned(t *testing.T) {
	r := newRand(12)
	a, b := sample(r, 3000, (*rand.Rand).NormFloat64), sample(r, 2000, func(r *rand.Rand) float64 { return 0.3 + r.NormFloat64() })
	if all, some := MMD(a, b, 3000), MMD(a, b, 200); math.Abs(all-some) > 0.02*all {
		t.Errorf("%v of all rows, %v of few", all, some)
	}
	sum, squares, runs := 0.0, 0.0, 300.0
	for range int(runs) {
		v := MMD(sample(r, 1000, (*rand.Rand).NormFloat64), sample(r, 800, (*rand.Rand).NormFloat64), 100)
		sum, squares = sum+v, squares+v*v
	}
	if se := math.Sqrt(squares) / runs; math.Abs(sum/runs) > 4*se {
		t.Errorf("mean %v without drift, standard error %v", sum/runs, se)
	}
}

// TestMedianGap compares with all pairs.
func TestMedianGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(t, "a"), values(t, "b")
		all := append(slices.Clone(a), b...)
		var gaps []float64
		for i, x := range all {
			for _, y := range all[:i] {
				if x != y {
					gaps = append(gaps, math.Abs(x-y))
				}
			}
		}
		slices.Sort(gaps)
		want := 1.0
		if len(gaps) > 0 {
			want = gaps[(len(gaps)-1)/2]
		}
		if got := medianGap(a, b); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func BenchmarkTwoSample(b *testing.B) {
	r := newRand(13)
	x, y := normal(r, 1_000_000, 0, 1), normal(r, 100_000, 0.1, 1)
	b.Run("sort", func(b *testing.B) {
		for b.Loop() {
			Sorted(x)
		}
	})
	x, _ = Sorted(x)
	y, _ = Sorted(y)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"ks", func() { KS(x, y) }}, {"wasserstein", func() { Wasserstein(x, y) }}, {"energy", func() { EnergyDistance(x, y) }},
		{"cramer-von-mises", func() { CramerVonMises(x, y) }}, {"anderson-darling", func() { AndersonDarling(x, y) }},
		{"mann-whitney", func() { MannWhitney(x, y) }}, {"mood", func() { Mood(x, y) }}, {"welch", func() { WelchT(x, y) }},
		{"epps-singleton", func() { EppsSingleton(x, y) }},
		{"brown-forsythe", func() { BrownForsythe(x, y) }}, {"quantile-shift", func() { QuantileShift(x, y, 0.9, 0.95) }},
		{"mmd", func() { MMD(x, y, 0) }},
	} {
		b.Run(fmt.Sprint(c.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.f()
			}
		})
	}
}
