package retrain

import (
	"fmt"
	"math"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// Golden are labelled rows that somebody vouches for, and that nothing is ever
// learnt from. Whatever actuals say, a promotion that loses on them is poisoned.
type Golden struct {
	File   string       // as configured
	SHA256 string       // of the file, hex
	Rows   *table.Table // raw columns and the target
}

// GoldenSet is what an incident says of the golden rows.
type GoldenSet struct {
	File     string  `json:"file"`
	SHA256   string  `json:"sha256"`
	Rows     int     `json:"rows"`
	Champion float64 `json:"champion_loss"` // mean, in the incident's metric
}

// Labels are the labels under a template. The error is a *table.Error: the
// target is missing, or one of its values, or a value is no class.
func (g *Golden) Labels(t *schema.Template) ([]float64, error) {
	c := g.Rows.Column(t.Target)
	if c == nil {
		return nil, &table.Error{File: g.File, Want: fmt.Sprintf("the column %q, which is predicted", t.Target)}
	}
	if !t.Task.Classified() && c.Type != table.Float && c.Type != table.Bool {
		return nil, &table.Error{File: g.File, Column: t.Target, Want: "numbers"}
	}
	labels := feature.Labels(targetColumn(c, t.Task), t.Classes)
	for i, y := range labels {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			return nil, &table.Error{File: g.File, Column: t.Target, Value: c.Format(i), Want: fmt.Sprintf("a value that the model can predict, in row %d", i+1)}
		}
	}
	return labels, nil
}

// loss is the mean loss of a model on the golden rows, in a metric that has one
// a row.
func (g *Golden) loss(m *model.Model, metric score.Metric, threads int) (float64, error) {
	labels, err := g.Labels(m.Template)
	if err != nil {
		return 0, err
	}
	p, err := m.PredictTable(g.Rows.Drop(m.Template.Target), threads)
	if err != nil {
		return 0, fmt.Errorf("predict the golden rows of %s: %w", g.File, err)
	}
	losses, err := score.Losses(metric, m.Template.Task, labels, p.Outputs, m.Template.Outputs())
	if err != nil {
		return 0, err
	}
	return score.Mean(losses), nil
}

// Loses says that a challenger loses on the golden rows more than the champion
// by more than the margin, a share; "" when it does not.
func (g *Golden) Loses(challenger, champion *model.Model, metric score.Metric, margin float64, threads int) (string, error) {
	metric = train.RowMetric(metric, champion.Template.Task)
	theirs, err := g.loss(champion, metric, threads)
	if err != nil {
		return "", err
	}
	ours, err := g.loss(challenger, metric, threads)
	if err != nil {
		return "", err
	}
	return g.verdict(ours, theirs, margin), nil
}

func (g *Golden) verdict(ours, theirs, margin float64) string {
	if ours <= (1+margin)*theirs {
		return ""
	}
	return fmt.Sprintf("it loses %.4g on the %d golden rows, where the champion loses %.4g", ours, g.Rows.NumRows(), theirs)
}

// weighGolden takes the champion's loss on the golden rows.
func (b *backtest) weighGolden(g *Golden) (*GoldenSet, error) {
	if g == nil {
		return nil, nil
	}
	b.vouched = g
	loss, err := g.loss(b.champion, train.RowMetric(b.metric, b.task()), b.params.NumThreads)
	if err != nil {
		return nil, err
	}
	b.vouchedLoss = loss
	return &GoldenSet{File: g.File, SHA256: g.SHA256, Rows: g.Rows.NumRows(), Champion: loss}, nil
}

// losesGolden is a veto on a challenger that loses on the golden rows more than
// the margin, "" when it does not.
func (b *backtest) losesGolden(c *challenger) (veto string, loss float64, err error) {
	if b.vouched == nil {
		return "", 0, nil
	}
	m, err := c.named("a challenger")
	if err != nil {
		return "", 0, err
	}
	loss, err = b.vouched.loss(m, train.RowMetric(b.metric, b.task()), b.params.NumThreads)
	if err != nil {
		return "", 0, err
	}
	return b.vouched.verdict(loss, b.vouchedLoss, b.policy.Margin), loss, nil
}
