package heal

import (
	"fmt"
	"math"
)

// Relation is how labels stand to predictions in the window, against how they
// stood on rows that the model had not seen before it. Target, Concept and
// Spoilt are logs of Bayes factors against "as before", by Schwarz's
// approximation (1978) on quasi-likelihoods: a statistic's gain is divided by
// the design effect, by which means of blocks vary more than independent rows
// would have them.
type Relation struct {
	Rows    int     `json:"rows"`   // labelled rows of the window that were compared
	Before  int     `json:"before"` // rows held against them
	Design  float64 `json:"design_effect"`
	Target  float64 `json:"target"`
	Concept float64 `json:"concept"`
	Spoilt  float64 `json:"spoilt"`

	// Bias and LabelMean are of the residuals (label less prediction) and the
	// labels: mean then and now. Of classes they are shares of one class.
	Bias  Pair `json:"bias"`
	Label Pair `json:"label"`
	Error Pair `json:"error"` // mean of |label − prediction|

	// Where the relation moved most, beyond a move of the whole.
	Column string `json:"column,omitempty"`
	Bin    string `json:"bin,omitempty"`
	BinOf  Pair   `json:"bin_bias"`

	// SpoiltShare of the labels in SpoiltRows rows of the batches that look
	// spoilt; SpoiltFrom is the number of the first such block.
	SpoiltShare  float64 `json:"spoilt_share"`
	SpoiltRows   int     `json:"spoilt_rows"`
	SpoiltBefore float64 `json:"spoilt_share_before"`
}

// factors are the logs of the Bayes factors. The greatest is cut to the bound of
// any one sign, and the others fall with it: that "as before" is out of the
// question says nothing about which of them it is.
func (r *Relation) factors() (target, concept, spoilt float64) {
	over := max(0, r.Target-most, r.Concept-most, r.Spoilt-most)
	return clip(r.Target - over), clip(r.Concept - over), clip(r.Spoilt - over)
}

// Pair is a figure then and now.
type Pair struct {
	Then float64 `json:"then"`
	Now  float64 `json:"now"`
}

// Outcomes are labelled rows in the order of time. All slices have one length.
type Outcomes struct {
	Label  []float64 // a number, or 1 for the class asked for and 0 for others
	Output []float64 // the prediction, or the probability of that class; finite
	// Block numbers stretches of time as long as the window (then), or batches
	// of it (now), ascending.
	Block []int
	// Bins holds for each column, in the order of the names given to [Relate],
	// the row's bin, from 0; −1: none.
	Bins [][]int
}

// Binning names a column and its bins.
type Binning struct {
	Column string
	Bins   []string
}

// minOutcomes is the least number of labelled rows on either side.
const minOutcomes = 40

// Relate compares the rows now with those then. classes says that labels are 0
// or 1 and outputs probabilities. It returns nil when either side has fewer
// than 40 rows.
func Relate(then, now Outcomes, columns []Binning, classes bool) *Relation {
	if len(then.Label) < minOutcomes || len(now.Label) < minOutcomes {
		return nil
	}
	r := &Relation{
		Rows: len(now.Label), Before: len(then.Label),
		Label: Pair{mean(then.Label), mean(now.Label)},
		Bias:  Pair{meanDifference(then), meanDifference(now)},
		Error: Pair{meanError(then), meanError(now)},
	}
	var f frame
	if classes {
		f = newClassFrame(then, now)
	} else {
		f = newNumberFrame(then, now)
	}
	whole := f.whole()
	r.Design = whole.design
	r.Target = whole.gain/whole.design - float64(whole.parameters)/2*math.Log(effective(len(now.Label), whole.design))
	r.weighColumns(then, now, columns, f, math.Max(0, r.Target))
	r.weighSpoilt(f)
	return r
}

func effective(n int, design float64) float64 { return math.Max(float64(n)/design, math.E) }

// frame is how the residuals of a task are measured.
type frame interface {
	// whole is the gain in log likelihood of moving all of the rows now as one.
	whole() wholeMove
	// residuals are those of both sides with their variances, those now less
	// the move of the whole, when moved, and less what each batch moved by: a
	// change that comes within the window must not be taken for one by a column
	// whose values go with the days.
	residuals(moved bool) (then, now []float64, vThen, vNow []float64)
	// spoilt is for each batch of the rows now the gain of the best share of
	// spoilt labels, and before the share then.
	spoilt() (batches []spoiltBatch, before float64)
	// odds are for each of the rows now from lo to hi, which are a batch, those
	// that its label is spoilt, when about a share of them is.
	odds(lo, hi int, share float64) []float64
}

type wholeMove struct {
	gain       float64
	parameters int
	design     float64
}

type spoiltBatch struct {
	rows  int
	share float64 // of the labels, at most mostSpoilt
	gain  float64 // in log likelihood
}

// weighColumns sets Concept: the move of the whole, if it is one, and of the
// bins of the best column beyond it.
func (r *Relation) weighColumns(then, now Outcomes, columns []Binning, f frame, whole float64) {
	e, x, v, w := f.residuals(whole > 0)
	best, found := math.Inf(-1), 0
	for k, c := range columns {
		s := binned(e, v, then.Block, then.Bins[k], len(c.Bins))
		t := binned(x, w, now.Block, now.Bins[k], len(c.Bins))
		gain, used, strongest := 0.0, 0, -1
		greatest := 0.0
		design := math.Max(1, s.design())
		for b := range c.Bins {
			if t.v[b] <= 0 || s.v[b] <= 0 || t.v[b] < 5*mean(w) || s.v[b] < 5*mean(v) {
				continue
			}
			d := t.e[b] - t.v[b]*s.e[b]/s.v[b]
			z := d * d / (t.v[b] * (1 + t.v[b]/s.v[b]))
			gain += z / 2
			used++
			if strongest < 0 || z > greatest {
				greatest, strongest = z, b
			}
		}
		if used < 2 {
			continue
		}
		found++
		l := gain/design - float64(used-1)/2*math.Log(effective(len(now.Label), design))
		if l > best {
			best, r.Column, r.Bin = l, c.Column, c.Bins[strongest]
			r.BinOf = Pair{binBias(then, k, strongest), binBias(now, k, strongest)}
		}
	}
	if found == 0 {
		r.Concept = -math.Ln2
		return
	}
	r.Concept = whole + best - math.Log(float64(found))
}

// weighSpoilt sets Spoilt: batches whose labels are spoilt in part, of which
// there are at most half; a change that fills the window is no bad batch.
func (r *Relation) weighSpoilt(f frame) {
	batches, before := f.spoilt()
	r.SpoiltBefore = before
	worst := func() int {
		best, at := 0.0, -1
		for i, b := range batches {
			if l := b.gain - 0.5*math.Log(float64(max(b.rows, 1))); l > best {
				best, at = l, i
			}
		}
		return at
	}
	n := len(batches)
	spoilt := 0.0
	for range max(1, n/2) {
		i := worst()
		if i < 0 {
			break
		}
		b := batches[i]
		r.Spoilt += b.gain - 0.5*math.Log(float64(b.rows)) - math.Log(float64(n))
		r.SpoiltRows += b.rows
		spoilt += b.share * float64(b.rows)
		batches[i] = spoiltBatch{}
	}
	if r.SpoiltRows == 0 {
		r.Spoilt = -0.5 * math.Log(float64(r.Rows))
		return
	}
	r.SpoiltShare = spoilt / float64(r.SpoiltRows)
}

// sums are residuals and their variances added up by bin, and by block.
type sums struct {
	e, v   []float64
	blocks []map[int][2]float64 // by bin
}

func binned(e, v []float64, block, bin []int, bins int) sums {
	s := sums{e: make([]float64, bins), v: make([]float64, bins), blocks: make([]map[int][2]float64, bins)}
	for i, b := range bin {
		if b < 0 {
			continue
		}
		s.e[b] += e[i]
		s.v[b] += v[i]
		if s.blocks[b] == nil {
			s.blocks[b] = map[int][2]float64{}
		}
		p := s.blocks[b][block[i]]
		s.blocks[b][block[i]] = [2]float64{p[0] + e[i], p[1] + v[i]}
	}
	return s
}

// design is by how much the sums of blocks vary more than rows on their own
// would have them: the mean of (sum)²/variance over blocks and bins, about each
// bin's mean. 1 when there are fewer than four blocks.
func (s sums) design() float64 {
	total, free := 0.0, 0
	for b, blocks := range s.blocks {
		if len(blocks) < 4 {
			continue
		}
		rate := s.e[b] / s.v[b]
		bin := 0.0
		for _, k := range sortedKeys(blocks) {
			p := blocks[k]
			if p[1] > 0 {
				d := p[0] - rate*p[1]
				bin += d * d / p[1]
			}
		}
		total += bin
		free += len(blocks) - 1
	}
	if free == 0 {
		return 1
	}
	return total / float64(free)
}

func binBias(o Outcomes, column, bin int) float64 {
	sum, n := 0.0, 0
	for i, b := range o.Bins[column] {
		if b == bin {
			sum += o.Label[i] - o.Output[i]
			n++
		}
	}
	return sum / float64(max(n, 1))
}

func meanDifference(o Outcomes) float64 {
	sum := 0.0
	for i, y := range o.Label {
		sum += y - o.Output[i]
	}
	return sum / float64(len(o.Label))
}

func meanError(o Outcomes) float64 {
	sum := 0.0
	for i, y := range o.Label {
		sum += math.Abs(y - o.Output[i])
	}
	return sum / float64(len(o.Label))
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// where is the segment in words.
func (r *Relation) where() string {
	if r.Column == "" {
		return ""
	}
	return fmt.Sprintf("%s %s", r.Column, r.Bin)
}
