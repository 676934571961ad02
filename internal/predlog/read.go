package predlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/healml/healml/internal/table"
)

// ReadOptions say what Read returns. The zero value asks for every column.
type ReadOptions struct {
	// Columns, if not nil, names the columns to return, of those that the
	// log has. The log's time column always comes along.
	Columns []string
}

// ReadStats say what Read met.
type ReadStats struct {
	Rows     int       `json:"rows"`     // returned
	Files    int       `json:"files"`    // sealed files read
	Segments int       `json:"segments"` // segments read
	Unsealed int       `json:"unsealed"` // rows returned that come from segments
	Findings []Finding `json:"findings"` // what could not be read
}

// Read returns the rows of the prediction log in dir with from ≤
// prediction_time < to, in microseconds since 1970 UTC, ordered by time and,
// within one time, as they were logged. A log that is not there has no rows.
//
// Rows of several model versions stand in one table: a column that a version
// lacks is missing in its rows, and one that versions type differently comes
// as String. Read may run while a writer, Seal and Compact do. A damaged
// file or segment is a finding; its good rows are returned.
func Read(dir string, from, to int64, o ReadOptions) (*table.Table, ReadStats, error) {
	return read(dir, predictions, from, to, o)
}

// ReadActuals is [Read] on the actuals log in dir, by actual_time.
func ReadActuals(dir string, from, to int64, o ReadOptions) (*table.Table, ReadStats, error) {
	return read(dir, actuals, from, to, o)
}

// attempts bounds how often a reading starts over because files moved. Each
// time somebody else made progress, so that a few are plenty.
const attempts = 50

func read(dir string, k kind, from, to int64, o ReadOptions) (*table.Table, ReadStats, error) {
	var err error
	for range attempts {
		var list *listing
		if list, err = stableListing(dir, from, to); err != nil {
			break
		}
		r := &reader{kind: k, from: from, to: to, columns: o.Columns}
		if err = r.all(list); err == nil {
			var t *table.Table
			if t, err = r.table(); err == nil {
				return t, r.stats, nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, ReadStats{}, fmt.Errorf("read log: %w", err)
}

// listing is a log's files at one moment.
type listing struct {
	segments []segmentFile
	sealed   []sealedFile // by day, then name
	foreign  []string
}

// equal reports whether two listings name the same files.
func (l *listing) equal(m *listing) bool {
	return slices.Equal(l.segments, m.segments) && slices.Equal(l.sealed, m.sealed)
}

// list reads the directories, segments first: one that is sealed meanwhile is
// then seen at least once.
func list(dir string, from, to int64) (*listing, error) {
	var l listing
	var err error
	if l.segments, err = listSegments(dir); err != nil {
		return nil, err
	}
	days, err := listDays(dir, from, to)
	if err != nil {
		return nil, err
	}
	for _, d := range days {
		files, foreign, err := listSealed(dir, d)
		if err != nil {
			return nil, err
		}
		l.sealed = append(l.sealed, files...)
		l.foreign = append(l.foreign, foreign...)
	}
	return &l, nil
}

// stableListing lists until two listings agree. A directory that is changed
// while it is read may show neither the old file nor the new one; the next
// listing then shows the new one.
func stableListing(dir string, from, to int64) (*listing, error) {
	last, err := list(dir, from, to)
	if err != nil {
		return nil, err
	}
	for range attempts {
		next, err := list(dir, from, to)
		if err != nil {
			return nil, err
		}
		if next.equal(last) {
			return next, nil
		}
		last = next
	}
	return nil, errors.New("its files keep changing")
}

// part is a run of rows of one segment in the order they were logged.
type part struct {
	segment string
	t       *table.Table
}

// reader gathers the rows of one Read.
type reader struct {
	kind     kind
	from, to int64
	columns  []string
	parts    []part
	stats    ReadStats
}

func (r *reader) all(l *listing) error {
	skip := make(map[string]bool, len(l.segments))
	for _, f := range l.segments {
		// The segment has all its rows; what is sealed of it repeats them.
		skip[f.id] = true
		if err := r.segment(f); err != nil {
			return err
		}
	}
	for _, path := range l.foreign {
		r.stats.Findings = append(r.stats.Findings, Finding{File: path, What: "not a file of this log: ignored"})
	}
	for rest := l.sealed; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(f sealedFile) bool { return f.day != rest[0].day })
		if n < 0 {
			n = len(rest)
		}
		if err := r.day(rest[:n], skip); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// segment adds the rows of a segment.
func (r *reader) segment(f segmentFile) error {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	return r.decoded(f, b)
}

// day adds the rows of the sealed files of one day, of the segments that are
// not in skip.
func (r *reader) day(files []sealedFile, skip map[string]bool) error {
	opened, findings, err := openDay(files, r.readOptions())
	if err != nil {
		return err
	}
	r.stats.Findings = append(r.stats.Findings, findings...)
	r.stats.Files += len(opened)
	for _, p := range pick(opened, skip) {
		r.add(p.segment, p.t.Drop(columnSegment, columnSource))
	}
	return nil
}

func (r *reader) readOptions() table.ReadOptions {
	if r.columns == nil {
		return table.ReadOptions{}
	}
	return table.ReadOptions{Columns: append([]string{columnSegment, r.kind.timeColumn()}, r.columns...), Optional: true}
}

// add keeps the rows of t that lie in the reader's time and returns their
// number.
func (r *reader) add(segment string, t *table.Table) int {
	times := t.Column(r.kind.timeColumn())
	if times == nil || times.Type != table.Time {
		return 0
	}
	var rows []int
	for i, at := range times.Times {
		if at >= r.from && at < r.to {
			rows = append(rows, i)
		}
	}
	t = r.narrow(t)
	switch {
	case len(rows) == 0:
		return 0
	case len(rows) < t.NumRows():
		t = t.Take(rows)
	}
	r.parts = append(r.parts, part{segment, t})
	return len(rows)
}

// narrow drops the columns of t that were not asked for.
func (r *reader) narrow(t *table.Table) *table.Table {
	if r.columns == nil {
		return t
	}
	var drop []string
	for _, name := range t.Names() {
		if name != r.kind.timeColumn() && !slices.Contains(r.columns, name) {
			drop = append(drop, name)
		}
	}
	return t.Drop(drop...)
}

// table puts the parts together in the order of time.
func (r *reader) table() (*table.Table, error) {
	slices.SortStableFunc(r.parts, func(a, b part) int { return cmp.Compare(a.segment, b.segment) })
	tables := make([]*table.Table, len(r.parts))
	for i, p := range r.parts {
		tables[i] = p.t
	}
	if len(tables) == 0 {
		return r.none(), nil
	}
	t, err := table.Concat(unify(tables)...)
	if err != nil {
		return nil, err
	}
	r.stats.Rows = t.NumRows()
	times := t.Column(r.kind.timeColumn()).Times
	if slices.IsSorted(times) {
		return t, nil
	}
	return t.Take(byTime(times)), nil
}

// none is a table of no rows with the columns that every log has.
func (r *reader) none() *table.Table {
	b := newRowBuilder(&segmentHeader{Kind: actuals})
	if r.kind == actuals {
		return b.table()
	}
	return table.Must(b.id.column(ColumnID), table.Times(ColumnTime, nil), b.version.column(ColumnVersion), table.Floats(ColumnFlags, nil))
}

// openedFile is a sealed file and its rows.
type openedFile struct {
	sealedFile
	t *table.Table
}

// openDay reads sealed files; a damaged one becomes a finding.
func openDay(files []sealedFile, o table.ReadOptions) (opened []openedFile, findings []Finding, err error) {
	for _, f := range files {
		t, err := readSealed(f, o)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, err
		case err != nil:
			findings = append(findings, Finding{File: f.path, What: err.Error()})
		default:
			opened = append(opened, openedFile{f, t})
		}
	}
	return opened, findings, nil
}

// pick takes from the sealed files of one day the rows of each segment that is
// not in skip once. A file that has rows of a segment has all of that day, so
// that any of several will do.
func pick(files []openedFile, skip map[string]bool) []part {
	var parts []part
	taken := map[string]bool{}
	for _, f := range files {
		parts = append(parts, pickFrom(f, skip, taken)...)
	}
	return parts
}

// pickFrom is pick from one file, of the segments that are not in taken
// either; it adds those it took to that.
func pickFrom(f openedFile, skip, taken map[string]bool) []part {
	c := f.t.Column(columnSegment)
	if len(c.Dict) == 1 && !slices.Contains(c.Codes, -1) { // the most frequent case
		id := c.Dict[0]
		if skip[id] || taken[id] || f.t.NumRows() == 0 {
			return nil
		}
		taken[id] = true
		return []part{{id, f.t}}
	}
	var parts []part
	rows := make([][]int, len(c.Dict))
	for i, k := range c.Codes {
		if k >= 0 {
			rows[k] = append(rows[k], i)
		}
	}
	for k, id := range c.Dict {
		if skip[id] || taken[id] || len(rows[k]) == 0 {
			continue
		}
		taken[id] = true
		t := f.t
		if len(rows[k]) < t.NumRows() {
			t = t.Take(rows[k])
		}
		parts = append(parts, part{id, t})
	}
	return parts
}

// unify makes a column that tables type differently a String in all of them.
func unify(tables []*table.Table) []*table.Table {
	types := map[string]table.Type{}
	mixed := map[string]bool{}
	for _, t := range tables {
		for _, c := range t.Columns() {
			if was, ok := types[c.Name]; ok && was != c.Type {
				mixed[c.Name] = true
			}
			types[c.Name] = c.Type
		}
	}
	if len(mixed) == 0 {
		return tables
	}
	out := make([]*table.Table, len(tables))
	for i, t := range tables {
		cols := slices.Clone(t.Columns())
		for j, c := range cols {
			if mixed[c.Name] && c.Type != table.String {
				cols[j] = c.AsText()
			}
		}
		out[i] = table.Must(cols...)
	}
	return out
}
