package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
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
