package registry

import (
	"math"
	"testing"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
)

// TestNewImportance: features count for their raw column, the order is by
// permutation, else by gain.
func TestNewImportance(t *testing.T) {
	tmpl := &schema.Template{Features: []schema.Feature{{Source: "date"}, {Source: "price"}, {Source: "date"}}}
	trees := &gbdt.Model{FeatureNames: make([]string, 3), Trees: []gbdt.Tree{{Feature: []int32{0, 1, 2, 2}, Gain: []float64{1, 5, 2, 0}}}}
	m := NewImportance(tmpl, trees, nil, "mae", 9)
	if m.Metric != "" || m.Rows != 0 || len(m.Columns) != 2 || m.Columns[0] != (ColumnImportance{Column: "price", Gain: 5, Split: 1}) || m.Columns[1] != (ColumnImportance{Column: "date", Gain: 3, Split: 2}) {
		t.Errorf("without permutation: %+v", m)
	}
	m = NewImportance(tmpl, trees, map[string]float64{"date": 2, "price": -1}, "mae", 9)
	if m.Metric != "mae" || m.Rows != 9 || m.Columns[0].Column != "date" || *m.Columns[0].Permutation != 2 || *m.Columns[1].Permutation != -1 {
		t.Errorf("with permutation: %+v", m)
	}
	metrics := Metrics{Metric: "mae", Holdout: map[string]float64{"mae": 1}, Importance: m}
	if err := metrics.Validate(); err != nil {
		t.Error(err)
	}
	*m.Columns[0].Permutation = math.Inf(1)
	if err := metrics.Validate(); err == nil {
		t.Error("an infinite importance was taken")
	}
}
