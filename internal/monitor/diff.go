package monitor

import (
	"math"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// DiffFormat is the version of the [Difference] that this build writes.
const DiffFormat = 1

// Difference is what changed from one report, A, to another, B. In its pairs
// Then is of A and Now is of B; a number that one of them does not have is
// null.
type Difference struct {
	Format int  `json:"format"`
	A      Side `json:"a"`
	B      Side `json:"b"`
	// SameReference says that both compare with the same version's reference;
	// else their p-values and distances are against different rows.
	SameReference bool `json:"same_reference"`
	// What began to drift, ceased to, and goes on: names of input columns, and
	// of predictions and the metric.
	Began  []string `json:"began"`
	Ceased []string `json:"ceased"`
	GoesOn []string `json:"goes_on"`
	// Columns are those that either report has: inputs in B's order, then
	// those of A alone, then predictions likewise.
	Columns     []ColumnDifference     `json:"columns"`
	Performance *PerformanceDifference `json:"performance,omitempty"`
	// Estimate is of the metric where the truth is not known yet; Rows are
	// those that it was made for.
	Estimate *PerformanceDifference `json:"estimate,omitempty"`
	// Faults of the feed that are new, and that are gone.
	NewFaults  []Fault `json:"new_faults"`
	GoneFaults []Fault `json:"gone_faults"`
}

// Side is one of two reports.
type Side struct {
	ReportID     string `json:"report_id"`
	Created      string `json:"created"`
	ModelVersion string `json:"model_version,omitempty"`
	Window       Window `json:"window"`
	Rows         int    `json:"rows"`
	EnoughRows   bool   `json:"enough_rows"`
	Drift        bool   `json:"drift"`
	Verdict      string `json:"verdict"`
}

// Turn is whether something drifted; null in the report that does not have it.
type Turn struct {
	Then *bool `json:"then"`
	Now  *bool `json:"now"`
}

// was reads one half; what is not there did not drift.
func was(b *bool) bool { return b != nil && *b }

// ColumnDifference is one column in both reports.
type ColumnDifference struct {
	Column string      `json:"column"`
	Role   string      `json:"role"` // "input" or "prediction"
	Kind   schema.Kind `json:"kind"` // B's, else A's
	Drift  Turn        `json:"drift"`
	P      Pair        `json:"p_value"`
	PSI    Pair        `json:"psi"`
	Effect Pair        `json:"effect"`
	// Mean and Missing are of the current rows of each report.
	Mean    Pair `json:"mean"`
	Missing Pair `json:"missing"`
	// Reasons in plain words; empty where it did not drift.
	Reason struct {
		Then string `json:"then"`
		Now  string `json:"now"`
	} `json:"reason"`
}

// PerformanceDifference is the metric in both reports. Value is null in a
// report without labelled rows, or by another metric.
type PerformanceDifference struct {
	Metric score.Metric `json:"metric"` // B's, else A's
	Drift  Turn         `json:"drift"`
	Value  Pair         `json:"value"`
	Lo     Pair         `json:"lo"`
	Hi     Pair         `json:"hi"`
	Rows   Pair         `json:"labeled"`
}

// Diff compares two reports. Neither is changed; columns that only one of them
// has take part.
func Diff(a, b *Report) *Difference {
	d := &Difference{
		Format: DiffFormat, A: sideOf(a), B: sideOf(b), SameReference: a.ModelVersion == b.ModelVersion && a.ReferenceRows == b.ReferenceRows,
		Began: []string{}, Ceased: []string{}, GoesOn: []string{}, Columns: []ColumnDifference{},
		NewFaults: faultsWithout(b.Faults, a.Faults), GoneFaults: faultsWithout(a.Faults, b.Faults),
	}
	for _, g := range []struct {
		role           string
		orderA, orderB []string
		a, b           map[string]*Column
	}{
		{"input", a.Order, b.Order, a.Columns, b.Columns},
		{"prediction", a.PredictionOrder, b.PredictionOrder, a.Prediction, b.Prediction},
	} {
		for _, name := range union(g.orderB, g.orderA) {
			c := columnDifference(g.a[name], g.b[name])
			c.Column, c.Role = name, g.role
			d.Columns = append(d.Columns, c)
			d.turn(name, c.Drift)
		}
	}
	if a.Performance != nil || b.Performance != nil {
		d.Performance = performanceDifference(a.Performance, b.Performance)
		d.turn(string(d.Performance.Metric), d.Performance.Drift)
	}
	if a.Estimate != nil || b.Estimate != nil {
		d.Estimate = performanceDifference(a.Estimate.performance(), b.Estimate.performance())
		d.turn("estimated "+string(d.Estimate.Metric), d.Estimate.Drift)
	}
	return d
}

// performance is what an estimate has in common with a metric that was taken;
// nil for nil.
func (e *Estimate) performance() *Performance {
	if e == nil {
		return nil
	}
	return &Performance{Metric: e.Metric, Labeled: e.Rows, Then: e.Then, Now: e.Now, Lo: e.Lo, Hi: e.Hi, Drift: e.Drift}
}

func sideOf(r *Report) Side {
	return Side{r.ReportID, r.Created, r.ModelVersion, r.Window, r.Rows, r.EnoughRows, r.Drift, r.Verdict}
}

// union is first, and what of second is not in it.
func union(first, second []string) []string {
	out := slices.Clone(first)
	for _, name := range second {
		if !slices.Contains(first, name) {
			out = append(out, name)
		}
	}
	return out
}

// turn lists a name by what became of it.
func (d *Difference) turn(name string, t Turn) {
	switch then, now := was(t.Then), was(t.Now); {
	case now && then:
		d.GoesOn = append(d.GoesOn, name)
	case now:
		d.Began = append(d.Began, name)
	case then:
		d.Ceased = append(d.Ceased, name)
	}
}

// columnDifference sets a column of A beside that of B; either may be nil.
func columnDifference(a, b *Column) ColumnDifference {
	pair := func(of func(*Column) Number) Pair {
		p := Pair{Number(math.NaN()), Number(math.NaN())}
		if a != nil {
			p.Then = of(a)
		}
		if b != nil {
			p.Now = of(b)
		}
		return p
	}
	c := ColumnDifference{
		P:       pair(func(c *Column) Number { return c.P }),
		PSI:     pair(func(c *Column) Number { return c.PSI }),
		Effect:  pair(func(c *Column) Number { return c.Effect }),
		Missing: pair(func(c *Column) Number { return c.Missing.Now }),
		Mean: pair(func(c *Column) Number {
			if c.Mean == nil {
				return Number(math.NaN())
			}
			return c.Mean.Now
		}),
	}
	if a != nil {
		c.Kind, c.Drift.Then, c.Reason.Then = a.Kind, &a.Drift, a.Reason
	}
	if b != nil {
		c.Kind, c.Drift.Now, c.Reason.Now = b.Kind, &b.Drift, b.Reason
	}
	return c
}

// performanceDifference sets the metric of A beside that of B; one may be nil.
func performanceDifference(a, b *Performance) *PerformanceDifference {
	none := Pair{Number(math.NaN()), Number(math.NaN())}
	d := &PerformanceDifference{Value: none, Lo: none, Hi: none, Rows: none}
	if a != nil && b != nil && a.Metric != b.Metric {
		a = nil // not comparable
	}
	if a != nil {
		d.Metric, d.Drift.Then = a.Metric, &a.Drift
		d.Value.Then, d.Lo.Then, d.Hi.Then, d.Rows.Then = a.Now, a.Lo, a.Hi, Number(a.Labeled)
	}
	if b != nil {
		d.Metric, d.Drift.Now = b.Metric, &b.Drift
		d.Value.Now, d.Lo.Now, d.Hi.Now, d.Rows.Now = b.Now, b.Lo, b.Hi, Number(b.Labeled)
	}
	return d
}

// faultsWithout are those of faults whose column and kind are not in others.
func faultsWithout(faults, others []Fault) []Fault {
	out := []Fault{}
	for _, f := range faults {
		if !slices.ContainsFunc(others, func(o Fault) bool { return o.Column == f.Column && o.Kind == f.Kind }) {
			out = append(out, f)
		}
	}
	return out
}
