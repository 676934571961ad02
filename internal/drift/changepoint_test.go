package drift

import (
	"math"
	"testing"
)

// TestChangePoints: on streams of one day a step, changes of each kind are
// dated within a day, and the interval holds the truth.
func TestChangePoints(t *testing.T) {
	const perDay, refDays, curDays, seeds = 100, 60, 20, 12
	for name, change := range map[string]func(i int, x float64) float64{
		"shift": func(_ int, x float64) float64 { return x + 0.6 }, "spread": func(_ int, x float64) float64 { return 1.6 * x },
		"missing": func(i int, x float64) float64 {
			if i%12 == 0 {
				return math.NaN()
			}
			return x
		},
		"spike": func(i int, x float64) float64 {
			if i%15 == 0 {
				return 0.5
			}
			return x
		},
	} {
		within, held := 0, 0
		for seed := range uint64(seeds) {
			v := wander(40+seed, perDay*(refDays+curDays), perDay, 0.4, 0.1)
			ref, cur := v[:perDay*refDays], v[perDay*refDays:]
			start := 3 + int(seed)%14
			for i := start * perDay; i < len(cur); i++ {
				cur[i] = change(i, cur[i])
			}
			times := func(n int) []int64 {
				out := make([]int64, n)
				for i := range out {
					out[i] = int64(i) * day / perDay
				}
				return out
			}
			sorted, _ := Sorted(ref)
			g := NumberGrid(sorted)
			a, b := CountNumbers(timeSteps(times(len(ref)), day), g), CountNumbers(timeSteps(times(len(cur)), day), g)
			a.Add(0, ref)
			b.Add(0, cur)
			p, ok := CompareNumbers(a, b, sorted, sorted).ChangePoint()
			if !ok {
				t.Fatalf("%s: no change point", name)
			}
			at := func(step int) float64 { return float64(b.Steps.Start(step)) / day }
			if math.Abs(at(p.Step)-float64(start)) <= 1 {
				within++
			}
			if at(p.Lo) <= float64(start)+1 && at(p.Hi) >= float64(start)-1 {
				held++
			}
		}
		if within < seeds*8/10 || held < seeds*8/10 {
			t.Errorf("%s: %d of %d dated within a day, %d held by the interval", name, within, seeds, held)
		}
	}
}

// TestSeasons: a window of one weekday is compared with that weekday.
func TestSeasons(t *testing.T) {
	const perDay = 80
	r := newRand(3)
	draw := func(from, days int) (v []float64, times []int64) {
		for d := from; d < from+days; d++ {
			for i := range perDay {
				x := r.NormFloat64()
				if d%7 >= 5 {
					x += 2 // weekends
				}
				v = append(v, x)
				times = append(times, int64(d)*day+int64(i)*day/perDay)
			}
		}
		return v, times
	}
	ref, refTimes := draw(4, 70)   // from a Monday on
	cur, curTimes := draw(4+75, 2) // a weekend
	sorted, _ := Sorted(ref)
	g := NumberGrid(sorted)
	width := StepWidth(spanOf(refTimes), spanOf(curTimes))
	a, b := CountNumbers(timeSteps(refTimes, width), g), CountNumbers(timeSteps(curTimes, width), g)
	a.Add(0, ref)
	b.Add(0, cur)
	c := CompareNumbers(a, b, sorted, sorted)
	if len(c.Seasons) == 0 || c.Seasons[0] != "weekday" {
		t.Errorf("seasons %v", c.Seasons)
	}
	if c.P < 0.01 {
		t.Errorf("a weekend like others has p %v, tests %+v", c.P, c.Tests)
	}
}
