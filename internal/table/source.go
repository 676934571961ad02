package table

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
)

// ErrRetyped says that a value met by [Source.Scan] does not fit the type that
// its column seemed to have. The Source has widened the type; scan again, and
// forget what the scan passed.
var ErrRetyped = errors.New("a column is of another type than its first values")

// Part is a run of values of one column of a Source.
type Part struct {
	Index int // of the column in Names
	// Row is the number of the first value's row or, in a scan of rows that
	// were picked, its place among them.
	Row int
	// Column holds the values until visit returns. Dict grows from part to
	// part of a column; a code means the same in all.
	*Column
}

// Source is a data file that is read part by part, so that it never stands in
// memory as a whole: a Parquet file column by column, CSV and Arrow IPC in
// runs of some thousand rows. Files packed with gzip or zstd are unpacked first,
// from 32 MiB on to a file without a name in the system's folder for temporary
// ones. The values and the errors are those of [Read]. A file must not change
// while it is read.
type Source struct {
	name    string
	file    *os.File
	scratch []*os.File // what it was unpacked and sifted to, where that is not in memory
	rows    int
	cols    []string
	scan    scanFunc
	// stream is Stream where that is not Scan of all rows.
	stream func(visit func(Part) error) error
	// columnar says that every part is a whole column.
	columnar bool
	close    func() error // nil: file and scratch are closed
	window   int64        // bytes of CSV that are parsed at one go; 0: windowFor
}

// scanFunc is Scan of one format; picked is nil for all rows.
type scanFunc func(picked []int, visit func(Part) error) error

// Open prepares to read a file as o says, or the files that path stands for by
// [Files], one after the other as one: they must have the same columns, if in
// another order; a column that is of another type in one of them is text; and
// directories called key=value are columns, too. CSV files are run through once
// to count their rows.
func Open(path string, o ReadOptions) (*Source, error) {
	files, err := Files(path)
	switch {
	case err != nil:
		return nil, err
	case len(files) == 1 && files[0] == path:
		return openOne(path, o)
	}
	return openMany(path, files, o)
}

func openOne(path string, o ReadOptions) (*Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	s := &Source{name: path, file: f}
	if err := s.open(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) open(o ReadOptions) error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	c := content{at: s.file, size: info.Size()}
	if !info.Mode().IsRegular() { // a pipe, say
		b, err := os.ReadFile(s.name)
		if err != nil {
			return fmt.Errorf("read table: %w", err)
		}
		c = inMemory(b)
	}
	return s.openContent(c, o)
}

func (s *Source) openContent(c content, o ReadOptions) error {
	head, err := c.span(0, min(c.size, 8), nil)
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	if p := packingOf(detect(head)); p != nil {
		if c, err = s.unpack(c, p); err != nil {
			return err
		}
		if head, err = c.span(0, min(c.size, 8), nil); err != nil {
			return fmt.Errorf("read table: %w", err)
		}
		if p := packingOf(detect(head)); p != nil {
			return p.twice(s.name)
		}
	}
	switch detect(head) {
	case formatParquet:
		err = s.openParquet(c, o)
	case formatArrow:
		err = s.openArrow(c, o)
	default:
		if o.Bad.allows() {
			if c, err = s.sound(c, o); err != nil {
				return err
			}
		}
		err = s.openCSV(c, o)
	}
	return err
}

// sound is a CSV file without its bad rows, kept as what was unpacked is.
func (s *Source) sound(c content, o ReadOptions) (content, error) {
	spill := &spill{}
	if err := o.Bad.sift(spill, s.name, c, o); err != nil {
		spill.close()
		return content{}, err
	}
	return s.keep(spill), nil
}

// keep is what was spilt, in memory or in a file that is s's to close.
func (s *Source) keep(spill *spill) content {
	if spill.file == nil {
		return inMemory(spill.head.Bytes())
	}
	s.scratch = append(s.scratch, spill.file)
	return content{at: spill.file, size: spill.size}
}

func inMemory(b []byte) content {
	return content{at: bytes.NewReader(b), size: int64(len(b)), whole: b}
}

// Close closes the file.
func (s *Source) Close() error {
	if s.close != nil {
		return s.close()
	}
	for _, f := range s.scratch {
		f.Close()
	}
	return s.file.Close()
}

// NumRows is the number of rows.
func (s *Source) NumRows() int { return s.rows }

// Names are the columns' names in order.
func (s *Source) Names() []string { return slices.Clone(s.cols) }

// table reads all of it.
func (s *Source) table() (*Table, error) {
	for {
		cols := make([]*Column, len(s.cols))
		for i, name := range s.cols {
			cols[i] = &Column{Name: name, Type: Float}
		}
		err := s.Stream(func(p Part) error {
			c := cols[p.Index]
			c.Type = p.Type
			c.Floats, c.Codes, c.Times = append(c.Floats, p.Floats...), append(c.Codes, p.Codes...), append(c.Times, p.Times...)
			if len(p.Dict) > 0 {
				c.Dict = p.Dict
			}
			return nil
		})
		if errors.Is(err, ErrRetyped) {
			continue
		} else if err != nil {
			return nil, err
		}
		return New(cols...)
	}
}

// Columnar reports whether Scan passes whole columns, each in one part.
func (s *Source) Columnar() bool { return s.columnar }

// Scan passes all values to visit, or only those at the rows in picked, which
// must ascend, if it is not nil. visit is called by several goroutines at
// once, but for the parts of one column in order and never twice at a time.
// The error is that of the first part in the file with one, or ErrRetyped.
func (s *Source) Scan(picked []int, visit func(Part) error) error {
	return s.scan(picked, visit)
}

// Stream passes all values to visit as Scan does, but never a column as a
// whole: a part has at most some ten thousand rows, and its memory is visit's
// only until it returns.
func (s *Source) Stream(visit func(Part) error) error {
	if s.stream != nil {
		return s.stream(visit)
	}
	return s.scan(nil, visit)
}

// distinctNames checks that no name stands for two columns.
func distinctNames(file string, names []string) error {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return &Error{File: file, Column: n, Want: "the name stands for two columns; rename one of them"}
		}
	}
	return nil
}

// picks cuts a part down to the rows in picked that lie in it.
func picks(p Part, picked []int) Part {
	if picked == nil {
		return p
	}
	lo, hi := between(picked, p.Row, p.Row+p.Len())
	rows := make([]int, hi-lo)
	for i, r := range picked[lo:hi] {
		rows[i] = r - p.Row
	}
	return Part{Index: p.Index, Row: lo, Column: p.Take(rows)}
}

// between are the places in picked, which ascends, of numbers in [from, to).
func between(picked []int, from, to int) (lo, hi int) {
	lo, _ = slices.BinarySearch(picked, from)
	hi, _ = slices.BinarySearch(picked, to)
	return lo, hi
}
