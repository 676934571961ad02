package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/healml/healml/internal/durable"
)

// jobNames are the jobs whose last runs are remembered.
var jobNames = []string{"drift", "retrain", "compact", "prune"}

// jobState is what is known of a job's runs (data/state/<job>.json).
type jobState struct {
	Format  int       `json:"format"`
	Start   time.Time `json:"last_start,omitzero"`
	Success time.Time `json:"last_success,omitzero"`
	Error   string    `json:"last_error,omitempty"` // of the last run, empty after a success
}

func (a *app) jobPath(name string) string { return filepath.Join(a.state(), name+".json") }

// jobState reads a job's state; zero when it never ran or the file is damaged.
func (a *app) jobState(name string) jobState {
	var s jobState
	b, err := os.ReadFile(a.jobPath(name))
	if err != nil || json.Unmarshal(b, &s) != nil {
		return jobState{}
	}
	return s
}

// job runs one job alone: it holds the job's lock meanwhile and remembers how
// it ended. A finding (drift, a rejected challenger) counts as success.
func (a *app) job(name string, run func() error) (err error) {
	if err := durable.MkdirAll(a.state()); err != nil {
		return err
	}
	lock, err := durable.Lock(filepath.Join(a.state(), name+".lock"))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	a.ranJob = true
	return a.measured(name, func() error { return a.remembered(name, run) })
}

// remembered runs what a job does and writes down how it ended.
func (a *app) remembered(name string, run func() error) error {
	if err := a.sweep(name); err != nil {
		return err
	}
	s := a.jobState(name)
	s.Format, s.Start = 1, a.now().UTC()
	err := run()
	s.Error = ""
	if err == nil || isSilent(err) {
		s.Success = a.now().UTC()
	} else {
		s.Error = err.Error()
	}
	b, merr := json.MarshalIndent(s, "", "  ")
	if merr != nil {
		return errors.Join(err, merr)
	}
	return errors.Join(err, durable.WriteFile(a.jobPath(name), append(b, '\n')))
}

// measured runs what a job does, or train, which is none but is of interest
// all the same, and leaves metrics of it.
func (a *app) measured(name string, run func() error) error {
	a.gauges, a.tracked = nil, true
	start, clock := a.now(), a.clock()
	err := run()
	a.leaveMetrics(name, start, start.Add(a.clock().Sub(clock)), err)
	return err
}

// sweep removes what a killed run of the job left half-written where it writes.
func (a *app) sweep(job string) error {
	dirs := []string{a.state(), filepath.Dir(a.toldPath(job))}
	switch job {
	case "drift":
		dirs = append(dirs, a.reports())
	case "retrain":
		dirs = append(dirs, a.incidents())
	}
	for _, dir := range dirs {
		if _, err := durable.SweepTemp(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
