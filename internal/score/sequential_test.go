package score_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/score"
)

// TestSequentialGolden: the e-value against the integral that it stands for,
// by quadrature in SciPy (testdata/sequential.py).
func TestSequentialGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/sequential.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Values              []float64
		Alpha               float64
		Effective, Evidence float64
		Mean, Lo, Hi        float64
	}
	if err := json.Unmarshal(b, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1e-3, math.Abs(b)) }
	for i, c := range cases {
		s := score.SequentialMean(c.Values, c.Alpha)
		if !near(s.Effective, c.Effective) || !near(s.Evidence, c.Evidence) || !near(s.Mean, c.Mean) || !near(s.Lo, c.Lo) || !near(s.Hi, c.Hi) {
			t.Errorf("case %d: %+v, expected %+v", i, s, c)
		}
	}
}

// stream makes n values of mean mu and standard deviation 1: independent
// (rho 0) or autoregressive, and with heavy tails when df is not 0.
func stream(rng *rand.Rand, n int, mu, rho float64, df int) []float64 {
	v := make([]float64, n)
	x := rng.NormFloat64()
	for i := range v {
		e := rng.NormFloat64()
		if df > 0 { // Student's t with df degrees of freedom, scaled
			chi := 0.0
			for range df {
				z := rng.NormFloat64()
				chi += z * z
			}
			e *= math.Sqrt(float64(df-2) / chi)
		}
		x = rho*x + math.Sqrt(1-rho*rho)*e
		v[i] = mu + x
	}
	return v
}

// TestSequentialErrs: over 500 streams each, with a look after every value,
// the one-sided error stays within alpha, also where neighbours are alike or
// tails are heavy.
func TestSequentialErrs(t *testing.T) {
	const streams, alpha = 500, 0.05
	for name, c := range map[string]struct {
		rho   float64
		df, n int
	}{"independent": {0, 0, 200}, "alike .3": {0.3, 0, 200}, "alike .6": {0.6, 0, 200}, "heavy tails": {0, 3, 200}, "alike, heavy": {0.4, 4, 200}} {
		wrong, missed := 0, 0
		for seed := range uint64(streams) {
			v := stream(rand.New(rand.NewPCG(seed, 5)), c.n, 0, c.rho, c.df)
			low, out := false, false
			for n := 1; n <= c.n; n++ {
				s := score.SequentialMean(v[:n], alpha)
				low = low || s.Lo > 0
				out = out || s.Lo > 0 || s.Hi < 0
			}
			if low {
				wrong++
			}
			if out {
				missed++
			}
		}
		t.Logf("%s: %d of %d streams were called above 0 at some look, %d left 0 out on either side", name, wrong, streams, missed)
		if wrong > alpha*streams {
			t.Errorf("%s: %d of %d streams wrong, at most %.0f may be", name, wrong, streams, alpha*streams)
		}
	}
}

// TestSequentialSees: a mean that is off by a standard deviation of a block is
// seen within 40 values in nine of ten streams, by half of one within 100.
func TestSequentialSees(t *testing.T) {
	const streams = 200
	for _, c := range []struct {
		mu, rho float64
		n       int
	}{{1, 0, 40}, {0.5, 0, 100}, {1, 0.3, 60}} {
		seen := 0
		for seed := range uint64(streams) {
			v := stream(rand.New(rand.NewPCG(seed, 6)), c.n, c.mu, c.rho, 0)
			for n := 1; n <= c.n; n++ {
				if score.SequentialMean(v[:n], 0.05).Lo > 0 {
					seen++
					break
				}
			}
		}
		t.Logf("mean %v, autocorrelation %v: seen in %d of %d within %d values", c.mu, c.rho, seen, streams, c.n)
		if seen < streams*9/10 {
			t.Errorf("mean %v, autocorrelation %v: seen in %d of %d streams", c.mu, c.rho, seen, streams)
		}
	}
}

// TestSequentialProperties: the interval moves with a shift and scales with
// the unit; evidence and interval agree on 0; what cannot be judged is open.
func TestSequentialProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-5, 5), 0, 60).Draw(t, "v")
		alpha := rapid.SampledFrom([]float64{0.01, 0.05, 0.2}).Draw(t, "alpha")
		s := score.SequentialMean(v, alpha)
		if len(v) < 8 && (!math.IsInf(s.Lo, -1) || !math.IsInf(s.Hi, 1) || s.Evidence != 1) {
			t.Fatalf("%d values were judged: %+v", len(v), s)
		}
		if !math.IsInf(s.Hi, 1) {
			refused := s.Lo > 0 || s.Hi < 0
			if math.Abs(s.Evidence*alpha-1) > 1e-9 && refused != (s.Evidence > 1/alpha) {
				t.Fatalf("interval %v to %v, evidence %v at %v", s.Lo, s.Hi, s.Evidence, alpha)
			}
			if s.Effective <= 0 || s.Effective > float64(len(v)) {
				t.Fatalf("%d values are worth %v", len(v), s.Effective)
			}
		}
		scaled := make([]float64, len(v))
		for i, x := range v {
			scaled[i] = 4*x + 64
		}
		u := score.SequentialMean(scaled, alpha)
		for _, p := range [][2]float64{{u.Lo, 4*s.Lo + 64}, {u.Hi, 4*s.Hi + 64}} {
			if p[0] != p[1] && math.Abs(p[0]-p[1]) > 1e-6*(1+math.Abs(p[1])) && !math.IsNaN(p[1]) {
				t.Fatalf("scaled: %+v of %+v", u, s)
			}
		}
	})
	for name, v := range map[string][]float64{"none": nil, "equal": make([]float64, 20), "NaN": append(make([]float64, 20), math.NaN()), "infinite": append(make([]float64, 20), math.Inf(1))} {
		if s := score.SequentialMean(v, 0.05); s.Evidence != 1 || !math.IsInf(s.Lo, -1) || !math.IsInf(s.Hi, 1) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
