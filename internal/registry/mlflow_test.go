package registry

import (
	"bytes"
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/testdata"
)

// answers is what testdata/mlflow_predict.py prints for one version. A way is
// a list of values, or of columns when probabilities were asked for.
type answers struct {
	Ways      map[string]json.RawMessage
	Booster   json.RawMessage
	Empty     []any
	Example   []any // what the scoring server answers to the shipped example
	Signature []string
}

// MLflow, with nothing but the version directory, predicts raw rows as healml
// does, however pandas holds them; and so does LightGBM on the features.
func TestMLflowPredictsTheSame(t *testing.T) {
	python := testdata.Python(t)
	work := t.TempDir()
	raw := rows(300, 11)
	must(t, table.Write(filepath.Join(work, "raw.csv"), raw))
	args := []string{"testdata/mlflow_predict.py", work}
	loaded := map[string]*Loaded{}
	for _, task := range []schema.Task{schema.Regression, schema.Binary, schema.Multiclass} {
		r := Open(filepath.Join(work, string(task)))
		v, err := r.Publish(bundle(task, 4))
		must(t, err)
		l, err := r.Load(v)
		must(t, err)
		loaded[string(task)] = l
		args = append(args, l.Dir)
		writeFeatures(t, filepath.Join(work, "features-"+string(task)+".csv"), l.Model, raw)
	}
	cmd := exec.Command(python, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var got map[string]answers
	must(t, json.Unmarshal(out, &got))
	for task, l := range loaded {
		p, err := l.Model.PredictTable(raw, 1)
		must(t, err)
		checkAnswers(t, l, got[task], p)
		must(t, Open(filepath.Join(work, task)).Verify(l.Model.Version)) // MLflow left the version whole
	}
}

func writeFeatures(t *testing.T, path string, m *model.Model, raw *table.Table) {
	t.Helper()
	b, err := feature.NewEncoder(m.Template).Table(raw)
	must(t, err)
	var cols []*table.Column
	for i, v := range b.Features {
		cols = append(cols, table.Floats(m.Template.Features[i].Name, v))
	}
	must(t, table.Write(path, table.Must(cols...)))
}

func checkAnswers(t *testing.T, l *Loaded, got answers, p *model.Predictions) {
	t.Helper()
	tmpl := l.Model.Template
	cols := p.Columns(tmpl)
	if len(got.Ways) < 8 || len(got.Empty) != 0 || len(got.Example) != 5 {
		t.Fatalf("%s: %d ways, %v from no rows, example %v", tmpl.Task, len(got.Ways), got.Empty, got.Example)
	}
	var want []string
	for _, c := range tmpl.Columns {
		want = append(want, c.Name)
	}
	if !reflect.DeepEqual(got.Signature, want) {
		t.Errorf("%s: signature %v", tmpl.Task, got.Signature)
	}
	for way, b := range got.Ways {
		var columns map[string][]any
		if way[len(way)-1] == 'p' {
			must(t, json.Unmarshal(b, &columns))
		} else {
			var values []any
			must(t, json.Unmarshal(b, &values))
			columns = map[string][]any{tmpl.PredictionName(): values}
		}
		for _, c := range cols {
			if v, ok := columns[c.Name]; ok {
				checkColumn(t, string(tmpl.Task)+" "+way, c, v)
			}
		}
		if n := len(columns); n != 1 && n != len(cols) {
			t.Errorf("%s %s: %d columns", tmpl.Task, way, n)
		}
	}
	checkBooster(t, tmpl.Task, got.Booster, p, tmpl.Outputs())
}

func checkColumn(t *testing.T, what string, want *table.Column, got []any) {
	t.Helper()
	if len(got) != want.Len() {
		t.Errorf("%s: %d predictions for %d rows", what, len(got), want.Len())
		return
	}
	for i, v := range got {
		same := v == want.Format(i)
		if f, ok := v.(float64); ok {
			same = want.Type == table.Float && math.Abs(f-want.Floats[i]) <= 1e-12*max(1, math.Abs(f))
		}
		if !same {
			t.Errorf("%s: row %d of %s is %v, expected %s", what, i+1, want.Name, v, want.Format(i))
			return
		}
	}
}

func checkBooster(t *testing.T, task schema.Task, b json.RawMessage, p *model.Predictions, outputs int) {
	t.Helper()
	var values []float64
	if task == schema.Multiclass {
		var matrix [][]float64
		must(t, json.Unmarshal(b, &matrix))
		for _, row := range matrix {
			values = append(values, row...)
		}
		outputs = 1
	} else {
		must(t, json.Unmarshal(b, &values))
	}
	for i, v := range values {
		if want := p.Outputs[(i+1)*outputs-1]; math.Abs(v-want) > 1e-12*max(1, math.Abs(want)) {
			t.Fatalf("%s: the booster gives %v for row %d, expected %v", task, v, i+1, want)
		}
	}
}
