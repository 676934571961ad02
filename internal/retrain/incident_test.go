package retrain_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

// incident has a value in every field.
func incident(id string) *retrain.Incident {
	at := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	match := func(rows int, gain float64) heal.Match {
		return heal.Match{Rows: rows, Champion: 10, Loss: 10 - gain, Gain: score.Interval{Mean: gain, Lo: gain - 1, Hi: gain + 1}}
	}
	return &retrain.Incident{
		Format: 1, ID: id, At: at, Champion: "v0001-0badcafe", Learned: at.AddDate(0, -1, 0), Reasons: []string{"price drifted"}, Rows: 5000, Labels: 900,
		Excluded: []retrain.Exclusion{{From: at.AddDate(0, 0, -9), To: at.AddDate(0, 0, -8), Column: "price", Why: "values are 100 times what they were", Rows: 41}},
		Metric:   "mae", Action: heal.Retrain, Cure: "newest 1/2", Promoted: true, Version: "v0002-0badcafe", Reason: "it is better",
		Trials: []retrain.Trial{
			{Trial: heal.Trial{Cure: "all labelled rows", All: match(900, -0.5), Newest: match(300, 0.25)}, Folds: 2, From: at.AddDate(0, 0, -7), To: at, Seconds: 1.5},
			{Trial: heal.Trial{Cure: "newest 1/2", All: match(900, 2), Newest: match(300, 3)}, Window: 2500, Folds: 2, From: at.AddDate(0, 0, -7), To: at},
		},
		Policy: heal.Policy{Cooldown: time.Hour, MinLabels: 200, MaxAge: 720 * time.Hour, NewLabels: 0.25, Margin: 0.005, Confidence: 0.9},
	}
}

const someID = "i20240601t120000z-0badcafe"

func TestIncidentFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "incidents")
	in := incident(someID)
	must(t, in.Write(dir))
	got, err := retrain.Read(dir, someID)
	must(t, err)
	if !reflect.DeepEqual(got, in) {
		t.Errorf("read\n%+v\nwrote\n%+v", got, in)
	}
	story, err := os.ReadFile(filepath.Join(dir, someID, "incident.md"))
	must(t, err)
	for _, want := range []string{"Healed: v0002-0badcafe", "price drifted", `41 rows`, `column "price"`, "| newest 1/2 | 8 | +20.0 %", "| 7 | +30.0 %", "models rollback", "900 of them unknown"} {
		if !strings.Contains(string(story), want) {
			t.Errorf("the story lacks %q:\n%s", want, story)
		}
	}
	trials, err := table.Read(filepath.Join(dir, someID, "trials.parquet"), table.ReadOptions{})
	must(t, err)
	if trials.NumRows() != 2 || trials.Column("cure").Text(1) != "newest 1/2" || !slices.Equal(trials.Column("newest_gain_lo").Floats, []float64{-0.75, 2}) || !slices.Equal(trials.Column("window").Floats, []float64{0, 2500}) {
		t.Errorf("trials %v with %d rows", trials.Names(), trials.NumRows())
	}
	// What is there stays as it is.
	in.Reason = "another"
	must(t, in.Write(dir))
	if got, err = retrain.Read(dir, someID); err != nil || got.Reason != "it is better" {
		t.Errorf("an incident was written over: %q, %v", got.Reason, err)
	}
	// What people leave in the folder is no incident.
	must(t, os.Mkdir(filepath.Join(dir, "notes"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "i20240601t120000z-00000001"), nil, 0o644))
	earlier := incident("i20240531t235959z-ffffffff")
	earlier.Trials = nil
	must(t, earlier.Write(dir))
	if ids, err := retrain.List(dir); err != nil || !slices.Equal(ids, []string{earlier.ID, someID}) {
		t.Errorf("incidents %q, %v, expected the oldest first", ids, err)
	}
	if ids, err := retrain.List(filepath.Join(dir, "none")); err != nil || len(ids) != 0 {
		t.Errorf("no folder: %q, %v", ids, err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "incident.json"), []byte(`{"format":1}`), 0o644))
	for _, id := range []string{"", ".", "..", someID, someID + "/..", "../" + filepath.Base(dir), someID + "\n", strings.ToUpper(someID)} {
		if _, err := retrain.Read(dir, id); !errors.Is(err, retrain.ErrNoIncident) {
			t.Errorf("%q: %v, expected ErrNoIncident", id, err)
		}
	}
	must(t, os.Mkdir(filepath.Join(dir, someID), 0o755))
	for content, want := range map[string]string{"": "JSON", "{": "JSON", "[]": "incident", `{"format":2}`: "format 2", `{"format":0}`: "format 0", `{"at":1}`: "incident"} {
		must(t, os.WriteFile(filepath.Join(dir, someID, "incident.json"), []byte(content), 0o644))
		if _, err := retrain.Read(dir, someID); err == nil || errors.Is(err, retrain.ErrNoIncident) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), someID) {
			t.Errorf("%q: error %v should name the file and say %q", content, err, want)
		}
	}
}

// TestHeadlines: each outcome is told apart in the first line.
func TestHeadlines(t *testing.T) {
	for want, change := range map[string]func(*retrain.Incident){
		"# Healed: v0002-0badcafe took over from v0001-0badcafe": func(*retrain.Incident) {},
		"# Kept: v0001-0badcafe stays":                           func(in *retrain.Incident) { in.Promoted, in.Action = false, heal.Keep },
		"# Nothing was done: v0001-0badcafe stays":               func(in *retrain.Incident) { in.Promoted, in.Action = false, heal.None },
		"# Would retrain v0001-0badcafe":                         func(in *retrain.Incident) { in.Promoted = false },
	} {
		in := incident(someID)
		change(in)
		if got, _, _ := strings.Cut(in.Story(), "\n"); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
