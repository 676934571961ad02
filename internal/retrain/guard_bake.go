package retrain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// BakeRows are where the rows of a bake come from.
type BakeRows struct {
	Predictions string // directory of the prediction log
	Actuals     string // directory of the actuals log
	Promoted    *registry.Loaded
	Predecessor *registry.Loaded
	Threads     int // 0: every core
}

// Look compares a promotion with its predecessor on the rows logged after it
// began whose truth came in by now. Both versions score the same raw rows,
// whichever answered at the time; those that had to be repaired to be predicted
// are left out. Rows stand in the order in which their truth
// came, which later truth only adds to. A row whose class one of the versions
// does not know is passed over.
func (b BakeRows) Look(p heal.BakePolicy, bake heal.Bake, now time.Time) (*BakeRecord, error) {
	return b.look(p, bake, now, heal.JudgeBake)
}

// LookAtShadow is [BakeRows.Look] at a challenger, as the promoted version, and
// the champion, as the predecessor.
func (b BakeRows) LookAtShadow(p heal.BakePolicy, s heal.Shadow, now time.Time) (*BakeRecord, error) {
	return b.look(p, heal.Bake{Promoted: s.Challenger, Predecessor: s.Champion, Began: s.Began, Incident: s.Incident}, now, heal.JudgeShadow)
}

func (b BakeRows) look(p heal.BakePolicy, bake heal.Bake, now time.Time, judge func(heal.BakePolicy, time.Time, time.Time, []heal.BakeBlock) heal.BakeVerdict) (*BakeRecord, error) {
	t := b.Promoted.Model.Template
	r := &BakeRecord{Policy: p, Bake: bake, At: now.UTC(), Metric: string(train.RowMetric(score.Metric(b.Promoted.Metrics.Metric), t.Task)), Blocks: []heal.BakeBlock{}}
	rows, err := b.labelled(t, bake.Began, now)
	if err != nil {
		return nil, fmt.Errorf("rows since %s: %w", bake.Promoted, err)
	}
	if rows.NumRows() > 0 {
		ours, err := b.losses(b.Promoted, rows, r.Metric)
		if err != nil {
			return nil, err
		}
		theirs, err := b.losses(b.Predecessor, rows, r.Metric)
		if err != nil {
			return nil, err
		}
		r.Blocks = append(r.Blocks, p.CutBlocks(timesOf(rows, t), t.Time != "", ours, theirs)...)
	}
	r.Verdict = judge(p, bake.Began, now, r.Blocks)
	return r, nil
}

// labelled are the logged rows predicted after since, or then by the promoted
// version, whose truth is known, in the order in which it came.
func (b BakeRows) labelled(t *schema.Template, since, until time.Time) (*table.Table, error) {
	from, end := since.UnixMicro(), until.UnixMicro()+1
	preds, _, err := predlog.Read(b.Predictions, from, end, predlog.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("read predictions: %w", err)
	}
	actuals, _, err := predlog.ReadActuals(b.Actuals, from, end, predlog.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("read actuals: %w", err)
	}
	joined, _ := predlog.Join(preds, actuals, t.Task)
	truth, arrived := joined.Column(predlog.ColumnActual), joined.Column(predlog.ColumnActualTime)
	at, by := joined.Column(predlog.ColumnTime), joined.Column(predlog.ColumnVersion)
	flags := joined.Column(predlog.ColumnFlags)
	var keep []int
	for i := range joined.NumRows() {
		late := at.Times[i] > from || by != nil && by.Text(i) == b.Promoted.Manifest.Version
		bent := flags != nil && model.Flag(flags.Floats[i])&model.Repaired != 0 // neither version was to see it as it was logged
		if late && !bent && !truth.Missing(i) {
			keep = append(keep, i)
		}
	}
	times := timesOf(joined, t)
	slices.SortStableFunc(keep, func(x, y int) int {
		return cmp.Or(cmp.Compare(arrived.Times[x], arrived.Times[y]), cmp.Compare(times[x], times[y]))
	})
	return joined.Take(keep), nil
}

// timesOf are the rows' own times, or, where they have none, when they were
// predicted.
func timesOf(rows *table.Table, t *schema.Template) []int64 {
	predicted := rows.Column(predlog.ColumnTime).Times
	own := rows.Column(t.Time)
	if t.Time == "" || own == nil || own.Type != table.Time {
		return predicted
	}
	out := slices.Clone(own.Times)
	for i, us := range out {
		if us == table.NoTime {
			out[i] = predicted[i]
		}
	}
	return out
}

// losses are those of a version on labelled rows; NaN where the row's class is
// unknown to it.
func (b BakeRows) losses(l *registry.Loaded, rows *table.Table, metric string) ([]float64, error) {
	t := l.Model.Template
	raw, err := rawRows(rows, t, predlog.ColumnActual, predlog.ColumnTime)
	if err != nil {
		return nil, fmt.Errorf("rows for %s: %w", l.Manifest.Version, err)
	}
	labels := feature.Labels(raw.Column(t.Target), t.Classes)
	p, err := l.Model.PredictTable(raw.Drop(orderColumn), b.Threads)
	if err != nil {
		return nil, fmt.Errorf("predict with %s: %w", l.Manifest.Version, err)
	}
	unknown := make([]bool, len(labels))
	for i, y := range labels {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			unknown[i], labels[i] = true, 0
		}
	}
	out, err := score.Losses(score.Metric(metric), t.Task, labels, p.Outputs, t.Outputs())
	if err != nil {
		return nil, fmt.Errorf("score %s: %w", l.Manifest.Version, err)
	}
	for i := range out {
		if unknown[i] {
			out[i] = math.NaN()
		}
	}
	return out, nil
}
