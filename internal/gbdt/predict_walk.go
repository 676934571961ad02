package gbdt

// A walk over codes takes a step without a branch: the children of a node
// stand side by side, so the next slot is child + (code > limit). A leaf is a
// slot whose own index is its child and whose limit no code passes; one that
// has arrived stays. So trees can be walked several at a time, each step
// waiting for memory while the others go on.

// slot packs a node: bits 0 to 15 hold the column of the code (a leaf: its
// place), bits 16 to 22 the limit (a leaf: maxCode), the rest the index of
// the left child within the tree. In 32 bits that is enough for trees of
// maxSmallTree leaves.
type slot interface{ uint32 | uint64 }

const (
	slotLimit    = 16
	slotChild    = 23
	maxSmallTree = 256
	maxSlotIndex = 1<<16 - 1 // greatest column or place
)

// walker holds the slots of all trees. Roots come first within a tree, levels
// follow one another.
type walker[S slot] struct {
	slots []S
	start []int32 // first slot of each tree
}

// add appends a tree, level by level. places has the numbers of its leaves
// from left to right; queue is memory to use, and returned.
func (w *walker[S]) add(t *Tree, tests []nodeCode, places, queue []int32) []int32 {
	w.start = append(w.start, int32(len(w.slots)))
	n := len(places)
	queue = append(queue[:0], make([]int32, n)...)
	for place, number := range places {
		queue[number] = int32(place)
	}
	root := int32(0)
	if n == 1 {
		root = ^root
	}
	queue = append(queue, root)
	for at := n; at < len(queue); at++ {
		c := queue[at]
		if c < 0 {
			w.slots = append(w.slots, S(at-n)<<slotChild|maxCode<<slotLimit|S(queue[^c]))
			continue
		}
		w.slots = append(w.slots, S(len(queue)-n)<<slotChild|S(tests[c].limit)<<slotLimit|S(tests[c].column))
		queue = append(queue, t.Left[c], t.Right[c])
	}
	return queue
}

// next is the slot after one whose test sees the given code.
func next[S slot](s S, code uint8) int {
	return int(s>>slotChild) + int(uint64(int64(s>>slotLimit&maxCode)-int64(code))>>63)
}

// exits sets dst to the places that codes lead to. There must be as many codes
// as a tree has leaves: a leaf that waits for others looks one up, in vain.
func (w *walker[S]) exits(dst []uint16, codes []uint8) {
	t := 0
	for ; t+4 <= len(w.start); t += 4 {
		w.four(dst[t:t+4:t+4], codes, t)
	}
	for ; t < len(w.start); t++ {
		tree := w.slots[w.start[t]:]
		s := tree[0]
		for s>>slotLimit&maxCode != maxCode {
			s = tree[next(s, codes[uint16(s)])]
		}
		dst[t] = uint16(s)
	}
}

// four walks trees t to t+3.
func (w *walker[S]) four(dst []uint16, codes []uint8, t int) {
	start := w.start[t : t+4 : t+4]
	a, b, c, d := w.slots[start[0]:], w.slots[start[1]:], w.slots[start[2]:], w.slots[start[3]:]
	p, q, r, s := a[0], b[0], c[0], d[0]
	for (p&q&r&s)>>slotLimit&maxCode != maxCode {
		p = a[next(p, codes[uint16(p)])]
		q = b[next(q, codes[uint16(q)])]
		r = c[next(r, codes[uint16(r)])]
		s = d[next(s, codes[uint16(s)])]
	}
	dst[0], dst[1], dst[2], dst[3] = uint16(p), uint16(q), uint16(r), uint16(s)
}
