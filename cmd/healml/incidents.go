package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
	"github.com/healml/healml/internal/retrain"
)

func newIncidentsCommand(a *app) *cobra.Command {
	incidents := group(&cobra.Command{Use: "incidents", Short: "What healing saw, tried and decided", Example: "  healml incidents list"})
	var only incidentFilter
	list := &cobra.Command{
		Use: "list", Short: "List incidents, oldest first", Args: noArgs,
		Example: "  healml incidents list\n  healml incidents list --since 2026-03-01 --action retrain",
		RunE:    func(*cobra.Command, []string) error { return runIncidentsList(a, only) },
	}
	list.Flags().StringVar(&only.since, "since", "", "those from this `time` on, such as 2026-03-01")
	list.Flags().StringVar(&only.action, "action", "", "those that did this: "+strings.Join(actionNames(), ", "))
	var page bool
	show := &cobra.Command{
		Use: "show [ID]", Short: "Tell an incident in plain words (default: the last)", Args: atMostOneArg("ID"),
		Example: "  healml incidents show\n  xdg-open $(healml incidents show --html)",
		RunE:    func(_ *cobra.Command, args []string) error { return runIncidentsShow(a, args, page) },
	}
	show.Flags().BoolVar(&page, "html", false, "print the path of the incident's page instead")
	incidents.AddCommand(list, show,
		&cobra.Command{
			Use: "replay ID", Short: "Compute the decision of an incident again from its files", Args: oneArg("ID"), Example: "  healml incidents replay i20240601t120000z-0badcafe",
			Long: `Computes the decision of an incident again from data/incidents/ID/ alone: the
reason, every comparison of a cure with the champion, the choice, the bake. Says
"same", or what differs to the last bit; exits with 1 when anything does.`,
			RunE: func(_ *cobra.Command, args []string) error { return runIncidentsReplay(a, args[0]) },
		},
	)
	return incidents
}

func runIncidentsReplay(a *app, id string) error {
	found, err := retrain.Replay(a.incidents(), id)
	if errors.Is(err, retrain.ErrNoBasis) {
		return errors.Join(err, errBadData)
	} else if err != nil {
		return err
	}
	result := struct {
		ID          string               `json:"incident_id"`
		Same        bool                 `json:"same"`
		Differences []retrain.Difference `json:"differences"`
	}{id, len(found) == 0, append([]retrain.Difference{}, found...)}
	err = a.print(result, func(w io.Writer) error {
		if result.Same {
			_, err := fmt.Fprintf(w, "%s same\n", id)
			return err
		}
		fmt.Fprintf(w, "%s DIFFERS\n", id)
		for _, d := range found {
			fmt.Fprintf(w, "%s\n  recorded %s\n  replayed %s\n", d.What, d.Recorded, d.Replayed)
		}
		return nil
	})
	if err == nil && !result.Same {
		return outcome(exitUnexpected)
	}
	return err
}

// incidentFilter says which incidents are listed; empty: all.
type incidentFilter struct{ since, action string }

// actionNames are what an incident can have done.
func actionNames() (names []string) {
	for _, a := range heal.Actions() {
		names = append(names, string(a))
	}
	return names
}

func runIncidentsList(a *app, only incidentFilter) error {
	from := time.Time{}
	if only.since != "" {
		var err error
		if from, err = parseMoment("since", only.since, a.now(), "2026-03-01"); err != nil {
			return err
		}
	}
	if only.action != "" && !slices.Contains(actionNames(), only.action) {
		return usageError{fmt.Errorf("--action is %q, expected one of %s", only.action, strings.Join(actionNames(), ", "))}
	}
	ids, err := retrain.List(a.incidents())
	if err != nil {
		return err
	}
	all := []*retrain.Incident{}
	for _, id := range ids {
		in, err := retrain.Read(a.incidents(), id)
		if err != nil {
			a.warn("%v", err)
			continue
		}
		if !in.At.Before(from) && (only.action == "" || string(in.Action) == only.action) {
			all = append(all, in)
		}
	}
	return a.print(all, func(w io.Writer) error {
		switch {
		case len(ids) == 0:
			_, err := fmt.Fprintln(w, "no incident yet")
			return err
		case len(all) == 0:
			_, err := fmt.Fprintf(w, "none of %d incidents\n", len(ids))
			return err
		}
		t := newTable(w, "incident", "at", "champion", "likeliest cause", "action", "gain", "version")
		for _, in := range all {
			cause, p := in.Cause()
			if cause != "" {
				cause = fmt.Sprintf("%2.0f %% %s", 100*p, present.Cut(present.Printable(cause), 44))
			}
			gain := ""
			if m, ok := in.Gained(); ok && m.Champion > 0 {
				gain = fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*m.Relative(), 100*m.Gain.Lo/m.Champion, 100*m.Gain.Hi/m.Champion)
			}
			t.AppendRow(row(in.ID, in.At.Format("2006-01-02 15:04"), in.Champion, orDash(cause), in.Action, orDash(gain), orDash(in.Version)))
		}
		t.Render()
		return nil
	})
}

func runIncidentsShow(a *app, args []string, page bool) error {
	id := ""
	if len(args) == 1 {
		id = args[0]
	} else {
		ids, err := retrain.List(a.incidents())
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return a.print(nil, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "no incident yet")
				return err
			})
		}
		id = ids[len(ids)-1]
	}
	in, err := retrain.Read(a.incidents(), id)
	if err != nil {
		return err
	}
	if page {
		path := filepath.Join(a.incidents(), id, retrain.PageFile)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("incident %s has no page: an older build wrote it: %w", id, err)
		}
		return a.print(struct {
			Page string `json:"page"`
		}{path}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, path)
			return err
		})
	}
	if err := in.LoadLosses(a.incidents()); err != nil {
		a.warn("%v", err)
	}
	return a.print(in, func(w io.Writer) error { return in.Render(w, a.colour(w), width(w)) })
}
