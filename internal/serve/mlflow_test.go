package serve

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

type scores struct {
	Predictions []any    `json:"predictions"`
	IDs         []string `json:"prediction_ids"`
	Version     string   `json:"model_version"`
}

// split is two rows as pandas writes them, with a column that no model knows.
const split = `{"dataframe_split":{"index":[0,1],"data":[["2024-01-10","Electronics","North",1000,5.0,true,NaN,[1]],["2024-01-11","Toys",NaN,99,NaN,0,"x",NaN]],` +
	`"columns":["date","category","region","price","stock","promo","note","what"]}}`

// TestInvocations sends the same rows in every way that MLflow knows.
func TestInvocations(t *testing.T) {
	records := `[{"date":"2024-01-10","category":"Electronics","region":"North","price":1000,"stock":5.0,"promo":true,"what":NaN},` +
		`{"promo":0,"date":"2024-01-11","category":"Toys","region":NaN,"price":99,"stock":null,"note":"x"}]`
	lists := `[["2024-01-10","Electronics","North",1000,5.0,true,null],["2024-01-11","Toys",null,99,null,0,"x"]]`
	columns := `{"date":["2024-01-10","2024-01-11"],"category":[["Electronics"],["Toys"]],"region":["North",null],"price":[1000,99],"stock":[5,null],"promo":[true,0],"what":[1,2]}`
	for name, body := range map[string]string{
		"split": split, "records": `{"dataframe_records":` + records + `}`,
		"instances": `{"params":{},"instances":` + records + `}`, "lists": `{"instances":` + lists + `}`,
		"inputs": `{"inputs":` + columns + `}`, "input lists": `{"inputs":` + lists + `}`,
		"csv": "date,category,region,price,stock,promo,what\n2024-01-10,Electronics,North,1000,5,true,1\n2024-01-11,Toys,,99,,0,2\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			media := "application/json; charset=utf-8"
			if name == "csv" {
				media = csvType
			}
			w := r.send("POST", "/invocations", body, "Content-Type", media)
			got := decodeJSON[scores](t, w.Body)
			if w.Code != 200 || fmt.Sprint(got.Predictions) != "[32.25 31]" || got.Version != "v1" || len(got.IDs) != 2 {
				t.Fatalf("%d: %+v", w.Code, got)
			}
			recs := r.log.records()
			if len(recs) != 2 || recs[1].ID != got.IDs[1] || recs[1].Texts[1] != "Toys" {
				t.Errorf("logged %+v", recs)
			}
		})
	}
	one := newRig(t, nil)
	w := one.send("POST", "/invocations", `{"inputs":{"date":"2024-01-10","category":"Toys","region":"1","price":1000,"stock":1,"promo":1}}`)
	if got := decodeJSON[scores](t, w.Body); w.Code != 200 || fmt.Sprint(got.Predictions) != "[32.25]" {
		t.Errorf("single values: %d %+v", w.Code, got)
	}
}

func TestInvocationsOfClasses(t *testing.T) {
	m := classModel(t, "c1", "0", "1")
	r := newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)})
	if got := r.send("POST", "/invocations", split).Body.String(); !strings.HasPrefix(got, `{"predictions":["1","0"],`) {
		t.Errorf("classes are answered as %s", got)
	}
	got := r.send("POST", "/invocations", strings.Replace(split, "{", `{"params":{"probabilities":true},`, 1)).Body.String()
	if !strings.HasPrefix(got, `{"predictions":[{"predicted_label":"1","p_0":0.2689414213699951,"p_1":0.7310585786300049},{`) {
		t.Errorf("probabilities are answered as %s", got)
	}
}

// TestInvocationFaults wants MLflow's errors, and nothing logged.
func TestInvocationFaults(t *testing.T) {
	for _, c := range []struct{ body, says string }{
		{`[]`, "expected one with one of"},
		{`{}`, "exactly one of"},
		{`{"instances":[],"inputs":[]}`, "exactly one of"},
		{`{"instances":[],"instances":[]}`, "given twice"},
		{`{"instances":3}`, "found a number"},
		{`{"dataframe_split":[]}`, "found an array"},
		{`{"dataframe_records":{}}`, "found an object"},
		{`{"dataframe_records":[[1]]}`, "expected an object"},
		{`{"dataframe_split":{"columns":["price"]}}`, `"data": missing`},
		{`{"dataframe_split":{"columns":"price","data":[]}}`, "expected an array of names"},
		{`{"dataframe_split":{"columns":[[]],"data":[]}}`, "expected a name"},
		{`{"dataframe_split":{"columns":["price","price"],"data":[]}}`, "given twice"},
		{`{"dataframe_split":{"columns":["Price"],"data":[]}}`, `did you mean`},
		{`{"dataframe_split":{"columns":["price"],"data":[[1,2]]}}`, "2 values, expected 1"},
		{`{"dataframe_split":{"columns":["price"],"data":[[1]]}}`, `"date": missing`},
		{`{"instances":[[1]]}`, "1 values, expected 7"},
		{`{"inputs":{"price":[1,2],"stock":[1]}}`, "1 values, the columns before it have 2"},
		{`{"inputs":{"price":[1],"price":[1]}}`, "given twice"},
		{`{"inputs":{"price":[[1,2]]}}`, `"price": found an array`},
		{`{"inputs":{"price":[Infinity]}}`, "Infinity is not a number"},
		{`{"instances":[` + row + `],"params":[]}`, "params"},
		{`{"instances":[`, "byte"},
		{`{"dataframe_split":{"data":[[1,]]}}`, "byte"},
		{`{"instances":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nested deeper"},
		{`{"instances":[` + strings.Repeat(row+",", 5) + row + `]}`, "may have 5 rows"},
		{`{"inputs":{"price":[1,1,1,1,1,1]}}`, "may have 5 rows"},
		{`{"dataframe_split":{"columns":["price"],"data":[[1],[1],[1],[1],[1],[1]]}}`, "may have 5 rows"},
	} {
		r := newRig(t, func(o *Options) { o.Limits.Rows = 5 })
		w := r.send("POST", "/invocations", c.body)
		got := decodeJSON[map[string]string](t, strings.NewReader(w.Body.String()))
		if w.Code != 400 || got["error_code"] != "BAD_REQUEST" || !strings.Contains(got["message"], c.says) {
			t.Errorf("%s\nis answered %d %s, expected to hear %q", c.body, w.Code, w.Body, c.says)
		}
		if len(r.log.records()) > 0 {
			t.Errorf("%s was logged", c.body)
		}
	}
}

func TestPingAndVersion(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Build = "1.2.3" })
	if w := r.send("GET", "/ping", ""); w.Code != 200 || w.Body.String() != "\n" {
		t.Errorf("/ping: %d %q", w.Code, w.Body)
	}
	if w := r.send("GET", "/version", ""); w.Code != 200 || w.Body.String() != "1.2.3" {
		t.Errorf("/version: %d %q", w.Code, w.Body)
	}
	empty := newRig(t, func(o *Options) { o.Models = newShelf() })
	if w := empty.send("GET", "/ping", ""); w.Code != http.StatusNotFound {
		t.Errorf("/ping without a model: %d", w.Code)
	}
	if w := empty.send("POST", "/invocations", split); w.Code != 503 || !strings.Contains(w.Body.String(), "TEMPORARILY_UNAVAILABLE") {
		t.Errorf("/invocations without a model: %d %s", w.Code, w.Body)
	}
}
