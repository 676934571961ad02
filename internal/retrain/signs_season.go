package retrain

import (
	"fmt"
	"math"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

const (
	year = int64(365.25 * 24 * float64(time.Hour/time.Microsecond))
	week = 7 * 24 * int64(time.Hour/time.Microsecond)
)

// minPairs is the least number of pairs of windows one period apart by which
// periods are compared.
const minPairs = 4

// season compares the window with the same phase one period earlier: a year,
// for windows of up to two months, else, or when the history is too short, a
// week for windows of up to a day and a half. Nil when neither can be told.
func (e *evidence) season() *heal.Season {
	for _, p := range []struct {
		name   string
		length int64
		most   int64 // length of a window
	}{{"year", year, year / 6}, {"week", week, week * 3 / 14}} {
		if e.length == 0 || e.length > p.most {
			continue
		}
		if s := e.seasonOf(p.name, p.length); s != nil {
			return s
		}
	}
	return nil
}

// figure is one number of a row.
type figure struct {
	of string
	at func(i int) float64 // NaN: none
}

func (e *evidence) figures() []figure {
	out := []figure{
		{"the target", func(i int) float64 { return e.labels[i] }},
		{"label less prediction", func(i int) float64 { return e.labels[i] - e.output[i] }},
	}
	for k, c := range e.template.Columns {
		v := e.raw.Raw[k]
		switch c.Kind {
		case schema.Numeric, schema.Boolean:
			out = append(out, figure{c.Name, func(i int) float64 { return v[i] }})
		case schema.Categorical:
			levels, _ := e.topLevels(v, len(c.Levels))
			for _, l := range levels[:min(2, len(levels))] {
				out = append(out, figure{fmt.Sprintf("the share of %q in %s", c.Levels[l], c.Name), func(i int) float64 {
					if v[i] == float64(l) {
						return 1
					}
					return 0
				}})
			}
		}
	}
	return out
}

// seasonOf averages each figure over stretches as long as the window, at whole
// windows before it and one period before each of these.
func (e *evidence) seasonOf(name string, period int64) *heal.Season {
	oldest := 0
	for oldest < e.first && e.times[oldest] == table.NoTime {
		oldest++
	}
	if oldest >= e.first || e.times[oldest] > e.start-period || e.length < period/mostSteps {
		return nil // too short a past; or rows of hardly more than one time, in no stretch of which seasons show
	}
	s := &heal.Season{Period: name}
	for _, f := range e.figures() {
		if t, ok := e.trait(f, oldest, period); ok {
			s.Traits = append(s.Traits, t)
		}
	}
	return s
}

// mostSteps bounds how often a window fits into a period.
const mostSteps = 10_000

func (e *evidence) trait(f figure, oldest int, period int64) (heal.Trait, bool) {
	at := func(from int64) (float64, bool) { return e.meanOver(f, oldest, from, from+e.length) }
	now, ok := at(e.start)
	then, had := at(e.start - period)
	if !ok || !had {
		return heal.Trait{}, false
	}
	var all, differences []float64
	for from := e.start - e.length; from >= e.times[oldest]; from -= e.length {
		v, ok := at(from)
		if !ok {
			continue
		}
		all = append(all, v)
		if before, ok := at(from - period); ok && from-period >= e.times[oldest] {
			differences = append(differences, (v-before)/math.Sqrt2)
		}
	}
	if len(differences) < minPairs {
		return heal.Trait{}, false
	}
	centre, spread := moments(all)
	square := 0.0
	for _, d := range differences {
		square += d * d
	}
	between := math.Sqrt(square / float64(len(differences)))
	if !(between > 0) {
		return heal.Trait{}, false
	}
	return heal.Trait{Of: f.of, Now: (now - centre) / between, Then: (then - centre) / between, Spread: spread / between}, true
}

// meanOver is a figure's mean over the rows of [from, to); false for fewer than
// ten.
func (e *evidence) meanOver(f figure, oldest int, from, to int64) (float64, bool) {
	sum, n := 0.0, 0
	for i := e.search(oldest, from); i < len(e.labels) && e.times[i] < to; i++ {
		if v := f.at(i); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n), n >= 10
}

func (e *evidence) search(oldest int, at int64) int {
	lo, hi := oldest, len(e.times)
	for lo < hi {
		if m := (lo + hi) / 2; e.times[m] < at {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// moments are the mean and the standard deviation.
func moments(v []float64) (mean, sd float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sd += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, math.Sqrt(sd)
}
