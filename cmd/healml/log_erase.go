package main

import (
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/predlog"
)

type eraseOptions struct {
	where       string
	dryRun      bool
	quarantined bool
}

func newLogEraseCommand(a *app) *cobra.Command {
	var o eraseOptions
	cmd := &cobra.Command{
		Use: "erase --where COLUMN=VALUE", Short: "Remove rows from the logs for good, and prove it",
		Long: `Removes every prediction whose logged column has a value, and the actuals of
these predictions: each Parquet file that holds one is replaced by one without,
and then all files are read again. The command succeeds only when nothing is
left. Rows in the segment that a running server has open are counted and stay
(exit code 75): run it again when the segment was closed, within log.segment_age or by a reload
(SIGHUP) of the server.
Files in wal/quarantine may hold such rows, too (exit code 65): --quarantined
removes them.

Reports, incidents, training data, exports and backups are not searched, and
what the disk keeps of removed files is up to the file system.`,
		Example: "  healml log erase --where client_id=c1042 --dry-run",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runLogErase(a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.where, "where", "", "`COLUMN=VALUE` of the rows to remove; any logged column")
	f.BoolVar(&o.dryRun, "dry-run", false, "only count them")
	f.BoolVar(&o.quarantined, "quarantined", false, "also remove all files in wal/quarantine")
	return cmd
}

// erasure is what erase prints.
type erasure struct {
	Where       string             `json:"where"`
	Matched     int                `json:"matched"` // ids of predictions
	Proven      bool               `json:"proven"`  // nothing is left of them
	Predictions predlog.EraseStats `json:"predictions"`
	Actuals     predlog.EraseStats `json:"actuals"`
}

func runLogErase(a *app, o eraseOptions) error {
	if o.where == "" {
		return usageError{errors.New("--where is missing: say which rows, such as --where client_id=c1042")}
	}
	m, err := predlog.MatchText(o.where)
	if err != nil {
		return usageError{fmt.Errorf("--where: %w", err)}
	}
	// A private column holds the value's hash.
	extras, err := a.extras()
	if err != nil {
		return err
	}
	for _, x := range extras {
		if x.Name == m.Column && x.Key != nil {
			for v := range maps.Clone(m.Values) {
				m.Values[predlog.Hide(x.Key, x.Name, v)] = true
			}
		}
	}
	ids, known, findings, err := predlog.Find(a.predictions(), m)
	if err != nil {
		return err
	}
	if !known {
		return usageError{fmt.Errorf("--where names the column %q, which no logged prediction has", m.Column)}
	}
	for _, f := range findings {
		a.warn("%v", f)
	}
	e := erasure{Where: o.where, Matched: len(ids)}
	if o.dryRun {
		return a.print(e, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d predictions have %s; nothing was removed\n", e.Matched, e.Where)
			return err
		})
	}
	opts := predlog.EraseOptions{Quarantined: o.quarantined}
	// Actuals first: once the predictions are gone nothing says which they were.
	if m.Column == predlog.ColumnID {
		ids = m.Values // their actuals may have come without them
	}
	if e.Actuals, err = predlog.Erase(a.actuals(), predlog.Match{Column: predlog.ColumnID, Values: ids}, opts); err != nil {
		return err
	}
	// While actuals are left the predictions must still name them.
	if e.Actuals.Proven() {
		if e.Predictions, err = predlog.Erase(a.predictions(), m, opts); err != nil {
			return err
		}
	}
	e.Proven = e.Actuals.Proven() && e.Predictions.Proven()
	if err := a.print(e, e.text); err != nil {
		return err
	}
	return e.outcome()
}

func (e *erasure) text(w io.Writer) error {
	for _, l := range []struct {
		name string
		s    predlog.EraseStats
	}{{"predictions", e.Predictions}, {"actuals", e.Actuals}} {
		fmt.Fprintf(w, "%s: %d rows removed, %d files rewritten, %d removed; %d rows read back\n", l.name, l.s.Rows, l.s.Rewritten, l.s.Removed, l.s.Kept)
		for _, f := range l.s.Findings {
			fmt.Fprintf(w, "  not searched: %v\n", f)
		}
	}
	if !e.Proven {
		return nil
	}
	_, err := fmt.Fprintf(w, "proven: no row with %s is left in the logs\n", e.Where)
	return err
}

// outcome is why the erasure is not proven, nil when it is.
func (e *erasure) outcome() error {
	open := e.Predictions.Open + e.Actuals.Open
	aside := e.Predictions.Quarantined + e.Actuals.Quarantined
	switch {
	case e.Proven:
		return nil
	case len(e.Predictions.Findings)+len(e.Actuals.Findings) > 0:
		return fmt.Errorf("%w: not proven: files could not be searched; healml log repair puts them aside, then run this again", errBadData)
	case aside > 0:
		return fmt.Errorf("%w: not proven: %d files in wal/quarantine may hold such rows; --quarantined removes them", errBadData, aside)
	default:
		return fmt.Errorf("not proven: %d rows stand in a segment that the server has open; let it reload (SIGHUP), which closes the segment, and run this again: %w", open, durable.ErrLocked)
	}
}
