package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// openAPI is the OpenAPI 3.1 description of a server with the given model; t
// is nil when there is none. example is a request for one row.
func openAPI(t *schema.Template, extras []predlog.Extra, example []byte, version string) ([]byte, error) {
	paths := node{
		{"/health", node{{"get", operation("Whether the process answers, and what it serves", nil, node{}, 200)}}},
		{"/ready", node{{"get", operation("Whether predictions can be asked for; 503 while draining or without a model", nil, node{}, 200, 503)}}},
		{"/metrics", node{{"get", node{{"summary", "Metrics in Prometheus' text format"}, {"responses", node{{"200", node{{"description", "text/plain"}}}}}}}}},
	}
	schemas := node{{"Problem", problemSchema()}}
	if t != nil {
		row := json.RawMessage(example)
		paths = append(node{
			{"/predict", node{{"post", operation("Predict "+t.Target, oneOrMany("Row", row), oneOrManySchema("Prediction"), 200, 400, 413, 415, 422, 503)}}},
			{"/actuals", node{{"post", operation("Hand in what came true", oneOrMany("Actual", nil), node{{"type", "object"}, {"properties", node{{"received", node{{"type", "integer"}}}}}}, 200, 400, 413, 415, 422, 503)}}},
		}, paths...)
		schemas = append(schemas, member{"Row", rowSchema(t, extras, row)}, member{"Prediction", predictionSchema(t)}, member{"Actual", actualSchema(t)})
	} else {
		version = "no model"
	}
	doc := node{
		{"openapi", "3.1.0"},
		{"info", node{{"title", "healml"}, {"version", version}, {"description", "A model kept alive. See docs/api.md."}}},
		{"paths", paths},
		{"components", node{{"schemas", schemas}}},
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return append(out, '\n'), nil
}

func oneOrManySchema(name string) node {
	return node{{"oneOf", []node{ref(name), {{"type", "array"}, {"items", ref(name)}}}}}
}

func oneOrMany(name string, example any) node {
	media := node{{"schema", oneOrManySchema(name)}}
	if example != nil {
		media = append(media, member{"example", example})
	}
	return node{{"required", true}, {"content", node{{"application/json", media}}}}
}

// operation describes one method of a path, with answers of the given
// statuses, of which 200 has the schema answer.
func operation(summary string, body, answer node, statuses ...int) node {
	op := node{{"summary", summary}}
	if body != nil {
		op = append(op, member{"requestBody", body})
	}
	var responses node
	for _, status := range statuses {
		r := node{{"description", http.StatusText(status)}}
		if status == http.StatusOK {
			r = append(r, member{"content", node{{"application/json", node{{"schema", answer}}}}})
		} else if body != nil {
			r = append(r, member{"content", node{{"application/problem+json", node{{"schema", ref("Problem")}}}}})
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
