package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/retrain"
)

func newIncidentsCommand(a *app) *cobra.Command {
	incidents := group(&cobra.Command{Use: "incidents", Short: "What healing saw, tried and decided", Example: "  healml incidents list"})
	incidents.AddCommand(
		&cobra.Command{Use: "list", Short: "List incidents, oldest first", Args: noArgs, Example: "  healml incidents list", RunE: func(*cobra.Command, []string) error { return runIncidentsList(a) }},
		&cobra.Command{Use: "show [ID]", Short: "Tell an incident in plain words (default: the last)", Args: atMostOneArg("ID"), Example: "  healml incidents show", RunE: func(_ *cobra.Command, args []string) error { return runIncidentsShow(a, args) }},
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

func runIncidentsList(a *app) error {
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
		all = append(all, in)
	}
	return a.print(all, func(w io.Writer) error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "no incident yet")
			return err
		}
		t := newTable(w, "incident", "at", "champion", "action", "version", "reason")
		for _, in := range all {
			t.AppendRow(row(in.ID, in.At.Format("2006-01-02 15:04"), in.Champion, in.Action, orDash(in.Version), short(in.Reason, 70)))
		}
		t.Render()
		return nil
	})
}

func runIncidentsShow(a *app, args []string) error {
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
	return a.print(in, func(w io.Writer) error {
		_, err := io.WriteString(w, in.Story())
		return err
	})
}
