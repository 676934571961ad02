package retrain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/score"
)

// told is an incident cut into what its page and the terminal show, in the order
// in which a reader asks: what was done, what to do, when, what was seen, what
// lies behind it, what was tried, and by which rules.
type told struct {
	*Incident
	Class, Mark, Words string // of the outcome: class of the page's style, sign, name
	Headline           string
	Next               []step
	When               *calendar // nil without two moments
	Seen               []string
	Behind             []causeTold
	Tried              *contest     // nil when nothing was tried
	Course             *course      // nil without the losses of rows
	Windows            *windowsTold // nil without a record
	Watched            *watched     // nil: no rollback
	Rules              []string     // that held
	Numbers            []numeral    // of incident.json, each
	MoreNumbers        int
}

// step is something to do, with the command that does it, if there is one.
type step struct{ Do, Command string }

// causeTold is a cause with its probability in [0, 1].
type causeTold struct {
	Name        string
	Probability float64
	Harmless    bool
	Evidence    []string
	Unlikely    bool
}

// What is shown at most.
const (
	longText    = 600  // letters of a sentence
	longName    = 80   // letters of a name
	mostNumbers = 3000 // of incident.json
	mostGroups  = 32   // of rows whose losses are shown
	leastGroup  = 8    // rows in one
	leastCause  = 0.01 // probability of a cause that is shown at once
)

func (in *Incident) told() *told {
	v := &told{
		Incident: in, Headline: in.headline(), Next: in.next(), When: in.calendar(), Seen: in.seen(), Behind: in.causes(),
		Tried: in.contest(), Course: in.course(), Windows: in.windows(), Watched: in.watched(), Rules: in.rules(),
	}
	v.Class, v.Mark, v.Words = in.outcome()
	v.Numbers, v.MoreNumbers = in.numbers()
	return v
}

func (in *Incident) outcome() (class, mark, words string) {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		return "alarm", "↩", "Taken back"
	case in.ShadowUntil != nil:
		return "unknown", "◐", "In shadow"
	case in.Promoted:
		return "calm", "✓", "Healed"
	case in.Frozen():
		return "fault", "!", "Healing is frozen"
	case in.Action == heal.Quarantine:
		return "fault", "!", "Quarantine"
	case in.Action == heal.Keep:
		return "unknown", "=", "Kept"
	case in.Action == heal.None:
		return "unknown", "·", "Nothing was done"
	}
	return "unknown", "?", "Rehearsed"
}

// next is what a reader can do about it.
func (in *Incident) next() (out []step) {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		out = append(out, step{fmt.Sprintf("%s is in force again, and healing promotes nothing until a human lets it. Look for what the bake met that the proof had not, then", in.Version), "healml retrain --thaw"})
	case in.ShadowUntil != nil:
		out = append(out, step{fmt.Sprintf("Nothing. Until %s %s is compared with %s on the rows to come, and takes over when it is better there, too. To promote it at once:", present.Moment(*in.ShadowUntil), in.Version, in.Champion), "healml models promote " + in.Version})
	case in.Promoted:
		out = append(out,
			step{fmt.Sprintf("Nothing. %s is in force, and it is compared with its predecessor while actuals come in. To take it back:", in.Version), "healml models rollback"},
			step{"To see where a prediction came from:", "healml models trace PREDICTION_ID"})
	case in.Frozen():
		out = append(out, step{"Find out why it froze, then let it go on:", "healml retrain --thaw"})
	case in.Action == heal.Quarantine:
		out = append(out, step{fmt.Sprintf("Look at the %s rows in excluded.parquet. If their labels were right after all, write in healml.yaml:", present.Thousands(in.LeftOut)), "heal: {readmit: [" + in.ID + "]}"})
	case in.Action == heal.Keep:
		out = append(out, step{"Nothing. Healing looks again when more actuals have come in.", ""})
	case in.Action == heal.None:
		out = append(out, step{"Nothing by itself. To see what it would take:", "healml retrain --explain"})
	default:
		out = append(out, step{"To do it:", "healml retrain"})
	}
	if c, ok := in.likeliest(); ok && c.Kind == heal.DataFault && !in.Promoted {
		out = append(out, step{"Mend the feed: what lies behind this is a fault of the data, which no cure of the model mends.", ""})
	}
	return out
}

// likeliest is the first cause; false without a diagnosis.
func (in *Incident) likeliest() (heal.Cause, bool) {
	if in.Diagnosis == nil || len(in.Diagnosis.Causes) == 0 {
		return heal.Cause{}, false
	}
	return in.Diagnosis.Causes[0], true
}

func (in *Incident) seen() (out []string) {
	out = append(out, in.Reasons...)
	for i := range in.Excluded {
		e := &in.Excluded[i]
		s := fmt.Sprintf("%s rows %s are not learnt from: %s", present.Thousands(e.Rows), e.when(), e.told())
		if e.Column != "" {
			s += " in column " + strconv.Quote(e.Column)
		}
		if e.Incident != "" {
			s += " (" + e.Incident + ")"
		}
		out = append(out, s)
	}
	for i := range in.Repaired {
		e := &in.Repaired[i]
		out = append(out, fmt.Sprintf("%s rows %s are learnt from as if a fault were undone: %s", present.Thousands(e.Rows), e.when(), e.Why))
	}
	if s := in.Spoilt; s != nil {
		line := fmt.Sprintf("in %d batches of labels, %s rows, %s look wrong, where %s usually do", s.Batches, present.Thousands(s.Rows), present.Percent(s.Share), present.Percent(s.Usual))
		if len(s.Sources) > 0 {
			line += "; they were written by " + strings.Join(s.Sources, ", ")
		}
		out = append(out, line)
	}
	if x := in.Break; x != nil {
		out = append(out, fmt.Sprintf("a break: the champion has %s %s on the newest rows, where %s was expected of it, so those rows are cut in two: cures learn from the first half and are judged on the second", in.Metric, present.Short(x.Loss), present.Short(x.Expected)))
	}
	if g := in.Golden; g != nil {
		out = append(out, fmt.Sprintf("%s golden rows of %s, on which the champion has %s and no cure may lose", present.Thousands(g.Rows), g.File, present.Short(g.Champion)))
	}
	return out
}

func (in *Incident) causes() (out []causeTold) {
	if in.Diagnosis == nil {
		return nil
	}
	for _, c := range in.Diagnosis.Causes {
		out = append(out, causeTold{c.String(), c.Probability, c.Harmless, c.Evidence, len(out) > 0 && c.Probability < leastCause})
	}
	return out
}

// calendar is the moments and stretches of an incident on one axis.
type calendar struct {
	From, To time.Time
	Entries  []dated // by their beginning
}

// dated is a moment, or a stretch when To is later.
type dated struct {
	Name     string
	From, To time.Time
	Open     bool // its beginning is not known: it lies before the axis
	Mark     bool // it is the decision
}

// Told is its time in words.
func (e dated) Told() string {
	switch {
	case e.Open:
		return "up to " + present.Moment(e.To)
	case e.To.After(e.From):
		return present.Moment(e.From) + " to " + present.Moment(e.To)
	}
	return present.Moment(e.From)
}

func (in *Incident) calendar() *calendar {
	c := &calendar{}
	add := func(name string, from, to time.Time) {
		if !from.IsZero() && !to.Before(from) {
			c.Entries = append(c.Entries, dated{Name: name, From: from, To: to})
		}
	}
	if e := in.Evidence; e != nil {
		add("the champion took over", e.Promoted, e.Promoted)
		add("the change began", e.Began, e.Began)
		add("newest label", e.Labelled, e.Labelled)
	}
	for i := range in.Excluded {
		add("not learnt from", in.Excluded[i].From, in.Excluded[i].To)
	}
	for i := range in.Repaired {
		add("repaired", in.Repaired[i].From, in.Repaired[i].To)
	}
	if len(in.Trials) > 0 {
		add("cures were judged on", in.Trials[0].From, in.Trials[0].To)
	}
	if b := in.versus(); b != nil {
		name := "bake of "
		if in.Shadow != nil {
			name = "shadow of "
		}
		add(name+b.Bake.Promoted, b.Bake.Began, b.At)
	}
	if !in.Learned.IsZero() {
		c.Entries = append(c.Entries, dated{Name: "the champion learnt from", From: in.Learned, To: in.Learned, Open: true})
	}
	c.Entries = append(c.Entries, dated{Name: "decision", From: in.At, To: in.At, Mark: true})
	slices.SortStableFunc(c.Entries, func(a, b dated) int {
		return cmp.Or(truth(b.Open)-truth(a.Open), a.From.Compare(b.From))
	})
	c.From, c.To = c.Entries[0].From, c.Entries[0].To
	for _, e := range c.Entries {
		if e.From.Before(c.From) {
			c.From = e.From
		}
		if e.To.After(c.To) {
			c.To = e.To
		}
	}
	if !c.To.After(c.From) {
		return nil
	}
	if c.Entries[0].Open { // room for what was learnt
		c.From = c.From.Add(-c.To.Sub(c.From) / 8)
	}
	return c
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// contest is the trials with the scale that their gains are drawn on.
type contest struct {
	Told     string
	Metric   string
	Champion [2]float64 // losses on all rows, on the newest
	Rows     [2]int
	Margin   float64 // share of the champion's loss
	Lo, Hi   float64 // ends of the scale: shares of the champion's loss
	Trials   []trialTold
	Skipped  []string
}

// trialTold is one cure. Gains are shares of the champion's loss, on all rows
// and on the newest; NaN when that loss is 0.
type trialTold struct {
	Cure, Verdict string
	Won, Out      bool
	Gain          [2]gain
	Loss          [2]float64
}

// gain is a gain with its interval.
type gain struct{ Mean, Lo, Hi float64 }

func relative(m heal.Match) gain {
	if m.Champion <= 0 {
		return gain{math.NaN(), math.NaN(), math.NaN()}
	}
	return gain{m.Gain.Mean / m.Champion, m.Gain.Lo / m.Champion, m.Gain.Hi / m.Champion}
}

func (in *Incident) contest() *contest {
	if len(in.Trials) == 0 {
		return nil
	}
	first := in.Trials[0]
	c := &contest{
		Metric: in.Metric, Champion: [2]float64{first.All.Champion, first.Newest.Champion}, Rows: [2]int{first.All.Rows, first.Newest.Rows},
		Margin: in.Policy.Margin, Skipped: in.Skipped,
	}
	c.Told = fmt.Sprintf("Each cure learnt from what was known before the rows that it was judged on: %s rows", present.Thousands(first.All.Rows))
	if !first.From.IsZero() {
		c.Told += fmt.Sprintf(" from %s to %s", present.Moment(first.From), present.Moment(first.To))
	}
	c.Told += fmt.Sprintf(", of which the newest %s count for themselves, too. Lower %s is better: the champion has %s on all of them and %s on the newest.", present.Thousands(first.Newest.Rows), in.Metric, present.Short(c.Champion[0]), present.Short(c.Champion[1]))
	c.Lo, c.Hi = -2*c.Margin, 2*c.Margin
	for _, t := range in.Trials {
		v := trialTold{Cure: t.Cure, Gain: [2]gain{relative(t.All), relative(t.Newest)}, Loss: [2]float64{t.All.Loss, t.Newest.Loss}}
		v.Won = in.Cure == t.Cure
		v.Verdict = in.verdict(t)
		v.Out = len(t.Vetoes) > 0
		for _, g := range v.Gain {
			for _, x := range []float64{g.Lo, g.Hi} {
				if !math.IsNaN(x) && !math.IsInf(x, 0) {
					c.Lo, c.Hi = min(c.Lo, x), max(c.Hi, x)
				}
			}
		}
		c.Trials = append(c.Trials, v)
	}
	c.Lo, c.Hi = max(c.Lo, -1), min(c.Hi, 1) // what loses more than all lies at the edge
	if c.Hi <= c.Lo {
		c.Lo, c.Hi = c.Lo-0.01, c.Hi+0.01
	}
	return c
}

// verdict says in words what became of a trial.
func (in *Incident) verdict(t Trial) string {
	all, newest := t.All.Clears(in.Policy.Margin), t.Newest.Clears(in.Policy.Margin)
	switch {
	case len(t.Vetoes) > 0:
		return "ruled out: " + strings.Join(t.Vetoes, "; ")
	case in.Cure == t.Cure && in.Promoted:
		return "taken"
	case in.Cure == t.Cure:
		return "would be taken"
	case t.Floor:
		return "the floor: what every cure has to beat"
	case all && newest:
		return "proven on all rows and on the newest; another was taken"
	case all:
		return "better on all rows, not proven on the newest"
	case newest:
		return "better on the newest rows, not proven on all"
	case t.All.Gain.Hi < 0 && t.Newest.Gain.Hi < 0:
		return "worse than the champion"
	}
	return "not proven"
}

// course is how losses went over the rows that cures were judged on, in groups
// of neighbours.
type course struct {
	Cure            string // whose losses Cures are
	Champion, Cures []float64
	Rows            []int // in each group
	Border          int   // first group of the newest block
	Lo, Hi          float64
}

func (in *Incident) course() *course {
	if in.losses == nil || len(in.Trials) == 0 {
		return nil
	}
	best := in.foremost()
	theirs, ours := in.losses.Column(championColumn), in.losses.Column(lossColumn(best))
	n := in.losses.NumRows()
	if theirs == nil || ours == nil || len(theirs.Floats) != n || len(ours.Floats) != n || n == 0 {
		return nil
	}
	c := &course{Cure: in.Trials[best].Cure, Lo: math.Inf(1), Hi: math.Inf(-1)}
	border := max(0, n-in.Trials[best].Newest.Rows)
	// The newest block has groups of its own, so that none reaches over the border.
	for _, part := range [][2]int{{0, border}, {border, n}} {
		length := part[1] - part[0]
		groups := min(max(int(math.Round(mostGroups*float64(length)/float64(n))), 1), max(length/leastGroup, 1))
		if length == 0 {
			continue
		}
		if part[0] == border {
			c.Border = len(c.Rows)
		}
		for g := range groups {
			lo, hi := part[0]+g*length/groups, part[0]+(g+1)*length/groups
			a, b := score.Mean(theirs.Floats[lo:hi]), score.Mean(ours.Floats[lo:hi])
			c.Champion, c.Cures, c.Rows = append(c.Champion, a), append(c.Cures, b), append(c.Rows, hi-lo)
			c.Lo, c.Hi = min(c.Lo, a, b), max(c.Hi, a, b)
		}
	}
	return c
}

// foremost is the trial that won, or the one that gained most.
func (in *Incident) foremost() int {
	best := 0
	for i, t := range in.Trials {
		if in.Cure != "" && t.Cure == in.Cure {
			return i
		}
		if t.All.Gain.Mean > in.Trials[best].All.Gain.Mean {
			best = i
		}
	}
	return best
}

// windowsTold is the record of how much of the past to learn from.
type windowsTold struct {
	Blocks int
	Rows   []Recorded
}

func (in *Incident) windows() *windowsTold {
	if len(in.Record) < 2 || len(in.Record[0].Losses) == 0 {
		return nil
	}
	return &windowsTold{len(in.Record[0].Losses), in.Record}
}

// versus is the comparison of two versions that the incident rests on; nil when
// it does not.
func (in *Incident) versus() *BakeRecord {
	if in.Bake != nil {
		return in.Bake
	}
	return in.Shadow
}

// watched is what a rollback rests on, or the end of a shadow.
type watched struct {
	*BakeRecord
	Title, Told string
	Names       [2]string // of the promoted version and its predecessor
	Lo, Hi      float64   // of the losses of blocks
}

// series are the losses of both versions by block.
func (w *watched) series() (promoted, predecessor []float64) {
	for _, b := range w.Blocks {
		promoted, predecessor = append(promoted, b.Promoted), append(predecessor, b.Predecessor)
	}
	return promoted, predecessor
}

func (in *Incident) watched() *watched {
	r := in.versus()
	if r == nil {
		return nil
	}
	w := &watched{BakeRecord: r, Title: "The bake", Names: [2]string{"promotion", "predecessor"}, Lo: math.Inf(1), Hi: math.Inf(-1)}
	w.Told = fmt.Sprintf("%s took over from %s on %s. Both", r.Bake.Promoted, r.Bake.Predecessor, present.Moment(r.Bake.Began))
	if in.Shadow != nil {
		w.Title, w.Names = "The shadow", [2]string{"challenger", "champion"}
		w.Told = fmt.Sprintf("%s was put in the shadow of %s on %s. Both", r.Bake.Promoted, r.Bake.Predecessor, present.Moment(r.Bake.Began))
	}
	v := r.Verdict
	w.Told += fmt.Sprintf(" scored the %s rows since whose truth came in, in %d blocks of time: %s against %s %s, with an e-value of %s.", present.Thousands(v.Rows), v.Blocks, present.Short(v.Promoted), present.Short(v.Predecessor), r.Metric, present.Short(v.E))
	if x := v.Excess; x != nil {
		w.Told += fmt.Sprintf(" The excess of its loss is %s (%s to %s).", present.Short(x.Mean), present.Short(x.Lo), present.Short(x.Hi))
	}
	for _, b := range r.Blocks {
		w.Lo, w.Hi = min(w.Lo, b.Promoted, b.Predecessor), max(w.Hi, b.Promoted, b.Predecessor)
	}
	return w
}

// rules are the bounds that held, in words.
func (in *Incident) rules() (out []string) {
	p := in.Policy
	if b := in.Bake; b != nil {
		out = append(out, fmt.Sprintf("A promotion is watched for %s. It is taken back when it is proven worse than its predecessor by more than %s; the chance to take one back that is not is at most %s, however often one looks.", present.Lasting(b.Policy.Length.Seconds()), present.Percent(b.Policy.Margin), present.Percent(b.Policy.Alpha)))
	}
	if p == (heal.Policy{}) {
		return out
	}
	out = append(out, fmt.Sprintf("A cure is taken when it is proven, with %s confidence for all cures together, to be better than the champion by more than %s of its loss.", present.Percent(p.Confidence), present.Percent(p.Margin)))
	if p.SliceLimit > 0 {
		out = append(out, fmt.Sprintf("In no category may it be proven to lose more than %s of what the champion loses there.", present.Percent(p.SliceLimit)))
	}
	out = append(out, fmt.Sprintf("That takes at least %s labelled rows which the champion has not learnt from.", present.Thousands(p.MinLabels)))
	if p.Cooldown > 0 {
		out = append(out, fmt.Sprintf("After a promotion nothing is changed for %s.", present.Lasting(p.Cooldown.Seconds())))
	}
	if p.MaxAge > 0 {
		out = append(out, fmt.Sprintf("A champion older than %s is a reason to look.", present.Lasting(p.MaxAge.Seconds())))
	}
	if p.NewLabels > 0 {
		out = append(out, fmt.Sprintf("So are new labels of %s of what it learnt from.", present.Percent(p.NewLabels)))
	}
	if g := in.Guard; g != nil {
		if g.Limits.PerWeek > 0 {
			out = append(out, fmt.Sprintf("Healing promotes at most %d times in seven days.", g.Limits.PerWeek))
		}
		if g.Limits.Oscillation > 0 {
			out = append(out, fmt.Sprintf("What it took out of force comes not back within %s.", present.Lasting(g.Limits.Oscillation.Seconds())))
		}
	}
	return out
}

// numeral is one value of incident.json, with the way to it.
type numeral struct{ Path, Value string }

// numbers are the values of incident.json in its order, and how many more there
// are than are shown.
func (in *Incident) numbers() (out []numeral, more int) {
	doc, err := json.Marshal(in)
	if err != nil { // a number that JSON has not; what is written then fails before
		return nil, 0
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var walk func(path string)
	walk = func(path string) {
		t, err := dec.Token()
		if err != nil {
			return
		}
		switch t {
		case json.Delim('{'):
			for dec.More() {
				key, _ := dec.Token()
				walk(strings.TrimPrefix(fmt.Sprintf("%s.%v", path, key), "."))
			}
			_, _ = dec.Token()
		case json.Delim('['):
			for i := 0; dec.More(); i++ {
				walk(fmt.Sprintf("%s[%d]", path, i))
			}
			_, _ = dec.Token()
		default:
			if len(out) == mostNumbers {
				more++
				return
			}
			s := "–"
			if t != nil {
				s = fmt.Sprint(t)
			}
			out = append(out, numeral{path, s})
		}
	}
	walk("")
	return out, more
}
