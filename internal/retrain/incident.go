package retrain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/table"
)

// incidentFormat is the version of incident.json that this build writes and
// the newest that it reads.
const incidentFormat = 1

// PageFile is the page in an incident's folder.
const PageFile = "incident.html"

// Incident is one round of healing: what was seen, tried, decided, and why.
type Incident struct {
	Format   int         `json:"format"`
	ID       string      `json:"incident_id"`
	At       time.Time   `json:"at"`
	Champion string      `json:"champion"`           // version in force at the time
	Learned  time.Time   `json:"learned,omitzero"`   // newest row it knew; zero when it has no times
	Reasons  []string    `json:"reasons"`            // to look for a cure
	Rows     int         `json:"rows"`               // labelled rows that could be learnt from
	Labels   int         `json:"labels"`             // those that the champion did not know
	Excluded []Exclusion `json:"excluded"`           // stretches left out
	LeftOut  int         `json:"left_out,omitempty"` // rows of them that are left out for ever from now on
	Repaired []Exclusion `json:"repaired,omitempty"` // stretches whose faults were undone first
	// Diagnosis is what lies behind the reasons; nil when there was none, or
	// within the cooldown.
	Diagnosis *heal.Diagnosis `json:"diagnosis,omitempty"`
	Spoilt    *heal.Spoilt    `json:"spoilt,omitempty"`  // labels that look wrong; nil: none do
	Metric    string          `json:"metric,omitempty"`  // of the losses below; lower is better
	Break     *Break          `json:"break,omitempty"`   // nil: there was none
	Record    []Recorded      `json:"record,omitempty"`  // how windows to learn from did before
	Trials    []Trial         `json:"trials"`            // every cure, on the same rows
	Skipped   []string        `json:"skipped,omitempty"` // cures that the budget left no time for
	Policy    heal.Policy     `json:"policy"`            // the bounds that held
	Action    heal.Action     `json:"action"`            // what was done
	Cure      string          `json:"cure,omitempty"`    // the trial that won
	Promoted  bool            `json:"promoted"`          // whether a new version is in force
	Version   string          `json:"version,omitempty"` // the version that was published
	Reason    string          `json:"reason"`            // why, in one sentence
	// ShadowUntil is how long the version is compared with the champion before
	// it may be promoted; nil when it is not.
	ShadowUntil *time.Time `json:"shadow_until,omitempty"`
	Basis                  // what the decision can be computed again from

	left   *table.Table // rows left out for ever; nil: none
	losses *table.Table // of the trials' rows; nil when none was tried or it was read from its file
}

// Moved reports whether another version is in force since.
func (in *Incident) Moved() bool { return in.Promoted || in.Action == heal.Rollback && in.Bake != nil }

func (in *Incident) note(a heal.Assessment) {
	in.Reasons, in.Reason = a.Reasons, a.Because
}

// identify names the incident by its time and evidence.
func (in *Incident) identify() {
	h := sha256.New()
	fmt.Fprintln(h, in.Champion, in.At, in.Rows, in.Labels, in.Reasons)
	in.ID = fmt.Sprintf("i%s-%s", strings.ToLower(in.At.UTC().Format("20060102T150405Z")), hex.EncodeToString(h.Sum(nil))[:8])
}

// Write keeps the incident in dir/<id>/: incident.json, incident.md in plain
// words, incident.html with charts, and its tables. An incident that exists already is left alone.
func (in *Incident) Write(dir string) error {
	return in.write(durable.Disk{}, dir, filepath.Join(dir, in.ID))
}

// write makes the folder dst, whole, by way of a temporary one in dir.
func (in *Incident) write(disk durable.Disk, dir, dst string) error {
	if _, err := os.Stat(dst); err == nil {
		return nil
	}
	if err := disk.MkdirAll(dir); err != nil {
		return err
	}
	tmp, err := disk.TempDir(dir)
	if err != nil {
		return err
	}
	if err := in.fill(disk, tmp); err != nil {
		return errors.Join(err, disk.RemoveAll(tmp))
	}
	return disk.PublishDir(tmp, dst)
}

// document is incident.json.
func (in *Incident) document() ([]byte, error) {
	b, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode incident: %w", err)
	}
	return append(b, '\n'), nil
}

func (in *Incident) fill(disk durable.Disk, dir string) error {
	b, err := in.document()
	if err != nil {
		return err
	}
	if err := disk.WriteFile(filepath.Join(dir, "incident.json"), b); err != nil {
		return err
	}
	if err := disk.WriteFile(filepath.Join(dir, "incident.md"), []byte(in.Story())); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := in.HTML(&page); err != nil {
		return err
	}
	if err := disk.WriteFile(filepath.Join(dir, PageFile), page.Bytes()); err != nil {
		return err
	}
	tables := map[string]*table.Table{lossesFile: in.losses, excludedFile: in.left}
	if len(in.Trials) > 0 {
		tables["trials.parquet"] = in.table()
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if tables[name] == nil {
			continue
		}
		b, err := table.EncodeParquet(tables[name])
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		if err := disk.WriteFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// table is the trials, a row each.
func (in *Incident) table() *table.Table {
	n := len(in.Trials)
	names := make([]string, n)
	values := map[string][]float64{}
	var order []string
	for i, t := range in.Trials {
		names[i] = t.Cure
		for _, v := range []struct {
			name  string
			value float64
		}{
			{"window", float64(t.Window)}, {"folds", float64(t.Folds)},
			{"rows", float64(t.All.Rows)}, {"champion_loss", t.All.Champion}, {"loss", t.All.Loss},
			{"gain", t.All.Gain.Mean}, {"gain_lo", t.All.Gain.Lo}, {"gain_hi", t.All.Gain.Hi},
			{"newest_rows", float64(t.Newest.Rows)}, {"newest_champion_loss", t.Newest.Champion}, {"newest_loss", t.Newest.Loss},
			{"newest_gain", t.Newest.Gain.Mean}, {"newest_gain_lo", t.Newest.Gain.Lo}, {"newest_gain_hi", t.Newest.Gain.Hi},
			{"seconds", t.Seconds},
		} {
			if i == 0 {
				order = append(order, v.name)
			}
			values[v.name] = append(values[v.name], v.value)
		}
	}
	out := []*table.Column{table.Strings("cure", names)}
	for _, name := range order {
		out = append(out, table.Floats(name, values[name]))
	}
	return table.Must(out...)
}

var incidentID = regexp.MustCompile(`^i[0-9]{8}t[0-9]{6}z-[0-9a-f]{8}$`)

// ErrNoIncident says that there is no incident of an id.
var ErrNoIncident = errors.New("no such incident")

// Read reads an incident. The errors are ErrNoIncident, and those of a file
// that is damaged or of a format unknown to this build.
func Read(dir, id string) (*Incident, error) {
	if !incidentID.MatchString(id) {
		return nil, fmt.Errorf("%w: %q", ErrNoIncident, id)
	}
	path := filepath.Join(dir, id, "incident.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoIncident, id)
	} else if err != nil {
		return nil, fmt.Errorf("read incident: %w", err)
	}
	var in Incident
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("read incident %s: %w", path, err)
	}
	if in.Format < 1 || in.Format > incidentFormat {
		return nil, fmt.Errorf("read incident %s: format %d is not known to this build (it reads 1 to %d)", path, in.Format, incidentFormat)
	}
	return &in, nil
}

// LoadLosses reads the losses of the rows that cures were judged on, which are
// shown from then on; an incident without them stays as it is.
func (in *Incident) LoadLosses(dir string) error {
	t, err := table.Read(filepath.Join(dir, in.ID, lossesFile), table.ReadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		in.losses = t
	}
	return err
}

// List returns the ids of all incidents, oldest first.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && incidentID.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}
