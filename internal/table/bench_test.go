package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// numericCSV is 20 MB of ten columns of numbers.
func numericCSV() []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	b.WriteString("a,b,c,d,e,f,g,h,i,j\n")
	for b.Len() < 20<<20 {
		for k := range 10 {
			switch {
			case k == 9:
				fmt.Fprintf(&b, "%d\n", rng.IntN(1000))
			case k%3 == 0:
				fmt.Fprintf(&b, "%d,", rng.IntN(100000))
			case k%3 == 1:
				fmt.Fprintf(&b, "%.4f,", rng.NormFloat64()*100)
			default:
				fmt.Fprintf(&b, "%v,", rng.Float64())
			}
		}
	}
	return b.Bytes()
}

// mixedCSV is 20 MB of dates, categories and numbers.
func mixedCSV() []byte {
	rng := rand.New(rand.NewPCG(5, 6))
	var b bytes.Buffer
	b.WriteString("date,category,region,price,promo,sales\n")
	for i := 0; b.Len() < 20<<20; i++ {
		fmt.Fprintf(&b, "2024-%02d-%02d,Category %d,R%03d,%.2f,%d,%d\n",
			1+i/2000%12, 1+i/100%28, rng.IntN(11), rng.IntN(83), rng.Float64()*10, rng.IntN(2), rng.IntN(500))
	}
	return b.Bytes()
}

func BenchmarkReadCSV(b *testing.B) {
	for _, file := range []struct {
		name string
		data []byte
	}{{"numeric", numericCSV()}, {"mixed", mixedCSV()}} {
		for _, cores := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/cores=%d", file.name, cores), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
				b.SetBytes(int64(len(file.data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := decodeCSV("x", file.data, ReadOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func benchmarkTable(b *testing.B, run func(*Table) error) {
	t := long()
	b.ReportAllocs()
	for b.Loop() {
		if err := run(t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(t.NumRows())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkWriteCSV(b *testing.B) {
	var out bytes.Buffer
	benchmarkTable(b, func(t *Table) error { out.Reset(); return WriteCSV(&out, t) })
}

func BenchmarkEncodeParquet(b *testing.B) {
	benchmarkTable(b, func(t *Table) error { _, err := EncodeParquet(t); return err })
}

func BenchmarkDecodeParquet(b *testing.B) {
	file, err := EncodeParquet(long())
	if err != nil {
		b.Fatal(err)
	}
	benchmarkTable(b, func(*Table) error { _, err := DecodeParquet("x", file, ReadOptions{}); return err })
}

func BenchmarkEncodeArrow(b *testing.B) {
	benchmarkTable(b, func(t *Table) error { _, err := EncodeArrow(t); return err })
}

func BenchmarkDecodeArrow(b *testing.B) {
	file, err := EncodeArrow(long())
	if err != nil {
		b.Fatal(err)
	}
	benchmarkTable(b, func(*Table) error { _, err := DecodeArrow("x", file, ReadOptions{}); return err })
}
