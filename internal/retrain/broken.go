package retrain

import (
	"cmp"
	"context"
	"slices"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/repair/inspect"
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
// wrong, and so would those of a column that is stuck. A renamed one may be how
// the world is from now on.
var teaching = []string{"absent", "empty", "unit"}

// sound finds the stretches of logged rows in which a feed was broken, by
// comparing each with the reference that the champion was made with. Rows of
// one time are never parted. What may be undone is undone, and told in
// repaired; of what may not, the rows are left out, and told in excluded.
//
// A fault begins and ends within a stretch, where it may be too little to be
// found. So what undoes it in one is done in the stretches beside it as well.
func (h *history) sound(ctx context.Context, reference, logged *table.Table, champion *model.Model, report *monitor.Report, may inspect.Allowed) (*table.Table, error) {
	t, weight, mayQuarantine := champion.Template, champion.GainShares(), may.Quarantine
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
		f := lasting(faults, steps[k])
		if f == nil && mayQuarantine {
			f = stuck(faults, report, reference, batch, weight)
		}
		if f != nil {
			h.excluded = append(h.excluded, exclusion(batch, f.Column, f.Detail, len(s)))
			h.out.add(batch.Column(idColumn), batch.Column(orderColumn).Times, f.Column, f.Detail)
			mark(bad, s)
		}
	}
	rows := logged
	for _, r := range remedies(logged, parts, steps) {
		these := make([]bool, len(bad))
		mark(these, r.rows)
		for i, out := range bad {
			these[i] = these[i] && !out
		}
		next, changed, counts := repair.Table(rows, []repair.Step{r.step}, these)
		if rows = next; counts[0] > 0 {
			h.repaired = append(h.repaired, exclusion(logged.Take(picked(changed)), r.step.Column, r.step.Words(), counts[0]))
		}
	}
	return exclude(rows, bad), nil
}

// remedy is a step and the rows in which it is taken, in the order of time.
type remedy struct {
	step repair.Step
	rows []int
}

// remedies are the steps of neighbouring stretches as one, in the order in which
// they begin, with the stretches before and after them. A level is renamed
// wherever it stands there; a value is scaled in the run of rows that came bent.
func remedies(logged *table.Table, parts [][]int, steps [][]repair.Step) (out []remedy) {
	for k := range steps {
		for _, s := range steps[k] {
			same := func(x repair.Step) bool {
				return x.Column == s.Column && x.Kind == s.Kind && x.New == s.New && x.Factor == s.Factor
			}
			if k > 0 && slices.ContainsFunc(steps[k-1], same) {
				continue // it began before
			}
			end := k + 1
			for end < len(steps) && slices.ContainsFunc(steps[end], same) {
				end++
			}
			found := slices.Concat(parts[k:end]...)
			around := slices.Concat(parts[max(k-1, 0):min(end+1, len(parts))]...)
			if s.Kind == repair.Scale {
				around = run(logged, s, found, around)
			}
			out = append(out, remedy{s, around})
		}
	}
	return out
}

// run are those of the rows around that came bent one after the other; all of
// those in which the fault was found when they are fewer than a half of these,
// as when one sender of several is broken.
func run(logged *table.Table, s repair.Step, found, around []int) []int {
	c := logged.Column(s.Column)
	if c == nil || c.Type != table.Float {
		return nil
	}
	values := make([]float64, len(around))
	for i, row := range around {
		values[i] = c.Floats[row]
	}
	if lo, hi := s.Run(values); 2*(hi-lo) >= len(found) {
		return around[lo:hi]
	}
	return found
}

// picked are the numbers of the rows that are flagged.
func picked(rows []bool) (out []int) {
	for i, yes := range rows {
		if yes {
			out = append(out, i)
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

// stuck is the fault of a column on which the champion rests and that repeats one
// value, here and by the newest drift report in the whole of its window, and for
// longer than it ever did in the reference by far: a promotion that is off for
// weeks is no broken feed. nil when there is none.
func stuck(faults []monitor.Fault, report *monitor.Report, reference, batch *table.Table, weight map[string]float64) *monitor.Fault {
	frozen := func(f monitor.Fault) bool { return f.Kind == monitor.FrozenChange }
	for i := range faults {
		f := &faults[i]
		if !frozen(*f) || report == nil || !slices.ContainsFunc(report.Faults, func(g monitor.Fault) bool { return frozen(g) && g.Column == f.Column }) {
			continue
		}
		if weight[f.Column] > suspectShare && 2*longestRun(reference.Column(f.Column)) < batch.NumRows() {
			return f
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
