package retrain

import (
	"context"

	"github.com/healml/healml/internal/heal"
)

// cure is a way to make a challenger. Each is in a file of its own, cure_*.go,
// and enters the competition through catalogue.
type cure struct {
	name   string
	action heal.Action
	window int // newest rows learnt from at most; 0: all, or none
	// usual marks the one cure that is taken unless another is proven better
	// than it; floor one that is there to be compared with only.
	usual, floor bool
	// make learns from rows before hi alone. It returns nil when they are too
	// few for it; the champion then speaks in its place.
	make func(ctx context.Context, b *backtest, hi int) (*challenger, error)
}

// catalogue lists the cures worth trying, the usual one first and then the
// cheap before the dear: what does not fit into the budget is left out.
func catalogue(b *backtest) []cure {
	var out []cure
	for _, of := range []func(*backtest) []cure{
		mixCures, baselineCures, rollbackCures, recalibrateCures, refitCures, windowCures, withoutCures, decayCures,
	} {
		out = append(out, of(b)...)
	}
	return out
}
