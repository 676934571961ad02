package gbdt

import (
	"encoding/binary"
	"math"
	"slices"
)

// A node asks where one value stands among few others: a number among the
// thresholds that the model has for that feature, at most 254 with LightGBM's
// bins, a category among the members of sets. So a row is first turned into
// codes, one byte each, and the trees are then walked on bytes alone:
//
//   - The rank of a number is how many thresholds of its feature are below it.
//     x ≤ the k-th threshold exactly when its rank is ≤ k, so nothing is lost.
//   - Ranks are cut into columns of maxCode thresholds, each a byte from 0 to
//     maxCode. Where nodes of one feature send missing values different ways,
//     each way has columns of its own, and a missing value has the code 0
//     (left everywhere) or maxCode (right everywhere) there.
//   - Every node that tests a category set has a column: 0 for members,
//     maxCode for the rest. Each feature keeps a table with one line a known
//     category, and a row copies the line of its category.
//
// Every test is then codes[column] ≤ limit, with 0 ≤ limit < maxCode.
const maxCode = 127

// maxCategoryBytes bounds the tables of a model's category sets; a model that
// needs more is walked in the plain layout.
const maxCategoryBytes = 4 << 20

// coder turns rows into codes: those of numbers first, then those of
// categories. It is immutable.
type coder struct {
	tables     []cutTable // one a column of numbers
	features   []int32    // feature of each
	missing    []missingCode
	small      float64 // least magnitude that no column may take for missing
	categories []categoryCoder
	columns    int // all columns
	vector     bool
}

// cutTable has the thresholds of a column: ends[i] is cuts[16×i+15]. Unused
// ones are +Inf, and so is the last, so that no code is above maxCode.
type cutTable struct {
	ends [8]float64
	cuts [maxCode + 1]float64
}

// missingCode says what a column makes of missing values.
type missingCode struct {
	nan  uint8 // code of NaN
	zero uint8 // code of zero where zero is missing, else keepsRank
}

// keepsRank as the code of zero says that zero is a number like any other.
const keepsRank = 255

// categoryCoder codes one feature that is looked up in sets.
type categoryCoder struct {
	feature int
	column  int      // of the first node
	nodes   int      // columns of the feature
	line    []uint32 // start of each category's line in table; 0 is that of no member
	table   []uint8
}

// nodeCode is the test of one node: left when the code is ≤ limit.
type nodeCode struct {
	column int
	limit  uint8
}

// newCoder makes the codes of a valid model, and the test of every node by
// tree and node. It returns nil when the category tables would be too large.
func newCoder(m *Model, vector bool) (*coder, [][]nodeCode) {
	c := &coder{small: -1, vector: vector}
	tests := make([][]nodeCode, len(m.Trees))
	numbers, sets := make([][]nodeAt, m.NumFeatures()), make([][]nodeAt, m.NumFeatures())
	for t := range m.Trees {
		tree := &m.Trees[t]
		tests[t] = make([]nodeCode, len(tree.Feature))
		for i, f := range tree.Feature {
			to := &numbers[f]
			if tree.Decision[i]&Categorical != 0 {
				to = &sets[f]
			}
			*to = append(*to, nodeAt{tree: tree, node: i, test: &tests[t][i]})
		}
	}
	for f, nodes := range numbers {
		if len(nodes) > 0 {
			c.addNumber(f, nodes)
		}
	}
	c.columns = len(c.tables)
	room := maxCategoryBytes
	for f, nodes := range sets {
		if len(nodes) > 0 && !c.addCategory(f, nodes, &room) {
			return nil, nil
		}
	}
	return c, tests
}

// nodeAt is a node of the model and where its test goes.
type nodeAt struct {
	tree *Tree
	node int
	test *nodeCode
}

func (n nodeAt) threshold() float64 { return n.tree.Threshold[n.node] }

// rule is the part of the decision byte that tells where missing values go.
func (n nodeAt) rule() uint8 {
	d := n.tree.Decision[n.node]
	if d&missingMask == 0 {
		return 0 // NaN is read as 0 whatever the default
	}
	return d & (DefaultLeft | missingMask)
}

func (n nodeAt) set() []uint32 {
	return n.tree.Set(n.node)
}

// addNumber makes the columns of a feature with thresholds.
func (c *coder) addNumber(feature int, nodes []nodeAt) {
	cuts := make([]float64, len(nodes))
	for i, n := range nodes {
		cuts[i] = n.threshold()
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	made := map[[2]int]int{} // rule and part of the ranks → column
	for _, n := range nodes {
		rank, _ := slices.BinarySearch(cuts, n.threshold())
		part := rank / maxCode
		key := [2]int{int(n.rule()), part}
		column, ok := made[key]
		if !ok {
			column = len(c.tables)
			made[key] = column
			c.addColumn(feature, n.rule(), cuts[part*maxCode:min((part+1)*maxCode, len(cuts))])
		}
		*n.test = nodeCode{column, uint8(rank % maxCode)}
	}
}

// addColumn makes the column of up to maxCode thresholds.
func (c *coder) addColumn(feature int, rule uint8, cuts []float64) {
	var t cutTable
	for i := copy(t.cuts[:], cuts); i < len(t.cuts); i++ {
		t.cuts[i] = math.Inf(1)
	}
	for i := range t.ends {
		t.ends[i] = t.cuts[16*i+15]
	}
	m := missingCode{nan: maxCode, zero: keepsRank}
	switch {
	case rule == 0:
		m.nan = t.code(0)
	case rule&DefaultLeft != 0:
		m.nan = 0
	}
	if rule&missingMask == MissingZero {
		m.zero = m.nan
		c.small = ZeroThreshold
	}
	c.tables = append(c.tables, t)
	c.features = append(c.features, int32(feature))
	c.missing = append(c.missing, m)
}

// code is the number of cuts below x, 0 for NaN. It compares with three of 128
// cuts, then three of 32, then the last seven: comparisons that do not wait
// for one another, and no branch.
func (t *cutTable) code(x float64) uint8 {
	a := &t.cuts
	i := 32 * (one(a[31] < x) + one(a[63] < x) + one(a[95] < x))
	b := (*[32]float64)(a[i&96:])
	j := 8 * (one(b[7] < x) + one(b[15] < x) + one(b[23] < x))
	c := (*[8]float64)(b[j&24:])
	k := one(c[0] < x) + one(c[1] < x) + one(c[2] < x) + one(c[3] < x) + one(c[4] < x) + one(c[5] < x) + one(c[6] < x)
	return uint8(i + j + k)
}

// one is 1 for true; it compiles to no branch.
func one(b bool) uint {
	if b {
		return 1
	}
	return 0
}

// addCategory makes the columns of a feature with category sets, and says
// whether there was room for its table.
func (c *coder) addCategory(feature int, nodes []nodeAt, room *int) bool {
	var members []uint32 // union of the sets
	for _, n := range nodes {
		for i, w := range n.set() {
			for i >= len(members) {
				members = append(members, 0)
			}
			members[i] |= w
		}
	}
	known := 0
	cc := categoryCoder{feature: feature, column: c.columns, nodes: len(nodes), line: make([]uint32, 32*len(members))}
	for v := range cc.line {
		if members[v/32]>>(v%32)&1 != 0 {
			known++
			if *room -= len(nodes); *room < 0 {
				return false
			}
			cc.line[v] = uint32(known * len(nodes))
		}
	}
	if *room -= len(nodes) + 4*len(cc.line); *room < 0 {
		return false
	}
	cc.table = make([]uint8, (known+1)*len(nodes))
	for i := range cc.table {
		cc.table[i] = maxCode
	}
	for i, n := range nodes {
		*n.test = nodeCode{c.columns + i, 0}
		set := n.set()
		for v, line := range cc.line {
			if v/32 < len(set) && set[v/32]>>(v%32)&1 != 0 {
				cc.table[int(line)+i] = 0
			}
		}
	}
	c.columns += len(nodes)
	c.categories = append(c.categories, cc)
	return true
}

// row codes one row into codes[:columns].
func (c *coder) row(codes []uint8, row []float64) {
	var special bool
	switch {
	case len(c.tables) == 0:
	case c.vector:
		special = codeRowVector(codes, row, c.tables, c.features, c.small)
	default:
		special = codeRowGo(codes, row, c.tables, c.features, c.small)
	}
	if special {
		for i, f := range c.features {
			codes[i] = c.missing[i].code(row[f], codes[i])
		}
	}
	for i := range c.categories {
		cc := &c.categories[i]
		copy(codes[cc.column:cc.column+cc.nodes], cc.table[cc.lineOf(row[cc.feature]):])
	}
}

// block codes n rows into codes, blockRows bytes a column. rows returns a
// feature's values in them. What it does not set stays.
func (c *coder) block(codes []uint8, n int, rows func(feature int) []float64) {
	var values []float64
	for i, f := range c.features {
		if i == 0 || f != c.features[i-1] {
			values = rows(int(f))
		}
		out := codes[i*blockRows:][:n]
		code := codeColumnGo
		if c.vector {
			code = codeColumnVector
		}
		if code(out, values, &c.tables[i], c.small) {
			for j, x := range values {
				out[j] = c.missing[i].code(x, out[j])
			}
		}
	}
	for i := range c.categories {
		cc := &c.categories[i]
		cc.block(codes[cc.column*blockRows:], rows(cc.feature))
	}
}

// codeRowGo codes the numbers of a row and says whether one of them is not
// above small in magnitude, or NaN.
func codeRowGo(codes []uint8, row []float64, tables []cutTable, features []int32, small float64) (special bool) {
	for i, f := range features {
		x := row[f]
		codes[i] = tables[i].code(x)
		special = special || !(math.Abs(x) > small)
	}
	return special
}

// codeColumnGo codes values for one column, as codeRowGo does.
func codeColumnGo(codes []uint8, values []float64, t *cutTable, small float64) (special bool) {
	for i, x := range values {
		codes[i] = t.code(x)
		special = special || !(math.Abs(x) > small)
	}
	return special
}

// code is the code of a value whose rank has the given code.
func (m missingCode) code(x float64, code uint8) uint8 {
	switch {
	case x != x:
		return m.nan
	case m.zero != keepsRank && math.Abs(x) <= ZeroThreshold:
		return m.zero
	}
	return code
}

// block codes the feature's values of up to blockRows rows. The table has a line
// a category and the codes a line a node, so squares of eight by eight bytes are
// copied and turned over. Codes of rows beyond the values, up to a multiple of
// eight, are overwritten.
func (cc *categoryCoder) block(codes []uint8, values []float64) {
	var lines [blockRows]uint32
	for i, x := range values {
		lines[i] = cc.lineOf(x)
	}
	if cc.nodes < 8 {
		for j := range cc.nodes {
			out, table := codes[j*blockRows:][:len(values)], cc.table[j:]
			for i := range out {
				out[i] = table[lines[i]]
			}
		}
		return
	}
	for j := 0; j < cc.nodes; j += 8 {
		j := min(j, cc.nodes-8) // the last square overlaps the one before
		table, out := cc.table[j:], codes[j*blockRows:][:8*blockRows]
		for i := 0; i < len(values); i += 8 {
			l := lines[i : i+8 : i+8]
			a, b, c, d := le.Uint64(table[l[0]:]), le.Uint64(table[l[1]:]), le.Uint64(table[l[2]:]), le.Uint64(table[l[3]:])
			e, f, g, h := le.Uint64(table[l[4]:]), le.Uint64(table[l[5]:]), le.Uint64(table[l[6]:]), le.Uint64(table[l[7]:])
			// Warren, Hacker's Delight, 7-3: halves are exchanged, then quarters, then
			// eighths.
			a, e = a&0xFFFFFFFF|e<<32, a>>32|e&^0xFFFFFFFF
			b, f = b&0xFFFFFFFF|f<<32, b>>32|f&^0xFFFFFFFF
			c, g = c&0xFFFFFFFF|g<<32, c>>32|g&^0xFFFFFFFF
			d, h = d&0xFFFFFFFF|h<<32, d>>32|h&^0xFFFFFFFF
			const quarters, eighths = 0x0000FFFF0000FFFF, 0x00FF00FF00FF00FF
			a, c = a&quarters|(c&quarters)<<16, a>>16&quarters|c&^quarters
			b, d = b&quarters|(d&quarters)<<16, b>>16&quarters|d&^quarters
			e, g = e&quarters|(g&quarters)<<16, e>>16&quarters|g&^quarters
			f, h = f&quarters|(h&quarters)<<16, f>>16&quarters|h&^quarters
			a, b = a&eighths|(b&eighths)<<8, a>>8&eighths|b&^eighths
			c, d = c&eighths|(d&eighths)<<8, c>>8&eighths|d&^eighths
			e, f = e&eighths|(f&eighths)<<8, e>>8&eighths|f&^eighths
			g, h = g&eighths|(h&eighths)<<8, g>>8&eighths|h&^eighths
			le.PutUint64(out[i:], a)
			le.PutUint64(out[blockRows+i:], b)
			le.PutUint64(out[2*blockRows+i:], c)
			le.PutUint64(out[3*blockRows+i:], d)
			le.PutUint64(out[4*blockRows+i:], e)
			le.PutUint64(out[5*blockRows+i:], f)
			le.PutUint64(out[6*blockRows+i:], g)
			le.PutUint64(out[7*blockRows+i:], h)
		}
	}
}

var le = binary.LittleEndian

// lineOf returns the start of the line of a value in the table.
func (cc *categoryCoder) lineOf(x float64) uint32 {
	v, ok := categoryOf(x)
	if !ok || int(v) >= len(cc.line) {
		return 0
	}
	return cc.line[v]
}
