package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// fitData bins a data file for the trainer while it is read, so that its
// values never stand in memory together. Only the target is kept as it is.
//
// A file that comes column by column is read once. One that comes row by row
// is read for the values that bins are made from, and again to bin. What the
// columns are is decided as in a table in memory, from all values: columns
// that turn out not to be features were binned in vain. And when a value does
// not fit the type that its column seemed to have (text after a million
// numbers, in CSV), all is read again with the wider type.
type fitData struct {
	path  string
	src   *table.Source
	infer feature.InferOptions
	p     fit.Params

	names       []string
	in          *feature.Inference
	builder     *fit.Builder
	target      *table.Column
	samples     [][]float64 // by column, row by row
	categorical []bool
}

func openFitData(path string, bad *table.BadRows, infer feature.InferOptions, p fit.Params) (*fitData, error) {
	src, err := table.Open(path, table.ReadOptions{Bad: bad})
	if err != nil {
		return nil, err
	}
	return &fitData{path: path, src: src, infer: infer, p: p, names: src.Names()}, nil
}

// read bins the file and decides what its columns are.
func (d *fitData) read() (*feature.Inferred, error) {
	for {
		inf, err := d.pass()
		if !errors.Is(err, table.ErrRetyped) {
			return inf, err
		}
	}
}

func (d *fitData) pass() (inf *feature.Inferred, err error) {
	if d.in, err = feature.NewInference(d.names, d.src.NumRows(), d.infer); err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	d.target = &table.Column{Name: d.infer.Target, Type: table.Float}
	if d.src.NumRows() > 0 {
		if err := d.scan(); err != nil {
			return nil, err
		}
	}
	if inf, err = d.in.Infer(d.target); err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return inf, nil
}

func (d *fitData) scan() (err error) {
	if d.builder, err = fit.NewBuilder(d.src.NumRows(), len(d.names), d.p); err != nil {
		return err
	}
	if d.src.Columnar() {
		return d.src.Scan(nil, func(p table.Part) error {
			if values := d.values(&p); values != nil {
				d.builder.Sample(p.Index, d.category(&p), at(values, d.builder.Rows()))
				d.builder.Bin(p.Index, p.Row, values)
			}
			d.take(&p)
			return nil
		})
	}
	n := d.src.NumRows()
	if rows := d.builder.Rows(); rows != nil {
		n = len(rows)
	}
	d.samples, d.categorical = make([][]float64, len(d.names)), make([]bool, len(d.names))
	err = d.src.Scan(d.builder.Rows(), func(p table.Part) error {
		k, values := p.Index, d.values(&p)
		if d.samples[k] == nil && values != nil {
			d.samples[k] = make([]float64, 0, n)
		}
		d.samples[k] = append(d.samples[k], values...)
		d.categorical[k] = d.category(&p)
		return nil
	})
	if err != nil {
		return err
	}
	d.builder.SampleAll(d.categorical, d.samples)
	sampled := make([]bool, len(d.names))
	for k, s := range d.samples {
		sampled[k] = s != nil
	}
	d.samples = nil // before the bins of all rows need memory
	return d.src.Scan(nil, func(p table.Part) error {
		if sampled[p.Index] {
			d.builder.Bin(p.Index, p.Row, d.values(&p))
		}
		d.take(&p)
		return nil
	})
}

// take lets the inference see a part, and keeps that of the target.
func (d *fitData) take(p *table.Part) {
	d.in.Add(p.Index, p.Row, p.Column)
	if p.Name != d.infer.Target {
		return
	}
	t := d.target
	switch n := d.src.NumRows(); {
	case p.Row > 0:
	case p.Type == table.String:
		t.Codes = make([]int32, 0, n)
	case p.Type != table.Time:
		t.Floats = make([]float64, 0, n)
	}
	t.Type, t.Dict = p.Type, p.Dict
	t.Floats, t.Codes, t.Times = append(t.Floats, p.Floats...), append(t.Codes, p.Codes...), append(t.Times, p.Times...)
}

// values are the numbers of a part of what may be a feature: codes for texts,
// NaN for what is missing; nil for other columns. They may be the part's own.
func (d *fitData) values(p *table.Part) []float64 {
	switch {
	case p.Name == d.infer.Target, p.Type == table.Time, slices.Contains(d.infer.Drop, p.Name), slices.Contains(d.infer.Text, p.Name):
		return nil
	case p.Type != table.String:
		return p.Floats
	}
	values := make([]float64, len(p.Codes))
	for i, k := range p.Codes {
		values[i] = float64(k)
		if k < 0 {
			values[i] = math.NaN()
		}
	}
	return values
}

// category reports whether a feature is one of categories, as [feature.Infer]
// will say.
func (d *fitData) category(p *table.Part) bool {
	return p.Type == table.String || slices.Contains(d.infer.Categorical, p.Name)
}

// at are the values at rows, all for nil.
func at(values []float64, rows []int) []float64 {
	if rows == nil {
		return values
	}
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = values[r]
	}
	return out
}

// dataset puts together what was binned and is used.
func (d *fitData) dataset(inf *feature.Inferred) (*fit.Dataset, error) {
	label := feature.Labels(d.target, inf.Classes)
	for i, y := range label {
		if math.IsNaN(y) {
			return nil, &table.Error{Line: i + 2, Column: inf.Target, Want: "a label in every row"}
		}
	}
	d.target = nil
	var names []string
	var use []int
	for _, ch := range inf.Choices {
		if ch.Use && ch.Kind != schema.Time && ch.Kind != schema.Text {
			names = append(names, ch.Name)
			use = append(use, slices.Index(d.names, ch.Name))
		}
	}
	if len(names) == 0 {
		return nil, feature.ErrNoFeatures
	}
	return d.builder.Dataset(use, names, label, nil)
}
