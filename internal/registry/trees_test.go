package registry

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func TestTreesRoundTrip(t *testing.T) {
	tasks := []schema.Task{schema.Regression, schema.Binary, schema.Multiclass}
	rapid.Check(t, func(t *rapid.T) {
		m := trees(template(rapid.SampledFrom(tasks).Draw(t, "task")), rapid.Uint64().Draw(t, "seed"))
		m.LabelIndex = rapid.IntRange(0, 9).Draw(t, "label")
		m.AverageOutput = rapid.Bool().Draw(t, "average")
		m.PandasCategorical = rapid.SampledFrom([]string{"", `[["a", "b"]]`}).Draw(t, "pandas")
		if rapid.Bool().Draw(t, "monotone") {
			m.Monotone = make([]int, len(m.FeatureNames))
			m.Monotone[0], m.Monotone[1] = -1, 1
		}
		if rapid.Bool().Draw(t, "no parameters") {
			m.Params = nil
		}
		tree := &m.Trees[len(m.Trees)-1]
		tree.LeafValue[0] = rapid.Float64().Draw(t, "leaf")
		tree.LeafCount[0] = rapid.Int64Range(0, 1<<53).Draw(t, "count")
		tree.LeafValue[0] = math.Copysign(tree.LeafValue[0], -1)
		b, err := encodeTrees(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeTrees(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, expected %+v", got, m)
		}
		if v := got.Trees[len(m.Trees)-1].LeafValue[0]; math.Signbit(v) != true {
			t.Fatalf("the sign of %v was lost", v)
		}
	})
}

// Empty sets and long ones, and a model with no trees at all.
func TestTreesRoundTripEdges(t *testing.T) {
	m := trees(template(schema.Regression), 1)
	m.Trees = nil
	for range 2 {
		b, err := encodeTrees(m)
		must(t, err)
		got, err := decodeTrees(b)
		must(t, err)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, expected %+v", got, m)
		}
		m.Trees = []gbdt.Tree{{
			Feature: []int32{5, 5}, Threshold: []float64{0, 1}, Decision: []uint8{1, 1}, Left: []int32{1, ^0}, Right: []int32{^2, ^1},
			Gain: []float64{1, math.Inf(1)}, InternalValue: []float64{0, 0}, InternalWeight: []float64{1, 1}, InternalCount: []int64{3, 2},
			LeafValue: []float64{1, 2, 3}, LeafWeight: []float64{1, 1, 1}, LeafCount: []int64{1, 1, 1},
			CatBoundaries: []int32{0, 3, 4}, CatThreshold: []uint32{1, 0, math.MaxUint32, 7}, Shrinkage: 1,
		}}
	}
}

// edit is a table's copy in which one value stands otherwise.
func edit(t *testing.T, b []byte, column string, row int, v any) []byte {
	t.Helper()
	tab, err := table.DecodeArrow("x", b, table.ReadOptions{})
	must(t, err)
	c := tab.Column(column)
	if s, ok := v.(string); ok {
		texts := make([]string, c.Len())
		for i := range texts {
			texts[i] = c.Text(i)
		}
		texts[row] = s
		c = table.Strings(column, texts)
	} else {
		f := append([]float64(nil), c.Floats...)
		f[row] = v.(float64)
		c = table.Floats(column, f)
	}
	tab, err = tab.With(c)
	must(t, err)
	b, err = table.EncodeArrow(tab)
	must(t, err)
	return b
}

func TestTreesRefuses(t *testing.T) {
	m := trees(template(schema.Regression), 1)
	whole, err := encodeTrees(m)
	must(t, err)
	tab, err := table.DecodeArrow("x", whole, table.ReadOptions{})
	must(t, err)
	at := func(kind string, nth int) int { // row of the nth of a kind
		c := tab.Column("kind")
		for i := range c.Len() {
			if c.Text(i) == kind {
				if nth == 0 {
					return i
				}
				nth--
			}
		}
		t.Fatalf("no %s row", kind)
		return 0
	}
	for _, c := range []struct {
		column string
		row    int
		value  any
		want   string
	}{
		{"text", 0, "2", "format"},
		{"text", 0, "", "format"},
		{"name", 0, "objective", "twice"},
		{"text", at(rowModel, 1), "nonsense", "objective"},
		{"text", at(rowModel, 2), "-1", "num_class"},
		{"text", at(rowModel, 3), "999999999999", "trees_per_iteration"},
		{"text", at(rowModel, 4), "maybe", "average_output"},
		{"kind", at(rowFeature, 0), "other", "features"},
		{"feature", at(rowFeature, 1), 0.0, "feature is 0, expected 1"},
		{"tree", at(rowTree, 1), 0.0, "tree is 0, expected 1"},
		{"count", at(rowTree, 1), 1e9, "leaves"},
		{"count", at(rowTree, 1), 2.0, "leaves"},
		{"count", at(rowTree, 1), math.NaN(), "whole number"},
		{"node", at(rowSplit, 1), 0.0, "node is 0, expected 1"},
		{"feature", at(rowSplit, 0), 1000.0, "feature"},
		{"feature", at(rowSplit, 0), 0.5, "feature is 0.5"},
		{"decision", at(rowSplit, 0), 256.0, "decision is 256"},
		{"left", at(rowSplit, 0), -1e18, "left is -1e+18"},
		{"right", at(rowSplit, 0), 0.0, "reached twice"},
		{"count", at(rowSplit, 0), math.Inf(1), "count is +Inf"},
		{"threshold", at(rowSplit, 0), math.NaN(), "node 0"},
		{"value", at(rowLeaf, 0), math.NaN(), "leaf 0"},
		{"kind", at(rowLeaf, 0), "word", "whole number"},
		{"value", at(rowWord, 0), -1.0, "value is -1"},
		{"node", at(rowWord, 0), 1.0, "category set 1"},
		{"kind", tab.NumRows() - 1, "", "end of the table"},
		{"kind", tab.NumRows() - 1, "leaf", ""},
	} {
		_, err := decodeTrees(edit(t, whole, c.column, c.row, c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v in row %d: got %v, expected %q", c.column, c.value, c.row+1, err, c.want)
		}
	}
	for _, name := range []string{"kind", "tree", "text"} {
		b, err := table.EncodeArrow(tab.Drop(name))
		must(t, err)
		if _, err := decodeTrees(b); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("column %q", name)) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

func FuzzTrees(f *testing.F) {
	for _, task := range []schema.Task{schema.Regression, schema.Multiclass} {
		b, err := encodeTrees(trees(template(task), 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeTrees(b)
		if err != nil {
			return
		}
		again, err := encodeTrees(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeTrees(again); err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
	})
}
