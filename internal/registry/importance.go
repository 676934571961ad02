package registry

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
)

// Importance says how much a version rests on each of its raw columns.
type Importance struct {
	// Metric is the one that Permutation is measured in, over Rows rows of the
	// holdout; empty and 0 when nothing was permuted.
	Metric  string             `json:"metric,omitempty"`
	Rows    int                `json:"rows,omitempty"`
	Columns []ColumnImportance `json:"columns"` // the most important first
}

// ColumnImportance is one raw column; a time column stands for all features
// that were made of it.
type ColumnImportance struct {
	Column string `json:"column"`
	// Permutation is by how much the metric gets worse when the column's values
	// are shuffled between the rows; nil when that was not measured. About 0 or
	// below: the model does without.
	Permutation *float64 `json:"permutation,omitempty"`
	Gain        float64  `json:"gain"`  // loss reduction of its splits in training
	Split       int      `json:"split"` // splits on it
}

// NewImportance adds up the trees by raw column. permutation is by column, in
// metric over so many rows; nil when it was not measured. Columns without a
// feature are left out.
func NewImportance(t *schema.Template, trees *gbdt.Model, permutation map[string]float64, metric string, rows int) *Importance {
	split, gain := trees.Importance(gbdt.BySplit), trees.Importance(gbdt.ByGain)
	out := &Importance{}
	if permutation != nil {
		out.Metric, out.Rows = metric, rows
	}
	at := map[string]int{}
	for i, f := range t.Features {
		k, ok := at[f.Source]
		if !ok {
			k = len(out.Columns)
			at[f.Source] = k
			out.Columns = append(out.Columns, ColumnImportance{Column: f.Source})
			if v, ok := permutation[f.Source]; ok {
				out.Columns[k].Permutation = &v
			}
		}
		out.Columns[k].Split += int(split[i])
		out.Columns[k].Gain += gain[i]
	}
	slices.SortStableFunc(out.Columns, func(a, b ColumnImportance) int {
		return cmp.Or(cmp.Compare(measured(b), measured(a)), cmp.Compare(b.Gain, a.Gain))
	})
	return out
}

func measured(c ColumnImportance) float64 {
	if c.Permutation == nil {
		return math.Inf(-1)
	}
	return *c.Permutation
}

// validate reports the first number that JSON cannot carry.
func (m *Importance) validate() error {
	if m == nil {
		return nil
	}
	for _, c := range m.Columns {
		values := []float64{c.Gain}
		if c.Permutation != nil {
			values = append(values, *c.Permutation)
		}
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("metrics: importance of %q is %v, expected a finite number", c.Column, v)
			}
		}
	}
	return nil
}
