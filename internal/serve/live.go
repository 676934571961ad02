package serve

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// live is a version ready to answer, with all that depends on it. It is
// immutable but for its counters and repairs.
type live struct {
	version string
	model   *model.Model
	plan    *plan
	loose   *plan // for protocols that other clients speak
	layout  *predlog.Layout
	bare    *predlog.Layout // of predictions in shadow
	keyed   *predlog.Layout // of ground truth without an id
	since   time.Time
	example []byte // a request for one row
	openapi []byte
	stats   *modelStats
	// explainer is made when it is first asked for.
	explainer func() (*model.Explainer, error)
	// nullable says that some column may be missing without a flag.
	nullable bool
	// repairs undo faults of the feed; nil: none is known.
	repairs atomic.Pointer[repair.Plan]

	// Parts of an answer, ready to copy.
	head   []byte   // {"predicted_<target>":
	labels [][]byte // of the classes, as values
	keys   [][]byte // of the probabilities: "<class>":
	tail   []byte   // ,"model_version":"…"
}

// newLive prepares a candidate and makes it prove itself; see [live.prove].
// extras are columns that are only logged.
func newLive(c *Candidate, lenient bool, extras []predlog.Extra, a about, now time.Time) (*live, error) {
	t := c.Model.Template
	v := &live{
		version: c.Model.Version,
		model:   c.Model,
		plan:    newPlan(c.Model.Encoder(), lenient, extras...),
		layout:  predlog.LayoutWith(t, extras),
		bare:    bareLayout(c.Model),
		keyed:   keyedLayout(t, extras),
		since:   now,
	}
	v.loose = newPlan(c.Model.Encoder(), true, extras...)
	v.loose.loose = true
	v.explainer = sync.OnceValues(c.Model.NewExplainer)
	v.nullable = slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return c.Missing })
	v.head = append(appendString([]byte("{"), t.PredictionName()), ':')
	v.tail = appendString([]byte(`,"model_version":`), v.version)
	numeric := allNumbers(t.Classes)
	for _, class := range t.Classes {
		label := appendString(nil, class)
		v.keys = append(v.keys, append(label, ':'))
		if numeric {
			label = []byte(class)
		}
		v.labels = append(v.labels, label)
	}
	outputs, err := v.prove(c.Golden)
	if err != nil {
		return nil, err
	}
	if private := slices.ContainsFunc(extras, func(x predlog.Extra) bool { return x.Key != nil && t.Column(x.Name) >= 0 }); private {
		// A row of the training data is shown to whoever asks: not with this.
		v.example = madeUpRow(t)
		if err := v.rehearse(new(batch), v.example); err != nil {
			return nil, fmt.Errorf("check example row %s: %w", v.example, err)
		}
	}
	v.stats = newModelStats(v.version, t, outputs)
	v.openapi, err = openAPI(t, extras, v.example, v.version, a)
	return v, err
}

// allNumbers reports whether every class is a JSON number and so answered as
// one.
func allNumbers(classes []string) bool {
	return !slices.ContainsFunc(classes, func(c string) bool { return !isNumber(c) })
}

// prove sends the golden rows, and a made-up row when there are none, the way
// that requests go, and compares the predictions with those stored. Rows that
// no client could send (a missing value in a column that knew none) are left
// out. It returns the first output of each row, and sets v.example.
func (v *live) prove(golden *table.Table) ([]float64, error) {
	var want []*table.Column
	rows := 0
	if golden != nil {
		rows = golden.NumRows()
		for _, name := range outputNames(v.model.Template) {
			c := golden.Column(name)
			if c == nil || c.Type != table.Float {
				return nil, fmt.Errorf("check golden rows: no column %q of numbers", name)
			}
			want = append(want, c)
		}
	}
	var b batch
	var firsts []float64
	for i := range rows {
		body, ok := goldenRow(v.model.Template, golden, i)
		if !ok {
			continue
		}
		if err := v.rehearse(&b, body); err != nil {
			return nil, fmt.Errorf("check golden row %d: %w", i, err)
		}
		for k, c := range want {
			if got := b.outputs[k]; !agree(got, c.Floats[i]) {
				return nil, fmt.Errorf("check golden row %d: %s is %v, expected %v", i, c.Name, got, c.Floats[i])
			}
		}
		if v.example == nil {
			v.example = body
		}
		firsts = append(firsts, v.measured(b.outputs))
	}
	if v.example != nil {
		return firsts, nil
	}
	v.example = madeUpRow(v.model.Template)
	if err := v.rehearse(&b, v.example); err != nil {
		return nil, fmt.Errorf("check example row %s: %w", v.example, err)
	}
	return []float64{v.measured(b.outputs)}, nil
}

// rehearse decodes and predicts one row without logging it.
func (v *live) rehearse(b *batch, body []byte) error {
	b.body = body
	if err := v.plan.decode(b, 1); err != nil {
		return err
	}
	if len(b.faults) > 0 {
		f := b.faults[0]
		return fmt.Errorf("field %q: %s", f.Field, f.Message)
	}
	return v.predict(b)
}

// predict fills b.outputs from b.values.
func (v *live) predict(b *batch) error {
	n, k := len(v.plan.cols), v.model.Template.Outputs()
	values := v.repaired(b)
	if b.rows >= manyRows {
		enc := b.encoded
		if enc == nil || len(b.repaired) > 0 {
			enc = v.model.Encoder().Columns(b.columns(values, n, len(v.model.Template.Columns)))
		}
		b.outputs = append(b.outputs[:0], v.model.PredictBatch(enc, 1).Outputs...)
	} else {
		b.outputs = sized(b.outputs, b.rows*k)
		for i := range b.rows {
			v.model.Predict(b.outputs[i*k:(i+1)*k], values[i*n:(i+1)*n])
		}
	}
	for _, out := range b.outputs {
		if math.IsNaN(out) || math.IsInf(out, 0) {
			return fmt.Errorf("version %s predicts %v", v.version, out)
		}
	}
	return nil
}

// manyRows is from how many rows on it pays to predict them column by column.
const manyRows = 16

// columns are the first k of the n values of each row, column by column.
func (b *batch) columns(values []float64, n, k int) [][]float64 {
	all := make([]float64, b.rows*k)
	out := make([][]float64, k)
	for c := range out {
		out[c] = all[c*b.rows : (c+1)*b.rows]
		for i := range out[c] {
			out[c][i] = values[i*n+c]
		}
	}
	return out
}

// repaired are b.values with the repairs made, which b.repaired tells of; b.values
// themselves when there are none.
func (v *live) repaired(b *batch) []float64 {
	b.repaired = b.repaired[:0]
	p := v.repairs.Load()
	if p == nil {
		return b.values
	}
	n := len(v.plan.cols)
	b.sound = append(b.sound[:0], b.values[:b.rows*n]...)
	for i := range b.rows {
		b.repaired = append(b.repaired, p.Row(b.sound[i*n:(i+1)*n], b.texts[i*n:(i+1)*n]))
	}
	return b.sound
}

// measured is the number by which the distribution of predictions is watched:
// the value, P(class 1) of two classes, or the probability of the best class.
func (v *live) measured(outputs []float64) float64 {
	switch v.model.Template.Task {
	case schema.Regression:
		return outputs[0]
	case schema.Binary:
		return outputs[1]
	default:
		return outputs[model.Best(outputs)]
	}
}

// appendPrediction begins the answer for row i.
func (v *live) appendPrediction(b *batch, i int) {
	k := v.model.Template.Outputs()
	outputs := b.outputs[i*k : (i+1)*k]
	out := append(b.out, v.head...)
	if v.labels == nil {
		out = appendFloat(out, outputs[0])
	} else {
		out = append(out, v.labels[model.Best(outputs)]...)
		out = append(out, `,"probabilities":{`...)
		for c, p := range outputs {
			if c > 0 {
				out = append(out, ',')
			}
			out = appendFloat(append(out, v.keys[c]...), p)
		}
		out = append(out, '}')
	}
	b.out = out
}

// appendAnswer appends the answer for row i.
func (v *live) appendAnswer(b *batch, i int) {
	v.appendPrediction(b, i)
	r := &b.records[i]
	out := appendString(append(b.out, `,"prediction_id":`...), r.ID)
	out = append(out, v.tail...)
	if flags := model.Flag(r.Flags); flags != 0 {
		out = appendFlags(append(out, `,"flags":`...), flags)
	}
	b.out = append(out, '}')
}

// flagNames are the names of flags in answers.
var flagNames = [...]struct {
	bit  model.Flag
	name string
}{{model.Unseen, "unseen_category"}, {model.Missing, "missing_value"}, {model.OutOfRange, "out_of_range"}, {model.Repaired, "repaired"}}

// appendFlags appends the names of flags as a JSON array.
func appendFlags(b []byte, flags model.Flag) []byte {
	b = append(b, '[')
	for _, f := range flagNames {
		if flags&f.bit == 0 {
			continue
		}
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, '"')
	}
	return append(b, ']')
}

// flagWords are the names of flags, separated by blanks.
func flagWords(flags model.Flag) string {
	var words []string
	for _, f := range flagNames {
		if flags&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	return strings.Join(words, " ")
}

// breaks lists what a client that sends rows for template old would stumble
// over if t answered it; nil when it would notice nothing.
func breaks(old, t *schema.Template) []string {
	var why []string
	if old.Target != t.Target || old.Task != t.Task {
		why = append(why, fmt.Sprintf("it predicts %s (%s) instead of %s (%s)", t.Target, t.Task, old.Target, old.Task))
	}
	for _, d := range schema.Diff(old, t) {
		dropped := d.What == "missing" && (slices.Contains(t.Ignored, d.Column) || d.Column == t.Time)
		added := d.What == "added" && t.Columns[t.Column(d.Column)].Kind == schema.Text
		if !dropped && !added {
			why = append(why, d.String())
		}
	}
	return why
}

// outputNames are the golden columns that hold the outputs.
func outputNames(t *schema.Template) []string {
	if t.Task.Classified() {
		return t.ProbabilityNames()
	}
	return []string{t.PredictionName()}
}

// agree allows for a fused multiply-add on one machine and none on another.
func agree(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }

// goldenRow is row i as a request; ok is false when no client could send it.
func goldenRow(t *schema.Template, golden *table.Table, i int) (body []byte, ok bool) {
	body = append(body, '{')
	for k := range t.Columns {
		want := &t.Columns[k]
		if k > 0 {
			body = append(body, ',')
		}
		body = append(appendString(body, want.Name), ':')
		c := golden.Column(want.Name)
		switch {
		case c == nil || c.Missing(i):
			if !want.Missing && want.Kind != schema.Text {
				return nil, false
			}
			body = append(body, "null"...)
		case c.Type == table.Float && math.IsInf(c.Floats[i], 0):
			return nil, false
		case want.Kind == schema.Numeric || want.Kind == schema.Boolean:
			body = appendFloat(body, c.Floats[i])
		default:
			body = appendString(body, c.Format(i))
		}
	}
	return append(body, '}'), true
}

// madeUpRow is a request with a plain value for each column.
func madeUpRow(t *schema.Template) []byte {
	body := []byte("{")
	for k, c := range t.Columns {
		if k > 0 {
			body = append(body, ',')
		}
		body = append(appendString(body, c.Name), ':')
		switch c.Kind {
		case schema.Numeric:
			v := 0.0
			if c.Min != nil {
				v = *c.Min
			}
			body = appendFloat(body, v)
		case schema.Boolean:
			body = append(body, "true"...)
		case schema.Time:
			if c.DateOnly {
				body = append(body, `"2024-01-10"`...)
			} else {
				body = append(body, `"2024-01-10T12:00:00Z"`...)
			}
		default:
			s := "text"
			if len(c.Levels) > 0 {
				s = c.Levels[0]
			}
			body = appendString(body, s)
		}
	}
	return append(body, '}')
}
