// Package load asks a server for the same thing again and again and says how
// long it took: a small load generator that does not flatter.
//
// With a rate, requests have times at which they are due, whatever became of
// those before them, and latency counts from then on. A server that stands
// still for a second is thus charged with the wait of every request that was
// due in it, which a generator that waits for each answer never sends
// (Tene's coordinated omission).
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Options say what to ask, how often and for how long.
type Options struct {
	URL         string
	Body        []byte
	Header      http.Header
	Connections int           // at most so many requests at once, ≥ 1
	Rate        float64       // requests a second that are due; 0: each when the one before it was answered
	Duration    time.Duration // of sending; what is in flight then is waited for
	Timeout     time.Duration // of one request
	Client      *http.Client  // nil: one of its own
	Now         func() time.Time
	// Progress is told the requests answered so far, now and then; may be nil.
	Progress func(answered int64)
}

// Result is what came of it.
type Result struct {
	URL         string  `json:"url"`
	Connections int     `json:"connections"`
	Asked       float64 `json:"rate_asked"` // 0: as fast as answers came
	Seconds     float64 `json:"seconds"`
	Requests    int64   `json:"requests"` // answered, whatever the status
	Rate        float64 `json:"rate"`
	// Statuses are the answers by HTTP status, Errors what got none, by kind.
	Statuses map[string]int64 `json:"statuses"`
	Errors   map[string]int64 `json:"errors"`
	// Latency counts from when a request was due, Service from when it was sent;
	// without a rate they are the same. Both are of answers of 2xx alone.
	Latency Quantiles `json:"latency_ms"`
	Service Quantiles `json:"service_ms"`
	// Unsent are the requests that were due and never sent, because all
	// connections were waiting.
	Unsent int64 `json:"unsent"`
}

// Quantiles are in milliseconds; 0 without an answer.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Failed is how many requests had no answer of 2xx.
func (r *Result) Failed() int64 {
	failed := int64(0)
	for status, n := range r.Statuses {
		if status[0] != '2' {
			failed += n
		}
	}
	for _, n := range r.Errors {
		failed += n
	}
	return failed
}

// tally is what one connection saw.
type tally struct {
	latency, service *hdrhistogram.Histogram
	statuses         map[string]int64
	errors           map[string]int64
}

func newTally() *tally {
	// From a microsecond to an hour, to three digits.
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, time.Hour.Microseconds(), 3) }
	return &tally{h(), h(), map[string]int64{}, map[string]int64{}}
}

// Run asks until the duration is over or ctx is done.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Connections < 1 || o.Duration <= 0 || o.Rate < 0 {
		return nil, errors.New("load: connections must be at least 1, the duration more than 0, and the rate not less than 0")
	}
	if _, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL, nil); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	client := o.Client
	if client == nil {
		t := &http.Transport{MaxConnsPerHost: o.Connections, MaxIdleConnsPerHost: o.Connections, DisableCompression: true, ForceAttemptHTTP2: false}
		defer t.CloseIdleConnections()
		client = &http.Client{Transport: t, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	sending, stop := context.WithTimeout(ctx, o.Duration)
	defer stop()
	var next, answered atomic.Int64
	start := o.Now()
	tallies := make([]*tally, o.Connections)
	var all sync.WaitGroup
	for i := range tallies {
		tallies[i] = newTally()
		all.Go(func() {
			for {
				due, ok := o.due(sending, start, &next)
				if !ok {
					return
				}
				tallies[i].ask(ctx, client, &o, due)
				if n := answered.Add(1); n%4096 == 0 && o.Progress != nil {
					o.Progress(n)
				}
			}
		})
	}
	all.Wait()
	r := &Result{URL: o.URL, Connections: o.Connections, Asked: o.Rate, Seconds: o.Now().Sub(start).Seconds(), Statuses: map[string]int64{}, Errors: map[string]int64{}}
	r.add(tallies)
	if o.Rate > 0 {
		r.Unsent = max(0, int64(o.Rate*o.Duration.Seconds())-r.Requests-sum(r.Errors))
	}
	return r, nil
}

// due waits until the next request is, and says when that was; ok is false when
// it is not to be sent any more.
func (o *Options) due(ctx context.Context, start time.Time, next *atomic.Int64) (at time.Time, ok bool) {
	if o.Rate == 0 {
		return o.Now(), ctx.Err() == nil
	}
	after := time.Duration(float64(next.Add(1)-1) / o.Rate * float64(time.Second))
	if after >= o.Duration {
		return at, false
	}
	at = start.Add(after)
	if wait := at.Sub(o.Now()); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return at, false
		case <-t.C:
		}
	}
	return at, ctx.Err() == nil
}

// ask sends one request and notes what became of it.
func (t *tally) ask(ctx context.Context, client *http.Client, o *Options, due time.Time) {
	sent := o.Now()
	status, err := send(ctx, client, o)
	end := o.Now()
	if err != nil {
		t.errors[kindOf(err)]++
		return
	}
	t.statuses[fmt.Sprint(status)]++
	if status/100 != 2 {
		return // a refusal is quick, and would flatter
	}
	record(t.latency, end.Sub(due))
	record(t.service, end.Sub(sent))
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue())) // in range
}

func send(ctx context.Context, client *http.Client, o *Options) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL, bytes.NewReader(o.Body))
	if err != nil {
		return 0, err
	}
	req.Header = o.Header
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// kindOf is a few words for an error, so that there are few kinds.
func kindOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection broken"
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "no such host"
	}
	return "other"
}

func (r *Result) add(tallies []*tally) {
	all := newTally()
	for _, t := range tallies {
		all.latency.Merge(t.latency)
		all.service.Merge(t.service)
		for k, n := range t.statuses {
			r.Statuses[k] += n
		}
		for k, n := range t.errors {
			r.Errors[k] += n
		}
	}
	r.Requests = sum(r.Statuses)
	if r.Seconds > 0 {
		r.Rate = float64(r.Requests) / r.Seconds
	}
	r.Latency, r.Service = quantiles(all.latency), quantiles(all.service)
}

func sum(counts map[string]int64) int64 {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	return total
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Quantiles{ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9)), ms(h.Max())}
}
