package serve

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/healml/healml/internal/schema"
)

// docsPage is the documentation of the routes with a form to try each. It needs
// nothing from elsewhere, and reads without a script, too.
//
//go:embed docs.html.tmpl
var docsText string

//go:embed docs.js
var docsScript string

var docsPage = template.Must(template.New("docs").Parse(docsText))

// docsPolicy lets the page run its own script, which asks this server.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsScript))
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

// docsRoute is a route as the page shows it.
type docsRoute struct {
	Method, Path, Says, Body string
	Get                      bool
}

// docsField is a column as the page shows it.
type docsField struct{ Name, Takes, Note string }

func (s *Server) docs(w http.ResponseWriter, _ *http.Request) {
	data := struct {
		Version, Target, Prediction string
		Secured                     bool
		Routes                      []docsRoute
		Fields                      []docsField
		Script                      template.JS
	}{Secured: s.o.Tokens != nil, Script: template.JS(docsScript)}
	if v := s.holder.live.Load(); v != nil {
		t := v.model.Template
		data.Version, data.Target, data.Prediction = v.version, t.Target, t.PredictionName()
		row := string(v.example)
		if data.Secured { // what columns hold is for holders of a token
			row = "{}"
		}
		name := s.modelName(v)
		data.Routes = []docsRoute{
			{"POST", "/predict", "Predict " + t.Target + " for one row, or an array of rows. JSON, one object a line, CSV or an Arrow stream.", row, false},
			{"POST", "/explain", "Predict, and say how much each column had to do with it. Nothing is logged.", row, false},
			{"POST", "/actuals", "Hand in what came true, by the prediction_id of an answer.", fmt.Sprintf(`{"prediction_id":"…",%s:…}`, appendString(nil, t.Target)), false},
			{"POST", "/invocations", "MLflow's scoring protocol: dataframe_split, dataframe_records, instances, inputs or CSV.", `{"dataframe_records":[` + row + `]}`, false},
			{"POST", "/v2/models/" + name + "/infer", "The Open Inference Protocol, version 2.", "", false},
			{"GET", "/v2/models/" + name, "What it takes and gives there.", "", true},
		}
		for i := range t.Columns {
			if data.Secured {
				break
			}
			c := &t.Columns[i]
			data.Fields = append(data.Fields, docsField{c.Name, wanted(c), noteOf(c)})
		}
	}
	data.Routes = append(data.Routes,
		docsRoute{"GET", "/health", "Whether the process answers, and what it serves.", "", true},
		docsRoute{"GET", "/ready", "200 when predictions can be asked for, else 503.", "", true},
		docsRoute{"GET", "/metrics", "Metrics for Prometheus.", "", true},
		docsRoute{"GET", "/openapi.json", "All of this for programs: OpenAPI 3.1.", "", true},
	)
	var page bytes.Buffer
	if err := docsPage.Execute(&page, data); err != nil {
		panic("serve: write docs page: " + err.Error()) // plain data: cannot fail
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Cache-Control", "no-store")
	w.Write(page.Bytes()) //nolint:errcheck // the client is gone: nobody to tell
}

// noteOf says what is special about a column.
func noteOf(c *schema.Column) string {
	var notes []string
	switch {
	case c.Kind == schema.Numeric && c.Min != nil:
		notes = append(notes, fmt.Sprintf("training saw %v to %v", *c.Min, *c.Max))
	case c.Kind == schema.Categorical:
		notes = append(notes, fmt.Sprintf("training saw %d: %s", len(c.Levels), shortList(c.Levels)))
	case c.Kind == schema.Text:
		notes = append(notes, "logged, never read by the model; may be left out")
	}
	if c.Missing {
		notes = append(notes, "null when missing")
	}
	return strings.Join(notes, "; ")
}
