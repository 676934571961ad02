package fit

import (
	"context"
	"encoding/binary"
	"math"
	"testing"

	"github.com/healml/healml/internal/gbdt"
)

// fuzzData makes a table of the bytes: three features (the last one a
// category), labels, weights. Some bytes stand for the numbers that break
// things.
func fuzzData(b []byte) *Data {
	special := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 5e-324, 1e-35, -1e-36, 1, 2147483647, 4294967296, -1}
	number := func(b []byte) float64 {
		if b[0] < 128 {
			return special[int(b[0])%len(special)]
		}
		if b[0] < 192 {
			return float64(int8(b[1]))
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	const width = 8
	d := &Data{Features: make([][]float64, 3), Categorical: []bool{false, false, true}}
	for len(b) >= 4*width {
		for f := range d.Features {
			d.Features[f] = append(d.Features[f], number(b[f*width:]))
		}
		d.Label = append(d.Label, float64(b[3*width]%4))
		d.Weight = append(d.Weight, float64(b[3*width+1]%8)/4)
		b = b[4*width:]
	}
	return d
}

// FuzzTrain bins and trains on anything: it is refused, or a valid model comes
// out whose bins say of every row what its thresholds say.
func FuzzTrain(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, kind, bins uint8) {
		if len(b) > 1<<13 {
			return
		}
		d, p := fuzzData(b), Defaults()
		p.Objective = Objectives()[int(kind)%len(Objectives())]
		switch p.Objective {
		case "multiclass":
			p.NumClass = 4
		case "binary":
			for i, y := range d.Label {
				d.Label[i] = float64(int(y) & 1)
			}
		}
		p.NumIterations, p.MinDataInLeaf, p.MinDataInBin, p.NumThreads, p.NumLeaves = 3, 1, 1, 1, 8
		p.MaxBin = 2 + int(bins)
		p.UseMissing = kind < 128
		if bins%3 == 0 {
			p.Boosting, p.BaggingFraction, p.BaggingFreq = "rf", 0.7, 1
		}
		ds, err := NewDataset(d, p)
		if err != nil {
			return
		}
		r, err := TrainDataset(context.Background(), View{Data: ds}, View{}, p, nil)
		if err != nil {
			return
		}
		pr, err := gbdt.NewPredictor(r.Model)
		if err != nil {
			t.Fatal(err)
		}
		checkBins(t, ds, d)
		out, row := make([]float64, pr.NumOutputs()), make([]float64, 3)
		for i := range d.Label {
			for f := range row {
				row[f] = d.Features[f][i]
			}
			pr.Raw(out, row)
			for _, x := range out {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					t.Fatalf("row %d: raw score %v", i, x)
				}
			}
		}
	})
}

// checkBins wants every number between the bounds of its bin.
func checkBins(t *testing.T, ds *Dataset, d *Data) {
	t.Helper()
	for i := range ds.features {
		f := &ds.features[i]
		if f.categorical {
			continue
		}
		for row, x := range d.Features[f.index] {
			b := ds.bin(f, int32(row))
			if math.IsNaN(x) {
				if f.missing {
					if b != f.bins-1 {
						t.Fatalf("NaN is in bin %d of %d", b, f.bins)
					}
					continue
				}
				x = 0
			}
			if b >= len(f.bounds) || x > f.bounds[b] || b > 0 && x <= f.bounds[b-1] {
				t.Fatalf("%v is in bin %d of %v", x, b, f.bounds)
			}
		}
	}
}
