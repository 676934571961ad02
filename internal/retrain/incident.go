package retrain

import (
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
	Basis                     // what the decision can be computed again from

	left   *table.Table // rows left out for ever; nil: none
	losses *table.Table // of the trials' rows; nil when none was tried or it was read from its file
}

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
// words, and trials.parquet. An incident that exists already is left alone.
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

// Story tells the incident in plain words (Markdown).
func (in *Incident) Story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", in.headline(), in.Reason)
	fmt.Fprintf(&b, "- When: %s\n- Champion: %s", in.At.UTC().Format("2006-01-02 15:04:05 UTC"), in.Champion)
	if !in.Learned.IsZero() {
		fmt.Fprintf(&b, ", which learnt from rows up to %s", in.Learned.UTC().Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(&b, "\n\n## What was seen\n\n")
	if len(in.Reasons) == 0 {
		fmt.Fprintf(&b, "Nothing that asks for a cure.\n")
	}
	for _, r := range in.Reasons {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	for _, e := range in.Excluded {
		fmt.Fprintf(&b, "- %d rows %s are not learnt from: %s in column %q\n", e.Rows, e.when(), e.told(), e.Column)
	}
	for _, e := range in.Repaired {
		fmt.Fprintf(&b, "- %d rows %s are learnt from as if a fault were undone: %s\n", e.Rows, e.when(), e.Why)
	}
	if in.Bake != nil {
		in.Bake.tell(&b)
	} else {
		fmt.Fprintf(&b, "\n%d labelled rows, %d of them unknown to the champion.\n", in.Rows, in.Labels)
	}
	in.tellCauses(&b)
	in.tellTrials(&b)
	fmt.Fprintf(&b, "\n## What was decided\n\n%s\n", in.decision())
	return b.String()
}

func (e *Exclusion) when() string {
	if e.From.IsZero() {
		return "without a time"
	}
	return fmt.Sprintf("from %s to %s", e.From.Format("2006-01-02 15:04"), e.To.Format("2006-01-02 15:04"))
}

func (in *Incident) headline() string {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		return fmt.Sprintf("Taken back: %s serves again in place of %s", in.Version, in.Champion)
	case in.Promoted:
		return fmt.Sprintf("Healed: %s took over from %s", in.Version, in.Champion)
	case in.Action == heal.Keep:
		return fmt.Sprintf("Kept: %s stays", in.Champion)
	case in.Action == heal.None:
		return fmt.Sprintf("Nothing was done: %s stays", in.Champion)
	case in.Action == heal.Quarantine:
		return fmt.Sprintf("Quarantine: %d rows are not to be learnt from any more; %s stays", in.LeftOut, in.Champion)
	default:
		return fmt.Sprintf("Would %s %s", in.Action, in.Champion)
	}
}

func (in *Incident) tellTrials(b *strings.Builder) {
	if len(in.Trials) == 0 {
		return
	}
	if x := in.Break; x != nil {
		fmt.Fprintf(b, "\n## A break\n\nThe champion has %.5g on the newest rows, where %.5g was expected of it: something changed there. So they are cut in two, that cures can learn from the first and be judged on the second.\n", x.Loss, x.Expected)
	}
	in.tellRecord(b)
	first := in.Trials[0]
	fmt.Fprintf(b, "\n## What was tried\n\nEach cure learnt from what was known before the rows it was judged on: %d rows", first.All.Rows)
	if !first.From.IsZero() {
		fmt.Fprintf(b, " from %s to %s", first.From.Format("2006-01-02 15:04"), first.To.Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(b, ", of which the newest %d count for themselves too. Lower %s is better; the champion has %.5g on all and %.5g on the newest.\n\n", first.Newest.Rows, in.Metric, first.All.Champion, first.Newest.Champion)
	fmt.Fprintf(b, "| cure | all | gain | interval | newest | gain | interval |\n|---|---|---|---|---|---|---|\n")
	for _, t := range in.Trials {
		fmt.Fprintf(b, "| %s ", t.Cure)
		for _, m := range []heal.Match{t.All, t.Newest} {
			fmt.Fprintf(b, "| %.5g | %+.1f %% | %.3g to %.3g ", m.Loss, 100*m.Relative(), m.Gain.Lo, m.Gain.Hi)
		}
		fmt.Fprintln(b, "|")
	}
	fmt.Fprintln(b)
	for _, t := range in.Trials {
		for _, v := range t.Vetoes {
			fmt.Fprintf(b, "- %s is ruled out: %s\n", t.Cure, v)
		}
	}
	if len(in.Skipped) > 0 {
		fmt.Fprintf(b, "- Not tried, for want of time: %s\n", strings.Join(in.Skipped, "; "))
	}
}

// tellRecord tells how windows did before the newest block.
func (in *Incident) tellRecord(b *strings.Builder) {
	if len(in.Record) < 2 || len(in.Record[0].Losses) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## What to learn from\n\nHow much of the past each window would have learnt from, and what it would have lost on %d blocks before the newest:\n\n| window | %s | weight |\n|---|---|---|\n", len(in.Record[0].Losses), in.Metric)
	for _, r := range in.Record {
		fmt.Fprintf(b, "| %s | %.5g | %.0f %% |\n", r.Cure, r.Loss, 100*r.Weight)
	}
}

func (in *Incident) decision() string {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		return fmt.Sprintf("%s is in force again, and nothing is promoted until a human lets it: healml retrain --thaw", in.Version)
	case in.Promoted:
		return fmt.Sprintf("%s was fitted with the winning cure on everything known and is in force. To take it back: healml models rollback", in.Version)
	case in.Action == heal.Keep:
		return "No cure is proven better than leaving the champion alone, so it stays."
	case in.Action == heal.None:
		return "The champion stays."
	case in.Action == heal.Quarantine:
		return fmt.Sprintf("The champion stays, and %d rows are left out for ever. If they were right after all: heal.readmit: [%s]", in.LeftOut, in.ID)
	default:
		return fmt.Sprintf("The cure would be promoted (%s); this was a rehearsal.", in.Reason)
	}
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
