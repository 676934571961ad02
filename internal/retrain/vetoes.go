package retrain

import (
	"fmt"
	"math"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/score"
	"github.com/healml/healml/internal/table"
)

const (
	sliceRows = 100 // rows of a slice, at least
	maxSlices = 40  // slices looked at, those of the first columns first
	// growthLimit bounds the leaves of a challenger, in those of one fit with
	// the parameters in force: the time and memory of a prediction follow them.
	growthLimit = 8
)

// vetoes are the reasons not to take a challenger, whatever its mean gain: a
// slice of the rows that loses, golden rows that are answered with nonsense,
// too large a model. ours are its losses on the proof.
func (b *backtest) vetoes(c *challenger, cure cure, ours []float64) ([]string, error) {
	if cure.floor {
		return nil, nil
	}
	out := b.losingSlices(ours)
	insane, err := b.insane(c)
	if err != nil {
		return nil, err
	}
	out = append(out, insane...)
	if got, most := leaves(c.trees), growthLimit*b.params.NumIterations*b.params.NumLeaves*max(b.params.NumClass, 1); got > max(most, leaves(b.champion.Trees)) {
		out = append(out, fmt.Sprintf("it has %d leaves, more than %d", got, most))
	}
	return out, nil
}

func leaves(m *gbdt.Model) int {
	n := 0
	for i := range m.Trees {
		n += m.Trees[i].NumLeaves()
	}
	return n
}

// losingSlices are the categories that are proven to lose more than their limit
// on the proof. The level is shared by all slices.
func (b *backtest) losingSlices(ours []float64) []string {
	lo := b.blocks[b.proof].lo
	type slice struct {
		name string
		rows []int
	}
	if b.policy.SliceLimit == 0 {
		return nil
	}
	var parts []slice
	for _, c := range b.rows.Template.Columns {
		col := b.rows.Table.Column(c.Name)
		if c.Kind != schema.Categorical || col == nil || col.Type != table.String {
			continue
		}
		by := make([][]int, len(col.Dict))
		for i := range ours {
			if !col.Missing(lo + i) {
				code := col.Codes[lo+i]
				by[code] = append(by[code], i)
			}
		}
		for code, rows := range by {
			if len(rows) >= sliceRows && len(parts) < maxSlices {
				parts = append(parts, slice{fmt.Sprintf("%s %q", c.Name, col.Dict[code]), rows})
			}
		}
	}
	var out []string
	for _, s := range parts {
		theirs, mine := make([]float64, len(s.rows)), make([]float64, len(s.rows))
		for k, i := range s.rows {
			theirs[k], mine[k] = b.jury.theirs[i], ours[i]
		}
		level := 1 - (1-b.policy.Confidence)/float64(len(parts))
		gain := score.PairedBlockBootstrap(theirs, mine, 0, 500, level, b.seed)
		if was := score.Mean(theirs); gain.Hi < -b.policy.SliceLimit*was {
			out = append(out, fmt.Sprintf("%s loses %.1f %%", s.name, -100*gain.Mean/was))
		}
	}
	return out
}

// insane says what is wrong with the answers to the champion's golden rows: a
// number that is none, or one that is off the labels by more than their span.
func (b *backtest) insane(c *challenger) ([]string, error) {
	if b.golden == nil || b.golden.NumRows() == 0 {
		return nil, nil
	}
	m, err := c.named("a challenger")
	if err != nil {
		return nil, err
	}
	raw := b.golden
	for _, c := range b.golden.Columns() {
		if m.Template.Column(c.Name) < 0 {
			raw = raw.Drop(c.Name)
		}
	}
	p, err := m.PredictTable(raw, b.params.NumThreads)
	if err != nil {
		return nil, fmt.Errorf("predict golden rows: %w", err)
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, y := range b.rows.Labels {
		lo, hi = min(lo, y), max(hi, y)
	}
	if b.task().Classified() {
		lo, hi = 0, 1
	} else {
		lo, hi = lo-(hi-lo), hi+(hi-lo)
	}
	for _, v := range p.Outputs {
		if !(v >= lo && v <= hi) {
			return []string{fmt.Sprintf("a golden row is answered with %v, expected %.4g to %.4g", v, lo, hi)}, nil
		}
	}
	return nil, nil
}
