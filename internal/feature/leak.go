package feature

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// leakRows is the least number of rows, and half the greatest, that the search
// for leaks looks at in a table of more.
const leakRows = 5000

// leaks leaves out columns that give the target away: one that is the target
// in other units, or two that sum to it in every row. Such columns are known
// only after the fact, so a model that reads them is worthless in production.
// They stay when named in keep; the warning is given all the same.
func (inf *Inferred) leaks(columns []summary, keep []string) {
	target := &columns[slices.IndexFunc(columns, func(s summary) bool { return s.name == inf.Target })]
	if target.typ == table.String || target.typ == table.Time {
		return
	}
	y, rows := finite(target.sampled)
	if len(y) < 20 {
		return
	}
	var names []string
	var cols [][]float64
	for _, ch := range inf.Choices {
		s := columns[slices.IndexFunc(columns, func(s summary) bool { return s.name == ch.Name })]
		if ch.Use && ch.Kind == schema.Numeric {
			names = append(names, ch.Name)
			cols = append(cols, pick(s.sampled, rows))
		}
	}
	for i := range cols {
		if inf.Task == schema.Regression && affine(cols[i], y) {
			inf.leak(keep, fmt.Sprintf("column %q is the target in other units", names[i]), names[i])
			continue
		}
		for j := range i {
			if sums(cols[i], cols[j], y) {
				inf.leak(keep, fmt.Sprintf("columns %q and %q sum to the target in every row", names[j], names[i]), names[j], names[i])
			}
		}
	}
}

func (inf *Inferred) leak(keep []string, what string, names ...string) {
	flag := strings.Join(names, ",")
	if slices.ContainsFunc(names, func(n string) bool { return slices.Contains(keep, n) }) {
		inf.Warnings = append(inf.Warnings, what+": known only after the fact, they will not be there when predicting; kept as asked for")
		return
	}
	inf.Warnings = append(inf.Warnings, fmt.Sprintf("%s: known only after the fact, left out (--keep %s uses it all the same)", what, flag))
	for i := range inf.Choices {
		if c := &inf.Choices[i]; slices.Contains(names, c.Name) {
			c.Use, c.Why = false, "gives the target away: "+what
		}
	}
}

// finite are the finite values and their places.
func finite(values []float64) (y []float64, rows []int) {
	for i, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			y = append(y, v)
			rows = append(rows, i)
		}
	}
	return y, rows
}

func pick(v []float64, rows []int) []float64 {
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = v[r]
	}
	return out
}

// sums reports whether a + b = y in every row, neither of them being constant.
func sums(a, b, y []float64) bool {
	varied := [2]bool{}
	for i := range y {
		if !near(a[i]+b[i], y[i]) {
			return false
		}
		varied[0] = varied[0] || a[i] != a[0]
		varied[1] = varied[1] || b[i] != b[0]
	}
	return varied[0] && varied[1]
}

// affine reports whether y = p + q·x in every row for some q ≠ 0.
func affine(x, y []float64) bool {
	j := slices.IndexFunc(x, func(v float64) bool { return !math.IsNaN(v) && v != x[0] })
	if j < 0 || math.IsNaN(x[0]) {
		return false
	}
	q := (y[j] - y[0]) / (x[j] - x[0])
	if q == 0 || math.IsNaN(q) || math.IsInf(q, 0) {
		return false
	}
	for i := range y {
		if !near(y[0]+q*(x[i]-x[0]), y[i]) {
			return false
		}
	}
	return true
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }
