package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
)

// rawBatch is a batch of rows of every kind, with what is missing and unseen.
func rawBatch(e *feature.Encoder, rows int) *feature.Batch {
	t := e.Template()
	rng := rand.New(rand.NewPCG(5, 5))
	b := &feature.Batch{Rows: rows, Raw: make([][]float64, len(t.Columns)), Features: make([][]float64, len(t.Features))}
	for c, column := range t.Columns {
		for range rows {
			v := rng.NormFloat64() * 5
			switch {
			case column.Kind == schema.Text || rng.IntN(9) == 0:
				v = math.NaN()
			case column.Kind == schema.Time:
				v = float64(rng.Int64N(2e9)) * 1e6
			case column.Kind == schema.Categorical:
				v = float64(rng.IntN(4) - 1)
			case column.Kind == schema.Boolean:
				v = float64(rng.IntN(2))
			}
			b.Raw[c] = append(b.Raw[c], v)
		}
	}
	raw, row := make([]float64, len(t.Columns)), make([]float64, len(t.Features))
	for i := range rows {
		b.Row(raw, i)
		e.Encode(row, raw)
		for f, v := range row {
			b.Features[f] = append(b.Features[f], v)
		}
	}
	return b
}

// TestExplain: for every task, a row's contributions add up to the raw score,
// whose transform is the prediction; they are the same for a row and a batch;
// columns without features have none.
func TestExplain(t *testing.T) {
	for _, task := range tasks {
		tmpl := template(task)
		m, err := model.New("v", tmpl, trees(tmpl))
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.NewExplainer()
		if err != nil {
			t.Fatal(err)
		}
		b := rawBatch(m.Encoder(), 5000)
		cols := e.Columns(b, 0)
		link, err := gbdt.ParseObjective(m.Trees.Objective)
		if err != nil {
			t.Fatal(err)
		}
		names, k := e.Names(), m.Trees.NumOutputs()
		if len(cols) != len(names) || len(names) != k*(len(tmpl.Columns)+1) {
			t.Fatalf("%s: %d columns for the names %q", task, len(cols), names)
		}
		raw, one, out := make([]float64, len(tmpl.Columns)), make([]float64, len(names)), make([]float64, tmpl.Outputs())
		for i := range b.Rows {
			b.Row(raw, i)
			e.Explain(one, raw)
			sums := make([]float64, k)
			for c, v := range one {
				if cols[c].Floats[i] != v {
					t.Fatalf("%s, row %d: %s is %v in a batch, %v alone", task, i, names[c], cols[c].Floats[i], v)
				}
				sums[c/(len(tmpl.Columns)+1)] += v
			}
			if one[6] != 0 {
				t.Fatalf("%s: the text column contributes %v", task, one[6])
			}
			link.Apply(sums)
			m.Predict(out, raw)
			for c, v := range sums {
				if math.Abs(v-out[len(out)-k+c]) > 1e-12 {
					t.Fatalf("%s, row %d: contributions say %v, predicted is %v", task, i, sums, out)
				}
			}
		}
		if n := testing.AllocsPerRun(50, func() { e.Explain(one, raw) }); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", task, n)
		}
	}
}

func TestExplainedNames(t *testing.T) {
	for task, want := range map[schema.Task][]string{
		schema.Regression: {"contribution_at", "contribution_bias"},
		schema.Binary:     {"contribution_yes_at", "contribution_yes_bias"},
		schema.Multiclass: {"contribution_low_at", "contribution_low_bias", "contribution_mid_at", "contribution_mid_bias", "contribution_high_at", "contribution_high_bias"},
	} {
		tmpl := template(task)
		m, err := model.New("v", tmpl, trees(tmpl))
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.NewExplainer()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, name := range e.Names() {
			if i%(len(tmpl.Columns)+1) == 0 || i%(len(tmpl.Columns)+1) == len(tmpl.Columns) {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", task, got, want)
		}
	}
	tmpl := template(schema.Regression)
	tmpl.Columns[4].Name = "bias"
	for i, f := range tmpl.Features {
		if f.Source == "empty" {
			tmpl.Features[i].Source = "bias"
		}
	}
	tmpl.Seal()
	m, err := model.New("v", tmpl, trees(tmpl))
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.NewExplainer()
	if err != nil {
		t.Fatal(err)
	}
	if names := e.Names(); names[4] != "contribution_bias" || names[7] != "contribution_bias_" {
		t.Errorf("%q", names)
	}
}

// TestExplainAverages: a random forest's contributions are divided as its
// predictions are.
func TestExplainAverages(t *testing.T) {
	tmpl := template(schema.Regression)
	trees := trees(tmpl)
	trees.AverageOutput = true
	m, err := model.New("v", tmpl, trees)
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.NewExplainer()
	if err != nil {
		t.Fatal(err)
	}
	raw := []float64{1e15, 1, 5, 5, 5, 1, math.NaN()}
	one, out, sum := make([]float64, len(raw)+1), []float64{0}, 0.0
	e.Explain(one, raw)
	m.Predict(out, raw)
	for _, v := range one {
		sum += v
	}
	if math.Abs(sum-out[0]) > 1e-15 || out[0] == 0 {
		t.Errorf("contributions add up to %v, predicted is %v", sum, out[0])
	}
}
