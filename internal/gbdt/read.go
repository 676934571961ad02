package gbdt

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// FormatError says where a text model is not one.
type FormatError struct {
	Name   string // as given to [ReadText]
	Line   int    // from 1
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Reason) }

// ReadText reads LightGBM's text format, versions 2 to 4. The name is used in
// errors alone. What cannot be read is a *[FormatError]; a text that can be
// read but describes no tree (an index out of range, a cycle) is a
// *[ModelError], wrapped with the name. A model that is returned has passed
// [Model.Validate].
//
// Where tree_sizes is present it must tell the truth: LightGBM trusts it with
// its memory, so a model that lies there must not be handed on.
//
// Linear trees (is_linear=1) are refused.
func ReadText(name string, b []byte) (*Model, error) {
	r := reader{name: name, text: string(b)}
	m, err := r.model()
	if err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.cloneStrings()
	return m, nil
}

// cloneStrings lets go of the text that the strings were parts of.
func (m *Model) cloneStrings() {
	m.Objective, m.PandasCategorical = strings.Clone(m.Objective), strings.Clone(m.PandasCategorical)
	for i := range m.FeatureNames {
		m.FeatureNames[i], m.FeatureInfos[i] = strings.Clone(m.FeatureNames[i]), strings.Clone(m.FeatureInfos[i])
	}
	for i, kv := range m.Params {
		m.Params[i] = [2]string{strings.Clone(kv[0]), strings.Clone(kv[1])}
	}
}

type reader struct {
	name string
	text string
	at   int // start of the next line
	// first is the number of the tree that is read first.
	first int
	keys  map[string]field // lines of the tree at hand
}

// field is the right side of a key=value line and where it stands.
type field struct {
	value string
	start int
}

func (r *reader) errorf(offset int, format string, a ...any) error {
	line := 1 + strings.Count(r.text[:offset], "\n")
	return &FormatError{Name: r.name, Line: line, Reason: fmt.Sprintf(format, a...)}
}

// line returns the next line without its end, and where it starts.
func (r *reader) line() (line string, start int, ok bool) {
	start = r.at
	if start >= len(r.text) {
		return "", start, false
	}
	end := strings.IndexByte(r.text[start:], '\n')
	if end < 0 {
		end = len(r.text) - start
		r.at = len(r.text)
	} else {
		r.at = start + end + 1
	}
	return strings.TrimSuffix(r.text[start:start+end], "\r"), start, true
}

func (r *reader) atTree() bool { return strings.HasPrefix(r.text[r.at:], "Tree=") }

func (r *reader) model() (*Model, error) {
	if first, start, _ := r.line(); first != "tree" {
		return nil, r.errorf(start, "the first line is %q, expected %q: not a LightGBM text model", clip(first), "tree")
	}
	header, err := r.header()
	if err != nil {
		return nil, err
	}
	m, err := r.headerModel(header)
	if err != nil {
		return nil, err
	}
	if sizes, ok := header["tree_sizes"]; ok {
		err = r.sizedTrees(m, sizes)
	} else {
		err = r.trees(m)
	}
	if err != nil {
		return nil, err
	}
	r.tail(m)
	return m, nil
}

// header reads key=value lines up to the first tree or the end of trees.
func (r *reader) header() (map[string]field, error) {
	h := map[string]field{}
	for !r.atTree() {
		line, start, ok := r.line()
		if !ok || line == "end of trees" {
			r.at = start
			break
		}
		if line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if _, dup := h[key]; dup {
			return nil, r.errorf(start, "%s is given twice", clip(key))
		}
		h[key] = field{value, start}
	}
	return h, nil
}

func (r *reader) headerModel(h map[string]field) (*Model, error) {
	for _, key := range []string{"num_class", "label_index", "max_feature_idx", "feature_names", "feature_infos"} {
		if _, ok := h[key]; !ok {
			return nil, r.errorf(r.at, "the header has no %s", key)
		}
	}
	if v, ok := h["version"]; ok && v.value != "v2" && v.value != "v3" && v.value != "v4" {
		return nil, r.errorf(v.start, "version %q, expected v2, v3 or v4", clip(v.value))
	}
	m := &Model{}
	var last int
	if _, ok := h["num_tree_per_iteration"]; !ok {
		h["num_tree_per_iteration"] = h["num_class"]
	}
	for _, n := range []struct {
		key string
		to  *int
	}{
		{"num_class", &m.NumClass},
		{"num_tree_per_iteration", &m.TreesPerIteration},
		{"label_index", &m.LabelIndex},
		{"max_feature_idx", &last},
	} {
		v, err := strconv.ParseInt(strings.TrimSpace(h[n.key].value), 10, 32)
		if err != nil {
			return nil, r.errorf(h[n.key].start, "%s is %q, expected a whole number", n.key, clip(h[n.key].value))
		}
		*n.to = int(v)
	}
	m.Objective = strings.TrimSpace(h["objective"].value)
	if _, err := ParseObjective(m.Objective); err != nil {
		return nil, r.errorf(h["objective"].start, "%s", err)
	}
	_, m.AverageOutput = h["average_output"]
	m.FeatureNames = words(h["feature_names"].value)
	m.FeatureInfos = words(h["feature_infos"].value)
	if f := h["feature_names"]; len(m.FeatureNames) != last+1 {
		return nil, r.errorf(f.start, "%d feature names, but max_feature_idx is %d", len(m.FeatureNames), last)
	}
	if f := h["feature_infos"]; len(m.FeatureInfos) != last+1 {
		return nil, r.errorf(f.start, "%d feature infos, but max_feature_idx is %d", len(m.FeatureInfos), last)
	}
	if f, ok := h["monotone_constraints"]; ok {
		var err error
		if m.Monotone, err = integers[int](r, "monotone_constraints", f, last+1, 8); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ' ' })
}

// sizedTrees reads as many trees as tree_sizes lists, on every core, and holds
// it to its word.
func (r *reader) sizedTrees(m *Model, sizes field) error {
	list := words(sizes.value)
	starts := make([]int, len(list)+1)
	starts[0] = r.at
	for i, s := range list {
		size, err := strconv.Atoi(s)
		if err != nil || size < 0 {
			return r.errorf(sizes.start, "tree_sizes: %q, expected a number of bytes", clip(s))
		}
		if size > len(r.text)-starts[i] {
			return r.errorf(starts[i], "tree_sizes says that tree %d has %d bytes, which is not so", i, size)
		}
		starts[i+1] = starts[i] + size
	}
	parts := max(min(runtime.GOMAXPROCS(0), len(list)/minPart), 1)
	errs := make([]error, parts)
	trees := make([]Model, parts)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			one := reader{name: r.name, text: r.text, first: len(list) * part / parts}
			errs[part] = one.treesAt(&trees[part], starts[one.first:len(list)*(part+1)/parts+1], len(list))
		})
	}
	wg.Wait()
	for part, err := range errs {
		if err != nil {
			return err
		}
		m.Trees = append(m.Trees, trees[part].Trees...)
	}
	r.at = starts[len(list)]
	r.skipBlank()
	if r.atTree() {
		return r.errorf(r.at, "tree_sizes lists %d trees, but there are more", len(list))
	}
	return nil
}

// minPart is the least number of trees that are worth a goroutine.
const minPart = 16

// treesAt reads the trees that start at the given places, out of total; the
// last place is where they end.
func (r *reader) treesAt(m *Model, starts []int, total int) error {
	for i, start := range starts[:len(starts)-1] {
		r.at = start
		if !r.atTree() {
			return r.errorf(start, "tree_sizes lists %d trees, but tree %d does not start here", total, r.first+i)
		}
		if err := r.tree(m); err != nil {
			return err
		}
		if end := starts[i+1]; end < r.at || len(strings.Trim(r.text[r.at:end], "\r\n")) > 0 {
			return r.errorf(start, "tree_sizes says that tree %d has %d bytes, which is not so", r.first+i, end-start)
		}
	}
	return nil
}

func (r *reader) trees(m *Model) error {
	for {
		r.skipBlank()
		if !r.atTree() {
			return nil
		}
		if err := r.tree(m); err != nil {
			return err
		}
	}
}

func (r *reader) skipBlank() {
	for r.at < len(r.text) && (r.text[r.at] == '\n' || r.text[r.at] == '\r') {
		r.at++
	}
}

// tree reads the lines from Tree= to the next blank one.
func (r *reader) tree(m *Model) error {
	_, start, _ := r.line()
	if r.keys == nil {
		r.keys = map[string]field{}
	}
	keys := r.keys
	clear(keys)
	for {
		line, at, ok := r.line()
		if !ok || line == "" {
			break
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return r.errorf(at, "tree %d: %q, expected key=value", r.first+len(m.Trees), clip(line))
		}
		if _, dup := keys[key]; dup {
			return r.errorf(at, "tree %d: %s is given twice", r.first+len(m.Trees), clip(key))
		}
		keys[key] = field{value, at}
	}
	t, err := r.treeFrom(keys, start)
	if err != nil {
		return err
	}
	m.Trees = append(m.Trees, t)
	return nil
}

// treeFrom makes a tree of its lines. Arrays that LightGBM does not need for
// prediction may be absent; they are then zero.
func (r *reader) treeFrom(keys map[string]field, start int) (Tree, error) {
	t := Tree{Shrinkage: 1}
	for _, key := range []string{"num_leaves", "num_cat", "leaf_value"} {
		if _, ok := keys[key]; !ok {
			return t, r.errorf(start, "the tree has no %s", key)
		}
	}
	leaves, err := strconv.Atoi(strings.TrimSpace(keys["num_leaves"].value))
	if err != nil || leaves < 1 {
		return t, r.errorf(keys["num_leaves"].start, "num_leaves is %q, expected at least 1", clip(keys["num_leaves"].value))
	}
	if f, ok := keys["is_linear"]; ok && strings.TrimSpace(f.value) != "0" {
		return t, r.errorf(f.start, "linear trees are not supported")
	}
	if f, ok := keys["shrinkage"]; ok {
		if t.Shrinkage, err = parseFloat(strings.TrimSpace(f.value)); err != nil {
			return t, r.errorf(f.start, "shrinkage is %q, expected a number", clip(f.value))
		}
	}
	c := columns{r: r, keys: keys, start: start}
	// The leaves come first: their number in the text bounds what the other
	// arrays may reserve.
	t.LeafValue = c.floats("leaf_value", leaves, true)
	if c.err != nil {
		return t, c.err
	}
	t.Feature = narrow[int32](&c, "split_feature", leaves-1, leaves > 1)
	t.Threshold = c.floats("threshold", leaves-1, leaves > 1)
	t.Decision = narrow[uint8](&c, "decision_type", leaves-1, leaves > 1)
	t.Left = narrow[int32](&c, "left_child", leaves-1, leaves > 1)
	t.Right = narrow[int32](&c, "right_child", leaves-1, leaves > 1)
	t.Gain = c.floats("split_gain", leaves-1, false)
	t.InternalValue = c.floats("internal_value", leaves-1, false)
	t.InternalWeight = c.floats("internal_weight", leaves-1, false)
	t.InternalCount = narrow[int64](&c, "internal_count", leaves-1, false)
	t.LeafWeight = c.floats("leaf_weight", leaves, false)
	t.LeafCount = narrow[int64](&c, "leaf_count", leaves, false)
	if c.err == nil {
		c.sets(&t)
	}
	return t, c.err
}

// columns reads the arrays of one tree; after an error it does nothing more.
type columns struct {
	r     *reader
	keys  map[string]field
	start int
	err   error
}

// find returns the field, or says that the array is zero.
func (c *columns) find(key string, needed bool) (f field, ok bool) {
	if c.err != nil {
		return field{}, false
	}
	f, ok = c.keys[key]
	if ok && (needed || strings.TrimSpace(f.value) != "") {
		return f, true
	}
	if needed {
		c.err = c.r.errorf(c.start, "the tree has no %s", key)
	}
	return f, false
}

func (c *columns) floats(key string, n int, needed bool) []float64 {
	f, ok := c.find(key, needed)
	if !ok {
		return zeros[float64](c, n)
	}
	var out []float64
	out, c.err = floats(c.r, key, f, n)
	return out
}

func narrow[T int32 | int64 | uint8](c *columns, key string, n int, needed bool) []T {
	f, ok := c.find(key, needed)
	if !ok {
		return zeros[T](c, n)
	}
	var out []T
	out, c.err = integers[T](c.r, key, f, n, 64)
	return out
}

func zeros[T any](c *columns, n int) []T {
	if c.err != nil {
		return nil
	}
	return make([]T, n)
}

func (c *columns) sets(t *Tree) {
	f := c.keys["num_cat"]
	n, err := strconv.Atoi(strings.TrimSpace(f.value))
	if err != nil || n < 0 {
		c.err = c.r.errorf(f.start, "num_cat is %q, expected a whole number", clip(f.value))
		return
	}
	if n == 0 {
		return
	}
	t.CatBoundaries = narrow[int32](c, "cat_boundaries", n+1, true)
	if c.err != nil {
		return
	}
	f, ok := c.find("cat_threshold", true)
	if !ok {
		return
	}
	t.CatThreshold, c.err = integers[uint32](c.r, "cat_threshold", f, int(t.CatBoundaries[n]), 64)
}

// floats parses exactly n numbers.
func floats(r *reader, key string, f field, n int) ([]float64, error) {
	if got := countWords(f.value); got != n {
		return nil, r.errorf(f.start, "%s has %d values, expected %d", key, got, n)
	}
	out := make([]float64, n)
	rest := f.value
	for i := range out {
		var s string
		s, rest = cutWord(rest)
		v, err := parseFloat(s)
		if err != nil {
			return nil, r.errorf(f.start, "%s: %q is not a number", key, clip(s))
		}
		out[i] = v
	}
	return out, nil
}

// parseFloat reads what C's printf writes.
func parseFloat(s string) (float64, error) {
	switch s {
	case "-nan":
		return math.NaN(), nil
	case "0":
		return 0, nil
	}
	return strconv.ParseFloat(s, 64)
}

// integers parses exactly n whole numbers that fit T.
func integers[T int | int32 | int64 | uint8 | uint32](r *reader, key string, f field, n, bits int) ([]T, error) {
	if got := countWords(f.value); got != n {
		return nil, r.errorf(f.start, "%s has %d values, expected %d", key, got, n)
	}
	out := make([]T, n)
	rest := f.value
	for i := range out {
		var s string
		s, rest = cutWord(rest)
		v, err := strconv.ParseInt(s, 10, bits)
		if err != nil || int64(T(v)) != v {
			return nil, r.errorf(f.start, "%s: %q is not a whole number in range", key, clip(s))
		}
		out[i] = T(v)
	}
	return out, nil
}

// countWords is the number of words between spaces.
func countWords(s string) int {
	n, before := 0, byte(' ')
	for i := range len(s) {
		if s[i] != ' ' && before == ' ' {
			n++
		}
		before = s[i]
	}
	return n
}

// cutWord parts the first word from the rest.
func cutWord(s string) (word, rest string) {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// tail reads what follows the trees: the parameters and the last line. The
// feature importances are counted anew when writing.
func (r *reader) tail(m *Model) {
	inside := false
	for {
		line, _, ok := r.line()
		switch {
		case !ok:
			return
		case line == "parameters:":
			inside = true
		case line == "end of parameters":
			inside = false
		case inside:
			if key, value, ok := parameter(line); ok {
				m.Params = append(m.Params, [2]string{key, value})
			}
		case strings.HasPrefix(line, pandasKey):
			if m.PandasCategorical = strings.TrimPrefix(line, pandasKey); m.PandasCategorical == "null" {
				m.PandasCategorical = ""
			}
		}
	}
}

const pandasKey = "pandas_categorical:"

// parameter takes "[key: value]" apart.
func parameter(line string) (key, value string, ok bool) {
	if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]") {
		return "", "", false
	}
	key, value, ok = strings.Cut(line[1:len(line)-1], ":")
	return key, strings.TrimPrefix(value, " "), ok && key != ""
}

// clip shortens a piece of input for an error.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
