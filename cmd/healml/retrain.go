package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

type retrainOptions struct {
	force, dryRun, explain, thaw bool

	budget time.Duration // below 0: as configured
}

func newRetrainCommand(a *app) *cobra.Command {
	var o retrainOptions
	cmd := &cobra.Command{
		Use:   "retrain",
		Short: "Heal the model: act only with a reason, prove the gain, promote or leave alone",
		Long: `Looks for a reason in the drift reports, the age of the champion and the labels
that are new to it, gathers all labelled rows, lets cures compete with the champion on rows that none of them
has learnt from, and promotes the winner only if its gain is proven. What was
seen, tried and decided is kept in data/incidents/. Exits with 11 when cures
were tried and none was proven better.

With heal.shadow the winner first shows on the rows to come, for so long, that it
is better than the champion, which answers meanwhile.

What was promoted is then compared with its predecessor on the actuals that
arrive, for as long as heal.bake. When it is proven worse it is taken back, and
nothing is promoted any more until somebody runs healml retrain --thaw.`,
		Example: "  healml retrain\n  healml retrain --dry-run\n  healml retrain --explain",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.explain && o.thaw:
				return usageError{errors.New("--explain and --thaw do not go together")}
			case o.explain:
				return runExplain(cmd.Context(), a, o)
			case o.thaw:
				return a.job("retrain", func() error { return a.guarded(guardPatience, func() error { return runThaw(a) }) })
			}
			return a.job("retrain", func() error {
				return a.guarded(guardPatience, func() error { return runRetrain(cmd.Context(), a, o) })
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.force, "force", false, "act without a reason and within the cooldown; the gate holds all the same")
	f.BoolVar(&o.dryRun, "dry-run", false, "decide and tell, change nothing")
	f.BoolVar(&o.explain, "explain", false, "say what keeps it from promoting anything, and what would let it; change nothing")
	f.BoolVar(&o.thaw, "thaw", false, "let healing act again after it froze; nothing is tried in this run")
	f.DurationVar(&o.budget, "budget", -1, "try no further cure after so long, 0: try all (default retrain.budget)")
	return cmd
}

func runRetrain(ctx context.Context, a *app, o retrainOptions) error {
	if !o.dryRun {
		a.settleKeyed()
	}
	in, err := a.heal(ctx, o)
	if in == nil {
		a.gauges = nil // what the last good run found stays
	}
	if in != nil && !o.dryRun { // also when it could not be written down
		a.tellHealing(in)
	}
	if err != nil {
		return err
	}
	if err := a.print(in, func(w io.Writer) error {
		_, err := io.WriteString(w, in.Story())
		return err
	}); err != nil {
		return err
	}
	if in.Action == heal.Keep {
		return outcome(exitRejected)
	}
	return nil
}

// heal makes one round of healing and keeps its incident, unless there was no
// reason to act.
func (a *app) heal(ctx context.Context, o retrainOptions) (*retrain.Incident, error) {
	g, state, err := a.openGuard(o.dryRun)
	if err != nil {
		return nil, err
	}
	a.gauges = nil
	if in, err := a.watch(g, state); in != nil || err != nil {
		a.gauges = append(a.gauges, guardGauges(g.State(), a.now())...)
		return in, err
	}
	if g != nil {
		state = g.State() // a bake may have ended
	}
	if in, err := a.watchShadow(g, state); in != nil || err != nil {
		if err == nil {
			a.gauges = append(a.gauges, guardGauges(g.State(), a.now())...)
		}
		return in, err
	}
	reg := a.registry()
	pointer, err := reg.Pointer()
	if err != nil {
		return nil, err
	}
	champion, err := a.load("")
	if err != nil {
		return nil, err
	}
	promoted, err := promotedAt(reg, champion)
	if err != nil {
		return nil, err
	}
	reasons, report, err := a.reasons(champion.Manifest.Version, promoted)
	if err != nil {
		return nil, err
	}
	reports := a.reportSources(report)
	c := a.conf.Retrain
	if o.budget >= 0 {
		c.Budget = o.budget
	}
	ro := retrain.Options{
		Policy:  heal.Policy{Cooldown: c.Cooldown, MinLabels: c.MinLabels, MaxAge: c.MaxAge, NewLabels: c.NewLabels, Margin: c.Margin, Confidence: c.Confidence, SliceLimit: c.SliceLimit},
		Reasons: reasons, Report: report, Reports: reports, Force: o.force, DryRun: o.dryRun, MaxRows: c.MaxRows, Budget: c.Budget,
		Hide: a.conf.Train.Hide, Seed: a.conf.Seed, Threads: a.conf.Train.Threads,
		Now: a.now(), Clock: a.clock, Program: version, Guard: g,
	}
	var in *retrain.Incident
	if b := a.barred(o, state); b != nil && !o.explain {
		e := heal.Evidence{Now: a.now(), Forced: o.force, Promoted: promoted, Reasons: reasons, Learnt: champion.Manifest.Lineage.Rows}
		in = retrain.Barred(champion.Manifest.Version, champion.Manifest.Lineage.To, ro.Policy, e, *b, reports)
	} else if in, err = a.tryCures(ctx, champion, pointer, promoted, ro); err != nil {
		return nil, err
	}
	if g != nil {
		state = g.State()
	}
	a.gauges = append(a.gauges, guardGauges(state, a.now())...)
	if len(in.Reasons) > 0 && !o.dryRun {
		return in, in.Write(a.incidents())
	}
	return in, nil
}

// openGuard opens the guard; none for a rehearsal, and none while its state
// cannot be read, which freezes healing.
func (a *app) openGuard(rehearsal bool) (*retrain.Guard, heal.State, error) {
	var s heal.State
	var g *retrain.Guard
	var err error
	if rehearsal {
		s, err = retrain.ReadGuard(a.guardOptions())
	} else if g, err = retrain.OpenGuard(a.guardOptions(), a.now()); err == nil {
		s = g.State()
	}
	if errors.Is(err, retrain.ErrJournal) {
		return nil, unreadable(err, a.now()), nil
	}
	return g, s, err
}

// tryCures makes one round of healing.
func (a *app) tryCures(ctx context.Context, champion *registry.Loaded, from registry.Pointer, promoted time.Time, o retrain.Options) (*retrain.Incident, error) {
	reference, err := champion.Reference()
	if err != nil {
		return nil, err
	}
	data, err := a.trainingData(champion)
	if err != nil {
		return nil, err
	}
	left, err := retrain.ReadLeft(a.incidents(), a.conf.Heal.Readmit)
	if err != nil {
		return nil, err
	}
	o.Sources = retrain.Sources{Predictions: a.predictions(), Actuals: a.actuals(), Data: data, Reference: reference, Repair: a.allowedRepairs(), Left: left}
	o.Labels = retrain.Labels{SourceCap: a.conf.Heal.SourceCap, Rate: a.conf.Heal.LabelRate}
	if o.Labels.Golden, err = a.golden(champion.Model.Template); err != nil {
		return nil, err
	}
	bar := a.progress()
	defer bar.done()
	o.Progress = bar.step
	return retrain.Run(ctx, a.registry(), champion, from, promoted, o)
}

// promotedAt is when the champion took over.
func promotedAt(reg *registry.Registry, champion *registry.Loaded) (time.Time, error) {
	changes, err := reg.History()
	if err != nil {
		return time.Time{}, err
	}
	at := champion.Manifest.Created
	for _, c := range changes {
		if c.To == champion.Manifest.Version {
			at = c.At
		}
	}
	return at, nil
}

// reasons is what the drift reports on a version say that were made since it
// was promoted: the newest, which is returned, too, and how many agree.
func (a *app) reasons(version string, promoted time.Time) ([]string, *monitor.Report, error) {
	ids, err := monitor.ListReports(a.reports())
	if err != nil {
		return nil, nil, err
	}
	var drifted *monitor.Report
	count := 0
	for _, id := range ids {
		r, err := monitor.ReadReport(a.reports(), id)
		if err != nil {
			a.warn("%v", err)
			continue
		}
		at, err := time.Parse(time.RFC3339, r.Created)
		if err == nil && r.ModelVersion == version && r.Drift && !at.Before(promoted.Truncate(time.Second)) {
			drifted = r
			count++
		}
	}
	if drifted == nil {
		return nil, nil, nil
	}
	reasons := []string{fmt.Sprintf("report %s: %s", drifted.ReportID, drifted.Verdict)}
	if count > 1 {
		reasons[0] += fmt.Sprintf(" (%d reports say so since the champion took over)", count)
	}
	return reasons, drifted, nil
}

// readAs reads labelled rows in the types of a template.
func (a *app) readAs(path string, tmpl *schema.Template) (*table.Table, error) {
	o := dataOptions{target: tmpl.Target, time: tmpl.Time, task: string(tmpl.Task)}
	read := types(o.infer(a.conf, nil), a.conf)
	for name, typ := range feature.NewEncoder(tmpl).Types() {
		read[name] = typ
	}
	return a.readTable(path, table.ReadOptions{Types: read})
}

// golden are the rows of heal.golden; nil when there is no such file configured.
func (a *app) golden(tmpl *schema.Template) (*retrain.Golden, error) {
	name := a.conf.Heal.Golden
	if name == "" {
		return nil, nil
	}
	path := name
	if !filepath.IsAbs(path) {
		path = a.path(name)
	}
	rows, err := a.readAs(path, tmpl)
	if err != nil {
		return nil, fmt.Errorf("golden rows: %w", err)
	}
	g := &retrain.Golden{File: name, Rows: rows}
	if g.SHA256, err = dataDigest(path); err != nil {
		return nil, err
	}
	_, err = g.Labels(tmpl)
	return g, err
}

// trainingData are the rows that the first model was trained on, nil when the
// file is gone.
func (a *app) trainingData(champion *registry.Loaded) (*table.Table, error) {
	path, err := a.dataPath(nil)
	if err != nil {
		path = champion.Manifest.Lineage.DataFile
	}
	if path == "" {
		return nil, nil
	}
	tmpl := champion.Model.Template
	t, err := a.readAs(path, tmpl)
	if errors.Is(err, fs.ErrNotExist) {
		a.warn("%s is gone: learning from the %d rows kept with %s instead", path, champion.Manifest.Lineage.Rows, champion.Manifest.Version)
		return nil, nil
	}
	if err == nil && t.Column(tmpl.Target) == nil {
		return nil, &table.Error{File: path, Want: fmt.Sprintf("the column %q, which %s predicts", tmpl.Target, champion.Manifest.Version)}
	}
	return t, err
}
