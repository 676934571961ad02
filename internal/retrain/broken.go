package retrain

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Rows are looked at in stretches of about stretchRows in the order of time: a
// broken feed costs the stretches that it touched.
const (
	stretchRows = 500
	minStretch  = 100
)

// teaching are the faults of a feed whose rows would teach a model something
// wrong. A frozen or renamed column may be how the world is from now on.
var teaching = []string{"absent", "empty", "unit"}

// brokenStretches finds the stretches of logged rows in which a feed was
// broken, by comparing each with the reference that the champion was made
// with. Rows of one time are never parted.
func brokenStretches(ctx context.Context, reference, logged *table.Table, t *schema.Template) ([]Exclusion, error) {
	var out []Exclusion
	for _, s := range stretches(logged.Column(orderColumn).Times) {
		rows := logged.Take(s)
		r, err := monitor.Compare(ctx, monitor.Input{Reference: reference, Current: rows, Columns: t.Columns, ReferenceTime: t.Time, Time: orderColumn})
		if err != nil {
			return nil, fmt.Errorf("look for broken feeds: %w", err)
		}
		for _, f := range r.Faults {
			if !slices.Contains(teaching, f.Kind) {
				continue
			}
			times := rows.Column(orderColumn).Times
			out = append(out, Exclusion{From: time.UnixMicro(times[0]).UTC(), To: time.UnixMicro(times[len(times)-1]).UTC(), Column: f.Column, Why: f.Detail})
			break
		}
	}
	return out, nil
}

// stretches cuts rows into runs of about stretchRows, oldest first, each as
// row numbers in the order of time. A remainder too short to judge joins the
// run before it.
func stretches(times []int64) [][]int {
	order := make([]int, len(times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(min(max(times[a]-times[b], -1), 1)) })
	var out [][]int
	lo := 0
	for hi := 1; hi <= len(order); hi++ {
		full := hi-lo >= stretchRows && (hi == len(order) || times[order[hi]] != times[order[hi-1]])
		switch {
		case full:
			out = append(out, order[lo:hi])
			lo = hi
		case hi == len(order) && hi-lo >= minStretch:
			out = append(out, order[lo:hi])
		case hi == len(order) && len(out) > 0:
			last := len(out) - 1
			out[last] = order[lo-len(out[last]) : hi]
		}
	}
	return out
}
