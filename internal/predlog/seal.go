package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// SealOptions say what Seal takes in. The zero value seals closed segments.
type SealOptions struct {
	// Leftovers also seals segments that a crashed writer left open, if no
	// writer holds the log now.
	Leftovers bool
	// Disk is where to write; the zero value is the operating system's.
	Disk durable.Disk
}

// SealStats say what Seal did.
type SealStats struct {
	Segments    int       `json:"segments"` // gone from wal/
	Rows        int64     `json:"rows"`
	Files       int       `json:"files"`       // Parquet files published
	TornBytes   int64     `json:"torn_bytes"`  // dropped off the ends of segments
	Findings    []Finding `json:"findings"`    // damage, and the rows that it cost
	Quarantined []string  `json:"quarantined"` // where damaged segments were moved to
}

// Seal turns the closed segments of the log in dir that began before the
// given time (the zero time: all) into Parquet files by day and deletes them.
// It may run while a writer and readers do, and, under its own lock, once at
// a time (durable.ErrLocked).
//
// A damaged segment gives its good rows and is moved to wal/quarantine; one
// of an unknown version is reported and left. Neither stops the others. A
// segment whose Parquet could not be written and verified stays, and the
// error is returned after the rest were tried.
func Seal(dir string, before time.Time, o SealOptions) (SealStats, error) {
	var stats SealStats
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return stats, nil
	}
	lock, err := lockSealer(dir)
	if err != nil {
		return stats, fmt.Errorf("seal log: %w", err)
	}
	err = seal(dir, before, o, &stats)
	return stats, errors.Join(err, lock.Unlock())
}

// sealAllOf is Seal of every closed segment for a caller that holds its lock.
func sealAllOf(dir string, o SealOptions, stats *SealStats) error {
	return seal(dir, time.Time{}, o, stats)
}

func seal(dir string, before time.Time, o SealOptions, stats *SealStats) error {
	if err := sweepDays(o.Disk, dir); err != nil {
		return err
	}
	if o.Leftovers {
		if err := sealLeftovers(dir, o); err != nil {
			return err
		}
	}
	files, err := listSegments(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		if f.open || !before.IsZero() && !segmentTime(f.id).Before(before) {
			continue
		}
		if err := sealSegment(dir, f, o, stats); err != nil {
			errs = append(errs, fmt.Errorf("seal segment %s: %w", f.id, err))
		}
	}
	return errors.Join(errs...)
}

// sweepDays removes temporary files that killed processes left.
func sweepDays(disk durable.Disk, dir string) error {
	days, err := listDays(dir, 0, maxTime)
	if err != nil {
		return err
	}
	for _, d := range days {
		if _, err := disk.SweepTemp(dayDir(dir, d)); err != nil {
			return fmt.Errorf("sweep log: %w", err)
		}
	}
	return nil
}

// sealLeftovers closes what a dead writer left open. A living one holds the
// lock, and its segments are none.
func sealLeftovers(dir string, o SealOptions) error {
	files, err := listSegments(dir)
	if err != nil {
		return err
	}
	open := 0
	for _, f := range files {
		if f.open {
			open++
		}
	}
	if open == 0 {
		return nil
	}
	lock, err := durable.Lock(filepath.Join(dir, lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("close leftover segments: %w", err)
	}
	// What it finds is found again, and reported, when the segment is sealed.
	_, err = closeLeftovers(o.Disk, dir)
	return errors.Join(err, lock.Unlock())
}

// sealSegment publishes the rows of f and removes it.
func sealSegment(dir string, f segmentFile, o SealOptions, stats *SealStats) error {
	d, err := scanSegment(f)
	var format *durable.FormatError
	if errors.As(err, &format) {
		stats.Findings = append(stats.Findings, Finding{File: f.path, Offset: format.Offset, What: format.Reason})
		if errors.Is(err, durable.ErrVersion) {
			return nil
		}
		return quarantine(o.Disk, dir, f.path, stats)
	}
	if err != nil {
		return err
	}
	if d.header != nil && d.rows.len() > 0 {
		if err := publishSegment(dir, f.id, d, o, stats); err != nil {
			return err
		}
	}
	stats.TornBytes += d.frames.Torn
	stats.Findings = append(stats.Findings, d.gaps...)
	if d.damaged() {
		return quarantine(o.Disk, dir, f.path, stats)
	}
	if err := o.Disk.Remove(f.path); err != nil {
		return err
	}
	stats.Segments++
	return nil
}

// publishSegment writes one Parquet file a day of a segment's rows.
func publishSegment(dir, id string, d *segmentData, o SealOptions, stats *SealStats) error {
	t, err := d.rows.table().With(constant(columnSegment, id, d.rows.len()))
	if err != nil {
		return err
	}
	days := splitDays(d.rows.at)
	for _, name := range sortedKeys(days) {
		if _, err := publishSealed(o.Disk, dir, name, id, pack(t.Take(days[name]))); err != nil {
			return err
		}
		stats.Files++
	}
	stats.Rows += int64(d.rows.len())
	return nil
}

// pack drops from the dictionaries of t the texts that none of its rows has.
func pack(t *table.Table) *table.Table {
	out, err := table.Concat(t)
	if err != nil {
		return t // one table cannot disagree with itself
	}
	return out
}

// quarantine moves a damaged file out of the log's way.
func quarantine(disk durable.Disk, dir, path string, stats *SealStats) error {
	to, err := moveToQuarantine(disk, dir, path)
	if err != nil {
		return err
	}
	stats.Segments++
	stats.Quarantined = append(stats.Quarantined, to)
	return nil
}

func moveToQuarantine(disk durable.Disk, dir, path string) (string, error) {
	folder := filepath.Join(dir, walDir, quarantineDir)
	if err := disk.MkdirAll(folder); err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	to := filepath.Join(folder, filepath.Base(path))
	if err := disk.Rename(path, to); err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	return to, nil
}
