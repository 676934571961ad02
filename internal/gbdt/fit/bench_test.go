package fit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// synthetic is n rows of f normal features and a label that depends on a few
// of them, alone and together.
func synthetic(n, f int) *Data {
	r := rand.New(rand.NewPCG(7, 7))
	d := &Data{Features: make([][]float64, f), Label: make([]float64, n)}
	for j := range d.Features {
		d.Features[j] = make([]float64, n)
		for i := range n {
			d.Features[j][i] = r.NormFloat64()
		}
	}
	for i := range n {
		x := func(j int) float64 { return d.Features[j%f][i] }
		d.Label[i] = x(0) + 0.5*x(1)*x(2) + math.Sin(2*x(3)) + 0.3*x(4)*x(4) + 0.5*r.NormFloat64()
	}
	return d
}

func binaryLabels(d *Data) *Data {
	out := *d
	out.Label = make([]float64, len(d.Label))
	for i, y := range d.Label {
		if y > 0.3 {
			out.Label[i] = 1
		}
	}
	return &out
}

func BenchmarkNewDataset200kx28(b *testing.B) {
	d := synthetic(200_000, 28)
	for b.Loop() {
		if _, err := NewDataset(d, Defaults()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrain200kx28 grows 100 trees on binned data.
func BenchmarkTrain200kx28(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, objective := range []string{"regression", "binary"} {
			b.Run(fmt.Sprintf("%s/threads=%d", objective, threads), func(b *testing.B) {
				p := Defaults()
				p.Objective, p.NumThreads = objective, threads
				data := synthetic(200_000, 28)
				if objective == "binary" {
					data = binaryLabels(data)
				}
				d, err := NewDataset(data, p)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := TrainDataset(context.Background(), View{Data: d}, View{}, p, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkHistogram adds rows of one leaf to the histograms of 28 features.
func BenchmarkHistogram(b *testing.B) {
	const n, f = 200_000, 28
	p := Defaults()
	p.NumThreads = 1
	d, err := NewDataset(synthetic(n, f), p)
	if err != nil {
		b.Fatal(err)
	}
	quant := make([]int64, n)
	for i := range quant {
		quant[i] = int64(i%7-3)<<20 + 1
	}
	for _, every := range []int{1, 10} {
		var rows []int32
		for i := 0; i < n; i += every {
			rows = append(rows, int32(i))
		}
		b.Run(fmt.Sprintf("every=%d", every), func(b *testing.B) {
			b.ReportAllocs()
			hist := make([]int64, d.histLen)
			s, alive := newStage(d.stride), slices.Repeat([]bool{true}, len(d.groups))
			for b.Loop() {
				d.accumulate(hist, alive, rows, quant, &s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)*f), "ns/value")
		})
	}
}

// BenchmarkScan finds the best split of one leaf among 28 features of 255 bins.
func BenchmarkScan(b *testing.B) {
	const n, f = 20_000, 28
	p := Defaults()
	d, err := NewDataset(synthetic(n, f), p)
	if err != nil {
		b.Fatal(err)
	}
	rows, grad, quant := make([]int32, n), make([]pair, n), make([]int64, n)
	for i := range grad {
		rows[i], grad[i] = int32(i), pair{float32(d.label[i]), 1}
	}
	packing := newPacking(n, extentOf(rows, grad))
	sum := packing.pack(rows, grad, quant, 1)
	hist, s := make([]int64, d.histLen), newStage(d.stride)
	d.accumulate(hist, slices.Repeat([]bool{true}, len(d.groups)), rows, quant, &s)
	scan := scan{p: &p, packing: &packing}
	scan.begin(sum, n, unbounded())
	b.ReportAllocs()
	for b.Loop() {
		for i := range d.features {
			g := &d.features[i]
			if !scan.find(g, 0, hist[g.at:g.at+g.bins]) {
				b.Fatal("no split")
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(d.histUsed), "ns/bin")
}
