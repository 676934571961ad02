package main

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/mirror"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// The exit codes, which scripts may rely on.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitDrift       = 10
	exitRejected    = 11
	exitDrill       = 12
	exitData        = 65
	exitUnreachable = 69
	exitWrite       = 73
	exitLocked      = 75
)

const exitCodesText = `Exit codes of healml:

   0  done; nothing to do counts as done
   1  unexpected error
   2  wrong usage or configuration
  10  drift: drift was found
  11  train, retrain: the challenger was rejected, the champion stays
  12  drill: a rehearsed fault was not seen or not healed as it must
  65  the input data or a file on disk is bad
  69  a needed service or port is not to be had
  73  cannot write: disk full, read-only, no permission
  75  another run holds the lock`

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes and what they mean", Long: exitCodesText}
}

// usageError is a wrong flag, argument or combination.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// outcome ends a command with a code of its own after its result was printed.
type outcome int

func (o outcome) Error() string { return "done with a finding" }

func isSilent(err error) bool {
	var o outcome
	return errors.As(err, &o)
}

// exitCode maps an error to the code of its kind: the one place where that is
// decided.
func exitCode(err error) int {
	var (
		o        outcome
		usage    usageError
		conf     *config.Error
		param    *fit.ParamError
		data     *table.Error
		mismatch *feature.MismatchError
		target   *feature.TargetError
		damaged  *registry.VersionError
		column   *feature.ColumnError
		exists   *registry.ExistsError
		text     *gbdt.FormatError
		trees    *gbdt.ModelError
		adoption *model.AdoptionError
		dns      *net.DNSError
		address  *net.AddrError
	)
	switch {
	case errors.As(err, &o):
		return int(o)
	case errors.Is(err, durable.ErrLocked):
		return exitLocked
	case errors.Is(err, durable.ErrWrite), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS):
		return exitWrite
	case errors.As(err, &usage), errors.As(err, &conf), errors.As(err, &param),
		errors.As(err, &column), errors.As(err, &exists), errors.Is(err, table.ErrFormat),
		errors.Is(err, monitor.ErrNoReport), errors.Is(err, retrain.ErrNoIncident),
		errors.Is(err, registry.ErrNoCurrent), isCobraUsage(err):
		return exitUsage
	case errors.As(err, &data), errors.As(err, &mismatch), errors.As(err, &target), errors.As(err, &damaged),
		errors.As(err, &text), errors.As(err, &trees), errors.As(err, &adoption),
		errors.Is(err, feature.ErrNoFeatures), errors.Is(err, train.ErrTooFew), errors.Is(err, train.ErrOtherTask), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, errBadData), errors.Is(err, mirror.ErrNotFound), errors.Is(err, mirror.ErrExists):
		return exitData
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, mirror.ErrUnreachable), errors.As(err, &dns), errors.As(err, &address):
		return exitUnreachable
	default:
		return exitUnexpected
	}
}

// errBadData marks an error of the input data that has no type of its own.
var errBadData = errors.New("bad input data")

// isCobraUsage recognises the errors that cobra makes of the command line.
func isCobraUsage(err error) bool {
	s := err.Error()
	for _, lead := range []string{"unknown command", "unknown flag", "accepts ", "requires at least", "required flag"} {
		if strings.HasPrefix(s, lead) {
			return true
		}
	}
	return false
}

// hintOf says what the operator can do about an error.
func hintOf(err error) string {
	switch {
	case errors.Is(err, durable.ErrLocked):
		return "another run is at work on the same directory; try again when it is done"
	case errors.Is(err, registry.ErrNoCurrent):
		return "train a first model: healml train DATA --target COLUMN"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full: nothing half-written was left; make room and run it again"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or choose another with --address"
	case isCobraUsage(err):
		return "healml --help lists the commands and their flags"
	}
	return ""
}
