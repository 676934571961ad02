package retrain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Rows are looked at in stretches in the order of time: a broken feed costs
// the stretches that it filled.
const (
	minStretch      = 200  // rows of a stretch, at least
	mostStretches   = 100  // longer ones beyond
	stretchSkeleton = 2000 // rows of the reference that a stretch is held against
)

// teaching are the faults of a feed whose rows would teach a model something
// wrong. A frozen or renamed column may be how the world is from now on.
var teaching = []string{"absent", "empty", "unit"}

// brokenStretches finds the stretches of logged rows in which a feed was
// broken, by comparing each with the reference that the champion was made
// with. Rows of one time are never parted. bad tells the rows of logged that
// lie in one.
func brokenStretches(ctx context.Context, reference, logged *table.Table, t *schema.Template) (out []Exclusion, bad []bool, err error) {
	bad = make([]bool, logged.NumRows())
	reference = thin(reference, stretchSkeleton)
	for _, s := range stretches(logged.Column(orderColumn).Times) {
		rows := logged.Take(s)
		r, err := monitor.Compare(ctx, monitor.Input{Reference: monitor.Of(reference), Current: monitor.Of(rows), Columns: t.Columns, ReferenceTime: t.Time, Time: orderColumn})
		if err != nil {
			return nil, nil, fmt.Errorf("look for broken feeds: %w", err)
		}
		for _, f := range r.Faults {
			if !slices.Contains(teaching, f.Kind) {
				continue
			}
			e := Exclusion{Column: f.Column, Why: f.Detail, Rows: len(s)}
			e.From, e.To = span(rows.Column(orderColumn).Times)
			out = append(out, e)
			for _, i := range s {
				bad[i] = true
			}
			break
		}
	}
	return out, bad, nil
}

// span is the first and the last of ascending times; zero when none is known.
func span(times []int64) (from, to time.Time) {
	first := slices.IndexFunc(times, func(us int64) bool { return us != table.NoTime })
	if first < 0 {
		return
	}
	return time.UnixMicro(times[first]).UTC(), time.UnixMicro(times[len(times)-1]).UTC()
}

// thin is every k-th row of t, at most n.
func thin(t *table.Table, n int) *table.Table {
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

// stretches cuts rows into runs, oldest first, each as row numbers in the order
// of time. Rows of one time are never parted, and a remainder too short to
// judge joins the run before it.
func stretches(times []int64) [][]int {
	order := make([]int, len(times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	size := max(minStretch, len(times)/mostStretches)
	var cuts []int // ends of runs
	for lo, i := 0, 1; i < len(order); i++ {
		if i-lo >= size && times[order[i]] != times[order[i-1]] {
			cuts = append(cuts, i)
			lo = i
		}
	}
	if k := len(cuts); k > 0 && len(order)-cuts[k-1] < minStretch/2 {
		cuts = cuts[:k-1]
	}
	var out [][]int
	lo := 0
	for _, hi := range append(cuts, len(order)) {
		if hi-lo >= minStretch/2 {
			out = append(out, order[lo:hi])
		}
		lo = hi
	}
	return out
}
