// Package inspect looks for faults of the feed in a batch of rows, and says
// which repairs they call for.
package inspect

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Allowed are the repairs that may be made.
type Allowed struct {
	Scale      bool
	Rename     bool
	Quarantine bool
}

// Any reports whether anything may be done.
func (a Allowed) Any() bool { return a.Scale || a.Rename || a.Quarantine }

// MinRows is the least batch that faults should be looked for in.
const MinRows = 200

// ReferenceRows is how many rows of the reference a batch is held against.
const ReferenceRows = 2000

// Faults compares a batch of rows with the reference of a version and returns
// the faults of the feed. Order names the column of the batch that has the
// times of its rows; it may be absent.
func Faults(ctx context.Context, reference, rows *table.Table, t *schema.Template, order string) ([]monitor.Fault, error) {
	r, err := monitor.Compare(ctx, monitor.Input{
		Reference: monitor.Of(Thin(reference, ReferenceRows)), Current: monitor.Of(rows), Columns: t.Columns, ReferenceTime: t.Time, Time: order, Partial: true,
		Options: monitor.Options{Resamples: -1},
	})
	if err != nil {
		return nil, fmt.Errorf("look for faults of the feed: %w", err)
	}
	return r.Faults, nil
}

// Steps are what may be done about faults, found against a reference. Of a
// renamed level that is only if its names are alike and no other two of the
// column are.
func Steps(faults []monitor.Fault, reference *table.Table, may Allowed) []repair.Step {
	var out []repair.Step
	for i := range faults {
		f := &faults[i]
		s := repair.Step{Column: f.Column, Why: f.String()}
		switch {
		case f.Kind == "unit" && may.Scale && f.Factor > 0:
			usual := finite(reference.Column(f.Column))
			if len(usual) == 0 || !(usual[len(usual)/2] > 0) || f.Factor == 1 {
				continue
			}
			n := len(usual)
			s.Kind, s.Factor, s.Median = repair.Scale, f.Factor, usual[n/2]
			s.Low, s.High = usual[n/rare], usual[n-1-n/rare]
		case f.Kind == "renamed" && may.Rename && f.Alike:
			s.Kind, s.Old, s.New = repair.Rename, f.Old, f.New
		case (f.Kind == "unit" || f.Kind == "frozen" || f.Kind == "type") && may.Quarantine:
			s.Kind = repair.Quarantine
		default:
			continue
		}
		out = append(out, s)
	}
	return out
}

// rare is how seldom the reference has values lower than usual, or higher: one
// in so many.
const rare = 1000

// finite are the finite numbers of a column in their order.
func finite(c *table.Column) (v []float64) {
	if c == nil || c.Type != table.Float {
		return nil
	}
	for _, x := range c.Floats {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	slices.Sort(v)
	return v
}

// Thin is every k-th row of t, at most n.
func Thin(t *table.Table, n int) *table.Table {
	total := t.NumRows()
	if total <= n {
		return t
	}
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i * total / n
	}
	return t.Take(rows)
}
