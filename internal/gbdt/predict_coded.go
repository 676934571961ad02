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
	codes   int             // bytes of a row's codes, with what pads them
	scratch sync.Pool       // of *rowScratch, for what is too large for the stack
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
	c.codes = max(coder.columns, most)
	switch {
	case kind.trees && coder.columns <= maxTreeColumns && most <= maxPlaces:
		c.trees = &treeProgram{}
		for c.codes = treeLanes; c.codes < coder.columns; c.codes *= 2 {
		}
	case most <= maxSmallTree:
		c.small = &walker[uint32]{}
	default:
		c.large = &walker[uint64]{}
	}
	c.addTrees(m, tests)
	n := len(m.Trees)
	c.scratch.New = func() any {
		return &rowScratch{make([]uint8, c.codes), make([]uint8, (n+treeLanes-1)/treeLanes*treeLanes), make([]uint16, n)}
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

// rowScratch is the memory of one row of a model that needs more than the
// stack has.
type rowScratch struct {
	codes  []uint8
	places []uint8  // from a treeProgram
	wide   []uint16 // from a walker
}

// Sizes up to which a row's memory is on the stack.
const (
	stackCodes = 256
	stackTrees = 512
)

func (c *coded) onStack() bool { return c.codes <= stackCodes && len(c.first) <= stackTrees }

// byTrees sets places to those that a row reaches. It has treeLanes a group.
func (c *coded) byTrees(places, codes []uint8, row []float64) []uint8 {
	codes, places = codes[:c.codes], places[:treeLanes*len(c.trees.counts)]
	c.coder.row(codes, row)
	exitTreesVector(places, codes, c.trees.steps, c.trees.counts)
	return places
}

// byWalk is byTrees for a walker.
func (c *coded) byWalk(places []uint16, codes []uint8, row []float64) []uint16 {
	codes, places = codes[:c.codes], places[:len(c.first)]
	c.coder.row(codes, row)
	if c.small != nil {
		c.small.exits(places, codes)
	} else {
		c.large.exits(places, codes)
	}
	return places
}

// raw adds the leaves of a row to dst.
func (c *coded) raw(dst, row []float64) {
	switch {
	case !c.onStack():
		s := c.scratch.Get().(*rowScratch)
		if c.trees != nil {
			addRow(dst, c.leaves, c.first, c.byTrees(s.places, s.codes, row))
		} else {
			addRow(dst, c.leaves, c.first, c.byWalk(s.wide, s.codes, row))
		}
		c.scratch.Put(s)
	case c.trees != nil:
		var codes [stackCodes]uint8
		var places [stackTrees]uint8
		addRow(dst, c.leaves, c.first, c.byTrees(places[:], codes[:], row))
	default:
		var codes [stackCodes]uint8
		var places [stackTrees]uint16
		addRow(dst, c.leaves, c.first, c.byWalk(places[:], codes[:], row))
	}
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
	switch {
	case !c.onStack():
		s := c.scratch.Get().(*rowScratch)
		if c.trees != nil {
			numberRow(dst, c.numbers, c.first, c.byTrees(s.places, s.codes, row))
		} else {
			numberRow(dst, c.numbers, c.first, c.byWalk(s.wide, s.codes, row))
		}
		c.scratch.Put(s)
	case c.trees != nil:
		var codes [stackCodes]uint8
		var places [stackTrees]uint8
		numberRow(dst, c.numbers, c.first, c.byTrees(places[:], codes[:], row))
	default:
		var codes [stackCodes]uint8
		var places [stackTrees]uint16
		numberRow(dst, c.numbers, c.first, c.byWalk(places[:], codes[:], row))
	}
}

// numberRow sets dst to the leaves at one place of each tree.
func numberRow[P uint8 | uint16](dst, numbers, first []int32, places []P) {
	for t, at := range first {
		dst[t] = numbers[int(at)+int(places[t])]
	}
}
