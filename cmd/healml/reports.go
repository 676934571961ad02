package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/monitor"
)

func newReportsCommand(a *app) *cobra.Command {
	reports := group(&cobra.Command{Use: "reports", Short: "The drift reports", Example: "  healml reports list"})
	reports.AddCommand(
		&cobra.Command{Use: "list", Short: "List reports, oldest first", Args: noArgs, Example: "  healml reports list", RunE: func(*cobra.Command, []string) error { return runReportsList(a) }},
		&cobra.Command{Use: "show [ID]", Short: "Show a report (default: the last)", Args: atMostOneArg("ID"), Example: "  healml reports show", RunE: func(_ *cobra.Command, args []string) error { return runReportsShow(a, args) }},
		&cobra.Command{
			Use: "diff [A] [B]", Short: "Show what changed from one report to another (default: the last two)", Args: cobra.MaximumNArgs(2), Example: "  healml reports diff",
			Long: `Shows what began to drift and what ceased to from report A to report B. Without
ids these are the last two on the version in force; with one, B is the last.`,
			RunE: func(_ *cobra.Command, args []string) error { return runReportsDiff(a, args) },
		},
	)
	return reports
}

func runReportsList(a *app) error {
	ids, err := monitor.ListReports(a.reports())
	if err != nil {
		return err
	}
	type entry struct {
		ID      string   `json:"report_id"`
		Created string   `json:"created"`
		Version string   `json:"model_version"`
		Rows    int      `json:"rows"`
		Drift   bool     `json:"drift"`
		Columns []string `json:"columns"`
		Verdict string   `json:"verdict"`
	}
	all := []entry{}
	for _, id := range ids {
		r, err := monitor.ReadReport(a.reports(), id)
		if err != nil {
			a.warn("%v", err)
			continue
		}
		all = append(all, entry{r.ReportID, r.Created, r.ModelVersion, r.Rows, r.Drift, append([]string{}, r.Drifted()...), r.Verdict})
	}
	return a.print(all, func(w io.Writer) error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "no report yet; healml drift makes one")
			return err
		}
		t := newTable(w, "report", "created", "version", "rows", "drift", "columns")
		for _, e := range all {
			t.AppendRow(row(e.ID, e.Created, orDash(e.Version), e.Rows, yesNo(e.Drift), strings.Join(e.Columns, ", ")))
		}
		t.Render()
		return nil
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func runReportsShow(a *app, args []string) error {
	var r *monitor.Report
	var err error
	if len(args) == 1 {
		r, err = monitor.ReadReport(a.reports(), args[0])
	} else {
		r, err = a.lastReport()
	}
	if err != nil {
		return err
	}
	if r == nil {
		return a.print(nil, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "no report yet; healml drift makes one")
			return err
		})
	}
	return a.print(r, func(w io.Writer) error { return monitor.Render(w, r, a.colour(w), width(w)) })
}

func runReportsDiff(a *app, args []string) error {
	ids := args
	if missing := 2 - len(args); missing > 0 {
		last, err := a.lastReports(missing)
		if err != nil {
			return err
		}
		if len(last) < missing {
			return a.print(nil, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "not two reports on the version in force yet; healml drift makes them")
				return err
			})
		}
		ids = append(append([]string{}, args...), last...)
	}
	var pair [2]*monitor.Report
	for i, id := range ids {
		r, err := monitor.ReadReport(a.reports(), id)
		if err != nil {
			return err
		}
		pair[i] = r
	}
	d := monitor.Diff(pair[0], pair[1])
	return a.print(d, func(w io.Writer) error { return monitor.RenderDiff(w, d, a.colour(w), width(w)) })
}

// lastReports are the ids of the newest n reports on the version in force, or
// of two files where there is none, oldest first. Those that cannot be read are
// passed over with a warning.
func (a *app) lastReports(n int) ([]string, error) {
	version, err := a.registry().Current()
	if err != nil && !isNoCurrent(err) {
		return nil, err
	}
	ids, err := monitor.ListReports(a.reports())
	if err != nil {
		return nil, err
	}
	var last []string
	for _, id := range slices.Backward(ids) {
		if len(last) == n {
			break
		}
		r, err := monitor.ReadReport(a.reports(), id)
		if err != nil {
			a.warn("%v", err)
		} else if r.ModelVersion == version {
			last = append(last, id)
		}
	}
	slices.Reverse(last)
	return last, nil
}
