package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/guptarohit/asciigraph"
	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// The demo's story: train on what is known by demoStart, then live through the
// rest in steps of demoStep, with actuals coming in one step late.
var (
	demoStart = time.Date(2023, time.November, 1, 0, 0, 0, 0, time.UTC)
	demoStep  = 14 * 24 * time.Hour
)

const (
	demoDir    = "healml-demo"
	demoMarker = ".healml-demo"
	demoBatch  = 500 // rows of a request
)

func newDemoCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See the whole loop in a minute: train, serve, drift, heal, hot-swap",
		Long: `Trains on two years of a shop's daily sales, serves the model, and lives through
a year in which prices rise, a region opens and buyers change, in fast-forward:
requests over HTTP, actuals that follow, drift and retrain as cron would run
them. Leaves the folder ` + demoDir + ` (or --root) to look at.`,
		Example: "  healml demo",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), a)
		},
	}
}

// demo is one run: a server, a client, and the jobs, on a clock of its own.
type demo struct {
	*app
	at     atomic.Int64 // µs UTC
	shop   *table.Table
	shifts []synth.Shift
	first  *model.Model // what would serve still, had nobody healed it

	url      string
	requests int
	failed   int
	pending  []demoActual // served, truth not yet told
	steps    []demoPoint
	healed   []string
}

type demoActual struct {
	ID     string  `json:"prediction_id"`
	Actual float64 `json:"actual"`
}

// demoPoint is one step of the story.
type demoPoint struct {
	From   time.Time `json:"from"`
	Still  float64   `json:"mae_without_healing"`
	Healed float64   `json:"mae"`
}

func runDemo(ctx context.Context, a *app) error {
	if !a.flags.Changed("root") {
		a.root = demoDir
	}
	if err := prepareDemoDir(a.root); err != nil {
		return err
	}
	d := &demo{app: a}
	d.setClock(demoStart)
	a.now = d.time
	a.conf = config.Default()
	a.conf.Drift.Window = demoStep
	a.conf.Data, a.conf.Target, a.conf.Time = "data/sales.csv", "sales", "date"
	a.quiet = true
	a.log = slog.New(slog.DiscardHandler)
	start := a.clock()
	if err := d.train(ctx); err != nil {
		return err
	}
	if err := d.live(ctx); err != nil {
		return err
	}
	return d.summary(a.clock().Sub(start))
}

// prepareDemoDir makes the folder, in place of that of an earlier demo.
func prepareDemoDir(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look into %s: %w", dir, err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, demoMarker)); err != nil {
			return usageError{fmt.Errorf("%s is there and is no demo's folder; name another with --root", dir)}
		}
		if err := durable.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := durable.MkdirAll(filepath.Join(dir, "data")); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, demoMarker), []byte("made by healml demo; it replaces this folder\n"))
}

func (d *demo) time() time.Time        { return time.UnixMicro(d.at.Load()).UTC() }
func (d *demo) setClock(now time.Time) { d.at.Store(now.UnixMicro()) }

func (d *demo) say(format string, args ...any) {
	if d.json() {
		return
	}
	fmt.Fprintf(d.stdout, format+"\n", args...)
}

// train writes what is known by demoStart and the configuration, and makes the
// first version.
func (d *demo) train(ctx context.Context) error {
	d.shop, d.shifts = synth.Sales(1, synth.Options{})
	n := d.rowAt(demoStart)
	if err := table.Write(d.path("data", "sales.csv"), d.shop.Slice(0, n)); err != nil {
		return err
	}
	sub := d.silent()
	if err := runInit(sub, d.path("data", "sales.csv"), initOptions{dataOptions: dataOptions{target: "sales", time: "date"}}); err != nil {
		return err
	}
	sub.conf = d.conf
	if err := runTrain(ctx, sub, d.path("data", "sales.csv"), trainOptions{dataOptions: dataOptions{target: "sales", time: "date"}}, nil); err != nil {
		return err
	}
	loaded, err := d.load("")
	if err != nil {
		return err
	}
	d.first = loaded.Model
	m := loaded.Metrics
	d.say("%s  trained %s on %d days of sales: mae %.3g on rows it had not seen, %.3g for a constant",
		day(demoStart), loaded.Manifest.Version, int(demoStart.Sub(synth.Start).Hours()/24), m.Holdout["mae"], m.Baseline["mae"])
	return nil
}

// silent is the app with nobody listening, for running commands inside.
func (d *demo) silent() *app {
	sub := *d.app
	sub.stdout, sub.stderr = io.Discard, io.Discard
	return &sub
}

// rowAt is the first row of the shop's data that is not before t.
func (d *demo) rowAt(t time.Time) int {
	times := d.shop.Column("date").Times
	lo := 0
	for lo < len(times) && times[lo] < t.UnixMicro() {
		lo++
	}
	return lo
}

// live serves and lives through the rest of the data.
func (d *demo) live(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	d.url = "http://" + ln.Addr().String()
	d.conf.Serve.Address = ln.Addr().String()
	d.conf.Serve.Poll = 20 * time.Millisecond
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	server := &serving{app: d.app}
	go func() { served <- server.run(ctx, ln) }()
	d.say("%s  serving on %s", day(demoStart), d.url)
	err = d.liveThrough(ctx)
	stop()
	return errors.Join(err, <-served)
}

func (d *demo) liveThrough(ctx context.Context) error {
	times := d.shop.Column("date").Times
	end := time.UnixMicro(times[len(times)-1]).UTC()
	for from := demoStart; from.Before(end); from = from.Add(demoStep) {
		for _, s := range d.shifts {
			if !s.Date.Before(from) && s.Date.Before(from.Add(demoStep)) {
				d.say("%s  the world changes: %s", day(s.Date), s.What)
			}
		}
		d.setClock(from.Add(demoStep - time.Hour))
		if err := d.serveStep(ctx, from); err != nil {
			return err
		}
		if err := d.jobs(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serveStep sends the actuals of the step before, then this step's rows.
func (d *demo) serveStep(ctx context.Context, from time.Time) error {
	for lo := 0; lo < len(d.pending); lo += demoBatch {
		if err := d.post(ctx, "/actuals", d.pending[lo:min(lo+demoBatch, len(d.pending))], nil); err != nil {
			return err
		}
	}
	d.pending = nil
	rows := d.shop.Slice(d.rowAt(from), d.rowAt(from.Add(demoStep)))
	truth := rows.Column("sales").Floats
	still, err := d.first.PredictTable(rows, 0)
	if err != nil {
		return err
	}
	point := demoPoint{From: from}
	for lo := 0; lo < rows.NumRows(); lo += demoBatch {
		hi := min(lo+demoBatch, rows.NumRows())
		answers := []struct {
			ID    string  `json:"prediction_id"`
			Sales float64 `json:"predicted_sales"`
		}{}
		if err := d.post(ctx, "/predict", requests(rows.Slice(lo, hi)), &answers); err != nil {
			return err
		}
		if len(answers) != hi-lo {
			d.failed++
			continue
		}
		for i, ans := range answers {
			d.pending = append(d.pending, demoActual{ans.ID, truth[lo+i]})
			point.Healed += math.Abs(ans.Sales - truth[lo+i])
			point.Still += math.Abs(still.Outputs[lo+i] - truth[lo+i])
		}
	}
	point.Healed /= float64(rows.NumRows())
	point.Still /= float64(rows.NumRows())
	d.steps = append(d.steps, point)
	return nil
}

// requests are rows as a client would send them.
func requests(t *table.Table) []map[string]any {
	out := make([]map[string]any, t.NumRows())
	for i := range out {
		out[i] = map[string]any{}
		for _, c := range t.Columns() {
			switch {
			case c.Name == "sales":
			case c.Type == table.Float:
				out[i][c.Name] = c.Floats[i]
			default:
				out[i][c.Name] = c.Format(i)
			}
		}
	}
	return out
}

// post sends one request; an answer other than success counts as failed.
func (d *demo) post(ctx context.Context, route string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+route, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	d.requests++
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		d.failed++
		return nil
	}
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", route, err)
	}
	return nil
}

// jobs runs drift and retrain as cron would, and waits until the server took
// over what was promoted.
func (d *demo) jobs(ctx context.Context) error {
	sub := d.silent()
	w := liveWindow{from: d.time().Add(-demoStep), to: d.time()}
	if err := sub.job("drift", func() error { return runDrift(ctx, sub, w) }); err != nil && !isSilent(err) {
		return err
	}
	r, err := d.lastReport()
	if err != nil || r == nil {
		return err
	}
	if r.Drift {
		d.say("%s  drift: %s", day(d.time()), r.Verdict)
	}
	var version string
	err = sub.job("retrain", func() error {
		in, err := sub.heal(ctx, retrainOptions{})
		if err != nil {
			return err
		}
		if in.Promoted {
			version = in.Version
			d.healed = append(d.healed, version)
			d.say("%s  healed: %s is in force; %s", day(d.time()), version, in.Reason)
		} else if len(in.Trials) > 0 {
			d.say("%s  kept: %s", day(d.time()), in.Reason)
		}
		return nil
	})
	if err != nil || version == "" {
		return err
	}
	return d.await(ctx, version)
}

// await returns when the server says that it serves version.
func (d *demo) await(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/health", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("wait for the server to take over %s: %w", version, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if strings.Contains(string(b), version) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// summary ends the story with figures, a chart and what to look at.
func (d *demo) summary(took time.Duration) error {
	still, healed := make([]float64, len(d.steps)), make([]float64, len(d.steps))
	var sumStill, sumHealed float64
	for i, p := range d.steps {
		still[i], healed[i] = p.Still, p.Healed
		sumStill += p.Still
		sumHealed += p.Healed
	}
	n := float64(len(d.steps))
	result := struct {
		Root     string      `json:"root"`
		Requests int         `json:"requests"`
		Failed   int         `json:"failed"`
		Versions []string    `json:"versions"`
		Still    float64     `json:"mae_without_healing"`
		Healed   float64     `json:"mae"`
		Steps    []demoPoint `json:"steps"`
		Seconds  float64     `json:"seconds"`
	}{d.root, d.requests, d.failed, append([]string{d.first.Version}, d.healed...), sumStill / n, sumHealed / n, d.steps, took.Seconds()}
	err := d.print(result, func(w io.Writer) error {
		o := []asciigraph.Option{asciigraph.Height(10), asciigraph.Width(72), asciigraph.Caption("mean absolute error by fortnight: ┈ left alone, ─ healed")}
		if d.colour(w) {
			o = append(o, asciigraph.SeriesColors(asciigraph.Red, asciigraph.Green), asciigraph.SeriesLegends("left alone", "healed"), asciigraph.Caption("mean absolute error by fortnight"))
		} else {
			o = append(o, asciigraph.SeriesChars(asciigraph.CreateCharSet("┈"), asciigraph.CreateCharSet("─")))
		}
		fmt.Fprintf(w, "\n%s\n\n", asciigraph.PlotMany([][]float64{still, healed}, o...))
		fmt.Fprintf(w, "%d requests, %d failed; %d versions; mae %.3g with healing, %.3g without (%+.0f %%); %.1f s\n",
			result.Requests, result.Failed, len(result.Versions), result.Healed, result.Still, 100*(result.Healed/result.Still-1), result.Seconds)
		_, err := fmt.Fprintf(w, `
Look around:
  healml --root %[1]s models list
  healml --root %[1]s incidents show
  healml --root %[1]s reports show
  healml --root %[1]s log stat
  healml --root %[1]s serve      # and: curl -s -d '{"date":"2024-12-10","category":"Electronics","region":"North","price":1000,"promo":1}' 127.0.0.1:8080/predict
`, d.root)
		return err
	})
	if err == nil && d.failed > 0 {
		return fmt.Errorf("%d of %d requests failed", d.failed, d.requests)
	}
	return err
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
