package monitor

import (
	"fmt"
	"math"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// kindOf tells the kind of a column that no schema describes, by a sample of
// the reference and the type that it was read with: numbers are numeric
// however few values they take, texts are categorical. Times, and texts that
// hardly repeat, have none, for the reason given.
func kindOf(ref *table.Column, typ table.Type) (kind schema.Kind, reason string) {
	switch typ {
	case table.Time:
		return "", "a time, which always moves on"
	case table.Bool:
		return schema.Boolean, ""
	case table.Float:
		return schema.Numeric, ""
	}
	if n, rows := distinct(ref); n > 1000 || n > 100 && 2*n > rows {
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

// ascent notices whether a column may be a row number.
type ascent struct {
	last   float64
	rows   int
	broken bool
}

func (a *ascent) add(c *table.Column) {
	if a.broken = a.broken || c.Type != table.Float; a.broken {
		return
	}
	for _, v := range c.Floats {
		if v != math.Trunc(v) || a.rows > 0 && v <= a.last { // NaN ≠ NaN
			a.broken = true
			return
		}
		a.last = v
		a.rows++
	}
}

// rowNumber reports whether the column held at least 50 whole numbers, each
// greater than the one before.
func (a *ascent) rowNumber() bool { return !a.broken && a.rows >= 50 }

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
