package train_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// runs are the stretches of neighbours in ascending numbers, half-open.
func runs(rows []int) (out [][2]int) {
	for i, r := range rows {
		if i > 0 && r == rows[i-1]+1 {
			out[len(out)-1][1] = r + 1
		} else {
			out = append(out, [2]int{r, r + 1})
		}
	}
	return out
}

// daily are times of rows, some of them a day.
func daily(days int, rows func(day int) int) (times []int64) {
	for d := range days {
		start := synth.Start.AddDate(0, 0, d).UnixMicro()
		for i, n := 0, rows(d); i < n; i++ {
			times = append(times, start+int64(i)*86_400_000_000/int64(n))
		}
	}
	return times
}

func date(us int64) string { return time.UnixMicro(us).UTC().Format(time.DateOnly) }

// TestStretches: whatever the rows are, those kept are in order, no more than
// asked for, all of them when they fit, and end with the last one; where no day
// is longer than a stretch none is parted.
func TestStretches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 500).Draw(t, "most")
		longest := rapid.SampledFrom([]int{1, 3, 20, 200}).Draw(t, "longest")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		times := daily(rapid.IntRange(1, 200).Draw(t, "days"), func(int) int { return rng.IntN(longest + 1) })
		for range rapid.IntRange(0, 20).Draw(t, "undated") {
			times = slices.Insert(times, 0, int64(table.NoTime))
		}
		n := len(times)
		if rapid.Bool().Draw(t, "timeless") {
			times = nil
		}
		got := train.Stretches(times, n, most)
		if n <= most {
			if len(got) != n || n > 0 && (got[0] != 0 || got[n-1] != n-1) {
				t.Fatalf("%d of %d rows, expected all", len(got), n)
			}
			return
		}
		if len(got) == 0 || len(got) > most || got[len(got)-1] != n-1 {
			t.Fatalf("%d rows of %d, at most %d: %v", len(got), n, most, got)
		}
		for i, r := range got {
			if r < 0 || i > 0 && r <= got[i-1] {
				t.Fatalf("row %d stands at %d", r, i)
			}
		}
		if k := len(runs(got)); k > 25 {
			t.Fatalf("%d stretches", k)
		}
		if times == nil || longest > max(most/25, 1) {
			return
		}
		for _, r := range runs(got) {
			if r[0] > 0 && times[r[0]] != table.NoTime && date(times[r[0]-1]) == date(times[r[0]]) || r[1] < n && times[r[1]] != table.NoTime && date(times[r[1]-1]) == date(times[r[1]]) {
				t.Fatalf("rows %d to %d part a day", r[0], r[1])
			}
		}
	})
}

// TestStretchesCover: they reach over all of the time evenly, fill what they
// may, and know each day of the week and the hours as well as the others, also
// where their distance would bring them to the same ones again and again.
func TestStretchesCover(t *testing.T) {
	for name, c := range map[string]struct{ days, rows int }{
		"days in a stretch":        {1096, 100},
		"a day or two":             {1096, 1100},
		"weeks apart":              {7*7*24 + 2, 1000},
		"a stretch a day":          {364, 2000},
		"parts of days":            {400, 20_000},
		"parts, whole weeks apart": {7*24 + 1, 48_000},
		"hardly more than kept":    {300, 200},
	} {
		times := daily(c.days, func(int) int { return c.rows })
		n := len(times)
		got := train.Stretches(times, n, train.ReferenceRows)
		if len(got) < train.ReferenceRows*9/10 || len(got) > train.ReferenceRows {
			t.Errorf("%s: %d rows", name, len(got))
		}
		var week [7]int
		var hour [24]int
		for _, r := range got {
			at := time.UnixMicro(times[r]).UTC()
			week[at.Weekday()]++
			hour[at.Hour()]++
		}
		if lo, hi := slices.Min(week[:]), slices.Max(week[:]); hi > 2*lo {
			t.Errorf("%s: days of the week have %v rows", name, week)
		}
		quarter := [4]int{}
		for h, k := range hour {
			quarter[h/6] += k
		}
		if lo, hi := slices.Min(quarter[:]), slices.Max(quarter[:]); hi > 4*lo {
			t.Errorf("%s: quarters of the day have %v rows", name, quarter)
		}
		apart := n / 25
		for i, r := range runs(got) {
			if i == 0 && r[0] > apart {
				t.Errorf("%s: the first stretch begins with row %d of %d", name, r[0], n)
			}
			if i > 0 && r[0]-runs(got)[i-1][1] > 2*apart {
				t.Errorf("%s: nothing is kept from row %d to %d", name, runs(got)[i-1][1], r[0])
			}
		}
	}
}

// TestStretchesWithoutTimes are of equal length and distance.
func TestStretchesWithoutTimes(t *testing.T) {
	got := runs(train.Stretches(nil, 1_000_000, train.ReferenceRows))
	if len(got) != 25 || got[0][0] > 3000 {
		t.Fatalf("stretches %v", got)
	}
	for i, r := range got {
		if r[1]-r[0] != 2000 {
			t.Errorf("rows %d to %d", r[0], r[1])
		}
		if i > 0 && (r[0]-got[i-1][0] < 38_000 || r[0]-got[i-1][0] > 45_000) {
			t.Errorf("from row %d to %d", got[i-1][0], r[0])
		}
	}
}

// BenchmarkStretches picks from three years of ten thousand rows a day.
func BenchmarkStretches(b *testing.B) {
	times := daily(1096, func(int) int { return 10_000 })
	for b.Loop() {
		train.Stretches(times, len(times), train.ReferenceRows)
	}
}
