package retrain

import (
	"cmp"
	"context"
	"slices"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/repair/inspect"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// Rows are looked at in stretches in the order of time: a broken feed costs
// the stretches that it filled.
const (
	minStretch    = inspect.MinRows // rows of a stretch, at least
	mostStretches = 100             // longer ones beyond
)

// teaching are the faults of a feed whose rows would teach a model something
// wrong. A frozen or renamed column may be how the world is from now on.
var teaching = []string{"absent", "empty", "unit"}

// sound finds the stretches of logged rows in which a feed was broken, by
// comparing each with the reference that the champion was made with. Rows of
// one time are never parted. What may be undone is undone, and told in
// repaired; of what may not, the rows are left out, and told in excluded.
//
// A fault begins and ends within a stretch, where it may be too little to be
// found. So what undoes it in one is done in the stretches beside it as well: it
// changes nothing but values that came bent.
func (h *history) sound(ctx context.Context, reference, logged *table.Table, t *schema.Template, may inspect.Allowed) (*table.Table, error) {
	may.Quarantine = false // what is read as missing teaches nothing
	bad := make([]bool, logged.NumRows())
	parts := stretches(logged.Column(orderColumn).Times)
	steps := make([][]repair.Step, len(parts))
	skeleton := inspect.Thin(reference, inspect.ReferenceRows)
	for k, s := range parts {
		batch := logged.Take(s)
		faults, err := inspect.Faults(ctx, skeleton, batch, t, orderColumn)
		if err != nil {
			return nil, err
		}
		steps[k] = inspect.Steps(faults, reference, may)
		if f := lasting(faults, steps[k]); f != nil {
			h.excluded = append(h.excluded, exclusion(batch, f.Column, f.Detail, len(s)))
			h.out.add(batch.Column(idColumn), batch.Column(orderColumn).Times, f.Column, f.Detail)
			mark(bad, s)
		}
	}
	rows := logged
	for k, s := range parts {
		mine := beside(steps, k)
		if bad[s[0]] || len(mine) == 0 {
			continue
		}
		these := make([]bool, len(bad))
		mark(these, s)
		next, _, counts := repair.Table(rows, mine, these)
		rows = next
		for i, step := range mine {
			if counts[i] > 0 {
				h.repaired = append(h.repaired, exclusion(logged.Take(s), step.Column, step.Words(), counts[i]))
			}
		}
	}
	return exclude(rows, bad), nil
}

// beside are the steps of a stretch and, of other columns or levels, of the two
// beside it.
func beside(steps [][]repair.Step, k int) []repair.Step {
	out := slices.Clone(steps[k])
	for _, j := range []int{k - 1, k + 1} {
		if j < 0 || j >= len(steps) {
			continue
		}
		for _, s := range steps[j] {
			if !slices.ContainsFunc(out, func(x repair.Step) bool { return x.Column == s.Column && x.Kind == s.Kind && x.New == s.New }) {
				out = append(out, s)
			}
		}
	}
	return out
}

func mark(rows []bool, these []int) {
	for _, i := range these {
		rows[i] = true
	}
}

// lasting is a fault that teaches something wrong and that no step undoes; nil
// when there is none.
func lasting(faults []monitor.Fault, steps []repair.Step) *monitor.Fault {
	for i := range faults {
		undone := slices.ContainsFunc(steps, func(s repair.Step) bool { return s.Column == faults[i].Column })
		if !undone && slices.Contains(teaching, faults[i].Kind) {
			return &faults[i]
		}
	}
	return nil
}

func exclusion(batch *table.Table, column, why string, rows int) Exclusion {
	e := Exclusion{Column: column, Why: why, Rows: rows}
	e.From, e.To = train.Span(batch.Column(orderColumn).Times)
	return e
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
