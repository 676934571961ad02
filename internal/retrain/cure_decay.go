package retrain

import (
	"context"
	"time"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/table"
)

// decayCures learn from everything, older rows counting less. The half-life is
// the span of the window that the record likes best among those that forget.
func decayCures(b *backtest) []cure {
	n, best := b.rows.Len(), 0
	for i, r := range b.record {
		if r.Window > 0 && (best == 0 || r.Loss < b.record[best].Loss) {
			best = i
		}
	}
	if best == 0 || b.rows.Times == nil || b.rows.Times[0] == table.NoTime {
		return nil
	}
	half := time.Duration(b.rows.Times[n-1]-b.rows.Times[n-b.record[best].Window]) * time.Microsecond / 2
	if half < time.Second {
		return nil
	}
	return []cure{{name: "retrain on all rows, older ones counting less", action: heal.Retrain, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
		return b.member(ctx, fitKey{halfLife: half}, hi)
	}}}
}
