package serve

import (
	"context"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
)

// The bounds of what a shadow may cost. It is scored by one goroutine, after the
// champion's answer, from a queue that is never waited for.
const (
	// shadowQueue is how many requests may wait to be scored.
	shadowQueue = 256
	// shadowWindow is how long rows are counted before it is decided whether the
	// shadow keeps up. When more than half were passed over it rests for
	// shadowRest: it would only take time from those who wait for answers.
	shadowWindow = 10 * time.Second
	shadowRest   = 5 * time.Minute
)

// shadow scores with a challenger what the champion answers. Only the champion
// answers; both predictions are logged, each in a log of its own.
type shadow struct {
	s          *Server
	challenger atomic.Pointer[live] // nil: none
	queue      chan *shadowRows
	spare      sync.Pool // *shadowRows

	following sync.Mutex
	failed    string // the version that could not be loaded
	retry     time.Time
	trouble   throttle

	mu            sync.Mutex // what follows
	until         time.Time  // of the window
	taken, passed int        // rows of it
	resting       time.Time  // until then no row is taken
}

// shadowRows are the rows of one request in the terms of the version that
// answered it.
type shadowRows struct {
	v      *live
	at     int64
	ids    []string
	values []float64
	texts  []string
}

// follow takes the challenger that should be in shadow.
func (sh *shadow) follow() {
	s := sh.s
	if s.o.Shadow == nil {
		return
	}
	sh.following.Lock()
	defer sh.following.Unlock()
	want, err := s.o.Shadow()
	now := s.o.Now()
	if err != nil {
		s.throttled(&sh.trouble, "what should be in shadow cannot be read", "err", err)
		return
	}
	old := sh.challenger.Load()
	switch {
	case want == "":
		if old != nil {
			sh.challenger.Store(nil)
			s.o.Logger.Info("nothing is in shadow any more", "was", old.version)
		}
	case old != nil && old.version == want, want == s.holder.version(), want == sh.failed && now.Before(sh.retry):
	default:
		s.holder.mu.Lock() // the source is asked by one at a time
		v, err := s.holder.load(want)
		s.holder.mu.Unlock()
		if err != nil {
			sh.failed, sh.retry = want, now.Add(lastRetry)
			s.o.Logger.Error("the challenger cannot be scored in shadow", "version", want, "err", err)
			return
		}
		sh.challenger.Store(v)
		s.o.Logger.Info("scoring in shadow", "version", want)
	}
}

// take hands on the rows of a request that was answered, if there is a
// challenger and time.
func (sh *shadow) take(v *live, b *batch, at time.Time) {
	c := sh.challenger.Load()
	if c == nil || c.version == v.version || b.rows == 0 {
		return
	}
	if !sh.admits(b.rows, at) {
		sh.s.metrics.shadowPassed.Add(float64(b.rows))
		return
	}
	n := len(v.plan.cols)
	r := sh.spare.Get().(*shadowRows)
	r.v, r.at = v, at.UnixMicro()
	r.ids, r.values, r.texts = append(r.ids[:0], b.ids...), append(r.values[:0], b.values[:b.rows*n]...), append(r.texts[:0], b.texts[:b.rows*n]...)
	if b.media.tabular() { // their texts are parts of the body
		for i, t := range r.texts {
			r.texts[i] = strings.Clone(t)
		}
		for i, t := range r.ids {
			r.ids[i] = strings.Clone(t)
		}
	}
	sh.queue <- r // admits kept a place
}

// admits says whether rows are scored, and keeps a place in the queue for them.
func (sh *shadow) admits(rows int, now time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if now.Before(sh.resting) {
		return false
	}
	if now.After(sh.until) {
		if sh.passed > sh.taken {
			sh.resting = now.Add(shadowRest)
			sh.s.o.Logger.Warn("scoring in shadow rests: the server is too busy", "rows", sh.taken, "passed_over", sh.passed, "for", shadowRest)
		}
		sh.until, sh.taken, sh.passed = now.Add(shadowWindow), 0, 0
		if now.Before(sh.resting) {
			return false
		}
	}
	// take sends outside of this lock, so room is left for all that could.
	if len(sh.queue)+sh.s.o.Limits.InFlight >= cap(sh.queue) || sh.s.inFlight.Load() > int64(8*runtime.GOMAXPROCS(0)) {
		sh.passed += rows
		return false
	}
	sh.taken += rows
	return true
}

// active says whether a challenger is scored.
func (sh *shadow) active(now time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.challenger.Load() != nil && !now.Before(sh.resting)
}

// run scores what is handed on until ctx is done.
func (sh *shadow) run(ctx context.Context) {
	var t translation
	var recs []predlog.Record
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-sh.queue:
			if c := sh.challenger.Load(); c != nil {
				begin := sh.s.o.Now()
				recs = sh.score(ctx, c, r, &t, recs)
				sh.s.metrics.shadowSeconds.Add(sh.s.o.Now().Sub(begin).Seconds())
			}
			r.v = nil
			sh.spare.Put(r)
		}
	}
}

// score predicts and logs the rows of a request.
func (sh *shadow) score(ctx context.Context, c *live, r *shadowRows, t *translation, recs []predlog.Record) []predlog.Record {
	t.between(r.v, c)
	n, k := len(r.v.plan.cols), c.model.Template.Outputs()
	outputs := make([]float64, len(r.ids)*k)
	recs = recs[:0]
	for i, id := range r.ids {
		row := t.row(r.values[i*n:(i+1)*n], r.texts[i*n:(i+1)*n])
		out := outputs[i*k : (i+1)*k]
		c.model.Predict(out, row)
		recs = append(recs, predlog.Record{ID: id, At: r.at, Version: c.version, Outputs: out, Flags: uint32(c.model.Flags(row))})
	}
	sh.s.metrics.shadowRows.Add(float64(len(recs)))
	if sh.s.o.ShadowLog == nil {
		return recs
	}
	ctx, cancel := context.WithTimeout(ctx, sh.s.o.Limits.LogTimeout)
	defer cancel()
	if err := sh.s.o.ShadowLog.Append(ctx, c.bare, recs); err != nil && ctx.Err() == nil {
		sh.s.throttled(&sh.trouble, "the predictions of the challenger cannot be logged", "err", err)
	}
	return recs
}

// translation puts rows of one version into the terms of another.
type translation struct {
	from, to *live
	at       []int // of each column of to, in from; −1: not there
	out      []float64
}

func (t *translation) between(from, to *live) {
	if t.from == from && t.to == to {
		return
	}
	t.from, t.to, t.at = from, to, t.at[:0]
	for _, c := range to.model.Template.Columns {
		at, ok := from.plan.index[c.Name]
		if !ok || at < 0 {
			at = -1
		}
		t.at = append(t.at, at)
	}
	t.out = make([]float64, len(t.at))
}

// row is valid until the next.
func (t *translation) row(values []float64, texts []string) []float64 {
	for i, at := range t.at {
		c := &t.to.model.Template.Columns[i]
		switch {
		case at < 0 || c.Kind == schema.Text:
			t.out[i] = math.NaN()
		case c.Kind == schema.Categorical && !math.IsNaN(values[at]) && t.from.plan.cols[at].Kind == schema.Categorical:
			t.out[i], _ = t.to.model.Encoder().Level(i, texts[at])
		default:
			t.out[i] = values[at]
		}
	}
	return t.out
}

// bareLayout logs predictions without the rows, which stand in the champion's
// log under the same names.
func bareLayout(m *model.Model) *predlog.Layout {
	t := m.Template
	return predlog.LayoutOf(&schema.Template{Task: t.Task, Target: t.Target, Classes: t.Classes})
}
