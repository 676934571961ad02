// Package score turns labels and predictions into numbers: metrics, losses a
// row, simple baselines and intervals for the difference of two models.
//
// It works on plain slices, does no I/O and draws randomness only from seeds
// that it is given.
//
// # Conventions
//
// A label is the value itself for a regression and the class index (0, 1, …)
// as a float64 for a classified task. Outputs are row-major with k values a
// row: one value for a regression, one probability a class otherwise. A binary
// task may also give k = 1, the probability of class 1.
//
// A metric of no rows is NaN, and a NaN label or output makes it NaN: nothing
// is left out silently. Slices of different lengths are a mistake of the
// program and panic, except in [Losses] and [Evaluate], which return an error.
package score

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
)

// Metric names a measure of how good predictions are.
type Metric string

// The metrics.
const (
	RMSEMetric     Metric = "rmse"
	MAEMetric      Metric = "mae"
	MAELog1pMetric Metric = "mae_log1p"
	LogLossMetric  Metric = "logloss"
	AUCMetric      Metric = "auc"
	AccuracyMetric Metric = "accuracy"
	BrierMetric    Metric = "brier"
	ECEMetric      Metric = "ece" // over ten bins; of the most probable class when there are more than two
)

const (
	eceBins         = 10
	probabilityClip = 1e-15
)

// Metrics lists the metrics that fit a task, the default one first.
func Metrics(task schema.Task) []Metric {
	switch task {
	case schema.Regression:
		return []Metric{MAEMetric, RMSEMetric, MAELog1pMetric}
	case schema.Binary:
		return []Metric{LogLossMetric, AUCMetric, AccuracyMetric, BrierMetric, ECEMetric}
	default:
		return []Metric{LogLossMetric, AccuracyMetric, BrierMetric, ECEMetric}
	}
}

// Default is the metric by which models of a task are compared when nobody
// chose one: the mean absolute error, or the log loss.
func Default(task schema.Task) Metric { return Metrics(task)[0] }

// Fits reports whether the metric can be taken of the task.
func (m Metric) Fits(task schema.Task) bool { return slices.Contains(Metrics(task), m) }

// HigherIsBetter reports whether a greater value means a better model.
func (m Metric) HigherIsBetter() bool { return m == AUCMetric || m == AccuracyMetric }

// Better reports whether value a of the metric is strictly better than b. NaN
// is better than nothing and worse than everything else.
func (m Metric) Better(a, b float64) bool {
	switch {
	case math.IsNaN(a):
		return false
	case math.IsNaN(b):
		return true
	case m.HigherIsBetter():
		return a > b
	}
	return a < b
}

// PerRow reports whether the metric is a mean of losses a row, so that
// [Losses] knows it. The AUC and the calibration error are not.
func (m Metric) PerRow() bool { return m != AUCMetric && m != ECEMetric }

// Evaluate takes metric m of outputs with k values a row against label.
func Evaluate(m Metric, task schema.Task, label, outputs []float64, k int) (float64, error) {
	if err := check(m, task, label, outputs, k); err != nil {
		return 0, err
	}
	switch m {
	case AUCMetric:
		return AUC(label, positive(outputs, k)), nil
	case ECEMetric:
		if task == schema.Binary {
			return ECE(label, positive(outputs, k), eceBins), nil
		}
		hit, confidence := topClass(label, outputs, k)
		return ECE(hit, confidence, eceBins), nil
	}
	losses, err := Losses(m, task, label, outputs, k)
	if err != nil {
		return 0, err
	}
	v := Mean(losses)
	switch m {
	case RMSEMetric:
		v = math.Sqrt(v)
	case AccuracyMetric:
		v = 1 - v
	}
	return v, nil
}

// Losses returns one loss a row, lower being better, whose mean orders models
// as metric m does: the squared error for the RMSE, 0 or 1 for the accuracy,
// and otherwise the terms of the metric itself. Metrics that are no mean over
// rows (see [Metric.PerRow]) are an error.
func Losses(m Metric, task schema.Task, label, outputs []float64, k int) ([]float64, error) {
	if err := check(m, task, label, outputs, k); err != nil {
		return nil, err
	}
	if !m.PerRow() {
		return nil, fmt.Errorf("score: %s is not a mean over rows and has no losses", m)
	}
	loss := make([]float64, len(label))
	for i, y := range label {
		loss[i] = rowLoss(m, y, outputs[i*k:(i+1)*k])
	}
	return loss, nil
}

func rowLoss(m Metric, y float64, out []float64) float64 {
	switch m {
	case RMSEMetric:
		return (y - out[0]) * (y - out[0])
	case MAEMetric:
		return math.Abs(y - out[0])
	case MAELog1pMetric:
		return math.Abs(log1p(y) - log1p(out[0]))
	}
	if math.IsNaN(y) || slices.ContainsFunc(out, math.IsNaN) {
		return math.NaN()
	}
	c := int(y)
	switch m {
	case LogLossMetric:
		return -math.Log(probability(out, c))
	case AccuracyMetric:
		if best(out) == c {
			return 0
		}
		return 1
	default: // Brier
		return brier(out, c)
	}
}

func check(m Metric, task schema.Task, label, outputs []float64, k int) error {
	switch {
	case !m.Fits(task):
		return fmt.Errorf("score: metric %q does not fit a %s task, which has %v", m, task, Metrics(task))
	case k < 1 || len(outputs) != k*len(label):
		return fmt.Errorf("score: %d outputs for %d labels with %d a row", len(outputs), len(label), k)
	case task == schema.Regression && k != 1, task == schema.Binary && k > 2, task == schema.Multiclass && k < 3:
		return fmt.Errorf("score: %d outputs a row do not fit a %s task", k, task)
	}
	if task.Classified() {
		for i, y := range label {
			if !math.IsNaN(y) && (y != math.Trunc(y) || y < 0 || y >= float64(max(k, 2))) {
				return fmt.Errorf("score: label %v in row %d is no class index below %d", y, i, max(k, 2))
			}
		}
	}
	return nil
}

// positive is the probability of class 1, one a row.
func positive(outputs []float64, k int) []float64 {
	if k == 1 {
		return outputs
	}
	p := make([]float64, len(outputs)/k)
	for i := range p {
		p[i] = outputs[i*k+1]
	}
	return p
}

// probability is what one row gives to class c, clipped away from 0 and 1 as
// scikit-learn's log_loss once did and LightGBM does.
func probability(out []float64, c int) float64 {
	p := 0.0
	switch {
	case len(out) > 1:
		p = out[c]
	case c == 1:
		p = out[0]
	default:
		p = 1 - out[0]
	}
	return min(max(p, probabilityClip), 1-probabilityClip)
}

// best is the class with the greatest probability, the first one of equals.
func best(out []float64) int {
	if len(out) == 1 {
		if out[0] > 0.5 {
			return 1
		}
		return 0
	}
	b := 0
	for j, p := range out {
		if p > out[b] {
			b = j
		}
	}
	return b
}

// brier is the squared distance to the truth: (p−y)² for two classes, and the
// sum over classes for more (Brier 1950), as scikit-learn has it.
func brier(out []float64, c int) float64 {
	if len(out) <= 2 {
		d := out[len(out)-1] - float64(c)
		return d * d
	}
	sum := 0.0
	for j, p := range out {
		if j == c {
			p--
		}
		sum += p * p
	}
	return sum
}

// topClass gives, a row, whether the most probable class is the true one (1 or
// 0, NaN without a label) and its probability.
func topClass(label, outputs []float64, k int) (hit, confidence []float64) {
	hit, confidence = make([]float64, len(label)), make([]float64, len(label))
	for i, y := range label {
		out := outputs[i*k : (i+1)*k]
		b := best(out)
		confidence[i] = out[b]
		switch {
		case math.IsNaN(y):
			hit[i] = math.NaN()
		case int(y) == b:
			hit[i] = 1
		}
	}
	return hit, confidence
}

func log1p(v float64) float64 {
	if v < 0 { // false for NaN, which stays NaN
		v = 0
	}
	return math.Log1p(v)
}
