package train

import (
	"math"

	"github.com/healml/healml/internal/table"
)

const (
	// ReferenceRows bounds the rows kept to compare later traffic with.
	ReferenceRows = 50_000
	// stretchCount is the number of stretches that more rows are kept in.
	stretchCount = 25
)

// Reference is what later traffic is compared with: up to n rows in the order
// of time, as [Stretches] picks them, with the raw columns, the target, the
// time, and what the model predicts for them.
func (r *Result) Reference(n int) (*table.Table, error) {
	m, err := r.Model("")
	if err != nil {
		return nil, err
	}
	kept := table.Must(r.Rows.rawColumns()...)
	if rows := Stretches(r.Rows.Times, r.Rows.Len(), n); len(rows) < r.Rows.Len() {
		kept = kept.Take(rows)
	}
	predicted, err := m.PredictTable(kept, r.Params.NumThreads)
	if err != nil {
		return nil, err
	}
	return kept.With(predicted.Columns(m.Template)...)
}

// Sample is up to n of the rows from lo on, evenly spaced in time order, with
// the raw columns, the target and the time.
func (r *Rows) Sample(lo, n int) *table.Table {
	total := r.Len() - lo
	n = min(n, total)
	pick := make([]int, n)
	for i := range pick {
		pick[i] = lo + i*total/n
	}
	return table.Must(r.rawColumns()...).Take(pick)
}

// rawColumns are those of the template, the target and the time.
func (r *Rows) rawColumns() []*table.Column {
	var cols []*table.Column
	for _, c := range r.Table.Columns() {
		if c.Name == r.Template.Target || c.Name == r.Template.Time || r.Template.Column(c.Name) >= 0 {
			cols = append(cols, c)
		}
	}
	return cols
}

// Stretches picks at most so many of n rows, of which times (µs UTC) are in
// order, those missing first; nil when no time is known. Rows are kept in
// stretches of neighbours, because how much a column moves by itself shows in
// neighbours alone: rows thinned out span longer than as many live rows. More
// than most rows are kept in 25 stretches evenly spread over the rows, the last
// of which ends with the last row. Where days (UTC) are not longer than a
// stretch they are kept whole; and where stretches are a week or more apart,
// each ends on the day of the week before that on which the next one begins, so
// that none is missed. The result is ascending.
func Stretches(times []int64, n, most int) []int {
	if n <= most {
		return span(0, n)
	}
	size := max(most/stretchCount, 1)
	count := min(stretchCount, most)
	pieces := cutDays(times, n, size)
	var found [][2]int
	taken, limit, week := 0, n, anyDay
	for k := range count {
		ideal, apart := n, n-size
		if count > 1 {
			apart = (n - size) / (count - 1)
			ideal = n - k*(n-size)/(count-1)
		}
		end := nearest(pieces, limit, ideal, apart/2, week, k)
		if end < 0 {
			break
		}
		lo, first := extend(pieces, end, size, (k+1)*size-taken)
		found = append(found, [2]int{lo, pieces[end].hi})
		taken += pieces[end].hi - lo
		limit, week = lo, dayBefore(pieces, first)
	}
	rows := make([]int, 0, taken)
	for k := len(found) - 1; k >= 0; k-- {
		rows = append(rows, span(found[k][0], found[k][1])...)
	}
	return rows
}

// span is the numbers from lo up to, not including, hi.
func span(lo, hi int) []int {
	out := make([]int, hi-lo)
	for i := range out {
		out[i] = lo + i
	}
	return out
}

// piece is a day's rows [lo, hi), or a part of a day that is longer than a
// stretch.
type piece struct {
	lo, hi int
	day    int // counts the days with rows
	week   int // day of the week, anyDay where no time is known
}

const (
	anyDay = -1
	dayUS  = 24 * 3600 * 1_000_000
)

// cutDays cuts rows into days, and those with more than size rows into parts
// of at least that. Rows without a time are one long day.
func cutDays(times []int64, n, size int) []piece {
	var out []piece
	days := 0
	day := func(lo, hi, week int) {
		parts := max((hi-lo)/size, 1)
		for i := range parts {
			out = append(out, piece{lo + i*(hi-lo)/parts, lo + (i+1)*(hi-lo)/parts, days, week})
		}
		days++
	}
	lo := 0
	for lo < n && (times == nil || times[lo] == table.NoTime) {
		lo++
	}
	if lo > 0 {
		day(0, lo, anyDay)
	}
	for lo < n {
		date, hi := dateOf(times[lo]), lo
		for hi < n && dateOf(times[hi]) == date {
			hi++
		}
		day(lo, hi, int((date%7+7)%7))
		lo = hi
	}
	return out
}

// dateOf numbers the days since 1970.
func dateOf(us int64) int64 {
	d := us / dayUS
	if us%dayUS < 0 {
		d--
	}
	return d
}

// nearest is the piece that ends nearest to row ideal and at limit at most, of
// those on a day of the week if one is within reach; −1 when there is none. Of
// the parts of one day k picks, by the golden ratio, so that all hours are met.
func nearest(pieces []piece, limit, ideal, reach, week, k int) int {
	best, bestAny := -1, -1
	off := func(i int) int { return max(pieces[i].hi-ideal, ideal-pieces[i].hi) }
	for i, p := range pieces {
		if p.hi > limit {
			break
		}
		if bestAny < 0 || off(i) <= off(bestAny) {
			bestAny = i
		}
		if off(i) <= reach && (week == anyDay || p.week == week) && (best < 0 || off(i) <= off(best)) {
			best = i
		}
	}
	switch {
	case best < 0:
		return bestAny
	case k == 0 || week == anyDay:
		return best
	}
	var parts []int
	for i, p := range pieces {
		if p.day == pieces[best].day && p.hi <= limit && off(i) <= reach {
			parts = append(parts, i)
		}
	}
	_, turn := math.Modf(float64(k) * math.Phi)
	return parts[int(turn*float64(len(parts)))]
}

// extend is where a stretch of at most so many rows begins that ends with
// pieces[end], and the piece that it begins in: whole days, or size rows of a
// part of a longer one.
func extend(pieces []piece, end, size, most int) (lo, first int) {
	hi := pieces[end].hi
	if hi-pieces[end].lo > size {
		return hi - size, end
	}
	lo, first = pieces[end].lo, end
	for first > 0 && hi-pieces[first-1].lo <= most && pieces[first-1].hi-pieces[first-1].lo <= size && pieces[first-1].day < pieces[first].day {
		first--
		lo = pieces[first].lo
	}
	return lo, first
}

// dayBefore is the day of the week of the day before that of a piece.
func dayBefore(pieces []piece, first int) int {
	for i := first; i >= 0; i-- {
		if pieces[i].day < pieces[first].day {
			return pieces[i].week
		}
	}
	return anyDay
}
