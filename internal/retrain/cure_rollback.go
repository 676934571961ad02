package retrain

import (
	"context"

	"github.com/healml/healml/internal/heal"
)

// rollbackCures put a version in force again that served before, judged on
// the same rows as everything else. Versions that know any of them do not
// take part.
func rollbackCures(b *backtest) []cure {
	var out []cure
	for _, l := range b.earlier {
		made := &challenger{trees: l.Model.Trees, model: l.Model, version: l.Manifest.Version}
		out = append(out, cure{name: "roll back to " + l.Manifest.Version, action: heal.Rollback, make: func(context.Context, *backtest, int) (*challenger, error) {
			return made, nil
		}})
	}
	return out
}
