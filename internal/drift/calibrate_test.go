package drift

import (
	"math"
	"testing"
)

// wander is a series whose days differ: an autoregression of days beneath
// independent rows.
func wander(seed uint64, n, day int, phi, strength float64) []float64 {
	r := newRand(seed)
	v, e := make([]float64, n), 0.0
	for i := range v {
		if i%day == 0 {
			e = phi*e + r.NormFloat64()
		}
		v[i] = strength*e + r.NormFloat64()
	}
	return v
}

// TestCalibrated: the alarm rate of restless series is the level's, within its
// binomial interval, whatever their memory and the size of the window.
func TestCalibrated(t *testing.T) {
	const level, seeds = 0.05, 300
	for _, c := range []struct {
		n, m, day     int
		phi, strength float64
	}{
		{8000, 400, 100, 0.5, 0.3}, {8000, 4000, 100, 0.5, 0.3}, {6000, 1500, 50, 0.8, 0.5}, {4000, 12000, 100, 0, 0.5}, {8000, 2000, 100, 0, 0},
	} {
		alarms := 0.0
		for seed := range uint64(seeds) {
			v := wander(100+seed, c.n+c.m, c.day, c.phi, c.strength)
			x := Numbers(v[:c.n], v[c.n:])
			x.Calibrate(DefaultResamples, 1)
			if x.P <= level {
				alarms++
			}
		}
		// The tests of a column are joined by Bonferroni, so fewer are no fault.
		if most := seeds*level + 3*math.Sqrt(seeds*level*(1-level)); alarms > most {
			t.Errorf("%+v: %v alarms of %d, at most %.0f expected", c, alarms, seeds, most)
		}
		t.Logf("%+v: %.1f %%", c, 100*alarms/seeds)
	}
}

// TestCalibratedPower: what wanders is found when it leaves, and the further
// it goes the more surely.
func TestCalibratedPower(t *testing.T) {
	const seeds = 60
	last := -1
	for _, shift := range []float64{0, 0.3, 0.6, 1.2} {
		found := 0
		for seed := range uint64(seeds) {
			v := wander(500+seed, 12_000, 100, 0.5, 0.3)
			for i := range v[8000:] {
				v[8000+i] += shift
			}
			x := Numbers(v[:8000], v[8000:])
			x.Calibrate(DefaultResamples, 1)
			if x.P <= 0.01 {
				found++
			}
		}
		if found < last {
			t.Errorf("shift %v: %d of %d found, %d of a lesser one", shift, found, seeds, last)
		}
		last = found
	}
	if last < seeds {
		t.Errorf("%d of %d great shifts found", last, seeds)
	}
}

// TestEffectiveColumns: copies of a column count once, columns of their own
// fully.
func TestEffectiveColumns(t *testing.T) {
	column := func(seed uint64) *Comparison {
		v := wander(seed, 12_000, 100, 0.5, 1)
		c := Numbers(v[:8000], v[8000:])
		c.Calibrate(200, 1)
		return c
	}
	var same, own []*Comparison
	for seed := range uint64(6) {
		same, own = append(same, column(3)), append(own, column(30+seed))
	}
	if n := EffectiveColumns(same); n > 1.3 {
		t.Errorf("%v of 6 copies", n)
	}
	if n := EffectiveColumns(own); n < 4 || n > 6 {
		t.Errorf("%v of 6 columns", n)
	}
	if n := EffectiveColumns(nil); n != 0 {
		t.Errorf("%v of none", n)
	}
}

// TestCalibrationIsSeeded: the same draws for the same seed, and never p-values
// that are no probabilities.
func TestCalibrationIsSeeded(t *testing.T) {
	v := wander(1, 12_000, 100, 0.5, 1)
	a, b := Numbers(v[:8000], v[8000:]), Numbers(v[:8000], v[8000:])
	a.Calibrate(100, 7)
	b.Calibrate(100, 7)
	if a.P != b.P || a.Calibration.U != b.Calibration.U || a.Calibration.Resamples != 100 {
		t.Errorf("%v and %v", a.Calibration, b.Calibration)
	}
	last := 2.0
	for x := 0.0; x < 60; x += 0.25 {
		p := a.Calibration.P(math.Exp(-x))
		if p > last || p < 0 || p > 1 {
			t.Errorf("p %v of %v after %v", p, math.Exp(-x), last)
		}
		last = p
	}
}

func BenchmarkCalibrate(b *testing.B) {
	v := wander(1, 15_000, 150, 0.5, 0.5)
	for b.Loop() {
		Numbers(v[:10_000], v[10_000:]).Calibrate(DefaultResamples, 1)
	}
}
