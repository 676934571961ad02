package predlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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
	err := sealing(dir, "seal log", func() error { return seal(dir, before, o, &stats) })
	return stats, err
}

// seal is Seal for a caller that holds the lock.
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
	files = slices.DeleteFunc(files, func(f segmentFile) bool {
		return f.open || !before.IsZero() && !segmentTime(f.id).Before(before)
	})
	return sealSegments(dir, files, o, stats, "seal")
}

// sealSegments seals files, two at a time: one keeps a processor busy, and
// more would take memory for each.
func sealSegments(dir string, files []segmentFile, o SealOptions, stats *SealStats, verb string) error {
	results := make([]SealStats, len(files))
	errs := make([]error, len(files))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0), len(files)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				if results[i], errs[i] = sealSegment(dir, files[i], o); errs[i] != nil {
					errs[i] = fmt.Errorf("%s segment %s: %w", verb, files[i].id, errs[i])
				}
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		stats.add(r)
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
func sealSegment(dir string, f segmentFile, o SealOptions) (stats SealStats, err error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return stats, fmt.Errorf("read segment: %w", err)
	}
	out := newDayWriters(f.id)
	d, err := decodeSlices(f.path, b, out.take)
	var format *durable.FormatError
	if errors.As(err, &format) {
		stats.Findings = append(stats.Findings, Finding{File: f.path, Offset: format.Offset, What: format.Reason})
		if errors.Is(err, durable.ErrVersion) {
			return stats, nil
		}
		return stats, quarantine(o.Disk, dir, f.path, &stats)
	}
	if err != nil {
		return stats, err
	}
	if d.count > 0 {
		if err := out.take(d); err != nil {
			return stats, err
		}
		stats.Rows += int64(d.count)
		if stats.Files, err = out.publish(o.Disk, dir); err != nil {
			return stats, err
		}
	}
	stats.TornBytes += d.frames.Torn
	stats.Findings = append(stats.Findings, d.gaps...)
	if d.damaged() {
		return stats, quarantine(o.Disk, dir, f.path, &stats)
	}
	if err := o.Disk.Remove(f.path); err != nil {
		return stats, err
	}
	stats.Segments++
	return stats, nil
}

func (s *SealStats) add(o SealStats) {
	s.Segments += o.Segments
	s.Rows += o.Rows
	s.Files += o.Files
	s.TornBytes += o.TornBytes
	s.Findings = append(s.Findings, o.Findings...)
	s.Quarantined = append(s.Quarantined, o.Quarantined...)
}

// dayWriters make the Parquet files of one segment, a file a day.
type dayWriters struct {
	segment string
	days    map[string]*dayWriter
}

type dayWriter struct {
	buf  bytes.Buffer
	w    *table.ParquetWriter
	sums table.Sums
}

func newDayWriters(segment string) *dayWriters {
	return &dayWriters{segment, map[string]*dayWriter{}}
}

// take adds the rows that d has now.
func (w *dayWriters) take(d *segmentData) error {
	t, err := d.rows.table().With(constant(columnSegment, w.segment, d.rows.len()))
	if err != nil {
		return err
	}
	days := splitDays(d.rows.at)
	for _, name := range sortedKeys(days) {
		of := t
		if len(days) > 1 {
			of = t.Take(days[name])
		}
		if err := w.add(name, of); err != nil {
			return fmt.Errorf("encode %s: %w", w.segment, err)
		}
	}
	return nil
}

func (w *dayWriters) add(day string, t *table.Table) error {
	out := w.days[day]
	if out == nil {
		out = &dayWriter{}
		w.days[day] = out
	}
	return out.add(t)
}

func (d *dayWriter) add(t *table.Table) (err error) {
	if d.w == nil {
		if d.w, err = table.NewParquetWriter(&d.buf, t); err != nil {
			return err
		}
	}
	if err := d.sums.Add(t); err != nil {
		return err
	}
	return d.w.Write(t)
}

// publish verifies the files and writes them out.
func (w *dayWriters) publish(disk durable.Disk, dir string) (files int, err error) {
	for _, day := range sortedKeys(w.days) {
		out := w.days[day]
		if err := out.w.Close(); err != nil {
			return files, fmt.Errorf("encode %s: %w", w.segment, err)
		}
		if _, err := publishBytes(disk, dir, day, w.segment, out.buf.Bytes(), &out.sums); err != nil {
			return files, err
		}
		files++
		delete(w.days, day)
	}
	return files, nil
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
