package retrain

import (
	"context"
	"fmt"

	"github.com/healml/healml/internal/heal"
)

// maxSuspects is how many columns are tried to do without.
const maxSuspects = 2

// withoutCures retrain as the mix does, but blind to a column that stopped
// meaning anything or whose feed cannot be trusted. The template stays, so
// requests do, and a later retraining may look at the column again.
func withoutCures(b *backtest) []cure {
	var out []cure
	for _, column := range b.suspects[:min(len(b.suspects), maxSuspects)] {
		out = append(out, cure{name: fmt.Sprintf("retrain without %q", column), action: heal.Retrain, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
			return b.mix(ctx, fitKey{without: column}, hi)
		}})
	}
	return out
}
