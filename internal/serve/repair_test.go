package serve

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/repair"
)

// TestRepairs: a row with a fault of the feed is predicted as if it were sound,
// said to be, and logged as it was sent; a row without it is left alone. New
// versions repair, too, and repairs that cannot be read leave those in force.
func TestRepairs(t *testing.T) {
	var steps []repair.Step
	var broken error
	r := newRig(t, func(o *Options) { o.Repairs = func() ([]repair.Step, error) { return steps, broken } }, numbered(t, 1), numbered(t, 2))
	r.shelf.promote("v1")
	r.Reload() //nolint:errcheck // looked at below
	look := func() {
		t.Helper()
		if err := r.holder.check(false); err != nil {
			t.Fatal(err)
		}
	}
	type answer struct {
		Value   float64  `json:"predicted_sales"`
		Version string   `json:"model_version"`
		Flags   []string `json:"flags"`
	}
	ask := func(price, category string) (a answer) {
		t.Helper()
		body := strings.NewReplacer(`1000`, price, `Electronics`, category, `"promo":1`, `"promo":0`).Replace(row)
		w := r.send("POST", "/predict", body)
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return a
	}
	expect := func(what string, a answer, value float64, version string, flags ...string) {
		t.Helper()
		if a.Value != value || a.Version != version || !slices.Equal(a.Flags, flags) {
			t.Errorf("%s: %+v, expected %v of %s with flags %q", what, a, value, version, flags)
		}
	}
	expect("no repairs", ask("40000", "Toys"), 102, "v1", "out_of_range")

	steps = []repair.Step{
		{Column: "price", Kind: repair.Scale, Factor: 100, Median: 300},
		{Column: "category", Kind: repair.Rename, Old: "Toys", New: "TOYS"},
		{Column: "promo", Kind: repair.Quarantine},
	}
	look()
	expect("cents", ask("40000", "Electronics"), 101.25, "v1", "out_of_range", "repaired")
	if logged := r.log.records(); logged[1].Values[3] != 40000 || model.Flag(logged[1].Flags)&model.Repaired == 0 {
		t.Errorf("logged %v with flags %d, expected the price as it was sent", logged[1].Values, logged[1].Flags)
	}
	expect("a name", ask("400", "TOYS"), 101.25, "v1", "unseen_category", "repaired")
	if got := r.log.records()[2]; got.Texts[1] != "TOYS" || got.Values[1] != -1 || math.IsNaN(got.Values[5]) {
		t.Errorf("logged %v %q, expected the row as it was sent", got.Values, got.Texts)
	}
	steps = steps[:2]
	look()
	expect("a sound row", ask("400", "Toys"), 101, "v1")
	body := "[" + row + "," + strings.Replace(row, "1000", "40000", 1) + "]"
	if got := r.send("POST", "/predict", body).Body.String(); strings.Count(got, `"repaired"`) != 1 {
		t.Errorf("one of two rows is repaired, and the answer is %s", got)
	}

	r.shelf.promote("v2")
	look()
	expect("another version", ask("40000", "Electronics"), 201, "v2", "out_of_range", "repaired")
	broken, steps = errors.New("half a file"), nil
	look()
	look()
	expect("unreadable repairs", ask("40000", "Electronics"), 201, "v2", "out_of_range", "repaired")
	if n := strings.Count(r.notes.String(), "half a file"); n != 1 {
		t.Errorf("the fault was told %d times, expected once", n)
	}
	metrics := r.send("GET", "/metrics", "").Body.String()
	for _, want := range []string{`healml_feed_repairs{column="price",kind="scale"} 1`, "healml_repaired_rows_total 5"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	broken = nil
	look()
	expect("sound again", ask("40000", "Electronics"), 202, "v2", "out_of_range")
}
