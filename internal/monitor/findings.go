package monitor

import "github.com/healml/healml/internal/score"

// Timeline names the steps that both samples were cut into, oldest first: at
// most [mostSteps] each. Trends of columns have a value a step.
type Timeline struct {
	// Step is the length of a step in words: "1h", "1d", "7d" or "150 rows".
	Step string `json:"step"`
	Then []Step `json:"then"`
	Now  []Step `json:"now"`
}

// Step is one step of a timeline. From is RFC 3339 in UTC, or the number of
// the first row where no time is known.
type Step struct {
	From string `json:"from"`
	Rows int    `json:"rows"`
}

// Trend is one figure of a column by step of the [Timeline]: the mean of
// numbers, the share of the level that changed most, or the rate of missing
// values. Steps without rows are null.
type Trend struct {
	Of   string   `json:"of"` // "mean", "missing" or `share of "x"`
	Then []Number `json:"then"`
	Now  []Number `json:"now"`
}

// The kinds of a [Change].
const (
	ShiftChange     = "shift"      // numbers moved by an amount
	ScaleChange     = "scale"      // numbers spread or drew together about their middle
	UnitChange      = "unit"       // numbers multiplied by a usual factor
	ClipChange      = "clip"       // numbers cut off at a bound
	FrozenChange    = "frozen"     // one value is left
	MissingChange   = "missing"    // more or fewer missing values
	EmptyChange     = "empty"      // no value is left
	AbsentChange    = "absent"     // the column is gone
	TypeChange      = "type"       // texts where numbers were
	NewLevelChange  = "new_level"  // a level that the reference lacks
	LostLevelChange = "lost_level" // a level that is gone
	RenamedChange   = "renamed"    // a level goes by another name
	ShareChange     = "share"      // levels, or values that many rows have, changed their shares
	ShapeChange     = "shape"      // none of the others
)

// Change says what became of a drifted column.
type Change struct {
	Kind string `json:"kind"`
	Text string `json:"text"` // one sentence
	// By is how much: of a shift in the column's unit, of a scale or unit the
	// factor, of missing values and levels the difference of shares.
	By Number `json:"by"`
	// Old and New name levels, or the bounds of a clip.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Since is when it began; absent when it cannot be told.
	Since *Since `json:"since,omitempty"`
}

// Since dates the beginning of a change within the current rows. At, Lo and Hi
// are RFC 3339, or row numbers where no time is known; the interval from Lo to
// Hi holds the beginning with some 95 %.
type Since struct {
	At string `json:"at"`
	Lo string `json:"lo"`
	Hi string `json:"hi"`
	// Before says that the change is as old as the window or older.
	Before bool `json:"before"`
}

// Segment is a part of the rows that carries a column's change.
type Segment struct {
	Column string      `json:"column"` // that changed
	Where  []Condition `json:"where"`  // all hold
	Rows   int         `json:"rows"`   // current rows
	Share  Number      `json:"share"`  // of the current rows
	// Explains is how much of the column's change is gone when these rows are
	// left out, in [0, 1].
	Explains Number `json:"explains"`
	Text     string `json:"text"` // one sentence
}

// Condition is "column is level".
type Condition struct {
	Column string `json:"column"`
	Level  string `json:"level"`
}

// Domain is what a classifier makes of all columns together: how well it tells
// the current rows from the reference.
type Domain struct {
	// AUC is the area under the curve on rows that the classifier did not
	// learn from: 0.5 when nothing tells them apart.
	AUC Number `json:"auc"`
	Lo  Number `json:"lo"`
	Hi  Number `json:"hi"`
	// Null is what the reference's own stretches reach among each other.
	Null  Number `json:"null"`
	P     Number `json:"p_value"`
	Drift bool   `json:"drift"`
	// Within says that it is how columns go together that tells, not any
	// column by itself.
	Within bool     `json:"within"`
	Rows   int      `json:"rows"` // looked at, of both samples
	By     []Weight `json:"by"`   // what tells them apart, greatest first
}

// Weight is a column's part in telling the samples apart; all add up to 1.
type Weight struct {
	Column string `json:"column"`
	Weight Number `json:"weight"`
}

// Dependence is how two columns go together, then and now.
type Dependence struct {
	A       string `json:"a"`
	B       string `json:"b"`
	Measure string `json:"measure"` // "spearman", "cramers_v" or "correlation_ratio"
	Then    Number `json:"then"`
	Now     Number `json:"now"`
	P       Number `json:"p_value"`
	Drift   bool   `json:"drift"`
}

// Estimate is the metric that the model is expected to have on rows whose
// truth is not known yet.
type Estimate struct {
	Metric score.Metric `json:"metric"`
	Method string       `json:"method"` // "confidence" for classes, "error model" for numbers
	Rows   int          `json:"rows"`
	Then   Number       `json:"then"` // on the holdout
	Now    Number       `json:"now"`
	Lo     Number       `json:"lo"`
	Hi     Number       `json:"hi"`
	Drift  bool         `json:"drift"` // the whole interval is worse than tolerated
	Record *Record      `json:"record,omitempty"`
}

// Record says how earlier estimates fared once the truth came in.
type Record struct {
	Checked int    `json:"checked"` // estimates whose rows have their truth by now
	Covered int    `json:"covered"` // of those, truths within the interval
	Error   Number `json:"error"`   // mean of |estimate − truth| over the truth
}

// Calibration says where the bound of the p-values comes from.
type Calibration struct {
	// PerYear is the budget of false alarms, Checks how often a year the
	// same is compared; both null when a level was given instead.
	PerYear Number `json:"false_alarms_per_year"`
	Checks  Number `json:"checks_per_year"`
	// Level is the chance that one comparison alarms without cause.
	Level Number `json:"level"`
	// Resamples of the reference, in blocks of some Block rows, that the
	// p-values of restless columns were set by; 0 when no column is restless.
	Resamples int `json:"resamples"`
	Block     int `json:"block"`
	// Columns is the number of independent columns that would err together as
	// often as these; null without resamples.
	Columns Number `json:"effective_columns"`
	// Seasons that were compared like with like: "weekday", "hour", "month".
	Seasons []string `json:"seasons"`
}

// Baseline is the same window against another reference: the first version's,
// from which many small steps may have led far away.
type Baseline struct {
	Version string   `json:"version"`
	Drift   bool     `json:"drift"`
	Columns []string `json:"columns"` // that drifted
	Verdict string   `json:"verdict"`
}
