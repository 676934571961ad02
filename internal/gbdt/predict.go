package gbdt

import "sync"

// Predictor answers what a model predicts. It holds its own copy of the
// trees, laid out for the machine at hand, and is safe for concurrent use.
type Predictor struct {
	plain    *plain // nil when the model fits codes
	coded    *coded // else nil
	trees    int
	leaves   int // of all trees
	features int
	outputs  int
	average  float64 // divisor of the raw score, 1 unless AverageOutput
	link     Objective
}

// NewPredictor validates the model and lays it out. The model may be changed
// afterwards without effect on the predictor.
func NewPredictor(m *Model) (*Predictor, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	link, err := ParseObjective(m.Objective)
	if err != nil {
		return nil, err
	}
	p := &Predictor{trees: len(m.Trees), features: m.NumFeatures(), outputs: m.NumOutputs(), average: 1, link: link}
	if m.AverageOutput {
		p.average = float64(m.NumIterations())
	}
	for i := range m.Trees {
		p.leaves += len(m.Trees[i].LeafValue)
	}
	if p.coded = newCoded(m, machine()); p.coded == nil {
		p.plain, err = newPlain(m)
	}
	return p, err
}

// NumOutputs is the length of dst that [Predictor.Predict] fills.
func (p *Predictor) NumOutputs() int { return p.outputs }

// NumFeatures is the length of the rows.
func (p *Predictor) NumFeatures() int { return p.features }

// NumTrees is the length of dst that [Predictor.Leaves] fills.
func (p *Predictor) NumTrees() int { return p.trees }

// Raw sets dst to the raw scores of a row: the sum of its leaves in tree
// order, before averaging and the objective's transform. The lengths of dst
// and row are NumOutputs and NumFeatures. NaN is missing; a category is its
// code.
func (p *Predictor) Raw(dst, row []float64) {
	row, dst = row[:p.features], dst[:p.outputs]
	clear(dst)
	if p.coded != nil {
		p.coded.raw(dst, row)
	} else {
		p.plain.raw(dst, row)
	}
}

// Predict is Raw followed by averaging and the objective's transform.
func (p *Predictor) Predict(dst, row []float64) {
	p.Raw(dst, row)
	p.finish(dst[:p.outputs])
}

// finish turns raw scores of one row into predictions.
func (p *Predictor) finish(dst []float64) {
	if p.average != 1 {
		for i := range dst {
			dst[i] /= p.average
		}
	}
	p.link.Apply(dst)
}

// Leaves sets dst[t] to the index of the leaf that the row reaches in tree t.
func (p *Predictor) Leaves(dst []int32, row []float64) {
	row, dst = row[:p.features], dst[:p.trees]
	if p.coded != nil {
		p.coded.leafNumbers(dst, row)
	} else {
		p.plain.exits(dst, row)
	}
}

// PredictColumns predicts every row of a column-major table: cols has one
// slice a feature, all of length n, and dst receives n×NumOutputs values,
// row-major. Up to threads goroutines share the rows; the result does not
// depend on their number. With no rows nothing happens.
func (p *Predictor) PredictColumns(dst []float64, cols [][]float64, threads int) {
	n := len(cols[0])
	p.batch(dst[:n*p.outputs], columnTable(cols[:p.features]), n, threads)
}

// PredictRows predicts every row of a row-major table: rows holds n rows of
// NumFeatures values and dst receives n×NumOutputs values, row-major. Up to
// threads goroutines share the rows; the result does not depend on their
// number. With no rows nothing happens.
func (p *Predictor) PredictRows(dst, rows []float64, threads int) {
	n := len(rows) / p.features
	p.batch(dst[:n*p.outputs], rowTable{rows[:n*p.features], p.features}, n, threads)
}

// minShare is the least number of rows times leaves that is worth waking a
// goroutine: some 50 µs of work.
const minShare = 1 << 21

// batch predicts n rows.
func (p *Predictor) batch(dst []float64, rows table, n, threads int) {
	shareRows(n, blockRows, min(threads, n*p.leaves/minShare), func(lo, hi int) { p.predictRows(dst, rows, lo, hi) })
}

// shareRows shares n rows out among up to threads goroutines, in whole blocks:
// do gets rows [lo, hi). With threads below 2 it is called in place.
func shareRows(n, block, threads int, do func(lo, hi int)) {
	blocks := (n + block - 1) / block
	threads = max(min(threads, blocks), 1)
	var wg sync.WaitGroup
	for t := range threads {
		lo, hi := blocks*t/threads*block, min(blocks*(t+1)/threads*block, n)
		if t == threads-1 {
			do(lo, hi)
			break
		}
		wg.Go(func() { do(lo, hi) })
	}
	wg.Wait()
}
