package monitor

import (
	"slices"

	"github.com/healml/healml/internal/drift"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// job is the comparison of one column.
type job struct {
	name       string
	kind       schema.Kind
	inferred   bool // no schema gave the kind
	presence   bool // only that there is a value is compared, not which
	prediction bool
	refIndex   int           // among the names of either side
	curIndex   int           // −1: absent
	ref, cur   *table.Column // samples
	then, now  tally
	grid       *drift.Grid
	a, b       []float64 // sorted values of the samples
	dict       dictionary
	compared   *drift.Comparison
	column     *Column
	faults     []Fault
}

// tally is what is counted of one side.
type tally struct {
	numbers *drift.NumberCounts
	levels  *drift.LevelCounts
	codes   coder
	rising  ascent
	stray   int // texts where numbers should be
}

func (t *tally) counts() *drift.Counts {
	if t.numbers != nil {
		return t.numbers.Counts
	}
	return t.levels.Counts
}

func (t *tally) missingByStep() (n, rows []float64) {
	if t.numbers != nil {
		return t.numbers.MissingByStep()
	}
	return t.levels.MissingByStep()
}

// dictionary numbers the levels of a column.
type dictionary struct {
	index map[string]int32
	names []string
}

func (d *dictionary) code(text string) int32 {
	k, ok := d.index[text]
	if !ok {
		if d.index == nil {
			d.index = map[string]int32{}
		}
		k = int32(len(d.names))
		d.index[text] = k
		d.names = append(d.names, text)
	}
	return k
}

// coder turns the parts of a column into codes of a dictionary.
type coder struct {
	remap   []int32 // of the column's own codes
	numbers map[float64]int32
	codes   []int32
}

// present gives every value one code.
func (c *coder) present(p *table.Column, d *dictionary) []int32 {
	c.codes = slices.Grow(c.codes[:0], p.Len())[:p.Len()]
	k := d.code("a value")
	for i := range c.codes {
		if c.codes[i] = k; p.Missing(i) {
			c.codes[i] = -1
		}
	}
	return c.codes
}

func (c *coder) of(p *table.Column, d *dictionary) []int32 {
	c.codes = slices.Grow(c.codes[:0], p.Len())[:p.Len()]
	if p.Type == table.String {
		for _, text := range p.Dict[min(len(c.remap), len(p.Dict)):] {
			c.remap = append(c.remap, d.code(text))
		}
		for i, k := range p.Codes {
			if c.codes[i] = -1; k >= 0 {
				c.codes[i] = c.remap[k]
			}
		}
		return c.codes
	}
	if c.numbers == nil {
		c.numbers = map[float64]int32{} // formatting is slow, levels are few
	}
	for i := range c.codes {
		if p.Missing(i) {
			c.codes[i] = -1
			continue
		}
		if p.Type == table.Time {
			c.codes[i] = d.code(p.Format(i))
			continue
		}
		k, ok := c.numbers[p.Floats[i]]
		if !ok {
			k = d.code(p.Format(i))
			c.numbers[p.Floats[i]] = k
		}
		c.codes[i] = k
	}
	return c.codes
}

// begin makes ready to count one side.
func (j *job) begin(t *tally, steps *drift.Steps) {
	*t = tally{}
	if j.kind != schema.Numeric {
		t.levels = drift.CountLevels(steps)
		return
	}
	if j.grid == nil {
		v, _ := numbersOf(j.ref)
		j.a, _ = drift.Sorted(v)
		j.grid = drift.NumberGrid(j.a)
	}
	t.numbers = drift.CountNumbers(steps, j.grid)
}

// add counts a part.
func (j *job) add(t *tally, row int, c *table.Column) {
	if j.inferred {
		t.rising.add(c)
	}
	if j.presence {
		t.levels.Add(row, t.codes.present(c, &j.dict))
		return
	}
	if t.numbers == nil {
		t.levels.Add(row, t.codes.of(c, &j.dict))
		return
	}
	v, stray := numbersOf(c)
	t.stray += stray
	t.numbers.Add(row, v)
}

// blank counts every row of the current side as missing.
func (j *job) blank(steps *drift.Steps) {
	j.now = tally{}
	n := 0
	for _, rows := range steps.Rows {
		n += rows
	}
	j.cur = table.AllMissing(j.name, table.Float, min(n, sampleRows))
	if j.kind == schema.Numeric {
		j.now.numbers = drift.BlankNumbers(steps, j.grid)
	} else {
		j.now.levels = drift.BlankLevels(steps)
	}
}

// trendLevel is the code of the level that the change is about, or that changed
// most; 0 without levels.
func (j *job) trendLevel() int {
	if c := j.column.Change; c != nil {
		for _, name := range []string{c.New, c.Old} {
			if k, ok := j.dict.index[name]; ok && name != "" {
				return int(k)
			}
		}
	}
	if len(j.column.Levels) == 0 {
		return 0
	}
	return int(j.dict.index[j.column.Levels[0].Level])
}

func (j *job) level(k int) string {
	if k >= len(j.dict.names) {
		return ""
	}
	return j.dict.names[k]
}
