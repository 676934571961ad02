package retrain

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	coarse   bool // with half the rounds, each counting twice
	lo, hi   int
}

// on is the key of a model of the rows before hi alone.
func (k fitKey) on(hi int) fitKey {
	if k.window > 0 {
		k.lo = max(0, hi-k.window)
	}
	k.window, k.hi = 0, hi
	return k
}

// member is a model of the rows before hi by key, fitted once.
func (b *backtest) member(ctx context.Context, key fitKey, hi int) (*challenger, error) {
	key = key.on(hi)
	if err := b.fitAll(ctx, []fitKey{key}); err != nil {
		return nil, err
	}
	return b.fits[key], nil
}

// fitAll fits what of keys, all of them with their rows, is not yet fitted.
// Several are fitted side by side, with one thread each, which wastes less than
// sharing out the small work of each; the models are the same.
func (b *backtest) fitAll(ctx context.Context, keys []fitKey) error {
	var missing []fitKey
	for _, k := range keys {
		if b.fits[k] == nil && !slices.Contains(missing, k) {
			missing = append(missing, k)
		}
	}
	slices.SortStableFunc(missing, func(a, c fitKey) int { return cmp.Compare(c.hi-c.lo, a.hi-a.lo) }) // the longest first: none is left waiting for it
	threads := b.params.NumThreads
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	side := max(1, min(threads, len(missing)))
	made := make([]*challenger, len(missing))
	var g errgroup.Group
	g.SetLimit(side)
	for i, k := range missing {
		g.Go(func() (err error) {
			made[i], err = b.fit(ctx, k, max(1, threads/side))
			return err
		})
	}
	err := g.Wait()
	for i, c := range made {
		if c != nil {
			b.fits[missing[i]] = c
		}
	}
	return err
}

// fit makes a model of the rows [key.lo, key.hi).
func (b *backtest) fit(ctx context.Context, key fitKey, threads int) (*challenger, error) {
	rows, p := b.rows, b.params
	p.NumThreads = threads
	if key.coarse {
		p.NumIterations, p.LearningRate = (p.NumIterations+1)/2, min(1, 2*p.LearningRate)
	}
	if key.without != "" {
		rows = rows.Without(key.without)
	}
	if key.halfLife > 0 {
		weighted := *rows
		weighted.HalfLife = key.halfLife
		rows = &weighted
	}
	res, err := rows.Fit(ctx, key.lo, key.hi, 0, p, nil)
	if err != nil {
		return nil, err
	}
	return &challenger{lo: key.lo, rows: rows, trees: res.Model}, nil
}
