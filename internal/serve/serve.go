// Package serve answers predictions over HTTP from one model that it swaps,
// without dropping a request, whenever the registry's pointer moves.
//
// A request goes one way through the package:
//
//	bytes ─► lexer ─► plan ─► raw rows ─► model ─► log ─► answer
//	        (JSON)   (template)                  (durable)
//
// Three promises hold it together:
//
//   - An answered prediction is in the log. Rows are handed to the [Sink] and
//     the answer is written only after it says that they are durable; when it
//     cannot, the answer is 503 and nothing was predicted as far as the client
//     knows.
//   - A request finishes on the model that it began with. All that belongs to
//     a version (the model, its plan, its log layout, its OpenAPI document) is
//     one immutable value behind one atomic pointer.
//   - A model must prove itself before it answers anyone: its files verified
//     by the [ModelSource], its template checked against what clients send
//     today, its golden rows decoded and predicted by the very code that
//     serves. A failure keeps the old model, is counted, and says why.
//
// The package owns the interfaces it works against and imports neither the
// registry nor the writer of the log. It starts goroutines only in
// [Server.Run], which waits for all of them. It never reads the clock:
// [Options].Now is injected.
//
// The routes, answers and metrics are described in docs/api.md.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"time"

	"github.com/healml/healml/internal/access"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/table"
)

// ModelSource is where models come from. Its methods are called by one
// goroutine at a time.
type ModelSource interface {
	// Current names the version that should serve. It is called every
	// [Options].Poll and must be cheap. "" without an error means that no
	// version was ever promoted.
	Current() (version string, err error)
	// Load reads a version and verifies every byte of it.
	Load(version string) (*Candidate, error)
	// Fallbacks names versions to serve, best first, when there is no model
	// in memory and the current one cannot be loaded.
	Fallbacks() []string
}

// Candidate is a version that was loaded and has yet to prove itself.
type Candidate struct {
	Model *model.Model
	// Golden holds rows by the template's column names, with the predictions
	// that the version gave for them when it was made, in the columns of
	// [model.Predictions.Columns]. Nil when the version has none.
	Golden *table.Table
}

// Sink is the log of predictions. It is safe for concurrent use.
type Sink interface {
	// Append returns nil only when every record is durable. It does not look
	// at recs after it returned, whatever it returned. An error that matches
	// predlog.ErrBusy means: later.
	Append(ctx context.Context, l *predlog.Layout, recs []predlog.Record) error
	// Healthy reports, without writing a record, why Append would fail.
	Healthy() error
}

// ActualsSink is the log of ground truth, with the promise of [Sink].
type ActualsSink interface {
	Append(ctx context.Context, actuals []predlog.Actual) error
}

// Limits bound what clients can ask of the server. Zero means the default.
type Limits struct {
	HeaderTimeout time.Duration // to read the headers; 5 s
	ReadTimeout   time.Duration // to read a request; 10 s
	WriteTimeout  time.Duration // from the end of the headers to the end of the answer; 15 s
	IdleTimeout   time.Duration // of a connection between requests; 60 s
	LogTimeout    time.Duration // to wait until the log is durable; 5 s
	HeaderBytes   int           // 16 KiB
	BodyBytes     int           // 1 MiB
	Rows          int           // of one request; 1000
	BulkBytes     int           // BodyBytes of requests in CSV or Arrow; 16 MiB
	BulkRows      int           // Rows of those; 100,000
	Bulk          int           // those worked on at once; two a core
	InFlight      int           // requests worked on at once; 512. More are shed, not queued
	WorkBytes     int64         // of the bodies that are worked on at once; 2 MiB a core. One is always taken
	HeldBytes     int64         // of the large bodies that are read or worked on; 64 MiB
	Connections   int           // open at once; 1024. More wait in the kernel's queue
}

func (l Limits) withDefaults() Limits {
	set(&l.HeaderTimeout, 5*time.Second)
	set(&l.ReadTimeout, 10*time.Second)
	set(&l.WriteTimeout, 15*time.Second)
	set(&l.IdleTimeout, 60*time.Second)
	set(&l.LogTimeout, 5*time.Second)
	set(&l.HeaderBytes, 16<<10)
	set(&l.BodyBytes, 1<<20)
	set(&l.Rows, 1000)
	set(&l.BulkBytes, 16<<20)
	set(&l.BulkRows, 100_000)
	set(&l.Bulk, 2*runtime.GOMAXPROCS(0))
	set(&l.InFlight, 512)
	set(&l.WorkBytes, int64(runtime.GOMAXPROCS(0))<<21)
	set(&l.HeldBytes, 64<<20)
	set(&l.Connections, 1024)
	return l
}

func set[T comparable](v *T, byDefault T) {
	var zero T
	if *v == zero {
		*v = byDefault
	}
}

// Options configure a [Server].
type Options struct {
	Models ModelSource      // required
	Now    func() time.Time // required: the clock
	// Log takes the predictions. Nil serves without a log; /health says so.
	Log Sink
	// Actuals takes ground truth. Nil answers /actuals with 503.
	Actuals ActualsSink
	// Keyed takes ground truth of rows that are known by columns instead of an
	// id, as records of a layout of its own. Nil refuses it.
	Keyed Sink
	// Logger takes the server's own log. Nil discards it.
	Logger *slog.Logger
	// Extras are columns that requests may carry beside those of the model,
	// for the log.
	Extras []predlog.Extra
	// Lenient takes numbers in strings ("1000") and ignores unknown fields.
	Lenient bool
	// Poll is how often the pointer is read; 1 s when zero, never when
	// negative.
	Poll   time.Duration
	Limits Limits
	// Hosts are the names that a request's Host header may carry, without
	// port. Empty takes any. A list protects against DNS rebinding.
	Hosts []string
	// Origins are the origins of pages on other sites whose scripts may
	// post, such as "https://dash.example.com". Browsers that run any other
	// are refused.
	Origins []string
	// Tokens, unless nil, are looked for in the Authorization header of all but
	// the probes, see docs/api.md. They are followed every Poll.
	Tokens *access.File
	// Certificates, unless nil, make the server speak TLS. They are followed
	// every Poll.
	Certificates *access.Certificates
	// AccessLog writes a line about each request to Logger.
	AccessLog bool
	// DrainDelay is how long the server goes on accepting after it became
	// unready, so that a load balancer sees it; none when zero.
	DrainDelay time.Duration
	// DrainTimeout bounds the wait for requests in flight; 10 s when zero.
	DrainTimeout time.Duration
	// Supervisor is told about readiness and life; see [SupervisorFromEnv].
	Supervisor Supervisor
	// LogStats and Surroundings are read at each scrape, and SyncTimes shown;
	// nil leaves their metrics out.
	LogStats     func() LogStats
	SyncTimes    *SyncTimes
	Surroundings func() Surroundings
	// Repairs are the steps that undo what is broken about the feed; read every
	// Poll, so it must be cheap. Nil: nothing is undone.
	Repairs func() ([]repair.Step, error)
	// ModelName is the model's name in the Open Inference Protocol; the target
	// when empty.
	ModelName string
	// Shadow names the version that should be scored in shadow, "" for none; read
	// every Poll, so it must be cheap. Nil: there is never one. ShadowLog takes its
	// predictions; nil logs none.
	Shadow    func() (version string, err error)
	ShadowLog Sink
	// Build is the version of the program, as shown in /health.
	Build string
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Models == nil:
		return o, errors.New("serve: Options.Models is nil")
	case o.Now == nil:
		return o, errors.New("serve: Options.Now is nil")
	}
	for _, origin := range o.Origins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Path != "" {
			return o, fmt.Errorf("serve: origin %q is not of the form https://host[:port]", origin)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	set(&o.Poll, time.Second)
	set(&o.DrainTimeout, 10*time.Second)
	o.Limits = o.Limits.withDefaults()
	return o, nil
}
