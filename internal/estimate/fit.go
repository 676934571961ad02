package estimate

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Holdout is what an estimator is made of: rows with their truth that the
// predicting model had not seen, in the order of time.
type Holdout struct {
	Task    schema.Task
	Metric  score.Metric // see [Metric]
	K       int          // outputs a row
	Labels  []float64
	Outputs []float64 // row-major, K a row
	Times   []int64   // µs, ascending, missing ones first; nil: not known
	// Features, Names and Categorical are the template's features, column by
	// column.
	Features    [][]float64
	Names       []string
	Categorical []bool
	// Columns are the raw columns to look for segments in.
	Columns []Column
	Threads int // the estimator does not depend on it
}

// MinRows is the least number of rows of a holdout that an estimator is made of.
const MinRows = 60

// stretches is the number of folds in time, for cross-fitting and jackknife.
const stretches = 6

// Fit makes the estimator. It is nil, with no error, when the holdout says too
// little: fewer than [MinRows] rows, a label or output that is not finite, a
// metric that is not defined, or the AUC of predictions that are all the same.
func Fit(ctx context.Context, h *Holdout) (*Estimator, error) {
	n := len(h.Labels)
	m := Metric(h.Metric, h.Task)
	if n < MinRows || !allFinite(h.Labels) || !allFinite(h.Outputs) {
		return nil, nil
	}
	with := *h
	h = &with
	h.Metric = m
	loss, err := Losses(m, h.Task, h.Labels, h.Outputs, h.K)
	if err != nil {
		return nil, fmt.Errorf("take %s of the holdout: %w", m, err)
	}
	if !allFinite(loss) || m == score.AUCMetric && slices.Min(loss) == slices.Max(loss) {
		return nil, nil
	}
	e := &Estimator{Format: Format, Task: h.Task, Metric: m, K: h.K, Rows: n, Then: OfLoss(m, mean(loss))}
	var cross []float64
	if h.Task.Classified() {
		e.Confidence, cross, err = fitConfidence(h, loss, folds(n))
	} else {
		e.Errors, cross, err = fitErrors(ctx, h, loss, folds(n))
	}
	if err != nil {
		return nil, err
	}
	if !allFinite(cross) {
		return nil, nil
	}
	missed := make([]float64, n)
	for i, l := range loss {
		missed[i] = l - cross[i]
	}
	micros := StepLength(h.Times)
	e.Steps = newSteps(StepsOf(h.Times, n, micros, equalSteps), micros, loss, missed)
	clusters := e.clusters(h.Times)
	e.Segments = segments(h.Columns, loss, Residuals(h.Task, h.Labels, h.Outputs, h.K), clusters)
	e.Calibration = Recalibrate(h.Task, h.Labels, h.Outputs, h.K, clusters, math.NaN())
	return e, nil
}

// clusters are the steps of the holdout joined until some 20 are left.
func (e *Estimator) clusters(times []int64) []int {
	step := StepsOf(times, e.Rows, e.Steps.Micros, equalSteps)
	span := e.Steps.At[len(e.Steps.At)-1] + 1
	length := max(1, span/clusterSteps)
	for i := range step {
		step[i] /= length
	}
	return step
}

// folds cuts n rows into stretches.
func folds(n int) [][2]int {
	out := make([][2]int, stretches)
	for i := range out {
		out[i] = [2]int{i * n / stretches, (i + 1) * n / stretches}
	}
	return out
}

func allFinite(v []float64) bool {
	for _, x := range v {
		if !finite(x) {
			return false
		}
	}
	return true
}
