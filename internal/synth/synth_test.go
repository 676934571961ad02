package synth_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// same reports whether two columns hold equal values in rows [lo, hi).
func same(a, b *table.Column, lo, hi int) bool {
	for i := lo; i < hi; i++ {
		if a.Format(i) != b.Format(i) || a.Missing(i) != b.Missing(i) {
			return false
		}
	}
	return true
}

func TestSalesIsAFunctionOfItsSeed(t *testing.T) {
	a, _ := synth.Sales(7, synth.Options{Days: 40})
	b, _ := synth.Sales(7, synth.Options{Days: 40})
	c, _ := synth.Sales(8, synth.Options{Days: 40})
	longer, _ := synth.Sales(7, synth.Options{Days: 60})
	for i, col := range a.Columns() {
		if !same(col, b.Columns()[i], 0, a.NumRows()) {
			t.Errorf("column %s differs between two runs of one seed", col.Name)
		}
		if !same(col, longer.Columns()[i], 0, a.NumRows()) {
			t.Errorf("column %s depends on the length of the stream", col.Name)
		}
	}
	if same(a.Column("sales"), c.Column("sales"), 0, a.NumRows()) {
		t.Error("two seeds give the same sales")
	}
}

func TestSalesShape(t *testing.T) {
	sales, shifts := synth.Sales(1, synth.Options{})
	if got, want := sales.Names(), []string{"date", "category", "region", "price", "promo", "sales"}; !slices.Equal(got, want) {
		t.Fatalf("columns %v, expected %v", got, want)
	}
	// Three years of 5 categories in 4 regions, and Central from its opening
	// on 2024-03-01 to the end of the year: 306 days.
	if got, want := sales.NumRows(), 1096*5*4+306*5; got != want {
		t.Errorf("%d rows, expected %d", got, want)
	}
	dates := sales.Column("date").Times
	if !slices.IsSorted(dates) {
		t.Error("rows are not in order of time")
	}
	if got := table.NoTime; slices.Contains(dates, int64(got)) {
		t.Error("a date is missing")
	}
	for i := range sales.NumRows() {
		price, promo, sold := sales.Column("price").Floats[i], sales.Column("promo").Floats[i], sales.Column("sales").Floats[i]
		if price <= 0 || math.Abs(price*100-math.Round(price*100)) > 1e-6 {
			t.Fatalf("row %d: price %v is not positive with two decimals", i, price)
		}
		if promo != 0 && promo != 1 {
			t.Fatalf("row %d: promo %v is neither 0 nor 1", i, promo)
		}
		if sold < 0 || sold != math.Trunc(sold) {
			t.Fatalf("row %d: sales %v is not a whole number", i, sold)
		}
	}
	if !slices.IsSortedFunc(shifts, func(a, b synth.Shift) int { return a.Date.Compare(b.Date) }) || len(shifts) != 3 {
		t.Errorf("shifts are not three in order of time: %v", shifts)
	}
}

func TestShiftsBeginOnTheirDay(t *testing.T) {
	moving, shifts := synth.Sales(3, synth.Options{})
	still, none := synth.Sales(3, synth.Options{Still: true})
	if none != nil {
		t.Errorf("a still stream lists shifts: %v", none)
	}
	// The two streams agree to the row before the first shift.
	first := slices.Index(moving.Column("date").Times, shifts[0].Date.UnixMicro())
	for i, c := range moving.Columns() {
		if !same(c, still.Columns()[i], 0, first) {
			t.Errorf("column %s differs before %s", c.Name, shifts[0].Date.Format(time.DateOnly))
		}
	}
	if same(moving.Column("price"), still.Column("price"), first, first+20) {
		t.Error("no price differs on the day of the price rise")
	}
	region := moving.Column("region")
	for i, at := range moving.Column("date").Times {
		if opened := at >= shifts[1].Date.UnixMicro(); !opened && region.Text(i) == "Central" {
			t.Fatalf("row %d: Central sells before it opens", i)
		}
	}
	before := meanWhere(moving, "sales", "category", "Clothing", shifts[2].Date.AddDate(0, 0, -28), shifts[2].Date)
	after := meanWhere(moving, "sales", "category", "Clothing", shifts[2].Date, shifts[2].Date.AddDate(0, 0, 28))
	if after > .75*before {
		t.Errorf("Clothing sells %.1f a day after the demand shift, %.1f before; expected a fall by a third", after, before)
	}
}

func TestShiftsListsOnlyWhatTheStreamReaches(t *testing.T) {
	for _, c := range []struct{ days, want int }{{744, 0}, {745, 1}, {791, 2}, {865, 2}, {866, 3}} {
		if _, shifts := synth.Sales(1, synth.Options{Days: c.days}); len(shifts) != c.want {
			t.Errorf("%d days: %d shifts, expected %d", c.days, len(shifts), c.want)
		}
	}
}

// meanWhere is the mean of a column over the rows in [from, to) in which
// another column has the given text.
func meanWhere(t *table.Table, column, key, text string, from, to time.Time) float64 {
	var sum, n float64
	for i, at := range t.Column("date").Times {
		if at >= from.UnixMicro() && at < to.UnixMicro() && t.Column(key).Text(i) == text {
			sum += t.Column(column).Floats[i]
			n++
		}
	}
	return sum / n
}

func TestInject(t *testing.T) {
	nan := math.NaN()
	base := table.Must(
		table.Floats("x", []float64{1, 3, nan, 5, 7}),
		table.Strings("s", []string{"a", "b", "a", "b", "a"}),
		table.Times("at", []int64{1, 2, 3, 4, 5}),
		&table.Column{Name: "y", Type: table.Bool, Floats: []float64{0, 1, 1, 0, nan}},
	)
	for name, c := range map[string]struct {
		fault  synth.Fault
		column string
		want   []string
	}{
		"offset by 2 sd of 1, 3":   {synth.Offset("x", 2), "x", []string{"1", "3", "", "7", "9"}},
		"scale":                    {synth.Scale("x", 100), "x", []string{"1", "3", "", "500", "700"}},
		"stick at a missing value": {synth.Stick("x"), "x", []string{"1", "3", "", "", ""}},
		"stick a level":            {synth.Stick("s"), "s", []string{"a", "b", "a", "a", "a"}},
		"blank numbers":            {synth.Blank("x"), "x", []string{"1", "3", "", "", ""}},
		"blank levels":             {synth.Blank("s"), "s", []string{"a", "b", "a", "", ""}},
		"rename to a new level":    {synth.Rename("s", "b", "B"), "s", []string{"a", "b", "a", "B", "a"}},
		"rename to a known level":  {synth.Rename("s", "b", "a"), "s", []string{"a", "b", "a", "a", "a"}},
		"rename an unknown level":  {synth.Rename("s", "z", "Z"), "s", []string{"a", "b", "a", "b", "a"}},
		"flip numbers":             {synth.Flip("x"), "x", []string{"1", "3", "", "-1", "-3"}},
		"flip levels":              {synth.Flip("s"), "s", []string{"a", "b", "a", "a", "b"}},
	} {
		out, err := synth.Inject(base, 3, c.fault)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := make([]string, out.NumRows())
		for i := range got {
			got[i] = out.Column(c.column).Format(i)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
	flipped, err := synth.Inject(base, 3, synth.Flip("y"))
	if err != nil {
		t.Fatal(err)
	}
	if y := flipped.Column("y").Floats; y[2] != 1 || y[3] != 1 || !math.IsNaN(y[4]) {
		t.Errorf("flip a boolean: %v, expected [0 1 1 1 NaN]", y)
	}
	blank, err := synth.Inject(base, 0, synth.Blank("at"))
	if err != nil {
		t.Fatal(err)
	}
	if !blank.Column("at").Missing(0) || base.Column("at").Missing(0) {
		t.Error("blank must make the copy's times missing and leave the source alone")
	}
	both, err := synth.Inject(base, 1, synth.Scale("x", 10), synth.Scale("x", 10))
	if err != nil {
		t.Fatal(err)
	}
	if got := both.Column("x").Floats[1]; got != 300 {
		t.Errorf("two faults in a row give %v, expected 300", got)
	}
	if base.Column("x").Floats[1] != 3 {
		t.Error("inject changed its argument")
	}
}

func TestInjectRefuses(t *testing.T) {
	base, _ := synth.Sales(1, synth.Options{Days: 1})
	for name, c := range map[string]struct {
		from  int
		fault synth.Fault
	}{
		"an unknown column":      {0, synth.Blank("colour")},
		"a row before the first": {-1, synth.Blank("price")},
		"a row past the end":     {21, synth.Blank("price")},
		"numbers from levels":    {0, synth.Scale("region", 2)},
		"levels from numbers":    {0, synth.Rename("price", "a", "b")},
		"five levels to swap":    {0, synth.Flip("category")},
		"times to mirror":        {0, synth.Flip("date")},
	} {
		if _, err := synth.Inject(base, c.from, c.fault); err == nil {
			t.Errorf("%s: expected an error", name)
		}
	}
}
