package registry

import (
	"errors"
	"fmt"
	"math"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/table"
)

// encodeGolden returns the bytes of golden.arrow: the template's columns of at
// most GoldenRows rows of t, then what m predicts for them.
func encodeGolden(t *table.Table, m *model.Model) ([]byte, error) {
	if t == nil || t.NumRows() == 0 {
		return nil, errors.New("golden rows: none are given")
	}
	rows := t.Slice(0, min(t.NumRows(), GoldenRows))
	var raw []*table.Column
	for _, c := range m.Template.Columns {
		col := rows.Column(c.Name)
		if col == nil {
			return nil, fmt.Errorf("golden rows: column %q is missing", c.Name)
		}
		raw = append(raw, col)
	}
	rows, err := table.New(raw...)
	if err != nil {
		return nil, fmt.Errorf("golden rows: %w", err)
	}
	p, err := m.PredictTable(rows, 1)
	if err != nil {
		return nil, fmt.Errorf("golden rows: %w", err)
	}
	for i, v := range p.Outputs {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("golden rows: the model predicts %v for row %d", v, i/m.Template.Outputs()+1)
		}
	}
	golden, err := table.New(append(raw, p.Columns(m.Template)...)...)
	if err != nil {
		return nil, fmt.Errorf("golden rows: a raw column has the name of a prediction: %w", err)
	}
	return table.EncodeArrow(golden)
}

// decodeGolden reads golden.arrow and checks that it has the columns of m.
func decodeGolden(b []byte, m *model.Model) (*table.Table, error) {
	t, err := table.DecodeArrow(goldenFile, b, table.ReadOptions{})
	if err != nil {
		return nil, err
	}
	if n := t.NumRows(); n == 0 || n > GoldenRows {
		return nil, fmt.Errorf("it has %d rows, expected 1 to %d", n, GoldenRows)
	}
	want := len(m.Template.Columns) + 1 + len(m.Template.ProbabilityNames())
	if n := len(t.Columns()); n != want {
		return nil, fmt.Errorf("it has %d columns, expected %d", n, want)
	}
	return t, nil
}

// VerifyGolden predicts the golden rows with m, which has the version's
// template, and compares every output with the one promised, bit for bit.
func (l *Loaded) VerifyGolden(m *model.Model) error {
	t := l.golden
	rows := t.Drop(append(m.Template.ProbabilityNames(), m.Template.PredictionName())...)
	p, err := m.PredictTable(rows, 1)
	if err != nil {
		return err
	}
	for _, got := range p.Columns(m.Template) {
		want := t.Column(got.Name)
		if want == nil || want.Type != got.Type {
			return fmt.Errorf("no %s column %q", got.Type, got.Name)
		}
		for i := range got.Len() {
			if !equalValue(got, want, i) {
				return fmt.Errorf("row %d has %s %s, expected %s", i+1, got.Name, got.Format(i), want.Format(i))
			}
		}
	}
	return nil
}

// equalValue compares value i of two columns of one type, numbers by their
// bits.
func equalValue(a, b *table.Column, i int) bool {
	if a.Type == table.String {
		return a.Missing(i) == b.Missing(i) && a.Text(i) == b.Text(i)
	}
	return math.Float64bits(a.Floats[i]) == math.Float64bits(b.Floats[i])
}
