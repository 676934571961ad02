package monitor

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/splitmix"
)

const (
	volumeFactor = 1.8  // by which the rows of a step must have grown or shrunk
	volumeSteps  = 8    // of the reference, at least
	volumeZ      = 5    // and by how many standard errors of their logarithm
	lateShare    = 0.01 // of rows before their predecessor in time that is disorder
	twinShare    = 0.05 // by which repeated rows must have become more
	twinRows     = 20
)

// tableFaults are the defects of the feed as a whole. They say nothing of the
// distribution of any column and so are no drift by themselves.
func (w *watch) tableFaults(in Input) (faults []Fault) {
	if f, ok := w.volume(); ok && !in.Partial {
		faults = append(faults, f)
	}
	if late := min(w.span.Late, w.span.Early); w.ordered && float64(late) > lateShare*float64(w.span.Rows) {
		faults = append(faults, Fault{Kind: "disorder", Detail: fmt.Sprintf("%s of %s rows are older than the row before them; the reference is in the order of time", present.Thousands(w.span.Late), present.Thousands(w.span.Rows))})
	}
	if f, ok := w.twins(in); ok {
		faults = append(faults, f)
	}
	return faults
}

// volume compares the rows of a stretch of time, in logarithms, between the
// samples. The first and the last stretch may be cut and are left out.
func (w *watch) volume() (Fault, bool) {
	if w.ref.Width == 0 {
		return Fault{}, false
	}
	a, b := perCell(w.ref), perCell(w.cur)
	if len(a) < volumeSteps || len(b) < 2 {
		return Fault{}, false
	}
	meanA, sdA := drift.Moments(a)
	meanB, _ := drift.Moments(b)
	d := meanB - meanA
	se := math.Sqrt((sdA*sdA + 1e-4) * (1/float64(len(a)) + 1/float64(len(b))))
	if math.Abs(d) < math.Log(volumeFactor) || math.Abs(d) < volumeZ*se {
		return Fault{}, false
	}
	how := "more"
	if d < 0 {
		how = "fewer"
	}
	return Fault{Kind: "volume", Factor: math.Exp(d), Detail: fmt.Sprintf("there are %s rows than there were: %s in %s, %s in the reference",
		how, present.Short(math.Round(math.Exp(meanB))), stepName(w.cur, 1), present.Short(math.Round(math.Exp(meanA))))}, true
}

// perCell are the logarithms of the rows of the stretches of time between the
// first and the last.
func perCell(s *drift.Steps) []float64 {
	if s.Len() == 0 {
		return nil
	}
	n := make([]float64, s.Span())
	for i, rows := range s.Rows[:s.Len()] {
		n[s.Cell(i)-s.Cell(0)] += float64(rows)
	}
	var out []float64
	for _, rows := range n[min(1, len(n)):max(len(n)-1, min(1, len(n)))] {
		if rows > 0 { // closed at night, say
			out = append(out, math.Log(rows))
		}
	}
	return out
}

// twins notices rows that repeat another in their time and in every column that
// has no fault of its own, more than in the reference. It takes samples that hold all rows: one
// of few in many would not show them.
func (w *watch) twins(in Input) (Fault, bool) {
	var jobs []*job
	for _, j := range w.jobs {
		if len(j.faults) == 0 {
			jobs = append(jobs, j)
		}
	}
	if w.sample.NumRows() < in.Reference.NumRows() || len(w.curStep) < in.Current.NumRows() || len(jobs) < 2 {
		return Fault{}, false
	}
	share := func(times []int64, side func(*job) []uint64) (float64, float64) {
		var h []uint64
		for _, us := range times {
			h = append(h, splitmix.Mix(uint64(us)))
		}
		for _, j := range jobs {
			for i, x := range side(j) {
				if i >= len(h) {
					h = append(h, 0)
				}
				h[i] = splitmix.Mix(h[i] ^ x)
			}
		}
		n := len(h)
		slices.Sort(h)
		return float64(n - len(slices.Compact(h))), float64(n)
	}
	then, n := share(timesOf(w.sample, in.ReferenceTime), func(j *job) []uint64 { return w.hashes(j, true) })
	now, m := share(w.curTimes, func(j *job) []uint64 { return w.hashes(j, false) })
	if m == 0 || n == 0 || now < twinRows || now/m-then/n < twinShare {
		return Fault{}, false
	}
	return Fault{Kind: "duplicated", Detail: fmt.Sprintf("%s of %s rows repeat another in every column; in the reference %s do", present.Thousands(int(now)), present.Thousands(int(m)), present.Percent(then/n))}, true
}

// hashes stand for the values of a column's rows.
func (w *watch) hashes(j *job, ref bool) []uint64 {
	c := j.cur
	if ref {
		c = j.ref
	}
	out := make([]uint64, c.Len())
	if j.then.levels != nil {
		for i, k := range new(coder).of(c, &j.dict) {
			out[i] = uint64(k + 1)
		}
		return out
	}
	v, _ := numbersOf(c)
	for i, x := range v {
		out[i] = math.Float64bits(x)
	}
	return out
}
