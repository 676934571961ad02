package estimate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Recalibration is the line that leads from predictions to the truth (Cox
// 1958): for numbers
//
//	truth − prediction = Intercept + (Slope − 1)·(prediction − Centre)
//
// and for classes the same of log-odds, by logistic regression. A model that is
// calibrated has intercept 0 and slope 1; a slope below 1 says that predictions
// are too extreme. Of more than two classes it is the most probable one's.
type Recalibration struct {
	Centre    float64 `json:"centre"`
	Intercept float64 `json:"intercept"`
	Slope     float64 `json:"slope"`
	// Variance of intercept and slope, and their covariance (the sandwich,
	// rows of one step being alike).
	VarIntercept float64 `json:"var_intercept"`
	VarSlope     float64 `json:"var_slope"`
	Covariance   float64 `json:"covariance"`
	Steps        int     `json:"steps"`
	// ECE is the expected calibration error over ten bins; 0 for numbers.
	ECE float64 `json:"ece"`
}

// minCalibrated is the least number of rows that a line is drawn through.
const minCalibrated = 50

// Recalibrate draws the line; centre NaN takes the mean prediction. nil when
// there are too few rows or steps, predictions are constant, or the classes
// are parted so well that no line is steep enough.
func Recalibrate(task schema.Task, label, outputs []float64, k int, step []int, centre float64) *Recalibration {
	n := len(label)
	if n < minCalibrated {
		return nil
	}
	hit, p, x := make([]float64, n), make([]float64, n), make([]float64, n)
	for i, y := range label {
		hit[i], p[i] = outcome(task, y, outputs[i*k:(i+1)*k])
		x[i] = p[i]
		if task.Classified() {
			const clip = 1e-6
			q := min(max(p[i], clip), 1-clip)
			x[i] = math.Log(q / (1 - q))
		}
	}
	if math.IsNaN(centre) {
		centre = mean(x)
	}
	r := &Recalibration{Centre: centre}
	var ok bool
	if task.Classified() {
		r.ECE = score.ECE(hit, p, 10)
		ok = r.logistic(x, hit, step)
	} else {
		ok = r.linear(x, hit, step)
	}
	if !ok || !r.valid() {
		return nil
	}
	return r
}

// linear is least squares. One step of Newton's method is exact.
func (r *Recalibration) linear(x, y []float64, step []int) bool {
	gradient := func(i int, a, b float64) (g, h float64) { return y[i] - x[i] - a - b*(x[i]-r.Centre), 1 }
	a, b, ok := newton(x, r.Centre, gradient, 1)
	if !ok {
		return false
	}
	r.Intercept, r.Slope = a, 1+b
	return r.sandwich(x, step, gradient, a, b)
}

func (r *Recalibration) logistic(x, y []float64, step []int) bool {
	gradient := func(i int, a, b float64) (g, h float64) {
		q := 1 / (1 + math.Exp(-(x[i] + a + b*(x[i]-r.Centre))))
		return y[i] - q, q * (1 - q)
	}
	a, b, ok := newton(x, r.Centre, gradient, 30)
	if !ok || math.Abs(b) > 20 || math.Abs(a) > 20 {
		return false
	}
	r.Intercept, r.Slope = a, 1+b
	return r.sandwich(x, step, gradient, a, b)
}

// score of a row at intercept a and slope b: derivative and curvature.
type gradient func(i int, a, b float64) (g, h float64)

// newton looks for the zero of the summed derivatives.
func newton(x []float64, centre float64, f gradient, steps int) (a, b float64, ok bool) {
	for range steps {
		var g0, g1, h00, h01, h11 float64
		for i := range x {
			d := x[i] - centre
			g, h := f(i, a, b)
			g0, g1 = g0+g, g1+g*d
			h00, h01, h11 = h00+h, h01+h*d, h11+h*d*d
		}
		det := h00*h11 - h01*h01
		if !(det > 1e-10*h00*h11) {
			return a, b, false
		}
		da, db := (g0*h11-g1*h01)/det, (g1*h00-g0*h01)/det
		a, b = a+da, b+db
		if math.Abs(da)+math.Abs(db) < 1e-10 || steps == 1 {
			return a, b, true
		}
	}
	return a, b, false
}

// sandwich sets the variances.
func (r *Recalibration) sandwich(x []float64, step []int, f gradient, a, b float64) bool {
	var h00, h01, h11, m00, m01, m11 float64
	for lo := 0; lo < len(x); {
		hi, g0, g1 := lo, 0.0, 0.0
		for hi < len(x) && step[hi] == step[lo] {
			d := x[hi] - r.Centre
			g, h := f(hi, a, b)
			g0, g1 = g0+g, g1+g*d
			h00, h01, h11 = h00+h, h01+h*d, h11+h*d*d
			hi++
		}
		m00, m01, m11 = m00+g0*g0, m01+g0*g1, m11+g1*g1
		r.Steps++
		lo = hi
	}
	det := h00*h11 - h01*h01
	if r.Steps < 4 || !(det > 0) {
		return false
	}
	i00, i01, i11 := h11/det, -h01/det, h00/det
	c := float64(r.Steps) / float64(r.Steps-1)
	p00, p01 := i00*m00+i01*m01, i00*m01+i01*m11
	p10, p11 := i01*m00+i11*m01, i01*m01+i11*m11
	r.VarIntercept, r.Covariance, r.VarSlope = c*(p00*i00+p01*i01), c*(p00*i01+p01*i11), c*(p10*i01+p11*i11)
	return true
}

// Differs is the chance that two lines of one centre lie so far apart without a
// cause: Hotelling's T² on the steps of the one that has fewer. inflate
// multiplies the variance of now.
func Differs(then, now *Recalibration, inflate float64) float64 {
	da, db := now.Intercept-then.Intercept, now.Slope-then.Slope
	v00 := then.VarIntercept + inflate*now.VarIntercept
	v01 := then.Covariance + inflate*now.Covariance
	v11 := then.VarSlope + inflate*now.VarSlope
	det := v00*v11 - v01*v01
	if !(det > 1e-12*v00*v11) {
		return 1
	}
	t2 := (da*da*v11 - 2*da*db*v01 + db*db*v00) / det
	free := float64(min(then.Steps, now.Steps) - 1)
	return distuv.F{D1: 2, D2: free - 1}.Survival(t2 * (free - 1) / (2 * free))
}

func (r *Recalibration) valid() bool {
	for _, v := range []float64{r.Centre, r.Intercept, r.Slope, r.VarIntercept, r.VarSlope, r.Covariance, r.ECE} {
		if !finite(v) {
			return false
		}
	}
	return r.Steps >= 4 && r.VarIntercept >= 0 && r.VarSlope >= 0
}
