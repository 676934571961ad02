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
		if numbersRows(ref.Floats) {
			return "", "identifiers: whole numbers that never repeat, though they lie so close"
		}
		return schema.Numeric, ""
	}
	if levels, once, rows := distinct(ref); levels > textLevels && 2*once > rows {
		return "", fmt.Sprintf("identifiers or free text: %d different values in %d rows, %d of them once", levels, rows, once)
	}
	return schema.Categorical, ""
}

const (
	textLevels = 100 // up to which levels may all be rare
	neverTwice = 10  // pairs of equal numbers that chance would give
)

// numbersRows reports whether whole numbers are drawn without repetition: as
// many of them from a range that small would hold at least [neverTwice] equal
// pairs by chance (n²/2 over the range), and there is none.
func numbersRows(v []float64) bool {
	seen := make(map[float64]bool, len(v))
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		if x != x {
			continue
		}
		if x != math.Trunc(x) || seen[x] {
			return false
		}
		seen[x] = true
		lo, hi = min(lo, x), max(hi, x)
	}
	n := float64(len(seen))
	return n*n/2 >= neverTwice*(hi-lo+1) && len(seen) >= rowNumbers
}

// rowNumbers is the number of rows from which numbers may be those of rows.
const rowNumbers = 50

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
func (a *ascent) rowNumber() bool { return !a.broken && a.rows >= rowNumbers }

// distinct counts the levels that occur, those that occur once, and the rows
// that have any.
func distinct(c *table.Column) (levels, once, rows int) {
	if c.Type != table.String {
		return 0, 0, 0
	}
	seen := make([]int, len(c.Dict))
	for _, k := range c.Codes {
		if k >= 0 {
			rows++
			seen[k]++
		}
	}
	for _, n := range seen {
		switch {
		case n == 1:
			once++
			levels++
		case n > 1:
			levels++
		}
	}
	return levels, once, rows
}
