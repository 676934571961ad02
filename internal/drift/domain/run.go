package domain

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
)

// Parts of a run. Each sample is cut into segments of whole neighbouring
// steps, which are dealt out like cards, so that every part sees the whole
// span. The first third of the parts is only learnt from; each later part is
// first judged by a classifier of all parts before it, then learnt from, too.
const (
	partsWanted    = 6
	segmentsWanted = 2 * partsWanted
)

// The classifier: small trees, few rounds. What it misses costs power, never
// a false alarm.
func params(rows int) fit.Params {
	p := fit.Defaults()
	p.Objective = "binary"
	p.NumIterations = 25
	p.LearningRate = 0.15
	p.NumLeaves = 12
	p.MinDataInLeaf = min(max(rows/200, 10), 50)
	p.LambdaL2 = 5
	p.MaxBin = 63
	p.BinConstructSampleCt = 20000
	p.MinDataPerGroup = 25
	p.NumThreads = 1
	return p
}

// A side is steps of one sample, and the share of their rows to look at.
type side struct {
	sample *Sample
	blocks []span
	share  float64
}

// run tells one side (class 0) from the other (class 1).
type run struct {
	zero, one side
	columns   []int
	seed      uint64
	stream    uint64
	within    bool // see ranks within steps in place of values
	important bool // weigh the columns
}

// outcome is what a run found.
type outcome struct {
	auc   float64
	z     float64   // auc − ½ over its deviation in independent rows of one distribution
	own   float64   // variance of auc (DeLong)
	drops []float64 // by column, what auc loses without it
	rows  int
}

// part is rows of both sides that are judged, or learnt from, together. Rows
// are numbers in the run's table.
type part struct{ lo, hi int }

// table is a run's rows, part after part.
type table struct {
	data  fit.Data
	parts []part
	base  int // parts that are only learnt from
}

// do fits and judges part by part. z is Σ cₖ(aₖ − ½) / √Σ cₖ²vₖ over the parts'
// areas aₖ with null variances vₖ. As the classifier of part k has not seen it,
// aₖ − ½ has mean 0 given the parts before, which makes the sum a martingale
// and z standard normal, without the dependence of the folds of
// cross-validation, each of which is learnt from by the others (prequential
// testing: Dawid 1984, Podkopaev and Ramdas 2023). Parts weigh by
// √(rows learnt from)/vₖ: what is learnt grows with the root of the rows.
func (r *run) do(ctx context.Context) (*outcome, error) {
	t := r.table()
	out := &outcome{auc: math.NaN(), z: math.NaN(), own: math.NaN(), drops: make([]float64, len(r.columns)), rows: len(t.data.Label)}
	if len(t.parts) <= t.base || out.rows == 0 {
		return out, nil
	}
	p := params(t.parts[len(t.parts)-1].lo)
	data, err := fit.NewDataset(&t.data, p)
	if err != nil {
		return nil, fmt.Errorf("bin: %w", err)
	}
	var weights, sum, null, own float64
	for k := t.base; k < len(t.parts); k++ {
		j, used, err := r.learn(ctx, data, t, t.parts[k], p)
		if err != nil {
			return nil, err
		}
		c := j.judge(-1, nil)
		if math.IsNaN(c.auc) {
			continue
		}
		w := math.Sqrt(float64(t.parts[k].lo)) / c.flat
		weights += w
		sum += w * c.auc
		null += w * w * c.null
		own += w * w * c.own
		if r.important {
			r.weigh(out.drops, used, j, c.auc, w)
		}
	}
	if weights == 0 {
		return out, nil
	}
	out.auc = sum / weights
	out.own = own / (weights * weights)
	out.z = 0
	if null > 0 {
		out.z = (sum - weights/2) / math.Sqrt(null)
	}
	return out, nil
}

// learn grows trees on all rows before a part, to judge the part by. It also
// returns how often each column was split by.
func (r *run) learn(ctx context.Context, data *fit.Dataset, t *table, next part, p fit.Params) (*judge, []float64, error) {
	if next.lo == 0 {
		return newJudge(nil, t, next), make([]float64, len(r.columns)), nil
	}
	rows := make([]int32, next.lo)
	for i := range rows {
		rows[i] = int32(i)
	}
	result, err := fit.TrainDataset(ctx, fit.View{Data: data, Rows: rows}, fit.View{}, p, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("learn: %w", err)
	}
	model, err := gbdt.NewPredictor(result.Model)
	if err != nil {
		return nil, nil, fmt.Errorf("learn: %w", err)
	}
	return newJudge(model, t, next), result.Model.Importance(gbdt.BySplit), nil
}

// table gathers the run's rows.
func (r *run) table() *table {
	random := rand.New(rand.NewPCG(r.seed, r.stream))
	zero, one := r.zero.segments(random), r.one.segments(random)
	n := min(partsWanted, len(zero), len(one))
	t := &table{base: max(1, n/3)}
	var order []group
	for _, k := range []int{0, 3, 1, 4, 2, 5} {
		if k >= n {
			continue
		}
		lo := len(t.data.Label)
		for label, segments := range [][][]group{zero, one} {
			for ; k < len(segments); k += n {
				for _, g := range segments[k] {
					order = append(order, g)
					for range g.rows {
						t.data.Label = append(t.data.Label, float64(label))
					}
				}
			}
			k %= n
		}
		t.parts = append(t.parts, part{lo, len(t.data.Label)})
	}
	for _, c := range r.columns {
		values := make([]float64, 0, len(t.data.Label))
		for _, g := range order {
			lo := len(values)
			for _, row := range g.rows {
				values = append(values, g.sample.Columns[c].at(row))
			}
			if r.within {
				rankWithin(values[lo:], random)
			}
		}
		t.data.Features = append(t.data.Features, values)
		t.data.Categorical = append(t.data.Categorical, r.zero.sample.Columns[c].categorical() && !r.within)
	}
	return t
}

// group is rows of one step, or of neighbouring ones where steps have few.
type group struct {
	sample *Sample
	rows   []int32
}

// Rows of a group, if the segment has as many.
const groupRows = 50

// segments are the chosen rows of spans of neighbouring steps, by group.
func (s *side) segments(random *rand.Rand) [][]group {
	n := min(segmentsWanted, len(s.blocks))
	out := make([][]group, n)
	for i := range out {
		g := group{sample: s.sample}
		for _, b := range s.blocks[i*len(s.blocks)/n : (i+1)*len(s.blocks)/n] {
			g.rows = b.pick(g.rows, s.share, random)
			if len(g.rows) >= groupRows {
				out[i] = append(out[i], g)
				g.rows = nil
			}
		}
		if last := len(out[i]) - 1; last >= 0 {
			out[i][last].rows = append(out[i][last].rows, g.rows...)
		} else {
			out[i] = append(out[i], g)
		}
	}
	return out
}

// rankWithin replaces values by their ranks over their number, ties in random
// order: whatever the values were, they are now uniform on [0, 1], and only
// how columns go together is left (their copula). Missing values become any
// number.
func rankWithin(v []float64, random *rand.Rand) {
	type keyed struct {
		value, tie float64
		at         int
	}
	order := make([]keyed, 0, len(v))
	for i, x := range v {
		tie := random.Float64()
		if math.IsNaN(x) {
			v[i] = tie
			continue
		}
		order = append(order, keyed{x, tie, i})
	}
	slices.SortFunc(order, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.tie, b.tie))
	})
	for rank, k := range order {
		v[k.at] = (float64(rank) + random.Float64()) / float64(len(order))
	}
}
