package heal

import (
	"fmt"
	"math"
	"time"

	"github.com/healml/healml/internal/score"
)

// BakePolicy says how a promotion is watched.
type BakePolicy struct {
	Length time.Duration `json:"length_ns"` // how long; 0: not at all
	Margin float64       `json:"margin"`    // share of the predecessor's loss by which it may be worse, [0, 1)
	Alpha  float64       `json:"alpha"`     // chance to take a version back that is not worse than that, (0, 0.5)
}

const (
	bakeRows   = 40 // rows of a block, at least
	bakeSpans  = 56 // blocks that the whole length has at most: eight a day of a week
	bakeBlocks = 8  // blocks before which nothing is said, with a week's length those of a day
	// bakePatience times the length, a bake that has too few labels ends.
	bakePatience = 10
)

// BakeBlock is a stretch of rows that both versions scored.
type BakeBlock struct {
	From        time.Time `json:"from"` // of the rows
	To          time.Time `json:"to"`
	Rows        int       `json:"rows"`
	Promoted    float64   `json:"promoted_loss"` // means
	Predecessor float64   `json:"predecessor_loss"`
}

// CutBlocks cuts rows, in the order in which their truth came, into blocks.
// times are those of the rows in microseconds; promoted and predecessor are the
// losses, all of one length. A block is closed once it has 40 rows and spans
// 1/56 of the length, so that the eight without which nothing is said span
// most of a day where the length is a week. With whole, times are the data's
// own, and rows of one time are never parted; without, they are when rows were
// predicted, and rows predicted at one instant, as a file is, are cut by number
// alone. What remains at the end is left for the next look, which is why a
// block, once closed, is the same at every later look. Rows with a loss that is
// not finite are passed over.
func (p BakePolicy) CutBlocks(times []int64, whole bool, promoted, predecessor []float64) []BakeBlock {
	span := (p.Length / bakeSpans).Microseconds()
	var out []BakeBlock
	var b BakeBlock
	var lo, hi, last int64
	for i, at := range times {
		if !finite(promoted[i]) || !finite(predecessor[i]) {
			continue
		}
		long := max(hi, at)-lo >= span
		if b.Rows >= bakeRows && (whole && long && at != last || !whole && (long || hi == lo && at == lo)) {
			out = append(out, b.closed(lo, hi))
			b = BakeBlock{}
		}
		if b.Rows == 0 {
			lo, hi = at, at
		}
		lo, hi, last = min(lo, at), max(hi, at), at
		b.Rows++
		b.Promoted += promoted[i]
		b.Predecessor += predecessor[i]
	}
	return out
}

// closed is the block with means for sums.
func (b BakeBlock) closed(lo, hi int64) BakeBlock {
	b.Promoted /= float64(b.Rows)
	b.Predecessor /= float64(b.Rows)
	b.From, b.To = time.UnixMicro(lo).UTC(), time.UnixMicro(hi).UTC()
	return b
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Outcome is what a look at a bake comes to.
type Outcome string

// The outcomes of a bake.
const (
	BakeRuns   Outcome = "running"
	BakePassed Outcome = "passed"
	BakeWorse  Outcome = "worse"
)

// BakeVerdict is a look at a bake.
type BakeVerdict struct {
	Outcome     Outcome `json:"outcome"`
	Blocks      int     `json:"blocks"`
	Rows        int     `json:"rows"`
	Promoted    float64 `json:"promoted_loss"` // means over blocks; 0 without any
	Predecessor float64 `json:"predecessor_loss"`
	// Excess is the promoted version's loss minus 1 + Margin times the
	// predecessor's, by block: what the test is of. The interval holds at all
	// looks at once.
	Excess  *score.Interval `json:"excess,omitempty"` // nil while it is open
	E       float64         `json:"evidence"`         // e-value against no excess, of either side
	Because string          `json:"because"`          // one sentence
}

// JudgeBake looks at a bake that began at began. One may look as often as one
// likes: over all looks the chance that a version is called worse that is not
// is at most Alpha, because the interval is a confidence sequence
// ([score.SequentialMean]). A bake ends well as soon as the version is proven
// not to be worse by the margin, else when its time is over, which needs eight
// blocks; without them it goes on, ten times its length at most.
func JudgeBake(p BakePolicy, began, now time.Time, blocks []BakeBlock) BakeVerdict {
	v, s, losses := p.compare(blocks, "its predecessor's")
	age := now.Sub(began)
	switch {
	case v.Excess != nil && s.Lo > 0:
		v.Outcome = BakeWorse
		v.Because = fmt.Sprintf("%s: worse by more than %.3g %%, proven (interval of the excess %.3g to %.3g)", losses, 100*p.Margin, s.Lo, s.Hi)
	case v.Excess != nil && s.Hi <= 0:
		v.Outcome = BakePassed
		v.Because = fmt.Sprintf("%s: not worse by more than %.3g %%, proven", losses, 100*p.Margin)
	case age >= p.Length && len(blocks) >= bakeBlocks:
		v.Outcome = BakePassed
		v.Because = losses + ": not proven worse in all that time"
	case age >= bakePatience*p.Length:
		v.Outcome = BakePassed
		v.Because = v.undecided(age)
	case len(blocks) < bakeBlocks:
		v.Because = v.waiting()
	default:
		v.Because = losses + ": nothing is proven yet"
	}
	return v
}

// JudgeShadow looks at a shadow that began at began, in blocks of which the
// challenger is the promoted version and the champion the predecessor; the margin
// of p does not count. It passes as soon as it is proven to be better, fails as
// soon as it is proven to be worse, and when its time is over, which needs eight
// blocks, it passes if it lost less: a backtest has proven already that it is
// better. Without the blocks it goes on, ten times its length at most, and fails.
// One may look as often as one likes, as in [JudgeBake].
func JudgeShadow(p BakePolicy, began, now time.Time, blocks []BakeBlock) BakeVerdict {
	p.Margin = 0
	v, s, losses := p.compare(blocks, "the champion's")
	age := now.Sub(began)
	switch over := age >= p.Length && len(blocks) >= bakeBlocks; {
	case v.Excess != nil && s.Lo > 0:
		v.Outcome, v.Because = BakeWorse, fmt.Sprintf("%s: worse, proven (interval of the difference %.3g to %.3g)", losses, s.Lo, s.Hi)
	case v.Excess != nil && s.Hi < 0:
		v.Outcome, v.Because = BakePassed, fmt.Sprintf("%s: better, proven (interval of the difference %.3g to %.3g)", losses, s.Lo, s.Hi)
	case over && v.Promoted < v.Predecessor:
		v.Outcome, v.Because = BakePassed, losses+": better in all that time, if not proven"
	case over:
		v.Outcome, v.Because = BakeWorse, losses+": no better in all that time"
	case age >= bakePatience*p.Length:
		v.Outcome, v.Because = BakeWorse, v.undecided(age)
	case len(blocks) < bakeBlocks:
		v.Because = v.waiting()
	default:
		v.Because = losses + ": nothing is proven yet"
	}
	return v
}

// compare adds blocks up and looks at the excess of the promoted version.
func (p BakePolicy) compare(blocks []BakeBlock, whose string) (v BakeVerdict, s score.Sequence, losses string) {
	excess := make([]float64, len(blocks))
	v = BakeVerdict{Outcome: BakeRuns, Blocks: len(blocks), E: 1}
	for i, b := range blocks {
		excess[i] = b.Promoted - (1+p.Margin)*b.Predecessor
		v.Rows += b.Rows
		v.Promoted += b.Promoted / float64(len(blocks))
		v.Predecessor += b.Predecessor / float64(len(blocks))
	}
	s = score.SequentialMean(excess, p.Alpha)
	if !math.IsInf(s.Hi, 1) {
		i := s.Interval
		v.Excess = &i
	}
	v.E = min(s.Evidence, 1e300) // JSON knows no infinity
	return v, s, fmt.Sprintf("on %d rows in %d blocks its loss is %.4g, %s %.4g", v.Rows, v.Blocks, v.Promoted, whose, v.Predecessor)
}

func (v *BakeVerdict) undecided(age time.Duration) string {
	return fmt.Sprintf("undecided: only %d blocks of labelled rows came in %s, %d are needed", v.Blocks, days(age), bakeBlocks)
}

func (v *BakeVerdict) waiting() string {
	return fmt.Sprintf("waiting for actuals: %d of the %d blocks of labelled rows that are needed are there", v.Blocks, bakeBlocks)
}
