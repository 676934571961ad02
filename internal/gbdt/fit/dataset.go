package fit

import (
	"fmt"
	"math"
	"slices"
)

// Data is a table to train on or to validate with, column by column.
type Data struct {
	// Features has one column a feature, all of one length. NaN is missing.
	// A category is a whole number up to [gbdt.MaxCategory]; negative ones count
	// as missing.
	Features [][]float64
	// Categorical says which features are categories; nil means none.
	Categorical []bool
	// Names has one name a feature; nil stands for Column_0, Column_1, ….
	// The model has them as [gbdt.FeatureNames] makes them.
	Names []string
	// Label is the target: a finite number, 0 or 1 (binary), or a class
	// number (multiclass).
	Label []float64
	// Weight has one weight ≥ 0 a row; nil means that all are 1.
	Weight []float64
	// Init has the raw scores that boosting starts from, one slice an output;
	// nil means the best constant. The model's trees come on top of them.
	Init [][]float64
}

// Dataset is a table in bins: what trees are grown on. It is not changed
// after it was made, so one Dataset can train many models at once, on any of
// its rows; see [View].
type Dataset struct {
	rows     int
	names    []string
	mappers  []*mapper // one a feature
	features []feature // the useful ones
	groups   []group
	words    []uint64 // the bins of a row behind one another, as the groups have them
	stride   int      // words a row
	histUsed int      // bins of a leaf's histogram
	histLen  int      // the same, with room for the kernels
	label    []float64
	weight   []float64   // nil: all 1
	init     [][]float64 // initial scores by output; nil: none
	binning  binning
	threads  int
}

// feature is a useful feature: its bins by row, and where they are in a
// group's words and in a histogram.
type feature struct {
	*mapper
	index  int      // in the table
	narrow []uint8  // its bin in every row, when there are up to 256
	wide   []uint16 // its bin in every row otherwise; both nil: only in words
	group  int32    // holds its bins
	word   int      // of a row, where the bin is
	shift  uint8    // in the word
	at     int      // its bin 0 in a histogram
}

// bin is a feature's bin in a row.
func (d *Dataset) bin(f *feature, row int32) int {
	switch {
	case f.narrow != nil:
		return int(f.narrow[row])
	case f.wide != nil:
		return int(f.wide[row])
	}
	bin := d.words[int(row)*d.stride+f.word] >> f.shift
	if f.bins > narrowBins {
		return int(uint16(bin))
	}
	return int(uint8(bin))
}

// group is up to sixteen neighbouring features whose bins lie in one or two of
// the words of a row: eight bits each, or sixteen bits each for up to eight
// wide ones. Their histograms fit into the nearest cache.
type group struct {
	word     int // first word of a row
	lo, hi   int // features [lo, hi)
	wide     bool
	at, size int              // its part of a leaf's histogram
	starts   [wideLanes]int32 // wide: where each feature starts in that part
	kernel   kernel           // narrow
}

const (
	narrowLanes = 16
	wideLanes   = 8
	narrowBins  = 256
)

// NewDataset bins a table. Of p it needs the parameters about bins,
// MinDataInLeaf (which decides what features can split at all), the seeds and
// NumThreads. Bounds are those of LightGBM for the same rows.
func NewDataset(data *Data, p Params) (*Dataset, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d, err := newDataset(data)
	if err != nil {
		return nil, err
	}
	b, err := NewBuilder(d.rows, len(data.Features), p)
	if err != nil {
		return nil, err
	}
	d.binning, d.threads = b.binning, b.threads
	c := newCrew(p.NumThreads)
	defer c.close()
	c.run(len(data.Features), func(_, f int) {
		b.sample(f, data.categorical(f), newSample(data.Features[f], b.picked, p.UseMissing))
	})
	binColumns(data, b.columns, d.rows, c)
	return d.assemble(b.columns, c)
}

// Align bins another table with the same bounds, to validate with.
func (d *Dataset) Align(data *Data) (*Dataset, error) {
	out, err := newDataset(data)
	if err != nil {
		return nil, err
	}
	if len(data.Features) != len(d.mappers) {
		return nil, fmt.Errorf("dataset: %d features, expected %d", len(data.Features), len(d.mappers))
	}
	for f, m := range d.mappers {
		if data.categorical(f) != m.categorical {
			return nil, fmt.Errorf("dataset: feature %d (%s) is categorical in one table and not in the other", f, d.names[f])
		}
	}
	out.names, out.mappers, out.histUsed, out.histLen, out.binning = d.names, d.mappers, d.histUsed, d.histLen, d.binning
	out.threads, out.groups, out.stride, out.features = d.threads, d.groups, d.stride, slices.Clone(d.features)
	c := newCrew(d.threads)
	defer c.close()
	columns := columnsOf(out.mappers, out.rows)
	binColumns(data, columns, out.rows, c)
	out.take(columns, c)
	return out, nil
}

// NumRows is the number of rows.
func (d *Dataset) NumRows() int { return d.rows }

// newDataset checks the table and takes over all but its features.
func newDataset(data *Data) (*Dataset, error) {
	d := &Dataset{rows: len(data.Label), label: data.Label, weight: data.Weight, init: data.Init}
	if err := checkSize(d.rows, len(data.Features)); err != nil {
		return nil, err
	}
	for f, col := range data.Features {
		if len(col) != d.rows {
			return nil, fmt.Errorf("dataset: feature %d has %d rows, the label has %d", f, len(col), d.rows)
		}
	}
	if data.Categorical != nil && len(data.Categorical) != len(data.Features) {
		return nil, fmt.Errorf("dataset: %d categorical marks for %d features", len(data.Categorical), len(data.Features))
	}
	if data.Names != nil && len(data.Names) != len(data.Features) {
		return nil, fmt.Errorf("dataset: %d names for %d features", len(data.Names), len(data.Features))
	}
	if err := checkNumbers(d.label, d.weight); err != nil {
		return nil, err
	}
	for k, init := range data.Init {
		if len(init) != d.rows {
			return nil, fmt.Errorf("dataset: %d initial scores of output %d for %d rows", len(init), k, d.rows)
		}
	}
	d.names = featureNames(data.Names, len(data.Features))
	return d, nil
}

// maxNumber bounds labels, weights and their products, so that gradients fit
// float32.
const maxNumber = 1e30

func checkNumbers(label, weight []float64) error {
	most := 0.0
	for i, y := range label {
		if !(math.Abs(y) <= maxNumber) {
			return fmt.Errorf("dataset: row %d has the label %v, expected a number within ±%g", i, y, maxNumber)
		}
		most = max(most, math.Abs(y))
	}
	if weight == nil {
		return nil
	}
	if len(weight) != len(label) {
		return fmt.Errorf("dataset: %d weights for %d rows", len(weight), len(label))
	}
	for i, w := range weight {
		if limit := maxNumber / max(1, most); !(w >= 0 && w <= limit) {
			return fmt.Errorf("dataset: row %d has the weight %v, expected 0 to %g", i, w, limit)
		}
	}
	return nil
}

func (d *Data) categorical(f int) bool { return d.Categorical != nil && d.Categorical[f] }

// layOut puts the useful features into groups: narrow ones first, then wide
// ones, each in as few groups of equal size as hold them.
func (d *Dataset) layOut() {
	for _, wide := range []bool{false, true} {
		first := len(d.features)
		for i, m := range d.mappers {
			if !m.useless && (m.bins > narrowBins) == wide {
				d.features = append(d.features, feature{mapper: m, index: i})
			}
		}
		d.addGroups(first, wide)
	}
	// A kernel takes the histograms of narrowLanes features, used or not.
	d.histLen = d.histUsed + narrowLanes*narrowBins
}

func (d *Dataset) addGroups(first int, wide bool) {
	n := len(d.features) - first
	lanes, bits := narrowLanes, 8
	if wide {
		lanes, bits = wideLanes, 16
	}
	count := (n + lanes - 1) / lanes
	for g := range count {
		grp := group{lo: first + n*g/count, hi: first + n*(g+1)/count, wide: wide, at: d.histUsed, word: d.stride}
		for i := grp.lo; i < grp.hi; i++ {
			f := &d.features[i]
			f.group = int32(len(d.groups))
			f.word, f.shift = grp.word+(i-grp.lo)*bits/64, uint8((i-grp.lo)*bits%64)
			f.at = grp.at + grp.size
			if wide {
				grp.starts[i-grp.lo] = int32(grp.size)
				grp.size += f.bins
			} else {
				grp.size += narrowBins
			}
		}
		if !wide {
			grp.kernel = kernelFor(grp.hi - grp.lo)
			grp.size += (grp.hi - grp.lo) % 2 * narrowBins // kernels have even numbers of lanes
		}
		d.histUsed += grp.size
		d.stride += ((grp.hi-grp.lo)*bits + 63) / 64
		d.groups = append(d.groups, grp)
	}
}

// View is some rows of a Dataset, in the order given; nil Rows are all rows.
// Rows may be in any order, but must not repeat.
type View struct {
	Data *Dataset
	Rows []int32
}

// rows checks the view and returns its rows.
func (v View) rows() ([]int32, error) {
	n := v.Data.rows
	if v.Rows == nil {
		all := make([]int32, n)
		for i := range all {
			all[i] = int32(i)
		}
		return all, nil
	}
	if len(v.Rows) == 0 {
		return nil, fmt.Errorf("dataset: the view has no rows")
	}
	seen := make([]bool, n)
	for _, r := range v.Rows {
		if r < 0 || int(r) >= n || seen[r] {
			return nil, fmt.Errorf("dataset: row %d is out of range or repeated (%d rows)", r, n)
		}
		seen[r] = true
	}
	return v.Rows, nil
}
