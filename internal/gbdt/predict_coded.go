package gbdt

import "sync"

// coded walks a model on codes. It is immutable but for its pool.
type coded struct {
	coder   *coder
	machine machineKind
	rows    *rowProgram     // for blocks of rows; nil when single rows are quicker or a tree has more than maxPlaces leaves
	trees   *treeProgram    // for one row; nil when a walker is quicker
	small   *walker[uint32] // for one row, trees of up to maxSmallTree leaves
	large   *walker[uint64] // for one row, others
	leaves  []float64       // by place, then maxPlaces zeros
	numbers []int32         // numbers of the leaves by place
	first   []int32         // place 0 of each tree
	scratch sync.Pool       // of *rowScratch
}

// machineKind says which kernels to use.
type machineKind struct{ rows, trees bool }

func machine() machineKind { return machineKind{rows: hasRowKernel(), trees: hasTreeKernel()} }

// Shapes that the programs are for.
const (
	maxTreeColumns = 256
	maxGoLeaves    = 32 // of the largest tree, where exitRowsGo beats the walker
	vectorLeaves   = 32 // leaves of a tree that addLeaves512 can look up
)

// newCoded lays a valid model out, or returns nil when it does not fit.
func newCoded(m *Model, kind machineKind) *coded {
	coder, tests := newCoder(m, kind.rows)
	most := 0 // leaves of a tree
	for i := range m.Trees {
		most = max(most, len(m.Trees[i].LeafValue))
	}
	if coder == nil || max(coder.columns, most) > maxSlotIndex+1 {
		return nil
	}
	c := &coded{coder: coder, machine: kind}
	if most <= maxPlaces && (kind.rows || most <= maxGoLeaves) {
		c.rows = &rowProgram{}
	}
	codes := max(coder.columns, most)
	switch {
	case kind.trees && coder.columns <= maxTreeColumns && most <= maxPlaces:
		c.trees = &treeProgram{}
		for codes = treeLanes; codes < coder.columns; codes *= 2 {
		}
	case most <= maxSmallTree:
		c.small = &walker[uint32]{}
	default:
		c.large = &walker[uint64]{}
	}
	c.addTrees(m, tests)
	n := len(m.Trees)
	c.scratch.New = func() any {
		return &rowScratch{make([]uint8, codes), make([]uint8, (n+treeLanes-1)/treeLanes*treeLanes), make([]uint16, n)}
	}
	return c
}

func (c *coded) addTrees(m *Model, tests [][]nodeCode) {
	var steps []step
	var places, queue []int32
	for i := range m.Trees {
		t := &m.Trees[i]
		steps, places = appendSteps(steps[:0], places[:0], t, tests[i])
		c.first = append(c.first, int32(len(c.leaves)))
		c.numbers = append(c.numbers, places...)
		for _, number := range places {
			c.leaves = append(c.leaves, t.LeafValue[number])
		}
		if c.rows != nil {
			c.rows.add(steps)
		}
		switch {
		case c.trees != nil:
			c.trees.add(steps)
		case c.small != nil:
			queue = c.small.add(t, tests[i], places, queue)
		default:
			queue = c.large.add(t, tests[i], places, queue)
		}
	}
	c.leaves = append(c.leaves, make([]float64, maxPlaces)...)
}

// rowScratch is the memory that one row needs.
type rowScratch struct {
	codes  []uint8
	places []uint8  // from a treeProgram
	wide   []uint16 // from a walker
}

// raw adds the leaves of a row to dst.
func (c *coded) raw(dst, row []float64) {
	s := c.scratch.Get().(*rowScratch)
	c.coder.row(s.codes, row)
	switch {
	case c.trees != nil:
		exitTreesVector(s.places, s.codes, c.trees.steps, c.trees.counts)
		addRow(dst, c.leaves, c.first, s.places)
	case c.small != nil:
		c.small.exits(s.wide, s.codes)
		addRow(dst, c.leaves, c.first, s.wide)
	default:
		c.large.exits(s.wide, s.codes)
		addRow(dst, c.leaves, c.first, s.wide)
	}
	c.scratch.Put(s)
}

// addRow adds the leaves at one place of each tree to dst.
func addRow[P uint8 | uint16](dst, leaves []float64, first []int32, places []P) {
	places = places[:len(first)]
	if len(dst) == 1 {
		sum := dst[0]
		for t, at := range first {
			sum += leaves[int(at)+int(places[t])]
		}
		dst[0] = sum
		return
	}
	k := 0
	for t, at := range first {
		dst[k] += leaves[int(at)+int(places[t])]
		if k++; k == len(dst) {
			k = 0
		}
	}
}

// leafNumbers sets dst to the leaves that a row reaches.
func (c *coded) leafNumbers(dst []int32, row []float64) {
	s := c.scratch.Get().(*rowScratch)
	c.coder.row(s.codes, row)
	switch {
	case c.trees != nil:
		exitTreesVector(s.places, s.codes, c.trees.steps, c.trees.counts)
		numberRow(dst, c.numbers, c.first, s.places)
	case c.small != nil:
		c.small.exits(s.wide, s.codes)
		numberRow(dst, c.numbers, c.first, s.wide)
	default:
		c.large.exits(s.wide, s.codes)
		numberRow(dst, c.numbers, c.first, s.wide)
	}
	c.scratch.Put(s)
}

// numberRow sets dst to the leaves at one place of each tree.
func numberRow[P uint8 | uint16](dst, numbers, first []int32, places []P) {
	for t, at := range first {
		dst[t] = numbers[int(at)+int(places[t])]
	}
}
