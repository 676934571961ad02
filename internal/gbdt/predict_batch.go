package gbdt

// table is a batch of rows in either order.
type table interface {
	// column returns the values of a feature in rows [lo, hi), of which there
	// are at most blockRows; buf is memory to use.
	column(buf *[blockRows]float64, feature, lo, hi int) []float64
	// row returns a row; buf is memory to use, one value a feature.
	row(buf []float64, i int) []float64
}

// columnTable has a slice a feature.
type columnTable [][]float64

func (t columnTable) column(_ *[blockRows]float64, feature, lo, hi int) []float64 {
	return t[feature][lo:hi]
}

func (t columnTable) row(buf []float64, i int) []float64 {
	for f, col := range t {
		buf[f] = col[i]
	}
	return buf
}

// rowTable has one row after another.
type rowTable struct {
	values   []float64
	features int
}

func (t rowTable) column(buf *[blockRows]float64, feature, lo, hi int) []float64 {
	out := buf[:hi-lo]
	for i := range out {
		out[i] = t.values[(lo+i)*t.features+feature]
	}
	return out
}

func (t rowTable) row(_ []float64, i int) []float64 {
	return t.values[i*t.features : (i+1)*t.features]
}

// A batch meets the trees in blocks of blockRows rows: their codes and sums
// stay in the nearest cache. Fewer than fewRows rows are quicker one by one,
// and so are blocks whose codes or sums would fill the cache.
const (
	fewRows         = 16
	maxBlockColumns = 1 << 13
	maxBlockOutputs = 1 << 8
)

// predictRows predicts rows [lo, hi).
func (p *Predictor) predictRows(dst []float64, rows table, lo, hi int) {
	k := p.outputs
	if c := p.coded; c != nil && c.rows != nil && c.coder.columns <= maxBlockColumns && k <= maxBlockOutputs {
		b := block{coded: c, codes: make([]uint8, c.coder.columns*blockRows), sums: make([]float64, k*blockRows)}
		for ; lo+fewRows <= hi; lo += blockRows {
			n := min(blockRows, hi-lo)
			b.raw(dst[lo*k:(lo+n)*k], rows, lo, lo+n)
			for i := range n {
				p.finish(dst[(lo+i)*k : (lo+i+1)*k])
			}
		}
	}
	buf := make([]float64, p.features)
	for ; lo < hi; lo++ {
		p.Predict(dst[lo*k:(lo+1)*k], rows.row(buf, lo))
	}
}

// block is the memory of one goroutine for blocks of rows.
type block struct {
	coded *coded
	buf   [blockRows]float64
	exits [blockRows]uint8
	codes []uint8   // blockRows a column
	sums  []float64 // blockRows an output
}

// raw sets dst to the raw scores of rows [lo, hi), at most blockRows.
func (b *block) raw(dst []float64, rows table, lo, hi int) {
	b.coded.coder.block(b.codes, hi-lo, func(feature int) []float64 { return rows.column(&b.buf, feature, lo, hi) })
	clear(b.sums)
	c := b.coded
	k := len(b.sums) / blockRows
	for t, first := range c.first {
		sums := b.sums[t%k*blockRows:]
		steps := c.rows.steps[c.rows.start[t]:c.rows.start[t+1]]
		if !c.machine.rows {
			exitRowsGo(&b.exits, b.codes, steps)
			addLeavesGo(sums, c.leaves[first:], &b.exits)
			continue
		}
		exitRowsVector(&b.exits, b.codes, steps)
		if len(steps) < vectorLeaves {
			addLeavesVector(sums, c.leaves[first:], &b.exits)
		} else {
			addLeavesGo(sums, c.leaves[first:], &b.exits)
		}
	}
	for i := range hi - lo {
		for o := range k {
			dst[i*k+o] = b.sums[o*blockRows+i]
		}
	}
}
