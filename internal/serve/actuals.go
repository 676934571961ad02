package serve

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
)

// actualField may hold the ground truth instead of the target's own name.
const actualField = "actual"

// sourceField may say who tells the truth, unless the target is called so.
const sourceField = "source"

// sourceHTTP tells ground truth that came in here, and names no source of its
// own, from that of files.
const sourceHTTP = "http"

// receive answers POST /actuals. Sending a row again is harmless: the last value
// received for a prediction counts. A row names its prediction by id, or by
// columns of the model's input that together tell it; those of the second kind
// are matched later, by the jobs that read the logs.
func (s *Server) receive(r *http.Request, b *batch) *Problem {
	v := s.holder.live.Load()
	switch {
	case s.o.Actuals == nil:
		return problem(http.StatusServiceUnavailable, "no-actuals", "Ground truth is not taken here", "The server runs without a log of actuals; hand them in with `healml actuals FILE`.")
	case v == nil:
		return noModel()
	}
	if b.answer = mediaJSON; b.media.tabular() {
		return problem(http.StatusUnsupportedMediaType, "unsupported-media", "Not taken in this form", "Ground truth is taken as JSON, an object, an array or one object a line; files go through `healml actuals FILE`.")
	}
	b.reset(len(v.plan.cols))
	clear(b.actuals)
	b.actuals = b.actuals[:0]
	now := s.o.Now()
	keyed := 0
	err := b.each(s.o.Limits.Rows, func(depth int) error {
		v.plan.open(b)
		b.actuals = append(b.actuals, predlog.Actual{At: now.UnixMicro(), Source: sourceHTTP})
		a := &b.actuals[len(b.actuals)-1]
		err := v.plan.actual(b, a, s.o.Keyed != nil, depth)
		if a.ID == "" {
			keyed++
		}
		return err
	})
	if err != nil {
		return s.undecoded(err)
	}
	if len(b.faults) > 0 {
		return badFields(b.faults, b.omitted)
	}
	if p := s.keep(r.Context(), v, b, keyed, now); p != nil {
		return p
	}
	s.metrics.actuals.Add(float64(b.rows))
	b.out = strconv.AppendInt(append(b.out, `{"received":`...), int64(b.rows), 10)
	if keyed > 0 {
		b.out = strconv.AppendInt(append(b.out, `,"by_key":`...), int64(keyed), 10)
	}
	b.out = append(b.out, "}\n"...)
	return nil
}

// keep logs the rows of b.actuals, of which keyed have no id.
func (s *Server) keep(ctx context.Context, v *live, b *batch, keyed int, now time.Time) *Problem {
	if keyed > 0 {
		recs := v.keyedRecords(b, now)
		if p := s.append(ctx, now, func(ctx context.Context) error { return s.o.Keyed.Append(ctx, v.keyed, recs) }); p != nil {
			return p
		}
		b.actuals = slices.DeleteFunc(b.actuals, func(a predlog.Actual) bool { return a.ID == "" })
	}
	if len(b.actuals) == 0 {
		return nil
	}
	return s.append(ctx, now, func(ctx context.Context) error { return s.o.Actuals.Append(ctx, b.actuals) })
}

// keyedLayout logs what came true of rows that are known by columns of the model:
// those given, and behind them the value and who told it. Private columns are
// hashed as in the log of predictions.
func keyedLayout(t *schema.Template, extras []predlog.Extra) *predlog.Layout {
	private := slices.DeleteFunc(slices.Clone(extras), func(x predlog.Extra) bool { return t.Column(x.Name) < 0 })
	return predlog.LayoutWith(&schema.Template{Task: schema.Regression, Target: predlog.KeyedTarget, Columns: append(slices.Clip(t.Columns),
		schema.Column{Name: predlog.ColumnActual, Kind: schema.Text}, schema.Column{Name: predlog.ColumnActualSource, Kind: schema.Text})}, private)
}

// keyedRecords are the rows of b without an id.
func (v *live) keyedRecords(b *batch, now time.Time) []predlog.Record {
	n, k := len(v.plan.cols), len(v.model.Template.Columns)
	b.ids = sized(b.ids, b.rows)
	clear(b.ids)
	b.name(now)
	var recs []predlog.Record
	for i, a := range b.actuals {
		if a.ID != "" {
			continue
		}
		recs = append(recs, predlog.Record{
			ID: b.ids[i], At: now.UnixMicro(), Version: v.version, Outputs: []float64{0},
			Values: append(slices.Clone(b.values[i*n:i*n+k]), 0, 0), Texts: append(slices.Clone(b.texts[i*n:i*n+k]), a.Value, a.Source),
		})
	}
	return recs
}

// actual reads one row of ground truth. byKey says that columns of the model may
// stand for its id.
func (p *plan) actual(b *batch, a *predlog.Actual, byKey bool, depth int) error {
	if ok, err := b.openRow(depth); !ok {
		return err
	}
	t := p.encoder.Template()
	l := &b.lexer
	var named, valued, sourced, keyed bool
	for first := true; ; first = false {
		more, err := l.next(first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, err := l.key()
		if err != nil {
			return err
		}
		field := string(name)
		kind, raw, err := l.value(depth + 1)
		if err != nil {
			return err
		}
		col, known := p.index[field]
		key := byKey && known && col >= 0 && col < len(t.Columns)
		switch {
		case field == idField && named, (field == t.Target || field == actualField) && valued:
			b.fault(field, nil, "given twice; %q and %q are one field", t.Target, actualField)
		case field == idField:
			named = true
			if a.ID = b.id(kind, raw); kind == null {
				b.fault(idField, []byte("null"), "null; expected the prediction_id of an answer")
			}
		case field == t.Target || field == actualField:
			valued = true
			a.Value = b.truth(t, field, kind, raw)
		case field == sourceField && sourced:
			b.fault(field, nil, "given twice")
		case field == sourceField && (kind != text || !validID(raw)):
			b.fault(field, quoted(kind, raw), "expected 1 to 64 characters of A-Z a-z 0-9 . _ : -")
		case field == sourceField:
			sourced = true
			a.Source = string(raw)
		case key && b.seen[col] == b.rows+1:
			b.fault(field, nil, "given twice")
		case key && p.hidden[col]:
			b.fault(field, nil, "is private and so not in the log: predictions cannot be known by it")
		case key:
			keyed = true
			b.seen[col] = b.rows + 1
			p.set(b, col, kind, raw)
		default:
			b.fault(field, quoted(kind, raw), "unknown field; expected %s, %s and, if you like, %s", idField, t.Target, sourceField)
		}
	}
	switch {
	case named && keyed:
		b.fault(idField, nil, "given beside columns of the model; expected one or the other")
	case !named && !keyed && byKey:
		b.fault(idField, nil, "missing; expected the prediction_id of an answer, or columns of the model that together tell the prediction")
	case !named && !keyed:
		b.fault(idField, nil, "missing; expected the prediction_id of an answer")
	}
	if !valued {
		b.fault(t.Target, nil, "missing; expected what came true")
	}
	return nil
}

// truth checks a value of the target and returns its text.
func (b *batch) truth(t *schema.Template, field string, kind token, raw []byte) string {
	if t.Task.Classified() {
		if scalar(kind) {
			if class := classOf(t.Classes, kind, raw); class != "" {
				return class
			}
		}
		b.fault(field, quoted(kind, raw), "%s; expected one of %s", found(kind, raw), shortList(t.Classes))
		return ""
	}
	if kind == number {
		if _, err := strconv.ParseFloat(view(raw), 64); err == nil {
			return string(raw)
		}
	}
	b.fault(field, quoted(kind, raw), "%s; expected a number", found(kind, raw))
	return ""
}

// classOf is the class that a JSON value names: by its text, or as a number of
// the same value. "" when there is none.
func classOf(classes []string, kind token, raw []byte) string {
	if i := slices.Index(classes, view(raw)); i >= 0 {
		return classes[i]
	}
	if kind != number {
		return ""
	}
	v, err := strconv.ParseFloat(view(raw), 64)
	if err != nil {
		return ""
	}
	for _, c := range classes {
		if w, err := strconv.ParseFloat(c, 64); err == nil && w == v {
			return c
		}
	}
	return ""
}

// shortList joins names, the first ones when there are many.
func shortList(names []string) string {
	const listed = 20
	if len(names) > listed {
		return strings.Join(names[:listed], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
