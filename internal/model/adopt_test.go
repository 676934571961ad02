package model_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// TestAdoptTemplate: the features come in the trees' order, and what only one
// of the two has is told.
func TestAdoptTemplate(t *testing.T) {
	tmpl := template(schema.Regression)
	m := trees(tmpl)
	m.FeatureNames = nil
	for _, f := range tmpl.Features {
		m.FeatureNames = append(m.FeatureNames, f.Name)
	}
	slices.Reverse(m.FeatureNames)
	got, err := model.AdoptTemplate(m, tmpl)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, f := range got.Features {
		if f.Name != m.FeatureNames[i] {
			t.Errorf("feature %d is %q, expected %q", i, f.Name, m.FeatureNames[i])
		}
	}
	if got.Fingerprint == tmpl.Fingerprint {
		t.Error("another order of features has the same fingerprint")
	}
	lost := m.FeatureNames[0]
	m.FeatureNames[0] = "Weight"
	_, err = model.AdoptTemplate(m, tmpl)
	var adoption *model.AdoptionError
	if !errors.As(err, &adoption) || len(adoption.Differences) != 2 || !strings.Contains(err.Error(), `"Weight"`) || !strings.Contains(err.Error(), lost) {
		t.Errorf("%v, expected both differences", err)
	}
	m.FeatureNames[0] = lost
	m.PandasCategorical = `[["A", "C", "B"]]`
	m.FeatureInfos[slices.Index(m.FeatureNames, "shop")] = "0:1:2"
	for i := range m.Trees { // the stump on a category set belongs to another feature now
		m.Trees[i].Decision[0] = gbdt.MissingNaN
	}
	if _, err = model.AdoptTemplate(m, tmpl); !errors.As(err, &adoption) || !strings.Contains(err.Error(), "levels") {
		t.Errorf("%v, expected the levels' codes to differ", err)
	}
}

// TestAdopt: tasks follow from objectives, classes from the target.
func TestAdopt(t *testing.T) {
	foreign := func(objective string, outputs int) *gbdt.Model {
		m := &gbdt.Model{NumClass: outputs, TreesPerIteration: outputs, Objective: objective, FeatureNames: []string{"x", "is_on"}, FeatureInfos: []string{"[1:3]", "none"}}
		for range outputs {
			m.Trees = append(m.Trees, stump(0, 2, false, -1, 1))
		}
		return m
	}
	rows := func(y *table.Column) *table.Table {
		return table.Must(table.Floats("x", []float64{1, 2, 3}), &table.Column{Name: "is on", Type: table.Bool, Floats: []float64{0, 1, 1}}, y)
	}
	numbers, names := table.Floats("y", []float64{0, 1, 2}), table.Strings("y", []string{"b", "c", "a"})
	for _, c := range []struct {
		objective string
		outputs   int
		y         *table.Column
		named     []string
		task      schema.Task
		classes   []string
		fault     string
	}{
		{"regression", 1, numbers, nil, schema.Regression, nil, ""},
		{"lambdarank", 1, numbers, nil, schema.Regression, nil, ""},
		{"", 1, numbers, nil, schema.Regression, nil, ""},
		{"binary sigmoid:1", 1, table.Floats("y", []float64{0, 1, 1}), nil, schema.Binary, []string{"0", "1"}, ""},
		{"binary sigmoid:1", 1, table.Floats("y", []float64{-1, 1, 1}), nil, schema.Binary, []string{"-1", "1"}, ""},
		{"binary sigmoid:1", 1, names, nil, "", nil, "name the classes"},
		{"binary sigmoid:1", 1, names, []string{"no", "yes"}, schema.Binary, []string{"no", "yes"}, ""},
		{"cross_entropy", 1, table.Floats("y", []float64{0, 1, 1}), nil, schema.Binary, []string{"0", "1"}, ""},
		{"cross_entropy", 1, table.Floats("y", []float64{0.5, 1, 0}), nil, schema.Regression, nil, ""},
		{"multiclass num_class:3", 3, numbers, nil, schema.Multiclass, []string{"0", "1", "2"}, ""},
		{"multiclassova num_class:3", 3, names, nil, schema.Multiclass, []string{"a", "b", "c"}, ""},
		{"multiclass num_class:3", 3, table.Floats("y", []float64{10, 9, 200}), nil, schema.Multiclass, []string{"9", "10", "200"}, ""},
		{"", 3, numbers, nil, "", nil, "3 outputs"},
	} {
		got, err := model.Adopt(foreign(c.objective, c.outputs), rows(c.y), model.Adoption{Target: "y", Classes: c.named})
		var adoption *model.AdoptionError
		if c.fault != "" {
			if !errors.As(err, &adoption) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q: %v, expected %q", c.objective, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.objective, err)
			continue
		}
		if got.Task != c.task || !slices.Equal(got.Classes, c.classes) {
			t.Errorf("%q: %s of %q, expected %s of %q", c.objective, got.Task, got.Classes, c.task, c.classes)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%q: %v", c.objective, err)
		}
		x, on := got.Columns[0], got.Columns[1]
		if on.Name != "is on" || on.Kind != schema.Boolean || x.Kind != schema.Numeric || !x.Missing || *x.Min != 1 || *x.Max != 3 {
			t.Errorf("%q: columns %+v", c.objective, got.Columns)
		}
		if _, err := model.New("v", got, foreign(c.objective, c.outputs)); err != nil {
			t.Errorf("%q: %v", c.objective, err)
		}
	}
}
