package score

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is an estimate with the ends of its confidence interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Lo   float64 `json:"lo"`
	Hi   float64 `json:"hi"`
}

// PairedBlockBootstrap estimates mean(a) − mean(b) of two models' losses on
// the same rows in time order. An interval that lies wholly below 0 says that
// a loses less.
//
// Losses that are near in time are alike, so rows are drawn in runs: the
// circular block bootstrap (Politis & Romano 1992) with runs of
// ⌈n/blocks⌉ rows that wrap around the end. The ends are the percentiles of
// resamples means, expanded to what Student's t asks for with as many
// observations as there are blocks (Hesterberg 2015, "What teachers should
// know about the bootstrap", expanded percentile interval): plain percentiles
// are too narrow when blocks are few.
//
// blocks ≤ 0 stands for min(30, √n), resamples ≤ 0 for 2000, conf outside of
// (0, 1) for .95. The result is a function of the arguments alone. With fewer
// than two blocks, or a loss that is NaN, nothing can be said of the ends: they
// are −Inf and +Inf.
func PairedBlockBootstrap(a, b []float64, blocks, resamples int, conf float64, seed uint64) Interval {
	if len(a) != len(b) {
		panic(fmt.Sprintf("score: %d and %d losses are not paired", len(a), len(b)))
	}
	diff := make([]float64, len(a))
	for i := range diff {
		diff[i] = a[i] - b[i]
	}
	return BlockBootstrap(diff, blocks, resamples, conf, seed)
}

// BlockBootstrap is [PairedBlockBootstrap] for the mean of one series.
func BlockBootstrap(v []float64, blocks, resamples int, conf float64, seed uint64) Interval {
	n := len(v)
	if blocks <= 0 {
		blocks = min(30, int(math.Sqrt(float64(n))))
	}
	if resamples <= 0 {
		resamples = 2000
	}
	if !(conf > 0 && conf < 1) {
		conf = 0.95
	}
	blocks = min(blocks, n)
	mean := Mean(v)
	if blocks < 2 || math.IsNaN(mean) {
		return Interval{mean, math.Inf(-1), math.Inf(1)}
	}
	length := (n + blocks - 1) / blocks
	blocks = (n + length - 1) / length // rounding up may need fewer
	if blocks < 2 {
		return Interval{mean, math.Inf(-1), math.Inf(1)}
	}
	means := resampleMeans(v, mean, blocks, length, resamples, seed)
	slices.Sort(means)
	df := float64(blocks - 1)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}.Quantile((1 + conf) / 2)
	tail := distuv.UnitNormal.CDF(-t * math.Sqrt(float64(blocks)/df))
	return Interval{mean, quantile(means, tail), quantile(means, 1-tail)}
}

// resampleMeans draws the means of resamples series. Deviations from the mean
// are summed, so that a large common level costs no precision.
func resampleMeans(v []float64, mean float64, blocks, length, resamples int, seed uint64) []float64 {
	n := len(v)
	runs := make([]float64, n) // runs[i]: sum of the run that starts at i
	sum := 0.0
	for i := range length {
		sum += v[i%n] - mean
	}
	for i := range runs {
		runs[i] = sum
		sum += v[(i+length)%n] - v[i]
	}
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	means := make([]float64, resamples)
	for r := range means {
		total := 0.0
		for range blocks {
			total += runs[rng.IntN(n)]
		}
		means[r] = mean + total/float64(blocks*length)
	}
	return means
}

// quantile interpolates linearly between the order statistics of sorted.
func quantile(sorted []float64, q float64) float64 {
	h := q * float64(len(sorted)-1)
	lo := int(h)
	if lo+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[lo] + (h-float64(lo))*(sorted[lo+1]-sorted[lo])
}
