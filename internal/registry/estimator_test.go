package registry

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/schema"
)

func estimator(t *testing.T, task schema.Task) *estimate.Estimator {
	t.Helper()
	h := &estimate.Holdout{Task: task, K: 1}
	if task == schema.Regression {
		for _, f := range template(task).Features {
			h.Names, h.Features, h.Categorical = append(h.Names, f.Name), append(h.Features, make([]float64, 200)), append(h.Categorical, f.Op == schema.Level)
		}
	}
	for i := range 200 {
		h.Labels, h.Outputs = append(h.Labels, float64(i%7%2)), append(h.Outputs, 0.4+0.1*math.Sin(float64(i)))
	}
	e, err := estimate.Fit(context.Background(), h)
	must(t, err)
	return e
}

// A version keeps its estimator, and one without it is as good as any.
func TestEstimator(t *testing.T) {
	r := Open(t.TempDir())
	b := bundle(schema.Regression, 1)
	bare, err := r.Publish(b)
	must(t, err)
	b.Estimator = estimator(t, schema.Regression)
	with, err := r.Publish(b)
	must(t, err)
	for _, v := range []string{bare, with} {
		must(t, r.Verify(v))
		l, err := r.Load(v)
		must(t, err)
		e, err := l.Estimator()
		must(t, err)
		if (e != nil) != (v == with) {
			t.Errorf("%s: estimator %v", v, e)
		}
		if e != nil && e.Then != b.Estimator.Then {
			t.Errorf("read back %v, wrote %v", e.Then, b.Estimator.Then)
		}
	}
	l, err := r.Load(with)
	must(t, err)
	path := filepath.Join(r.Path(with), estimatorFile)
	whole := content(t, path)
	must(t, os.WriteFile(path, append(whole, ' '), 0o644))
	_, err = l.Estimator()
	refused(t, err, estimatorFile, "changed")
	_, err = r.Load(with)
	refused(t, err, estimatorFile, "bytes")
}

// An estimator that this build would not read is not published.
func TestEstimatorRefused(t *testing.T) {
	for want, change := range map[string]func(*estimate.Estimator){
		"not known to this build": func(e *estimate.Estimator) { e.Format = 2 },
		"binary":                  func(e *estimate.Estimator) { *e = *estimator(t, schema.Binary) },
		"features":                func(e *estimate.Estimator) { e.Errors.Features = e.Errors.Features[1:] },
	} {
		b := bundle(schema.Regression, 1)
		b.Estimator = estimator(t, schema.Regression)
		change(b.Estimator)
		if _, err := Open(t.TempDir()).Publish(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
