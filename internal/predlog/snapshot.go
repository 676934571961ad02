package predlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// snapshot is a log at one moment, held open: files that are sealed, merged or
// removed meanwhile can still be read, since their content never changes. It
// is read file by file, so that memory depends on the largest file and not on
// the log.
type snapshot struct {
	kind     kind
	from, to int64
	sealed   []heldFile // by day, then name
	segments []heldSegment
	foreign  []string
}

type heldFile struct {
	sealedFile
	f *os.File
}

type heldSegment struct {
	segmentFile
	f    *os.File
	size int64 // an open one may grow; what was there is read
}

// hold opens the files of the log in dir that may have rows with from ≤ time <
// to, in microseconds. The caller closes the snapshot.
func hold(dir string, k kind, from, to int64) (*snapshot, error) {
	var err error
	for range attempts {
		var l *listing
		if l, err = stableListing(dir, from, to); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		s := &snapshot{kind: k, from: from, to: to, foreign: l.foreign}
		if err = s.open(l); err == nil {
			return s, nil
		}
		s.close()
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, fmt.Errorf("read log: %w", err)
}

func (s *snapshot) open(l *listing) error {
	for _, f := range l.segments {
		file, err := os.Open(f.path)
		if err != nil {
			return err
		}
		h := heldSegment{segmentFile: f, f: file}
		s.segments = append(s.segments, h)
		info, err := file.Stat()
		if err != nil {
			return err
		}
		s.segments[len(s.segments)-1].size = info.Size()
	}
	for _, f := range l.sealed {
		file, err := os.Open(f.path)
		if err != nil {
			return err
		}
		s.sealed = append(s.sealed, heldFile{f, file})
	}
	return nil
}

// bytes is the size of its files, those of segments at half since sealed ones
// are smaller.
func (s *snapshot) bytes() (n int64) {
	for _, f := range s.sealed {
		if info, err := f.f.Stat(); err == nil {
			n += info.Size()
		}
	}
	for _, f := range s.segments {
		n += f.size / 2
	}
	return n
}

func (s *snapshot) close() {
	for _, f := range s.sealed {
		f.f.Close()
	}
	for _, f := range s.segments {
		f.f.Close()
	}
}

// each passes the rows of the log to visit: the sealed ones by day and file,
// then those in segments; of one file in the order of segments. columns are
// those of [ReadOptions]. What cannot be read is a finding. Reading is one
// file ahead of visit. The Dict of ids may list a text twice.
func (s *snapshot) each(columns []string, visit func(part) error) ([]Finding, error) {
	type step struct {
		runs     []part
		findings []Finding
		err      error
	}
	steps := make(chan step)
	stop := make(chan struct{})
	go func() {
		defer close(steps)
		s.load(columns, func(runs []part, findings []Finding, err error) bool {
			select {
			case steps <- step{runs, findings, err}:
				return err == nil
			case <-stop:
				return false
			}
		})
	}()
	defer func() {
		close(stop)
		for range steps { // wait for the reader to end
		}
	}()
	var findings []Finding
	for _, path := range s.foreign {
		findings = append(findings, Finding{File: path, What: "not a file of this log: ignored"})
	}
	for st := range steps {
		findings = append(findings, st.findings...)
		if st.err != nil {
			return findings, st.err
		}
		for _, r := range st.runs {
			if err := visit(r); err != nil {
				return findings, err
			}
		}
	}
	return findings, nil
}

// load reads file after file and hands over what each has, until pass is
// false.
func (s *snapshot) load(columns []string, pass func([]part, []Finding, error) bool) {
	skip := make(map[string]bool, len(s.segments)) // what is sealed of them repeats them
	for _, f := range s.segments {
		skip[f.id] = true
	}
	r := &reader{kind: s.kind, from: s.from, to: s.to, columns: columns}
	taken := map[string]bool{}
	for i, f := range s.sealed {
		if i > 0 && s.sealed[i-1].day != f.day {
			clear(taken)
		}
		r.parts, r.stats = nil, ReadStats{}
		err := r.held(f, skip, taken)
		if !pass(r.parts, r.stats.Findings, err) {
			return
		}
	}
	for _, f := range s.segments {
		r.parts, r.stats = nil, ReadStats{}
		b := make([]byte, f.size)
		_, err := io.ReadFull(io.NewSectionReader(f.f, 0, f.size), b)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = nil // cut back after a failed write: what is missing was no row
		}
		if err == nil {
			err = r.decoded(f.segmentFile, b)
		}
		if !pass(r.parts, r.stats.Findings, err) {
			return
		}
	}
}

// held adds the rows of a sealed file whose segments are neither in skip nor
// in taken, and notes them in taken.
func (r *reader) held(f heldFile, skip, taken map[string]bool) error {
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f.f, 0, info.Size()), b); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	o := r.readOptions()
	o.Loose = []string{ColumnID}
	t, err := decodeSealed(f.sealedFile, b, o)
	if err != nil {
		r.stats.Findings = append(r.stats.Findings, Finding{File: f.path, What: err.Error()})
		return nil
	}
	r.stats.Files++
	parts := pickFrom(openedFile{f.sealedFile, t}, skip, taken)
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.segment, b.segment) })
	for _, p := range parts {
		r.add(p.segment, p.t.Drop(columnSegment, columnSource))
	}
	return nil
}

// Scan passes the rows of the prediction log in dir with from ≤ prediction_time
// < to to visit, file by file: sealed ones by day, then segments. Of columns, as
// of [ReadOptions], those come that the rows' version has; the Dict of
// prediction_id may list a text twice. Files are held open, so that rows
// neither go nor come twice whatever is done to the log meanwhile.
func Scan(dir string, from, to int64, columns []string, visit func(*table.Table) error) ([]Finding, error) {
	return stream(dir, predictions, from, to, columns, visit)
}

// stream passes the rows of a log to visit, as [snapshot.each] does.
func stream(dir string, k kind, from, to int64, columns []string, visit func(*table.Table) error) ([]Finding, error) {
	s, err := hold(dir, k, from, to)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.each(columns, func(r part) error { return visit(r.t) })
}

// decoded adds the rows of a segment whose bytes are b.
func (r *reader) decoded(f segmentFile, b []byte) error {
	d, err := decodeSegment(f.path, b)
	var format *durable.FormatError
	if errors.As(err, &format) {
		r.stats.Findings = append(r.stats.Findings, Finding{File: f.path, Offset: format.Offset, What: format.Reason})
		return nil
	}
	if err != nil {
		return err
	}
	r.stats.Segments++
	r.stats.Findings = append(r.stats.Findings, d.gaps...)
	if d.header == nil || d.rows.len() == 0 || d.header.Kind != r.kind {
		return nil
	}
	r.stats.Unsealed += r.add(f.id, d.rows.table())
	return nil
}
