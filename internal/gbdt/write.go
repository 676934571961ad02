package gbdt

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteText writes the model in LightGBM's text format, version 4. LightGBM
// loads the text and predicts with it as [Predictor] does, to the bit;
// [ReadText] gives the same model back, but for gains, internal values and
// weights, which the format holds to six digits.
//
// An invalid model and names that the format cannot hold are errors, and then
// nothing is written: [FeatureNames] makes any names fit.
//
// Gains below the least normal float32 are written as zero: some readers take
// the underflow for a fault.
func (m *Model) WriteText(w io.Writer) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	if err := m.checkTexts(); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	trees := make([][]byte, len(m.Trees))
	for i := range m.Trees {
		trees[i] = m.Trees[i].appendText(fmt.Appendf(nil, "Tree=%d\n", i))
	}
	b := m.appendHeader(nil, trees)
	for _, t := range trees {
		b = append(b, t...)
	}
	b = append(b, "end of trees\n"...)
	b = m.appendImportances(b)
	b = m.appendParams(b)
	b = fmt.Appendf(b, "\n%s%s\n", pandasKey, cmp.Or(m.PandasCategorical, "null"))
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// checkTexts refuses texts that would break the lines they stand in.
func (m *Model) checkTexts() error {
	for i, s := range m.FeatureNames {
		if s == "" || strings.ContainsAny(s, " \r\n") {
			return &ModelError{-1, -1, fmt.Sprintf("feature %d has the name %q, which the format cannot hold", i, s)}
		}
	}
	for i, s := range m.FeatureInfos {
		if s == "" || strings.ContainsAny(s, " =\r\n") {
			return &ModelError{-1, -1, fmt.Sprintf("feature %d has the info %q, which the format cannot hold", i, s)}
		}
	}
	for _, p := range m.Params {
		if p[0] == "" || strings.ContainsAny(p[0], ":\r\n") || strings.ContainsAny(p[1], "\r\n") {
			return &ModelError{-1, -1, fmt.Sprintf("parameter %q: %q, which the format cannot hold", p[0], p[1])}
		}
	}
	for _, s := range []string{m.Objective, m.PandasCategorical} {
		if strings.ContainsAny(s, "=\r\n") && s == m.Objective || strings.ContainsAny(s, "\r\n") {
			return &ModelError{-1, -1, fmt.Sprintf("%q cannot stand on one line", s)}
		}
	}
	return nil
}

func (m *Model) appendHeader(b []byte, trees [][]byte) []byte {
	b = fmt.Appendf(b, "tree\nversion=v4\nnum_class=%d\nnum_tree_per_iteration=%d\nlabel_index=%d\nmax_feature_idx=%d\n",
		m.NumClass, m.TreesPerIteration, m.LabelIndex, len(m.FeatureNames)-1)
	if m.Objective != "" {
		b = fmt.Appendf(b, "objective=%s\n", m.Objective)
	}
	if m.AverageOutput {
		b = append(b, "average_output\n"...)
	}
	b = fmt.Appendf(b, "feature_names=%s\n", strings.Join(m.FeatureNames, " "))
	if m.Monotone != nil {
		b = appendInts(b, "monotone_constraints", m.Monotone)
	}
	b = fmt.Appendf(b, "feature_infos=%s\n", strings.Join(m.FeatureInfos, " "))
	sizes := make([]int, len(trees))
	for i, t := range trees {
		sizes[i] = len(t)
	}
	return append(appendInts(b, "tree_sizes", sizes), '\n')
}

// appendText writes the tree's lines and the two blank ones behind them.
func (t *Tree) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "num_leaves=%d\nnum_cat=%d\n", t.NumLeaves(), t.NumSets())
	b = appendInts(b, "split_feature", t.Feature)
	gains := make([]float64, len(t.Gain))
	for i, g := range t.Gain {
		if !(math.Abs(g) < 0x1p-126) {
			gains[i] = g
		}
	}
	b = appendFloats(b, "split_gain", gains, short)
	b = appendFloats(b, "threshold", t.Threshold, exact)
	b = appendInts(b, "decision_type", t.Decision)
	b = appendInts(b, "left_child", t.Left)
	b = appendInts(b, "right_child", t.Right)
	b = appendFloats(b, "leaf_value", t.LeafValue, exact)
	weights := t.LeafWeight
	if len(weights) == 1 && weights[0] == 0 {
		weights = nil // a constant was given, not fitted
	}
	b = appendFloats(b, "leaf_weight", weights, exact)
	b = appendInts(b, "leaf_count", t.LeafCount)
	b = appendFloats(b, "internal_value", t.InternalValue, short)
	b = appendFloats(b, "internal_weight", t.InternalWeight, short)
	b = appendInts(b, "internal_count", t.InternalCount)
	if t.NumSets() > 0 {
		b = appendInts(b, "cat_boundaries", t.CatBoundaries)
		b = appendInts(b, "cat_threshold", t.CatThreshold)
	}
	b = append(b, "is_linear=0\nshrinkage="...)
	b = appendFloat(b, t.Shrinkage, short)
	return append(b, "\n\n\n"...)
}

// Digits of a written number: as C's %g and %.17g.
const (
	short = 6
	exact = 17
)

func appendFloats(b []byte, key string, v []float64, digits int) []byte {
	b = append(append(b, key...), '=')
	for i, x := range v {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendFloat(b, x, digits)
	}
	return append(b, '\n')
}

// appendFloat writes x as C's printf does.
func appendFloat(b []byte, x float64, digits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, "nan"...)
	case math.IsInf(x, 1):
		return append(b, "inf"...)
	case math.IsInf(x, -1):
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, x, 'g', digits, 64)
}

func appendInts[T int | int32 | int64 | uint8 | uint32](b []byte, key string, v []T) []byte {
	b = append(append(b, key...), '=')
	for i, x := range v {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(x), 10)
	}
	return append(b, '\n')
}

// SplitCounts returns how many splits each feature has in trees. As in
// LightGBM, splits without gain are not counted.
func (m *Model) SplitCounts() []int {
	n := make([]int, len(m.FeatureNames))
	for i := range m.Trees {
		for j, f := range m.Trees[i].Feature {
			if m.Trees[i].Gain[j] > 0 {
				n[f]++
			}
		}
	}
	return n
}

func (m *Model) appendImportances(b []byte) []byte {
	b = append(b, "\nfeature_importances:\n"...)
	counts := m.SplitCounts()
	order := make([]int, len(counts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(counts[j], counts[i]) })
	for _, i := range order {
		if counts[i] > 0 {
			b = fmt.Appendf(b, "%s=%d\n", m.FeatureNames[i], counts[i])
		}
	}
	return b
}

// appendParams writes the parameters. LightGBM's Python package parses the
// value of categorical_feature and fails on names, so names become indices.
func (m *Model) appendParams(b []byte) []byte {
	if len(m.Params) == 0 {
		return b
	}
	b = append(b, "\nparameters:\n"...)
	for _, p := range m.Params {
		value := p[1]
		if p[0] == "categorical_feature" {
			value = m.categoricalIndices(value)
		}
		b = fmt.Appendf(b, "[%s: %s]\n", p[0], value)
	}
	return append(b, "\nend of parameters\n"...)
}

// categoricalIndices turns "name:a,b" into the features' indices and leaves
// any other value as it is. Names that no feature has are dropped.
func (m *Model) categoricalIndices(value string) string {
	list, ok := strings.CutPrefix(value, "name:")
	if !ok {
		return value
	}
	var out []string
	for _, name := range strings.Split(list, ",") {
		if i := slices.Index(m.FeatureNames, name); i >= 0 {
			out = append(out, strconv.Itoa(i))
		}
	}
	return strings.Join(out, ",")
}

// reserved are the keys of a tree's lines. Some readers take any key=value
// line after the first tree for a part of the last one, and the importances
// are written as such lines.
var reserved = []string{
	"Tree", "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type",
	"left_child", "right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value",
	"internal_weight", "internal_count", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage",
}

// FeatureNames makes names fit for the text format and for the checks of
// LightGBM's own loaders: white space, control characters and the marks
// =,:"[]{} become "_", an empty name and one that the format reserves get a
// "_" behind, and a name that was there before gets the least number from 2
// behind that makes it new. Names that fit are kept.
func FeatureNames(names []string) []string {
	out := make([]string, len(names))
	taken := make(map[string]bool, len(names))
	for i, s := range names {
		s = strings.Map(func(c rune) rune {
			if c <= ' ' || c == 0x7f || strings.ContainsRune("=,:\"[]{}", c) {
				return '_'
			}
			return c
		}, s)
		if s == "" || slices.Contains(reserved, s) {
			s += "_"
		}
		base := s
		for n := 2; taken[s]; n++ {
			s = base + "_" + strconv.Itoa(n)
		}
		taken[s] = true
		out[i] = s
	}
	return out
}
