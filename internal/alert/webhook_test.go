package alert

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a server that answers as told, and keeps what it got.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
	paths  []string
}

func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.bodies, r.heads, r.paths = append(r.bodies, string(b)), append(r.heads, req.Header), append(r.paths, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

// times answers each status in turn, the last one for ever.
func times(codes ...int) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(codes[0])
		codes = codes[min(1, len(codes)-1):]
	}
}

func (r *receiver) hook(t *testing.T, path string) *Webhook {
	t.Helper()
	return hook(t, r.URL+path)
}

func hook(t *testing.T, address string) *Webhook {
	t.Helper()
	u, err := ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &Webhook{URL: u, Key: key, Timeout: 2 * time.Second, Total: 5 * time.Second, Clock: time.Now, Agent: "healml/test", Wait: time.Millisecond}
}

func message(t *testing.T, report string) Message {
	t.Helper()
	m, err := NewMessage(New(Event{Event: Drift, Verdict: "Drift: <1> & more.", ReportID: report, ModelVersion: "v1", Columns: drifted(2)}, noon))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWebhook: the document arrives as it is, and the reference implementation
// of Standard Webhooks takes its signature.
func TestWebhook(t *testing.T) {
	r := receive(t, times(204))
	m := message(t, "r1")
	if err := r.hook(t, "/in").Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if len(r.bodies) != 1 || r.bodies[0] != string(m.Body) || r.paths[0] != "POST /in" {
		t.Fatalf("%q at %q, expected %s", r.bodies, r.paths, m.Body)
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify([]byte(r.bodies[0]), r.heads[0]); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{"webhook-id": m.Event.ID, "Content-Type": "application/json", "User-Agent": "healml/test"} {
		if got := r.heads[0].Get(key); got != want {
			t.Errorf("%s: %q, expected %q", key, got, want)
		}
	}
}

func TestWebhookWithoutKey(t *testing.T) {
	r := receive(t, times(200))
	w := r.hook(t, "")
	w.Key = nil
	if err := w.Send(context.Background(), message(t, "r1")); err != nil {
		t.Fatal(err)
	}
	if _, signed := r.heads[0]["Webhook-Signature"]; signed || r.heads[0].Get("webhook-id") == "" {
		t.Errorf("headers %v", r.heads[0])
	}
}

// TestWebhookAnswers: how often it tries, and what it says.
func TestWebhookAnswers(t *testing.T) {
	for _, c := range []struct {
		codes  []int
		tries  int
		status int // 0: success
	}{
		{[]int{200}, 1, 0}, {[]int{202}, 1, 0}, {[]int{299}, 1, 0},
		{[]int{500, 502, 200}, 3, 0}, {[]int{408, 425, 429, 503, 200}, 5, 0},
		{[]int{500}, mostTries, 500}, {[]int{429}, mostTries, 429},
		{[]int{400}, 1, 400}, {[]int{401}, 1, 401}, {[]int{404}, 1, 404}, {[]int{410}, 1, 410}, {[]int{413}, 1, 413}, {[]int{500, 404}, 2, 404},
		{[]int{304}, 1, 304},
	} {
		r := receive(t, times(c.codes...))
		err := r.hook(t, "").Send(context.Background(), message(t, "r1"))
		if len(r.bodies) != c.tries {
			t.Errorf("%v: %d tries, expected %d", c.codes, len(r.bodies), c.tries)
		}
		var e *SendError
		if c.status == 0 {
			if err != nil {
				t.Errorf("%v: %v", c.codes, err)
			}
		} else if !errors.As(err, &e) || e.Status != c.status || e.Tries != c.tries {
			t.Errorf("%v: %v, expected a SendError of %d", c.codes, err, c.status)
		}
		for _, b := range r.bodies {
			if b != r.bodies[0] {
				t.Errorf("%v: tries differ", c.codes)
			}
		}
	}
}

// TestWebhookRetryAfter: a short wait is kept, a long one ends the run and is
// remembered.
func TestWebhookRetryAfter(t *testing.T) {
	var first time.Time
	var waited time.Duration
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return
		}
		waited = time.Since(first)
	})
	if err := r.hook(t, "").Send(context.Background(), message(t, "r1")); err != nil || waited < 900*time.Millisecond {
		t.Errorf("waited %v, %v", waited, err)
	}
	r = receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
	})
	start := time.Now()
	err := r.hook(t, "").Send(context.Background(), message(t, "r1"))
	var e *SendError
	if !errors.As(err, &e) || e.RetryAfter != time.Hour || e.Tries != 1 || time.Since(start) > 4*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "1.5": 0, "soon": 0, "86401": 24 * time.Hour,
		"9999999999999999999999": 24 * time.Hour, "9223372036854775807": 24 * time.Hour,
		noon.Add(time.Minute).Format(http.TimeFormat): time.Minute, noon.Add(-time.Minute).Format(http.TimeFormat): 0, noon.AddDate(9, 0, 0).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := retryAfter(value, noon); got != want {
			t.Errorf("%q: %v, expected %v", value, got, want)
		}
	}
}

// TestWebhookSlow: a server that accepts and never answers costs no more than
// the bounds, and each try no more than its own.
func TestWebhookSlow(t *testing.T) {
	release := make(chan struct{})
	r := receive(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	w := r.hook(t, "/?token=sesame")
	w.Timeout, w.Total = 200*time.Millisecond, 2*time.Second
	start := time.Now()
	err := w.Send(context.Background(), message(t, "r1"))
	if took := time.Since(start); err == nil || took > 5*time.Second || took < 200*time.Millisecond {
		t.Errorf("%v after %v", err, took)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.bodies); n < 2 {
		t.Errorf("%d tries in ten times the timeout", n)
	}
}

// TestWebhookSlowBody: headers at once and a body without end.
func TestWebhookSlowBody(t *testing.T) {
	r := receive(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(500)
		for req.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	w := r.hook(t, "")
	w.Total = 300 * time.Millisecond
	start := time.Now()
	var e *SendError
	if err := w.Send(context.Background(), message(t, "r1")); !errors.As(err, &e) || time.Since(start) > 6*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// TestWebhookDead: nobody listens, no such host, a server that hangs up: an
// error within the bounds, without the address.
func TestWebhookDead(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	rude, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := rude.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	defer wg.Wait()
	defer rude.Close()
	for _, host := range []string{dead, rude.Addr().String(), "no-such-host.invalid"} {
		w := hook(t, "http://bob:sesame@"+host+"/sesame-sesame?token=sesame")
		w.Total = 500 * time.Millisecond
		start := time.Now()
		err := w.Send(context.Background(), message(t, "r1"))
		var e *SendError
		if !errors.As(err, &e) || e.Status != 0 || e.Refused() || time.Since(start) > 8*time.Second {
			t.Errorf("%s: %v after %v", host, err, time.Since(start))
		}
		if strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "bob") || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: the error is %v", host, err)
		}
	}
}

// TestWebhookRedirects: to the same host by 307 and 308 with the document, and
// nowhere else.
func TestWebhookRedirects(t *testing.T) {
	other := receive(t, times(200))
	here := func(to string, code int) (*receiver, error) {
		var r *receiver
		r = receive(t, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/start" {
				target := to
				if strings.HasPrefix(to, "/") {
					target = r.URL + to
				}
				w.Header().Set("Location", target)
				w.WriteHeader(code)
				return
			}
			if req.URL.Path == "/loop" {
				http.Redirect(w, req, "/loop", code)
			}
		})
		return r, r.hook(t, "/start").Send(context.Background(), message(t, "r1"))
	}
	for _, code := range []int{307, 308} {
		r, err := here("/end", code)
		if err != nil || len(r.bodies) != 2 || r.bodies[1] != r.bodies[0] || r.paths[1] != "POST /end" {
			t.Errorf("%d: %v, %q", code, err, r.paths)
		}
	}
	for _, code := range []int{301, 302, 303} {
		if r, err := here("/end", code); err == nil || len(r.bodies) != 1 {
			t.Errorf("%d to the same host would lose the document: %v, %q", code, err, r.paths)
		}
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		r, err := here(other.URL+"/end", code)
		var e *SendError
		if !errors.As(err, &e) || e.Status != code || !e.Refused() || len(r.bodies) != 1 {
			t.Errorf("%d to another host: %v, %q", code, err, r.paths)
		}
	}
	if len(other.bodies) > 0 {
		t.Errorf("another host got %q", other.bodies)
	}
	if r, err := here("/loop", 307); err == nil || len(r.bodies) > mostRedirect+1 {
		t.Errorf("a loop: %v after %d", err, len(r.bodies))
	}
}

// TestWebhookTells: an answer is shown, unless it holds what is secret.
func TestWebhookTells(t *testing.T) {
	for answer, shown := range map[string]bool{
		"invalid_payload": true, "no\nsuch  hook": true,
		"no hook at /services/B0sesame!": false, "token=sesame-2": false, "hello bob-the-user": false, "sesame-3 is wrong": false, "": false, "\x01\x02": false,
	} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, answer)
		})
		w := r.hook(t, "/services/B0sesame!?token=sesame-2")
		w.URL.User = url.UserPassword("bob-the-user", "sesame-3")
		err := w.Send(context.Background(), message(t, "r1"))
		if err == nil {
			t.Fatalf("%q: no error", answer)
		}
		if got := strings.Contains(err.Error(), "Bad Request: "); got != shown {
			t.Errorf("%q: %v", answer, err)
		}
		if strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "bob") {
			t.Errorf("%q: the error tells secrets: %v", answer, err)
		}
	}
}

// TestWebhookEchoes: a redirect that cannot be read, with the token in it.
func TestWebhookEchoes(t *testing.T) {
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://%zz/?token=sesame-2")
		w.WriteHeader(307)
	})
	w := r.hook(t, "/?token=sesame-2")
	w.Tries = 1
	if err := w.Send(context.Background(), message(t, "r1")); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%v", err)
	}
}

// TestWebhookStops: the end of the program ends it at once.
func TestWebhookStops(t *testing.T) {
	r := receive(t, times(500))
	w := r.hook(t, "")
	w.Wait = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	w.Total = time.Hour
	start := time.Now()
	if err := w.Send(ctx, message(t, "r1")); err == nil || time.Since(start) > 6*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
