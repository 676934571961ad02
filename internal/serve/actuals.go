package serve

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

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

// receive answers POST /actuals. Sending a row again is harmless: the
// last value received for a prediction counts.
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
	b.reset(0)
	clear(b.actuals)
	b.actuals = b.actuals[:0]
	now := s.o.Now()
	err := b.each(s.o.Limits.Rows, func(depth int) error {
		b.actuals = append(b.actuals, predlog.Actual{At: now.UnixMicro(), Source: sourceHTTP})
		return b.actual(v.model.Template, &b.actuals[len(b.actuals)-1], depth)
	})
	if err != nil {
		return s.undecoded(err)
	}
	if len(b.faults) > 0 {
		return badFields(b.faults, b.omitted)
	}
	if b.rows > 0 {
		if p := s.append(r.Context(), now, func(ctx context.Context) error { return s.o.Actuals.Append(ctx, b.actuals) }); p != nil {
			return p
		}
	}
	s.metrics.actuals.Add(float64(b.rows))
	b.out = strconv.AppendInt(append(b.out, `{"received":`...), int64(b.rows), 10)
	b.out = append(b.out, "}\n"...)
	return nil
}

// actual reads one row of ground truth.
func (b *batch) actual(t *schema.Template, a *predlog.Actual, depth int) error {
	if ok, err := b.openRow(depth); !ok {
		return err
	}
	l := &b.lexer
	var named, valued, sourced bool
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
		default:
			b.fault(field, quoted(kind, raw), "unknown field; expected %s, %s and, if you like, %s", idField, t.Target, sourceField)
		}
	}
	if !named {
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
