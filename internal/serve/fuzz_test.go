package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

var fuzzSeeds = []string{
	row, "[" + row + "]", "[]", "{}", "", " ", "null", `"a"`, "[[]]", "{\"a\":1,}", "{,}", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}",
	"01", "-", "-01", "+1", "1.", ".5", "1e", "1e+", "1E5", "0x10", "1_0", "--1", "NaN", "-Infinity", "Infinity", "tru", "nul", "truex", "{} {}", "{}x", "\ufeff{}",
	`"\x"`, `"\u12"`, `"\u12G4"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, `"\ud83d\ude00"`, "\"\xff\"", "\"\x00\"", "\"\n\"", `"unterminated`, `"\`, `"\u`,
	`{"price":1,"price":2}`, `{"price":1,"Price":2}`, `{"\u0070rice":1,"price":2}`, `{"prediction_id":"a","prediction_id":"b"}`,
	strings.Repeat("[", 40) + strings.Repeat("]", 40), `{"price":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "}", "{\"price\"\t:\r\n1 } ",
	`{"extra":{"b":[1,{"c":null}]},"price":1e400}`, `[{"price":1},{"price":2}`,
}

// FuzzDecode checks the decoder against encoding/json: what it takes must be
// JSON there too, and hold the same values; what it refuses as no JSON must be
// refused there, or break one of the rules that encoding/json does not have.
func FuzzDecode(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	plan := newPlan(salesModel(f, "v1", 30).Encoder(), true)
	var b batch // reused, as in serving
	f.Fuzz(func(t *testing.T, body []byte) {
		b.body = body
		err := plan.decode(&b, 1000)
		var syntax *syntaxError
		switch {
		case errors.As(err, &syntax):
			if syntax.offset < 0 || syntax.offset > len(body) {
				t.Fatalf("offset %d in %d bytes", syntax.offset, len(body))
			}
			if json.Valid(body) && strictUTF8(body) && depthOf(body) <= maxDepth && !bytes.Contains(body, []byte("NaN")) {
				t.Fatalf("%v, but encoding/json takes %q", err, body)
			}
		case err == nil && b.faults == nil:
			if !json.Valid(body) {
				t.Fatalf("took what is not JSON: %q", body)
			}
			if depthOf(body) > maxDepth {
				t.Fatalf("took what is %d deep", depthOf(body))
			}
			sameRows(t, plan, &b)
		case err != nil && !errors.Is(err, errRows):
			t.Fatalf("unexpected %v", err)
		}
		if len(b.ids) < b.rows || len(b.values) < b.rows*len(plan.cols) || len(b.texts) != len(b.values) {
			t.Fatalf("%d rows, %d values, %d texts, %d ids", b.rows, len(b.values), len(b.texts), len(b.ids))
		}
	})
}

// sameRows compares what was decoded with what encoding/json makes of it.
func sameRows(t *testing.T, p *plan, b *batch) {
	var rows []map[string]json.RawMessage
	body := b.body
	if !b.isArray {
		body = append(append([]byte{'['}, body...), ']')
	}
	if err := json.Unmarshal(body, &rows); err != nil {
		t.Fatalf("took %q: %v", b.body, err)
	}
	if len(rows) != b.rows {
		t.Fatalf("%d rows, encoding/json has %d", b.rows, len(rows))
	}
	for i, want := range rows {
		var v struct {
			Price float64         `json:"price"`
			Stock json.RawMessage `json:"stock"`
			Note  json.RawMessage `json:"note"`
		}
		raw := want["price"]
		if len(raw) > 0 && raw[0] == '"' { // a number in a string
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			raw = json.RawMessage(strings.TrimSpace(s))
		}
		if err := json.Unmarshal(raw, &v.Price); err != nil {
			t.Fatalf("price %q: %v", raw, err)
		}
		if got := b.values[i*len(p.cols)+3]; math.Float64bits(got) != math.Float64bits(v.Price) {
			t.Fatalf("price %v, encoding/json reads %v", got, v.Price)
		}
		var category string
		if err := json.Unmarshal(want["category"], &category); err == nil {
			if got := b.texts[i*len(p.cols)+1]; got != category {
				t.Fatalf("category %q, encoding/json reads %q", got, category)
			}
		}
	}
}

// strictUTF8 reports whether the strings of valid JSON are UTF-8 and have no
// half surrogate pairs: whether encoding/json would replace nothing.
func strictUTF8(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		if s, ok := tok.(string); ok && strings.ContainsRune(s, utf8.RuneError) {
			return false // may have been sent as such: let it pass
		}
	}
}

func depthOf(body []byte) int {
	depth, deepest := 0, 0
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		tok, err := d.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

// TestSyntax pins the answers to broken bodies that the fuzz test cannot: what
// is refused, where, and in which words.
func TestSyntax(t *testing.T) {
	r := newRig(t, nil)
	for body, want := range map[string]string{
		"":                               "the body ends where a value was expected at byte 0",
		"{":                              "a field name in double quotes was expected at byte 1",
		`{"price":1,}`:                   "found '}', expected another member after ',' at byte 11",
		`[` + row + `,]`:                 "expected another member after ','",
		`{"price" 1}`:                    "found '1', expected ':' after the field name at byte 9",
		`{"price":01}`:                   "found '1', expected ',' or '}' at byte 10",
		`{"price":+1}`:                   "found '+', expected a value at byte 9",
		`{"price":1.}`:                   "expected a digit after the decimal point",
		`{"price":1e}`:                   "expected a digit of the exponent",
		`{"price":-}`:                    "expected a digit at byte 10",
		`{"price":tru}`:                  "expected a value",
		row + "x":                        "expected the end of the body",
		row + row:                        "expected the end of the body",
		`{"note":"` + "\xff" + `"}`:      "not valid UTF-8",
		`{"note":"\n` + "\xff" + `"}`:    "not valid UTF-8",
		`{"note":"` + "\t" + `"}`:        "control character",
		`{"note":"\n` + "\t" + `"}`:      "control character",
		`{"note":"\q"}`:                  "expected an escape",
		`{"note":"\ud800"}`:              "half a surrogate pair",
		`{"note":"\ud800\u0041"}`:        "half a surrogate pair",
		`{"note":"\udc00"}`:              "half a surrogate pair",
		`{"note":"\ud800\ud800"}`:        "half a surrogate pair",
		`{"note":"\udc00\udc00"}`:        "half a surrogate pair",
		`{"note":"\ud800\ue000"}`:        "half a surrogate pair",
		`{"note":"\u12g4"}`:              "four hexadecimal digits",
		`{"note":"a`:                     "the body ends where '\"' at the end of a string was expected",
		`{"extra":[NaN]}`:                "NaN and Infinity are not JSON",
		`{"extra":` + nested(32) + "}":   "nested deeper than 32 levels",
		`[{"extra":` + nested(31) + "}]": "nested deeper than 32 levels",
		`[1 2]`:                          "found '2', expected ',' or ']'",
	} {
		w := r.send("POST", "/predict", body)
		if p := problemOf(t, w); w.Code != 400 || p.Type != "urn:healml:problem:invalid-json" || !strings.Contains(p.Detail, want) {
			t.Errorf("%q: %d %q, expected %q", body, w.Code, p.Detail, want)
		}
	}
	for _, body := range []string{`{"extra":` + nested(31) + "}", `[{"extra":` + nested(30) + "}]"} {
		if w := r.send("POST", "/predict", body); w.Code != 422 {
			t.Errorf("32 levels: %d %s", w.Code, w.Body)
		}
	}
	if w := r.send("POST", "/predict", strings.Replace(row, `"promo":1`, `"promo":1,"promo":1`, 1)); w.Code != 422 || !strings.Contains(w.Body.String(), "given twice") {
		t.Errorf("doubled field: %d %s", w.Code, w.Body)
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func FuzzAppend(f *testing.F) {
	f.Add("a\"\\\n\x00é\xff", 1.5)
	f.Add("</script>\u2028", 1e21)
	f.Add("", 1e-7)
	f.Add("-0.5e+10", 5e-324)
	f.Fuzz(func(t *testing.T, s string, v float64) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q became %q: %v", s, back, err)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		var w float64
		if err := json.Unmarshal(appendFloat(nil, v), &w); err != nil || math.Float64bits(v) != math.Float64bits(w) {
			t.Fatalf("%v became %s: %v", v, appendFloat(nil, v), err)
		}
		if plain, err := json.Marshal(v); err != nil || len(appendFloat(nil, v)) > len(plain)+1 {
			t.Fatalf("%v became %s, encoding/json writes %s", v, appendFloat(nil, v), plain)
		}
		if got, want := isNumber(s), json.Valid([]byte(s)) && strings.TrimSpace(s) == s && json.Unmarshal([]byte(s), new(json.Number)) == nil && s[0] != '"' && s != "null"; got != want {
			t.Fatalf("isNumber(%q) is %v", s, got)
		}
	})
}

// FuzzHandler sends whatever there is to every route that takes a body, in
// every form: no answer may be a 5xx, which would be the server's fault, every
// refusal must be a well-formed document, and what was answered was logged.
func FuzzHandler(f *testing.F) {
	routes := []string{"/predict", "/explain", "/invocations", "/v2/models/sales/infer", "/v2/models/label/infer", "/actuals", "/v2/repository/index"}
	forms := []string{"application/json", "application/x-ndjson", csvType, arrowType}
	seeds := append([]string{csvRows, arrowRows(f), split, inferBody, strings.Replace(inferBody, "NaN", "null", 1),
		`{"dataframe_records":[` + row + `]}`, `{"instances":[[1]]}`, `{"inputs":{"price":[1,2]}}`, `{"prediction_id":"a","actual":1}`}, fuzzSeeds...)
	for i, s := range seeds {
		for route := range routes {
			f.Add([]byte(s), uint8(route), uint8(i%3), uint8(i), "")
			f.Add([]byte(s), uint8(route), uint8(2*min(i%2, 1)), uint8(0), "12")
		}
	}
	m := classModel(f, "c1", "no", "yes")
	rigs := []*rig{newRig(f, nil), newRig(f, func(o *Options) { o.Lenient = true }, &Candidate{Model: m, Golden: golden(f, m)})}
	f.Fuzz(func(t *testing.T, body []byte, route, form, accept uint8, length string) {
		r := rigs[int(form)/4%2]
		r.log.rows, r.log.layouts, r.log.actuals = nil, nil, nil
		header := []string{"Content-Type", forms[int(form)%4], "Accept", forms[int(accept)%4]}
		if length != "" {
			header = append(header, binaryHeader, length)
		}
		w := r.send("POST", routes[int(route)%len(routes)], string(body), header...)
		answer, media := w.Body.Bytes(), w.Header().Get("Content-Type")
		switch {
		case w.Code == 501: // no such thing with these trees
		case w.Code >= 500:
			t.Fatalf("%d: %s\n%s", w.Code, answer, r.notes)
		case w.Code != 200 && len(r.log.rows)+len(r.log.actuals) > 0:
			t.Fatalf("%d, but logged", w.Code)
		case strings.HasSuffix(media, "json") && media != "application/x-ndjson" && !json.Valid(answer):
			t.Fatalf("%d: no JSON: %q", w.Code, answer)
		}
	})
}
