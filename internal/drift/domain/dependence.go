package domain

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Pair is how two columns go together, then and now.
type Pair struct {
	A, B    string
	Measure string // [Spearman], [CramersV] or [CorrelationRatio]
	// Then and Now are the measure in the reference and in the current sample;
	// NaN when it cannot be told.
	Then, Now float64
	// Z is the change over its standard error, above 0 when the measure has
	// grown; NaN when either cannot be told.
	Z float64
	// Raw is the two-sided p-value of this pair alone, P that of Holm's
	// (1979) correction for all pairs: below a level, it keeps the chance of
	// any false alarm there. Both are 1 when nothing can be told.
	Raw, P float64
}

// The measures of a [Pair].
const (
	Spearman         = "spearman"          // two columns of numbers, in [−1, 1]
	CramersV         = "cramers_v"         // two columns of levels, in [0, 1]
	CorrelationRatio = "correlation_ratio" // one of each, in [0, 1]
)

// DependenceRows is the default of [Options.MaxRows] for [Dependence].
const DependenceRows = 50000

// Groups of steps that the jackknife leaves out, one at a time.
const (
	groupsMost = 12
	groupsFew  = 6 // fewer only where there are fewer steps
)

// Dependence compares how each two of up to [MaxColumns] columns go together
// in both samples, the most significant change first. Columns that are
// constant in both are left out. See the package's documentation for the
// measures. Errors are those of [Classify].
func Dependence(ctx context.Context, ref, cur Sample, o Options) ([]Pair, error) {
	n, m, err := checkPair(&ref, &cur)
	if err != nil {
		return nil, err
	}
	length := stepRows(n, m)
	columns := choose(&ref, &cur, n, m, MaxColumns)
	most := o.MaxRows
	if most <= 0 {
		most = DependenceRows
	}
	then := prepare(&ref, n, length, most, columns, o)
	now := prepare(&cur, m, length, most, columns, o)
	type place struct{ a, b int }
	var places []place
	var pairs []Pair
	for i := range columns {
		for j := range i {
			places = append(places, place{j, i})
			pairs = append(pairs, Pair{A: ref.Columns[columns[j]].Name, B: ref.Columns[columns[i]].Name})
		}
	}
	each(len(pairs), o.Threads, func(k int) {
		if ctx.Err() == nil {
			pairs[k].compare(then.measure(places[k].a, places[k].b), now.measure(places[k].a, places[k].b))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(a.Raw, b.Raw), cmp.Compare(math.Abs(b.Z), math.Abs(a.Z)))
	})
	holm(pairs)
	return pairs, nil
}

// each calls f with 0 to n−1, in threads goroutines.
func each(n, threads int, f func(int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range max(1, min(threads, n)) {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// holm sets P of sorted pairs.
func holm(pairs []Pair) {
	tests := 0
	for _, p := range pairs {
		if !math.IsNaN(p.Z) {
			tests++
		}
	}
	least := 0.0
	for i := range pairs {
		least = max(least, min(1, pairs[i].Raw*float64(max(1, tests-i))))
		pairs[i].P = least
	}
}

// compare sets all but the names. The change of θ is referred to Student's t
// whose degrees of freedom are Welch's (1947) of the groups left out.
func (p *Pair) compare(then, now estimate) {
	p.Measure, p.Then, p.Now = then.measure, then.value, now.value
	p.Z, p.Raw = math.NaN(), 1
	v := then.variance + now.variance
	change := now.theta - then.theta
	if !(v > 0) || math.IsNaN(change) {
		return
	}
	p.Z = change / math.Sqrt(v)
	df := v * v / (then.variance*then.variance/then.df + now.variance*now.variance/now.df)
	p.Raw = 2 * studentUpper(math.Abs(p.Z), df)
}

// prepared is a sample's rows in groups of steps, each column as ranks or codes.
type prepared struct {
	group  []int32 // by row
	groups int
	cols   []preparedColumn
}

type preparedColumn struct {
	rank   []float64 // in [−½, ½], NaN: missing; nil: levels
	code   []int32   // −1: missing
	levels int
}

func prepare(s *Sample, n, length, most int, columns []int, o Options) *prepared {
	p := &prepared{cols: make([]preparedColumn, len(columns))}
	blocks := s.blocks(n, length)
	if len(blocks) == 0 {
		return p
	}
	p.groups = min(len(blocks), max(groupsFew, min(groupsMost, len(blocks)/4)))
	share := min(1, float64(most)/float64(n))
	random := rand.New(rand.NewPCG(o.Seed, 0))
	var rows []int32
	for i, b := range blocks {
		rows = b.pick(rows, share, random)
		for len(p.group) < len(rows) {
			p.group = append(p.group, int32(i*p.groups/len(blocks)))
		}
	}
	each(len(columns), o.Threads, func(i int) {
		c := &s.Columns[columns[i]]
		if c.categorical() {
			p.cols[i].code, p.cols[i].levels = topLevels(c, rows)
		} else {
			p.cols[i].rank = ranks(c, rows)
		}
	})
	return p
}

// ranks are the mid-ranks of the present rows over their number, less ½.
func ranks(c *Column, rows []int32) []float64 {
	type keyed struct {
		value float64
		at    int32
	}
	out := make([]float64, len(rows))
	order := make([]keyed, 0, len(rows))
	for i, row := range rows {
		out[i] = math.NaN()
		if v := c.Values[row]; !math.IsNaN(v) {
			order = append(order, keyed{v, int32(i)})
		}
	}
	slices.SortFunc(order, func(a, b keyed) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	for lo := 0; lo < len(order); {
		hi := lo + 1
		for hi < len(order) && order[hi].value == order[lo].value {
			hi++
		}
		for _, k := range order[lo:hi] {
			out[k.at] = float64(lo+hi)/2/float64(len(order)) - 0.5
		}
		lo = hi
	}
	return out
}

// Levels that are told apart in one column; rarer ones count as one more.
const levelsMost = 31

// topLevels renumbers the codes of rows by their count.
func topLevels(c *Column, rows []int32) (codes []int32, levels int) {
	counts := map[int32]int{}
	codes = make([]int32, len(rows))
	for i, row := range rows {
		codes[i] = -1
		if v := c.Codes[row]; v >= 0 && int(v) < c.Levels {
			codes[i] = v
			counts[v]++
		}
	}
	order := make([]int32, 0, len(counts))
	for v := range counts {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	to := make(map[int32]int32, len(order))
	for i, v := range order {
		to[v] = int32(min(i, levelsMost))
	}
	for i, v := range codes {
		if v >= 0 {
			codes[i] = to[v]
		}
	}
	return codes, min(len(order), levelsMost+1)
}
