package serve

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// inferBody is two rows for the sales model.
const inferBody = `{"id":"q1","inputs":[
	{"name":"date","shape":[2],"datatype":"BYTES","data":["2024-01-10","2024-01-11"]},
	{"name":"category","shape":[2,1],"datatype":"BYTES","data":[["Electronics"],["Toys"]]},
	{"name":"region","shape":[2],"datatype":"BYTES","data":["North",null]},
	{"name":"price","shape":[2],"datatype":"FP64","data":[1000,99.5]},
	{"name":"stock","shape":[2],"datatype":"FP32","data":[5,NaN]},
	{"name":"promo","shape":[2],"datatype":"BOOL","data":[true,false]},
	{"name":"prediction_id","shape":[2],"datatype":"BYTES","data":["a","b"]}]}`

func TestInfer(t *testing.T) {
	body := strings.Replace(inferBody, "NaN", "null", 1)
	r := newRig(t, nil)
	for _, path := range []string{"/v2/models/sales/infer", "/v2/models/sales/versions/v1/infer"} {
		const want = `{"model_name":"sales","model_version":"v1","id":"q1","outputs":[` +
			`{"name":"predicted_sales","datatype":"FP64","shape":[2],"data":[32.25,31]},{"name":"prediction_id","datatype":"BYTES","shape":[2],"data":["a","b"]}]}` + "\n"
		if w := r.send("POST", path, body); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if recs := r.log.records(); len(recs) != 4 || recs[1].ID != "b" || recs[1].Texts[1] != "Toys" || !math.IsNaN(recs[1].Values[2]) {
		t.Errorf("logged %+v", recs)
	}
	asked := strings.Replace(body, `{"id":"q1",`, `{"outputs":[{"name":"predicted_sales"}],`, 1)
	if w := r.send("POST", "/v2/models/sales/infer", asked); strings.Contains(w.Body.String(), "prediction_id") || strings.Contains(w.Body.String(), `"id"`) {
		t.Errorf("one output was asked for: %s", w.Body)
	}
	m := classModel(t, "c1", "no", "yes")
	r = newRig(t, func(o *Options) { o.ModelName = "churn" }, &Candidate{Model: m, Golden: golden(t, m)})
	if w := r.send("POST", "/v2/models/churn/infer", body); !strings.Contains(w.Body.String(),
		`{"name":"predicted_label","datatype":"BYTES","shape":[2],"data":["yes","no"]},{"name":"probabilities","datatype":"FP64","shape":[2,2],"data":[0.2689414213699951,0.7310585786300049,`) {
		t.Errorf("classes: %s", w.Body)
	}
}

// inputOf is an input whose data stand behind the JSON.
func inputOf(name, datatype string, rows int, data []byte) (string, []byte) {
	return fmt.Sprintf(`{"name":%q,"shape":[%d],"datatype":%q,"parameters":{"binary_data_size":%d}}`, name, rows, datatype, len(data)), data
}

func bytesOf(texts ...string) []byte {
	var out []byte
	for _, s := range texts {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(s))), s...)
	}
	return out
}

// sendBinary sends inputs in Triton's binary extension.
func (r *rig) sendBinary(inputs ...any) *httptest.ResponseRecorder {
	var heads []string
	var rest []byte
	for i := 0; i < len(inputs); i += 2 {
		heads, rest = append(heads, inputs[i].(string)), append(rest, inputs[i+1].([]byte)...)
	}
	head := `{"inputs":[` + strings.Join(heads, ",") + `]}`
	return r.send("POST", "/v2/models/sales/infer", head+string(rest), binaryHeader, strconv.Itoa(len(head)))
}

func TestInferBinary(t *testing.T) {
	le := binary.LittleEndian
	prices := le.AppendUint64(le.AppendUint64(nil, math.Float64bits(1000)), math.Float64bits(99.5))
	stocks := le.AppendUint32(le.AppendUint32(nil, math.Float32bits(5)), math.Float32bits(float32(math.NaN())))
	r := newRig(t, nil)
	var all []any
	add := func(head string, data []byte) { all = append(all, head, data) }
	add(inputOf("date", "BYTES", 2, bytesOf("2024-01-10", "2024-01-11")))
	add(inputOf("category", "BYTES", 2, bytesOf("Electronics", "Garden")))
	add(inputOf("region", "INT64", 2, le.AppendUint64(le.AppendUint64(nil, 1), 7)))
	add(inputOf("price", "FP64", 2, prices))
	add(inputOf("stock", "FP32", 2, stocks))
	add(inputOf("promo", "BOOL", 2, []byte{1, 0}))
	w := r.sendBinary(all...)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"data":[32.25,31]`) {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if recs := r.log.records(); recs[0].Texts[2] != "1" || recs[1].Texts[2] != "7" || recs[1].Texts[1] != "Garden" || !math.IsNaN(recs[1].Values[4]) {
		t.Errorf("logged %+v", recs)
	}
	for _, c := range []struct {
		name, datatype string
		data           []byte
	}{
		{"price", "FP64", prices[:12]}, {"price", "FP64", append(prices, 0)}, {"price", "FP64", nil}, {"price", "COMPLEX", prices},
		{"category", "BYTES", bytesOf("Toys")}, {"category", "BYTES", []byte{255, 255, 255, 255, 1}}, {"category", "BYTES", bytesOf("a", "b", "c")},
	} {
		if w := r.sendBinary(func() (string, []byte) { return inputOf(c.name, c.datatype, 2, c.data) }()); w.Code != 400 {
			t.Errorf("%v: %d %s", c, w.Code, w.Body)
		}
	}
	if w := r.send("POST", "/v2/models/sales/infer", inferBody, binaryHeader, "999999"); w.Code != 400 {
		t.Errorf("a length beyond the body: %d", w.Code)
	}
}

func TestInferFaults(t *testing.T) {
	good := strings.Replace(inferBody, "NaN", "null", 1)
	for _, c := range []struct{ old, new, says string }{
		{good, `{}`, "inputs"},
		{good, `[]`, "no inference request"},
		{good, `{"inputs":[`, "byte"},
		{`"name":"price"`, `"name":"Price"`, "did you mean"},
		{`"name":"price"`, `"name":"what"`, "unknown input"},
		{`"name":"price"`, `"name":"stock"`, "given twice"},
		{`"name":"price","shape":[2]`, `"name":"price","shape":[2,2]`, "the shape is [2 2]"},
		{`"name":"price","shape":[2]`, `"name":"price","shape":[-2]`, "the shape is [-2]"},
		{`"name":"price","shape":[2]`, `"name":"price","shape":[3]`, "3 rows, the inputs before it have 2"},
		{`[1000,99.5]`, `[1000]`, "1 values, the shape has 2"},
		{`[1000,99.5]`, `[1000,99.5,1]`, "3 values, the shape has 2"},
		{`[1000,99.5]`, `7`, "no data"},
		{`[1000,99.5]`, `[1000,"x"]`, "expected a number"},
		{`"b"]`, `"a"]`, "same name"},
		{`"id":"q1"`, `"outputs":[{"name":"what"}]`, "no such output"},
		{`"shape":[2]`, `"shape":[7]`, "may have 5 rows"},
	} {
		r := newRig(t, func(o *Options) { o.Limits.Rows = 5 })
		w := r.send("POST", "/v2/models/sales/infer", strings.Replace(good, c.old, c.new, 1))
		if got := decodeJSON[map[string]string](t, strings.NewReader(w.Body.String())); w.Code/100 != 4 || !strings.Contains(got["error"], c.says) {
			t.Errorf("%s: %d %s, expected to hear %q", c.new, w.Code, w.Body, c.says)
		}
		if len(r.log.records()) > 0 {
			t.Errorf("%s was logged", c.new)
		}
	}
	r := newRig(t, nil)
	for _, path := range []string{"/v2/models/other/infer", "/v2/models/sales/versions/v9/infer"} {
		if w := r.send("POST", path, good); w.Code != 404 || !strings.Contains(w.Body.String(), `{"error":`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestInferenceMetadata(t *testing.T) {
	r := newRig(t, nil)
	for path, want := range map[string]string{
		"/v2":                                `"extensions":["binary_tensor_data","model_repository"]`,
		"/v2/health/live":                    `{"live":true}`,
		"/v2/health/ready":                   `{"ready":true}`,
		"/v2/models/sales":                   `{"name":"price","datatype":"FP64","shape":[-1]}`,
		"/v2/models/sales/ready":             `{"name":"sales","ready":true}`,
		"/v2/models/sales/versions/v1":       `"outputs":[{"name":"predicted_sales","datatype":"FP64","shape":[-1]},{"name":"prediction_id","datatype":"BYTES","shape":[-1]}]`,
		"/v2/models/sales/versions/v1/ready": `"ready":true`,
	} {
		if w := r.send("GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := r.send("POST", "/v2/repository/index", "{}"); w.Body.String() != `[{"name":"sales","version":"v1","state":"READY","reason":""}]`+"\n" {
		t.Errorf("index: %s", w.Body)
	}
	empty := newRig(t, func(o *Options) { o.Models = newShelf() })
	for _, path := range []string{"/v2/health/ready", "/v2/models/sales", "/v2/models/sales/ready"} {
		if w := empty.send("GET", path, ""); w.Code != 503 {
			t.Errorf("%s without a model: %d", path, w.Code)
		}
	}
}
