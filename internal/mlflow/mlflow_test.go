package mlflow

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func sample(task schema.Task) Model {
	t := &schema.Template{Task: task, Target: "y", Columns: []schema.Column{
		{Name: "a: \"<é>\"", Kind: schema.Numeric}, {Name: "when", Kind: schema.Time}, {Name: "on", Kind: schema.Boolean}, {Name: "note", Kind: schema.Text},
	}}
	if task == schema.Binary {
		t.Classes = []string{"no", "yes"}
	}
	t.Features = feature.Features(t.Columns, schema.Calendar())
	t.Seal()
	var a, on []float64
	var when []int64
	var note []string
	for i := range 7 {
		a = append(a, float64(i)+0.5)
		on = append(on, float64(i%2))
		when = append(when, int64(i)*3600e6)
		note = append(note, "x")
	}
	a[1], a[2], on[1], when[1] = math.NaN(), math.Inf(-1), math.NaN(), table.NoTime
	return Model{
		Name: "v0001-00000000", Template: t, Digest: strings.Repeat("ab", 32), Created: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Bytes: 1234, Trees: "model.lgb",
		Example: table.Must(table.Floats("y", a), table.Strings("note", note), &table.Column{Name: "on", Type: table.Bool, Floats: on},
			table.Times("when", when), table.Floats("a: \"<é>\"", a)),
	}
}

func TestFiles(t *testing.T) {
	files, err := Files(sample(schema.Regression))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"columns":["a: \"<é>\"","when","on","note"],"data":[[0.5,"1970-01-01",false,"x"],[null,null,null,"x"],` +
		`[null,"1970-01-01T02:00:00Z",false,"x"],[3.5,"1970-01-01T03:00:00Z",true,"x"],[4.5,"1970-01-01T04:00:00Z",false,"x"]]}`
	if got := string(files[exampleFile]); got != want+"\n" {
		t.Errorf("example %s", got)
	}
	if got := string(files[servingFile]); got != `{"dataframe_split":`+want+"}\n" {
		t.Errorf("serving example %s", got)
	}
	for name, b := range files {
		if len(b) == 0 || b[len(b)-1] != '\n' {
			t.Errorf("%s does not end in a newline", name)
		}
	}
	// Whatever MLmodel names must be there.
	for _, name := range []string{codeDir + "/" + loaderModule + ".py", environmentFile, requirementsFile} {
		if files[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

func TestDescription(t *testing.T) {
	for _, task := range []schema.Task{schema.Regression, schema.Binary} {
		files, err := Files(sample(task))
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Flavors struct {
				LightGBM       struct{ Data string }
				PythonFunction struct {
					Code         string
					LoaderModule string `yaml:"loader_module"`
				} `yaml:"python_function"`
			}
			UUID      string `yaml:"model_uuid"`
			Size      int    `yaml:"model_size_bytes"`
			Created   string `yaml:"utc_time_created"`
			Signature struct {
				Inputs, Outputs string
				Params          *string
			}
		}
		if err := yaml.Unmarshal(files[modelFile], &m); err != nil {
			t.Fatal(err)
		}
		if m.Flavors.LightGBM.Data != "model.lgb" || m.Flavors.PythonFunction.Code != "code" || m.Flavors.PythonFunction.LoaderModule != "healml_model" {
			t.Errorf("flavors %+v", m.Flavors)
		}
		if m.UUID != strings.Repeat("ab", 16) || m.Size != 1234 || m.Created != "2024-01-02 03:04:05.000000" {
			t.Errorf("got %+v", m)
		}
		var in, out []column
		if err := json.Unmarshal([]byte(m.Signature.Inputs), &in); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(m.Signature.Outputs), &out); err != nil {
			t.Fatal(err)
		}
		if len(in) != 4 || in[0] != (column{"any", "a: \"<é>\"", true}) || in[3] != (column{"any", "note", false}) {
			t.Errorf("inputs %+v", in)
		}
		typ := map[schema.Task]string{schema.Regression: "double", schema.Binary: "string"}[task]
		if len(out) != 1 || out[0] != (column{typ, "predicted_y", true}) || (m.Signature.Params != nil) != (task == schema.Binary) {
			t.Errorf("outputs %+v, params %v", out, m.Signature.Params)
		}
	}
}

func TestFilesWithoutColumn(t *testing.T) {
	m := sample(schema.Regression)
	m.Example = m.Example.Drop("when")
	if _, err := Files(m); err == nil || !strings.Contains(err.Error(), `column "when"`) {
		t.Errorf("got %v", err)
	}
}
