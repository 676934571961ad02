package score

import (
	"fmt"
	"math"
	"slices"
)

// RMSE is the root of the mean squared error.
func RMSE(label, pred []float64) float64 {
	return math.Sqrt(meanOf(label, pred, func(y, p float64) float64 { return (y - p) * (y - p) }))
}

// MAE is the mean absolute error.
func MAE(label, pred []float64) float64 {
	return meanOf(label, pred, func(y, p float64) float64 { return math.Abs(y - p) })
}

// MAELog1p is the mean of |ln(1+y) − ln(1+p)|, a relative error that bears
// zeros. Negative labels and predictions count as 0.
func MAELog1p(label, pred []float64) float64 {
	return meanOf(label, pred, func(y, p float64) float64 { return math.Abs(log1p(y) - log1p(p)) })
}

// LogLoss is the mean negative log likelihood of classes, in nats, with
// probabilities clipped to [1e-15, 1−1e-15]. Probabilities are row-major, k a
// row; k = 1 gives that of class 1.
func LogLoss(label, prob []float64, k int) float64 { return meanLoss(LogLossMetric, label, prob, k) }

// Accuracy is the share of rows whose most probable class is the true one; of
// equal probabilities the lowest class counts.
func Accuracy(label, prob []float64, k int) float64 {
	return 1 - meanLoss(AccuracyMetric, label, prob, k)
}

// Brier is the mean squared distance of the probabilities to the truth: of
// class 1 alone for two classes, summed over the classes for more.
func Brier(label, prob []float64, k int) float64 { return meanLoss(BrierMetric, label, prob, k) }

// AUC is the area under the ROC curve: the probability that a row of class 1
// scores above one of class 0, ties counting half (Mann–Whitney). It is NaN
// when a class is absent.
func AUC(label, score []float64) float64 {
	mustPair(label, score)
	order := make([]int, len(score))
	for i := range order {
		if math.IsNaN(score[i]) || math.IsNaN(label[i]) {
			return math.NaN()
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case score[a] < score[b]:
			return -1
		case score[a] > score[b]:
			return 1
		}
		return 0
	})
	var ranks, positives float64 // sum of the mid-ranks of class 1
	for lo := 0; lo < len(order); {
		hi, pos := lo, 0.0
		for hi < len(order) && score[order[hi]] == score[order[lo]] {
			if label[order[hi]] > 0.5 {
				pos++
			}
			hi++
		}
		ranks += pos * float64(lo+hi+1) / 2
		positives += pos
		lo = hi
	}
	negatives := float64(len(order)) - positives
	if positives == 0 || negatives == 0 {
		return math.NaN()
	}
	return (ranks - positives*(positives+1)/2) / (positives * negatives)
}

// ECE is the expected calibration error (Naeini et al. 2015): over bins of
// equal width in [0, 1], the mean distance between the share of hits and the
// mean probability, weighted by rows. A bin holds its upper edge. Probabilities
// outside of [0, 1] go to the outer bins.
func ECE(hit, prob []float64, bins int) float64 {
	mustPair(hit, prob)
	if len(hit) == 0 || bins < 1 {
		return math.NaN()
	}
	gap := make([]float64, bins) // sum of hit − prob
	for i, p := range prob {
		if math.IsNaN(p) || math.IsNaN(hit[i]) {
			return math.NaN()
		}
		b := int(math.Ceil(p*float64(bins))) - 1
		gap[min(max(b, 0), bins-1)] += hit[i] - p
	}
	sum := 0.0
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return sum / float64(len(hit))
}

// Mean is the arithmetic mean, NaN for none.
func Mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// Median is the middle value, or the mean of the two middle ones; NaN for none
// and when a value is NaN. v is left alone.
func Median(v []float64) float64 {
	if len(v) == 0 || slices.ContainsFunc(v, math.IsNaN) {
		return math.NaN()
	}
	s := slices.Clone(v)
	slices.Sort(s)
	h := len(s) / 2
	if len(s)%2 == 1 {
		return s[h]
	}
	return s[h-1] + (s[h]-s[h-1])/2
}

// Prior is the share of each of k classes among the labels, by which a model
// that knows no features would predict. Labels that are NaN do not count; with
// none at all the classes share alike.
func Prior(label []float64, k int) []float64 {
	p := make([]float64, k)
	n := 0.0
	for _, y := range label {
		if !math.IsNaN(y) {
			p[int(y)]++
			n++
		}
	}
	for j := range p {
		if n == 0 {
			p[j] = 1 / float64(k)
		} else {
			p[j] /= n
		}
	}
	return p
}

// LastValue predicts each label by the one before it in time, the first one by
// first. It is the baseline of everything that moves slowly.
func LastValue(label []float64, first float64) []float64 {
	out := make([]float64, len(label))
	for i := range out {
		if i == 0 {
			out[i] = first
		} else {
			out[i] = label[i-1]
		}
	}
	return out
}

// Constant repeats the values of row n times, row-major: a baseline's outputs.
func Constant(row []float64, n int) []float64 {
	out := make([]float64, 0, n*len(row))
	for range n {
		out = append(out, row...)
	}
	return out
}

func meanLoss(m Metric, label, prob []float64, k int) float64 {
	if k < 1 || len(prob) != k*len(label) {
		panic(fmt.Sprintf("score: %d probabilities for %d labels with %d a row", len(prob), len(label), k))
	}
	sum := 0.0
	for i, y := range label {
		sum += rowLoss(m, y, prob[i*k:(i+1)*k])
	}
	return sum / float64(len(label))
}

func meanOf(label, pred []float64, loss func(y, p float64) float64) float64 {
	mustPair(label, pred)
	sum := 0.0
	for i, y := range label {
		sum += loss(y, pred[i])
	}
	return sum / float64(len(label))
}

func mustPair(a, b []float64) {
	if len(a) != len(b) {
		panic(fmt.Sprintf("score: slices of %d and %d rows", len(a), len(b)))
	}
}
