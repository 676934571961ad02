package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// Match says which rows are erased: those whose value in Column, as it would
// stand in a CSV file, is one of Values. Numbers are compared as such, and 1
// and 0 are true and false.
type Match struct {
	Column string
	Values map[string]bool
}

// MatchText is the Match of a condition COLUMN=VALUE.
func MatchText(condition string) (Match, error) {
	column, value, ok := strings.Cut(condition, "=")
	if !ok || column == "" || value == "" {
		return Match{}, fmt.Errorf("condition %q, expected COLUMN=VALUE", condition)
	}
	return Match{column, map[string]bool{value: true}}, nil
}

// rows are those of t that m means.
func (m Match) rows(t *table.Table) []int {
	c := t.Column(m.Column)
	if c == nil {
		return nil
	}
	matched := func(i int) bool { return m.Values[c.Format(i)] }
	switch c.Type {
	case table.String: // a look at each text once
		hit := make([]bool, len(c.Dict))
		for k, s := range c.Dict {
			hit[k] = m.Values[s]
		}
		matched = func(i int) bool { return hit[c.Codes[i]] }
	case table.Float, table.Bool:
		numbers := make(map[float64]bool, len(m.Values))
		for s := range m.Values {
			if v, err := strconv.ParseFloat(s, 64); err == nil {
				numbers[v] = true
			}
		}
		matched = func(i int) bool { return numbers[c.Floats[i]] || c.Type == table.Bool && m.Values[c.Format(i)] }
	}
	var rows []int
	for i := range t.NumRows() {
		if !c.Missing(i) && matched(i) {
			rows = append(rows, i)
		}
	}
	return rows
}

// EraseOptions say how Erase works.
type EraseOptions struct {
	// Quarantined also removes the files in wal/quarantine, which may hold
	// rows that nothing can tell apart any more.
	Quarantined bool
	// Disk is where to write; the zero value is the operating system's.
	Disk durable.Disk
}

// EraseStats say what Erase did, and what it read to prove it.
type EraseStats struct {
	Rows      int64 `json:"rows"`      // erased
	Rewritten int   `json:"rewritten"` // files that had such rows beside others
	Removed   int   `json:"removed"`   // files that had nothing else, and quarantined ones
	// Kept rows were read back from all files afterwards, none of them meant.
	Kept int64 `json:"kept"`
	// Open counts rows that stand in a segment which a writer has open, and
	// stay until it is closed.
	Open int64 `json:"open"`
	// Quarantined files may hold such rows and were left.
	Quarantined int       `json:"quarantined"`
	Findings    []Finding `json:"findings"` // files that could not be read, and so neither searched
}

// Proven reports whether nothing is left that m meant.
func (s *EraseStats) Proven() bool {
	return s.Open == 0 && s.Quarantined == 0 && len(s.Findings) == 0
}

// Erase removes the rows that m means from the log in dir for good: closed
// segments are sealed, each sealed file with such a row is replaced by one
// without, and at the end everything is read again. That a file is found then
// which still has one is an error. It may run while a writer and readers do,
// but not beside Seal (durable.ErrLocked); after any error run it again.
func Erase(dir string, m Match, o EraseOptions) (EraseStats, error) {
	var stats EraseStats
	err := sealing(dir, "erase from log", func() error { return erase(dir, m, o, &stats) })
	return stats, err
}

func erase(dir string, m Match, o EraseOptions, stats *EraseStats) error {
	var sealed SealStats
	if err := seal(dir, time.Time{}, SealOptions{Leftovers: true, Disk: o.Disk}, &sealed); err != nil {
		return fmt.Errorf("erase from log: %w", err)
	}
	if o.Quarantined {
		n, err := dropQuarantined(dir, o.Disk)
		stats.Removed += n
		if err != nil {
			return err
		}
	}
	l, err := stableListing(dir, 0, maxTime)
	if err != nil {
		return fmt.Errorf("erase from log: %w", err)
	}
	for _, f := range l.sealed {
		if err := eraseFrom(dir, f, m, o.Disk, stats); err != nil {
			return fmt.Errorf("erase from %s: %w", f.path, err)
		}
	}
	return prove(dir, m, stats)
}

// eraseFrom replaces one sealed file. The new one is published first: a crash
// between leaves both, and the next attempt replaces the old one by the same.
func eraseFrom(dir string, f sealedFile, m Match, disk durable.Disk, stats *EraseStats) error {
	t, err := readSealed(f, table.ReadOptions{Columns: []string{columnSegment, m.Column}, Optional: true})
	if err != nil {
		return ignoreDamage(err) // prove finds it again
	}
	rows := m.rows(t)
	if len(rows) == 0 {
		return nil
	}
	if len(rows) < t.NumRows() {
		if t, err = readSealed(f, table.ReadOptions{}); err != nil {
			return err
		}
		if _, err := publishSealed(disk, dir, f.day, f.name, pack(t.Take(others(t.NumRows(), rows)))); err != nil {
			return err
		}
		stats.Rewritten++
	} else {
		stats.Removed++
	}
	stats.Rows += int64(len(rows))
	return disk.Remove(f.path)
}

// ignoreDamage keeps the errors of the machine and drops those of a file.
func ignoreDamage(err error) error {
	var format *table.Error
	if errors.Is(err, errDamaged) || errors.As(err, &format) {
		return nil
	}
	return err
}

// others are the numbers below n that are not in rows, which ascend.
func others(n int, rows []int) []int {
	rest := make([]int, 0, n-len(rows))
	for i := range n {
		if len(rows) > 0 && rows[0] == i {
			rows = rows[1:]
			continue
		}
		rest = append(rest, i)
	}
	return rest
}

// prove reads what is left.
func prove(dir string, m Match, stats *EraseStats) error {
	l, err := stableListing(dir, 0, maxTime)
	if err != nil {
		return fmt.Errorf("prove erasure: %w", err)
	}
	for _, f := range l.sealed {
		t, err := readSealed(f, table.ReadOptions{Columns: []string{columnSegment, m.Column}, Optional: true})
		if err != nil {
			if err := ignoreDamage(err); err != nil {
				return fmt.Errorf("prove erasure: %w", err)
			}
			stats.Findings = append(stats.Findings, Finding{File: f.path, What: err.Error()})
			continue
		}
		if n := len(m.rows(t)); n > 0 {
			return fmt.Errorf("prove erasure: %s still has %d of the rows", f.path, n)
		}
		stats.Kept += int64(t.NumRows())
	}
	for _, f := range l.segments {
		if err := proveSegment(f, m, stats); err != nil {
			return fmt.Errorf("prove erasure: %w", err)
		}
	}
	for _, path := range l.foreign {
		stats.Findings = append(stats.Findings, Finding{File: path, What: "not a file of this log: not searched"})
	}
	stats.Quarantined, err = countQuarantined(dir)
	return err
}

// proveSegment looks into a segment that could not be sealed: a writer has it
// open, or wrote it while the files were being replaced.
func proveSegment(f segmentFile, m Match, stats *EraseStats) error {
	d, err := scanSegment(f)
	var format *durable.FormatError
	switch {
	case errors.As(err, &format):
		stats.Findings = append(stats.Findings, Finding{File: f.path, Offset: format.Offset, What: format.Reason})
		return nil
	case errors.Is(err, fs.ErrNotExist): // closed meanwhile, under another name
		closed := segmentFile{id: f.id, path: strings.TrimSuffix(f.path, openExt) + segmentExt}
		if !f.open {
			return err
		}
		return proveSegment(closed, m, stats)
	case err != nil:
		return err
	case d.header == nil:
		return nil
	}
	t := d.rows.table()
	n := len(m.rows(t))
	stats.Open += int64(n)
	stats.Kept += int64(t.NumRows() - n)
	return nil
}

func quarantined(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, walDir, quarantineDir, "*"))
	slices.Sort(paths)
	return paths, err
}

func countQuarantined(dir string) (int, error) {
	paths, err := quarantined(dir)
	return len(paths), err
}

func dropQuarantined(dir string, disk durable.Disk) (int, error) {
	paths, err := quarantined(dir)
	if err != nil {
		return 0, fmt.Errorf("list quarantine: %w", err)
	}
	for i, path := range paths {
		if err := disk.Remove(path); err != nil {
			return i, fmt.Errorf("empty quarantine: %w", err)
		}
	}
	return len(paths), nil
}

// Find returns the prediction ids of the rows of the prediction log in dir
// that m means; known says whether any row has the column at all.
func Find(dir string, m Match) (ids map[string]bool, known bool, findings []Finding, err error) {
	ids = map[string]bool{}
	findings, err = stream(dir, predictions, 0, maxTime, []string{ColumnID, m.Column}, func(t *table.Table) error {
		known = known || t.Column(m.Column) != nil
		id := t.Column(ColumnID)
		if id == nil {
			return nil
		}
		for _, i := range m.rows(t) {
			ids[id.Text(i)] = true
		}
		return nil
	})
	return ids, known, findings, err
}
