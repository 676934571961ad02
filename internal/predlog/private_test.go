package predlog

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func privateTemplate() *schema.Template {
	return &schema.Template{Task: schema.Regression, Target: "sales", Columns: []schema.Column{
		{Name: "price", Kind: schema.Numeric}, {Name: "income", Kind: schema.Numeric}, {Name: "name", Kind: schema.Text}, {Name: "city", Kind: schema.Categorical},
	}}
}

// Private texts are in no file, neither in a segment nor in Parquet; equal
// ones can still be found; a private number is not logged at all.
func TestPrivateColumns(t *testing.T) {
	dir := t.TempDir()
	key := bytes.Repeat([]byte{7}, 32)
	tmpl := privateTemplate()
	extras := []Extra{{Name: "client_id", Key: key}, {Name: "channel"}, {Name: "name", Key: key}, {Name: "income", Key: key}, {Name: "city"}}
	l := LayoutWith(tmpl, extras)
	var names []string
	for _, c := range l.Columns {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "price name city client_id channel" {
		t.Fatalf("columns %s", got)
	}
	row := func(id, client string) Record {
		return Record{ID: id, At: noon, Version: "v1", Outputs: []float64{1},
			Values: []float64{2, 54321.75, 0, 0, 0, 0}, Texts: []string{"", "", "Ada Lovelace", "Turin", client, "web"}}
	}
	recs := []Record{row("a", "client-0042"), row("b", "client-0043"), row("c", "client-0042")}
	recs[1].Values[4] = math.NaN() // did not send one
	w := open(t, dir, WriterOptions{})
	if err := w.Append(context.Background(), l, recs); err != nil {
		t.Fatal(err)
	}
	short := row("d", "x")
	short.Values = short.Values[:5]
	if err := w.Append(context.Background(), l, []Record{short}); err == nil {
		t.Error("a record of too few values passed")
	}
	closeWriter(t, w)
	hidden := Hide(key, "client_id", "client-0042")
	for _, when := range []string{"in a segment", "sealed"} {
		for _, secret := range []string{"Lovelace", "client-0042"} {
			if anywhere(t, dir, secret) {
				t.Errorf("%s: %q is in a file", when, secret)
			}
		}
		tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := tab.Column("client_id")
		if got := []string{c.Text(0), c.Text(1), c.Text(2)}; !slices.Equal(got, []string{hidden, "", hidden}) {
			t.Errorf("%s: clients %q", when, got)
		}
		if tab.Column("income") != nil || tab.Column("channel").Text(1) != "web" || tab.Column("city").Text(0) != "Turin" || tab.Column("price").Floats[2] != 2 {
			t.Errorf("%s: columns %v", when, tab.Names())
		}
		sealAll(t, dir)
	}
	if s, err := Erase(dir, Match{"client_id", map[string]bool{hidden: true}}, EraseOptions{}); err != nil || s.Rows != 2 || !s.Proven() {
		t.Errorf("erase %+v, %v", s, err)
	}
}

func anywhere(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A batch hides what a server hides.
func TestExtend(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	input := table.Must(table.Floats("income", []float64{1}), table.Strings("name", []string{"Ada"}), table.Floats("client_id", []float64{42}), table.Strings("other", []string{"x"}))
	cols := []*table.Column{table.Strings(ColumnID, []string{"a"}), input.Column("income"), input.Column("name")}
	out := table.Must(Extend(cols, privateTemplate(), input, []Extra{{Name: "client_id", Key: key}, {Name: "name", Key: key}, {Name: "income", Key: key}, {Name: "absent"}})...)
	if got := strings.Join(out.Names(), " "); got != "prediction_id name client_id" {
		t.Fatalf("columns %s", got)
	}
	if a, b := out.Column("name").Text(0), out.Column("client_id").Text(0); a != Hide(key, "name", "Ada") || b != Hide(key, "client_id", "42") {
		t.Errorf("hidden %s, %s", a, b)
	}
	if input.Column("name").Text(0) != "Ada" {
		t.Error("the input was changed")
	}
}

func TestHide(t *testing.T) {
	// HMAC-SHA-256 by Python: hmac.new(bytes(32), b"client_id\0c1", "sha256").hexdigest()[:32]
	if got := Hide(make([]byte, 32), "client_id", "c1"); got != "hmac:29828489789f31bf8fb2ecf6594fce96" {
		t.Error(got)
	}
}
