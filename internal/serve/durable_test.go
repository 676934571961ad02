package serve

import (
	"fmt"
	"io"
	"net/http"
	"slices"
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

// Columns that only the log has: their values are taken, also of a field that
// training ignored, hidden where they are private, and missing when they were
// not sent. The prediction does not change.
func TestExtraColumns(t *testing.T) {
	preds := t.TempDir()
	clock := newClock()
	log, err := predlog.OpenWriter(preds, predlog.WriterOptions{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("a secret")
	r := newRig(t, func(o *Options) {
		o.Now, o.Log = clock.now, log
		o.Extras = []predlog.Extra{{Name: "client_id", Key: key}, {Name: "row_number"}}
	})
	plain := r.send("POST", "/predict", row).Body.String()
	body := "[" + with(map[string]any{"client_id": "c-1", "row_number": 17}) + "," + with(map[string]any{"client_id": "c-2"}) + "]"
	w := r.send("POST", "/predict", body)
	if value, _, _ := strings.Cut(plain, ","); w.Code != 200 || strings.Count(w.Body.String(), value+",") != 2 {
		t.Fatalf("%d %s; expected the value of %s twice", w.Code, w.Body, plain)
	}
	if w := r.send("POST", "/predict", with(map[string]any{"client_id": []int{1}})); w.Code != 422 && w.Code != 400 {
		t.Errorf("a list as client_id: %d", w.Code)
	}
	if doc := r.send("GET", "/openapi.json", "").Body.String(); !strings.Contains(doc, `"client_id"`) || strings.Count(doc, `"row_number"`) != 1 {
		t.Error("the API's description lacks a column, or has one twice")
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	logged, _, err := predlog.Read(preds, 0, clock.now().Add(time.Hour).UnixMicro(), predlog.ReadOptions{})
	if err != nil || logged.NumRows() != 3 {
		t.Fatal(logged, err)
	}
	var got []string
	for i := range 3 {
		got = append(got, logged.Column("client_id").Text(i)+"/"+logged.Column("row_number").Text(i)+"/"+logged.Column("region").Text(i))
	}
	north := logged.Column("region").Text(0)
	want := []string{"//" + north, predlog.Hide(key, "client_id", "c-1") + "/17/" + north, predlog.Hide(key, "client_id", "c-2") + "//" + north}
	if !slices.Equal(got, want) {
		t.Errorf("logged %q, expected %q", got, want)
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
