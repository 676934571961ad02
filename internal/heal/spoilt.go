package heal

import "math"

// Spoilt is what was found of labels that are wrong in a part of some batches.
type Spoilt struct {
	Batches int     `json:"batches"`     // that look spoilt
	Rows    int     `json:"rows"`        // in them
	Share   float64 `json:"share"`       // of their labels that look wrong
	Usual   float64 `json:"usual_share"` // of all labels before, by likelihood
	// Evidence is the log of the Bayes factor of the batches against the usual
	// share.
	Evidence float64 `json:"evidence"`
	// Column is the one, or the two, that tell wrong labels from others best, and
	// Bound how well: Cramér's V, 0 (not at all) to 1.
	Column string  `json:"column,omitempty"`
	Bound  float64 `json:"bound"`
	// Moved and Spread are of the other labels of those batches: the mean of
	// their residuals less that of labels as always, in standard deviations, and
	// their standard deviation over that of those. Of classes they are not known, 0.
	Moved  float64 `json:"moved"`
	Spread float64 `json:"spread"`
	// Sources are those that wrote them, when that tells them better than any
	// column, and SourceBound how well.
	Sources     []string `json:"sources,omitempty"`
	SourceBound float64  `json:"source_bound,omitempty"`
	// Leave flags the rows now that are not to be learnt from; nil when it is
	// not clear that labels are to blame.
	Leave []bool `json:"-"`
}

const (
	// spoiltEvidence is the log of the Bayes factor from which on a batch
	// counts as spoilt, 100,000 : 1: what is left out is left out for ever.
	spoiltEvidence = 11.5
	// spoiltLeast is the least share of wrong labels: fewer do little harm.
	spoiltLeast = 0.03
	// mostBound is the Cramér's V from which on wrong labels go with what a
	// column or a source says.
	mostBound = 0.3
	// doubtful is the chance to be wrong from which on a label of a spoilt batch
	// is left out; counted as wrong are those that are likelier so than not.
	doubtful = 0.2
	// mostMoved and mostSpread are how far the other labels may be off what is
	// usual. More says that the world moved.
	mostMoved  = 1
	mostSpread = 1.25
)

// FindSpoilt looks for batches now of which a part of the labels is wrong. nil
// says that there are none, or fewer than 40 rows on either side.
//
// Numbers: their residuals are a mixture of what is usual and of a far wider
// distribution, about each batch's own median. Classes: a part of the labels is
// turned over. Either also comes of a world that changed. Three things tell
// them apart. Labels are spoilt by who writes them: a source whose labels are
// wrong, while those of others are not, is left out of those batches. An input
// that tells wrong labels from others, in Cramér's V with the correction of
// Bergsma (2013), says that the world changed for some rows. And when labels are
// spoilt, the others of the batch are as always; when the world changed, they
// mostly are not. Where none of that speaks against it, wrong numbers are left
// out one by one. Wrong classes cannot be told one by one, so that without a
// source nothing is left out.
//
// sources names who wrote each label now; nil when that is not known.
func FindSpoilt(then, now Outcomes, columns []Binning, sources []string, classes bool) *Spoilt {
	if len(then.Label) < minOutcomes || len(now.Label) < minOutcomes {
		return nil
	}
	var f frame
	if classes {
		f = newClassFrame(then, now)
		f.whole() // batches are held against the move of the whole
	} else {
		f = newNumberFrame(then, now)
	}
	flags := func() []bool { return make([]bool, len(now.Label)) }
	s := &spoiltSearch{Spoilt: &Spoilt{}, in: flags(), wrong: flags(), doubt: flags(), leave: flags()}
	if s.batches(f); s.Rows == 0 {
		return nil
	}
	s.weighColumns(now, columns)
	s.blameSources(sources)
	if n, ok := f.(*numberFrame); ok {
		s.weighOthers(n)
		if s.Leave == nil && s.Bound < mostBound && math.Abs(s.Moved) < mostMoved && s.Spread < mostSpread {
			s.Leave = s.leave
		}
	}
	return s.Spoilt
}

type spoiltSearch struct {
	*Spoilt
	in, wrong, doubt []bool // rows of spoilt batches; with labels likely wrong; or maybe wrong
	leave            []bool // maybe wrong, when it is fitted where wrong labels lie
}

// batches takes those that look spoilt.
func (s *spoiltSearch) batches(f frame) {
	batches, before := f.spoilt()
	s.Usual = before
	const maybe = doubtful / (1 - doubtful) // as odds
	count := 0.0
	for lo, k := 0, 0; k < len(batches); k++ {
		b := batches[k]
		evidence := b.gain - 0.5*math.Log(float64(max(b.rows, 1))) - math.Log(float64(len(batches)))
		if b.share >= spoiltLeast && evidence > spoiltEvidence {
			s.Batches++
			s.Rows += b.rows
			s.Evidence += evidence
			odds := f.odds(lo, lo+b.rows, b.share)
			placed := odds
			if n, ok := f.(*numberFrame); ok {
				placed = n.placed(lo, lo+b.rows, b.share, odds)
			}
			for k := range odds {
				i := lo + k
				s.in[i], s.wrong[i], s.doubt[i], s.leave[i] = true, odds[k] > 1, odds[k] > maybe, placed[k] > maybe
				if s.wrong[i] {
					count++
				}
			}
		}
		lo += b.rows
	}
	s.Share = count / float64(max(s.Rows, 1))
}

// weighColumns finds what tells wrong labels best, one column or two together:
// a holiday, say, is a weekday whose mornings are quiet.
func (s *spoiltSearch) weighColumns(now Outcomes, columns []Binning) {
	both := make([]int, len(s.in))
	for k, c := range columns {
		if v := bound(s.wrong, s.in, now.Bins[k], len(c.Bins)); v > s.Bound {
			s.Column, s.Bound = c.Column, v
		}
		for j := range k {
			n := len(columns[j].Bins) + 1
			for i, b := range now.Bins[k] {
				both[i] = (b+1)*n + now.Bins[j][i] + 1
			}
			if v := bound(s.wrong, s.in, both, n*(len(c.Bins)+1)); v > s.Bound {
				s.Column, s.Bound = columns[j].Column+" and "+c.Column, v
			}
		}
	}
}

// weighOthers compares the labels of the spoilt batches that are not in doubt
// with those of the batches beside them, or with those before when there are too
// few, both cut off where doubt begins.
func (s *spoiltSearch) weighOthers(f *numberFrame) {
	reach := 0.0
	var others, before []float64
	for i, z := range f.zNow {
		if s.in[i] && !s.doubt[i] {
			others = append(others, z)
			reach = max(reach, math.Abs(z))
		}
	}
	beside := func(z float64, yes bool) {
		if yes && math.Abs(z) <= reach {
			before = append(before, z)
		}
	}
	for i, z := range f.zNow {
		beside(z, !s.in[i])
	}
	if len(before) < minOutcomes {
		before = nil
		for _, z := range f.zThen {
			beside(z, true)
		}
	}
	m, sd := moments(before)
	now, spread := moments(others)
	if sd > 0 {
		s.Moved, s.Spread = (now-m)/sd, spread/sd
	}
}

func moments(v []float64) (m, sd float64) {
	m = mean(v)
	for _, x := range v {
		sd += (x - m) * (x - m)
	}
	return m, math.Sqrt(sd / float64(max(len(v), 1)))
}

// blameSources finds the sources that wrong labels go with, if they do so more
// closely than with any column, and leaves out what those wrote in the spoilt
// batches.
func (s *spoiltSearch) blameSources(sources []string) {
	if sources == nil {
		return
	}
	var names []string
	number := map[string]int{}
	bin := make([]int, len(sources))
	for i, name := range sources {
		k, known := number[name]
		if !known {
			k = len(names)
			number[name] = k
			names = append(names, name)
		}
		bin[i] = k
	}
	s.SourceBound = bound(s.wrong, s.in, bin, len(names))
	if s.SourceBound < mostBound || s.SourceBound <= s.Bound {
		return
	}
	rows, wrong := make([]float64, len(names)), make([]float64, len(names))
	most := 0.0
	for i, k := range bin {
		if s.in[i] {
			rows[k]++
			if s.wrong[i] {
				wrong[k]++
			}
		}
	}
	for k := range names {
		if rows[k] > 0 {
			most = max(most, wrong[k]/rows[k])
		}
	}
	guilty := make([]bool, len(names))
	for k, name := range names {
		if guilty[k] = rows[k] > 0 && wrong[k]/rows[k] > most/2; guilty[k] {
			s.Sources = append(s.Sources, name)
		}
	}
	s.Leave = make([]bool, len(sources))
	for i, k := range bin {
		s.Leave[i] = s.in[i] && guilty[k]
	}
}

// bound is Cramér's V of flags and bins over the rows in; those without a bin
// are one of their own. 0 when all flags are alike.
func bound(flags, in []bool, bin []int, bins int) float64 {
	n, hit := make([]float64, bins+1), make([]float64, bins+1)
	rows, hits := 0.0, 0.0
	for i, b := range bin {
		if !in[i] {
			continue
		}
		if b < 0 {
			b = bins
		}
		n[b]++
		rows++
		if flags[i] {
			hit[b]++
			hits++
		}
	}
	if hits == 0 || hits == rows {
		return 0
	}
	p, chi, free := hits/rows, 0.0, -1.0
	for b := range n {
		if n[b] > 0 {
			d := hit[b] - n[b]*p
			chi += d * d / (n[b] * p * (1 - p))
			free++
		}
	}
	return math.Sqrt(max(0, chi/rows-free/(rows-1)))
}
