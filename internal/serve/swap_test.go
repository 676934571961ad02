package serve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// numbered is version v<n>, which predicts 100·n + 2.25 for row.
func numbered(t testing.TB, n int) *Candidate {
	m := salesModel(t, fmt.Sprintf("v%d", n), float64(100*n))
	return &Candidate{Model: m, Golden: golden(t, m)}
}

// TestSwapUnderLoad swaps 100 times while clients on real connections ask
// single rows and batches. No request may fail, and no answer may mix two
// versions.
func TestSwapUnderLoad(t *testing.T) {
	const swaps = 100
	r := newRig(t, func(o *Options) { o.Poll = -1 }, numbered(t, 1))
	url, stop := r.run()
	type answer struct {
		Value   float64 `json:"predicted_sales"`
		Version string  `json:"model_version"`
	}
	var done atomic.Bool
	var asked atomic.Int64
	var seen sync.Map
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			body, size := row, 1
			if c%2 == 1 {
				body, size = "["+strings.Repeat(row+",", 19)+row+"]", 20
			}
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for !done.Load() {
				resp, err := client.Post(url+"/predict", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("%d %v %s", resp.StatusCode, err, b)
					return
				}
				if size == 1 {
					b = []byte("[" + string(b) + "]")
				}
				answers := decodeJSON[[]answer](t, strings.NewReader(string(b)))
				if len(answers) != size {
					t.Errorf("%d answers to %d rows", len(answers), size)
				}
				for _, a := range answers {
					n, err := strconv.Atoi(a.Version[1:])
					if err != nil || a.Value != float64(100*n)+2.25 || a.Version != answers[0].Version {
						t.Errorf("answer %+v in a batch of %s", a, answers[0].Version)
						return
					}
				}
				seen.Store(answers[0].Version, true)
				asked.Add(int64(size))
			}
		})
	}
	for n := 2; n <= swaps+1; n++ {
		before := asked.Load()
		r.shelf.put(numbered(t, n))
		r.shelf.promote(fmt.Sprintf("v%d", n))
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		for asked.Load() < before+5 && !t.Failed() { // some traffic on each version
			time.Sleep(100 * time.Microsecond)
		}
	}
	done.Store(true)
	clients.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
	versions := 0
	seen.Range(func(any, any) bool { versions++; return true })
	logged := r.log.records()
	for _, rec := range logged {
		if n, _ := strconv.Atoi(rec.Version[1:]); rec.Outputs[0] != float64(100*n)+2.25 {
			t.Fatalf("logged %v as of %s", rec.Outputs, rec.Version)
		}
	}
	if int64(len(logged)) != asked.Load() || versions < swaps/2 {
		t.Errorf("%d rows answered by %d versions, %d logged", asked.Load(), versions, len(logged))
	}
	if m := r.send("GET", "/metrics", "").Body.String(); !strings.Contains(m, "healml_model_swaps_total 100\n") || strings.Contains(m, `model_version="v1"`) {
		t.Error("swaps are miscounted or the first version is still shown")
	}
}

// TestCandidatesThatFail goes through what keeps the old model.
func TestCandidatesThatFail(t *testing.T) {
	good := func() *Candidate { return numbered(t, 2) }
	for name, tt := range map[string]struct {
		load func() (*Candidate, error)
		why  string
	}{
		"torn":   {func() (*Candidate, error) { return nil, errors.New("manifest: digest differs") }, "digest differs"},
		"panics": {func() (*Candidate, error) { panic("index out of range") }, "panic: index out of range"},
		"misnamed": {func() (*Candidate, error) {
			return numbered(t, 3), nil
		}, "calls itself v3"},
		"altered template": {func() (*Candidate, error) {
			c := good()
			c.Model.Template.Columns[3].Max = ptr(7)
			return c, nil
		}, "fingerprint"},
		"golden rows differ": {func() (*Candidate, error) {
			c := good()
			c.Golden = golden(t, salesModel(t, "v2", 200.0001))
			return c, nil
		}, "golden row 0: predicted_sales is 201.25, expected 201.2501"},
		"golden rows without predictions": {func() (*Candidate, error) {
			c := good()
			c.Golden = c.Golden.Drop("predicted_sales")
			return c, nil
		}, `no column "predicted_sales"`},
		"golden rows that serving cannot read": {func() (*Candidate, error) {
			c := good()
			g, err := c.Golden.With(table.Strings("date", []string{"?", "soon"}))
			c.Golden = g
			return c, err
		}, `golden row 0: field "date"`},
		"no number": {func() (*Candidate, error) {
			tmpl := sales()
			huge := stump(2, 500, 1.7e308, 1.7e308)
			m, err := model.New("v2", tmpl, ensemble("regression", 1, tmpl, huge, huge))
			return &Candidate{Model: m}, err
		}, "predicts +Inf"},
		"another target": {func() (*Candidate, error) {
			m := classModel(t, "v2", "a", "b")
			return &Candidate{Model: m}, nil
		}, "predicts label (binary) instead of sales (regression)"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, numbered(t, 1))
			r.shelf.versions["v2"] = tt.load
			r.shelf.promote("v2")
			err := r.holder.check(false)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("error %v, expected %q", err, tt.why)
			}
			if w := r.send("POST", "/predict", row); w.Code != 200 || !strings.Contains(w.Body.String(), `"predicted_sales":102.25`) {
				t.Errorf("the old model answers %d %s", w.Code, w.Body)
			}
			h := r.send("GET", "/health", "")
			d := decodeJSON[healthDocument](t, h.Body)
			if h.Code != 200 || d.Status != "ok" || d.State != "degraded" || d.ModelVersion != "v1" || d.Wanted != "v2" || !strings.Contains(d.Why, tt.why) {
				t.Errorf("health %+v", d)
			}
			if w := r.send("GET", "/ready", ""); w.Code != 200 {
				t.Errorf("ready: %d", w.Code)
			}
			if m := r.send("GET", "/metrics", "").Body.String(); !strings.Contains(m, "healml_model_swap_failures_total 1\n") || !strings.Contains(m, "healml_degraded 1\n") {
				t.Error("the failure is not counted")
			}
			if !strings.Contains(r.notes.String(), "keeping what serves") {
				t.Error("the failure is not in the server's log")
			}
			r.shelf.promote("v1")
			if err := r.holder.check(false); err != nil || r.state() != stateServing {
				t.Errorf("back on v1: %v, %s", err, r.state())
			}
		})
	}
}

func TestFailedVersionIsRetriedEverMoreRarely(t *testing.T) {
	r := newRig(t, nil, numbered(t, 1))
	r.shelf.promote("v2")
	r.shelf.loads = 0
	for range 600 { // ten minutes of polls
		r.holder.check(false) //nolint:errcheck // counted below
		r.clock.advance(time.Second)
	}
	if r.shelf.loads < 8 || r.shelf.loads > 12 {
		t.Errorf("%d attempts in ten minutes", r.shelf.loads)
	}
	if n := strings.Count(r.notes.String(), "keeping what serves"); n != 1 {
		t.Errorf("the same failure was written %d times", n)
	}
	r.shelf.put(numbered(t, 2)) // the files arrive
	for range 120 {
		r.holder.check(false) //nolint:errcheck // seen below
		r.clock.advance(time.Second)
	}
	if r.holder.version() != "v2" || r.state() != stateServing {
		t.Errorf("%s %s", r.holder.version(), r.state())
	}
}

func TestReloadTakesOtherColumns(t *testing.T) {
	r := newRig(t, nil)
	m := classModel(t, "v2", "a", "b")
	r.shelf.put(&Candidate{Model: m})
	r.shelf.promote("v2")
	if err := r.holder.check(false); err == nil {
		t.Fatal("a poll took a version with another target")
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if w := r.send("POST", "/predict", row); !strings.HasPrefix(w.Body.String(), `{"predicted_label":"b"`) {
		t.Errorf("%s", w.Body)
	}
}

func TestBreaks(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*schema.Template)
		why    string
	}{
		"levels and bounds": {func(n *schema.Template) { n.Columns[1].Levels = nil; n.Columns[3].Max = ptr(9) }, ""},
		"dropped":           {func(n *schema.Template) { n.Columns = n.Columns[1:] }, `"date" is missing`},
		"dropped, ignored":  {func(n *schema.Template) { n.Columns = n.Columns[1:]; n.Ignored = []string{"date"} }, ""},
		"added": {func(n *schema.Template) {
			n.Columns = append(n.Columns, schema.Column{Name: "x", Kind: schema.Numeric})
		}, `"x" is added`},
		"added text": {func(n *schema.Template) { n.Columns = append(n.Columns, schema.Column{Name: "x", Kind: schema.Text}) }, ""},
		"retyped":    {func(n *schema.Template) { n.Columns[3].Kind = schema.Boolean }, `"price" is retyped`},
		"target":     {func(n *schema.Template) { n.Target = "x" }, "predicts x"},
	} {
		next := sales()
		tt.change(next)
		if got := strings.Join(breaks(sales(), next), "; "); tt.why == "" && got != "" || !strings.Contains(got, tt.why) {
			t.Errorf("%s: %q, expected %q", name, got, tt.why)
		}
	}
}

func TestStart(t *testing.T) {
	broken := func() (*Candidate, error) { return nil, errors.New("torn") }
	for name, tt := range map[string]struct {
		prepare func(*shelf)
		state   string
		version string
	}{
		"current":             {func(*shelf) {}, stateServing, "v1"},
		"nothing promoted":    {func(s *shelf) { s.current = "" }, stateNoModel, ""},
		"current is torn":     {func(s *shelf) { s.versions["v9"] = broken; s.current = "v9"; s.fallbacks = []string{"v9", "v8", "v1"} }, stateDegraded, "v1"},
		"pointer unreadable":  {func(s *shelf) { s.err = errors.New("permission denied"); s.fallbacks = []string{"v1"} }, stateDegraded, "v1"},
		"nothing can serve":   {func(s *shelf) { s.versions["v1"] = broken; s.fallbacks = []string{"v1"} }, stateNoModel, ""},
		"golden rows missing": {func(s *shelf) { s.put(&Candidate{Model: salesModel(t, "v1", 0)}) }, stateServing, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(numbered(t, 1))
			tt.prepare(s)
			r := newRig(t, func(o *Options) { o.Models = s })
			d := decodeJSON[healthDocument](t, r.send("GET", "/health", "").Body)
			if name == "current is torn" && s.loads != 3 { // v9, v8, v1
				t.Errorf("%d versions were loaded", s.loads)
			}
			if d.State != tt.state || d.ModelVersion != tt.version || d.ModelLoaded != (tt.version != "") || d.Status != "ok" {
				t.Errorf("health %+v", d)
			}
			ready, predict := r.send("GET", "/ready", "").Code, r.send("POST", "/predict", row)
			if tt.version != "" && (ready != 200 || predict.Code != 200) {
				t.Errorf("ready %d, predict %d %s", ready, predict.Code, predict.Body)
			}
			if tt.version == "" {
				if p := problemOf(t, predict); ready != 503 || predict.Code != 503 || p.Type != "urn:healml:problem:no-model" || predict.Header().Get("Retry-After") == "" {
					t.Errorf("ready %d, predict %d %s", ready, predict.Code, predict.Body)
				}
				if p := problemOf(t, r.send("POST", "/actuals", "{}")); p.Type != "urn:healml:problem:no-model" {
					t.Errorf("actuals: %+v", p)
				}
			}
		})
	}
}

// TestPollTakesTheFirstModel starts without one and finds it by itself.
func TestPollTakesTheFirstModel(t *testing.T) {
	s := newShelf()
	r := newRig(t, func(o *Options) { o.Models, o.Poll = s, time.Millisecond })
	url, stop := r.run()
	s.put(numbered(t, 1))
	s.promote("v1")
	deadline := time.Now().Add(5 * time.Second)
	for {
		resp, err := http.Get(url + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the model was not taken")
		}
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// listen is a loopback listener on a free port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
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
	v, err := newLive(&Candidate{Model: m, Golden: g}, false, nil, about{}, time.Time{})
	if err != nil || !strings.Contains(string(v.example), `"2024-01-11"`) {
		t.Errorf("%v %s", err, v.example)
	}
}
