package fit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/gbdt"
)

// maxBins bounds the bins of one feature: they are stored in 16 bits.
const maxBins = math.MaxUint16

// mapper turns the values of one feature into bins.
//
// A number falls into the first bin whose upper bound is not below it. Zero
// has a bin of its own, and when training data had NaN, NaN has the last. A
// category has the bin of its rank by count, from 1; bin 0 takes NaN,
// negative numbers and categories that are too rare to have a bin.
type mapper struct {
	categorical bool
	missing     bool      // NaN has its own bin (of a number), or bin 0 is not empty
	bins        int       // number of bins, that of NaN included
	bounds      []float64 // number: upper bounds, the last +Inf; without NaN's bin
	categories  []int32   // category of each bin; −1 for bin 0
	index       map[int32]uint16
	lo, hi      float64 // least and greatest number
	useless     bool    // no split of this feature is possible
	beyond      int32   // a category that no set can hold, or 0
}

// sample is what bins are made from: values of one feature in random rows.
type sample struct {
	values []float64 // without zeros and NaN, sorted
	zeros  int
	nans   int
}

func (s *sample) total() int { return len(s.values) + s.zeros + s.nans }

// newSample sorts out the values at rows, or all when rows is nil. With
// useMissing false NaN is zero. Numbers within ±ZeroThreshold are zero.
func newSample(values []float64, rows []int, useMissing bool) sample {
	n := len(values)
	if rows != nil {
		n = len(rows)
	}
	s := sample{values: make([]float64, 0, n)}
	add := func(x float64) {
		switch {
		case math.IsNaN(x) && useMissing:
			s.nans++
		case math.Abs(x) > gbdt.ZeroThreshold:
			s.values = append(s.values, x)
		default:
			s.zeros++
		}
	}
	if rows == nil {
		for _, x := range values {
			add(x)
		}
	} else {
		for _, r := range rows {
			add(values[r])
		}
	}
	sortFloats(s.values)
	return s
}

// tally counts values that are equal, or neighbours among the floating-point
// numbers, as one; zero takes its place among them.
type tally struct {
	values []float64
	counts []int
}

// newTally has room for sorted values and zero.
func newTally(values []float64) tally {
	n := 2
	for i := range len(values) - 1 {
		if values[i] != values[i+1] {
			n++
		}
	}
	return tally{make([]float64, 0, n), make([]int, 0, n)}
}

func (s *sample) tally() tally {
	t := newTally(s.values)
	put := func(x float64, n int) {
		t.values = append(t.values, x)
		t.counts = append(t.counts, n)
	}
	v := s.values
	if len(v) == 0 || v[0] > 0 && s.zeros > 0 {
		put(0, s.zeros)
	}
	for i, x := range v {
		switch {
		case i == 0:
			put(x, 1)
		case x <= math.Nextafter(v[i-1], math.Inf(1)):
			t.values[len(t.values)-1] = x
			t.counts[len(t.counts)-1]++
		default:
			if v[i-1] < 0 && x > 0 {
				put(0, s.zeros)
			}
			put(x, 1)
		}
	}
	if len(v) > 0 && v[len(v)-1] < 0 && s.zeros > 0 {
		put(0, s.zeros)
	}
	return t
}

// checkMappers reports categories that no set of a tree can hold.
func checkMappers(mappers []*mapper, names []string) error {
	for f, m := range mappers {
		if m.beyond > 0 {
			return fmt.Errorf("dataset: feature %d (%s) has the category %d, expected up to %d", f, names[f], m.beyond, gbdt.MaxCategory)
		}
	}
	return nil
}

// binning are the parameters that bins depend on.
type binning struct {
	maxBin, minDataInBin, sampleCount, seed, minDataInLeaf int
	preFilter, useMissing                                  bool
}

func (p *Params) binning() binning {
	return binning{p.MaxBin, p.MinDataInBin, p.BinConstructSampleCt, p.seeds().data, p.MinDataInLeaf, p.FeaturePreFilter, p.UseMissing}
}

// newMapper finds the bins of a feature (BinMapper::FindBin in LightGBM's
// io/bin.cpp). filter is the least number of sampled rows on either side of a
// split.
func newMapper(s sample, categorical bool, b *binning, filter int) *mapper {
	t := s.tally()
	m := &mapper{categorical: categorical, lo: t.values[0], hi: t.values[len(t.values)-1]}
	var counts []int
	if categorical {
		counts = m.findCategories(t, s, b)
	} else {
		counts = m.findBounds(t, s, b)
	}
	m.useless = m.bins <= 1 || b.preFilter && hopeless(counts, s.total(), filter, categorical)
	return m
}

// findBounds sets the bins of a number and returns the rows in each.
func (m *mapper) findBounds(t tally, s sample, b *binning) []int {
	m.missing = s.nans > 0
	limit := b.maxBin
	if m.missing {
		limit--
	}
	m.bounds = boundsAroundZero(t, limit, s.total()-s.nans, b.minDataInBin)
	m.bins = len(m.bounds)
	counts := make([]int, m.bins)
	at := 0
	for i, x := range t.values {
		for at < len(m.bounds)-1 && x > m.bounds[at] {
			at++
		}
		counts[at] += t.counts[i]
	}
	if m.missing {
		m.bins++
		counts = append(counts, s.nans)
	}
	return counts
}

// boundsAroundZero gives zero its own bin and shares the others among the
// negative and the positive values by their counts.
func boundsAroundZero(t tally, limit, total, minData int) []float64 {
	const zero = gbdt.ZeroThreshold
	var below, zeros, above int
	left, right := len(t.values), -1 // first value above −zero, first above zero
	for i, x := range t.values {
		switch {
		case x <= -zero:
			below += t.counts[i]
		case x > zero:
			above += t.counts[i]
		default:
			zeros += t.counts[i]
		}
		if x > -zero && left == len(t.values) {
			left = i
		}
		if x > zero && right < 0 {
			right = i
		}
	}
	var bounds []float64
	if left > 0 && limit > 1 {
		share := int(float64(below) / float64(total-zeros) * float64(limit-1))
		bounds = greedyBounds(tally{t.values[:left], t.counts[:left]}, max(1, share), below, minData)
		bounds[len(bounds)-1] = -zero
	}
	share := limit - 1 - len(bounds)
	if right < 0 || share <= 0 {
		return append(bounds, math.Inf(1))
	}
	bounds = append(bounds, zero)
	return append(bounds, greedyBounds(tally{t.values[right:], t.counts[right:]}, share, above, minData)...)
}

// greedyBounds cuts values into at most limit bins of about equal counts; the
// last bound is +Inf. A value with at least a bin's share of rows has its own.
func greedyBounds(t tally, limit, total, minData int) []float64 {
	if len(t.values) <= limit {
		return fewBounds(t, minData)
	}
	limit = max(min(limit, total/minData), 1)
	mean := float64(total) / float64(limit)
	bins, rows := limit, total // left for values that do not fill a bin alone
	big := make([]bool, len(t.values))
	for i, n := range t.counts {
		if float64(n) >= mean {
			big[i] = true
			bins--
			rows -= n
		}
	}
	mean = float64(rows) / float64(bins)
	var bounds []float64
	cut := 0 // number of cuts, kept or not
	current := 0
	for i := range len(t.values) - 1 {
		if !big[i] {
			rows -= t.counts[i]
		}
		current += t.counts[i]
		if !(big[i] || float64(current) >= mean || big[i+1] && float64(current) >= max(1, mean*0.5)) {
			continue
		}
		bounds = appendBound(bounds, t.values[i], t.values[i+1])
		if cut++; cut >= limit-1 {
			break
		}
		current = 0
		if !big[i] {
			bins--
			mean = float64(rows) / float64(bins)
		}
	}
	return append(bounds, math.Inf(1))
}

// fewBounds gives every value a bin, but joins those with too few rows to the
// next.
func fewBounds(t tally, minData int) []float64 {
	var bounds []float64
	current := 0
	for i := range len(t.values) - 1 {
		current += t.counts[i]
		if current < minData {
			continue
		}
		before := len(bounds)
		bounds = appendBound(bounds, t.values[i], t.values[i+1])
		if len(bounds) > before {
			current = 0
		}
	}
	return append(bounds, math.Inf(1))
}

// appendBound adds the number just above the middle of a and b, unless it is
// the last bound or its neighbour.
func appendBound(bounds []float64, a, b float64) []float64 {
	x := math.Nextafter((a+b)/2, math.Inf(1))
	if n := len(bounds); n > 0 && x <= math.Nextafter(bounds[n-1], math.Inf(1)) {
		return bounds
	}
	return append(bounds, x)
}

// findCategories ranks the categories by count and returns the rows in each
// bin. Categories beyond 99 % of the rows have a bin only while there are
// bins left, and those with fewer than minDataInBin rows none.
func (m *mapper) findCategories(t tally, s sample, b *binning) []int {
	nans := s.nans
	type category struct {
		code  int32
		count int
	}
	var all []category
	for i, x := range t.values {
		code := categoryCode(x)
		switch {
		case code < 0:
			nans += t.counts[i]
		case code > gbdt.MaxCategory:
			m.beyond = code
			nans += t.counts[i]
		case len(all) > 0 && all[len(all)-1].code == code:
			all[len(all)-1].count += t.counts[i]
		default:
			all = append(all, category{code, t.counts[i]})
		}
	}
	m.missing = true
	m.bins = 1
	m.categories = []int32{-1}
	m.index = map[int32]uint16{}
	counts := []int{0}
	total := s.total()
	if total-nans > 0 {
		slices.SortStableFunc(all, func(a, b category) int { return b.count - a.count })
		cut := roundInt(float64(float32(total-nans) * 0.99))
		limit := len(all)
		if nans > 0 {
			limit++
		}
		limit = min(limit, b.maxBin)
		used, i := 0, 0
		for ; i < len(all) && (used < cut || m.bins < limit) && m.bins < maxBins; i++ {
			if all[i].count < b.minDataInBin && i > 1 {
				break
			}
			m.index[all[i].code] = uint16(m.bins)
			m.categories = append(m.categories, all[i].code)
			counts = append(counts, all[i].count)
			used += all[i].count
			m.bins++
		}
		m.missing = i < len(all) || nans > 0
		counts[0] = total - used
	}
	return counts
}

// categoryCode is the whole number of a category, −1 for what is none.
func categoryCode(x float64) int32 {
	if !(x > -1 && x < 1<<31) {
		return -1
	}
	return int32(x)
}

func roundInt(x float64) int { return int(x + 0.5) }

// hopeless reports that no split leaves filter rows on both sides
// (NeedFilter in io/bin.cpp).
func hopeless(counts []int, total, filter int, categorical bool) bool {
	if categorical && len(counts) > 2 {
		return false
	}
	left := 0
	for _, n := range counts[:len(counts)-1] {
		if categorical {
			left = n
		} else {
			left += n
		}
		if left >= filter && total-left >= filter {
			return false
		}
	}
	return true
}

// info is the feature's note in the model file.
func (m *mapper) info() string {
	if m.useless {
		return "none"
	}
	if m.categorical {
		texts := make([]string, len(m.categories))
		for i, c := range m.categories {
			texts[i] = strconv.Itoa(int(c))
		}
		return strings.Join(texts, ":")
	}
	return "[" + infoNumber(m.lo) + ":" + infoNumber(m.hi) + "]"
}

func infoNumber(x float64) string {
	return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(x, 'g', 17, 64), "+"))
}
