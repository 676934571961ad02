package retrain

import (
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/score"
)

// jury compares cures with the champion, and with the usual cure, on the rows
// of the proof. It needs nothing but their losses, so that a decision can be
// computed again from them. All slices have one length.
type jury struct {
	policy heal.Policy
	seed   uint64
	others int       // cures that compete beside the usual one
	newest int       // where the newest block begins
	theirs []float64 // losses of the champion
	usual  []float64 // those of the usual cure; nil before it was heard
}

// judge hears a cure. The usual one was settled before these rows were looked
// at and has its intervals for itself; the others share theirs.
func (j *jury) judge(name string, usual, floor bool, ours []float64) heal.Trial {
	newest, pooled := j.policy.Confidence, j.policy.Level(1)
	if !usual {
		pooled = j.policy.Level(j.others)
		newest = pooled
	}
	t := heal.Trial{Cure: name, Usual: usual, Floor: floor}
	t.All = j.match(j.theirs, ours, pooled)
	t.Newest = j.match(j.theirs[j.newest:], ours[j.newest:], newest)
	switch {
	case usual:
		j.usual = ours
	case j.usual != nil:
		m := j.match(j.usual, ours, pooled)
		t.Versus = &m
	}
	return t
}

func (j *jury) match(theirs, ours []float64, level float64) heal.Match {
	return heal.Match{
		Rows: len(ours), Champion: score.Mean(theirs), Loss: score.Mean(ours),
		Gain: score.PairedBlockBootstrap(theirs, ours, 0, 0, level, j.seed),
	}
}
