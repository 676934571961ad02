package serve

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestActuals(t *testing.T) {
	two := classModel(t, "v1", "0", "1")
	three := classModel(t, "v1", "a", "b", "true")
	models := map[string]*Candidate{"sales": nil, "two": {Model: two}, "three": {Model: three}}
	for _, tt := range []struct {
		model, body string
		want        string // values taken, or part of the first fault
		status      int
	}{
		{"sales", `{"prediction_id":"a","sales":12.50}`, "a=12.50", 200},
		{"sales", `[{"prediction_id":"a","actual":1},{"sales":-2e3,"prediction_id":"b"}]`, "a=1 b=-2e3", 200},
		{"sales", `[]`, "", 200},
		{"sales", `{"prediction_id":"a","sales":"12"}`, "expected a number", 422},
		{"sales", `{"prediction_id":"a","sales":1e400}`, "beyond the range", 422},
		{"sales", `{"prediction_id":"a","sales":NaN}`, "NaN is not a number", 422},
		{"sales", `{"prediction_id":"a","sales":null}`, "found null", 422},
		{"sales", `{"prediction_id":"a","sales":1,"actual":1}`, "one field", 422},
		{"sales", `{"prediction_id":"a","prediction_id":"a","sales":1}`, "given twice", 422},
		{"sales", `{"prediction_id":"a"}`, "expected what came true", 422},
		{"sales", `{"sales":1}`, "expected the prediction_id", 422},
		{"sales", `{"prediction_id":null,"sales":1}`, "expected the prediction_id", 422},
		{"sales", `{"prediction_id":"a b","sales":1}`, "1 to 64", 422},
		{"sales", `{"prediction_id":"a","sales":1,"when":2}`, "unknown field", 422},
		{"sales", `[{"prediction_id":"a","sales":1,"source":"crm:eu"},{"source":"till","prediction_id":"b","sales":2}]`, "a=1 by crm:eu b=2 by till", 200},
		{"sales", `{"prediction_id":"a","sales":1,"source":"x","source":"y"}`, "given twice", 422},
		{"sales", `{"prediction_id":"a","sales":1,"source":""}`, "1 to 64", 422},
		{"sales", `{"prediction_id":"a","sales":1,"source":7}`, "1 to 64", 422},
		{"sales", `[7]`, "found a number, expected an object", 422},
		{"sales", `{"prediction_id":"a","sales":1`, "", 400},
		{"two", `[{"prediction_id":"a","label":1},{"prediction_id":"b","label":"0"},{"prediction_id":"c","label":1.0}]`, "a=1 b=0 c=1", 200},
		{"two", `{"prediction_id":"a","label":2}`, "expected one of 0, 1", 422},
		{"three", `[{"prediction_id":"a","label":"b"},{"prediction_id":"b","label":true}]`, "a=b b=true", 200},
		{"three", `{"prediction_id":"a","label":""}`, "expected one of a, b, true", 422},
		{"three", `{"prediction_id":"a","label":[]}`, "found an array", 422},
	} {
		t.Run(tt.model+tt.body, func(t *testing.T) {
			var candidates []*Candidate
			if c := models[tt.model]; c != nil {
				candidates = append(candidates, c)
			}
			r := newRig(t, nil, candidates...)
			w := r.send("POST", "/actuals", tt.body)
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if tt.status != 200 {
				p := problemOf(t, w)
				if tt.status == 422 && !strings.Contains(p.Errors[0].Message, tt.want) || len(r.log.actuals) > 0 {
					t.Errorf("%s, expected %q; logged %v", w.Body, tt.want, r.log.actuals)
				}
				return
			}
			var got []string
			for _, a := range r.log.actuals {
				if a.At != r.clock.now().UnixMicro() {
					t.Errorf("%+v", a)
				}
				if got = append(got, a.ID+"="+a.Value); a.Source != "http" {
					got[len(got)-1] += " by " + a.Source
				}
			}
			if s := strings.Join(got, " "); s != tt.want || w.Body.String() != fmt.Sprintf("{\"received\":%d}\n", len(got)) {
				t.Errorf("took %q, answered %s", s, w.Body)
			}
		})
	}
	r := newRig(t, nil)
	r.log.err = errors.New("no space left on device")
	if p := problemOf(t, r.send("POST", "/actuals", `{"prediction_id":"a","sales":1}`)); p.Status != 503 {
		t.Errorf("%+v", p)
	}
}
