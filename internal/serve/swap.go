package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/repair"
)

// After a version failed to load it is tried again after firstRetry, and then
// after twice as long each time, up to lastRetry: its files may still be on
// their way.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 2 * time.Minute
)

// fault is why the version that serves is not the one that should. It is
// immutable.
type fault struct {
	version string // the one that should serve; "" when the pointer is unreadable
	message string
	retry   time.Time
	pause   time.Duration // that led to retry
}

// holder keeps the model that serves and replaces it.
type holder struct {
	source  ModelSource
	lenient bool
	extras  []predlog.Extra
	about   about
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics

	repairs func() ([]repair.Step, error) // nil: none

	mu    sync.Mutex // one check at a time
	steps []repair.Step
	blind bool // the last look at the repairs failed
	live  atomic.Pointer[live]
	fault atomic.Pointer[fault]
}

// check follows the repairs of the feed and brings the model in line with the
// pointer. A failure keeps the model in memory, or takes a fallback when there
// is none. Unless forced, a version that failed is left alone until its retry
// is due, and a version that would break the clients of the one that serves is
// refused.
func (h *holder) check(forced bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heed()
	want, err := h.source.Current()
	if err != nil {
		if !forced && h.waiting("") {
			return nil
		}
		err = fmt.Errorf("read the pointer to the current version: %w", err)
		return h.failed("", err)
	}
	old := h.live.Load()
	switch {
	case want == "" || old != nil && old.version == want:
		h.fault.Store(nil)
		return nil
	case !forced && h.waiting(want):
		return nil
	}
	next, err := h.load(want)
	if err == nil && old != nil {
		err = h.compare(old, next, forced)
	}
	if err != nil {
		return h.failed(want, fmt.Errorf("load version %s: %w", want, err))
	}
	h.take(next)
	h.fault.Store(nil)
	return nil
}

// waiting reports whether want failed before and is not due yet; "" stands for
// the pointer itself.
func (h *holder) waiting(want string) bool {
	f := h.fault.Load()
	return f != nil && f.version == want && h.now().Before(f.retry)
}

// load reads a version and lets it prove itself. A panic on the way is an
// error like any other.
func (h *holder) load(version string) (v *live, err error) {
	defer func() {
		if r := recover(); r != nil {
			h.log.Error("a version panicked while it was loaded", "version", version, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	c, err := h.source.Load(version)
	if err != nil {
		return nil, err
	}
	if c.Model.Version != version {
		return nil, fmt.Errorf("the version calls itself %s", c.Model.Version)
	}
	if err := c.Model.Template.Validate(); err != nil {
		return nil, err
	}
	return newLive(c, h.lenient, h.extras, h.about, h.now())
}

// compare refuses a version that clients of the old one cannot use, unless
// the operator asked for it.
func (h *holder) compare(old, next *live, forced bool) error {
	why := breaks(old.model.Template, next.model.Template)
	if why == nil {
		return nil
	}
	if forced {
		h.log.Warn("the new version takes other requests than the one that served", "from", old.version, "to", next.version, "changes", why)
		return nil
	}
	return fmt.Errorf("it would break clients of %s: %s; reload (SIGHUP) or restart the server to take it all the same",
		old.version, strings.Join(why, "; "))
}

// failed notes why want does not serve and finds a fallback when nothing does.
func (h *holder) failed(want string, err error) error {
	f := &fault{version: want, message: err.Error(), pause: firstRetry}
	last := h.fault.Load()
	if last != nil && last.version == want {
		f.pause = min(2*last.pause, lastRetry)
	}
	f.retry = h.now().Add(f.pause)
	h.fault.Store(f)
	h.metrics.swapFailures.Inc()
	if last == nil || last.message != f.message {
		h.log.Error("the current version cannot serve; keeping what serves", "serving", h.version(), "err", err,
			"hint", "see `healml models verify`, or promote another version")
	}
	if h.live.Load() == nil {
		h.fallBack(want)
	}
	return err
}

// fallBack takes the best fallback that proves itself.
func (h *holder) fallBack(except string) {
	for _, version := range h.source.Fallbacks() {
		if version == except {
			continue
		}
		v, err := h.load(version)
		if err == nil {
			h.take(v)
			return
		}
		h.log.Warn("a fallback cannot serve either", "version", version, "err", err)
	}
}

// heed follows the repairs of the feed, under the lock of check. While they
// cannot be read those in force stay.
func (h *holder) heed() {
	if h.repairs == nil {
		return
	}
	steps, err := h.repairs()
	if err != nil {
		if !h.blind {
			h.log.Error("the repairs of the feed cannot be read; those in force stay", "err", err)
		}
		h.blind = true
		return
	}
	h.blind = false
	if repair.Same(h.steps, steps) {
		return
	}
	h.steps = steps
	said := []string{}
	for i := range steps {
		said = append(said, steps[i].Words())
	}
	h.log.Warn("the repairs of the feed changed", "repairs", said)
	if v := h.live.Load(); v != nil {
		v.repairs.Store(repair.NewPlan(v.model.Encoder(), steps))
	}
}

// undone are the faults of the feed that the version that serves undoes.
func (h *holder) undone() []repair.Step {
	if v := h.live.Load(); v != nil {
		return v.repairs.Load().Steps()
	}
	return nil
}

func (h *holder) take(v *live) {
	v.repairs.Store(repair.NewPlan(v.model.Encoder(), h.steps))
	h.metrics.expose(v.plan.cols)
	old := h.live.Swap(v)
	if old != nil {
		h.metrics.swaps.Inc()
		h.log.Info("swapped the model", "from", old.version, "to", v.version)
		return
	}
	h.log.Info("loaded the model", "version", v.version)
}

// version names what serves, "" when nothing does.
func (h *holder) version() string {
	if v := h.live.Load(); v != nil {
		return v.version
	}
	return ""
}

var errNoModel = errors.New("no model is loaded")

// probe predicts a row, without a trace in the log.
func (h *holder) probe() error {
	v := h.live.Load()
	if v == nil {
		return errNoModel
	}
	var b batch
	return v.rehearse(&b, v.example)
}
