package monitor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/table"
)

// expect estimates the metric of the current rows; nil without an estimator or
// rows that have a prediction.
func expect(t *Truth, cur *table.Table, o Options) (*Estimate, error) {
	e := t.Estimator
	if e == nil || e.K != len(t.Outputs) || e.Task != t.Task {
		return nil, nil
	}
	all, err := t.outputs(cur)
	if err != nil {
		return nil, err
	}
	k := len(t.Outputs)
	w := estimate.Window{Threads: o.Threads, Micros: spanOf(cur, t.Order, t.Predicted)}
	var rows []int
	for i := range cur.NumRows() {
		if out := all[i*k : (i+1)*k]; finite(out) {
			rows = append(rows, i)
			w.Outputs = append(w.Outputs, out...)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	if e.Errors != nil {
		b := &feature.Batch{}
		if t.Template != nil {
			b = rawOf(t.Template, cur.Take(rows))
		}
		if b == nil || len(b.Features) != len(e.Errors.Features)-1 {
			return nil, nil
		}
		w.Features = b.Features
	}
	r, err := e.Estimate(w, o.Confidence)
	if err != nil {
		return nil, fmt.Errorf("estimate %s: %w", e.Metric, err)
	}
	out := &Estimate{Metric: e.Metric, Method: e.Method(), Rows: r.Rows, Then: Number(e.Then), Now: Number(r.Now), Lo: Number(r.Lo), Hi: Number(r.Hi)}
	out.Drift = r.Rows >= o.MinRows && !math.IsNaN(r.Now) && worse(e.Metric, e.Then, r.Lo, r.Hi, o.Tolerance)
	return out, nil
}

// spanOf is the time in µs between the first and last row by the first column
// that has times; 0 when none has.
func spanOf(t *table.Table, names ...string) int64 {
	for _, name := range names {
		lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
		for _, at := range timesOf(t, name) {
			if at != table.NoTime {
				lo, hi = min(lo, at), max(hi, at)
			}
		}
		if lo < hi {
			return hi - lo + 1
		}
	}
	return 0
}

// String says what is expected.
func (e *Estimate) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s is expected to be %s", e.Metric, present.Short(float64(e.Now)))
	if !math.IsNaN(float64(e.Lo)) && !math.IsInf(float64(e.Lo), 0) {
		fmt.Fprintf(&s, " (%s to %s)", present.Short(float64(e.Lo)), present.Short(float64(e.Hi)))
	}
	fmt.Fprintf(&s, " on these %s rows, was %s on the holdout", present.Thousands(e.Rows), present.Short(float64(e.Then)))
	if r := e.Record; r != nil {
		fmt.Fprintf(&s, "; %d of %d earlier estimates held the truth", r.Covered, r.Checked)
		if !math.IsNaN(float64(r.Error)) {
			fmt.Fprintf(&s, ", off by %s on average", present.Percent(float64(r.Error)))
		}
	}
	return s.String()
}

// Past is an estimate of an earlier report and its window, half-open at the
// beginning, as the live window is.
type Past struct {
	Estimate Estimate
	From, To time.Time
}

// PastEstimates reads from the reports in dir that were made before now up to
// most estimates of version whose windows do not overlap, newest first, because
// overlapping ones say the same twice. Reports that cannot be read are passed
// over.
func PastEstimates(dir, version string, now time.Time, most int) ([]Past, error) {
	ids, err := ListReports(dir)
	if err != nil {
		return nil, err
	}
	var past []Past
	before := now.Truncate(time.Second).Add(-time.Second) // what is taken next must have ended by then
	for _, id := range slices.Backward(ids) {
		at, err := time.Parse("20060102t150405z", id[1:17])
		if len(past) == most {
			break
		}
		if err != nil || at.After(before.Add(time.Second)) {
			continue
		}
		r, err := ReadReport(dir, id)
		if err != nil || r.ModelVersion != version || r.Estimate == nil {
			continue
		}
		from, err1 := time.Parse(time.RFC3339, r.Window.From)
		to, err2 := time.Parse(time.RFC3339, r.Window.To)
		if err1 != nil || err2 != nil || to.After(before) {
			continue
		}
		past, before = append(past, Past{*r.Estimate, from, to}), from
	}
	return past, nil
}

// recordOf holds earlier estimates against the truth, where by now as many rows
// have theirs as ever do; nil when none can be checked.
func recordOf(t *Truth, j *judged, w *whole) *Record {
	if w == nil || !(w.plateau > 0) {
		return nil
	}
	r := &Record{}
	sum, counted := 0.0, 0
	for _, p := range t.Past {
		truth, ok := j.metric(t, p, w.plateau)
		if !ok {
			continue
		}
		e := p.Estimate
		r.Checked++
		if truth >= float64(e.Lo) && truth <= float64(e.Hi) {
			r.Covered++
		}
		if d := math.Abs(float64(e.Now)-truth) / math.Abs(truth); !math.IsNaN(d) && !math.IsInf(d, 0) {
			sum += d
			counted++
		}
	}
	if r.Checked == 0 {
		return nil
	}
	r.Error = Number(sum / float64(counted)) // NaN for none
	return r
}

// metric is the truth of an estimate: its metric on the rows that it was made
// of. ok is false when fewer of them have their truth than plateau lets expect,
// or the estimate has no interval.
func (j *judged) metric(t *Truth, p Past, plateau float64) (v float64, ok bool) {
	e := p.Estimate
	if math.IsNaN(float64(e.Lo)) || math.IsNaN(float64(e.Hi)) || j.predicted == nil {
		return 0, false
	}
	k := len(t.Outputs)
	var rows []int
	for i, at := range j.predicted {
		if at != table.NoTime && at > p.From.UnixMicro() && at <= p.To.UnixMicro() && finite(j.outputs[i*k:(i+1)*k]) {
			rows = append(rows, i)
		}
	}
	rows = rows[max(0, len(rows)-e.Rows):]
	var label, outputs []float64
	for _, i := range rows {
		if y := j.label[i]; !math.IsNaN(y) {
			label = append(label, y)
			outputs = append(outputs, j.outputs[i*k:(i+1)*k]...)
		}
	}
	if len(label) == 0 || float64(len(label)) < nearPlateau*plateau*float64(len(rows)) {
		return 0, false
	}
	loss, err := estimate.Losses(e.Metric, t.Task, label, outputs, k)
	if err != nil {
		return 0, false
	}
	sum := 0.0
	for _, l := range loss {
		sum += l
	}
	v = estimate.OfLoss(e.Metric, sum/float64(len(loss)))
	return v, !math.IsNaN(v)
}
