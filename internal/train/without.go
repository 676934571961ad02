package train

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/feature"
)

// Without returns the same rows with nothing known of the named raw columns:
// every feature derived from one is missing in every row, so that no tree
// splits on it. The template stays, so a model of these rows takes the same
// input and passes over those columns; Table keeps them. Names that are no
// columns change nothing.
func (r *Rows) Without(columns ...string) *Rows {
	out := *r
	out.batch = &feature.Batch{Rows: r.batch.Rows, Raw: r.batch.Raw, Features: slices.Clone(r.batch.Features)}
	var gone []float64
	for i, f := range r.Template.Features {
		if !slices.Contains(columns, f.Source) {
			continue
		}
		if gone == nil {
			gone = make([]float64, r.Len())
			for row := range gone {
				gone[row] = math.NaN()
			}
		}
		out.batch.Features[i] = gone
	}
	return &out
}
