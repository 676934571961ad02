package drift

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	measureSeeds = flag.Int("seeds", 0, "draws of each kind for the measurement of false alarms; 0: none")
	measurePlot  = flag.String("plot", "", "write the measurement as an SVG chart to this file")
)

// columns are six columns that were never changed: normal, skewed, zero-inflated,
// seasonal, of five levels and of two hundred.
type columns struct {
	numbers [][]float64
	levels  [][]int32
	steps   [2]*Steps
}

const (
	tableDay = 120 // rows a day
	rare     = 200 // levels of the last column
)

// drawTable draws n + m rows; days differ by an autoregression of the given
// memory and strength, and by their weekday.
func drawTable(seed uint64, n, m int, phi, strength float64) *columns {
	r := rand.New(rand.NewPCG(seed, 4711))
	c := &columns{numbers: make([][]float64, 4), levels: make([][]int32, 2)}
	e := make([]float64, 6)
	for k := range e {
		e[k] = r.NormFloat64()
	}
	week := []float64{0, 0.1, 0.1, 0.2, 0.6, 1.4, 1.1}
	times := make([]int64, n+m)
	for i := range n + m {
		if i%tableDay == 0 {
			for k := range e {
				e[k] = phi*e[k] + math.Sqrt(1-phi*phi)*r.NormFloat64()
			}
		}
		times[i] = int64(i/tableDay)*day + int64(i%tableDay)*day/tableDay
		effect := func(k int) float64 { return strength * e[k] }
		c.numbers[0] = append(c.numbers[0], r.NormFloat64()+effect(0))
		c.numbers[1] = append(c.numbers[1], math.Exp(0.8*r.NormFloat64()+effect(1)))
		stock := 0.0
		if r.Float64() > 0.55 {
			stock = math.Round(10 * r.ExpFloat64() * math.Exp(effect(2)))
		}
		c.numbers[2] = append(c.numbers[2], stock)
		season := 0.0
		if strength > 0 {
			season = week[(i/tableDay)%7]
		}
		c.numbers[3] = append(c.numbers[3], season+0.7*r.NormFloat64()+effect(3))
		c.levels[0] = append(c.levels[0], int32(min(4, max(0, math.Floor(2.5+1.2*r.NormFloat64()+effect(4))))))
		c.levels[1] = append(c.levels[1], int32(rare*math.Pow(r.Float64(), 2.5+effect(5)/3)))
	}
	a, b := NewSpan(), NewSpan()
	a.Add(times[:n])
	b.Add(times[n:])
	w := StepWidth(a, b)
	x, y := NewTimeSteps(w, a), NewTimeSteps(w, b)
	x.Add(times[:n])
	y.Add(times[n:])
	c.steps = [2]*Steps{x.Steps(), y.Steps()}
	return c
}

// least is the least p-value of the table, corrected for the number of its
// columns.
func (c *columns) least(n int) float64 {
	var all []*Comparison
	for _, v := range c.numbers {
		a, _ := Sorted(v[:n])
		g := NumberGrid(a)
		x, y := CountNumbers(c.steps[0], g), CountNumbers(c.steps[1], g)
		x.Add(0, v[:n])
		y.Add(0, v[n:])
		all = append(all, CompareNumbers(x, y, a[:1], a[:1]))
	}
	for _, v := range c.levels {
		x, y := CountLevels(c.steps[0]), CountLevels(c.steps[1])
		x.Add(0, v[:n])
		y.Add(0, v[n:])
		all = append(all, CompareLevels(x, y, rare))
	}
	p := 1.0
	for _, k := range all {
		k.Calibrate(DefaultResamples, 1)
		p = min(p, k.P)
	}
	return p * EffectiveColumns(all)
}

// TestMeasureFalseAlarms prints how often a table without drift is flagged, at
// several levels, for independent rows and for days that remember each other:
//
//	go test ./internal/drift -run TestMeasureFalseAlarms -v -seeds 400 -plot docs/drift-calibration.svg
func TestMeasureFalseAlarms(t *testing.T) {
	if *measureSeeds == 0 {
		t.Skip("-seeds is 0")
	}
	levels := []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1}
	chart := &calibrationChart{levels: levels}
	for _, kind := range []struct {
		name          string
		phi, strength float64
	}{{"independent rows", 0, 0}, {"days, memory .5", 0.5, 0.3}, {"days, memory .8", 0.8, 0.3}} {
		for _, m := range []int{500, 5000, 50_000} {
			p := make([]float64, *measureSeeds)
			var wg sync.WaitGroup
			gate := make(chan struct{}, 2)
			for seed := range p {
				wg.Add(1)
				gate <- struct{}{}
				go func() {
					defer wg.Done()
					p[seed] = drawTable(uint64(seed)+1, 10_000, m, kind.phi, kind.strength).least(10_000)
					<-gate
				}()
			}
			wg.Wait()
			row := fmt.Sprintf("| %s, 10,000 against %d |", kind.name, m)
			var rates []float64
			for _, level := range levels {
				k := 0
				for _, v := range p {
					if v <= level {
						k++
					}
				}
				rates = append(rates, float64(k)/float64(len(p)))
				row += fmt.Sprintf(" %.1f %% |", 100*rates[len(rates)-1])
			}
			t.Log(row)
			chart.lines = append(chart.lines, calibrationLine{kind.name, m, rates})
		}
	}
	if *measurePlot != "" {
		if err := os.WriteFile(*measurePlot, []byte(chart.svg()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type calibrationLine struct {
	kind  string
	rows  int
	rates []float64
}

type calibrationChart struct {
	levels []float64
	lines  []calibrationLine
}

// svg draws nominal against actual rates, both in logarithms.
func (c *calibrationChart) svg() string {
	const size, pad = 300.0, 44.0
	at := func(v float64) float64 { return size * (math.Log10(max(v, 0.0005)) + 3.31) / 2.31 }
	var kinds []string
	for _, l := range c.lines {
		if !slices.Contains(kinds, l.kind) {
			kinds = append(kinds, l.kind)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`+"\n", float64(len(kinds))*(size+pad)+pad, size+2*pad+20)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	dashes := map[int]string{500: "2 3", 5000: "6 3", 50_000: "0"}
	for i, kind := range kinds {
		x0, y0 := pad+float64(i)*(size+pad), pad+size
		fmt.Fprintf(&b, `<text x="%g" y="%g" font-weight="bold">%s</text>`+"\n", x0, pad-14, kind)
		fmt.Fprintf(&b, `<path d="M%g %gv%gh%g" fill="none" stroke="#888"/><path d="M%g %gL%g %g" stroke="#bbb"/>`+"\n", x0, y0-size, size, size, x0+at(0.0005), y0-at(0.0005), x0+at(0.1), y0-at(0.1))
		for _, v := range []float64{0.001, 0.01, 0.1} {
			fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%g %%</text><text x="%g" y="%g" text-anchor="end">%g %%</text>`+"\n", x0+at(v), y0+16, 100*v, x0-5, y0-at(v)+4, 100*v)
		}
		for _, l := range c.lines {
			if l.kind != kind {
				continue
			}
			var points []string
			for k, r := range l.rates {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x0+at(c.levels[k]), y0-at(r)))
			}
			fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#1f6fb2" stroke-width="2" stroke-dasharray="%s"><title>%d current rows</title></polyline>`+"\n", strings.Join(points, " "), dashes[l.rows], l.rows)
		}
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g">across: level asked for; up: share of tables without drift that were flagged; dotted 500, dashed 5,000, solid 50,000 current rows; grey: as asked for</text></svg>`+"\n", pad, size+2*pad+10)
	return b.String()
}
