package monitor

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/schema"
)

//go:embed report.html.tmpl
var pageSource string

// page is parsed when the first report is written: most runs write none.
var page = sync.OnceValue(func() *template.Template {
	t := template.New("report").Funcs(template.FuncMap{
		"short": known(present.Short), "small": known(present.Small), "percent": known(present.Percent), "prob": chance, "thousands": present.Thousands, "when": when,
		"name": func(s string) string { return present.Cut(present.Shown(s), longName) },
		"text": func(s string) string { return present.Cut(present.Printable(s), longText) },
	})
	template.Must(t.New("style").Parse(present.Style))
	return template.Must(t.Parse(pageSource))
})

// known formats a number, – when there is none.
func known(format func(float64) string) func(Number) string {
	return func(n Number) string {
		if math.IsNaN(float64(n)) {
			return "–"
		}
		return format(float64(n))
	}
}

// What the page shows at most, so that it opens at once however many columns
// there are: a few hundred kilobytes for a thousand.
const (
	mostCards  = 24  // drifted columns with pictures; the others are rows
	mostSparks = 200 // rows with a small picture
	mostLanes  = 16  // columns on the timeline
	mostLevels = 8
	mostPairs  = 12 // of columns that go together
	mostParts  = 8  // columns that tell the samples apart
	sparkBins  = 12

	longLevel = 40 // where a level's name is cut in sentences and tips
	longName  = 80
	longText  = 600
)

// HTML writes the report as one page that needs nothing else: no script, no
// style sheet, no font from elsewhere.
func (r *Report) HTML(w io.Writer) error {
	if err := page().Execute(w, r.view()); err != nil {
		return fmt.Errorf("write report page: %w", err)
	}
	return nil
}

// view is the report cut into what the page shows.
type view struct {
	*Report
	Standing    standing
	Next        []advice
	Budget      string
	Bound       []string
	Timeline    *timelineView
	Cards       []card
	Brief       []row // drifted, too many for a card
	Outputs     []card
	CalmOutputs []row
	Calm        []row
	Stands      *stands
	Apart       *apart
	Pairs       []pairView
	MorePairs   int
	Numbers     []statistic
	Terms       []statistic
}

// card is a drifted column with all that is known of it.
type card struct {
	ID, Name, Kind, Told, Since string
	Word, Cure                  string // of the kind of change, of a fault
	Fault                       bool
	Plot                        *plot
	Levels                      []levelView
	MoreLevels                  int
	Trend                       *trendView
	Keys, All                   []figure
	Quantiles                   []Quantile
	Tests                       []Test
	Segments                    []segmentView
	Threshold                   Number

	column *Column
}

type figure struct{ Name, Value, Meaning string }

// plot is a drawing with the ends of its axis.
type plot struct {
	Drawing template.HTML
	Lo, Hi  string
}

type levelView struct {
	Name      string
	Then, Now Number
	Unseen    bool
	Bars      template.HTML
}

type trendView struct {
	plot
	Of string
	// The axis: how wide then and now are, and where each begins.
	ThenGrow, NowGrow int
	ThenFrom, NowFrom string
}

type segmentView struct {
	Told     string
	Rows     int
	Explains Number
	Known    bool // that it is a number
	Bar      template.HTML
}

// row is a column in a table.
type row struct {
	Name, Kind, What, Word, Told, Since string

	Spark template.HTML
	*Column
}

func (r *Report) view() *view {
	v := &view{
		Report: r, Standing: r.standing(), Next: r.advice(), Budget: r.budget(), Bound: r.bound(),
		Stands: r.stands(), Apart: r.apart(), Numbers: statistics(), Terms: terms(),
	}
	sparks := 0
	toRow := func(name string, c *Column) row {
		sparks++
		return r.row(name, c, sparks <= mostSparks)
	}
	for _, name := range r.ranked() {
		c := r.Columns[name]
		if len(v.Cards) < mostCards {
			v.Cards = append(v.Cards, r.card(fmt.Sprintf("c%d", len(v.Cards)), name, c, v.Numbers))
			continue
		}
		v.Brief = append(v.Brief, toRow(name, c))
	}
	for _, name := range r.PredictionOrder {
		c := r.Prediction[name]
		if c.Drift && len(v.Outputs) < mostCards {
			v.Outputs = append(v.Outputs, r.card(fmt.Sprintf("o%d", len(v.Outputs)), name, c, v.Numbers))
			continue
		}
		v.CalmOutputs = append(v.CalmOutputs, toRow(name, c))
	}
	for _, name := range r.Order {
		if c := r.Columns[name]; !c.Drift {
			v.Calm = append(v.Calm, toRow(name, c))
		}
	}
	v.Timeline = r.timeline(v)
	v.pairs()
	return v
}

// Tolerated is how much worse a metric may be.
func (v *view) Tolerated() Number { return Number(v.Settings.Tolerance) }

// defect is a fault in a list.
type defect struct{ Column, Word, Detail, Cure string }

// Defects are the faults when there are more than the advice names.
func (v *view) Defects() (out []defect) {
	if len(v.Faults) <= mostAdvice {
		return nil
	}
	for _, f := range v.Faults {
		out = append(out, defect{f.Column, present.Cut(changeWord(f.Kind), longLevel), present.Sentence(present.Cut(present.Printable(f.Detail), longText)), cure(f.Kind)})
	}
	return out
}

// LeastEffect is the least change that counts.
func (v *view) LeastEffect() Number { return Number(v.Settings.MinEffect) }

// Share is the quantile's q.
func (q Quantile) Share() Number { return Number(q.Q) }

// Lost are the rates of missing values, empty when there is none.
func (r row) Lost() string {
	if r.Missing.Then > 0 || r.Missing.Now > 0 {
		return rates(r.Missing)
	}
	return ""
}

// ranked are the drifted input columns, the most certain first. Format 1 did not
// rank them: there faults come first, then what changed most.
func (r *Report) ranked() []string {
	all := r.Drifted()
	names := make([]string, 0, len(all))
	for _, name := range r.Ranked {
		if c := r.Columns[name]; c != nil && c.Drift && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == len(all) {
		return names
	}
	faulty := map[string]bool{}
	for _, f := range r.Faults {
		faulty[f.Column] = true
	}
	effect := func(name string) float64 {
		if e := float64(r.Columns[name].Effect); !math.IsNaN(e) {
			return e
		}
		return 1 // a column that is gone has no measure
	}
	slices.SortStableFunc(all, func(a, b string) int {
		if faulty[a] != faulty[b] {
			if faulty[a] {
				return -1
			}
			return 1
		}
		return cmp.Compare(effect(b), effect(a))
	})
	return all
}

func (r *Report) card(id, name string, c *Column, numbers []statistic) card {
	v := card{
		ID: id, Name: present.Shown(name), Kind: string(c.Kind), Told: c.told(), Since: sinceWords(c.since()), Fault: r.faulty(name),
		Quantiles: c.Quantiles, Tests: c.Tests, Threshold: c.Threshold, Plot: c.plot(), Trend: r.trendView(c), column: c,
	}
	if c.Change != nil {
		v.Word = present.Cut(changeWord(c.Change.Kind), longLevel)
	}
	for i, f := range r.Faults {
		if f.Column == name && v.Cure == "" {
			v.Cure = cure(r.Faults[i].Kind)
		}
	}
	v.Levels, v.MoreLevels = c.levelViews()
	keys := map[string]bool{"p": true, "bound": true, "effect": true, "psi": true, "ks": true, "missing": true, "unseen": true, "mean": true}
	if c.Kind != schema.Numeric {
		keys["tv"], keys["ks"] = true, false
	}
	for _, s := range numbers {
		text := s.value(c)
		if text == "–" || r.Format < s.Format {
			continue
		}
		f := figure{s.Name, text, s.Meaning}
		v.All = append(v.All, f)
		if keys[s.ID] && text != "0 %" && text != "0 % → 0 %" {
			v.Keys = append(v.Keys, f)
		}
	}
	v.Segments = r.segmentsOf(name)
	return v
}

func (r *Report) segmentsOf(name string) []segmentView {
	var out []segmentView
	for i := range r.Segments {
		s := &r.Segments[i]
		if s.Column != name {
			continue
		}
		out = append(out, segmentView{s.told(), s.Rows, s.Explains, !math.IsNaN(float64(s.Explains)), present.Bar(float64(s.Explains))})
	}
	return out
}

func (c *Column) plot() *plot {
	h := c.Histogram
	if h == nil || len(h.Edges) < 2 {
		return nil
	}
	lo, hi := h.Edges[0], h.Edges[len(h.Edges)-1]
	d := histogramDrawing(h, "chart", bins, fmt.Sprintf("Shares of values from %s to %s, reference and now", present.Short(float64(lo)), present.Short(float64(hi))))
	if d == "" {
		return nil
	}
	return &plot{d, present.Short(float64(lo)), present.Short(float64(hi))}
}

func (c *Column) levelViews() (out []levelView, more int) {
	top := 1e-12
	for _, l := range c.Levels {
		for _, n := range []Number{l.Then, l.Now} {
			if n > 0 {
				top = max(top, float64(n))
			}
		}
	}
	for _, l := range c.Levels[:min(len(c.Levels), mostLevels)] {
		out = append(out, levelView{present.Cut(present.Shown(l.Level), longLevel), l.Then, l.Now, l.Unseen, bars(l.Then, l.Now, top)})
	}
	return out, len(c.Levels) - len(out)
}

func (r *Report) trendView(c *Column) *trendView {
	t := c.Trend
	if t == nil {
		return nil
	}
	lo, hi, ok := span(t.Then, t.Now)
	if !ok {
		return nil
	}
	x := axis{len(t.Then), len(t.Now)}
	format := t.format()
	var mark *place
	if r.Timeline != nil && len(r.Timeline.Now) == x.now {
		mark = r.Timeline.place(c.since())
	}
	v := &trendView{Of: present.Cut(present.Printable(t.Of), longLevel), ThenGrow: x.then, NowGrow: x.now}
	v.Lo, v.Hi = format(lo), format(hi)
	v.Drawing = trendDrawing(t, x, lo, hi, mark, fmt.Sprintf("%s by step, between %s and %s, reference then now", v.Of, v.Lo, v.Hi))
	if l := r.Timeline; l != nil {
		v.ThenFrom, v.NowFrom = firstOf(l.Then), firstOf(l.Now)
	}
	return v
}

func firstOf(s []Step) string {
	if len(s) == 0 {
		return ""
	}
	return when(s[0].From)
}

func (r *Report) row(name string, c *Column, spark bool) row {
	v := row{Name: name, Kind: string(c.Kind), Column: c}
	if c.Drift {
		v.Told, v.Since = c.told(), sinceWords(c.since())
		if c.Change != nil {
			v.Word = present.Cut(changeWord(c.Change.Kind), longLevel)
		}
	}
	switch {
	case c.Mean != nil && !math.IsNaN(float64(c.Mean.Then+c.Mean.Now)):
		v.What = present.Short(float64(c.Mean.Then)) + " → " + present.Short(float64(c.Mean.Now))
	case len(c.Levels) > 0:
		l := c.Levels[0]
		v.What = fmt.Sprintf("%s: %s → %s", present.Cut(present.Shown(l.Level), 16), present.Percent(float64(l.Then)), present.Percent(float64(l.Now)))
	}
	if !spark {
		return v
	}
	switch {
	case c.Histogram != nil:
		v.Spark = histogramDrawing(c.Histogram, "spark", sparkBins, "")
	case len(c.Levels) > 0:
		v.Spark = levelsDrawing(c.Levels[:min(len(c.Levels), mostLevels)], "spark")
	}
	return v
}
