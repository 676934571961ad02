package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// run serves on a real port. stop drains and returns what Run returned.
func (r *rig) run() (url string, stop func() error) {
	ln := listen(r.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, ln) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		http.DefaultClient.CloseIdleConnections()
		return <-done
	}
	r.t.Cleanup(func() { stop() }) //nolint:errcheck // tests that care call it themselves
	return "http://" + ln.Addr().String(), stop
}

func TestRefusals(t *testing.T) {
	adjust := func(o *Options) {
		o.Hosts = []string{"example.com", "::1"}
		o.Origins = []string{"https://dash.example.com"}
		o.Limits.BodyBytes, o.Limits.Rows = 4096, 3
	}
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		slug               string
		headers            map[string]string
	}{
		"unknown route":   {"GET", "/nowhere", "", nil, 404, "not-found", nil},
		"posted nowhere":  {"POST", "/nowhere", "{}", nil, 404, "not-found", nil},
		"method":          {"GET", "/predict", "", nil, 405, "method-not-allowed", map[string]string{"Allow": "POST"}},
		"method of a get": {"DELETE", "/health", "", nil, 405, "method-not-allowed", map[string]string{"Allow": "GET, HEAD"}},
		"compressed":      {"POST", "/predict", "x", []string{"Content-Encoding", "gzip"}, 415, "unsupported-encoding", nil},
		"too large":       {"POST", "/predict", strings.Repeat(" ", 4097), nil, 413, "too-large", map[string]string{"Connection": "close"}},
		"too many rows":   {"POST", "/predict", "[" + row + "," + row + "," + row + "," + row + "]", nil, 413, "too-many-rows", nil},
		"too many truths": {"POST", "/actuals", "[{},{},{},{}]", nil, 413, "too-many-rows", nil},
		"host":            {"GET", "/health", "", []string{"Host", "evil.test"}, 421, "unknown-host", nil},
		"another site":    {"POST", "/predict", row, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403, "cross-origin", nil},
		"another origin":  {"POST", "/predict", row, []string{"Origin", "https://evil.test"}, 403, "cross-origin", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, adjust)
			w := r.send(tt.method, tt.path, tt.body, tt.header...)
			p := problemOf(t, w)
			if w.Code != tt.status || p.Type != "urn:healml:problem:"+tt.slug {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for k, v := range tt.headers {
				if w.Header().Get(k) != v {
					t.Errorf("%s is %q, expected %q", k, w.Header().Get(k), v)
				}
			}
		})
	}
	r := newRig(t, adjust)
	for _, header := range [][]string{
		{"Host", "example.com:8080"}, {"Host", "[::1]:8080"}, {"Host", "[::1]"}, {"Content-Encoding", "identity"},
		{"Origin", "https://dash.example.com", "Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-origin"},
		{"Content-Type", "application/x-www-form-urlencoded"}, // what curl -d sends
	} {
		if w := r.send("POST", "/predict", row, header...); w.Code != 200 {
			t.Errorf("%v: %d %s", header, w.Code, w.Body)
		}
	}
	if w := r.send("POST", "/predict", row+strings.Repeat(" ", 4096-len(row))); w.Code != 200 {
		t.Errorf("a body of the greatest size: %d", w.Code)
	}
	if w := r.send("HEAD", "/health", ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// TestLargeBodyIsNotRead announces its length, so that reading is not needed.
func TestLargeBodyIsNotRead(t *testing.T) {
	r := newRig(t, nil)
	req := httptest.NewRequest("POST", "/predict", iotest.ErrReader(errors.New("was read")))
	req.ContentLength = 2 << 20
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	if p := problemOf(t, w); p.Status != 413 {
		t.Errorf("%s", w.Body)
	}
}

// TestChunkedBodyIsBounded sends no length, so that only reading finds out.
func TestChunkedBodyIsBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.BodyBytes = 1000 })
	url, _ := r.run()
	resp, err := http.Post(url+"/predict", "application/json", io.MultiReader(strings.NewReader(row), strings.NewReader(strings.Repeat(" ", 2000))))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestSlowClientIsCutOff(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Limits.HeaderTimeout, o.Limits.ReadTimeout = 100*time.Millisecond, 100*time.Millisecond
		o.Limits.InFlight = 1
	})
	url, _ := r.run()
	address := strings.TrimPrefix(url, "http://")
	for name, start := range map[string]string{
		"headers": "POST /predict HTTP/1.1\r\nHost: x\r\n",
		"body":    "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"price\"",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, start) //nolint:errcheck // read below
		if resp, err := http.Post(url+"/predict", "", strings.NewReader(row)); err != nil || resp.StatusCode != 200 {
			t.Errorf("a slow client held up another: %v %v", resp, err)
		} else {
			resp.Body.Close()
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // read below
		got, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
		if name == "body" && !bytes.HasPrefix(got, []byte("HTTP/1.1 408")) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	r := newRig(t, nil)
	url, _ := r.run()
	req, _ := http.NewRequest("GET", url+"/health", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 32<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestOverload fills every slot with requests that wait for the log.
func TestOverload(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.InFlight, o.Limits.LogTimeout = 4, time.Minute })
	r.log.block = make(chan struct{})
	url, _ := r.run()
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			resp, err := http.Post(url+"/predict", "", strings.NewReader(row))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("an accepted request ended with %d", resp.StatusCode)
			}
		})
	}
	for r.inFlight.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		w := r.send("POST", "/predict", row)
		if p := problemOf(t, w); w.Code != 503 || p.Type != "urn:healml:problem:overloaded" || w.Header().Get("Retry-After") != "1" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w := r.send("GET", "/health", ""); w.Code != 200 {
		t.Errorf("health is shed: %d", w.Code)
	}
	if m := r.send("GET", "/metrics", "").Body.String(); !strings.Contains(m, "healml_requests_shed_total 10\n") || !strings.Contains(m, "healml_requests_in_flight 4\n") {
		t.Error("shed or in-flight requests are miscounted")
	}
	close(r.log.block)
	waiting.Wait()
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("after the load: %d", w.Code)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.Connections = 2 })
	url, _ := r.run()
	var open []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	client := http.Client{Timeout: 100 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Get(url + "/health"); err == nil {
		resp.Body.Close()
		t.Error("a third connection was served")
	}
	for _, c := range open {
		c.Close()
	}
	client.Timeout = 5 * time.Second
	resp, err := client.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestPanicIsOneRequestsOwn(t *testing.T) {
	r := newRig(t, nil)
	r.handle("/panic", "/panic", route{scope: anyone, post: func(*http.Request, *batch) *Problem { panic("a fault") }})
	for range 3 {
		w := r.send("POST", "/panic", "{}")
		p := problemOf(t, w)
		if w.Code != 500 || !strings.HasPrefix(p.ID, "urn:uuid:") || strings.Contains(w.Body.String(), "a fault") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !strings.Contains(r.notes.String(), p.ID) {
			t.Error("the id is not in the server's log")
		}
	}
	if r.inFlight.Load() != 0 {
		t.Error("a panic kept its slot")
	}
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("after a panic: %d", w.Code)
	}
	if m := r.send("GET", "/metrics", "").Body.String(); !strings.Contains(m, `http_requests_total{endpoint="/panic",http_status="500",method="POST"} 3`) {
		t.Error("panics are not counted")
	}
}

// TestDrain stops the server while a request waits for the log: it becomes
// unready, refuses connections, and lets the request finish.
func TestDrain(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.LogTimeout, o.DrainDelay = time.Minute, 50*time.Millisecond })
	r.log.block = make(chan struct{})
	url, stop := r.run()
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Post(url+"/predict", "", strings.NewReader(row))
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	for r.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for !r.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if w := r.send("GET", "/ready", ""); w.Code != 503 || !strings.Contains(w.Body.String(), `"draining"`) {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	if w := r.send("GET", "/health", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"draining"`) {
		t.Errorf("health: %d %s", w.Code, w.Body)
	}
	for { // until it stops accepting
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		c.Close()
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case err := <-stopped:
		t.Fatalf("drained with a request in flight: %v", err)
	default:
	}
	close(r.log.block)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("the request in flight ended with %d", status)
	}
}

func TestDrainGivesUp(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.LogTimeout, o.DrainTimeout = 200*time.Millisecond, 20*time.Millisecond })
	r.log.block = make(chan struct{})
	url, stop := r.run()
	failed := make(chan error, 1)
	go func() {
		_, err := http.Post(url+"/predict", "", strings.NewReader(row)) //nolint:bodyclose // there is none
		failed <- err
	}()
	for r.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if <-failed == nil {
		t.Error("the request was answered after all")
	}
	for r.inFlight.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	now := newClock().now
	for _, o := range []Options{{Now: now}, {Models: newShelf()}, {Models: newShelf(), Now: now, Origins: []string{"dash.example.com"}}, {Models: newShelf(), Now: now, Origins: []string{"https://x/path"}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestLargeBodiesAreBounded sheds large bodies beyond what may be held or worked
// on, and goes on with small ones.
func TestLargeBodiesAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.HeldBytes, o.Limits.WorkBytes = 300<<10, 200<<10 })
	large := "[" + strings.Repeat(row+",", 900) + row + "]" // about 100 KB
	for name, c := range map[string]struct {
		held, working int64
		body          string
		status        int
	}{
		"nothing else":         {0, 0, large, 200},
		"held":                 {290 << 10, 0, large, 503},
		"held, but small":      {290 << 10, 0, row, 200},
		"worked on":            {0, 190 << 10, large, 503},
		"worked on, and small": {0, 190 << 10, row, 200},
	} {
		r.held.Store(c.held)
		r.working.Store(c.working)
		r.inFlight.Store(min(c.working, 1))
		if w := r.send("POST", "/predict", c.body); w.Code != c.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if r.held.Load() != c.held || r.working.Load() != c.working {
			t.Errorf("%s: %d held, %d worked on, expected as before", name, r.held.Load(), r.working.Load())
		}
	}
}
