package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }

func normal(r *rand.Rand, n int, mean, std float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = mean + std*r.NormFloat64()
	}
	return v
}

// TestDefined: whatever is empty, constant or missing has a verdict, and the
// p-value is never NaN.
func TestDefined(t *testing.T) {
	nan := math.NaN()
	empty := []float64{}
	missing := slices.Repeat([]float64{nan}, 300)
	ones := slices.Repeat([]float64{1}, 300)
	twos := slices.Repeat([]float64{2}, 300)
	values := normal(newRand(1), 300, 0, 1)
	wild := slices.Clone(values)
	wild[3], wild[4] = math.Inf(1), math.Inf(-1)
	for _, c := range []struct {
		name     string
		ref, cur []float64
		drift    bool
	}{
		{"both empty", empty, empty, false}, {"no current row", values, empty, false}, {"no reference row", empty, values, false},
		{"both missing", missing, missing, false}, {"feed dead", values, missing, true}, {"feed alive", missing, values, true},
		{"same constant", ones, ones, false}, {"other constant", ones, twos, true}, {"frozen", values, ones, true},
		{"came alive", ones, values, true}, {"itself", values, values, false}, {"infinities", values, wild, false},
		{"missing now and then", values, append(slices.Clone(values[:260]), missing[:40]...), true},
	} {
		got := Numbers(c.ref, c.cur)
		if math.IsNaN(got.P) || got.P < 0 || got.P > 1 || (got.P < 1e-3) != c.drift {
			t.Errorf("numbers, %s: p %v, tests %+v", c.name, got.P, got.Tests)
		}
		if math.IsNaN(got.Effect) || (got.Effect > 0.05) != c.drift {
			t.Errorf("numbers, %s: effect %v", c.name, got.Effect)
		}
		if bounded(got.KS) || bounded(got.JensenShannon) || bounded(got.TotalVariation) || got.Wasserstein < 0 {
			t.Errorf("numbers, %s: %+v", c.name, got)
		}
	}
	all := slices.Repeat([]int32{-1}, 300)
	a, b := make([]int32, 300), slices.Repeat([]int32{1}, 300)
	for _, c := range []struct {
		name     string
		ref, cur []int32
		drift    bool
	}{
		{"both empty", nil, nil, false}, {"no current row", a, nil, false}, {"both missing", all, all, false}, {"feed dead", a, all, true},
		{"same level", a, a, false}, {"other level", a, b, true}, {"feed alive", all, a, true},
	} {
		got := Levels(c.ref, c.cur, 2)
		if math.IsNaN(got.P) || (got.P < 1e-3) != c.drift {
			t.Errorf("levels, %s: p %v, tests %+v", c.name, got.P, got.Tests)
		}
	}
}

func bounded(v float64) bool { return v < 0 || v > 1 } // NaN is allowed

// TestMissingIsCounted: missing values are no part of the distribution, and
// more of them are drift by themselves.
func TestMissingIsCounted(t *testing.T) {
	r := newRand(2)
	ref, cur := normal(r, 5000, 0, 1), normal(r, 5000, 0, 1)
	before := Numbers(ref, cur)
	for i := range 100 {
		cur[50*i] = math.NaN()
	}
	after := Numbers(ref, cur)
	if before.P < 1e-2 || after.P > 1e-9 || after.CurMissing != 100 || after.KS > 0.05 {
		t.Errorf("before %v, after %v with %d missing, ks %v", before.P, after.P, after.CurMissing, after.KS)
	}
}

func TestUnseenLevels(t *testing.T) {
	r := newRand(3)
	ref, cur := make([]int32, 5000), make([]int32, 1000)
	for i := range ref {
		ref[i] = int32(r.IntN(4))
	}
	for i := range cur {
		cur[i] = int32(r.IntN(4))
	}
	if c := Levels(ref, cur, 5); c.P < 1e-2 || c.Unseen != 0 {
		t.Errorf("nothing is new: p %v, %d unseen", c.P, c.Unseen)
	}
	for i := range 15 {
		cur[60*i] = 4
	}
	if c := Levels(ref, cur, 5); c.P > 1e-6 || c.Unseen != 15 {
		t.Errorf("15 rows are new: p %v, %d unseen", c.P, c.Unseen)
	}
	// Where the reference itself is full of levels seen once, new ones are
	// what comes next.
	for i := range ref {
		ref[i] = int32(i)
	}
	for i := range cur {
		cur[i] = int32(5000 + i)
	}
	if p := unseenP(Levels(ref, cur, 6000)); p < 0.05 {
		t.Errorf("identifiers: p %v", p)
	}
}

func unseenP(c *Comparison) float64 { return c.Tests[len(c.Tests)-1].P }

// TestFalseAlarms: on independent rows of many shapes, columns are flagged no
// more often than the level says.
func TestFalseAlarms(t *testing.T) {
	const trials, alpha = 300, 0.05
	for name, draw := range shapes() {
		alarms := 0
		for seed := range trials {
			r := newRand(uint64(seed) + 1000)
			if Numbers(draw(r, 1500), draw(r, 700)).P <= alpha {
				alarms++
			}
		}
		most := trials*alpha + 3*math.Sqrt(trials*alpha*(1-alpha))
		if float64(alarms) > most {
			t.Errorf("%s: %d alarms in %d, at most %.0f are to be expected", name, alarms, trials, most)
		}
	}
}

func shapes() map[string]func(r *rand.Rand, n int) []float64 {
	fill := func(f func(r *rand.Rand) float64) func(r *rand.Rand, n int) []float64 {
		return func(r *rand.Rand, n int) []float64 {
			v := make([]float64, n)
			for i := range v {
				v[i] = f(r)
			}
			return v
		}
	}
	return map[string]func(r *rand.Rand, n int) []float64{
		"normal":    fill(func(r *rand.Rand) float64 { return r.NormFloat64() }),
		"lognormal": fill(func(r *rand.Rand) float64 { return math.Exp(2 * r.NormFloat64()) }),
		"binary":    fill(func(r *rand.Rand) float64 { return float64(r.IntN(2)) }),
		"rare":      fill(func(r *rand.Rand) float64 { return math.Floor(1.004 * r.Float64()) }),
		"inflated":  fill(func(r *rand.Rand) float64 { return max(0, math.Round(5*r.NormFloat64())) }),
		"gaps": fill(func(r *rand.Rand) float64 {
			if r.IntN(20) == 0 {
				return math.NaN()
			}
			return r.ExpFloat64()
		}),
	}
}

func TestLevelFalseAlarms(t *testing.T) {
	const trials, alpha = 300, 0.05
	for _, levels := range []int{2, 5, 300} {
		alarms := 0
		for seed := range trials {
			r := newRand(uint64(seed) + 2000)
			draw := func(n int) []int32 {
				v := make([]int32, n)
				for i := range v {
					v[i] = int32(float64(levels) * math.Pow(r.Float64(), 3))
				}
				return v
			}
			if Levels(draw(1500), draw(700), levels).P <= alpha {
				alarms++
			}
		}
		most := trials*alpha + 3*math.Sqrt(trials*alpha*(1-alpha))
		if float64(alarms) > most {
			t.Errorf("%d levels: %d alarms in %d, at most %.0f are to be expected", levels, alarms, trials, most)
		}
	}
}

// TestRestlessColumns: a series that wanders by itself is no drift while it
// wanders as it always did, and is when it leaves.
func TestRestlessColumns(t *testing.T) {
	const trials, n, m = 200, 6000, 1500
	alarms, found := 0, 0
	for seed := range trials {
		r := newRand(uint64(seed) + 3000)
		v, e := make([]float64, n+m), 0.0
		for i := range v {
			if i%100 == 0 { // a day
				e = 0.5*e + r.NormFloat64()
			}
			v[i] = e + r.NormFloat64()
		}
		c := Numbers(v[:n], v[n:])
		if c.P <= 0.01 {
			alarms++
		}
		moved := slices.Clone(v[n:])
		for i := range moved {
			moved[i] += 6
		}
		if Numbers(v[:n], moved).P <= 0.01 {
			found++
		}
	}
	if alarms > 10 || found < trials*9/10 {
		t.Errorf("%d alarms, %d of %d shifts found", alarms, found, trials)
	}
}

// TestDetects: the changes that matter are found in each kind of column.
func TestDetects(t *testing.T) {
	r := newRand(4)
	ref, cur := normal(r, 10_000, 5, 2), normal(r, 5_000, 5, 2)
	for name, change := range map[string]func(i int, x float64) float64{
		"shift": func(_ int, x float64) float64 { return x + .2 }, "spread": func(_ int, x float64) float64 { return 5 + 1.15*(x-5) },
		"unit": func(_ int, x float64) float64 { return 100 * x }, "clipped": func(_ int, x float64) float64 { return min(x, 7.5) },
		"sentinel": func(i int, x float64) float64 {
			if i%50 == 0 {
				return 4.25
			}
			return x
		},
		"halves": func(i int, x float64) float64 { return x + float64(2*(i%2)-1) },
	} {
		moved := make([]float64, len(cur))
		for i, x := range cur {
			moved[i] = change(i, x)
		}
		if c := Numbers(ref, moved); c.P > 1e-4 || c.Effect < DefaultMinEffect {
			t.Errorf("%s: p %v, effect %v", name, c.P, c.Effect)
		}
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := newRand(seed)
		scale := math.Exp(rapid.Float64Range(-6, 6).Draw(t, "scale"))
		shift := rapid.Float64Range(0, 3).Draw(t, "shift")
		ref, cur := normal(r, 400, 0, 1), normal(r, 300, shift, 1)
		base := Numbers(ref, cur)
		// Distances do not see the order of rows.
		mixed := slices.Clone(cur)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		same(t, "permuted", base, Numbers(ref, mixed))
		// Nor the unit, up to rounding.
		grown := func(v []float64) []float64 {
			out := slices.Clone(v)
			for i := range out {
				out[i] *= scale
			}
			return out
		}
		g := Numbers(grown(ref), grown(cur))
		same(t, "scaled", base, g)
		if math.Abs(g.P-base.P) > 1e-9 {
			t.Fatalf("p %v, scaled %v", base.P, g.P)
		}
		// Further away is further away.
		further := slices.Clone(cur)
		for i := range further {
			further[i] += 1
		}
		f := Numbers(ref, further)
		if shift > 0.5 && (f.Wasserstein <= base.Wasserstein || f.KS < base.KS) {
			t.Fatalf("shifted further: %v after %v", f.Wasserstein, base.Wasserstein)
		}
	})
}

func same(t *rapid.T, what string, a, b *Comparison) {
	for i, d := range []float64{a.KS - b.KS, a.PSI - b.PSI, a.JensenShannon - b.JensenShannon, a.Hellinger - b.Hellinger,
		a.TotalVariation - b.TotalVariation, a.LInfinity - b.LInfinity, a.Wasserstein/b.Wasserstein - 1} {
		if math.Abs(d) > 1e-9 {
			t.Fatalf("%s: distance %d differs by %v", what, i, d)
		}
	}
}

func TestHolm(t *testing.T) {
	p := []float64{.03, .001, math.NaN(), .004, .9}
	want := []float64{.01 / 3, .01 / 4, 0, .01 / 3, .01 / 3}
	got := Holm(.01).Limits(p)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-15 {
			t.Errorf("limits %v, want %v", got, want)
		}
	}
	// A column below the bound of its own rank stays when one before it did.
	got = Holm(.05).Limits([]float64{.04, .045})
	if .04 <= got[0] || .045 <= got[1] {
		t.Errorf("limits %v let both drift", got)
	}
	if len(Holm(.01).Limits(nil)) != 0 {
		t.Error("limits of nothing")
	}
}

func BenchmarkNumbers(b *testing.B) {
	for _, m := range []int{1_000, 1_000_000} {
		r := newRand(1)
		ref, cur := normal(r, 100_000, 0, 1), normal(r, m, 0, 1)
		b.Run(fmt.Sprint(m), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Numbers(ref, cur)
			}
		})
	}
}

func BenchmarkLevels(b *testing.B) {
	r := newRand(1)
	ref, cur := make([]int32, 100_000), make([]int32, 1_000_000)
	for _, v := range [][]int32{ref, cur} {
		for i := range v {
			v[i] = int32(300 * math.Pow(r.Float64(), 3))
		}
	}
	for b.Loop() {
		Levels(ref, cur, 300)
	}
}
