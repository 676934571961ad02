package model

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/table"
)

// Explainer says how much each raw column had to do with a prediction, in the
// space of raw scores: what the objective turns into the prediction, so log
// odds for classes. The contributions of all features made of a column count
// as the column's. It is immutable and safe for concurrent use.
//
// A classifier of two classes has one raw score, that of the second class; one
// of k classes has k.
type Explainer struct {
	m       *Model
	trees   *gbdt.Explainer
	column  []int   // of each feature
	divisor float64 // of random forests, 1 elsewhere
	scratch sync.Pool
}

// NewExplainer prepares contributions. A model whose trees do not tell how many
// rows they were grown on cannot be explained: a *[gbdt.ModelError].
func (m *Model) NewExplainer() (*Explainer, error) {
	trees, err := gbdt.NewExplainer(m.Trees)
	if err != nil {
		return nil, fmt.Errorf("prepare contributions: %w", err)
	}
	e := &Explainer{m: m, trees: trees, column: make([]int, len(m.Template.Features)), divisor: 1}
	for i, f := range m.Template.Features {
		e.column[i] = m.Template.Column(f.Source)
	}
	if m.Trees.AverageOutput {
		e.divisor = float64(m.Trees.NumIterations())
	}
	e.scratch.New = func() any {
		n := trees.NumFeatures()
		s := make([]float64, n+trees.NumOutputs()*(n+1))
		return &s
	}
	return e, nil
}

// Names are the columns that hold contributions, one a raw column in the
// template's order and then the expected raw score: contribution_<column> and
// contribution_bias for a regression, else contribution_<class>_<column> and
// contribution_<class>_bias, for the second of two classes or each of more. A
// name that was there before gets a "_" behind.
func (e *Explainer) Names() []string {
	t := e.m.Template
	classes := []string{""}
	if t.Task.Classified() {
		classes = nil
		for _, c := range t.Classes[len(t.Classes)-e.trees.NumOutputs():] {
			classes = append(classes, c+"_")
		}
	}
	var names []string
	taken := map[string]bool{}
	add := func(name string) {
		for taken[name] {
			name += "_"
		}
		taken[name] = true
		names = append(names, name)
	}
	for _, class := range classes {
		for _, c := range t.Columns {
			add("contribution_" + class + c.Name)
		}
		add("contribution_" + class + "bias")
	}
	return names
}

// Explain writes the contributions of one raw row to dst, which is as long as
// Names. Each raw score is the sum of its part. It does not allocate.
func (e *Explainer) Explain(dst, raw []float64) {
	s := e.scratch.Get().(*[]float64)
	n := e.trees.NumFeatures()
	row, out := (*s)[:n], (*s)[n:]
	e.m.encoder.Encode(row, raw)
	e.trees.Contributions(out, row)
	e.gather(dst, out)
	e.scratch.Put(s)
}

// gather adds up the contributions of features by raw column.
func (e *Explainer) gather(dst, contributions []float64) {
	n, columns := e.trees.NumFeatures(), len(e.m.Template.Columns)
	clear(dst)
	for k := range e.trees.NumOutputs() {
		from, to := contributions[k*(n+1):(k+1)*(n+1)], dst[k*(columns+1):(k+1)*(columns+1)]
		for f, v := range from[:n] {
			to[e.column[f]] += v / e.divisor
		}
		to[columns] = from[n] / e.divisor
	}
}

// explainedRows is how many rows are explained before their contributions are
// gathered.
const explainedRows = 4096

// Columns explains every row of an encoded batch, as table columns called as
// Names says. Up to threads goroutines share the rows; 0 takes every core.
func (e *Explainer) Columns(b *feature.Batch, threads int) []*table.Column {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	names := e.Names()
	values := make([][]float64, len(names))
	for i := range values {
		values[i] = make([]float64, b.Rows)
	}
	width := e.trees.NumOutputs() * (e.trees.NumFeatures() + 1)
	buffer := make([]float64, min(b.Rows, explainedRows)*width)
	row := make([]float64, len(names))
	cols := make([][]float64, len(b.Features))
	for lo := 0; lo < b.Rows; lo += explainedRows {
		hi := min(lo+explainedRows, b.Rows)
		for f, c := range b.Features {
			cols[f] = c[lo:hi]
		}
		e.trees.ContributionsColumns(buffer, cols, threads)
		for i := lo; i < hi; i++ {
			e.gather(row, buffer[(i-lo)*width:(i-lo+1)*width])
			for k, v := range row {
				values[k][i] = v
			}
		}
	}
	out := make([]*table.Column, len(names))
	for i, name := range names {
		out[i] = table.Floats(name, values[i])
	}
	return out
}
