package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
)

func isNoCurrent(err error) bool { return errors.Is(err, registry.ErrNoCurrent) }

func newModelsCommand(a *app) *cobra.Command {
	models := group(&cobra.Command{Use: "models", Short: "List, compare, promote, verify, carry, import and prune versions", Example: "  healml models list"})
	var reason string
	promote := &cobra.Command{
		Use: "promote VERSION", Short: "Put a version in force", Args: oneArg("VERSION"), Example: "  healml models promote v0001-5f3a9c07 --reason 'back to the tested one'",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.registry().Promote(args[0], reason, a.now()); err != nil {
				return err
			}
			a.followHand(true)
			return a.printSwitch("promoted", args[0])
		},
	}
	rollback := &cobra.Command{
		Use: "rollback", Short: "Put the version in force that served before", Args: noArgs, Example: "  healml models rollback --reason 'worse on Sundays'",
		RunE: func(*cobra.Command, []string) error {
			v, err := a.registry().Rollback(reason, a.now())
			if err != nil {
				return err
			}
			a.followHand(false)
			return a.printSwitch("rolled back to", v)
		},
	}
	for _, c := range []*cobra.Command{promote, rollback} {
		c.Flags().StringVar(&reason, "reason", "by hand", "why, for the history")
	}
	var keep int
	prune := &cobra.Command{
		Use: "prune", Short: "Remove old versions", Args: noArgs, Example: "  healml models prune --keep 10",
		Long: "Removes old versions but the newest ones, the one in force, the one before it, and those that served lately.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("keep") {
				keep = a.conf.Models.Keep
			}
			return a.job("prune", func() error { return runModelsPrune(a, keep) })
		},
	}
	prune.Flags().IntVar(&keep, "keep", 10, "versions to keep (default: models.keep of the configuration)")
	models.AddCommand(
		newModelsPushCommand(a), newModelsPullCommand(a),
		&cobra.Command{Use: "list", Short: "List versions, oldest first", Args: noArgs, Example: "  healml models list", RunE: func(*cobra.Command, []string) error { return runModelsList(a) }},
		&cobra.Command{Use: "show [VERSION]", Short: "Show a version: data, template, metrics, service", Args: atMostOneArg("VERSION"), Example: "  healml models show", RunE: func(_ *cobra.Command, args []string) error { return runModelsShow(a, args) }},
		&cobra.Command{Use: "diff A B", Short: "Show how two versions differ", Args: cobra.ExactArgs(2), Example: "  healml models diff v0001-5f3a9c07 v0002-8c1e22d4", RunE: func(_ *cobra.Command, args []string) error { return runModelsDiff(a, args[0], args[1]) }},
		&cobra.Command{Use: "verify [VERSION]", Short: "Check every byte of one or all versions, and the lineage", Args: atMostOneArg("VERSION"), Example: "  healml models verify", RunE: func(_ *cobra.Command, args []string) error { return runModelsVerify(a, args) }},
		promote, rollback, prune, newModelsImportCommand(a), newModelsTraceCommand(a),
	)
	return models
}

func (a *app) printSwitch(what, version string) error {
	result := struct {
		Version string `json:"version"`
	}{version}
	return a.print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s; a running server takes it over by itself\n", what, version)
		return err
	})
}

func runModelsList(a *app) error {
	entries, err := a.registry().List()
	if err != nil {
		return err
	}
	return a.print(append([]registry.Entry{}, entries...), func(w io.Writer) error {
		if len(entries) == 0 {
			_, err := fmt.Fprintln(w, "no version yet; healml train makes one")
			return err
		}
		t := newTable(w, "version", "state", "created", "rows", "metric", "holdout", "reason")
		for _, e := range entries {
			if e.Fault != "" {
				t.AppendRow(row(e.Version, e.State, "", "", "", "", "DAMAGED: "+e.Fault))
				continue
			}
			m := e.Metrics.Metric
			t.AppendRow(row(e.Version, e.State, e.Created.UTC().Format("2006-01-02 15:04"), e.Rows, m, number(e.Metrics.Holdout, m), present.Cut(e.Reason, 60)))
		}
		t.Render()
		return nil
	})
}

func runModelsShow(a *app, args []string) error {
	name, err := a.versionArg(args)
	if err != nil {
		return err
	}
	d, err := a.registry().Show(name)
	if err != nil {
		return err
	}
	return a.print(d, func(w io.Writer) error {
		l := d.Manifest.Lineage
		fmt.Fprintf(w, "%s %s\n", d.Manifest.Version, d.State)
		fmt.Fprintf(w, "  created   %s by %s: %s\n", d.Manifest.Created.UTC().Format("2006-01-02 15:04:05"), l.CreatedBy, l.Reason)
		fmt.Fprintf(w, "  data      %s, %d rows", l.DataFile, l.Rows)
		if !l.From.IsZero() {
			fmt.Fprintf(w, " from %s to %s", l.From.Format("2006-01-02"), l.To.Format("2006-01-02"))
		}
		fmt.Fprintf(w, "\n  parent    %s\n  task      %s of %q\n  columns   ", orDash(l.Parent), d.Template.Task, d.Template.Target)
		for i, c := range d.Template.Columns {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			fmt.Fprintf(w, "%s (%s)", c.Name, c.Kind)
		}
		var features []string
		for _, f := range d.Template.Features {
			features = append(features, f.Name)
		}
		fmt.Fprintf(w, "\n  features  %s\n  rounds    %d\n", strings.Join(features, ", "), d.Metrics.Iterations)
		t := newTable(w, "  metric", "holdout", "constant", "champion then")
		for _, m := range slices.Sorted(maps.Keys(d.Metrics.Holdout)) {
			t.AppendRow(row("  "+m, number(d.Metrics.Holdout, m), number(d.Metrics.Baseline, m), number(d.Metrics.Champion, m)))
		}
		t.Render()
		showImportance(w, d.Metrics.Importance)
		for _, c := range d.Served {
			fmt.Fprintf(w, "  %s  %s %s → %s: %s\n", c.At.UTC().Format("2006-01-02 15:04"), c.Kind, orDash(c.From), c.To, c.Reason)
		}
		return nil
	})
}

// showImportance lists what the version rests on; versions of old do not say.
func showImportance(w io.Writer, m *registry.Importance) {
	if m == nil {
		return
	}
	permutation, total := "permutation", 0.0
	if m.Metric != "" {
		permutation = "permutation (" + m.Metric + ")"
	}
	for _, c := range m.Columns {
		total += c.Gain
	}
	t := newTable(w, "  column", permutation, "gain", "splits")
	for _, c := range m.Columns {
		worse, share := "-", "-"
		if c.Permutation != nil {
			worse = fmt.Sprintf("%+.4g", *c.Permutation)
		}
		if total > 0 {
			share = fmt.Sprintf("%.1f %%", 100*c.Gain/total)
		}
		t.AppendRow(row("  "+c.Column, worse, share, c.Split))
	}
	t.Render()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// versionArg is the version named, else the one in force.
func (a *app) versionArg(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	return a.registry().Current()
}

func runModelsDiff(a *app, x, y string) error {
	c, err := a.registry().Diff(x, y)
	if err != nil {
		return err
	}
	return a.print(c, func(w io.Writer) error {
		for _, d := range c.Columns {
			fmt.Fprintln(w, d)
		}
		for _, f := range c.Features {
			fmt.Fprintln(w, "feature", f)
		}
		t := newTable(w, "", x, y)
		for _, group := range []struct {
			name  string
			pairs []registry.Pair
		}{{"parameter", c.Parameters}, {"metric", c.Metrics}, {"bytes of", c.Files}} {
			for _, p := range group.pairs {
				t.AppendRow(row(group.name+" "+p.Name, orDash(p.A), orDash(p.B)))
			}
		}
		t.Render()
		return nil
	})
}

func runModelsVerify(a *app, args []string) error {
	reg := a.registry()
	names := args
	if len(args) == 0 {
		var err error
		if names, err = reg.Versions(); err != nil {
			return err
		}
	}
	type finding struct {
		Version string `json:"version"`
		OK      bool   `json:"ok"`
		Fault   string `json:"fault,omitempty"`
	}
	findings := []finding{}
	var faults error
	for _, v := range names {
		f := finding{Version: v, OK: true}
		if err := reg.Verify(v); err != nil {
			f.OK, f.Fault = false, err.Error()
			faults = errors.Join(faults, err)
		}
		findings = append(findings, f)
	}
	links := 0
	if len(args) == 0 {
		chain, n := a.chainFaults()
		links = n
		for _, fault := range chain {
			findings = append(findings, finding{Version: "history", Fault: fault})
			faults = errors.Join(faults, fmt.Errorf("lineage: %s: %w", fault, errBadData))
		}
	}
	err := a.print(findings, func(w io.Writer) error {
		for _, f := range findings {
			state := "whole"
			if !f.OK {
				state = "DAMAGED"
			}
			fmt.Fprintln(w, f.Version, state)
		}
		if len(args) == 0 && faults == nil {
			fmt.Fprintf(w, "history whole: %d changes, chained from report to service\n", links)
		}
		return nil
	})
	return errors.Join(err, faults)
}

// chainFaults checks the lineage: every change of the pointer against the one
// before it, the version that it put in force, the incident that made it, and
// the reports that the incident rests on. It returns what does not fit, and
// how many changes there are.
func (a *app) chainFaults() (faults []string, links int) {
	chain, err := a.registry().Chain()
	if err != nil {
		return []string{err.Error()}, 0
	}
	if s, err := retrain.ReadGuard(a.guardOptions()); err != nil {
		faults = append(faults, err.Error())
	} else if n := len(chain); s.Generation > n {
		faults = append(faults, fmt.Sprintf("the history ends with record %d, healing has seen %d: records are missing", n, s.Generation))
	}
	for _, l := range chain {
		if l.Fault != "" {
			faults = append(faults, l.Fault)
		}
		if l.Incident == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(a.incidents(), l.Incident)); errors.Is(err, fs.ErrNotExist) && l.Seq == chain[len(chain)-1].Seq {
			continue // a crash came before it appeared; the next healing completes it
		}
		if fault := a.incidentFault(l.Incident, l.IncidentSHA256); fault != "" {
			faults = append(faults, fault)
			continue
		}
		in, err := retrain.Read(a.incidents(), l.Incident)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		for _, r := range in.Reports {
			if a.reportState(r) == "changed" {
				faults = append(faults, fmt.Sprintf("report %s was changed since the incident %s", r.ID, in.ID))
			}
		}
	}
	return faults, len(chain)
}

func runModelsPrune(a *app, keep int) error {
	removed, err := a.registry().Prune(keep, a.watched()...)
	if err != nil {
		return err
	}
	result := struct {
		Removed []string `json:"removed"`
	}{append([]string{}, removed...)}
	return a.print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "removed %d versions %s\n", len(removed), strings.Join(removed, " "))
		return err
	})
}
