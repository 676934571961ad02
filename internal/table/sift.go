package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// BadRows is a budget of rows of CSV that may be set aside instead of being an
// error: those that have more values or fewer than the header, whose quotes do
// not work out, that are no UTF-8, or with a value that does not fit the type
// which [ReadOptions.Types] demands. A column that has no type demanded is text as
// soon as one value is. The zero value, as nil, lets none pass. One BadRows is
// used for one [Read] or [Open].
type BadRows struct {
	Most  int     // rows
	Share float64 // of all rows, in [0, 1]; Most does not count then
	Found []BadRow
	rows  int // all, of every file so far
}

// BadRow is a row that was set aside.
type BadRow struct {
	Error
	Text string // the line where it begins, without its end
}

// ParseBadRows reads a budget: a number of rows, or a share as in "0.5%".
func ParseBadRows(s string) (*BadRows, error) {
	if share, ok := strings.CutSuffix(strings.TrimSpace(s), "%"); ok {
		v, err := strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err == nil && v >= 0 && v <= 100 {
			return &BadRows{Share: v / 100}, nil
		}
	} else if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return &BadRows{Most: n}, nil
	}
	return nil, fmt.Errorf("%q, expected a number of rows or a share such as 0.5%%", s)
}

// allows reports whether any row may be bad.
func (b *BadRows) allows() bool { return b != nil && (b.Most > 0 || b.Share > 0) }

// Table is what was found: file, line, column and value as in [Error], the reason
// and the line itself.
func (b *BadRows) Table() *Table {
	n := len(b.Found)
	lines := make([]float64, n)
	texts := make([][]string, 5)
	for i := range texts {
		texts[i] = make([]string, n)
	}
	for i, r := range b.Found {
		lines[i] = float64(r.Line)
		for k, s := range []string{r.File, r.Column, r.Value, r.Want, r.Text} {
			texts[k][i] = strings.ToValidUTF8(s, "\ufffd")
		}
	}
	return Must(Strings("file", texts[0]), Floats("line", lines), Strings("column", texts[1]), Strings("value", texts[2]), Strings("reason", texts[3]), Strings("text", texts[4]))
}

// over is the error when more rows are bad than may be; nil else. whole says
// that all rows are known.
func (b *BadRows) over(whole bool) error {
	most := b.Most
	if b.Share > 0 {
		most = int(b.Share * float64(b.rows))
		if !whole {
			return nil
		}
	}
	if len(b.Found) <= most {
		return nil
	}
	e := b.Found[0].Error
	e.Want += fmt.Sprintf(" (it is the first of %d bad rows, of which %d may be: --bad-rows)", len(b.Found), most)
	return &e
}

// siftChunk is how much of a file is looked at at one go; a row that is longer
// than siftMost, because a quote is never closed, is bad.
const (
	siftChunk = 8 << 20
	siftMost  = 64 << 20
)

// sift writes the file to w without its bad rows.
func (b *BadRows) sift(w io.Writer, name string, c content, o ReadOptions) error {
	f := &csvSource{content: c, window: csvWindowSize, file: csvFile{name: name}, sifted: true}
	head, err := f.readHeader()
	if err != nil {
		return err
	}
	keep, err := o.keep(name, f.file.names)
	if err != nil {
		return err
	}
	k := &sieve{bad: b, w: w, name: name, names: f.file.names, delim: f.file.delim, line: lineAt(head, len(head)) - 1}
	for i, col := range f.file.names {
		t, fixed := o.Types[col]
		if !fixed || !keep[i] {
			t = String
		}
		k.cols = append(k.cols, builder{readPlan: readPlan{fixed: true}, typ: t})
	}
	off := int64(f.file.body)
	if _, err := io.Copy(w, io.NewSectionReader(c.at, 0, off)); err != nil {
		return err
	}
	var buf []byte
	for size := int64(siftChunk); off < c.size; {
		n := min(size, c.size-off)
		if buf, err = c.span(off, n, buf); err != nil {
			return fmt.Errorf("read table: %w", err)
		}
		used, err := k.chunk(buf, off+n == c.size, n >= siftMost)
		if err != nil {
			return err
		}
		if size = siftChunk; used == 0 { // no row ends here
			size = 2 * n
		}
		off += int64(used)
	}
	return b.over(true)
}

// sieve takes bad rows out of one file.
type sieve struct {
	bad   *BadRows
	w     io.Writer
	name  string
	names []string
	cols  []builder // of the types that are demanded, which keep nothing; String where none is
	delim byte
	line  int // lines before the chunk
}

// chunk sifts the rows that lie in data as a whole, and says how many bytes they
// take. last says that the file ends with data, full that a row which does not
// end in it is bad.
func (k *sieve) chunk(data []byte, last, full bool) (used int, err error) {
	end := len(data)
	rows := data
	if last {
		rows = endLine(data[:end:end])
	} else if end = bytes.LastIndexByte(data, '\n') + 1; end == 0 {
		if !full {
			return 0, nil
		}
		end = len(data)
		rows = append(data[:end:end], '\n')
	} else {
		rows = data[:end]
	}
	s := newScanner(rows, 0, k.delim)
	run := 0 // where the sound rows that are to be written begin
	for s.skipBlank() {
		start := s.pos
		fault := k.row(s, start)
		var open *openQuote
		if errors.As(fault, &open) && !last && !full {
			end = start
			break
		}
		k.bad.rows++
		if fault == nil {
			continue
		}
		if _, err := k.w.Write(rows[run:start]); err != nil {
			return 0, err
		}
		s.pos = start
		s.skipLine()
		k.note(rows, start, fault)
		if err := k.bad.over(false); err != nil {
			return 0, err
		}
		s.skipBlank()
		run = s.pos
	}
	if run < end {
		if _, err := k.w.Write(rows[run:end]); err != nil {
			return 0, err
		}
	}
	k.line += lineAt(rows, end) - 1
	return end, nil
}

// openQuote is a fault of a row that may go on in what follows.
type openQuote struct{ error }

func (e *openQuote) Unwrap() error { return e.error }

// row reads one row and returns what is wrong with it.
func (k *sieve) row(s *scanner, start int) error {
	for i := range k.cols {
		at := s.pos
		b, _, err := s.field()
		var f *fault
		if errors.As(err, &f) && bytes.IndexByte(s.data[f.at+1:], '"') < 0 {
			return &openQuote{err}
		} else if err != nil {
			return err
		}
		if !k.fits(b, i) {
			return &fault{at: at, column: i, value: string(b), want: "expected " + expectation(k.cols[i].typ)}
		}
		if s.next() != (i < len(k.cols)-1) {
			return s.ragged(start, i+1, len(k.cols))
		}
	}
	row := s.data[start:s.pos]
	if !utf8.Valid(row) || bytes.IndexByte(row, 0) >= 0 {
		return &fault{at: start, column: -1, value: firstLine(row), want: "the row is no UTF-8 text"}
	}
	return nil
}

// fits reports whether a value can stand in column i.
func (k *sieve) fits(b []byte, i int) bool {
	c := &k.cols[i]
	if c.typ == String {
		return true
	}
	c.floats, c.times = c.floats[:0], c.times[:0]
	return c.add(b)
}

// note keeps a bad row that starts at an offset of rows.
func (k *sieve) note(rows []byte, start int, err error) {
	r := BadRow{Error: Error{File: k.name, Line: k.line + lineAt(rows, start), Want: err.Error()}}
	var f *fault
	if errors.As(err, &f) {
		r.Line, r.Value, r.Want = k.line+lineAt(rows, f.at), f.value, f.want
		if f.column >= 0 {
			r.Column = k.names[f.column]
		}
	}
	line := rows[start:]
	if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
		line = line[:i]
	}
	const most = 64 << 10
	r.Text = string(line[:min(len(line), most)])
	k.bad.Found = append(k.bad.Found, r)
}
