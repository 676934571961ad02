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
	vouched  *Golden      // nil: none
	params   fit.Params
	metric   score.Metric
	policy   heal.Policy
	expected float64 // mean loss of the champion on its holdout; 0 when not known
	broke    *Break  // nil: there was none
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

	vouchedLoss float64 // of the champion on the vouched rows

	jury    jury
	kept    []*table.Column // losses on the proof: the champion's, then each trial's
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

// newBacktest is one of rows, of which the champion has not learnt from fresh
// on, and cures are judged from judged on. The budget begins now.
func newBacktest(reg *registry.Registry, champion *registry.Loaded, rows *train.Rows, fresh, judged int, o Options) (*backtest, error) {
	p, err := parameters(champion, o)
	if err != nil {
		return nil, err
	}
	rows.Hide = o.Hide
	b := &backtest{
		rows: rows, champion: champion.Model, golden: champion.Golden(), params: p, metric: score.Metric(champion.Metrics.Metric), policy: o.Policy,
		fresh: fresh, judged: judged, suspects: suspects(champion, o.Report), earlier: earlier(reg, champion, o), seed: o.Seed, say: o.Progress, clock: o.Clock,
	}
	b.expected = expectedLoss(champion)
	if o.Budget > 0 {
		b.deadline = o.Clock().Add(o.Budget)
	}
	return b, nil
}

// rowMetric is the metric that a version is compared in, which has a loss a row.
func rowMetric(l *registry.Loaded) score.Metric {
	return train.RowMetric(score.Metric(l.Metrics.Metric), l.Model.Template.Task)
}

// expectedLoss is the mean loss of a version on its holdout, or on the newest
// rows of it where that is less: a version that was made because things had
// changed is held to what it promised after the change. It is 0 when the version
// was published without a holdout.
func expectedLoss(l *registry.Loaded) float64 {
	metric := string(rowMetric(l))
	loss := l.Metrics.Holdout[metric]
	if newest, ok := l.Metrics.Newest[metric]; ok {
		loss = min(loss, newest)
	}
	return loss
}

// newestLoss is the champion's mean loss on as many of the newest rows as a
// block has, of those that it has not learnt from; 0 when they are too few to
// judge by.
func newestLoss(l *registry.Loaded, rows *train.Rows, unseen, least, threads int) (float64, error) {
	n := rows.Len()
	lo := max(unseen, n-max(least, int(blockShare*float64(n))))
	if n-lo < least {
		return 0, nil
	}
	p, err := l.Model.PredictTable(rows.Table.Slice(lo, n), threads)
	if err != nil {
		return 0, fmt.Errorf("predict with %s: %w", l.Manifest.Version, err)
	}
	t := l.Model.Template
	losses, err := score.Losses(rowMetric(l), t.Task, rows.Labels[lo:n], p.Outputs, t.Outputs())
	if err != nil {
		return 0, err
	}
	return score.Mean(losses), nil
}

// prepare cuts the blocks and makes the record.
func (b *backtest) prepare(ctx context.Context) error {
	n := b.rows.Len()
	size := max(b.policy.MinLabels, int(blockShare*float64(n)))
	b.cut(size)
	if err := b.lookForBreak(); err != nil {
		return err
	}
	if half := (n - b.newest()) / 2; b.broke != nil && half >= b.policy.MinLabels {
		b.cut(half)
	}
	b.fits = map[fitKey]*challenger{}
	lo := b.blocks[b.proof].lo
	theirs, err := b.losses(nil, lo, n)
	if err != nil {
		return err
	}
	b.jury = jury{policy: b.policy, seed: b.seed, newest: b.newest() - lo, theirs: theirs}
	return b.makeRecord(ctx)
}

// cut makes blocks of about size rows, and says which are the proof.
func (b *backtest) cut(size int) {
	b.blocks = blocks(b.rows.Times, b.rows.Len(), b.judged, min(b.judged, max(train.MinRows, minWindow)), size)
	b.proof = len(b.blocks) - 1
	for b.proof > 0 && len(b.blocks)-b.proof < provenBlocks && b.blocks[b.proof-1].lo >= b.judged {
		b.proof--
	}
}

// Break says that the champion suddenly lost much more than was expected of it.
// What cures knew before the newest block then says little about what follows,
// so blocks are cut in half: cures learn from the first rows after the break
// and are proven on those after them.
type Break struct {
	Expected float64 `json:"expected_loss"` // of the champion, on its holdout
	Loss     float64 `json:"loss"`          // on the newest block
}

func (b *backtest) lookForBreak() error {
	losses, err := b.losses(nil, b.newest(), b.rows.Len())
	if err != nil {
		return err
	}
	if loss := score.Mean(losses); b.expected > 0 && loss > heal.BreakLimit*b.expected {
		b.broke = &Break{Expected: b.expected, Loss: loss}
	}
	return nil
}

// newest is where the newest block begins.
func (b *backtest) newest() int { return b.blocks[len(b.blocks)-1].lo }

// run judges every cure and returns one trial each, and the names of those for
// which no time was left.
func (b *backtest) run(ctx context.Context, cures []cure) (trials []Trial, skipped []string, err error) {
	b.jury.others = len(cures) - 1
	b.kept = []*table.Column{table.Floats(championColumn, b.jury.theirs)}
	for i, c := range cures {
		if i > 0 && !b.deadline.IsZero() && b.clock().After(b.deadline) {
			skipped = append(skipped, c.name)
			continue
		}
		b.say("backtest", i, len(cures))
		t, losses, err := b.try(ctx, c)
		if err != nil {
			return nil, nil, fmt.Errorf("backtest %s: %w", c.name, err)
		}
		if t == nil {
			continue
		}
		b.kept = append(b.kept, table.Floats(lossColumn(len(trials)), losses))
		trials = append(trials, *t)
	}
	return trials, skipped, nil
}

// try fits a cure before each block of the proof. The trial is nil when it
// cannot be made of what was known before the newest block.
func (b *backtest) try(ctx context.Context, c cure) (*Trial, []float64, error) {
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
	t.Trial = b.jury.judge(c.name, c.usual, c.floor, ours)
	if t.Vetoes, err = b.vetoes(made, c, ours); err != nil {
		return nil, nil, err
	}
	var veto string
	if veto, t.Golden, err = b.losesGolden(made); err != nil {
		return nil, nil, err
	} else if veto != "" && !c.floor {
		t.Vetoes = append(t.Vetoes, veto)
	}
	t.From, t.To = b.rows.Span(lo, n)
	t.Seconds = b.clock().Sub(start).Seconds()
	return t, ours, nil
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
