package fit

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A finder agrees with a binary search over the bounds: on the bounds, their
// neighbours, zeros, infinities, NaN and at random, however far or near to one
// another bounds are.
func TestFinder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	draws := map[string]func() float64{
		"normal":    r.NormFloat64,
		"large":     func() float64 { return 1e9 + r.Float64() },
		"wide":      func() float64 { return math.Exp(200 * r.NormFloat64()) },
		"both ways": func() float64 { return math.Copysign(math.Exp(300*r.NormFloat64()), r.NormFloat64()) },
		"whole":     func() float64 { return float64(r.IntN(7) - 3) },
		"one":       func() float64 { return 5 },
		"tiny":      func() float64 { return 1e-34 * r.NormFloat64() },
		"negative":  func() float64 { return -r.ExpFloat64() },
		"infinite":  func() float64 { return []float64{math.Inf(-1), -1, 2, math.Inf(1)}[r.IntN(4)] },
	}
	for name, draw := range draws {
		for _, maxBin := range []int{2, 3, 16, 255, 5000} {
			for _, missing := range []bool{false, true} {
				b := binning{maxBin: maxBin, minDataInBin: 1, useMissing: true}
				var values []float64
				for range 20000 {
					values = append(values, draw())
				}
				if missing {
					values[7] = math.NaN()
				}
				m := newMapper(newSample(values, nil, true), false, &b, 0)
				probes := append(values, 0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324)
				for _, x := range m.bounds {
					probes = append(probes, x, math.Nextafter(x, math.Inf(1)), math.Nextafter(x, math.Inf(-1)), -x)
				}
				for range 1000 {
					probes = append(probes, draw()+draw())
				}
				got := make([]uint16, len(probes))
				f := newFinder(m)
				setBins(&f, got, probes)
				for i, x := range probes {
					if want := m.bin(x); int(got[i]) != want {
						t.Fatalf("%s, %d bins: %v is in bin %d, expected %d", name, maxBin, x, got[i], want)
					}
				}
			}
		}
	}
}

func FuzzFinder(f *testing.F) {
	f.Add(1.0, 2.0, -3.0, 0.5)
	f.Add(-1e-35, 1e-35, 0.0, 5e-324)
	f.Add(1e300, -1e300, 1e-300, math.Inf(1))
	f.Fuzz(func(t *testing.T, a, b, c, x float64) {
		m := newMapper(newSample([]float64{a, b, c, a, b, c}, nil, true), false, &binning{maxBin: 255, minDataInBin: 1, useMissing: true}, 0)
		find := newFinder(m)
		for _, x := range []float64{a, b, c, x, -x, a + b, (b + c) / 2} {
			got := []uint16{0}
			if setBins(&find, got, []float64{x}); int(got[0]) != m.bin(x) {
				t.Fatalf("%v is in bin %d of %v, expected %d", x, got[0], m.bounds, m.bin(x))
			}
		}
	})
}

func TestFinderOfCategories(t *testing.T) {
	for _, most := range []float64{40, 70_000, 1 << 30} {
		values := []float64{math.NaN(), -1, -0.5}
		for i := range 500 {
			values = append(values, float64(i%41), most, most-float64(i%3))
		}
		m := newMapper(newSample(values, nil, true), true, &binning{maxBin: 255, minDataInBin: 1, useMissing: true}, 0)
		f := newFinder(m)
		probes := append(values, 41, 39.9, most+1, 1<<31, -1<<40, math.Inf(1), math.Inf(-1))
		got := make([]uint8, len(probes))
		setBins(&f, got, probes)
		for i, x := range probes {
			if want := m.bin(x); int(got[i]) != want {
				t.Errorf("category %v is in bin %d, expected %d", x, got[i], want)
			}
		}
	}
}

// built is data by way of a Builder, in parts of so many rows, with a column
// before and one behind that are left out.
func built(t *testing.T, d *Data, p Params, part int) *Dataset {
	t.Helper()
	n := len(d.Features)
	b, err := NewBuilder(len(d.Label), n+2, p)
	if err != nil {
		t.Fatal(err)
	}
	var use []int
	for k := range n + 2 {
		f := (k + n - 1) % n
		col := d.Features[f]
		picked := col
		if b.Rows() != nil {
			picked = nil
			for _, r := range b.Rows() {
				picked = append(picked, col[r])
			}
		}
		b.Sample(k, d.categorical(f), picked)
		lo := 0
		for values := range slices.Chunk(col, part) {
			b.Bin(k, lo, values)
			lo += len(values)
		}
		if k > 0 && k <= n {
			use = append(use, k)
		}
	}
	ds, err := b.Dataset(use, d.Names, d.Label, d.Weight)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func TestBuilderEqualsNewDataset(t *testing.T) {
	for _, c := range []struct{ rows, sample, maxBin, part int }{
		{3000, 200_000, 255, 3000}, {3000, 200_000, 255, 7}, {9000, 1000, 255, 4096}, {9000, 8000, 2000, 1000},
	} {
		d, p := task("regression", c.rows, 15)
		p.BinConstructSampleCt, p.MaxBin, p.MinDataInBin, p.NumIterations = c.sample, c.maxBin, 1, 5
		want, err := NewDataset(d, p)
		if err != nil {
			t.Fatal(err)
		}
		got := built(t, d, p, c.part)
		if !bytes.Equal(modelOf(t, got, p), modelOf(t, want, p)) {
			t.Errorf("%+v: the models differ", c)
		}
		for _, d := range []*Dataset{got, want} {
			for i := range d.groups {
				d.groups[i].kernel = nil // functions are never deeply equal
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: the Builder's Dataset differs from NewDataset's", c)
		}
	}
}

func modelOf(t *testing.T, d *Dataset, p Params) []byte {
	t.Helper()
	res, err := TrainDataset(context.Background(), View{Data: d}, View{}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := res.Model.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Without bins by column the model is the same.
func TestBinsByRowAlone(t *testing.T) {
	d, p := task("regression", 9000, 15)
	p.MaxBin, p.MinDataInBin, p.NumIterations, p.BaggingFraction, p.BaggingFreq = 2000, 1, 5, 0.5, 1
	ds, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	want := modelOf(t, ds, p)
	for i := range ds.features {
		ds.features[i].narrow, ds.features[i].wide = nil, nil
	}
	if got := modelOf(t, ds, p); !bytes.Equal(got, want) {
		t.Error("the model without bins by column differs")
	}
}

func TestBuilderErrors(t *testing.T) {
	p := Defaults()
	for _, c := range []struct {
		rows, columns int
		want          string
	}{{0, 1, "no rows"}, {1, 0, "no features"}, {1 << 31, 1, "at most"}} {
		if _, err := NewBuilder(c.rows, c.columns, p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d × %d: error %v, expected %q", c.rows, c.columns, err, c.want)
		}
	}
	bad := p
	bad.MaxBin = 1
	if _, err := NewBuilder(1, 1, bad); err == nil {
		t.Error("a max_bin of 1 was taken")
	}
	for _, c := range []struct {
		use    []int
		names  []string
		label  []float64
		weight []float64
		want   string
	}{
		{[]int{0}, nil, []float64{1, math.NaN()}, nil, "row 1 has the label NaN"},
		{[]int{0}, nil, []float64{1, 2}, []float64{1, -1}, "row 1 has the weight -1"},
		{[]int{0}, nil, []float64{1}, nil, "1 labels for 2 rows"},
		{[]int{0}, []string{"a", "b"}, []float64{1, 2}, nil, "2 names for 1 features"},
		{nil, nil, []float64{1, 2}, nil, "no features"},
		{[]int{1}, nil, []float64{1, 2}, nil, "column 1 was not sampled"},
	} {
		b, err := NewBuilder(2, 2, p)
		if err != nil {
			t.Fatal(err)
		}
		b.Sample(0, false, []float64{1, 2})
		if _, err := b.Dataset(c.use, c.names, c.label, c.weight); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, expected %q", err, c.want)
		}
	}
}

// BenchmarkBin finds the bins of one column.
func BenchmarkBin(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	draws := map[string]func() float64{
		"normal": r.NormFloat64, "lognormal": func() float64 { return math.Exp(2 * r.NormFloat64()) }, "whole": func() float64 { return float64(r.IntN(50)) },
	}
	for _, name := range []string{"normal", "lognormal", "whole", "category"} {
		draw := draws[name]
		if draw == nil {
			draw = draws["whole"]
		}
		values := make([]float64, 1<<17)
		for i := range values {
			values[i] = draw()
		}
		m := newMapper(newSample(values, nil, true), name == "category", &binning{maxBin: 255, minDataInBin: 3, useMissing: true}, 20)
		b.Run(fmt.Sprintf("%s/search", name), func(b *testing.B) {
			bins := make([]uint8, len(values))
			b.ReportAllocs()
			for b.Loop() {
				for i, x := range values {
					bins[i] = uint8(m.bin(x))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(values)), "ns/value")
		})
		b.Run(fmt.Sprintf("%s/finder", name), func(b *testing.B) {
			c := newColumn(m, len(values))
			b.ReportAllocs()
			for b.Loop() {
				c.bin(0, values)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(values)), "ns/value")
		})
	}
}

// bin is the bin of one value by its definition, which a finder looks up.
func (m *mapper) bin(x float64) int {
	if m.categorical {
		return int(m.index[categoryCode(x)])
	}
	if math.IsNaN(x) {
		if m.missing {
			return m.bins - 1
		}
		x = 0
	}
	b := m.bounds
	lo, n := 0, len(b)
	for n > 1 {
		half := n / 2
		if x > b[lo+half-1] {
			lo += half
		}
		n -= half
	}
	return lo
}
