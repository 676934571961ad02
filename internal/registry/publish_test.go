package registry

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
	"github.com/healml/healml/internal/schema"
)

func TestPublishLoad(t *testing.T) {
	for _, task := range []schema.Task{schema.Regression, schema.Binary, schema.Multiclass} {
		t.Run(string(task), func(t *testing.T) {
			r := Open(t.TempDir())
			b := bundle(task, 3)
			v, err := r.Publish(b)
			must(t, err)
			if !strings.HasPrefix(v, "v0001-") || !ValidName(v) {
				t.Errorf("the version is called %q", v)
			}
			if _, err := r.Current(); !errors.Is(err, ErrNoCurrent) {
				t.Errorf("publishing promoted: %v", err)
			}
			l, err := r.Load(v)
			must(t, err)
			if !reflect.DeepEqual(l.Model.Trees, b.Trees) {
				t.Error("the trees came back different")
			}
			if !reflect.DeepEqual(l.Model.Template, b.Template) || l.Model.Version != v {
				t.Error("the template or the name came back different")
			}
			if !reflect.DeepEqual(&l.Metrics, b.Metrics) || !reflect.DeepEqual(l.Manifest.Lineage, b.Lineage) || !l.Manifest.Created.Equal(created) {
				t.Errorf("came back different: %+v %+v", l.Metrics, l.Manifest)
			}
			if n := l.Golden().NumRows(); n != GoldenRows {
				t.Errorf("%d golden rows", n)
			}
			ref, err := l.Reference()
			must(t, err)
			if ref.NumRows() != 200 || len(ref.Columns()) != 7 || l.Unlisted != nil {
				t.Errorf("reference of %d rows, unlisted %v", ref.NumRows(), l.Unlisted)
			}
			must(t, r.Verify(v))
		})
	}
}

// The same bundle under the same name must give the same bytes, or a version
// could not be reproduced from its data and command.
func TestPublishIsDeterministic(t *testing.T) {
	a, va := publish(t, 1)
	b, vb := publish(t, 1)
	if va[0] != vb[0] {
		t.Fatalf("versions %s and %s", va[0], vb[0])
	}
	l, err := a.Load(va[0])
	must(t, err)
	for _, name := range append(l.Manifest.names(), manifestFile) {
		x, y := content(t, filepath.Join(a.Path(va[0]), name)), content(t, filepath.Join(b.Path(vb[0]), name))
		if string(x) != string(y) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestPublishNumbers(t *testing.T) {
	r, v := publish(t, 2)
	if number(v[0]) != 1 || number(v[1]) != 2 || v[0][6:] == v[1][6:] {
		t.Errorf("versions %v", v)
	}
	must(t, r.Promote(v[1], "x", created))
	must(t, durable.RemoveAll(r.Path(v[1])))
	next, err := r.Publish(bundle(schema.Regression, 9))
	must(t, err)
	if number(next) != 3 {
		t.Errorf("%s takes the number of a version that served", next)
	}
}

func TestPublishRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Bundle){
		"golden rows: none":      func(b *Bundle) { b.Golden = b.Golden.Slice(0, 0) },
		`column "price"`:         func(b *Bundle) { b.Golden = b.Golden.Drop("price") },
		"holdout rmse is NaN":    func(b *Bundle) { b.Metrics.Holdout["rmse"] = math.NaN() },
		`no value for "logloss"`: func(b *Bundle) { b.Metrics.Metric = "logloss" },
		"lacks":                  func(b *Bundle) { b.Reference = nil },
		"fingerprint":            func(b *Bundle) { b.Template.Target = "other" },
		"features":               func(b *Bundle) { b.Trees.FeatureNames = b.Trees.FeatureNames[1:] },
		"leaf 0":                 func(b *Bundle) { b.Trees.Trees[0].LeafValue[0] = math.Inf(1) },
		"predicts +Inf": func(b *Bundle) {
			for i := range b.Trees.Trees {
				for k := range b.Trees.Trees[i].LeafValue {
					b.Trees.Trees[i].LeafValue[k] = math.MaxFloat64
				}
			}
		},
		"name of a prediction": func(b *Bundle) {
			b.Template.Columns[6].Name = "predicted_sales"
			b.Template.Seal()
			note := *b.Golden.Column("note")
			note.Name = "predicted_sales"
			b.Golden, _ = b.Golden.With(&note)
		},
	} {
		r := Open(t.TempDir())
		b := bundle(schema.Regression, 1)
		spoil(b)
		if _, err := r.Publish(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected an error with %q", err, want)
		}
		if v, err := r.Versions(); err != nil || v != nil {
			t.Errorf("%s: left %v, %v", want, v, err)
		}
	}
}

// A publication that stops at any operation on the disk, or meets an error
// there, leaves either no version or a whole one, and never stands in the way
// of the next.
func TestPublishCrashes(t *testing.T) {
	count := faulty.New(nil)
	r := Open(t.TempDir())
	r.disk = durable.Disk{FS: count}
	_, err := r.Publish(bundle(schema.Regression, 1))
	must(t, err)
	for n := range count.Ops() {
		crashAt(t, n, faulty.ErrStopped)
		if n%4 == 0 {
			crashAt(t, n, errors.New("input/output error"))
		}
	}
}

func crashAt(t *testing.T, n int, fault error) {
	t.Helper()
	disk := faulty.New(func(op faulty.Op) error {
		if op.N == n {
			return fault
		}
		return nil
	})
	r := Open(t.TempDir())
	r.disk = durable.Disk{FS: disk}
	_, err := r.Publish(bundle(schema.Regression, 1))
	if err == nil && errors.Is(fault, faulty.ErrStopped) {
		t.Fatalf("operation %d: the crash went unnoticed", n)
	}
	if err != nil && !errors.Is(err, durable.ErrWrite) {
		t.Fatalf("operation %d: %v is no write error", n, err)
	}
	if errors.Is(fault, faulty.ErrStopped) {
		must(t, disk.PowerCut())
	}
	r.disk = durable.Disk{}
	checkWhole(t, r)
	if n%8 != 0 {
		return // the rest is slow and asks the same of every operation
	}
	v, err := r.Publish(bundle(schema.Regression, 2))
	if err != nil {
		t.Fatalf("operation %d: then publish: %v", n, err)
	}
	must(t, r.Verify(v))
}

// checkWhole verifies every version that can be seen.
func checkWhole(t *testing.T, r *Registry) {
	t.Helper()
	versions, err := r.Versions()
	must(t, err)
	for _, v := range versions {
		must(t, r.Verify(v))
	}
	if _, err := r.Current(); err != nil && !errors.Is(err, ErrNoCurrent) {
		t.Fatal(err)
	}
}

func TestPublishLocked(t *testing.T) {
	r, _ := publish(t, 1)
	l, err := durable.Lock(filepath.Join(r.dir, lockFile))
	must(t, err)
	defer func() { _ = l.Unlock() }()
	r.tries = 2
	if _, err := r.Publish(bundle(schema.Regression, 2)); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("got %v, expected ErrLocked", err)
	}
}

func TestVersionsPassesOverStrangers(t *testing.T) {
	r, v := publish(t, 1)
	for _, name := range []string{"v1-00000000", "v0002-0000000G", "backup", ".tmp-1-x"} {
		must(t, os.Mkdir(filepath.Join(r.dir, name), 0o755))
	}
	overwrite(t, filepath.Join(r.dir, "v0003-00000000"), nil)
	if got, err := r.Versions(); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("got %v, %v", got, err)
	}
}
