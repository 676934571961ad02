package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/train"
)

type trainOptions struct {
	dataOptions
	holdout float64
	threads int
	metric  string
	set     []string
	out     string
	// From what training starts, and what rows weigh.
	resume   string
	refit    string
	halfLife string
}

func newTrainCommand(a *app) *cobra.Command {
	var o trainOptions
	cmd := &cobra.Command{
		Use:   "train [DATA]",
		Short: "Fit, evaluate, publish a version and promote it if it passes the gate",
		Long: `Fits a model, measures it on the newest rows against a constant prediction and
against the version in force, publishes it as a new version below
exported_model/ and promotes it when the gate passes.

With --continue VERSION it grows more trees on those of a version, and with
--refit VERSION it keeps a version's trees and learns their leaves anew: both
take the version's features as they are, and want rows that it has not seen.

With --out it only fits, on every row, and writes a LightGBM text file.
Parameters carry LightGBM's names.`,
		Example: "  healml train sales.csv --target sales --time date --set num_leaves=63",
		Args:    atMostOneArg("DATA"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("holdout") {
				a.conf.Train.Holdout = o.holdout
			}
			if cmd.Flags().Changed("threads") {
				a.conf.Train.Threads = o.threads
			}
			if o.metric != "" {
				a.conf.Metric = o.metric
			}
			if err := a.conf.Validate(); err != nil {
				return usageError{err}
			}
			set, err := o.parameters(a.conf.Train.Set)
			if err != nil {
				return err
			}
			path, err := a.dataPath(args)
			if err != nil {
				return err
			}
			switch {
			case o.resume != "" && o.refit != "":
				return usageError{errors.New("--continue and --refit start from one version: name it once")}
			case o.out != "" && (o.resume != "" || o.refit != "" || o.halfLife != ""):
				return usageError{errors.New("--out only fits: it takes no --continue, --refit or --half-life")}
			}
			if o.out != "" {
				return runFit(cmd.Context(), a, path, o, set)
			}
			return a.measured("train", func() error { return runTrain(cmd.Context(), a, path, o, set) })
		},
	}
	addDataFlags(a, cmd, &o.dataOptions)
	f := cmd.Flags()
	f.Float64Var(&o.holdout, "holdout", 0.2, "share of the newest rows kept apart to measure on")
	f.IntVar(&o.threads, "threads", 0, "threads (0: every core); the model does not depend on it")
	f.StringVar(&o.metric, "metric", "", "what is compared: mae, rmse, mae_log1p; logloss, auc, accuracy, brier")
	f.StringArrayVar(&o.set, "set", nil, "a LightGBM parameter, `key=value`; may be repeated")
	f.StringVar(&o.resume, "continue", "", "grow more trees on those of this `version`, or of the current one")
	f.StringVar(&o.refit, "refit", "", "keep the trees of this `version`, or the current one, and learn their leaves anew")
	f.StringVar(&o.halfLife, "half-life", "", "age at which a row weighs half as much as a new one, as in `90d`; needs times")
	f.StringVar(&o.out, "out", "", "only fit, on every row, and write this LightGBM text file")
	return cmd
}

// start applies --continue, --refit and --half-life to the rows.
func (o *trainOptions) start(a *app, rows *train.Rows, set map[string]string) (*train.Rows, error) {
	if o.halfLife != "" {
		d, err := config.ParseDuration(o.halfLife)
		if err != nil || d <= 0 {
			return nil, usageError{fmt.Errorf("--half-life %s, expected a time above 0, as in 90d", o.halfLife)}
		}
		if rows.Times == nil {
			return nil, usageError{errors.New("--half-life needs the times of rows: name their column with --time")}
		}
		rows.HalfLife = d
	}
	name := cmp.Or(o.resume, o.refit)
	if name == "" {
		return rows, nil
	}
	if name == "current" {
		name = ""
	}
	base, err := a.load(name)
	if err != nil {
		return nil, err
	}
	if rows, err = rows.Under(base.Model.Template); err != nil {
		return nil, err
	}
	rows.Base, rows.Refit = base.Model.Trees, o.refit != ""
	if _, named := set["objective"]; !named {
		line := strings.Fields(base.Model.Trees.Objective)
		set["objective"] = line[0]
		if slices.Contains(line, "sqrt") {
			set["reg_sqrt"] = "true"
		}
	}
	return rows, nil
}

// parameters are the --set flags over those of the configuration.
func (o *trainOptions) parameters(base map[string]string) (map[string]string, error) {
	set := maps.Clone(base)
	if set == nil {
		set = map[string]string{}
	}
	for _, kv := range o.set {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %s, expected key=value", kv)}
		}
		set[strings.TrimSpace(k)] = v
	}
	return set, nil
}

// trainResult is what train prints.
type trainResult struct {
	Version  string             `json:"version"`
	Promoted bool               `json:"promoted"`
	Metric   string             `json:"metric"`
	Metrics  map[string]float64 `json:"metrics"`
	Baseline map[string]float64 `json:"baseline"`
	Last     map[string]float64 `json:"last_value"`
	Champion map[string]float64 `json:"champion,omitempty"`
	Rows     int                `json:"rows"`
	Holdout  int                `json:"holdout_rows"`
	Features []string           `json:"features"`
	Gate     train.Verdict      `json:"gate"`
}

func runTrain(ctx context.Context, a *app, path string, o trainOptions, set map[string]string) error {
	t, inf, err := a.readLabelled(path, o.dataOptions, set)
	if err != nil {
		return err
	}
	a.tell(inf)
	rows, err := train.Prepare(t, inf, train.TimesOf(t, inf.Time), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if rows.Unlabelled > 0 {
		a.warn("%d rows have no %s and are left out", rows.Unlabelled, inf.Target)
	}
	rows.Hide = a.conf.Train.Hide
	if rows, err = o.start(a, rows, set); err != nil {
		return err
	}
	bar := a.progress()
	defer bar.done()
	res, err := train.Run(ctx, rows, train.Options{
		Metric: score.Metric(a.conf.Metric), Holdout: a.conf.Train.Holdout, Seed: a.conf.Seed, Threads: a.conf.Train.Threads, Set: set, Progress: bar.step,
	})
	if err != nil {
		return err
	}
	bar.done()
	champion, err := a.champion()
	if err != nil {
		return err
	}
	verdict, err := res.Gate(champion, a.conf.Retrain.Confidence, a.conf.Seed)
	if err != nil {
		return err
	}
	if err := a.passGolden(res, champion, &verdict); err != nil {
		return err
	}
	bundle, err := bundleOf(res, a.now())
	if err != nil {
		return err
	}
	if bundle.Lineage.DataSHA256, err = dataDigest(path); err != nil {
		return err
	}
	bundle.Lineage.DataFile, bundle.Lineage.Seed, bundle.Lineage.CreatedBy, bundle.Lineage.Program = path, a.conf.Seed, "train", version
	bundle.Lineage.Parameters, bundle.Lineage.Reason = set, "trained by hand"
	bundle.Metrics.Champion = verdict.Champion
	if champion != nil {
		bundle.Lineage.Parent = champion.Model.Version
	}
	reg := a.registry()
	name, err := reg.Publish(bundle)
	if err != nil {
		return err
	}
	if verdict.Passed {
		if err := reg.Promote(name, strings.Join(verdict.Reasons, "; "), a.now()); err != nil {
			return err
		}
	}
	return a.printTrained(res, name, verdict)
}

// passGolden turns a model away that loses on the golden rows.
func (a *app) passGolden(res *train.Result, champion *train.Champion, v *train.Verdict) error {
	if champion == nil || !v.Passed {
		return nil
	}
	golden, err := a.golden(champion.Model.Template)
	if golden == nil || err != nil {
		return err
	}
	m, err := res.Model("the challenger")
	if err != nil {
		return err
	}
	if m.Template.Task != champion.Model.Template.Task || m.Template.Target != champion.Model.Template.Target {
		return nil
	}
	veto, err := golden.Loses(m, champion.Model, score.Metric(a.conf.Metric), a.conf.Retrain.Margin, a.conf.Train.Threads)
	if veto != "" {
		v.Passed, v.Reasons = false, append(v.Reasons, veto)
	}
	return err
}

// champion is the version in force as the gate needs it; nil when there is none.
func (a *app) champion() (*train.Champion, error) {
	loaded, err := a.load("")
	if isNoCurrent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &train.Champion{Model: loaded.Model, Learned: loaded.Manifest.Lineage.To}, nil
}

// bundleOf is a result as the registry publishes it.
func bundleOf(res *train.Result, now time.Time) (*registry.Bundle, error) {
	rows := res.Rows
	reference, err := res.Reference(train.ReferenceRows)
	if err != nil {
		return nil, err
	}
	m := &registry.Metrics{
		Metric: string(res.Metric), Rows: rows.Len() - res.Test,
		Holdout: res.Holdout, Baseline: res.Baseline, Last: res.Last, Iterations: res.Best,
		Importance: registry.NewImportance(rows.Template, res.Trees, res.Permutation, string(res.Metric), res.Permuted),
	}
	m.From, m.To = rows.Span(res.Test, rows.Len())
	b := &registry.Bundle{
		Template: rows.Template, Trees: res.Trees, Reference: reference, Golden: rows.Sample(res.Test, registry.GoldenRows), Metrics: m, Estimator: res.Estimator, Created: now,
		Lineage: registry.Lineage{Rows: rows.Len(), Dropped: rows.Template.Ignored},
	}
	b.Lineage.From, b.Lineage.To = rows.Span(0, rows.Len())
	return b, nil
}

func (a *app) printTrained(res *train.Result, name string, v train.Verdict) error {
	features := make([]string, len(res.Rows.Template.Features))
	for i, f := range res.Rows.Template.Features {
		features[i] = f.Name
	}
	out := trainResult{
		Version: name, Promoted: v.Passed, Metric: string(res.Metric), Metrics: res.Holdout, Baseline: res.Baseline, Last: res.Last, Champion: v.Champion,
		Rows: res.Rows.Len(), Holdout: res.Rows.Len() - res.Test, Features: features, Gate: v,
	}
	if err := a.print(out, func(w io.Writer) error { return out.text(w, res) }); err != nil {
		return err
	}
	if !v.Passed {
		return outcome(exitRejected)
	}
	return nil
}

func (r trainResult) text(w io.Writer, res *train.Result) error {
	t := newTable(w, "metric", "model", "constant", "last value", "champion")
	for _, m := range score.Metrics(res.Rows.Template.Task) {
		name := string(m)
		t.AppendRow(row(name, number(r.Metrics, name), number(r.Baseline, name), number(r.Last, name), number(r.Champion, name)))
	}
	t.Render()
	fmt.Fprintf(w, "%d rows, measured on the newest %d; %d trees on %s\n", r.Rows, r.Holdout, len(res.Trees.Trees), strings.Join(r.Features, ", "))
	for _, reason := range r.Gate.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	state := "promoted: it serves now"
	if !r.Promoted {
		state = "not promoted"
	}
	_, err := fmt.Fprintf(w, "%s %s\n", r.Version, state)
	return err
}

// number shows one value of a map, - when it is not there.
func number(m map[string]float64, key string) string {
	v, ok := m[key]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.5g", v)
}
