package estimate

import (
	"cmp"
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Metric is m when it can be estimated, else the task's default. Only the
// expected calibration error cannot: it is no mean over rows, nor near one.
func Metric(m score.Metric, task schema.Task) score.Metric {
	if !m.Fits(task) || m == score.ECEMetric {
		return score.Default(task)
	}
	return m
}

// Losses returns one loss a row, lower being better, whose mean is the metric
// in the sense of [OfLoss]: those of [score.Losses], and for the AUC one less
// the placement value of the row (NaN when a class is absent). The errors are
// those of score.Losses.
func Losses(m score.Metric, task schema.Task, label, outputs []float64, k int) ([]float64, error) {
	if m != score.AUCMetric {
		return score.Losses(m, task, label, outputs, k)
	}
	if _, err := score.Evaluate(m, task, label, outputs, k); err != nil {
		return nil, err
	}
	return placements(positive(outputs, k), label), nil
}

// OfLoss turns a mean of [Losses] into the metric. It is monotone.
func OfLoss(m score.Metric, loss float64) float64 {
	switch m {
	case score.RMSEMetric:
		return math.Sqrt(max(loss, 0))
	case score.AccuracyMetric, score.AUCMetric:
		return 1 - loss
	}
	return loss
}

// placements is one less the first-order part of each row in the AUC of score p
// when row i is of class 1 with weight c[i] and of class 0 with the rest:
//
//	1 − A − c(V₁−A)/π − (1−c)(V₀−A)/(1−π)
//
// with V₁ the share of class 0 below the row, V₀ that of class 1 above it, ties
// half, and π the share of class 1. The mean is 1 − A exactly.
func placements(p, c []float64) []float64 {
	n := len(p)
	order := make([]int, n)
	total := 0.0
	for i := range order {
		order[i] = i
		total += c[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	above, below := make([]float64, n), make([]float64, n) // class 1 above, class 0 below
	var pos, neg, area float64
	for lo := 0; lo < n; {
		hi, tiePos, tieNeg := lo, 0.0, 0.0
		for hi < n && p[order[hi]] == p[order[lo]] {
			tiePos += c[order[hi]]
			tieNeg += 1 - c[order[hi]]
			hi++
		}
		for _, i := range order[lo:hi] {
			below[i] = neg + tieNeg/2
			above[i] = total - pos - tiePos/2
			area += c[i] * below[i]
		}
		pos, neg, lo = pos+tiePos, neg+tieNeg, hi
	}
	area /= total * (float64(n) - total) // NaN when a class is absent
	out := make([]float64, n)
	share := total / float64(n)
	for i := range out {
		v1, v0 := below[i]/(float64(n)-total), above[i]/total
		out[i] = 1 - area - c[i]*(v1-area)/share - (1-c[i])*(v0-area)/(1-share)
	}
	return out
}

// positive is the probability of class 1, one a row.
func positive(outputs []float64, k int) []float64 {
	p := make([]float64, len(outputs)/k)
	for i := range p {
		p[i] = outputs[i*k+min(k-1, 1)]
	}
	return p
}

// Residuals are by how much the truth lies above what was predicted: label less
// prediction for numbers, class 1 less its probability for two classes, and
// for more whether the most probable class is the true one less its
// probability.
func Residuals(task schema.Task, label, outputs []float64, k int) []float64 {
	r := make([]float64, len(label))
	for i, y := range label {
		hit, p := outcome(task, y, outputs[i*k:(i+1)*k])
		r[i] = hit - p
	}
	return r
}

// outcome is the number that a row's calibration is about, and what was
// predicted for it.
func outcome(task schema.Task, y float64, out []float64) (hit, p float64) {
	switch task {
	case schema.Regression:
		return y, out[0]
	case schema.Binary:
		return y, out[len(out)-1]
	}
	best := 0
	for j, v := range out {
		if v > out[best] {
			best = j
		}
	}
	if y == float64(best) {
		hit = 1
	}
	return hit, out[best]
}

// mean of no values is NaN.
func mean(v []float64) float64 { return score.Mean(v) }
