package domain

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Options say how much is looked at. The zero value holds the defaults.
type Options struct {
	// MaxRows bounds the rows looked at of either sample; 0 stands for
	// [DefaultMaxRows].
	MaxRows int
	// Conf is the confidence of intervals, in (0, 1); 0 stands for 0.95.
	Conf float64
	// Seed decides which rows are drawn.
	Seed uint64
	// Threads is the number of goroutines; it does not change the result. 0
	// and below stand for 1.
	Threads int
}

// DefaultMaxRows is the default of [Options.MaxRows].
const DefaultMaxRows = 20000

// Result is what a classifier makes of two samples. Numbers that cannot be
// told are NaN, and P is then 1.
type Result struct {
	// AUC is the area under the curve on rows that the classifier did not
	// learn from: 0.5 when nothing tells the samples apart, 1 when everything.
	AUC float64
	// Lo and Hi bound AUC with [Options.Conf].
	Lo, Hi float64
	// Null is the mean AUC of stretches of the reference against its rest.
	Null float64
	// P is the chance of such an AUC without drift, one-sided.
	P float64
	// Within says that P is of the classifier that saw ranks within steps, and
	// nothing but how columns go together; all numbers are then its. Else
	// it is of the one that saw values.
	Within bool
	// Restless says that the reference's stretches differ by more than
	// independent rows would, and P was set by them.
	Restless bool
	// Stretches is the number of stretches that Null and P rest on.
	Stretches int
	// Columns weigh what tells the samples apart, greatest first.
	Columns []Weight
	// Rows is the number of rows looked at, of both samples.
	Rows int
}

// Weight is a column's part in telling the samples apart, in [0, 1]; all add
// up to 1.
type Weight struct {
	Name   string
	Weight float64
}

const (
	stretchesLeast = 6       // where the reference is long enough
	stretchesMost  = 16      // as many as stay cheap
	stretchesFew   = 3       // with fewer nothing can be told
	cheapCells     = 3000000 // rows times columns of all stretches
	// The reference is looked at by so many times the rows of the other side:
	// more would hardly sharpen the comparison.
	timesRows = 4
	// Rows count as independent unless the stretches contradict it with this
	// confidence. The error that matters is to take restless rows for
	// independent ones, so it is low.
	independentLevel = 0.8
	// A current sample that is longer than a stretch may have a greater score
	// for it: disturbances that outlast the steps add up with the root of the
	// length, up to this factor.
	mostLonger = math.Sqrt2
	// Restless rows drift only when their score is this many times the
	// greatest of the stretches.
	beyondGreatest = 1.5
)

// Classify learns to tell the rows of cur from those of ref and says how well
// that works on rows not learnt from (classifier two-sample test, Lopez-Paz
// and Oquab 2017). See the package's documentation for how P is set. Samples
// whose columns do not correspond are an error, as are steps that descend.
func Classify(ctx context.Context, ref, cur Sample, o Options) (*Result, error) {
	n, m, err := checkPair(&ref, &cur)
	if err != nil {
		return nil, err
	}
	nan := math.NaN()
	out := &Result{AUC: nan, Lo: nan, Hi: nan, Null: nan, P: 1}
	length := stepRows(n, m)
	a, b := ref.blocks(n, length), cur.blocks(m, length)
	columns := choose(&ref, &cur, n, m, MaxColumns)
	if len(a) < 2 || len(b) < 2 || len(columns) == 0 {
		return out, nil
	}
	views := [][]int{columns}
	if ranked := continuous(&ref, &cur, n, m, columns); len(ranked) >= 2 {
		views = append(views, ranked)
	}
	var runs []run
	for i, columns := range views {
		runs = append(runs, plan(&ref, &cur, a, b, columns, i == 1, o)...)
	}
	found, err := doAll(ctx, runs, o.Threads)
	if err != nil {
		return nil, err
	}
	length = stretchLength(len(a), len(b))
	longer, room := float64(len(b))/float64(length), float64(len(a)/length)
	size := len(runs) / len(views)
	var best *Result
	for i, columns := range views {
		v := out.view(found[i*size:(i+1)*size], longer, room, o)
		v.Within = i == 1
		if !math.IsNaN(v.AUC) {
			v.weigh(&ref, columns, found[i*size].drops)
		}
		if best == nil || v.P < best.P {
			best = v
		}
	}
	best.P = min(1, float64(len(views))*best.P)
	return best, nil
}

// view is the result of one view's runs.
func (out *Result) view(found []*outcome, longer, room float64, o Options) *Result {
	v := *out
	v.Rows = found[0].rows
	if !math.IsNaN(found[0].auc) {
		v.AUC = found[0].auc
		v.calibrate(found[0], found[1:], longer, room, cmp.Or(o.Conf, 0.95))
	}
	return &v
}

// plan lists the runs: the current sample against the reference, then
// stretches of the reference, of the current sample's length where that
// leaves enough of them, against the rest of the reference.
func plan(ref, cur *Sample, a, b []span, columns []int, within bool, o Options) []run {
	most := float64(o.MaxRows)
	if o.MaxRows <= 0 {
		most = DefaultMaxRows
	}
	share := min(1, most/float64(rowsOf(b)))
	against := func(rows float64, blocks []span) side {
		return side{ref, blocks, min(1, min(most, timesRows*rows)/float64(rowsOf(blocks)))}
	}
	runs := []run{{
		zero: against(share*float64(rowsOf(b)), a), one: side{cur, b, share},
		columns: columns, within: within, seed: o.Seed, important: true,
	}}
	length := stretchLength(len(a), len(b))
	room := len(a) / length
	if len(a)-length < 2 {
		return runs
	}
	rows := share * float64(rowsOf(a)) * float64(length) / float64(len(a))
	cost := (rows + min(most, timesRows*rows)) * float64(len(columns))
	k := min(2*room-1, stretchesMost, max(min(room, stretchesLeast), int(cheapCells/cost)))
	for i := range k {
		lo := i * (len(a) - length) / max(1, k-1)
		stretch := a[lo : lo+length]
		rest := append(slices.Clone(a[:lo]), a[lo+length:]...)
		runs = append(runs, run{
			zero: against(share*float64(rowsOf(stretch)), rest), one: side{ref, stretch, share},
			columns: columns, within: within, seed: o.Seed, stream: uint64(i + 1),
		})
	}
	return runs
}

// stretchLength is the steps of a stretch for a reference of n steps and a
// current sample of m.
func stretchLength(n, m int) int { return max(2, min(m, n/stretchesLeast)) }

// doAll does the runs, several at a time.
func doAll(ctx context.Context, runs []run, threads int) ([]*outcome, error) {
	found, errs := make([]*outcome, len(runs)), make([]error, len(runs))
	each(len(runs), threads, func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			found[i], errs[i] = runs[i].do(ctx)
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// weigh sets Columns to shares of the drops.
func (out *Result) weigh(ref *Sample, columns []int, drops []float64) {
	total := 0.0
	for _, d := range drops {
		total += max(0, d)
	}
	for i, c := range columns {
		w := 1 / float64(len(columns))
		if total > 0 {
			w = max(0, drops[i]) / total
		}
		out.Columns = append(out.Columns, Weight{ref.Columns[c].Name, w})
	}
	slices.SortStableFunc(out.Columns, func(a, b Weight) int { return cmp.Compare(b.Weight, a.Weight) })
}

// calibrate sets P and the interval from the scores of the stretches, each of
// whose length the current sample has longer times, and of which room fit into
// the reference side by side.
func (out *Result) calibrate(found *outcome, stretches []*outcome, longer, room, conf float64) {
	var z []float64
	null := 0.0
	for _, s := range stretches {
		if !math.IsNaN(s.z) {
			z = append(z, s.z)
			null += s.auc
		}
	}
	k := float64(len(z))
	out.Stretches = len(z)
	if len(z) < stretchesFew {
		return
	}
	out.Null = null / k
	squares := 0.0
	for _, v := range z {
		squares += v * v
	}
	df := freedom(k, room)
	out.Restless = squares/k*df > distuv.ChiSquared{K: df}.Quantile(independentLevel)
	inflation, quantile := 1.0, distuv.UnitNormal.Quantile((1+conf)/2)
	if out.Restless {
		mean, spread := stat.MeanStdDev(z, nil)
		stretch := min(math.Sqrt(max(1, longer)), mostLonger)
		inflation = max(1, spread*stretch) * math.Sqrt(1+1/df)
		out.P = studentUpper((found.z-max(0, mean*stretch))/inflation, df-1)
		if found.z < beyondGreatest*stretch*slices.Max(z) {
			out.P = max(out.P, 1/(min(k, room)+1))
		}
		quantile = distuv.StudentsT{Sigma: 1, Nu: df - 1}.Quantile((1 + conf) / 2)
	} else {
		out.P = math.Erfc(found.z/math.Sqrt2) / 2
	}
	out.Lo, out.Hi = logitInterval(found.auc, quantile*inflation*math.Sqrt(found.own))
}

// freedom is how many independent squares k evenly spread stretches are worth
// where room of them fit side by side: one each up to there, and a third more
// when they overlap by half (Welch 1967).
func freedom(k, room float64) float64 {
	if k <= room || room < 2 {
		return k
	}
	return room * (1 + (k-room)/(room-1)/3)
}

// studentUpper is the chance that Student's t with df degrees exceeds t.
func studentUpper(t, df float64) float64 {
	p := mathext.RegIncBeta(df/2, 0.5, df/(df+t*t)) / 2
	if t < 0 {
		return 1 - p
	}
	return p
}

// logitInterval is the interval auc ± reach, laid out on the log odds so that
// it stays within [0, 1].
func logitInterval(auc, reach float64) (lo, hi float64) {
	slope := auc * (1 - auc)
	if slope <= 0 {
		return auc, auc
	}
	odds := math.Log(auc / (1 - auc))
	return 1 / (1 + math.Exp(reach/slope-odds)), 1 / (1 + math.Exp(-reach/slope-odds))
}
