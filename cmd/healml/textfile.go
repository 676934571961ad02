package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
)

// mostSeries is how many columns have series of their own.
const mostSeries = 100

// gauge is a value with its labels (name, value, name, value, …).
type gauge struct {
	name, help string
	value      float64
	labels     []string
}

// leaveMetrics writes how a run of a job went, and what it found, for
// node_exporter's textfile collector: healml_<job>.prom. What an earlier run
// found stays when this one found nothing, because it failed.
func (a *app) leaveMetrics(job string, start, end time.Time, err error) {
	dir := a.below(a.conf.Metrics.Textfile)
	if dir == "" {
		return
	}
	code := exitDone
	if err != nil {
		code = exitCode(err)
	}
	at := func(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
	all := append(slices.Clone(a.gauges),
		gauge{"healml_job_last_run_timestamp_seconds", "When a job last ended.", at(end), []string{"job_name", job}},
		gauge{"healml_job_duration_seconds", "How long a job's last run took.", end.Sub(start).Seconds(), []string{"job_name", job}},
		gauge{"healml_job_exit_code", "Exit code of a job's last run; 10, drift, and 11, no cure, are findings and no failures.", float64(code), []string{"job_name", job}},
	)
	if err == nil || isSilent(err) {
		all = append(all, gauge{"healml_job_last_success_timestamp_seconds", "When a job last succeeded.", at(end), []string{"job_name", job}})
	}
	path := filepath.Join(dir, "healml_"+job+".prom")
	gather := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		found, err := families(all)
		if err != nil {
			return nil, err
		}
		kept := readFamilies(path)
		if len(a.gauges) > 0 { // what this run found replaces all that the last one did
			maps.DeleteFunc(kept, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "healml_job_") })
		}
		for _, f := range found {
			kept[f.GetName()] = f
		}
		return slices.SortedFunc(maps.Values(kept), func(x, y *dto.MetricFamily) int { return cmp.Compare(x.GetName(), y.GetName()) }), nil
	})
	if err := prometheus.WriteToTextfile(path, gather); err != nil {
		a.warn("metrics.textfile: %v", err)
	}
}

// families are gauges as Prometheus writes them. Values that are not numbers
// are left out: what cannot be told has no series.
func families(all []gauge) ([]*dto.MetricFamily, error) {
	reg := prometheus.NewPedanticRegistry()
	vectors := map[string]*prometheus.GaugeVec{}
	for _, g := range all {
		if math.IsNaN(g.value) {
			continue
		}
		var names, values []string
		for i := 0; i+1 < len(g.labels); i += 2 {
			names, values = append(names, g.labels[i]), append(values, strings.ToValidUTF8(g.labels[i+1], "�"))
		}
		v := vectors[g.name]
		if v == nil {
			v = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: g.name, Help: g.help}, names)
			if err := reg.Register(v); err != nil {
				return nil, err
			}
			vectors[g.name] = v
		}
		v.WithLabelValues(values...).Set(g.value)
	}
	return reg.Gather()
}

// readFamilies reads a file that leaveMetrics wrote; one that is not there or
// is damaged is empty.
func readFamilies(path string) map[string]*dto.MetricFamily {
	f, err := os.Open(path)
	if err != nil {
		return map[string]*dto.MetricFamily{}
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(io.LimitReader(f, 16<<20))
	if err != nil || found == nil {
		return map[string]*dto.MetricFamily{}
	}
	return found
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// driftGauges are what a live report says.
func driftGauges(r *monitor.Report) []gauge {
	columns := seriesOf(r)
	drifted := 0
	for _, c := range r.Columns {
		if c.Drift {
			drifted++
		}
	}
	out := []gauge{
		{"healml_drift_detected", "1 when the last drift report found drift.", truth(r.Drift), nil},
		{"healml_drift_columns", "Columns that drifted in the last drift report.", float64(drifted), nil},
		{"healml_drift_rows", "Rows compared in the last drift report.", float64(r.Rows), nil},
		{"healml_drift_enough_rows", "0 when the last drift report had too few rows for a verdict.", truth(r.EnoughRows), nil},
	}
	if at, err := time.Parse(time.RFC3339, r.Created); err == nil {
		out = append(out, gauge{"healml_drift_report_timestamp_seconds", "When the last drift report was made.", float64(at.Unix()), nil})
	}
	if r.ModelVersion != "" {
		out = append(out, gauge{"healml_drift_report_info", "The version that the last drift report is on, 1.", 1, []string{"model_version", r.ModelVersion}})
	}
	for _, c := range columns {
		labels := []string{"column", c.name, "role", c.role}
		out = append(out,
			gauge{"healml_drift_column_drifted", "1 when the column drifted in the last report. At most 100 columns have series, the most drifted.", truth(c.Drift), labels},
			gauge{"healml_drift_column_p_value", "The column's p-value in the last report.", float64(c.P), labels},
			gauge{"healml_drift_column_effect", "Greatest change of the column's distribution in the last report, as a share of rows.", float64(c.Effect), labels},
			gauge{"healml_drift_column_psi", "The column's population stability index in the last report.", float64(c.PSI), labels},
		)
	}
	if p := r.Performance; p != nil {
		labels := []string{"metric", string(p.Metric)}
		out = append(out,
			gauge{"healml_performance", "The metric on the labelled rows of the last report.", float64(p.Now), labels},
			gauge{"healml_performance_reference", "The metric on the holdout, when the version was accepted.", float64(p.Then), labels},
			gauge{"healml_performance_drifted", "1 when the metric is worse than tolerated.", truth(p.Drift), labels},
			gauge{"healml_performance_rows", "Labelled rows that the metric was taken on.", float64(p.Labeled), labels},
		)
	}
	if e := r.Estimate; e != nil {
		out = append(out, gauge{"healml_performance_estimate", "The metric that is expected where the truth is not known yet.", float64(e.Now), []string{"metric", string(e.Metric)}})
	}
	if d := r.Domain; d != nil {
		out = append(out, gauge{"healml_drift_domain_auc", "How well a classifier tells the current rows from the reference; 0.5: not at all.", float64(d.AUC), nil})
	}
	return out
}

// series is a column that has series of its own.
type series struct {
	*monitor.Column
	name, role string
}

// seriesOf are the columns of a report, the most drifted first, as many as may
// have series.
func seriesOf(r *monitor.Report) []series {
	var all []series
	for _, name := range r.Order {
		all = append(all, series{r.Columns[name], name, "input"})
	}
	for _, name := range r.PredictionOrder {
		all = append(all, series{r.Prediction[name], name, "prediction"})
	}
	unknown := func(v monitor.Number, last float64) float64 {
		if math.IsNaN(float64(v)) {
			return last
		}
		return float64(v)
	}
	slices.SortStableFunc(all, func(x, y series) int {
		return cmp.Or(cmp.Compare(truth(y.Drift), truth(x.Drift)), cmp.Compare(unknown(x.P, 2), unknown(y.P, 2)), cmp.Compare(unknown(y.Effect, -1), unknown(x.Effect, -1)))
	})
	return all[:min(len(all), mostSeries)]
}

// healingGauges are what a round of healing came to.
func healingGauges(in *retrain.Incident) []gauge {
	return []gauge{
		{"healml_retrain_promoted", "1 when the last round of healing put a version in force.", truth(in.Promoted), nil},
		{"healml_retrain_action", "What the last round of healing did, 1.", 1, []string{"action", string(in.Action)}},
		{"healml_retrain_labels", "Labelled rows that the champion did not know in the last round of healing.", float64(in.Labels), nil},
		{"healml_retrain_trials", "Cures that were tried in the last round of healing.", float64(len(in.Trials)), nil},
	}
}

// checkTextfile: the directory of metrics.textfile can be written.
func (a *app) checkTextfile() []check {
	dir := a.below(a.conf.Metrics.Textfile)
	if dir == "" {
		return nil
	}
	const mend = "make the directory and let this user write there, or mend metrics.textfile"
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", dir)
	}
	if err == nil {
		probe := filepath.Join(dir, ".healml-doctor")
		if err = prometheus.WriteToTextfile(probe, prometheus.NewRegistry()); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		return []check{fault("metrics", mend, "%v", err)}
	}
	return []check{ok("metrics", "%s can be written", dir)}
}
