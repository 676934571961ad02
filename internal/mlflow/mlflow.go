// Package mlflow makes the files by which MLflow takes a healml version
// directory for one of its own models.
//
// MLflow reads a file called MLmodel, which names a "flavor": how to load the
// model. A version has two. The python_function flavor is what
// mlflow.pyfunc.load_model, mlflow models serve and batch jobs use; its loader
// is code/healml_model.py, a small module of ours that applies template.json
// to raw columns and asks LightGBM for the rest, since LightGBM's own flavor
// cannot take texts. The lightgbm flavor gives the bare Booster, which reads
// features.
//
// The signature names every raw column and gives it the type any. MLflow then
// insists on the columns and leaves their types alone: a declared double would
// refuse the int64 that pandas makes of 1000, and a declared string the 1 that
// it makes of a category called 1 (docs/format/version.md).
package mlflow

import (
	"bytes"
	_ "embed" // healml_model.py
	"encoding/json"
	"fmt"
	"math"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// The files' names; all others are named in MLmodel.
const (
	modelFile        = "MLmodel"
	codeDir          = "code"
	loaderModule     = "healml_model"
	environmentFile  = "python_env.yaml"
	requirementsFile = "requirements.txt"
	exampleFile      = "input_example.json"
	servingFile      = "serving_input_example.json"
)

// Oldest versions that the files were made for.
const (
	mlflowVersion   = "2.19.0" // the first with the type any in signatures
	lightgbmVersion = "4.0.0"
	pythonVersion   = "3.11"
)

// ExampleRows is the greatest number of rows in the input example.
const ExampleRows = 5

//go:embed healml_model.py
var loader []byte

// Model is what the files tell about a version.
type Model struct {
	Name     string // of the version
	Template *schema.Template
	Digest   string       // SHA-256 of the content in hex, the source of MLflow's model_uuid
	Created  time.Time    // UTC
	Example  *table.Table // raw rows, of which the first ExampleRows are shown
	Bytes    int64        // size of the model's own files
	Trees    string       // name of the file in LightGBM's text format
}

// Files returns the content of every file that MLflow needs beside
// template.json and the trees, by name. The same Model gives the same bytes.
func Files(m Model) (map[string][]byte, error) {
	split, err := example(m.Template, m.Example)
	if err != nil {
		return nil, fmt.Errorf("mlflow: %w", err)
	}
	description, err := m.description()
	if err != nil {
		return nil, fmt.Errorf("mlflow: %w", err)
	}
	return map[string][]byte{
		modelFile:                            description,
		codeDir + "/" + loaderModule + ".py": loader,
		environmentFile:                      []byte("python: \"" + pythonVersion + "\"\nbuild_dependencies:\n- pip\ndependencies:\n- -r " + requirementsFile + "\n"),
		requirementsFile:                     []byte("mlflow>=" + mlflowVersion + "\nlightgbm>=" + lightgbmVersion + "\nnumpy\npandas\n"),
		exampleFile:                          append(split, '\n'),
		servingFile:                          fmt.Appendf(nil, "{\"dataframe_split\":%s}\n", split),
	}, nil
}

// mlmodel is the MLmodel file.
type mlmodel struct {
	Flavors          flavors           `yaml:"flavors"`
	Metadata         map[string]string `yaml:"metadata"`
	MLflowVersion    string            `yaml:"mlflow_version"`
	ModelSizeBytes   int64             `yaml:"model_size_bytes"`
	ModelUUID        string            `yaml:"model_uuid"`
	InputExampleInfo map[string]string `yaml:"saved_input_example_info"`
	Signature        signature         `yaml:"signature"`
	Created          string            `yaml:"utc_time_created"`
}

type flavors struct {
	LightGBM       map[string]string `yaml:"lightgbm"`
	PythonFunction pyfunc            `yaml:"python_function"`
}

type pyfunc struct {
	Code         string            `yaml:"code"`
	Env          map[string]string `yaml:"env"`
	LoaderModule string            `yaml:"loader_module"`
}

// signature holds JSON texts, as MLflow has it.
type signature struct {
	Inputs  string  `yaml:"inputs"`
	Outputs string  `yaml:"outputs"`
	Params  *string `yaml:"params"`
}

func (m Model) description() ([]byte, error) {
	sign, err := sign(m.Template)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err = e.Encode(mlmodel{
		Flavors: flavors{
			LightGBM: map[string]string{"data": m.Trees, "lgb_version": lightgbmVersion, "model_class": "lightgbm.basic.Booster"},
			PythonFunction: pyfunc{
				Code:         codeDir,
				Env:          map[string]string{"virtualenv": environmentFile},
				LoaderModule: loaderModule,
			},
		},
		Metadata:       map[string]string{"healml_template": m.Template.Fingerprint, "healml_version": m.Name},
		MLflowVersion:  mlflowVersion,
		ModelSizeBytes: m.Bytes,
		ModelUUID:      fmt.Sprintf("%.32s", m.Digest),
		InputExampleInfo: map[string]string{
			"artifact_path": exampleFile, "pandas_orient": "split", "serving_input_path": servingFile, "type": "dataframe",
		},
		Signature: sign,
		Created:   m.Created.UTC().Format("2006-01-02 15:04:05.000000"),
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", modelFile, err)
	}
	return b.Bytes(), e.Close()
}

// column is a column of a signature.
type column struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Required bool   `json:"required"`
}

// sign is the signature of a template: every raw column of type any, of which
// text columns may be absent, and one output.
func sign(t *schema.Template) (signature, error) {
	inputs := make([]column, len(t.Columns))
	for i, c := range t.Columns {
		inputs[i] = column{Type: "any", Name: c.Name, Required: c.Kind != schema.Text}
	}
	output := column{Type: "double", Name: t.PredictionName(), Required: true}
	var s signature
	if t.Task.Classified() {
		output.Type = "string"
		params := `[{"name": "probabilities", "default": false, "shape": null, "type": "boolean"}]`
		s.Params = &params
	}
	in, err := marshal(inputs)
	if err != nil {
		return s, err
	}
	out, err := marshal([]column{output})
	s.Inputs, s.Outputs = string(in), string(out)
	return s, err
}

// example returns the first rows of t in the template's columns, as pandas
// writes a frame with orient="split".
func example(tmpl *schema.Template, t *table.Table) ([]byte, error) {
	split := struct {
		Columns []string `json:"columns"`
		Data    [][]any  `json:"data"`
	}{Data: make([][]any, min(t.NumRows(), ExampleRows))}
	for _, c := range tmpl.Columns {
		col := t.Column(c.Name)
		if col == nil {
			return nil, fmt.Errorf("input example: column %q is missing", c.Name)
		}
		split.Columns = append(split.Columns, c.Name)
		for i := range split.Data {
			split.Data[i] = append(split.Data[i], value(col, i))
		}
	}
	return marshal(split)
}

// value is a table's value as JSON has it; what is missing or infinite is
// null.
func value(c *table.Column, i int) any {
	switch {
	case c.Missing(i):
		return nil
	case c.Type == table.Float && math.IsInf(c.Floats[i], 0):
		return nil
	case c.Type == table.Float:
		return c.Floats[i]
	case c.Type == table.Bool:
		return c.Floats[i] != 0
	default:
		return c.Format(i)
	}
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
