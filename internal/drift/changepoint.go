package drift

import "math"

// ChangePoint dates the beginning of a change within the current sample.
type ChangePoint struct {
	// Step is the first step after the change, among [Steps.Len].
	Step int
	// Lo and Hi bound it with some 95 %.
	Lo, Hi int
}

// confidence95 is half the .95 quantile of χ² on one degree of freedom: what
// the log-likelihood loses within the interval.
const confidence95 = 3.841 / 2

// ChangePoint finds the step from which on the current sample departs most
// from the reference: the maximum of the log-likelihood ratio of the rows from
// there on, N·KL(their shares ‖ the reference's shares), the profile likelihood
// of a single change away from a known distribution (Hinkley 1970). The shares
// are those that the column's strongest test looks at. The interval is where it
// loses less than half a χ² quantile, widened by the square of that test's
// inflation. It is false without a step with rows or when nothing differs.
func (c *Comparison) ChangePoint() (ChangePoint, bool) {
	if c.duel == nil {
		return ChangePoint{}, false
	}
	d, test := c.duel, c.Strongest()
	cell, cells := d.dating(test.Name)
	shares := pool(d.ref.sum, cell, cells)
	n := total(shares)
	for i := range shares {
		shares[i] = (shares[i] + 0.5) / (n + 0.5*float64(cells))
	}
	steps := d.now.Steps
	gain, best := make([]float64, steps.Len()), -1
	sum := make([]float64, d.cells+1)
	for s := steps.Len() - 1; s >= 0; s-- {
		addCounts(sum, d.now.n[s])
		gain[s] = divergence(pool(sum, cell, cells), shares) / (test.Inflation * test.Inflation)
		if steps.Rows[s] > 0 && (best < 0 || gain[s] >= gain[best]) {
			best = s
		}
	}
	if best < 0 || gain[best] <= 0 {
		return ChangePoint{}, false
	}
	p := ChangePoint{best, best, best}
	for s, g := range gain {
		if g >= gain[best]-confidence95 && steps.Rows[s] > 0 {
			p.Lo, p.Hi = min(p.Lo, s), max(p.Hi, s)
		}
	}
	return p, true
}

// Strongest is the test with the least p-value, of equals the greatest score;
// a test without a name when there is none.
func (c *Comparison) Strongest() Test {
	best := Test{P: 2, Inflation: 1}
	for _, t := range c.Tests {
		if t.P < best.P || t.P == best.P && math.Abs(t.Z)/t.Inflation > math.Abs(best.Z)/best.Inflation {
			best = t
		}
	}
	return best
}

// dating maps cells, and last the missing values, to the few that changes are
// dated by when a test is the strongest.
func (d *duel) dating(test string) (cell []uint8, cells int) {
	cell = make([]uint8, d.cells+1)
	switch test {
	case "missing":
		cell[d.cells] = 1
		return cell, 2
	case "spike":
		cell[d.spike()], cell[d.cells] = 1, 2
		return cell, 3
	case "unseen":
		for i := range d.cells {
			if d.ref.sum[i] == 0 {
				cell[i] = 1
			}
		}
		return cell, 2
	}
	copy(cell, d.coarse)
	cell[d.cells] = uint8(d.coarseCells)
	return cell, d.coarseCells + 1
}

// spike is the cell whose share changed most.
func (d *duel) spike() int {
	a, b := d.ref.sum[:d.cells], d.cur.sum[:d.cells]
	n, m := total(a), total(b)
	best, most := 0, -1.0
	for i := range a {
		if z := math.Abs(eventZ(a[i], n, b[i], m)); z > most {
			best, most = i, z
		}
	}
	return best
}

// divergence is Σ n·ln(n/(N·p)).
func divergence(n, p []float64) float64 {
	rows, sum := total(n), 0.0
	for i, k := range n {
		if k > 0 {
			sum += k * math.Log(k/(rows*p[i]))
		}
	}
	return sum
}
