package train_test

import (
	"context"
	"math"
	"testing"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/train"
)

// TestEstimator: a trained result expects of its holdout what it had there, and
// reads the template's features.
func TestEstimator(t *testing.T) {
	tab, _ := synth.Sales(3, synth.Options{Days: 200, Still: true})
	rows := prepare(t, tab, "sales")
	r, err := train.Run(context.Background(), rows, train.Options{Holdout: 0.2, Seed: 1, Threads: 2, Set: map[string]string{"num_iterations": "40"}})
	if err != nil {
		t.Fatal(err)
	}
	e, tmpl := r.Estimator, r.Rows.Template
	if e == nil || e.Rows != rows.Len()-r.Test || string(e.Metric) != string(r.Metric) || math.Abs(e.Then-r.Holdout[string(r.Metric)]) > 1e-9 {
		t.Fatalf("estimator %+v, holdout %v", e, r.Holdout)
	}
	if n := len(e.Errors.Features); n != len(tmpl.Features)+1 || tmpl.Task != schema.Regression {
		t.Errorf("the error model reads %d features, the template has %d", n, len(tmpl.Features))
	}
	if len(e.Segments) == 0 || e.Calibration == nil {
		t.Errorf("%d segments, calibration %+v", len(e.Segments), e.Calibration)
	}
}
