package table

import (
	"bytes"
	"fmt"
	"slices"
)

// scanner walks over the fields of a piece of a CSV file. The piece ends with
// a line end, so that a scan for the end of a field needs no other bound.
type scanner struct {
	data    []byte
	pos     int
	delim   byte
	ends    [256]bool // bytes that end an unquoted field
	scratch []byte    // the last field that had doubled quotes
}

func (f *csvFile) scan(lo, hi int) *scanner { return newScanner(f.data[:hi], lo, f.delim) }

func newScanner(data []byte, pos int, delim byte) *scanner {
	s := &scanner{data: data, pos: pos, delim: delim}
	s.ends[delim], s.ends['\n'], s.ends['\r'] = true, true, true
	return s
}

// skipBlank moves over blank lines and reports whether a row follows.
func (s *scanner) skipBlank() bool {
	for s.pos < len(s.data) && (s.data[s.pos] == '\n' || s.data[s.pos] == '\r') {
		s.pos++
	}
	return s.pos < len(s.data)
}

// field reads the field at pos and stops at the byte that ends it. The result
// is valid until the next call.
func (s *scanner) field() (b []byte, quoted bool, err error) {
	if s.data[s.pos] == '"' {
		b, err = s.quotedField()
		return b, true, err
	}
	i := s.pos
	for !s.ends[s.data[i]] {
		i++
	}
	b = s.data[s.pos:i]
	s.pos = i
	return b, false, nil
}

// quotedField reads a field in quotes; two quotes within stand for one. The
// last byte of the data is a line end, hence a byte follows every quote.
func (s *scanner) quotedField() ([]byte, error) {
	open := s.pos
	start := open + 1
	s.scratch = s.scratch[:0]
	for {
		n := bytes.IndexByte(s.data[start:], '"')
		if n < 0 {
			return nil, &fault{at: open, column: -1, value: firstLine(s.data[open:]), want: "the quote that opens here is never closed"}
		}
		end := start + n
		if s.data[end+1] == '"' {
			s.scratch = append(s.scratch, s.data[start:end+1]...)
			start = end + 2
			continue
		}
		if !s.ends[s.data[end+1]] {
			return nil, &fault{at: end, column: -1, value: firstLine(s.data[open:]),
				want: "text follows a closing quote; a quote within a quoted value is written twice"}
		}
		s.pos = end + 1
		if len(s.scratch) == 0 {
			return s.data[start:end], nil
		}
		s.scratch = append(s.scratch, s.data[start:end]...)
		return s.scratch, nil
	}
}

// firstLine is the start of b, for an error.
func firstLine(b []byte) string {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return string(b[:min(len(b), 80)])
}

// next moves over the byte that ended a field, and reports whether another
// field of the same row follows.
func (s *scanner) next() bool {
	c := s.data[s.pos]
	s.pos++
	if c == '\r' && s.pos < len(s.data) && s.data[s.pos] == '\n' {
		s.pos++
	}
	return c == s.delim
}

// rows reads all rows of the piece into cols.
func (s *scanner) rows(cols []builder) error {
	for s.skipBlank() {
		if err := s.row(cols); err != nil {
			return err
		}
	}
	return nil
}

// row reads the row at pos into cols.
func (s *scanner) row(cols []builder) error {
	start := s.pos
	for i := range cols {
		if err := s.value(&cols[i], i); err != nil {
			return err
		}
		if s.next() != (i < len(cols)-1) {
			return s.ragged(start, i+1, len(cols))
		}
	}
	return nil
}

// value reads one field into column i.
func (s *scanner) value(col *builder, i int) error {
	if !col.read {
		_, _, err := s.field()
		return err
	}
	if col.typ == Float {
		v, n, big := scanFloat(s.data[s.pos:])
		if n > 0 && s.ends[s.data[s.pos+n]] && (!big || col.fixed) {
			col.floats = append(col.floats, v)
			col.seen = true
			s.pos += n
			return nil
		}
	}
	start := s.pos
	b, _, err := s.field()
	if err != nil {
		return err
	}
	if !col.add(b) {
		return &fault{at: start, column: i, value: string(b), want: "expected " + expectation(col.typ)}
	}
	return nil
}

// expectation describes the values of a type.
func expectation(t Type) string {
	switch t {
	case Bool:
		return "true or false"
	case Time:
		return "a time such as 2006-01-02, 2006-01-02T15:04:05Z or 1/31/2006 (month first)"
	default:
		return "a number"
	}
}

// ragged is the error for a row that has not want fields. The scan stands
// behind its field number got, where the row and the header part ways.
func (s *scanner) ragged(start, got, want int) error {
	more := s.data[s.pos-1] == s.delim
	for more {
		if _, _, err := s.field(); err != nil {
			return err
		}
		got++
		more = s.next()
	}
	return &fault{at: start, column: -1, value: firstLine(s.data[start:]),
		want: fmt.Sprintf("the row has %d values, the header names %d columns", got, want)}
}

// delimiters are the ones that are looked for; the first wins a tie.
var delimiters = []byte{',', ';', '\t', '|'}

// findDelimiter returns the delimiter with which the first rows split most
// consistently: the share of rows that have as many fields as the header
// counts first, then the number of fields. It is a comma when nothing splits
// the header.
func findDelimiter(data []byte) byte {
	const enough = 64 << 10
	sample := data
	if len(sample) > enough {
		sample = sample[:enough]
		if i := bytes.LastIndexAny(sample, "\r\n"); i >= 0 {
			sample = sample[:i+1]
		} else {
			sample = append(slices.Clone(sample), '\n')
		}
	}
	best, bestShare, bestFields := delimiters[0], 0.0, 1
	for _, delim := range delimiters {
		fields, share := consistency(sample, delim)
		if fields > 1 && (share > bestShare || share == bestShare && fields > bestFields) {
			best, bestShare, bestFields = delim, share, fields
		}
	}
	return best
}

// consistency counts the fields of the header in sample, and the share of
// the first rows that have as many. A row whose quotes do not work out with
// delim has not.
func consistency(sample []byte, delim byte) (fields int, share float64) {
	const enough = 200
	s := newScanner(sample, 0, delim)
	rows, same := 0, 0
	for rows < enough && s.skipBlank() {
		n := s.countFields()
		if rows == 0 {
			fields = n
		}
		if rows++; n == fields {
			same++
		}
	}
	return fields, float64(same) / float64(max(rows, 1))
}

// countFields reads a row. It returns 0 when a quote is at fault, or stands
// amid a field, as it does where a delimiter is taken for one within quotes.
func (s *scanner) countFields() (n int) {
	stray := false
	for more := true; more; n++ {
		b, quoted, err := s.field()
		if err != nil {
			s.skipLine()
			return 0
		}
		stray = stray || !quoted && bytes.IndexByte(b, '"') >= 0
		more = s.next()
	}
	if stray {
		return 0
	}
	return n
}

// skipLine moves to the end of the line.
func (s *scanner) skipLine() {
	for s.pos < len(s.data) && s.data[s.pos] != '\n' && s.data[s.pos] != '\r' {
		s.pos++
	}
}
