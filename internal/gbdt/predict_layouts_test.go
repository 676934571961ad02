package gbdt

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// kinds are the machines whose layouts can be tried here, the present one and
// those with fewer kernels.
func kinds() []machineKind {
	all := []machineKind{{}, {rows: true}, {rows: true, trees: true}}
	here := machine()
	return slices.DeleteFunc(all, func(k machineKind) bool { return k.rows && !here.rows || k.trees && !here.trees })
}

// layouts returns predictors of one model: the plain one first, then one a
// machine.
func layouts(t testing.TB, m *Model) []*Predictor {
	t.Helper()
	base := predictor(t, m)
	plain := *base
	var err error
	if plain.plain, err = newPlain(m); err != nil {
		t.Fatal(err)
	}
	plain.coded = nil
	out := []*Predictor{&plain}
	for _, k := range kinds() {
		p := plain
		if p.coded = newCoded(m, k); p.coded == nil {
			t.Fatal("the model does not fit codes")
		}
		out = append(out, &p)
	}
	return out
}

// thresholds that hurt.
var oddNumbers = []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), 1e308, -1e308, 5e-324, -5e-324,
	1e-35, -1e-35, ZeroThreshold, -ZeroThreshold, 1e-34, 2e-36}

// modelShape says what randomModel draws.
type modelShape struct {
	trees, leaves, features, outputs int
	cuts                             int     // distinct thresholds a feature, beside the odd ones
	sets                             float64 // share of nodes on categories
	categories                       int
}

// randomModel draws trees of random shapes with every missing rule.
func randomModel(r *rand.Rand, s modelShape) *Model {
	m := &Model{NumClass: 1, TreesPerIteration: s.outputs}
	for f := range s.features {
		m.FeatureNames = append(m.FeatureNames, fmt.Sprint("f", f))
		m.FeatureInfos = append(m.FeatureInfos, "none")
	}
	for range s.trees {
		m.Trees = append(m.Trees, randomTree(r, s, 1+r.IntN(s.leaves)))
	}
	return m
}

func randomTree(r *rand.Rand, s modelShape, leaves int) Tree {
	t := Tree{Shrinkage: 1}
	// A leaf at a time is split; the new leaf takes the next number.
	type end struct {
		node int
		left bool
	}
	ends := []end{{node: -1}}
	for i := range leaves - 1 {
		at := r.IntN(len(ends))
		if r.IntN(3) == 0 {
			at = len(ends) - 1 // now and then a deep tree
		}
		if e := ends[at]; e.node >= 0 {
			to := t.Right
			if e.left {
				to = t.Left
			}
			to[e.node] = int32(i)
		}
		randomNode(r, s, &t)
		t.Left, t.Right = append(t.Left, int32(^at)), append(t.Right, int32(^len(ends)))
		ends[at] = end{i, true}
		ends = append(ends, end{i, false})
	}
	inner := leaves - 1
	t.Gain, t.InternalValue, t.InternalWeight, t.InternalCount = make([]float64, inner), make([]float64, inner), make([]float64, inner), make([]int64, inner)
	t.LeafWeight, t.LeafCount = make([]float64, leaves), make([]int64, leaves)
	for range leaves {
		t.LeafValue = append(t.LeafValue, r.NormFloat64()*math.Pow(10, float64(r.IntN(8)-4)))
	}
	return t
}

func randomNode(r *rand.Rand, s modelShape, t *Tree) {
	f := r.IntN(s.features)
	t.Feature = append(t.Feature, int32(f))
	if s.categories > 0 && r.Float64() < s.sets {
		if t.CatBoundaries == nil {
			t.CatBoundaries = []int32{0}
		}
		t.Threshold = append(t.Threshold, float64(t.NumSets()))
		for range r.IntN(s.categories/32 + 2) {
			t.CatThreshold = append(t.CatThreshold, r.Uint32()&r.Uint32())
		}
		t.CatBoundaries = append(t.CatBoundaries, int32(len(t.CatThreshold)))
		t.Decision = append(t.Decision, Categorical|uint8(r.IntN(2))*DefaultLeft)
		return
	}
	x := float64(r.IntN(s.cuts)-s.cuts/2) / 4
	if r.IntN(8) == 0 {
		x = oddNumbers[r.IntN(len(oddNumbers))]
	}
	t.Threshold = append(t.Threshold, x)
	t.Decision = append(t.Decision, uint8(r.IntN(2))*DefaultLeft|[]uint8{0, MissingZero, MissingNaN}[r.IntN(3)])
}

// randomRow draws values at thresholds, next to them, and odd ones.
func randomRow(r *rand.Rand, m *Model, row []float64) {
	for f := range row {
		row[f] = r.NormFloat64() * 20
		if t := &m.Trees[r.IntN(len(m.Trees))]; len(t.Threshold) > 0 {
			row[f] = t.Threshold[r.IntN(len(t.Threshold))]
		}
		switch r.IntN(8) {
		case 0:
			row[f] = math.Nextafter(row[f], math.Inf(1))
		case 1:
			row[f] = math.Nextafter(row[f], math.Inf(-1))
		case 2:
			row[f] = oddNumbers[r.IntN(len(oddNumbers))]
		case 3:
			row[f] = math.NaN()
		case 4:
			row[f] = float64(r.IntN(80)) - 2.5
		}
	}
}

func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// sameAnswers fails unless all layouts give the plain one's answers for rows.
func sameAnswers(t testing.TB, m *Model, rows []float64) {
	t.Helper()
	all := layouts(t, m)
	plain := all[0]
	f, k, n := m.NumFeatures(), m.NumOutputs(), len(rows)/m.NumFeatures()
	want, leaves := make([]float64, n*k), make([][]int32, n)
	for i := range n {
		plain.Raw(want[i*k:(i+1)*k], rows[i*f:(i+1)*f])
		leaves[i] = make([]int32, len(m.Trees))
		plain.Leaves(leaves[i], rows[i*f:(i+1)*f])
	}
	got, numbers := make([]float64, n*k), make([]int32, len(m.Trees))
	cols := make([][]float64, f)
	for j := range cols {
		cols[j] = make([]float64, n)
		for i := range n {
			cols[j][i] = rows[i*f+j]
		}
	}
	for a, p := range all {
		for i := range n {
			row := rows[i*f : (i+1)*f]
			if p.Raw(got[:k], row); !sameBits(got[:k], want[i*k:(i+1)*k]) {
				t.Fatalf("layout %d, row %v: %v, expected %v", a, row, got[:k], want[i*k:(i+1)*k])
			}
			if p.Leaves(numbers, row); !slices.Equal(numbers, leaves[i]) {
				t.Fatalf("layout %d, row %v: leaves %v, expected %v", a, row, numbers, leaves[i])
			}
		}
		for _, threads := range []int{1, 3} {
			clear(got)
			if p.PredictRows(got, rows, threads); !sameBits(got, want) {
				t.Fatalf("layout %d, %d threads: rows differ", a, threads)
			}
			clear(got)
			if p.PredictColumns(got, cols, threads); !sameBits(got, want) {
				t.Fatalf("layout %d, %d threads: columns differ", a, threads)
			}
		}
	}
}

// Every layout gives the bits of the plain walk, whatever the model.
func TestLayoutsAgree(t *testing.T) {
	for name, s := range map[string]modelShape{
		"one leaf":              {trees: 3, leaves: 1, features: 2, outputs: 1, cuts: 4},
		"small":                 {trees: 70, leaves: 31, features: 5, outputs: 1, cuts: 30},
		"32 leaves, 130 trees":  {trees: 130, leaves: 32, features: 9, outputs: 1, cuts: 300},
		"33 leaves":             {trees: 20, leaves: 33, features: 4, outputs: 1, cuts: 60},
		"256 leaves":            {trees: 20, leaves: 256, features: 6, outputs: 1, cuts: 900},
		"many columns":          {trees: 30, leaves: 60, features: 40, outputs: 1, cuts: 30},
		"more than 256":         {trees: 9, leaves: 700, features: 6, outputs: 1, cuts: 500},
		"classes":               {trees: 21, leaves: 12, features: 3, outputs: 7, cuts: 20},
		"categories":            {trees: 12, leaves: 30, features: 3, outputs: 1, cuts: 9, sets: .5, categories: 90},
		"only categories":       {trees: 5, leaves: 9, features: 2, outputs: 1, cuts: 9, sets: 1, categories: 40},
		"wide":                  {trees: 40, leaves: 20, features: 300, outputs: 1, cuts: 5},
		"enough for goroutines": {trees: 130, leaves: 250, features: 4, outputs: 1, cuts: 50},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(len(name))))
			for range 3 {
				m := randomModel(r, s)
				rows := make([]float64, (blockRows+60)*s.features)
				if s.trees*s.leaves > minShare/100 {
					rows = append(rows, make([]float64, 2*blockRows*s.features)...)
				}
				for i := 0; i < len(rows); i += s.features {
					randomRow(r, m, rows[i:i+s.features])
				}
				sameAnswers(t, m, rows)
			}
		})
	}
}

// A model of no trees, and an average, in every layout.
func TestLayoutsOfOddModels(t *testing.T) {
	m := &Model{NumClass: 1, TreesPerIteration: 1, FeatureNames: []string{"a"}, FeatureInfos: []string{"none"}}
	sameAnswers(t, m, make([]float64, 40))
	for _, path := range ownModels(t) {
		m := readModel(t, path)
		m.AverageOutput, m.Objective = false, ""
		m.NumClass = 1
		sameAnswers(t, m, slices.Concat(readRows(t, "testdata/rows.csv")...))
	}
}

// A model whose category tables would be too large keeps the plain layout.
func TestHugeSetsStayPlain(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	words := make([]uint32, 40_000)
	for i := range words {
		words[i] = ^uint32(0)
	}
	for i := range m.Trees {
		for j, d := range m.Trees[i].Decision {
			if d&Categorical != 0 {
				m.Trees[i].Threshold[j] = 0
			}
		}
		if m.Trees[i].NumSets() > 0 {
			m.Trees[i].CatBoundaries, m.Trees[i].CatThreshold = []int32{0, int32(len(words))}, words
		}
	}
	p := predictor(t, m)
	if p.coded != nil || p.plain == nil {
		t.Fatal("five million bytes of tables were made")
	}
	rows := readRows(t, "testdata/rows.csv")
	want, got := make([]float64, len(rows)), make([]float64, len(rows))
	for i, row := range rows {
		p.Predict(want[i:i+1], row)
	}
	if p.PredictColumns(got, turn(rows), 2); !sameBits(got, want) {
		t.Error("a batch predicts otherwise than single rows")
	}
}

// The kernels do what their twins in Go do.
func TestKernels(t *testing.T) {
	if !machine().trees {
		t.Skip("this machine has no AVX-512 with byte permutations")
	}
	r := rand.New(rand.NewPCG(1, 2))
	m := randomModel(r, modelShape{trees: 200, leaves: 40, features: 20, outputs: 1, cuts: 200})
	c := newCoded(m, machine())
	values := make([]float64, blockRows)
	for i := range values {
		randomRow(r, m, values[i:i+1])
	}
	for i := range c.coder.tables {
		table := &c.coder.tables[i]
		for _, small := range []float64{-1, ZeroThreshold} {
			for _, part := range [][]float64{values, values[:1], {1, 2, 3}, {math.NaN()}} {
				a, b := make([]uint8, len(part)), make([]uint8, len(part))
				if x, y := codeColumnGo(a, part, table, small), codeColumnVector(b, part, table, small); x != y || !slices.Equal(a, b) {
					t.Fatalf("codes of %v: %v %v, expected %v %v", part, b, y, a, x)
				}
			}
		}
	}
	codes := make([]uint8, c.coder.columns*blockRows)
	for i := range codes {
		codes[i] = uint8(r.IntN(maxCode + 1))
	}
	for i := range m.Trees {
		var a, b [blockRows]uint8
		steps := c.rows.steps[c.rows.start[i]:c.rows.start[i+1]]
		exitRowsGo(&a, codes, steps)
		if exitRowsVector(&b, codes, steps); a != b {
			t.Fatalf("tree %d: places %v, expected %v", i, b, a)
		}
		for j := range a {
			a[j] %= vectorLeaves
		}
		x := slices.Clone(values)
		for j := range x {
			x[j] = r.NormFloat64()
		}
		y := slices.Clone(x)
		addLeavesGo(x, c.leaves[c.first[i]:], &a)
		if addLeavesVector(y, c.leaves[c.first[i]:], &a); !sameBits(x, y) {
			t.Fatalf("tree %d: sums %v, expected %v", i, y, x)
		}
	}
	for _, size := range []int{64, 128, 256} {
		steps := slices.Clone(c.trees.steps)
		for i := range steps {
			if i%treeStep < treeLanes {
				steps[i] = uint8(r.IntN(size))
			}
		}
		a, b := make([]uint8, 256), make([]uint8, 256)
		exitTreesGo(a, codes[:size], steps, c.trees.counts)
		if exitTreesVector(b, codes[:size], steps, c.trees.counts); !slices.Equal(a, b) {
			t.Fatalf("%d codes: places %v, expected %v", size, b, a)
		}
	}
}

func TestPredictorServesManyAtOnce(t *testing.T) {
	rows := readRows(t, "testdata/rows.csv")
	for _, path := range ownModels(t)[:6] {
		for _, p := range layouts(t, readModel(t, path)) {
			k := p.NumOutputs()
			want := make([]float64, len(rows)*k)
			for i, row := range rows {
				p.Predict(want[i*k:(i+1)*k], row)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					got, leaves := make([]float64, k), make([]int32, p.NumTrees())
					for i, row := range rows {
						p.Leaves(leaves, row)
						if p.Predict(got, row); !sameBits(got, want[i*k:(i+1)*k]) {
							t.Errorf("row %d: %v, expected %v", i, got, want[i*k:(i+1)*k])
						}
					}
				})
			}
			wg.Wait()
		}
	}
}

// FuzzPredictor draws a model and rows from a seed and takes the shape and the
// first row from the input; all layouts must agree.
func FuzzPredictor(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(31), uint8(2), uint8(1), uint8(0), []byte{})
	f.Add(uint64(2), uint8(70), uint8(9), uint8(1), uint8(3), uint8(200), []byte{0, 0, 0, 0, 0, 0, 0xf8, 0xff})
	f.Add(uint64(3), uint8(2), uint8(255), uint8(9), uint8(2), uint8(40), []byte{1, 0, 0, 0, 0, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, seed uint64, trees, leaves, features, outputs, sets uint8, row []byte) {
		r := rand.New(rand.NewPCG(seed, 1))
		k := int(outputs)%4 + 1
		m := randomModel(r, modelShape{
			trees: (int(trees)%90 + 1) * k, leaves: int(leaves) + 2, features: int(features)%20 + 1, outputs: k,
			cuts: int(seed%400) + 1, sets: float64(sets) / 255, categories: int(sets),
		})
		for _, k := range kinds() {
			if newCoded(m, k) == nil {
				return // more thresholds or categories than codes: the plain walk alone
			}
		}
		rows := make([]float64, 20*m.NumFeatures())
		for i := 0; i < len(rows); i += m.NumFeatures() {
			randomRow(r, m, rows[i:i+m.NumFeatures()])
		}
		for i := 0; i+8 <= len(row) && i/8 < m.NumFeatures(); i += 8 {
			rows[i/8] = math.Float64frombits(binary.LittleEndian.Uint64(row[i:]))
		}
		sameAnswers(t, m, rows)
	})
}

// BenchmarkPredictor times the shapes of docs/benchmarks.md on drawn models.
func BenchmarkPredictor(b *testing.B) {
	for _, s := range []modelShape{{trees: 100, leaves: 31}, {trees: 500, leaves: 31}, {trees: 500, leaves: 255}} {
		s.features, s.outputs, s.cuts = 28, 1, 254
		r := rand.New(rand.NewPCG(1, 1))
		m := randomModel(r, s)
		for i := range m.Trees {
			m.Trees[i] = randomTree(r, s, s.leaves)
		}
		p := predictor(b, m)
		rows := make([]float64, 100_000*s.features)
		for i := range rows {
			rows[i] = r.NormFloat64() * 20
		}
		out := make([]float64, 100_000)
		name := fmt.Sprintf("%dx%d", s.trees, s.leaves)
		b.Run(name+"/row", func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				p.Predict(out[:1], rows[i*s.features:(i+1)*s.features])
				i = (i + 1) % 10_000
			}
		})
		for _, n := range []int{1_000, 100_000} {
			for _, threads := range []int{1, 2} {
				b.Run(filepath.Join(name, fmt.Sprintf("rows=%d,threads=%d", n, threads)), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						p.PredictRows(out[:n], rows[:n*s.features], threads)
					}
					b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
				})
			}
		}
	}
}
