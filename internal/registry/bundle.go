package registry

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// GoldenRows is the greatest number of rows kept in golden.arrow.
const GoldenRows = 32

// Bundle is everything that a version is made of.
type Bundle struct {
	Template *schema.Template // sealed
	Trees    *gbdt.Model
	// Reference holds the rows that later traffic is compared with: the raw
	// columns by name, and whatever else drift detection reads (the target,
	// predictions, a time). It is stored as given.
	Reference *table.Table
	// Golden holds raw rows, at least one; the first GoldenRows are kept.
	// Publish predicts them and stores the answers beside them. Columns that
	// are not the template's are dropped.
	Golden  *table.Table
	Metrics *Metrics
	// Estimator is nil when the holdout says too little for one.
	Estimator *estimate.Estimator
	Lineage   Lineage
	Created   time.Time
}

// Metrics says how well a version did on rows that it had not seen
// (metrics.json). Maps go from the name of a metric (rmse, logloss, auc …) to
// its value; values are finite. With Rows 0 nothing was measured.
type Metrics struct {
	Metric  string             `json:"metric"`        // the metric that decides, a key of Holdout
	Rows    int                `json:"rows"`          // rows of the holdout
	From    time.Time          `json:"from,omitzero"` // first and last time in the holdout,
	To      time.Time          `json:"to,omitzero"`   // zero without a time column
	Holdout map[string]float64 `json:"holdout"`       // of this version
	// The same rows predicted otherwise: by the best constant, by the label
	// of the row before, and by the version that served when this one was
	// made. Nil when not measured.
	Baseline map[string]float64 `json:"baseline,omitempty"`
	Last     map[string]float64 `json:"last,omitempty"`
	Champion map[string]float64 `json:"champion,omitempty"`
	// Newest is Holdout on the newest of its rows alone, of a version made by
	// healing; else nil.
	Newest map[string]float64 `json:"newest,omitempty"`
	// Iterations is the number of boosting rounds in the model.
	Iterations int `json:"iterations,omitempty"`
	// Importance is nil in versions that were made before it was measured.
	Importance *Importance `json:"importance,omitempty"`
}

// Validate reports the first value that JSON cannot carry or that is missing.
func (m *Metrics) Validate() error {
	if _, ok := m.Holdout[m.Metric]; !ok && m.Rows > 0 {
		return fmt.Errorf("metrics: the holdout has no value for %q", m.Metric)
	}
	for _, part := range []struct {
		name   string
		values map[string]float64
	}{{"holdout", m.Holdout}, {"baseline", m.Baseline}, {"last", m.Last}, {"champion", m.Champion}, {"newest", m.Newest}} {
		for _, k := range slices.Sorted(maps.Keys(part.values)) {
			if v := part.values[k]; math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("metrics: %s %s is %v, expected a finite number", part.name, k, v)
			}
		}
	}
	return m.Importance.validate()
}

// Lineage says where a version comes from.
type Lineage struct {
	DataFile   string            `json:"data_file,omitempty"`   // as named on the command line
	DataSHA256 string            `json:"data_sha256,omitempty"` // of the file, hex
	Rows       int               `json:"rows"`                  // rows learned from
	From       time.Time         `json:"from,omitzero"`         // time of the first and last of them;
	To         time.Time         `json:"to,omitzero"`           // zero without a time column
	Dropped    []string          `json:"dropped,omitempty"`     // columns of the data left out
	Parameters map[string]string `json:"parameters,omitempty"`  // LightGBM's names
	Seed       uint64            `json:"seed"`
	Parent     string            `json:"parent,omitempty"` // version that served when this one was made
	// ParentSHA256 is the digest of the parent's manifest. Publish sets it.
	ParentSHA256 string `json:"parent_sha256,omitempty"`
	Reason       string `json:"reason,omitempty"`   // why it was made
	Incident     string `json:"incident,omitempty"` // id of the healing that made it
	CreatedBy    string `json:"created_by"`         // command
	Program      string `json:"program,omitempty"`  // version of healml
	// Excluded are labelled rows that were there and were not learnt from.
	Excluded []Excluded `json:"excluded,omitempty"`
}

// Excluded is a stretch of rows that a version was not taught.
type Excluded struct {
	Incident string    `json:"incident,omitempty"` // that left them out
	From     time.Time `json:"from,omitzero"`      // of the rows, both within; zero without times
	To       time.Time `json:"to,omitzero"`
	Column   string    `json:"column,omitempty"` // in which the fault sits
	Source   string    `json:"source,omitempty"` // of the labels, when it is for that
	Why      string    `json:"why"`
	Rows     int       `json:"rows"`
}
