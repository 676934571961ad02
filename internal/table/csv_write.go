package table

import (
	"fmt"
	"io"
	"strings"
)

// WriteCSV writes t by RFC 4180 with commas and LF line ends: a header, then a
// line a row. Numbers have the fewest digits that read back as themselves,
// times are as [FormatTime] has them, and a missing value is empty. A text is
// quoted only where it must be. Two things cannot be told apart on reading:
// an empty text and a missing one, and a text such as "NA" and a missing one.
func WriteCSV(w io.Writer, t *Table) error {
	const block = 64 << 10
	buf := make([]byte, 0, block+block/8)
	for i, c := range t.cols {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendQuoted(buf, c.Name)
	}
	buf = append(buf, '\n')
	for i := range t.rows {
		start := len(buf)
		for k, c := range t.cols {
			if k > 0 {
				buf = append(buf, ',')
			}
			if c.Type == String {
				buf = appendQuoted(buf, c.Text(i))
			} else {
				buf = appendValue(buf, c, i)
			}
		}
		if len(buf) == start {
			buf = append(buf, `""`...) // a blank line would be no row
		}
		buf = append(buf, '\n')
		if len(buf) >= block {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write csv: %w", err)
			}
			buf = buf[:0]
		}
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

// appendQuoted appends s, in quotes if it holds a byte that could end or open
// a field for any of the delimiters that are read, or if blanks surround it
// or a byte order mark precedes it, which would be taken off.
func appendQuoted(b []byte, s string) []byte {
	bare := s == "" || s[0] != ' ' && s[len(s)-1] != ' '
	if bare && !strings.HasPrefix(s, "\ufeff") && !strings.ContainsAny(s, "\",;\t|\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
