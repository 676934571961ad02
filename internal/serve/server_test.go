package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/healml/healml/internal/table"
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
	for len(r.slots) < 4 {
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
	r.handle("/panic", "/panic", route{post: func(context.Context, *batch) *Problem { panic("a fault") }})
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
	if len(r.slots) != 0 {
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
	for len(r.slots) == 0 {
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
	for len(r.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if <-failed == nil {
		t.Error("the request was answered after all")
	}
	for len(r.slots) > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestMetrics(t *testing.T) {
	syncs := NewSyncTimes()
	r := newRig(t, func(o *Options) {
		now := o.Now()
		o.LogStats = func() LogStats { return LogStats{Rows: 7, TornBytes: 3, Queue: 2} }
		o.SyncTimes = syncs
		o.Surroundings = func() Surroundings {
			return Surroundings{Jobs: map[string]time.Time{"drift": now.Add(-time.Hour), "retrain": {}}, Drift: &Verdict{At: now, Drift: true, Columns: 2}}
		}
	})
	syncs.Observe(time.Millisecond)
	r.send("POST", "/predict", row)
	r.send("POST", "/predict", "{")
	r.send("BREW", "/predict", "")
	r.send("GET", "/nowhere/1", "")
	r.send("GET", "/nowhere/2", "")
	text := r.send("GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`http_requests_total{endpoint="/predict",http_status="200",method="POST"} 1`,
		`http_requests_total{endpoint="/predict",http_status="400",method="POST"} 1`,
		`http_requests_total{endpoint="/predict",http_status="405",method="other"} 1`,
		`http_requests_total{endpoint="unmatched",http_status="404",method="GET"} 2`,
		`http_request_latency_seconds_count{endpoint="/predict"} 3`,
		`prediction_latency_seconds_count 1`,
		`healml_model_info{model_version="v1",target="sales",task="regression"} 1`,
		`healml_log_rows_total 7`, `healml_log_torn_bytes_total 3`, `healml_log_queue_rows 2`, `healml_log_sync_seconds_count 1`,
		`healml_job_age_seconds{job_name="drift"} 3600`, `healml_job_age_seconds{job_name="retrain"} +Inf`,
		`healml_drift_detected 1`, `healml_drift_columns 2`, `healml_degraded 0`,
		`healml_model_loaded_timestamp_seconds 1.704888e+09`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	faults, err := testutil.GatherAndLint(r.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	var more []promlint.Problem
	if more, err = promlint.New(strings.NewReader(text)).Lint(); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(faults, more...) {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestActuals(t *testing.T) {
	two := classModel(t, "v1", "0", "1")
	three := classModel(t, "v1", "a", "b", "true")
	models := map[string]*Candidate{"sales": nil, "two": {Model: two}, "three": {Model: three}}
	for _, tt := range []struct {
		model, body string
		want        string // values taken, or part of the first fault
		status      int
	}{
		{"sales", `{"prediction_id":"a","sales":12.50}`, "a=12.50", 200},
		{"sales", `[{"prediction_id":"a","actual":1},{"sales":-2e3,"prediction_id":"b"}]`, "a=1 b=-2e3", 200},
		{"sales", `[]`, "", 200},
		{"sales", `{"prediction_id":"a","sales":"12"}`, "expected a number", 422},
		{"sales", `{"prediction_id":"a","sales":1e400}`, "beyond the range", 422},
		{"sales", `{"prediction_id":"a","sales":NaN}`, "NaN is not a number", 422},
		{"sales", `{"prediction_id":"a","sales":null}`, "found null", 422},
		{"sales", `{"prediction_id":"a","sales":1,"actual":1}`, "one field", 422},
		{"sales", `{"prediction_id":"a","prediction_id":"a","sales":1}`, "given twice", 422},
		{"sales", `{"prediction_id":"a"}`, "expected what came true", 422},
		{"sales", `{"sales":1}`, "expected the prediction_id", 422},
		{"sales", `{"prediction_id":null,"sales":1}`, "expected the prediction_id", 422},
		{"sales", `{"prediction_id":"a b","sales":1}`, "1 to 64", 422},
		{"sales", `{"prediction_id":"a","sales":1,"when":2}`, "unknown field", 422},
		{"sales", `[7]`, "found a number, expected an object", 422},
		{"sales", `{"prediction_id":"a","sales":1`, "", 400},
		{"two", `[{"prediction_id":"a","label":1},{"prediction_id":"b","label":"0"},{"prediction_id":"c","label":1.0}]`, "a=1 b=0 c=1", 200},
		{"two", `{"prediction_id":"a","label":2}`, "expected one of 0, 1", 422},
		{"three", `[{"prediction_id":"a","label":"b"},{"prediction_id":"b","label":true}]`, "a=b b=true", 200},
		{"three", `{"prediction_id":"a","label":""}`, "expected one of a, b, true", 422},
		{"three", `{"prediction_id":"a","label":[]}`, "found an array", 422},
	} {
		t.Run(tt.model+tt.body, func(t *testing.T) {
			var candidates []*Candidate
			if c := models[tt.model]; c != nil {
				candidates = append(candidates, c)
			}
			r := newRig(t, nil, candidates...)
			w := r.send("POST", "/actuals", tt.body)
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if tt.status != 200 {
				p := problemOf(t, w)
				if tt.status == 422 && !strings.Contains(p.Errors[0].Message, tt.want) || len(r.log.actuals) > 0 {
					t.Errorf("%s, expected %q; logged %v", w.Body, tt.want, r.log.actuals)
				}
				return
			}
			var got []string
			for _, a := range r.log.actuals {
				if a.At != r.clock.now().UnixMicro() || a.Source != "http" {
					t.Errorf("%+v", a)
				}
				got = append(got, a.ID+"="+a.Value)
			}
			if s := strings.Join(got, " "); s != tt.want || w.Body.String() != fmt.Sprintf("{\"received\":%d}\n", len(got)) {
				t.Errorf("took %q, answered %s", s, w.Body)
			}
		})
	}
	r := newRig(t, nil)
	r.log.err = errors.New("no space left on device")
	if p := problemOf(t, r.send("POST", "/actuals", `{"prediction_id":"a","sales":1}`)); p.Status != 503 {
		t.Errorf("%+v", p)
	}
}

func TestOpenAPI(t *testing.T) {
	m := classModel(t, "v1", "0", "1")
	for name, r := range map[string]*rig{
		"regression": newRig(t, nil), "classes": newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)}),
		"no model": newRig(t, func(o *Options) { o.Models = newShelf() }),
	} {
		w := r.send("GET", "/openapi.json", "")
		doc := decodeJSON[map[string]any](t, bytes.NewReader(w.Body.Bytes()))
		if doc["openapi"] != "3.1.0" {
			t.Errorf("%s: %v", name, doc["openapi"])
		}
		schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
		for _, ref := range strings.Split(w.Body.String(), `"#/components/schemas/`)[1:] {
			if target, _, _ := strings.Cut(ref, `"`); schemas[target] == nil {
				t.Errorf("%s: no schema %s", name, target)
			}
		}
		if name == "no model" {
			continue
		}
		// The example is a request that is answered.
		example, err := json.Marshal(schemas["Row"].(map[string]any)["examples"].([]any)[0])
		if err != nil {
			t.Fatal(err)
		}
		if a := r.send("POST", "/predict", string(example)); a.Code != 200 {
			t.Errorf("%s: the example %s is answered %s", name, example, a.Body)
		}
		properties := schemas["Row"].(map[string]any)["properties"].(map[string]any)
		for _, c := range r.holder.live.Load().model.Template.Columns {
			if properties[c.Name] == nil {
				t.Errorf("%s: column %s is not described", name, c.Name)
			}
		}
	}
}

func TestIndexPage(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("GET", "/", "", "Host", `x"><script>`)
	page := w.Body.String()
	if w.Code != 200 || !strings.Contains(page, "<code>v1</code>") || !strings.Contains(page, "curl -sS") || strings.Contains(page, "<script>") {
		t.Errorf("%d %s", w.Code, page)
	}
	if !strings.Contains(page, `it&#39;\&#39;&#39;s`) {
		t.Error("the example's quote is not fit for a shell")
	}
	if strings.Contains(page, "https://") {
		t.Error("the page reads from elsewhere")
	}
}

func TestHealthDocument(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Build = "1.2.3" })
	want := `{"status":"ok","model_loaded":true,"model_version":"v1","state":"serving","logging":true,"loaded_at":"2024-01-10T12:00:00Z","started_at":"2024-01-10T12:00:00Z","healml_version":"1.2.3"}` + "\n"
	if got := r.send("GET", "/health", "").Body.String(); got != want {
		t.Errorf("got  %sexpected %s", got, want)
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

// TestSupervisor plays systemd.
func TestSupervisor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := func() string {
		b := make([]byte, 1024)
		socket.SetReadDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // read below
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	sv, err := SupervisorFromEnv(func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": "7", "LISTEN_FDS": "1", "LISTEN_PID": "8"}[name]
	}, 7)
	if err != nil || sv != (Supervisor{Socket: path, Watchdog: 60 * time.Millisecond}) {
		t.Fatalf("%+v %v", sv, err)
	}
	r := newRig(t, nil)
	r.o.Supervisor = sv
	_, stop := r.run()
	if got := next(); got != "READY=1\nSTATUS=serving v1" {
		t.Errorf("%q", got)
	}
	if got := next(); got != "WATCHDOG=1\nSTATUS=serving v1" {
		t.Errorf("%q", got)
	}
	for r.Reload(); ; {
		got := next()
		if strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
			break
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for !strings.HasPrefix(next(), "STOPPING=1\n") {
	}
	if n := len(r.log.records()); n != 0 {
		t.Errorf("the probe left %d rows in the log", n)
	}
}

func TestNoSignOfLifeWhenTheProbeFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	r := newRig(t, nil)
	r.o.Supervisor.Socket = path
	r.log.sick = errors.New("fsync: input/output error")
	r.alive()
	r.log.sick = nil
	r.holder.live.Load().example = []byte("{}")
	r.alive()
	socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // read below
	if n, err := socket.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were sent: %v", n, err)
	}
}

func TestSupervisorFromEnv(t *testing.T) {
	for _, env := range []map[string]string{{"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "-1"}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "-1"}} {
		if _, err := SupervisorFromEnv(func(n string) string { return env[n] }, 1); err == nil {
			t.Errorf("%v was taken", env)
		}
	}
	if _, err := (Supervisor{Sockets: 2}).Listen(DefaultAddress); err == nil {
		t.Error("two sockets were taken")
	}
	ln, err := Supervisor{}.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

func TestGoldenRowsNoClientCouldSendAreLeftOut(t *testing.T) {
	m := salesModel(t, "v1", 0)
	g := golden(t, m)
	date := table.Times("date", []int64{table.NoTime, 1704931200000000})
	g, err := g.With(date)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := goldenRow(m.Template, g, 0); ok {
		t.Error("a missing date can be sent")
	}
	v, err := newLive(&Candidate{Model: m, Golden: g}, false, time.Time{})
	if err != nil || !strings.Contains(string(v.example), `"2024-01-11"`) {
		t.Errorf("%v %s", err, v.example)
	}
}

// TestSocketActivation starts this test again as a child that finds its
// listener on descriptor 3.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("SERVE_TEST_CHILD") != "" {
		sv, err := SupervisorFromEnv(os.Getenv, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		ln, err := sv.Listen("192.0.2.1:1") // no address of this machine: must not be used
		if err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "served") //nolint:errcheck // the parent looks
		c.Close()
		ln.Close()
		return
	}
	ln := listen(t)
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestSocketActivation$")
	child.Env = append(os.Environ(), "SERVE_TEST_CHILD=1", "LISTEN_FDS=1")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // read below
	if got, err := io.ReadAll(c); err != nil || string(got) != "served" {
		t.Errorf("%q %v", got, err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}
