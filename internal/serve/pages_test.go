package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/healml/healml/internal/predlog"
)

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
		if got := fmt.Sprint(schemas["Row"].(map[string]any)["required"]); got != "[date category region price stock promo]" {
			t.Errorf("%s: required are %s", name, got)
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

// TestDocsPage wants every route that takes a body shown, a policy that lets
// the page's own script run and no other, and nothing from elsewhere.
func TestDocsPage(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("GET", "/docs", "")
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, want := range []string{`data-path="/predict"`, `data-path="/explain"`, `data-path="/invocations"`, "/v2/models/sales/infer", "<code>category</code>", "training saw 2: Electronics, Toys", "it&#39;s"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %s", want)
		}
	}
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	sum := sha256.Sum256([]byte(script))
	if !strings.Contains(policy, "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("the policy %q does not let the script run", policy)
	}
	if strings.Contains(page, "http://") || strings.Contains(page, "https://") || strings.Count(page, "<script") != 1 {
		t.Error("the page reads from elsewhere")
	}
	if w := newRig(t, func(o *Options) { o.Models = newShelf() }).send("GET", "/docs", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "No model") {
		t.Errorf("without a model: %d", w.Code)
	}
}

// TestOpenAPIHasEveryRoute asks every documented path with its method: none may
// be unknown.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	r := newRig(t, nil)
	doc := decodeJSON[struct{ Paths map[string]map[string]any }](t, r.send("GET", "/openapi.json", "").Body)
	for path, methods := range doc.Paths {
		for method := range methods {
			if w := r.send(strings.ToUpper(method), path, "{"); w.Code == 404 || w.Code == 405 {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	for _, path := range []string{"/predict", "/explain", "/actuals", "/invocations", "/ping", "/version", "/health", "/ready", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/sales", "/v2/models/sales/ready", "/v2/models/sales/infer"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not documented", path)
		}
	}
}

// TestPagesTellNothingPrivate shows no row of the training data when a column of
// the model is private.
func TestPagesTellNothingPrivate(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Extras = []predlog.Extra{{Name: "note", Key: []byte("key")}} })
	for _, path := range []string{"/", "/docs", "/openapi.json"} {
		if w := r.send("GET", path, ""); w.Code != 200 || strings.Contains(w.Body.String(), "99.5") {
			t.Errorf("%s shows a row of the training data", path)
		}
	}
	doc := decodeJSON[struct {
		Components struct {
			Schemas struct {
				Row struct{ Examples []json.RawMessage }
			}
		}
	}](t, r.send("GET", "/openapi.json", "").Body)
	if w := r.send("POST", "/predict", string(doc.Components.Schemas.Row.Examples[0])); w.Code != 200 {
		t.Errorf("the example is answered %d: %s", w.Code, w.Body)
	}
}
