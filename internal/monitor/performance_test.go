package monitor

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// served is a log of a regression in the making: one row a line of a stream
// whose days have errors of their own.
type served struct {
	rng                 *rand.Rand
	at, arrived         []int64
	x, pred, actual     []float64
	region              []string
	effect, persistence float64
	swing               float64 // of the errors of days
}

func newServed(seed uint64, persistence float64) *served {
	return &served{rng: rand.New(rand.NewPCG(seed, 17)), persistence: persistence, swing: 0.3}
}

const dayMicros = int64(86400e6)

// day adds the rows of a day; lag says when the truth of a row with this error
// comes in, in days, below 0 for never.
func (s *served) day(day, rows int, bias float64, lag func(err float64) float64) {
	s.effect = s.persistence*s.effect + math.Sqrt(1-s.persistence*s.persistence)*s.rng.NormFloat64()
	for i := range rows {
		at := int64(day)*dayMicros + int64(i)*dayMicros/int64(rows)
		x := s.rng.NormFloat64()
		err := (1 + s.swing*s.effect) * s.rng.NormFloat64()
		region := []string{"north", "south"}[s.rng.IntN(2)]
		if region == "south" {
			err += bias
		}
		s.at, s.x, s.pred, s.region = append(s.at, at), append(s.x, x), append(s.pred, 10+x), append(s.region, region)
		arrival := int64(table.NoTime)
		if l := lag(err); l >= 0 {
			arrival = at + int64(l*float64(dayMicros))
		}
		s.actual, s.arrived = append(s.actual, 10+x+err), append(s.arrived, arrival)
	}
}

// log is what is known at a time: truths that come later are missing.
func (s *served) log(now time.Time) *table.Table {
	actual, arrived := make([]float64, len(s.at)), make([]int64, len(s.at))
	for i := range actual {
		actual[i], arrived[i] = s.actual[i], s.arrived[i]
		if arrived[i] == table.NoTime || arrived[i] > now.UnixMicro() {
			actual[i], arrived[i] = math.NaN(), table.NoTime
		}
	}
	return table.Must(table.Times("at", s.at), table.Floats("x", s.x), table.Strings("region", s.region),
		table.Floats("predicted_y", s.pred), table.Floats("actual", actual), table.Times("arrived", arrived))
}

var servedTemplate = func() *schema.Template {
	t := &schema.Template{
		Task: schema.Regression, Target: "y",
		Columns:  []schema.Column{{Name: "region", Kind: schema.Categorical, Levels: []string{"north", "south"}}, {Name: "x", Kind: schema.Numeric}},
		Features: []schema.Feature{{Name: "region", Source: "region", Op: schema.Level}, {Name: "x", Source: "x", Op: schema.Value}},
	}
	t.Seal()
	return t
}()

// holdout makes the estimator of a stream's first days.
func (s *served) holdout(t *testing.T, m score.Metric) *estimate.Estimator {
	t.Helper()
	codes := make([]float64, len(s.region))
	for i, r := range s.region {
		if r == "south" {
			codes[i] = 1
		}
	}
	e, err := estimate.Fit(context.Background(), &estimate.Holdout{
		Task: schema.Regression, Metric: m, K: 1, Labels: s.actual, Outputs: s.pred, Times: s.at,
		Names: []string{"region", "x"}, Features: [][]float64{codes, s.x}, Categorical: []bool{true, false},
		Columns: []estimate.Column{{Name: "region", Kind: schema.Categorical, Levels: []string{"north", "south"}, Values: codes}, {Name: "x", Kind: schema.Numeric, Values: s.x}},
		Threads: 1,
	})
	if err != nil || e == nil {
		t.Fatalf("no estimator: %v", err)
	}
	return e
}

func servedTruth(e *estimate.Estimator, now time.Time) *Truth {
	t := &Truth{
		Task: schema.Regression, Actual: "actual", Outputs: []string{"predicted_y"}, Metric: score.MAEMetric, Holdout: math.NaN(),
		Predicted: "at", Arrived: "arrived", Window: 7 * 24 * time.Hour, Now: now, Template: servedTemplate, Estimator: e,
	}
	if e != nil {
		t.Holdout = e.Then
	}
	return t
}

func judge(t *testing.T, truth *Truth, rows *table.Table) *Report {
	t.Helper()
	r := &Report{}
	if err := r.judgeModel(truth, rows, Options{Threads: 1}.withDefaults()); err != nil {
		t.Fatal(err)
	}
	return r
}

func dayAt(day int) time.Time { return time.UnixMicro(int64(day) * dayMicros).UTC() }

func soon(float64) float64 { return 0.01 }

// TestNoFalseDrift: days whose errors are alike and follow one another do not
// make drift, where a bootstrap of rows sees it all the time.
func TestNoFalseDrift(t *testing.T) {
	const seeds = 250
	var found, parts, lines, feared, naive int
	for seed := range uint64(seeds) {
		s := newServed(seed, 0.6)
		for d := range 70 {
			s.day(d, 60, 0, soon)
		}
		e := s.holdout(t, score.MAEMetric)
		live := newServed(seed+1e6, 0.6)
		for d := range 40 { // so that the effect of the first day counts no more
			live.day(d, 1, 0, soon)
		}
		live.at, live.x, live.pred, live.region, live.actual, live.arrived = nil, nil, nil, nil, nil, nil
		for d := range 7 {
			live.day(100+d, 60, 0, soon)
		}
		r := judge(t, servedTruth(e, dayAt(107)), live.log(dayAt(107)))
		p := r.Performance
		if p.Drift {
			found++
		}
		if p.Calibration != nil && p.Calibration.Drift {
			lines++
		}
		for _, s := range p.Segments {
			if s.Drift {
				parts++
				break
			}
		}
		if r.Estimate.Drift {
			feared++
		}
		loss, _ := score.Losses(score.MAEMetric, schema.Regression, live.actual, live.pred, 1)
		if i := score.BlockBootstrap(loss, len(loss), 500, 0.98, 1); i.Lo > e.Then*1.05 {
			naive++
		}
	}
	t.Logf("of %d windows without drift: metric %d, segments %d, calibration %d, estimate %d; independent rows %d", seeds, found, parts, lines, feared, naive)
	// One in a hundred, and three standard errors.
	if limit := 8; found > limit || lines > limit || parts > limit || feared > limit {
		t.Errorf("false drift in %d, %d, %d, %d of %d windows, at most %d may be", found, parts, lines, feared, seeds, limit)
	}
	if naive < 10 {
		t.Errorf("the test is too easy: independent rows err in %d of %d", naive, seeds)
	}
}

// TestDriftFound: a change of one region is found, told by segment and in the
// calibration.
func TestDriftFound(t *testing.T) {
	s := newServed(1, 0.3)
	for d := range 70 {
		s.day(d, 60, 0, soon)
	}
	e := s.holdout(t, score.MAEMetric)
	s = newServed(2, 0.3)
	for d := range 7 {
		s.day(100+d, 60, 3, soon)
	}
	r := judge(t, servedTruth(e, dayAt(107)), s.log(dayAt(107)))
	p := r.Performance
	if !p.Drift || p.P > 0.001 || p.Coverage != 1 || p.Labeled != 420 || p.Waiting != 0 {
		t.Errorf("%+v", p)
	}
	if len(p.Segments) == 0 || p.Segments[0].Level != "south" || !p.Segments[0].Drift || math.Abs(float64(p.Segments[0].Bias)-3) > 0.5 {
		t.Errorf("segments %+v", p.Segments)
	}
	for _, s := range p.Segments {
		if s.Level == "north" && s.Drift {
			t.Errorf("north did not change: %+v", s)
		}
	}
	if c := p.Calibration; c == nil || !c.Drift || math.Abs(float64(c.Intercept.Now)-1.5) > 0.4 {
		t.Errorf("calibration %+v", c)
	}
	if r.Estimate == nil || r.Estimate.Drift {
		t.Errorf("what rows lead to changed, not the rows: %+v", r.Estimate)
	}
}

// TestHalfLabelled: large errors are settled at once and small ones after days.
// Days that are half labelled look far worse than they are, and are left out.
func TestHalfLabelled(t *testing.T) {
	slow := func(err float64) float64 {
		if math.Abs(err) > 1 {
			return 0.1
		}
		return 4
	}
	const seeds = 60
	found, naive := 0, 0
	for seed := range uint64(seeds) {
		s := newServed(seed, 0)
		s.swing = 0.05
		for d := range 70 {
			s.day(d, 60, 0, slow)
		}
		e := s.holdout(t, score.MAEMetric)
		live := newServed(seed+1e6, 0)
		live.swing = 0.05
		for d := range 21 {
			live.day(100+d, 60, 0, slow)
		}
		now := dayAt(121)
		rows := live.log(now)
		p := judge(t, servedTruth(e, now), rows).Performance
		if p.Drift {
			found++
		}
		if p.MatureUntil > "1970-04-29" || p.MatureUntil < "1970-04-25" || p.Coverage != 1 || p.Waiting < 100 || math.Abs(float64(p.LagP95)-4*86400) > 1 {
			t.Fatalf("%+v", p)
		}
		// The naive way: whatever came true of what was predicted in the window,
		// against the holdout by a bootstrap and the tolerance.
		var label, pred []float64
		for i, y := range rows.Column("actual").Floats {
			if live.at[i] > dayAt(114).UnixMicro() && !math.IsNaN(y) {
				label, pred = append(label, y), append(pred, live.pred[i])
			}
		}
		loss, _ := score.Losses(score.MAEMetric, schema.Regression, label, pred, 1)
		if score.BlockBootstrap(loss, 0, 0, 0.95, 1).Lo > 1.05*e.Then {
			naive++
		}
	}
	t.Logf("of %d windows without drift: %d, the naive metric %d", seeds, found, naive)
	if found > 4 {
		t.Errorf("false drift in %d of %d windows", found, seeds)
	}
	if naive < seeds/3 {
		t.Errorf("the test is too easy: the naive metric errs in %d of %d windows", naive, seeds)
	}
}

// TestBulkUpload: truths that come in once a month, all at once, make the whole
// month comparable, though their lag is long.
func TestBulkUpload(t *testing.T) {
	s := newServed(1, 0)
	for d := range 60 {
		first := float64(30 - d%30)
		n := 0
		s.day(d, 40, 0, func(float64) float64 {
			n++
			return first - float64(n-1)/40
		})
	}
	p := judge(t, servedTruth(nil, dayAt(61)), s.log(dayAt(61))).Performance
	if p.Labeled != 280 || p.Coverage != 1 || !strings.HasPrefix(p.MatureUntil, "1970-03-0") {
		t.Errorf("%+v", p)
	}
}

// TestOneBatch: a file that was predicted at once and whose truth is all there
// is compared, however young it is; one of which half is missing is not.
func TestOneBatch(t *testing.T) {
	s := newServed(1, 0)
	s.day(100, 400, 0, soon)
	for i := range s.at {
		s.at[i], s.arrived[i] = dayAt(100).UnixMicro(), dayAt(100).UnixMicro()+int64(i)*1e6
	}
	now := dayAt(100).Add(time.Hour)
	if p := judge(t, servedTruth(nil, now), s.log(now)).Performance; p.Labeled != 400 || p.Coverage != 1 {
		t.Errorf("%+v", p)
	}
	now = dayAt(100).Add(200 * time.Second)
	if p := judge(t, servedTruth(nil, now), s.log(now)).Performance; p.Labeled != 201 || !math.IsNaN(float64(p.Now)) || p.Waiting != 199 || p.Drift {
		t.Errorf("%+v", p)
	}
}

// TestStale: truths that stopped coming in do not alarm again and again.
func TestStale(t *testing.T) {
	s := newServed(1, 0)
	for d := range 70 {
		s.day(d, 60, 0, soon)
	}
	e := s.holdout(t, score.MAEMetric)
	s = newServed(2, 0)
	for d := range 20 {
		lag := soon
		if d >= 8 {
			lag = func(float64) float64 { return -1 }
		}
		s.day(100+d, 60, 5, lag)
	}
	if p := judge(t, servedTruth(e, dayAt(108)), s.log(dayAt(108))).Performance; !p.Drift {
		t.Errorf("drift is there to be found: %+v", p)
	}
	p := judge(t, servedTruth(e, dayAt(120)), s.log(dayAt(120))).Performance
	if p.Drift || !strings.Contains(p.Note, "no truth") {
		t.Errorf("%+v", p)
	}
}

// TestUnlikeLabels: when only half of the truths ever come and depend on the
// prediction, the labelled rows are weighted, and that is said.
func TestUnlikeLabels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	n := 1400
	times, arrived := make([]int64, n), make([]int64, n)
	pred, actual := make([]float64, n), make([]float64, n)
	whole := 0.0
	for i := range n {
		times[i] = int64(i) * 7 * dayMicros / int64(n)
		pred[i] = rng.Float64()
		err := (0.2 + 2*pred[i]) * math.Abs(rng.NormFloat64())
		actual[i], arrived[i] = pred[i]+err, times[i]
		whole += err / float64(n)
		if rng.Float64() > pred[i] { // the high ones are looked at
			actual[i], arrived[i] = math.NaN(), table.NoTime
		}
	}
	rows := table.Must(table.Times("at", times), table.Floats("predicted_y", pred), table.Floats("actual", actual), table.Times("arrived", arrived))
	truth := servedTruth(nil, dayAt(8))
	p := judge(t, truth, rows).Performance
	var plain, labelled float64
	for i, y := range actual {
		if !math.IsNaN(y) {
			plain += y - pred[i]
			labelled++
		}
	}
	plain /= labelled
	if !strings.Contains(p.Note, "higher predictions") || math.Abs(float64(p.Now)-whole) > math.Abs(plain-whole)/3 {
		t.Errorf("now %v, of all rows %v, of the labelled ones %v: %+v", p.Now, whole, plain, p)
	}
}

// TestPerformanceEdges: odd logs give findings without numbers, never a crash.
func TestPerformanceEdges(t *testing.T) {
	s := newServed(1, 0)
	for d := range 70 {
		s.day(d, 20, 0, soon)
	}
	e := s.holdout(t, score.MAEMetric)
	now := dayAt(80)
	nan := func(n int) []float64 { return nans(n) }
	none := make([]int64, 200)
	times, flat := make([]int64, 200), make([]float64, 200)
	for i := range times {
		times[i], none[i] = int64(79)*dayMicros+int64(i), table.NoTime
	}
	one := nan(200)
	one[3] = 4
	oneAt := append([]int64(nil), none...)
	oneAt[3] = times[3]
	frame := func(n int, at []int64, pred, actual []float64, arrived []int64) *table.Table {
		return table.Must(table.Times("at", at[:n]), table.Floats("predicted_y", pred[:n]), table.Floats("actual", actual[:n]), table.Times("arrived", arrived[:n]))
	}
	for name, c := range map[string]struct {
		rows               *table.Table
		performed, guessed bool
	}{
		"no rows":           {frame(0, times, flat, one, none), false, false},
		"no truth":          {frame(200, times, flat, nan(200), none), false, true},
		"one truth":         {frame(200, times, flat, one, oneAt), true, true},
		"one row":           {frame(1, times, flat, flat, times), true, true},
		"no predictions":    {frame(200, times, nan(200), flat, times), false, false},
		"no times":          {frame(200, none, flat, flat, none), true, true},
		"constant":          {frame(200, times, flat, flat, times), true, true},
		"truth before time": {frame(200, times, flat, flat, make([]int64, 200)), true, true},
	} {
		for _, est := range []*estimate.Estimator{e, nil} {
			truth := servedTruth(est, now)
			r := judge(t, truth, c.rows)
			if (r.Performance != nil) != c.performed || (r.Estimate != nil) != (c.guessed && est != nil) {
				t.Errorf("%s: performance %+v, estimate %+v", name, r.Performance, r.Estimate)
			}
			if p := r.Performance; p != nil && p.Drift {
				t.Errorf("%s: drift %+v", name, p)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if r.Performance != nil {
				_ = r.Performance.String()
			}
			if r.Estimate != nil {
				_ = r.Estimate.String()
			}
		}
	}
	classes := &Truth{Task: schema.Binary, Classes: []string{"a", "b"}, Actual: "actual", Outputs: []string{"p"}, Metric: score.AUCMetric, Holdout: 0.8}
	strange := table.Must(table.Strings("actual", []string{"c", "d", "c"}), table.Floats("p", []float64{.1, .2, .3}))
	if r := judge(t, classes, strange); r.Performance != nil {
		t.Errorf("unknown classes alone: %+v", r.Performance)
	}
	single := table.Must(table.Strings("actual", []string{"a", "a", "a", "c"}), table.Floats("p", []float64{.1, .2, .3, .1}))
	if p := judge(t, classes, single).Performance; p == nil || p.Drift || !math.IsNaN(float64(p.Now)) || p.Labeled != 3 || !strings.Contains(p.Note, "1 labelled") {
		t.Errorf("one class: %+v", p)
	}
}

// TestRecord: estimates of earlier reports are held against the truth, once it
// is there, and overlapping windows count once.
func TestRecord(t *testing.T) {
	s := newServed(1, 0)
	for d := range 70 {
		s.day(d, 60, 0, soon)
	}
	e := s.holdout(t, score.MAEMetric)
	live := newServed(2, 0)
	for d := range 28 {
		live.day(100+d, 60, 0, func(float64) float64 { return 2 })
	}
	rows := live.log(dayAt(128))
	guess := func(from, to int, lo, now, hi float64) Past {
		return Past{Estimate{Metric: score.MAEMetric, Rows: 60 * (to - from), Lo: Number(lo), Now: Number(now), Hi: Number(hi)}, dayAt(100 + from), dayAt(100 + to)}
	}
	truth := servedTruth(e, dayAt(128))
	truth.Past = []Past{
		guess(21, 28, .5, .8, 1.2), // its last two days have no truth yet
		guess(14, 21, .5, .8, 1.2), guess(7, 14, 2, 3, 4),
		{Estimate{Metric: score.MAEMetric, Rows: 420, Lo: Number(math.NaN()), Hi: Number(math.NaN())}, dayAt(100), dayAt(107)},
	}
	r := judge(t, truth, rows).Estimate.Record
	if r == nil || r.Checked != 2 || r.Covered != 1 || r.Error < 0.5 || r.Error > 3 {
		t.Fatalf("%+v", r)
	}
	dir := t.TempDir()
	for i, day := range []int{100, 107, 110, 114} {
		rep := &Report{Format: Format, ModelVersion: "v1", Columns: map[string]*Column{}, Window: Window{dayAt(day - 7).Format(time.RFC3339), dayAt(day).Format(time.RFC3339)}, Estimate: &Estimate{Metric: score.MAEMetric, Rows: i}}
		if day == 107 {
			rep.ModelVersion = "v0"
		}
		rep.conclude()
		rep.ReportID = rep.id(dayAt(day))
		if _, err := WriteReport(dir, rep); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "r19700420t000000z-00000000"), 0o755); err != nil {
		t.Fatal(err)
	}
	if past, err := PastEstimates(dir, "v1", dayAt(100), 9); err != nil || len(past) != 0 {
		t.Errorf("a report is no past of its own: %+v, %v", past, err)
	}
	past, err := PastEstimates(dir, "v1", dayAt(120), 9)
	if err != nil || len(past) != 2 || past[0].Estimate.Rows != 3 || past[1].Estimate.Rows != 0 || !past[1].To.Equal(dayAt(100)) {
		t.Errorf("%+v, %v", past, err)
	}
}

// TestClasses: a model whose probabilities no longer mean what they meant is
// told by its calibration, while its ranking, the AUC, stands.
func TestClasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	draw := func(n, from int, shift float64) (times []int64, p, y []float64) {
		for i := range n {
			z := 1.5 * rng.NormFloat64()
			times = append(times, int64(from)*dayMicros+int64(i)*dayMicros/100)
			p = append(p, 1/(1+math.Exp(-z)))
			v := 0.0
			if rng.Float64() < 1/(1+math.Exp(-z-shift)) {
				v = 1
			}
			y = append(y, v)
		}
		return times, p, y
	}
	times, p, y := draw(6000, 0, 0)
	for _, m := range []score.Metric{score.AUCMetric, score.LogLossMetric} {
		e, err := estimate.Fit(context.Background(), &estimate.Holdout{Task: schema.Binary, Metric: m, K: 1, Labels: y, Outputs: p, Times: times})
		if err != nil || e == nil {
			t.Fatal(e, err)
		}
		for _, shift := range []float64{0, 1.2} {
			now, q, v := draw(1400, 100, shift)
			names := make([]string, len(v))
			for i := range v {
				names[i] = []string{"no", "yes"}[int(v[i])]
			}
			rows := table.Must(table.Times("at", now), table.Times("arrived", now), table.Floats("p_yes", q), table.Strings("actual", names))
			truth := &Truth{
				Task: schema.Binary, Classes: []string{"no", "yes"}, Actual: "actual", Outputs: []string{"p_yes"}, Metric: m, Holdout: e.Then,
				Predicted: "at", Arrived: "arrived", Now: dayAt(115), Estimator: e,
			}
			r := judge(t, truth, rows)
			c := r.Performance.Calibration
			if c == nil || c.Drift != (shift > 0) || math.Abs(float64(c.Intercept.Now-c.Intercept.Then)-shift) > 0.3 || (shift > 0) != (c.ECE.Now > 0.1) {
				t.Errorf("%s, shift %v: %+v", m, shift, c)
			}
			if want := shift > 0 && m == score.LogLossMetric; r.Performance.Drift != want {
				t.Errorf("%s, shift %v: %+v", m, shift, r.Performance)
			}
			if r.Estimate == nil || r.Estimate.Drift || r.Estimate.Method != "confidence" {
				t.Errorf("%s, shift %v: %+v", m, shift, r.Estimate)
			}
		}
	}
}
