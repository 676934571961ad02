package retrain

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/table"
)

// excludedFile lists the logged rows that an incident leaves out for ever.
const excludedFile = "excluded.parquet"

// leftOut are logged rows that are not learnt from any more, in columns.
type leftOut struct {
	ids, columns, why []string
	times             []int64
}

// add takes all rows of a stretch.
func (l *leftOut) add(ids *table.Column, times []int64, column, why string) {
	for i := range ids.Len() {
		l.one(ids, times, i, column, why)
	}
}

func (l *leftOut) one(ids *table.Column, times []int64, i int, column, why string) {
	if ids.Missing(i) {
		return
	}
	l.ids = append(l.ids, ids.Format(i))
	l.columns = append(l.columns, column)
	l.why = append(l.why, why)
	var at int64 = table.NoTime
	if times != nil {
		at = times[i]
	}
	l.times = append(l.times, at)
}

// table is nil when there are none.
func (l *leftOut) table() *table.Table {
	if len(l.ids) == 0 {
		return nil
	}
	return table.Must(table.Strings(predlog.ColumnID, l.ids), table.Times("time", l.times), table.Strings("column", l.columns), table.Strings("why", l.why))
}

// ReadLeft returns the prediction ids that the incidents in dir left out for
// ever, each with the first incident that did, but for those of the incidents
// readmit. A list that cannot be read is an error: what it named must not be
// learnt from.
func ReadLeft(dir string, readmit []string) (map[string]string, error) {
	ids, err := List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	out := map[string]string{}
	for _, id := range ids {
		if slices.Contains(readmit, id) {
			continue
		}
		path := filepath.Join(dir, id, excludedFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		t, err := table.Read(path, table.ReadOptions{Columns: []string{predlog.ColumnID}})
		if err != nil {
			return nil, err
		}
		c := t.Column(predlog.ColumnID)
		if c == nil || c.Type != table.String {
			return nil, &table.Error{File: path, Want: "the column " + predlog.ColumnID + " of text"}
		}
		for i := range c.Len() {
			if name := c.Format(i); out[name] == "" {
				out[name] = id
			}
		}
	}
	return out, nil
}

// admitted are the rows that may be learnt from, of those that are wanted, and
// in a word per incident how many earlier ones left out for ever.
func (s *Sources) admitted(logged *table.Table, target string, wanted func(i int) bool) (keep []int, left []Exclusion) {
	ids := logged.Column(predlog.ColumnID)
	served := logged.Column(predlog.ColumnTime)
	at := map[string]int{}
	for i := range logged.NumRows() {
		if !wanted(i) {
			continue
		}
		incident := ""
		if len(s.Left) > 0 && ids != nil {
			incident = s.Left[ids.Format(i)]
		}
		if incident == "" {
			keep = append(keep, i)
			continue
		}
		k, known := at[incident]
		if !known {
			k = len(left)
			at[incident] = k
			left = append(left, Exclusion{Column: target, Why: "left out for ever by " + incident, Incident: incident})
		}
		left[k].Rows++
		if served != nil && !served.Missing(i) {
			left[k].widen(served.Times[i])
		}
	}
	return keep, left
}

// widen makes the stretch reach a time, µs.
func (e *Exclusion) widen(us int64) {
	t := time.UnixMicro(us).UTC()
	if e.From.IsZero() || t.Before(e.From) {
		e.From = t
	}
	if t.After(e.To) {
		e.To = t
	}
}

// leave writes down that the flagged rows are left out, for ever when they are
// bad for good.
func (h *history) leave(flagged []bool, e Exclusion, forEver bool) {
	for i, yes := range flagged {
		if !yes {
			continue
		}
		e.Rows++
		if t := h.rows.Times; t != nil && t[i] != table.NoTime {
			e.widen(t[i])
		}
		if forEver {
			h.out.one(h.ids, h.rows.Times, i, e.Column, e.Why)
		}
	}
	if e.Rows > 0 {
		h.excluded = append(h.excluded, e)
	}
}

// mostExcluded bounds what a version's lineage tells of rows left out.
const mostExcluded = 100

// lineage is what was left out, for the version that was learnt without it. The
// oldest stretches are told as one when there are many.
func (in *Incident) lineage() []registry.Excluded {
	var out []registry.Excluded
	for _, e := range in.Excluded {
		x := registry.Excluded{Incident: cmp.Or(e.Incident, in.ID), From: e.From, To: e.To, Column: e.Column, Source: e.Source, Why: e.Why, Rows: e.Rows}
		if len(out) < mostExcluded {
			out = append(out, x)
			continue
		}
		last := &out[mostExcluded-1]
		last.Why, last.Column, last.Source, last.Incident = "several", "", "", in.ID
		last.Rows += x.Rows
		if x.From.Before(last.From) {
			last.From = x.From
		}
		if x.To.After(last.To) {
			last.To = x.To
		}
	}
	return out
}
