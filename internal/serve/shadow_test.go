package serve

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/healml/healml/internal/model"
)

// TestShadow answers with the champion alone, and logs what the challenger,
// whose levels have other codes, would have said, under the same names.
func TestShadow(t *testing.T) {
	champion, challenger := salesModel(t, "v1", 30), salesModel(t, "v2", 130)
	tmpl := *challenger.Template
	tmpl.Columns = slices.Clone(tmpl.Columns)
	tmpl.Columns[1].Levels = []string{"Books", "Toys", "Electronics"}
	tmpl.Columns[0], tmpl.Columns[3] = tmpl.Columns[3], tmpl.Columns[0]
	tmpl.Seal()
	challenger, err := model.New("v2", &tmpl, challenger.Trees)
	if err != nil {
		t.Fatal(err)
	}
	want, log := "v2", &tape{}
	r := newRig(t, func(o *Options) {
		o.Models.(*shelf).put(&Candidate{Model: challenger})
		o.Shadow, o.ShadowLog = func() (string, error) { return want, nil }, log
	}, &Candidate{Model: champion})
	r.inShadow(t, func() {
		for _, body := range []string{row, jsonRows} {
			if w := r.send("POST", "/predict", body); w.Code != 200 || strings.Contains(w.Body.String(), "v2") {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
		}
		if w := r.send("POST", "/predict", csvRows, "Content-Type", csvType); w.Code != 200 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		wait(t, func() bool { return len(log.records()) == 7 })
	})
	answered, shadowed := r.log.records(), log.records()
	for i, s := range shadowed {
		a := answered[i]
		if s.ID != a.ID || s.At != a.At || s.Version != "v2" || s.Outputs[0] != a.Outputs[0]+100 || len(s.Values) > 0 {
			t.Errorf("row %d: the champion %+v, the challenger %+v", i, a, s)
		}
	}
	if n := len(log.layouts[0].Columns); n != 0 {
		t.Errorf("rows are logged twice: %d columns", n)
	}
	text := r.send("GET", "/metrics", "").Body.String()
	for _, line := range []string{`healml_shadow_info{model_version="v2"} 1`, "healml_shadow_rows_total 7", "healml_shadow_passed_rows_total 0"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	want = ""
	r.Reload() //nolint:errcheck // the model stays
	if r.shadow.challenger.Load() != nil {
		t.Error("the shadow goes on after it ended")
	}
}

// TestShadowCostsNoAnswer passes rows over while nobody scores, and then rests.
func TestShadowCostsNoAnswer(t *testing.T) {
	champion, challenger := salesModel(t, "v1", 30), salesModel(t, "v2", 130)
	r := newRig(t, func(o *Options) {
		o.Models.(*shelf).put(&Candidate{Model: challenger})
		o.Shadow = func() (string, error) { return "v2", nil }
	}, &Candidate{Model: champion})
	for range 3 * shadowQueue { // Run is not called: the queue is drained by nobody
		if w := r.send("POST", "/predict", row); w.Code != 200 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
	if got := testutil.ToFloat64(r.metrics.shadowPassed); got != 2*shadowQueue {
		t.Errorf("%v rows were passed over, expected %d", got, 2*shadowQueue)
	}
	r.clock.advance(shadowWindow + 1)
	r.send("POST", "/predict", row)
	if r.shadow.active(r.clock.now()) || !strings.Contains(r.notes.String(), "scoring in shadow rests") {
		t.Error("the shadow does not rest")
	}
	for len(r.shadow.queue) > 0 {
		<-r.shadow.queue
	}
	r.clock.advance(shadowRest)
	r.send("POST", "/predict", row)
	if !r.shadow.active(r.clock.now()) || len(r.shadow.queue) != 1 {
		t.Error("the shadow does not go on after its rest")
	}
}

// TestShadowThatCannotLoad leaves the champion alone and says so once.
func TestShadowThatCannotLoad(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Shadow = func() (string, error) { return "v9", nil } })
	loads := r.shelf.loads
	for range 3 {
		r.Reload() //nolint:errcheck // the model stays
	}
	if w := r.send("POST", "/predict", row); w.Code != 200 || r.shelf.loads != loads || strings.Count(r.notes.String(), "cannot be scored in shadow") != 1 {
		t.Errorf("%d after %d loads: %s", w.Code, r.shelf.loads, r.notes)
	}
	r.clock.advance(lastRetry + 1)
	r.Reload() //nolint:errcheck // the model stays
	if r.shelf.loads != loads+1 {
		t.Error("it is not tried again")
	}
	r = newRig(t, func(o *Options) { o.Shadow = func() (string, error) { return "", fmt.Errorf("unreadable") } })
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

// inShadow calls f while the server runs.
func (r *rig) inShadow(t *testing.T, f func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, ln) }()
	f()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// wait polls until ok.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
