package feature

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// leakRows bounds the rows that the search for leaks looks at.
const leakRows = 5000

// leaks leaves out columns that give the target away: one that is the target
// in other units, or two that sum to it in every row. Such columns are known
// only after the fact, so a model that reads them is worthless in production.
// They stay when named in keep; the warning is given all the same.
func (inf *Inferred) leaks(t *table.Table, keep []string) {
	target := t.Column(inf.Target)
	if target.Type == table.String || target.Type == table.Time {
		return
	}
	y, rows := sampleFinite(target)
	if len(y) < 20 {
		return
	}
	var names []string
	var cols [][]float64
	for _, ch := range inf.Choices {
		if c := t.Column(ch.Name); ch.Use && ch.Kind == schema.Numeric {
			names = append(names, ch.Name)
			cols = append(cols, pick(c.Floats, rows))
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

func sampleFinite(c *table.Column) (y []float64, rows []int) {
	step := max(1, len(c.Floats)/leakRows)
	for i := 0; i < len(c.Floats); i += step {
		if v := c.Floats[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
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
