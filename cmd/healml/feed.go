package main

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/repair/inspect"
	"github.com/healml/healml/internal/table"
)

func (a *app) feedPath() string { return filepath.Join(a.state(), "feed.json") }

// allowedRepairs are those that the configuration permits.
func (a *app) allowedRepairs() inspect.Allowed {
	h := a.conf.Heal
	return inspect.Allowed{
		Scale: slices.Contains(h.MapBack, "unit"), Rename: slices.Contains(h.MapBack, "renamed"), Quarantine: h.Quarantine,
	}
}

// repairsInForce are the steps that the last check of the live window left.
func (a *app) repairsInForce() ([]repair.Step, error) {
	f, err := repair.Read(a.feedPath())
	if err != nil {
		return nil, err
	}
	return f.Steps, nil
}

// feedRows is how many of the newest rows tell whether the feed is broken now.
const feedRows = 1000

// watchFeed looks for faults in the newest of the rows that a version served,
// and leaves what undoes them for those who predict. A column is quarantined only if the whole window has the fault, too.
func (a *app) watchFeed(ctx context.Context, l *registry.Loaded, live *liveRows, r *monitor.Report) error {
	before, err := repair.Read(a.feedPath())
	if err != nil {
		a.warn("%v: it is written anew", err)
		before = &repair.Feed{}
	}
	may := a.allowedRepairs()
	if !may.Any() || live.rows.NumRows() < inspect.MinRows {
		if len(before.Steps) == 0 {
			return nil
		}
		return before.Next(nil, a.now(), r.ReportID, l.Manifest.Version).Write(a.feedPath())
	}
	faults, err := inspect.Faults(ctx, live.reference, newestRows(live.rows, live.order, feedRows), l.Model.Template, live.order)
	if err != nil {
		return err
	}
	steps := slices.DeleteFunc(inspect.Steps(faults, live.reference, may), func(s repair.Step) bool {
		return s.Kind == repair.Quarantine && !slices.ContainsFunc(r.Faults, func(f monitor.Fault) bool { return f.Column == s.Column })
	})
	if len(steps) == 0 && len(before.Steps) == 0 {
		return nil
	}
	if !repair.Same(before.Steps, steps) {
		for i := range steps {
			a.warn("the feed is broken, and what can be done about it is done: %s, because %s", steps[i].Words(), steps[i].Why)
		}
		if len(steps) == 0 {
			a.notice("the feed is sound again: nothing is repaired any more")
		}
	}
	return before.Next(steps, a.now(), r.ReportID, l.Manifest.Version).Write(a.feedPath())
}

// newestRows are the n newest rows of t, oldest first, by a column of times.
func newestRows(t *table.Table, order string, n int) *table.Table {
	c := t.Column(order)
	if t.NumRows() <= n || c == nil || c.Type != table.Time {
		return t.Slice(max(0, t.NumRows()-n), t.NumRows())
	}
	rows := make([]int, t.NumRows())
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(x, y int) int { return cmp.Compare(c.Times[x], c.Times[y]) })
	return t.Take(rows[len(rows)-n:])
}

// repaired is a batch of rows with the faults of its feed undone, those that the
// last check found and those that it shows itself, and which rows were changed;
// nil when none was. A batch may be a part of the world, so that no column of it
// is put into quarantine on its own evidence.
func (a *app) repaired(ctx context.Context, l *registry.Loaded, input *table.Table) (*table.Table, []bool, error) {
	steps, err := a.repairsInForce()
	if err != nil {
		a.warn("nothing is known of the feed: %v", err)
	}
	may := a.allowedRepairs()
	may.Quarantine = false
	if may.Any() && input.NumRows() >= inspect.MinRows {
		ref, err := l.Reference()
		if err != nil {
			return nil, nil, err
		}
		faults, err := inspect.Faults(ctx, ref, input, l.Model.Template, l.Model.Template.Time)
		if err != nil {
			return nil, nil, err
		}
		steps = repair.Merge(inspect.Steps(faults, ref, may), steps)
	}
	out, changed, counts := repair.Table(input, steps, nil)
	for i := range steps {
		if counts[i] > 0 {
			a.warn("%s, because %s", steps[i].Words(), steps[i].Why)
		}
	}
	return out, changed, nil
}
