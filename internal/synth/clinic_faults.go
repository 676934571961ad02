package synth

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/healml/healml/internal/table"
)

// poison spoils labels of one week of the window: numbers are multiplied by
// ten, classes turned over.
func (w *clinicWorld) poison(t *table.Table, from int) *table.Table {
	rng := rand.New(rand.NewPCG(w.seed, 77))
	week := from + w.perDay*clinicBatch*int(w.variant%3)
	share := []float64{0.03, 0.1, 0.25}[w.o.Severity]
	if w.o.Binary {
		share = []float64{0.08, 0.2, 0.35}[w.o.Severity]
	}
	w.what = "a part of one week's labels is wrong"
	y := clone(t.Column("y"))
	for i := week; i < week+w.perDay*clinicBatch; i++ {
		if rng.Float64() >= share {
			continue
		}
		if w.o.Binary {
			y.Codes[i] = 1 - y.Codes[i]
		} else {
			y.Floats[i] *= 10
		}
	}
	return table.Must(append(slices.DeleteFunc(slices.Clone(t.Columns()), func(c *table.Column) bool { return c.Name == "y" }), y)...)
}

// deliver takes away the labels that are not in by now. They come after one to
// four days; 2 % never do.
func (w *clinicWorld) deliver(t *table.Table, from int, now time.Time) (*table.Table, []int64) {
	rng := rand.New(rand.NewPCG(w.seed, 78))
	late := 0.0
	if w.o.Ailment == LateTruth {
		late = []float64{0.25, 0.6, 0.95}[w.o.Severity]
		w.what = "labels stay away"
	}
	const day = 24 * int64(time.Hour/time.Microsecond)
	at := t.Column("date").Times
	arrived := make([]int64, len(at))
	y := clone(t.Column("y"))
	for i, when := range at {
		arrived[i] = when + day + int64(3*rng.Float64()*float64(day))
		lost, delayed := rng.Float64() < 0.02, rng.Float64() < late
		if delayed && i >= from+w.onset*w.perDay {
			arrived[i] += 60 * day
		}
		if lost || arrived[i] > now.UnixMicro() {
			arrived[i] = table.NoTime
			if w.o.Binary {
				y.Codes[i] = -1
			} else {
				y.Floats[i] = math.NaN()
			}
		}
	}
	return table.Must(append(slices.DeleteFunc(slices.Clone(t.Columns()), func(c *table.Column) bool { return c.Name == "y" }), y)...), arrived
}

// breakFeed breaks one column, or repeats rows, in the last part of the window.
func (w *clinicWorld) breakFeed(t *table.Table, arrived []int64, from int) (*table.Table, []int64, error) {
	share := []float64{0.15, 0.5, 1}[w.o.Severity]
	n := t.NumRows()
	at := n - int(share*float64(n-from))
	faults := []struct {
		what  string
		fault Fault
	}{
		{"prices in cents", Scale("price", 100)},
		{"product-1 goes by another name", Rename("product", "product-1", "Product One")},
		{"traffic is missing", Blank("traffic")},
		{"temp is stuck", Stick("temp")},
	}
	k := int(w.variant / 3 % uint64(len(faults)+1))
	if k < len(faults) {
		w.what = faults[k].what
		out, err := Inject(t, at, faults[k].fault)
		return out, arrived, err
	}
	w.what = "rows are delivered twice"
	var rows []int
	for i := range n {
		rows = append(rows, i)
		if i >= at {
			rows = append(rows, i)
		}
	}
	twice := make([]int64, len(rows))
	for i, r := range rows {
		twice[i] = arrived[r]
	}
	return t.Take(rows), twice, nil
}
