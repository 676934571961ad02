package fit

import (
	"fmt"
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt"
)

// Data is a table to train on or to validate with, column by column.
type Data struct {
	// Features has one column a feature, all of one length. NaN is missing.
	// A category is a whole number; negative ones count as missing.
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
	histLen  int // entries of a leaf's histogram
	label    []float64
	weight   []float64 // nil: all 1
	binning  binning
	threads  int
}

// feature is a useful feature: where its bins are in a row and in a
// histogram.
type feature struct {
	*mapper
	index int   // in the table
	group int32 // holds its bins
	shift uint8 // of its bin in a word
	mask  uint64
	at    int // its bin 0 in a histogram
}

// group holds the bins of up to eight neighbouring features in one word a
// row: eight bits each, or sixteen bits each for up to four wide ones. All
// the bins that a row adds to a group's histogram are read at once, and the
// histograms of a group fit into the nearest cache.
type group struct {
	words    []uint64
	lo, hi   int // features [lo, hi)
	wide     bool
	at, size int              // its part of a leaf's histogram
	starts   [wideLanes]int32 // wide: where each feature starts in that part
}

const (
	narrowLanes = 8
	wideLanes   = 4
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
	d.binning, d.threads = p.binning(), p.NumThreads
	var picked []int
	sampled := d.rows
	if d.rows > p.BinConstructSampleCt {
		r := newRandom(d.binning.seed)
		picked = r.sample(nil, d.rows, p.BinConstructSampleCt)
		sampled = len(picked)
	}
	filter := int(float64(p.MinDataInLeaf*sampled) / float64(d.rows))
	d.mappers = make([]*mapper, len(data.Features))
	c := newCrew(p.NumThreads)
	defer c.close()
	c.run(len(d.mappers), func(_, f int) {
		s := newSample(data.Features[f], picked, p.UseMissing)
		d.mappers[f] = newMapper(s, data.categorical(f), &d.binning, filter)
	})
	d.layOut(c.size)
	d.fill(data, c)
	return d, nil
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
	out.names, out.mappers, out.features, out.histLen, out.binning = d.names, d.mappers, d.features, d.histLen, d.binning
	out.threads, out.groups = d.threads, slices.Clone(d.groups)
	c := newCrew(d.threads)
	defer c.close()
	out.fill(data, c)
	return out, nil
}

// NumRows is the number of rows.
func (d *Dataset) NumRows() int { return d.rows }

// newDataset checks the table and takes over all but its features.
func newDataset(data *Data) (*Dataset, error) {
	if len(data.Features) == 0 {
		return nil, fmt.Errorf("dataset: no features")
	}
	d := &Dataset{rows: len(data.Label), label: data.Label, weight: data.Weight}
	if d.rows == 0 {
		return nil, fmt.Errorf("dataset: no rows")
	}
	if d.rows > math.MaxInt32 {
		return nil, fmt.Errorf("dataset: %d rows, expected at most 2³¹−1", d.rows)
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
	names := data.Names
	if names == nil {
		for f := range data.Features {
			names = append(names, fmt.Sprintf("Column_%d", f))
		}
	}
	d.names = gbdt.FeatureNames(names)
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
// ones, each in as few groups of equal size as keep all threads busy.
func (d *Dataset) layOut(threads int) {
	for _, wide := range []bool{false, true} {
		first := len(d.features)
		for i, m := range d.mappers {
			if !m.useless && (m.bins > narrowBins) == wide {
				d.features = append(d.features, feature{mapper: m, index: i})
			}
		}
		d.addGroups(first, wide, threads)
	}
}

func (d *Dataset) addGroups(first int, wide bool, threads int) {
	n := len(d.features) - first
	lanes, bits := narrowLanes, 8
	if wide {
		lanes, bits = wideLanes, 16
	}
	count := (n + lanes - 1) / lanes
	count = min((count+threads-1)/threads*threads, n)
	for g := range count {
		grp := group{lo: first + n*g/count, hi: first + n*(g+1)/count, wide: wide, at: d.histLen}
		for i := grp.lo; i < grp.hi; i++ {
			f := &d.features[i]
			f.group = int32(len(d.groups))
			f.shift = uint8((i - grp.lo) * bits)
			f.mask = 1<<bits - 1
			f.at = grp.at + grp.size
			if wide {
				grp.starts[i-grp.lo] = int32(grp.size)
				grp.size += f.bins
			} else {
				grp.size += narrowBins
			}
		}
		if !wide {
			grp.size = narrowLanes * narrowBins
		}
		d.histLen += grp.size
		d.groups = append(d.groups, grp)
	}
}

// fill computes the bins of all rows.
func (d *Dataset) fill(data *Data, c *crew) {
	const block = 4096
	blocks := (d.rows + block - 1) / block
	for g := range d.groups {
		d.groups[g].words = make([]uint64, d.rows)
	}
	c.run(len(d.groups)*blocks, func(_, job int) {
		g := &d.groups[job/blocks]
		lo := job % blocks * block
		words := g.words[lo:min(lo+block, d.rows)]
		for _, f := range d.features[g.lo:g.hi] {
			for i, x := range data.Features[f.index][lo : lo+len(words)] {
				words[i] |= uint64(f.bin(x)) << f.shift
			}
		}
	})
}

// bin is the bin of the feature in a row.
func (d *Dataset) bin(f *feature, row int32) int {
	return int(d.groups[f.group].words[row] >> f.shift & f.mask)
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
