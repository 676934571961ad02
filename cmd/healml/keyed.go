package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Ground truth of rows that are known by columns of the model, and whose
// prediction is not in the log yet, waits in data/keyed, in the format of the
// prediction log. Each job that reads the actuals looks first whether the
// predictions have come.

// keyedFor is how long such a row waits.
const keyedFor = 90 * 24 * time.Hour

func (a *app) keyedLog() string { return a.path("data", "keyed") }

// keyed are rows that are known by the same columns.
type keyed struct {
	columns []string
	rowsOf  map[string][]int // by the values of the columns
}

// pairs finds the predictions that rows mean, in an order that does not depend
// on which are sealed: it names batches.
func (a *app) pairs(groups []keyed) ([]pair, error) {
	columns := []string{predlog.ColumnID}
	for _, g := range groups {
		columns = append(columns, g.columns...)
	}
	slices.Sort(columns)
	var out []pair
	findings, err := predlog.Scan(a.predictions(), 0, a.now().UnixMicro()+1, slices.Compact(columns), func(logged *table.Table) error {
		id := logged.Column(predlog.ColumnID)
		for _, g := range groups {
			for i := range logged.NumRows() {
				for _, r := range g.rowsOf[keyOf(logged, g.columns, i)] {
					out = append(out, pair{r, id.Text(i)})
				}
			}
		}
		return nil
	})
	for _, f := range findings {
		a.warn("%v", f)
	}
	slices.SortFunc(out, func(x, y pair) int { return cmp.Or(cmp.Compare(x.row, y.row), cmp.Compare(x.id, y.id)) })
	return out, err
}

// hidden is t as the log has it: private columns of the model hashed when they
// are text. By others that are private no prediction can be known, since they are
// not logged.
func (a *app) hidden(file string, t *table.Table, tmpl *schema.Template) (*table.Table, error) {
	extras, err := a.extras()
	if err != nil {
		return nil, err
	}
	for _, x := range extras {
		c, k := t.Column(x.Name), tmpl.Column(x.Name)
		if c == nil || x.Key == nil || k < 0 {
			continue
		}
		if tmpl.Columns[k].Kind != schema.Text {
			return nil, &table.Error{File: file, Column: x.Name, Want: "is private and so not in the log: predictions cannot be known by it"}
		}
		hashed := *c.AsText()
		hashed.Dict = slices.Clone(hashed.Dict)
		for i, text := range hashed.Dict {
			hashed.Dict[i] = predlog.Hide(x.Key, x.Name, text)
		}
		if t, err = t.Drop(x.Name).With(&hashed); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// keepKeyed lets the given rows of a file wait for their predictions. The same
// rows of the same file are kept once.
func (a *app) keepKeyed(t *table.Table, tmpl *schema.Template, rows []int, source, hash string) error {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows)
	ids, times, zeros := make([]string, n), make([]int64, n), make([]float64, n)
	told := &table.Column{Name: predlog.ColumnActualSource, Type: table.String, Dict: []string{source}, Codes: make([]int32, n)}
	version := &table.Column{Name: predlog.ColumnVersion, Type: table.String, Dict: []string{"file"}, Codes: make([]int32, n)}
	for i, r := range rows {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d", hash, r))
		ids[i], times[i] = hex.EncodeToString(sum[:16]), a.now().UnixMicro()
	}
	part := t.Take(rows)
	truth := *part.Column(tmpl.Target).AsText()
	truth.Name = predlog.ColumnActual
	cols := []*table.Column{table.Strings(predlog.ColumnID, ids), table.Times(predlog.ColumnTime, times), version, table.Floats(predlog.ColumnFlags, zeros),
		table.Floats("predicted_"+predlog.KeyedTarget, slices.Clone(zeros))}
	for _, c := range tmpl.Columns {
		if given := part.Column(c.Name); given != nil {
			cols = append(cols, given)
		}
	}
	batch, err := table.New(append(cols, &truth, told)...)
	if err != nil {
		return err
	}
	return predlog.WriteBatch(a.keyedLog(), batch, "actuals")
}

// settleKeyed is matchKeyed for jobs that go on without it.
func (a *app) settleKeyed() {
	if _, err := a.matchKeyed(); err != nil {
		a.warn("actuals that are known by key could not be matched: %v", err)
	}
}

// matchKeyed writes the actuals of rows that waited and whose predictions are in
// the log by now, and returns how many still wait.
func (a *app) matchKeyed() (waiting int, err error) {
	if _, err := os.Stat(a.keyedLog()); os.IsNotExist(err) {
		return 0, nil
	}
	now := a.now()
	rows, _, err := predlog.Read(a.keyedLog(), now.Add(-keyedFor).UnixMicro(), now.UnixMicro()+1, predlog.ReadOptions{})
	if err != nil || rows.NumRows() == 0 {
		return 0, err
	}
	pairs, err := a.pairs(groupsOf(rows))
	if err != nil {
		return 0, err
	}
	matched := map[int]bool{}
	for _, p := range pairs {
		matched[p.row] = true
	}
	known, _, err := predlog.ReadActuals(a.actuals(), 0, now.UnixMicro()+1, predlog.ReadOptions{})
	if err != nil {
		return 0, err
	}
	pairs = unknownPairs(pairs, rows, known)
	sources := map[string][]pair{}
	for _, p := range pairs {
		s := rows.Column(predlog.ColumnActualSource).Text(p.row)
		sources[s] = append(sources[s], p)
	}
	for source, list := range sources {
		if err := a.writeMatched(source, list, rows); err != nil {
			return 0, err
		}
	}
	return rows.NumRows() - len(matched), nil
}

// groupsOf are the rows by the columns that they are known by: those that are
// not missing.
func groupsOf(rows *table.Table) []keyed {
	own := []string{predlog.ColumnID, predlog.ColumnTime, predlog.ColumnVersion, predlog.ColumnFlags, predlog.ColumnActual, predlog.ColumnActualSource, "predicted_" + predlog.KeyedTarget}
	var columns []string
	for _, name := range rows.Names() {
		if !slices.Contains(own, name) && !strings.HasPrefix(name, "log_") {
			columns = append(columns, name)
		}
	}
	at := map[string]int{}
	var out []keyed
	for i := range rows.NumRows() {
		var given []string
		for _, c := range columns {
			if !rows.Column(c).Missing(i) {
				given = append(given, c)
			}
		}
		if len(given) == 0 {
			continue
		}
		name := strings.Join(given, "\x00")
		g, ok := at[name]
		if !ok {
			g = len(out)
			at[name], out = g, append(out, keyed{given, map[string][]int{}})
		}
		k := keyOf(rows, given, i)
		out[g].rowsOf[k] = append(out[g].rowsOf[k], i)
	}
	return out
}

// unknownPairs are those whose value is not the one that the actuals have.
func unknownPairs(pairs []pair, rows, known *table.Table) []pair {
	last := map[string]string{}
	if id, value := known.Column(predlog.ColumnID), known.Column(predlog.ColumnActual); id != nil && value != nil {
		for i := range known.NumRows() {
			last[id.Text(i)] = value.Format(i)
		}
	}
	value := rows.Column(predlog.ColumnActual)
	return slices.DeleteFunc(pairs, func(p pair) bool {
		v, ok := last[p.id]
		return ok && v == value.Format(p.row)
	})
}

func (a *app) writeMatched(source string, pairs []pair, rows *table.Table) error {
	ids, values, times := make([]string, len(pairs)), make([]string, len(pairs)), make([]int64, len(pairs))
	hash := sha256.New()
	came := rows.Column(predlog.ColumnTime)
	for i, p := range pairs {
		ids[i], values[i], times[i] = p.id, rows.Column(predlog.ColumnActual).Format(p.row), came.Times[p.row]
		fmt.Fprintf(hash, "%s %s %d\n", ids[i], values[i], times[i])
	}
	t, err := table.New(table.Strings(predlog.ColumnID, ids), table.Strings(predlog.ColumnActual, values), table.Times(predlog.ColumnActualTime, times))
	if err != nil {
		return err
	}
	if _, _, err := predlog.WriteActuals(a.actuals(), t, source, hex.EncodeToString(hash.Sum(nil))); err != nil {
		return err
	}
	a.notice("%d actuals found their predictions", len(pairs))
	return nil
}
