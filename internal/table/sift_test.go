package table

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseBadRows(t *testing.T) {
	for text, want := range map[string]BadRows{"0": {}, "12": {Most: 12}, "0.5%": {Share: 0.005}, " 100 % ": {Share: 1}} {
		if got, err := ParseBadRows(text); err != nil || got.Most != want.Most || got.Share != want.Share {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "101%", "-1%", "%", "NaN%", "many"} {
		if got, err := ParseBadRows(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// TestSetAside: bad rows are taken out with the line, the reason and their text,
// and the rest is the table without them.
func TestSetAside(t *testing.T) {
	const text = "x,when,s\n1,2026-03-01,a\nn.n.,2026-03-01,b\n3,soon,c\n4,,d,e\n\n5\n6,2026-03-02,\"f\ng\"\n7,,\"h\"i\n8,,j\xff\n9,,\"k\n10,,l\n"
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := ReadOptions{Types: map[string]Type{"x": Float, "when": Time}}
	want := []string{
		`3 "x" "n.n.": expected a number; n.n.,2026-03-01,b`,
		`4 "when" "soon": expected a time such as 2006-01-02, 2006-01-02T15:04:05Z or 1/31/2006 (month first); 3,soon,c`,
		`5 "" "4,,d,e": the row has 4 values, the header names 3 columns; 4,,d,e`,
		`7 "" "5": the row has 1 values, the header names 3 columns; 5`,
		`10 "" "\"h\"i": text follows a closing quote; a quote within a quoted value is written twice; 7,,"h"i`,
		"11 \"\" \"8,,j\\xff\": the row is no UTF-8 text; 8,,j\xff",
		`12 "" "\"k": the quote that opens here is never closed; 9,,"k`,
	}
	for name, read := range map[string]func(o ReadOptions) (*Table, error){
		"as a whole": func(o ReadOptions) (*Table, error) { return Read(path, o) },
		"in parts": func(o ReadOptions) (*Table, error) {
			s, err := Open(path, o)
			if err != nil {
				return nil, err
			}
			defer s.Close()
			return gatherOnce(s, nil)
		},
	} {
		o.Bad = &BadRows{Most: 7}
		got, err := read(o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustEqual(t, got, Must(Floats("x", []float64{1, 6, 10}), Times("when", []int64{1772323200000000, 1772409600000000, NoTime}), Strings("s", []string{"a", "f\ng", "l"})))
		var found []string
		for _, r := range o.Bad.Found {
			found = append(found, fmt.Sprintf("%d %q %q: %s; %s", r.Line, r.Column, r.Value, r.Want, r.Text))
		}
		if !slices.Equal(found, want) {
			t.Errorf("%s: found\n%s\nexpected\n%s", name, strings.Join(found, "\n"), strings.Join(want, "\n"))
		}
		if tab := o.Bad.Table(); tab.NumRows() != 7 || tab.Column("file").Text(0) != path || tab.Column("line").Floats[6] != 12 {
			t.Errorf("%s: a table of %d rows", name, tab.NumRows())
		}
		for _, few := range []*BadRows{{Most: 6}, {Share: 0.69}} {
			o.Bad = few
			var e *Error
			if _, err := read(o); !errors.As(err, &e) || e.Line != 3 || !strings.Contains(e.Want, "it is the first of 7 bad rows, of which 6 may be: --bad-rows") {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.Bad = &BadRows{Share: 0.7}
		if _, err := read(o); err != nil {
			t.Errorf("%s: 7 of 10 rows may be bad: %v", name, err)
		}
		o.Bad = &BadRows{}
		if _, err := read(o); err == nil {
			t.Errorf("%s: no row may be bad", name)
		}
	}
}

// TestSiftsAnything: whatever the chunks, what is left is what stands in the file
// but for the lines that are bad.
func TestSiftsAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := rapid.SampledFrom([]string{"1,a", "2.5,\"b,\"\"c\"", "NA,", "-3,\"d\ne\""})
		bad := rapid.SampledFrom([]string{"x,a", "1", "1,2,3", "1,a\xff", "1,\"a\"b"})
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		text, sound, n := "x,s"+end, "x,s"+end, 0
		for i := range rapid.IntRange(1, 40).Draw(t, "rows") {
			if i > 0 && rapid.IntRange(0, 3).Draw(t, "bad") == 0 {
				text += bad.Draw(t, "row") + end
				n++
				continue
			}
			row := good.Draw(t, "row") + end
			text, sound = text+row, sound+row
		}
		if rapid.Bool().Draw(t, "cut") {
			text = strings.TrimSuffix(text, end)
		}
		types := map[string]Type{"x": Float, "s": String}
		b := &BadRows{Most: 100}
		var out strings.Builder
		if err := b.sift(&out, "f", inMemory([]byte(text)), ReadOptions{Types: types}); err != nil {
			t.Fatal(err)
		}
		got, err := decodeCSV("f", []byte(out.String()), ReadOptions{Types: types})
		if err != nil {
			t.Fatalf("%q was left of %q: %v", out.String(), text, err)
		}
		want, err := decodeCSV("f", []byte(sound), ReadOptions{Types: types})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) && !sameTable(got, want) {
			t.Fatalf("%q was left of %q, expected %q", out.String(), text, sound)
		}
		if len(b.Found) != n {
			t.Fatalf("%d bad rows are found, there are %d", len(b.Found), n)
		}
	})
}

func sameTable(a, b *Table) bool {
	var x, y strings.Builder
	return WriteCSV(&x, a) == nil && WriteCSV(&y, b) == nil && x.String() == y.String()
}
