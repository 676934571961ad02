package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/serve"
)

func newServeCommand(a *app) *cobra.Command {
	var address string
	var lenient bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer predictions over HTTP, log them, and swap models without a pause",
		Long: `Serves the version that exported_model/CURRENT names. Every answered prediction
is in the log on disk before it is answered. When CURRENT moves, or on SIGHUP,
the new version is verified and takes over without a failed request. SIGTERM
drains and stops.`,
		Example: "  healml serve --address 127.0.0.1:8080",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("address") {
				a.conf.Serve.Address = address
			}
			if cmd.Flags().Changed("lenient") {
				a.conf.Serve.Lenient = lenient
			}
			supervisor, err := serve.SupervisorFromEnv(os.Getenv, os.Getpid())
			if err != nil {
				return usageError{err}
			}
			ln, err := supervisor.Listen(a.conf.Serve.Address)
			if err != nil {
				return err
			}
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			seldomGarbage()
			s := serving{app: a, supervisor: supervisor, reload: hup}
			return s.run(cmd.Context(), ln)
		},
	}
	cmd.Flags().StringVar(&address, "address", serve.DefaultAddress, "where to listen, host:port")
	cmd.Flags().BoolVar(&lenient, "lenient", false, "take extra fields, and numbers in strings")
	return cmd
}

// seldomGarbage lets garbage grow to more than the little that a server keeps
// before it is collected, unless GOGC says otherwise: answers come a tenth
// faster, from some tens of megabytes.
func seldomGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(250)
	}
}

// serving is a server with the logs that it owns.
type serving struct {
	app        *app
	supervisor serve.Supervisor
	reload     <-chan os.Signal
}

// run serves on ln until ctx is done, then closes the logs.
func (s *serving) run(ctx context.Context, ln net.Listener) (err error) {
	a := s.app
	defer func() { err = errors.Join(err, ignoreClosed(ln.Close())) }()
	syncs := serve.NewSyncTimes()
	predictions, err := predlog.OpenWriter(a.predictions(), a.writerOptions(syncs.Observe))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, predictions.Close()) }()
	actuals, err := predlog.OpenActualsWriter(a.actuals(), a.writerOptions(nil))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, actuals.Close()) }()
	reportRecovery(a.log, predictions.Stats())
	shadow, keyed := a.shadowSink(), a.keyedSink()
	defer func() { err = errors.Join(err, shadow.close(), keyed.close()) }()
	extras, err := a.extras()
	if err != nil {
		return err
	}
	c := a.conf.Serve
	tokens, certificates, err := a.keys()
	if err != nil {
		return err
	}
	server, err := serve.New(serve.Options{
		Tokens: tokens, Certificates: certificates, AccessLog: c.AccessLog, Origins: c.Origins, ModelName: c.ModelName,
		Models: modelSource{a.registry()}, Now: a.now, Log: predictions, Actuals: actuals, Logger: a.log, Lenient: c.Lenient, Extras: extras, Poll: c.Poll, Hosts: c.AllowedHosts,
		DrainTimeout: c.DrainTimeout, Supervisor: s.supervisor, Build: version,
		Limits: serve.Limits{
			HeaderTimeout: c.HeaderTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout, IdleTimeout: c.IdleTimeout,
			BodyBytes: int(c.MaxBody), Rows: c.MaxRows, InFlight: c.MaxInFlight, BulkBytes: int(c.BulkBody), BulkRows: c.BulkRows, Connections: c.MaxConns,
		},
		LogStats: func() serve.LogStats {
			st := predictions.Stats()
			return serve.LogStats{Rows: st.Rows, TornBytes: st.TornBytes, LostRows: st.LostRows, Queue: st.Queue, Busy: st.Busy, Errors: st.Errors, LossWindow: a.lossWindow()}
		},
		SyncTimes:    syncs,
		Surroundings: a.surroundings,
		Repairs:      a.repairsInForce,
		Shadow:       a.inShadow(),
		ShadowLog:    shadow,
		Keyed:        keyed,
	})
	if err != nil {
		return err
	}
	var reloads sync.WaitGroup
	defer reloads.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reloads.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.reload:
				predictions.Rotate()
				actuals.Rotate()
				if err := server.Reload(); err != nil {
					a.log.Error("reload: the model in memory goes on serving", "error", err)
				}
			}
		}
	})
	return server.Run(ctx, ln)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func reportRecovery(log *slog.Logger, st predlog.Stats) {
	if st.RecoveredRows > 0 || st.TornBytes > 0 {
		log.Warn("the last run did not close its log; it was recovered", "rows", st.RecoveredRows, "torn_bytes", st.TornBytes)
	}
	for _, gap := range st.Gaps {
		log.Error("damage in the prediction log", "finding", fmt.Sprint(gap))
	}
}

// lossWindow is what a power cut may lose of the log.
func (a *app) lossWindow() time.Duration {
	if predlog.Durability(a.conf.Log.Durability) == predlog.Interval {
		return a.conf.Log.Interval
	}
	return 0
}

func (a *app) writerOptions(onSync func(time.Duration)) predlog.WriterOptions {
	l := a.conf.Log
	return predlog.WriterOptions{
		Now: a.now, Durability: predlog.Durability(l.Durability), SyncEvery: l.Interval, MaxBytes: l.SegmentBytes, MaxAge: l.SegmentAge, OnSync: onSync,
	}
}

// modelSource is the registry as the server sees it.
type modelSource struct{ reg *registry.Registry }

func (m modelSource) Current() (string, error) {
	v, err := m.reg.Current()
	if errors.Is(err, registry.ErrNoCurrent) {
		return "", nil
	}
	return v, err
}

func (m modelSource) Load(version string) (*serve.Candidate, error) {
	l, err := m.reg.Load(version)
	if err != nil {
		return nil, err
	}
	return &serve.Candidate{Model: l.Model, Golden: l.Golden()}, nil
}

func (m modelSource) Fallbacks() []string { return m.reg.Candidates() }

// surroundings is what the jobs left on disk for the server's metrics.
func (a *app) surroundings() serve.Surroundings {
	s := serve.Surroundings{Jobs: map[string]time.Time{}}
	for _, name := range jobNames {
		s.Jobs[name] = a.jobState(name).Success
	}
	if c := a.lastCoverage(); c != nil {
		s.Coverage = &serve.Coverage{At: c.At, Share: c.Coverage, Unknown: c.Unknown, Conflicts: c.Conflicts,
			LagMedian: time.Duration(c.LagMedian) * time.Microsecond, Lag90: time.Duration(c.Lag90) * time.Microsecond}
	}
	if r, err := a.lastReport(); err == nil && r != nil {
		at, _ := time.Parse(time.RFC3339, r.Created) // zero when damaged
		s.Drift = &serve.Verdict{At: at, Drift: r.Drift, Columns: len(r.Drifted())}
	}
	return s
}
