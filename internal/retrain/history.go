package retrain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/repair/inspect"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// history is every labelled row there is: the training data, then the logged
// predictions whose truth came in.
type history struct {
	rows     *train.Rows
	excluded []Exclusion // logged rows left out because a feed was broken
	repaired []Exclusion // and those with the fault undone
}

// orderColumn carries the time by which rows are ordered through the joining
// of tables; no input column can have its name.
const orderColumn = "\x00order"

// Sources are the places that labelled rows come from.
type Sources struct {
	Predictions string // directory of the prediction log
	Actuals     string // directory of the actuals log
	// Data are the rows that the first model was trained on; nil when they are
	// not to be had any more, and then Reference stands in for them.
	Data      *table.Table
	Reference *table.Table
	// Repair are the faults of the feed that may be undone before rows are
	// learnt from; rows with others are left out.
	Repair inspect.Allowed
}

// labelledLog reads the logged rows whose truth is known, as raw columns, the
// target and the order.
func labelledLog(s Sources, t *schema.Template, until time.Time) (*table.Table, error) {
	end := until.UnixMicro() + 1
	preds, _, err := predlog.Read(s.Predictions, 0, end, predlog.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("read predictions: %w", err)
	}
	actuals, _, err := predlog.ReadActuals(s.Actuals, 0, end, predlog.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("read actuals: %w", err)
	}
	joined, _ := predlog.Join(preds, actuals, t.Task)
	truth := joined.Column(predlog.ColumnActual)
	var keep []int
	for i := range joined.NumRows() {
		if !truth.Missing(i) {
			keep = append(keep, i)
		}
	}
	return rawRows(joined.Take(keep), t, predlog.ColumnActual, predlog.ColumnTime)
}

// rawRows are the template's columns of src, its target taken from the column
// called target, and the order: the template's time column where it has one,
// else the column called fallback, else none (before all others).
func rawRows(src *table.Table, t *schema.Template, target, fallback string) (*table.Table, error) {
	n := src.NumRows()
	label := *src.Column(target)
	label.Name = t.Target
	cols := []*table.Column{targetColumn(&label, t.Task)}
	for _, c := range t.Columns {
		col, err := coerce(src.Column(c.Name), c, n)
		if err != nil {
			return nil, err
		}
		cols = append(cols, col)
	}
	order := src.Column(t.Time)
	if t.Time == "" || order == nil {
		order = src.Column(fallback)
	}
	times := make([]int64, n)
	for i := range times {
		times[i] = table.NoTime
		if order != nil && order.Type == table.Time {
			times[i] = order.Times[i]
		}
	}
	return table.New(append(cols, table.Times(orderColumn, times))...)
}

// targetColumn is a target column in the one type that its task is joined in:
// text for classes, numbers for a regression.
func targetColumn(c *table.Column, task schema.Task) *table.Column {
	if !task.Classified() {
		return c
	}
	return c.AsText()
}

// coerce is a raw column in the type of its kind; a column that is not there
// is all missing.
func coerce(c *table.Column, want schema.Column, n int) (*table.Column, error) {
	typ := feature.TypeOf(want.Kind)
	numeric := func(t table.Type) bool { return t == table.Float || t == table.Bool }
	switch {
	case c == nil:
		return table.AllMissing(want.Name, typ, n), nil
	case c.Type == typ:
		return c, nil
	case numeric(c.Type) && numeric(typ):
		out := *c
		out.Type = typ
		return &out, nil
	case typ == table.String && numeric(c.Type):
		return c.AsText(), nil
	}
	for i := range c.Len() {
		if !c.Missing(i) {
			return nil, fmt.Errorf("column %q holds %ss in the history, expected %s", want.Name, c.Type, want.Kind)
		}
	}
	return table.AllMissing(want.Name, typ, n), nil
}

// gather joins all labelled rows, repairs or leaves out those logged while a
// feed was broken, keeps the newest maxRows, and encodes them for the champion's
// template.
func gather(ctx context.Context, s Sources, t *schema.Template, until time.Time, maxRows int) (*history, error) {
	base := s.Data
	if base == nil {
		base = s.Reference
	}
	old, err := rawRows(base, t, t.Target, "")
	if err != nil {
		return nil, err
	}
	logged, err := labelledLog(s, t, until)
	if err != nil {
		return nil, err
	}
	h := &history{}
	if logged, h.excluded, h.repaired, err = sound(ctx, s.Reference, logged, t, s.Repair); err != nil {
		return nil, err
	}
	all, err := table.Concat(old, logged)
	if err != nil {
		return nil, err
	}
	times := all.Column(orderColumn).Times
	all = all.Drop(orderColumn)
	if n := all.NumRows(); maxRows > 0 && n > maxRows {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
		order = order[n-maxRows:]
		newest := make([]int64, len(order))
		for i, r := range order {
			newest[i] = times[r]
		}
		all, times = all.Take(order), newest
	}
	h.rows, err = train.Prepare(all, feature.FromTemplate(t), times, feature.Calendar(t))
	return h, err
}

// exclude takes the bad rows out.
func exclude(t *table.Table, bad []bool) *table.Table {
	var keep []int
	for i, b := range bad {
		if !b {
			keep = append(keep, i)
		}
	}
	return t.Take(keep)
}
