package tracking

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/registry"
)

// fake is as much of MLflow 3 as is asked, or of MLflow 2 when old.
type fake struct {
	t        *testing.T
	old      bool
	calls    int
	failAt   int    // from this call on: 500
	nonsense string // answered with 200 to every call, when not empty
	runs     map[string]map[string]any
	files    map[string]int
	models   int
	versions []map[string]any
	alias    string
}

func newFake(t *testing.T) *fake {
	return &fake{t: t, runs: map[string]map[string]any{}, files: map[string]int{}}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	if f.nonsense != "" {
		io.WriteString(w, f.nonsense) //nolint:errcheck // the client looks
		return
	}
	if f.failAt > 0 && f.calls >= f.failAt {
		http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	if to, ok := strings.CutPrefix(r.URL.Path, artifacts); ok {
		f.files[to] = len(body)
		io.WriteString(w, "{}") //nolint:errcheck // the client looks
		return
	}
	in := map[string]any{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			f.t.Errorf("%s: %v", r.URL.Path, err)
		}
	}
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error_code":%q,"message":"no"}`, code)
	}
	say := func(v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			f.t.Error(err)
		}
	}
	type m = map[string]any
	switch name := strings.TrimPrefix(r.URL.Path, api); {
	case name == "experiments/get-by-name":
		if r.URL.Query().Get("experiment_name") != "healml" || len(f.runs) == 0 {
			refuse(404, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		say(m{"experiment": m{"experiment_id": "7"}})
	case name == "experiments/create":
		say(m{"experiment_id": "7"})
	case name == "runs/search":
		var found []any
		for id := range f.runs {
			if strings.Contains(in["filter"].(string), f.runs[id]["run_name"].(string)) {
				found = append(found, m{"info": m{"run_id": id, "artifact_uri": "mlflow-artifacts:/7/" + id + "/artifacts"}})
			}
		}
		say(m{"runs": found})
	case name == "runs/create":
		id := fmt.Sprintf("run%d", len(f.runs)+1)
		f.runs[id] = in
		say(m{"run": m{"info": m{"run_id": id, "artifact_uri": "mlflow-artifacts:/7/" + id + "/artifacts"}}})
	case name == "logged-models" && f.old:
		http.NotFound(w, r)
	case name == "logged-models":
		f.models++
		say(m{"model": m{"info": m{"model_id": fmt.Sprintf("m-%d", f.models), "artifact_uri": fmt.Sprintf("mlflow-artifacts:/7/models/m-%d/artifacts", f.models)}}})
	case name == "registered-models/create" && len(f.versions) > 0:
		refuse(400, "RESOURCE_ALREADY_EXISTS")
	case name == "model-versions/search":
		var found []any
		for i, v := range f.versions {
			if strings.Contains(r.URL.Query().Get("filter"), "'"+v["run_id"].(string)+"'") {
				found = append(found, m{"version": fmt.Sprint(i + 1)})
			}
		}
		say(m{"model_versions": found})
	case name == "model-versions/create":
		f.versions = append(f.versions, in)
		say(m{"model_version": m{"version": fmt.Sprint(len(f.versions))}})
	case name == "registered-models/alias":
		f.alias = in["version"].(string)
		say(m{})
	default:
		say(m{})
	}
}

// shop copies the registry that is shipped, so that its lock may be taken.
func shop(t *testing.T) (*registry.Registry, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "exported_model")
	if err := os.CopyFS(dir, os.DirFS("../../exported_model")); err != nil {
		t.Fatal(err)
	}
	return registry.Open(dir), filepath.Join(filepath.Dir(dir), "mlflow.json")
}

func follow(t *testing.T, f *fake, reg *registry.Registry, ledger string) error {
	t.Helper()
	server := httptest.NewServer(f)
	defer server.Close()
	// The ledger is one server's: tests give each start the same address.
	s := &Server{URL: "http://mlflow.example", Experiment: "healml", Model: "sales", Client: &http.Client{Timeout: 5 * time.Second, Transport: to(server.URL)}}
	return Follow(t.Context(), s, reg, ledger)
}

// to sends every request to one server.
type to string

func (u to) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = strings.TrimPrefix(string(u), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

func check(t *testing.T, f *fake, reg *registry.Registry, ledger string) {
	t.Helper()
	current, err := reg.Current()
	if err != nil {
		t.Fatal(err)
	}
	if len(f.runs) != 1 || len(f.versions) != 1 || f.alias != "1" {
		t.Fatalf("%d runs, %d versions, the champion is %q", len(f.runs), len(f.versions), f.alias)
	}
	source := "models:/m-1"
	if f.old {
		source = "mlflow-artifacts:/7/run1/artifacts/model"
	}
	if got := f.versions[0]["source"].(string); f.old && got != source || !f.old && !strings.HasPrefix(got, "models:/m-") {
		t.Errorf("the version comes from %s", got)
	}
	loaded, err := reg.Load(current)
	if err != nil {
		t.Fatal(err)
	}
	for name := range loaded.Manifest.Files {
		found := false
		for key, size := range f.files {
			found = found || strings.HasSuffix(key, "/"+name) && size > 0
		}
		if !found {
			t.Errorf("%s was not uploaded", name)
		}
	}
	l, err := ReadLedger(ledger, "http://mlflow.example")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Pending(reg); n != 0 || err != nil {
		t.Errorf("%d changes wait: %v", n, err)
	}
}

func TestFollow(t *testing.T) {
	for _, old := range []bool{false, true} {
		f := newFake(t)
		f.old = old
		reg, ledger := shop(t)
		if err := follow(t, f, reg, ledger); err != nil {
			t.Fatal(err)
		}
		check(t, f, reg, ledger)
		calls := f.calls
		if err := follow(t, f, reg, ledger); err != nil || f.calls != calls {
			t.Errorf("%v; it is asked again although it knows of everything", err)
		}
		// Without a ledger, what the server knows is found there.
		if err := os.WriteFile(ledger, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := follow(t, f, reg, ledger); err != nil {
			t.Fatal(err)
		}
		check(t, f, reg, ledger)
	}
}

// TestTheServerFails at each call: what was told is kept, and the next occasion
// ends with one run and one version.
func TestTheServerFails(t *testing.T) {
	whole := newFake(t)
	reg, ledger := shop(t)
	if err := follow(t, whole, reg, ledger); err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= whole.calls; at++ {
		f := newFake(t)
		f.failAt = at
		reg, ledger := shop(t)
		if err := follow(t, f, reg, ledger); !errors.Is(err, ErrServer) {
			t.Fatalf("call %d: %v", at, err)
		}
		f.failAt = 0
		if err := follow(t, f, reg, ledger); err != nil {
			t.Fatalf("call %d, again: %v", at, err)
		}
		check(t, f, reg, ledger)
	}
}

// TestALiar answers 200 with what makes no sense: nothing is taken for told.
func TestALiar(t *testing.T) {
	for _, nonsense := range []string{"{}", "[]", "null", "<html>welcome</html>", `{"experiment":{"experiment_id":"7"}}`, "\x00", `{"experiment":{"experiment_id":7}}`} {
		f := newFake(t)
		f.nonsense = nonsense
		reg, ledger := shop(t)
		if err := follow(t, f, reg, ledger); !errors.Is(err, ErrServer) {
			t.Errorf("%q: %v", nonsense, err)
		}
		l, err := ReadLedger(ledger, "http://mlflow.example")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := l.Pending(reg); n != 2 || err != nil {
			t.Errorf("%q: %d changes wait, expected 2: %v", nonsense, n, err)
		}
	}
}
