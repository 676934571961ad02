package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(url string) Options {
	return Options{URL: url, Body: []byte("{}"), Header: http.Header{"X-Test": {"1"}}, Connections: 4, Rate: 200, Duration: 500 * time.Millisecond, Timeout: 5 * time.Second, Now: time.Now}
}

func TestRun(t *testing.T) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || string(b) != "{}" || r.Header.Get("X-Test") != "1" || r.Method != "POST" {
			t.Errorf("%s %q %v", r.Method, b, err)
		}
		if n.Add(1)%10 == 0 {
			w.WriteHeader(503)
		}
	}))
	defer s.Close()
	r, err := Run(t.Context(), options(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != n.Load() || r.Requests+r.Unsent != 100 || r.Statuses["503"] != r.Requests/10 || r.Failed() != r.Statuses["503"] || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P999 {
		t.Errorf("%+v", r)
	}
}

// TestAStandstillIsCharged has a server that stands still once: every request
// that was due meanwhile waited, though only one of them was sent.
func TestAStandstillIsCharged(t *testing.T) {
	var once atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if once.CompareAndSwap(false, true) {
			time.Sleep(400 * time.Millisecond)
		}
	}))
	defer s.Close()
	o := options(s.URL)
	o.Connections = 1
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Latency.P50 < 100 || r.Service.P50 > 100 {
		t.Errorf("the standstill of 400 ms shows as %v ms from when requests were due, %v ms from when they were sent", r.Latency.P50, r.Service.P50)
	}
}

func TestRunWithoutAServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	r, err := Run(t.Context(), options(s.URL))
	if err != nil || r.Requests != 0 || r.Errors["connection refused"] == 0 || r.Latency.Max != 0 {
		t.Errorf("%+v %v", r, err)
	}
	for _, bad := range []func(*Options){func(o *Options) { o.Connections = 0 }, func(o *Options) { o.Rate = -1 }, func(o *Options) { o.Duration = 0 }, func(o *Options) { o.URL = ":" }} {
		o := options(s.URL)
		bad(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("took %+v", o)
		}
	}
}

func TestRunIsStopped(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	for _, rate := range []float64{0, 100} {
		o := options(s.URL)
		o.Duration, o.Rate = time.Hour, rate
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		r, err := Run(ctx, o)
		stop()
		if err != nil || r.Requests == 0 || time.Since(begin) > 10*time.Second {
			t.Errorf("rate %v: %+v %v", rate, r, err)
		}
	}
}
