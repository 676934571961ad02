package drift

import (
	"math"
	"math/rand/v2"
	"slices"
)

// DefaultResamples is the number of resamples that a column is calibrated by.
const DefaultResamples = 100

// Calibration is how far the p-values of a restless column can be trusted: what
// they come to when its reference is compared with itself.
//
// Resamples of the reference and of a current sample are drawn from the
// reference in blocks of neighbouring units (Künsch 1989) and compared as the
// samples are. The tail of x = −ln p beyond its upper quartile U is fitted by an
// exponential of mean Beta. For p-values that are right U is ln 4 and Beta is
// 1, and that much is known beforehand: it enters with the weight of a number of
// observations, and U is never less. So the small probabilities that a budget
// of false alarms asks for need few resamples, and few blocks cannot say much.
type Calibration struct {
	U         float64
	Beta      float64
	Resamples int // 0: the p-values stand as they are
	Block     int // rows of a block, about
	// x are the resamples' −ln p. Columns of the same samples are resampled
	// by the same draws, so they stand beside one another.
	x []float64
}

const (
	tailShare   = 0.25 // of the resamples, which the tail is fitted to
	priorWeight = 40   // observations that the theory counts for
)

// P is the calibrated p-value for one of the theory, with p > 0.
func (c Calibration) P(p float64) float64 { return c.tail(-math.Log(p)) }

func (c Calibration) tail(x float64) float64 {
	if x <= c.U { // between 1 at p = 1 and the tail's share at U
		return math.Pow(tailShare, x/c.U)
	}
	return tailShare * math.Exp(-(x-c.U)/c.Beta)
}

// Calibrate replaces the p-values of a restless column by calibrated ones.
// Columns whose rows pass as independent keep those of the theory, which is
// right for them, and so do columns whose reference has too few windows. The
// draws depend on the seed and the samples' steps alone.
func (c *Comparison) Calibrate(resamples int, seed uint64) {
	d := c.duel
	if d == nil || c.own.independent() || len(d.refUnits) < windowsLeast || resamples <= 0 {
		return
	}
	c.Calibration = d.calibrate(resamples, seed)
	p := 1.0
	for t := range d.tests {
		raw := c.own.raw(t, c.Tests[t].Z)
		c.Tests[t].P = c.Calibration.P(min(raw*float64(d.tests), 1))
		p = min(p, c.Tests[t].P)
	}
	p *= float64(len(c.Tests)) / float64(d.tests)
	for _, t := range c.Tests[d.tests:] { // of levels never seen, which resamples cannot show
		p = min(p, t.P*float64(len(c.Tests)))
	}
	c.P = min(p, 1)
}

func (d *duel) calibrate(resamples int, seed uint64) Calibration {
	h := len(d.refUnits)
	k := max(1, int(math.Round(2*float64(d.m)/float64(d.window))))
	block := max(2, int(math.Ceil(math.Sqrt(float64(h))/2)))
	curBlock := block
	if 3*k <= h {
		curBlock = k
	}
	r := rand.New(rand.NewPCG(seed, calibrationStream))
	out := Calibration{Resamples: resamples, Block: block * d.window / 2, x: make([]float64, resamples)}
	a, z := make([]float64, d.cells+1), make([]float64, d.tests)
	refPile, curPile := newPile(d.strata, d.cells), newPile(d.strata, d.cells)
	for i := range out.x {
		ref, cur := pick(d.refUnits, blocks(r, h, h, block)), pick(d.refUnits, blocks(r, h, k, curBlock))
		refPile.fill(ref)
		curPile.fill(cur)
		refPile.like(a, curPile)
		d.f(z, a, curPile.sum)
		own, p := d.restless(ref, cur), 1.0
		for t, v := range z {
			p = min(p, own.raw(t, v)*float64(d.tests))
		}
		out.x[i] = -math.Log(max(p, math.SmallestNonzeroFloat64))
	}
	out.U, out.Beta = fitTail(out.x, float64(h)/float64(block))
	return out
}

// calibrationStream keeps the draws apart from others by the same seed.
const calibrationStream = 0xca11b

// blocks draws so many of n units in blocks of neighbours, the last one being
// followed by the first.
func blocks(r *rand.Rand, n, want, block int) []int {
	out := make([]int, 0, want)
	for len(out) < want {
		at := r.IntN(n)
		for i := range min(block, want-len(out)) {
			out = append(out, (at+i)%n)
		}
	}
	return out
}

// fitTail fits the tail of −ln p. However many the resamples, they know no more
// than the blocks that they are drawn from, whose number is what they count for
// beside the prior.
func fitTail(x []float64, blocks float64) (u, beta float64) {
	sorted := slices.Sorted(slices.Values(x))
	at := int(float64(len(x)) * (1 - tailShare))
	u = max(sorted[at], -math.Log(tailShare)) // no sharper than theory
	excess := 0.0
	for _, v := range sorted[at:] {
		excess += max(v-u, 0)
	}
	excess /= float64(len(x) - at)
	return u, (priorWeight + blocks*excess) / (priorWeight + blocks)
}

// jointLevel is the probability at which columns are seen to err together.
const jointLevel = 0.05

// EffectiveColumns is the number of independent columns that err as often
// together as these do: their number, but that restless columns which rise and
// fall together count as fewer. It is what a bound on all of them has to be
// divided by (the step of Westfall & Young 1993 that looks at the least
// p-value of resamples drawn for all columns at once).
func EffectiveColumns(columns []*Comparison) float64 {
	n, restless := 0.0, []*Calibration{}
	for _, c := range columns {
		if c.Calibration.Resamples == 0 {
			n++
		} else {
			restless = append(restless, &c.Calibration)
		}
	}
	if len(restless) < 2 {
		return n + float64(len(restless))
	}
	hits := 0.0
	resamples := len(restless[0].x)
	for i := range resamples {
		for _, c := range restless {
			if i < len(c.x) && c.rank(i) <= jointLevel {
				hits++
				break
			}
		}
	}
	share := min(hits/float64(resamples), 0.95)
	together := math.Log1p(-share) / math.Log1p(-jointLevel)
	return n + min(max(together, 1), float64(len(restless)))
}

// rank is the share of the resamples that are at least as far out as the i-th.
func (c *Calibration) rank(i int) float64 {
	k := 0
	for _, v := range c.x {
		if v >= c.x[i] {
			k++
		}
	}
	return float64(k) / float64(len(c.x))
}
