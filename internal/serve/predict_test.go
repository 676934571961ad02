package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
)

func TestPredictAnswersAndLogsTheSame(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("POST", "/predict", row)
	want := regexp.MustCompile(`^\{"predicted_sales":32\.25,"prediction_id":"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})","model_version":"v1"\}\n$`)
	m := want.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || m == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", w.Header().Get("Content-Type"))
	}
	rows := r.log.records()
	if len(rows) != 1 {
		t.Fatalf("%d rows in the log", len(rows))
	}
	got := rows[0]
	if got.ID != m[1] || got.Version != "v1" || got.At != r.clock.now().UnixMicro() || got.Outputs[0] != 32.25 || got.Flags != 0 {
		t.Errorf("logged %+v", got)
	}
	if want := []float64{1704844800000000, 0, 1, 1000, 5, 1, 0}; !slices.Equal(got.Values, want) {
		t.Errorf("values %v, expected %v", got.Values, want)
	}
	if want := []string{"", "Electronics", "North", "", "", "", "x"}; !slices.Equal(got.Texts, want) {
		t.Errorf("texts %q, expected %q", got.Texts, want)
	}
	var ms uint64
	_, _ = fmt.Sscanf(strings.ReplaceAll(got.ID, "-", "")[:12], "%x", &ms)
	if ms != uint64(r.clock.now().UnixMilli()) {
		t.Errorf("the id's time is %d", ms)
	}
}

func TestPredictBatchKeepsOrderAndIDs(t *testing.T) {
	r := newRig(t, nil)
	for range 3 { // again in the memory that the first request left
		var rows []string
		for i := range 100 {
			rows = append(rows, with(map[string]any{"price": 5 * i * (i % 3), "prediction_id": fmt.Sprintf("row-%d", i), "note": nil}))
		}
		w := r.send("POST", "/predict", "["+strings.Join(rows, ",")+"]")
		answers := decodeJSON[[]struct {
			Value float64 `json:"predicted_sales"`
			ID    string  `json:"prediction_id"`
		}](t, w.Body)
		if len(answers) != 100 {
			t.Fatalf("%d answers", len(answers))
		}
		logged := r.log.records()
		logged = logged[len(logged)-100:]
		for i, a := range answers {
			want := 31.25
			if 5*i*(i%3) > 500 {
				want = 32.25
			}
			if a.ID != fmt.Sprintf("row-%d", i) || a.Value != want {
				t.Fatalf("answer %d is %+v, expected %v", i, a, want)
			}
			if l := logged[i]; l.ID != a.ID || l.Outputs[0] != want || l.Values[3] != float64(5*i*(i%3)) || !math.IsNaN(l.Values[6]) || l.Texts[6] != "" {
				t.Fatalf("record %d is %+v", i, l)
			}
		}
	}
	if w := r.send("POST", "/predict", "[]"); w.Code != 200 || w.Body.String() != "[]\n" {
		t.Errorf("empty batch: %d %q", w.Code, w.Body)
	}
}

func TestIDsOfABatchAreDistinct(t *testing.T) {
	r := newRig(t, nil)
	r.send("POST", "/predict", "["+strings.Repeat(row+",", 999)+row+"]")
	seen := map[string]bool{}
	for _, rec := range r.log.records() {
		seen[rec.ID] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d distinct ids for 1000 rows", len(seen))
	}
}

// TestValues goes through what each kind of column takes and refuses.
func TestValues(t *testing.T) {
	nan := math.NaN()
	type test struct {
		column, value string // JSON
		want          float64
		text          string
		fault         string // part of the message; "" when taken
	}
	for name, tests := range map[string][]test{
		"strict": {
			{"price", "0", 0, "", ""}, {"price", "-0.0", 0, "", ""}, {"price", "1e3", 1000, "", ""},
			{"price", "1234567890.123456789", 1234567890.123456789, "", ""}, {"price", "5e-324", 5e-324, "", ""},
			{"price", "1e-999", 0, "", ""},
			{"price", "1e400", 0, "", "beyond the range"}, {"price", "-1e400", 0, "", "beyond the range"},
			{"price", "NaN", 0, "", "NaN is not a number"}, {"price", "Infinity", 0, "", "Infinity is not a number"},
			{"price", "-Infinity", 0, "", "-Infinity is not a number"},
			{"price", `"1000"`, 0, "", `found the string "1000"; expected a number`}, {"price", "true", 0, "", "found a boolean"},
			{"price", "[1]", 0, "", "found an array"}, {"price", `{"a":1}`, 0, "", "found an object"},
			{"price", "null", 0, "", "training data had no missing values"},
			{"stock", "null", nan, "", ""},
			{"promo", "true", 1, "", ""}, {"promo", "false", 0, "", ""}, {"promo", "0", 0, "", ""}, {"promo", "1.0", 1, "", ""},
			{"promo", "2", 0, "", "true, false, 0 or 1"}, {"promo", `"true"`, 0, "", "true, false, 0 or 1"}, {"promo", "null", 0, "", "null"},
			{"category", `"Toys"`, 1, "Toys", ""}, {"category", `"\u0054oys"`, 1, "Toys", ""}, {"category", `"toys"`, -1, "toys", ""},
			{"category", `""`, -1, "", ""}, {"category", `"NA"`, -1, "NA", ""}, {"category", "null", 0, "", "null"},
			{"category", "[]", 0, "", "found an array"}, {"category", "NaN", 0, "", "NaN is not a number"},
			{"region", "1", 0, "1", ""}, {"region", "1.0", 0, "1", ""}, {"region", "true", 2, "true", ""}, {"region", "2.50", -1, "2.50", ""},
			{"region", "false", -1, "false", ""}, {"region", "null", nan, "", ""}, {"region", `""`, nan, "", ""}, {"region", `"NA"`, nan, "", ""},
			{"date", `"2024-01-11"`, 1704931200000000, "", ""}, {"date", `"1/11/2024"`, 1704931200000000, "", ""},
			{"date", `"2024-01-11T00:00:01+01:00"`, 1704927601000000, "", ""},
			{"date", `"yesterday"`, 0, "", `expected a date such as "2024-01-10"`}, {"date", "1704931200", 0, "", "found a number"},
			{"date", `"2024-02-30"`, 0, "", "expected a date"}, {"date", `""`, 0, "", "expected a date"},
			{"note", "null", nan, "", ""}, {"note", `"é\ud83d\ude00"`, 0, "é😀", ""}, {"note", "12.50", 0, "12.50", ""}, {"note", "{}", 0, "", "an object"},
			{"extra", "1", 0, "", "unknown field"}, {"Price", "1", 0, "", `did you mean "price"`}, {"prediction_ID", "1", 0, "", "unknown field"},
			{"row_number", "[7]", 0, "", ""}, {"sales", "12", 0, "", ""}, {"stamp", `"x"`, 0, "", ""},
			{"prediction_id", `"a.b_c:d-9"`, 0, "", ""}, {"prediction_id", "null", 0, "", ""}, {"prediction_id", `""`, 0, "", "1 to 64"},
			{"prediction_id", `"a b"`, 0, "", "1 to 64"}, {"prediction_id", "7", 0, "", "expected a string"},
			{"prediction_id", `"` + strings.Repeat("x", 65) + `"`, 0, "", "1 to 64"},
		},
		"lenient": {
			{"price", `"1000"`, 1000, "", ""}, {"price", `" 1e3 "`, 1000, "", ""}, {"price", `"NaN"`, 0, "", "expected a number"},
			{"price", `"0x10"`, 0, "", "expected a number"}, {"price", `"inf"`, 0, "", "expected a number"}, {"price", `"1e400"`, 0, "", "expected a number"},
			{"price", `""`, 0, "", "expected a number"}, {"price", "NaN", 0, "", "NaN is not a number"},
			{"promo", `"True"`, 1, "", ""}, {"promo", `"0"`, 0, "", ""}, {"promo", `"yes"`, 0, "", "expected true"},
			{"extra", `{"a":[1,2]}`, 0, "", ""}, {"extra", "NaN", 0, "", "not JSON"}, {"Price", "1", 0, "", `did you mean "price"`},
		},
	} {
		for _, tt := range tests {
			t.Run(name+"/"+tt.column+"="+tt.value, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Lenient = name == "lenient" })
				body := strings.TrimSuffix(with(map[string]any{tt.column: nil}), "}") + `,"` + tt.column + `":` + tt.value + "}"
				w := r.send("POST", "/predict", body)
				if tt.fault != "" {
					if w.Code != http.StatusUnprocessableEntity {
						t.Fatalf("%d %s", w.Code, w.Body)
					}
					p := problemOf(t, w)
					if e := p.Errors[0]; len(p.Errors) != 1 || e.Field != tt.column || !strings.Contains(e.Message, tt.fault) || e.Value == nil || e.Row != nil {
						t.Errorf("%s", w.Body)
					}
					if len(r.log.records()) != 0 {
						t.Error("a refused row was logged")
					}
					return
				}
				if w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				i := r.holder.live.Load().model.Template.Column(tt.column)
				if i < 0 {
					return
				}
				rec := r.log.records()[0]
				if got := rec.Values[i]; got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) || rec.Texts[i] != tt.text {
					t.Errorf("took %v %q, expected %v %q", got, rec.Texts[i], tt.want, tt.text)
				}
			})
		}
	}
}

func TestEveryBadFieldIsListed(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("POST", "/predict", `[`+row+`,{"date":"x","category":null,"price":"9","price":1,"extra":[1,2],"promo":7},"no row",`+with(map[string]any{"promo": nil})+`]`)
	p := problemOf(t, w)
	var got []string
	for _, e := range p.Errors {
		got = append(got, fmt.Sprintf("%d %s %s", *e.Row, e.Field, e.Value))
	}
	want := []string{`1 date "x"`, `1 category null`, `1 price "9"`, `1 price `, `1 extra [1,2]`, `1 promo 7`, `1 region `, `1 stock `, `2  "no row"`, `3 promo `}
	if w.Code != 422 || !slices.Equal(got, want) {
		t.Errorf("%d: got %q\nexpected %q", w.Code, got, want)
	}
	if !strings.HasPrefix(p.Detail, "10 fields") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("POST", "/predict", "["+strings.Repeat("{},", 999)+"{}]")
	p := problemOf(t, w)
	if len(p.Errors) != maxFaults || p.Omitted != 6*1000-maxFaults {
		t.Errorf("%d errors listed, %d omitted", len(p.Errors), p.Omitted)
	}
	long := strings.Repeat("long ", 10000)
	p = problemOf(t, r.send("POST", "/predict", with(map[string]any{"price": long, "extra": []string{long}, long: 1})))
	for _, e := range p.Errors {
		if len(e.Value) > 200 || len(e.Message) > 400 {
			t.Errorf("an error quotes %d bytes, its message has %d", len(e.Value), len(e.Message))
		}
	}
}

func TestNamesDoubledInABatch(t *testing.T) {
	r := newRig(t, nil)
	same := with(map[string]any{"prediction_id": "a"})
	p := problemOf(t, r.send("POST", "/predict", "["+row+","+same+","+row+","+same+"]"))
	if len(p.Errors) != 1 || *p.Errors[0].Row != 3 || p.Errors[0].Field != idField || !strings.Contains(p.Errors[0].Message, "row 1") {
		t.Errorf("%+v", p.Errors)
	}
}

func TestFlagsAreAnsweredCountedAndLogged(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("POST", "/predict", with(map[string]any{"category": "Mars", "price": 5000}))
	if w.Code != 200 || !strings.HasSuffix(w.Body.String(), `,"flags":["unseen_category","out_of_range"]}`+"\n") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	rec := r.log.records()[0]
	if model.Flag(rec.Flags) != model.Unseen|model.OutOfRange || rec.Texts[1] != "Mars" || rec.Values[1] != -1 {
		t.Errorf("%+v", rec)
	}
	r.send("POST", "/predict", strings.Replace(row, `"stock":5`, `"stock":null`, 1))
	metrics := r.send("GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`healml_unseen_categories_total{column="category"} 1`, `healml_unseen_categories_total{column="region"} 0`,
		`healml_out_of_range_values_total{column="price"} 1`, `healml_missing_values_total{column="stock"} 1`,
		`healml_predictions_total 2`, `healml_prediction_value_count{model_version="v1"} 2`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestClasses(t *testing.T) {
	for _, tt := range []struct {
		classes []string
		want    string // of the first two keys
	}{
		{[]string{"no", "yes"}, `{"predicted_label":"yes","probabilities":{"no":0.2689`},
		{[]string{"0", "1"}, `{"predicted_label":1,"probabilities":{"0":0.2689`},
		{[]string{"01", "1"}, `{"predicted_label":"1","probabilities":{"01":0.2689`},
		{[]string{"a", "b", "c\"d"}, `{"predicted_label":"c\"d","probabilities":{"a":0.09003`},
	} {
		m := classModel(t, "v1", tt.classes...)
		r := newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)})
		w := r.send("POST", "/predict", row)
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), tt.want) {
			t.Fatalf("%d %s, expected %s…", w.Code, w.Body, tt.want)
		}
		var answer struct {
			Probabilities map[string]float64 `json:"probabilities"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		sum, outputs := 0.0, r.log.records()[0].Outputs
		for i, class := range tt.classes {
			sum += outputs[i]
			if answer.Probabilities[class] != outputs[i] {
				t.Errorf("p(%s) is %v, logged %v", class, answer.Probabilities[class], outputs[i])
			}
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("probabilities sum to %v", sum)
		}
		if n := `healml_predicted_classes_total{class="` + strings.ReplaceAll(tt.classes[len(tt.classes)-1], `"`, `\"`) + `",model_version="v1"} 1`; !strings.Contains(r.send("GET", "/metrics", "").Body.String(), n) {
			t.Errorf("no metric %s", n)
		}
	}
}

func TestNothingIsAnsweredThatIsNotLogged(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.LogTimeout = 20 * time.Millisecond })
	for _, tt := range []struct {
		err   error
		retry string
	}{{errors.New("no space left on device"), "5"}, {fmt.Errorf("append: %w", predlog.ErrBusy), "1"}} {
		r.log.err = tt.err
		w := r.send("POST", "/predict", row)
		p := problemOf(t, w)
		if w.Code != 503 || p.Type != "urn:healml:problem:not-logged" || w.Header().Get("Retry-After") != tt.retry {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	r.log.err, r.log.block = nil, make(chan struct{})
	if w := r.send("POST", "/predict", row); w.Code != 503 {
		t.Errorf("stalled disk: %d %s", w.Code, w.Body)
	}
	r.log.block = nil
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("after the disk is back: %d %s", w.Code, w.Body)
	}
	if n := strings.Count(r.notes.String(), "a log cannot take"); n != 1 {
		t.Errorf("the failure was written %d times to the server's log", n)
	}
	if m := r.send("GET", "/metrics", "").Body.String(); !strings.Contains(m, "healml_log_failures_total 3\n") || !strings.Contains(m, "healml_predictions_total 1\n") {
		t.Error("failures or predictions are miscounted")
	}
}

func TestAClientThatLeavesIsNoFaultOfTheLog(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.LogTimeout = 10 * time.Millisecond })
	r.log.block = make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/predict", strings.NewReader(row)))
	if p := problemOf(t, w); p.Type != "urn:healml:problem:broken-request" || strings.Contains(r.notes.String(), "a log cannot") {
		t.Errorf("%s; %s", w.Body, r.notes)
	}
}

func TestWithoutALog(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Log, o.Actuals = nil, nil })
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.send("GET", "/health", ""); !strings.Contains(w.Body.String(), `"logging":false`) {
		t.Errorf("%s", w.Body)
	}
	if p := problemOf(t, r.send("POST", "/actuals", "{}")); p.Status != 503 || p.Type != "urn:healml:problem:no-actuals" {
		t.Errorf("%+v", p)
	}
}

// TestServingEqualsBatch decodes what goldenRow writes and compares with the
// batch path, row for row and bit for bit.
func TestServingEqualsBatch(t *testing.T) {
	m := salesModel(t, "v1", 30)
	g := golden(t, m)
	batchRows, err := m.Encoder().Table(g.Drop("predicted_sales"))
	if err != nil {
		t.Fatal(err)
	}
	var b batch
	for i := range g.NumRows() {
		body, ok := goldenRow(m.Template, g, i)
		if !ok {
			t.Fatalf("row %d cannot be sent", i)
		}
		b.body = body
		if err := newPlan(m.Encoder(), false).decode(&b, 1); err != nil || b.faults != nil {
			t.Fatal(err, b.faults)
		}
		for c := range m.Template.Columns {
			if m.Template.Columns[c].Kind == "text" {
				continue
			}
			if got, want := b.values[c], batchRows.Raw[c][i]; math.Float64bits(got) != math.Float64bits(want) {
				t.Errorf("row %d column %s is %v, the batch path reads %v", i, m.Template.Columns[c].Name, got, want)
			}
		}
	}
}
