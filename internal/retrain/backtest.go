package retrain

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// minWindow is the least number of rows that a window to learn from has.
const minWindow = 400

// maxHalvings is how often the history is halved to make shorter windows.
const maxHalvings = 4

// cure is a way to make a challenger: what to learn from.
type cure struct {
	name   string
	window int // newest rows to learn from; 0: all
}

// cures lists the windows worth trying on n labelled rows, the longest first.
func cures(n int) []cure {
	out := []cure{{name: "all labelled rows"}}
	for i, w := 0, n/2; i < maxHalvings && w >= minWindow; i, w = i+1, w/2 {
		out = append(out, cure{fmt.Sprintf("newest 1/%d of the labelled rows", 2<<i), w})
	}
	return out
}

// from is the first row that the cure learns from when history ends before hi.
func (c cure) from(hi int) int {
	if c.window == 0 {
		return 0
	}
	return max(0, hi-c.window)
}

// backtest lets cures compete with the champion on rows that it has not seen.
type backtest struct {
	rows     *train.Rows
	champion *model.Model
	params   fit.Params
	metric   score.Metric
	unseen   int // first row to judge on, which the champion has not learnt from
	minFold  int // least rows of a fold
	conf     float64
	seed     uint64
	say      func(stage string, done, total int)
	clock    func() time.Time
	kept     []*table.Column // losses of the rows judged on: the champion's, then each cure's
}

// folds cuts the newest unseen rows into blocks of time, each about half as
// long as the one before it, and the last of at least minFold rows. Before each block a
// cure learns from what was known by then, as it would in production.
func (b *backtest) folds() [][2]int {
	n := b.rows.Len()
	size := max(b.minFold, (n-b.unseen)/10)
	hi := n
	var out [][2]int
	for len(out) < maxFolds && hi > b.unseen {
		lo := b.boundary(hi - size)
		if lo-b.unseen < b.minFold/2 {
			lo = b.unseen
		}
		out = append(out, [2]int{lo, hi})
		hi, size = lo, 2*size
	}
	slices.Reverse(out)
	return out
}

// maxFolds bounds the blocks: each costs one fit a cure.
const maxFolds = 2

// boundary is at, or the row before it at which rows may be split without
// parting rows of one time; never before the first unseen row.
func (b *backtest) boundary(at int) int {
	t := b.rows.Times
	at = max(at, b.unseen)
	for at > b.unseen && at < len(t) && t[at-1] == t[at] {
		at--
	}
	return at
}

// run judges every cure and returns one trial each.
func (b *backtest) run(ctx context.Context, cures []cure) ([]Trial, error) {
	folds := b.folds()
	lo, n := folds[0][0], b.rows.Len()
	newest := folds[len(folds)-1][0] - lo
	theirs, err := b.championLosses(lo, n)
	if err != nil {
		return nil, err
	}
	b.kept = []*table.Column{table.Floats(championColumn, theirs)}
	var out []Trial
	done, total := 0, len(cures)*len(folds)
	for _, c := range cures {
		start := b.clock()
		outputs := make([]float64, 0, (n-lo)*b.rows.Template.Outputs())
		for _, f := range folds {
			b.say("backtest", done, total)
			out, err := b.predict(ctx, c.from(f[0]), f[0], f[1])
			if err != nil {
				return nil, fmt.Errorf("backtest %s: %w", c.name, err)
			}
			outputs = append(outputs, out...)
			done++
		}
		ours, err := b.rowLosses(lo, n, outputs)
		if err != nil {
			return nil, fmt.Errorf("backtest %s: %w", c.name, err)
		}
		t := Trial{Window: c.window, Folds: len(folds), Seconds: b.clock().Sub(start).Seconds(), outputs: outputs}
		t.Trial = heal.Trial{Cure: c.name, All: b.match(theirs, ours), Newest: b.match(theirs[newest:], ours[newest:])}
		t.From, t.To = b.rows.Span(lo, n)
		b.kept = append(b.kept, table.Floats(lossColumn(len(out)), ours))
		out = append(out, t)
	}
	return out, nil
}

func (b *backtest) match(theirs, ours []float64) heal.Match {
	return heal.Match{
		Rows: len(ours), Champion: score.Mean(theirs), Loss: score.Mean(ours),
		Gain: score.PairedBlockBootstrap(theirs, ours, 0, 0, b.conf, b.seed),
	}
}

// predict is what a model of rows [lo, hi) says of the rows [hi, end).
func (b *backtest) predict(ctx context.Context, lo, hi, end int) ([]float64, error) {
	res, err := b.rows.Fit(ctx, lo, hi, 0, b.params, nil)
	if err != nil {
		return nil, err
	}
	return b.rows.Predict(res.Model, hi, end, b.params.NumThreads)
}

// championLosses are the champion's on rows [lo, hi).
func (b *backtest) championLosses(lo, hi int) ([]float64, error) {
	p, err := b.champion.PredictTable(b.rows.Table.Slice(lo, hi), b.params.NumThreads)
	if err != nil {
		return nil, fmt.Errorf("predict with %s: %w", b.champion.Version, err)
	}
	return b.rowLosses(lo, hi, p.Outputs)
}

func (b *backtest) rowLosses(lo, hi int, outputs []float64) ([]float64, error) {
	task := b.task()
	return score.Losses(train.RowMetric(b.metric, task), task, b.rows.Labels[lo:hi], outputs, b.rows.Template.Outputs())
}

func (b *backtest) task() schema.Task { return b.rows.Template.Task }
