package monitor

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/healml/healml/internal/score"
)

// TestEstimateTold: an estimate that is not proven says so, with how many held.
func TestEstimateTold(t *testing.T) {
	for _, c := range []struct {
		drift  bool
		record *Record
		want   string
		mark   string
	}{
		{true, nil, "Not yet proven: no earlier estimate", "worse, not yet proven"},
		{true, &Record{Checked: 4, Covered: 4, Error: 0.01}, "Not yet proven: 4 of 4 earlier estimates held", "worse, not yet proven"},
		{true, &Record{Checked: 10, Covered: 7, Error: nan}, "Not yet proven: 7 of 10 earlier estimates held. It raises no alarm by itself before 5 could be checked and 80 % of them held.", "worse, not yet proven"},
		{true, &Record{Checked: 10, Covered: 8, Error: 0.2}, "Of 10 earlier estimates 8 held the truth that came in; they were 20.0 % off on average.", "≠ worse"},
		{false, &Record{Checked: 10, Covered: 8, Error: 0.2}, "within what is tolerated. Of 10", ""},
	} {
		r := story()
		r.Performance, r.Estimate.Drift, r.Estimate.Record = nil, c.drift, c.record
		if s := r.stands(); !strings.Contains(s.Told[0], c.want) || s.Rows[0].Mark != c.mark || s.Limits == "" {
			t.Errorf("%+v: %q, %q", c.record, s.Told, s.Rows[0].Mark)
		}
	}
}

// TestMetricTold: the sentence follows from the verdict, the p-value and the
// side on which the metric is better.
func TestMetricTold(t *testing.T) {
	for _, c := range []struct {
		metric    score.Metric
		now       Number
		p         Number
		drift     bool
		want, say string
	}{
		{score.MAEMetric, 4.2, 0.4, false, "is within what is tolerated", "its p-value at most"},
		{score.MAEMetric, 4.9, 0.4, false, "is worse than tolerated, but by no more than it varies by itself", "its p-value at most"},
		{score.MAEMetric, 4.9, 0.0001, true, "is worse than tolerated, and by more than it varies by itself", "its p-value at most"},
		{score.MAEMetric, 4.9, nan, true, "with its whole interval", "the whole bar"},
		{score.AUCMetric, 0.5, 0.4, false, "but by no more", "its p-value at most"},
		{score.AUCMetric, 0.9, 0.4, false, "within", "its p-value at most"},
		{score.MAEMetric, nan, nan, false, "cannot be told", "the whole bar"},
	} {
		r := story()
		p := r.Performance
		p.Metric, p.Now, p.P, p.Drift = c.metric, c.now, c.p, c.drift
		if c.metric == score.AUCMetric {
			p.Then = 0.8
		}
		if s := r.stands(); !strings.Contains(s.Told[0], c.want) || !strings.Contains(s.Rule, c.say) {
			t.Errorf("%+v: %q, %q", c, s.Told[0], s.Rule)
		}
	}
	r := story() // what a report of format 1 does not know is not told
	r.Format = 1
	if s := strings.Join(r.stands().Told, " "); strings.Contains(s, "wait") || strings.Contains(s, "have their truth") || !math.IsNaN(float64(r.stands().Rows[0].P)) {
		t.Errorf("format 1: %q", s)
	}
}

// TestErrorsView: parts that changed come whole, others only the worst few; bias
// has its sign and unit.
func TestErrorsView(t *testing.T) {
	p := story().Performance
	v := p.errors()
	if len(v.Rows) != 4 || v.Rows[0].Bias != "+6.3" || !strings.Contains(v.Told, "2 parts") {
		t.Errorf("%+v", v)
	}
	p.Metric = score.LogLossMetric
	p.Segments[0].Bias, p.Segments[1].Bias = 0.12, -0.034
	if v = p.errors(); v.Rows[0].Bias != "+12.0 %" || v.Rows[1].Bias != "-3.4 %" {
		t.Errorf("classes: %+v", v.Rows)
	}
	for i := range 4 {
		p.Segments[i].Drift = false
	}
	p.Segments = append(p.Segments, p.Segments...)
	if v = p.errors(); len(v.Rows) != calmErrors || !strings.Contains(v.Told, "In no part") {
		t.Errorf("calm: %+v", v)
	}
	if (&Performance{}).errors() != nil || (&Performance{}).meaning() != nil {
		t.Error("a view of nothing")
	}
}

// TestMeaningTold: the words follow the direction in which the line turned.
func TestMeaningTold(t *testing.T) {
	for _, c := range []struct {
		slope, intercept float64
		numbers          bool
		want             string
	}{
		{0.7, 0, true, "too extreme"}, {1.3, 0, true, "too timid"}, {1, 5, true, "too low on the whole"}, {1, -5, true, "too high on the whole"},
		{1, 0.4, false, "more often than predicted"}, {0.7, -0.4, false, "low ones too low; what is predicted comes true less often"}, {math.NaN(), math.NaN(), false, "no longer mean"},
	} {
		r := &Recalibrated{Slope: Pair{1, Number(c.slope)}, Intercept: Pair{0, Number(c.intercept)}, ECE: Pair{nan, nan}, Drift: true}
		if got := r.told(c.numbers); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
		if r.Drift = false; !strings.Contains(r.told(c.numbers), "did not change beyond chance") {
			t.Error("no drift is told as drift")
		}
	}
}

// TestRanked: drifted columns come as the report ranks them; a report without a
// whole ranking falls back on faults and effects.
func TestRanked(t *testing.T) {
	r := story()
	r.Ranked = []string{"channel", "gone", "price", "price", "humidity", "temperature", "region", "discount"}
	if got := strings.Join(r.ranked(), " "); got != "channel price temperature region discount" {
		t.Error(got)
	}
	v := r.view()
	if v.Cards[0].Name != "channel" || v.Cards[4].Name != "discount" {
		t.Error("cards are not in the order of the ranking")
	}
	r.Ranked = nil
	if got := strings.Join(r.ranked(), " "); got != "price temperature region channel discount" {
		t.Error(got)
	}
}

// TestKindWords: every kind of change and fault has a word, and every fault a cure;
// an unknown kind stands for itself.
func TestKindWords(t *testing.T) {
	for _, kind := range []string{
		ShiftChange, ScaleChange, UnitChange, ClipChange, FrozenChange, MissingChange, EmptyChange, AbsentChange, TypeChange,
		NewLevelChange, LostLevelChange, RenamedChange, ShareChange, ShapeChange, "duplicated", "disorder", "volume",
	} {
		if wordsOf(kind).word == "" {
			t.Errorf("%s has no word", kind)
		}
	}
	for _, kind := range []string{"absent", "empty", "frozen", "unit", "renamed", "type", "duplicated", "disorder", "volume"} {
		if !strings.HasSuffix(cure(kind), ".") {
			t.Errorf("%s has no cure", kind)
		}
	}
	if changeWord("some\x1bthing") != "some\ufffdthing" || cure("x") != "" {
		t.Error("an unknown kind")
	}
}

// TestStride: what comes once a week is one line, and what breaks off is not.
func TestStride(t *testing.T) {
	weekly := make([]Number, 29)
	for i := range weekly {
		if weekly[i] = nan; i%7 == 0 {
			weekly[i] = Number(i)
		}
	}
	if n := stride(weekly); n != 7 {
		t.Error(n)
	}
	if p := stepLine(weekly, 0, 0, 28); strings.Count(p, "M") != 1 || strings.Count(p, "L") != 4 {
		t.Error(p)
	}
	if n := stride([]Number{1, 2, 3, 4, 5, nan, 6, 7, 8, 9, 1, nan, 2, 3, 4, 5}); n != 2 { // weeks by six days
		t.Error(n)
	}
	if p := stepLine([]Number{1, 2, 3, 4, nan, 5, 6, 7, 8, 9}, 0, 0, 9); strings.Count(p, "M") != 2 {
		t.Error(p)
	}
	if stride(nil) != 1 || stride([]Number{nan}) != 1 {
		t.Error("no values")
	}
}

// TestTableOfPerformance: report.parquet has what the report says of the metric.
func TestTableOfPerformance(t *testing.T) {
	tab := story().Table()
	column, role, statistic, detail := tab.Column("column"), tab.Column("role"), tab.Column("statistic"), tab.Column("detail")
	got := map[string]float64{}
	for i := range tab.NumRows() {
		d := ""
		if !detail.Missing(i) {
			d = detail.Format(i)
		}
		got[role.Format(i)+"/"+column.Format(i)+"/"+statistic.Format(i)+"/"+d] = tab.Column("value").Floats[i]
	}
	for key, want := range map[string]float64{
		"metric/mae/p_value/": 0.00021, "metric/mae/coverage/": 0.982, "metric/mae/lag_p95/": 1_209_600, "metric/mae/waiting/": 9812, "metric/mae/mature_until/" + day(46): 1_771_200_000,
		"metric/mae/now/" + story().Performance.Note: 4.9, "estimate/mae/proven/": 1, "residual/channel/bias/app": 6.3, "residual/channel/then/app": 4, "residual/channel/now/app": 9.1, "residual/region/rows/North": 5200,
		"calibration/mae/slope/": 0.81, "calibration/mae/slope_then/": 0.99, "calibration/mae/intercept/": 0.9, "input/price/rank/": 1, "input/channel/rank/": 5, "input/price/cramer_von_mises/": 14.2, "input/price/energy/": 0.4, "input/price/mmd/": 0.12,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), expected %v", key, v, ok, want)
		}
	}
}

// TestAdviceOnErrors: errors that changed in a part alone are no alarm and not
// nothing.
func TestAdviceOnErrors(t *testing.T) {
	r := calm()
	r.Performance = story().Performance
	r.Performance.Drift = false
	if a := r.advice(); len(a) != 1 || !strings.Contains(a[0].Do, "errors of a part") {
		t.Errorf("%+v", a)
	}
	r = story()
	r.Faults, r.Performance = nil, nil
	if a := r.advice(); !strings.Contains(a[0].Do, "expected to have become worse") {
		t.Errorf("%+v", a)
	}
	r = story() // truth that ends before the change began says nothing of it
	r.Faults, r.Performance.Drift, r.Estimate = nil, false, nil
	if a := r.advice(); !strings.Contains(a[0].Do, "by no more than it varies") {
		t.Errorf("%+v", a)
	}
	r.Performance.Segments, r.Performance.Now = nil, 4.2
	if a := r.advice(); !strings.Contains(a[0].Do, "There is time") {
		t.Errorf("%+v", a)
	}
	r.Since = since(45) // the interval ends on the day up to which truth is compared
	if a := r.advice(); !strings.Contains(a[0].Do, "says nothing of it") || !strings.Contains(r.stands().Told[1], "may be before the change began") {
		t.Errorf("%+v, %q", a, r.stands().Told)
	}
	r.Since = since(50)
	if a := r.advice(); !strings.Contains(a[0].Do, "says nothing of it") || !strings.Contains(r.stands().Told[1], "which is before the change began") {
		t.Errorf("%+v, %q", a, r.stands().Told)
	}
	r.Performance = &Performance{Now: nan}
	if a := r.advice(); !strings.Contains(a[0].Do, "No truth is known") {
		t.Errorf("%+v", a)
	}
}

// TestStoryReadsBack: the page of a report that was read from its JSON is the
// same.
func TestStoryReadsBack(t *testing.T) {
	b, err := json.Marshal(story())
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(pageOf(t, &r)), []byte(pageOf(t, story()))) {
		t.Error("the page of the report read back differs")
	}
}
