package retrain

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/splitmix"
)

// Labels bound what labels may teach. Whoever can write actuals can teach the
// model; so no one source teaches too much of it, labels that come in unlikely
// shares wait for a human, and those that look wrong are left out.
type Labels struct {
	// SourceCap is the share of the labels new to the champion that one source
	// may tell, where there are several; 0: any.
	SourceCap float64
	// Rate is by how many times the share of a class, or of numbers beyond the
	// outer hundredths of those known, may differ from what it was; 0: any.
	Rate float64
	// Golden are labelled rows on which no promotion may lose; nil: none.
	Golden *Golden
}

// spoiltBatch is the size of a batch, at least, in which labels are looked for
// that are wrong in part.
const spoiltBatch = minStretch

// distrust takes the labels out that may not teach, by the bounds and by what
// they look like. unseen is the first row that the
// champion has not learnt from.
func (h *history) distrust(ctx context.Context, s *Seen, o Labels) (*heal.Spoilt, error) {
	n := h.rows.Len()
	if n-s.Unseen < spoiltBatch {
		return nil, nil
	}
	out := make([]bool, n)
	found, err := h.spoilt(ctx, s, out)
	if err != nil {
		return nil, err
	}
	if o.Rate > 0 {
		h.overRate(s.Unseen, o.Rate, out)
	}
	if o.SourceCap > 0 && o.SourceCap < 1 {
		h.capSources(s.Unseen, o.SourceCap, out)
	}
	if !slices.Contains(out, true) {
		return found, nil
	}
	return found, h.without(out)
}

// spoilt flags labels that look wrong.
func (h *history) spoilt(ctx context.Context, s *Seen, out []bool) (*heal.Spoilt, error) {
	e, err := s.evidence(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for labels that are wrong: %w", err)
	}
	then, now, columns, rows := e.unseen(s.Unseen).outcomes(func(int) bool { return true })
	var sources []string
	if h.sourceCount(s.Unseen) > 1 {
		for _, i := range rows {
			sources = append(sources, h.source(i))
		}
	}
	found := heal.FindSpoilt(then, now, columns, sources, h.rows.Template.Task.Classified())
	if found == nil || found.Leave == nil {
		return found, nil
	}
	flagged := make([]bool, len(out))
	for k, leave := range found.Leave {
		if leave {
			flagged[rows[k]], out[rows[k]] = true, true
		}
	}
	x := Exclusion{Column: h.rows.Template.Target, Why: fmt.Sprintf("labels look wrong: %.1f %% of them in %d rows, where %.1f %% are usual", 100*found.Share, found.Rows, 100*found.Usual)}
	x.Source = strings.Join(found.Sources, ", ")
	h.leave(flagged, x, true)
	return found, nil
}

// unseen is the evidence with all rows that the champion has not learnt from as
// the window, in batches of rows.
func (e *evidence) unseen(first int) *evidence {
	out := *e
	out.first, out.times, out.length = first, nil, 0
	out.parts = max(1, min(batches, (len(e.labels)-first)/spoiltBatch))
	return &out
}

func (h *history) source(i int) string {
	if h.sources.Missing(i) {
		return ""
	}
	return h.sources.Format(i)
}

// sourceCount is how many sources there are from a row on.
func (h *history) sourceCount(from int) int {
	seen := map[string]bool{}
	for i := from; i < h.rows.Len(); i++ {
		seen[h.source(i)] = true
	}
	return len(seen)
}

// overRate flags the labels of a source in a stretch of which the share of a
// class is more than k times what it was on the rows before, or less than a
// k-th of that, by more than three standard errors. Numbers fall into three
// classes: within, below and above the outer hundredths of what was known.
func (h *history) overRate(unseen int, k float64, out []bool) {
	class, shares := h.classes(unseen)
	for _, stretch := range stretches(h.rows.Times[unseen:]) {
		by := map[string][]int{}
		for _, i := range stretch {
			by[h.source(unseen+i)] = append(by[h.source(unseen+i)], unseen+i)
		}
		for _, source := range slices.Sorted(maps.Keys(by)) {
			rows := by[source]
			c, share, usual := outOfBounds(rows, class, shares, k)
			if c == "" {
				continue
			}
			flagged := make([]bool, len(out))
			for _, i := range rows {
				if !out[i] {
					flagged[i], out[i] = true, true
				}
			}
			h.leave(flagged, Exclusion{Column: h.rows.Template.Target, Source: source, Why: fmt.Sprintf("%.1f %% of the labels are %s, where %.1f %% are usual: more than %g times off", 100*share, c, 100*usual, k)}, true)
		}
	}
}

// classes numbers the class of each label, and gives the share of each before
// unseen with its name.
func (h *history) classes(unseen int) (class func(i int) int, shares []classShare) {
	y := h.rows.Labels
	if h.rows.Template.Task.Classified() {
		for _, c := range h.rows.Template.Classes {
			shares = append(shares, classShare{name: fmt.Sprintf("%q", c)})
		}
		class = func(i int) int { return int(y[i]) }
	} else {
		known := slices.Sorted(slices.Values(y[:unseen]))
		if len(known) == 0 {
			return nil, nil
		}
		lo, hi := known[len(known)/100], known[len(known)-1-len(known)/100]
		shares = []classShare{{name: fmt.Sprintf("below %.4g", lo)}, {name: "ordinary"}, {name: fmt.Sprintf("above %.4g", hi)}}
		class = func(i int) int {
			switch {
			case y[i] < lo:
				return 0
			case y[i] > hi:
				return 2
			}
			return 1
		}
	}
	for i := range unseen {
		shares[class(i)].share += 1 / float64(unseen)
	}
	return class, shares
}

type classShare struct {
	name  string
	share float64
}

// outOfBounds is the class whose share of rows is the farthest off its bounds;
// "" when none is.
func outOfBounds(rows []int, class func(int) int, shares []classShare, k float64) (name string, share, usual float64) {
	const errors = 3 // standard errors
	counts := make([]float64, len(shares))
	for _, i := range rows {
		counts[class(i)]++
	}
	n, most := float64(len(rows)), 0.0
	for c, s := range shares {
		p := s.share
		q, slack := counts[c]/n, errors*math.Sqrt(max(p*(1-p), 1/n)/n)
		if over := max(q-k*p, p/k-q) - slack; over > most {
			most, name, share, usual = over, s.name, q, p
		}
	}
	return name, share, usual
}

// capSources flags as many labels of a source as are too many of those new to
// the champion, chosen by a hash of their ids, so that another run chooses the
// same. Labels without a source are those of one.
func (h *history) capSources(unseen int, most float64, out []bool) {
	by := map[string][]int{}
	total := 0
	for i := unseen; i < h.rows.Len(); i++ {
		if !out[i] {
			by[h.source(i)] = append(by[h.source(i)], i)
			total++
		}
	}
	if len(by) < 2 {
		return
	}
	for _, source := range slices.Sorted(maps.Keys(by)) {
		rows := by[source]
		// So many that they are the share of what is left: k = most·(k + others).
		k := int(most / (1 - most) * float64(total-len(rows)))
		if k >= len(rows) {
			continue
		}
		hash := map[int]uint64{}
		for _, i := range rows {
			hash[i] = h.hash(i)
		}
		slices.SortFunc(rows, func(a, b int) int { return cmp.Or(cmp.Compare(hash[a], hash[b]), cmp.Compare(a, b)) })
		flagged := make([]bool, len(out))
		for _, i := range rows[k:] {
			flagged[i], out[i] = true, true
		}
		h.leave(flagged, Exclusion{Column: h.rows.Template.Target, Source: source, Why: fmt.Sprintf("one source may tell %.0f %% of the new labels, and this one told %d of %d", 100*most, len(rows), total)}, false)
	}
}

// hash scatters rows by their ids.
func (h *history) hash(i int) uint64 {
	f := fnv.New64a()
	f.Write([]byte(h.ids.Format(i))) // which never fails
	return splitmix.Mix(f.Sum64())
}
