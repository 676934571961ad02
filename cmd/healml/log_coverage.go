package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
)

// coverageWindow is how far back coverage is counted.
const coverageWindow = 30 * 24 * time.Hour

// coverage says how far the actuals have come for the predictions of a time
// (data/state/coverage.json). log compact counts it: that takes a reading of
// all ids, which no status should wait for.
type coverage struct {
	Format int       `json:"format"`
	At     time.Time `json:"at"`
	From   time.Time `json:"from"` // of the predictions; they end at At
	predlog.StreamStats
}

func (a *app) coveragePath() string { return filepath.Join(a.state(), "coverage.json") }

// countCoverage counts and keeps it; nil without a model, whose task says what
// an actual may be.
func (a *app) countCoverage() (*coverage, error) {
	loaded, err := a.load("")
	if errors.Is(err, registry.ErrNoCurrent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(a.state()); err != nil {
		return nil, err
	}
	now := a.now().UTC()
	c := &coverage{Format: 1, At: now, From: now.Add(-coverageWindow)}
	s, err := predlog.OpenStream(a.predictions(), a.actuals(), predlog.StreamOptions{
		Task: loaded.Model.Template.Task, From: c.From.UnixMicro(), To: now.UnixMicro() + 1, Now: now.UnixMicro() + 1,
		Temp: a.state(),
	})
	if err != nil {
		return nil, err
	}
	c.StreamStats = s.Stats
	if err := s.Close(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	a.gauges = append(a.gauges, c.gauges()...)
	return c, durable.WriteFile(a.coveragePath(), append(b, '\n'))
}

// lastCoverage is what was counted last, nil when nothing was.
func (a *app) lastCoverage() *coverage {
	var c coverage
	b, err := os.ReadFile(a.coveragePath())
	if err != nil || json.Unmarshal(b, &c) != nil || c.At.IsZero() {
		return nil
	}
	return &c
}

func (c *coverage) text(w io.Writer) {
	fmt.Fprintf(w, "actuals   %.1f %% of %d predictions since %s have theirs (counted %s)", 100*c.Coverage, c.Predictions, c.From.Format(time.DateOnly), c.At.Format("2006-01-02 15:04"))
	if c.Matched > 0 {
		fmt.Fprintf(w, "; half within %s, 90 %% within %s", lagText(c.LagMedian), lagText(c.Lag90))
	}
	if c.Unknown+c.Conflicts+c.Invalid > 0 {
		fmt.Fprintf(w, "; %d of unknown predictions, %d contradict earlier ones, %d without a usable value", c.Unknown, c.Conflicts, c.Invalid)
	}
	fmt.Fprintln(w)
}

// lagText is a time in µs for people.
func lagText(us int64) string {
	return age(time.UnixMicro(us), time.UnixMicro(0))
}

func (c *coverage) gauges() []gauge {
	out := []gauge{
		{"healml_actuals_coverage", "Share of the predictions of the last 30 days whose actual came in.", c.Coverage, nil},
		{"healml_actuals_unknown", "Actuals of predictions that are not in the log.", float64(c.Unknown), nil},
		{"healml_actuals_conflicts", "Actuals that contradict an earlier one of their prediction.", float64(c.Conflicts), nil},
		{"healml_actuals_duplicates", "Actuals that repeat an earlier one of their prediction.", float64(c.Duplicates), nil},
	}
	if c.Matched > 0 {
		for _, q := range []struct {
			name string
			us   int64
		}{{"0.5", c.LagMedian}, {"0.9", c.Lag90}} {
			out = append(out, gauge{"healml_actuals_lag_seconds", "Time from a prediction to its actual: quantiles over those that came in.", float64(q.us) / 1e6, []string{"quantile", q.name}})
		}
	}
	return out
}
