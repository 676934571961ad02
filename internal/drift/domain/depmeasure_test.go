package domain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

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
