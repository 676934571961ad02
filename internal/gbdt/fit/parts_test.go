package fit

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/splitmix"
)

func TestSet(t *testing.T) {
	p := Defaults()
	for _, kv := range [][2]string{
		{"n_estimators", "7"}, {"eta", "0.3"}, {"Max-Leaves", "9"}, {"reg_lambda", "2"}, {"reg_alpha", "1"},
		{"subsample", "0.5"}, {"subsample_freq", "3"}, {"colsample_bytree", "0.6"}, {"min_child_samples", "4"},
		{"min_child_weight", "0.01"}, {"random_state", "11"}, {"n_jobs", "2"}, {"application", "MAE"},
		{"unbalance", "true"}, {"boost_from_average", "-"}, {"num_classes", "1"}, {"early_stopping", "5"},
		{"boosting", "gbdt"}, {"verbosity", "-1"}, {"device", "cpu"}, {"max_bins", "63"},
	} {
		if err := p.Set(kv[0], kv[1]); err != nil {
			t.Error(err)
		}
	}
	want := Defaults()
	want.NumIterations, want.LearningRate, want.NumLeaves, want.LambdaL2, want.LambdaL1 = 7, 0.3, 9, 2, 1
	want.BaggingFraction, want.BaggingFreq, want.FeatureFraction, want.MinDataInLeaf = 0.5, 3, 0.6, 4
	want.MinSumHessianInLeaf, want.Seed, want.NumThreads, want.Objective = 0.01, 11, 2, "regression_l1"
	want.IsUnbalance, want.BoostFromAverage, want.EarlyStoppingRound, want.MaxBin = true, false, 5, 63
	if p != want {
		t.Errorf("%+v, expected\n%+v", p, want)
	}
}

func TestSetRefuses(t *testing.T) {
	p := Defaults()
	for _, c := range [][3]string{
		{"num_leafs", "3", "did you mean num_leaf"},
		{"learning_rat", "3", "learning_rate"},
		{"xyzzyxyzzy", "3", "no such parameter"},
		{"num_leaves", "3.5", "whole number"},
		{"num_leaves", "99999999999", "whole number"},
		{"learning_rate", "fast", "expected a number"},
		{"learning_rate", "nan", "expected a number"},
		{"is_unbalance", "maybe", "true or false"},
		{"objective", "lambdarank", "one of regression, "},
		{"boosting", "dart", "gbdt, rf or goss"},
		{"path_smooth", "1", "not supported"},
		{"metric", "auc", "not supported"},
	} {
		var e *ParamError
		if err := p.Set(c[0], c[1]); !errors.As(err, &e) || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s=%s: %v, expected %q", c[0], c[1], err, c[2])
		}
	}
	if p != Defaults() {
		t.Errorf("refused parameters were set: %+v", p)
	}
}

// Whatever Validate takes, the model file gives back.
func TestListSets(t *testing.T) {
	p := Defaults()
	p.RegSqrt, p.LearningRate, p.Seed, p.NumThreads = true, 0.0123456789, 5, 0
	q := Params{}
	for _, kv := range p.List() {
		if err := q.Set(kv[0], kv[1]); err != nil {
			t.Error(err)
		}
	}
	if p != q {
		t.Errorf("%+v, expected\n%+v", q, p)
	}
}

func TestSortFloats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64(), 0, 40).Draw(t, "v")
		for len(v) > 0 && rapid.Bool().Draw(t, "long") && len(v) < 4000 {
			v = append(v, v...)
			for i := range v[:len(v)/2] {
				v[i] *= -1.5
			}
		}
		want := slices.Clone(v)
		slices.Sort(want)
		sortFloats(v)
		if !slices.Equal(v, want) {
			t.Fatalf("%v, expected %v", v, want)
		}
	})
}

// Bins of numbers keep their order, zero and NaN have their own, and there
// are no more than allowed.
func TestNumberBins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-3, 3), rapid.SampledFrom([]float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1)}))
		v := rapid.SliceOfN(value, 1, 200).Draw(t, "v")
		b := binning{maxBin: rapid.IntRange(3, 40).Draw(t, "max_bin"), minDataInBin: rapid.IntRange(1, 5).Draw(t, "min"), useMissing: true}
		m := newMapper(newSample(v, nil, true), false, &b, 0)
		if m.bins > b.maxBin {
			t.Fatalf("%d bins of %d", m.bins, b.maxBin)
		}
		for _, x := range v {
			at := m.bin(x)
			if math.IsNaN(x) {
				if at != m.bins-1 || !m.missing {
					t.Fatalf("NaN is in bin %d of %d", at, m.bins)
				}
				continue
			}
			if x > m.bounds[at] || at > 0 && x <= m.bounds[at-1] {
				t.Fatalf("%v is in bin %d of %v", x, at, m.bounds)
			}
			if x != 0 && math.Abs(x) > 1e-30 && at == m.bin(0) && b.maxBin > 4 {
				t.Fatalf("%v is in the bin of zero: %v", x, m.bounds)
			}
		}
		if !slices.IsSorted(m.bounds) || !math.IsInf(m.bounds[len(m.bounds)-1], 1) {
			t.Fatalf("bounds %v", m.bounds)
		}
	})
}

func TestCategoryBins(t *testing.T) {
	var v []float64
	for code, n := range []int{5, 50, 0, 900, 2, 1} {
		v = append(v, slices.Repeat([]float64{float64(code)}, n)...)
	}
	v = append(v, math.NaN(), -4)
	b := binning{maxBin: 255, minDataInBin: 3, useMissing: true}
	m := newMapper(newSample(v, nil, true), true, &b, 0)
	if want := []int32{-1, 3, 1, 0}; !slices.Equal(m.categories, want) {
		t.Errorf("categories %v, expected %v", m.categories, want)
	}
	for x, want := range map[float64]int{3: 1, 3.9: 1, 1: 2, 0: 3, -0.5: 3, 4: 0, 5: 0, 77: 0, -1: 0, 1e300: 0, math.Inf(1): 0} {
		if got := m.bin(x); got != want {
			t.Errorf("%v is in bin %d, expected %d", x, got, want)
		}
	}
	if got := m.bin(math.NaN()); got != 0 || !m.missing || m.info() != "-1:3:1:0" {
		t.Errorf("NaN is in bin %d, missing %v, info %s", got, m.missing, m.info())
	}
}

// The two most frequent categories have bins however rare they are.
func TestRareCategories(t *testing.T) {
	b := binning{maxBin: 255, minDataInBin: 3, useMissing: true}
	m := newMapper(newSample([]float64{9, 9, 4, 7}, nil, true), true, &b, 0)
	if want := []int32{-1, 9, 4}; !slices.Equal(m.categories, want) {
		t.Errorf("categories %v, expected %v", m.categories, want)
	}
}

// More categories than a byte holds, and bins wider than one, go into words
// of 16 bits.
func TestWideFeatures(t *testing.T) {
	d, p := task("regression", 9000, 15)
	p.MaxBin, p.MinDataInBin, p.NumIterations, p.NumThreads = 5000, 1, 3, 2
	ds, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	wide := 0
	for i := range ds.features {
		f := &ds.features[i]
		if ds.groups[f.group].wide {
			wide++
		}
		for row := range int32(9000) {
			if got, want := ds.bin(f, row), f.bin(d.Features[f.index][row]); got != want {
				t.Fatalf("feature %d, row %d: bin %d, expected %d", f.index, row, got, want)
			}
		}
	}
	if wide < 4 || wide == len(ds.features) {
		t.Errorf("%d of %d features are wide", wide, len(ds.features))
	}
}

// Histograms hold, for every number of lanes and for rows that follow one
// another or not, the sums of the rows in each bin.
func TestHistogram(t *testing.T) {
	const n = 2000
	d, p := task("regression", n, 16)
	quant := make([]int64, n)
	var rows []int32
	for i := range quant {
		quant[i] = int64(i%13-6)<<32 + int64(i%5)
		if i%3 != 1 {
			rows = append(rows, int32(i))
		}
	}
	for _, maxBin := range []int{255, 1000} {
		for features := 1; features <= 2*narrowLanes+1; features++ {
			p.MaxBin, p.MinDataInBin = maxBin, 1
			wide := &Data{Label: d.Label}
			for f := range features {
				wide.Features = append(wide.Features, d.Features[f%2])
			}
			ds, err := NewDataset(wide, p)
			if err != nil {
				t.Fatal(err)
			}
			alive, st := slices.Repeat([]bool{true}, len(ds.groups)), newStage(ds.stride)
			for _, part := range []struct {
				rows   []int32
				lo, hi int
			}{{rows, 0, 0}, {nil, 0, n}, {nil, 300, 1800}} {
				hist := make([]int64, ds.histLen)
				ds.accumulate(hist, alive, part.rows, quant, &st)
				ds.accumulateRange(hist, alive, part.lo, part.hi, quant)
				added := part.rows
				for r := part.lo; r < part.hi; r++ {
					added = append(added, int32(r))
				}
				for i := range ds.features {
					f := &ds.features[i]
					want := make([]int64, f.bins)
					for _, r := range added {
						want[f.bin(wide.Features[f.index][r])] += quant[r]
					}
					if !slices.Equal(hist[f.at:f.at+f.bins], want) {
						t.Fatalf("%d features of up to %d bins, feature %d: histogram differs", features, maxBin, f.index)
					}
				}
			}
		}
	}
}

// Packed numbers are right on average and to a unit, their sums do not
// overflow into one another, and equal hessians are counted.
func TestPacking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		scale := math.Pow(10, float64(rapid.IntRange(-30, 30).Draw(t, "scale")))
		constant := rapid.Bool().Draw(t, "constant")
		extreme := rapid.Bool().Draw(t, "extreme")
		times := 1 << rapid.IntRange(0, 17).Draw(t, "the rows so often")
		x := rapid.Uint64().Draw(t, "seed")
		grad, rows, quant := make([]pair, n), make([]int32, n), make([]int64, n)
		for i := range grad {
			x = splitmix.Mix(x)
			size := scale
			if x%64 == 0 {
				size *= 1e6 // a few are far greater than the others
			}
			grad[i] = pair{float32(size * (float64(x>>11)*0x1p-52 - 1)), float32(size * float64(x&0xffff) / 0xffff)}
			if extreme {
				grad[i] = pair{float32(-scale), float32(scale)}
			}
			if constant {
				grad[i].h = float32(scale)
			}
			rows[i] = int32(i)
		}
		e := extentOf(rows, grad)
		e.gSum, e.hSum = e.gSum*float64(times), e.hSum*float64(times)
		p := newPacking(n*times, e)
		total := p.pack(rows, grad, quant, x)
		var want sums
		var sum, upward, downward int64
		for i, q := range quant {
			got, g, h := p.unpack(q), float64(grad[i].g), float64(grad[i].h)
			if math.Abs(got.g-g) > p.gUnit || math.Abs(got.h-h) > p.hUnit {
				t.Fatalf("row %d: %v became %v, units %v and %v", i, grad[i], got, p.gUnit, p.hUnit)
			}
			if constant && got.h != h {
				t.Fatalf("row %d: hessian %v became %v", i, h, got.h)
			}
			want.g, want.h = want.g+g, want.h+h
			sum += q
			if got.g > 0 {
				upward += q
			} else {
				downward += q
			}
		}
		if sum != total {
			t.Fatalf("sum %d, expected %d", total, sum)
		}
		got := p.unpack(total)
		spread := 5*math.Sqrt(float64(n)) + 1
		if math.Abs(got.g-want.g) > spread*p.gUnit+1e-9*e.gSum || math.Abs(got.h-want.h) > spread*p.hUnit+1e-9*e.hSum {
			t.Fatalf("sums %v, expected %v within %v units (%v, %v)", got, want, spread, p.gUnit, p.hUnit)
		}
		// As many rows as were claimed fit, on either side of zero.
		for _, part := range []int64{upward, downward, total} {
			one, all := p.unpack(part), p.unpack(part*int64(times))
			if all.g != one.g*float64(times) || math.Abs(all.h-one.h*float64(times)) > 1e-9*all.h {
				t.Fatalf("%d times %v is %v", times, one, all)
			}
		}
	})
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []residual
		want float64
	}{
		{[]residual{{3, 1}}, 3},
		{[]residual{{3, 1}, {1, 1}}, 2},
		{[]residual{{3, 1}, {1, 1}, {9, 1}}, 3},
		{[]residual{{3, 1}, {1, 5}, {9, 1}}, 1},
		{[]residual{{1, 2}, {2, 0}, {9, 2}}, 5},
		{[]residual{{1, 0}, {9, 3}, {20, 0}}, 9},
		{[]residual{{1, 0}, {2, 0}, {9, 0}}, 2},
	} {
		if got := quantile(slices.Clone(c.v), 0.5); got != c.want {
			t.Errorf("%v: %v, expected %v", c.v, got, c.want)
		}
	}
}

// Gradients are the slopes of the loss, hessians (but for the documented
// factors) theirs.
func TestDerivatives(t *testing.T) {
	p := Defaults()
	p.NumClass, p.Sigmoid, p.ScalePosWeight = 3, 1.4, 1
	for _, objective := range Objectives() {
		p.Objective = objective
		o := newObjective(&p)
		tg := &target{label: []float64{1}, weight: []float64{0.7}, rows: []int32{0}}
		o.prepare(tg)
		scores := [][]float64{{0.3}, {-0.2}, {0.9}}
		grads := func() []pair {
			out := [][]pair{make([]pair, 1), make([]pair, 1), make([]pair, 1)}
			o.gradients(tg, tg.rows, scores, out)
			return []pair{out[0][0], out[1][0], out[2][0]}
		}
		const step = 1e-3
		slope := func(f func() float64, k int) float64 {
			scores[k][0] += step
			up := f()
			scores[k][0] -= 2 * step
			down := f()
			scores[k][0] += step
			return (up - down) / (2 * step)
		}
		lossFactor, hessFactor := 1.0, 1.0
		switch objective {
		case "regression":
			lossFactor = 0.5
		case "poisson":
			hessFactor = math.Exp(0.7)
		case "regression_l1", "quantile", "mape":
			hessFactor = 0 // their hessians stand for a row each
		case "multiclass":
			hessFactor = 1.5
		}
		for k := range 3 {
			if k > 0 && objective != "multiclass" {
				break
			}
			g := grads()[k]
			if want := lossFactor * slope(func() float64 { return o.loss(tg, tg.rows, scores) }, k); math.Abs(float64(g.g)-want) > 1e-5 {
				t.Errorf("%s, output %d: gradient %v, the loss has %v", objective, k, g.g, want)
			}
			if want := hessFactor * slope(func() float64 { return float64(grads()[k].g) }, k); hessFactor > 0 && math.Abs(float64(g.h)-want) > 1e-3 {
				t.Errorf("%s, output %d: hessian %v, the gradient has %v", objective, k, g.h, want)
			}
		}
	}
}

// partition is stable and loses no row, with one block and with several.
func TestPartition(t *testing.T) {
	d, p := task("regression", 20000, 17)
	p.NumThreads = 2
	ds, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	c := newCrew(2)
	defer c.close()
	for _, n := range []int{1, 2, 100, 19000} {
		g := newGrower(ds, &p, c, 20000)
		before := g.rows[0]
		for i := range before {
			before[i] = 19999 - int32(i)
		}
		f := &ds.features[0]
		table := make([]uint8, f.bins)
		for b := 0; b < f.bins; b += 3 {
			table[b] = 1
		}
		l := &growing{begin: 700, count: n}
		left := g.partition(l, f, table)
		var want, right []int32
		for _, r := range before[700 : 700+n] {
			if table[ds.bin(f, r)] != 0 {
				want = append(want, r)
			} else {
				right = append(right, r)
			}
		}
		if left != len(want) || !slices.Equal(g.rowsOf(l), slices.Concat(want, right)) {
			t.Errorf("%d rows: %d go left, expected %d in their order", n, left, len(want))
		}
	}
}

func TestCrew(t *testing.T) {
	for _, threads := range []int{1, 2, 8} {
		c := newCrew(threads)
		for n := range 200 {
			done := make([]atomic.Int32, n)
			c.run(n, func(worker, i int) {
				if worker < 0 || worker >= c.size {
					t.Errorf("worker %d of %d", worker, c.size)
				}
				done[i].Add(1)
			})
			for i := range done {
				if done[i].Load() != 1 {
					t.Fatalf("job %d of %d was done %d times", i, n, done[i].Load())
				}
			}
		}
		c.close()
	}
}

// A tree costs its own few arrays and nothing a split.
func TestGrowAllocates(t *testing.T) {
	d, p := task("regression", 5000, 18)
	p.NumThreads = 1
	ds, err := NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(View{Data: ds}, View{}, p)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.crew.close()
	tr.begin()
	tr.gradients()
	tr.drawFeatures()
	grow := func() { tr.grower.grow(tr.in, tr.whole, tr.grad[0], joinExtents(tr.extents[0])) }
	grow()
	if n := testing.AllocsPerRun(5, grow); n > 150 {
		t.Errorf("%v allocations a tree", n)
	}
}

func TestInfoNumber(t *testing.T) {
	for x, want := range map[float64]string{0.1: "0.10000000000000001", math.Inf(1): "inf", math.Inf(-1): "-inf", 1e22: "1e+22", -3: "-3"} {
		if got := infoNumber(x); got != want {
			t.Errorf("%v: %s, expected %s", x, got, want)
		}
	}
}

// LightGBM's generator, from the state that its source starts with.
func TestRandom(t *testing.T) {
	r := newRandom(1)
	if a, b := r.next(), r.next(); a != 2745024 || b != 3357800067 {
		t.Errorf("%d, %d", a, b)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		k := rapid.IntRange(-1, 310).Draw(t, "k")
		r := newRandom(rapid.Int().Draw(t, "seed"))
		s := r.sample(nil, n, k)
		if k < 0 || k > n {
			k = 0
		}
		if len(s) != k || !slices.IsSorted(s) || len(slices.Compact(slices.Clone(s))) != k || k > 0 && (s[0] < 0 || s[k-1] >= n) {
			t.Fatalf("%d of %d: %v", k, n, s)
		}
	})
}

func TestExp(t *testing.T) {
	v := []float64{0, 1, -1, 0.3465, -0.3466, 1e-20, 20, -20, 300, -300, 699.9, -699.9}
	for x := -30.0; x < 30; x += 0.00713 {
		v = append(v, x)
	}
	got := slices.Clone(v)
	expInPlace(got)
	for i, x := range v {
		if d := got[i]/math.Exp(x) - 1; !(math.Abs(d) < 1e-9) {
			t.Errorf("e^%v = %v, off by %g", x, got[i], d)
		}
	}
	one := slices.Clone(v)
	expNumbers(one)
	if !slices.Equal(got, one) {
		t.Error("vectors and single numbers differ")
	}
	limits := []float64{math.Inf(1), math.Inf(-1), math.NaN()}
	many := slices.Repeat(limits, 8)
	expInPlace(many)
	expInPlace(limits)
	for i, x := range many {
		if want := limits[i%3]; x != want && (x == x || want == want) {
			t.Errorf("a limit is %v in a vector and %v alone", x, want)
		}
	}
	if !(limits[0] > 1e300) || !(limits[1] > 0 && limits[1] < 1e-300) || limits[2] == limits[2] {
		t.Errorf("limits %v", limits)
	}
}
