package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// Truth says what came of predictions, and what is expected of those whose
// truth is not known. The zero value of what is not needed leaves it out.
type Truth struct {
	// Rows are all that the model predicted, whether their truth is known or
	// not; nil stands for the current table. Truth comes late, so they reach
	// further back than the current rows.
	Rows    *table.Table
	Task    schema.Task
	Classes []string // in class order; nil for a regression
	// Actual names the column of the truth: numbers for a regression, class
	// names else; missing where not yet known.
	Actual string
	// Outputs names the columns of the model's outputs: the prediction, or
	// one probability a class in class order.
	Outputs []string
	Metric  score.Metric // empty: the task's default
	// Holdout is the metric when the model was accepted; NaN when not known.
	Holdout float64

	// Predicted and Arrived name the columns of the times at which a row was
	// predicted and its truth came in; without both of them the labelled rows
	// are taken for all that will ever be. Order names the column of the time
	// that rows belong to; empty: Predicted.
	Predicted, Arrived, Order string
	// Window is how far back rows are compared, from the newest one that is
	// old enough; 0: all of them. Now is when that is asked; zero: the newest
	// time of all.
	Window time.Duration
	Now    time.Time
	// Template reads the raw columns, for segments and for what is expected
	// of numbers; nil: neither.
	Template *schema.Template
	// Estimator is the version's; nil: nothing is expected, and the metric is
	// compared with Holdout alone.
	Estimator *estimate.Estimator
	// Past are earlier estimates, to be held against the truth by now.
	Past []Past
}

// judged are rows in the order of time.
type judged struct {
	rows    *table.Table
	label   []float64 // NaN where not known, or a class that the model lacks
	outputs []float64 // row-major; NaN where missing
	known   []bool    // the truth came in
	// order and predicted are times in µs; nil when not known. arrived is
	// table.NoTime where the truth did not come in.
	order, predicted, arrived []int64
}

// judged reads all rows of the truth, or of the current table.
func (t *Truth) judged(cur *table.Table) (*judged, error) {
	rows := cur
	if t.Rows != nil {
		rows = t.Rows
	}
	order := cmp.Or(t.Order, t.Predicted)
	rows = orderedTable(rows, order)
	j := &judged{rows: rows, order: timesOf(rows, order), predicted: timesOf(rows, t.Predicted), arrived: timesOf(rows, t.Arrived)}
	actual := rows.Column(t.Actual)
	if actual == nil {
		return nil, fmt.Errorf("compare predictions: no column %q with the truth", t.Actual)
	}
	j.label = t.truth(actual)
	j.known = make([]bool, len(j.label))
	for i := range j.known {
		j.known[i] = !actual.Missing(i)
	}
	var err error
	j.outputs, err = t.outputs(rows)
	return j, err
}

// outputs are those of all rows, row-major.
func (t *Truth) outputs(rows *table.Table) ([]float64, error) {
	n, k := rows.NumRows(), len(t.Outputs)
	out := make([]float64, n*k)
	for j, name := range t.Outputs {
		c := rows.Column(name)
		if c == nil || len(c.Floats) != n {
			return nil, fmt.Errorf("compare predictions: no column %q with numbers", name)
		}
		for i, v := range c.Floats {
			out[i*k+j] = v
		}
	}
	return out, nil
}

func timesOf(t *table.Table, name string) []int64 {
	if c := t.Column(name); name != "" && c != nil && c.Type == table.Time {
		return c.Times
	}
	return nil
}

// truth is the actual column as labels, NaN where unknown. Classes that the
// model does not have are unknown, too: no loss is defined for them.
func (t *Truth) truth(actual *table.Column) []float64 {
	if t.Task == schema.Regression {
		v, _ := numbersOf(actual)
		return v
	}
	v := make([]float64, actual.Len())
	for i := range v {
		v[i] = math.NaN()
		if actual.Missing(i) {
			continue
		}
		if c := slices.Index(t.Classes, actual.Format(i)); c >= 0 {
			v[i] = float64(c)
		}
	}
	return v
}

// whole says which rows may be compared: those of steps of time whose truth has
// come in as far as it ever does.
type whole struct {
	step     []int     // of each row
	use      []bool    // by step
	coverage []float64 // by step: share of rows with their truth; NaN without rows
	rows     []float64 // by step
	newest   []int64   // by step: µs, when its last row was predicted
	plateau  float64   // what steps that are old enough reach; NaN: there are none
	lag      float64   // µs after which 95 % of the truths are in; NaN: not known
	settled  bool      // the log reaches further back than truths take to come
	length   int64     // µs of a step
	first    int64     // µs, beginning of step 0
	now      int64     // µs
	last     int       // newest step that is compared; −1: none
	stale    bool      // no truth of the compared steps came in within the window
}

// The rules of [judged.mature].
const (
	lagShare     = 0.95 // of the truths, after which a row counts as old enough
	nearPlateau  = 0.95 // of the plateau, at which an old step counts as whole
	atPlateau    = 0.99 // the same for a step that is younger than the lag
	settledShare = 0.9  // of the age of the rows that the lag is taken from, which it may reach
	windowSteps  = 7    // steps of a window
	mostSpan     = 4000 // steps in all
	leastOfSteps = int64(60e6)
)

// mature finds the steps to compare. The lag from prediction to truth is taken
// from the older half of the history, whose late truths had time to come; its
// 95 % quantile says which steps are old enough, and the median of their
// coverage, where there is any, what a step reaches. An old step is whole at 95 % of that, less two
// standard errors of a share; a younger one only when nothing is left to come.
// nil when times are not known.
func (j *judged) mature(t *Truth) *whole {
	if j.predicted == nil || j.arrived == nil || len(j.known) == 0 {
		return nil
	}
	lo, now := int64(math.MaxInt64), t.Now.UnixMicro()
	newest := int64(math.MinInt64)
	for i, at := range j.predicted {
		if at == table.NoTime {
			continue
		}
		lo, newest = min(lo, at), max(newest, at)
		if j.arrived[i] != table.NoTime {
			newest = max(newest, j.arrived[i])
		}
	}
	if lo > newest {
		return nil
	}
	if t.Now.IsZero() {
		now = newest
	}
	w := &whole{first: lo, length: t.Window.Microseconds() / windowSteps, last: -1, plateau: math.NaN()}
	if w.length <= 0 {
		w.length = (now - lo) / windowSteps
	}
	w.now = now
	w.length = max(w.length, leastOfSteps, (now-lo)/mostSpan)
	w.lag, w.settled = j.lag(lo+(now-lo)/2, now)
	w.cover(j)
	w.choose(now, t.Window.Microseconds())
	w.stale = t.Window > 0 && w.last >= 0 && !j.fresh(w, now-t.Window.Microseconds())
	return w
}

// lag is the time after which most truths are in, of rows predicted up to
// middle, or, when none of those has its truth, of all. It is settled when the
// youngest of these rows is older by some way: else truths that take longer
// have not been seen yet.
func (j *judged) lag(middle, now int64) (lag float64, settled bool) {
	var old, all []float64
	youngest := int64(math.MaxInt64)
	for i, at := range j.predicted {
		if at == table.NoTime || j.arrived[i] == table.NoTime {
			continue
		}
		d := max(float64(j.arrived[i]-at), 0)
		all = append(all, d)
		if at <= middle {
			old = append(old, d)
			youngest = min(youngest, now-at)
		}
	}
	if len(old) == 0 {
		old, youngest = all, 0
	}
	if len(old) == 0 {
		return math.NaN(), false
	}
	slices.Sort(old)
	lag = old[min(int(math.Ceil(lagShare*float64(len(old)))), len(old))-1]
	return lag, lag <= settledShare*float64(youngest)
}

// cover counts truths by step.
func (w *whole) cover(j *judged) {
	w.step = make([]int, len(j.known))
	var known []float64
	for i, at := range j.predicted {
		s := 0
		if at != table.NoTime {
			s = int((at - w.first) / w.length)
		}
		w.step[i] = s
		for len(w.rows) <= s {
			w.rows, w.newest, known = append(w.rows, 0), append(w.newest, w.first), append(known, 0)
		}
		w.rows[s]++
		w.newest[s] = max(w.newest[s], at)
		if j.known[i] {
			known[s]++
		}
	}
	w.coverage, w.use = make([]float64, len(known)), make([]bool, len(known))
	for s := range known {
		w.coverage[s] = known[s] / w.rows[s] // NaN for none
	}
}

// choose marks the steps that are whole, within window of the newest of them.
func (w *whole) choose(now, window int64) {
	if math.IsNaN(w.lag) {
		return
	}
	old := func(s int) bool { return w.settled && float64(now-w.newest[s]) >= w.lag }
	var reached []float64
	for s, c := range w.coverage {
		if old(s) && c > 0 { // steps without any truth are a feed that failed
			reached = append(reached, c)
		}
	}
	w.plateau = score.Median(reached)
	most := w.plateau
	if math.IsNaN(most) {
		most = 1 // only what is complete by any measure is compared
	}
	for s, c := range w.coverage {
		if math.IsNaN(c) {
			continue
		}
		slack := 2 * math.Sqrt(most*(1-most)/w.rows[s])
		w.use[s] = c > 0 && (old(s) && c >= nearPlateau*most-slack || c >= max(atPlateau*most, 0.5))
		if w.use[s] {
			w.last = s
		}
	}
	if window > 0 {
		for s := range max(0, w.last+1-int((window+w.length-1)/w.length)) {
			w.use[s] = false
		}
	}
}

// fresh reports whether a truth of a compared row came in after from.
func (j *judged) fresh(w *whole, from int64) bool {
	for i, at := range j.arrived {
		if at != table.NoTime && at > from && w.use[w.step[i]] {
			return true
		}
	}
	return false
}

// until is the end of the newest step that is compared, now at the latest.
func (w *whole) until() time.Time {
	return time.UnixMicro(min(w.first+int64(w.last+1)*w.length, w.now)).UTC()
}
