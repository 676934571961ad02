package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

func newLogCommand(a *app) *cobra.Command {
	log := group(&cobra.Command{Use: "log", Short: "Look after the prediction log and the actuals", Example: "  healml log stat"})
	var out string
	export := &cobra.Command{
		Use: "export --out FILE", Short: "Write all predictions, with what really happened, to one file",
		Long: `Writes every prediction, with the actual that came in last beside it, to one
CSV, Parquet or Arrow file. CSV and Parquet are written file by file of the log,
so that memory does not grow with it: by day and, of one day, as logged.`,
		Args: noArgs, Example: "  healml log export --out log.parquet",
		RunE: func(*cobra.Command, []string) error { return runLogExport(a, out) },
	}
	export.Flags().StringVar(&out, "out", "", "file to write (.csv, .parquet or .arrow)")
	log.AddCommand(
		newLogStatCommand(a),
		&cobra.Command{Use: "verify", Short: "Read every byte and report damage", Args: noArgs, Example: "  healml log verify", RunE: func(*cobra.Command, []string) error { return runLogVerify(a) }},
		&cobra.Command{Use: "repair", Short: "Save what is good of damaged files and put them aside", Args: noArgs, Example: "  healml log repair", RunE: func(*cobra.Command, []string) error { return runLogRepair(a) }},
		&cobra.Command{Use: "compact", Short: "Seal closed segments into Parquet, merge small files, remove what is too old", Args: noArgs, Example: "  healml log compact", RunE: func(*cobra.Command, []string) error {
			return a.job("compact", func() error { return runLogCompact(a) })
		}},
		export,
		newLogEraseCommand(a),
	)
	return log
}

// logs are the two logs by name.
func (a *app) logs() []struct{ name, dir string } {
	logs := []struct{ name, dir string }{{"predictions", a.predictions()}, {"actuals", a.actuals()}}
	for _, l := range []struct{ name, dir string }{{"shadow", a.shadowLog()}, {"keyed", a.keyedLog()}} {
		if _, err := os.Stat(l.dir); err == nil {
			logs = append(logs, l)
		}
	}
	return logs
}

func newLogStatCommand(a *app) *cobra.Command {
	var count bool
	cmd := &cobra.Command{Use: "stat", Short: "What the logs hold", Args: noArgs, Example: "  healml log stat --coverage",
		RunE: func(*cobra.Command, []string) error { return runLogStat(a, count) }}
	cmd.Flags().BoolVar(&count, "coverage", false, "also count how many predictions of the last 30 days have their actual, and how late these came")
	return cmd
}

func runLogStat(a *app, count bool) error {
	if count {
		c, err := a.countCoverage()
		if err != nil {
			return err
		}
		if c == nil {
			return usageError{registry.ErrNoCurrent}
		}
		return a.print(c, func(w io.Writer) error { c.text(w); return nil })
	}
	stats := map[string]predlog.DirStats{}
	for _, l := range a.logs() {
		s, err := predlog.Stat(l.dir)
		if err != nil {
			return err
		}
		stats[l.name] = s
	}
	return a.print(stats, func(w io.Writer) error {
		t := newTable(w, "log", "days", "from", "to", "files", "size", "segments", "open", "quarantined")
		for _, l := range a.logs() {
			s := stats[l.name]
			t.AppendRow(row(l.name, s.Days, orDash(s.FirstDay), orDash(s.LastDay), s.Files, bytesText(s.FileBytes+s.SegmentBytes), s.Segments, s.Open, s.Quarantined))
		}
		t.Render()
		return nil
	})
}

// bytesText is a size for people.
func bytesText(n int64) string {
	f := float64(n)
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if f < 1000 {
			return fmt.Sprintf("%.3g %s", f, unit)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.3g TB", f)
}

func runLogVerify(a *app) error {
	stats := map[string]predlog.VerifyStats{}
	findings := 0
	for _, l := range a.logs() {
		s, err := predlog.Verify(l.dir)
		if err != nil {
			return err
		}
		stats[l.name] = s
		findings += len(s.Findings)
	}
	err := a.print(stats, func(w io.Writer) error {
		for _, l := range a.logs() {
			s := stats[l.name]
			fmt.Fprintf(w, "%s: %d rows in %d files and %d segments\n", l.name, s.Rows, s.Files, s.Segments)
			for _, f := range s.Findings {
				fmt.Fprintf(w, "  %v\n", f)
			}
		}
		return nil
	})
	if err == nil && findings > 0 {
		return fmt.Errorf("%w: %d findings; healml log repair saves what is good", errBadData, findings)
	}
	return err
}

func runLogRepair(a *app) error {
	stats := map[string]predlog.SealStats{}
	var errs error
	for _, l := range a.logs() {
		s, err := predlog.Repair(l.dir, predlog.SealOptions{Leftovers: true})
		stats[l.name] = s
		errs = errors.Join(errs, err)
	}
	err := a.print(stats, func(w io.Writer) error {
		for _, l := range a.logs() {
			s := stats[l.name]
			fmt.Fprintf(w, "%s: %d rows saved, %d files put aside\n", l.name, s.Rows, len(s.Quarantined))
			for _, f := range s.Findings {
				fmt.Fprintf(w, "  %v\n", f)
			}
		}
		return nil
	})
	return errors.Join(errs, err)
}

// retention is what the configuration keeps.
func (a *app) retention() predlog.PruneOptions {
	l := a.conf.Log
	o := predlog.PruneOptions{MaxBytes: l.KeepBytes, KeepDays: l.KeepDays}
	if l.Keep > 0 {
		o.OlderThan = a.now().Add(-l.Keep)
	}
	if l.DiskHigh > 0 {
		o.Room = func() (bool, error) { return diskOf(a.root).Used < l.DiskHigh, nil }
	}
	return o
}

// compaction is what compact did to one log.
type compaction struct {
	Sealed  predlog.SealStats    `json:"sealed"`
	Merged  predlog.CompactStats `json:"merged"`
	Removed predlog.PruneStats   `json:"removed"`
}

// littleMemory makes a command that goes through a whole log collect garbage
// sooner: it takes a fifth longer and two thirds of the memory.
func littleMemory() { debug.SetGCPercent(50) }

func runLogCompact(a *app) error {
	littleMemory()
	stats := map[string]compaction{}
	var errs error
	a.settleKeyed()
	for _, l := range a.logs() {
		var c compaction
		var err error
		c.Removed, err = predlog.Prune(l.dir, a.retention()) // first: a full disk needs room to seal
		errs = errors.Join(errs, err)
		c.Sealed, err = predlog.Seal(l.dir, time.Time{}, predlog.SealOptions{Leftovers: true})
		errs = errors.Join(errs, err)
		c.Merged, err = predlog.Compact(l.dir, predlog.CompactOptions{})
		errs = errors.Join(errs, err)
		room, err := predlog.Prune(l.dir, a.retention()) // again: what was sealed counts now
		errs = errors.Join(errs, err)
		c.Removed.Days = append(c.Removed.Days, room.Days...)
		c.Removed.Files += room.Files
		c.Removed.Bytes += room.Bytes
		stats[l.name] = c
	}
	if _, err := a.countCoverage(); err != nil {
		errs = errors.Join(errs, fmt.Errorf("count coverage: %w", err))
	}
	err := a.print(stats, func(w io.Writer) error {
		for _, l := range a.logs() {
			c := stats[l.name]
			fmt.Fprintf(w, "%s: %d rows of %d segments sealed, %d files merged into %d, %d days removed\n",
				l.name, c.Sealed.Rows, c.Sealed.Segments, c.Merged.Merged, c.Merged.Files, len(c.Removed.Days))
			for _, f := range append(c.Sealed.Findings, c.Merged.Findings...) {
				fmt.Fprintf(w, "  %v\n", f)
			}
		}
		return nil
	})
	return errors.Join(errs, err)
}

func runLogExport(a *app, out string) error {
	if out == "" {
		return usageError{errors.New("--out is missing: name the file to write")}
	}
	littleMemory()
	loaded, err := a.load("")
	if err != nil {
		return err
	}
	stats, err := a.export(out, loaded.Model.Template.Task)
	if err != nil {
		return err
	}
	return a.print(stats, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s: %d predictions, %d with their actual\n", out, stats.Predictions, stats.Matched)
		return err
	})
}

// export writes both logs to out.
func (a *app) export(out string, task schema.Task) (stats predlog.JoinStats, err error) {
	end := a.now().UnixMicro() + 1
	if strings.EqualFold(filepath.Ext(out), ".arrow") { // as a whole
		joined, stats, err := a.joined(task, 0, end)
		if err != nil {
			return stats, err
		}
		return stats, table.Write(out, joined)
	}
	s, err := predlog.OpenStream(a.predictions(), a.actuals(), predlog.StreamOptions{Task: task, To: end, Now: end, Temp: filepath.Dir(out)})
	if err != nil {
		return stats, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, f := range s.Stats.Findings {
		a.warn("%v", f)
	}
	return s.Stats.JoinStats, s.Export(out)
}
