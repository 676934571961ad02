package retrain

import (
	"context"
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/schema"
)

// recalibrateCures keep the champion and stretch and shift its raw score,
// s → a + b·s, to fit the rows that it does not know. Both go into the leaves,
// so that any program that reads the model has them.
func recalibrateCures(b *backtest) []cure {
	o, err := gbdt.ParseObjective(b.champion.Trees.Objective)
	regression := slices.Contains([]string{"regression", "regression_l1", "huber", "fair"}, o.Name)
	if err != nil || !regression && o.Name != "binary" || b.champion.Trees.AverageOutput || len(b.champion.Trees.Trees) == 0 {
		return nil
	}
	return []cure{{name: "recalibrate", action: heal.Recalibrate, make: func(_ context.Context, b *backtest, hi int) (*challenger, error) {
		if hi-b.fresh < minRelearn {
			return nil, nil
		}
		out, err := b.predict(nil, b.fresh, hi)
		if err != nil {
			return nil, err
		}
		labels := b.rows.Labels[b.fresh:hi]
		var shift, scale float64
		if b.task() == schema.Binary {
			shift, scale = platt(labels, logOdds(out))
			shift /= o.Sigmoid // of the log odds, which are sigmoid·score
		} else {
			shift, scale = line(b.rawLabels(labels), b.rawLabels(out))
		}
		m := *b.champion.Trees
		m.Trees = slices.Clone(m.Trees)
		for i := range m.Trees {
			m.Trees[i] = affineTree(m.Trees[i], scale, 0)
		}
		m.Trees[0] = affineTree(m.Trees[0], 1, shift)
		return b.remade(&fit.Result{Model: &m})
	}}}
}

// rawLabels are values on the scale of the raw score.
func (b *backtest) rawLabels(v []float64) []float64 {
	if b.champion.Trees.Objective != "regression sqrt" {
		return v
	}
	out := make([]float64, len(v))
	for i, y := range v {
		out[i] = math.Copysign(math.Sqrt(math.Abs(y)), y)
	}
	return out
}

// line is the a + b·x that comes nearest to y in the mean absolute error, by
// iteratively reweighted least squares (Schlossmacher 1973): a few rows that
// are far off do not move it. b is 1 when x says nothing, and at least 0.
func line(y, x []float64) (a, b float64) {
	w := make([]float64, len(y))
	for i := range w {
		w[i] = 1
	}
	scale := 0.0
	for range 20 {
		var sw, sx, sy, sxx, sxy float64
		for i := range y {
			sw, sx, sy = sw+w[i], sx+w[i]*x[i], sy+w[i]*y[i]
		}
		mx, my := sx/sw, sy/sw
		for i := range y {
			dx := x[i] - mx
			sxx, sxy = sxx+w[i]*dx*dx, sxy+w[i]*dx*(y[i]-my)
		}
		b = 1
		if sxx > 0 {
			b = max(sxy/sxx, 0)
		}
		a = my - b*mx
		scale = 0
		for i := range y {
			scale += math.Abs(y[i] - a - b*x[i])
		}
		if scale = 1e-3 * scale / float64(len(y)); scale == 0 {
			return a, b
		}
		for i := range y {
			w[i] = 1 / max(math.Abs(y[i]-a-b*x[i]), scale)
		}
	}
	return a, b
}

// logOdds are those of class 1 in two-column probabilities.
func logOdds(outputs []float64) []float64 {
	out := make([]float64, len(outputs)/2)
	for i := range out {
		p := min(max(outputs[2*i+1], 1e-12), 1-1e-12)
		out[i] = math.Log(p / (1 - p))
	}
	return out
}

// platt is the a + b·s whose sigmoid is the likeliest for labels of 0 and 1
// (Platt 1999), with his targets that keep a pure sample from certainty, found
// by Newton's method; b is at least 0.
func platt(labels, s []float64) (a, b float64) {
	pos := 0.0
	for _, y := range labels {
		pos += y
	}
	neg := float64(len(labels)) - pos
	hi, lo := (pos+1)/(pos+2), 1/(neg+2)
	a, b = 0, 1
	for range 50 {
		var ga, gb, haa, hab, hbb float64
		for i, y := range labels {
			t := lo
			if y > 0.5 {
				t = hi
			}
			p := 1 / (1 + math.Exp(-a-b*s[i]))
			d, h := p-t, p*(1-p)
			ga, gb = ga+d, gb+d*s[i]
			haa, hab, hbb = haa+h, hab+h*s[i], hbb+h*s[i]*s[i]
		}
		haa, hbb = haa+1e-9, hbb+1e-9
		det := haa*hbb - hab*hab
		if det <= 1e-12*haa*hbb {
			break
		}
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		step := 1 / max(1, math.Hypot(da, db)/5)
		a, b = a-step*da, b-step*db
		if math.Abs(da)+math.Abs(db) < 1e-9 {
			break
		}
	}
	return a, max(b, 0)
}
