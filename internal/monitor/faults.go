package monitor

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
)

// A factor is a slip of units.
type factor struct {
	by   float64
	what string
}

// factors are the slips looked for, each also the other way round.
var factors = []factor{
	{10, "a decimal place"}, {100, "per cent, or cents"}, {1000, "thousands"}, {1e4, ""}, {1e6, "millions"},
	{2.54, "inches and centimetres"}, {1 / 0.3048, "feet and metres"}, {1.609344, "miles and kilometres"},
	{1 / 0.45359237, "pounds and kilograms"}, {28.349523125, "ounces and grams"}, {3.785411784, "gallons and litres"},
	{4.184, "calories and joules"}, {24, "days and hours"}, {60, "minutes and seconds"}, {3600, "hours and seconds"},
	{1024, "a binary prefix"}, {180 / math.Pi, "degrees and radians"}, {3.6, "m/s and km/h"}, {-1, "the sign"},
}

const (
	frozenRows  = 50  // current rows from which a constant is suspicious
	frozenShare = 0.9 // of one value in the reference, above which it is not

	unitMoved = 0.2 // least KS of the values as they stand
	unitGain  = 0.4 // greatest KS of the values scaled back, as a share of that
	// A factor below unitSure may be growth. It counts only when the decimal
	// places of the values speak for it and the fit is close.
	unitSure  = 8
	unitClose = 0.1

	renameShare = 0.005 // least share of a renamed level
	renameRows  = 15    // and least number of rows expected of it
	goneShare   = 0.02  // of its old share that may remain
)

func typeFault(stray, rows int) Fault {
	return Fault{Kind: "type", Detail: fmt.Sprintf("%d of %d values are texts where the reference has numbers; they count as missing", stray, rows)}
}

// numberFaults looks for faults in sorted values.
func (j *job) numberFaults(a, b []float64) {
	switch {
	case len(a) == 0:
	case len(b) == 0:
		j.empty()
	case len(b) >= frozenRows && b[0] == b[len(b)-1] && mode(a) < frozenShare:
		j.fault(Fault{Kind: "frozen", Detail: fmt.Sprintf("every value is %s; the reference runs from %s to %s", present.Short(b[0]), present.Short(a[0]), present.Short(a[len(a)-1]))})
	default:
		j.unit(withoutMode(a, b))
	}
}

// empty reports a column without any value, unless its being absent was.
func (j *job) empty() {
	if len(j.faults) == 0 && j.rows() > 0 {
		j.fault(Fault{Kind: "empty", Detail: fmt.Sprintf("all %d values are missing; in the reference %s are", j.rows(), present.Percent(float64(j.column.Missing.Then)))})
	}
}

// mode is the share of the most frequent value of a sorted sample.
func mode(sorted []float64) float64 {
	most := 0
	for lo := 0; lo < len(sorted); {
		hi := lo
		for hi < len(sorted) && sorted[hi] == sorted[lo] {
			hi++
		}
		most = max(most, hi-lo)
		lo = hi
	}
	return float64(most) / float64(len(sorted))
}

// unit looks for one factor that, taken back, makes the current values fit the
// reference where they did not before.
func (j *job) unit(a, b []float64) {
	a, b = thinned(a), thinned(b)
	if len(a) == 0 || len(b) == 0 {
		return
	}
	d := near(a, b, 1, 0)
	if d < unitMoved {
		return
	}
	if a[0] == a[len(a)-1] {
		j.unitOfOne(a, b)
		return
	}
	best, fit := factor{}, math.Inf(1)
	for _, f := range factors {
		for _, by := range []float64{f.by, 1 / f.by} {
			if k := near(a, b, by, 0); k < fit {
				best, fit = factor{by, f.what}, k
			}
		}
	}
	if k := near(a, b, 1.8, 32); k < fit && k <= min(unitClose, unitGain*d) && weather(a) {
		j.fault(Fault{Kind: "unit", Detail: "the values look like degrees Fahrenheit where the reference has degrees Celsius"})
		return
	}
	if fit > unitGain*d || !plausible(a, b, best.by) {
		return
	}
	if size := math.Abs(math.Log(math.Abs(best.by))); best.by > 0 && size < math.Log(unitSure) && (fit > unitClose || !converted(a, b, best.by)) {
		return
	}
	what := ""
	if best.what != "" {
		what = " (" + best.what + "?)"
	}
	j.fault(Fault{Kind: "unit", Factor: best.by, Detail: fmt.Sprintf("the values look multiplied by %s%s: the median was %s and is %s",
		present.Short(best.by), what, present.Short(drift.Quantile(a, 0.5)), present.Short(drift.Quantile(b, 0.5)))})
}

// weather reports whether values may be degrees Celsius: elsewhere the slip to
// Fahrenheit is near to an ordinary shift.
func weather(sorted []float64) bool {
	return drift.Quantile(sorted, 0.01) >= -90 && drift.Quantile(sorted, 0.99) <= 120
}

// unitOfOne is unit for a column of one value, which only a great factor or
// another sign can tell.
func (j *job) unitOfOne(a, b []float64) {
	if a[0] == 0 || b[0] != b[len(b)-1] {
		return
	}
	r := b[0] / a[0]
	for _, f := range factors {
		for _, by := range []float64{f.by, 1 / f.by} {
			if math.Abs(r/by-1) < 1e-6 && (by < 0 || math.Abs(math.Log(by)) >= math.Log(unitSure)) {
				j.fault(Fault{Kind: "unit", Factor: by, Detail: fmt.Sprintf("the values look multiplied by %s: %s became %s", present.Short(by), present.Short(a[0]), present.Short(b[0]))})
				return
			}
		}
	}
}

// near is the KS of a with (b−add)/by, both rounded to single precision, so
// that a value multiplied and divided again is the same.
func near(a, b []float64, by, add float64) float64 {
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for i, v := range a {
		x[i] = float64(float32(v))
	}
	for i, v := range b {
		y[i] = float64(float32((v - add) / by))
	}
	if by < 0 {
		slices.Reverse(y)
	}
	return drift.KS(x, y)
}

// converted reports whether the values of a have few decimal places, and those
// of b have them only after the factor is taken back.
func converted(a, b []float64, by float64) bool {
	for unit := 1.0; unit <= 1000; unit *= 10 {
		if onLattice(a, unit) < 0.99 {
			continue
		}
		back := make([]float64, len(b))
		for i, v := range b {
			back[i] = v / by
		}
		return onLattice(b, unit) < 0.9 && onLattice(back, unit) >= 0.9
	}
	return false
}

// onLattice is the share of values that are whole in units of 1/unit.
func onLattice(v []float64, unit float64) float64 {
	n := 0
	for _, x := range v {
		if x *= unit; math.Abs(x-math.Round(x)) < 1e-6*max(1, math.Abs(x)) {
			n++
		}
	}
	return float64(n) / float64(len(v))
}

// thinned takes enough of a sorted sample for a rough fit.
func thinned(sorted []float64) []float64 {
	stride := max(1, len(sorted)/10_000)
	if stride == 1 {
		return sorted
	}
	out := make([]float64, 0, len(sorted)/stride+1)
	for i := 0; i < len(sorted); i += stride {
		out = append(out, sorted[i])
	}
	return out
}

// plausible reports whether the distance of the quartiles or, where that is 0,
// the median or a higher quantile has really moved by about the factor.
func plausible(a, b []float64, by float64) bool {
	box := func(v []float64) float64 { return drift.Quantile(v, 0.75) - drift.Quantile(v, 0.25) }
	lo, hi := 0.75, 1.33
	if math.Abs(math.Log(math.Abs(by))) >= math.Log(unitSure) { // nothing else does that
		lo, hi = 0.5, 2
	}
	if x := box(a); x > 0 {
		r := box(b) / x / math.Abs(by)
		return r > lo && r < hi
	}
	for _, q := range []float64{0.5, 0.75, 0.9, 0.99} {
		x, y := drift.Quantile(a, q), drift.Quantile(b, q)
		if by < 0 { // quantiles change places
			y = drift.Quantile(b, 1-q)
		}
		if x != 0 {
			r := y / x / by
			return r > lo && r < hi
		}
	}
	return false
}

// levelFaults looks for faults in the shares of levels, given the number of
// rows that have one.
func (j *job) levelFaults(levels []LevelPair, then, now float64) {
	switch {
	case then == 0:
		return
	case now == 0:
		j.empty()
		return
	}
	var gone, fresh []LevelPair
	most := 0.0
	for _, l := range levels {
		most = max(most, float64(l.Then))
		switch {
		case l.Unseen && float64(l.Now) >= renameShare:
			fresh = append(fresh, l)
		case l.Then >= renameShare && float64(l.Then)*now >= renameRows && l.Now <= goneShare*l.Then:
			gone = append(gone, l)
		}
		if l.Now == 1 && now >= frozenRows && most < frozenShare {
			j.frozenLevel(l)
			return
		}
	}
	j.renamed(gone, fresh, then, now)
}

func (j *job) frozenLevel(l LevelPair) {
	if l.Unseen {
		j.fault(Fault{Kind: "frozen", New: l.Level, Detail: fmt.Sprintf("every value is %q, which the reference does not hold", present.Cut(l.Level, longLevel))})
	} else if l.Then < frozenShare {
		j.fault(Fault{Kind: "frozen", New: l.Level, Detail: fmt.Sprintf("every value is %q, which had %s of the reference", present.Cut(l.Level, longLevel), present.Percent(float64(l.Then)))})
	}
}

// renamed pairs each level that is gone with the new one whose name is like its
// own, or else with the one whose share is nearest; if the share is near: within
// a quarter, or what chance allows.
func (j *job) renamed(gone, fresh []LevelPair, then, now float64) {
	var left []LevelPair
	all := slices.Clone(fresh)
	for _, old := range gone {
		k := partner(old, gone, all)
		if k < 0 || !sameShare(old, all[k], then, now) {
			left = append(left, old)
			continue
		}
		fresh = slices.DeleteFunc(fresh, func(l LevelPair) bool { return l.Level == all[k].Level })
		j.rename(old, all[k], true)
	}
	for _, old := range left {
		best := -1
		for i, l := range fresh {
			if best < 0 || math.Abs(float64(l.Now-old.Then)) < math.Abs(float64(fresh[best].Now-old.Then)) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		if l := fresh[best]; sameShare(old, l, then, now) {
			fresh = slices.Delete(fresh, best, best+1)
			j.rename(old, l, false)
		}
	}
}

func sameShare(old, l LevelPair, then, now float64) bool {
	z := drift.RateZ(float64(old.Then)*then, then, float64(l.Now)*now, now)
	return math.Abs(float64(l.Now/old.Then)-1) <= 0.25 || math.Abs(z) <= 3
}

func (j *job) rename(old, l LevelPair, alike bool) {
	j.fault(Fault{Kind: "renamed", Old: old.Level, New: l.Level, Alike: alike, Detail: fmt.Sprintf("%q (%s of the reference) is gone and looks renamed to %q (%s now)", present.Cut(old.Level, longLevel), present.Percent(float64(old.Then)), present.Cut(l.Level, longLevel), present.Percent(float64(l.Now)))})
}
