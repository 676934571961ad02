package serve

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
)

// exampleLevels is how many categories of a column the document shows.
const exampleLevels = 50

// node is a JSON object whose members keep their order, so that the document
// reads in the order of the template.
type node []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (n node) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range n {
		if i > 0 {
			out = append(out, ',')
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(appendString(out, m.name), ':'), value...)
	}
	return append(out, '}'), nil
}

func ref(schema string) node { return node{{"$ref", "#/components/schemas/" + schema}} }

// about is what an OpenAPI document says of a server beside its model.
type about struct {
	model   string // its name in the Open Inference Protocol; "": the target
	secured bool   // it wants tokens
}

// openAPI is the OpenAPI 3.1 description of a server with the given model; t
// is nil when there is none. example is a request for one row.
func openAPI(t *schema.Template, extras []predlog.Extra, example []byte, version string, a about) ([]byte, error) {
	anything := node{{"type", "object"}}
	refusal := node{{"application/problem+json", node{{"schema", ref("Problem")}}}}
	plain := node{{"application/json", node{{"schema", anything}}}}
	paths := node{
		{"/health", node{{"get", operation("health", "Whether the process answers, and what it serves", nil, anything, nil, 200)}}},
		{"/ready", node{{"get", operation("ready", "Whether predictions can be asked for; 503 while draining or without a model", nil, anything, nil, 200, 503)}}},
		{"/metrics", node{{"get", operation("metrics", "Metrics in Prometheus' text format", nil, nil, nil, 200)}}},
		{"/ping", node{{"get", operation("ping", "MLflow: whether predictions can be asked for", nil, nil, nil, 200, 404)}}},
		{"/version", node{{"get", operation("version", "The version of the program", nil, nil, nil, 200)}}},
		{"/v2", node{{"get", operation("serverMetadata", "Open Inference Protocol: the server", nil, anything, nil, 200)}}},
		{"/v2/health/live", node{{"get", operation("live", "Open Inference Protocol: whether the process answers", nil, anything, nil, 200)}}},
		{"/v2/health/ready", node{{"get", operation("serverReady", "Open Inference Protocol: whether predictions can be asked for", nil, anything, nil, 200, 503)}}},
	}
	schemas := node{{"Problem", problemSchema()}}
	if t != nil {
		row := json.RawMessage(example)
		model := "/v2/models/" + url.PathEscape(cmp.Or(a.model, t.Target))
		refusals := []int{200, 400, 413, 415, 422, 500, 503}
		paths = append(node{
			{"/predict", node{{"post", operation("predict", "Predict "+t.Target, rows("Row", row), oneOrManySchema("Prediction"), refusal, refusals...)}}},
			{"/explain", node{{"post", operation("explain", "Predict "+t.Target+" and say how much each column had to do with it; nothing is logged", oneOrMany("Row", row), oneOrManySchema("Explanation"), refusal, append(refusals, 501)...)}}},
			{"/actuals", node{{"post", operation("actuals", "Hand in what came true", oneOrMany("Actual", nil), node{{"type", "object"}, {"properties", node{{"received", node{{"type", "integer"}}}}}}, refusal, refusals...)}}},
			{"/invocations", node{{"post", operation("invocations", "MLflow's scoring protocol", content("application/json", invocationSchema(), node{{"dataframe_records", []any{row}}}), anything, plain, 200, 400, 415, 500, 503)}}},
			{model, node{{"get", operation("modelMetadata", "Open Inference Protocol: the model's inputs and outputs", nil, anything, nil, 200, 503)}}},
			{model + "/ready", node{{"get", operation("modelReady", "Open Inference Protocol: whether the model can be asked", nil, anything, nil, 200, 503)}}},
			{model + "/infer", node{{"post", operation("infer", "Open Inference Protocol: predict", content("application/json", inferenceSchema(), nil), anything, plain, 200, 400, 404, 413, 415, 500, 503)}}},
		}, paths...)
		schemas = append(schemas, member{"Row", rowSchema(t, extras, row)}, member{"Prediction", predictionSchema(t)}, member{"Explanation", explanationSchema(t)}, member{"Actual", actualSchema(t)})
	} else {
		version = "no model"
	}
	components := node{{"schemas", schemas}}
	doc := node{
		{"openapi", "3.1.0"},
		{"info", node{{"title", "healml"}, {"version", version}, {"description", "A model kept alive. See docs/api.md."}}},
		{"paths", paths},
	}
	if a.secured {
		components = append(components, member{"securitySchemes", node{{"token", node{{"type", "http"}, {"scheme", "bearer"}}}}})
		doc = append(doc, member{"security", []node{{{"token", []string{}}}}})
	}
	out, err := json.MarshalIndent(append(doc, member{"components", components}), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return append(out, '\n'), nil
}

func oneOrManySchema(name string) node {
	return node{{"oneOf", []node{ref(name), {{"type", "array"}, {"items", ref(name)}}}}}
}

func oneOrMany(name string, example any) node {
	return content("application/json", oneOrManySchema(name), example)
}

// content is a body of one form.
func content(media string, schema node, example any) node {
	m := node{{"schema", schema}}
	if example != nil {
		m = append(m, member{"example", example})
	}
	return node{{"required", true}, {"content", node{{media, m}}}}
}

// rows is a body of rows in any form.
func rows(name string, example any) node {
	body := content("application/json", oneOrManySchema(name), example)
	forms := body[1].value.(node)
	for _, m := range []media{mediaLines, mediaCSV, mediaArrow} {
		forms = append(forms, member{bare(m), node{{"schema", node{{"type", "string"}}}}})
	}
	body[1].value = forms
	return body
}

// bare is a media type without parameters.
func bare(m media) string {
	name, _, _ := strings.Cut(mediaTypes[m][0], ";")
	return name
}

// operation describes one method of a path, with answers of the given
// statuses, of which 200 has the schema answer and the others the content
// refusal.
func operation(id, summary string, body, answer, refusal node, statuses ...int) node {
	op := node{{"operationId", id}, {"summary", summary}}
	if body != nil {
		op = append(op, member{"requestBody", body})
	}
	var responses node
	for _, status := range statuses {
		r := node{{"description", http.StatusText(status)}}
		if status == http.StatusOK && answer != nil {
			r = append(r, member{"content", node{{"application/json", node{{"schema", answer}}}}})
		} else if status != http.StatusOK && refusal != nil {
			r = append(r, member{"content", refusal})
		}
		responses = append(responses, member{strconv.Itoa(status), r})
	}
	return append(op, member{"responses", responses})
}

func rowSchema(t *schema.Template, extras []predlog.Extra, example json.RawMessage) node {
	var properties node
	required := []string{}
	for i := range t.Columns {
		c := &t.Columns[i]
		properties = append(properties, member{c.Name, columnSchema(c)})
		if c.Kind != schema.Text {
			required = append(required, c.Name)
		}
	}
	if t.Column(idField) < 0 {
		properties = append(properties, member{idField, node{{"type", "string"}, {"pattern", "^[A-Za-z0-9._:-]{1,64}$"},
			{"description", "Your own name for the prediction; one is made when you give none."}}})
	}
	logged := map[string]bool{}
	for _, x := range predlog.NewExtras(t, extras) {
		logged[x.Name] = true
		properties = append(properties, member{x.Name, node{{"type", []string{"string", "number", "boolean", "null"}}, {"description", "Logged with the prediction; the model does not read it."}}})
	}
	for _, name := range t.Ignored {
		if logged[name] {
			continue
		}
		properties = append(properties, member{name, node{{"description", "Taken and never read."}}})
	}
	return node{{"type", "object"}, {"properties", properties}, {"required", required}, {"additionalProperties", false}, {"examples", []any{example}}}
}

// columnSchema describes a column. What training saw is told and not
// enforced: values beyond it are answered and flagged.
func columnSchema(c *schema.Column) node {
	var n node
	kinds := []string{}
	var notes []string
	switch c.Kind {
	case schema.Numeric:
		kinds = append(kinds, "number")
		if c.Min != nil {
			n = append(n, member{"x-training-minimum", *c.Min}, member{"x-training-maximum", *c.Max})
			notes = append(notes, fmt.Sprintf("Training saw %v to %v; values beyond are answered and flagged.", *c.Min, *c.Max))
		}
	case schema.Boolean:
		kinds = append(kinds, "boolean", "integer")
		n = append(n, member{"examples", []any{true, 0}})
		notes = append(notes, "true, false, 0 or 1.")
	case schema.Categorical:
		kinds = append(kinds, "string", "number", "boolean")
		n = append(n, member{"examples", c.Levels[:min(len(c.Levels), exampleLevels)]})
		notes = append(notes, fmt.Sprintf("Training saw %d categories; others are answered and flagged.", len(c.Levels)))
	case schema.Time:
		kinds = append(kinds, "string")
		if c.DateOnly {
			n = append(n, member{"format", "date"})
		}
		notes = append(notes, "ISO 8601 or m/d/yyyy, UTC unless it names a zone.")
	default:
		kinds = append(kinds, "string", "number", "boolean")
		notes = append(notes, "Logged, never read by the model.")
	}
	if c.Missing || c.Kind == schema.Text {
		kinds = append(kinds, "null")
	}
	return append(node{{"type", kinds}, {"description", strings.Join(notes, " ")}}, n...)
}

func predictionSchema(t *schema.Template) node {
	value := node{{"type", "number"}}
	properties := node{{t.PredictionName(), value}}
	if t.Task.Classified() {
		var p node
		for _, class := range t.Classes {
			p = append(p, member{class, node{{"type", "number"}, {"minimum", 0}, {"maximum", 1}}})
		}
		properties = node{{t.PredictionName(), classSchema(t)}, {"probabilities", node{{"type", "object"}, {"properties", p}}}}
	}
	return node{{"type", "object"}, {"properties", append(properties,
		member{idField, node{{"type", "string"}}},
		member{"model_version", node{{"type", "string"}}},
		member{"flags", node{{"type", "array"}, {"items", node{{"enum", []string{"unseen_category", "missing_value", "out_of_range", "repaired"}}}}}})}}
}

// explanationSchema describes the answers of /explain.
func explanationSchema(t *schema.Template) node {
	number := node{{"type", "number"}}
	var columns node
	for _, c := range t.Columns {
		columns = append(columns, member{c.Name, number})
	}
	contributions := node{{"type", "object"}, {"properties", columns}}
	perClass := func(n node) node {
		if len(t.Classes) < 3 {
			return n
		}
		var classes node
		for _, c := range t.Classes {
			classes = append(classes, member{c, n})
		}
		return node{{"type", "object"}, {"properties", classes}}
	}
	properties := append(node{}, predictionSchema(t)[1].value.(node)...)
	if len(t.Classes) == 2 {
		properties = append(properties, member{"explained_class", classSchema(t)})
	}
	return node{{"type", "object"}, {"properties", append(properties,
		member{"contributions", perClass(contributions)}, member{"bias", perClass(number)}, member{"raw_score", perClass(number)})}}
}

// invocationSchema describes what MLflow's clients send.
func invocationSchema() node {
	object, list := node{{"type", "object"}}, node{{"type", "array"}}
	split := node{{"type", "object"}, {"properties", node{{"columns", list}, {"data", node{{"type", "array"}, {"items", list}}}, {"index", list}}}}
	return node{{"type", "object"}, {"properties", node{
		{"dataframe_split", split}, {"dataframe_records", node{{"type", "array"}, {"items", object}}},
		{"instances", list}, {"inputs", node{{"type", []string{"object", "array"}}}}, {"params", object}}}}
}

// inferenceSchema describes what clients of the Open Inference Protocol send.
func inferenceSchema() node {
	text, whole := node{{"type", "string"}}, node{{"type", "integer"}}
	tensor := node{{"type", "object"}, {"properties", node{{"name", text}, {"datatype", text}, {"shape", node{{"type", "array"}, {"items", whole}}}, {"data", node{{"type", "array"}}}}}, {"required", []string{"name", "datatype", "shape"}}}
	output := node{{"type", "object"}, {"properties", node{{"name", text}}}, {"required", []string{"name"}}}
	return node{{"type", "object"}, {"properties", node{{"id", text}, {"inputs", node{{"type", "array"}, {"items", tensor}}}, {"outputs", node{{"type", "array"}, {"items", output}}}}}, {"required", []string{"inputs"}}}
}

// classSchema lists the classes as they are answered.
func classSchema(t *schema.Template) node {
	var labels []any
	numeric := allNumbers(t.Classes)
	for _, c := range t.Classes {
		if numeric {
			labels = append(labels, json.RawMessage(c))
		} else {
			labels = append(labels, c)
		}
	}
	return node{{"enum", labels}}
}

func actualSchema(t *schema.Template) node {
	value := node{{"type", "number"}}
	if t.Task.Classified() {
		value = classSchema(t)
	}
	properties := node{{idField, node{{"type", "string"}}}, {t.Target, value}}
	if t.Target != sourceField {
		properties = append(properties, member{sourceField, node{{"type", "string"}, {"description", "who tells it"}}})
	}
	return node{{"type", "object"}, {"properties", properties}, {"required", []string{idField, t.Target}}}
}

func problemSchema() node {
	text, whole := node{{"type", "string"}}, node{{"type", "integer"}}
	fault := node{{"type", "object"}, {"properties", node{{"row", whole}, {"field", text}, {"message", text}, {"value", node{}}}}}
	return node{{"type", "object"}, {"properties", node{{"type", text}, {"title", text}, {"status", whole}, {"detail", text}, {"instance", text},
		{"errors", node{{"type", "array"}, {"items", fault}}}, {"errors_omitted", whole}}}}
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	doc := s.bare
	if v := s.holder.live.Load(); v != nil {
		doc = v.openapi
	}
	w.Header()["Content-Type"] = mediaTypes[mediaJSON]
	w.Write(doc) //nolint:errcheck // the client is gone: nobody to tell
}
