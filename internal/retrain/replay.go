package retrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/table"
)

// lossesFile has the loss of every row that cures were judged on.
const lossesFile = "losses.parquet"

// The columns of losses.parquet.
const championColumn = "champion"

func lossColumn(trial int) string { return fmt.Sprintf("cure_%d", trial) }

// Basis is what a decision can be computed again from, beside what the
// incident says of its trials.
type Basis struct {
	Evidence *heal.Evidence `json:"evidence,omitempty"` // nil in incidents of older builds, and of bakes
	Seed     uint64         `json:"seed,omitempty"`     // of the intervals
	Cures    int            `json:"cures,omitempty"`    // that competed, with those that could not be made or had no time left
	Guard    *Barrier       `json:"guard,omitempty"`    // what kept healing from promoting; nil: nothing did
	Bake     *BakeRecord    `json:"bake,omitempty"`     // of a rollback
	Shadow   *BakeRecord    `json:"shadow,omitempty"`   // of the end of a shadow
	Reports  []Source       `json:"reports,omitempty"`  // that gave the reasons
	Golden   *GoldenSet     `json:"golden,omitempty"`   // rows that no cure may lose on; nil: none
}

// Source is a file that a decision rests on.
type Source struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // of its JSON document, hex
}

// Barrier is the guard's state at a time, and the limits that held.
type Barrier struct {
	State  heal.State  `json:"state"`
	Limits heal.Limits `json:"limits"`
	At     time.Time   `json:"at"`
	To     string      `json:"to,omitempty"` // version that was to be promoted; empty when it did not come so far
}

// bars says why the barrier lets nothing pass.
func (b *Barrier) bars() (because string, yes bool) {
	if b.To != "" {
		why, circles := heal.Oscillates(b.Limits, b.State, b.To, b.At)
		return "frozen: " + why, circles
	}
	why, ok := heal.Permit(b.Limits, b.State, b.At)
	return why, !ok
}

// BakeRecord is what a rollback rests on, or the end of a shadow: then the
// challenger is the promoted version and the champion the predecessor.
type BakeRecord struct {
	Policy  heal.BakePolicy  `json:"policy"`
	Bake    heal.Bake        `json:"bake"`
	Metric  string           `json:"metric"`
	At      time.Time        `json:"at"`
	Blocks  []heal.BakeBlock `json:"blocks"`
	Verdict heal.BakeVerdict `json:"verdict"`
}

// Difference is where a replay comes to something else than the incident.
type Difference struct {
	What     string `json:"what"`
	Recorded string `json:"recorded"`
	Replayed string `json:"replayed"`
}

// ErrNoBasis says that an incident does not hold what its decision came from,
// because an older build wrote it.
var ErrNoBasis = errors.New("the incident does not hold the evidence of its decision: it was written by an older build")

// Replay computes the decision of an incident again, from its files alone, and
// returns how it differs, bit for bit; nothing when it is the same.
func Replay(dir, id string) ([]Difference, error) {
	in, err := Read(dir, id)
	if err != nil {
		return nil, err
	}
	r := &replay{in: in}
	switch {
	case in.Bake != nil:
		r.bake()
	case in.Shadow != nil:
		r.shadow()
	case in.Evidence == nil:
		return nil, fmt.Errorf("replay %s: %w", id, ErrNoBasis)
	default:
		if err := r.decide(dir); err != nil {
			return nil, fmt.Errorf("replay %s: %w", id, err)
		}
	}
	return r.found, nil
}

type replay struct {
	in    *Incident
	found []Difference
}

// same notes a difference of two values, by their JSON.
func (r *replay) same(what string, recorded, replayed any) {
	a, errA := json.Marshal(recorded)
	b, errB := json.Marshal(replayed)
	if errA != nil || errB != nil {
		a, b = fmt.Append(nil, recorded), fmt.Append(nil, replayed)
	}
	if string(a) != string(b) {
		r.found = append(r.found, Difference{what, string(a), string(b)})
	}
}

func (r *replay) bake() {
	b := r.in.Bake
	v := heal.JudgeBake(b.Policy, b.Bake.Began, b.At, b.Blocks)
	r.same("verdict", b.Verdict, v)
	r.same("reason", r.in.Reason, v.Because)
	r.outcome(v.Outcome == heal.BakeWorse, heal.Rollback, heal.None)
	r.same("version", r.in.Version, b.Bake.Predecessor)
	r.same("champion", r.in.Champion, b.Bake.Promoted)
}

func (r *replay) shadow() {
	b := r.in.Shadow
	v := heal.JudgeShadow(b.Policy, b.Bake.Began, b.At, b.Blocks)
	r.same("verdict", b.Verdict, v)
	r.same("reason", r.in.Reason, v.Because)
	r.same("promoted", r.in.Promoted, v.Outcome == heal.BakePassed)
	r.same("champion", r.in.Champion, b.Bake.Predecessor)
}

func (r *replay) outcome(yes bool, then, otherwise heal.Action) {
	if !yes {
		then = otherwise
	}
	r.same("action", r.in.Action, then)
}

// decide replays a round of healing in the order in which it was decided.
func (r *replay) decide(dir string) error {
	in := r.in
	if in.Guard != nil && in.Guard.To == "" {
		r.barred(in.Evidence.Reasons)
		return nil
	}
	e := *in.Evidence
	a, cooling := heal.Cooling(in.Policy, e)
	if !cooling {
		a = heal.Assess(in.Policy, e)
	}
	r.same("reasons", in.Reasons, a.Reasons)
	if !a.Act {
		r.same("reason", in.Reason, a.Because)
		r.same("action", in.Action, in.otherwise(heal.None))
		return nil
	}
	if err := r.trials(dir); err != nil {
		return err
	}
	winner, why := heal.Choose(in.Policy, healTrials(in.Trials))
	if in.Guard != nil {
		r.same("proven", true, winner >= 0)
		r.barred(a.Reasons)
		return nil
	}
	r.same("reason", in.Reason, why)
	action, cure := in.otherwise(heal.Keep), ""
	if winner >= 0 {
		action, cure = in.Trials[winner].Action, in.Trials[winner].Cure
	}
	r.same("action", in.Action, action)
	r.same("cure", in.Cure, cure)
	return nil
}

// barred replays what kept healing from acting.
func (r *replay) barred(reasons []string) {
	why, yes := r.in.Guard.bars()
	r.same("barred", true, yes)
	r.same("reason", r.in.Reason, why)
	r.same("reasons", r.in.Reasons, append([]string{}, reasons...))
	r.outcome(false, heal.Retrain, heal.None)
}

// trials computes every match again from the losses of the rows.
func (r *replay) trials(dir string) error {
	in := r.in
	path := filepath.Join(dir, in.ID, lossesFile)
	t, err := table.Read(path, table.ReadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is gone: %w", lossesFile, ErrNoBasis)
	} else if err != nil {
		return err
	}
	theirs := t.Column(championColumn)
	if theirs == nil || theirs.Type != table.Float || len(in.Trials) == 0 {
		r.same("losses of the champion", "there", "missing in "+lossesFile)
		return nil
	}
	j := jury{policy: in.Policy, seed: in.Seed, others: in.Cures - 1, theirs: theirs.Floats, newest: max(0, len(theirs.Floats)-in.Trials[0].Newest.Rows)}
	for i, trial := range in.Trials {
		ours := t.Column(lossColumn(i))
		if ours == nil || ours.Type != table.Float {
			r.same("losses of "+trial.Cure, "there", "missing in "+lossesFile)
			continue
		}
		again := j.judge(trial.Cure, trial.Usual, trial.Floor, ours.Floats)
		again.Vetoes = trial.Vetoes // of the rows themselves, which are not kept
		r.same(trial.Cure, trial.Trial, again)
	}
	return nil
}

// Barred is the incident of a round that the guard did not let begin.
func Barred(champion string, learned time.Time, policy heal.Policy, e heal.Evidence, b Barrier, reports []Source) *Incident {
	because, _ := b.bars()
	in := &Incident{
		Format: incidentFormat, At: e.Now.UTC(), Champion: champion, Learned: learned, Action: heal.None, Policy: policy,
		Reasons: append([]string{}, e.Reasons...), Excluded: []Exclusion{}, Trials: []Trial{}, Reason: because,
		Basis: Basis{Evidence: &e, Guard: &b, Reports: slices.Clone(reports)},
	}
	in.identify()
	return in
}

// Frozen reports whether the guard kept this round from promoting because
// healing is frozen.
func (in *Incident) Frozen() bool {
	return in.Guard != nil && strings.HasPrefix(in.Reason, "frozen:")
}
