package table

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dump writes a table as one line per row, values separated by |, missing
// ones as ∅, after a line of name:type.
func dump(t *Table) string {
	var b strings.Builder
	for i, c := range t.Columns() {
		if i > 0 {
			b.WriteByte('|')
		}
		fmt.Fprintf(&b, "%s:%s", c.Name, c.Type)
	}
	for i := range t.NumRows() {
		for k, c := range t.Columns() {
			b.WriteByte("\n|"[min(k, 1)])
			if c.Missing(i) {
				b.WriteString("∅")
			} else {
				b.WriteString(c.Format(i))
			}
		}
	}
	return b.String()
}

func TestReadCSV(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "a,b\n1,x\n2,y\n", "a:number|b:string\n1|x\n2|y"},
		{"no last line end", "a,b\n1,x", "a:number|b:string\n1|x"},
		{"crlf", "a,b\r\n1,x\r\n", "a:number|b:string\n1|x"},
		{"bare cr", "a,b\r1,x\r2,y\r", "a:number|b:string\n1|x\n2|y"},
		{"bare cr, no last", "a,b\r1,x\r2,y", "a:number|b:string\n1|x\n2|y"},
		{"bom", "\ufeffa,b\n1,2\n", "a:number|b:number\n1|2"},
		{"bom, quoted", "\ufeff\"a\",b\n1,2\n", "a:number|b:number\n1|2"},
		{"semicolon", "a;b\n1;x,y\n2;z,w\n", "a:number|b:string\n1|x,y\n2|z,w"},
		{"decimal commas are text", "a;b\n1,5;2,5\n3,5;4,5\n", "a:string|b:string\n1,5|2,5\n3,5|4,5"},
		{"the greater share decides", "a,b;c\n1,2;3\n4;5\n6;7\n", "a,b:string|c:number\n1,2|3\n4|5\n6|7"},
		{"tab", "a\tb\n1\tx y\n", "a:number|b:string\n1|x y"},
		{"pipe", "a|b\n1|x\n", "a:number|b:string\n1|x"},
		{"delimiter in quotes", "\"a;b\";\"c,d,e\"\n1;\"x,y\"\n", "a;b:number|c,d,e:string\n1|x,y"},
		{"delimiters in quotes that do not work out", "n,\"0;;;7\"\n\"0;p\",0A\n", "n:string|0;;;7:string\n0;p|0A"},
		{"delimiters in quotes with a line end", "n,\"0;\n;7\"\n1,2\n", "n:number|0;\n;7:number\n1|2"},
		{"inches", "size;n\n5\" pipe;1\n6\" pipe, long;2\n", "size:string|n:number\n5\" pipe|1\n6\" pipe, long|2"},
		{"one column", "a\n1\n2\n", "a:number\n1\n2"},
		{"header only", "a,b\n", "a:number|b:number"},
		{"header only, bare", "a", "a:number"},
		{"blank lines", "\n\na,b\n\n1,2\n\r\n\n3,4\n\n", "a:number|b:number\n1|2\n3|4"},
		{"doubled quotes", "a,b\n\"say \"\"hi\"\"\",\"\"\"\"\n", "a:string|b:string\nsay \"hi\"|\""},
		{"line end in quotes", "a,b\n\"x\ny\",1\n\"x\r\nz\",2\n", "a:string|b:number\nx\ny|1\nx\r\nz|2"},
		{"quoted numbers", "a,b\n\"1.5\",\"-2\"\n", "a:number|b:number\n1.5|-2"},
		{"quote within", "a,b\n5\" pipe,1\n", "a:string|b:number\n5\" pipe|1"},
		{"quoted empty", "a,b\n\"\",1\nx,2\n", "a:string|b:number\n∅|1\nx|2"},
		{"index without a name", ",a\n0,x\n1,y\n", "unnamed_0:number|a:string\n0|x\n1|y"},
		{"numbered columns", ",0,1\n0,5,6\n", "unnamed_0:number|0:number|1:number\n0|5|6"},
		{"numbered from 1", "1,2,3\n5,6,7\n", "1:number|2:number|3:number\n5|6|7"},
		{"missing", "a,b\nNA,x\nN/A,null\n?,NULL\nnan,NaN\n,y\n", "a:number|b:string\n∅|x\n∅|∅\n∅|∅\n∅|∅\n∅|y"},
		{"missing only", "a,b\n,1\nNA,2\n", "a:number|b:number\n∅|1\n∅|2"},
		{"none is a level", "a\nNone\nna\n", "a:string\nNone\nna"},
		{"-200 is a number", "a\n-200\n1\n", "a:number\n-200\n1"},
		{"blanks", "a,b,c\n 1 , x ,\t2020-01-02 \n  ,y,NA\n", "a:number|b:string|c:time\n1| x |2020-01-02\n∅|y|∅"},
		{"blanks in the header", " a ,\tb,\" c \"\n1,2,3\n", "a:number|b:number| c :number\n1|2|3"},
		{"numbers", "a\n+1.5\n.5\n2.\n1e3\n-1E-2\ninf\n-Infinity\n", "a:number\n1.5\n0.5\n2\n1000\n-0.01\ninf\n-inf"},
		{"no numbers", "a,b,c,d,e\n0x1F,1_000,1e,-,.\n", "a:string|b:string|c:string|d:string|e:string\n0x1F|1_000|1e|-|."},
		{"number then text", "a,b\n1,1\n2,2\nx,3\n", "a:string|b:number\n1|1\n2|2\nx|3"},
		{"text keeps its spelling", "a\n1.0\n007\n\nx\n", "a:string\n1.0\n007\nx"},
		{"2^53 is a number", "a\n9007199254740992\n-9007199254740992\n", "a:number\n9.007199254740992e+15\n-9.007199254740992e+15"},
		{"ids beyond 2^53", "a\n9007199254740993\n12\n", "a:string\n9007199254740993\n12"},
		{"ids of 20 digits", "a\n18446744073709551617\n", "a:string\n18446744073709551617"},
		{"great numbers with an exponent", "a\n1e300\n9.1e15\n9007199254740993.0\n", "a:number\n1e+300\n9.1e+15\n9.007199254740992e+15"},
		{"booleans", "a,b,c\ntrue,T,yes\nFALSE,f,no\n,t,yes\n", "a:boolean|b:boolean|c:string\ntrue|true|yes\nfalse|false|no\n∅|true|yes"},
		{"boolean and number", "a\ntrue\n1\n", "a:string\ntrue\n1"},
		{"number and boolean", "a\n0\ntrue\n", "a:string\n0\ntrue"},
		{"boolean and time", "a\ntrue\n2020-01-01\n", "a:string\ntrue\n2020-01-01"},
		{"iso dates", "a\n2020-02-29\n1969-12-31\n", "a:time\n2020-02-29\n1969-12-31"},
		{"times", "a\n2012-10-02 09:00:00\n2012-10-02T09:00:00.5Z\n2012-10-02\n2012-10-02 09:00:00+02:00\n",
			"a:time\n2012-10-02T09:00:00Z\n2012-10-02T09:00:00.500000Z\n2012-10-02\n2012-10-02T07:00:00Z"},
		{"month first", "a\n1/31/2020\n12/1/2020 9:05\n", "a:time\n2020-01-31\n2020-12-01T09:05:00Z"},
		{"day first is no time", "a\n1/2/2020\n25/12/2020\n", "a:string\n1/2/2020\n25/12/2020"},
		{"a date and a text", "a\n2020-01-01\nsoon\n", "a:string\n2020-01-01\nsoon"},
		{"years are numbers", "a\n2020\n2021\n", "a:number\n2020\n2021"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadCSV("x.csv", strings.NewReader(tt.in), ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := dump(got); d != tt.want {
				t.Errorf("got\n%s\nwant\n%s", d, tt.want)
			}
		})
	}
}

func TestReadCSVErrors(t *testing.T) {
	number := ReadOptions{Types: map[string]Type{"a": Float}}
	tests := []struct {
		name, in string
		o        ReadOptions
		want     Error
	}{
		{"empty", "", ReadOptions{}, Error{Want: "is empty; expected a header line that names the columns"}},
		{"blank", "\n\r\n", ReadOptions{}, Error{Want: "is empty; expected a header line that names the columns"}},
		{"short row", "a,b,c\n1,2,3\n4,5\n", ReadOptions{}, Error{Line: 3, Value: "4,5", Want: "the row has 2 values, the header names 3 columns"}},
		{"long row", "a,b\n1,2\n\n3,4,5,6\n", ReadOptions{}, Error{Line: 4, Value: "3,4,5,6", Want: "the row has 4 values, the header names 2 columns"}},
		{"long by a trailing comma", "a,b\n1,2,\n", ReadOptions{}, Error{Line: 2, Value: "1,2,", Want: "the row has 3 values, the header names 2 columns"}},
		{"short after a quoted line end", "a,b\n\"x\ny\",1\n3\n", ReadOptions{}, Error{Line: 4, Value: "3", Want: "the row has 1 values, the header names 2 columns"}},
		{"wrong type", "a,b\n1,x\nNA,x\nabc,x\n", number, Error{Line: 4, Column: "a", Value: "abc", Want: "expected a number"}},
		{"wrong type, crlf", "a,b\r\n1,x\r\n\r\nabc,x\r\n", number, Error{Line: 4, Column: "a", Value: "abc", Want: "expected a number"}},
		{"wrong type, cr", "b,a\r1,1\r1,abc\r", number, Error{Line: 3, Column: "a", Value: "abc", Want: "expected a number"}},
		{"bool", "a\n1\n0\n2\n", ReadOptions{Types: map[string]Type{"a": Bool}}, Error{Line: 4, Column: "a", Value: "2", Want: "expected true or false"}},
		{"time", "a\n2020-01-01\n25/12/2020\n", ReadOptions{Types: map[string]Type{"a": Time}},
			Error{Line: 3, Column: "a", Value: "25/12/2020", Want: "expected a time such as 2006-01-02, 2006-01-02T15:04:05Z or 1/31/2006 (month first)"}},
		{"doubled name", "a,b,a\n1,2,3\n", ReadOptions{}, Error{Line: 1, Column: "a", Want: "the name stands twice in the header, for columns 1 and 3"}},
		{"no name", "a,,b\n1,2,3\n", ReadOptions{}, Error{Line: 1, Want: "column 2 of 3 has no name"}},
		{"trailing comma in the header", "a,b,\n1,2,\n", ReadOptions{}, Error{Line: 1, Want: "column 3 of 3 has no name"}},
		{"no header", "\n1,0.5\n2,0.6\n", ReadOptions{}, Error{Line: 2, Value: "1", Want: "expected a header line that names the columns; this line holds numbers only"}},
		{"open quote", "a,b\n1,2\n\"x,3\n4,5\n", ReadOptions{}, Error{Line: 3, Value: `"x,3`, Want: "the quote that opens here is never closed"}},
		{"open quote in the header", "\"a,b\n1,2\n", ReadOptions{}, Error{Line: 1, Value: `"a,b`, Want: "the quote that opens here is never closed"}},
		{"text after a quote", "a,b\n\"x\"y,3\n", ReadOptions{}, Error{Line: 2, Value: `"x"y,3`, Want: "text follows a closing quote; a quote within a quoted value is written twice"}},
		{"nul", "a,b\n1,2\n1,\x00\n", ReadOptions{}, Error{Line: 3, Want: "has a NUL byte; it is no text file, or is damaged"}},
		{"latin-1", "a,b\n1,caf\xe9\n", ReadOptions{}, Error{Line: 2, Want: "byte 0xE9 is not UTF-8; if the file is Latin-1, convert it (iconv -f LATIN1 -t UTF-8)"}},
		{"utf-16", "\xff\xfea\x00,\x00", ReadOptions{}, Error{Line: 1, Want: "is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"}},
		{"missing column", "a,b\n1,2\n", ReadOptions{Columns: []string{"b", "c"}}, Error{Column: "c", Want: `is missing; the file has "a", "b"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.File = "x.csv"
			got, err := ReadCSV("x.csv", strings.NewReader(tt.in), tt.o)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, error %v; want an *Error", got, err)
			}
			if *e != tt.want {
				t.Errorf("got\n%+v\nwant\n%+v", *e, tt.want)
			}
		})
	}
}

func TestErrorMessage(t *testing.T) {
	tests := []struct {
		err  Error
		want string
	}{
		{Error{"f.csv", 3, "a", "x", "expected a number"}, `f.csv:3: column "a": value "x": expected a number`},
		{Error{File: "f.csv", Want: "is empty"}, `f.csv: is empty`},
		{Error{Column: "a", Want: "is missing"}, `column "a": is missing`},
		{Error{Want: "is empty"}, `is empty`},
		{Error{File: "f", Value: strings.Repeat("é", 50), Want: "w"}, `f: value "` + strings.Repeat("é", 30) + `…": w`},
		{Error{File: "f", Value: "x" + strings.Repeat("é", 50), Want: "w"}, `f: value "x` + strings.Repeat("é", 29) + `…": w`},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestReadOptions(t *testing.T) {
	const in = "id,x,when,flag,skip\n007,1,2020-01-01,1,a\n9007199254740993,,NA,0.0,b\n"
	all := map[string]Type{"id": String, "x": Float, "when": Time, "flag": Bool, "absent": Time}
	tests := []struct {
		name string
		o    ReadOptions
		want string
	}{
		{"types", ReadOptions{Types: all},
			"id:string|x:number|when:time|flag:boolean|skip:string\n007|1|2020-01-01|true|a\n9007199254740993|∅|∅|false|b"},
		{"columns, in the file's order", ReadOptions{Columns: []string{"flag", "x"}}, "x:number|flag:number\n1|1\n∅|0"},
		{"optional", ReadOptions{Columns: []string{"x", "absent"}, Optional: true}, "x:number\n1\n∅"},
		{"no columns", ReadOptions{Columns: []string{}}, ""},
		{"a fixed number may lose digits", ReadOptions{Columns: []string{"id"}, Types: map[string]Type{"id": Float}},
			"id:number\n7\n9.007199254740992e+15"},
		{"all as text", ReadOptions{Columns: []string{"x", "when"}, Types: map[string]Type{"x": String, "when": String}},
			"x:string|when:string\n1|2020-01-01\n∅|∅"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadCSV("x.csv", strings.NewReader(in), tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if d := dump(got); d != tt.want && len(got.Columns()) > 0 {
				t.Errorf("got\n%s\nwant\n%s", d, tt.want)
			}
		})
	}
}

// TestReadCSVInPieces reads files long enough to be cut, in which the type of
// a column shows only in one of the pieces.
func TestReadCSVInPieces(t *testing.T) {
	const rows = 300_000
	for _, odd := range []struct {
		row  int
		x    string
		typ  Type
		sum  float64
		text string
	}{
		{0, "", Float, float64(rows) * (rows - 1) / 2, ""},
		{rows - 1, "late", String, 0, "late"},
		{0, "early", String, 0, "early"},
		{rows / 2, "9007199254740993", String, 0, "9007199254740993"},
	} {
		t.Run(odd.x, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("a,b,gap\n")
			for i := range rows {
				if i == odd.row && odd.x != "" {
					fmt.Fprintf(&b, "%s,level%d,\n", odd.x, i%7)
					continue
				}
				gap := ""
				if i == rows-10 {
					gap = "2020-01-01"
				}
				fmt.Fprintf(&b, "%d,level%d,%s\n", i, i%7, gap)
			}
			data := []byte(b.String())
			if f := (&csvFile{data: data, body: 8}); len(f.split(8)) < 4 {
				t.Fatal("the file is too short to be cut")
			}
			got, err := decodeCSV("x", data, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			a, l, gap := got.Column("a"), got.Column("b"), got.Column("gap")
			if got.NumRows() != rows || a.Type != odd.typ || l.Type != String || len(l.Dict) != 7 || gap.Type != Time {
				t.Fatalf("%d rows, a %s, b %s of %d levels, gap %s", got.NumRows(), a.Type, l.Type, len(l.Dict), gap.Type)
			}
			for i := range rows {
				want := fmt.Sprint(i)
				if i == odd.row && odd.x != "" {
					want = odd.x
				}
				if a.Format(i) != want || l.Text(i) != fmt.Sprint("level", i%7) || gap.Missing(i) != (i != rows-10) {
					t.Fatalf("row %d: %s %s %s", i, a.Format(i), l.Text(i), gap.Format(i))
				}
			}
			_, err = decodeCSV("x", data, ReadOptions{Types: map[string]Type{"a": Float}})
			var e *Error
			if odd.text != "" && odd.text[0] != '9' && (!errors.As(err, &e) || e.Line != odd.row+2 || e.Value != odd.text) {
				t.Errorf("error %v, want one at line %d", err, odd.row+2)
			}
		})
	}
}

func TestWriteCSV(t *testing.T) {
	codes := Strings("s", []string{"plain", "a,b", `q"q`, "l\nl", "semi;", ""})
	codes.Codes[5] = -1
	table := Must(
		Floats("f", []float64{1, -0.5, 1e6, 1e21, 1e-7, math.NaN()}),
		&Column{Name: "b", Type: Bool, Floats: []float64{1, 0, 1, 0, 1, math.NaN()}},
		Times("t", []int64{0, 1, second, -1, day, NoTime}),
		codes,
		Floats("n,m", []float64{9007199254740991, 9007199254740992, math.Inf(1), math.Inf(-1), 123456.789, 5e-324}),
	)
	const want = `f,b,t,s,"n,m"
1,true,1970-01-01,plain,9007199254740991
-0.5,false,1970-01-01T00:00:00.000001Z,"a,b",9.007199254740992e+15
1000000,true,1970-01-01T00:00:01Z,"q""q",inf
1e+21,false,1969-12-31T23:59:59.999999Z,"l
l",-inf
1e-07,true,1970-01-02,"semi;",123456.789
,,,,5e-324
`
	var b bytes.Buffer
	if err := WriteCSV(&b, table); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := WriteCSV(&b, Must(Floats("a", []float64{1, math.NaN(), 2}))); err != nil || b.String() != "a\n1\n\"\"\n2\n" {
		t.Errorf("one column with a missing value: %q, %v", b.String(), err)
	}
	if err := WriteCSV(failing{}, table); !errors.Is(err, errFull) {
		t.Errorf("error %v, want the writer's", err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestReadAndWriteFiles(t *testing.T) {
	dir := t.TempDir()
	table := Must(Floats("x", []float64{1.5, math.NaN()}), Strings("s", []string{"a", "b"}), Times("t", []int64{0, NoTime}))
	for _, ext := range []string{".csv", ".parquet", ".arrow", ".CSV"} {
		path := filepath.Join(dir, "table"+ext)
		if err := Write(path, table); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(dir, "content-decides.txt")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(other, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(other, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, got, table)
	}
	if err := Write(filepath.Join(dir, "table.xls"), table); err == nil {
		t.Error("a file with an unknown extension was written")
	}
	if _, err := os.Stat(filepath.Join(dir, "table.xls")); err == nil {
		t.Error("a refused file exists")
	}
	if _, err := Read(filepath.Join(dir, "absent.csv"), ReadOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}
