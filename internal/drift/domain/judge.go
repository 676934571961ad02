package domain

import (
	"math/rand/v2"

	"github.com/healml/healml/internal/gbdt"
)

// judge scores one part's rows by one classifier.
type judge struct {
	model   *gbdt.Predictor
	columns [][]float64
	label   []float64
	scores  []float64
	scored  []scored
}

func newJudge(model *gbdt.Predictor, t *table, p part) *judge {
	n := p.hi - p.lo
	j := &judge{model: model, label: t.data.Label[p.lo:p.hi], scores: make([]float64, n), scored: make([]scored, n)}
	for _, f := range t.data.Features {
		j.columns = append(j.columns, f[p.lo:p.hi])
	}
	return j
}

// judge compares the classes' scores, with values in place of one column's
// when these are not nil. Without a model all scores are the same.
func (j *judge) judge(column int, values []float64) curve {
	if j.model != nil {
		if values != nil {
			own := j.columns[column]
			j.columns[column] = values
			defer func() { j.columns[column] = own }()
		}
		j.model.PredictColumns(j.scores, j.columns, 1)
	}
	for i, s := range j.scores {
		j.scored[i] = scored{s, j.label[i] > 0.5}
	}
	return newCurve(j.scored)
}

// weigh adds to drops, by column, w times what the area loses when the
// column's values are shuffled among the part's rows (Breiman 2001).
func (r *run) weigh(drops []float64, used []float64, j *judge, whole, w float64) {
	random := rand.New(rand.NewPCG(r.seed, ^r.stream))
	for c, u := range used {
		if u == 0 {
			continue
		}
		values := append([]float64(nil), j.columns[c]...)
		random.Shuffle(len(values), func(a, b int) { values[a], values[b] = values[b], values[a] })
		drops[c] += w * (whole - j.judge(c, values).auc)
	}
}
