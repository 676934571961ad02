package drift

import "math"

const (
	memoryUnits = 12  // of the reference, below which memory cannot be told
	memorySure  = 2   // standard errors of the correlation of neighbours
	mostMemory  = 0.9 // correlation of neighbours that is reckoned with
)

// remembered is by how much the variance of the difference of the samples
// exceeds what windows of two units tell. A disturbance that outlasts a window
// makes neighbouring units alike, and the mean of many of them varies more than
// that of as many strangers: by 1 + 2 Σ (1−k/N) r^k for N units of an
// autoregression whose neighbours correlate with r. It counts only where
// neighbours correlate beyond doubt.
func (d *duel) remembered(figures func(n, out []float64), count int) float64 {
	h := len(d.refUnits)
	if h < memoryUnits {
		return 1
	}
	x := make([][]float64, h)
	for i := range d.refUnits {
		x[i] = make([]float64, count)
		figures(d.refUnits[i].sum, x[i])
		d.seasonFree(x[i], &d.refUnits[i], figures)
	}
	r := 0.0
	for k := range count {
		r = max(r, neighbours(x, k))
	}
	if r < memorySure/math.Sqrt(float64(h)) {
		return 1
	}
	// Short series understate it (Marriott & Pope 1954; Kendall 1954).
	r = min(r+(1+3*r)/float64(h), mostMemory)
	n, m := float64(d.n), float64(d.m)
	units := m / (float64(d.window) / 2)
	return max(1, (growth(r, units)/m+growth(r, float64(h))/n)/(1/n+1/m)/growth(r, 2))
}

// seasonFree takes from a unit's figures those that the reference has in the
// same strata.
func (d *duel) seasonFree(x []float64, u *unit, figures func(n, out []float64)) {
	if d.strata == 1 {
		return
	}
	own := newPile(d.strata, d.cells)
	own.add(u, 1)
	like, usual := make([]float64, d.cells+1), make([]float64, len(x))
	d.ref.like(like, own)
	figures(like, usual)
	for k := range x {
		x[k] -= usual[k]
	}
}

// growth is the variance of the mean of n units over that of as many
// independent ones.
func growth(r, n float64) float64 {
	if n <= 1 {
		return 1
	}
	// Σ_{k<n} (1−k/n) r^k in closed form, k from 1.
	return 1 + 2*(r/(1-r)-r*(1-math.Pow(r, n))/(n*(1-r)*(1-r)))
}

// neighbours is the correlation of figure k with itself one unit later.
func neighbours(x [][]float64, k int) float64 {
	mean := 0.0
	for _, v := range x {
		mean += v[k] / float64(len(x))
	}
	var square, product float64
	for i, v := range x {
		square += (v[k] - mean) * (v[k] - mean)
		if i > 0 {
			product += (v[k] - mean) * (x[i-1][k] - mean)
		}
	}
	if square <= 0 {
		return 0
	}
	return product / square
}
