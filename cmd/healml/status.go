package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/repair"
	"github.com/healml/healml/internal/retrain"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "One screen: what serves, the logs, the last drift and healing, the jobs, the disk", Args: noArgs, Example: "  healml status",
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(a) },
	}
}

// status is what status prints.
type status struct {
	Version  string                      `json:"version"`
	State    string                      `json:"state"` // serving, stopped, degraded, no_model, …
	Since    time.Time                   `json:"since,omitzero"`
	Learned  time.Time                   `json:"learned_until,omitzero"`
	Fault    string                      `json:"fault,omitempty"`
	Log      map[string]predlog.DirStats `json:"log"`
	Jobs     map[string]jobState         `json:"jobs"`
	Coverage *coverage                   `json:"coverage"` // of the actuals, when last counted
	Drift    *driftStatus                `json:"drift"`
	Incident *incidentStatus             `json:"incident"`
	Healing  *healingStatus              `json:"healing"`
	Feed     []repair.Step               `json:"feed"` // what is undone before rows are predicted
	MLflow   *mlflowStatus               `json:"mlflow,omitempty"`
	Disk     diskStatus                  `json:"disk"`
}

type driftStatus struct {
	ID      string `json:"report_id"`
	Created string `json:"created"`
	Drift   bool   `json:"drift"`
	Verdict string `json:"verdict"`
}

type incidentStatus struct {
	ID     string    `json:"incident_id"`
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Reason string    `json:"reason"`
}

type diskStatus struct {
	FreeBytes  uint64  `json:"free_bytes"`
	TotalBytes uint64  `json:"total_bytes"`
	Used       float64 `json:"used"` // share, 0 to 1
}

func runStatus(a *app) error {
	s := status{Log: map[string]predlog.DirStats{}, Jobs: map[string]jobState{}}
	a.modelStatus(&s)
	var err error
	for _, l := range a.logs() {
		if s.Log[l.name], err = predlog.Stat(l.dir); err != nil {
			return err
		}
	}
	for _, name := range jobNames {
		s.Jobs[name] = a.jobState(name)
	}
	if r, err := a.lastReport(); err == nil && r != nil {
		s.Drift = &driftStatus{r.ReportID, r.Created, r.Drift, r.Verdict}
	}
	if ids, err := retrain.List(a.incidents()); err == nil && len(ids) > 0 {
		if in, err := retrain.Read(a.incidents(), ids[len(ids)-1]); err == nil {
			s.Incident = &incidentStatus{in.ID, in.At, string(in.Action), in.Reason}
		}
	}
	s.Coverage = a.lastCoverage()
	s.Healing = a.healingStatus()
	if s.Feed, err = a.repairsInForce(); err != nil {
		a.warn("%v", err)
	}
	s.MLflow = a.mlflowPending()
	s.Disk = diskOf(a.root)
	return a.print(s, func(w io.Writer) error { return s.text(a, w) })
}

// modelStatus says what is in force and whether a server answers.
func (a *app) modelStatus(s *status) {
	reg := a.registry()
	current, err := reg.Current()
	if errors.Is(err, registry.ErrNoCurrent) {
		s.State = "no_model"
		return
	}
	if err != nil {
		s.State, s.Fault = "degraded", err.Error()
		return
	}
	s.Version = current
	d, err := reg.Show(current)
	if err != nil {
		s.State, s.Fault = "degraded", err.Error()
		return
	}
	s.Learned, s.Since = d.Manifest.Lineage.To, d.Manifest.Created
	for _, c := range d.Served {
		if c.To == current {
			s.Since = c.At
		}
	}
	s.State = a.serverState()
}

func diskOf(dir string) diskStatus {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil || fs.Blocks == 0 {
		return diskStatus{}
	}
	size := uint64(fs.Bsize)
	d := diskStatus{FreeBytes: fs.Bavail * size, TotalBytes: fs.Blocks * size}
	d.Used = 1 - float64(d.FreeBytes)/float64(d.TotalBytes)
	return d
}

func (s status) text(a *app, w io.Writer) error {
	fmt.Fprintf(w, "model     %s, %s", orDash(s.Version), s.State)
	if !s.Since.IsZero() {
		fmt.Fprintf(w, ", in force since %s (%s)", s.Since.UTC().Format("2006-01-02 15:04"), age(a.now(), s.Since))
	}
	fmt.Fprintln(w)
	if s.Fault != "" {
		fmt.Fprintf(w, "          %s\n", s.Fault)
	}
	for _, l := range a.logs() {
		st := s.Log[l.name]
		fmt.Fprintf(w, "log       %s: %d days %s to %s, %s, %d segments to seal", l.name, st.Days, orDash(st.FirstDay), orDash(st.LastDay), bytesText(st.FileBytes+st.SegmentBytes), st.Segments)
		if st.Quarantined > 0 {
			fmt.Fprintf(w, ", %d damaged files put aside", st.Quarantined)
		}
		fmt.Fprintln(w)
	}
	if m := s.MLflow; m != nil {
		if m.Pending == 0 {
			fmt.Fprintf(w, "mlflow    %s knows of everything\n", m.Server)
		} else {
			fmt.Fprintf(w, "mlflow    %s waits to be told of %d changes; any job tries again\n", m.Server, m.Pending)
		}
	}
	if s.Coverage != nil {
		s.Coverage.text(w)
	}
	if s.Drift != nil {
		fmt.Fprintf(w, "drift     %s: %s\n", s.Drift.Created, s.Drift.Verdict)
	} else {
		fmt.Fprintln(w, "drift     never looked at")
	}
	if s.Incident != nil {
		fmt.Fprintf(w, "healing   %s %s: %s\n", s.Incident.At.Format("2006-01-02 15:04"), s.Incident.Action, s.Incident.Reason)
	} else {
		fmt.Fprintln(w, "healing   no incident yet")
	}
	s.Healing.text(w)
	for i := range s.Feed {
		fmt.Fprintf(w, "feed      %s, because %s\n", s.Feed[i].Words(), s.Feed[i].Why)
	}
	for _, name := range jobNames {
		j := s.Jobs[name]
		when := "never ran"
		if !j.Success.IsZero() {
			when = "last success " + age(a.now(), j.Success) + " ago"
		}
		if j.Error != "" {
			when += "; the last run failed: " + j.Error
		}
		fmt.Fprintf(w, "job       %s: %s\n", name, when)
	}
	_, err := fmt.Fprintf(w, "disk      %s free of %s (%.0f %% used)\n", bytesText(int64(s.Disk.FreeBytes)), bytesText(int64(s.Disk.TotalBytes)), 100*s.Disk.Used)
	return err
}

// age is how long ago t was, for people.
func age(now, t time.Time) string {
	switch d := now.Sub(t); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", max(d.Seconds(), 0))
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}
