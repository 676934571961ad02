package heal_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/healml/healml/internal/heal"
)

// shop makes outcomes in blocks of 400 rows: two columns, each of three bins,
// and residuals of one standard deviation; spoil may change a row's label.
func shop(seed uint64, blocks, from int, spoil func(r *rand.Rand, row int, o *heal.Outcomes)) (o heal.Outcomes) {
	r := rand.New(rand.NewPCG(seed, 1))
	o.Bins = make([][]int, 2)
	for i := range 400 * blocks {
		out := 10 + 3*r.Float64()
		o.Output = append(o.Output, out)
		o.Label = append(o.Label, out+r.NormFloat64())
		o.Block = append(o.Block, from+i/400)
		for k := range o.Bins {
			o.Bins[k] = append(o.Bins[k], r.IntN(3))
		}
		if spoil != nil {
			spoil(r, i, &o)
		}
	}
	return o
}

var shopColumns = []heal.Binning{{Column: "price", Bins: []string{"low", "middle", "high"}}, {Column: "region", Bins: []string{"a", "b", "c"}}}

func TestFindSpoilt(t *testing.T) {
	then := shop(1, 6, -6, nil)
	some := func(share, by float64) func(*rand.Rand, int, *heal.Outcomes) {
		return func(r *rand.Rand, i int, o *heal.Outcomes) {
			if i/400 == 1 && r.Float64() < share {
				o.Label[i] += by
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*rand.Rand, int, *heal.Outcomes)
		found bool // something odd is seen
		leave bool // and labels are to blame
	}{
		"calm":                      {nil, false, false},
		"a fifth of one batch":      {some(0.2, 12), true, true},
		"a fifth, downwards":        {some(0.2, -12), true, true},
		"one in a hundred":          {some(0.01, 12), false, false},
		"all of a batch moved":      {some(1, 12), false, false},
		"one region moved":          {func(_ *rand.Rand, i int, o *heal.Outcomes) { o.Label[i] += 12 * float64(o.Bins[1][i]/2) }, true, false},
		"half of the world is wild": {some(0.5, 12), true, false},
		"a fifth, and others moved": {func(r *rand.Rand, i int, o *heal.Outcomes) {
			if o.Label[i] += 3; r.Float64() < 0.2 {
				o.Label[i] += 12
			}
		}, true, false},
	} {
		now := shop(2, 4, 0, c.spoil)
		s := heal.FindSpoilt(then, now, shopColumns, nil, false)
		if (s != nil) != c.found || (s != nil && s.Leave != nil) != c.leave {
			t.Errorf("%s: %+v", name, s)
			continue
		}
		if s == nil || s.Leave == nil {
			continue
		}
		hit, missed, lost := 0, 0, 0
		for i, leave := range s.Leave {
			bad := math.Abs(now.Label[i]-now.Output[i]) > 7
			switch {
			case bad && leave:
				hit++
			case bad:
				missed++
			case leave:
				lost++
			}
		}
		if missed > 0 || hit < 60 || lost > 20 || s.Batches != 1 || s.Rows != 400 {
			t.Errorf("%s: %d wrong labels left out, %d missed, %d right ones left out; %d batches of %d rows", name, hit, missed, lost, s.Batches, s.Rows)
		}
	}
	if s := heal.FindSpoilt(then, shop(2, 4, 0, nil), nil, nil, false); s != nil {
		t.Errorf("without columns: %+v", s)
	}
	if s := heal.FindSpoilt(heal.Outcomes{}, then, nil, nil, false); s != nil {
		t.Errorf("with nothing before: %+v", s)
	}
}

// TestToldOneByOne: what a slip of a unit moved to one place is told from the
// tails of what is usual, with the error that the overlap of both leaves.
func TestToldOneByOne(t *testing.T) {
	for _, c := range []struct {
		name         string
		by           func(r *rand.Rand) float64
		missed, lost float64 // shares of wrong labels not found, of right ones left out
	}{
		{"five standard deviations up", func(*rand.Rand) float64 { return 5 }, 0.03, 0.002},
		{"five down", func(*rand.Rand) float64 { return -5 }, 0.03, 0.003},
		{"eight", func(*rand.Rand) float64 { return 8 }, 0.003, 0.001},
		{"anywhere", func(r *rand.Rand) float64 { return 30 * r.NormFloat64() }, 0.12, 0.002},
	} {
		found, missed, lost, bad, good := 0, 0, 0, 0, 0
		for seed := range uint64(10) {
			wrong := map[int]bool{}
			now := shop(2+seed, 4, 0, func(r *rand.Rand, i int, o *heal.Outcomes) {
				if i/400 == 1 && r.Float64() < 0.2 {
					o.Label[i] += c.by(r)
					wrong[i] = true
				}
			})
			s := heal.FindSpoilt(shop(1, 6, -6, nil), now, shopColumns, nil, false)
			if s == nil || s.Leave == nil {
				continue // a batch of 400 may be too few to be sure
			}
			found++
			for i := 400; i < 800; i++ {
				switch {
				case wrong[i]:
					if bad++; !s.Leave[i] {
						missed++
					}
				default:
					if good++; s.Leave[i] {
						lost++
					}
				}
			}
		}
		if m, l := float64(missed)/float64(bad), float64(lost)/float64(good); found < 6 || m > c.missed || l > c.lost {
			t.Errorf("%s: found %d times; %.3f of the wrong labels missed, %.4f of the right ones left out, at most %g and %g", c.name, found, m, l, c.missed, c.lost)
		} else {
			t.Logf("%s: %.3f missed, %.4f left out", c.name, m, l)
		}
	}
	// Labels beyond all measure break nothing.
	now := shop(3, 4, 0, func(r *rand.Rand, i int, o *heal.Outcomes) {
		if i/400 == 1 && r.Float64() < 0.2 {
			o.Label[i] = math.MaxFloat64
		}
	})
	if s := heal.FindSpoilt(shop(1, 6, -6, nil), now, shopColumns, nil, false); s == nil || math.IsNaN(s.Evidence+s.Share+s.Spread+s.Moved) || s.Share < 0.1 {
		t.Errorf("labels beyond all measure: %+v", s)
	}
}

// TestSpoiltSource: when one source's labels are wrong, all that it told in
// those batches is left out, of numbers and of classes; not when a column tells
// them as well.
func TestSpoiltSource(t *testing.T) {
	numbers := func(spoil func(r *rand.Rand, i int, o *heal.Outcomes)) (then, now heal.Outcomes) {
		return shop(1, 6, -6, nil), shop(2, 4, 0, spoil)
	}
	classes := func(spoil func(r *rand.Rand, i int, o *heal.Outcomes)) (then, now heal.Outcomes) {
		then, now = shop(1, 6, -6, nil), shop(2, 4, 0, nil)
		for k, o := range []*heal.Outcomes{&then, &now} {
			r := rand.New(rand.NewPCG(7, uint64(k)))
			for i := range o.Label {
				o.Output[i] = 0.05 + 0.9*float64(r.IntN(2))
				o.Label[i] = 0
				if r.Float64() < o.Output[i] {
					o.Label[i] = 1
				}
				if k == 1 && spoil != nil {
					spoil(r, i, o)
				}
			}
		}
		return then, now
	}
	for name, c := range map[string]struct {
		make    func(func(*rand.Rand, int, *heal.Outcomes)) (then, now heal.Outcomes)
		classes bool
		spoil   func(r *rand.Rand, i int, o *heal.Outcomes)
	}{
		"numbers": {numbers, false, func(_ *rand.Rand, i int, o *heal.Outcomes) {
			if i/400 == 2 && i%5 == 0 {
				o.Label[i] *= 3
			}
		}},
		"classes": {classes, true, func(_ *rand.Rand, i int, o *heal.Outcomes) {
			if i/400 == 2 && i%5 == 0 {
				o.Label[i] = 1 - o.Label[i]
			}
		}},
	} {
		then, now := c.make(c.spoil)
		sources := make([]string, len(now.Label))
		for i := range sources {
			if sources[i] = "till"; i%5 == 0 {
				sources[i] = "app"
			}
		}
		s := heal.FindSpoilt(then, now, shopColumns, sources, c.classes)
		if s == nil || len(s.Sources) != 1 || s.Sources[0] != "app" {
			t.Errorf("%s: %+v", name, s)
			continue
		}
		for i, leave := range s.Leave {
			if leave != (i/400 == 2 && i%5 == 0) {
				t.Errorf("%s: row %d: left out %v", name, i, leave)
				break
			}
		}
		for i := range sources { // the same source tells one region
			now.Bins[1][i] = 0
			if i%5 == 0 {
				now.Bins[1][i] = 1
			}
		}
		if s := heal.FindSpoilt(then, now, shopColumns, sources, c.classes); s == nil || s.Leave != nil {
			t.Errorf("%s, of one region: %+v", name, s)
		}
		if s := heal.FindSpoilt(then, now, nil, nil, true); c.classes && (s == nil || s.Leave != nil) {
			t.Errorf("classes without a source: %+v", s)
		}
	}
}
