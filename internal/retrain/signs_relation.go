package retrain

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// evidence is the labelled rows with what a model that had not seen them says.
type evidence struct {
	template *schema.Template
	raw      *feature.Batch // under the champion's template
	labels   []float64
	times    []int64
	from     int       // first row that has an output
	first    int       // first row of the window
	output   []float64 // of one class when classified; NaN before from
	outputs  []float64 // row-major
	length   int64     // of the window, µs; 0 without times
	start    int64
	parts    int // batches of the window
}

// evidence predicts the training rows' second half by models of what came
// before, and the unseen rows by the champion.
func (s *Seen) evidence(ctx context.Context) (*evidence, error) {
	if s.known != nil {
		return s.known, nil
	}
	n, k := s.Rows.Len(), s.Champion.Template.Outputs()
	e := &evidence{template: s.Champion.Template, labels: s.Rows.Labels, first: s.first(), parts: batches}
	if t := s.Rows.Times; t != nil && e.first < n && t[e.first] != table.NoTime {
		e.times, e.start, e.length = t, t[e.first], max(t[n-1]-t[e.first]+1, 1)
		if !s.From.IsZero() && s.From.UnixMicro() <= e.start {
			e.start = s.From.UnixMicro()
			e.length = max(t[n-1]-e.start+1, 1)
		}
	}
	var err error
	if e.raw, err = s.Champion.Encoder().Table(s.Rows.Table); err != nil {
		return nil, fmt.Errorf("encode labelled rows: %w", err)
	}
	e.outputs = make([]float64, n*k)
	for i := range e.outputs {
		e.outputs[i] = math.NaN()
	}
	e.from = s.Unseen
	const fewest = 200
	if half := s.Unseen / 2; half >= fewest {
		e.from = half
		for lo := half; lo < s.Unseen; {
			hi := s.Unseen
			if lo == half && s.Unseen-half >= 2*fewest {
				hi = half + (s.Unseen-half)/2
			}
			res, err := s.Rows.Fit(ctx, 0, lo, 0, s.Params, nil)
			if err != nil {
				return nil, err
			}
			out, err := s.Rows.Predict(res.Model, lo, hi, s.Params.NumThreads)
			if err != nil {
				return nil, err
			}
			copy(e.outputs[lo*k:], out)
			lo = hi
		}
	}
	if s.Unseen < n {
		p, err := s.Champion.PredictTable(s.Rows.Table.Slice(s.Unseen, n), s.Params.NumThreads)
		if err != nil {
			return nil, err
		}
		copy(e.outputs[s.Unseen*k:], p.Outputs)
	}
	e.choose(k)
	s.known = e
	return e, nil
}

// choose sets labels and output to a number, or to one class: the second of
// two, else the one whose share moved most.
func (e *evidence) choose(k int) {
	if k == 1 && e.template.Task == schema.Regression {
		e.output = e.outputs
		return
	}
	class := 1
	if k > 1 {
		most := -1.0
		for c := range k {
			var then, now float64
			for i, y := range e.labels {
				if y == float64(c) {
					if i >= e.first {
						now++
					} else {
						then++
					}
				}
			}
			if d := math.Abs(now/float64(max(len(e.labels)-e.first, 1)) - then/float64(max(e.first, 1))); d > most {
				most, class = d, c
			}
		}
	}
	labels := make([]float64, len(e.labels))
	e.output = make([]float64, len(e.labels))
	for i, y := range e.labels {
		if y == float64(class) {
			labels[i] = 1
		}
		e.output[i] = e.outputs[i*k]
		if k > 1 {
			e.output[i] = e.outputs[i*k+class]
		}
	}
	e.labels = labels
}

// windows of the history as blocks, and parts of the window as batches.
const batches = 8

// block numbers a row's stretch of time: 0 and up within the window, in
// batches; below 0 before it, in stretches as long as the window.
func (e *evidence) block(i int) int {
	n := len(e.labels)
	if e.length > 0 && e.times[i] != table.NoTime {
		d := e.times[i] - e.start
		if d >= 0 {
			return int(d * int64(e.parts) / e.length)
		}
		return int((d+1)/e.length) - 1
	}
	size := max(n-e.first, 1)
	if i >= e.first {
		return (i - e.first) * e.parts / size
	}
	return -1<<20 + i/size
}

// relate compares labels and predictions, on rows whose inputs are such as the
// champion knows: whether the model is right about others is no sign of what
// became of the world.
func (e *evidence) relate(r *monitor.Report, faults []heal.FaultSign) *heal.Relation {
	then, now, columns, _ := e.outcomes(e.support(r, faults))
	return heal.Relate(then, now, columns, e.template.Task.Classified())
}

// outcomes are the rows that have an output and that keep keeps, before the
// window and in it; rows are the numbers of the latter.
func (e *evidence) outcomes(keep func(i int) bool) (then, now heal.Outcomes, columns []heal.Binning, rows []int) {
	columns, bin := e.bins()
	for i := e.from; i < len(e.labels); i++ {
		if math.IsNaN(e.output[i]) || math.IsInf(e.output[i], 0) || !keep(i) {
			continue
		}
		o := &then
		if i >= e.first {
			o = &now
			rows = append(rows, i)
		}
		o.Label, o.Output, o.Block = append(o.Label, e.labels[i]), append(o.Output, e.output[i]), append(o.Block, e.block(i))
		for k := range columns {
			if len(o.Bins) <= k {
				o.Bins = append(o.Bins, nil)
			}
			o.Bins[k] = append(o.Bins[k], bin[k](i))
		}
	}
	return then, now, columns, rows
}

const (
	fifths     = 5
	mostLevels = 8
	tail       = 0.01 // of the known values of a column on either side that count as unknown
)

// bins cuts each column, and the predictions, into fifths of the rows before
// the window, and levels into the most frequent ones.
func (e *evidence) bins() (columns []heal.Binning, of []func(i int) int) {
	add := func(name string, v []float64) {
		var known []float64
		for i := e.from; i < e.first; i++ {
			if !math.IsNaN(v[i]) && !math.IsInf(v[i], 0) {
				known = append(known, v[i])
			}
		}
		cuts := cutsOf(known, fifths)
		if len(cuts) == 0 {
			return
		}
		columns = append(columns, heal.Binning{Column: name, Bins: spans(cuts)})
		of = append(of, func(i int) int {
			if math.IsNaN(v[i]) {
				return -1
			}
			k, _ := slices.BinarySearchFunc(cuts, v[i], func(c, x float64) int {
				if c <= x {
					return -1
				}
				return 1
			})
			return k
		})
	}
	for k, c := range e.template.Columns {
		v := e.raw.Raw[k]
		switch c.Kind {
		case schema.Numeric, schema.Boolean:
			add(c.Name, v)
		case schema.Categorical:
			levels, place := e.topLevels(v, len(c.Levels))
			b := heal.Binning{Column: c.Name}
			for _, l := range levels {
				b.Bins = append(b.Bins, strconv.Quote(c.Levels[l]))
			}
			if len(levels) > 1 {
				columns = append(columns, b)
				of = append(of, func(i int) int {
					if x := v[i]; x >= 0 && int(x) < len(place) {
						return place[int(x)]
					}
					return -1
				})
			}
		}
	}
	add("the prediction", e.output)
	return columns, of
}

// topLevels are the most frequent levels before the window, and the place of
// each level among them, −1 for the others.
func (e *evidence) topLevels(v []float64, n int) (levels, place []int) {
	counts, place := make([]int, n), make([]int, n)
	for i := e.from; i < e.first; i++ {
		if x := v[i]; x >= 0 && int(x) < n {
			counts[int(x)]++
		}
	}
	for l, c := range counts {
		place[l] = -1
		if c > 0 {
			levels = append(levels, l)
		}
	}
	slices.SortStableFunc(levels, func(a, b int) int { return counts[b] - counts[a] })
	levels = levels[:min(len(levels), mostLevels)]
	for k, l := range levels {
		place[l] = k
	}
	return levels, place
}

// cutsOf are the distinct inner cuts of n parts of v.
func cutsOf(v []float64, n int) []float64 {
	if len(v) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(v))
	var cuts []float64
	for q := 1; q < n; q++ {
		if c := s[q*len(s)/n]; c > s[0] && (len(cuts) == 0 || c > cuts[len(cuts)-1]) {
			cuts = append(cuts, c)
		}
	}
	if len(cuts) == 0 && s[0] < s[len(s)-1] { // nearly all rows have one value
		cuts = append(cuts, s[slices.IndexFunc(s, func(x float64) bool { return x > s[0] })])
	}
	return cuts
}

// spans names the parts between cuts.
func spans(cuts []float64) []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	out := []string{"below " + number(cuts[0])}
	for i := 1; i < len(cuts); i++ {
		out = append(out, "from "+number(cuts[i-1])+" to "+number(cuts[i]))
	}
	return append(out, "from "+number(cuts[len(cuts)-1])+" on")
}

// support tells the rows whose values in the columns that drifted are within
// what was known before, less the outer hundredths; levels count as known when
// they were seen in training. Faulty columns do not count.
func (e *evidence) support(r *monitor.Report, faults []heal.FaultSign) func(i int) bool {
	if r == nil {
		return func(int) bool { return true }
	}
	var tests []func(i int) bool
	for k, c := range e.template.Columns {
		found := r.Columns[c.Name]
		if found == nil || !found.Drift || slices.ContainsFunc(faults, func(f heal.FaultSign) bool { return f.Column == c.Name }) {
			continue
		}
		v := e.raw.Raw[k]
		switch c.Kind {
		case schema.Categorical:
			tests = append(tests, func(i int) bool { return !(v[i] < 0) })
		case schema.Numeric:
			var known []float64
			for i := range e.first {
				if !math.IsNaN(v[i]) {
					known = append(known, v[i])
				}
			}
			if len(known) == 0 {
				continue
			}
			slices.Sort(known)
			lo, hi := known[int(tail*float64(len(known)))], known[len(known)-1-int(tail*float64(len(known)))]
			tests = append(tests, func(i int) bool { return math.IsNaN(v[i]) || v[i] >= lo && v[i] <= hi })
		}
	}
	return func(i int) bool {
		for _, ok := range tests {
			if !ok(i) {
				return false
			}
		}
		return true
	}
}
