package gbdt

import "encoding/binary"

// The leaf that a row reaches can be had without walking. Number the places of
// a tree's leaves from left to right. A node then owns the places from its
// leftmost leaf up, and its right child those from a place "to" up. Keep the
// leftmost place that a row can still reach, 0 at first, and go through the
// nodes, parents before children: a node lies on the row's path exactly when
// its own leftmost place is the one kept, and when its test sends the row
// right, the place kept becomes "to". What is kept last is the leaf.
//
// This is the idea of QuickScorer (Lucchese et al., SIGIR 2015: nodes that
// fail rule out the leaves on their left) with a number in the place of its
// bit vector, so that trees of 256 leaves need one byte. Every node is looked
// at, but a step has neither branch nor jump and fits vectors of bytes: the
// lanes are either 256 rows in one tree ([rowProgram]) or 64 trees for one row
// ([treeProgram]).

// maxPlaces is the greatest number of leaves whose places fit a byte.
const maxPlaces = 256

// blockRows is the number of rows of a block of a batch.
const blockRows = 256

// step is one node: a row at place from whose code of the column is above the
// limit moves on to place to.
type step struct {
	column          int
	limit, from, to uint8
}

// appendSteps appends the steps of a tree, and sets places to the numbers of its
// leaves from left to right.
func appendSteps(steps []step, places []int32, t *Tree, tests []nodeCode) ([]step, []int32) {
	places = places[:0]
	var visit func(c int32)
	visit = func(c int32) {
		if c < 0 {
			places = append(places, ^c)
			return
		}
		at := len(steps)
		steps = append(steps, step{column: tests[c].column, limit: tests[c].limit, from: uint8(len(places))})
		visit(t.Left[c])
		steps[at].to = uint8(len(places))
		visit(t.Right[c])
	}
	if len(t.Feature) == 0 {
		visit(^0)
	} else {
		visit(0)
	}
	return steps, places
}

// rowProgram has the steps of every tree for lanes that are rows. A step is
// packed into 64 bits: the column's offset in a block of codes (32 bits), the
// limit, from and to (8 bits each).
type rowProgram struct {
	steps []uint64
	start []int32 // first step of each tree, and the end
}

func (p *rowProgram) add(steps []step) {
	if len(p.start) == 0 {
		p.start = append(p.start, 0)
	}
	for _, s := range steps {
		p.steps = append(p.steps, uint64(s.column*blockRows)|uint64(s.limit)<<32|uint64(s.from)<<40|uint64(s.to)<<48)
	}
	p.start = append(p.start, int32(len(p.steps)))
}

// exitRowsGo sets exits to the places that a block of rows reaches in a tree.
// codes has blockRows bytes a column. Eight rows share a word.
func exitRowsGo(exits *[blockRows]uint8, codes []uint8, steps []uint64) {
	const each = 0x0101010101010101
	for i := 0; i < blockRows; i += 16 {
		var p, q uint64
		for _, s := range steps {
			at := int(uint32(s)) + i
			word := codes[at : at+16 : at+16]
			above := (maxCode - s>>32&0xff) * each
			from := s >> 40 & 0xff * each
			to := s >> 48 * each
			p = moveOn(p, binary.LittleEndian.Uint64(word), above, from, to)
			q = moveOn(q, binary.LittleEndian.Uint64(word[8:]), above, from, to)
		}
		binary.LittleEndian.PutUint64(exits[i:], p)
		binary.LittleEndian.PutUint64(exits[i+8:], q)
	}
}

// moveOn replaces by to the bytes of places that are from and whose code,
// added to above, passes maxCode.
func moveOn(places, codes, above, from, to uint64) uint64 {
	const high = 0x8080808080808080
	z := places ^ from
	moves := (codes + above) &^ ((z&^high + ^uint64(high)) | z) & high
	moves |= moves - moves>>7
	return places ^ (places^to)&moves
}

// treeLanes is the number of trees that one register of treeProgram holds.
const treeLanes = 64

// treeStep is the step number i of 64 trees, parted into vectors.
const treeStep = 4 * treeLanes

// treeProgram has the steps for lanes that are trees. Trees are taken 64 at a
// time; a group has as many steps as its longest tree, and where a tree has
// none left, or there is no tree, a step goes from 0 to 0. A step is treeStep bytes: 64 columns, limits, froms and tos.
type treeProgram struct {
	steps  []uint8
	counts []int32 // steps of each group
	lane   int     // of the next tree
	begin  int     // of the last group in steps
}

func (p *treeProgram) add(steps []step) {
	if p.lane == 0 {
		p.counts = append(p.counts, 0)
		p.begin = len(p.steps)
	}
	last := &p.counts[len(p.counts)-1]
	for ; int(*last) < len(steps); *last++ {
		p.steps = append(p.steps, make([]uint8, treeStep)...)
	}
	for i, s := range steps {
		v := p.steps[p.begin+i*treeStep+p.lane:]
		v[0], v[treeLanes], v[2*treeLanes], v[3*treeLanes] = uint8(s.column), s.limit, s.from, s.to
	}
	p.lane = (p.lane + 1) % treeLanes
}

// exitTreesGo sets exits, 64 bytes a group, to the places that a row with the
// given codes reaches.
func exitTreesGo(exits, codes, steps []uint8, counts []int32) {
	for g, n := range counts {
		out := exits[g*treeLanes : (g+1)*treeLanes]
		clear(out)
		for ; n > 0; n-- {
			for i := range out {
				if codes[steps[i]] > steps[treeLanes+i] && out[i] == steps[2*treeLanes+i] {
					out[i] = steps[3*treeLanes+i]
				}
			}
			steps = steps[treeStep:]
		}
	}
}

// addLeavesGo adds to the sum of each row of a block the leaf of its place.
// leaves starts at those of the tree and has maxPlaces values at least.
func addLeavesGo(sums []float64, leaves []float64, exits *[blockRows]uint8) {
	to, table := (*[blockRows]float64)(sums), (*[maxPlaces]float64)(leaves)
	for i, e := range exits {
		to[i] += table[e]
	}
}
