package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

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
	// Beside are the logs that few roots have: shadow, keyed.
	Beside map[string]predlog.EraseStats `json:"beside,omitempty"`
}

// logs are the statistics of each log by its name.
func (e *erasure) logs() map[string]predlog.EraseStats {
	all := map[string]predlog.EraseStats{"predictions": e.Predictions, "actuals": e.Actuals}
	maps.Copy(all, e.Beside)
	return all
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
	proven, err := a.eraseBeside(&e, m, ids, opts)
	if err != nil {
		return err
	}
	// While actuals are left the predictions must still name them.
	if proven = proven && e.Actuals.Proven(); proven {
		if e.Predictions, err = predlog.Erase(a.predictions(), m, opts); err != nil {
			return err
		}
	}
	e.Proven = proven && e.Predictions.Proven()
	if err := a.print(e, e.text); err != nil {
		return err
	}
	return e.outcome()
}

// eraseBeside removes what challengers said of the rows, and what came true of
// rows with the value that wait for their prediction.
func (a *app) eraseBeside(e *erasure, m predlog.Match, ids map[string]bool, o predlog.EraseOptions) (proven bool, err error) {
	proven = true
	for _, l := range a.logs() {
		match := predlog.Match{Column: predlog.ColumnID, Values: ids}
		switch l.name {
		case "shadow":
		case "keyed":
			match = m
		default:
			continue
		}
		s, err := predlog.Erase(l.dir, match, o)
		if err != nil {
			return false, err
		}
		if e.Beside == nil {
			e.Beside = map[string]predlog.EraseStats{}
		}
		e.Beside[l.name] = s
		proven = proven && s.Proven()
	}
	return proven, nil
}

func (e *erasure) text(w io.Writer) error {
	logs := e.logs()
	for _, name := range slices.SortedFunc(maps.Keys(logs), func(x, y string) int { return cmp.Compare(y, x) }) {
		l := logs[name]
		fmt.Fprintf(w, "%s: %d rows removed, %d files rewritten, %d removed; %d rows read back\n", name, l.Rows, l.Rewritten, l.Removed, l.Kept)
		for _, f := range l.Findings {
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
	open, aside, findings := int64(0), 0, 0
	for _, l := range e.logs() {
		open, aside, findings = open+l.Open, aside+l.Quarantined, findings+len(l.Findings)
	}
	switch {
	case e.Proven:
		return nil
	case findings > 0:
		return fmt.Errorf("%w: not proven: files could not be searched; healml log repair puts them aside, then run this again", errBadData)
	case aside > 0:
		return fmt.Errorf("%w: not proven: %d files in wal/quarantine may hold such rows; --quarantined removes them", errBadData, aside)
	default:
		return fmt.Errorf("not proven: %d rows stand in a segment that the server has open; let it reload (SIGHUP), which closes the segment, and run this again: %w", open, durable.ErrLocked)
	}
}
