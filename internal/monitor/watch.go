package monitor

import (
	"context"
	"slices"
	"sync"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// watch reads the two sides of a comparison into what its jobs are made of.
type watch struct {
	jobs     []*job
	ref, cur *drift.Steps
	span     drift.Span   // of the current rows
	ordered  bool         // the reference is in the order of time
	sample   *table.Table // of the reference
	curStep  []int32      // of the rows in the current sample
	curTimes []int64      // of the rows in the current sample; nil without

	// The timeline: its steps, and which of them each of ref and cur is in.
	then, now          []Step
	refPlace, curPlace []int
}

func newWatch(in Input, r *Report) (*watch, error) {
	w := &watch{}
	var err error
	if w.sample, err = sampleOf(in.Reference.Rows); err != nil {
		return nil, err
	}
	if err := w.cut(in); err != nil {
		return nil, err
	}
	if in.Columns == nil {
		err = w.inferColumns(in, r)
	} else {
		w.columns(in, r)
	}
	for _, name := range in.Predictions {
		if a := w.sample.Column(name); a != nil && slices.Contains(in.Current.Names(), name) {
			kind := schema.Numeric
			if a.Type == table.String {
				kind = schema.Categorical
			}
			w.add(in, name, kind).prediction = true
		}
	}
	return w, err
}

func (w *watch) add(in Input, name string, kind schema.Kind) *job {
	j := &job{
		name: name, kind: kind, ref: w.sample.Column(name),
		refIndex: slices.Index(in.Reference.Names(), name), curIndex: slices.Index(in.Current.Names(), name),
	}
	if j.curIndex < 0 {
		j.fault(Fault{Kind: "absent", Detail: "the column is not in the current rows at all"})
	}
	w.jobs = append(w.jobs, j)
	return j
}

// columns makes the jobs of columns that are described.
func (w *watch) columns(in Input, r *Report) {
	for _, c := range in.Columns {
		switch {
		case c.Kind == schema.Time:
			r.skip(c.Name, "a time, which always moves on")
		case c.Kind == schema.Text:
			w.onlyPresence(in, r, c.Name, "texts")
		case w.sample.Column(c.Name) == nil:
			r.skip(c.Name, "not in the reference")
		default:
			w.add(in, c.Name, c.Kind)
		}
	}
}

// onlyPresence compares whether a column has values, but not which, for the
// reason given: a feed that died is noticed all the same.
func (w *watch) onlyPresence(in Input, r *Report, name, reason string) {
	if a := w.sample.Column(name); a == nil || allMissing(a) {
		r.skip(name, reason)
		return
	}
	r.skip(name, reason+": only whether there are any is compared")
	w.add(in, name, schema.Text).presence = true
}

// inferColumns makes the jobs of all columns that can be compared.
func (w *watch) inferColumns(in Input, r *Report) error {
	types, err := w.typesOfEmpty(in)
	if err != nil {
		return err
	}
	for _, a := range w.sample.Columns() {
		if slices.Contains(in.Predictions, a.Name) {
			continue
		}
		typ := a.Type
		if t, ok := types[a.Name]; ok {
			typ = t
		}
		kind, reason := kindOf(a, typ)
		switch {
		case a.Name == in.Time || a.Name == in.ReferenceTime:
			r.skip(a.Name, "orders the rows")
		case reason != "" && typ == table.Time:
			r.skip(a.Name, reason)
		case reason != "":
			w.onlyPresence(in, r, a.Name, reason)
		default:
			w.add(in, a.Name, kind).inferred = true
		}
	}
	for _, name := range in.Current.Names() {
		if name != in.Time && w.sample.Column(name) == nil {
			r.skip(name, "not in the reference")
		}
	}
	return nil
}

// typesOfEmpty are the types that the current rows have in columns of which
// the reference has no value to tell.
func (w *watch) typesOfEmpty(in Input) (map[string]table.Type, error) {
	left := map[string]bool{}
	for _, c := range w.sample.Columns() {
		if allMissing(c) && slices.Contains(in.Current.Names(), c.Name) {
			left[c.Name] = true
		}
	}
	types := map[string]table.Type{}
	if len(left) == 0 {
		return types, nil
	}
	var mu sync.Mutex
	err := readAll(in.Current.Rows, func() {}, func(p table.Part) error {
		mu.Lock()
		defer mu.Unlock()
		if left[p.Name] {
			types[p.Name] = p.Type
		}
		return nil
	})
	return types, err
}

// dropRowNumbers leaves out columns that no schema describes and that count the
// rows.
func (w *watch) dropRowNumbers(r *Report) {
	w.jobs = slices.DeleteFunc(w.jobs, func(j *job) bool {
		number := j.inferred && j.then.rising.rowNumber() && (j.curIndex < 0 || j.now.rising.rowNumber())
		if number {
			r.skip(j.name, "a row number: every value is greater than the one before")
		}
		return number
	})
}

// count reads both sides.
func (w *watch) count(ctx context.Context, in Input) error {
	ref := in.Reference.Rows
	if w.sample.NumRows() == ref.NumRows() {
		ref = w.sample // it is all in memory
	}
	jobs := w.by(func(j *job) int { return j.refIndex })
	err := readAll(ref, func() {
		for _, j := range w.jobs {
			j.begin(&j.then, w.ref)
		}
	}, func(p table.Part) error {
		if j := jobs[p.Index]; j != nil {
			j.add(&j.then, p.Row, p.Column)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	jobs = w.by(func(j *job) int { return j.curIndex })
	var s *sampler
	err = readAll(in.Current.Rows, func() {
		s = newSampler(in.Current.Rows)
		for _, j := range w.jobs {
			j.begin(&j.now, w.cur)
		}
	}, func(p table.Part) error {
		j := jobs[p.Index]
		if j != nil {
			j.add(&j.now, p.Row, p.Column)
		}
		if j != nil || p.Name == in.Time && p.Type == table.Time {
			s.add(p)
		}
		return ctx.Err()
	})
	if i := slices.Index(in.Current.Names(), in.Time); i >= 0 && s.cols[i] != nil {
		w.curTimes = s.cols[i].Times
	}
	w.curStep = s.steps(w.cur, in.Current.NumRows())
	for _, j := range w.jobs {
		if j.curIndex < 0 {
			j.blank(w.cur)
		} else if j.cur = s.cols[j.curIndex]; j.cur == nil {
			j.cur = table.Floats(j.name, nil)
		}
	}
	return err
}

// by finds jobs by a number; those below 0 are left out.
func (w *watch) by(number func(*job) int) map[int]*job {
	m := map[int]*job{}
	for _, j := range w.jobs {
		if i := number(j); i >= 0 {
			m[i] = j
		}
	}
	return m
}
