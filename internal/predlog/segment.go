package predlog

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
)

const (
	segmentFormat = 1
	segmentExt    = ".seg"
	openExt       = ".open.seg"
)

// segmentHeader is the JSON at the head of a segment.
type segmentHeader struct {
	Format  int     `json:"format"`
	Kind    kind    `json:"kind"`
	Segment string  `json:"segment"`
	Layout  *Layout `json:"layout,omitempty"` // of predictions
}

func parseHeader(path string, b []byte) (*segmentHeader, error) {
	var h segmentHeader
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, &durable.FormatError{Path: path, Reason: "header: " + err.Error()}
	}
	if h.Format != segmentFormat {
		return nil, &durable.FormatError{Path: path, Err: durable.ErrVersion,
			Reason: fmt.Sprintf("segment format %d; this build knows format %d", h.Format, segmentFormat)}
	}
	switch {
	case h.Kind == actuals:
	case h.Kind == predictions && h.Layout != nil:
		if err := h.Layout.validate(); err != nil {
			return nil, &durable.FormatError{Path: path, Reason: "header: " + err.Error()}
		}
	default:
		return nil, &durable.FormatError{Path: path, Reason: fmt.Sprintf("header: unknown kind %q, or no layout", h.Kind)}
	}
	return &h, nil
}

// newSegmentID names a segment after the time of its making, so that names
// sort by time, and some random digits.
func newSegmentID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	now = now.UTC()
	return fmt.Sprintf("%s%06dZ-%s", now.Format("20060102T150405"), now.Nanosecond()/1000, hex.EncodeToString(b[:]))
}

// segmentTime is the time in a segment's name; the zero time when it has none.
func segmentTime(id string) time.Time {
	stamp, _, _ := strings.Cut(id, "Z-")
	if len(stamp) != 21 {
		return time.Time{}
	}
	t, err := time.Parse("20060102T150405.000000", stamp[:15]+"."+stamp[15:])
	if err != nil {
		return time.Time{}
	}
	return t
}

// segmentFile is a segment on disk.
type segmentFile struct {
	id   string
	path string
	open bool // being appended to, or left so by a crash
}

// listSegments lists the segments of a log by name; a log without any has
// none.
func listSegments(dir string) ([]segmentFile, error) {
	wal := filepath.Join(dir, walDir)
	entries, err := os.ReadDir(wal)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var files []segmentFile
	for _, e := range entries {
		f := segmentFile{path: filepath.Join(wal, e.Name())}
		if id, ok := strings.CutSuffix(e.Name(), openExt); ok {
			f.id, f.open = id, true
		} else if id, ok := strings.CutSuffix(e.Name(), segmentExt); ok {
			f.id = id
		} else {
			continue
		}
		files = append(files, f)
	}
	return files, nil
}

// segmentData is what a segment holds.
type segmentData struct {
	header *segmentHeader // nil: the segment was never begun
	rows   *rowBuilder    // all of them or, when they are passed on in slices, the last ones
	count  int            // of all rows
	lastAt int64          // time of the last row
	frames durable.FrameStats
	gaps   []Finding
}

// scanSegment reads every whole frame of a segment. The error is that of the
// whole file: not there, unknown version, no header.
func scanSegment(f segmentFile) (*segmentData, error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return decodeSegment(f.path, b)
}

// decodeSegment is scanSegment on a file's bytes.
func decodeSegment(path string, b []byte) (*segmentData, error) {
	return decodeSlices(path, b, nil)
}

// sliceRows is the number of rows from which on decodeSlices passes them on.
const sliceRows = 64 << 10

// decodeSlices is decodeSegment; if pass is not nil it is given the rows of
// some frames at a time, but for the last ones, whose texts of id may share
// memory with b and may be listed twice.
func decodeSlices(path string, b []byte, pass func(d *segmentData) error) (*segmentData, error) {
	head, err := durable.FrameHeader(path, b)
	if err != nil {
		return nil, err
	}
	d := &segmentData{}
	if head == nil {
		d.frames.Size, d.frames.Torn = int64(len(b)), int64(len(b))
		return d, nil
	}
	if d.header, err = parseHeader(path, head); err != nil {
		return nil, err
	}
	d.rows = newRowBuilder(d.header)
	d.rows.id.borrow = pass != nil
	var failed error
	var next uint64       // sequence number of the row that should follow
	var strange []Finding // frames that are whole and make no sense
	collect := func(seq uint64, payload []byte) error {
		if pass != nil && d.rows.len() >= sliceRows {
			if failed = pass(d); failed != nil {
				return failed
			}
			d.rows = newRowBuilder(d.header)
			d.rows.id.borrow = true
		}
		before := d.rows.len()
		if err := d.rows.addFrame(payload); err != nil {
			strange = append(strange, Finding{File: path, What: "rows that do not fit the layout: ignored", FirstSeq: seq, LastSeq: seq})
			return nil
		}
		if seq != next {
			d.gaps = append(d.gaps, d.lost(path, next, seq, before))
		}
		d.count += d.rows.len() - before
		d.lastAt = d.rows.at[d.rows.len()-1]
		next = seq + uint64(d.rows.len()-before)
		return nil
	}
	_, d.frames, err = durable.DecodeFrames(path, b, collect, true)
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	d.place(path)
	d.gaps = append(d.gaps, strange...)
	return d, nil
}

// lost describes the rows with sequence numbers in [from, to), the first row
// behind them being row number after.
func (d *segmentData) lost(path string, from, to uint64, after int) Finding {
	g := Finding{File: path, What: "damaged: rows lost", FirstSeq: from, LastSeq: to - 1, Rows: int64(to - from), To: d.rows.at[after]}
	if d.count > 0 {
		g.From = d.lastAt
	}
	return g
}

// place gives the lost rows the offsets of the damage that cost them. Damage
// that cost none, as to one of the two header copies, becomes a finding too.
func (d *segmentData) place(path string) {
	for _, gap := range d.frames.Gaps {
		i := slices.IndexFunc(d.gaps, func(f Finding) bool { return f.LastSeq+1 == gap.Before })
		if i < 0 {
			d.gaps = append(d.gaps, Finding{File: path, What: "damaged: stray bytes, no row lost"})
			i = len(d.gaps) - 1
		}
		d.gaps[i].Offset, d.gaps[i].Bytes = gap.Offset, gap.Length
	}
	if d.frames.Damaged && len(d.frames.Gaps) == 0 {
		d.gaps = append(d.gaps, Finding{File: path, What: "damaged: one of the two header copies, no row lost"})
	}
}
