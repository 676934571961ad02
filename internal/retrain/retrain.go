// Package retrain is the healing job: it looks for a reason to act, gathers
// the labelled rows, lets cures compete with the champion on rows that none
// of them has learnt from, and publishes the winner if its gain is proven.
// What it saw, tried and decided is kept as an [Incident].
//
// The policy is in package heal; the statistics are in package score; this
// package moves the data.
package retrain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// Options steer [Run].
type Options struct {
	Policy  heal.Policy
	Sources Sources
	Reasons []string        // what drift reports said since the champion took over
	Report  *monitor.Report // the newest of them that found drift; nil: none
	Force   bool            // act without a reason; the gate holds all the same
	DryRun  bool            // decide and tell, change nothing
	MaxRows int             // newest labelled rows learnt from; 0: all
	// Hide is the share of cells that training is not shown, see train.Rows.
	Hide float64
	// Labels bound what labels may teach.
	Labels Labels
	// Budget is how long cures may be tried for, by Clock; the usual one always
	// is. 0: all are tried.
	Budget   time.Duration
	Seed     uint64
	Threads  int
	Now      time.Time
	Clock    func() time.Time // for durations only
	Program  string
	Progress func(stage string, done, total int)
	Reports  []Source // that Reasons came from
	Guard    *Guard   // watches what is promoted; nil: nobody does
}

// Exclusion is a stretch of time whose rows are not learnt from, or not as they
// were logged.
type Exclusion struct {
	From   time.Time `json:"from,omitzero"` // zero, as To, when no row has a time
	To     time.Time `json:"to,omitzero"`
	Column string    `json:"column"`
	Why    string    `json:"why"`
	Rows   int       `json:"rows"`
	// Source told the labels that are left out for its sake; Incident left the
	// rows out for ever. "" when that is not so.
	Source   string `json:"source,omitempty"`
	Incident string `json:"incident_id,omitempty"`
}

// Trial is one cure that was tried.
type Trial struct {
	heal.Trial
	Window  int       `json:"window"` // newest rows learnt from; 0: all
	Folds   int       `json:"folds"`
	From    time.Time `json:"from,omitzero"` // of the rows judged on
	To      time.Time `json:"to,omitzero"`
	Seconds float64   `json:"seconds"`
	// Golden is the mean loss on the golden rows; 0 without any.
	Golden float64 `json:"golden_loss,omitempty"`
	// Action is what taking the cure does.
	Action heal.Action `json:"action"`

	// outputs are what the trial's models said of the rows judged on, the newest
	// All.Rows, row-major.
	outputs []float64
}

// Run makes one round of healing on the champion, which from points to since
// promoted, and returns what happened. The caller holds the job's lock. An
// error leaves the champion in force, and so does a pointer that somebody else
// moved meanwhile (registry.ErrMoved).
func Run(ctx context.Context, reg *registry.Registry, champion *registry.Loaded, from registry.Pointer, promoted time.Time, o Options) (*Incident, error) {
	in := &Incident{
		Format: incidentFormat, At: o.Now.UTC(), Champion: champion.Manifest.Version, Action: heal.None,
		Learned: champion.Manifest.Lineage.To, Policy: o.Policy, Excluded: []Exclusion{}, Trials: []Trial{},
	}
	evidence := heal.Evidence{Now: o.Now, Forced: o.Force, Promoted: promoted, Reasons: o.Reasons, Learnt: champion.Manifest.Lineage.Rows}
	in.Basis = Basis{Evidence: &evidence, Seed: o.Seed, Reports: o.Reports}
	if a, cooling := heal.Cooling(o.Policy, evidence); cooling {
		in.note(a)
		in.identify()
		return in, nil
	}
	h, err := gather(ctx, o.Sources, champion.Model, o.Report, o.Now, o.MaxRows)
	if err != nil {
		return nil, fmt.Errorf("gather labelled rows: %w", err)
	}
	evidence.Began = o.began()
	unseen, judged, a, err := in.assess(h, champion, &evidence, o.Threads)
	if err != nil {
		return nil, err
	}
	if len(in.Reasons) > 0 {
		if err := in.examine(ctx, h, champion, unseen, o); err != nil {
			return nil, err
		}
		if unseen, judged, a, err = in.assess(h, champion, &evidence, o.Threads); err != nil {
			return nil, err
		}
	}
	in.identify()
	if !a.Act {
		in.Action = in.otherwise(heal.None)
		return in, nil
	}
	b, err := newBacktest(reg, champion, h.rows, unseen, judged, o)
	if err != nil {
		return nil, err
	}
	if in.Golden, err = b.weighGolden(o.Labels.Golden); err != nil {
		return nil, err
	}
	list, err := in.compete(ctx, b)
	if err != nil {
		return nil, err
	}
	winner, why := heal.Choose(o.Policy, healTrials(in.Trials))
	in.Reason = why
	if winner < 0 {
		in.Action = in.otherwise(heal.Keep)
		return in, nil
	}
	in.Action, in.Cure = in.Trials[winner].Action, in.Trials[winner].Cure
	for i := range in.Trials {
		if i != winner {
			in.Trials[i].outputs = nil // one may be as large as the history
		}
	}
	if o.DryRun {
		return in, nil
	}
	won := list[slices.IndexFunc(list, func(c cure) bool { return c.name == in.Cure })]
	return in, in.promote(ctx, reg, champion, from, b, won, o)
}

// assess says whether to try cures, by the rows that may be learnt from.
func (in *Incident) assess(h *history, champion *registry.Loaded, e *heal.Evidence, threads int) (unseen, judged int, a heal.Assessment, err error) {
	unseen = firstAfter(h.rows, champion.Manifest.Lineage.To)
	in.Rows, in.Excluded, in.Repaired = h.rows.Len(), append([]Exclusion{}, h.excluded...), h.repaired
	in.Labels = in.Rows - unseen
	judged = judgedFrom(h.rows, unseen)
	e.Labels = in.Rows - judged
	_, e.Labelled = train.Span(h.rows.Times)
	e.Expected = expectedLoss(champion)
	if e.Loss, err = newestLoss(champion, h.rows, unseen, in.Policy.MinLabels, threads); err != nil {
		return 0, 0, a, err
	}
	a = heal.Assess(in.Policy, *e)
	in.note(a)
	return unseen, judged, a, nil
}

// examine asks what lies behind the reasons, on all rows, and takes out those
// whose labels may not teach.
func (in *Incident) examine(ctx context.Context, h *history, champion *registry.Loaded, unseen int, o Options) error {
	s, err := look(champion, h.rows, unseen, o)
	if err != nil {
		return fmt.Errorf("diagnose: %w", err)
	}
	if in.Diagnosis, err = s.diagnose(ctx); err != nil {
		return fmt.Errorf("diagnose: %w", err)
	}
	in.Spoilt, err = h.distrust(ctx, s, o.Labels)
	in.left = h.out.table()
	in.LeftOut = len(h.out.ids)
	return err
}

// otherwise is what was done when no cure was taken: rows were put into
// quarantine, or what is said.
func (in *Incident) otherwise(a heal.Action) heal.Action {
	if in.LeftOut > 0 {
		return heal.Quarantine
	}
	return a
}

// compete lets the cures that are worth trying compete, and notes how they did.
func (in *Incident) compete(ctx context.Context, b *backtest) (list []cure, err error) {
	in.Metric = string(train.RowMetric(b.metric, b.task()))
	if err := b.prepare(ctx); err != nil {
		return nil, fmt.Errorf("look back: %w", err)
	}
	in.Break, in.Record, list = b.broke, b.record, catalogue(b)
	if in.Trials, in.Skipped, err = b.run(ctx, list); err != nil {
		return nil, err
	}
	in.losses, in.Cures = table.Must(b.kept...), len(list)
	return list, nil
}

// began is when the change began that the report speaks of; zero when it is not
// known.
func (o *Options) began() time.Time {
	if o.Report == nil || o.Report.Since == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, o.Report.Since.At)
	if err != nil {
		return time.Time{} // a row number
	}
	return at
}

func healTrials(trials []Trial) []heal.Trial {
	out := make([]heal.Trial, len(trials))
	for i, t := range trials {
		out[i] = t.Trial
	}
	return out
}

// firstAfter is the first row that is newer than t: what a model that learnt
// up to t has not seen.
func firstAfter(r *train.Rows, t time.Time) int {
	limit := t.UnixMicro()
	if t.IsZero() {
		limit = table.NoTime // rows without a time are those of the data file
	}
	return sort.Search(r.Len(), func(i int) bool { return r.Times[i] > limit })
}

// judgedFrom is the first row that cures are judged on: the first unseen one,
// or, when hardly any row is left that the champion knows, the middle, so that
// there are rows to learn from.
func judgedFrom(r *train.Rows, unseen int) int {
	if unseen >= train.MinRows {
		return unseen
	}
	return r.Cut(0.5)
}

// parameters are those that the champion was trained with.
func parameters(champion *registry.Loaded, o Options) (fit.Params, error) {
	t := champion.Model.Template
	p, err := train.Params(t.Task, len(t.Classes), o.Seed, o.Threads, champion.Manifest.Lineage.Parameters)
	if err != nil {
		return p, fmt.Errorf("parameters of %s: %w", champion.Manifest.Version, err)
	}
	p.NumIterations = max(champion.Metrics.Iterations, 1)
	p.EarlyStoppingRound = 0
	p.RegSqrt = champion.Model.Trees.Objective == "regression sqrt"
	return p, nil
}

// promote makes the winning cure of everything, publishes it unless it is a
// version already, and puts it in force.
func (in *Incident) promote(ctx context.Context, reg *registry.Registry, champion *registry.Loaded, from registry.Pointer, b *backtest, c cure, o Options) error {
	o.Progress("fit the winner", 0, 0)
	won, err := c.make(ctx, b, b.rows.Len())
	if err != nil {
		return err
	}
	in.Version = won.version
	if won.version == "" {
		if in.Version, err = in.publish(ctx, reg, champion, b, won, o); err != nil {
			return err
		}
	}
	return o.Guard.promote(reg, in, from, o.Now)
}

// publish makes a version of the winner.
func (in *Incident) publish(ctx context.Context, reg *registry.Registry, champion *registry.Loaded, b *backtest, won *challenger, o Options) (string, error) {
	learnt := won.rows
	if learnt == nil { // the champion's trees, and so its template
		var err error
		if learnt, err = b.rows.Under(champion.Model.Template); err != nil {
			return "", err
		}
	}
	result := &train.Result{Rows: learnt.Slice(won.lo), Trees: won.trees, Params: b.params, Metric: score.Metric(champion.Metrics.Metric), Best: b.params.NumIterations}
	bundle, err := in.bundle(result, champion, o)
	if err != nil {
		return "", err
	}
	if bundle.Estimator, err = in.estimator(ctx, b.rows, o); err != nil {
		return "", err
	}
	version, err := reg.Publish(bundle)
	if err != nil {
		return "", fmt.Errorf("publish challenger: %w", err)
	}
	return version, nil
}

// maxEarlier is how many versions that served before are tried.
const maxEarlier = 2

// earlier are the versions that served before the champion, the newest first,
// that have its template's target and know no newer row than it. Those that
// cannot be read, and those that healing took out of force so lately that it
// would go in circles, do not take part.
func earlier(reg *registry.Registry, champion *registry.Loaded, o Options) []*registry.Loaded {
	var out []*registry.Loaded
	for _, name := range reg.Candidates() {
		if name == champion.Manifest.Version || len(out) == maxEarlier {
			continue
		}
		if _, yes := o.Guard.circles(name, o.Now); yes {
			continue
		}
		l, err := reg.Load(name)
		if err != nil || l.Manifest.Lineage.To.After(champion.Manifest.Lineage.To) {
			continue
		}
		a, b := l.Model.Template, champion.Model.Template
		if a.Target == b.Target && a.Task == b.Task && slices.Equal(a.Classes, b.Classes) {
			out = append(out, l)
		}
	}
	return out
}

// suspects are the raw columns that may have stopped meaning what the champion
// learnt, those that it leans on most first: drifted ones and those with a
// fault, by the newest report.
func suspects(champion *registry.Loaded, r *monitor.Report) []string {
	if r == nil {
		return nil
	}
	weight := champion.Model.GainShares()
	var out []string
	for _, c := range champion.Model.Template.Columns {
		drifted := r.Columns[c.Name] != nil && r.Columns[c.Name].Drift
		faulty := slices.ContainsFunc(r.Faults, func(f monitor.Fault) bool { return f.Column == c.Name })
		if (drifted || faulty) && weight[c.Name] > suspectShare {
			out = append(out, c.Name)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(weight[b], weight[a]) })
	return out
}

// suspectShare is the share of the gain below which it makes no difference to
// do without a column.
const suspectShare = 0.01

// bundle is the winner as the registry publishes it.
func (in *Incident) bundle(r *train.Result, champion *registry.Loaded, o Options) (*registry.Bundle, error) {
	rows, won := r.Rows, in.winner()
	reference, err := r.Reference(train.ReferenceRows)
	if err != nil {
		return nil, err
	}
	m := &registry.Metrics{
		Metric: in.Metric, Rows: won.All.Rows, From: won.From, To: won.To, Iterations: r.Best,
		Holdout: map[string]float64{in.Metric: won.All.Loss}, Champion: map[string]float64{in.Metric: won.All.Champion},
		Newest:     map[string]float64{in.Metric: won.Newest.Loss},
		Importance: registry.NewImportance(rows.Template, r.Trees, nil, "", 0),
	}
	b := &registry.Bundle{
		Template: rows.Template, Trees: r.Trees, Reference: reference, Golden: rows.Sample(max(0, rows.Len()-2000), registry.GoldenRows), Metrics: m, Created: o.Now,
		Lineage: registry.Lineage{
			DataFile: champion.Manifest.Lineage.DataFile, DataSHA256: champion.Manifest.Lineage.DataSHA256, Rows: rows.Len(),
			Dropped: rows.Template.Ignored, Parameters: champion.Manifest.Lineage.Parameters, Seed: o.Seed,
			Parent: champion.Manifest.Version, Reason: in.Reason, Incident: in.ID, CreatedBy: "retrain", Program: o.Program,
		},
	}
	b.Lineage.From, b.Lineage.To = rows.Span(0, rows.Len())
	b.Lineage.Excluded = in.lineage()
	return b, nil
}

// estimator learns from the rows that cures were judged on, as the winner's trial
// models predicted them, which had not learnt from them: their errors are those
// that the version's metrics report. It is nil when the rows say too little.
func (in *Incident) estimator(ctx context.Context, rows *train.Rows, o Options) (*estimate.Estimator, error) {
	won, n := in.winner(), rows.Len()
	o.Progress("learn what errors to expect", 0, 0)
	e, err := rows.Estimator(ctx, n-won.All.Rows, n, won.outputs, score.Metric(in.Metric), o.Threads)
	if err != nil {
		return nil, fmt.Errorf("learn what errors to expect: %w", err)
	}
	return e, nil
}

// winner is the trial of the cure that won.
func (in *Incident) winner() Trial {
	return in.Trials[slices.IndexFunc(in.Trials, func(t Trial) bool { return t.Cure == in.Cure })]
}
