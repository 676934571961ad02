package train

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/splitmix"
)

// hide makes a share of the cells missing, in copies, of raw columns that are
// never missing in rows [lo, lo+rows of d).
//
// A tree that never saw a missing value sends it one way, whatever the way is
// worth, so that a feed that goes silent costs several times the loss. With
// one cell in two hundred hidden the trees learn how to do without each
// column, for a price within the noise. A column that is missing by itself
// teaches it already, and what its absence means besides.
//
// Which cells are hidden depends on the row's place and the column's, on
// nothing else.
func (r *Rows) hide(d *fit.Data, lo int) {
	limit := uint64(r.Hide * math.MaxUint64)
	column := map[string]uint64{}
	for i, c := range r.Template.Columns {
		column[c.Name] = uint64(i+1) * 0x9e3779b97f4a7c15
	}
	for k, f := range r.Template.Features {
		if slices.ContainsFunc(d.Features[k], math.IsNaN) {
			continue
		}
		salt := column[f.Source]
		v := make([]float64, len(d.Features[k]))
		for i, x := range d.Features[k] {
			if splitmix.Mix(uint64(lo+i)^salt) < limit {
				x = math.NaN()
			}
			v[i] = x
		}
		d.Features[k] = v
	}
}
