package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func spanOf(times []int64) Span {
	s := NewSpan()
	s.Add(times)
	return s
}

func timeSteps(times []int64, width int64) *Steps {
	t := NewTimeSteps(width, spanOf(times))
	t.Add(times)
	return t.Steps()
}

// TestSteps: whatever the order of rows and however they are passed, every row
// is in the step that holds its time, and steps are in the order of time.
func TestSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "rows")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		times := make([]int64, n)
		reach := rapid.SampledFrom([]int64{hour, 40 * day, 9000 * day}).Draw(t, "reach")
		for i := range times {
			if times[i] = r.Int64N(reach) - reach/2; r.IntN(20) == 0 && reach == hour {
				times[i] = NoTime
			}
		}
		if rapid.Bool().Draw(t, "sorted") {
			slices.Sort(times)
		}
		span := spanOf(times)
		width := StepWidth(span)
		if !span.Known() {
			return
		}
		b := NewTimeSteps(width, span)
		for lo := 0; lo < n; {
			hi := min(n, lo+1+r.IntN(50))
			b.Add(times[lo:hi])
			lo = hi
		}
		s := b.Steps()
		rows, at := make([]int, len(s.Rows)), 0
		for lo := 0; lo < n; {
			hi := min(n, lo+1+r.IntN(70))
			s.Each(lo, hi, func(step, from, to int) {
				if from != at || to <= from {
					t.Fatalf("rows [%d, %d) after %d", from, to, at)
				}
				at = to
				rows[step] += to - from
				for _, us := range times[from:to] {
					if us == NoTime {
						if !s.Loose || step != len(s.Rows)-1 {
							t.Fatalf("a row without a time in step %d", step)
						}
						continue
					}
					if us < s.Start(step) || us >= s.Start(step)+width {
						t.Fatalf("time %d in step %d, which begins at %d", us, step, s.Start(step))
					}
				}
			})
			lo = hi
		}
		if at != n || !slices.Equal(rows, s.Rows) {
			t.Fatalf("%d rows, %v and %v", at, rows, s.Rows)
		}
		for i := 1; i < s.Len(); i++ {
			if s.Cell(i) < s.Cell(i-1) {
				t.Fatalf("step %d is before step %d", i, i-1)
			}
		}
		if s.Len() > 2*mostSteps+1 {
			t.Fatalf("%d steps", s.Len())
		}
	})
}

// TestStepWidths: steps are of lengths that people know, weeks begin on
// Mondays.
func TestStepWidths(t *testing.T) {
	const monday2026 = 1767571200_000000 // 2026-01-05
	for _, c := range []struct{ reach, want int64 }{{900 * second, second}, {900 * hour, hour}, {30 * day, hour}, {900 * day, day}, {2000 * day, 7 * day}} {
		if got := StepWidth(Span{First: monday2026, Last: monday2026 + c.reach}); got != c.want {
			t.Errorf("over %d µs: %d, want %d", c.reach, got, c.want)
		}
	}
	s := timeSteps([]int64{monday2026 + 3*day, monday2026 + 8*day}, 7*day)
	if s.Start(0) != monday2026 || s.Start(1) != monday2026+7*day || s.Start(2) != monday2026+14*day {
		t.Errorf("weeks begin at %d, %d", s.Start(0), s.Start(1))
	}
	if StepWidth(NewSpan()) != 0 {
		t.Error("a width without a time")
	}
}

// TestCountsAddUp: counting in parts is counting at once.
func TestCountsAddUp(t *testing.T) {
	r := newRand(8)
	v := normal(r, 5000, 100, 3)
	codes := make([]int32, len(v))
	for i := range v {
		if codes[i] = int32(r.IntN(9)) - 1; codes[i] < 0 {
			v[i] = math.NaN()
		}
	}
	sorted, _ := Sorted(v)
	g := NumberGrid(sorted)
	whole, parts := CountNumbers(RowSteps(len(v)), g), CountNumbers(RowSteps(len(v)), g)
	levels, pieces := CountLevels(RowSteps(len(v))), CountLevels(RowSteps(len(v)))
	whole.Add(0, v)
	levels.Add(0, codes)
	for lo := 0; lo < len(v); lo += 77 {
		hi := min(lo+77, len(v))
		parts.Add(lo, v[lo:hi])
		pieces.Add(lo, codes[lo:hi])
	}
	for s := range whole.n {
		if !slices.Equal(whole.n[s], parts.n[s]) || !slices.Equal(levels.n[s], pieces.n[s]) {
			t.Fatalf("step %d differs", s)
		}
	}
	mean, std := parts.Moments()
	m2, s2 := Moments(v)
	near(t, "mean", mean, m2, 1e-12)
	near(t, "standard deviation", std, s2, 1e-9)
	if got := levels.Totals(12); got[0] == 0 || got[9] != 0 || len(got) != 12 {
		t.Errorf("totals %v", got)
	}
	since := levels.Since(len(levels.n)/2, 8)
	for k, n := range levels.Totals(8) {
		if since[k] <= 0 || since[k] >= n {
			t.Errorf("level %d: %v of %v since the middle", k, since[k], n)
		}
	}
}

// TestBlankIsMissing: a column that is gone is one of missing values only.
func TestBlankIsMissing(t *testing.T) {
	v := normal(newRand(1), 400, 0, 1)
	sorted, _ := Sorted(v)
	g := NumberGrid(sorted)
	ref := CountNumbers(RowSteps(400), g)
	ref.Add(0, v)
	c := CompareNumbers(ref, BlankNumbers(RowSteps(300), g), sorted, nil)
	if c.CurMissing != 300 || c.P > 1e-6 || c.Strongest().Name != "missing" {
		t.Errorf("%+v", c)
	}
	levels := CountLevels(RowSteps(400))
	levels.Add(0, make([]int32, 400))
	if c := CompareLevels(levels, BlankLevels(RowSteps(300)), 1); c.CurMissing != 300 || c.P > 1e-6 {
		t.Errorf("%+v", c)
	}
}
