package fit

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/healml/healml/internal/gbdt"
)

// target is what is learned: labels and weights by row of a table, and the
// rows that count.
type target struct {
	label  []float64
	weight []float64 // nil: all 1
	rows   []int32
}

func (t *target) w(row int32) float64 {
	if t.weight == nil {
		return 1
	}
	return t.weight[row]
}

// mean is the weighted mean of f(label).
func (t *target) mean(f func(y float64) float64) float64 {
	var sum, weights float64
	for _, r := range t.rows {
		w := t.w(r)
		sum += w * f(t.label[r])
		weights += w
	}
	return sum / weights
}

// objective is a loss with its derivatives by the raw score. Scores and
// gradients come as one slice an output, indexed by row.
type objective interface {
	// check refuses labels that the objective cannot have.
	check(t *target) error
	// prepare sees the training labels once, before all else.
	prepare(t *target)
	// start is the constant raw score of output k with the least loss.
	start(t *target, k int) float64
	// constant reports that output k is not worth a tree: its labels are all
	// the same.
	constant(t *target, k int) bool
	// gradients sets the derivatives at the given rows.
	gradients(t *target, rows []int32, scores [][]float64, out [][]pair)
	// loss is the weighted sum of the validation loss over rows.
	loss(t *target, rows []int32, scores [][]float64) float64
	// line is the objective's line in the model file.
	line() string
}

// renewer is an objective whose leaves are set anew from the residuals: its
// hessians say nothing about the best output.
type renewer interface {
	renew(t *target, rows []int32, score []float64, buffer []residual) float64
}

func newObjective(p *Params) objective {
	switch p.Objective {
	case "regression":
		return squared{root: p.RegSqrt}
	case "regression_l1":
		return absolute{}
	case "huber":
		return huber{alpha: p.Alpha}
	case "fair":
		return fair{c: p.FairC}
	case "quantile":
		return pinball{alpha: p.Alpha}
	case "mape":
		return percentage{}
	case "gamma":
		return gamma{}
	case "tweedie":
		return tweedie{power: p.TweedieVariancePower}
	case "poisson":
		return poisson{factor: math.Exp(p.PoissonMaxDeltaStep)}
	case "binary":
		return &logistic{p: p}
	default:
		return &softmax{classes: p.NumClass}
	}
}

// unchecked is the default of the lesser methods.
type unchecked struct{}

func (unchecked) check(*target) error        { return nil }
func (unchecked) prepare(*target)            {}
func (unchecked) constant(*target, int) bool { return false }

// squared is (s − y)²/2; with root, y is replaced by its signed square root.
type squared struct {
	unchecked
	root bool
}

func (o squared) label(y float64) float64 {
	if o.root {
		return math.Copysign(math.Sqrt(math.Abs(y)), y)
	}
	return y
}

func (o squared) start(t *target, _ int) float64 { return t.mean(o.label) }

func (o squared) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	s, p := scores[0], out[0]
	if t.weight == nil && !o.root {
		for _, r := range rows {
			p[r] = pair{float32(s[r] - t.label[r]), 1}
		}
		return
	}
	for _, r := range rows {
		w := t.w(r)
		p[r] = pair{float32((s[r] - o.label(t.label[r])) * w), float32(w)}
	}
}

func (o squared) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		s := scores[0][r]
		if o.root {
			s = math.Copysign(s*s, s)
		}
		d := s - t.label[r]
		sum += d * d * t.w(r)
	}
	return sum
}

func (o squared) line() string {
	if o.root {
		return "regression sqrt"
	}
	return "regression"
}

// poisson is e^s − y·s, for counts and other labels ≥ 0. Its hessian is
// raised by a factor to keep steps short.
type poisson struct {
	unchecked
	factor float64
}

func (poisson) check(t *target) error { return checkCounts("poisson", t) }

// checkCounts wants labels ≥ 0 whose mean has a logarithm.
func checkCounts(objective string, t *target) error {
	sum := 0.0
	for _, r := range t.rows {
		if t.label[r] < 0 {
			return fmt.Errorf("%s: row %d has the label %v, expected at least 0", objective, r, t.label[r])
		}
		sum += t.label[r] * t.w(r)
	}
	if sum == 0 {
		return fmt.Errorf("%s: all labels are 0", objective)
	}
	return nil
}

func (poisson) start(t *target, _ int) float64 {
	return math.Log(t.mean(func(y float64) float64 { return y }))
}

func (o poisson) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	for _, r := range rows {
		e, w := math.Exp(scores[0][r]), t.w(r)
		out[0][r] = pair{float32((e - t.label[r]) * w), float32(e * o.factor * w)}
	}
}

// loss takes e^s for at least 1e-10, as LightGBM's metric does.
func (poisson) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		e := max(math.Exp(scores[0][r]), 1e-10)
		sum += (e - t.label[r]*math.Log(e)) * t.w(r)
	}
	return sum
}

func (poisson) line() string { return "poisson" }

// logistic is log(1 + e^(−yαs)) with y = ±1.
type logistic struct {
	p       *Params
	classes [2]float64 // weight of each class
	single  bool       // there is but one class
}

func (o *logistic) check(t *target) error {
	for _, r := range t.rows {
		if y := t.label[r]; y != 0 && y != 1 {
			return fmt.Errorf("binary: row %d has the label %v, expected 0 or 1", r, y)
		}
	}
	return nil
}

func (o *logistic) prepare(t *target) {
	var n [2]float64
	for _, r := range t.rows {
		n[int(t.label[r])]++
	}
	o.single = n[0] == 0 || n[1] == 0
	o.classes = [2]float64{1, 1}
	if o.p.IsUnbalance && !o.single {
		if n[1] > n[0] {
			o.classes[0] = n[1] / n[0]
		} else {
			o.classes[1] = n[0] / n[1]
		}
	}
	o.classes[1] *= o.p.ScalePosWeight
}

func (o *logistic) start(t *target, _ int) float64 {
	p := t.mean(func(y float64) float64 { return y })
	p = max(min(p, 1-epsilon), epsilon)
	return math.Log(p/(1-p)) / o.p.Sigmoid
}

func (o *logistic) constant(*target, int) bool { return o.single }

func (o *logistic) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	a, score, grad := o.p.Sigmoid, scores[0], out[0]
	var buffer [expBlock]float64
	for rows := range slices.Chunk(rows, expBlock) {
		e := buffer[:len(rows)]
		for i, r := range rows {
			e[i] = (2*t.label[r] - 1) * a * score[r]
		}
		expInPlace(e)
		for i, r := range rows {
			y := t.label[r]
			g := (1 - 2*y) * a / (1 + e[i])
			size := math.Abs(g)
			w := o.classes[0] + (o.classes[1]-o.classes[0])*y
			if t.weight != nil {
				w *= t.weight[r]
			}
			grad[r] = pair{float32(g * w), float32(size * (a - size) * w)}
		}
	}
}

func (o *logistic) loss(t *target, rows []int32, scores [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		p := 1 / (1 + math.Exp(-o.p.Sigmoid*scores[0][r]))
		if t.label[r] == 0 {
			p = 1 - p
		}
		sum -= math.Log(max(p, epsilon)) * t.w(r)
	}
	return sum
}

func (o *logistic) line() string {
	return "binary sigmoid:" + strconv.FormatFloat(o.p.Sigmoid, 'g', 6, 64)
}

// softmax is −log of the label's share in e^s over the classes.
type softmax struct {
	classes int
	shares  []float64 // of each class in the training labels
}

func (o *softmax) check(t *target) error {
	for _, r := range t.rows {
		if y := t.label[r]; !(y >= 0 && y < float64(o.classes) && y == math.Trunc(y)) {
			return fmt.Errorf("multiclass: row %d has the label %v, expected a whole number from 0 to %d", r, y, o.classes-1)
		}
	}
	return nil
}

func (o *softmax) prepare(t *target) {
	o.shares = make([]float64, o.classes)
	total := 0.0
	for _, r := range t.rows {
		o.shares[int(t.label[r])] += t.w(r)
		total += t.w(r)
	}
	for k := range o.shares {
		o.shares[k] /= total
	}
}

func (o *softmax) start(_ *target, k int) float64 { return math.Log(max(o.shares[k], epsilon)) }

func (o *softmax) constant(_ *target, k int) bool {
	return o.shares[k] <= epsilon || o.shares[k] >= 1-epsilon
}

// probabilities sets p to the probability of each class at a row.
func (o *softmax) probabilities(p []float64, scores [][]float64, row int32) {
	for k := range p {
		p[k] = scores[k][row]
	}
	gbdt.Softmax(p)
}

func (o *softmax) gradients(t *target, rows []int32, scores [][]float64, out [][]pair) {
	p := make([]float64, o.classes)
	factor := float64(o.classes) / float64(o.classes-1)
	for _, r := range rows {
		o.probabilities(p, scores, r)
		w, y := t.w(r), int(t.label[r])
		for k, q := range p {
			g := q
			if k == y {
				g--
			}
			out[k][r] = pair{float32(g * w), float32(factor * q * (1 - q) * w)}
		}
	}
}

func (o *softmax) loss(t *target, rows []int32, scores [][]float64) float64 {
	p := make([]float64, o.classes)
	sum := 0.0
	for _, r := range rows {
		o.probabilities(p, scores, r)
		sum -= math.Log(max(p[int(t.label[r])], epsilon)) * t.w(r)
	}
	return sum
}

func (o *softmax) line() string { return "multiclass num_class:" + strconv.Itoa(o.classes) }
