package retrain_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
)

// TestIncidentIsDiagnosed: an incident tells the cause, keeps the signs, and the
// causes follow from the signs in its file again.
func TestIncidentIsDiagnosed(t *testing.T) {
	w := newWorld(t, shifted(), 860, 0.5, synth.Scale("price", 100))
	in, err := w.heal(t, func(o *retrain.Options) {
		o.DryRun = true
		o.Report = &monitor.Report{
			Drift: true, EnoughRows: true, Rows: 100, Order: []string{}, Columns: map[string]*monitor.Column{},
			Window: monitor.Window{From: w.now.AddDate(0, 0, -60).Format("2006-01-02T15:04:05Z07:00")},
		}
	})
	must(t, err)
	if in.Diagnosis == nil {
		t.Fatal("no diagnosis")
	}
	first := in.Diagnosis.Causes[0]
	if first.Kind != heal.DataFault || first.Form != "unit" || len(first.Columns) != 1 || first.Columns[0] != "price" {
		t.Errorf("prices in cents are called %+v", first)
	}
	if s := in.Story(); !strings.Contains(s, "data fault (unit), in price") {
		t.Errorf("the story does not tell the cause:\n%s", s)
	}
	dir := t.TempDir()
	must(t, in.Write(dir))
	again, err := retrain.Read(dir, in.ID)
	must(t, err)
	if causes := heal.Diagnose(again.Diagnosis.Signs); !reflect.DeepEqual(causes, in.Diagnosis.Causes) {
		t.Errorf("from the file follows\n%+v\nexpected\n%+v", causes, in.Diagnosis.Causes)
	}
}
