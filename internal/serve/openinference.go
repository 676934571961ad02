package serve

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
)

// The Open Inference Protocol, version 2 (KServe, Triton, MLServer), over
// REST. The model has an input for each raw column, of shape [rows] or
// [rows, 1]; and the outputs predicted_<target>, probabilities (of classes) and
// prediction_id. Tensors come as JSON or, by Triton's binary extension, behind
// it; they are answered as JSON.

// modelName is the name by which the model is asked for.
func (s *Server) modelName(v *live) string {
	if s.o.ModelName != "" {
		return s.o.ModelName
	}
	return v.model.Template.Target
}

// namedModel finds the model that a path speaks of.
func (s *Server) namedModel(r *http.Request) (*live, *Problem) {
	v := s.holder.live.Load()
	if v == nil {
		return nil, noModel()
	}
	name, version := r.PathValue("name"), r.PathValue("version")
	if want := s.modelName(v); name != want {
		return nil, problem(http.StatusNotFound, "not-found", "No such model", "The model %q is not here; %q is.", shorten(name), want)
	}
	if version != "" && version != v.version {
		return nil, problem(http.StatusNotFound, "not-found", "No such version", "The version %q does not serve; %q does.", shorten(version), v.version)
	}
	return v, nil
}

func (s *Server) inferenceRoutes() {
	s.handle("/v2", "/v2", route{scope: anyone, get: s.serverMetadata})
	s.handle("/v2/health/live", "/v2/health/live", route{scope: anyone, get: func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	}})
	s.handle("/v2/health/ready", "/v2/health/ready", route{scope: anyone, get: func(w http.ResponseWriter, _ *http.Request) {
		status := s.readiness()
		writeJSON(w, status, map[string]bool{"ready": status == http.StatusOK})
	}})
	for _, path := range []string{"/v2/models/{name}", "/v2/models/{name}/versions/{version}"} {
		s.handle(path, path, route{scope: predicting, get: s.modelMetadata})
		s.handle(path+"/ready", path+"/ready", route{scope: anyone, get: s.modelReady})
		s.handle(path+"/infer", path+"/infer", route{scope: predicting, post: s.infer, tell: tellInference})
	}
	s.handle("/v2/repository/index", "/v2/repository/index", route{scope: predicting, post: s.repositoryIndex, tell: tellInference})
}

func (s *Server) serverMetadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{"healml", s.o.Build, []string{"binary_tensor_data", "model_repository"}})
}

// tensor is what metadata say of an input or an output.
type tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

func (s *Server) modelMetadata(w http.ResponseWriter, r *http.Request) {
	v, p := s.namedModel(r)
	if p != nil {
		tellInference(w, p)
		return
	}
	var inputs []tensor
	for _, c := range v.model.Template.Columns {
		datatype := "BYTES"
		switch c.Kind {
		case schema.Numeric:
			datatype = "FP64"
		case schema.Boolean:
			datatype = "BOOL"
		}
		inputs = append(inputs, tensor{c.Name, datatype, []int64{-1}})
	}
	writeJSON(w, http.StatusOK, struct {
		Name     string   `json:"name"`
		Versions []string `json:"versions"`
		Platform string   `json:"platform"`
		Inputs   []tensor `json:"inputs"`
		Outputs  []tensor `json:"outputs"`
	}{s.modelName(v), []string{v.version}, "healml", inputs, v.outputTensors(-1)})
}

// outputTensors are the outputs for n rows.
func (v *live) outputTensors(n int64) []tensor {
	t := v.model.Template
	out := []tensor{{t.PredictionName(), "FP64", []int64{n}}}
	if t.Task.Classified() {
		out[0].Datatype = "BYTES"
		out = append(out, tensor{"probabilities", "FP64", []int64{n, int64(len(t.Classes))}})
	}
	return append(out, tensor{idField, "BYTES", []int64{n}})
}

func (s *Server) modelReady(w http.ResponseWriter, r *http.Request) {
	v, p := s.namedModel(r)
	if p != nil {
		tellInference(w, p)
		return
	}
	status := s.readiness()
	writeJSON(w, status, struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{s.modelName(v), status == http.StatusOK})
}

// repositoryIndex lists the one model that serves.
func (s *Server) repositoryIndex(_ *http.Request, b *batch) *Problem {
	b.answer, b.out = mediaJSON, append(b.out[:0], "[]\n"...)
	if v := s.holder.live.Load(); v != nil {
		b.out = appendString(append(b.out[:0], `[{"name":`...), s.modelName(v))
		b.out = append(appendString(append(b.out, `,"version":`...), v.version), ",\"state\":\"READY\",\"reason\":\"\"}]\n"...)
	}
	return nil
}

// inferRequest is a request without the data of its inputs.
type inferRequest struct {
	ID      string       `json:"id"`
	Inputs  []inferInput `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"`
}

type inferInput struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Data       json.RawMessage `json:"data"`
	Parameters struct {
		Size    *int   `json:"binary_data_size"`
		Content string `json:"content_type"`
	} `json:"parameters"`
}

// binaryHeader says how many bytes of a body are JSON; tensors follow.
const binaryHeader = "Inference-Header-Content-Length"

// infer answers POST /v2/models/NAME/infer.
func (s *Server) infer(r *http.Request, b *batch) *Problem {
	v, p := s.namedModel(r)
	if p != nil {
		return p
	}
	b.media, b.answer = mediaJSON, mediaJSON
	b.reset(len(v.loose.cols))
	b.isArray = true
	text, rest := b.body, []byte(nil)
	if h := r.Header.Get(binaryHeader); h != "" {
		n, err := strconv.Atoi(h)
		if err != nil || n < 0 || n > len(b.body) {
			return problem(http.StatusBadRequest, "invalid-json", "The body is cut wrong", "%s is %q, the body has %d bytes.", binaryHeader, shorten(h), len(b.body))
		}
		text, rest = b.body[:n], b.body[n:]
	}
	b.lexer = lexer{b: text, tmp: b.lexer.tmp}
	if _, _, err := b.lexer.value(0); err != nil { // stricter than encoding/json, and bounds the depth
		return s.undecoded(err)
	}
	if err := b.lexer.end(); err != nil {
		return s.undecoded(err)
	}
	var q inferRequest
	if err := json.Unmarshal(text, &q); err != nil {
		return problem(http.StatusBadRequest, "invalid-json", "The body is no inference request", "Reading the body: %v.", err)
	}
	if p := s.tensors(v.loose, b, q.Inputs, rest); p != nil {
		return p
	}
	wanted, p := v.wantedOutputs(&q)
	if p != nil {
		return p
	}
	if p := b.fits(); p != nil {
		return p
	}
	if p := s.answer(r.Context(), v, b); p != nil {
		return p
	}
	v.appendInference(b, s.modelName(v), q.ID, wanted)
	return nil
}

// wantedOutputs are the outputs that a request asks for: all when it names
// none.
func (v *live) wantedOutputs(q *inferRequest) ([]tensor, *Problem) {
	all := v.outputTensors(int64(0))
	if len(q.Outputs) == 0 {
		return all, nil
	}
	var out []tensor
	for _, o := range q.Outputs {
		found := false
		for _, t := range all {
			if t.Name == o.Name {
				out, found = append(out, t), true
			}
		}
		if !found {
			names := make([]string, len(all))
			for i, t := range all {
				names[i] = t.Name
			}
			return nil, badFields([]FieldError{{Field: shorten(o.Name), Message: "no such output; there are " + shortList(names)}}, 0)
		}
	}
	return out, nil
}

// tensors reads the inputs into b, column by column.
func (s *Server) tensors(p *plan, b *batch, inputs []inferInput, rest []byte) *Problem {
	rows := -1
	given := map[int]bool{}
	for i := range inputs {
		in := &inputs[i]
		col := p.lookup([]byte(in.Name), 0)
		near := p.near(in.Name)
		switch {
		case col == unknownField && near != "":
			b.column(in.Name, "unknown input; did you mean %q? Names are case-sensitive", near)
		case col == unknownField:
			b.column(in.Name, "unknown input; the model reads %s", p.names())
		case given[col] && col != ignoredField:
			b.column(in.Name, "given twice")
		}
		given[col] = true
		n := in.rows()
		switch {
		case n < 0:
			b.column(in.Name, "the shape is %v; expected [rows] or [rows, 1]", in.Shape)
		case rows < 0 && n > s.o.Limits.Rows:
			return tooManyRows(s.o.Limits.Rows)
		case rows < 0:
			rows = n
			for b.rows = range n {
				p.open(b)
			}
		case n != rows:
			b.column(in.Name, "%d rows, the inputs before it have %d", n, rows)
		}
		if in.Parameters.Size != nil {
			size := *in.Parameters.Size
			if size < 0 || size > len(rest) {
				return problem(http.StatusBadRequest, "invalid-json", "The body is cut wrong", "The input %q has %d bytes, %d are left of the body.", shorten(in.Name), size, len(rest))
			}
			if n == rows {
				p.binary(b, col, in, rest[:size], rows)
			}
			rest = rest[size:]
			continue
		}
		if n == rows {
			if err := p.data(b, col, in, rows); err != nil {
				return s.undecoded(err)
			}
		}
	}
	if rows < 0 {
		b.column("inputs", "missing; expected an input for each of %s", p.names())
	}
	b.rows = max(rows, 0)
	if len(b.faults) > 0 {
		return nil
	}
	for b.rows = range max(rows, 0) {
		for col := range given {
			if col >= 0 {
				b.seen[col] = b.rows + 1
			}
		}
		p.absent(b)
	}
	b.rows = max(rows, 0)
	return nil
}

// rows is how many rows an input has, −1 when its shape is no column.
func (in *inferInput) rows() int {
	const most = 1 << 30
	if len(in.Shape) == 0 || len(in.Shape) > 2 || len(in.Shape) == 2 && in.Shape[1] != 1 || in.Shape[0] < 0 || in.Shape[0] > most {
		return -1
	}
	return int(in.Shape[0])
}

// data reads an input whose data are JSON, flat or nested.
func (p *plan) data(b *batch, col int, in *inferInput, rows int) error {
	l := lexer{b: in.Data}
	if l.peek() != '[' {
		b.column(in.Name, "no data; expected an array of %d values", rows)
		return nil
	}
	n := 0
	err := l.elements(func() error {
		kind, raw, err := l.value(3)
		if err != nil {
			return err
		}
		kind, raw = l.only(kind, raw)
		if kind == text && in.Parameters.Content == "base64" {
			if decoded, err := base64.StdEncoding.DecodeString(string(raw)); err == nil {
				raw = decoded
			}
		}
		if b.rows = n; n < rows {
			p.cell(b, col, kind, raw)
		}
		n++
		return nil
	})
	if err != nil {
		return err
	}
	if n != rows {
		b.column(in.Name, "%d values, the shape has %d", n, rows)
	}
	return nil
}

// binary reads an input whose values stand behind the JSON, little-endian.
func (p *plan) binary(b *batch, col int, in *inferInput, data []byte, rows int) {
	n := 0
	take := func(kind token, raw []byte) {
		if b.rows = n; n < rows {
			p.cell(b, col, kind, raw)
		}
		n++
	}
	if in.Datatype == "BYTES" {
		for len(data) >= 4 {
			size := binary.LittleEndian.Uint32(data)
			if uint64(size) > uint64(len(data)-4) {
				break
			}
			take(text, data[4:4+size])
			data = data[4+size:]
		}
	} else if size, read := binaryType(in.Datatype); size > 0 {
		var short [32]byte
		for ; len(data) >= size; data = data[size:] {
			switch v := read(data); {
			case math.IsNaN(v):
				take(notNumber, []byte("NaN"))
			case math.IsInf(v, 0):
				take(notNumber, []byte("Infinity"))
			default:
				take(number, appendFloat(short[:0], v))
			}
		}
	} else {
		b.column(in.Name, "the datatype %q is not known", shorten(in.Datatype))
		return
	}
	if n != rows || len(data) > 0 {
		b.column(in.Name, "its bytes do not hold %d values of %s", rows, in.Datatype)
	}
}

// binaryType is the size of a number in bytes and how it is read; 0 when the
// datatype is no number.
func binaryType(datatype string) (size int, read func([]byte) float64) {
	le := binary.LittleEndian
	switch datatype {
	case "BOOL", "UINT8":
		return 1, func(d []byte) float64 { return float64(d[0]) }
	case "INT8":
		return 1, func(d []byte) float64 { return float64(int8(d[0])) }
	case "UINT16":
		return 2, func(d []byte) float64 { return float64(le.Uint16(d)) }
	case "INT16":
		return 2, func(d []byte) float64 { return float64(int16(le.Uint16(d))) }
	case "UINT32":
		return 4, func(d []byte) float64 { return float64(le.Uint32(d)) }
	case "INT32":
		return 4, func(d []byte) float64 { return float64(int32(le.Uint32(d))) }
	case "UINT64":
		return 8, func(d []byte) float64 { return float64(le.Uint64(d)) }
	case "INT64":
		return 8, func(d []byte) float64 { return float64(int64(le.Uint64(d))) }
	case "FP32":
		return 4, func(d []byte) float64 { return float64(math.Float32frombits(le.Uint32(d))) }
	case "FP64":
		return 8, func(d []byte) float64 { return math.Float64frombits(le.Uint64(d)) }
	}
	return 0, nil
}

// appendInference appends the answer of infer with the outputs asked for.
func (v *live) appendInference(b *batch, name, id string, outputs []tensor) {
	t, k := v.model.Template, v.model.Template.Outputs()
	b.out = appendString(append(b.out, `{"model_name":`...), name)
	b.out = appendString(append(b.out, `,"model_version":`...), v.version)
	if id != "" {
		b.out = appendString(append(b.out, `,"id":`...), id)
	}
	b.out = append(b.out, `,"outputs":[`...)
	for i, o := range outputs {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		o.Shape[0] = int64(b.rows)
		b.out = appendString(append(b.out, `{"name":`...), o.Name)
		b.out = fmt.Appendf(b.out, `,"datatype":%q,"shape":[%d`, o.Datatype, b.rows)
		if len(o.Shape) > 1 {
			b.out = fmt.Appendf(b.out, ",%d", o.Shape[1])
		}
		b.out = append(b.out, `],"data":[`...)
		for i := range b.rows {
			if i > 0 {
				b.out = append(b.out, ',')
			}
			row := b.outputs[i*k : (i+1)*k]
			switch {
			case o.Name == idField:
				b.out = appendString(b.out, b.records[i].ID)
			case len(o.Shape) > 1:
				for c, p := range row {
					if c > 0 {
						b.out = append(b.out, ',')
					}
					b.out = appendFloat(b.out, p)
				}
			case t.Task.Classified():
				b.out = appendString(b.out, t.Classes[model.Best(row)])
			default:
				b.out = appendFloat(b.out, row[0])
			}
		}
		b.out = append(b.out, "]}"...)
	}
	b.out = append(b.out, "]}\n"...)
}

// tellInference answers with a problem as the protocol has it.
func tellInference(w http.ResponseWriter, p *Problem) {
	q := *p
	if q.Status == http.StatusUnprocessableEntity {
		q.Status = http.StatusBadRequest
	}
	q.send(w, "application/json", struct {
		Error string `json:"error"`
	}{q.sentence()})
}
