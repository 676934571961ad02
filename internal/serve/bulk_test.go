package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/healml/healml/internal/table"
)

const (
	csvType   = "text/csv"
	arrowType = "application/vnd.apache.arrow.stream"
)

// csvRows are three rows as a table: one plain, one with a category never seen
// and one with what may be missing missing.
const csvRows = "prediction_id,date,category,region,price,stock,promo,note\n" +
	"a-1,2024-01-10,Electronics,North,1000,5,1,x\n" +
	"a-2,2024-01-11,Garden,1,99.5,3,false,\n" +
	",1/12/2024,Toys,,4000,,true,\"a \"\"b\"\"\"\n"

// arrowRows are csvRows as an Arrow stream.
func arrowRows(t testing.TB) string {
	t.Helper()
	tab, err := table.ReadCSV("rows", strings.NewReader(csvRows), table.ReadOptions{Types: map[string]table.Type{"region": table.String}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := table.EncodeArrowStream(&b, tab); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// jsonRows are csvRows as JSON.
const jsonRows = `[{"prediction_id":"a-1","date":"2024-01-10","category":"Electronics","region":"North","price":1000,"stock":5,"promo":1,"note":"x"},` +
	`{"prediction_id":"a-2","date":"2024-01-11","category":"Garden","region":"1","price":99.5,"stock":3,"promo":false},` +
	`{"date":"1/12/2024","category":"Toys","region":null,"price":4000,"stock":null,"promo":true,"note":"a \"b\""}]`

// TestForms sends the same rows in every form and wants the same in the log
// and in the answer.
func TestForms(t *testing.T) {
	lines := strings.NewReplacer("},{", "}\r\n{", "[", "", "]", "").Replace(jsonRows) + "\n"
	for _, in := range []struct{ name, media, body string }{
		{"JSON", "application/json", jsonRows}, {"lines", "application/x-ndjson", lines},
		{"CSV", csvType + "; charset=utf-8", csvRows}, {"Arrow", arrowType, arrowRows(t)},
	} {
		t.Run(in.name, func(t *testing.T) {
			r := newRig(t, nil)
			w := r.send("POST", "/predict", in.body, "Content-Type", in.media, "Accept", "application/json")
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
			}
			got := decodeJSON[[]map[string]any](t, w.Body)
			want := []float64{32.25, 31, 32.25}
			flags := []string{"<nil>", "[unseen_category]", "[out_of_range]"}
			for i, row := range got {
				if row["predicted_sales"] != want[i] || fmt.Sprint(row["flags"]) != flags[i] {
					t.Errorf("row %d is %v, expected %v %s", i, row, want[i], flags[i])
				}
			}
			recs := r.log.records()
			if len(got) != 3 || len(recs) != 3 || recs[0].ID != "a-1" || recs[1].ID != "a-2" || len(recs[2].ID) != uuidLength {
				t.Fatalf("%d answers, %d records", len(got), len(recs))
			}
			said := fmt.Sprint(recs[0].Texts, recs[0].Values, recs[1].Texts, recs[1].Values, recs[2].Texts, recs[2].Values)
			wanted := "[ Electronics North    x] [1.7048448e+15 0 1 1000 5 1 0] [ Garden 1    ] [1.7049312e+15 -1 0 99.5 3 0 NaN]" +
				` [ Toys     a "b"] [1.7050176e+15 1 NaN 4000 NaN 1 0]`
			if said != wanted {
				t.Errorf("logged\n%s, expected\n%s", said, wanted)
			}
		})
	}
}

// TestAnswerForms asks for the answer in every form.
func TestAnswerForms(t *testing.T) {
	const csvAnswer = "prediction_id,predicted_sales,model_version,flags\na-1,32.25,v1,\na-2,31,v1,unseen_category\n"
	body := strings.Replace(jsonRows, `,{"date":"1/12`, `] `, 1)
	body = body[:strings.Index(body, "] ")+1]
	r := newRig(t, nil)
	if w := r.send("POST", "/predict", body, "Accept", "text/html, text/csv;q=0.9"); w.Code != 200 || w.Body.String() != csvAnswer || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	w := r.send("POST", "/predict", body, "Accept", arrowType)
	tab, err := table.DecodeArrow("answer", w.Body.Bytes(), table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := table.WriteCSV(&out, tab); err != nil || out.String() != csvAnswer {
		t.Errorf("%v: %s", err, out.String())
	}
	const lines = `{"predicted_sales":32.25,"prediction_id":"a-1","model_version":"v1"}` + "\n" +
		`{"predicted_sales":31,"prediction_id":"a-2","model_version":"v1","flags":["unseen_category"]}` + "\n"
	if w := r.send("POST", "/predict", body, "Accept", "application/x-ndjson"); w.Body.String() != lines {
		t.Errorf("lines: %s", w.Body)
	}
	m := classModel(t, "c1", "no", "yes")
	r = newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)})
	w = r.send("POST", "/predict", body, "Accept", "text/csv")
	if head, _, _ := strings.Cut(w.Body.String(), "\n"); head != "prediction_id,predicted_label,p_no,p_yes,model_version,flags" {
		t.Errorf("a classifier answers %s", w.Body)
	}
}

// TestTableFaults wants every fault of a table named, and nothing logged.
func TestTableFaults(t *testing.T) {
	head := "date,category,region,price,stock,promo\n"
	for _, c := range []struct {
		name, media, body string
		status            int
		says              []string
	}{
		{"empty", csvType, "", 400, []string{"invalid-table"}},
		{"not Arrow", arrowType, "hello", 400, []string{"invalid-table"}},
		{"short Arrow", arrowType, arrowRows(t)[:200], 400, []string{"invalid-table"}},
		{"bad number", csvType, head + "2024-01-10,Toys,North,dear,5,1\n", 422, []string{`"price"`, `"dear"`, ":2"}},
		{"ragged", csvType, head + "2024-01-10,Toys\n", 400, []string{"invalid-table"}},
		{"missing columns", csvType, "date,category\n2024-01-10,Toys\n", 422, []string{`"region"`, `"price"`, `"promo"`}},
		{"unknown column", csvType, "x," + head + "1,2024-01-10,Toys,North,1,5,1\n", 422, []string{`"x"`, "unknown column"}},
		{"case", csvType, strings.Replace(head, "price", "Price", 1) + "2024-01-10,Toys,North,1,5,1\n", 422, []string{`did you mean \"price\"`}},
		{"missing values", csvType, head + "2024-01-10,Toys,North,1,5,1\n,Toys,North,,5,1\n", 422, []string{`"row":1`, `"date"`, `"price"`}},
		{"infinite", csvType, head + "2024-01-10,Toys,North,inf,5,1\n", 422, []string{"price", "finite"}},
		{"names", csvType, "prediction_id," + head + "a b,2024-01-10,Toys,North,1,5,1\nc,2024-01-10,Toys,North,1,5,1\nc,2024-01-10,Toys,North,1,5,1\n", 422, []string{`"a b"`, "same name"}},
		{"too many", csvType, head + strings.Repeat("2024-01-10,Toys,North,1,5,1\n", 5), 413, []string{"too-many-rows", "4 rows"}},
		{"too large", csvType, head + strings.Repeat("\n", 2000), 413, []string{"too-large"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Limits.BulkRows, o.Limits.BulkBytes = 4, 2000 })
			w := r.send("POST", "/predict", c.body, "Content-Type", c.media)
			said := w.Body.String()
			problemOf(t, w)
			if w.Code != c.status {
				t.Errorf("status %d, expected %d: %s", w.Code, c.status, said)
			}
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("%s\ndoes not say %s", said, s)
				}
			}
			if len(r.log.records()) > 0 {
				t.Error("rows were logged")
			}
		})
	}
	lenient := newRig(t, func(o *Options) { o.Lenient = true })
	if w := lenient.send("POST", "/predict", "x,"+head+"1,2024-01-10,Toys,North,1,5,1\n", "Content-Type", csvType); w.Code != 200 {
		t.Errorf("lenient: %s", w.Body)
	}
}

// TestBulkIsBounded sheds tables beyond those that memory is meant for.
func TestBulkIsBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.Bulk = 1 })
	r.bulk <- struct{}{}
	if w := r.send("POST", "/predict", csvRows, "Content-Type", csvType); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if w := r.send("POST", "/predict", row); w.Code != 200 {
		t.Errorf("a single row: %d", w.Code)
	}
	<-r.bulk
	if w := r.send("POST", "/predict", csvRows, "Content-Type", csvType); w.Code != 200 || len(r.bulk) != 0 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}
