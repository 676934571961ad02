package table

import (
	"io"
	"slices"
)

// content is a file's bytes, in memory or not.
type content struct {
	at    io.ReaderAt
	size  int64
	whole []byte // nil when the file is not in memory
}

// span is the n bytes from off on, which must lie within the file. They are
// read to buf's memory where that is needed and possible.
func (c content) span(off, n int64, buf []byte) ([]byte, error) {
	if c.whole != nil {
		return c.whole[off : off+n : off+n], nil
	}
	if int64(cap(buf)) < n {
		buf = slices.Grow(buf[:0], int(n))
	}
	buf = buf[:n]
	_, err := io.ReadFull(io.NewSectionReader(c.at, off, n), buf)
	return buf, err
}

// unread is what is left to read of bytes in memory.
type unread struct{ b []byte }

func (u *unread) Read(p []byte) (int, error) {
	if len(u.b) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, u.b)
	u.b = u.b[n:]
	return n, nil
}

// Peek returns the next n bytes without moving over them, fewer with io.EOF.
func (u *unread) Peek(n int) ([]byte, error) {
	if n > len(u.b) {
		return u.b, io.EOF
	}
	return u.b[:n], nil
}

// Discard moves over n bytes.
func (u *unread) Discard(n int) (int, error) {
	if n > len(u.b) {
		n = len(u.b)
		u.b = nil
		return n, io.EOF
	}
	u.b = u.b[n:]
	return n, nil
}
