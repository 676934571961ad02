package serve

import (
	"bytes"
	"html/template"
	"net/http"
)

// indexPage needs nothing from elsewhere: it shows on a machine without a
// network.
var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>healml</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
code, pre { font: 14px/1.5 ui-monospace, monospace; background: #f2f4f6; border-radius: 4px }
code { padding: .1rem .3rem } pre { padding: .8rem 1rem; overflow-x: auto }
table { border-collapse: collapse } td { padding: .2rem 1.2rem .2rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { color: #e6e8ea; background: #14171a } code, pre { background: #22272c } a { color: #7ab7ff } }
</style>
<h1>healml</h1>
{{with .Health}}<table>
<tr><td>State<td>{{.State}}
<tr><td>Version<td>{{if .ModelLoaded}}<code>{{.ModelVersion}}</code>{{else}}none{{end}}
{{with .Why}}<tr><td>Why<td>{{.}}{{end}}
<tr><td>Logging<td>{{if .Logging}}every answered prediction{{else}}off{{end}}
</table>{{end}}
{{with .Example}}<h2>Ask for a prediction</h2>
<pre>curl -sS {{$.URL}}/predict \
  -H 'Content-Type: application/json' \
  -d '{{.}}'</pre>{{end}}
<h2>Routes</h2>
<table>
<tr><td><code>POST /predict</code><td>one row, or an array of rows
<tr><td><code>POST /explain</code><td>the same, with what each column had to do with it
<tr><td><code>POST /actuals</code><td>what came true
<tr><td><a href="/health"><code>GET /health</code></a><td>what serves
<tr><td><a href="/ready"><code>GET /ready</code></a><td>503 while draining or without a model
<tr><td><a href="/metrics"><code>GET /metrics</code></a><td>for Prometheus
<tr><td><a href="/docs"><code>GET /docs</code></a><td>every route, with a form to try it
<tr><td><a href="/openapi.json"><code>GET /openapi.json</code></a><td>OpenAPI 3.1
</table>
</html>
`))

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	data := struct {
		Health       healthDocument
		Example, URL string
	}{Health: s.document(), URL: "http://" + r.Host}
	if v := s.holder.live.Load(); v != nil && s.o.Tokens == nil {
		// In the single quotes of a shell a quote is written '\''.
		data.Example = string(bytes.ReplaceAll(v.example, []byte("'"), []byte(`'\''`)))
	}
	var page bytes.Buffer
	if err := indexPage.Execute(&page, data); err != nil {
		panic("serve: write index page: " + err.Error()) // plain data: cannot fail
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cache-Control", "no-store")
	w.Write(page.Bytes()) //nolint:errcheck // the client is gone: nobody to tell
}
