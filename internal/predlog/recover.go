package predlog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/healml/healml/internal/durable"
)

// recovered is what closeLeftovers found.
type recovered struct {
	rows, torn int64
	gaps       []Finding
}

// closeLeftovers gives the segments that a crash left open their final names.
// The caller holds the log's lock. Files of an unknown version are left
// alone; they are findings, and so are files without a readable header.
func closeLeftovers(disk durable.Disk, dir string) (recovered, error) {
	var r recovered
	files, err := listSegments(dir)
	if err != nil {
		return r, err
	}
	for _, f := range files {
		if !f.open {
			continue
		}
		d, err := scanSegment(f)
		var format *durable.FormatError
		switch {
		case errors.As(err, &format):
			r.gaps = append(r.gaps, Finding{File: f.path, Offset: format.Offset, What: format.Reason})
			if errors.Is(err, durable.ErrVersion) {
				continue
			}
			err = settle(disk, f.path, false)
		case err == nil:
			r.torn += d.frames.Torn
			r.gaps = append(r.gaps, d.gaps...)
			if d.header != nil {
				r.rows += int64(d.rows.len())
			}
			err = settle(disk, f.path, d.empty())
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// empty reports that nothing would be lost with the segment.
func (d *segmentData) empty() bool { return d.frames.Frames == 0 }

// settle gives an open segment its final name, or removes it when it is
// empty.
func settle(disk durable.Disk, path string, empty bool) error {
	if empty {
		if err := disk.Remove(path); err != nil {
			return fmt.Errorf("remove empty segment: %w", err)
		}
		return nil
	}
	if err := disk.Rename(path, strings.TrimSuffix(path, openExt)+segmentExt); err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	return nil
}

// damaged reports that something in the segment is not as it was written.
func (d *segmentData) damaged() bool { return d.frames.Damaged || len(d.gaps) > 0 }
