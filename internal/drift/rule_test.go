package drift

import (
	"math"
	"testing"
	"time"
)

// TestBudgetLevel: windows that lie apart share the budget out evenly; those
// that overlap may err more often each, since an alarm lasts.
func TestBudgetLevel(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name string
		b    Budget
		want float64
	}{
		{"weeks apart", Budget{1, 7 * day, 7 * day}, 7 / 365.2425},
		{"months of a day", Budget{1, day, 30 * day}, mostLevel},
		{"no window", Budget{2, 0, day}, 2 / 365.2425},
		{"a great budget", Budget{1000, day, day}, mostLevel},
	} {
		if got := c.b.Level(); math.Abs(got/c.want-1) > 1e-6 {
			t.Errorf("%s: level %v, want %v", c.name, got, c.want)
		}
	}
	last := 1.0
	for _, every := range []time.Duration{7 * day, 3 * day, day, 6 * time.Hour, time.Hour, time.Minute} {
		b := Budget{1, 7 * day, every}
		level := b.Level()
		if level > last || level < 1/b.Checks() {
			t.Errorf("every %s: level %v after %v, at least %v", every, level, last, 1/b.Checks())
		}
		last = level
	}
}

// TestBudgetKept: the mean of overlapping windows of noise crosses the level as
// often in a year as the budget says. Alarms of windows that overlap are one.
func TestBudgetKept(t *testing.T) {
	const day, years, perDay = 24 * time.Hour, 4000, 4
	for _, b := range []Budget{{1, 7 * day, day}, {4, 7 * day, 6 * time.Hour}, {3, 2 * day, day}} {
		r := newRand(9)
		step := int(b.Every / (day / perDay))
		window := int(b.Window / (day / perDay))
		limit := ZOf(b.Level())
		noise := make([]float64, window)
		sum, alarms, last := 0.0, 0.0, -window
		for i := range years * 365 * perDay {
			x := r.NormFloat64()
			sum += x - noise[i%window]
			noise[i%window] = x
			if i < window || i%step != 0 {
				continue
			}
			if math.Abs(sum)/math.Sqrt(float64(window)) >= limit {
				if i-last >= window {
					alarms++
				}
				last = i
			}
		}
		got := alarms / years
		if math.Abs(got/b.PerYear-1) > 0.25 {
			t.Errorf("%+v: %.2f alarms a year at level %.5f", b, got, b.Level())
		}
	}
}
