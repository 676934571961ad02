package main

import (
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// joined is the prediction log of [from, to), µs UTC, with the actuals that
// have come in by now beside it.
func (a *app) joined(task schema.Task, from, to int64) (*table.Table, predlog.JoinStats, error) {
	preds, read, err := predlog.Read(a.predictions(), from, to, predlog.ReadOptions{})
	if err != nil {
		return nil, predlog.JoinStats{}, err
	}
	actuals, readActuals, err := predlog.ReadActuals(a.actuals(), from, a.now().UnixMicro()+1, predlog.ReadOptions{})
	if err != nil {
		return nil, predlog.JoinStats{}, err
	}
	for _, f := range append(read.Findings, readActuals.Findings...) {
		a.warn("%v", f)
	}
	t, stats := predlog.Join(preds, actuals, task)
	return t, stats, nil
}
