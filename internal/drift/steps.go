package drift

import (
	"math"
	"slices"
)

// mostSteps bounds the steps that a sample is cut into.
const mostSteps = 1000

// widths are the lengths, in microseconds, that a step of time may have.
var widths = []int64{
	second, 10 * second, 60 * second, 300 * second, 900 * second, hour, 3 * hour, 6 * hour,
	day, 7 * day, 28 * day, 364 * day, 3640 * day, 36400 * day, 364000 * day,
}

// monday is the first Monday of 1970 in microseconds: steps of weeks begin on
// Mondays.
const monday = 4 * day

const (
	second = 1_000_000
	hour   = 3600 * second
	day    = 24 * hour
)

// NoTime marks a missing time, as in package table.
const NoTime = math.MinInt64

// Steps cuts the rows of a sample into steps: stretches of time, or runs of
// rows where no time is known. Rows without a time are in a last step of their
// own. The zero value has no rows.
type Steps struct {
	Width int64 // microseconds of a step; 0: steps are of rows
	Rows  []int // of each step; steps in the midst may have none
	// Loose says that the last step holds the rows without a time.
	Loose bool

	cells []int64  // of each step: the multiple of Width since 1970 that it lies in
	each  int      // rows of a step where Width is 0
	runs  []run    // rows to steps, by row
	ids   []uint16 // the same, row by row, where runs would be many
}

// run is a run of rows of one step; it ends where the next begins.
type run struct {
	row  int
	step uint16
}

// RowSteps cuts n rows into runs of equal length.
func RowSteps(n int) *Steps {
	s := &Steps{each: max((n+mostSteps-1)/mostSteps, 1)}
	for at := 0; at < n; at += s.each {
		s.Rows = append(s.Rows, min(s.each, n-at))
	}
	return s
}

// StepWidth is the least length of a step that cuts each of the spans into at
// most a thousand. It is 0 when none of them is known.
func StepWidth(spans ...Span) int64 {
	for _, w := range widths {
		fits, known := true, false
		for _, s := range spans {
			if s.Known() {
				known = true
				fits = fits && cellOf(s.Last, w)-cellOf(s.First, w) < mostSteps
			}
		}
		switch {
		case !known:
			return 0
		case fits:
			return w
		}
	}
	return widths[len(widths)-1]
}

// cellOf is the number of the stretch of width w that holds time us.
func cellOf(us, w int64) int64 {
	if w%(7*day) == 0 {
		us -= monday
	}
	return floorDiv(us, w)
}

// Start is when a step begins, in microseconds since 1970, or the number of
// its first row where steps are of rows. Steps that part the rows of one
// stretch of time begin with it. At Len it is where the last one ends.
func (s *Steps) Start(step int) int64 {
	switch {
	case s.Width == 0:
		return int64(step) * int64(s.each)
	case step == len(s.cells):
		return startOf(s.cells[step-1]+1, s.Width)
	}
	return startOf(s.cells[step], s.Width)
}

// Len is the number of steps with a place in the order of time.
func (s *Steps) Len() int {
	if s.Loose {
		return len(s.Rows) - 1
	}
	return len(s.Rows)
}

// Cell is the stretch of time, of length Width, that a step lies in: its number
// counted from 1970.
func (s *Steps) Cell(step int) int64 { return s.cells[step] }

// at is Start for strata; the step of rows without a time is put anywhere.
func (s *Steps) at(step int) int64 {
	if len(s.cells) == 0 {
		return 0
	}
	return s.Start(min(step, len(s.cells)-1))
}

// Span is the number of stretches of time from the first step to the last.
func (s *Steps) Span() int64 {
	if len(s.cells) == 0 {
		return 0
	}
	return s.cells[len(s.cells)-1] - s.cells[0] + 1
}

// Filled is the number of steps with rows, those without a time left out.
func (s *Steps) Filled() int {
	n := 0
	for _, r := range s.Rows[:s.Len()] {
		if r > 0 {
			n++
		}
	}
	return n
}

// startOf is when a stretch of width w begins.
func startOf(cell, w int64) int64 {
	if w%(7*day) == 0 {
		return cell*w + monday
	}
	return cell * w
}

// A Span is what must be known of times to cut rows into steps of them.
type Span struct {
	First, Last int64 // microseconds since 1970; First is greater when no row has a time
	Rows        int
	// Ordered says that every row has a time and none is before the row
	// before it.
	Ordered bool
	// Late and Early are the numbers of rows that are before and after the row
	// before them. A file whose newest rows come first has only late ones.
	Late, Early int
	last        int64
}

// NewSpan is the span of no rows.
func NewSpan() Span { return Span{First: math.MaxInt64, Last: math.MinInt64, Ordered: true} }

// Known reports whether any row has a time.
func (s Span) Known() bool { return s.First <= s.Last }

// Add takes in the times of further rows, in order.
func (s *Span) Add(times []int64) {
	s.Rows += len(times)
	for _, us := range times {
		if us == NoTime {
			s.Ordered = false
			continue
		}
		switch {
		case s.First > s.Last: // the first time
		case us < s.last:
			s.Late++
			s.Ordered = false
		case us > s.last:
			s.Early++
		}
		s.last = us
		s.First, s.Last = min(s.First, us), max(s.Last, us)
	}
}

// TimeSteps cuts rows into steps of time. Add passes the rows in order.
type TimeSteps struct {
	s     Steps
	span  Span
	rows  int
	first int64 // stretch of the first step, where rows are not in order
	most  int   // rows of a step, where they are
}

// NewTimeSteps begins steps of a width for rows of a span. Where the rows are
// in order, steps with very many rows are parted.
func NewTimeSteps(width int64, span Span) *TimeSteps {
	t := &TimeSteps{s: Steps{Width: width}, span: span, most: max(2*span.Rows/mostSteps, 1)}
	if span.Ordered {
		return t
	}
	if span.Known() {
		t.first = cellOf(span.First, width)
		for k := t.first; k <= cellOf(span.Last, width) && len(t.s.cells) < mostSteps; k++ {
			t.s.cells = append(t.s.cells, k)
		}
	}
	t.s.Rows = make([]int, len(t.s.cells)+1)
	return t
}

// Add appends rows with the given times, in microseconds since 1970, or
// NoTime.
func (t *TimeSteps) Add(times []int64) {
	s := &t.s
	for _, us := range times {
		step := t.step(us)
		s.Rows[step]++
		switch k := uint16(step); {
		case s.ids != nil:
			s.ids = append(s.ids, k)
		case len(s.runs) == 0 || s.runs[len(s.runs)-1].step != k:
			s.runs = append(s.runs, run{t.rows, k})
			if len(s.runs) > mostRuns && len(s.runs) > t.rows/runRows {
				s.spell(t.rows + 1)
			}
		}
		t.rows++
	}
}

// step is the step of a row at time us, which it may begin.
func (t *TimeSteps) step(us int64) int {
	s := &t.s
	if !t.span.Ordered {
		if us == NoTime {
			return len(s.cells)
		}
		return int(min(max(cellOf(us, s.Width)-t.first, 0), int64(len(s.cells)-1)))
	}
	last := len(s.cells) - 1
	if cell := cellOf(us, s.Width); last < 0 || (cell > s.cells[last] || s.Rows[last] >= t.most) && last < math.MaxUint16 {
		s.cells = append(s.cells, cell)
		s.Rows = append(s.Rows, 0)
		last++
	}
	return last
}

const (
	mostRuns = 4096 // that are kept in any case
	runRows  = 8    // mean length below which rows are kept one by one
)

// spell turns runs into one step a row.
func (s *Steps) spell(rows int) {
	s.ids = make([]uint16, 0, 2*rows)
	for i, r := range s.runs {
		end := rows
		if i+1 < len(s.runs) {
			end = s.runs[i+1].row
		}
		for range end - r.row {
			s.ids = append(s.ids, r.step)
		}
	}
	s.runs = nil
}

// Steps returns the steps of the rows that were added.
func (t *TimeSteps) Steps() *Steps {
	s := &t.s
	if n := len(s.cells); len(s.Rows) > n {
		if s.Loose = s.Rows[n] > 0; !s.Loose {
			s.Rows = s.Rows[:n]
		}
	}
	return s
}

// Each calls visit for the stretches of the rows [from, to) that lie in one
// step each, in order.
func (s *Steps) Each(from, to int, visit func(step, lo, hi int)) {
	switch {
	case s.ids != nil:
		for lo := from; lo < to; {
			hi := lo + 1
			for hi < to && s.ids[hi] == s.ids[lo] {
				hi++
			}
			visit(int(s.ids[lo]), lo, hi)
			lo = hi
		}
	case s.Width > 0:
		i, found := slices.BinarySearchFunc(s.runs, from, func(r run, row int) int { return r.row - row })
		if !found {
			i--
		}
		for lo := from; lo < to; i++ {
			hi := to
			if i+1 < len(s.runs) {
				hi = min(s.runs[i+1].row, to)
			}
			visit(int(s.runs[i].step), lo, hi)
			lo = hi
		}
	default:
		for lo := from; lo < to; {
			step := lo / s.each
			hi := min((step+1)*s.each, to)
			visit(step, lo, hi)
			lo = hi
		}
	}
}
