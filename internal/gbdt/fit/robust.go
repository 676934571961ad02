package fit

import (
	"fmt"
	"math"
)

// The objectives of this file grow slower than the square of the error, or
// weigh its sides apart.

// absolute is |s − y|.
type absolute struct{ unchecked }

func (absolute) start(t *target, _ int) float64 { return startQuantile(t, 0.5, nil) }

func (absolute) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		w := t.w(r)
		out[0][r] = pair{float32(sign(scores[0][r]-t.label[r]) * w), float32(w)}
	}
}

func (absolute) renew(t *target, rows []int32, score []float64, buffer []residual) float64 {
	return renewQuantile(t, rows, score, buffer, 0.5, nil)
}

func (absolute) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		sum += math.Abs(scores[0][r]-t.label[r]) * t.w(r)
	}
	return sum
}

func (absolute) line() string { return "regression_l1" }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// renewQuantile is the α-quantile of the residuals y − s; a nil score is 0.
// factor, if not nil, multiplies a row's weight.
func renewQuantile(t *target, rows []int32, score []float64, buffer []residual, alpha float64, factor func(y float64) float64) float64 {
	buffer = buffer[:len(rows)]
	for i, r := range rows {
		buffer[i] = residual{t.label[r], t.w(r)}
		if factor != nil {
			buffer[i].weight *= factor(t.label[r])
		}
		if score != nil {
			buffer[i].value -= score[r]
		}
	}
	return quantile(buffer, alpha)
}

func startQuantile(t *target, alpha float64, factor func(y float64) float64) float64 {
	return renewQuantile(t, t.rows, nil, make([]residual, len(t.rows)), alpha, factor)
}

// pinball is the quantile loss: α·(y − s) below the label, (1−α)·(s − y) above
// it (Koenker and Bassett, Regression Quantiles, 1978).
type pinball struct {
	unchecked
	alpha float64
}

func (o pinball) start(t *target, _ int) float64 { return startQuantile(t, o.alpha, nil) }

func (o pinball) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		w, g := t.w(r), -o.alpha
		if scores[0][r] >= t.label[r] {
			g = 1 - o.alpha
		}
		out[0][r] = pair{float32(g * w), float32(w)}
	}
}

func (o pinball) renew(t *target, rows []int32, score []float64, buffer []residual) float64 {
	return renewQuantile(t, rows, score, buffer, o.alpha, nil)
}

func (o pinball) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		d := t.label[r] - scores[0][r]
		sum += max(o.alpha*d, (o.alpha-1)*d) * t.w(r)
	}
	return sum
}

func (pinball) line() string { return "quantile" }

// percentage is |s − y| / max(1, |y|).
type percentage struct{ unchecked }

func perSize(y float64) float64 { return 1 / max(1, math.Abs(y)) }

func (percentage) start(t *target, _ int) float64 { return startQuantile(t, 0.5, perSize) }

func (percentage) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		y, w := t.label[r], t.w(r)
		out[0][r] = pair{float32(sign(scores[0][r]-y) * perSize(y) * w), float32(w)}
	}
}

func (percentage) renew(t *target, rows []int32, score []float64, buffer []residual) float64 {
	return renewQuantile(t, rows, score, buffer, 0.5, perSize)
}

func (percentage) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		y := t.label[r]
		sum += math.Abs(scores[0][r]-y) * perSize(y) * t.w(r)
	}
	return sum
}

func (percentage) line() string { return "mape" }

// huber is the squared error, halved, up to α and goes on as a straight line
// (Huber, Robust Estimation of a Location Parameter, 1964).
type huber struct {
	squared
	alpha float64
}

func (o huber) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		d, w := scores[0][r]-t.label[r], t.w(r)
		out[0][r] = pair{float32(min(max(d, -o.alpha), o.alpha) * w), float32(w)}
	}
}

func (o huber) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		d := math.Abs(scores[0][r] - t.label[r])
		if d <= o.alpha {
			d *= d / 2
		} else {
			d = o.alpha * (d - o.alpha/2)
		}
		sum += d * t.w(r)
	}
	return sum
}

func (huber) line() string { return "huber" }

// fair is c·|d| − c²·log(1 + |d|/c) with d = s − y: smooth, and near to
// linear far out.
type fair struct {
	squared
	c float64
}

func (o fair) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		d, w := scores[0][r]-t.label[r], t.w(r)
		q := math.Abs(d) + o.c
		out[0][r] = pair{float32(o.c * d / q * w), float32(o.c * o.c / (q * q) * w)}
	}
}

func (o fair) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		d := math.Abs(scores[0][r] - t.label[r])
		sum += (o.c*d - o.c*o.c*math.Log1p(d/o.c)) * t.w(r)
	}
	return sum
}

func (fair) line() string { return "fair" }

// gamma is s + y·e^(−s), for labels above 0 whose spread grows with their
// mean e^s.
type gamma struct{ poisson }

func (gamma) check(t *target) error {
	for _, r := range t.rows {
		if !(t.label[r] > 0) {
			return fmt.Errorf("gamma: row %d has the label %v, expected a number above 0", r, t.label[r])
		}
	}
	return nil
}

func (gamma) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		h, w := t.label[r]*math.Exp(-scores[0][r]), t.w(r)
		out[0][r] = pair{float32((1 - h) * w), float32(h * w)}
	}
}

func (gamma) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		sum += (scores[0][r] + t.label[r]*math.Exp(-scores[0][r])) * t.w(r)
	}
	return sum
}

func (gamma) line() string { return "gamma" }

// tweedie is e^((2−ρ)s)/(2−ρ) − y·e^((1−ρ)s)/(1−ρ) with 1 ≤ ρ < 2, for sums
// of counts many of which are 0 (Tweedie, An Index which Distinguishes between
// Some Important Exponential Families, 1984).
type tweedie struct {
	poisson
	power float64
}

func (tweedie) check(t *target) error { return checkCounts("tweedie", t) }

func (o tweedie) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		s, y, w := scores[0][r], t.label[r], t.w(r)
		a, b := y*math.Exp((1-o.power)*s), math.Exp((2-o.power)*s)
		out[0][r] = pair{float32((b - a) * w), float32(((2-o.power)*b - (1-o.power)*a) * w)}
	}
}

func (o tweedie) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		s := max(math.Exp(scores[0][r]), 1e-10)
		b := math.Pow(s, 2-o.power) / (2 - o.power)
		a := t.label[r] * math.Pow(s, 1-o.power) / (1 - o.power)
		sum += (b - a) * t.w(r)
	}
	return sum
}

func (tweedie) line() string { return "tweedie" }
