package fit

import (
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/splitmix"
)

// grower grows trees leaf by leaf: it always splits the leaf whose best split
// gains most. Everything it needs is reserved once and used for every tree.
type grower struct {
	data *Dataset
	p    *Params
	crew *crew

	// rows of the bag, those of a leaf behind one another: a split moves the
	// rows of a leaf from one of the first two slices to the other. The third
	// is the bag itself, where the root finds its rows.
	rows    [3][]int32
	grad    []pair  // one a row of data
	quant   []int64 // the same, packed
	packing packing
	leaves  []growing
	nodes   []settling // one an inner node
	tree    grown
	whole   bool     // the bag is all rows in order
	leafOf  []uint16 // of each row of the bag, when the tree has grown

	monotone []int      // constraints, by Dataset.features
	draw     []bool     // features drawn for this tree, by Dataset.features
	groups   []bool     // with features that are tried at the leaves at hand
	pieces   []piece    // of the rows of all leaves
	cuts     []int      // rows that go left, by block
	left     []uint8    // by place in the leaf: 1 when the row goes left
	scans    []scan     // one a worker
	stages   []stage    // one a worker
	partial  [][]int64  // histograms of every worker but the first, which has the leaf's own
	used     []bool     // workers whose histograms hold rows of the leaf at hand
	found    [2][]split // by job, for either sister

	smaller *growing          // the leaves at hand
	larger  *growing          // nil at the root
	chunks  int               // of the smaller one's rows
	span    *growing          // the leaf that is being partitioned
	table   []uint8           // what bins go left
	bins    [narrowBins]uint8 // the same
	by      *feature

	packed                                                 []int64 // sums by block of rows
	packJob, addJob, cutJob, moveJob, searchJob, settleJob func(worker, job int)
	seed                                                   uint64
}

// growing is a leaf of the tree that is being grown.
type growing struct {
	at           int // slice of grower.rows
	begin, count int // in that slice
	depth        int
	parent       int32 // node above; −1 at the root
	sum          int64 // packed
	hist         []int64
	// dead marks features that did not split this leaf's parent; they are
	// not tried again below.
	dead []bool
	best split
	settling
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
	blocks := (rows + rowBlock - 1) / rowBlock
	g := &grower{
		data: d, p: p, crew: c,
		rows: [3][]int32{make([]int32, rows), make([]int32, rows)}, left: make([]uint8, rows), leafOf: make([]uint16, d.rows), quant: reserve[int64](d.rows),
		leaves:   make([]growing, p.NumLeaves),
		nodes:    make([]settling, 0, p.NumLeaves-1),
		pieces:   make([]piece, 0, blocks+p.NumLeaves),
		draw:     make([]bool, len(d.features)),
		monotone: make([]int, len(d.features)),
		groups:   make([]bool, len(d.groups)),
		scans:    make([]scan, c.size),
		stages:   make([]stage, c.size),
		partial:  make([][]int64, c.size),
		used:     make([]bool, c.size),
		cuts:     make([]int, c.size),
		packed:   make([]int64, blocks),
	}
	for i := range g.found {
		g.found[i] = make([]split, min(len(d.features), 2*c.size))
	}
	for i := range g.scans {
		g.scans[i].p, g.scans[i].packing = p, &g.packing
	}
	for i := range c.size {
		g.stages[i] = newStage(d.stride)
		if i > 0 {
			g.partial[i] = make([]int64, d.histLen)
		}
	}
	for i := range g.leaves {
		g.leaves[i].dead = make([]bool, len(d.features))
	}
	g.packJob, g.addJob, g.cutJob, g.moveJob = g.packBlock, g.addChunk, g.cutBlock, g.moveBlock
	g.searchJob, g.settleJob = g.searchFeatures, g.sumPiece
	return g
}

// rowBlock is the number of rows whose gradients are summed, and losses
// evaluated, at one go. It is fixed, so sums do not depend on the number of
// threads.
const rowBlock = 4096

// grow grows a tree on the bag with gradients within e; whole says that the
// bag is all rows in order. The result is valid until the next call; a tree
// that could not be split has one leaf.
func (g *grower) grow(bag []int32, whole bool, grad []pair, e extent) *grown {
	g.rows[bagRows], g.whole, g.grad = bag, whole, grad
	sum := g.pack(e)
	t := &g.tree
	g.resetTree()
	root := &g.leaves[0]
	root.at, root.begin, root.count, root.depth, root.parent = bagRows, 0, len(bag), 0, -1
	root.sum, root.l2, root.bounds = sum, g.p.LambdaL2, unbounded()
	clear(root.dead)
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
	if t.NumLeaves() > 1 {
		g.settle()
	}
	return t
}

// pack turns the gradients of the bag into integers and returns their sum.
func (g *grower) pack(e extent) (sum int64) {
	g.packing = newPacking(len(g.rows[bagRows]), e)
	g.seed++
	n := (len(g.rows[bagRows]) + rowBlock - 1) / rowBlock
	g.crew.run(n, g.packJob)
	for _, s := range g.packed[:n] {
		sum += s
	}
	return sum
}

func (g *grower) packBlock(_, b int) {
	bag := g.rows[bagRows]
	rows := bag[b*rowBlock : min((b+1)*rowBlock, len(bag))]
	g.packed[b] = g.packing.pack(rows, g.grad, g.quant, splitmix.Mix(g.seed<<32+uint64(b)))
}

// bagRows is the slice of grower.rows that holds the bag.
const bagRows = 2

// other is the slice that rows are moved to.
func other(at int) int { return (at + 1) % bagRows }

// rowsOf are the rows of a leaf.
func (g *grower) rowsOf(l *growing) []int32 { return g.rows[l.at][l.begin : l.begin+l.count] }

func (g *grower) resetTree() {
	t := &g.tree
	*t = grown{Tree: gbdt.Tree{LeafValue: []float64{0}, LeafWeight: []float64{0}, LeafCount: []int64{0}, Shrinkage: 1},
		nodes: t.nodes[:0], tables: t.tables[:0]}
	g.nodes = g.nodes[:0]
}

// reserve gives a leaf memory for its histogram.
func (g *grower) reserve(l *growing) {
	if l.hist == nil {
		l.hist = make([]int64, g.data.histLen)
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
	for i := range g.data.groups {
		g.groups[i] = g.anyAlive(&g.data.groups[i])
	}
	clear(g.used)
	g.chunks = g.parts(smaller.count)
	g.crew.run(g.chunks, g.addJob)
	g.begin(0)
	jobs := len(g.found[0])
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

// parts is the number of jobs that n rows are shared out in: some for every
// worker, so that a slow one does not keep the others waiting.
func (g *grower) parts(n int) int {
	const least, usual = 512, 8192
	return max(min(n/least, max(g.crew.size, n/usual)), 1)
}

// begin clears a worker's histograms of the leaf at hand unless it was done.
func (g *grower) begin(worker int) []int64 {
	hist := g.smaller.hist
	if worker > 0 {
		hist = g.partial[worker]
	}
	if g.used[worker] {
		return hist
	}
	g.used[worker] = true
	for i := range g.data.groups {
		if grp := &g.data.groups[i]; g.groups[i] {
			clear(hist[grp.at : grp.at+grp.size])
		}
	}
	return hist
}

// addChunk adds some of the smaller sister's rows to the worker's histograms.
func (g *grower) addChunk(worker, chunk int) {
	l, d, hist := g.smaller, g.data, g.begin(worker)
	lo, hi := l.count*chunk/g.chunks, l.count*(chunk+1)/g.chunks
	if g.whole && g.larger == nil {
		d.accumulateRange(hist, g.groups, lo, hi, g.quant)
		return
	}
	d.accumulate(hist, g.groups, g.rowsOf(l)[lo:hi], g.quant, &g.stages[worker])
}

func (g *grower) anyAlive(grp *group) bool {
	for f := grp.lo; f < grp.hi; f++ {
		if g.alive(f) {
			return true
		}
	}
	return false
}

// searchFeatures finds the best split of either sister among some features.
func (g *grower) searchFeatures(worker, job int) {
	n, jobs := len(g.data.features), len(g.found[0])
	lo, hi := n*job/jobs, n*(job+1)/jobs
	scan := &g.scans[worker]
	small, large := &g.found[0][job], &g.found[1][job]
	small.reset()
	large.reset()
	scan.begin(g.smaller.sum, g.smaller.count, g.smaller.bounds)
	for i := lo; i < hi; i++ {
		if !g.alive(i) {
			continue
		}
		f := &g.data.features[i]
		hist := g.smaller.hist[f.at : f.at+f.bins]
		for worker, part := range g.partial {
			if worker > 0 && g.used[worker] {
				merge(hist, part[f.at:f.at+f.bins])
			}
		}
		if g.larger != nil {
			subtract(g.larger.hist[f.at:f.at+f.bins], hist)
		}
		g.find(scan, g.smaller, i, small)
	}
	if g.larger == nil {
		return
	}
	// Both sisters have the same dead features until here.
	scan.begin(g.larger.sum, g.larger.count, g.larger.bounds)
	for i := lo; i < hi; i++ {
		if g.draw[i] && !g.larger.dead[i] {
			g.find(scan, g.larger, i, large)
		}
	}
}

// alive reports whether a feature is tried at the leaves at hand. Sisters
// have inherited the same dead features.
func (g *grower) alive(f int) bool { return g.draw[f] && !g.smaller.dead[f] }

// find puts a leaf's best split on a feature into best if it is better.
func (g *grower) find(s *scan, l *growing, index int, best *split) {
	f := &g.data.features[index]
	if !s.find(f, g.monotone[index], l.hist[f.at:f.at+f.bins]) {
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
	r.at, r.begin, r.count, r.depth = l.at, l.begin+left, l.count-left, l.depth+1
	l.count, l.depth = left, l.depth+1
	g.nodes = append(g.nodes, settling{l2: l.l2, bounds: l.bounds})
	r.sum, l.sum = s.right, s.left
	r.l2, l.l2 = s.l2, s.l2
	l.bounds, r.bounds = childBounds(l.bounds, g.monotone[s.feature], s)
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

// childBounds are the bounds of both sides of a split. A feature with a
// monotone constraint keeps them apart at the middle of their outputs
// (LightGBM's method basic).
func childBounds(b interval, monotone int, s *split) (left, right interval) {
	left, right = b, b
	middle := (s.leftOut + s.rightOut) / 2
	switch {
	case monotone > 0:
		left.hi, right.lo = middle, middle
	case monotone < 0:
		left.lo, right.hi = middle, middle
	}
	return left, right
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
	t.InternalValue = append(t.InternalValue, 0)
	t.InternalWeight = append(t.InternalWeight, 0)
	t.InternalCount = append(t.InternalCount, int64(l.count))
	t.LeafValue = append(t.LeafValue, 0)
	t.LeafWeight = append(t.LeafWeight, 0)
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
