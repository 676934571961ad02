package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// CompactOptions say what Compact merges.
type CompactOptions struct {
	// MinFiles is the number of small files in a day from which on they are
	// merged; 0 means 2.
	MinFiles int
	// MaxBytes is the size from which on a file is not small, and that of the
	// files merged into one; 0 means 32 MiB. A file is read as a whole, so
	// that it bounds the memory of whoever reads the log.
	MaxBytes int64
	// Disk is where to write; the zero value is the operating system's.
	Disk durable.Disk
}

// CompactStats say what Compact did.
type CompactStats struct {
	Days     int       `json:"days"` // in which files were merged
	Merged   int       `json:"merged"`
	Files    int       `json:"files"` // written in their place
	Rows     int64     `json:"rows"`
	Findings []Finding `json:"findings"` // damaged files, left as they are
}

// Compact merges the small Parquet files of each day of the log in dir, those
// with the same columns with one another. Files of batches keep their names,
// by which a retried batch is known. It may run while writers and readers do,
// but not beside Seal (durable.ErrLocked).
func Compact(dir string, o CompactOptions) (CompactStats, error) {
	setDefault(&o.MinFiles, 2)
	setDefault(&o.MaxBytes, 32<<20)
	var stats CompactStats
	err := sealing(dir, "compact log", func() error { return compact(dir, o, &stats) })
	return stats, err
}

func compact(dir string, o CompactOptions, stats *CompactStats) error {
	days, err := listDays(dir, 0, maxTime)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range days {
		if err := compactDay(dir, d, o, stats); err != nil {
			errs = append(errs, fmt.Errorf("compact %s: %w", d, err))
		}
	}
	return errors.Join(errs...)
}

func compactDay(dir, day string, o CompactOptions, stats *CompactStats) error {
	all, _, err := listSealed(dir, day)
	if err != nil {
		return err
	}
	var small []sizedFile
	for _, f := range all {
		size := fileSize(f.path)
		if !strings.HasPrefix(f.name, batchPrefix) && size < o.MaxBytes {
			small = append(small, sizedFile{f, size})
		}
	}
	if len(small) < o.MinFiles {
		return nil
	}
	groups := map[string][]sizedFile{}
	for _, f := range small {
		s, err := signature(f.sealedFile)
		if err != nil {
			stats.Findings = append(stats.Findings, Finding{File: f.path, What: err.Error()})
			continue
		}
		groups[s] = append(groups[s], f)
	}
	merged := 0
	for _, s := range sortedKeys(groups) {
		for rest := groups[s]; len(rest) > 0; {
			n := together(rest, o.MaxBytes)
			if n >= o.MinFiles {
				m := &merger{dir: dir, day: day, o: o, stats: stats}
				if err := m.merge(rest[:n]); err != nil {
					return err
				}
				merged += n
			}
			rest = rest[n:]
		}
	}
	if merged > 0 {
		stats.Days++
	}
	return nil
}

type sizedFile struct {
	sealedFile
	size int64
}

// together is how many of the first files have at most most bytes in all; at
// least one.
func together(files []sizedFile, most int64) int {
	var sum int64
	for i, f := range files {
		if sum += f.size; sum > most && i > 0 {
			return i
		}
	}
	return len(files)
}

// signature is equal for files of the same columns; only the footer is read.
func signature(f sealedFile) (string, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return "", fmt.Errorf("read log: %w", err)
	}
	defer file.Close()
	t, err := table.ParquetShape(f.path, file, fileSize(f.path))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range t.Columns() {
		fmt.Fprintf(&b, "%q %d\n", c.Name, c.Type)
	}
	return b.String(), nil
}

// merger makes one file of several, of which it has one in memory at a time.
type merger struct {
	dir, day string
	o        CompactOptions
	stats    *CompactStats

	out     dayWriter
	pending []*table.Table // not written yet, and their rows
	rows    int
	taken   map[string]bool
	done    []sealedFile // that were read and may go
}

// merge replaces files by one that holds each of their segments once. Damaged
// ones stay.
func (m *merger) merge(files []sizedFile) error {
	m.taken = map[string]bool{}
	for _, f := range files {
		t, err := readSealed(f.sealedFile, table.ReadOptions{})
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return err
			}
			m.stats.Findings = append(m.stats.Findings, Finding{File: f.path, What: err.Error()})
			continue
		}
		for _, p := range pickFrom(openedFile{f.sealedFile, t}, nil, m.taken) {
			if err := m.add(p.t); err != nil {
				return err
			}
		}
		m.done = append(m.done, f.sealedFile)
	}
	if len(m.done) < m.o.MinFiles {
		return nil
	}
	return m.publish()
}

// add takes in some rows; small parts are put together first, since each that
// is written becomes a row group.
func (m *merger) add(t *table.Table) error {
	m.pending = append(m.pending, t)
	if m.rows += t.NumRows(); m.rows < sliceRows {
		return nil
	}
	return m.flush()
}

func (m *merger) flush() error {
	if len(m.pending) == 0 {
		return nil
	}
	t, err := table.Concat(m.pending...)
	if err != nil {
		return err
	}
	m.pending, m.rows = nil, 0
	return m.out.add(t)
}

func (m *merger) publish() error {
	if err := m.flush(); err != nil {
		return err
	}
	if m.out.w == nil {
		return nil // no rows: what is there stays
	}
	if err := m.out.w.Close(); err != nil {
		return err
	}
	f, err := publishBytes(m.o.Disk, m.dir, m.day, mergedPrefix+digest(sortedKeys(m.taken)...), m.out.buf.Bytes(), &m.out.sums)
	if err != nil {
		return err
	}
	for _, in := range m.done {
		if in.path == f.path {
			continue
		}
		if err := m.o.Disk.Remove(in.path); err != nil {
			return fmt.Errorf("remove merged file: %w", err)
		}
		m.stats.Merged++
	}
	m.stats.Files++
	m.stats.Rows += int64(m.out.sums.Rows)
	return nil
}
