package retrain

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/repair/inspect"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// Seen is what a diagnosis is made from. Only Rows and Champion are needed.
type Seen struct {
	Report *monitor.Report // the newest that speaks of the window; nil: none
	// Rows are all labelled rows; from Unseen on the champion has not learnt
	// from them.
	Rows     *train.Rows
	Unseen   int
	Champion *model.Model
	// Params fit the models that predict a part of the training rows as the
	// champion would have, had it not seen them.
	Params     fit.Params
	Importance *registry.Importance // nil: not known
	// From is when the window begins; zero: with the newest third of the unseen
	// rows. Reference and Window are the rows to look for faults in parts of the
	// window; nil: they are not looked for.
	From              time.Time
	Reference, Window *table.Table
	// Labels are the rows that were served, labelled or not.
	Labels []Arrival
	Now    time.Time

	known *evidence // made once
}

// Arrival is when a row was served and when its label came in, µs; Label is
// table.NoTime when it did not.
type Arrival struct{ Served, Label int64 }

// Diagnose reads the signs and weighs the causes.
func Diagnose(ctx context.Context, s Seen) (*heal.Diagnosis, error) {
	return s.diagnose(ctx)
}

func (s *Seen) diagnose(ctx context.Context) (*heal.Diagnosis, error) {
	signs, err := s.signs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the signs: %w", err)
	}
	return &heal.Diagnosis{Causes: heal.Diagnose(signs), Signs: signs}, nil
}

func (s *Seen) signs(ctx context.Context) (heal.Signs, error) {
	out := heal.Signs{Faults: []heal.FaultSign{}, Inputs: []heal.InputSign{}}
	s.readReport(&out)
	if err := s.partFaults(ctx, &out); err != nil {
		return out, err
	}
	out.Arrival = s.arrival()
	e, err := s.evidence(ctx)
	if err != nil {
		return out, err
	}
	out.Relation = e.relate(s.Report, out.Faults)
	out.Season = e.season()
	return out, nil
}

// readReport takes the columns and the faults.
func (s *Seen) readReport(out *heal.Signs) {
	r := s.Report
	if r == nil {
		return
	}
	out.Rows = r.Rows
	for _, f := range r.Faults {
		// A reference that is a sample of what was learnt from has fewer rows a day.
		if f.Kind == "volume" && float64(s.Unseen) > 1.2*float64(r.ReferenceRows) {
			continue
		}
		if !tooHot(r.Columns[f.Column], f) {
			out.Faults = append(out.Faults, heal.FaultSign{Column: f.Column, Kind: f.Kind, Detail: f.Detail})
		}
	}
	weight := s.weights()
	for _, name := range r.Order {
		c := r.Columns[name]
		if p := float64(c.P); !r.EnoughRows || !(p >= 0 && p <= 1) {
			continue
		}
		in := heal.InputSign{Column: name, P: float64(c.P), Drift: c.Drift, Text: c.Reason, Importance: weight(name)}
		if !c.Drift && c.Effect < monitor.Number(r.Settings.MinEffect) {
			in.P = max(in.P, 0.5) // too small to count, however certain
		}
		out.Inputs = append(out.Inputs, in)
		if lost := c.Change; c.Drift && lost != nil && lost.Kind == monitor.MissingChange && lost.By >= mostMissing {
			out.Faults = append(out.Faults, heal.FaultSign{Column: name, Kind: monitor.MissingChange, Detail: lost.Text})
		}
	}
	if d := r.Domain; d != nil && d.P >= 0 && d.P <= 1 {
		p := float64(d.P)
		out.Together = &p
	}
}

// tooHot says that a column cannot have become degrees Fahrenheit, which is the
// one slip of units without a factor, since it never held degrees Celsius.
func tooHot(c *monitor.Column, f monitor.Fault) bool {
	const hottest = 100
	if c == nil || f.Kind != monitor.UnitChange || f.Factor != 0 {
		return false
	}
	return slices.ContainsFunc(c.Quantiles, func(q monitor.Quantile) bool { return q.Then > hottest })
}

// mostMissing is the share of rows by which missing values may become more
// without being a fault.
const mostMissing = 0.05

// weights are the columns' parts in the gain of all splits; 1 when not known.
func (s *Seen) weights() func(string) float64 {
	sum, by := 0.0, map[string]float64{}
	if s.Importance != nil {
		for _, c := range s.Importance.Columns {
			by[c.Column] = c.Gain
			sum += c.Gain
		}
	}
	return func(name string) float64 {
		if sum <= 0 {
			return 1
		}
		return by[name] / sum
	}
}

const (
	partRows  = 150 // of a part of the window, at least
	mostParts = 8
	controls  = 4 // parts of the rows before the window that are looked at as well
)

// partial are the faults that a part of the window can have for itself.
var partial = []string{"absent", "empty", "unit", "renamed", "frozen", "duplicated"}

// partFaults looks for faults in parts of the window: the report compares the
// whole, in which a fault that has just come is a few odd values. A fault that
// parts of the rows before the window have too is none.
func (s *Seen) partFaults(ctx context.Context, out *heal.Signs) error {
	if s.Window == nil || s.Reference == nil || s.Window.NumRows() < partRows {
		return nil
	}
	t := s.Champion.Template
	reference := inspect.Thin(s.Reference, inspect.ReferenceRows)
	n := s.Window.NumRows()
	size := max(partRows, (n+mostParts-1)/mostParts)
	usual := map[string]bool{}
	before := s.Rows.Table
	if hi := s.first(); hi < before.NumRows() {
		before = before.Slice(0, hi)
	}
	look := func(rows *table.Table, visit func(monitor.Fault)) error {
		r, err := monitor.Compare(ctx, monitor.Input{
			Reference: monitor.Of(reference), Current: monitor.Of(rows), Columns: t.Columns, ReferenceTime: t.Time, Time: t.Time,
			Options: monitor.Options{Resamples: -1, Threads: s.Params.NumThreads},
		})
		if err != nil {
			return fmt.Errorf("look for faults in a part of the window: %w", err)
		}
		for _, f := range r.Faults {
			if slices.Contains(partial, f.Kind) && !tooHot(r.Columns[f.Column], f) {
				visit(f)
			}
		}
		return nil
	}
	var found []monitor.Fault
	for lo := 0; lo+partRows <= n; lo += size {
		if err := look(s.Window.Slice(lo, min(lo+size, n)), func(f monitor.Fault) { found = append(found, f) }); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	for k := range controls {
		lo := before.NumRows() * k / controls
		if hi := min(lo+size, before.NumRows()); hi-lo >= partRows {
			if err := look(before.Slice(lo, hi), func(f monitor.Fault) { usual[f.Column+"\x00"+f.Kind] = true }); err != nil {
				return err
			}
		}
	}
	for _, f := range found {
		known := slices.ContainsFunc(out.Faults, func(g heal.FaultSign) bool { return g.Column == f.Column && g.Kind == f.Kind })
		if f.Kind == monitor.FrozenChange && longestRun(before.Column(f.Column)) >= partRows/2 {
			continue // it often stands still, such as a price list or a week's number
		}
		if !known && !usual[f.Column+"\x00"+f.Kind] {
			out.Faults = append(out.Faults, heal.FaultSign{Column: f.Column, Kind: f.Kind, Detail: f.Detail, Part: true})
		}
	}
	return nil
}

// longestRun is the greatest number of rows on end with one value; 0 for nil.
func longestRun(c *table.Column) int {
	longest, run := 0, 0
	for i := 0; c != nil && i < c.Len(); i++ {
		if run++; i > 0 && c.Format(i) != c.Format(i-1) {
			run = 1
		}
		longest = max(longest, run)
	}
	return longest
}

// first is the first labelled row of the window.
func (s *Seen) first() int {
	n := s.Rows.Len()
	if s.From.IsZero() || s.Rows.Times == nil {
		return s.Unseen + (n-s.Unseen)*2/3
	}
	at := s.From.UnixMicro()
	return max(s.Unseen, sort.Search(n, func(i int) bool { return s.Rows.Times[i] >= at }))
}

// arrival compares the share of labels that came in within the usual time. Nil
// when fewer than 50 rows were served before the window, or none in it is due.
func (s *Seen) arrival() *heal.Arrival {
	if s.From.IsZero() {
		return nil
	}
	from, now := s.From.UnixMicro(), s.Now.UnixMicro()
	var lags []int64
	for _, l := range s.Labels {
		if l.Served < from && l.Label != table.NoTime {
			lags = append(lags, l.Label-l.Served)
		}
	}
	const fewest = 50
	if len(lags) < fewest {
		return nil
	}
	slices.Sort(lags)
	lag := lags[len(lags)*95/100]
	a := &heal.Arrival{Lag: float64(lag) / 1e6}
	before, in := 0, 0
	for _, l := range s.Labels {
		if l.Served == table.NoTime || l.Served+lag > now {
			continue
		}
		came := l.Label != table.NoTime && l.Label-l.Served <= lag
		switch {
		case l.Served >= from:
			a.Due++
			if came {
				a.Arrived++
			}
		default:
			before++
			if came {
				in++
			}
		}
	}
	if a.Due == 0 || in == 0 {
		return nil
	}
	a.Usual = float64(in) / float64(before)
	return a
}
