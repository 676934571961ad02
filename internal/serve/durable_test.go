package serve

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/predlog"
)

// Both logs fit as they are.
var (
	_ Sink        = (*predlog.Writer)(nil)
	_ ActualsSink = (*predlog.ActualsWriter)(nil)
)

// TestWithTheRealLogs serves on the logs that production writes, and reads
// back what was answered.
func TestWithTheRealLogs(t *testing.T) {
	preds, actuals := t.TempDir(), t.TempDir()
	clock := newClock()
	log, err := predlog.OpenWriter(preds, predlog.WriterOptions{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	truth, err := predlog.OpenActualsWriter(actuals, predlog.WriterOptions{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Now, o.Log, o.Actuals = clock.now, log, truth })
	want := map[string]float64{}
	for i := range 20 {
		w := r.send("POST", "/predict", with(map[string]any{"price": 50 * i, "category": fmt.Sprint("c", i), "note": nil}))
		a := decodeJSON[struct {
			ID    string  `json:"prediction_id"`
			Value float64 `json:"predicted_sales"`
		}](t, w.Body)
		want[a.ID] = a.Value
		if w := r.send("POST", "/actuals", fmt.Sprintf(`{"prediction_id":%q,"sales":%d}`, a.ID, i)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := truth.Close(); err != nil {
		t.Fatal(err)
	}
	from, to := clock.now().Add(-time.Hour).UnixMicro(), clock.now().Add(time.Hour).UnixMicro()
	logged, _, err := predlog.Read(preds, from, to, predlog.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if logged.NumRows() != len(want) {
		t.Fatalf("%d rows logged, %d answered", logged.NumRows(), len(want))
	}
	for i := range logged.NumRows() {
		id := logged.Column("prediction_id").Text(i)
		v, ok := want[id]
		if got := logged.Column("predicted_sales").Floats[i]; !ok || got != v || logged.Column("category").Text(i) == "" || !logged.Column("note").Missing(i) {
			t.Errorf("row %d (%s) logged %v, answered %v", i, id, got, v)
		}
	}
	joined, _, err := predlog.ReadActuals(actuals, from, to, predlog.ReadOptions{})
	if err != nil || joined.NumRows() != len(want) {
		t.Errorf("%v; %d actuals", err, joined.NumRows())
	}
}

// BenchmarkServeDurably measures whole requests: connections, decoding,
// predicting, and the fsync before each answer.
func BenchmarkServeDurably(b *testing.B) {
	log, err := predlog.OpenWriter(b.TempDir(), predlog.WriterOptions{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	r := newRig(b, func(o *Options) { o.Log, o.Now = log, time.Now })
	url, stop := r.run()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	b.SetParallelism(32) // × GOMAXPROCS connections
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(url+"/predict", "application/json", strings.NewReader(benchRow))
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body) //nolint:errcheck // the status is looked at
			resp.Body.Close()
			if resp.StatusCode != 200 {
				b.Errorf("status %d", resp.StatusCode)
			}
		}
	})
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		b.Error(err)
	}
}
