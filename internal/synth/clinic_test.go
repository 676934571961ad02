package synth_test

import (
	"math"
	"testing"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// TestClinicSparesThePast: an ailment leaves the past and the calm weeks as a
// healthy case has them, but for a season, and changes the window.
func TestClinicSparesThePast(t *testing.T) {
	for _, binary := range []bool{false, true} {
		for _, a := range synth.Ailments() {
			o := synth.ClinicOptions{Ailment: a, Severity: synth.Strong, Binary: binary}
			c, err := synth.Clinic(3, o)
			if err != nil {
				t.Fatal(err)
			}
			o.Ailment = synth.Healthy
			healthy, err := synth.Clinic(3, o)
			if err != nil {
				t.Fatal(err)
			}
			from := 0
			for healthy.Served.Column("date").Times[from] < healthy.Window.UnixMicro() {
				from++
			}
			differs := c.Served.NumRows() != healthy.Served.NumRows()
			for i, col := range healthy.Served.Columns() {
				mine := c.Served.Columns()[i]
				if a != synth.OldSeason && (!same(col, mine, 0, from) || !same(healthy.Past.Columns()[i], c.Past.Columns()[i], 0, c.Past.NumRows())) {
					t.Errorf("%s, binary %v: %s differs before the window", a, binary, col.Name)
				}
				differs = differs || !same(col, mine, from, col.Len())
			}
			if differs != (a != synth.Healthy) {
				t.Errorf("%s, binary %v: the window differs from a healthy one: %v", a, binary, differs)
			}
			if len(c.Arrived) != c.Served.NumRows() {
				t.Fatalf("%s: %d arrivals of %d rows", a, len(c.Arrived), c.Served.NumRows())
			}
			for i, at := range c.Arrived {
				if y := c.Served.Column("y"); y.Missing(i) != (at == table.NoTime) || at != table.NoTime && at > c.Now.UnixMicro() {
					t.Fatalf("%s: row %d has the label %q, which came at %d", a, i, y.Format(i), at)
				}
			}
		}
	}
}

// TestClinicMovesByAsMuchAsItSays: the means in the window, and that the same
// arguments give the same case.
func TestClinicMovesByAsMuchAsItSays(t *testing.T) {
	mean := func(c *synth.Case) float64 {
		sum, n := 0.0, 0.0
		y := c.Served.Column("y")
		for i, at := range c.Served.Column("date").Times {
			if at >= c.Window.UnixMicro() && !y.Missing(i) {
				sum, n = sum+y.Floats[i], n+1
			}
		}
		return sum / n
	}
	last := 0.0
	for severity := synth.Light; severity <= synth.Strong; severity++ {
		o := synth.ClinicOptions{Ailment: synth.MovedTarget, Severity: severity}
		c, err := synth.Clinic(3, o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := synth.Clinic(3, o)
		if err != nil {
			t.Fatal(err)
		}
		if !same(c.Served.Column("y"), again.Served.Column("y"), 0, c.Served.NumRows()) {
			t.Error("one seed gives two cases")
		}
		o.Ailment = synth.Healthy
		healthy, err := synth.Clinic(3, o)
		if err != nil {
			t.Fatal(err)
		}
		moved := mean(c) - mean(healthy)
		if moved <= last || math.IsNaN(moved) {
			t.Errorf("severity %d moves the target by %.2f, the one before by %.2f", severity, moved, last)
		}
		last = moved
	}
}

func TestClinicRefuses(t *testing.T) {
	for _, o := range []synth.ClinicOptions{{Ailment: "flu"}, {Ailment: synth.Healthy, Severity: 3}, {Ailment: synth.Healthy, Severity: -1}, {Ailment: synth.Healthy, Family: 2}} {
		if _, err := synth.Clinic(1, o); err == nil {
			t.Errorf("%+v: expected an error", o)
		}
	}
}
