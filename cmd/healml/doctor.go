package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/registry"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check configuration, permissions, disk, clock, cron and systemd, and say how to mend each", Args: noArgs, Example: "  healml doctor",
		RunE: func(*cobra.Command, []string) error { return runDoctor(a) },
	}
}

// check is one thing that doctor looked at.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warning or fault
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
}

func runDoctor(a *app) error {
	checks := []check{a.checkConfig(), a.checkWritable(), a.checkModel(), a.checkData(), checkDisk(a.root), checkZone(), a.checkPort(), checkCron(), checkUnit()}
	checks = append(checks, a.checkJobs()...)
	checks = append(checks, a.checkAlert()...)
	checks = append(checks, a.checkTextfile()...)
	checks = append(checks, a.checkKeys()...)
	faults := 0
	for _, c := range checks {
		if c.State == "fault" {
			faults++
		}
	}
	err := a.print(checks, func(w io.Writer) error {
		for _, c := range checks {
			fmt.Fprintf(w, "%-8s %-14s %s\n", c.State, c.Name, c.Detail)
			if c.Mend != "" {
				fmt.Fprintf(w, "%-23s → %s\n", "", c.Mend)
			}
		}
		return nil
	})
	if err == nil && faults > 0 {
		return fmt.Errorf("%d faults", faults)
	}
	return err
}

func ok(name, format string, args ...any) check {
	return check{Name: name, State: "ok", Detail: fmt.Sprintf(format, args...)}
}

func warning(name, mend, format string, args ...any) check {
	return check{Name: name, State: "warning", Detail: fmt.Sprintf(format, args...), Mend: mend}
}

func fault(name, mend, format string, args ...any) check {
	return check{Name: name, State: "fault", Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// checkConfig: a configuration that cannot be read stops every command before
// doctor runs, so it is good here.
func (a *app) checkConfig() check {
	path := a.configFile
	if path == "" {
		path = a.path(config.FileName)
	}
	if _, err := os.Stat(path); err != nil {
		return warning("configuration", "healml init DATA --target COLUMN writes one", "%s is not there: defaults hold", path)
	}
	return ok("configuration", "%s", path)
}

func (a *app) checkWritable() check {
	dir := a.path("data")
	probe := filepath.Join(dir, ".doctor")
	err := durable.MkdirAll(dir)
	if err == nil {
		err = durable.WriteFile(probe, []byte("healml doctor\n"))
	}
	if err == nil {
		err = durable.Remove(probe)
	}
	if err != nil {
		return fault("permissions", fmt.Sprintf("let this user (uid %d) write there: chown -R", os.Getuid()), "%v", err)
	}
	return ok("permissions", "%s can be written by uid %d", dir, os.Getuid())
}

func (a *app) checkModel() check {
	reg := a.registry()
	v, err := reg.Current()
	if errors.Is(err, registry.ErrNoCurrent) {
		return warning("model", "healml train DATA --target COLUMN", "no version is in force")
	}
	if err == nil {
		err = reg.Verify(v)
	}
	if err != nil {
		return fault("model", "healml models rollback, or restore the directory from a backup", "%v", err)
	}
	return ok("model", "%s is whole", v)
}

func (a *app) checkData() check {
	path, err := a.dataPath(nil)
	if err != nil {
		return ok("data", "no training data named in the configuration")
	}
	if _, err := os.Stat(path); err != nil {
		return warning("data", "put the file back, or set data in "+config.FileName, "%v: healing learns from the log and the kept reference alone", err)
	}
	return ok("data", "%s", path)
}

func checkDisk(root string) check {
	d := diskOf(root)
	detail := fmt.Sprintf("%.0f %% used, %s free", 100*d.Used, bytesText(int64(d.FreeBytes)))
	switch {
	case d.Used > 0.95:
		return fault("disk", "make room: set log.keep, run healml log compact", "%s", detail)
	case d.Used > 0.90:
		return warning("disk", "make room soon: set log.keep, run healml log compact", "%s", detail)
	}
	return ok("disk", "%s", detail)
}

func checkZone() check {
	if zone, _ := time.Unix(0, 0).In(time.Local).Zone(); zone != "UTC" {
		return ok("time zone", "the machine's is %s; healml keeps UTC, cron runs by the machine's", zone)
	}
	return ok("time zone", "UTC")
}

func (a *app) checkPort() check {
	address := a.conf.Serve.Address
	if state := a.serverState(); state != "stopped" {
		return ok("port", "a server answers on %s: %s", address, state)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return warning("port", "stop the program that holds it, or set serve.address", "%v", err)
	}
	if err := ln.Close(); err != nil {
		return warning("port", "", "%v", err)
	}
	return ok("port", "%s is free; no server runs", address)
}

func checkCron() check {
	const path = "/etc/cron.d/healml"
	b, err := os.ReadFile(path)
	if err != nil {
		return warning("cron", "scripts/install.sh puts it there", "%s is not there: drift and retrain run only by hand", path)
	}
	for _, job := range []string{" drift", " retrain"} {
		if !strings.Contains(string(b), job) {
			return warning("cron", "compare it with the file crontab of the source", "%s has no line for%s", path, job)
		}
	}
	return ok("cron", "%s", path)
}

func checkUnit() check {
	const path = "/etc/systemd/system/healml.service"
	if _, err := os.Stat(path); err != nil {
		return warning("systemd", "scripts/install.sh puts it there", "%s is not there: nothing restarts the server", path)
	}
	return ok("systemd", "%s", path)
}

// renewBefore is how long before its end a certificate is due.
const renewBefore = 14 * 24 * time.Hour

// checkKeys: the tokens and certificates that serve needs can be read, and are
// good for some time yet.
func (a *app) checkKeys() []check {
	tokens, certificates, err := a.keys()
	if err != nil {
		return []check{fault("keys", "serve does not start with it", "%v", err)}
	}
	var out []check
	if tokens != nil {
		expired := 0
		for _, t := range tokens.Tokens().List {
			if t.Expired(a.now()) {
				expired++
			}
		}
		out = append(out, ok("tokens", "%d, of which %d have expired", len(tokens.Tokens().List), expired))
	}
	if certificates != nil {
		switch end := certificates.Leaf().NotAfter; {
		case !a.now().Before(end):
			out = append(out, fault("certificate", "renew it; a running server takes the new one by itself", "%s expired at %s", a.conf.Serve.TLSCert, end.UTC().Format(time.RFC3339)))
		case end.Sub(a.now()) < renewBefore:
			out = append(out, warning("certificate", "renew it; a running server takes the new one by itself", "%s expires at %s", a.conf.Serve.TLSCert, end.UTC().Format(time.RFC3339)))
		default:
			out = append(out, ok("certificate", "%s is good until %s", a.conf.Serve.TLSCert, end.UTC().Format(time.RFC3339)))
		}
	}
	return out
}

// checkJobs warns of jobs that ran once and are overdue now.
func (a *app) checkJobs() []check {
	var out []check
	for _, name := range jobNames {
		j := a.jobState(name)
		const overdue = 48 * time.Hour
		switch {
		case j.Error != "":
			out = append(out, fault("job "+name, "run it by hand and read what it says: healml "+jobCommand(name), "the last run failed: %s", j.Error))
		case !j.Success.IsZero() && a.now().Sub(j.Success) > overdue:
			out = append(out, warning("job "+name, "is cron running? journalctl -t healml-"+name, "last success %s ago", age(a.now(), j.Success)))
		}
	}
	return out
}

func jobCommand(name string) string {
	switch name {
	case "compact":
		return "log compact"
	case "prune":
		return "models prune"
	}
	return name
}
