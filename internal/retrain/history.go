package retrain

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/monitor"
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
	ids      *table.Column // prediction ids of the rows; missing for those of the data file
	sources  *table.Column // who told their labels; missing where nobody said
	excluded []Exclusion   // logged rows left out
	repaired []Exclusion   // and those with the fault of a feed undone
	out      leftOut       // of the former, those that are left out for ever from now on
}

// Columns that go with rows through the joining of tables: the time by which
// they are ordered, the prediction id, and who told the label. No input column
// can have their names.
const (
	orderColumn  = "\x00order"
	idColumn     = "\x00id"
	sourceColumn = "\x00source"
)

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
	// Left are the prediction ids that earlier incidents left out for ever, and
	// by which incident each.
	Left map[string]string
}

// labelledLog reads the logged rows whose truth is known and that are not left
// out for ever, as raw columns, the target, the order, the id and the source.
// left counts those that are, by incident.
func labelledLog(s Sources, t *schema.Template, until time.Time) (rows *table.Table, left []Exclusion, err error) {
	end := until.UnixMicro() + 1
	preds, _, err := predlog.Read(s.Predictions, 0, end, predlog.ReadOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("read predictions: %w", err)
	}
	actuals, _, err := predlog.ReadActuals(s.Actuals, 0, end, predlog.ReadOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("read actuals: %w", err)
	}
	joined, _ := predlog.Join(preds, actuals, t.Task)
	truth := joined.Column(predlog.ColumnActual)
	keep, left := s.admitted(joined, t.Target, func(i int) bool { return !truth.Missing(i) })
	joined = joined.Take(keep)
	rows, err = rawRows(joined, t, predlog.ColumnActual, predlog.ColumnTime)
	if err != nil {
		return nil, nil, err
	}
	id := renamed(joined.Column(predlog.ColumnID), idColumn, rows.NumRows())
	source := renamed(joined.Column(predlog.ColumnActualSource), sourceColumn, rows.NumRows())
	rows, err = rows.With(id, source)
	return rows, left, err
}

// renamed is a column of text under another name; all missing when it is nil.
func renamed(c *table.Column, name string, n int) *table.Column {
	if c == nil {
		return table.AllMissing(name, table.String, n)
	}
	out := *c.AsText()
	out.Name = name
	return &out
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
func gather(ctx context.Context, s Sources, champion *model.Model, report *monitor.Report, until time.Time, maxRows int) (*history, error) {
	t := champion.Template
	base := s.Data
	if base == nil {
		base = s.Reference
	}
	old, err := rawRows(base, t, t.Target, "")
	if err != nil {
		return nil, err
	}
	h := &history{}
	logged, left, err := labelledLog(s, t, until)
	if err != nil {
		return nil, err
	}
	if logged, err = h.sound(ctx, s.Reference, logged, champion, report, s.Repair); err != nil {
		return nil, err
	}
	h.excluded = append(left, h.excluded...)
	none := func(name string) *table.Column { return table.AllMissing(name, table.String, old.NumRows()) }
	if old, err = old.With(none(idColumn), none(sourceColumn)); err != nil {
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
	return h, h.prepare(all, times, t)
}

// prepare orders and encodes rows that carry their ids and sources.
func (h *history) prepare(all *table.Table, times []int64, t *schema.Template) (err error) {
	inf := feature.FromTemplate(t)
	var order []int // as train.Prepare orders them, which sees no ids
	for i, y := range feature.Labels(all.Column(inf.Target), inf.Classes) {
		if !math.IsNaN(y) && !math.IsInf(y, 0) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	sorted := make([]int64, len(order))
	for k, i := range order {
		sorted[k] = times[i]
	}
	all = all.Take(order)
	h.ids, h.sources = all.Column(idColumn), all.Column(sourceColumn)
	h.rows, err = train.Prepare(all.Drop(idColumn, sourceColumn), inf, sorted, feature.Calendar(t))
	return err
}

// without takes rows out that are flagged.
func (h *history) without(flagged []bool) error {
	all, err := h.rows.Table.With(h.ids, h.sources)
	if err != nil {
		return err
	}
	var times []int64
	for i, at := range h.rows.Times {
		if !flagged[i] {
			times = append(times, at)
		}
	}
	return h.prepare(exclude(all, flagged), times, h.rows.Template)
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
