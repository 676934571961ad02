package fit

import (
	"fmt"
	"slices"

	"github.com/healml/healml/internal/gbdt"
)

// Builder makes a [Dataset] of columns that never stand in memory together:
// each column is sampled, then binned, in parts of any size. What comes out is
// what [NewDataset] makes of the same values.
//
//	b, err := fit.NewBuilder(rows, columns, p)
//	for each column k
//		b.Sample(k, categorical, its values at the rows b.Rows())
//		for each part of the column
//			b.Bin(k, first row of the part, its values)
//	d, err := b.Dataset(columns to use, names, label, weight)
//
// Sample may run at the same time for different columns, Bin for different
// columns and for different parts of one.
type Builder struct {
	binning binning
	threads int
	rows    int
	picked  []int // rows that bins are made from; nil: all
	filter  int   // least number of them on either side of a split
	columns []column
}

// column is a feature with its bins by row, which a useless one has not.
type column struct {
	finder
	narrow []uint8
	wide   []uint16
}

// NewBuilder prepares for so many columns and rows; both must be known
// beforehand. Of p it needs what NewDataset needs, and checks no more: the
// objective may depend on labels that were not read yet.
func NewBuilder(rows, columns int, p Params) (*Builder, error) {
	q := Defaults()
	q.MaxBin, q.MinDataInBin, q.BinConstructSampleCt, q.MinDataInLeaf = p.MaxBin, p.MinDataInBin, p.BinConstructSampleCt, p.MinDataInLeaf
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if err := checkSize(rows, columns); err != nil {
		return nil, err
	}
	b := &Builder{binning: p.binning(), threads: p.NumThreads, rows: rows, columns: make([]column, columns)}
	sampled := rows
	if rows > p.BinConstructSampleCt {
		r := newRandom(b.binning.seed)
		b.picked = r.sample(nil, rows, p.BinConstructSampleCt)
		sampled = len(b.picked)
	}
	b.filter = int(float64(p.MinDataInLeaf*sampled) / float64(rows))
	return b, nil
}

// Rows are the rows whose values Sample takes, ascending; nil stands for all.
// The caller must not change them.
func (b *Builder) Rows() []int { return b.picked }

// Sample finds the bins of column k from its values at Rows, which it does
// not keep. Called again, it starts the column anew.
func (b *Builder) Sample(k int, categorical bool, values []float64) {
	b.sample(k, categorical, newSample(values, nil, b.binning.useMissing))
}

// SampleAll is Sample for all columns but those whose values are nil, on all
// of the Params' threads.
func (b *Builder) SampleAll(categorical []bool, values [][]float64) {
	c := newCrew(b.threads)
	defer c.close()
	c.run(len(values), func(_, k int) {
		if values[k] != nil {
			b.Sample(k, categorical[k], values[k])
		}
	})
}

func (b *Builder) sample(k int, categorical bool, s sample) {
	b.columns[k] = newColumn(newMapper(s, categorical, &b.binning, b.filter), b.rows)
}

// newColumn has room for the bins of so many rows.
func newColumn(m *mapper, rows int) column {
	c := column{finder: newFinder(m)}
	switch {
	case m.useless:
	case m.bins > narrowBins:
		c.wide = reserve[uint16](rows)
	default:
		c.narrow = reserve[uint8](rows)
	}
	return c
}

// Bin sets the bins of column k from row lo on. The column must have been
// sampled.
func (b *Builder) Bin(k, lo int, values []float64) { b.columns[k].bin(lo, values) }

func (c *column) bin(lo int, values []float64) {
	switch {
	case c.narrow != nil:
		setBins(&c.finder, c.narrow[lo:], values)
	case c.wide != nil:
		setBins(&c.finder, c.wide[lo:], values)
	}
}

// Dataset puts the columns listed in use together, in that order; the others
// are left out. names (nil: Column_0, Column_1, …) has one name a column in
// use, label and weight (nil: all 1) are checked as in NewDataset. The Builder
// must not be used any more.
func (b *Builder) Dataset(use []int, names []string, label, weight []float64) (*Dataset, error) {
	if names != nil && len(names) != len(use) {
		return nil, fmt.Errorf("dataset: %d names for %d features", len(names), len(use))
	}
	if err := checkSize(len(label), len(use)); err != nil {
		return nil, err
	}
	if len(label) != b.rows {
		return nil, fmt.Errorf("dataset: %d labels for %d rows", len(label), b.rows)
	}
	if err := checkNumbers(label, weight); err != nil {
		return nil, err
	}
	d := &Dataset{rows: b.rows, names: featureNames(names, len(use)), label: label, weight: weight, binning: b.binning, threads: b.threads}
	columns := make([]column, len(use))
	for i, k := range use {
		if b.columns[k].mapper == nil {
			return nil, fmt.Errorf("dataset: column %d was not sampled", k)
		}
		columns[i] = b.columns[k]
	}
	b.columns = nil
	c := newCrew(b.threads)
	defer c.close()
	return d.assemble(columns, c)
}

// assemble makes binned columns the features of d, in their order, and
// returns it.
func (d *Dataset) assemble(columns []column, c *crew) (*Dataset, error) {
	for i := range columns {
		d.mappers = append(d.mappers, columns[i].mapper)
	}
	if err := checkMappers(d.mappers, d.names); err != nil {
		return nil, err
	}
	d.layOut()
	d.take(columns, c)
	return d, nil
}

func featureNames(names []string, n int) []string {
	if names == nil {
		for f := range n {
			names = append(names, fmt.Sprintf("Column_%d", f))
		}
	}
	return gbdt.FeatureNames(names)
}

// checkSize checks the numbers of rows and of features.
func checkSize(rows, features int) error {
	switch {
	case features == 0:
		return fmt.Errorf("dataset: no features")
	case rows == 0:
		return fmt.Errorf("dataset: no rows")
	case rows > maxRows:
		return fmt.Errorf("dataset: %d rows, expected at most %d", rows, maxRows)
	}
	return nil
}

const (
	// binBlock is the number of values that are binned at one go.
	binBlock = 1 << 16
	// mostTwice is the greatest number of bins that are stored twice.
	mostTwice = 1 << 27
)

// binColumns sets all bins of columns to those of data.
func binColumns(data *Data, columns []column, rows int, c *crew) {
	blocks := (rows + binBlock - 1) / binBlock
	c.run(len(columns)*blocks, func(_, job int) {
		f, lo := job/blocks, job%blocks*binBlock
		columns[f].bin(lo, data.Features[f][lo:min(lo+binBlock, rows)])
	})
}

// take takes over the bins of columns, by feature of the table, and stores
// them by row. Rows are what histograms are added up from. Splitting a leaf
// reads one feature in its rows, which is faster by column, so columns stay
// unless there are more than mostTwice bins.
func (d *Dataset) take(columns []column, c *crew) {
	d.words = reserve[uint64](d.rows * d.stride)
	for i := range d.features {
		f := &d.features[i]
		f.narrow, f.wide = columns[f.index].narrow, columns[f.index].wide
	}
	const block = 4096
	c.run((d.rows+block-1)/block, func(_, job int) {
		lo := job * block
		hi := min(lo+block, d.rows)
		for i := range d.features {
			f := &d.features[i]
			words := d.words[lo*d.stride+f.word:]
			if f.wide != nil {
				spread(words, d.stride, f.wide[lo:hi], f.shift)
			} else {
				spread(words, d.stride, f.narrow[lo:hi], f.shift)
			}
		}
	})
	if d.rows > mostTwice/max(len(d.features), 1) {
		for i := range d.features {
			d.features[i].narrow, d.features[i].wide = nil, nil
		}
	}
}

// spread puts bins into every stride-th word.
func spread[T uint8 | uint16](words []uint64, stride int, bins []T, shift uint8) {
	for i, b := range bins {
		words[i*stride] |= uint64(b) << (shift & 63)
	}
}

// columnsOf are empty columns for the bins of mappers.
func columnsOf(mappers []*mapper, rows int) []column {
	columns := slices.Grow([]column(nil), len(mappers))
	for _, m := range mappers {
		columns = append(columns, newColumn(m, rows))
	}
	return columns
}
