package retrain

import (
	"context"
	"math"
	"slices"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/score"
)

const (
	// recordDiscount is what a block of the record counts beside the one after
	// it.
	recordDiscount = 0.9
	// mixPower says how fast the weight of a window falls with its loss: one
	// that loses a tenth more than the best weighs about 0.4 of it.
	mixPower = 10
	// mixLeast is the weight below which a window is not worth its trees.
	mixLeast = 0.05
)

// Recorded is what a window to learn from lost on the record, the blocks
// before the newest, and what it weighs in the mix for it.
type Recorded struct {
	Cure   string    `json:"cure"`
	Window int       `json:"window"` // newest rows learnt from; 0: all
	Losses []float64 `json:"losses"` // mean of each block, oldest first
	Loss   float64   `json:"loss"`   // their mean, each counting 0.9 of the one after it; 0 without a record
	Weight float64   `json:"weight"`
}

// makeRecord looks back on how each window would have done, and weighs them.
// It compares cures with one another, not with the champion, so that rows which
// the champion has learnt from may speak, too: no cure had seen them.
//
// Which window is best differs from one data set to another and from one time
// to the next, and one block alone tells it badly. So the losses of several
// are pooled, and instead of betting on one window the predictions of all are
// averaged with weights that follow those losses: w ∝ (loss/least loss)^−10, a
// power instead of the exponential of Vovk's aggregating algorithm (1990), so
// that neither the unit of the loss nor the number of rows matters.
//
// Windows are compared with one another here, so half the rounds tell enough of
// blocks that are not part of the proof.
func (b *backtest) makeRecord(ctx context.Context) error {
	past := b.blocks[:len(b.blocks)-1]
	lengths := windows(b.rows.Len())
	b.record, b.weights = make([]Recorded, len(lengths)), make([]float64, len(lengths))
	least := math.Inf(1)
	for k, f := range slices.Backward(past) {
		b.say("look back", len(past)-1-k, len(past))
		var keys []fitKey
		for _, w := range lengths {
			keys = append(keys, fitKey{window: w, coarse: k < b.proof}.on(f.lo))
		}
		if err := b.fitAll(ctx, keys); err != nil {
			return err
		}
	}
	for i, w := range lengths {
		r := Recorded{Cure: windowName(i), Window: w, Losses: []float64{}}
		sum, total := 0.0, 0.0
		for k, f := range past {
			c, err := b.member(ctx, fitKey{window: w, coarse: k < b.proof}, f.lo)
			if err != nil {
				return err
			}
			losses, err := b.losses(c, f.lo, f.hi)
			if err != nil {
				return err
			}
			loss, weight := score.Mean(losses), math.Pow(recordDiscount, float64(len(past)-1-k))
			r.Losses = append(r.Losses, loss)
			sum, total = sum+weight*loss, total+weight
		}
		if total > 0 {
			r.Loss = sum / total
		}
		b.record[i], least = r, min(least, r.Loss)
	}
	b.weigh(least)
	return nil
}

// weigh turns the losses of the record into weights that add up to 1.
func (b *backtest) weigh(least float64) {
	total := 0.0
	for i, r := range b.record {
		b.weights[i] = 1
		if least > 0 {
			b.weights[i] = math.Pow(r.Loss/least, -mixPower)
		}
		total += b.weights[i]
	}
	kept := 0.0
	for i := range b.weights {
		if b.weights[i] /= total; b.weights[i] < mixLeast {
			b.weights[i] = 0
		}
		kept += b.weights[i]
	}
	for i := range b.weights {
		b.weights[i] /= kept
		b.record[i].Weight = b.weights[i]
	}
}

// mixName names the cure that retrains.
const mixName = "retrain, windows mixed by their record"

// mixCures retrain on every window and average what they say.
func mixCures(*backtest) []cure {
	return []cure{{name: mixName, action: heal.Retrain, usual: true, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
		return b.mix(ctx, fitKey{}, hi)
	}}}
}

// mix fits every window that has a weight before hi and averages their raw
// scores in one model.
func (b *backtest) mix(ctx context.Context, key fitKey, hi int) (*challenger, error) {
	out := &challenger{lo: hi}
	weight := map[*challenger]float64{} // windows that reach beyond the first row are one
	var members []*challenger
	var keys []fitKey
	for i, r := range b.record {
		if b.weights[i] > 0 {
			key.window = r.Window
			keys = append(keys, key.on(hi))
		}
	}
	if err := b.fitAll(ctx, keys); err != nil {
		return nil, err
	}
	for i, r := range b.record {
		if b.weights[i] == 0 {
			continue
		}
		key.window = r.Window
		c, err := b.member(ctx, key, hi)
		if err != nil {
			return nil, err
		}
		if weight[c] == 0 {
			members = append(members, c)
		}
		weight[c] += b.weights[i]
		out.lo, out.rows = min(out.lo, c.lo), c.rows
	}
	models, weights := make([]*gbdt.Model, len(members)), make([]float64, len(members))
	for i, c := range members {
		models[i], weights[i] = c.trees, weight[c]
	}
	out.trees = average(models, weights)
	return out, out.trees.Validate()
}

// average is one model whose raw score is the weighted sum of those of models,
// which have the same features and objective and are no averages of their own
// trees. Its trees are theirs with scaled leaves.
func average(models []*gbdt.Model, weights []float64) *gbdt.Model {
	if len(models) == 1 && weights[0] == 1 {
		return models[0]
	}
	out := *models[0]
	out.Trees = nil
	for i, m := range models {
		for _, t := range m.Trees {
			out.Trees = append(out.Trees, affineTree(t, weights[i], 0))
		}
	}
	return &out
}

// affineTree is t with scale·value + shift in its leaves.
func affineTree(t gbdt.Tree, scale, shift float64) gbdt.Tree {
	affine := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = scale*x + shift
		}
		return out
	}
	t.LeafValue, t.InternalValue = affine(t.LeafValue), affine(t.InternalValue)
	t.Shrinkage *= scale
	return t
}
