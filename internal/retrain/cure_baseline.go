package retrain

import (
	"context"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/train"
)

// baselineCures are the floor: one constant, the mean or the class prior of the
// rows that the champion does not know. It is never published; a cure that
// does not beat it is not either.
func baselineCures(*backtest) []cure {
	return []cure{{name: "a constant", action: heal.Keep, floor: true, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
		lo := min(b.fresh, max(0, hi-minWindow))
		p := b.params
		p.NumIterations, p.MinDataInLeaf = 1, max(hi-lo, train.MinRows)
		res, err := b.rows.Fit(ctx, lo, hi, 0, p, nil)
		if err != nil {
			return nil, err
		}
		return &challenger{lo: lo, rows: b.rows, trees: res.Model}, nil
	}}}
}
