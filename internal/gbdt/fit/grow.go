package fit

import (
	"math"

	"github.com/healml/healml/internal/gbdt"
)

// grower grows trees leaf by leaf: it always splits the leaf whose best split
// gains most. Everything it needs is reserved once and used for every tree.
type grower struct {
	data *Dataset
	p    *Params
	crew *crew

	rows   []int32 // of the bag, those of a leaf behind one another
	spare  []int32
	grad   []pair // one a row of data
	leaves []growing
	tree   grown

	draw                      []bool // features drawn for this tree, by Dataset.features
	blocks                    []sums // partial sums of the root
	cuts                      []int  // rows of each block that go left
	scans                     []scan // one a worker
	found                     [2][]split
	smaller                   *growing
	larger                    *growing // nil at the root
	span                      []int32  // rows of the leaf that is being partitioned
	table                     []uint8
	by                        *feature
	sumJob, cutJob, searchJob func(worker, job int)
}

// growing is a leaf of the tree that is being grown.
type growing struct {
	begin, count int // in grower.rows
	depth        int
	parent       int32 // node above; −1 at the root
	total        sums
	hist         []entry
	// dead marks features that did not split this leaf's parent; they are
	// not tried again below.
	dead  []bool
	best  split
	value float64
}

// grown is a tree over bins. Its nodes are walked with tables: the byte at
// table[node.table+bin] is 1 when the bin goes left.
type grown struct {
	gbdt.Tree
	nodes  []binNode
	tables []uint8
}

type binNode struct {
	feature     int32
	table       int32
	left, right int32 // as in gbdt.Tree
}

func newGrower(d *Dataset, p *Params, c *crew, rows int) *grower {
	g := &grower{
		data: d, p: p, crew: c,
		rows: make([]int32, 0, rows), spare: make([]int32, rows),
		leaves: make([]growing, p.NumLeaves),
		draw:   make([]bool, len(d.features)),
		scans:  make([]scan, c.size),
		blocks: make([]sums, (rows+rowBlock-1)/rowBlock),
		cuts:   make([]int, c.size),
	}
	for i := range g.found {
		g.found[i] = make([]split, len(d.groups))
	}
	for i := range g.scans {
		g.scans[i].p = p
	}
	for i := range g.leaves {
		g.leaves[i].dead = make([]bool, len(d.features))
	}
	g.sumJob, g.cutJob, g.searchJob = g.sumBlock, g.cutBlock, g.searchGroup
	return g
}

// rowBlock is the number of rows whose gradients are summed, and losses
// evaluated, at one go. It is fixed, so sums do not depend on the number of
// threads.
const rowBlock = 4096

// grow grows a tree on the bag with the given gradients. The result is valid
// until the next call; a tree that could not be split has one leaf.
func (g *grower) grow(bag []int32, grad []pair) *grown {
	g.grad = grad
	g.rows = append(g.rows[:0], bag...)
	t := &g.tree
	g.resetTree()
	root := &g.leaves[0]
	root.begin, root.count, root.depth, root.parent = 0, len(bag), 0, -1
	root.total = g.sum()
	clear(root.dead)
	root.value = number(g.scans[0].output(root.total.g, root.total.h, g.p.LambdaL2))
	g.reserve(root)
	g.search(root, nil)
	for n := 1; n < g.p.NumLeaves; n++ {
		best := g.bestLeaf(n)
		if !(g.leaves[best].best.gain > 0) {
			break
		}
		if !g.split(best, n) {
			n-- // the leaf turned out not to split; try the next best
		}
	}
	for i := range t.LeafValue {
		t.LeafValue[i] = g.leaves[i].value
	}
	return t
}

func (g *grower) resetTree() {
	t := &g.tree
	*t = grown{Tree: gbdt.Tree{LeafValue: []float64{0}, LeafWeight: []float64{0}, LeafCount: []int64{0}, Shrinkage: 1},
		nodes: t.nodes[:0], tables: t.tables[:0]}
}

// number reads NaN, the output of a leaf of no weight, as 0.
func number(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// reserve gives a leaf memory for its histogram.
func (g *grower) reserve(l *growing) {
	if l.hist == nil {
		l.hist = make([]entry, g.data.histLen)
	}
}

func (g *grower) bestLeaf(n int) int {
	best := 0
	for i := 1; i < n; i++ {
		if g.leaves[i].best.better(&g.leaves[best].best) {
			best = i
		}
	}
	return best
}

// sum adds up the gradients of all rows, block by block.
func (g *grower) sum() sums {
	n := (len(g.rows) + rowBlock - 1) / rowBlock
	g.crew.run(n, g.sumJob)
	var s sums
	for _, b := range g.blocks[:n] {
		s.g += b.g
		s.h += b.h
	}
	return s
}

func (g *grower) sumBlock(_, block int) {
	var s sums
	for _, r := range g.rows[block*rowBlock : min((block+1)*rowBlock, len(g.rows))] {
		s.g += float64(g.grad[r].g)
		s.h += float64(g.grad[r].h)
	}
	g.blocks[block] = s
}

// splittable reports whether the limits on depth and rows allow to split one
// of two sisters (or the root).
func (g *grower) splittable(a, b *growing) bool {
	if g.p.MaxDepth > 0 && a.depth >= g.p.MaxDepth {
		return false
	}
	n := a.count
	if b != nil {
		n = max(n, b.count)
	}
	return n >= 2*g.p.MinDataInLeaf && n >= 2
}

// search finds the best splits of two sisters, or of the root alone. The
// larger sister comes with the histogram of their parent and leaves with its
// own: it is what the smaller one takes off.
func (g *grower) search(smaller, larger *growing) {
	smaller.best.reset()
	if larger != nil {
		larger.best.reset()
	}
	if !g.splittable(smaller, larger) {
		return
	}
	g.smaller, g.larger = smaller, larger
	jobs := len(g.data.groups)
	g.crew.run(jobs, g.searchJob)
	for i := range jobs {
		if s := &g.found[0][i]; s.better(&smaller.best) {
			smaller.best.copyFrom(s)
		}
		if s := &g.found[1][i]; larger != nil && s.better(&larger.best) {
			larger.best.copyFrom(s)
		}
	}
}

// searchGroup makes the histograms of one group of features and finds its
// best split in either sister.
func (g *grower) searchGroup(worker, job int) {
	grp := &g.data.groups[job]
	scan := &g.scans[worker]
	small, large := &g.found[0][job], &g.found[1][job]
	small.reset()
	large.reset()
	features := g.data.features[grp.lo:grp.hi]
	alive := false
	for i := range features {
		alive = alive || g.alive(grp.lo+i)
	}
	if !alive {
		return
	}
	rows := g.rows[g.smaller.begin : g.smaller.begin+g.smaller.count]
	part := g.smaller.hist[grp.at : grp.at+grp.size]
	for i := range features {
		f := &features[i]
		clear(g.smaller.hist[f.at : f.at+f.bins])
	}
	grp.accumulate(part, rows, g.grad)
	for i := range features {
		f := &features[i]
		if !g.alive(grp.lo + i) {
			continue
		}
		hist := g.smaller.hist[f.at : f.at+f.bins]
		g.find(scan, g.smaller, grp.lo+i, hist, small)
		if g.larger != nil {
			rest := g.larger.hist[f.at : f.at+f.bins]
			subtract(rest, hist)
			g.find(scan, g.larger, grp.lo+i, rest, large)
		}
	}
}

// alive reports whether a feature is tried at the leaves at hand. Sisters
// have inherited the same dead features.
func (g *grower) alive(f int) bool { return g.draw[f] && !g.smaller.dead[f] }

// find puts a leaf's best split on a feature into best if it is better.
func (g *grower) find(s *scan, l *growing, index int, hist []entry, best *split) {
	f := &g.data.features[index]
	if !s.find(f, hist, l.total, l.count) {
		l.dead[index] = true
		return
	}
	s.best.feature, s.best.index = index, f.index
	if s.best.better(best) {
		best.copyFrom(&s.best)
	}
}

// split parts leaf i by its best split into itself and leaf next, and
// searches both. It reports false, and gives up the leaf, when all rows turn
// out to go one way: bins hold no counts, only hessians to guess them from.
func (g *grower) split(i, next int) bool {
	l, r := &g.leaves[i], &g.leaves[next]
	s := &l.best
	f := &g.data.features[s.feature]
	at := len(g.tree.tables)
	g.addTable(f, s)
	left := g.partition(l, f, g.tree.tables[at:])
	if left == 0 || left == l.count {
		g.tree.tables = g.tree.tables[:at]
		s.reset()
		return false
	}
	g.addNode(i, next, f, s, at, left)
	r.begin, r.count, r.depth = l.begin+left, l.count-left, l.depth+1
	l.count, l.depth = left, l.depth+1
	r.total, l.total = s.right, s.left
	r.value, l.value = number(s.rightOut), number(s.leftOut)
	copy(r.dead, l.dead)
	g.reserve(r)
	if l.count < r.count {
		l.hist, r.hist = r.hist, l.hist
		g.search(l, r)
	} else {
		g.search(r, l)
	}
	return true
}

// addTable appends, for every bin of the feature, whether it goes left.
func (g *grower) addTable(f *feature, s *split) {
	at := len(g.tree.tables)
	for range f.bins {
		g.tree.tables = append(g.tree.tables, 0)
	}
	table := g.tree.tables[at:]
	if f.categorical {
		for _, b := range s.bins {
			table[b] = 1
		}
		return
	}
	for b := range s.threshold + 1 {
		table[b] = 1
	}
	if f.missing {
		table[f.bins-1] = 0
		if s.defaultLeft {
			table[f.bins-1] = 1
		}
	}
}

// addNode makes leaf i of the tree an inner node over the leaves i and next.
func (g *grower) addNode(i, next int, f *feature, s *split, table, left int) {
	t := &g.tree
	n := int32(len(t.Feature))
	l := &g.leaves[i]
	if p := l.parent; p >= 0 && t.Left[p] == ^int32(i) {
		t.Left[p], t.nodes[p].left = n, n
	} else if p >= 0 {
		t.Right[p], t.nodes[p].right = n, n
	}
	l.parent, g.leaves[next].parent = n, n
	t.nodes = append(t.nodes, binNode{int32(s.feature), int32(table), ^int32(i), ^int32(next)})
	t.Feature = append(t.Feature, int32(f.index))
	t.Left, t.Right = append(t.Left, ^int32(i)), append(t.Right, ^int32(next))
	t.Gain = append(t.Gain, float64(float32(s.gain+g.p.MinGainToSplit)))
	t.InternalValue = append(t.InternalValue, l.value)
	t.InternalWeight = append(t.InternalWeight, s.left.h+s.right.h)
	t.InternalCount = append(t.InternalCount, int64(l.count))
	t.LeafValue = append(t.LeafValue, 0)
	t.LeafWeight[i] = s.left.h
	t.LeafWeight = append(t.LeafWeight, s.right.h)
	t.LeafCount[i] = int64(left)
	t.LeafCount = append(t.LeafCount, int64(l.count-left))
	var decision uint8
	if f.missing {
		decision = gbdt.MissingNaN
	}
	if f.categorical {
		t.Decision = append(t.Decision, decision|gbdt.Categorical)
		t.Threshold = append(t.Threshold, float64(t.NumSets()))
		t.addSet(f, s.bins)
		return
	}
	if s.defaultLeft {
		decision |= gbdt.DefaultLeft
	}
	t.Decision = append(t.Decision, decision)
	t.Threshold = append(t.Threshold, f.bounds[s.threshold])
}

// addSet appends the categories of bins as a bit set.
func (t *grown) addSet(f *feature, bins []uint16) {
	if t.CatBoundaries == nil {
		t.CatBoundaries = []int32{0}
	}
	start := len(t.CatThreshold)
	for _, b := range bins {
		c := int(f.categories[b])
		for len(t.CatThreshold) <= start+c/32 {
			t.CatThreshold = append(t.CatThreshold, 0)
		}
		t.CatThreshold[start+c/32] |= 1 << (c % 32)
	}
	t.CatBoundaries = append(t.CatBoundaries, int32(len(t.CatThreshold)))
}

// partition puts the rows of a leaf that go left before those that go right,
// each in their old order, and returns the number of the former.
func (g *grower) partition(l *growing, f *feature, table []uint8) int {
	g.span, g.by, g.table = g.rows[l.begin:l.begin+l.count], f, table
	n := 1
	if l.count > 1<<13 {
		n = g.crew.size
	}
	g.cuts = g.cuts[:n]
	g.crew.run(n, g.cutJob)
	// Every block has its left rows in place and its right ones in spare.
	left := g.cuts[0]
	for b := 1; b < n; b++ {
		at := l.count * b / n
		left += copy(g.span[left:], g.span[at:at+g.cuts[b]])
	}
	right := left
	for b := range n {
		at, end := l.count*b/n, l.count*(b+1)/n
		right += copy(g.span[right:], g.spare[at:at+end-(at+g.cuts[b])])
	}
	return left
}

// cutBlock moves the left rows of one block of the leaf to the block's start,
// and its right rows to the same place in spare.
func (g *grower) cutBlock(_, b int) {
	lo, hi := len(g.span)*b/len(g.cuts), len(g.span)*(b+1)/len(g.cuts)
	rows, spare := g.span[lo:hi], g.spare[lo:hi]
	words, shift, mask := g.data.groups[g.by.group].words, g.by.shift&63, g.by.mask
	table := g.table
	left := 0
	for i, r := range rows {
		rows[left] = r
		spare[i-left] = r
		left += int(table[words[r]>>shift&mask])
	}
	g.cuts[b] = left
}

// leaf walks a row of d, which has the bins that the tree was grown on, to
// the index of its leaf.
func (t *grown) leaf(d *Dataset, row int32) int32 {
	if len(t.nodes) == 0 {
		return 0
	}
	at := int32(0)
	for at >= 0 {
		n := &t.nodes[at]
		if t.tables[int(n.table)+d.bin(&d.features[n.feature], row)] != 0 {
			at = n.left
		} else {
			at = n.right
		}
	}
	return ^at
}
