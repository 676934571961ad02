// Command healml keeps a tabular model alive: it trains it, serves it, logs
// every prediction, notices drift, works out why, heals the model, proves the
// cure before it goes live, and takes it back if it was wrong.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program as a function: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, clock: time.Now}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	defer a.followMLflow(ctx)
	defer a.sendAlerts(ctx) // last, for it may wait; the code stands already
	if err == nil {
		return exitDone
	}
	code := exitCode(err)
	if !isSilent(err) {
		fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
		if hint := hintOf(err); hint != "" {
			fmt.Fprintf(stderr, "  %s\n", hint)
		}
	}
	return code
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "healml",
		Short: "Keep a tabular ML model alive in production",
		Long: `healml keeps a tabular model alive: it trains it, serves it, logs every
prediction, notices drift, works out why, heals the model and proves the cure
before it goes live. One binary, no database, no Python.`,
		Example:       "  healml train sales.csv --target sales\n  healml serve",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.prepare()
		},
	}
	a.addFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newInitCommand(a), newTrainCommand(a), newServeCommand(a), newTokensCommand(a), newPredictCommand(a), newActualsCommand(a),
		newDriftCommand(a), newRetrainCommand(a), newExportCommand(a), newModelsCommand(a), newReportsCommand(a),
		newIncidentsCommand(a), newAlertCommand(a), newLogCommand(a), newStatusCommand(a), newHealthCommand(a), newScheduleCommand(a), newBenchCommand(a), newDoctorCommand(a), newDemoCommand(a), newDrillCommand(a),
		newVersionCommand(a), newDocsCommand(root), exitCodesTopic(),
	)
	return root
}
