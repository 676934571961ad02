package serve

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/healml/healml/internal/access"
)

// TestEveryRouteSaysWhoMayAsk asks every route with each kind of token.
func TestEveryRouteSaysWhoMayAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	var list access.Tokens
	secrets := map[string]string{"": ""}
	for _, s := range access.Scopes() {
		secret, err := list.Add(string(s), []access.Scope{s}, time.Now(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		secrets[string(s)] = secret
	}
	if err := access.Write(path, &list); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Follow(path)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Tokens = tokens })
	routes := map[string]struct{ method, path, need string }{
		"predict": {"POST", "/predict", "predict"}, "explain": {"POST", "/explain", "predict"}, "invocations": {"POST", "/invocations", "predict"},
		"infer": {"POST", "/v2/models/sales/infer", "predict"}, "model": {"GET", "/v2/models/sales", "predict"}, "index": {"POST", "/v2/repository/index", "predict"},
		"openapi": {"GET", "/openapi.json", "predict"}, "page": {"GET", "/", ""}, "docs": {"GET", "/docs", ""},
		"actuals": {"POST", "/actuals", "actuals"}, "metrics": {"GET", "/metrics", "admin"},
		"health": {"GET", "/health", ""}, "ready": {"GET", "/ready", ""}, "ping": {"GET", "/ping", ""}, "version": {"GET", "/version", ""},
		"live": {"GET", "/v2/health/live", ""}, "v2": {"GET", "/v2", ""}, "nowhere": {"GET", "/../../etc/passwd", ""},
	}
	for name, route := range routes {
		for held, secret := range secrets {
			w := r.send(route.method, route.path, "{", "Authorization", "bearer  "+secret)
			let := route.need == "" || held == route.need || held == "admin"
			switch refused := w.Code == 401 || w.Code == 403; {
			case refused == let:
				t.Errorf("%s with the token %q: %d %s", name, held, w.Code, w.Body)
			case refused && (held == "") != (w.Code == 401):
				t.Errorf("%s with the token %q: %d", name, held, w.Code)
			case refused && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer realm="):
				t.Errorf("%s: no challenge", name)
			}
		}
	}
	for header, status := range map[string]int{
		"Basic " + secrets["predict"]: 401, secrets["predict"]: 401, "Bearer x": 401, "Bearer " + secrets["predict"] + " x": 401, "BEARER " + secrets["predict"]: 200,
	} {
		if w := r.send("POST", "/predict", row, "Authorization", header); w.Code != status {
			t.Errorf("%q: %d, expected %d", header, w.Code, status)
		}
	}
	if got := testutil.ToFloat64(r.metrics.denied.WithLabelValues("bad_token")); got != 2 {
		t.Errorf("%v bad tokens were counted, expected 2", got)
	}
	for _, path := range []string{"/", "/docs", "/health", "/v2"} {
		if page := r.send("GET", path, "").Body.String(); strings.Contains(page, "Electronics") || strings.Contains(page, "region") {
			t.Errorf("%s tells strangers what rows hold", path)
		}
	}
	// A token that is taken away is refused from the next look on.
	list.Remove("predict")
	if err := access.Write(path, &list); err != nil {
		t.Fatal(err)
	}
	r.Reload() //nolint:errcheck // the model stays
	if w := r.send("POST", "/predict", row, "Authorization", "Bearer "+secrets["predict"]); w.Code != 401 {
		t.Errorf("a token that was taken away: %d", w.Code)
	}
}

func TestRouteWithoutScopeDoesNotStart(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a route that does not say who may ask was taken")
		}
	}()
	r := newRig(t, nil)
	r.handle("/open", "/open", route{get: notFound})
}

func TestAccessLogTellsNoRows(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AccessLog = true })
	r.send("POST", "/predict", with(map[string]any{"note": "confidential"}), "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.send("GET", "/secret-path", "")
	notes := r.notes.String()
	for _, want := range []string{"msg=request method=POST endpoint=/predict status=200", "client=192.0.2.1", "trace_id=0af7651916cd43dd8448eb211c80319c", "endpoint=unmatched status=404"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%s\ndoes not say %s", notes, want)
		}
	}
	for _, secret := range []string{"confidential", "secret-path", "Electronics"} {
		if strings.Contains(notes, secret) {
			t.Errorf("the log tells %s", secret)
		}
	}
	text := r.send("GET", "/metrics", "", "Accept", "application/openmetrics-text").Body.String()
	if !strings.Contains(text, `# {trace_id="0af7651916cd43dd8448eb211c80319c"}`) {
		t.Error("no exemplar of the trace")
	}
}

func TestTraceOf(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for header, want := range map[string]struct {
		id      string
		sampled bool
	}{
		"00-" + id + "-b7ad6b7169203331-01":                      {id, true},
		"00-" + id + "-b7ad6b7169203331-00":                      {id, false},
		"00-" + id + "-b7ad6b7169203331-0a":                      {id, false},
		"00-" + id + "-b7ad6b7169203331-0b":                      {id, true},
		"cc-" + id + "-b7ad6b7169203331-01-what":                 {id, true},
		"00-" + id + "-b7ad6b7169203331-01-what":                 {},
		"cc-" + id + "-b7ad6b7169203331-01.what":                 {},
		"ff-" + id + "-b7ad6b7169203331-01":                      {},
		"00-" + id + "-b7ad6b7169203331":                         {},
		"00-" + strings.ToUpper(id) + "-b7ad6b7169203331-01":     {},
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01": {},
		"": {},
	} {
		if id, sampled := traceOf(http.Header{"Traceparent": {header}}); id != want.id || sampled != want.sampled {
			t.Errorf("%s: %q %v", header, id, sampled)
		}
	}
}
