package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/table"
)

// app is what every command shares: the streams, the global flags, the clock
// and the places on disk.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	clock          func() time.Time

	configFile string
	root       string
	nowFlag    string
	output     string
	quiet      bool
	seed       uint64
	badRows    string // --bad-rows; "": as configured
	flags      *pflag.FlagSet

	now  func() time.Time // the clock, or what --now says
	log  *slog.Logger
	conf *config.Config

	tracked bool    // versions, or the one in force, may have changed
	ranJob  bool    // a job ran, so what is to be told is sent at the end
	gauges  []gauge // what the running job found
}

func (a *app) addFlags(f *pflag.FlagSet) {
	a.flags = f
	f.StringVar(&a.configFile, "config", "", "configuration file (default: ROOT/healml.yaml if it is there)")
	f.StringVar(&a.root, "root", "", "directory of all state (default: that of the configuration file, else the current one)")
	f.StringVar(&a.nowFlag, "now", "", "take this for the current time, such as 2024-01-10T06:00:00Z (replay and tests)")
	f.Uint64Var(&a.seed, "seed", 0, "seed of everything random (default: that of the configuration)")
	f.StringVarP(&a.output, "output", "o", "text", "what stdout holds: text or json")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no notices on stderr, only warnings and errors")
}

// prepare checks the global flags and reads the configuration.
func (a *app) prepare() error {
	if a.output != "text" && a.output != "json" {
		return usageError{fmt.Errorf("--output is %q, expected text or json", a.output)}
	}
	a.now = a.clock
	if a.nowFlag != "" {
		us, ok := table.ParseTime(a.nowFlag)
		if !ok {
			return usageError{fmt.Errorf("--now is %q, expected a time such as 2024-01-10T06:00:00Z", a.nowFlag)}
		}
		fixed := time.UnixMicro(us).UTC()
		a.now = func() time.Time { return fixed }
	}
	if a.root == "" {
		a.root = "."
		if a.configFile != "" {
			a.root = filepath.Dir(a.configFile)
		}
	}
	level := slog.LevelInfo
	if a.quiet {
		level = slog.LevelWarn
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	conf, _, err := config.Load(a.root, a.configFile)
	if err != nil {
		return err
	}
	a.conf = conf
	if a.flags.Changed("seed") {
		conf.Seed = a.seed
	}
	return nil
}

func (a *app) json() bool { return a.output == "json" }

// path is a place below the root.
func (a *app) path(parts ...string) string {
	return filepath.Join(append([]string{a.root}, parts...)...)
}

// The places of state.
func (a *app) predictions() string          { return a.path("data", "predictions") }
func (a *app) actuals() string              { return a.path("data", "actuals") }
func (a *app) shadowLog() string            { return a.path("data", "shadow") }
func (a *app) reports() string              { return a.path("data", "reports") }
func (a *app) incidents() string            { return a.path("data", "incidents") }
func (a *app) state() string                { return a.path("data", "state") }
func (a *app) registry() *registry.Registry { return registry.Open(a.path("exported_model")) }

// print writes v as one JSON document when JSON is asked for, else lets text
// write the result.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if !a.json() {
		return text(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// notice tells the user something on stderr unless told to be quiet.
func (a *app) notice(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// warn tells the user something that he should know even when quiet.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.stderr, "warning: "+format+"\n", args...)
}

// colour reports whether w is a terminal that wants colour.
func (a *app) colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && terminal(w)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is that of the terminal behind w, 100 when there is none.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 40 {
			return n
		}
	}
	return 100
}

// oneArg names the argument that a command needs when it is left out.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError{fmt.Errorf("%s is missing; for example:\n%s", name, cmd.Example)}
		case len(args) > 1:
			return usageError{fmt.Errorf("one %s is taken, got %d: %q", name, len(args), args)}
		}
		return nil
	}
}

// atMostOneArg is for commands whose argument can be left out.
func atMostOneArg(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("at most one %s is taken, got %d: %q", name, len(args), args)}
		}
		return nil
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// group is a command that has only subcommands; without one it shows its help.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q for %s", args[0], cmd.CommandPath())}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}
