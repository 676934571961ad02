package drift

import (
	"cmp"
	"math"
	"slices"
)

// Test is one of the tests that a column's p-value is made of.
type Test struct {
	Name string  `json:"name"`
	Z    float64 `json:"z"` // as if rows were independent
	// Inflation is the root mean square of the same score in windows of the
	// samples themselves, by which Z is divided; 1 where rows count as
	// independent.
	Inflation float64 `json:"inflation"`
	P         float64 `json:"p"`
}

// Comparison is what two samples of one column have in common. Fields that do
// not apply, or that an empty sample leaves undefined, are NaN.
type Comparison struct {
	RefRows, CurRows       int
	RefMissing, CurMissing int
	// Distances of the present values: over the cells of [NewGrid] with ten
	// parts for numbers, over levels for levels.
	PSI, JensenShannon, Hellinger, TotalVariation, LInfinity float64
	KS, KSP                                                  float64 // numbers only
	Wasserstein                                              float64 // numbers only: over the reference's standard deviation
	CramerVonMises                                           float64 // numbers only: the statistic T
	Energy                                                   float64 // numbers only: over the root of the reference's standard deviation
	MMD                                                      float64 // numbers only
	ChiSquare, ChiSquareP                                    float64 // levels only
	ChiSquareDF                                              int
	// Unseen is the number of current rows with a level that the reference
	// does not hold.
	Unseen int
	Tests  []Test
	// Seasons that were compared like with like.
	Seasons []string
	duel    *duel
	own     restlessness
	// Calibration is set by [Comparison.Calibrate].
	Calibration Calibration
	// P is the least p-value of Tests times their number (Bonferroni), at
	// most 1.
	P float64
	// Effect is the greatest of KS (numbers) or total variation (levels) and
	// the change in the missing rate: the size of the change as a share of
	// rows, whatever the number of rows.
	Effect float64
}

const (
	gridParts     = 60  // of the tests
	distanceParts = 10  // of the distances, as is the custom; divides gridParts
	maxLevels     = 250 // with a cell of their own; rarer ones share one

	mmdRows = 200 // that the MMD of a report is taken from

	// unseenFloor is the least share of unseen levels that is tested.
	unseenFloor = 0.002
)

// Numbers compares two samples of numbers in the order of time; NaN is
// missing.
func Numbers(ref, cur []float64) *Comparison {
	a, _ := Sorted(ref)
	b, _ := Sorted(cur)
	g := NumberGrid(a)
	x, y := CountNumbers(RowSteps(len(ref)), g), CountNumbers(RowSteps(len(cur)), g)
	x.Add(0, ref)
	y.Add(0, cur)
	return CompareNumbers(x, y, a, b)
}

// NumberGrid is the grid that a column of numbers is counted on, given a
// sorted sample of the reference.
func NumberGrid(sorted []float64) *Grid {
	g, coarse := NewGrid(sorted, gridParts), NewGrid(sorted, distanceParts)
	g.tenths, g.ten = g.merge(coarse), coarse.Len()
	return g
}

// CompareNumbers compares two samples by their counts on one grid. a and b are
// sorted values of them, or of so many rows of them that KS and Wasserstein,
// which are taken from these, are as near as is needed.
func CompareNumbers(ref, cur *NumberCounts, a, b []float64) *Comparison {
	c := newComparison(ref.Counts, cur.Counts)
	then, now := ref.total(), cur.total()
	if len(a) > 0 && len(b) > 0 {
		c.distances(pool(then, ref.grid.tenths, ref.grid.ten), pool(now, ref.grid.tenths, ref.grid.ten))
		c.KS = KS(a, b)
		c.KSP = KSP(c.KS, c.RefRows-c.RefMissing, c.CurRows-c.CurMissing)
		_, sd := Moments(a)
		if c.Wasserstein = Wasserstein(a, b); c.Wasserstein > 0 {
			c.Wasserstein /= sd
		}
		c.CramerVonMises, _ = CramerVonMises(a, b)
		if c.Energy = EnergyDistance(a, b); c.Energy > 0 {
			c.Energy /= math.Sqrt(sd)
		}
		c.MMD = MMD(a, b, mmdRows)
	}
	n := newNumberTest(then[:ref.Cells])
	d := newDuel(ref.Counts, cur.Counts, n.scores, len(n.names()), n.figures, 3)
	d.coarse, d.coarseCells = ref.grid.tenths, ref.grid.ten
	c.test(d, n.names())
	c.combine(c.KS)
	return c
}

// pool sums counts by cell; what cell does not name is left out.
func pool(n []float64, cell []uint8, cells int) []float64 {
	out := make([]float64, cells)
	for i, k := range cell {
		out[k] += n[i]
	}
	return out
}

// Levels compares two samples of levels in the order of time, given as codes
// in [0, levels) of one dictionary; −1 is missing.
func Levels(ref, cur []int32, levels int) *Comparison {
	a, b := CountLevels(RowSteps(len(ref))), CountLevels(RowSteps(len(cur)))
	a.Add(0, ref)
	b.Add(0, cur)
	return CompareLevels(a, b, levels)
}

// CompareLevels compares two samples by the counts of so many levels.
func CompareLevels(ref, cur *LevelCounts, levels int) *Comparison {
	a, b := ref.Totals(levels), cur.Totals(levels)
	cell, cells := levelCells(a, b)
	x, y := ref.pooled(cell, cells), cur.pooled(cell, cells)
	c := newComparison(x, y)
	if c.RefMissing < c.RefRows && c.CurMissing < c.CurRows {
		c.distances(a, b)
		c.ChiSquare, c.ChiSquareDF = ChiSquare(a, b)
		c.ChiSquareP = ChiSquareP(c.ChiSquare, c.ChiSquareDF)
	}
	singles, known := 0.0, 0.0
	for i, n := range a {
		switch n {
		case 0:
			c.Unseen += int(b[i])
			continue
		case 1:
			singles++
		}
		known++
	}
	l := levelTest{}
	d := newDuel(x, y, l.scores, len(l.names()), l.figures(x.total()), mostFigures)
	d.coarse, d.coarseCells = d.frequent()
	c.test(d, l.names())
	c.unseen(singles, known)
	c.combine(c.TotalVariation)
	return c
}

// levelCells gives the most frequent levels of both samples together a cell of
// their own and the rarer ones a common one. Were the cells chosen by the
// reference alone, its chance lows would gather in the common cell and the
// current sample would seem to exceed it.
func levelCells(a, b []float64) (cell []uint8, cells int) {
	order := make([]int, min(len(a), mostLevels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return int(a[j] + b[j] - a[i] - b[i]) })
	cell = make([]uint8, len(a))
	for rank, i := range order {
		cell[i] = uint8(min(rank, maxLevels))
	}
	for i := mostLevels; i < len(a); i++ {
		cell[i] = maxLevels
	}
	return cell, min(len(order), maxLevels+1)
}

func newComparison(ref, cur *Counts) *Comparison {
	nan := math.NaN()
	a, b := ref.total(), cur.total()
	return &Comparison{
		RefRows: int(total(a)), CurRows: int(total(b)), RefMissing: int(a[ref.Cells]), CurMissing: int(b[cur.Cells]),
		PSI: nan, JensenShannon: nan, Hellinger: nan, TotalVariation: nan, LInfinity: nan,
		KS: nan, KSP: nan, Wasserstein: nan, CramerVonMises: nan, Energy: nan, MMD: nan, ChiSquare: nan, ChiSquareP: nan, P: 1,
	}
}

func (c *Comparison) distances(a, b []float64) {
	p, q := Shares(a), Shares(b)
	c.PSI = PSI(p, q)
	c.JensenShannon = JensenShannon(p, q)
	c.Hellinger = Hellinger(p, q)
	c.TotalVariation = TotalVariation(p, q)
	c.LInfinity = LInfinity(p, q)
}

// test runs the tests of a duel.
func (c *Comparison) test(d *duel, names []string) {
	if d.n == 0 || d.m == 0 {
		return
	}
	z := d.scores()
	own := d.restlessness()
	independent := own.independent()
	for t := range own.meanSquare {
		own.meanSquare[t] *= d.memory
	}
	c.Seasons, c.duel, c.own = d.seasons, d, own
	for t, name := range names {
		p, inflation := own.p(t, z[t], independent)
		c.Tests = append(c.Tests, Test{name, z[t], inflation, p})
	}
}

// combine sets P (Bonferroni) and Effect, shape being the distance that
// measures the change of the present values.
func (c *Comparison) combine(shape float64) {
	for _, t := range c.Tests {
		c.P = min(c.P, t.P*float64(len(c.Tests)))
	}
	if c.RefRows == 0 || c.CurRows == 0 {
		return
	}
	c.Effect = math.Abs(float64(c.CurMissing)/float64(c.CurRows) - float64(c.RefMissing)/float64(c.RefRows))
	if shape > c.Effect { // false for NaN
		c.Effect = shape
	}
}

// unseen adds the test of levels that the reference does not hold: more of
// them than the number of levels that it holds once makes probable
// (Good–Turing), times the number of known levels, any of which might have been
// missed by the reference, and enough of them to matter. It needs no windows, because a
// level that never came in any of them says nothing of how such levels cluster.
func (c *Comparison) unseen(singles, known float64) {
	n, m := float64(c.RefRows-c.RefMissing), float64(c.CurRows-c.CurMissing)
	if n == 0 || m == 0 {
		return
	}
	p := 1.0
	if fresh := float64(c.Unseen); fresh/m >= max(unseenFloor, 3*(singles+1)/n) {
		p = min(known*NewP(singles, n, fresh, m), 1)
	}
	c.Tests = append(c.Tests, Test{"unseen", ZOf(p), 1, p})
}

// datingLevels is the number of levels that changes are dated by.
const datingLevels = 24

// frequent maps cells of levels to the most frequent of the reference's, to
// one for those that it lacks, and to one for the rest.
func (d *duel) frequent() (cell []uint8, cells int) {
	order := make([]int, d.cells)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d.ref.sum[j], d.ref.sum[i]) })
	cell = make([]uint8, d.cells)
	for rank, i := range order {
		switch {
		case d.ref.sum[i] == 0:
			cell[i] = datingLevels
		case rank < datingLevels:
			cell[i] = uint8(rank)
		default:
			cell[i] = datingLevels + 1
		}
	}
	return cell, datingLevels + 2
}
