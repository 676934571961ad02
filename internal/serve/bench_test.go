package serve

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/predlog"
)

// void is a log that is always ready and keeps nothing.
type void struct{}

func (void) Append(context.Context, *predlog.Layout, []predlog.Record) error { return nil }
func (void) Healthy() error                                                  { return nil }

const benchRow = `{"date":"2024-01-10","category":"Electronics","region":"North","price":1000,"stock":5,"promo":1}`

func BenchmarkDecode(b *testing.B) {
	p := newPlan(salesModel(b, "v1", 30).Encoder(), false)
	for name, body := range map[string]string{"row": benchRow, "rows100": "[" + strings.Repeat(benchRow+",", 99) + benchRow + "]"} {
		b.Run(name, func(b *testing.B) {
			s := batch{body: []byte(body)}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.decode(&s, 1000); err != nil || s.faults != nil {
					b.Fatal(err, s.faults)
				}
			}
		})
	}
}

// discard is an http.ResponseWriter without a connection.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkHandler(b *testing.B) {
	for name, body := range map[string]string{"row": benchRow, "rows100": "[" + strings.Repeat(benchRow+",", 99) + benchRow + "]"} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, func(o *Options) { o.Log, o.Now = void{}, time.Now })
			reader := strings.NewReader(body)
			req := httptest.NewRequest("POST", "/predict", reader)
			req.Body = io.NopCloser(reader)
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				w.status = 200
				r.Handler().ServeHTTP(w, req)
				if w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// TestSteadyStateDoesNotAllocate holds the decoder to its promise.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	p := newPlan(salesModel(t, "v1", 30).Encoder(), false)
	s := batch{body: []byte("[" + benchRow + "," + benchRow + "]")}
	if n := testing.AllocsPerRun(100, func() {
		if err := p.decode(&s, 10); err != nil || s.faults != nil {
			t.Fatal(err, s.faults)
		}
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
