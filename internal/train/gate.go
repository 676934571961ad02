package train

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/score"
)

// Champion is the version in force that a new model is measured against.
type Champion struct {
	Model *model.Model
	// Learned is the time of the newest row that it was fitted on; rows up to
	// it say nothing about the champion, which knows them.
	Learned time.Time
}

// Verdict is the gate's answer, with what it rests on in plain words.
type Verdict struct {
	Passed  bool     `json:"passed"`
	Reasons []string `json:"reasons"`
	// Gain is champion's minus challenger's mean loss on Compared rows that
	// neither had seen: above 0 the challenger is better. Nil when there were
	// too few such rows.
	Gain     *score.Interval    `json:"gain,omitempty"`
	Compared int                `json:"compared"`
	Champion map[string]float64 `json:"champion,omitempty"` // its metrics on those rows
}

// minCompared is the least number of rows that a champion is judged on.
const minCompared = 50

// Gate lets a model pass that beats the trivial baseline and is not proven
// worse than the champion (nil when there is none) on rows that both had not
// seen.
func (r *Result) Gate(champion *Champion, confidence float64, seed uint64) (Verdict, error) {
	m := string(r.Metric)
	ours, base := known(r.Holdout, m), known(r.Baseline, m)
	v := Verdict{Passed: r.Metric.Better(ours, base)}
	if !v.Passed {
		v.Reasons = append(v.Reasons, fmt.Sprintf("%s %.5g is no better than the %.5g of a constant prediction", m, ours, base))
		return v, nil
	}
	v.Reasons = append(v.Reasons, fmt.Sprintf("%s %.5g beats the %.5g of a constant prediction", m, ours, base))
	if champion == nil {
		v.Reasons = append(v.Reasons, "there is no champion yet")
		return v, nil
	}
	err := r.challenge(&v, champion, confidence, seed)
	return v, err
}

// known is a metric's value; NaN, which no gate lets pass, when it was
// left out because it is not defined or not finite.
func known(metrics map[string]float64, name string) float64 {
	if v, ok := metrics[name]; ok {
		return v
	}
	return math.NaN()
}

func (r *Result) challenge(v *Verdict, c *Champion, confidence float64, seed uint64) error {
	rows, n, k := r.Rows, r.Rows.Len(), r.Rows.Template.Outputs()
	lo := r.Test
	for lo < n && (rows.Times == nil || rows.Times[lo] <= c.Learned.UnixMicro()) {
		lo++
	}
	if n-lo < minCompared {
		v.Reasons = append(v.Reasons, fmt.Sprintf("not compared with %s: it knows all but %d of the holdout's rows", c.Model.Version, n-lo))
		return nil
	}
	if c.Model.Template.Task != rows.Template.Task || c.Model.Template.Outputs() != k {
		v.Reasons = append(v.Reasons, fmt.Sprintf("not compared with %s: it is made for another task", c.Model.Version))
		return nil
	}
	p, err := c.Model.PredictTable(rows.Table.Slice(lo, n), r.Params.NumThreads)
	var mismatch *feature.MismatchError
	if errors.As(err, &mismatch) {
		v.Reasons = append(v.Reasons, fmt.Sprintf("not compared with %s: %v", c.Model.Version, mismatch))
		return nil
	} else if err != nil {
		return fmt.Errorf("predict with %s: %w", c.Model.Version, err)
	}
	task, labels := rows.Template.Task, rows.Labels[lo:]
	if v.Champion, err = Evaluate(task, labels, p.Outputs, k); err != nil {
		return err
	}
	metric := RowMetric(r.Metric, task)
	theirs, err := score.Losses(metric, task, labels, p.Outputs, k)
	if err != nil {
		return err
	}
	ours, err := score.Losses(metric, task, labels, r.Outputs[(lo-r.Test)*k:], k)
	if err != nil {
		return err
	}
	gain := score.PairedBlockBootstrap(theirs, ours, 0, 0, confidence, seed)
	v.Gain, v.Compared = &gain, len(labels)
	v.Passed = gain.Hi >= 0
	verb := "is not proven worse than"
	if !v.Passed {
		verb = "is worse than"
	} else if gain.Lo > 0 {
		verb = "is better than"
	}
	v.Reasons = append(v.Reasons, fmt.Sprintf("%s %s on %d rows that neither had seen: %s lower by %.4g (%.0f %% interval %.4g to %.4g)",
		verb, c.Model.Version, len(labels), metric, gain.Mean, 100*confidence, gain.Lo, gain.Hi))
	return nil
}
