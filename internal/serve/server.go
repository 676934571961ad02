package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers predictions. Make one with [New].
type Server struct {
	o         Options
	holder    holder
	keys      keys
	shadow    shadow
	metrics   *metrics
	mux       *http.ServeMux
	origins   *http.CrossOriginProtection
	inFlight  atomic.Int64  // requests worked on
	working   atomic.Int64  // bytes of their bodies
	held      atomic.Int64  // bytes of large bodies that are read or worked on
	heavy     chan struct{} // requests with many rows that have their turn
	bulk      chan struct{} // those of them that hold a table
	batches   sync.Pool     // *batch
	responses sync.Pool     // *response
	draining  atomic.Bool
	started   time.Time
	bare      []byte // the OpenAPI document without a model

	logDeadline atomic.Pointer[logDeadline]

	badLog, badOutput, badProbe throttle
}

// New prepares a server. It loads no model: that is the first thing that
// [Server.Run] does, or [Server.Reload].
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, metrics: newMetrics(), mux: http.NewServeMux(), started: o.Now()}
	s.holder = holder{source: o.Models, lenient: o.Lenient, extras: o.Extras, about: about{o.ModelName, o.Tokens != nil}, now: o.Now, log: o.Logger, metrics: s.metrics, repairs: o.Repairs}
	s.keys = keys{tokens: o.Tokens, certificates: o.Certificates, log: o.Logger}
	s.origins = http.NewCrossOriginProtection()
	for _, origin := range o.Origins {
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("serve: %w", err)
		}
	}
	if s.bare, err = openAPI(nil, nil, nil, "", s.holder.about); err != nil {
		return nil, err
	}
	s.shadow.s, s.shadow.queue = s, make(chan *shadowRows, shadowQueue+o.Limits.InFlight)
	s.shadow.spare.New = func() any { return new(shadowRows) }
	s.heavy = make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	s.bulk = make(chan struct{}, o.Limits.Bulk)
	s.batches.New = func() any { return new(batch) }
	s.responses.New = func() any { return new(response) }
	s.metrics.registry.MustRegister(gauges{s})
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	s.handle("/predict", "/predict", route{scope: predicting, post: s.predict})
	s.handle("/explain", "/explain", route{scope: predicting, post: s.explain})
	s.handle("/invocations", "/invocations", route{scope: predicting, post: s.invocations, tell: tellMLflow})
	s.handle("/ping", "/ping", route{scope: anyone, get: s.ping})
	s.handle("/version", "/version", route{scope: anyone, get: s.versionText})
	s.inferenceRoutes()
	s.handle("/actuals", "/actuals", route{scope: telling, post: s.receive})
	s.handle("/health", "/health", route{scope: anyone, get: s.health})
	s.handle("/ready", "/ready", route{scope: anyone, get: s.ready})
	s.handle("/metrics", "/metrics", route{scope: operating, get: s.metrics.handler().ServeHTTP})
	s.handle("/openapi.json", "/openapi.json", route{scope: predicting, get: s.openAPI})
	s.handle("/docs", "/docs", route{scope: anyone, get: s.docs})
	s.handle("/{$}", "/", route{scope: anyone, get: s.index})
	s.handle("/", "unmatched", route{scope: anyone, get: notFound, any: true})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem(http.StatusNotFound, "not-found", "No such route", "Nothing answers at %q; GET /openapi.json lists the routes.", shorten(r.URL.Path)).write(w)
}

// Handler is the server without its listener and limits on connections, as
// for tests.
func (s *Server) Handler() http.Handler { return s.mux }

// Reload brings the model in line with the registry's pointer at once, and
// takes a version even when it reads other columns than the one that serves.
// The error says why the old model was kept.
func (s *Server) Reload() error {
	s.o.Supervisor.reloading()
	defer s.o.Supervisor.ready(s.status)
	s.keys.follow()
	defer s.shadow.follow()
	return s.holder.check(true)
}

// Run loads the model and serves on ln until ctx is done. Then it becomes
// unready, waits [Options].DrainDelay, stops accepting, lets requests in
// flight finish for up to [Options].DrainTimeout, and returns when all its
// goroutines have ended. What was answered is in the log by then; closing the
// log is up to its owner. The error is nil after a clean drain; otherwise the
// connections of requests that were too slow were closed. Run is called once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	if err := s.holder.check(true); err != nil && s.holder.live.Load() == nil {
		s.o.Logger.Error("starting without a model; predictions are answered with 503 until one can be loaded")
	}
	s.shadow.follow()
	l := s.o.Limits
	hs := &http.Server{
		Handler:           s.mux,
		ReadHeaderTimeout: l.HeaderTimeout,
		ReadTimeout:       l.ReadTimeout,
		WriteTimeout:      l.WriteTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    l.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	var tasks sync.WaitGroup
	background, stop := context.WithCancel(context.Background())
	defer tasks.Wait()
	defer stop()
	if s.o.Poll > 0 {
		tasks.Go(func() {
			every(background, s.o.Poll, func() {
				s.holder.check(false) //nolint:errcheck // kept and logged by check
				s.keys.follow()
				s.shadow.follow()
			})
		})
	}
	if s.o.Shadow != nil {
		tasks.Go(func() { s.shadow.run(background) })
	}
	if pause := s.o.Supervisor.Watchdog; pause > 0 {
		tasks.Go(func() { every(background, pause/3, s.alive) })
	}
	served := make(chan error, 1)
	serve := hs.Serve
	if c := s.o.Certificates; c != nil {
		hs.TLSConfig = c.Config()
		serve = func(ln net.Listener) error { return hs.ServeTLS(ln, "", "") }
	}
	limited := limitConnections(ln, l.Connections)
	tasks.Go(func() { served <- serve(limited) })
	s.warnOpen(ln.Addr())
	s.o.Logger.Info("serving", "address", ln.Addr().String(), "version", s.holder.version(), "logging", s.o.Log != nil)
	s.o.Supervisor.ready(s.status)

	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", ln.Addr(), errors.Join(err, hs.Close()))
	case <-ctx.Done():
	}
	return s.drain(hs, limited)
}

// drain answers whoever was let in, and ends. Package http's own Shutdown drops a
// request that it reads after it began; so first nobody else is let in, every
// connection is closed behind its answer, and Shutdown finds none.
func (s *Server) drain(hs *http.Server, ln *limitedListener) error {
	s.draining.Store(true)
	s.o.Supervisor.notify("STOPPING=1\nSTATUS=draining")
	s.o.Logger.Info("draining", "delay", s.o.DrainDelay, "timeout", s.o.DrainTimeout)
	time.Sleep(s.o.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	if err := ln.Close(); err != nil { // of a socket that systemd holds this is one end only
		s.o.Logger.Warn("close the listener", "err", err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		hs.SetKeepAlivesEnabled(false) // closes those that are idle by now
		if ln.open() == 0 || ctx.Err() != nil {
			break
		}
		time.Sleep(pause)
	}
	if err := hs.Shutdown(ctx); err != nil {
		return fmt.Errorf("drain: requests were still in flight after %v: %w", s.o.DrainTimeout, errors.Join(err, hs.Close()))
	}
	s.o.Logger.Info("drained")
	return nil
}

// every calls f at each interval until ctx is done.
func every(ctx context.Context, interval time.Duration, f func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f()
		}
	}
}

// alive tells the supervisor that the server works, if it does: a row was
// predicted and the log says that it can write.
func (s *Server) alive() {
	err := s.holder.probe()
	if errors.Is(err, errNoModel) {
		err = nil // a restart would not bring one
	}
	if err == nil && s.o.Log != nil {
		err = s.o.Log.Healthy()
	}
	if err != nil {
		s.throttled(&s.badProbe, "the probe failed; the supervisor is not told that the server lives", "err", err)
		return
	}
	s.o.Supervisor.notify("WATCHDOG=1\nSTATUS=" + s.status())
}
