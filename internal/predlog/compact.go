package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// CompactOptions say what Compact merges.
type CompactOptions struct {
	// MinFiles is the number of small files in a day from which on they are
	// merged; 0 means 2.
	MinFiles int
	// MaxBytes is the size from which on a file is not small; 0 means 64 MiB.
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
	setDefault(&o.MaxBytes, 64<<20)
	var stats CompactStats
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return stats, nil
	}
	lock, err := lockSealer(dir)
	if err != nil {
		return stats, fmt.Errorf("compact log: %w", err)
	}
	err = compact(dir, o, &stats)
	return stats, errors.Join(err, lock.Unlock())
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
	small := slices.DeleteFunc(all, func(f sealedFile) bool {
		return strings.HasPrefix(f.name, batchPrefix) || fileSize(f.path) >= o.MaxBytes
	})
	if len(small) < o.MinFiles {
		return nil
	}
	opened, findings, err := openDay(small, table.ReadOptions{})
	stats.Findings = append(stats.Findings, findings...)
	if err != nil {
		return err
	}
	groups := map[string][]openedFile{}
	for _, f := range opened {
		s := signature(f.t)
		groups[s] = append(groups[s], f)
	}
	merged := false
	for _, s := range sortedKeys(groups) {
		if len(groups[s]) < o.MinFiles {
			continue
		}
		if err := merge(dir, day, groups[s], o, stats); err != nil {
			return err
		}
		merged = true
	}
	if merged {
		stats.Days++
	}
	return nil
}

// signature is equal for tables of the same columns.
func signature(t *table.Table) string {
	var b strings.Builder
	for _, c := range t.Columns() {
		fmt.Fprintf(&b, "%q %d\n", c.Name, c.Type)
	}
	return b.String()
}

// merge replaces files by one that holds each of their segments once.
func merge(dir, day string, files []openedFile, o CompactOptions, stats *CompactStats) error {
	parts := pick(files, nil)
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.segment, b.segment) })
	ids := make([]string, len(parts))
	tables := make([]*table.Table, len(parts))
	for i, p := range parts {
		ids[i], tables[i] = p.segment, p.t
	}
	t, err := table.Concat(tables...)
	if err != nil {
		return err
	}
	f, err := publishSealed(o.Disk, dir, day, mergedPrefix+digest(ids...), t)
	if err != nil {
		return err
	}
	for _, in := range files {
		if in.path == f.path {
			continue
		}
		if err := o.Disk.Remove(in.path); err != nil {
			return fmt.Errorf("remove merged file: %w", err)
		}
		stats.Merged++
	}
	stats.Files++
	stats.Rows += int64(t.NumRows())
	return nil
}
