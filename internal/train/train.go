package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
)

// Options steers [Run].
type Options struct {
	Metric  score.Metric      // what is compared; "" is the task's default
	Holdout float64           // share of the newest rows, (0, 0.5]
	Seed    uint64            // of everything random
	Threads int               // 0 takes every core
	Set     map[string]string // LightGBM parameters over the defaults
	// Progress, if not nil, is told what is being done: stage names the step,
	// done of total its iterations (total 0 when unknown).
	Progress func(stage string, done, total int)
}

// Result is a model fitted on every row, and what is known of its worth.
type Result struct {
	Rows   *Rows // under the final template
	Trees  *gbdt.Model
	Params fit.Params
	Metric score.Metric
	// Test is where the rows begin that the metrics were measured on. Holdout,
	// Baseline (the constant that is best without any feature: the mean, or
	// the class prior) and Last (the label of the row before) are by metric.
	Test     int
	Outputs  []float64 // predictions of the rows from Test on, row-major
	Holdout  map[string]float64
	Baseline map[string]float64
	Last     map[string]float64
	Best     int // trees an output, as early stopping chose
	// Permutation is, by raw column, how much worse Metric gets on Permuted of
	// the rows from Test on when the column is shuffled; nil when unknown.
	Permutation map[string]float64
	Permuted    int
	// Estimator says from the rows from Test on how the model will do on rows
	// without truth; nil when there are too few of them.
	Estimator *estimate.Estimator
}

// DefaultTrees is the greatest number of iterations when the user names none.
const DefaultTrees = 300

// Params are the parameters for a task: LightGBM's defaults, up to
// DefaultTrees iterations with early stopping, under what set says.
func Params(task schema.Task, classes int, seed uint64, threads int, set map[string]string) (fit.Params, error) {
	p := fit.Defaults()
	p.NumIterations = DefaultTrees
	p.EarlyStoppingRound = 30
	p.Seed = int(seed)
	p.NumThreads = threads
	switch task {
	case schema.Binary:
		p.Objective = "binary"
	case schema.Multiclass:
		p.Objective = "multiclass"
		p.NumClass = classes
	default:
		p.Objective = "regression"
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		if err := p.Set(k, set[k]); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Run trains on rows, which come without calendar features. The errors are
// those of fitting, and ctx's.
func Run(ctx context.Context, rows *Rows, o Options) (*Result, error) {
	plain, hide := *rows, rows.Hide
	plain.Hide = 0 // choosing and measuring see every cell
	rows = &plain
	tmpl := rows.Template
	if o.Metric == "" {
		o.Metric = score.Default(tmpl.Task)
	}
	if !o.Metric.Fits(tmpl.Task) {
		return nil, fmt.Errorf("metric %q does not fit a %s task, which has %v", o.Metric, tmpl.Task, score.Metrics(tmpl.Task))
	}
	p, err := Params(tmpl.Task, len(tmpl.Classes), o.Seed, o.Threads, o.Set)
	if err != nil {
		return nil, err
	}
	say := o.Progress
	if say == nil {
		say = func(string, int, int) {}
	}
	_, named := o.Set["objective"]
	tune := rows.Cut(1 - o.Holdout)
	test := rows.Cut(1 - o.Holdout/2)
	if test <= tune {
		test = tune + (rows.Len()-tune)/2
	}
	say("choose features", 0, 0)
	chosen := rows
	if rows.Base == nil { // else the template is the base's
		var cp fit.Params
		if chosen, cp, err = rows.choose(ctx, tune, p, o.Metric, !named); err != nil {
			return nil, err
		}
		p.RegSqrt = cp.RegSqrt
	}
	if len(chosen.Template.Features) == 0 {
		return nil, fmt.Errorf("%w: only times are left, and no calendar feature of them helps", feature.ErrNoFeatures)
	}
	r := &Result{Rows: chosen, Metric: o.Metric, Test: test}
	r.Params, err = chosen.tuned(ctx, tune, test, p, say)
	if err != nil {
		return nil, err
	}
	r.Best = r.Params.NumIterations
	if err := r.evaluate(ctx, o.Seed, say); err != nil {
		return nil, err
	}
	insured := *chosen
	insured.Hide = hide
	final, err := insured.Fit(ctx, 0, chosen.Len(), 0, r.Params, steps(say, "fit all rows", r.Best))
	if err != nil {
		return nil, err
	}
	r.Trees = final.Model
	r.Best = final.BestIteration
	return r, nil
}

// tuned returns p with the number of trees that predicts rows [tune, test)
// best, and without early stopping.
func (r *Rows) tuned(ctx context.Context, tune, test int, p fit.Params, say func(string, int, int)) (fit.Params, error) {
	if p.EarlyStoppingRound <= 0 || test <= tune || r.Refit {
		p.EarlyStoppingRound = 0
		return p, nil
	}
	res, err := r.Fit(ctx, 0, tune, test, p, steps(say, "find the number of trees", p.NumIterations))
	if err != nil {
		return p, err
	}
	grown := res.BestIteration
	if r.Base != nil {
		grown -= r.Base.NumIterations()
	}
	p.NumIterations = max(grown, 1)
	p.EarlyStoppingRound = 0
	return p, nil
}

func steps(say func(string, int, int), stage string, total int) func(int, float64) {
	return func(i int, _ float64) { say(stage, i, total) }
}

// evaluate measures a model of the rows before Test on those from it on.
func (r *Result) evaluate(ctx context.Context, seed uint64, say func(string, int, int)) error {
	rows, n := r.Rows, r.Rows.Len()
	res, err := rows.Fit(ctx, 0, r.Test, 0, r.Params, steps(say, "evaluate", r.Best))
	if err != nil {
		return err
	}
	if r.Outputs, err = rows.Predict(res.Model, r.Test, n, r.Params.NumThreads); err != nil {
		return err
	}
	task, k := rows.Template.Task, rows.Template.Outputs()
	labels := rows.Labels[r.Test:]
	before := rows.Labels[:r.Test]
	if r.Holdout, err = Evaluate(task, labels, r.Outputs, k); err != nil {
		return err
	}
	if r.Baseline, err = Evaluate(task, labels, score.Constant(constant(task, before, k, r.Metric), len(labels)), k); err != nil {
		return err
	}
	if r.Last, err = Evaluate(task, labels, lastValue(task, before, labels, k), k); err != nil {
		return err
	}
	if r.Estimator, err = rows.Estimator(ctx, r.Test, n, r.Outputs, r.Metric, r.Params.NumThreads); err != nil {
		return err
	}
	return r.permute(res.Model, seed)
}

// Estimator learns from rows [lo, hi), predicted by a model that had not seen
// them, how great errors will be. outputs are those of these rows, row-major;
// the result is nil when they say too little, see [estimate.Fit].
func (r *Rows) Estimator(ctx context.Context, lo, hi int, outputs []float64, m score.Metric, threads int) (*estimate.Estimator, error) {
	data := r.data(lo, hi)
	h := &estimate.Holdout{
		Task: r.Template.Task, Metric: m, K: r.Template.Outputs(), Labels: data.Label, Outputs: outputs,
		Features: data.Features, Names: data.Names, Categorical: data.Categorical, Threads: threads,
	}
	if r.Times != nil {
		h.Times = r.Times[lo:hi]
	}
	for i, c := range r.Template.Columns {
		h.Columns = append(h.Columns, estimate.Column{Name: c.Name, Kind: c.Kind, Levels: c.Levels, Values: r.batch.Raw[i][lo:hi]})
	}
	return estimate.Fit(ctx, h)
}

// constant is the prediction that is best for the metric without any feature.
func constant(task schema.Task, labels []float64, k int, m score.Metric) []float64 {
	switch {
	case task.Classified():
		return score.Prior(labels, k)
	case m == score.RMSEMetric:
		return []float64{score.Mean(labels)}
	default:
		return []float64{score.Median(labels)}
	}
}

// lastValue predicts the label of the row before: as if every label came at
// once, which a model in production does not get.
func lastValue(task schema.Task, before, labels []float64, k int) []float64 {
	last := score.LastValue(labels, before[len(before)-1])
	if !task.Classified() {
		return last
	}
	const sure = 0.95 // a probability of 1 would make the log loss of any miss infinite
	out := make([]float64, 0, k*len(last))
	for _, y := range last {
		for c := range k {
			if float64(c) == y {
				out = append(out, sure)
			} else {
				out = append(out, (1-sure)/float64(k-1))
			}
		}
	}
	return out
}

// Evaluate measures predictions by every metric of the task; a metric that is
// not defined on these rows (the AUC of one class) is left out.
func Evaluate(task schema.Task, labels, outputs []float64, k int) (map[string]float64, error) {
	out := map[string]float64{}
	for _, m := range score.Metrics(task) {
		v, err := score.Evaluate(m, task, labels, outputs, k)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[string(m)] = v
		}
	}
	return out, nil
}

// Model is the fitted model under a version's name.
func (r *Result) Model(version string) (*model.Model, error) {
	return model.New(version, r.Rows.Template, r.Trees)
}
