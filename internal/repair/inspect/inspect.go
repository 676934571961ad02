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
			s.Kind, s.Factor, s.Median = repair.Scale, f.Factor, median(reference.Column(f.Column))
			if !(s.Median > 0) || s.Factor == 1 {
				continue
			}
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

// median of the finite numbers of a column; NaN when there is none.
func median(c *table.Column) float64 {
	if c == nil || c.Type != table.Float {
		return math.NaN()
	}
	var v []float64
	for _, x := range c.Floats {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return v[len(v)/2]
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
