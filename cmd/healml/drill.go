package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/drill"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

type drillOptions struct {
	fault, column string
	size, share   float64
	steps         int
	work          string
	all           bool
	bounds        drill.Bounds
}

// leastDrill is the least number of labelled rows of a step.
const leastDrill = 100

func newDrillCommand(a *app) *cobra.Command {
	var o drillOptions
	var kinds []string
	for _, k := range drill.Kinds {
		kinds = append(kinds, string(k))
	}
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Rehearse a fault on a copy of the log: is it seen, and what does healing make of it",
		Long: `Takes the logged rows whose truth is known, and the oldest version that had not
learnt from them, into a folder of its own, and lives through them again in
steps: predict, log, actuals, drift, retrain. Once as they were, once with a
fault, and once with the fault and nobody healing. Nothing under the root is
changed. Exits with 12 when the drill failed.

Faults: ` + strings.Join(kinds, ", ") + ".",
		Example: "  healml drill --fault unit-jump\n  healml drill --fault rename --column region\n  healml drill --all -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.all == (o.fault != "") {
				return usageError{errors.New("name one fault with --fault, or run all with --all")}
			}
			if !o.all && !slices.Contains(drill.Kinds, drill.Kind(o.fault)) {
				return usageError{fmt.Errorf("--fault is %q, expected one of %s", o.fault, strings.Join(kinds, ", "))}
			}
			if o.steps < 6 || o.size <= 0 || !(o.share > 0 && o.share <= 1) {
				return usageError{errors.New("expected --steps from 6, --size above 0, and --share above 0 and at most 1")}
			}
			return runDrill(cmd.Context(), a, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.fault, "fault", "", "what goes wrong")
	f.BoolVar(&o.all, "all", false, "rehearse every fault that the columns allow")
	f.StringVar(&o.column, "column", "", "where (default: the column of that kind that the model rests on most)")
	f.Float64Var(&o.size, "size", 0, "factor of a unit jump (default 100) and of poisoned numbers (default 10)")
	f.Float64Var(&o.share, "share", 0.2, "part of a step's labels that is poisoned")
	f.IntVar(&o.steps, "steps", 12, "steps that the log is cut into, 6 at least")
	f.StringVar(&o.work, "work", "", "live in this folder, which must be empty or new, and leave it (default: a temporary one)")
	f.IntVar(&o.bounds.MaxDelay, "max-delay", 2, "steps after which the fault must have been seen")
	f.Float64Var(&o.bounds.MaxAfter, "max-after", 1.05, "loss after the fault, over that without one, that passes")
	f.Lookup("size").DefValue = ""
	cmd.PreRun = func(*cobra.Command, []string) {
		if !f.Changed("size") {
			o.size = 100
			if o.fault == string(drill.Poison) {
				o.size = 10
			}
		}
	}
	return cmd
}

// drillResult is one rehearsal as it is printed.
type drillResult struct {
	drill.Fault
	Version string        `json:"version"`
	Metric  score.Metric  `json:"metric"`
	Verdict drill.Verdict `json:"verdict"`
	Steps   []drill.Step  `json:"steps"`
}

func runDrill(ctx context.Context, a *app, o drillOptions) error {
	d, err := a.newDrill(o)
	if err != nil {
		return err
	}
	work, done, err := drillFolder(o.work)
	if err != nil {
		return err
	}
	defer done()
	bar := a.progress()
	defer bar.done()
	clean, err := d.live(ctx, filepath.Join(work, "clean"), drill.Fault{}, bar)
	if err != nil {
		return err
	}
	var results []drillResult
	for _, kind := range drill.Kinds {
		if !o.all && kind != drill.Kind(o.fault) {
			continue
		}
		f, ok, err := d.fault(kind, o)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		r, err := d.rehearse(ctx, filepath.Join(work, string(kind)), f, clean, o.bounds, bar)
		if err != nil {
			return fmt.Errorf("drill %s: %w", kind, err)
		}
		results = append(results, *r)
	}
	bar.done()
	return a.printDrill(results)
}

func (a *app) printDrill(results []drillResult) error {
	out := struct {
		Passed bool          `json:"passed"`
		Drills []drillResult `json:"drills"`
	}{true, results}
	for _, r := range results {
		out.Passed = out.Passed && r.Verdict.Passed
	}
	if err := a.print(out, func(w io.Writer) error { return tellDrills(w, results) }); err != nil {
		return err
	}
	if !out.Passed {
		return outcome(exitDrill)
	}
	return nil
}

// drillFolder is where a drill lives, and what to do at its end.
func drillFolder(named string) (dir string, done func(), err error) {
	if named == "" {
		dir, err = os.MkdirTemp("", "healml-drill-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	entries, err := os.ReadDir(named)
	if err == nil && len(entries) > 0 {
		return "", nil, usageError{fmt.Errorf("%s is not empty: name a new folder with --work", named)}
	}
	return named, func() {}, durable.MkdirAll(named)
}

// drilling is what all rehearsals share.
type drilling struct {
	*app
	base   *registry.Loaded // the version that the log begins with
	rows   *table.Table     // as they were sent, in the order of time
	labels []float64
	times  []int64
	cuts   []int // rows of step k: [cuts[k], cuts[k+1])
	metric score.Metric
	mean   float64 // of the labels
}

func (a *app) newDrill(o drillOptions) (*drilling, error) {
	d := &drilling{app: a}
	names, err := a.registry().Versions()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		l, err := a.registry().Load(name)
		if err != nil {
			a.warn("%v", err)
			continue
		}
		if d.base == nil || l.Manifest.Lineage.To.Before(d.base.Manifest.Lineage.To) {
			d.base = l
		}
	}
	if d.base == nil {
		l, err := a.load("")
		if err != nil {
			return nil, err
		}
		d.base = l
	}
	if err := d.takeRows(); err != nil {
		return nil, err
	}
	n := d.rows.NumRows()
	if n < o.steps*leastDrill {
		return nil, fmt.Errorf("%w: %d logged rows that %s had not learnt from have their truth, a drill of %d steps needs %d: let more actuals come in (healml log stat), or name fewer --steps",
			errBadData, n, d.base.Manifest.Version, o.steps, o.steps*leastDrill)
	}
	for k := range o.steps + 1 {
		d.cuts = append(d.cuts, k*n/o.steps)
	}
	t := d.base.Model.Template
	d.metric = train.RowMetric(score.Metric(d.base.Metrics.Metric), t.Task)
	d.mean = score.Mean(d.labels)
	return d, nil
}

// takeRows reads the labelled rows of the log that the first version does not
// know.
func (d *drilling) takeRows() error {
	t := d.base.Model.Template
	joined, _, err := d.joined(t.Task, math.MinInt64, d.now().UnixMicro()+1)
	if err != nil {
		return err
	}
	order := joined.Column(t.Time)
	if t.Time == "" || order == nil || order.Type != table.Time {
		order = joined.Column(predlog.ColumnTime)
	}
	labels := feature.Labels(joined.Column(predlog.ColumnActual), t.Classes)
	var rows []int
	for i, y := range labels {
		if !math.IsNaN(y) && !math.IsInf(y, 0) && !order.Missing(i) && order.Times[i] > d.base.Manifest.Lineage.To.UnixMicro() {
			rows = append(rows, i)
		}
	}
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(order.Times[a], order.Times[b]) })
	var cols []*table.Column
	for _, c := range t.Columns {
		if given := joined.Column(c.Name); given != nil {
			cols = append(cols, given.Take(rows))
		}
	}
	for _, i := range rows {
		d.labels, d.times = append(d.labels, labels[i]), append(d.times, order.Times[i])
	}
	d.rows, err = table.New(cols...)
	return err
}

// fault is one of a kind in this log; not ok when no column can have it.
func (d *drilling) fault(kind drill.Kind, o drillOptions) (f drill.Fault, ok bool, err error) {
	steps := len(d.cuts) - 1
	f = drill.Fault{Kind: kind, From: steps / 3, To: steps/3 + 2, Seed: d.conf.Seed}
	switch kind {
	case drill.Concept:
		f.To = steps
		return f, true, nil
	case drill.Poison:
		f.To, f.Size, f.Share = f.From+1, o.size, o.share
		if o.all {
			f.Size = 10
		}
		return f, true, nil
	case drill.Late:
		return f, true, nil
	case drill.UnitJump:
		f.Size = o.size
	}
	t := d.base.Model.Template
	if o.column != "" && !o.all {
		k := t.Column(o.column)
		if k < 0 || !kind.Fits(t.Columns[k].Kind) {
			return f, false, usageError{fmt.Errorf("--column is %q: the model has no such column that %s fits", o.column, kind)}
		}
		f.Column = o.column
		return f, true, nil
	}
	weight := d.base.Model.GainShares()
	for _, c := range t.Columns {
		if kind.Fits(c.Kind) && d.rows.Column(c.Name) != nil && (f.Column == "" || weight[c.Name] > weight[f.Column]) {
			f.Column = c.Name
		}
	}
	if f.Column == "" && !o.all {
		return f, false, usageError{fmt.Errorf("--fault %s: the model has no column that it fits", kind)}
	}
	return f, f.Column != "", nil
}

// rehearse lives through a fault, with healing and, in numbers alone, without.
func (d *drilling) rehearse(ctx context.Context, root string, f drill.Fault, clean []drill.Step, b drill.Bounds, bar *progress) (*drillResult, error) {
	steps, err := d.live(ctx, root, f, bar)
	if err != nil {
		return nil, err
	}
	for k := range steps {
		steps[k].Clean = clean[k].On
		rows, truth, _, err := d.step(f, k)
		if err != nil {
			return nil, err
		}
		p, err := d.base.Model.PredictTable(rows, d.conf.Train.Threads)
		if err != nil {
			return nil, err
		}
		if steps[k].Off, err = d.loss(p, truth); err != nil {
			return nil, err
		}
	}
	return &drillResult{Fault: f, Version: d.base.Manifest.Version, Metric: d.metric, Steps: steps, Verdict: drill.Judge(f, steps, b)}, nil
}

// step are the rows of a step as they come in, what happens, and what is told.
func (d *drilling) step(f drill.Fault, k int) (rows *table.Table, truth, told []float64, err error) {
	lo, hi := d.cuts[k], d.cuts[k+1]
	classes := len(d.base.Model.Template.Classes)
	if rows, err = f.Inputs(d.rows.Slice(lo, hi), k); err != nil {
		return nil, nil, nil, err
	}
	truth = f.Truth(d.labels[lo:hi], k, classes, d.mean)
	return rows, truth, f.Told(truth, k, classes), nil
}

func (d *drilling) loss(p *model.Predictions, truth []float64) (float64, error) {
	t := d.base.Model.Template
	l, err := score.Losses(d.metric, t.Task, truth, p.Outputs, t.Outputs())
	return score.Mean(l), err
}

// root makes a root with the first version alone, and the app to live there.
func (d *drilling) root(root string) (*app, error) {
	version := d.base.Manifest.Version
	to := filepath.Join(root, "exported_model", version)
	if err := os.CopyFS(to, os.DirFS(filepath.Join(d.path("exported_model"), version))); err != nil {
		return nil, fmt.Errorf("copy %s: %w", version, err)
	}
	conf := *d.conf
	conf.Alert = config.Default().Alert
	conf.Retrain.Cooldown = 0 // steps may be short
	if conf.Data != "" && !filepath.IsAbs(conf.Data) {
		abs, err := filepath.Abs(d.path(conf.Data))
		if err != nil {
			return nil, err
		}
		conf.Data = abs
	}
	sub := *d.app
	sub.root, sub.conf, sub.quiet = root, &conf, true
	sub.stdout, sub.stderr, sub.log = io.Discard, io.Discard, slog.New(slog.DiscardHandler)
	began := time.UnixMicro(d.times[0] - 1).UTC()
	sub.now = func() time.Time { return began }
	return &sub, sub.registry().Promote(version, "drill", began)
}

// live goes through all steps with healing on; each has its loss in On.
func (d *drilling) live(ctx context.Context, root string, f drill.Fault, bar *progress) ([]drill.Step, error) {
	sub, err := d.root(root)
	if err != nil {
		return nil, err
	}
	var out []drill.Step
	var pending []func(now time.Time) error // labels that were not told yet
	last := sub.now()
	for k := range len(d.cuts) - 1 {
		bar.step(cmp.Or("drill: "+string(f.Kind), "drill"), k, len(d.cuts)-1)
		now := time.UnixMicro(d.times[d.cuts[k+1]-1] + 1).UTC()
		if !now.After(last) {
			now = last.Add(time.Second)
		}
		sub.now = func() time.Time { return now }
		s := drill.Step{Step: k, At: now.Format(time.RFC3339), Rows: d.cuts[k+1] - d.cuts[k], Fault: f.Kind != "" && f.In(k)}
		tell, err := d.predict(ctx, sub, f, k, &s)
		if err != nil {
			return nil, err
		}
		if pending = append(pending, tell); f.Kind != drill.Late || !f.In(k) && k >= f.From+drill.LateBy || k < f.From {
			for _, tell := range pending {
				if err := tell(now); err != nil {
					return nil, err
				}
			}
			pending = nil
		}
		if err := d.jobs(ctx, sub, f, liveWindow{from: last, to: now, latest: true}, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
		last = now
	}
	return out, nil
}

// predict serves a step, logs it, and returns what tells its labels.
func (d *drilling) predict(ctx context.Context, sub *app, f drill.Fault, k int, s *drill.Step) (tell func(time.Time) error, err error) {
	rows, truth, told, err := d.step(f, k)
	if err != nil {
		return nil, err
	}
	loaded, err := sub.load("")
	if err != nil {
		return nil, err
	}
	sound, changed, err := sub.repaired(ctx, loaded, rows)
	if err != nil {
		return nil, err
	}
	p, err := loaded.Model.PredictTable(sound, sub.conf.Train.Threads)
	if err != nil {
		return nil, err
	}
	for i, yes := range changed {
		if yes {
			p.Flags[i] |= model.Repaired
		}
	}
	if slices.Contains(changed, true) {
		s.Alarm = "the feed was repaired"
	}
	if s.On, err = d.loss(p, truth); err != nil {
		return nil, err
	}
	ids := make([]string, rows.NumRows())
	for i := range ids {
		ids[i] = fmt.Sprintf("drill-%02d-%06d", k, i)
	}
	id := table.Strings(predlog.ColumnID, ids)
	if err := sub.logBatch("drill", loaded.Model, rows, id, p, nil); err != nil {
		return nil, err
	}
	classes := loaded.Model.Template.Classes
	return func(now time.Time) error {
		at := make([]int64, len(told))
		texts := make([]string, len(told))
		for i, y := range told {
			at[i] = now.UnixMicro()
			if len(classes) > 0 {
				texts[i] = classes[int(y)]
			}
		}
		actual := table.Floats(predlog.ColumnActual, told)
		if len(classes) > 0 {
			actual = table.Strings(predlog.ColumnActual, texts)
		}
		_, _, err := predlog.WriteActuals(sub.actuals(), table.Must(id, actual, table.Times(predlog.ColumnActualTime, at)), "drill", fmt.Sprint("drill-", k))
		return err
	}, nil
}

// jobs runs drift and retrain as cron would, and notes what they found and did.
func (d *drilling) jobs(ctx context.Context, sub *app, f drill.Fault, w liveWindow, s *drill.Step) error {
	if err := sub.job("drift", func() error { return runDrift(ctx, sub, w) }); err != nil && !isSilent(err) {
		return err
	}
	r, err := sub.lastReport()
	if err != nil {
		return err
	}
	if r != nil && s.Alarm == "" {
		c := r.Columns[f.Column]
		if f.Column == "" && r.Drift || c != nil && c.Drift || len(r.Faults) > 0 {
			s.Alarm = r.Verdict
		}
	}
	return sub.guarded(guardPatience, func() error {
		in, err := sub.heal(ctx, retrainOptions{})
		if err != nil {
			return err
		}
		s.Action, s.Reason, s.Promoted = string(in.Action), in.Reason, in.Promoted
		s.Guarded = len(in.Excluded)+len(in.Repaired) > 0
		if in.Diagnosis != nil && len(in.Diagnosis.Causes) > 0 {
			s.Cause = in.Diagnosis.Causes[0].String()
		}
		if s.Alarm == "" && f.Column == "" && (in.Break != nil || in.Spoilt != nil) {
			s.Alarm = cmp.Or(strings.Join(in.Reasons, "; "), "labels look wrong")
		}
		return nil
	})
}
