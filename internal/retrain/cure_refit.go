package retrain

import (
	"context"

	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
)

// minRelearn is the least number of rows new to the champion that its leaves
// or its scale are learnt anew from.
const minRelearn = 100

// refitCures keep the champion's trees and move their leaves half of the way
// to what the rows say that it does not know: cheap, and it needs few rows.
func refitCures(*backtest) []cure {
	return []cure{{name: "refit the leaves", action: heal.Refit, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
		if hi-b.fresh < minRelearn || b.champion.Trees.AverageOutput {
			return nil, nil
		}
		tmpl := b.champion.Template
		rows, err := b.rows.Slice(b.fresh).Under(tmpl)
		if err != nil {
			return nil, err
		}
		p := b.params
		p.RefitDecayRate = 0.5
		rows.Base, rows.Refit = b.champion.Trees, true
		res, err := rows.Fit(ctx, 0, hi-b.fresh, 0, p, nil)
		if err != nil {
			return nil, err
		}
		return b.remade(res)
	}}}
}

// remade is a model with the champion's template and other leaves. What the
// champion learnt is in it, too.
func (b *backtest) remade(res *fit.Result) (*challenger, error) {
	m, err := model.New(b.champion.Version+" anew", b.champion.Template, res.Model)
	if err != nil {
		return nil, err
	}
	return &challenger{trees: res.Model, model: m}, nil
}
