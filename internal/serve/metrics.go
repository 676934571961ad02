package serve

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
)

// LogStats is the state of the prediction log.
type LogStats struct {
	Rows      int64 // records made durable since the start
	TornBytes int64 // cut off the ends of files when they were recovered
	LostRows  int64 // answered and lost after all; 0 unless durability was relaxed
	Queue     int   // records waiting to be written
	Busy      int64 // appends refused because the queue was full
	Errors    int64 // writes and syncs that the disk refused
	// LossWindow is what a power cut may lose; 0 when records are durable
	// before they are answered.
	LossWindow time.Duration
}

// SyncTimes is the distribution of how long the log's syncs to disk take. It
// is made before the log, whose writer reports to Observe, and then shown by
// the server.
type SyncTimes struct{ h prometheus.Histogram }

// NewSyncTimes returns an empty distribution.
func NewSyncTimes() *SyncTimes {
	return &SyncTimes{prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "healml_log_sync_seconds", Help: "Time of a sync of the prediction log to disk.", Buckets: latencies})}
}

// Observe adds the duration of one sync.
func (t *SyncTimes) Observe(d time.Duration) { t.h.Observe(d.Seconds()) }

// Surroundings is what other processes left on disk for the server to show.
type Surroundings struct {
	// Jobs is when each job last succeeded; zero for never.
	Jobs map[string]time.Time
	// Drift is the last verdict; nil when there is none.
	Drift *Verdict
	// Coverage is how far the actuals have come; nil when it was never
	// counted.
	Coverage *Coverage
}

// Coverage says how many predictions have their actual, and how late these
// came.
type Coverage struct {
	At                 time.Time // when it was counted
	Share              float64
	Unknown, Conflicts int
	LagMedian, Lag90   time.Duration // 0 when none came
}

// Verdict is the outcome of a drift report.
type Verdict struct {
	At      time.Time // when the report was made
	Drift   bool
	Columns int // that drifted
}

// latencies are the bounds of the latency histograms: 100 µs to 10 s.
var latencies = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// metrics are the server's counters. Labels take values from the routes, the
// model and a fixed set, never from clients.
type metrics struct {
	registry     *prometheus.Registry
	requests     *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	prediction   prometheus.Histogram
	swaps        prometheus.Counter
	swapFailures prometheus.Counter
	shed         prometheus.Counter
	denied       *prometheus.CounterVec
	panics       prometheus.Counter
	logFailures  prometheus.Counter
	predictions  prometheus.Counter
	repaired     prometheus.Counter
	actuals      prometheus.Counter
	// Of the challenger in shadow.
	shadowRows, shadowPassed, shadowSeconds prometheus.Counter
	unseen                                  *prometheus.CounterVec
	missing                                 *prometheus.CounterVec
	outOfRange                              *prometheus.CounterVec
}

func newMetrics() *metrics {
	r := prometheus.NewRegistry()
	m := &metrics{registry: r}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	m.requests = counters("http_requests_total", "Requests answered.", "method", "endpoint", "http_status")
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_latency_seconds", Help: "Time from the end of a request's headers to the end of its answer.", Buckets: latencies,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100}, []string{"endpoint"})
	m.prediction = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "prediction_latency_seconds", Help: "Time to predict the rows of one request, without reading, logging and answering it.", Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12)})
	r.MustRegister(m.latency, m.prediction,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.swaps = counter("healml_model_swaps_total", "Times that a new version took over while serving.")
	m.swapFailures = counter("healml_model_swap_failures_total", "Attempts to take the current version that failed and kept the old one.")
	m.shed = counter("healml_requests_shed_total", "Requests refused because too many were in flight.")
	m.denied = counters("healml_requests_denied_total", "Requests refused for want of a token that is good for them.", "reason")
	m.panics = counter("healml_panics_total", "Requests that ended in a panic, answered with 500.")
	m.logFailures = counter("healml_log_failures_total", "Requests refused because a log could not take their rows.")
	m.predictions = counter("healml_predictions_total", "Rows predicted, logged and answered.")
	m.repaired = counter("healml_repaired_rows_total", "Rows predicted as if a fault of the feed were undone.")
	m.actuals = counter("healml_actuals_received_total", "Rows of ground truth taken in over HTTP.")
	m.shadowRows = counter("healml_shadow_rows_total", "Rows that the challenger in shadow predicted, too.")
	m.shadowPassed = counter("healml_shadow_passed_rows_total", "Rows that it was not asked about, for the server was busy.")
	m.shadowSeconds = counter("healml_shadow_seconds_total", "Time spent on predicting and logging in shadow, beside answering.")
	m.unseen = counters("healml_unseen_categories_total", "Values of a category that training never saw.", "column")
	m.missing = counters("healml_missing_values_total", "Missing values in predicted rows.", "column")
	m.outOfRange = counters("healml_out_of_range_values_total", "Numbers beyond those seen in training.", "column")
	return m
}

// unusual counts, per column, what was unusual in one raw row.
func (m *metrics) unusual(cols []schema.Column, raw []float64) {
	for i := range cols {
		c, v := &cols[i], raw[i]
		switch {
		case c.Kind == schema.Text:
		case math.IsNaN(v):
			m.missing.WithLabelValues(c.Name).Inc()
		case c.Kind == schema.Categorical && v < 0:
			m.unseen.WithLabelValues(c.Name).Inc()
		case c.Kind == schema.Numeric && (c.Min == nil || v < *c.Min || v > *c.Max):
			m.outOfRange.WithLabelValues(c.Name).Inc()
		}
	}
}

// expose starts every series of a template's columns at zero, so that the
// first increase is seen as one.
func (m *metrics) expose(cols []schema.Column) {
	for i := range cols {
		name := cols[i].Name
		m.missing.WithLabelValues(name)
		switch cols[i].Kind {
		case schema.Categorical:
			m.unseen.WithLabelValues(name)
		case schema.Numeric:
			m.outOfRange.WithLabelValues(name)
		}
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, EnableOpenMetrics: true})
}

// modelStats counts what one version predicted. It is shown only while that
// version serves, so that versions do not pile up in the monitoring.
type modelStats struct {
	values  prometheus.Histogram
	classes []prometheus.Counter
}

func newModelStats(version string, t *schema.Template, sample []float64) *modelStats {
	labels := prometheus.Labels{"model_version": version}
	s := &modelStats{values: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "healml_prediction_value", Help: "Predicted value; P(class 1) of two classes; probability of the best of more.",
		ConstLabels: labels, Buckets: valueBounds(t.Task, sample)})}
	for _, class := range t.Classes {
		s.classes = append(s.classes, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "healml_predicted_classes_total", Help: "Rows predicted to be of a class.",
			ConstLabels: prometheus.Labels{"model_version": version, "class": class}}))
	}
	return s
}

// valueBounds divides the range of predictions: tenths for probabilities, 12
// equal steps around a sample of values otherwise.
func valueBounds(task schema.Task, sample []float64) []float64 {
	if task.Classified() {
		return prometheus.LinearBuckets(.1, .1, 10)
	}
	lo, hi := slices.Min(sample), slices.Max(sample)
	if hi-lo <= 1e-9*(1+math.Abs(lo)) {
		lo, hi = lo-1-math.Abs(lo)/2, hi+1+math.Abs(hi)/2
	}
	return prometheus.LinearBuckets(lo-(hi-lo)/10, (hi-lo)/10, 13)
}

func (s *modelStats) observe(v *live, b *batch) {
	k := v.model.Template.Outputs()
	for i := range b.rows {
		outputs := b.outputs[i*k : (i+1)*k]
		s.values.Observe(v.measured(outputs))
		if s.classes != nil {
			s.classes[model.Best(outputs)].Inc()
		}
	}
}

// gauges collects what is read at the moment of a scrape.
type gauges struct{ s *Server }

var (
	infoDesc     = prometheus.NewDesc("healml_model_info", "The version that serves, 1.", []string{"model_version", "task", "target"}, nil)
	flightDesc   = prometheus.NewDesc("healml_requests_in_flight", "Requests being worked on.", nil, nil)
	shadowDesc   = prometheus.NewDesc("healml_shadow_info", "The version that is scored in shadow: 1, or 0 while it rests because the server is busy.", []string{"model_version"}, nil)
	loadDesc     = prometheus.NewDesc("healml_model_loaded_timestamp_seconds", "When the version that serves was loaded.", nil, nil)
	degrDesc     = prometheus.NewDesc("healml_degraded", "1 when the version that serves is not the one that should.", nil, nil)
	feedDesc     = prometheus.NewDesc("healml_feed_repairs", "Faults of the feed that are undone before rows are predicted, 1 each.", []string{"column", "kind"}, nil)
	rowsDesc     = prometheus.NewDesc("healml_log_rows_total", "Predictions made durable in the log.", nil, nil)
	tornDesc     = prometheus.NewDesc("healml_log_torn_bytes_total", "Bytes cut off the ends of log files when they were recovered.", nil, nil)
	lostDesc     = prometheus.NewDesc("healml_log_lost_rows_total", "Predictions answered and lost by the log; 0 unless durability was relaxed.", nil, nil)
	waitDesc     = prometheus.NewDesc("healml_log_queue_rows", "Predictions waiting to be written to the log.", nil, nil)
	ageDesc      = prometheus.NewDesc("healml_job_age_seconds", "Time since a job last succeeded; +Inf when it never did.", []string{"job_name"}, nil)
	coverDesc    = prometheus.NewDesc("healml_actuals_coverage", "Share of the predictions of the last 30 days whose actual came in, when it was last counted.", nil, nil)
	unknownDesc  = prometheus.NewDesc("healml_actuals_unknown", "Actuals of predictions that are not in the log.", nil, nil)
	conflictDesc = prometheus.NewDesc("healml_actuals_conflicts", "Actuals that contradict an earlier one of their prediction.", nil, nil)
	countedDesc  = prometheus.NewDesc("healml_actuals_counted_timestamp_seconds", "When coverage was counted, by log compact.", nil, nil)
	lagDesc      = prometheus.NewDesc("healml_actuals_lag_seconds", "Time from a prediction to its actual: quantiles over those that came in.", []string{"quantile"}, nil)
	windowDesc   = prometheus.NewDesc("healml_log_loss_window_seconds", "What a power cut may lose of the log: 0 when predictions are on disk before they are answered.", nil, nil)
	busyDesc     = prometheus.NewDesc("healml_log_busy_total", "Appends to the log that were refused because its queue was full.", nil, nil)
	errorDesc    = prometheus.NewDesc("healml_log_errors_total", "Writes and syncs of the log that the disk refused.", nil, nil)
	drftDesc     = prometheus.NewDesc("healml_drift_detected", "1 when the last drift report found drift.", nil, nil)
	dcolDesc     = prometheus.NewDesc("healml_drift_columns", "Columns that drifted in the last drift report.", nil, nil)
	dateDesc     = prometheus.NewDesc("healml_drift_report_timestamp_seconds", "When the last drift report was made.", nil, nil)
)

// Describe sends nothing: what is collected depends on the model and the
// options, so the registry checks it at each scrape instead.
func (gauges) Describe(chan<- *prometheus.Desc) {}

func (g gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if v := g.s.holder.live.Load(); v != nil {
		t := v.model.Template
		gauge(infoDesc, 1, v.version, string(t.Task), t.Target)
		gauge(loadDesc, seconds(v.since))
		v.stats.values.Collect(ch)
		for _, c := range v.stats.classes {
			c.Collect(ch)
		}
	}
	if c := g.s.shadow.challenger.Load(); c != nil {
		gauge(shadowDesc, truth(g.s.shadow.active(g.s.o.Now())), c.version)
	}
	for _, s := range g.s.holder.undone() {
		gauge(feedDesc, 1, s.Column, string(s.Kind))
	}
	gauge(flightDesc, float64(g.s.inFlight.Load()))
	gauge(degrDesc, truth(g.s.holder.fault.Load() != nil))
	if f := g.s.o.LogStats; f != nil {
		st := f()
		gauge(waitDesc, float64(st.Queue))
		gauge(windowDesc, st.LossWindow.Seconds())
		for d, n := range map[*prometheus.Desc]int64{busyDesc: st.Busy, errorDesc: st.Errors, rowsDesc: st.Rows, tornDesc: st.TornBytes, lostDesc: st.LostRows} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
		}
	}
	if t := g.s.o.SyncTimes; t != nil {
		t.h.Collect(ch)
	}
	if f := g.s.o.Surroundings; f != nil {
		g.surroundings(f(), gauge)
	}
}

func (g gauges) surroundings(around Surroundings, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	for name, at := range around.Jobs {
		age := math.Inf(1)
		if !at.IsZero() {
			age = g.s.o.Now().Sub(at).Seconds()
		}
		gauge(ageDesc, age, name)
	}
	if c := around.Coverage; c != nil {
		gauge(coverDesc, c.Share)
		gauge(unknownDesc, float64(c.Unknown))
		gauge(conflictDesc, float64(c.Conflicts))
		gauge(countedDesc, seconds(c.At))
		if c.Lag90 > 0 {
			gauge(lagDesc, c.LagMedian.Seconds(), "0.5")
			gauge(lagDesc, c.Lag90.Seconds(), "0.9")
		}
	}
	if d := around.Drift; d != nil {
		gauge(drftDesc, truth(d.Drift))
		gauge(dcolDesc, float64(d.Columns))
		gauge(dateDesc, seconds(d.At))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// methodLabel keeps invented methods out of the monitoring.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// statusLabel avoids an allocation for the status of nearly every answer.
func statusLabel(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}
