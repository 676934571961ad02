package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
)

func newModelsTraceCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "trace PREDICTION_ID", Short: "Walk a prediction back to the version, the healing, the report and the data that it came from", Args: oneArg("PREDICTION_ID"),
		Example: "  healml models trace 0190f2c4a1b27c3d",
		Long: `Finds a prediction in the log and says which version made it, when and why that
version was in force, which incident and report led to it, and what data it
learnt from. What is still there is checked by its digest. Exits with 65 when the log has no such prediction.`,
		RunE: func(_ *cobra.Command, args []string) error { return runTrace(a, args[0]) },
	}
}

// trace is where a prediction came from.
type trace struct {
	Prediction tracedRow         `json:"prediction"`
	Version    string            `json:"version"`
	Manifest   string            `json:"manifest_sha256,omitempty"`
	Service    *registry.Service `json:"service,omitempty"` // nil when the version was not in force then: predict --version, or a crash
	Lineage    *registry.Lineage `json:"lineage,omitempty"` // nil when the version was pruned
	Incident   *incidentStatus   `json:"incident,omitempty"`
	Reports    []tracedReport    `json:"reports,omitempty"`
	Findings   []string          `json:"findings"` // what is gone or does not fit
}

type tracedRow struct {
	ID   string    `json:"prediction_id"`
	At   time.Time `json:"at"`
	Rows int       `json:"rows"` // with that id; the newest counts
}

type tracedReport struct {
	retrain.Source
	State string `json:"state"` // same, gone or changed
}

func runTrace(a *app, id string) error {
	t := &trace{Findings: []string{}}
	if err := a.findPrediction(t, id); err != nil {
		return err
	}
	reg := a.registry()
	d, err := reg.Show(t.Version)
	if err != nil {
		t.Findings = append(t.Findings, err.Error())
	}
	if d != nil {
		t.Manifest, t.Lineage = d.Manifest.SHA256, &d.Manifest.Lineage
	}
	services, err := reg.Services(t.Version)
	if err != nil {
		t.Findings = append(t.Findings, err.Error())
	}
	for i, s := range services {
		if !s.At.After(t.Prediction.At) && (s.Until.IsZero() || t.Prediction.At.Before(s.Until)) {
			t.Service = &services[i]
		}
	}
	a.traceIncident(t, services)
	return a.print(t, func(w io.Writer) error { return t.text(w) })
}

// findPrediction looks an id up in the log.
func (a *app) findPrediction(t *trace, id string) error {
	rows, stats, err := predlog.Read(a.predictions(), 0, int64(1)<<60, predlog.ReadOptions{Columns: []string{predlog.ColumnID, predlog.ColumnVersion}})
	if err != nil {
		return err
	}
	for _, f := range stats.Findings {
		a.warn("%v", f)
	}
	ids, versions, at := rows.Column(predlog.ColumnID), rows.Column(predlog.ColumnVersion), rows.Column(predlog.ColumnTime)
	for i := range rows.NumRows() {
		if ids.Text(i) != id {
			continue
		}
		t.Prediction = tracedRow{ID: id, At: time.UnixMicro(at.Times[i]).UTC(), Rows: t.Prediction.Rows + 1}
		t.Version = versions.Text(i)
	}
	if t.Prediction.Rows == 0 {
		return fmt.Errorf("prediction %q is not in the log: %w", id, errBadData)
	}
	return nil
}

// traceIncident adds what led to the version: its healing and the reports.
func (a *app) traceIncident(t *trace, services []registry.Service) {
	id, sum := "", ""
	if t.Lineage != nil {
		id = t.Lineage.Incident
	}
	for _, s := range services {
		if s.Incident != "" && (id == "" || s.Incident == id) {
			id, sum = s.Incident, s.IncidentSHA256
		}
	}
	if id == "" {
		return
	}
	in, err := retrain.Read(a.incidents(), id)
	if err != nil {
		t.Findings = append(t.Findings, err.Error())
		return
	}
	t.Incident = &incidentStatus{in.ID, in.At, string(in.Action), in.Reason}
	if fault := a.incidentFault(id, sum); fault != "" {
		t.Findings = append(t.Findings, fault)
	}
	for _, r := range in.Reports {
		state := a.reportState(r)
		if state == "changed" {
			t.Findings = append(t.Findings, fmt.Sprintf("report %s was changed since the healing", r.ID))
		}
		t.Reports = append(t.Reports, tracedReport{r, state})
	}
}

// incidentFault says how an incident differs from the digest in the history.
func (a *app) incidentFault(id, sum string) string {
	got, err := fileDigest(filepath.Join(a.incidents(), id, "incident.json"))
	switch {
	case err != nil:
		return fmt.Sprintf("incident %s: %v", id, err)
	case sum != "" && got != sum:
		return fmt.Sprintf("incident %s has the digest %.12s, the history expects %.12s: it was changed", id, got, sum)
	}
	return ""
}

// reportState says whether a report is still as an incident saw it. Reports
// are pruned (drift.keep), so one may be gone.
func (a *app) reportState(r retrain.Source) string {
	got, err := fileDigest(filepath.Join(a.reports(), r.ID, "report.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "gone"
	case err != nil || got != r.SHA256:
		return "changed"
	}
	return "same"
}

// fileDigest is the SHA-256 of a file, hex.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (t *trace) text(w io.Writer) error {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
	fmt.Fprintf(w, "prediction  %s at %s\n", t.Prediction.ID, at(t.Prediction.At))
	fmt.Fprintf(w, "version     %s, manifest %.12s\n", t.Version, orDash(t.Manifest))
	if s := t.Service; s != nil {
		until := "now"
		if !s.Until.IsZero() {
			until = at(s.Until)
		}
		fmt.Fprintf(w, "in force    from %s to %s, change %d: %s\n", at(s.At), until, s.Seq, s.Reason)
	} else {
		fmt.Fprintln(w, "in force    not at that time, by the history")
	}
	if in := t.Incident; in != nil {
		fmt.Fprintf(w, "incident    %s, %s: %s\n", in.ID, in.Action, in.Reason)
	} else if t.Lineage != nil {
		fmt.Fprintf(w, "made by     %s: %s\n", t.Lineage.CreatedBy, orDash(t.Lineage.Reason))
	}
	for _, r := range t.Reports {
		fmt.Fprintf(w, "report      %s, %s\n", r.ID, r.State)
	}
	if l := t.Lineage; l != nil {
		fmt.Fprintf(w, "learnt from %d rows", l.Rows)
		if !l.From.IsZero() {
			fmt.Fprintf(w, " from %s to %s", at(l.From), at(l.To))
		}
		fmt.Fprintf(w, "; %s", orDash(l.DataFile))
		if l.DataSHA256 != "" {
			fmt.Fprintf(w, ", SHA-256 %.12s", l.DataSHA256)
		}
		fmt.Fprintf(w, "\nparent      %s\n", orDash(l.Parent))
	}
	for _, f := range t.Findings {
		fmt.Fprintln(w, "FINDING    ", f)
	}
	return nil
}
