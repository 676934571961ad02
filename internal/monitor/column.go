package monitor

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

const (
	bins      = 24 // of a histogram
	maxLevels = 12 // kept in a report
)

// The quantiles of a report.
var quantiles = []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}

// compare fills in the job's column and faults.
func (j *job) compare() {
	j.column = &Column{Kind: j.kind}
	if j.kind == schema.Numeric {
		j.compareNumbers()
	} else {
		j.compareLevels()
	}
}

func (j *job) fault(f Fault) {
	f.Column = j.name
	j.faults = append(j.faults, f)
}

func (j *job) compareNumbers() {
	c := j.column
	if j.now.stray > 0 {
		j.fault(typeFault(j.now.stray, j.rows()))
	}
	cur, _ := numbersOf(j.cur)
	j.b, _ = drift.Sorted(cur)
	a, b := j.a, j.b
	j.compared = drift.CompareNumbers(j.then.numbers, j.now.numbers, a, b)
	c.setComparison(j.compared)
	meanA, stdA := j.then.numbers.Moments()
	meanB, stdB := j.now.numbers.Moments()
	c.Mean = &Pair{Number(meanA), Number(meanB)}
	c.Std = &Pair{Number(stdA), Number(stdB)}
	for _, q := range quantiles {
		c.Quantiles = append(c.Quantiles, Quantile{q, Number(drift.Quantile(a, q)), Number(drift.Quantile(b, q))})
	}
	c.Histogram = histogram(a, b)
}

// rows is the number of current rows.
func (j *job) rows() (n int) {
	c := j.now.counts()
	for _, rows := range c.Steps.Rows {
		n += rows
	}
	return n
}

// numbersOf reads a column as numbers; stray counts texts that are none and
// become missing.
func numbersOf(c *table.Column) (v []float64, stray int) {
	switch c.Type {
	case table.String:
		parsed := make([]float64, len(c.Dict))
		bad := make([]bool, len(c.Dict))
		for k, text := range c.Dict {
			x, err := strconv.ParseFloat(text, 64)
			if bad[k] = err != nil; bad[k] {
				x = math.NaN()
			}
			parsed[k] = x
		}
		v = make([]float64, len(c.Codes))
		for i, k := range c.Codes {
			v[i] = math.NaN()
			if k >= 0 {
				v[i] = parsed[k]
				if bad[k] {
					stray++
				}
			}
		}
		return v, stray
	case table.Time:
		v = make([]float64, len(c.Times))
		for i, us := range c.Times {
			if v[i] = float64(us); us == table.NoTime {
				v[i] = math.NaN()
			}
		}
		return v, 0
	}
	return c.Floats, 0
}

// histogram has equal bins over what 99 % of the values of either sample span.
func histogram(a, b []float64) *Histogram {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range [][]float64{a, b} {
		if len(s) > 0 {
			lo = min(lo, drift.Quantile(s, 0.005))
			hi = max(hi, drift.Quantile(s, 0.995))
		}
	}
	if !(lo <= hi) || math.IsInf(lo, 0) || math.IsInf(hi, 0) {
		return nil
	}
	if lo == hi { // a constant stands in the middle
		pad := max(math.Abs(lo)/2, 0.5)
		lo, hi = lo-pad, hi+pad
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		f := float64(i) / bins
		edges[i] = lo*(1-f) + hi*f
	}
	h := &Histogram{Then: shareOut(a, edges), Now: shareOut(b, edges)}
	for _, e := range edges {
		h.Edges = append(h.Edges, Number(e))
	}
	return h
}

func shareOut(sorted, edges []float64) []Number {
	out := make([]Number, len(edges)-1)
	at := 0
	for i := range out {
		end := len(sorted)
		if i < len(out)-1 {
			end, _ = slices.BinarySearch(sorted, edges[i+1])
		}
		if len(sorted) > 0 {
			out[i] = Number(float64(end-at) / float64(len(sorted)))
		}
		at = end
	}
	return out
}

func (j *job) compareLevels() {
	c, dict := j.column, j.dict.names
	j.compared = drift.CompareLevels(j.then.levels, j.now.levels, len(dict))
	c.setComparison(j.compared)
	a, b := j.then.levels.Totals(len(dict)), j.now.levels.Totals(len(dict))
	c.Levels = levelPairs(dict, a, b)
	c.Levels = c.Levels[:min(len(c.Levels), maxLevels)]
	if j.presence {
		c.Levels = nil
	}
}

// levelPairs are the shares of levels by their counts, the most changed first.
func levelPairs(dict []string, a, b []float64) (pairs []LevelPair) {
	p, q := drift.Shares(a), drift.Shares(b)
	for k, level := range dict {
		if a[k]+b[k] > 0 {
			pairs = append(pairs, LevelPair{level, Number(p[k]), Number(q[k]), a[k] == 0})
		}
	}
	slices.SortStableFunc(pairs, func(x, y LevelPair) int {
		if d := cmp.Compare(math.Abs(float64(y.Now-y.Then)), math.Abs(float64(x.Now-x.Then))); d != 0 {
			return d
		}
		return cmp.Compare(x.Level, y.Level)
	})
	return pairs
}

func total(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum
}
