package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr(v float64) *float64 { return &v }

// sales is the template that most tests serve: every kind of column.
func sales() *schema.Template {
	t := &schema.Template{
		Task: schema.Regression, Target: "sales", Time: "stamp",
		Columns: []schema.Column{
			{Name: "date", Kind: schema.Time, DateOnly: true},
			{Name: "category", Kind: schema.Categorical, Levels: []string{"Electronics", "Toys"}},
			{Name: "region", Kind: schema.Categorical, Levels: []string{"1", "North", "true"}, Missing: true},
			{Name: "price", Kind: schema.Numeric, Min: ptr(1), Max: ptr(2000)},
			{Name: "stock", Kind: schema.Numeric, Min: ptr(0), Max: ptr(10), Missing: true},
			{Name: "promo", Kind: schema.Boolean},
			{Name: "note", Kind: schema.Text},
		},
		Ignored: []string{"row_number"},
		Features: []schema.Feature{
			{Name: "date.month", Source: "date", Op: schema.Month},
			{Name: "category", Source: "category", Op: schema.Level},
			{Name: "price", Source: "price", Op: schema.Value},
			{Name: "promo", Source: "promo", Op: schema.Value},
		},
	}
	t.Seal()
	return t
}

// stump is a tree with one split: feature ≤ threshold ? low : high.
func stump(feature int32, threshold, low, high float64) gbdt.Tree {
	return gbdt.Tree{
		Feature: []int32{feature}, Threshold: []float64{threshold}, Decision: []uint8{gbdt.MissingNaN},
		Left: []int32{-1}, Right: []int32{-2},
		Gain: []float64{1}, InternalValue: []float64{0}, InternalWeight: []float64{2}, InternalCount: []int64{2},
		LeafValue: []float64{low, high}, LeafWeight: []float64{1, 1}, LeafCount: []int64{1, 1}, Shrinkage: 1,
	}
}

func ensemble(objective string, outputs int, t *schema.Template, trees ...gbdt.Tree) *gbdt.Model {
	m := &gbdt.Model{Trees: trees, NumClass: outputs, TreesPerIteration: outputs, Objective: objective}
	for _, f := range t.Features {
		m.FeatureNames = append(m.FeatureNames, f.Name)
		m.FeatureInfos = append(m.FeatureInfos, "none")
	}
	return m
}

// salesModel predicts offset + 1 for a price up to 500, offset + 2 above, and
// a quarter more under promotion.
func salesModel(t testing.TB, version string, offset float64) *model.Model {
	t.Helper()
	tmpl := sales()
	m, err := model.New(version, tmpl, ensemble("regression", 1, tmpl, stump(2, 500, offset+1, offset+2), stump(3, .5, 0, .25)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// classModel predicts the classes by price: the last of them above 500.
func classModel(t testing.TB, version string, classes ...string) *model.Model {
	t.Helper()
	tmpl := sales()
	tmpl.Target, tmpl.Classes, tmpl.Task = "label", classes, schema.Multiclass
	objective, outputs := fmt.Sprintf("multiclass num_class:%d", len(classes)), len(classes)
	if len(classes) == 2 {
		tmpl.Task, objective, outputs = schema.Binary, "binary sigmoid:1", 1
	}
	tmpl.Seal()
	var trees []gbdt.Tree
	for c := range outputs {
		trees = append(trees, stump(2, 500, float64(-c)-1, float64(c)+1))
	}
	m, err := model.New(version, tmpl, ensemble(objective, outputs, tmpl, trees...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// golden are rows with the predictions of m.
func golden(t testing.TB, m *model.Model) *table.Table {
	t.Helper()
	missing := func(c *table.Column, row int) *table.Column { c.Codes[row] = -1; return c }
	raw := table.Must(
		table.Times("date", []int64{1704844800000000, 1704931200000000}),
		table.Strings("category", []string{"Toys", "Electronics"}),
		missing(table.Strings("region", []string{"North", "North"}), 1),
		table.Floats("price", []float64{99.5, 1000}),
		table.Floats("stock", []float64{3, 4}),
		&table.Column{Name: "promo", Type: table.Bool, Floats: []float64{1, 0}},
		table.Strings("note", []string{"it's \"new\"", "b"}),
	)
	p, err := m.PredictTable(raw, 1)
	if err != nil {
		t.Fatal(err)
	}
	out, err := raw.With(p.Columns(m.Template)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shelf is a ModelSource in memory.
type shelf struct {
	mu        sync.Mutex
	current   string
	err       error // of Current
	versions  map[string]func() (*Candidate, error)
	fallbacks []string
	loads     int
}

func newShelf(models ...*Candidate) *shelf {
	s := &shelf{versions: map[string]func() (*Candidate, error){}}
	for _, c := range models {
		s.put(c)
		s.current = c.Model.Version
	}
	return s
}

func (s *shelf) put(c *Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[c.Model.Version] = func() (*Candidate, error) { return c, nil }
}

func (s *shelf) promote(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = version
}

func (s *shelf) Current() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.err
}

func (s *shelf) Load(version string) (*Candidate, error) {
	s.mu.Lock()
	load := s.versions[version]
	s.loads++
	s.mu.Unlock()
	if load == nil {
		return nil, errors.New("no such version")
	}
	return load()
}

func (s *shelf) Fallbacks() []string { return s.fallbacks }

// tape is a log in memory.
type tape struct {
	mu      sync.Mutex
	rows    []predlog.Record
	layouts []*predlog.Layout
	actuals []predlog.Actual
	err     error
	sick    error
	block   chan struct{} // Append waits for it to close
}

func (l *tape) Append(ctx context.Context, layout *predlog.Layout, recs []predlog.Record) error {
	if l.block != nil {
		select {
		case <-l.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, r := range recs {
		r.Values, r.Texts, r.Outputs = slices.Clone(r.Values), slices.Clone(r.Texts), slices.Clone(r.Outputs)
		l.rows = append(l.rows, r)
	}
	l.layouts = append(l.layouts, layout)
	return nil
}

func (l *tape) Healthy() error { return l.sick }

func (l *tape) records() []predlog.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.rows)
}

type actualsTape struct{ *tape }

func (l actualsTape) Append(_ context.Context, actuals []predlog.Actual) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.actuals = append(l.actuals, actuals...)
	return nil
}

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2024, 1, 10, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// rig is a server with everything around it in memory.
type rig struct {
	*Server
	t     testing.TB
	shelf *shelf
	log   *tape
	clock *clock
	notes *strings.Builder // the server's own log; read it when nothing runs
}

// newRig serves a sales model of version v1, or the models given. Adjust
// changes the options.
func newRig(t testing.TB, adjust func(*Options), models ...*Candidate) *rig {
	t.Helper()
	if models == nil {
		m := salesModel(t, "v1", 30)
		models = []*Candidate{{Model: m, Golden: golden(t, m)}}
	}
	r := &rig{t: t, shelf: newShelf(models...), log: &tape{}, clock: newClock(), notes: &strings.Builder{}}
	o := Options{Models: r.shelf, Now: r.clock.now, Log: r.log, Actuals: actualsTape{r.log}, Logger: slog.New(slog.NewTextHandler(r.notes, nil))}
	if adjust != nil {
		adjust(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	s.Reload() //nolint:errcheck // tests look at what came of it
	return r
}

// send makes a request without a network.
func (r *rig) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	return w
}

// row is a request that nothing is wrong with.
const row = `{"date":"2024-01-10","category":"Electronics","region":"North","price":1000,"stock":5,"promo":1,"note":"x"}`

// with is row with fields replaced, added, or taken out when nil.
func with(fields map[string]any) string {
	all := map[string]any{}
	if err := json.Unmarshal([]byte(row), &all); err != nil {
		panic(err)
	}
	for k, v := range fields {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// problemOf checks that w holds a well-formed problem document.
func problemOf(t testing.TB, w *httptest.ResponseRecorder) *Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d has the content type %q: %s", w.Code, got, w.Body)
	}
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if p.Status != w.Code || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, "urn:healml:problem:") {
		t.Fatalf("incomplete problem for status %d: %s", w.Code, w.Body)
	}
	return &p
}

func decodeJSON[T any](t testing.TB, r io.Reader) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
