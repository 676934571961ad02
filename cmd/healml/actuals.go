package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func newActualsCommand(a *app) *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use:   "actuals FILE",
		Short: "Take in what really happened, and join it to the predictions",
		Long: `Takes in ground truth from a CSV, Parquet or Arrow file. The file has the column
prediction_id and one called like the target; or, instead of prediction_id,
columns of the model's input that together name a logged row, such as date,
category and region. Taking in the same file twice changes nothing. Of several
values for one prediction the last one received counts.`,
		Example: "  healml actuals sold-last-week.csv",
		Args:    oneArg("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return runActuals(a, args[0], source)
		},
	}
	a.badRowsFlag(cmd.Flags())
	cmd.Flags().StringVar(&source, "source", "file", "where the values come from; kept with them")
	return cmd
}

// actualsResult is what actuals prints.
type actualsResult struct {
	Rows      int  `json:"rows"`      // of the file
	TakenIn   int  `json:"taken_in"`  // in the log now
	Already   bool `json:"already"`   // the file was taken in before
	Unmatched int  `json:"unmatched"` // rows whose keys no prediction has
	Ambiguous int  `json:"ambiguous"` // rows whose keys several predictions have: each got the value
	Empty     int  `json:"empty"`     // rows without a value
}

func runActuals(a *app, file, source string) error {
	loaded, err := a.load("")
	if err != nil {
		return err
	}
	tmpl := loaded.Model.Template
	types := loaded.Model.Encoder().Types()
	types[predlog.ColumnID] = table.String
	if tmpl.Task.Classified() {
		types[tmpl.Target] = table.String
	} else {
		types[tmpl.Target] = table.Float
	}
	t, err := a.readTable(file, table.ReadOptions{Types: types})
	if err != nil {
		return err
	}
	value := t.Column(tmpl.Target)
	if value == nil {
		return &table.Error{File: file, Want: fmt.Sprintf("a column %q with the true values; the columns are %s", tmpl.Target, strings.Join(t.Names(), ", "))}
	}
	if err := checkClasses(file, value, tmpl); err != nil {
		return err
	}
	hash, err := dataDigest(file)
	if err != nil {
		return err
	}
	res := actualsResult{Rows: t.NumRows()}
	for i := range t.NumRows() {
		if value.Missing(i) {
			res.Empty++
		}
	}
	truth := *value
	truth.Name = predlog.ColumnActual
	id := t.Column(predlog.ColumnID)
	if id == nil {
		if t, err = a.hidden(file, t, tmpl); err != nil {
			return err
		}
		var waiting []int
		if id, waiting, err = a.match(file, t, tmpl, &truth, &res); err != nil {
			return err
		}
		if err := a.keepKeyed(t, tmpl, waiting, source, hash); err != nil {
			return err
		}
		hash += "|" + strings.Join(id.Dict, ",") // the same file may match more later
	}
	times := make([]int64, id.Len())
	for i := range times {
		times[i] = a.now().UnixMicro()
	}
	rows, err := table.New(id, &truth, table.Times(predlog.ColumnActualTime, times))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if id.Len() > 0 {
		if res.TakenIn, res.Already, err = predlog.WriteActuals(a.actuals(), rows, source, hash); err != nil {
			return err
		}
	}
	a.settleKeyed()
	if res.Unmatched > 0 {
		a.warn("%d of %d rows match no logged prediction; they are kept until it is", res.Unmatched, res.Rows)
	}
	return a.print(res, func(w io.Writer) error {
		if res.Already {
			_, err := fmt.Fprintf(w, "%s was taken in before: nothing to do\n", file)
			return err
		}
		_, err := fmt.Fprintf(w, "took in %d actuals of %d rows (%d without a value, %d unmatched)\n", res.TakenIn, res.Rows, res.Empty, res.Unmatched)
		return err
	})
}

// checkClasses refuses a class that the model does not know.
func checkClasses(file string, c *table.Column, tmpl *schema.Template) error {
	if !tmpl.Task.Classified() {
		return nil
	}
	for i := range c.Len() {
		if !c.Missing(i) && !slices.Contains(tmpl.Classes, c.Format(i)) {
			return &table.Error{File: file, Line: i + 2, Column: c.Name, Value: c.Format(i), Want: "one of " + strings.Join(tmpl.Classes, ", ")}
		}
	}
	return nil
}

// match finds the predictions that the rows of t mean by the input columns that
// t has, and returns their ids with truth laid out beside them, and the rows with
// a value that mean none.
func (a *app) match(file string, t *table.Table, tmpl *schema.Template, truth *table.Column, res *actualsResult) (*table.Column, []int, error) {
	var keys []string
	for _, c := range tmpl.Columns {
		if t.Column(c.Name) != nil {
			keys = append(keys, c.Name)
		}
	}
	if len(keys) == 0 {
		return nil, nil, &table.Error{File: file, Want: fmt.Sprintf("a column prediction_id, or input columns such as %q to know the predictions by", tmpl.Columns[0].Name)}
	}
	rowsOf := map[string][]int{}
	for i := range t.NumRows() {
		k := keyOf(t, keys, i)
		rowsOf[k] = append(rowsOf[k], i)
	}
	pairs, err := a.pairs([]keyed{{keys, rowsOf}})
	if err != nil {
		return nil, nil, err
	}
	ids, rows := make([]string, len(pairs)), make([]int, len(pairs))
	found := make([]int, t.NumRows())
	for i, p := range pairs {
		ids[i], rows[i] = p.id, p.row
		found[p.row]++
	}
	var waiting []int
	for i, n := range found {
		switch {
		case n == 0:
			res.Unmatched++
			if !truth.Missing(i) {
				waiting = append(waiting, i)
			}
		case n > 1:
			res.Ambiguous++
		}
	}
	*truth = *truth.Take(rows)
	return table.Strings(predlog.ColumnID, ids), waiting, nil
}

// pair is a row of the file and a prediction that it means.
type pair struct {
	row int
	id  string
}

// keyOf is the value of the key columns in row i; unambiguous, since no CSV
// value holds a zero byte.
func keyOf(t *table.Table, keys []string, i int) string {
	var b strings.Builder
	for _, k := range keys {
		if c := t.Column(k); c != nil {
			b.WriteString(c.Format(i))
		}
		b.WriteByte(0)
	}
	return b.String()
}
