package serve

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// route is one path. A request is let in by the checks that all routes share,
// and what became of it is counted under the route's pattern.
type route struct {
	s       *Server
	pattern string // the endpoint label
	scope   scope  // who may ask; a route that does not say so is refused at the start
	// One of these is set. A post gets the body and leaves its answer in
	// b.out; it runs only while fewer than Limits.InFlight others do.
	get  http.HandlerFunc
	post func(r *http.Request, b *batch) *Problem
	any  bool // whatever the method
	// tell answers with a problem; nil for a problem document.
	tell func(w http.ResponseWriter, p *Problem)

	ok      prometheus.Counter // of successes by the usual method
	latency prometheus.Observer
}

// handle adds a route for paths of a pattern, counted under label.
func (s *Server) handle(pattern, label string, r route) {
	if r.scope == undeclared {
		panic("serve: route " + pattern + " does not say who may ask")
	}
	r.s, r.pattern = s, label
	if r.tell == nil {
		r.tell = func(w http.ResponseWriter, p *Problem) { p.write(w) }
	}
	r.latency = s.metrics.latency.WithLabelValues(label)
	if !r.any {
		r.ok = s.metrics.requests.WithLabelValues(r.methods()[0], label, "200")
	}
	s.mux.Handle(pattern, &r)
}

func (rt *route) methods() []string {
	if rt.post != nil {
		return []string{http.MethodPost}
	}
	return []string{http.MethodGet, http.MethodHead}
}

// response remembers the status that was sent.
type response struct {
	http.ResponseWriter
	status int
	size   int    // bytes of the body
	holder string // of the token
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.size += len(b)
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (rt *route) ServeHTTP(hw http.ResponseWriter, r *http.Request) {
	s := rt.s
	w := s.responses.Get().(*response)
	*w = response{ResponseWriter: hw}
	begin := s.o.Now()
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			rt.panicked(w, r, v)
		}
		took := s.o.Now().Sub(begin)
		rt.count(r, w.status, took)
		if s.o.AccessLog {
			rt.note(r, w, took)
		}
		*w = response{}
		s.responses.Put(w)
	}()
	if p := rt.admit(w, r); p != nil {
		rt.tell(w, p)
		return
	}
	if rt.post == nil {
		rt.get(w, r)
		return
	}
	rt.serve(w, r)
}

func (rt *route) count(r *http.Request, status int, took time.Duration) {
	if id, sampled := traceOf(r.Header); sampled {
		rt.latency.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": id})
	} else {
		rt.latency.Observe(took.Seconds())
	}
	if status == http.StatusOK && rt.ok != nil && (r.Method == http.MethodPost) == (rt.post != nil) && r.Method != http.MethodHead {
		rt.ok.Inc()
		return
	}
	rt.s.metrics.requests.WithLabelValues(methodLabel(r.Method), rt.pattern, statusLabel(status)).Inc()
}

// note writes a line about a request to the server's own log. It tells nothing
// of what was sent or answered: rows may be private.
func (rt *route) note(r *http.Request, w *response, took time.Duration) {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr // of a Unix socket
	}
	args := []any{"method", methodLabel(r.Method), "endpoint", rt.pattern, "status", w.status, "took", took, "bytes_in", max(r.ContentLength, 0), "bytes_out", w.size, "client", client}
	if w.holder != "" {
		args = append(args, "token", w.holder)
	}
	if id, _ := traceOf(r.Header); id != "" {
		args = append(args, "trace_id", id)
	}
	rt.s.o.Logger.Info("request", args...)
}

// panicked answers a request whose handler panicked and logs what is needed
// to find out why.
func (rt *route) panicked(w *response, r *http.Request, v any) {
	rt.s.metrics.panics.Inc()
	p := internalError("The server met an error of its own on this request and goes on.")
	rt.s.o.Logger.Error("a request panicked", "id", p.ID, "endpoint", rt.pattern, "trace_id", first(traceOf(r.Header)), "panic", v, "stack", string(debug.Stack()))
	if w.status == 0 {
		clear(w.Header())
		rt.tell(w, p)
	}
}

// internalError is an answer that can be found in the server's log by its id.
func internalError(detail string) *Problem {
	p := problem(http.StatusInternalServerError, "internal", "Internal error", "%s Its log holds more under the id in \"instance\".", detail)
	var id [16]byte
	rand.Read(id[:]) // never fails
	p.ID = "urn:uuid:" + string(appendUUID(nil, id[:], 4))
	return p
}

// admit refuses what no route takes.
func (rt *route) admit(w *response, r *http.Request) *Problem {
	s := rt.s
	if len(s.o.Hosts) > 0 && !slices.Contains(s.o.Hosts, hostname(r.Host)) {
		return problem(http.StatusMisdirectedRequest, "unknown-host", "Unknown host", "This server does not answer for the host %q.", shorten(r.Host))
	}
	if err := s.origins.Check(r); err != nil {
		return problem(http.StatusForbidden, "cross-origin", "Cross-origin request refused", "A browser sent this on behalf of another site, which is not among the trusted origins.")
	}
	var p *Problem
	if w.holder, p = s.authorize(rt.scope, r.Header); p != nil {
		return p
	}
	if m := rt.methods(); !rt.any && !slices.Contains(m, r.Method) {
		p := problem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", "%s takes %s.", rt.pattern, strings.Join(m, " and "))
		p.allow = strings.Join(m, ", ")
		return p
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		p := problem(http.StatusUnsupportedMediaType, "unsupported-encoding", "Content-Encoding refused", "The body is encoded as %q; send it as plain JSON.", shorten(e))
		p.close = true
		return p
	}
	return nil
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// serve reads the body, waits for nobody, and answers.
func (rt *route) serve(w *response, r *http.Request) {
	s := rt.s
	b := s.batches.Get().(*batch)
	b.media = mediaOf(r.Header)
	b.answer = answerTo(r.Header, b.media)
	if b.media.tabular() {
		select {
		case s.bulk <- struct{}{}:
			defer func() { <-s.bulk }()
		default:
			rt.tell(w, s.busy())
			return
		}
	}
	p := rt.readAndWork(r, b)
	if p != nil {
		rt.tell(w, p)
	} else {
		w.Header()["Content-Type"] = mediaTypes[b.answer] // nobody keeps the answer to a POST
		w.Write(b.out)                                    //nolint:errcheck // the client is gone: nobody to tell
	}
	if cap(b.body)+cap(b.out) <= keptBytes {
		s.batches.Put(b)
	}
}

// readAndWork reads the body and runs the handler. A large body is refused unread
// while too much of such is held, so that many clients that send slowly cost no
// more memory than Limits.HeldBytes and little traffic goes on.
func (rt *route) readAndWork(r *http.Request, b *batch) *Problem {
	s := rt.s
	size := r.ContentLength
	if size < 0 {
		size = int64(s.o.Limits.BodyBytes)
	}
	if size > largeBody && !b.media.tabular() && size <= int64(s.o.Limits.BodyBytes) {
		defer s.held.Add(-size)
		if s.held.Add(size) > s.o.Limits.HeldBytes {
			return s.busy()
		}
	}
	if size > heavyBody && s.inFlight.Load() > 0 && s.working.Load()+size > s.o.Limits.WorkBytes {
		return s.busy() // it would be refused once it is read, too
	}
	if p := s.read(b, r); p != nil {
		return p
	}
	return rt.work(r, b)
}

// largeBody is what a body may have without being counted among those held.
const largeBody = 64 << 10

// keptBytes is how large the memory of a request may be to be used again.
const keptBytes = 4 << 20

// busy sheds a request.
func (s *Server) busy() *Problem {
	s.metrics.shed.Inc()
	p := problem(http.StatusServiceUnavailable, "overloaded", "Too much is in flight", "The server works on as much as it can already; try again.")
	p.retry = time.Second
	return p
}

// work runs the handler unless too much is worked on already, and gives its place
// back even when it panics. Bytes are counted beside requests: of small requests
// many wait for the log together, while of large ones a few keep all cores busy
// and more would only wait for one another.
func (rt *route) work(r *http.Request, b *batch) *Problem {
	s, size := rt.s, int64(len(b.body))
	defer func() {
		s.inFlight.Add(-1)
		s.working.Add(-size)
	}()
	n, bytes := s.inFlight.Add(1), s.working.Add(size)
	if n > int64(s.o.Limits.InFlight) || n > 1 && bytes > s.o.Limits.WorkBytes {
		return s.busy()
	}
	if size > heavyBody {
		// In turn, a few at a time: side by side they would all be late.
		s.heavy <- struct{}{}
		defer func() { <-s.heavy }()
	}
	return rt.post(r, b)
}

// heavyBody is what a body may have to be worked on without waiting in turn.
const heavyBody = 16 << 10

// read fills b.body.
func (s *Server) read(b *batch, r *http.Request) *Problem {
	limit := s.o.Limits.BodyBytes
	if b.media.tabular() {
		limit = s.o.Limits.BulkBytes
	}
	b.body = b.body[:0]
	if r.ContentLength > int64(limit) {
		return tooLarge(limit)
	}
	for {
		if len(b.body) == cap(b.body) {
			b.body = append(b.body, 0)[:len(b.body)]
		}
		n, err := r.Body.Read(b.body[len(b.body):cap(b.body)])
		b.body = b.body[:len(b.body)+n]
		switch {
		case len(b.body) > limit:
			return tooLarge(limit)
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			p := problem(http.StatusRequestTimeout, "slow-request", "The request took too long", "The body did not arrive within %v.", s.o.Limits.ReadTimeout)
			p.close = true
			return p
		case err != nil:
			p := problem(http.StatusBadRequest, "broken-request", "The request broke off", "Reading the body: %v.", err)
			p.close = true
			return p
		}
	}
}

func tooLarge(limit int) *Problem {
	p := problem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large", "The body may have %d bytes. Send the rows in several requests.", limit)
	p.close = true
	return p
}

// appendUUID appends the 16 bytes id as a UUID of the given version (RFC
// 9562), setting its version and variant bits.
func appendUUID(b, id []byte, version byte) []byte {
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[:n])
		id = id[n:]
	}
	return b
}

// throttle lets one message of a kind through per interval and counts those
// that it held back.
type throttle struct {
	mu   sync.Mutex
	next time.Time
	held int
}

const throttleInterval = 10 * time.Second

// throttled logs msg unless one went through t within the interval.
func (s *Server) throttled(t *throttle, msg string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := s.o.Now()
	if now.Before(t.next) {
		t.held++
		return
	}
	s.o.Logger.Error(msg, append(args, "held_back_before", t.held)...)
	t.next, t.held = now.Add(throttleInterval), 0
}
