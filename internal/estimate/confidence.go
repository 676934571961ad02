package estimate

import (
	"fmt"
	"math"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Confidence expects the loss of classes from their own probabilities.
type Confidence struct {
	// Curves calibrate the probability of each class; of two classes that of
	// class 1 alone. Nil is the identity: calibration did not help.
	Curves []Isotonic `json:"curves"`
	// Factor multiplies the expected losses, so that those of the holdout are
	// right on the whole: 1 when curves see to that.
	Factor float64 `json:"factor"`
	// Parts are curves of the holdout without one stretch each, for the
	// jackknife.
	Parts [][]Isotonic `json:"parts"`
}

// fitCurves calibrates the classes, one against the rest.
func fitCurves(task schema.Task, label, outputs []float64, k int) []Isotonic {
	if task == schema.Binary {
		return []Isotonic{FitIsotonic(positive(outputs, k), label)}
	}
	curves := make([]Isotonic, k)
	p, is := make([]float64, len(label)), make([]float64, len(label))
	for c := range curves {
		for i, y := range label {
			p[i], is[i] = outputs[i*k+c], 0
			if y == float64(c) {
				is[i] = 1
			}
		}
		curves[c] = FitIsotonic(p, is)
	}
	return curves
}

// calibrate is outputs, k a row, after the curves; rows add up to 1.
func calibrate(curves []Isotonic, outputs []float64, k int) []float64 {
	if curves == nil {
		return outputs
	}
	out := make([]float64, len(outputs))
	for lo := 0; lo < len(outputs); lo += k {
		from, to := outputs[lo:lo+k], out[lo:lo+k]
		if len(curves) == 1 { // class 1
			to[k-1] = curves[0].At(from[k-1])
			if k == 2 {
				to[0] = 1 - to[1]
			}
			continue
		}
		sum := 0.0
		for c := range to {
			to[c] = curves[c].At(from[c])
			sum += to[c]
		}
		for c := range to {
			if sum > 0 {
				to[c] /= sum
			} else {
				to[c] = 1 / float64(k)
			}
		}
	}
	return out
}

// expected are the losses of [Losses] that rows are expected to have when their
// classes come with the probabilities belief: Σ belief(class)·loss(class).
func expected(m score.Metric, task schema.Task, outputs, belief []float64, k int) ([]float64, error) {
	if m == score.AUCMetric {
		return placements(positive(outputs, k), positive(belief, k)), nil
	}
	n := len(outputs) / k
	out, label := make([]float64, n), make([]float64, n)
	for c := range max(k, 2) {
		for i := range label {
			label[i] = float64(c)
		}
		loss, err := score.Losses(m, task, label, outputs, k)
		if err != nil {
			return nil, err
		}
		for i := range out {
			w := 0.0
			switch {
			case k > 1:
				w = belief[i*k+c]
			case c == 1:
				w = belief[i]
			default:
				w = 1 - belief[i]
			}
			out[i] += w * loss[i]
		}
	}
	return out, nil
}

// helps reports whether curves of either half of the rows make the Brier score
// of the other half better. One that does not shows that what is off changes
// with time, and is not to be counted on.
func helps(task schema.Task, label, outputs []float64, k int) bool {
	n, half := len(label), len(label)/2
	if half < minHalf {
		return false
	}
	for _, cut := range [][4]int{{0, half, half, n}, {half, n, 0, half}} {
		curves := fitCurves(task, label[cut[0]:cut[1]], outputs[cut[0]*k:cut[1]*k], k)
		y, raw := label[cut[2]:cut[3]], outputs[cut[2]*k:cut[3]*k]
		if !(score.Brier(y, calibrate(curves, raw, k), k) < score.Brier(y, raw, k)) {
			return false
		}
	}
	return true
}

// minHalf is the least number of rows that a curve is fitted to.
const minHalf = 50

// fitConfidence calibrates and returns what each row's loss is expected to be
// by curves that did not learn from the row's stretch.
func fitConfidence(h *Holdout, loss []float64, folds [][2]int) (*Confidence, []float64, error) {
	c := &Confidence{Factor: 1}
	belief := make([]float64, len(h.Outputs))
	copy(belief, h.Outputs)
	if helps(h.Task, h.Labels, h.Outputs, h.K) {
		c.Curves = fitCurves(h.Task, h.Labels, h.Outputs, h.K)
		for _, f := range folds {
			y, out := without(h.Labels, f, 1), without(h.Outputs, f, h.K)
			part := fitCurves(h.Task, y, out, h.K)
			c.Parts = append(c.Parts, part)
			copy(belief[f[0]*h.K:], calibrate(part, h.Outputs[f[0]*h.K:f[1]*h.K], h.K))
		}
	}
	cross, err := expected(h.Metric, h.Task, h.Outputs, belief, h.K)
	if err == nil && c.Curves == nil {
		c.Factor = c.correct(cross, loss, folds)
	}
	return c, cross, err
}

// correct scales each stretch of the expected losses by what the other ones
// lost over what was expected of them, and returns the factor of all.
func (c *Confidence) correct(cross, loss []float64, folds [][2]int) float64 {
	ratio := func(lost, thought []float64) float64 {
		if r := mean(lost) / mean(thought); finite(r) && r > 0 {
			return r
		}
		return 1
	}
	all := ratio(loss, cross)
	factors := make([]float64, len(folds))
	for i, f := range folds {
		factors[i] = ratio(without(loss, f, 1), without(cross, f, 1))
	}
	for i, f := range folds {
		for j := f[0]; j < f[1]; j++ {
			cross[j] *= factors[i]
		}
	}
	return all
}

// without is v, k values a row, less the rows of a stretch.
func without(v []float64, stretch [2]int, k int) []float64 {
	return append(append(make([]float64, 0, len(v)), v[:stretch[0]*k]...), v[stretch[1]*k:]...)
}

// losses are the expected losses of rows, and the mean of them by each part.
func (c *Confidence) losses(m score.Metric, task schema.Task, outputs []float64, k int) (loss, parts []float64, err error) {
	if loss, err = expected(m, task, outputs, calibrate(c.Curves, outputs, k), k); err != nil {
		return nil, nil, err
	}
	for i := range loss {
		loss[i] *= c.Factor
	}
	for _, p := range c.Parts {
		l, err := expected(m, task, outputs, calibrate(p, outputs, k), k)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, mean(l))
	}
	return loss, parts, nil
}

func (c *Confidence) validate(task schema.Task, k int) error {
	if !finite(c.Factor) || c.Factor <= 0 {
		return fmt.Errorf("the factor is %v", c.Factor)
	}
	want := k
	if task == schema.Binary {
		want = 1
	}
	for i, curves := range append([][]Isotonic{c.Curves}, c.Parts...) {
		if len(curves) != want && (i > 0 || curves != nil) {
			return fmt.Errorf("%d curves for %d classes", len(curves), k)
		}
		for j := range curves {
			if err := curves[j].validate(); err != nil {
				return err
			}
			for _, y := range curves[j].Y {
				if y < 0 || y > 1 || math.IsNaN(y) {
					return fmt.Errorf("a calibrated probability is %v", y)
				}
			}
		}
	}
	return nil
}
