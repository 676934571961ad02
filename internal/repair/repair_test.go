package repair_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/repair/inspect"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func template() *schema.Template {
	t := &schema.Template{
		Task: schema.Regression, Target: "sales",
		Columns: []schema.Column{
			{Name: "brand", Kind: schema.Categorical, Levels: []string{"dominicks", "minute.maid", "tropicana"}},
			{Name: "price", Kind: schema.Numeric},
			{Name: "promo", Kind: schema.Boolean},
		},
		Features: []schema.Feature{
			{Name: "brand", Source: "brand", Op: schema.Level},
			{Name: "price", Source: "price", Op: schema.Value},
			{Name: "promo", Source: "promo", Op: schema.Value},
		},
	}
	t.Seal()
	return t
}

// shop is n rows of it: three brands alike in number, prices about 2 to 3.
func shop(seed uint64, n int) *table.Table {
	rng := rand.New(rand.NewPCG(seed, 1))
	brands := []string{"dominicks", "minute.maid", "tropicana"}
	brand, price, promo := make([]string, n), make([]float64, n), make([]float64, n)
	for i := range n {
		brand[i] = brands[rng.IntN(3)]
		price[i] = math.Round(100*math.Exp(0.9+0.25*rng.NormFloat64())) / 100
		promo[i] = float64(rng.IntN(2))
	}
	return table.Must(table.Strings("brand", brand), table.Floats("price", price), &table.Column{Name: "promo", Type: table.Bool, Floats: promo})
}

func edit(t *table.Table, name string, f func(c *table.Column, i int)) *table.Table {
	c := *t.Column(name)
	c.Floats, c.Codes, c.Dict = slices.Clone(c.Floats), slices.Clone(c.Codes), slices.Clone(c.Dict)
	for i := range c.Len() {
		f(&c, i)
	}
	out, err := t.With(&c)
	if err != nil {
		panic(err)
	}
	return out
}

// renamed has other names for some levels.
func renamed(t *table.Table, names map[string]string) *table.Table {
	texts := make([]string, t.NumRows())
	for i := range texts {
		texts[i] = t.Column("brand").Text(i)
		if n, ok := names[texts[i]]; ok {
			texts[i] = n
		}
	}
	out, err := t.With(table.Strings("brand", texts))
	if err != nil {
		panic(err)
	}
	return out
}

func stepsFor(t *testing.T, rows *table.Table, may inspect.Allowed) []repair.Step {
	t.Helper()
	ref := shop(1, 3000)
	faults, err := inspect.Faults(context.Background(), ref, rows, template(), "")
	if err != nil {
		t.Fatal(err)
	}
	return inspect.Steps(faults, ref, may)
}

var everything = inspect.Allowed{Scale: true, Rename: true, Quarantine: true}

// TestRoundTrip: what a broken feed did is undone value by value, and what it
// did not touch stays.
func TestRoundTrip(t *testing.T) {
	was := shop(2, 600)
	cents := edit(was, "price", func(c *table.Column, i int) { c.Floats[i] *= 100 })
	half := edit(was, "price", func(c *table.Column, i int) {
		if i%2 == 0 {
			c.Floats[i] *= 100
		}
	})
	steps := stepsFor(t, cents, everything)
	if len(steps) != 1 || steps[0].Kind != repair.Scale || steps[0].Factor != 100 {
		t.Fatalf("steps are %+v, expected a division by 100", steps)
	}
	for name, bent := range map[string]*table.Table{"all": cents, "half": half, "none": was} {
		got, changed, counts := repair.Table(bent, steps, nil)
		if want := map[string]int{"all": 600, "half": 300, "none": 0}[name]; counts[0] != want {
			t.Errorf("%s: %d rows counted, expected %d", name, counts[0], want)
		}
		for i, v := range got.Column("price").Floats {
			want := was.Column("price").Floats[i]
			if math.Abs(v-want) > 1e-9 || changed != nil && changed[i] != (bent.Column("price").Floats[i] != want) {
				t.Fatalf("%s, row %d: %v, changed %v; expected %v", name, i, v, changed, want)
			}
		}
	}
	names := map[string]string{"dominicks": "DOMINICKS V2", "minute.maid": "MINUTE.MAID V2", "tropicana": "TROPICANA V2"}
	bent := renamed(was, names)
	steps = stepsFor(t, bent, everything)
	got, changed, counts := repair.Table(bent, steps, nil)
	for i, s := range steps {
		if want := countOf(was.Column("brand"), s.Old); counts[i] != want {
			t.Errorf("%d rows counted of %q, expected %d", counts[i], s.Old, want)
		}
	}
	if len(steps) != 3 || slices.Contains(changed, false) {
		t.Fatalf("steps are %+v, expected three names mapped back in every row", steps)
	}
	for i := range got.NumRows() {
		if a, b := got.Column("brand").Text(i), was.Column("brand").Text(i); a != b {
			t.Fatalf("row %d: %q, expected %q", i, a, b)
		}
	}
}

func countOf(c *table.Column, text string) (n int) {
	for i := range c.Len() {
		if c.Text(i) == text {
			n++
		}
	}
	return n
}

// TestNotMeant: what may be meant is left alone, however far it is from before.
func TestNotMeant(t *testing.T) {
	was := shop(3, 900)
	for name, c := range map[string]struct {
		rows *table.Table
		may  inspect.Allowed
	}{
		"nothing is wrong":      {was, everything},
		"prices rise by half":   {edit(was, "price", func(c *table.Column, i int) { c.Floats[i] *= 1.5 }), everything},
		"prices are doubled":    {edit(was, "price", func(c *table.Column, i int) { c.Floats[i] *= 2 }), everything},
		"another brand":         {renamed(was, map[string]string{"tropicana": "sunkist"}), everything},
		"two could be meant":    {renamed(was, map[string]string{"tropicana": "maid", "minute.maid": "minute"}), everything},
		"new among old":         {renamed(was.Slice(0, 450), map[string]string{"tropicana": "tropicana premium"}), inspect.Allowed{Scale: true}},
		"a scale not allowed":   {edit(was, "price", func(c *table.Column, i int) { c.Floats[i] *= 100 }), inspect.Allowed{Rename: true}},
		"a name not allowed":    {renamed(was, map[string]string{"tropicana": "Tropicana"}), inspect.Allowed{Scale: true}},
		"a beginning of rows":   {was.Slice(0, 5), everything},
		"no rows":               {was.Slice(0, 0), everything},
		"every value is absent": {edit(was, "price", func(c *table.Column, i int) { c.Floats[i] = math.NaN() }), everything},
	} {
		if steps := stepsFor(t, c.rows, c.may); len(steps) > 0 {
			t.Errorf("%s: %+v, expected nothing to be repaired", name, steps)
		}
	}
	quarantined := stepsFor(t, edit(was, "price", func(c *table.Column, i int) { c.Floats[i] *= 100 }), inspect.Allowed{Quarantine: true})
	if len(quarantined) != 1 || quarantined[0].Kind != repair.Quarantine {
		t.Errorf("a unit that may not be mapped back: %+v, expected quarantine", quarantined)
	}
}

// TestRowIsTable: a row that is served is repaired as a file is.
func TestRowIsTable(t *testing.T) {
	tmpl := template()
	e := feature.NewEncoder(tmpl)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "rows")
		text, price, promo := make([]string, n), make([]float64, n), make([]float64, n)
		for i := range n {
			text[i] = rapid.SampledFrom([]string{"dominicks", "minute.maid", "TROPICANA", "tropicana", "new"}).Draw(t, "brand")
			price[i] = rapid.SampledFrom([]float64{math.NaN(), 0, -3, 1, 2.5, 24.9, 25.1, 250, 1e6}).Draw(t, "price")
			promo[i] = rapid.SampledFrom([]float64{math.NaN(), 0, 1}).Draw(t, "promo")
		}
		rows := table.Must(table.Strings("brand", text), table.Floats("price", price), &table.Column{Name: "promo", Type: table.Bool, Floats: promo})
		var steps []repair.Step
		for _, s := range []repair.Step{
			{Column: "price", Kind: repair.Scale, Factor: 100, Median: 2.5},
			{Column: "price", Kind: repair.Scale, Factor: 100, Median: 2.5, Low: 1, High: 25},
			{Column: "brand", Kind: repair.Rename, Old: "tropicana", New: "TROPICANA"},
			{Column: "promo", Kind: repair.Quarantine},
			{Column: "gone", Kind: repair.Quarantine},
			{Column: "brand", Kind: repair.Scale, Factor: 10, Median: 1},
		} {
			if rapid.Bool().Draw(t, string(s.Kind)) {
				steps = append(steps, s)
			}
		}
		sound, changed, _ := repair.Table(rows, steps, nil)
		want, err := e.Table(sound)
		if err != nil {
			t.Fatal(err)
		}
		given, err := e.Table(rows)
		if err != nil {
			t.Fatal(err)
		}
		plan := repair.NewPlan(e, steps)
		raw, expected := make([]float64, 3), make([]float64, 3)
		for i := range n {
			given.Row(raw, i)
			want.Row(expected, i)
			yes := plan != nil && plan.Row(raw, []string{text[i], "", ""})
			if yes != (changed != nil && changed[i]) {
				t.Fatalf("row %d: changed %v in a row, %v in a table", i, yes, changed)
			}
			for k := range raw {
				if raw[k] != expected[k] && !(math.IsNaN(raw[k]) && math.IsNaN(expected[k])) {
					t.Fatalf("row %d: %v, expected %v as in a table", i, raw, expected)
				}
			}
		}
	})
}

// TestRun: a fault begins and ends once, and what is as far out before it or
// after it stays.
func TestRun(t *testing.T) {
	s := repair.Step{Column: "price", Kind: repair.Scale, Factor: 100, Median: 2.5}
	within := s
	within.Median, within.Low, within.High = 60, 18, 1500
	for _, c := range []struct {
		step   repair.Step
		values []float64
		lo, hi int
	}{
		{s, nil, 0, 0},
		{s, []float64{2, 3, 2}, 0, 0},
		{s, []float64{200, 300, 250}, 0, 3},
		{s, []float64{2, 300, 2, 2, 200, 300, 250, 3, 2}, 4, 7},
		{s, []float64{2, 300, 200, 3, 300, 250, 2, 2, 300}, 1, 6},       // one in between was sent by hand
		{s, []float64{300, math.NaN(), 250, 0, -1, 200, 2, 2}, 0, 6},    // what cannot tell parts nothing
		{within, []float64{700, 900, 6200, 70000, 4000, 700, 60}, 2, 5}, // 700 may be right
	} {
		if lo, hi := c.step.Run(c.values); lo != c.lo || hi != c.hi {
			t.Errorf("%v: %d to %d, expected %d to %d", c.values, lo, hi, c.lo, c.hi)
		}
	}
	// A value inside the range of the reference is left there, whatever is nearer
	// to the median; one outside is brought in.
	rows := table.Must(table.Floats("price", []float64{700, 1500, 6200, 70000, 1600, 60, 17, 1e7}))
	out, _, counts := repair.Table(rows, []repair.Step{within}, nil)
	if got := out.Column("price").Floats; !slices.Equal(got, []float64{700, 1500, 62, 700, 16, 60, 17, 1e5}) || counts[0] != 4 {
		t.Errorf("%v, %d changed", got, counts[0])
	}
}

// TestFeedFile: the state is read back as it was written, and what is damaged
// or from elsewhere is refused by name.
func TestFeedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "feed.json")
	if f, err := repair.Read(path); err != nil || len(f.Steps) > 0 {
		t.Fatalf("no file: %+v, %v; expected a sound feed", f, err)
	}
	at := time.Date(2024, 1, 10, 3, 37, 0, 0, time.UTC)
	steps := []repair.Step{{Column: "price", Kind: repair.Scale, Factor: 100, Median: 2.5, Why: "w"}, {Column: "brand", Kind: repair.Rename, Old: "a", New: "b"}, {Column: "promo", Kind: repair.Quarantine}}
	first := (&repair.Feed{}).Next(steps, at, "d1", "v1")
	again := first.Next(steps, at.Add(time.Hour), "d2", "v1")
	if again.Since != at || again.At != at.Add(time.Hour) {
		t.Errorf("unchanged since %v, looked at %v; expected %v and an hour later", again.Since, again.At, at)
	}
	if ended := again.Next(nil, at.Add(2*time.Hour), "d3", "v1"); ended.Since != ended.At || ended.Steps == nil {
		t.Errorf("sound again since %v with steps %v", ended.Since, ended.Steps)
	}
	if err := again.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := repair.Read(path); err != nil || !slices.Equal(got.Steps, steps) || got.Report != "d2" {
		t.Errorf("read back %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{`:            "feed.json",
		`{"format":2}`: "format 2",
		`{"format":1,"steps":[{"column":"a","kind":"scale","factor":0,"median":1}]}`: "scaled by 0",
		`{"format":1,"steps":[{"column":"a","kind":"scale","factor":1}]}`:            "expected numbers above 0",
		`{"format":1,"steps":[{"column":"a","kind":"rename","old":"x","new":"x"}]}`:  "itself",
		`{"format":1,"steps":[{"column":"a","kind":"melt"}]}`:                        "melt",
		`{"format":1,"steps":[{"kind":"quarantine"}]}`:                               "no column",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := repair.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected an error with %q", text, err, want)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	p := repair.NewPlan(feature.NewEncoder(template()), []repair.Step{{Column: "price", Kind: repair.Scale, Factor: 100, Median: 2.5}, {Column: "brand", Kind: repair.Rename, Old: "tropicana", New: "TROPICANA"}})
	raw, texts := make([]float64, 3), []string{"TROPICANA", "", ""}
	b.ReportAllocs()
	for b.Loop() {
		raw[0], raw[1], raw[2] = -1, 250, 1
		if !p.Row(raw, texts) {
			b.Fatal("not repaired")
		}
	}
}
