package monitor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

var nan = Number(math.NaN())

const (
	fixtureSteps = 60
	breakStep    = 38 // the step of the current rows at which columns change
)

// day is step i before (i < 0) or after noon's window began.
func day(i int) string {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format(time.RFC3339)
}

// maker draws the columns of a report that no comparison was made for.
type maker struct{ rng *rand.Rand }

func newMaker() *maker { return &maker{rand.New(rand.NewPCG(7, 7))} }

// base is a column with every distance known.
func (m *maker) base(kind schema.Kind, drifted bool) *Column {
	f := func(scale float64) Number { return Number(scale * m.rng.Float64()) }
	c := &Column{
		Kind: kind, Drift: drifted, P: 0.02 + f(0.9), Threshold: 0.00021, Effect: f(0.01), PSI: f(0.01), JS: f(0.01), Hellinger: f(0.02), TotalVariation: f(0.02), LInfinity: f(0.01),
		KS: f(0.02), Wasserstein: f(0.03), ChiSquare: nan, CramerVonMises: f(0.1), Energy: f(0.01), MMD: f(0.01), Missing: Pair{0.012, 0.011}, Unseen: nan,
		Tests: []Test{{"distribution", 0.8, 1.4, 0.41}, {"missing", 0.2, 1, 0.84}},
	}
	if drifted {
		c.P, c.Effect, c.PSI, c.JS, c.Hellinger, c.TotalVariation, c.LInfinity, c.KS, c.Wasserstein = 3.2e-11, 0.31, 0.62, 0.21, 0.28, 0.31, 0.2, 0.31, 0.92
		c.CramerVonMises, c.Energy, c.MMD = 14.2, 0.4, 0.12
		c.Tests = []Test{{"distribution", 11.2, 1.4, 3.2e-11}, {"location", 9.1, 1.7, 4e-9}, {"missing", 0.2, 1, 0.84}}
	}
	return c
}

// numbers is a numeric column whose middle goes from mean to mean + by within
// the window.
func (m *maker) numbers(mean, std, by float64) *Column {
	c := m.base(schema.Numeric, by != 0)
	now := mean + by*float64(fixtureSteps-breakStep)/fixtureSteps
	c.Mean, c.Std = &Pair{Number(mean), Number(now)}, &Pair{Number(std), Number(std * 1.1)}
	for i, q := range quantiles {
		z := []float64{-2.33, -1.64, -0.67, 0, 0.67, 1.64, 2.33}[i]
		c.Quantiles = append(c.Quantiles, Quantile{q, Number(mean + z*std), Number(now + z*std)})
	}
	h := &Histogram{}
	lo, hi := min(mean, mean+by)-3*std, max(mean, mean+by)+3*std
	bell := func(x, at float64) float64 { return math.Exp(-(x - at) * (x - at) / (2 * std * std)) }
	for i := range bins + 1 {
		h.Edges = append(h.Edges, Number(lo+(hi-lo)*float64(i)/bins))
	}
	var a, b float64
	for i := range bins {
		x := lo + (hi-lo)*(float64(i)+0.5)/bins
		share := breakStep / float64(fixtureSteps)
		h.Then = append(h.Then, Number(bell(x, mean)))
		h.Now = append(h.Now, Number(share*bell(x, mean)+(1-share)*bell(x, mean+by)))
		a, b = a+float64(h.Then[i]), b+float64(h.Now[i])
	}
	for i := range bins {
		h.Then[i], h.Now[i] = h.Then[i]/Number(a), h.Now[i]/Number(b)
	}
	c.Histogram = h
	c.Trend = m.trend("mean", mean, std/6, by)
	return c
}

func (m *maker) trend(of string, level, noise, by float64) *Trend {
	t := &Trend{Of: of}
	for i := range fixtureSteps {
		season := noise * math.Sin(float64(i)*2*math.Pi/7)
		t.Then = append(t.Then, Number(level+season+noise*m.rng.NormFloat64()))
		now := level + season + noise*m.rng.NormFloat64()
		if i >= breakStep {
			now += by
		}
		t.Now = append(t.Now, Number(now))
	}
	t.Then[11], t.Now[20] = nan, nan
	return t
}

func (m *maker) levels(names []string, by float64) *Column {
	c := m.base(schema.Categorical, by != 0)
	c.ChiSquare, c.KS, c.Wasserstein, c.Unseen = 812.4, nan, nan, 0
	total := float64(len(names) * (len(names) + 1) / 2)
	for i, name := range names {
		share := float64(len(names)-i) / total
		l := LevelPair{Level: name, Then: Number(share), Now: Number(share + by/float64(len(names)-1))}
		if i == 0 {
			l.Now = Number(share - by)
		}
		c.Levels = append(c.Levels, l)
	}
	c.Trend = m.trend(fmt.Sprintf("share of %q", names[0]), float64(c.Levels[0].Then), 0.01, -by)
	return c
}

func since(step int) *Since {
	return &Since{At: day(step), Lo: day(step - 2), Hi: day(step + 1)}
}

// story is a report with every part filled: 12 columns of which five drifted,
// 60 steps either way.
func story() *Report {
	m := newMaker()
	r := &Report{
		Format: Format, ReportID: "r20260302t060000z-5a2e0b17", Created: "2026-03-02T06:00:00Z", ModelVersion: "v0003-1f0c9a2b", Drift: true, EnoughRows: true,
		Verdict: "Drift: 5 of 12 columns drifted (price, region, temperature, discount and 1 more). A data fault is likely: price: the values look multiplied by 100 (per cent, or cents?): the median was 2.62 and is 236. (3 more)",
		Ranked:  []string{"price", "region", "temperature", "discount", "channel"},
		Reasons: []string{"price: the values look multiplied by 100"}, Rows: 70_412, ReferenceRows: 528_113, Window: Window{day(0), day(60)},
		Columns: map[string]*Column{}, Prediction: map[string]*Column{}, Since: since(31),
		Settings: Settings{Alpha: 0.01, MinRows: 100, MinEffect: 0.005, Tolerance: 0.05},
		Faults: []Fault{{Column: "price", Kind: "unit", Detail: "the values look multiplied by 100 (per cent, or cents?): the median was 2.62 and is 236", Factor: 100},
			{Kind: "volume", Detail: "there are more rows than there were: 1,180 in 1d, 640 in the reference", Factor: 1.84},
			{Kind: "disorder", Detail: "1,204 of 70,412 rows are older than the row before them; the reference is in the order of time"},
			{Kind: "duplicated", Detail: "5,911 of 70,412 rows repeat another in every column; in the reference 0.2 % do"}},
		Skipped: []Skipped{{"date", "orders the rows"}, {"order_id", "identifiers or free text: 70412 different values in 70412 rows"}},
	}
	r.Timeline = &Timeline{Step: "1d"}
	for i := range fixtureSteps {
		r.Timeline.Then = append(r.Timeline.Then, Step{day(i - 365), 8000 + m.rng.IntN(1500)})
		r.Timeline.Now = append(r.Timeline.Now, Step{day(i), 900 + 400*min(i%7, 1) + m.rng.IntN(200)})
	}
	r.Timeline.Now[20].Rows = 0
	add := func(name string, c *Column, change *Change) {
		r.Order = append(r.Order, name)
		r.Columns[name] = c
		if c.Change = change; change != nil {
			c.Reason = change.Text
		}
	}
	add("price", m.numbers(2.6, 0.4, 230), &Change{Kind: UnitChange, Text: "The values look multiplied by 100: the median was 2.62 and is 236.", By: 100, Since: since(38)})
	add("temperature", m.numbers(15, 8, 6), &Change{Kind: ShiftChange, Text: "The values rose by 6.1: the median went from 15.0 to 21.1.", By: 6.1, Since: since(31)})
	add("region", m.levels([]string{"North", "South", "East", "West"}, 0.12), &Change{Kind: ShareChange, Text: `The share of "North" went from 40.0 % to 28.0 %.`, By: -0.12, Old: "North", Since: since(38)})
	add("discount", m.numbers(10, 3, 0), &Change{Kind: MissingChange, Text: "Missing values went from 1.2 % to 18.4 %.", By: 0.172, Since: since(44)})
	d := r.Columns["discount"]
	d.Drift, d.P, d.Effect, d.Missing.Now = true, 0, 0.172, 0.184
	d.Trend = m.trend("missing", 0.012, 0.002, 0.4)
	add("channel", m.levels([]string{"web", "shop", "phone", "kiosk", "partner", "app"}, 0.03), &Change{Kind: NewLevelChange, Text: `3.1 % of the rows have the level "app", which the reference lacks.`, By: 0.031, New: "app", Since: &Since{At: day(0), Lo: day(0), Hi: day(4), Before: true}})
	r.Columns["channel"].Levels[5].Unseen, r.Columns["channel"].Unseen = true, 0.031
	for i, name := range []string{"humidity", "wind", "promo", "stock", "weekday", "holiday", "competitor_price"} {
		if i%3 == 2 {
			add(name, m.levels([]string{"no", "yes"}, 0), nil)
		} else {
			add(name, m.numbers(10*float64(i+1), 3, 0), nil)
		}
	}
	p := m.numbers(36, 9, 4)
	p.Change = &Change{Kind: ShiftChange, Text: "The values rose by 4.0: the median went from 36.0 to 37.6.", By: 4, Since: since(38)}
	r.Prediction["predicted_sales"], r.PredictionOrder = p, []string{"predicted_sales"}
	r.findings()
	return r
}

// findings fills what is not a column.
func (r *Report) findings() {
	r.Performance = &Performance{
		Metric: score.MAEMetric, Labeled: 21_004, Then: 4.1, Now: 4.9, Lo: 4.6, Hi: 5.2, P: 0.00021, Drift: true,
		Coverage: 0.982, MatureUntil: day(46), LagP95: 14 * 86400, Waiting: 9812,
		Note: "the rows whose truth is known have higher predictions than the others (by 0.31 standard deviations), and are weighted to make up for it",
		Segments: []SegmentError{
			{Column: "channel", Level: "app", Rows: 640, Then: 4.0, Now: 9.1, Bias: 6.3, P: 1e-7, Drift: true},
			{Column: "temperature", Level: "19.2 or more", Rows: 7002, Then: 4.4, Now: 5.9, Bias: 1.2, P: 0.0004, Drift: true},
			{Column: "region", Level: "North", Rows: 5200, Then: 4.2, Now: 4.6, Bias: -0.3, P: 0.21},
			{Column: "discount", Level: "missing", Rows: 3801, Then: 4.3, Now: 4.4, Bias: 0.1, P: 0.6},
		},
		Calibration: &Recalibrated{Slope: Pair{0.99, 0.81}, Intercept: Pair{0.02, 0.9}, ECE: Pair{nan, nan}, P: 0.0003, Drift: true},
	}
	r.Estimate = &Estimate{Metric: score.MAEMetric, Method: "error model", Rows: 49_408, Then: 4.1, Now: 5.3, Lo: 4.7, Hi: 5.9, Drift: true, Record: &Record{Checked: 12, Covered: 11, Error: 0.034}}
	r.Segments = []Segment{
		{Column: "temperature", Where: []Condition{{"region", "North"}, {"channel", "web"}}, Rows: 18_204, Share: 0.26, Explains: 0.88, Text: `The change sits in 26 % of the rows, where region is "North" and channel is "web": without them 88 % of it is gone.`},
		{Column: "region", Where: []Condition{{"promo", "yes"}}, Rows: 9001, Share: 0.13, Explains: 0.41, Text: `13 % of the rows, where promo is "yes", carry 41 % of the change.`},
		{Column: string(score.MAEMetric), Where: []Condition{{"channel", "app"}}, Rows: 2101, Share: 0.03, Explains: 0.35, Text: `35 % of what was lost comes from 3 % of the rows, where channel is "app".`},
	}
	r.Domain = &Domain{AUC: 0.83, Lo: 0.81, Hi: 0.85, Null: 0.57, P: 0.002, Drift: true, Rows: 20_000, By: []Weight{{"price", 0.61}, {"temperature", 0.2}, {"region", 0.09}, {"discount", 0.06}, {"channel", 0.03}, {"humidity", 0.01}}}
	r.Dependence = []Dependence{
		{A: "price", B: "discount", Measure: "spearman", Then: -0.62, Now: 0.05, P: 2e-9, Drift: true},
		{A: "region", B: "channel", Measure: "cramers_v", Then: 0.12, Now: 0.31, P: 1e-5, Drift: true},
		{A: "temperature", B: "humidity", Measure: "spearman", Then: -0.41, Now: -0.4, P: 0.7},
		{A: "region", B: "temperature", Measure: "correlation_ratio", Then: 0.21, Now: 0.2, P: 0.5},
	}
	r.Calibration = &Calibration{PerYear: 1, Checks: 365, Level: 0.00274, Resamples: 400, Block: 7, Seasons: []string{"weekday"}}
	r.First = &Baseline{Version: "v0001-0badcafe", Drift: true, Columns: []string{"price", "temperature", "region", "wind"}, Verdict: "Drift: 4 of 12 columns drifted (price, temperature, region, wind)."}
}

// calm is a report that found nothing, with all that may be absent absent.
func calm() *Report {
	r := story()
	for name, c := range r.Columns {
		if c.Drift {
			delete(r.Columns, name)
		}
	}
	var order []string
	for _, name := range r.Order {
		if r.Columns[name] != nil {
			order = append(order, name)
		}
	}
	r.Order, r.Prediction, r.PredictionOrder, r.Drift, r.Faults, r.Reasons = order, map[string]*Column{}, nil, false, nil, nil
	r.Ranked = []string{}
	r.Verdict = "No drift in 7 columns over 70,412 rows."
	r.Performance, r.Estimate, r.Since, r.Segments, r.Domain, r.Dependence, r.First = nil, nil, nil, nil, nil, nil, nil
	return r
}

// hostileStory is the story told with texts that would be markup, orders to a
// terminal or very long, in every place that a text can come from data.
func hostileStory() *Report {
	r := story()
	texts := append(append([]string{}, hostile...), strings.Repeat("long", 50), "😀👩‍👩‍👧‍👦🏳️‍🌈", "שלום عليكم", "列の名前がとても長い", "", " ", "\u0000\u0085\u200b")
	at := 0
	next := func() string { at++; return texts[(at-1)%len(texts)] }
	columns := map[string]*Column{}
	renamed := map[string]string{}
	for i, name := range r.Order {
		to := texts[i]
		renamed[name], r.Order[i] = to, to
		columns[to] = r.Columns[name]
	}
	r.Columns = columns
	r.Prediction, r.PredictionOrder = map[string]*Column{hostile[0]: r.Prediction["predicted_sales"]}, []string{hostile[0]}
	for _, name := range r.Order {
		c := r.Columns[name]
		for i := range c.Levels {
			c.Levels[i].Level = next()
		}
		c.Kind = schema.Kind(next())
		if c.Trend != nil {
			c.Trend.Of = next()
		}
		if c.Drift {
			c.Reason = next()
			c.Change = &Change{Kind: next(), Text: next(), Old: next(), New: next(), Since: &Since{At: next(), Lo: next(), Hi: next()}}
		}
		for i := range c.Tests {
			c.Tests[i].Name = next()
		}
	}
	for i := range r.Segments {
		s := &r.Segments[i]
		s.Column, s.Text, s.Where = renamed[s.Column], next(), []Condition{{next(), next()}}
	}
	for i := range r.Domain.By {
		r.Domain.By[i].Column = next()
	}
	for i := range r.Dependence {
		r.Dependence[i].A, r.Dependence[i].B, r.Dependence[i].Measure = next(), next(), next()
	}
	r.Faults = []Fault{{Column: next(), Kind: next(), Detail: next(), Old: next(), New: next()}, {Kind: "volume", Detail: next()}}
	r.Skipped = []Skipped{{next(), next()}}
	r.Timeline.Step = next()
	r.Verdict, r.ReportID, r.Created, r.ModelVersion, r.Reasons = next(), next(), next(), next(), []string{next()}
	r.Window, r.Since = Window{next(), next()}, &Since{At: next(), Lo: next(), Hi: next()}
	r.Calibration.Seasons = []string{next(), next()}
	r.Performance.Metric, r.Estimate.Metric, r.Estimate.Method = score.Metric(next()), score.Metric(next()), next()
	r.Performance.Note, r.Performance.MatureUntil = next(), next()
	for i := range r.Performance.Segments {
		r.Performance.Segments[i].Column, r.Performance.Segments[i].Level = next(), next()
	}
	r.Ranked = []string{next(), r.Order[0], next()}
	r.First = &Baseline{Version: next(), Drift: true, Columns: []string{next(), next()}, Verdict: next()}
	return r
}

// unknown is the story with every number null.
func unknown() *Report {
	r := story()
	blank := func(v []Number) {
		for i := range v {
			v[i] = nan
		}
	}
	for _, columns := range []map[string]*Column{r.Columns, r.Prediction} {
		for name, c := range columns {
			b := &Column{Drift: c.Drift, Kind: c.Kind, P: nan, Threshold: nan, Effect: nan, PSI: nan, JS: nan, Hellinger: nan, TotalVariation: nan, LInfinity: nan, KS: nan,
				Wasserstein: nan, ChiSquare: nan, CramerVonMises: nan, Energy: nan, MMD: nan, Missing: Pair{nan, nan}, Unseen: nan, Tests: []Test{{"distribution", nan, nan, nan}},
				Mean: &Pair{nan, nan}, Std: &Pair{nan, nan}, Quantiles: []Quantile{{0.5, nan, nan}}, Histogram: c.Histogram, Levels: c.Levels, Change: c.Change, Trend: c.Trend}
			if h := b.Histogram; h != nil {
				blank(h.Edges)
				blank(h.Then)
				blank(h.Now)
			}
			for i := range b.Levels {
				b.Levels[i].Then, b.Levels[i].Now = nan, nan
			}
			if t := b.Trend; t != nil {
				blank(t.Then)
				blank(t.Now)
			}
			if b.Change != nil {
				b.Change.By, b.Change.Since = nan, nil
			}
			columns[name] = b
		}
	}
	for i := range r.Segments {
		r.Segments[i].Share, r.Segments[i].Explains = nan, nan
	}
	r.Domain = &Domain{AUC: nan, Lo: nan, Hi: nan, Null: nan, P: nan, By: []Weight{{"price", nan}}}
	r.Dependence = []Dependence{{A: "price", B: "region", Measure: "correlation_ratio", Then: nan, Now: nan, P: nan}}
	r.Performance.Then, r.Performance.Now, r.Performance.Lo, r.Performance.Hi = nan, nan, nan, nan
	p := r.Performance
	p.P, p.Coverage, p.LagP95, p.MatureUntil, p.Calibration = nan, nan, nan, "", &Recalibrated{Slope: Pair{nan, nan}, Intercept: Pair{nan, nan}, ECE: Pair{nan, nan}, P: nan}
	for i := range p.Segments {
		p.Segments[i].Then, p.Segments[i].Now, p.Segments[i].Bias, p.Segments[i].P = nan, nan, nan, nan
	}
	e := r.Estimate
	e.Then, e.Now, e.Lo, e.Hi, e.Record.Error = nan, nan, nan, nan, nan
	r.Calibration = &Calibration{PerYear: nan, Checks: nan, Level: nan}
	return r
}

// wide is a report of n columns, of which the first drifted.
func wide(n, drifted int) *Report {
	m := newMaker()
	r := story()
	r.Order, r.Columns, r.Segments, r.Faults, r.Ranked = nil, map[string]*Column{}, nil, nil, nil
	r.Verdict = fmt.Sprintf("Drift: %d of %d columns drifted.", drifted, n)
	for i := range n {
		name, by := fmt.Sprintf("column number %d", i), 0.0
		if i < drifted {
			by = 2
		}
		c := m.numbers(10, 2, by)
		if i%2 == 1 {
			c = m.levels([]string{"some", "levels", "of", "a", "column", "with a longer name", "than", "others", "and", "so", "on", "…"}, by/50)
		}
		if by != 0 {
			c.Change = &Change{Kind: ShiftChange, Text: "The values rose by 2.0: the median went from 10.0 to 12.0.", By: 2, Since: since(20 + i%30)}
			r.Segments = append(r.Segments, Segment{Column: name, Where: []Condition{{"a", "b"}}, Rows: 10, Share: 0.1, Explains: 0.5, Text: "The change sits in 10 % of the rows, where a is b."})
		}
		r.Order = append(r.Order, name)
		r.Columns[name] = c
		if c.Drift {
			r.Ranked = append(r.Ranked, name)
		}
	}
	return r
}

// bare is the least that a report may be: what a file with no more than a
// format says.
func bare() *Report { return &Report{Format: 1} }

// one is a report of a single constant column without a distribution.
func one() *Report {
	r := bare()
	r.Order, r.Columns = []string{"x"}, map[string]*Column{"x": {Drift: true, Kind: schema.Numeric, Reason: "every value is missing", P: nan, Missing: Pair{0, 1}}}
	r.Drift, r.Verdict, r.EnoughRows, r.Rows, r.ReferenceRows = true, "Drift: 1 of 1 columns drifted (x).", true, 500, 500
	return r
}
