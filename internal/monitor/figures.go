package monitor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/healml/healml/internal/table"
)

// The roles of rows in a report's table, in the order in which they come.
const (
	inputRole      = "input"
	predictionRole = "prediction"
	metricRole     = "metric"
	estimateRole   = "estimate"
	residualRole   = "residual"
	lineRole       = "calibration"
	domainRole     = "domain"
	dependenceRole = "dependence"
	segmentRole    = "segment"
	faultRole      = "fault"
	firstRole      = "first"
	reportRole     = "report"
)

// Table is the report as rows, one a subject and statistic: column, role, kind,
// statistic, value, threshold (of a p_value), drift and detail (a text, missing
// where there is none). What the reference had stands under "…_then".
// docs/format/report.md lists the statistics of each role. Values that are
// unknown are missing. Trends, histograms and levels are in report.json alone.
func (r *Report) Table() *table.Table {
	var b rowsBuilder
	for _, name := range r.Order {
		b.column(name, inputRole, r.Columns[name])
		if i := slices.Index(r.Ranked, name); i >= 0 {
			b.add("rank", Number(i+1))
		}
	}
	for _, name := range r.PredictionOrder {
		b.column(name, predictionRole, r.Prediction[name])
	}
	b.performance(r)
	b.together(r)
	for i := range r.Segments {
		s := &r.Segments[i]
		b.subject(s.Column, segmentRole, "", true)
		b.tell("rows", Number(s.Rows), s.where())
		b.tell("share", s.Share, s.where())
		b.tell("explains", s.Explains, s.where())
	}
	for _, f := range r.Faults {
		b.subject(f.Column, faultRole, f.Kind, true)
		factor := nanNumber()
		if f.Factor != 0 {
			factor = Number(f.Factor)
		}
		b.tell("fault", factor, f.Detail)
	}
	if f := r.First; f != nil {
		b.subject("", firstRole, "", f.Drift)
		b.tell("drifted_columns", Number(len(f.Columns)), f.Version)
		for _, name := range f.Columns {
			b.subject(name, firstRole, "", true)
			b.tell("drifted", 1, f.Version)
		}
	}
	b.subject("", reportRole, "", r.Drift)
	b.add("rows", Number(r.Rows))
	b.add("reference_rows", Number(r.ReferenceRows))
	b.since(r.Since)
	return b.table()
}

// rowsBuilder gathers the rows of Table.
type rowsBuilder struct {
	name, role, kind string
	drift            bool

	names, roles, kinds, statistics []string
	values, limits, drifts          []float64
	details                         []string
}

func (b *rowsBuilder) table() *table.Table {
	detail := table.Strings("detail", b.details)
	for i, s := range b.details {
		if s == "" {
			detail.Codes[i] = -1
		}
	}
	flag := &table.Column{Name: "drift", Type: table.Bool, Floats: b.drifts}
	return table.Must(table.Strings("column", b.names), table.Strings("role", b.roles), table.Strings("kind", b.kinds),
		table.Strings("statistic", b.statistics), table.Floats("value", b.values), table.Floats("threshold", b.limits), flag, detail)
}

// subject says of what the next rows are.
func (b *rowsBuilder) subject(name, role, kind string, drift bool) {
	b.name, b.role, b.kind, b.drift = name, role, kind, drift
}

func (b *rowsBuilder) add(statistic string, value Number) { b.tell(statistic, value, "") }

func (b *rowsBuilder) tell(statistic string, value Number, detail string) {
	b.names = append(b.names, b.name)
	b.roles = append(b.roles, b.role)
	b.kinds = append(b.kinds, b.kind)
	b.statistics = append(b.statistics, statistic)
	b.values = append(b.values, float64(value))
	b.limits = append(b.limits, math.NaN())
	b.details = append(b.details, detail)
	d := 0.0
	if b.drift {
		d = 1
	}
	b.drifts = append(b.drifts, d)
}

func (b *rowsBuilder) column(name, role string, c *Column) {
	b.subject(name, role, string(c.Kind), c.Drift)
	b.tell("p_value", c.P, c.Reason)
	b.limits[len(b.limits)-1] = float64(c.Threshold)
	for _, s := range []struct {
		name  string
		value Number
	}{
		{"effect", c.Effect}, {"psi", c.PSI}, {"js", c.JS}, {"hellinger", c.Hellinger}, {"total_variation", c.TotalVariation}, {"l_infinity", c.LInfinity},
		{"ks", c.KS}, {"wasserstein", c.Wasserstein}, {"chi_square", c.ChiSquare}, {"cramer_von_mises", c.CramerVonMises}, {"energy", c.Energy}, {"mmd", c.MMD},
		{"unseen", c.Unseen}, {"missing_then", c.Missing.Then}, {"missing", c.Missing.Now},
	} {
		b.add(s.name, s.value)
	}
	b.pair("mean", c.Mean)
	b.pair("std", c.Std)
	for _, q := range c.Quantiles {
		b.add(fmt.Sprintf("q%g_then", 100*q.Q), q.Then)
		b.add(fmt.Sprintf("q%g", 100*q.Q), q.Now)
	}
	for _, t := range c.Tests {
		b.add("p_"+t.Name, t.P)
	}
	if c.Change != nil {
		b.tell("change", c.Change.By, c.Change.Kind)
		b.since(c.Change.Since)
	}
}

func (b *rowsBuilder) pair(name string, p *Pair) {
	if p != nil {
		b.add(name+"_then", p.Then)
		b.add(name, p.Now)
	}
}

// since adds the beginning of a change: seconds since 1970, or the number of a
// row, with the moment as it stands in the report beside it.
func (b *rowsBuilder) since(s *Since) {
	if s == nil {
		return
	}
	for _, m := range []struct{ name, at string }{{"since", s.At}, {"since_lo", s.Lo}, {"since_hi", s.Hi}} {
		if v, _, ok := momentOf(m.at); ok {
			b.tell(m.name, Number(v), m.at)
		}
	}
	before := Number(0)
	if s.Before {
		before = 1
	}
	b.add("since_before", before)
}

// momentOf reads a moment: seconds since 1970, or the number of a row.
func momentOf(s string) (v float64, timed, ok bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return float64(n), false, true
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, true, false
	}
	return float64(t.UnixMicro()) / 1e6, true, true
}

func (b *rowsBuilder) performance(r *Report) {
	if p := r.Performance; p != nil {
		b.subject(string(p.Metric), metricRole, "", p.Drift)
		b.tell("now", p.Now, p.Note)
		b.add("lo", p.Lo)
		b.add("hi", p.Hi)
		b.add("then", p.Then)
		b.add("labelled_rows", Number(p.Labeled))
		b.add("p_value", p.P)
		b.add("coverage", p.Coverage)
		b.add("lag_p95", p.LagP95)
		b.add("waiting", Number(p.Waiting))
		if v, _, ok := momentOf(p.MatureUntil); ok {
			b.tell("mature_until", Number(v), p.MatureUntil)
		}
		b.residuals(p)
	}
	e := r.Estimate
	if e == nil {
		return
	}
	b.subject(string(e.Metric), estimateRole, "", e.Drift)
	b.tell("now", e.Now, e.Method)
	b.add("lo", e.Lo)
	b.add("hi", e.Hi)
	b.add("then", e.Then)
	b.add("rows", Number(e.Rows))
	if c := e.Record; c != nil {
		b.add("record_checked", Number(c.Checked))
		b.add("record_covered", Number(c.Covered))
		b.add("record_error", c.Error)
	}
	proven := Number(0)
	if e.proven() {
		proven = 1
	}
	b.add("proven", proven)
}

// residuals adds how the model does on parts of the rows, the metric as their
// kind and the level as detail, and the line from predictions to the truth.
func (b *rowsBuilder) residuals(p *Performance) {
	for _, s := range p.Segments {
		b.subject(s.Column, residualRole, string(p.Metric), s.Drift)
		b.tell("p_value", s.P, s.Level)
		b.tell("then", s.Then, s.Level)
		b.tell("now", s.Now, s.Level)
		b.tell("bias", s.Bias, s.Level)
		b.tell("rows", Number(s.Rows), s.Level)
	}
	if c := p.Calibration; c != nil {
		b.subject(string(p.Metric), lineRole, "", c.Drift)
		b.add("p_value", c.P)
		b.pair("slope", &c.Slope)
		b.pair("intercept", &c.Intercept)
		b.pair("ece", &c.ECE)
	}
}

// together adds what was found of all columns: the classifier with the weight
// of each column, and pairs, whose second column is the detail.
func (b *rowsBuilder) together(r *Report) {
	if d := r.Domain; d != nil {
		b.subject("", domainRole, "", d.Drift)
		b.add("p_value", d.P)
		b.add("auc", d.AUC)
		b.add("lo", d.Lo)
		b.add("hi", d.Hi)
		b.add("null", d.Null)
		b.add("rows", Number(d.Rows))
		for _, w := range d.By {
			b.subject(w.Column, domainRole, "", d.Drift)
			b.add("weight", w.Weight)
		}
	}
	for _, d := range r.Dependence {
		b.subject(d.A, dependenceRole, d.Measure, d.Drift)
		b.tell("p_value", d.P, d.B)
		b.tell("dependence_then", d.Then, d.B)
		b.tell("dependence", d.Now, d.B)
	}
}
