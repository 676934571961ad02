package estimate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Format is the version of estimator.json that this build writes and the newest
// that it reads.
const Format = 1

// ErrNewer says that an estimator was written by a later program.
var ErrNewer = errors.New("the format is not known to this build")

// Estimator is what a version's holdout says of its errors to come. It is not
// changed once made and safe for concurrent use.
type Estimator struct {
	Format int          `json:"format"`
	Task   schema.Task  `json:"task"`
	Metric score.Metric `json:"metric"`
	K      int          `json:"outputs"` // values a prediction
	Rows   int          `json:"rows"`    // of the holdout
	Then   float64      `json:"then"`    // the metric on the holdout
	Steps  Steps        `json:"steps"`
	// Confidence is set for classes, Errors for numbers.
	Confidence  *Confidence    `json:"confidence,omitempty"`
	Errors      *ErrorModel    `json:"error_model,omitempty"`
	Calibration *Recalibration `json:"calibration,omitempty"` // nil: not defined on the holdout
	Segments    []Segment      `json:"segments"`
}

// Marshal returns the bytes of estimator.json. The same estimator gives the
// same bytes.
func (e *Estimator) Marshal() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encode estimator: %w", err)
	}
	return b.Bytes(), nil
}

// Parse reads estimator.json and checks all of it. A later format is
// [ErrNewer].
func Parse(b []byte) (*Estimator, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("parse estimator: %w", err)
	}
	if head.Format < 1 || head.Format > Format {
		return nil, fmt.Errorf("parse estimator: format %d, this build reads 1 to %d: %w", head.Format, Format, ErrNewer)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var e Estimator
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("parse estimator: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse estimator: there is more behind the end")
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("parse estimator: %w", err)
	}
	return &e, nil
}

func (e *Estimator) validate() error {
	if !e.Task.Valid() || Metric(e.Metric, e.Task) != e.Metric || e.Rows < 1 || !finite(e.Then) {
		return fmt.Errorf("task %q, metric %q, %d rows, then %v do not go together", e.Task, e.Metric, e.Rows, e.Then)
	}
	if e.K < 1 || e.K > 1<<16 || e.Task == schema.Regression && e.K != 1 || e.Task == schema.Binary && e.K > 2 || e.Task == schema.Multiclass && e.K < 3 {
		return fmt.Errorf("%d outputs do not fit a %s task", e.K, e.Task)
	}
	if e.Task.Classified() != (e.Confidence != nil) || e.Task.Classified() == (e.Errors != nil) {
		return fmt.Errorf("a %s task needs one method that fits it", e.Task)
	}
	if err := e.Steps.validate(); err != nil {
		return err
	}
	if e.Calibration != nil && !e.Calibration.valid() {
		return errors.New("the calibration has impossible numbers")
	}
	for i := range e.Segments {
		if err := e.Segments[i].validate(); err != nil {
			return err
		}
	}
	if e.Confidence != nil {
		return e.Confidence.validate(e.Task, e.K)
	}
	return e.Errors.prepare()
}

// Method is "confidence" or "error model".
func (e *Estimator) Method() string {
	if e.Confidence != nil {
		return "confidence"
	}
	return "error model"
}

// Window is what is to be estimated: rows without their truth.
type Window struct {
	// Features has one slice a template feature; it is read for numbers alone.
	Features [][]float64
	// Outputs are the predictions, row-major, all finite.
	Outputs []float64
	// Micros is the length of the window in µs; 0 when not known.
	Micros  int64
	Threads int
}

// Result is the metric that rows are expected to have, between Lo and Hi. Where
// the holdout is too short to tell how sure that is, the ends are infinite.
type Result struct {
	Rows        int
	Now, Lo, Hi float64
}

// Estimate expects the metric of a window's rows with confidence conf in
// (0, 1). Now is NaN for no rows, and for an AUC of one class.
func (e *Estimator) Estimate(w Window, conf float64) (Result, error) {
	n := len(w.Outputs) / e.K
	if n*e.K != len(w.Outputs) {
		return Result{}, fmt.Errorf("estimate: %d outputs with %d a row", len(w.Outputs), e.K)
	}
	r := Result{Rows: n, Now: math.NaN(), Lo: math.Inf(-1), Hi: math.Inf(1)}
	if n == 0 {
		return r, nil
	}
	var loss, parts []float64
	var err error
	if e.Confidence != nil {
		loss, parts, err = e.Confidence.losses(e.Metric, e.Task, w.Outputs, e.K)
	} else {
		loss, parts, err = e.Errors.losses(w.Features, w.Outputs, w.Threads)
	}
	if err != nil {
		return Result{}, err
	}
	now := mean(loss)
	r.Now = OfLoss(e.Metric, now)
	sp, ok := e.Steps.MissedSpread(n, w.Micros)
	if !ok || math.IsNaN(now) {
		return r, nil
	}
	own, free := jackknife(parts)
	if own < sp.Holdout {
		own, free = sp.Holdout, sp.Free
	}
	scale := e.scale(now)
	reach := Reach(conf, scale*scale*sp.Window, sp.Free, own, free)
	r.Lo, r.Hi = Ends(e.Metric, now-reach, now+reach)
	return r, nil
}

// scale is how much noisier losses are where they are greater: the spread of an
// error is proportional to its size.
func (e *Estimator) scale(now float64) float64 {
	then := e.MeanLoss()
	if !(then > 0) || e.Metric == score.AUCMetric {
		return 1
	}
	return max(1, now/then)
}

// Ends are the ends of the metric for those of a mean loss, lesser first, within
// what the metric can be.
func Ends(m score.Metric, lo, hi float64) (float64, float64) {
	lo, hi = max(lo, 0), max(hi, 0)
	switch m {
	case score.AccuracyMetric, score.AUCMetric:
		return OfLoss(m, min(hi, 1)), OfLoss(m, min(lo, 1))
	}
	return OfLoss(m, lo), OfLoss(m, hi)
}

// jackknife is the delete-a-group variance of an estimate from those made
// without one of G stretches: (G−1)/G·Σ(θ−θ̄)².
func jackknife(parts []float64) (variance, free float64) {
	g := float64(len(parts))
	if g < 2 {
		return 0, 1
	}
	centre := mean(parts)
	for _, p := range parts {
		variance += (p - centre) * (p - centre)
	}
	return variance * (g - 1) / g, g - 1
}

// MeanLoss is the mean loss of the holdout.
func (e *Estimator) MeanLoss() float64 {
	sum := 0.0
	for i, v := range e.Steps.Loss {
		sum += v * float64(e.Steps.Rows[i])
	}
	return sum / float64(e.Steps.total())
}
