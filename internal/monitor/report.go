package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
)

// Format is the version of the report that this build writes.
const Format = 2

// Number is a float64 that JSON writes as null when it is not finite, and
// rounded to nine digits. Null reads back as NaN.
type Number float64

// MarshalJSON implements [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	v, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 9, 64), 64)
	if err != nil { // rounding up overflows
		v = float64(n)
	}
	return json.Marshal(v)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// Report is what a comparison found. Maps are by column name; Order and
// PredictionOrder hold the names as the table has them.
type Report struct {
	Format        int                `json:"format"`
	ReportID      string             `json:"report_id"`
	Created       string             `json:"created"` // RFC 3339, UTC
	ModelVersion  string             `json:"model_version,omitempty"`
	Drift         bool               `json:"drift"` // any column, prediction or the metric
	Verdict       string             `json:"verdict"`
	Reasons       []string           `json:"reasons"`
	Rows          int                `json:"rows"`
	ReferenceRows int                `json:"reference_rows"`
	EnoughRows    bool               `json:"enough_rows"`
	Window        Window             `json:"window"`
	Columns       map[string]*Column `json:"columns"`
	Order         []string           `json:"order"`
	// Ranked are the drifted input columns, the most certain first.
	Ranked     []string           `json:"ranked"`
	Prediction map[string]*Column `json:"prediction"`
	// PredictionOrder is Order for Prediction.
	PredictionOrder []string     `json:"prediction_order,omitempty"`
	Performance     *Performance `json:"performance,omitempty"`
	Estimate        *Estimate    `json:"estimate,omitempty"`
	// Since is when the most certain change began; absent without drift.
	Since       *Since       `json:"since,omitempty"`
	Timeline    *Timeline    `json:"timeline,omitempty"`
	Segments    []Segment    `json:"segments"`
	Domain      *Domain      `json:"domain,omitempty"`
	Dependence  []Dependence `json:"dependence,omitempty"`
	Calibration *Calibration `json:"calibration,omitempty"`
	First       *Baseline    `json:"first,omitempty"`
	Faults      []Fault      `json:"faults"`
	Skipped     []Skipped    `json:"skipped"`
	Settings    Settings     `json:"settings"`
}

// Window is the span of the current rows, RFC 3339; empty when not known.
type Window struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// String is "from … to …", with dates alone where both are midnight; empty when
// the window is not known.
func (w Window) String() string {
	if w.From == "" {
		return ""
	}
	const midnight = "T00:00:00Z"
	if from, to := strings.TrimSuffix(w.From, midnight), strings.TrimSuffix(w.To, midnight); from != w.From && to != w.To {
		return "from " + from + " to " + to
	}
	return "from " + w.From + " to " + w.To
}

// Settings are the options that led to the verdict.
type Settings struct {
	Alpha     float64 `json:"alpha"`
	MinRows   int     `json:"min_rows"`
	MinEffect float64 `json:"min_effect"`
	Tolerance float64 `json:"tolerance"`
}

// Skipped is a column that was not compared.
type Skipped struct {
	Column string `json:"column"`
	Reason string `json:"reason"`
}

// Pair is a value in the reference and in the current rows.
type Pair struct {
	Then Number `json:"then"`
	Now  Number `json:"now"`
}

// Column is what became of one column. Numbers that do not apply to its kind
// or cannot be told are null.
type Column struct {
	Drift     bool        `json:"drift"`
	Kind      schema.Kind `json:"kind"`
	Reason    string      `json:"reason,omitempty"` // in plain words, when drifted
	P         Number      `json:"p_value"`
	Threshold Number      `json:"threshold"` // drift is P at or below it
	Effect    Number      `json:"effect"`    // greatest change as a share of rows

	PSI            Number `json:"psi"`
	JS             Number `json:"js"`
	Hellinger      Number `json:"hellinger"`
	TotalVariation Number `json:"total_variation"`
	LInfinity      Number `json:"l_infinity"`
	KS             Number `json:"ks"`
	Wasserstein    Number `json:"wasserstein"` // over the reference's standard deviation
	ChiSquare      Number `json:"chi_square"`
	CramerVonMises Number `json:"cramer_von_mises"`
	Energy         Number `json:"energy"` // on samples, over the root of the reference's standard deviation
	MMD            Number `json:"mmd"`    // on samples

	Missing Pair   `json:"missing"` // rates
	Unseen  Number `json:"unseen"`  // rate of levels that the reference lacks
	// Tests are the parts of P.
	Tests []Test `json:"tests"`

	Mean      *Pair       `json:"mean,omitempty"`
	Std       *Pair       `json:"std,omitempty"`
	Quantiles []Quantile  `json:"quantiles,omitempty"`
	Histogram *Histogram  `json:"histogram,omitempty"`
	Levels    []LevelPair `json:"levels,omitempty"` // most changed first
	Change    *Change     `json:"change,omitempty"` // when drifted
	Trend     *Trend      `json:"trend,omitempty"`
}

// Test is one test of a column, see [drift.Test].
type Test struct {
	Name      string `json:"name"`
	Z         Number `json:"z"`
	Inflation Number `json:"inflation"`
	P         Number `json:"p_value"`
}

// Quantile is one quantile then and now.
type Quantile struct {
	Q    float64 `json:"q"`
	Then Number  `json:"then"`
	Now  Number  `json:"now"`
}

// Histogram holds shares of the present rows in len(Edges)−1 bins of equal
// width; values outside of the edges are in the outer bins.
type Histogram struct {
	Edges []Number `json:"edges"`
	Then  []Number `json:"then"`
	Now   []Number `json:"now"`
}

// LevelPair is a level's share of the present rows.
type LevelPair struct {
	Level  string `json:"level"`
	Then   Number `json:"then"`
	Now    Number `json:"now"`
	Unseen bool   `json:"unseen,omitempty"`
}

// Fault is a defect of the data feed.
type Fault struct {
	Column string `json:"column"`
	// Kind is "absent", "empty", "frozen", "unit", "renamed" or "type"; of the
	// whole table, with no Column, "duplicated", "disorder" or "volume".
	Kind   string `json:"kind"`
	Detail string `json:"detail"` // one sentence
	// Factor is by what the values were multiplied (unit).
	Factor float64 `json:"factor,omitempty"`
	// Old and New name the level before and after (renamed).
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Alike says that the names of a renamed level are alike, and each is
	// nearest to the other.
	Alike bool `json:"alike,omitempty"`
}

// Drifted lists the input columns that drifted, in table order.
func (r *Report) Drifted() []string { return drifted(r.Order, r.Columns) }

func drifted(order []string, columns map[string]*Column) []string {
	var names []string
	for _, name := range order {
		if columns[name].Drift {
			names = append(names, name)
		}
	}
	return names
}

func (r *Report) skip(column, reason string) {
	r.Skipped = append(r.Skipped, Skipped{column, reason})
}

// id names the report by its time and content.
func (r *Report) id(now time.Time) string {
	c := *r
	c.ReportID = ""
	b, err := json.Marshal(&c)
	if err != nil {
		panic("monitor: marshal report: " + err.Error()) // plain data: cannot fail
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("r%s-%s", now.UTC().Format("20060102t150405z"), hex.EncodeToString(sum[:4]))
}

// setComparison copies the numbers of a comparison.
func (c *Column) setComparison(d *drift.Comparison) {
	c.P, c.Effect = Number(d.P), Number(d.Effect)
	c.PSI, c.JS, c.Hellinger = Number(d.PSI), Number(d.JensenShannon), Number(d.Hellinger)
	c.TotalVariation, c.LInfinity = Number(d.TotalVariation), Number(d.LInfinity)
	c.KS, c.Wasserstein, c.ChiSquare = Number(d.KS), Number(d.Wasserstein), Number(d.ChiSquare)
	c.CramerVonMises, c.Energy, c.MMD = Number(d.CramerVonMises), Number(d.Energy), Number(d.MMD)
	c.Missing = Pair{rate(d.RefMissing, d.RefRows), rate(d.CurMissing, d.CurRows)}
	c.Unseen = Number(math.NaN())
	if c.Kind != schema.Numeric {
		c.Unseen = rate(d.Unseen, d.CurRows-d.CurMissing)
	}
	for _, t := range d.Tests {
		c.Tests = append(c.Tests, Test{t.Name, Number(t.Z), Number(t.Inflation), Number(t.P)})
	}
}

func rate(k, n int) Number { return Number(float64(k) / float64(n)) }
