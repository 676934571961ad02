package monitor

import (
	"fmt"
	"math"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// KindsOf tells the kinds of the columns of two tables that have no schema, by
// the types that they were read with: numbers are numeric however few values
// they take, texts are categorical. Left out, with the reason, are the column
// called time, other times, row numbers, columns of texts that hardly repeat,
// and columns that the reference lacks. A column that only the reference has
// is kept: that it is gone is a finding.
func KindsOf(ref, cur *table.Table, time string) (columns []schema.Column, skipped []Skipped) {
	for _, a := range ref.Columns() {
		b := cur.Column(a.Name)
		kind, reason := kindOf(a, b)
		switch {
		case a.Name == time:
			skipped = append(skipped, Skipped{a.Name, "orders the rows"})
		case reason != "":
			skipped = append(skipped, Skipped{a.Name, reason})
		default:
			columns = append(columns, schema.Column{Name: a.Name, Kind: kind})
		}
	}
	for _, b := range cur.Columns() {
		if b.Name != time && ref.Column(b.Name) == nil {
			skipped = append(skipped, Skipped{b.Name, "not in the reference"})
		}
	}
	return columns, skipped
}

func kindOf(a, b *table.Column) (kind schema.Kind, reason string) {
	typ := a.Type
	if b != nil && typ != b.Type && allMissing(a) {
		typ = b.Type // an empty column has no type of its own
	}
	switch typ {
	case table.Time:
		return "", "a time, which always moves on"
	case table.Bool:
		return schema.Boolean, ""
	case table.Float:
		if isRowNumber(a) && (b == nil || b.Type != table.Float || isRowNumber(b)) {
			return "", "a row number: every value is greater than the one before"
		}
		return schema.Numeric, ""
	}
	if n, rows := distinct(a); n > 1000 || n > 100 && 2*n > rows {
		if 10*n > rows {
			return "", fmt.Sprintf("identifiers or free text: %d different values in %d rows", n, rows)
		}
	}
	return schema.Categorical, ""
}

func allMissing(c *table.Column) bool {
	for i := range c.Len() {
		if !c.Missing(i) {
			return false
		}
	}
	return true
}

// isRowNumber reports whether c holds at least 50 whole numbers, each greater
// than the one before.
func isRowNumber(c *table.Column) bool {
	for i, v := range c.Floats {
		if v != math.Trunc(v) || i > 0 && v <= c.Floats[i-1] { // NaN ≠ NaN
			return false
		}
	}
	return len(c.Floats) >= 50
}

// distinct counts the levels that occur and the rows that have one.
func distinct(c *table.Column) (levels, rows int) {
	if c.Type != table.String {
		return 0, 0
	}
	seen := make([]bool, len(c.Dict))
	for _, k := range c.Codes {
		if k < 0 {
			continue
		}
		rows++
		if !seen[k] {
			seen[k] = true
			levels++
		}
	}
	return levels, rows
}
