package drift

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// number is a float that JSON may hold as "inf" or "-inf"; null is NaN, which
// means that the reference cannot tell.
type number float64

func (n *number) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		*n = number(math.NaN())
		return nil
	}
	v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	*n = number(v)
	return err
}

// samples are sorted by the reader.
type samples []number

func (s samples) sorted() []float64 {
	v := make([]float64, len(s))
	for i, x := range s {
		v[i] = float64(x)
	}
	v, _ = Sorted(v)
	return v
}

type twoSampleFile struct {
	Numbers []struct {
		Name       string
		A, B       samples
		Quantiles  [][4]number
		Statistics map[string]number
	}
	Levels []struct {
		A, B         []float64
		G, P, KL, LK float64
		DF           int
	}
	Proportions []struct {
		Counts [4]float64
		Z, P   number
		Lo, Hi float64
		Fisher float64
		Wilson [2]float64
	}
	Limits    struct{ CVM, AD, Binomial, Student [][]float64 }
	Evidently struct {
		Levels []struct {
			A, B                   []float64
			PSI, KL, JS, Hellinger float64
			ZP                     *float64 `json:"z_p"`
		}
		Numbers []struct {
			Name                            string
			Energy, Wasserstein, Width, MMD float64
		}
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readTwoSample(t *testing.T) (g twoSampleFile) {
	t.Helper()
	readJSON(t, "testdata/twosample.json", &g)
	if len(g.Numbers) < 12 || len(g.Levels) == 0 || len(g.Proportions) == 0 || len(g.Evidently.Numbers) == 0 {
		t.Fatal("golden values are missing")
	}
	return g
}

// twoSample are the statistics of two sorted samples under the names of
// testdata/twosample.py.
func twoSample(a, b []float64) map[string]float64 {
	v := map[string]float64{
		"ks": KS(a, b), "wasserstein": Wasserstein(a, b), "energy": EnergyDistance(a, b),
		"mmd": MMD(a, b, 0), "mmd20": MMD(a, b, 20),
	}
	v["cvm"], v["cvm_p"] = CramerVonMises(a, b)
	v["ad"], v["ad_p"] = AndersonDarling(a, b)
	v["auc"], v["mw"], v["mw_p"] = MannWhitney(a, b)
	v["mood"], v["mood_p"] = Mood(a, b)
	v["welch"], v["welch_df"], v["welch_p"] = WelchT(a, b)
	v["student"], _, v["student_p"] = StudentT(a, b)
	v["es"], v["es_p"] = EppsSingleton(a, b)
	v["bf"], v["bf_p"] = BrownForsythe(a, b)
	v["mean"], v["std"] = Moments(a)
	return v
}

// TestTwoSampleGolden compares with SciPy and statsmodels, see
// testdata/twosample.py.
func TestTwoSampleGolden(t *testing.T) {
	g := readTwoSample(t)
	compared := map[string]int{}
	for _, c := range g.Numbers {
		a, b := c.A.sorted(), c.B.sorted()
		for name, got := range twoSample(a, b) {
			if want, ok := c.Statistics[name]; ok && want == want {
				compared[name]++
				nearGolden(t, c.Name+" "+name, got, float64(want))
			}
		}
		for _, q := range c.Quantiles {
			shift, lo, hi := QuantileShift(a, b, float64(q[0]), 0.95)
			for i, got := range []float64{shift, lo, hi} {
				nearGolden(t, c.Name+" quantile "+strconv.Itoa(i), got, float64(q[i+1]))
			}
		}
	}
	for name := range twoSample(nil, nil) {
		if compared[name] < 12 && name != "mw" { // scipy has no z
			t.Errorf("%s was compared %d times", name, compared[name])
		}
	}
	for _, c := range g.Levels {
		x, df := GTest(c.A, c.B)
		near(t, "g", x, c.G, 1e-9)
		near(t, "g p", ChiSquareP(x, df), c.P, 1e-9)
		near(t, "kl", KullbackLeibler(Shares(c.A), Shares(c.B)), c.KL, 1e-9)
		near(t, "kl back", KullbackLeibler(Shares(c.B), Shares(c.A)), c.LK, 1e-9)
		if df != c.DF {
			t.Errorf("df %d, want %d", df, c.DF)
		}
	}
	for _, c := range g.Proportions {
		z, p := ProportionZ(c.Counts[0], c.Counts[1], c.Counts[2], c.Counts[3])
		nearGolden(t, "proportion z", z, float64(c.Z))
		nearGolden(t, "proportion p", p, float64(c.P))
		near(t, "fisher", FisherExact(c.Counts[0], c.Counts[1], c.Counts[2], c.Counts[3]), c.Fisher, 1e-9)
		_, lo, hi := ProportionShift(c.Counts[0], c.Counts[1], c.Counts[2], c.Counts[3], 0.95)
		near(t, "newcombe low", lo, c.Lo, 1e-9)
		near(t, "newcombe high", hi, c.Hi, 1e-9)
		lo, hi = Wilson(c.Counts[0], c.Counts[1], 0.95)
		near(t, "wilson low", lo, c.Wilson[0], 1e-9)
		near(t, "wilson high", hi, c.Wilson[1], 1e-9)
	}
}

// nearGolden allows 1e-9 of the value; 1e-14 where it is 0 but for rounding.
// Whatever is as good as the NaN of a reference that cannot tell.
func nearGolden(t *testing.T, what string, got, want float64) {
	t.Helper()
	zero := 0.0
	if math.Abs(want) < 1e-14 && math.Abs(want) > 1e-16 || want == 0 {
		zero = 1e-14
	}
	if got != want && want == want && !(math.Abs(got-want) <= 1e-9*math.Abs(want)+zero) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestLimits compares the limiting distributions with mpmath, far into their
// tails.
func TestLimits(t *testing.T) {
	g := readTwoSample(t).Limits
	if len(g.CVM) == 0 || len(g.AD) == 0 || len(g.Binomial) == 0 || len(g.Student) == 0 {
		t.Fatal("golden values are missing")
	}
	for _, v := range g.CVM {
		near(t, "cramer von mises", CramerVonMisesP(v[0]), v[1], 1e-10)
	}
	for _, v := range g.AD {
		near(t, "anderson darling", AndersonDarlingP(v[0]), v[1], 1e-10)
	}
	for _, v := range g.Binomial {
		near(t, "binomial", binomialCDF(int(v[0]), int(v[1]), v[2]), v[3], 1e-8)
	}
	for _, v := range g.Student {
		near(t, "student", studentP(v[0], v[1]), v[2], 1e-9)
	}
}

// TestEvidentlyGolden compares with what Evidently 0.7 makes of the samples.
func TestEvidentlyGolden(t *testing.T) {
	g := readTwoSample(t)
	for _, c := range g.Evidently.Levels {
		p, q := Shares(c.A), Shares(c.B)
		near(t, "evidently psi", PSI(p, q), c.PSI, 1e-9)
		near(t, "evidently kl", KullbackLeibler(p, q), c.KL, 1e-9)
		near(t, "evidently hellinger", Hellinger(p, q), c.Hellinger, 1e-9)
		// Its Jensen–Shannon distance is in nats.
		near(t, "evidently js", JensenShannon(p, q)*math.Sqrt(math.Ln2), c.JS, 1e-9)
		if c.ZP != nil {
			_, pz := ProportionZ(c.A[0], total(c.A), c.B[0], total(c.B))
			near(t, "evidently z", pz, *c.ZP, 1e-9)
		}
	}
	for _, c := range g.Evidently.Numbers {
		for _, s := range g.Numbers {
			if s.Name != c.Name {
				continue
			}
			a, b := s.A.sorted(), s.B.sorted()
			near(t, c.Name+" evidently energy", EnergyDistance(a, b), c.Energy, 1e-9)
			_, std := Moments(a)
			near(t, c.Name+" evidently wasserstein", Wasserstein(a, b)/std, c.Wasserstein, 1e-9)
			near(t, c.Name+" evidently mmd", discrepancy(a, b, float64(len(a)), float64(len(b)), c.Width), c.MMD, 1e-9)
		}
	}
}

// TestNannyMLGolden compares with NannyML, see testdata/nannyml.py.
func TestNannyMLGolden(t *testing.T) {
	var n struct {
		Numbers []struct {
			Name            string
			KS, Wasserstein float64
		}
		Levels []struct {
			A, B                      []float64
			JS, Hellinger, LInf, Chi2 float64
		}
	}
	readJSON(t, "testdata/nannyml.json", &n)
	if len(n.Numbers) == 0 || len(n.Levels) == 0 {
		t.Fatal("golden values are missing")
	}
	g := readTwoSample(t)
	for _, c := range n.Numbers {
		for _, s := range g.Numbers {
			if s.Name == c.Name {
				a, b := s.A.sorted(), s.B.sorted()
				near(t, c.Name+" nannyml ks", KS(a, b), c.KS, 1e-9)
				near(t, c.Name+" nannyml wasserstein", Wasserstein(a, b), c.Wasserstein, 1e-9)
			}
		}
	}
	for _, c := range n.Levels {
		p, q := Shares(c.A), Shares(c.B)
		x2, _ := ChiSquare(c.A, c.B)
		near(t, "nannyml js", JensenShannon(p, q), c.JS, 1e-9)
		near(t, "nannyml hellinger", Hellinger(p, q), c.Hellinger, 1e-9)
		near(t, "nannyml l-infinity", LInfinity(p, q), c.LInf, 1e-9)
		near(t, "nannyml chi2", x2, c.Chi2, 1e-9)
	}
}
