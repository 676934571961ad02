package train

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/score"
)

// What permutation importance may cost: so many rows, shuffled so often for
// each raw column.
const (
	permutedRows   = 2000
	permuteRepeats = 3
)

// permute measures, for each raw column that has a feature, by how much the
// metric of a model that has not seen the rows from Test on gets worse when
// the column's values are shuffled between those rows: the mean of a few
// shuffles, above 0 for worse (Breiman, "Random Forests", 2001). All features
// made of a column are shuffled together. The result is nil when the metric is
// not defined on these rows.
func (r *Result) permute(trees *gbdt.Model, seed uint64) error {
	p, err := gbdt.NewPredictor(trees)
	if err != nil {
		return err
	}
	rows, total := r.Rows, r.Rows.Len()-r.Test
	n := min(total, permutedRows)
	labels := make([]float64, n)
	cols := make([][]float64, len(rows.Template.Features))
	for f := range cols {
		cols[f] = make([]float64, n)
	}
	for i := range n {
		at := r.Test + i*total/n
		labels[i] = rows.Labels[at]
		for f := range cols {
			cols[f][i] = rows.batch.Features[f][at]
		}
	}
	task, k := rows.Template.Task, rows.Template.Outputs()
	worth := func(cols [][]float64) (float64, error) {
		v, err := score.Evaluate(r.Metric, task, labels, model.Outputs(rows.Template, p, cols, n, r.Params.NumThreads), k)
		if r.Metric.HigherIsBetter() {
			v = -v
		}
		return v, err
	}
	base, err := worth(cols)
	if err != nil || math.IsNaN(base) || math.IsInf(base, 0) {
		return err
	}
	r.Permutation, r.Permuted = map[string]float64{}, n
	for c, column := range rows.Template.Columns {
		var features []int
		for f, feature := range rows.Template.Features {
			if feature.Source == column.Name {
				features = append(features, f)
			}
		}
		if features == nil {
			continue
		}
		sum := 0.0
		for repeat := range permuteRepeats {
			rng := rand.New(rand.NewPCG(seed, uint64(c)<<8|uint64(repeat)))
			order := rng.Perm(n)
			shuffled := slices.Clone(cols)
			for _, f := range features {
				shuffled[f] = make([]float64, n)
				for i, from := range order {
					shuffled[f][i] = cols[f][from]
				}
			}
			v, err := worth(shuffled)
			if err != nil {
				return err
			}
			sum += v - base
		}
		if v := sum / permuteRepeats; !math.IsNaN(v) && !math.IsInf(v, 0) {
			r.Permutation[column.Name] = v
		}
	}
	return nil
}
