package domain

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 0, "seeds of the measurements; 0: do not measure")
	only  = flag.String("only", "", "kind of series to measure; empty: all")
	null  = flag.Bool("null", false, "measure without changes alone")
)

type change struct {
	name string
	do   func(c []Column, r *rand.Rand)
}

func changes() []change {
	return []change{
		{"none", func([]Column, *rand.Rand) {}},
		{"rotation", func(c []Column, r *rand.Rand) { // correlation .6 → .3
			a, b := c[0].Values, c[1].Values
			for i := range b {
				e := (b[i] - .6*a[i]) / .8
				b[i] = .3*a[i] + math.Sqrt(1-.09)*e
			}
		}},
		{"sign", func(c []Column, r *rand.Rand) {
			for i := range c[1].Values {
				c[1].Values[i] = -c[1].Values[i]
			}
		}},
		{"xor", func(c []Column, r *rand.Rand) { // signs of two independent columns agree in 75 %
			a, b := c[2].Values, c[5].Values
			for i := range b {
				if r.Float64() < .5 {
					b[i] = math.Copysign(b[i], a[i]-1)
				}
			}
		}},
		{"five", func(c []Column, r *rand.Rand) {
			for _, k := range []int{0, 1, 3, 5} {
				for i := range c[k].Values {
					c[k].Values[i] += map[bool]float64{true: .6, false: .15}[k == 3]
				}
			}
			for i := range c[2].Values {
				c[2].Values[i] *= math.Exp(.12)
			}
		}},
		{"one", func(c []Column, r *rand.Rand) {
			for i := range c[5].Values {
				c[5].Values[i] += .5
			}
		}},
	}
}

type kind struct {
	name   string
	s      series
	blocks bool
}

func kinds() []kind {
	return []kind{
		{"iid", series{}, false},
		{"block", series{effect: .35, ar: .6, weekday: .2}, true},
		{"blocknil", series{effect: .35, ar: .6, weekday: .2}, false},
		{"mild", series{effect: .12, ar: .6, weekday: .05}, true},
		{"slow", series{effect: .25, ar: .85, weekday: .1}, true},
	}
}

var sizes = [][2]int{{8040, 3000}, {8040, 600}, {8040, 8040}}

func TestMeasure(t *testing.T) {
	if *seeds == 0 {
		t.Skip("-seeds was not given")
	}
	for _, k := range kinds() {
		if *only != "" && k.name != *only {
			continue
		}
		for _, size := range sizes {
			for _, ch := range changes() {
				start := time.Now()
				var at05, at01, first, restless, within int
				ns := *seeds
				if ch.name != "none" {
					ns = max(10, ns/5)
				}
				if ch.name != "none" && (k.name == "blocknil" || k.name == "slow" || k.name == "mild") {
					continue
				}
				if *null && ch.name != "none" {
					continue
				}
				auc, own := 0.0, 0.0
				for seed := range ns {
					k.s.rows = size[0] + size[1]
					ref, cur := k.s.pair(uint64(seed), size[0], k.blocks)
					ch.do(cur.Columns, rand.New(rand.NewPCG(uint64(seed), 9)))
					res, err := Classify(context.Background(), ref, cur, Options{Threads: 2})
					if err != nil {
						t.Fatal(err)
					}
					if res.P <= .05 {
						at05++
					}
					if res.P <= .01 {
						at01++
					}
					if res.Within {
						within++
					}
					if res.Restless {
						restless++
					}
					if res.Columns[0].Name == "plain" {
						first++
					}
					auc += res.AUC / float64(ns)
					own += res.Null / float64(ns)
				}
				pc := func(c int) float64 { return 100 * float64(c) / float64(ns) }
				fmt.Printf("%-9s %5d×%-5d %-9s .05 %5.1f %%  .01 %5.1f %%  within %3.0f %%  restless %3.0f %%  plain first %3.0f %%  auc %.3f null %.3f  %.0f ms\n",
					k.name, size[0], size[1], ch.name, pc(at05), pc(at01), pc(within), pc(restless), pc(first), auc, own,
					time.Since(start).Seconds()*1000/float64(ns))
			}
		}
	}
}

func TestMeasureDependence(t *testing.T) {
	if *seeds == 0 {
		t.Skip("-seeds was not given")
	}
	for _, k := range kinds() {
		if *only != "" && k.name != *only {
			continue
		}
		for _, size := range sizes {
			for _, ch := range changes() {
				if ch.name == "five" || *null && ch.name != "none" {
					continue
				}
				ns := *seeds
				if ch.name != "none" {
					ns = max(10, ns/10)
				}
				var at05, at01, raw05, pairs, raw01 int
				by := map[string][2]int{}
				for seed := range ns {
					k.s.rows = size[0] + size[1]
					ref, cur := k.s.pair(uint64(seed), size[0], k.blocks)
					ch.do(cur.Columns, rand.New(rand.NewPCG(uint64(seed), 9)))
					res, err := Dependence(context.Background(), ref, cur, Options{Threads: 2})
					if err != nil {
						t.Fatal(err)
					}
					if res[0].P <= .05 {
						at05++
					}
					if res[0].P <= .01 {
						at01++
					}
					for _, p := range res {
						pairs++
						v := by[p.Measure]
						v[1]++
						if p.Raw <= .05 {
							raw05++
							v[0]++
						}
						if p.Raw <= .01 {
							raw01++
						}
						by[p.Measure] = v
					}
				}
				pc := func(c, n int) float64 { return 100 * float64(c) / float64(n) }
				fmt.Printf("%-9s %5d×%-5d %-9s any .05 %5.1f %%  .01 %5.1f %%  a pair .05 %4.1f %% .01 %4.2f %%", k.name, size[0], size[1], ch.name, pc(at05, ns), pc(at01, ns), pc(raw05, pairs), pc(raw01, pairs))
				for _, m := range []string{Spearman, CramersV, CorrelationRatio} {
					fmt.Printf("  %s %4.1f", m, pc(by[m][0], by[m][1]))
				}
				fmt.Println()
			}
		}
	}
}
