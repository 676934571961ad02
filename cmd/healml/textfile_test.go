package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bare is a program without a command line, in a directory of its own.
func bare(t *testing.T) (*app, *bytes.Buffer) {
	t.Helper()
	var stderr bytes.Buffer
	now := func() time.Time { return noon }
	a := &app{stdout: io.Discard, stderr: &stderr, clock: now, now: now, root: t.TempDir(), conf: config.Default(), log: slog.New(slog.DiscardHandler)}
	return a, &stderr
}

// wide is a report of n columns, of which the last one drifted, and of one
// prediction.
func wide(n int) *monitor.Report {
	r := &monitor.Report{
		ReportID: "r20260301t120000z-5a2e0b17", Created: "2026-03-01T12:00:00Z", ModelVersion: "v0001-5f3a9c07", Rows: 500, EnoughRows: true, Drift: true,
		Columns: map[string]*monitor.Column{}, Prediction: map[string]*monitor.Column{}, Verdict: "Drift.",
	}
	for i := range n {
		name := fmt.Sprintf("c%03d", i)
		r.Order = append(r.Order, name)
		r.Columns[name] = &monitor.Column{Kind: schema.Numeric, P: monitor.Number(0.1 + float64(n-i)/float64(2*n)), Effect: 0.1, PSI: monitor.Number(math.NaN())}
	}
	last := r.Columns[r.Order[n-1]]
	last.Drift, last.P, last.Reason = true, monitor.Number(math.NaN()), "every value is missing"
	r.PredictionOrder = []string{"predicted_y"}
	r.Prediction["predicted_y"] = &monitor.Column{Kind: schema.Numeric, P: 0.9, Effect: 0.01, PSI: 0.02}
	return r
}

// parse reads a file as node_exporter does.
func parse(t *testing.T, path string) map[string]*dto.MetricFamily {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// value is that of the series of a family whose labels have the value label.
func value(found map[string]*dto.MetricFamily, name, label string) float64 {
	for _, m := range found[name].GetMetric() {
		ok := label == ""
		for _, l := range m.GetLabel() {
			ok = ok || l.GetValue() == label
		}
		if ok {
			return m.GetGauge().GetValue()
		}
	}
	return math.NaN()
}

func TestTextfile(t *testing.T) {
	a, stderr := bare(t)
	dir := filepath.Join(a.root, "prom")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a.conf.Metrics.Textfile = "prom"
	path := filepath.Join(dir, "healml_drift.prom")
	hostile := "a \"b\" \\ \n{} \xff é"
	run := func(r *monitor.Report, err error) map[string]*dto.MetricFamily {
		t.Helper()
		_ = a.measured("drift", func() error {
			if r != nil {
				a.tellDrift(r)
			}
			return err
		})
		return parse(t, path)
	}
	r := wide(300)
	r.Order = append(r.Order, hostile)
	r.Columns[hostile] = &monitor.Column{Kind: schema.Numeric, Drift: true, P: 0.001, Effect: 0.5, PSI: 1}
	r.Performance = &monitor.Performance{Metric: score.MAEMetric, Labeled: 40, Then: 3, Now: 4.5, Drift: true}
	found := run(r, outcome(exitDrift))
	for _, c := range []struct {
		name, label string
		want        float64
	}{
		{"healml_job_exit_code", "drift", 10}, {"healml_job_last_run_timestamp_seconds", "drift", float64(noon.Unix())}, {"healml_job_last_success_timestamp_seconds", "drift", float64(noon.Unix())},
		{"healml_job_duration_seconds", "drift", 0}, {"healml_drift_detected", "", 1}, {"healml_drift_columns", "", 2}, {"healml_drift_rows", "", 500}, {"healml_drift_enough_rows", "", 1},
		{"healml_drift_report_timestamp_seconds", "", float64(noon.Unix())}, {"healml_drift_report_info", "v0001-5f3a9c07", 1},
		{"healml_drift_column_drifted", "c299", 1}, {"healml_drift_column_drifted", "c298", 0}, {"healml_drift_column_p_value", strings.ToValidUTF8(hostile, "�"), 0.001},
		{"healml_performance", "mae", 4.5}, {"healml_performance_reference", "mae", 3}, {"healml_performance_drifted", "mae", 1}, {"healml_performance_rows", "mae", 40},
	} {
		if got := value(found, c.name, c.label); got != c.want {
			t.Errorf("%s of %q is %v, expected %v", c.name, c.label, got, c.want)
		}
	}
	if n := len(found["healml_drift_column_drifted"].GetMetric()); n != mostSeries {
		t.Errorf("%d columns have series", n)
	}
	if n := len(found["healml_drift_column_psi"].GetMetric()); n != 1 {
		t.Errorf("%d series of psi; those that cannot be told have none", n)
	}

	// A run that fails leaves what was found.
	found = run(nil, errors.New("no luck"))
	if value(found, "healml_job_exit_code", "drift") != 1 || value(found, "healml_drift_detected", "") != 1 || len(found["healml_drift_column_drifted"].GetMetric()) != mostSeries {
		t.Errorf("after a failure: %v", found)
	}
	// The next report replaces all of it: columns that are gone, and the metric.
	found = run(wide(3), outcome(exitDrift))
	if n := len(found["healml_drift_column_drifted"].GetMetric()); n != 4 || found["healml_performance"] != nil {
		t.Errorf("%d columns have series; performance %v", n, found["healml_performance"])
	}
	// A damaged file is no hindrance.
	if err := os.WriteFile(path, []byte("healml_drift_detected{ 1\n\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	found = run(nil, nil)
	if value(found, "healml_job_exit_code", "drift") != 0 || found["healml_drift_detected"] != nil {
		t.Errorf("after damage: %v", found)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	if stderr.Len() > 0 {
		t.Errorf("warnings: %s", stderr)
	}
}

// TestTextfileTogether: node_exporter reads all files as one exposition, which
// must be valid.
func TestTextfileTogether(t *testing.T) {
	a, _ := bare(t)
	a.conf.Metrics.Textfile = a.root
	report := wide(3)
	report.Performance = &monitor.Performance{Metric: score.MAEMetric, Now: 5, Then: 4}
	report.Estimate = &monitor.Estimate{Metric: score.MAEMetric, Now: 5}
	report.Domain = &monitor.Domain{AUC: 0.5}
	jobs := map[string]func() error{
		"drift":   func() error { a.tellDrift(report); return outcome(exitDrift) },
		"retrain": func() error { a.tellHealing(&retrain.Incident{Action: heal.Keep, Labels: 7}); return nil },
		"compact": func() error { return nil },
		"train":   func() error { return outcome(exitRejected) },
	}
	merged := map[string]*dto.MetricFamily{}
	for name, job := range jobs {
		_ = a.measured(name, job)
		for family, f := range parse(t, filepath.Join(a.root, "healml_"+name+".prom")) {
			if old := merged[family]; old == nil {
				merged[family] = f
			} else if old.GetHelp() != f.GetHelp() || old.GetType() != f.GetType() {
				t.Errorf("%s is described in two ways", family)
			} else {
				old.Metric = append(old.Metric, f.Metric...)
			}
		}
	}
	if len(merged["healml_job_exit_code"].GetMetric()) != len(jobs) || value(merged, "healml_retrain_action", "keep") != 1 || value(merged, "healml_retrain_labels", "") != 7 {
		t.Errorf("merged %v", merged)
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range merged {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("%s is not in docs/operations.md", name)
		}
	}
	promtool := os.Getenv("HEALML_PROMTOOL")
	if promtool == "" {
		return
	}
	var all bytes.Buffer
	for _, f := range merged {
		if _, err := expfmt.MetricFamilyToText(&all, f); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = &all
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
