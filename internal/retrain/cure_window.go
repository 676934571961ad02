package retrain

import (
	"context"
	"fmt"
	"time"

	"github.com/healml/healml/internal/heal"
)

// minWindow is the least number of rows that a window to learn from has.
const minWindow = 400

// maxHalvings is how often the history is halved to make shorter windows.
const maxHalvings = 4

// windows are the lengths worth learning from when there are n rows, the
// longest first; 0 stands for all rows.
func windows(n int) []int {
	out := []int{0}
	for i, w := 0, n/2; i < maxHalvings && w >= minWindow; i, w = i+1, w/2 {
		out = append(out, w)
	}
	return out
}

// windowName is the i-th of windows in words.
func windowName(i int) string {
	if i == 0 {
		return "all labelled rows"
	}
	return fmt.Sprintf("newest 1/%d of the labelled rows", 1<<i)
}

// windowCures learn from the window that did best on the record alone, where
// that is not all there is to the mix.
func windowCures(b *backtest) []cure {
	best := 0
	for i, r := range b.record {
		if r.Loss < b.record[best].Loss {
			best = i
		}
	}
	if len(b.record) < 2 || b.weights[best] == 1 {
		return nil
	}
	w := b.record[best].Window
	return []cure{{name: b.record[best].Cure, action: heal.Retrain, window: w, make: func(ctx context.Context, b *backtest, hi int) (*challenger, error) {
		return b.member(ctx, fitKey{window: w}, hi)
	}}}
}

// fitKey says how a member is fitted; lo and hi are the rows that came of it.
type fitKey struct {
	window   int
	halfLife time.Duration
	without  string
	lo, hi   int
}

// member is a model of the rows before hi by key, fitted once.
func (b *backtest) member(ctx context.Context, key fitKey, hi int) (*challenger, error) {
	if key.window > 0 {
		key.lo = max(0, hi-key.window)
	}
	key.window, key.hi = 0, hi
	if c := b.fits[key]; c != nil {
		return c, nil
	}
	rows := b.rows
	if key.without != "" {
		rows = rows.Without(key.without)
	}
	if key.halfLife > 0 {
		weighted := *rows
		weighted.HalfLife = key.halfLife
		rows = &weighted
	}
	res, err := rows.Fit(ctx, key.lo, hi, 0, b.params, nil)
	if err != nil {
		return nil, err
	}
	c := &challenger{lo: key.lo, rows: rows, trees: res.Model}
	b.fits[key] = c
	return c, nil
}
