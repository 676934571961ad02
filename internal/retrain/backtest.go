package retrain

import (
	"context"
	"fmt"
	"time"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// backtest lets cures compete with the champion on rows that it has not seen.
//
//	known to the champion │ not known
//	░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒████████
//	           record            └proof─┘
//
// Before each block a cure learns from all that was known by then, as it would
// in production. How windows did on the record says how they are mixed; the
// proof is on newer rows that had no part in it.
type backtest struct {
	rows     *train.Rows
	champion *model.Model
	golden   *table.Table // raw rows that a challenger must answer sanely
	params   fit.Params
	metric   score.Metric
	policy   heal.Policy
	fresh    int     // first row that the champion has not learnt from
	judged   int     // first row that cures may be judged on, ≥ fresh unless hardly any row is older
	blocks   []block // oldest first; the newest provenBlocks behind judged are the proof
	proof    int     // first block of the proof
	suspects []string
	earlier  []*registry.Loaded // versions that served before, the newest first
	seed     uint64
	say      func(stage string, done, total int)
	clock    func() time.Time
	deadline time.Time // after it no further cure is begun; zero: none

	theirs  []float64 // the champion's losses on the proof
	fits    map[fitKey]*challenger
	record  []Recorded
	weights []float64 // of record's windows, adding up to 1
}

// challenger is what a cure made: trees of these rows' template, or a model
// for raw rows.
type challenger struct {
	lo    int // oldest row learnt from
	rows  *train.Rows
	trees *gbdt.Model
	model *model.Model
	// version is that of a model that is published already.
	version string
}

// named is the challenger as a model for raw rows.
func (c *challenger) named(name string) (*model.Model, error) {
	if c.model != nil {
		return c.model, nil
	}
	return model.New(name, c.rows.Template, c.trees)
}

// prepare cuts the blocks and makes the record.
func (b *backtest) prepare(ctx context.Context) error {
	n := b.rows.Len()
	size := max(b.policy.MinLabels, int(blockShare*float64(n)))
	b.blocks = blocks(b.rows.Times, n, b.judged, min(b.judged, max(train.MinRows, minWindow)), size)
	b.proof = len(b.blocks) - 1
	for b.proof > 0 && len(b.blocks)-b.proof < provenBlocks && b.blocks[b.proof-1].lo >= b.judged {
		b.proof--
	}
	b.fits = map[fitKey]*challenger{}
	var err error
	lo := b.blocks[b.proof].lo
	if b.theirs, err = b.losses(nil, lo, n); err != nil {
		return err
	}
	return b.makeRecord(ctx)
}

// newest is where the newest block begins.
func (b *backtest) newest() int { return b.blocks[len(b.blocks)-1].lo }

// run judges every cure and returns one trial each, and the names of those for
// which no time was left.
func (b *backtest) run(ctx context.Context, cures []cure) (trials []Trial, skipped []string, err error) {
	var usual []float64 // losses of the cure that is taken when none stands out
	others := max(len(cures)-1, 1)
	for i, c := range cures {
		if i > 0 && !b.deadline.IsZero() && b.clock().After(b.deadline) {
			skipped = append(skipped, c.name)
			continue
		}
		b.say("backtest", i, len(cures))
		t, losses, err := b.try(ctx, c, usual, others)
		if err != nil {
			return nil, nil, fmt.Errorf("backtest %s: %w", c.name, err)
		}
		if t == nil {
			continue
		}
		if c.usual {
			usual = losses
		}
		trials = append(trials, *t)
	}
	return trials, skipped, nil
}

// try fits a cure before each block of the proof. The trial is nil when it
// cannot be made of what was known before the newest block.
func (b *backtest) try(ctx context.Context, c cure, usual []float64, others int) (*Trial, []float64, error) {
	start := b.clock()
	proof := b.blocks[b.proof:]
	lo, n := proof[0].lo, b.rows.Len()
	outputs := make([]float64, 0, (n-lo)*b.rows.Template.Outputs())
	var made *challenger
	for _, f := range proof {
		var err error
		if made, err = c.make(ctx, b, f.lo); err != nil {
			return nil, nil, err
		}
		out, err := b.predict(made, f.lo, f.hi) // by the champion where the cure has nothing to say yet
		if err != nil {
			return nil, nil, err
		}
		outputs = append(outputs, out...)
	}
	if made == nil {
		return nil, nil, nil
	}
	ours, err := b.rowLosses(lo, n, outputs)
	if err != nil {
		return nil, nil, err
	}
	t := &Trial{Window: c.window, Folds: len(proof), Action: c.action, outputs: outputs}
	t.Trial = b.judge(c, ours, usual, others)
	if t.Vetoes, err = b.vetoes(made, c, ours); err != nil {
		return nil, nil, err
	}
	t.From, t.To = b.rows.Span(lo, n)
	t.Seconds = b.clock().Sub(start).Seconds()
	return t, ours, nil
}

// judge compares a cure's losses on the proof with the champion's, and with
// those of the usual cure. The usual cure was settled before these rows were
// looked at and has its intervals for itself; the others share theirs.
func (b *backtest) judge(c cure, ours, usual []float64, others int) heal.Trial {
	newest, pooled := b.policy.Confidence, b.policy.Level(1)
	if !c.usual {
		newest, pooled = b.policy.Level(others), b.policy.Level(others)
	}
	at := b.newest() - b.blocks[b.proof].lo
	t := heal.Trial{Cure: c.name, Usual: c.usual, Floor: c.floor}
	t.All = b.match(b.theirs, ours, pooled)
	t.Newest = b.match(b.theirs[at:], ours[at:], newest)
	if !c.usual && usual != nil {
		m := b.match(usual, ours, pooled)
		t.Versus = &m
	}
	return t
}

func (b *backtest) match(theirs, ours []float64, conf float64) heal.Match {
	return heal.Match{
		Rows: len(ours), Champion: score.Mean(theirs), Loss: score.Mean(ours),
		Gain: score.PairedBlockBootstrap(theirs, ours, 0, 0, conf, b.seed),
	}
}

// predict is what a challenger says of rows [lo, hi), row-major; nil stands
// for the champion.
func (b *backtest) predict(c *challenger, lo, hi int) ([]float64, error) {
	m := b.champion
	switch {
	case c != nil && c.model == nil:
		return c.rows.Predict(c.trees, lo, hi, b.params.NumThreads)
	case c != nil:
		m = c.model
	}
	p, err := m.PredictTable(b.rows.Table.Slice(lo, hi), b.params.NumThreads)
	if err != nil {
		return nil, fmt.Errorf("predict with %s: %w", m.Version, err)
	}
	return p.Outputs, nil
}

// losses are a challenger's on rows [lo, hi).
func (b *backtest) losses(c *challenger, lo, hi int) ([]float64, error) {
	out, err := b.predict(c, lo, hi)
	if err != nil {
		return nil, err
	}
	return b.rowLosses(lo, hi, out)
}

func (b *backtest) rowLosses(lo, hi int, outputs []float64) ([]float64, error) {
	task := b.task()
	return score.Losses(train.RowMetric(b.metric, task), task, b.rows.Labels[lo:hi], outputs, b.rows.Template.Outputs())
}

func (b *backtest) task() schema.Task { return b.rows.Template.Task }
