package registry

import (
	"fmt"
	"math"
	"strconv"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/table"
)

// treesFormat is the version of model.arrow that this build writes and the
// newest that it reads (docs/format/model.md).
const treesFormat = 1

// The kinds of rows in model.arrow, in the order in which they come: the
// model's, features' and parameters' rows first, then for each tree its own
// row, its splits, its leaves and the words of its category sets.
const (
	rowModel     = "model"
	rowFeature   = "feature"
	rowParameter = "parameter"
	rowTree      = "tree"
	rowSplit     = "split"
	rowLeaf      = "leaf"
	rowWord      = "word"
)

// The number columns of model.arrow. A value that a row has no use for is
// missing.
const (
	colTree = iota
	colNode
	colFeature
	colThreshold
	colDecision
	colLeft
	colRight
	colGain
	colValue
	colWeight
	colCount
	numberColumns
)

var numberNames = [numberColumns]string{
	"tree", "node", "feature", "threshold", "decision", "left", "right", "gain", "value", "weight", "count",
}

// treeWriter gathers the rows of model.arrow.
type treeWriter struct {
	kind, name, text []string
	numbers          [numberColumns][]float64
}

// add begins a row in which every number is missing.
func (w *treeWriter) add(kind, name, text string) {
	w.kind = append(w.kind, kind)
	w.name = append(w.name, name)
	w.text = append(w.text, text)
	for c := range w.numbers {
		w.numbers[c] = append(w.numbers[c], math.NaN())
	}
}

// set fills a number of the row begun last.
func (w *treeWriter) set(col int, v float64) { w.numbers[col][len(w.kind)-1] = v }

// encodeTrees returns the bytes of model.arrow. The same model gives the same
// bytes.
func encodeTrees(m *gbdt.Model) ([]byte, error) {
	w := &treeWriter{}
	for _, kv := range [][2]string{
		{"format", strconv.Itoa(treesFormat)},
		{"objective", m.Objective},
		{"num_class", strconv.Itoa(m.NumClass)},
		{"trees_per_iteration", strconv.Itoa(m.TreesPerIteration)},
		{"average_output", strconv.FormatBool(m.AverageOutput)},
		{"label_index", strconv.Itoa(m.LabelIndex)},
		{"pandas_categorical", m.PandasCategorical},
		{"features", strconv.Itoa(len(m.FeatureNames))},
		{"parameters", strconv.Itoa(len(m.Params))},
		{"trees", strconv.Itoa(len(m.Trees))},
	} {
		w.add(rowModel, kv[0], kv[1])
	}
	for i, name := range m.FeatureNames {
		w.add(rowFeature, name, m.FeatureInfos[i])
		w.set(colFeature, float64(i))
		if m.Monotone != nil {
			w.set(colValue, float64(m.Monotone[i]))
		}
	}
	for _, kv := range m.Params {
		w.add(rowParameter, kv[0], kv[1])
	}
	for i := range m.Trees {
		w.tree(i, &m.Trees[i])
	}
	cols := []*table.Column{table.Strings("kind", w.kind)}
	for c, name := range numberNames {
		cols = append(cols, table.Floats(name, w.numbers[c]))
	}
	t, err := table.New(append(cols, table.Strings("name", w.name), table.Strings("text", w.text))...)
	if err != nil {
		return nil, fmt.Errorf("encode trees: %w", err)
	}
	return table.EncodeArrow(t)
}

func (w *treeWriter) tree(i int, t *gbdt.Tree) {
	w.add(rowTree, "", "")
	w.set(colTree, float64(i))
	w.set(colValue, t.Shrinkage)
	w.set(colCount, float64(len(t.LeafValue)))
	for n := range t.Feature {
		w.node(rowSplit, i, n)
		w.set(colFeature, float64(t.Feature[n]))
		w.set(colThreshold, t.Threshold[n])
		w.set(colDecision, float64(t.Decision[n]))
		w.set(colLeft, float64(t.Left[n]))
		w.set(colRight, float64(t.Right[n]))
		w.set(colGain, t.Gain[n])
		w.set(colValue, t.InternalValue[n])
		w.set(colWeight, t.InternalWeight[n])
		w.set(colCount, float64(t.InternalCount[n]))
	}
	for n := range t.LeafValue {
		w.node(rowLeaf, i, n)
		w.set(colValue, t.LeafValue[n])
		w.set(colWeight, t.LeafWeight[n])
		w.set(colCount, float64(t.LeafCount[n]))
	}
	for set := 0; set+1 < len(t.CatBoundaries); set++ {
		for k := t.CatBoundaries[set]; k < t.CatBoundaries[set+1]; k++ {
			w.node(rowWord, i, set)
			w.set(colValue, float64(t.CatThreshold[k]))
		}
	}
}

func (w *treeWriter) node(kind string, tree, node int) {
	w.add(kind, "", "")
	w.set(colTree, float64(tree))
	w.set(colNode, float64(node))
}

// treeReader walks over the rows of model.arrow. The first fault is kept in
// err and makes every later read return nothing.
type treeReader struct {
	kind, name, text *table.Column
	numbers          [numberColumns][]float64
	rows, row        int
	err              error
}

// decodeTrees reads what encodeTrees wrote and validates it.
func decodeTrees(b []byte) (*gbdt.Model, error) {
	t, err := table.DecodeArrow("model.arrow", b, table.ReadOptions{})
	if err != nil {
		return nil, err
	}
	r, err := newTreeReader(t)
	if err != nil {
		return nil, err
	}
	m := r.model()
	if r.err == nil && r.row != r.rows {
		r.fail("expected the end of the table, found a row of kind %q", r.kind.Text(r.row))
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

func newTreeReader(t *table.Table) (*treeReader, error) {
	r := &treeReader{rows: t.NumRows()}
	column := func(name string, typ table.Type) *table.Column {
		if c := t.Column(name); c != nil && c.Type == typ {
			return c
		}
		return nil
	}
	for _, c := range []struct {
		name string
		dst  **table.Column
	}{{"kind", &r.kind}, {"name", &r.name}, {"text", &r.text}} {
		if *c.dst = column(c.name, table.String); *c.dst == nil {
			return nil, fmt.Errorf("no string column %q", c.name)
		}
	}
	for i, name := range numberNames {
		c := column(name, table.Float)
		if c == nil {
			return nil, fmt.Errorf("no number column %q", name)
		}
		r.numbers[i] = c.Floats
	}
	return r, nil
}

func (r *treeReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("row %d: %s", r.row+1, fmt.Sprintf(format, args...))
	}
}

// next reports whether the current row has the given kind.
func (r *treeReader) next(kind string) bool {
	return r.err == nil && r.row < r.rows && r.kind.Text(r.row) == kind
}

// header reads the rows of kind model into a map.
func (r *treeReader) header() map[string]string {
	h := map[string]string{}
	for ; r.next(rowModel); r.row++ {
		name := r.name.Text(r.row)
		if _, dup := h[name]; dup {
			r.fail("%q is given twice", name)
		}
		h[name] = r.text.Text(r.row)
	}
	return h
}

func (r *treeReader) model() *gbdt.Model {
	h := r.header()
	number := func(key string) int {
		n, err := strconv.Atoi(h[key])
		if err != nil || n < 0 || n > r.rows+1<<20 {
			r.fail("%s is %q, expected a small whole number", key, h[key])
			return 0
		}
		return n
	}
	if f := number("format"); f < 1 || f > treesFormat {
		r.fail("format %q is not known to this build (it reads 1 to %d)", h["format"], treesFormat)
	}
	average, err := strconv.ParseBool(h["average_output"])
	if err != nil {
		r.fail("average_output is %q, expected true or false", h["average_output"])
	}
	m := &gbdt.Model{
		Objective:         h["objective"],
		NumClass:          number("num_class"),
		TreesPerIteration: number("trees_per_iteration"),
		AverageOutput:     average,
		LabelIndex:        number("label_index"),
		PandasCategorical: h["pandas_categorical"],
	}
	features, parameters, trees := number("features"), number("parameters"), number("trees")
	for ; r.next(rowFeature); r.row++ {
		r.expect(colFeature, len(m.FeatureNames))
		m.FeatureNames = append(m.FeatureNames, r.name.Text(r.row))
		m.FeatureInfos = append(m.FeatureInfos, r.text.Text(r.row))
		if !math.IsNaN(r.numbers[colValue][r.row]) {
			m.Monotone = append(m.Monotone, int(whole[int32](r, colValue)))
		}
	}
	for ; r.next(rowParameter); r.row++ {
		m.Params = append(m.Params, [2]string{r.name.Text(r.row), r.text.Text(r.row)})
	}
	for r.next(rowTree) {
		m.Trees = append(m.Trees, r.tree(len(m.Trees)))
	}
	if len(m.FeatureNames) != features || len(m.Params) != parameters || len(m.Trees) != trees {
		r.fail("%d features, %d parameters and %d trees found, expected %d, %d and %d",
			len(m.FeatureNames), len(m.Params), len(m.Trees), features, parameters, trees)
	}
	return m
}

func (r *treeReader) tree(i int) gbdt.Tree {
	r.expect(colTree, i)
	t := gbdt.Tree{Shrinkage: r.numbers[colValue][r.row]}
	leaves := int(whole[int32](r, colCount))
	if leaves < 1 || leaves > r.rows {
		r.fail("a tree of %d leaves", leaves)
	}
	r.row++
	for n := 0; r.next(rowSplit); n++ {
		r.split(&t, i, n)
	}
	for n := 0; r.next(rowLeaf); n++ {
		r.expect(colTree, i)
		r.expect(colNode, n)
		t.LeafValue = append(t.LeafValue, r.numbers[colValue][r.row])
		t.LeafWeight = append(t.LeafWeight, r.numbers[colWeight][r.row])
		t.LeafCount = append(t.LeafCount, whole[int64](r, colCount))
		r.row++
	}
	for r.next(rowWord) {
		r.word(&t, i)
	}
	if r.err == nil && (len(t.LeafValue) != leaves || len(t.Feature) != leaves-1) {
		r.fail("tree %d has %d leaves and %d splits, expected %d and %d", i, len(t.LeafValue), len(t.Feature), leaves, leaves-1)
	}
	return t
}

func (r *treeReader) split(t *gbdt.Tree, tree, n int) {
	r.expect(colTree, tree)
	r.expect(colNode, n)
	t.Feature = append(t.Feature, whole[int32](r, colFeature))
	t.Threshold = append(t.Threshold, r.numbers[colThreshold][r.row])
	t.Decision = append(t.Decision, whole[uint8](r, colDecision))
	t.Left = append(t.Left, whole[int32](r, colLeft))
	t.Right = append(t.Right, whole[int32](r, colRight))
	t.Gain = append(t.Gain, r.numbers[colGain][r.row])
	t.InternalValue = append(t.InternalValue, r.numbers[colValue][r.row])
	t.InternalWeight = append(t.InternalWeight, r.numbers[colWeight][r.row])
	t.InternalCount = append(t.InternalCount, whole[int64](r, colCount))
	r.row++
}

// word reads one word of a category set. Sets come in order from 0; the
// boundaries are where their words begin.
func (r *treeReader) word(t *gbdt.Tree, tree int) {
	r.expect(colTree, tree)
	if t.CatBoundaries == nil {
		t.CatBoundaries = []int32{0}
	}
	last := len(t.CatBoundaries) - 1
	if set := int(whole[int32](r, colNode)); set == last {
		t.CatBoundaries = append(t.CatBoundaries, 0)
	} else if set != last-1 {
		r.fail("category set %d follows set %d", set, last-1)
	}
	t.CatThreshold = append(t.CatThreshold, whole[uint32](r, colValue))
	t.CatBoundaries[len(t.CatBoundaries)-1] = int32(len(t.CatThreshold))
	r.row++
}

// expect checks that a number of the current row is want.
func (r *treeReader) expect(col, want int) {
	if v := r.numbers[col][r.row]; v != float64(want) {
		r.fail("%s is %v, expected %d", numberNames[col], v, want)
	}
}

// whole is a number of the current row as an integer of type T.
func whole[T int32 | int64 | uint8 | uint32](r *treeReader, col int) T {
	v := r.numbers[col][r.row]
	n := T(v)
	if !(math.Abs(v) <= 1<<53) || float64(n) != v {
		r.fail("%s is %v, expected a whole number in range", numberNames[col], v)
		return 0
	}
	return n
}
