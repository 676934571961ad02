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
	First int64 // number of the first step, counted from 1970 or from row 0
	Rows  []int // of each step; steps in the midst may have none
	// Loose says that the last step holds the rows without a time.
	Loose bool

	each int      // rows of a step where Width is 0
	runs []run    // rows to steps, by row
	ids  []uint16 // the same, row by row, where runs would be many
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

// StepWidth is the least length of a step that cuts each of the spans, given
// as first and last time, into at most a thousand. It is 0 when no span holds a
// time.
func StepWidth(spans ...[2]int64) int64 {
	for _, w := range widths {
		fits, known := true, false
		for _, s := range spans {
			if s[0] > s[1] {
				continue
			}
			known = true
			fits = fits && stepOf(s[1], w)-stepOf(s[0], w) < mostSteps
		}
		if !known {
			return 0
		}
		if fits {
			return w
		}
	}
	return widths[len(widths)-1]
}

// stepOf is the number of the step of width w that holds time us.
func stepOf(us, w int64) int64 {
	if w%(7*day) == 0 {
		us -= monday
	}
	k := us / w
	if us%w < 0 {
		k--
	}
	return k
}

// startOf is when the step begins, in microseconds since 1970.
func (s *Steps) startOf(step int) int64 {
	at := (s.First + int64(step)) * s.Width
	if s.Width%(7*day) == 0 {
		at += monday
	}
	return at
}

// Start is when a step begins, in microseconds since 1970, or the number of
// its first row where steps are of rows. The step after the last one with a
// time begins where that ends.
func (s *Steps) Start(step int) int64 {
	if s.Width == 0 {
		return int64(step) * int64(s.each)
	}
	return s.startOf(step)
}

// Len is the number of steps with a place in the order of time.
func (s *Steps) Len() int {
	if s.Loose {
		return len(s.Rows) - 1
	}
	return len(s.Rows)
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

// TimeSteps cuts rows into steps of time. Their span must be known beforehand;
// Add passes the rows in order.
type TimeSteps struct {
	s    Steps
	rows int
	last int // number of the last step with a time
}

// NewTimeSteps begins steps of a width over a span of first and last time.
func NewTimeSteps(width int64, span [2]int64) *TimeSteps {
	t := &TimeSteps{s: Steps{Width: width}, last: -1}
	if span[0] <= span[1] {
		t.s.First = stepOf(span[0], width)
		t.last = int(min(stepOf(span[1], width)-t.s.First, math.MaxUint16-1))
	}
	t.s.Rows = make([]int, t.last+2)
	return t
}

// Add appends rows with the given times, in microseconds since 1970, or
// NoTime.
func (t *TimeSteps) Add(times []int64) {
	s := &t.s
	for _, us := range times {
		step := t.last + 1
		if us != NoTime {
			step = int(min(max(stepOf(us, s.Width)-s.First, 0), int64(t.last)))
		}
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
	if s.Loose = s.Rows[len(s.Rows)-1] > 0; !s.Loose {
		s.Rows = s.Rows[:len(s.Rows)-1]
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
