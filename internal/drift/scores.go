package drift

import (
	"cmp"
	"math"
	"slices"
)

// numberTest scores counts over the cells of a grid.
type numberTest struct {
	rank, turn       []float64 // per cell: mid-rank in [0, 1] and squared distance from ½
	rankVar, turnVar float64   // of one row of the reference
}

func newNumberTest(ref []float64) *numberTest {
	n := &numberTest{rank: make([]float64, len(ref)), turn: make([]float64, len(ref))}
	p := Shares(ref)
	below := 0.0
	for i, share := range p {
		n.rank[i] = below + share/2
		n.turn[i] = (n.rank[i] - 0.5) * (n.rank[i] - 0.5)
		below += share
	}
	n.rankVar, n.turnVar = variance(p, n.rank), variance(p, n.turn)
	return n
}

func variance(p, v []float64) float64 {
	var mean, square float64
	for i := range p {
		mean += p[i] * v[i]
	}
	for i := range p {
		square += p[i] * (v[i] - mean) * (v[i] - mean)
	}
	return square
}

func (*numberTest) names() []string {
	return []string{"location", "spread", "shape", "spike", "missing"}
}

// figures are the parts of the scores that a step has by itself: the mean
// rank, its mean distance from the middle, and the rate of missing values.
func (n *numberTest) figures(counts, out []float64) {
	cells := len(n.rank)
	rows, present := total(counts), 0.0
	for i, k := range counts[:cells] {
		present += k
		out[0] += k * n.rank[i]
		out[1] += k * n.turn[i]
	}
	if present > 0 {
		out[0] /= present
		out[1] /= present
	} else {
		out[0], out[1] = 0.5, 1./12
	}
	out[2] = counts[cells] / rows
}

func (n *numberTest) scores(z, a, b []float64) {
	cells := len(n.rank)
	na, nb := total(a[:cells]), total(b[:cells])
	for i := range z {
		z[i] = 0
	}
	z[4] = missingZ(a, b)
	if na == 0 || nb == 0 {
		return
	}
	root := math.Sqrt(na * nb / (na + nb))
	var location, turn, fa, fb, d float64
	for i := range cells {
		p, q := a[i]/na, b[i]/nb
		location += (q - p) * n.rank[i]
		turn += (q - p) * n.turn[i]
		fa, fb = fa+p, fb+q
		d = max(d, math.Abs(fa-fb))
	}
	z[0] = standard(location*root, n.rankVar)
	z[1] = standard(turn*root, n.turnVar)
	z[2] = ksZ(d * root)
	z[3] = spikeZ(a[:cells], b[:cells], na, nb)
}

// standard is v over the root of variance, 0 where a constant has none (then
// the spike test speaks).
func standard(v, variance float64) float64 {
	if variance <= 0 {
		return 0
	}
	return v / math.Sqrt(variance)
}

// ksZ is the normal score of Kolmogorov's x, beyond the reach of p-values by
// its tail: 2·exp(−2x²) ≈ the tail of a normal at 2x.
func ksZ(x float64) float64 {
	if x > 15 {
		return 2 * x
	}
	return ZOf(Kolmogorov(x))
}

// spikeZ is the greatest change of one cell's share, as the normal score of
// its p-value times the number of cells.
func spikeZ(a, b []float64, n, m float64) float64 {
	z, k := 0.0, 0
	for i := range a {
		if a[i]+b[i] > 0 {
			k++
			z = max(z, math.Abs(eventZ(a[i], n, b[i], m)))
		}
	}
	return maxZ(z, k)
}

// maxZ is the normal score of the greatest of k scores (Šidák).
func maxZ(z float64, k int) float64 {
	if z > 30 {
		return z
	}
	p := normalP(z)
	return ZOf(-math.Expm1(float64(k) * math.Log1p(-p)))
}

// rareEvents is the number of events below which a rate of the reference is
// tested by [NewP].
const rareEvents = 5

// eventZ compares b events in m rows with a in n: by [RateZ], or by [NewP] when
// the reference has so few that their number is far from normal.
func eventZ(a, n, b, m float64) float64 {
	if a >= rareEvents || n == 0 || b*n <= a*m {
		return RateZ(a, n, b, m)
	}
	return ZOf(2 * NewP(a, n, b, m))
}

func missingZ(a, b []float64) float64 {
	last := len(a) - 1
	return eventZ(a[last], total(a), b[last], total(b))
}

// levelTest scores counts over levels.
type levelTest struct{}

func (levelTest) names() []string { return []string{"mix", "spike", "missing"} }

// mostFigures are looked at in a step.
const mostFigures = 9

// figures are the shares of the most frequent cells and of missing values.
func (levelTest) figures(totals []float64) func(counts, out []float64) {
	cells := len(totals) - 1
	order := make([]int, cells)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(totals[j], totals[i]) })
	order = append(order[:min(cells, mostFigures-1)], cells)
	return func(counts, out []float64) {
		rows := total(counts)
		for k, i := range order {
			out[k] = counts[i] / rows
		}
	}
}

func (levelTest) scores(z, a, b []float64) {
	cells := len(a) - 1
	na, nb := total(a[:cells]), total(b[:cells])
	z[0], z[1], z[2] = 0, 0, missingZ(a, b)
	if na == 0 || nb == 0 {
		return
	}
	z[0] = chiSquareZ(ChiSquare(a[:cells], b[:cells]))
	z[1] = spikeZ(a[:cells], b[:cells], na, nb)
}

// chiSquareZ is the normal score of χ², by Fisher's root beyond the reach of
// p-values.
func chiSquareZ(x2 float64, df int) float64 {
	if df < 1 {
		return 0
	}
	if p := ChiSquareP(x2, df); p > 1e-200 {
		return ZOf(p)
	}
	return math.Sqrt(2*x2) - math.Sqrt(2*float64(df)-1)
}
