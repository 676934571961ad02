package drift

// unit is a run of neighbouring steps of a sample, with some number of rows:
// the piece that windows are made of. Its counts stand by stratum.
type unit struct {
	parts []part
	sum   []float64 // counts of all strata
	rows  float64
}

// part are the counts of a unit's steps in one stratum.
type part struct {
	stratum int
	n       []float64
}

// units joins steps until each unit has so many rows; a rest that is shorter
// is left out, as is the step of rows without a time.
func (c *Counts) units(stratum []int, least float64) []unit {
	var out []unit
	var u unit
	rows := 0.0
	for s, n := range c.n[:c.Steps.Len()] {
		k := sumCounts(n)
		if k == 0 {
			continue
		}
		rows += k
		if u.sum == nil {
			u.sum = make([]float64, c.Cells+1)
		}
		addCounts(u.sum, n)
		addCounts(u.at(stratum[s], c.Cells), n)
		if rows >= least {
			u.rows = rows
			out = append(out, u)
			u, rows = unit{}, 0
		}
	}
	return out
}

// at are the counts of a stratum, which it may begin.
func (u *unit) at(stratum, cells int) []float64 {
	for _, p := range u.parts {
		if p.stratum == stratum {
			return p.n
		}
	}
	u.parts = append(u.parts, part{stratum, make([]float64, cells+1)})
	return u.parts[len(u.parts)-1].n
}

// pile is a sum of units.
type pile struct {
	strata [][]float64 // counts by stratum; nil where none were added
	rows   []float64   // by stratum
	sum    []float64
	total  float64
}

func newPile(strata, cells int) *pile {
	return &pile{strata: make([][]float64, strata), rows: make([]float64, strata), sum: make([]float64, cells+1)}
}

// pileOf sums all steps, those without a time too.
func (c *Counts) pileOf(stratum []int, count int) *pile {
	p := newPile(count, c.Cells)
	for s, n := range c.n {
		rows := sumCounts(n)
		if rows == 0 {
			continue
		}
		k := stratum[s]
		addCounts(p.at(k), n)
		addCounts(p.sum, n)
		p.rows[k] += rows
		p.total += rows
	}
	return p
}

func (p *pile) at(stratum int) []float64 {
	if p.strata[stratum] == nil {
		p.strata[stratum] = make([]float64, len(p.sum))
	}
	return p.strata[stratum]
}

// add adds a unit sign times. With one stratum only the sum is kept.
func (p *pile) add(u *unit, sign float64) {
	for i, k := range u.sum {
		p.sum[i] += sign * k
	}
	p.total += sign * u.rows
	if len(p.strata) == 1 {
		return
	}
	for _, q := range u.parts {
		dst := p.at(q.stratum)
		rows := 0.0
		for i, k := range q.n {
			dst[i] += sign * k
			rows += k
		}
		p.rows[q.stratum] += sign * rows
	}
}

// fill makes p the sum of units.
func (p *pile) fill(units []*unit) {
	p.clear()
	for _, u := range units {
		p.add(u, 1)
	}
}

func (p *pile) clear() {
	for k, n := range p.strata {
		clear(n)
		p.rows[k] = 0
	}
	clear(p.sum)
	p.total = 0
}

// like writes to dst what p's rows would count if they were spread over the
// strata as those of other are, and as many of them as that leaves them worth:
// the shares of the weighted mean of strata, times Kish's effective number of
// rows (1965). A stratum that p lacks is stood in for by all of p.
func (p *pile) like(dst []float64, other *pile) {
	if len(p.strata) == 1 || other.total == 0 {
		copy(dst, p.sum)
		return
	}
	clear(dst)
	square := 0.0
	for k, rows := range other.rows {
		if rows <= 0 {
			continue
		}
		n, m := p.strata[k], p.rows[k]
		if m <= 0 {
			n, m = p.sum, p.total
		}
		if m <= 0 {
			return
		}
		w := rows / other.total
		square += w * w / m
		for i, x := range n {
			dst[i] += w * x / m
		}
	}
	for i := range dst {
		dst[i] /= square
	}
}
