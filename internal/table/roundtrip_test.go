package table

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyTable draws a table of all types with missing values. With csv, it
// leaves out what CSV cannot tell apart.
func anyTable(t *rapid.T, csv bool) *Table {
	rows := rapid.IntRange(0, 40).Draw(t, "rows")
	cols := rapid.IntRange(1, 5).Draw(t, "columns")
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zé ][a-z,;" .|\n]{0,6}[a-z ]`), cols, cols, rapid.ID).Draw(t, "names")
	table := make([]*Column, cols)
	for i, name := range names {
		c := &Column{Name: name, Type: rapid.SampledFrom([]Type{Float, Bool, Time, String}).Draw(t, "type")}
		hole := rapid.IntRange(2, 9).Draw(t, "a hole in")
		isHole := func() bool { return rapid.IntRange(1, hole).Draw(t, "hole") == 1 }
		switch c.Type {
		case Float:
			c.Floats = make([]float64, rows)
			for k := range c.Floats {
				if c.Floats[k] = math.NaN(); !isHole() {
					c.Floats[k] = rapid.Float64().Draw(t, "number")
				}
			}
		case Bool:
			c.Floats = make([]float64, rows)
			for k := range c.Floats {
				if c.Floats[k] = math.NaN(); !isHole() {
					c.Floats[k] = float64(rapid.IntRange(0, 1).Draw(t, "bool"))
				}
			}
		case Time:
			c.Times = make([]int64, rows)
			for k := range c.Times {
				if c.Times[k] = NoTime; !isHole() {
					c.Times[k] = rapid.Int64Range(-62135596800*second, 253402300799*second).Draw(t, "time")
				}
			}
		default:
			texts := make([]string, rows)
			for k := range texts {
				texts[k] = anyText(csv).Draw(t, "text")
			}
			*c = *Strings(name, texts)
			for k := range c.Codes {
				if isHole() {
					c.Codes[k] = -1
				}
			}
		}
		table[i] = c
	}
	return Must(table...)
}

func anyText(csv bool) *rapid.Generator[string] {
	if !csv {
		return rapid.String()
	}
	text := rapid.OneOf(rapid.StringMatching(`[a-z\n\r\t ,;|"'é]{1,8}`), rapid.String())
	return text.Filter(func(s string) bool {
		return !IsMissing(string(trim([]byte(s)))) && !strings.ContainsRune(s, 0)
	})
}

// types returns the options that fix the types of t.
func types(t *Table) ReadOptions {
	o := ReadOptions{Types: map[string]Type{}}
	for _, c := range t.Columns() {
		o.Types[c.Name] = c.Type
	}
	return o
}

func TestRoundTripCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyTable(t, true)
		var b bytes.Buffer
		if err := WriteCSV(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCSV("x", &b, types(want))
		if err != nil {
			t.Fatal(err)
		}
		if err := difference(got, want); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRoundTripInferred reads typed columns back without being told.
func TestRoundTripInferred(t *testing.T) {
	want := Must(
		Floats("n", []float64{1, 1e300, math.NaN(), -9007199254740993, math.Inf(1)}),
		&Column{Name: "b", Type: Bool, Floats: []float64{1, 0, 1, math.NaN(), 0}},
		Times("t", []int64{0, 1_700_000_000_123_456, NoTime, -1, day}),
		Strings("s", []string{"9007199254740993", "1", "true", "2020-01-01", "x"}),
	)
	var b bytes.Buffer
	if err := WriteCSV(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCSV("x", &b, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, got, want)
}

func TestRoundTripParquet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, EncodeParquet, DecodeParquet) })
}

func TestRoundTripArrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, EncodeArrow, DecodeArrow) })
}

func roundTrip(t *rapid.T, encode func(*Table) ([]byte, error), decode func(string, []byte, ReadOptions) (*Table, error)) {
	want := anyTable(t, false)
	if n := want.NumRows(); n > 2 && rapid.Bool().Draw(t, "sliced") {
		want = want.Slice(1, n-1)
	}
	b, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode("x", b, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := difference(got, want); err != nil {
		t.Fatal(err)
	}
}

// long is a table of several row groups and record batches.
func long() *Table {
	const rows = 2*groupRows + 17
	f, g, b := make([]float64, rows), make([]float64, rows), make([]float64, rows)
	at, s := make([]int64, rows), make([]string, rows)
	for i := range rows {
		f[i] = math.Sqrt(float64(i))
		g[i] = float64(i % 50)
		b[i] = float64(i % 2)
		at[i] = int64(i) * minute
		s[i] = "level " + string(rune('a'+i%23))
		if i%11 == 3 {
			f[i], b[i], at[i] = math.NaN(), math.NaN(), NoTime
		}
	}
	c := Strings("s", s)
	for i := range rows {
		if i%13 == 5 {
			c.Codes[i] = -1
		}
	}
	return Must(Floats("f", f), Floats("g", g), &Column{Name: "b", Type: Bool, Floats: b}, Times("t", at), c)
}

func TestRoundTripLong(t *testing.T) {
	want := long()
	parquet, err := EncodeParquet(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeParquet("x", parquet, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, got, want)
	arrow, err := EncodeArrow(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = DecodeArrow("x", arrow, ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, got, want)
}

// TestConvert fixes the types of columns that come with their own.
func TestConvert(t *testing.T) {
	source := Must(
		Strings("number", []string{"1.5", "NA", " 2"}),
		Strings("time", []string{"2020-01-01", "?", "1/2/2020"}),
		Strings("bool", []string{"true", "0", ""}),
		Floats("level", []float64{1, math.NaN(), 2.5}),
		Floats("flag", []float64{1, math.NaN(), 0}),
		&Column{Name: "zero", Type: Bool, Floats: []float64{0, 1, math.NaN()}},
		Times("text", []int64{0, NoTime, 1}),
		Floats("never", []float64{math.NaN(), math.NaN(), math.NaN()}),
	)
	o := ReadOptions{Types: map[string]Type{"number": Float, "time": Time, "bool": Bool, "level": String, "flag": Bool, "zero": Float, "text": String, "never": Time}}
	const want = `number:number|time:time|bool:boolean|level:string|flag:boolean|zero:number|text:string|never:time
1.5|2020-01-01|true|1|true|0|1970-01-01|∅
∅|∅|false|∅|∅|1|∅|∅
2|2020-01-02|∅|2.5|false|∅|1970-01-01T00:00:00.000001Z|∅`
	for _, f := range []struct {
		encode func(*Table) ([]byte, error)
		decode func(string, []byte, ReadOptions) (*Table, error)
	}{{EncodeParquet, DecodeParquet}, {EncodeArrow, DecodeArrow}} {
		b, err := f.encode(source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.decode("x", b, o)
		if err != nil {
			t.Fatal(err)
		}
		if d := dump(got); d != want {
			t.Errorf("got\n%s\nwant\n%s", d, want)
		}
		for _, bad := range []struct {
			column string
			want   Type
			err    Error
		}{
			{"number", Bool, Error{"x", 1, "number", "1.5", "expected true or false; the file's column is of type string"}},
			{"level", Bool, Error{"x", 3, "level", "2.5", "expected true or false; the file's column is of type number"}},
			{"text", Float, Error{"x", 1, "text", "1970-01-01", "expected a number; the file's column is of type time"}},
		} {
			_, err := f.decode("x", b, ReadOptions{Types: map[string]Type{bad.column: bad.want}})
			var e *Error
			if !errors.As(err, &e) || *e != bad.err {
				t.Errorf("%s as %s: %v, want %v", bad.column, bad.want, err, &bad.err)
			}
		}
	}
}

func TestEncodeWithoutColumns(t *testing.T) {
	if _, err := EncodeParquet(Must()); err == nil {
		t.Error("Parquet without columns was written")
	}
	if _, err := EncodeArrow(Must()); err == nil {
		t.Error("Arrow without columns was written")
	}
}
