package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/healml/healml/internal/alert"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// waiting are the events in a program's outbox.
func waiting(t *testing.T, a *app) []alert.Event {
	t.Helper()
	ids, err := a.outbox().List()
	if err != nil {
		t.Fatal(err)
	}
	var out []alert.Event
	for _, id := range ids {
		b, err := os.ReadFile(filepath.Join(a.outbox().Dir, id+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var entry struct{ Event alert.Event }
		if err := json.Unmarshal(b, &entry); err != nil {
			t.Fatal(err)
		}
		out = append(out, entry.Event)
	}
	return out
}

// TestTellDrift: an event has what drifted, with the change where the report
// has one, else the fault, else the reason.
func TestTellDrift(t *testing.T) {
	a, stderr := bare(t)
	a.conf.Alert.Webhook = "https://example.com"
	r := wide(4)
	for name, c := range r.Columns {
		c.Drift, c.Reason = true, "reason of "+name
	}
	since := monitor.Since{At: "2026-02-28T00:00:00Z", Lo: "2026-02-27T00:00:00Z", Hi: "2026-03-01T00:00:00Z"}
	r.Columns["c000"].Change = &monitor.Change{Kind: monitor.ShiftChange, Text: "numbers moved by 3", Since: &since}
	r.Columns["c001"].Change = &monitor.Change{Kind: monitor.ShapeChange}
	r.Faults = []monitor.Fault{{Column: "c002", Kind: "frozen", Detail: "one value in every row"}, {Column: "c002", Kind: "unit", Detail: "second"}, {Kind: "volume", Detail: "half"}}
	r.Columns["c003"].Drift = false
	r.Prediction["predicted_y"].Drift, r.Prediction["predicted_y"].Reason = true, "the mean moved"
	r.Performance = &monitor.Performance{Metric: score.MAEMetric, Now: 5, Lo: 4, Hi: 6, Then: 2, Labeled: 90, Drift: true}
	r.Estimate = &monitor.Estimate{Metric: score.MAEMetric, Now: 5.5, Lo: 5, Hi: 6, Then: 2, Drift: true}
	r.Dependence = []monitor.Dependence{{A: "c000", B: "c001", Measure: "spearman", Then: 0.9, Now: 0.1, Drift: true}, {A: "c001", B: "c002"}}
	r.Domain = &monitor.Domain{AUC: 0.875, Drift: true}
	a.tellDrift(r)
	got := waiting(t, a)
	if len(got) != 1 || stderr.Len() > 0 {
		t.Fatalf("%d events; %s", len(got), stderr)
	}
	want := []alert.Column{
		{Column: "c000", Role: "input", Change: "shift", Text: "numbers moved by 3", Since: &alert.Since{At: since.At, Lo: since.Lo, Hi: since.Hi}},
		{Column: "c001", Role: "input", Change: "shape", Text: "reason of c001"},
		{Column: "c002", Role: "input", Change: "frozen", Text: "one value in every row"},
		{Column: "predicted_y", Role: "prediction", Text: "the mean moved"},
		{Column: "mae", Role: "metric", Text: r.Performance.String()},
		{Column: "mae", Role: "estimate", Text: "estimated at 5.5 (5 to 6), was 2 on the holdout"},
		{Column: "c000 × c001", Role: "dependence", Text: "spearman went from 0.9 to 0.1"},
		{Column: "all columns", Role: "together", Text: "a classifier tells the rows from the reference's: AUC 0.875"},
	}
	gotJSON, _ := json.Marshal(got[0].Columns)
	wantJSON, _ := json.Marshal(want)
	if string(gotJSON) != string(wantJSON) || got[0].Event != alert.Drift || got[0].ReportID != r.ReportID || got[0].ModelVersion != r.ModelVersion || got[0].Verdict != r.Verdict {
		t.Errorf("%+v with columns\n%s, expected\n%s", got[0], gotJSON, wantJSON)
	}
	a.tellDrift(r)
	if len(waiting(t, a)) != 1 {
		t.Error("the same report is told twice")
	}
}

// TestTellHealing: what was done is told each time, what was refused once, and
// nothing to do never.
func TestTellHealing(t *testing.T) {
	a, _ := bare(t)
	a.conf.Alert.Command = []string{"true"}
	for i, c := range []struct {
		in   retrain.Incident
		want string
	}{
		{retrain.Incident{ID: "i1", Champion: "v1", Action: heal.None}, ""},
		{retrain.Incident{ID: "i2", Champion: "v1", Action: heal.Keep}, alert.Rejected},
		{retrain.Incident{ID: "i3", Champion: "v1", Action: heal.Keep}, ""},
		{retrain.Incident{ID: "i4", Champion: "v1", Action: heal.Retrain, Version: "v2"}, ""}, // published and not in force
		{retrain.Incident{ID: "i5", Champion: "v1", Action: heal.Retrain, Version: "v2", Promoted: true}, alert.Healed},
		{retrain.Incident{ID: "i6", Champion: "v2", Action: heal.Keep}, alert.Rejected},
		{retrain.Incident{ID: "i7", Champion: "v2", Action: heal.Rollback, Version: "v1", Promoted: true}, alert.Healed},
	} {
		before := len(waiting(t, a))
		now := noon.Add(time.Duration(i) * time.Minute)
		a.now = func() time.Time { return now }
		c.in.Reason = "because"
		a.tellHealing(&c.in)
		got := waiting(t, a)
		switch {
		case c.want == "" && len(got) != before:
			t.Errorf("%s: told %+v", c.in.ID, got[before])
		case c.want != "" && (len(got) != before+1 || got[before].Event != c.want || got[before].Action != string(c.in.Action) || got[before].IncidentID != c.in.ID):
			t.Errorf("%s: %d events, expected one of %s", c.in.ID, len(got)-before, c.want)
		case c.want == alert.Healed && (got[before].ModelVersion != c.in.Version || got[before].Promoted != c.in.Version):
			t.Errorf("%s: %+v", c.in.ID, got[before])
		}
	}
}

// TestTellNobody: without a channel nothing is written.
func TestTellNobody(t *testing.T) {
	a, _ := bare(t)
	a.ranJob = true
	a.tellDrift(wide(2))
	a.tellHealing(&retrain.Incident{Action: heal.Keep})
	a.sendAlerts(context.Background())
	if entries, err := os.ReadDir(a.root); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestTellFullDisk: an outbox that cannot be written is a warning.
func TestTellFullDisk(t *testing.T) {
	a, stderr := bare(t)
	a.conf.Alert.Command = []string{"true"}
	if err := os.WriteFile(filepath.Join(a.root, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a.tellDrift(wide(2))
	a.ranJob = true
	a.sendAlerts(context.Background())
	if s := stderr.String(); !strings.Contains(s, "warning: alert: the event drift may not be told") {
		t.Errorf("warnings: %s", s)
	}
}

// TestAlertKilled: a job that is killed while a receiver lets it wait has lost
// nothing, and one that is told to stop stops at once, with its own exit code.
func TestAlertKilled(t *testing.T) {
	root := t.TempDir()
	sales, _ := synth.Sales(1, synth.Options{Days: 120, Still: true})
	if err := table.Write(filepath.Join(root, "sales.csv"), sales); err != nil {
		t.Fatal(err)
	}
	dear := sales.Column("price")
	for i := range dear.Floats {
		dear.Floats[i] *= 3
	}
	if err := table.Write(filepath.Join(root, "dear.csv"), sales); err != nil {
		t.Fatal(err)
	}
	healml(t, root, nil, "--now", "2022-05-01T00:00:00Z", "train", "sales.csv", "--target", "sales", "--time", "date")
	healml(t, root, nil, "--now", "2022-07-01T00:00:00Z", "predict", "dear.csv", "--log", "--out", "out.csv")

	arrived, answer := make(chan string, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get("webhook-id")
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	env := []string{"HEALML_ALERT_WEBHOOK=" + server.URL, "HEALML_ALERT_TIMEOUT=1m"}
	drift := start(t, root, env, "--now", "2022-07-01T01:00:00Z", "drift")
	first := <-arrived
	drift.kill()
	stopped := start(t, root, env, "--now", "2022-07-01T02:00:00Z", "drift")
	if id := <-arrived; id != first {
		t.Errorf("after the kill %s was sent, expected %s again", id, first)
	}
	if err := stopped.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if code := stopped.code(t); code != exitDrift || time.Since(begin) > 10*time.Second {
		t.Errorf("told to stop, it ended with %d after %v", code, time.Since(begin))
	}
	close(answer)
	last := start(t, root, env, "--now", "2022-07-01T03:00:00Z", "log", "compact")
	if code := last.code(t); code != exitDone || <-arrived != first || strings.Contains(last.stderr.String(), "warning") {
		t.Errorf("ended with %d: %s", code, last.stderr.String())
	}
	if len(arrived) > 0 {
		t.Errorf("%d more were sent: the news is the same", len(arrived))
	}
}
