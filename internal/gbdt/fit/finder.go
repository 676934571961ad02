package fit

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt"
)

// finder looks up the bins of many values of one feature.
//
// Numbers go through a table of cells: all numbers of one sign whose highest
// bits are equal (exponent and the first bits of the mantissa) share a cell,
// which knows the first bin that they can be in. From there on bounds are
// compared one by one; most cells hold none. Categories go through a table by
// code, or a map when codes are far apart.
type finder struct {
	*mapper
	cells []uint16 // first bin of a cell
	shift uint8    // of a number's bits, to its size
	small int64    // the least size; smaller numbers count as of that size
	first int64    // number of the first cell
	codes []uint16 // bin of a category; nil: in mapper.index
}

const (
	// mostCells of 2 bytes lie in the nearest cache with room to spare.
	mostCells = 1 << 12
	// mostCellBits are the mantissa's bits that a cell's numbers share, if
	// that takes no more than mostCells.
	mostCellBits = 10
	mostCodes    = 1 << 16
)

func newFinder(m *mapper) finder {
	f := finder{mapper: m}
	switch {
	case m.categorical:
		if most := slices.Max(m.categories); most < mostCodes {
			f.codes = make([]uint16, most+1)
			for code, bin := range m.index {
				f.codes[code] = bin
			}
		}
	case len(m.bounds) > 1:
		f.setCells(m.bounds[:len(m.bounds)-1])
	}
	return f
}

// setCells makes the table for bounds, the last one (infinity) left out.
// Numbers beside them belong to the first and to the last cell. The bounds
// around zero are so near to it that cells between them and the next bounds
// would be many and empty: they share the cell of the next.
func (f *finder) setCells(bounds []float64) {
	least := math.Inf(1)
	for _, x := range bounds {
		if a := math.Abs(x); a > gbdt.ZeroThreshold {
			least = min(least, a)
		}
	}
	last := int64(0)
	most := int64(max(mostCells, 4*len(bounds)))
	for f.shift = 52 - mostCellBits; ; f.shift++ {
		f.small = int64(math.Float64bits(least) >> f.shift)
		f.first, last = f.cell(bounds[0]), f.cell(bounds[len(bounds)-1])
		if last-f.first < most {
			break
		}
	}
	f.cells = make([]uint16, last-f.first+1)
	next := int64(0)
	for i, x := range bounds {
		for c := f.cell(x) - f.first; next <= c; next++ {
			f.cells[next] = uint16(i)
		}
	}
}

// cell is the number of x's cell, 0 for small numbers; it rises with x.
func (f *finder) cell(x float64) int64 {
	b := math.Float64bits(x)
	sign := int64(b) >> 63
	size := max(int64(b<<1>>1>>(f.shift&63)), f.small) - f.small
	return (size ^ sign) - sign
}

// number is the bin of a number that is not NaN. Cells rise with numbers, so
// every bound in a lower cell is below x, and every one in a higher cell
// above.
func (f *finder) number(x float64) int {
	if f.cells == nil {
		return 0
	}
	c := min(max(f.cell(x)-f.first, 0), int64(len(f.cells)-1))
	at := int(f.cells[c])
	for x > f.bounds[at] {
		at++
	}
	return at
}

// category is the bin of a category.
func (f *finder) category(x float64) int {
	code := categoryCode(x)
	if f.codes == nil {
		return int(f.index[code])
	}
	if uint32(code) >= uint32(len(f.codes)) {
		return 0
	}
	return int(f.codes[code])
}

// setBins sets bins to those of values, which are as many.
func setBins[T uint8 | uint16](f *finder, bins []T, values []float64) {
	bins = bins[:len(values)]
	if f.categorical {
		for i, x := range values {
			bins[i] = T(f.category(x))
		}
		return
	}
	nan := f.number(0)
	if f.missing {
		nan = f.bins - 1
	}
	for i, x := range values {
		if math.IsNaN(x) {
			bins[i] = T(nan)
			continue
		}
		bins[i] = T(f.number(x))
	}
}
