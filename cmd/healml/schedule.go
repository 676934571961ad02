package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/spf13/cobra"
)

func newScheduleCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schedule", Short: "Run the jobs when they are due, where there is no cron", Args: noArgs, Example: "  healml schedule",
		Long: `Runs drift, retrain, log compact and models prune as the section schedule of
healml.yaml says, each as a process of its own, until SIGTERM: for containers
and other places without cron. A job that is due while it still runs is passed
over. On SIGTERM no job is begun any more, and those that run are told to end.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.schedule(cmd.Context()) },
	}
}

// scheduled is a job and when it is due.
type scheduled struct {
	name string
	args []string
	at   cron.Schedule
}

// scheduledJobs are those that the configuration asks for.
func (a *app) scheduledJobs() ([]scheduled, error) {
	c := a.conf.Schedule
	var out []scheduled
	for _, j := range []struct{ name, when, command string }{
		{"drift", c.Drift, "drift"}, {"retrain", c.Retrain, "retrain"}, {"compact", c.Compact, "log compact"}, {"prune", c.Prune, "models prune"},
	} {
		if j.when == "" {
			continue
		}
		at, err := cron.ParseStandard(j.when)
		if err != nil {
			return nil, usageError{fmt.Errorf("schedule.%s: %q: %w", j.name, j.when, err)}
		}
		out = append(out, scheduled{j.name, strings.Fields(j.command), at})
	}
	if out == nil {
		return nil, usageError{errors.New("the section schedule asks for no job")}
	}
	return out, nil
}

func (a *app) schedule(ctx context.Context) error {
	jobs, err := a.scheduledJobs()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, j := range jobs {
		running.Go(func() {
			for {
				next := j.at.Next(time.Now())
				a.log.Info("scheduled", "job", j.name, "next", next.Format(time.RFC3339))
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(next)):
				}
				a.runScheduled(ctx, self, j)
			}
		})
	}
	running.Wait()
	return nil
}

// runScheduled runs a job to its end and says how it went.
func (a *app) runScheduled(ctx context.Context, self string, j scheduled) {
	args := []string{"--root", a.root, "--quiet"}
	if a.configFile != "" {
		args = append(args, "--config", a.configFile)
	}
	cmd := exec.CommandContext(ctx, self, append(args, j.args...)...)
	cmd.Stdout, cmd.Stderr = a.stdout, a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	begin := time.Now()
	err := cmd.Run()
	code := cmd.ProcessState.ExitCode() // −1 when it did not start, or was killed
	took := time.Since(begin).Round(time.Millisecond)
	switch code {
	case exitDone, exitDrift, exitRejected:
		a.log.Info("done", "job", j.name, "exit_code", code, "took", took)
	case exitLocked:
		a.log.Warn("passed over: another run holds the lock", "job", j.name)
	default:
		a.log.Error("failed", "job", j.name, "exit_code", code, "took", took, "err", err)
	}
}
