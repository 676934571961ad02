package main

import (
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
	)
	return incidents
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
