package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// Finding is one thing that is wrong with a log, and what it costs. Times are
// in microseconds since 1970 UTC.
type Finding struct {
	File   string `json:"file"`
	What   string `json:"what"`
	Offset int64  `json:"offset,omitempty"` // of the damage, and its length
	Bytes  int64  `json:"bytes,omitempty"`
	// Rows were lost: those with sequence numbers FirstSeq to LastSeq in
	// their segment, logged between the times From (0: the segment's
	// beginning) and To. 0 rows means none, or that they cannot be counted.
	Rows     int64  `json:"rows,omitempty"`
	FirstSeq uint64 `json:"first_seq,omitempty"`
	LastSeq  uint64 `json:"last_seq,omitempty"`
	From     int64  `json:"from,omitempty"`
	To       int64  `json:"to,omitempty"`
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s", f.File, f.What)
	if f.Bytes > 0 {
		s += fmt.Sprintf("; %d bytes at offset %d", f.Bytes, f.Offset)
	}
	if f.Rows > 0 {
		s += fmt.Sprintf("; %d rows (numbers %d to %d)", f.Rows, f.FirstSeq, f.LastSeq)
		if f.From > 0 {
			s += " between " + table.FormatTime(f.From) + " and " + table.FormatTime(f.To)
		} else {
			s += " before " + table.FormatTime(f.To)
		}
	}
	return s
}

// DirStats say what a log's directory holds. Nothing is decoded for them.
type DirStats struct {
	Segments      int    `json:"segments"` // closed, waiting to be sealed
	Open          int    `json:"open"`     // being appended to, or left by a crash
	SegmentBytes  int64  `json:"segment_bytes"`
	OldestSegment string `json:"oldest_segment,omitempty"` // when it was begun, RFC 3339
	Days          int    `json:"days"`
	FirstDay      string `json:"first_day,omitempty"`
	LastDay       string `json:"last_day,omitempty"`
	Files         int    `json:"files"` // Parquet
	FileBytes     int64  `json:"file_bytes"`
	Quarantined   int    `json:"quarantined"`
}

// Stat sums up the log in dir. A log that is not there is empty.
func Stat(dir string) (DirStats, error) {
	var s DirStats
	l, err := stableListing(dir, 0, maxTime)
	if err != nil {
		return s, fmt.Errorf("inspect log: %w", err)
	}
	for _, f := range l.segments {
		if f.open {
			s.Open++
		} else {
			s.Segments++
		}
		s.SegmentBytes += fileSize(f.path)
		if began := segmentTime(f.id); s.OldestSegment == "" && !began.IsZero() {
			s.OldestSegment = began.Format(time.RFC3339)
		}
	}
	for _, f := range l.sealed {
		if s.LastDay != f.day {
			s.Days++
		}
		if s.FirstDay == "" {
			s.FirstDay = f.day
		}
		s.LastDay = f.day
		s.Files++
		s.FileBytes += fileSize(f.path)
	}
	entries, err := os.ReadDir(filepath.Join(dir, walDir, quarantineDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("inspect log: %w", err)
	}
	s.Quarantined = len(entries)
	return s, nil
}

// fileSize is 0 for a file that has gone meanwhile.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// VerifyStats say what Verify read and what is wrong with it.
type VerifyStats struct {
	Segments  int       `json:"segments"`
	Files     int       `json:"files"`
	Rows      int64     `json:"rows"`       // in both, those counted twice included
	TornBytes int64     `json:"torn_bytes"` // at the ends of closed segments; no row that was promised
	Findings  []Finding `json:"findings"`   // none: all is well
}

// Verify reads every frame and every Parquet file of the log in dir. Files
// that are sealed, merged or removed while it runs are passed over.
func Verify(dir string) (VerifyStats, error) {
	var v VerifyStats
	l, err := stableListing(dir, 0, maxTime)
	if err != nil {
		return v, fmt.Errorf("verify log: %w", err)
	}
	for _, f := range l.segments {
		d, err := scanSegment(f)
		if err != nil {
			v.failed(f.path, err)
			continue
		}
		v.Segments++
		v.Findings = append(v.Findings, d.gaps...)
		if d.header != nil {
			v.Rows += int64(d.rows.len())
		}
		if !f.open {
			v.TornBytes += d.frames.Torn
		}
	}
	for _, f := range l.sealed {
		t, err := readSealed(f, table.ReadOptions{Loose: []string{ColumnID}})
		if err != nil {
			v.failed(f.path, err)
			continue
		}
		v.Files++
		v.Rows += int64(t.NumRows())
	}
	for _, path := range l.foreign {
		v.Findings = append(v.Findings, Finding{File: path, What: "not a file of this log: ignored"})
	}
	return v, nil
}

// failed notes that a file cannot be read.
func (v *VerifyStats) failed(path string, err error) {
	var format *durable.FormatError
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &format):
		v.Findings = append(v.Findings, Finding{File: path, Offset: format.Offset, What: format.Reason})
	default:
		v.Findings = append(v.Findings, Finding{File: path, What: err.Error()})
	}
}

// Repair moves what is damaged out of the log in dir to wal/quarantine: a
// segment after its good rows were sealed, a Parquet file as it is. Whole
// files stay where they are, and so do those of an unknown version. A
// segment that a writer has open is left to the next Repair.
func Repair(dir string, o SealOptions) (SealStats, error) {
	var stats SealStats
	err := sealing(dir, "repair log", func() error { return repair(dir, o, &stats) })
	return stats, err
}

func repair(dir string, o SealOptions, stats *SealStats) error {
	if o.Leftovers {
		if err := sealLeftovers(dir, o); err != nil {
			return err
		}
	}
	l, err := stableListing(dir, 0, maxTime)
	if err != nil {
		return fmt.Errorf("repair log: %w", err)
	}
	var errs []error
	var damaged []segmentFile
	for _, f := range l.segments {
		if f.open {
			continue
		}
		d, err := scanSegment(f)
		if err == nil && !d.damaged() {
			continue
		}
		damaged = append(damaged, f)
	}
	errs = append(errs, sealSegments(dir, damaged, o, stats, "repair"))
	for _, f := range l.sealed {
		_, err := readSealed(f, table.ReadOptions{})
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		to, merr := moveToQuarantine(o.Disk, dir, f.path)
		if merr != nil {
			errs = append(errs, merr)
			continue
		}
		stats.Findings = append(stats.Findings, Finding{File: f.path, What: err.Error()})
		stats.Quarantined = append(stats.Quarantined, to)
	}
	return errors.Join(errs...)
}

// Newest is a time, in microseconds, from which on the log in dir has at least
// so many rows before to, as far as it has: the beginning of a day, or 0 for
// all of it. Footers are read, of as few days as that takes; rows that are not
// sealed yet do not count, and of a segment that stands in two files they count
// twice.
func Newest(dir string, to int64, rows int) (from int64, err error) {
	days, err := listDays(dir, 0, to)
	if err != nil {
		return 0, fmt.Errorf("inspect log: %w", err)
	}
	var found int64
	for _, d := range slices.Backward(days) {
		files, _, err := listSealed(dir, d)
		if err != nil {
			return 0, fmt.Errorf("inspect log: %w", err)
		}
		for _, f := range files {
			found += footerRows(f)
		}
		if found >= int64(rows) {
			from, _ = dayStart(d)
			return from, nil
		}
	}
	return 0, nil
}

// footerRows is 0 for a file that cannot be read or went away.
func footerRows(f sealedFile) int64 {
	file, err := os.Open(f.path)
	if err != nil {
		return 0
	}
	defer file.Close()
	n, err := table.ParquetRows(f.path, file, fileSize(f.path))
	if err != nil {
		return 0
	}
	return n
}
