package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
)

// predict answers POST /predict.
func (s *Server) predict(r *http.Request, b *batch) *Problem {
	v := s.holder.live.Load()
	if v == nil {
		return noModel()
	}
	if p := s.decode(v.plan, b); p != nil {
		return p
	}
	if p := s.answer(r.Context(), v, b); p != nil {
		return p
	}
	switch b.answer {
	case mediaCSV, mediaArrow:
		return v.appendTable(b)
	case mediaLines:
		for i := range b.rows {
			v.appendAnswer(b, i)
			b.out = append(b.out, '\n')
		}
		return nil
	}
	if b.isArray {
		b.out = append(b.out, '[')
	}
	for i := range b.rows {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		v.appendAnswer(b, i)
	}
	if b.isArray {
		b.out = append(b.out, ']')
	}
	b.out = append(b.out, '\n')
	return nil
}

// decode reads the rows of b.body, whatever their form. When it returns nil
// they fit the plan.
func (s *Server) decode(p *plan, b *batch) *Problem {
	if b.media.tabular() {
		if problem := s.decodeTable(p, b); problem != nil {
			return problem
		}
	} else if err := p.decode(b, s.o.Limits.Rows); err != nil {
		return s.undecoded(err)
	}
	return b.fits()
}

// fits is nil unless fields or names of rows were at fault.
func (b *batch) fits() *Problem {
	b.doubled()
	if len(b.faults) > 0 {
		return badFields(b.faults, b.omitted)
	}
	return nil
}

// undecoded is the answer to a body that could not be read to its end.
func (s *Server) undecoded(err error) *Problem {
	if errors.Is(err, errRows) {
		return tooManyRows(s.o.Limits.Rows)
	}
	return problem(http.StatusBadRequest, "invalid-json", "The body is not JSON", "Reading the body: %v.", err)
}

func tooManyRows(limit int) *Problem {
	return problem(http.StatusRequestEntityTooLarge, "too-many-rows", "Too many rows", "One request may have %d rows. Send the rows in several requests.", limit)
}

// doubled notes names that the client gave to two rows of one request.
func (b *batch) doubled() {
	if b.rows < 2 {
		return
	}
	var first map[string]int
	for i, id := range b.ids {
		if id == "" {
			continue
		}
		if first == nil {
			first = make(map[string]int, b.rows)
		}
		if j, ok := first[id]; ok {
			b.rows = i // the row that fault speaks of
			b.fault(idField, appendString(nil, id), "row %d has the same name", j)
			continue
		}
		first[id] = i
	}
	b.rows = len(b.ids)
}

// answer predicts the rows of b and has them logged. When it returns nil
// b.outputs and b.records hold what may be told.
func (s *Server) answer(ctx context.Context, v *live, b *batch) *Problem {
	begin, p := s.compute(v, b)
	if p != nil {
		return p
	}
	b.record(v, begin)
	if s.o.Log != nil && b.rows > 0 {
		if p := s.append(ctx, begin, func(ctx context.Context) error { return s.o.Log.Append(ctx, v.layout, b.records) }); p != nil {
			return p
		}
	}
	s.metrics.predictions.Add(float64(b.rows))
	s.shadow.take(v, b, begin)
	v.stats.observe(v, b)
	for _, yes := range b.repaired {
		if yes {
			s.metrics.repaired.Inc()
		}
	}
	for i := range b.records {
		r := &b.records[i]
		if r.Flags != 0 || v.nullable {
			s.metrics.unusual(v.plan.cols, r.Values)
		}
	}
	return nil
}

// compute fills b.outputs, and says when it began to.
func (s *Server) compute(v *live, b *batch) (begin time.Time, p *Problem) {
	begin = s.o.Now()
	err := v.predict(b)
	s.metrics.prediction.Observe(s.o.Now().Sub(begin).Seconds())
	if err == nil {
		return begin, nil
	}
	p = internalError("The model did not give a number for this request.")
	s.throttled(&s.badOutput, "the model gave no number", "id", p.ID, "err", err)
	return begin, p
}

// logDeadline is a time by which the log must have taken what requests of the
// same moment hand it. They share one, which costs them nothing.
type logDeadline struct {
	ctx    context.Context
	cancel context.CancelFunc // done by its time
	until  time.Time          // of the moment
}

// logMoment is how much longer than Limits.LogTimeout a request may wait.
const logMoment = 100 * time.Millisecond

// logTime ends Limits.LogTimeout from now, or up to a moment later.
func (s *Server) logTime(now time.Time) context.Context {
	d := s.logDeadline.Load()
	if d != nil && now.Before(d.until) && d.ctx.Err() == nil {
		return d.ctx
	}
	next := &logDeadline{until: now.Add(logMoment)}
	next.ctx, next.cancel = context.WithTimeout(context.Background(), s.o.Limits.LogTimeout+logMoment)
	if !s.logDeadline.CompareAndSwap(d, next) {
		next.cancel()
		return s.logDeadline.Load().ctx
	}
	return next.ctx
}

// append waits until a log has taken what write hands it.
func (s *Server) append(request context.Context, now time.Time, write func(context.Context) error) *Problem {
	err := write(s.logTime(now))
	switch {
	case err == nil:
		return nil
	case request.Err() != nil: // no fault of the log
		return problem(http.StatusBadRequest, "broken-request", "The request broke off", "The client left before its rows were logged.")
	}
	s.metrics.logFailures.Inc()
	s.throttled(&s.badLog, "a log cannot take what was sent; answering 503", "err", err,
		"hint", "check the disk: `df -h`, then `healml doctor`")
	p := problem(http.StatusServiceUnavailable, "not-logged", "The log cannot take the rows",
		"Nothing is answered that is not in the log first, and the log is not writable now. Send the request again.")
	p.retry = 5 * time.Second
	if errors.Is(err, predlog.ErrBusy) {
		p.retry = time.Second
	}
	return p
}

// record fills b.records and names the rows that the client did not name.
func (b *batch) record(v *live, at time.Time) {
	n, k := len(v.plan.cols), v.model.Template.Outputs()
	b.name(at)
	clear(b.records)
	b.records = b.records[:0]
	for i := range b.rows {
		raw := b.values[i*n : (i+1)*n]
		b.records = append(b.records, predlog.Record{
			ID: b.ids[i], At: at.UnixMicro(), Version: v.version,
			Values: raw, Texts: b.texts[i*n : (i+1)*n],
			Outputs: b.outputs[i*k : (i+1)*k],
			Flags:   uint32(b.flags(v, i)),
		})
	}
}

// flags are those of row i.
func (b *batch) flags(v *live, i int) model.Flag {
	n := len(v.plan.cols)
	f := v.model.Flags(b.values[i*n : (i+1)*n])
	if len(b.repaired) > 0 && b.repaired[i] {
		f |= model.Repaired
	}
	return f
}

const uuidLength = 36

// name gives each row without a name a UUID of version 7, which sorts by time.
func (b *batch) name(at time.Time) {
	unnamed := 0
	for _, id := range b.ids {
		if id == "" {
			unnamed++
		}
	}
	if unnamed == 0 {
		return
	}
	var id [16]byte
	ms := at.UnixMilli()
	for range unnamed {
		for k := range 6 {
			id[k] = byte(ms >> (40 - 8*k))
		}
		b.draw(id[6:])
		b.out = appendUUID(b.out, id[:], 7)
	}
	all := string(b.out) // one allocation for all names
	b.out = b.out[:0]
	for i, id := range b.ids {
		if id == "" {
			b.ids[i], all = all[:uuidLength], all[uuidLength:]
		}
	}
}

// draw fills dst with random bytes, of which some are kept in stock: asking for
// them costs more than they do.
func (b *batch) draw(dst []byte) {
	if len(b.random) < len(dst) {
		b.random = b.stock[:]
		rand.Read(b.random) // never fails
	}
	copy(dst, b.random)
	clear(b.random[:len(dst)]) // each is given away once
	b.random = b.random[len(dst):]
}
