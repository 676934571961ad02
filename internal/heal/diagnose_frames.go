package heal

import (
	"maps"
	"math"
	"slices"
)

func sortedKeys[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }

// mostSpoilt bounds the share of spoilt labels of a batch: when most of the
// labels moved, it is the world that did.
const mostSpoilt = 0.4

// shares are the shares of spoilt labels that are tried.
var shares = []float64{0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, mostSpoilt}

// bestShare is the share of spoilt labels that makes rows [lo, hi) likeliest,
// and the log likelihood there. ok and bad are the densities of a row under
// either; bad may depend on the row.
func bestShare(lo, hi int, ok, bad func(i int) float64) (share, best float64) {
	best = math.Inf(-1)
	for _, s := range shares {
		if l := logMixture(lo, hi, s, ok, bad); l > best {
			share, best = s, l
		}
	}
	return share, best
}

func logMixture(lo, hi int, share float64, ok, bad func(i int) float64) float64 {
	l := 0.0
	for i := lo; i < hi; i++ {
		l += math.Log(max((1-share)*ok(i)+share*bad(i), 1e-300))
	}
	return l
}

// batchesOf weighs each run of one block number.
func batchesOf(block []int, before float64, ok, bad func(i int) float64) []spoiltBatch {
	var out []spoiltBatch
	for lo := 0; lo < len(block); {
		hi := lo
		for hi < len(block) && block[hi] == block[lo] {
			hi++
		}
		share, best := bestShare(lo, hi, ok, bad)
		b := spoiltBatch{rows: hi - lo, share: share}
		if share > before {
			b.gain = best - logMixture(lo, hi, before, ok, bad)
		}
		out = append(out, b)
		lo = hi
	}
	return out
}

// numberFrame measures residuals in their own scale, which is that of the fifth
// of the predictions that a row lies in: the median and the scaled median
// deviation of the rows then. Residuals are cut at four of these scales, so that
// some wild labels are not taken for a move.
type numberFrame struct {
	then, now         Outcomes
	zThen, zNow       []float64 // uncut, about the median then
	scaleThen, scales []float64
	a, b              float64 // the move of the whole: a + b·output
	variance          float64 // of cut residuals then
	centre            float64 // their mean
}

const wild = 4

// farthest is where residuals are cut off, in robust standard deviations: those
// beyond say no more.
const farthest = 1e6

func newNumberFrame(then, now Outcomes) *numberFrame {
	f := &numberFrame{then: then, now: now}
	const fifths = 5
	cuts := quantiles(then.Output, fifths)
	residuals := make([][]float64, fifths)
	for i, y := range then.Label {
		k := place(cuts, then.Output[i])
		residuals[k] = append(residuals[k], y-then.Output[i])
	}
	var all []float64
	for _, r := range residuals {
		all = append(all, r...)
	}
	_, scale := robust(all)
	scale = math.Max(scale, 1e-12*(1+math.Abs(mean(then.Label))))
	medians, scales := make([]float64, fifths), make([]float64, fifths)
	for k, r := range residuals {
		m, s := 0.0, scale
		if len(r) >= minOutcomes/2 {
			m, s = robust(r)
		}
		medians[k], scales[k] = m, math.Max(s, scale/20)
	}
	measure := func(o Outcomes) (z, s []float64) {
		for i, y := range o.Label {
			k := place(cuts, o.Output[i])
			z = append(z, max(-farthest, min(farthest, (y-o.Output[i]-medians[k])/scales[k])))
			s = append(s, scales[k])
		}
		return z, s
	}
	f.zThen, f.scaleThen = measure(then)
	f.zNow, f.scales = measure(now)
	e := cutAll(f.zThen)
	f.centre = mean(e)
	for _, x := range e {
		f.variance += (x - f.centre) * (x - f.centre)
	}
	f.variance = math.Max(f.variance/float64(len(e)), 1e-6)
	return f
}

func cutAll(z []float64) []float64 {
	out := make([]float64, len(z))
	for i, x := range z {
		out[i] = max(-wild, min(wild, x))
	}
	return out
}

// whole fits the residuals now by a + b·output in least squares on cut
// residuals; the design effect is that of the blocks then.
func (f *numberFrame) whole() wholeMove {
	e, _, v, _ := f.residuals(false)
	one := make([]int, len(e))
	design := math.Max(1, binned(e, v, f.then.Block, one, 1).design())
	var g11, g12, g22, h1, h2 float64
	middle, _ := robust(f.zNow)
	x := make([]float64, len(f.zNow))
	for i, z := range f.zNow {
		x[i] = middle + max(-wild, min(wild, z-middle)) - f.centre
	}
	for i, r := range x {
		s := math.Sqrt(f.variance)
		u, w := 1/f.scales[i]/s, f.now.Output[i]/f.scales[i]/s
		r /= s
		g11, g12, g22 = g11+u*u, g12+u*w, g22+w*w
		h1, h2 = h1+u*r, h2+w*r
	}
	det := g11*g22 - g12*g12
	m := wholeMove{parameters: 2, design: design}
	if det <= 1e-9*g11*g22 {
		f.a, m.parameters = h1/math.Max(g11, 1e-300), 1
		m.gain = h1 * f.a / 2
		return m
	}
	f.a, f.b = (h1*g22-h2*g12)/det, (h2*g11-h1*g12)/det
	m.gain = (h1*f.a + h2*f.b) / 2
	// The rows then are a sample, too.
	m.gain /= 1 + float64(len(x))/float64(len(e))
	return m
}

func (f *numberFrame) residuals(moved bool) (then, now, vThen, vNow []float64) {
	then = cutAll(f.zThen)
	z := f.zNow
	if moved {
		z = make([]float64, len(f.zNow))
		for i := range z {
			z[i] = f.zNow[i] - (f.a+f.b*f.now.Output[i])/f.scales[i]
		}
	}
	now = cutAll(centred(z, f.now.Block))
	vThen, vNow = make([]float64, len(then)), make([]float64, len(now))
	for i := range then {
		then[i] -= f.centre
		vThen[i] = f.variance
	}
	level := mean(now)
	for i := range now {
		now[i] -= level
		vNow[i] = f.variance
	}
	return then, now, vThen, vNow
}

// centred takes each batch's median away: a batch that moved as a whole is not
// spoilt.
func centred(z []float64, block []int) []float64 {
	out := make([]float64, len(z))
	for lo := 0; lo < len(z); {
		hi := lo
		for hi < len(z) && block[hi] == block[lo] {
			hi++
		}
		m, _ := robust(z[lo:hi])
		for i := lo; i < hi; i++ {
			out[i] = z[i] - m
		}
		lo = hi
	}
	return out
}

// spoilt mixes Student's t with 4 degrees of freedom, for labels that are as
// always, with a Cauchy ten times as wide.
func (f *numberFrame) spoilt() ([]spoiltBatch, float64) {
	of := func(z []float64, d func(float64) float64) func(int) float64 {
		return func(i int) float64 { return d(z[i]) }
	}
	before, _ := bestShare(0, len(f.zThen), of(f.zThen, student), of(f.zThen, wideCauchy))
	z := centred(f.zNow, f.now.Block)
	return batchesOf(f.now.Block, before, of(z, student), of(z, wideCauchy)), before
}

func student(z float64) float64 { return 0.375 * math.Pow(1+z*z/4, -2.5) }

func wideCauchy(z float64) float64 {
	const wide = 10
	return 1 / (math.Pi * wide * (1 + z*z/(wide*wide)))
}

func (f *numberFrame) odds(lo, hi int, share float64) []float64 {
	out := centred(f.zNow[lo:hi], f.now.Block[lo:hi])
	for i, z := range out {
		out[i] = share * wideCauchy(z) / ((1 - share) * student(z))
	}
	return out
}

// placed are the odds when it is fitted where the wrong labels of a batch lie,
// which a slip of a unit puts all in one place: the batch is mixed of labels as
// always, about a place of their own, and of a normal distribution with a tenth
// of the Cauchy, by expectation and maximisation (Dempster, Laird and Rubin
// 1977), beginning with the odds of the Cauchy alone. Where that is no likelier,
// by the criterion of Schwarz (1978), or would call half of the labels wrong, it
// is those odds.
func (f *numberFrame) placed(lo, hi int, share float64, odds []float64) []float64 {
	z := centred(f.zNow[lo:hi], f.now.Block[lo:hi])
	before := 0.0
	for _, x := range z {
		before += math.Log(share*wideCauchy(x) + (1-share)*student(x))
	}
	l, fitted, after := lump{share: share}, slices.Clone(odds), math.Inf(-1)
	for range lumpRounds {
		l.maximise(z, fitted)
		last := after
		if after = l.expect(z, fitted); after-last < 1e-6*math.Abs(last) {
			break
		}
	}
	const parameters = 3 // more than the Cauchy alone has
	if l.share < 0.5 && after-before > parameters/2.0*math.Log(float64(len(z))) {
		return fitted
	}
	return odds
}

// lump is a batch of usual labels about centre, and a share of wrong ones with
// mean and sd.
type lump struct{ share, centre, mean, sd float64 }

const (
	lumpRounds = 60
	lumpStray  = 0.1 // part of the wrong labels that lie anywhere
	lumpLeast  = 0.5 // sd, in those of usual labels
)

// parts are the densities of usual labels, of wrong ones in the lump, and of
// wrong ones anywhere.
func (l *lump) parts(z float64) (usual, near, stray float64) {
	d := (z - l.mean) / l.sd
	near = math.Exp(-d*d/2) / (l.sd * math.Sqrt(2*math.Pi))
	return (1 - l.share) * student(z-l.centre), l.share * (1 - lumpStray) * near, l.share * lumpStray * wideCauchy(z)
}

// expect sets the odds of each label to be wrong, and is the log likelihood.
func (l *lump) expect(z, odds []float64) float64 {
	sum := 0.0
	for i, x := range z {
		usual, near, stray := l.parts(x)
		odds[i] = (near + stray) / usual
		sum += math.Log(usual + near + stray)
	}
	return sum
}

// maximise fits the parameters to the odds.
func (l *lump) maximise(z, odds []float64) {
	wrong, near, sum, square, usual, place := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for i, x := range z {
		w := 1 - 1/(1+odds[i]) // odds may be infinite
		wrong += w
		v := w
		if l.sd > 0 { // in the first round all wrong labels are near
			_, a, b := l.parts(x)
			v *= a / (a + b)
		}
		near += v
		sum += v * x
		square += v * x * x
		u := (1 - w) / (4 + (x-l.centre)*(x-l.centre)) // as one fits Student's t
		usual += u
		place += u * x
	}
	l.share = min(max(wrong/float64(len(z)), 1e-6), 1-1e-6)
	l.centre = place / max(usual, 1e-300)
	l.mean = sum / max(near, 1e-300)
	l.sd = max(math.Sqrt(max(square/max(near, 1e-300)-l.mean*l.mean, 0)), lumpLeast)
}

// classFrame measures labels against probabilities, recalibrated on the rows
// then by intercept and slope of the log odds (Platt 1999, Cox 1958).
type classFrame struct {
	then, now   Outcomes
	pThen, pNow []float64
	shift       float64 // of the log odds now
}

func newClassFrame(then, now Outcomes) *classFrame {
	f := &classFrame{then: then, now: now}
	a, b := calibrate(then)
	of := func(o Outcomes) []float64 {
		p := make([]float64, len(o.Output))
		for i, x := range o.Output {
			p[i] = logistic(a + b*logOdds(x))
		}
		return p
	}
	f.pThen, f.pNow = of(then), of(now)
	return f
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func logOdds(p float64) float64 {
	p = max(1e-4, min(1-1e-4, p))
	return math.Log(p / (1 - p))
}

// calibrate fits intercept and slope by Newton's method, with one row's worth
// of pull to (0, 1).
func calibrate(o Outcomes) (a, b float64) {
	b = 1
	for range 25 {
		g1, g2, h11, h12, h22 := -a, 1-b, 1.0, 0.0, 1.0
		for i, y := range o.Label {
			x := logOdds(o.Output[i])
			p := logistic(a + b*x)
			v := p * (1 - p)
			g1, g2 = g1+y-p, g2+(y-p)*x
			h11, h12, h22 = h11+v, h12+v*x, h22+v*x*x
		}
		det := h11*h22 - h12*h12
		da, db := (g1*h22-g2*h12)/det, (g2*h11-g1*h12)/det
		a, b = a+max(-1, min(1, da)), b+max(-1, min(1, db))
		if math.Abs(da)+math.Abs(db) < 1e-9 {
			break
		}
	}
	return a, b
}

func logBernoulli(label, p []float64, shift float64) float64 {
	l := 0.0
	for i, y := range label {
		q := logistic(logOdds(p[i]) + shift)
		if y > 0.5 {
			l += math.Log(q)
		} else {
			l += math.Log1p(-q)
		}
	}
	return l
}

// whole moves the log odds of all rows now by one number, which is what a
// change of the classes' shares alone does (Saerens, Latinne and Decaestecker
// 2002).
func (f *classFrame) whole() wholeMove {
	for range 25 {
		g, h := -f.shift, 1.0
		for i, y := range f.now.Label {
			q := logistic(logOdds(f.pNow[i]) + f.shift)
			g += y - q
			h += q * (1 - q)
		}
		f.shift += max(-1, min(1, g/h))
	}
	e, x, v, _ := f.residuals(false)
	one := make([]int, len(e))
	design := math.Max(1, binned(e, v, f.then.Block, one, 1).design())
	gain := logBernoulli(f.now.Label, f.pNow, f.shift) - logBernoulli(f.now.Label, f.pNow, 0)
	return wholeMove{gain: gain / (1 + float64(len(x))/float64(len(e))), parameters: 1, design: design}
}

func (f *classFrame) residuals(moved bool) (then, now, vThen, vNow []float64) {
	side := func(label, p []float64, shift float64) (e, v []float64) {
		for i, y := range label {
			q := logistic(logOdds(p[i]) + shift)
			e = append(e, y-q)
			v = append(v, q*(1-q))
		}
		return e, v
	}
	shift := 0.0
	if moved {
		shift = f.shift
	}
	then, vThen = side(f.then.Label, f.pThen, 0)
	now, vNow = side(f.now.Label, f.pNow, shift)
	level(now, vNow, f.now.Block)
	return then, now, vThen, vNow
}

// level takes from each batch's residuals their mean, by their variances.
func level(e, v []float64, block []int) {
	for lo := 0; lo < len(e); {
		hi := lo
		se, sv := 0.0, 0.0
		for hi < len(e) && block[hi] == block[lo] {
			se, sv = se+e[hi], sv+v[hi]
			hi++
		}
		for i := lo; i < hi; i++ {
			e[i] -= v[i] * se / max(sv, 1e-12)
		}
		lo = hi
	}
}

// spoilt mixes labels that are as always, but for the move of the whole, with
// labels turned over.
func (f *classFrame) spoilt() ([]spoiltBatch, float64) {
	of := func(label, p []float64, turned bool) func(int) float64 {
		return func(i int) float64 {
			if (label[i] > 0.5) != turned {
				return p[i]
			}
			return 1 - p[i]
		}
	}
	before, _ := bestShare(0, len(f.pThen), of(f.then.Label, f.pThen, false), of(f.then.Label, f.pThen, true))
	p := make([]float64, len(f.pNow))
	for i, x := range f.pNow {
		p[i] = logistic(logOdds(x) + f.shift)
	}
	return batchesOf(f.now.Block, before, of(f.now.Label, p, false), of(f.now.Label, p, true)), before
}

func (f *classFrame) odds(lo, hi int, share float64) []float64 {
	out := make([]float64, hi-lo)
	for i, x := range f.pNow[lo:hi] {
		p := logistic(logOdds(x) + f.shift)
		if f.now.Label[lo+i] < 0.5 {
			p = 1 - p
		}
		out[i] = share * (1 - p) / ((1 - share) * p)
	}
	return out
}

// quantiles are the n−1 inner cuts of n equal parts.
func quantiles(v []float64, n int) []float64 {
	s := slices.Sorted(slices.Values(v))
	cuts := make([]float64, n-1)
	for k := range cuts {
		cuts[k] = s[(k+1)*len(s)/n]
	}
	return cuts
}

// place is the number of cuts that v reaches.
func place(cuts []float64, v float64) int {
	k := 0
	for k < len(cuts) && v >= cuts[k] {
		k++
	}
	return k
}

// robust is the median, and the median distance from it times 1.4826.
func robust(v []float64) (median, scale float64) {
	if len(v) == 0 {
		return 0, 0
	}
	s := slices.Sorted(slices.Values(v))
	median = s[len(s)/2]
	for i, x := range s {
		s[i] = math.Abs(x - median)
	}
	slices.Sort(s)
	return median, 1.4826 * s[len(s)/2]
}
