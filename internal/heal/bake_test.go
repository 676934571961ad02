package heal_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/heal"
)

var bakePolicy = heal.BakePolicy{Length: 7 * 24 * time.Hour, Margin: 0.02, Alpha: 0.05}

// rowsOf are rows every three minutes with the losses of two versions of
// which the promoted one is worse by the share worse. With rho, what the rows
// of three hours share is autocorrelated by it.
func rowsOf(seed uint64, n int, worse, rho float64) (times []int64, promoted, predecessor []float64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	common := 0.0
	for i := range n {
		if i%60 == 0 { // three hours
			common = rho*common + math.Sqrt(1-rho*rho)*rng.NormFloat64()
		}
		base := math.Exp(rng.NormFloat64())
		extra := 0.0
		if rho > 0 {
			extra = 0.05 * common
		}
		times = append(times, now.Add(time.Duration(i)*3*time.Minute).UnixMicro())
		predecessor = append(predecessor, base)
		promoted = append(promoted, base*(1+worse)+extra+0.3*rng.NormFloat64())
	}
	return times, promoted, predecessor
}

// TestBakeErrs: of 500 promotions that are worse by exactly the margin, looked
// at after every block until the time is over, at most alpha are taken back;
// also when errors are alike for hours.
func TestBakeErrs(t *testing.T) {
	for name, rho := range map[string]float64{"independent": 0, "alike": 0.6} {
		back := 0
		for seed := range uint64(500) {
			_, outcome := watch(rowsOf(seed, 3360, bakePolicy.Margin, rho))
			if outcome == heal.BakeWorse {
				back++
			}
		}
		t.Logf("%s: %d of 500 taken back", name, back)
		if back > 25 {
			t.Errorf("%s: %d of 500 taken back, at most 25 may be", name, back)
		}
	}
}

// watch looks after each block.
func watch(times []int64, promoted, predecessor []float64) (int, heal.Outcome) {
	blocks := bakePolicy.CutBlocks(times, true, promoted, predecessor)
	for n := 1; n <= len(blocks); n++ {
		v := heal.JudgeBake(bakePolicy, now, blocks[n-1].To, blocks[:n])
		if v.Outcome != heal.BakeRuns {
			return n, v.Outcome
		}
	}
	return len(blocks), heal.BakeRuns
}

// TestBakeSees: a promotion that is worse by a fifth is taken back in a few
// days, one that is better passes early.
func TestBakeSees(t *testing.T) {
	var back, passed int
	var took []int
	for seed := range uint64(100) {
		n, outcome := watch(rowsOf(seed, 3360, 0.2, 0))
		if outcome == heal.BakeWorse {
			back++
			took = append(took, n)
		}
		if _, outcome := watch(rowsOf(seed, 3360, -0.2, 0)); outcome == heal.BakePassed {
			passed++
		}
	}
	slices.Sort(took)
	t.Logf("worse by a fifth: %d of 100 taken back, half of them within %d blocks of three hours; better by a fifth: %d pass early", back, took[len(took)/2], passed)
	if back < 95 || passed < 95 || took[len(took)/2] > 32 {
		t.Error("too blind")
	}
}

// TestCutBlocksIsStable: blocks never change when more rows come, hold every
// finite row but those of the end, and part no rows of one time.
func TestCutBlocksIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 600).Draw(t, "rows")
		whole := rapid.Bool().Draw(t, "whole")
		step := rapid.SampledFrom([]int64{0, 60, 3600, 40_000}).Draw(t, "step")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		times, a, b := make([]int64, n), make([]float64, n), make([]float64, n)
		at := now.UnixMicro()
		for i := range n {
			if step > 0 && rng.IntN(3) == 0 {
				at += rng.Int64N(step) * 1e6
			}
			if rng.IntN(100) == 0 {
				at -= 86400e6 // a batch of older rows
			}
			times[i], a[i], b[i] = at, rng.Float64(), rng.Float64()
			if rng.IntN(20) == 0 {
				a[i] = math.Inf(1)
			}
		}
		all := bakePolicy.CutBlocks(times, whole, a, b)
		k := rapid.IntRange(0, n).Draw(t, "known")
		some := bakePolicy.CutBlocks(times[:k], whole, a[:k], b[:k])
		if len(some) > len(all) || !slices.Equal(some, all[:len(some)]) {
			t.Fatalf("%d rows make other blocks than %d", k, n)
		}
		rows := 0
		for _, block := range all {
			if block.Rows < 40 || block.To.Before(block.From) {
				t.Fatalf("block %+v", block)
			}
			rows += block.Rows
		}
		if rows > n {
			t.Fatalf("%d rows in blocks, there are %d", rows, n)
		}
		if !whole && step == 0 && n > 500 && len(all) == 0 {
			t.Fatal("a file without times makes no block")
		}
	})
}

// TestJudgeBakeEnds: what ends a bake beside a proof.
func TestJudgeBakeEnds(t *testing.T) {
	level := func(n int) []heal.BakeBlock { // equal on average
		out := make([]heal.BakeBlock, n)
		for i := range out {
			out[i] = heal.BakeBlock{Rows: 50, Promoted: 10 + 0.5*math.Pow(-1, float64(i)), Predecessor: 9.8}
		}
		return out
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		age    time.Duration
		blocks int
		want   heal.Outcome
		why    string
	}{
		"no label":              {day, 0, heal.BakeRuns, "0 of the 8 blocks"},
		"few labels":            {20 * day, 7, heal.BakeRuns, "7 of the 8 blocks"},
		"few labels for long":   {70 * day, 7, heal.BakePassed, "undecided"},
		"nothing proven":        {6 * day, 20, heal.BakeRuns, "nothing is proven"},
		"nothing proven in all": {7 * day, 20, heal.BakePassed, "not proven worse"},
	} {
		if v := heal.JudgeBake(bakePolicy, now, now.Add(c.age), level(c.blocks)); v.Outcome != c.want || !strings.Contains(v.Because, c.why) {
			t.Errorf("%s: %s because %q, expected %s because %q", name, v.Outcome, v.Because, c.want, c.why)
		}
	}
}

// TestJudgeShadow: a challenger passes when it is better, fails when it is worse
// or no better in all the time, and waits for actuals, but not for ever.
func TestJudgeShadow(t *testing.T) {
	blocks := func(n int, challenger, champion float64) (out []heal.BakeBlock) {
		rng := rand.New(rand.NewPCG(uint64(n), 3))
		for range n {
			noise := 0.1 * rng.NormFloat64()
			out = append(out, heal.BakeBlock{Rows: 50, Promoted: challenger + noise + 0.05*rng.NormFloat64(), Predecessor: champion + noise})
		}
		return out
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		blocks []heal.BakeBlock
		age    time.Duration
		want   heal.Outcome
		says   string
	}{
		{"much better", blocks(20, 0.5, 1), day, heal.BakePassed, "better, proven"},
		{"much worse", blocks(20, 1.5, 1), day, heal.BakeWorse, "worse, proven"},
		{"a little better", blocks(30, 0.99, 1), day, heal.BakeRuns, "nothing is proven yet"},
		{"a little better, in all the time", blocks(30, 0.98, 1), 7 * day, heal.BakePassed, "if not proven"},
		{"a little worse, in all the time", blocks(30, 1.02, 1), 7 * day, heal.BakeWorse, "no better in all that time"},
		{"few actuals", blocks(7, 0.5, 1), 8 * day, heal.BakeRuns, "waiting for actuals"},
		{"no actuals for long", nil, 70 * day, heal.BakeWorse, "undecided"},
	} {
		v := heal.JudgeShadow(bakePolicy, now, now.Add(c.age), c.blocks)
		if v.Outcome != c.want || !strings.Contains(v.Because, c.says) {
			t.Errorf("%s: %s because %s", c.name, v.Outcome, v.Because)
		}
	}
	// Equal versions are promoted for being better by chance, proven, at most as
	// often as alpha says: here 500 challengers as good as the champion, looked at
	// after every block.
	proven := 0
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var seen []heal.BakeBlock
		for range 56 {
			seen = append(seen, heal.BakeBlock{Rows: 50, Promoted: 1 + 0.1*rng.NormFloat64(), Predecessor: 1})
			if v := heal.JudgeShadow(bakePolicy, now, now.Add(time.Hour), seen); v.Outcome == heal.BakePassed {
				proven++
				break
			}
		}
	}
	if t.Logf("%d of 500 proven better by chance", proven); proven > 25 {
		t.Errorf("%d of 500 equal challengers were proven better, at most 25 may be", proven)
	}
}
