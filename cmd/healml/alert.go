package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/alert"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/retrain"
)

// webhookBound bounds all tries of the webhook in one run.
const webhookBound = 30 * time.Second

func newAlertCommand(a *app) *cobra.Command {
	alerts := group(&cobra.Command{Use: "alert", Short: "Who is told of drift and healing", Example: "  healml alert test"})
	alerts.AddCommand(&cobra.Command{
		Use: "test", Short: "Send a test event by every channel that is configured", Args: noArgs, Example: "  healml alert test",
		Long: `Sends an event of the kind "test" by alert.webhook and alert.command, waits, and
says what became of it. Exits with 69 when a channel fails. Events that wait in
the outbox are left alone.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAlertTest(cmd.Context(), a) },
	})
	return alerts
}

// alertTest is what became of a test event on one channel.
type alertTest struct {
	Channel string  `json:"channel"`
	To      string  `json:"to,omitempty"`
	OK      bool    `json:"ok"`
	Signed  bool    `json:"signed"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

func runAlertTest(ctx context.Context, a *app) error {
	version, err := a.registry().Current()
	if err != nil {
		version = "" // a channel can be tried before there is a model
	}
	e := alert.New(alert.Event{Event: alert.Test, Host: host(), Verdict: "This is a test; nothing happened.", ModelVersion: version}, a.now())
	m, err := alert.NewMessage(e)
	if err != nil {
		return err
	}
	tests := []alertTest{}
	failed := false
	for _, c := range a.channels() {
		start := a.clock()
		t := alertTest{Channel: c.Name(), To: whereTo(c), OK: true}
		if w, is := c.(*alert.Webhook); is {
			w.Tries = 1 // a person waits
			t.Signed = w.Key != nil
		}
		if err := c.Send(ctx, m); err != nil {
			t.OK, t.Error, failed = false, err.Error(), true
		}
		t.Seconds = a.clock().Sub(start).Seconds()
		tests = append(tests, t)
	}
	err = a.print(tests, func(w io.Writer) error { return printAlertTest(w, e.ID, tests) })
	if err == nil && failed {
		return outcome(exitUnreachable)
	}
	return err
}

func printAlertTest(w io.Writer, id string, tests []alertTest) error {
	if len(tests) == 0 {
		_, err := fmt.Fprintln(w, "no channel is configured; set alert.webhook or alert.command in healml.yaml")
		return err
	}
	fmt.Fprintf(w, "event %s\n", id)
	for _, t := range tests {
		switch {
		case !t.OK:
			fmt.Fprintf(w, "%-8s FAILED after %.1f s: %s\n", t.Channel, t.Seconds, t.Error)
		case t.Channel == "webhook" && !t.Signed:
			fmt.Fprintf(w, "%-8s taken by %s in %.1f s, without a signature: no alert.secret is set\n", t.Channel, t.To, t.Seconds)
		default:
			fmt.Fprintf(w, "%-8s taken by %s in %.1f s\n", t.Channel, t.To, t.Seconds)
		}
	}
	return nil
}

// whereTo shows where a channel leads, without secrets.
func whereTo(c alert.Channel) string {
	switch c := c.(type) {
	case *alert.Webhook:
		return alert.Redacted(c.URL)
	case *alert.Command:
		return c.Args[0]
	}
	return ""
}

// host is the machine's name, empty when it has none.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// alerting reports whether any channel is configured.
func (a *app) alerting() bool { return a.conf.Alert.Webhook != "" || len(a.conf.Alert.Command) > 0 }

// channels are those that are configured.
func (a *app) channels() []alert.Channel {
	c := a.conf.Alert
	var out []alert.Channel
	if c.Webhook != "" {
		out = append(out, a.webhook())
	}
	if len(c.Command) > 0 {
		out = append(out, &alert.Command{Args: c.Command, Dir: a.root, Timeout: c.CommandTimeout, Output: func(line string) { a.log.Info("alert command", "output", line) }})
	}
	return out
}

// webhook is the channel of alert.webhook, a closed one when its key cannot be
// read.
func (a *app) webhook() alert.Channel {
	w := &alert.Webhook{Timeout: a.conf.Alert.Timeout, Total: webhookBound, Clock: a.clock, Agent: "healml/" + version}
	var err error
	if w.URL, err = alert.ParseURL(a.conf.Alert.Webhook); err == nil {
		w.Key, err = a.alertKey()
	}
	if err != nil {
		return closed{w, err}
	}
	return w
}

// closed is a channel that takes nothing.
type closed struct {
	alert.Channel
	err error
}

func (c closed) Send(context.Context, alert.Message) error {
	return fmt.Errorf("%s: %w", c.Name(), c.err)
}

// alertKey is the key of the signatures, nil when there is none.
func (a *app) alertKey() ([]byte, error) {
	key, text := "alert.secret", a.conf.Alert.Secret
	if path := a.secretFile(); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("alert.secret_file: %w", err)
		}
		key, text = "alert.secret_file "+path, string(b)
	} else if text == "" {
		return nil, nil
	}
	secret, err := alert.ParseSecret(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return secret, nil
}

// secretFile is the path of alert.secret_file, empty when it is not set.
func (a *app) secretFile() string { return a.below(a.conf.Alert.SecretFile) }

// below is a configured path, relative to the root; empty stays empty.
func (a *app) below(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return a.path(path)
}

// The places of what is told.
func (a *app) outbox() alert.Outbox {
	return alert.Outbox{Dir: filepath.Join(a.state(), "alert", "outbox"), Now: a.now}
}
func (a *app) toldPath(job string) string { return filepath.Join(a.state(), "alert", job+".json") }

// tellDrift hands a live report on to those who are to know of it: alerts and
// metrics. Nothing that goes wrong here changes the job's outcome.
func (a *app) tellDrift(r *monitor.Report) {
	a.gauges = driftGauges(r)
	columns := driftedColumns(r)
	event := alert.Event{Verdict: r.Verdict, ModelVersion: r.ModelVersion, ReportID: r.ReportID, Columns: columns}
	state := alert.State(r.ModelVersion, columns)
	a.announce("drift", event, state, func(m *alert.Memory) string {
		return m.Next(r.Drift, r.EnoughRows, state, a.now(), a.conf.Alert.Repeat)
	})
}

// tellHealing is tellDrift for a round of healing.
func (a *app) tellHealing(in *retrain.Incident) {
	a.gauges = append(a.gauges, healingGauges(in)...)
	a.announceHealing(in)
}

// announceHealing tells those who are to know of a round of healing.
func (a *app) announceHealing(in *retrain.Incident) {
	event := alert.Event{Verdict: in.Reason, ModelVersion: in.Champion, IncidentID: in.ID, Action: string(in.Action)}
	if in.Moved() {
		event.Promoted, event.ModelVersion = in.Version, in.Version
	}
	// A refusal is the same news for as long as the same champion stays.
	state := alert.State("rejected "+in.Champion, nil)
	a.announce("retrain", event, state, func(m *alert.Memory) string {
		switch {
		case in.Moved():
			return alert.Healed
		case in.Frozen() && in.Guard.To != "": // it froze just now
			return alert.Rejected
		case in.Action == heal.Keep && m.Due(state, a.now(), a.conf.Alert.Repeat):
			return alert.Rejected
		}
		return ""
	})
}

// announce puts an event of the kind that kind chooses, if any, in the outbox and
// remembers it under the job. It is sent when the command ends.
func (a *app) announce(job string, e alert.Event, state string, kind func(*alert.Memory) string) {
	if !a.alerting() {
		return
	}
	path := a.toldPath(job)
	m, err := alert.ReadMemory(path)
	if err != nil {
		a.warn("alert: %v", err)
	}
	if e.Event = kind(m); e.Event == "" {
		return
	}
	if e.Event == alert.Recovered || e.Event == alert.Healed {
		state = ""
	}
	e.Host = host()
	var names []string
	for _, c := range a.channels() {
		names = append(names, c.Name())
	}
	dropped, err := a.outbox().Add(alert.New(e, a.now()), names)
	if err == nil {
		m.Note(e.Event, state, a.now(), a.conf.Alert.Repeat)
		err = m.Write(path)
	}
	if err != nil {
		a.warn("alert: the event %s may not be told: %v", e.Event, err)
	}
	if dropped > 0 {
		a.warn("alert: old events that nobody took had to go from the outbox: %d", dropped)
	}
}

// driftedColumns are all parts of a report that drifted: inputs, predictions,
// the metric and its estimate, pairs of columns, and all columns together.
func driftedColumns(r *monitor.Report) []alert.Column {
	var out []alert.Column
	add := func(role string, order []string, columns map[string]*monitor.Column) {
		for _, name := range order {
			if c := columns[name]; c.Drift {
				out = append(out, driftedColumn(role, name, c, r.Faults))
			}
		}
	}
	add("input", r.Order, r.Columns)
	add("prediction", r.PredictionOrder, r.Prediction)
	if p := r.Performance; p != nil && p.Drift {
		out = append(out, alert.Column{Column: string(p.Metric), Role: "metric", Text: p.String()})
	}
	if e := r.Estimate; e != nil && e.Drift {
		out = append(out, alert.Column{Column: string(e.Metric), Role: "estimate", Text: fmt.Sprintf("estimated at %.4g (%.4g to %.4g), was %.4g on the holdout", e.Now, e.Lo, e.Hi, e.Then)})
	}
	for _, d := range r.Dependence {
		if d.Drift {
			out = append(out, alert.Column{Column: d.A + " × " + d.B, Role: "dependence", Text: fmt.Sprintf("%s went from %.3g to %.3g", d.Measure, d.Then, d.Now)})
		}
	}
	if d := r.Domain; d != nil && d.Drift {
		out = append(out, alert.Column{Column: "all columns", Role: "together", Text: fmt.Sprintf("a classifier tells the rows from the reference's: AUC %.3g", d.AUC)})
	}
	return out
}

func driftedColumn(role, name string, c *monitor.Column, faults []monitor.Fault) alert.Column {
	out := alert.Column{Column: name, Role: role, Text: c.Reason}
	for _, f := range faults {
		if f.Column == name && role == "input" {
			out.Change, out.Text = f.Kind, f.Detail
			break
		}
	}
	if c.Change == nil {
		return out
	}
	out.Change, out.Text = c.Change.Kind, cmp.Or(c.Change.Text, out.Text)
	if s := c.Change.Since; s != nil {
		out.Since = &alert.Since{At: s.At, Lo: s.Lo, Hi: s.Hi, Before: s.Before}
	}
	return out
}

// sendAlerts sends what waits in the outbox, if this run was one of a job.
// What fails is a warning and stays there for the next run.
func (a *app) sendAlerts(ctx context.Context) {
	if !a.ranJob || !a.alerting() {
		return
	}
	outbox := a.outbox()
	if ids, err := outbox.List(); err == nil && len(ids) == 0 {
		return
	}
	res, err := outbox.Deliver(ctx, a.channels())
	if err = errors.Join(append(res.Faults, err)...); err == nil {
		return
	}
	waiting := ""
	if res.Waiting > 0 {
		waiting = fmt.Sprintf("; events that wait for the next run of a job: %d", res.Waiting)
	}
	a.warn("alert: %s%s", strings.ReplaceAll(err.Error(), "\n", "; "), waiting)
}

// checkAlert: what alerts need is there. Nothing is sent.
func (a *app) checkAlert() []check {
	if !a.alerting() {
		return nil
	}
	var out []check
	if a.conf.Alert.Webhook != "" {
		out = append(out, a.checkWebhook())
	}
	if c := a.conf.Alert.Command; len(c) > 0 {
		program, err := (&alert.Command{Args: c, Dir: a.root}).Program()
		if err != nil {
			out = append(out, fault("alert command", "install it, or mend alert.command", "%v", err))
		} else {
			out = append(out, ok("alert command", "%s", program))
		}
	}
	ids, err := a.outbox().List()
	switch {
	case err != nil:
		out = append(out, fault("alert outbox", "", "%v", err))
	case len(ids) > 0:
		out = append(out, warning("alert outbox", "healml alert test says what is wrong with a channel", "events that wait to be sent: %d", len(ids)))
	}
	return out
}

func (a *app) checkWebhook() check {
	const name = "alert webhook"
	u, err := alert.ParseURL(a.conf.Alert.Webhook)
	if err != nil {
		return fault(name, "mend alert.webhook", "%v", err)
	}
	key, err := a.alertKey()
	if err != nil {
		return fault(name, "let this user read the file, or put a key into it", "%v", err)
	}
	if path := a.secretFile(); path != "" {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			return warning(name, "chmod o= "+path, "%s can be read by everybody (mode %04o)", path, info.Mode().Perm())
		}
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return warning(name, "use https, if the receiver has it", "%s: what is sent can be read on its way", alert.Redacted(u))
	}
	signed := "signed"
	if key == nil {
		signed = "not signed: alert.secret is not set"
	}
	return ok(name, "%s, %s; healml alert test tries it", alert.Redacted(u), signed)
}
