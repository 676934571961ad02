package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/healml/healml/internal/durable"
)

// A packing is a way in which a whole file is compressed.
type packing struct {
	name, done string // noun, and what was done with it
	open       func(io.Reader) (io.Reader, func(), error)
}

func packingOf(f format) *packing {
	switch f {
	case formatGzip:
		return &packing{"gzip", "gzipped", func(r io.Reader) (io.Reader, func(), error) {
			z, err := gzip.NewReader(r)
			return z, func() {}, err
		}}
	case formatZstd:
		return &packing{"zstd", "packed with zstd", func(r io.Reader) (io.Reader, func(), error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(mostWindow))
			if err != nil {
				return nil, nil, err
			}
			return z, z.Close, nil
		}}
	}
	return nil
}

const (
	inMemoryMost = 32 << 20 // bytes that are unpacked in memory; more go to a file
	mostWindow   = 1 << 30  // of zstd, whose --long=30 it is
	// A file that unpacks to more than so many bytes, and so many times its
	// size, was made to fill the disk.
	bombBytes = 4 << 30
	bombTimes = 500
)

// unpack is the content of a compressed file: in memory while it is small, else
// in a file without a name, which is s's to close.
func (s *Source) unpack(c content, p *packing) (content, error) {
	spill := &spill{}
	err := p.unpack(spill, io.NewSectionReader(c.at, 0, c.size), c.size)
	if err != nil {
		spill.close()
		return content{}, p.fault(s.name, err)
	}
	return s.keep(spill), nil
}

// unpack writes what r, of which there are size bytes, holds to w.
func (p *packing) unpack(w io.Writer, r io.Reader, size int64) error {
	z, done, err := p.open(r)
	if err != nil {
		return err
	}
	defer done()
	for total := int64(0); ; {
		n, err := io.CopyN(w, z, 4<<20)
		if total += n; total > bombBytes && total/bombTimes > size {
			return errBomb
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var errBomb = errors.New("too much")

// fault is what is wrong with a file that does not unpack.
func (p *packing) fault(file string, err error) error {
	switch {
	case errors.Is(err, errBomb):
		return &Error{File: file, Want: fmt.Sprintf("unpacks to more than %d times its size; unpack it yourself if that is right", bombTimes)}
	case errors.Is(err, errSpill):
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	return &Error{File: file, Want: fmt.Sprintf("is a damaged %s file: %v", p.name, err)}
}

// twice is the fault of a file that was packed before it was packed.
func (p *packing) twice(file string) error {
	return &Error{File: file, Want: "is " + p.done + " twice; unpack it once"}
}

// unpackWhole unpacks b in memory.
func (p *packing) unpackWhole(file string, b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := p.unpack(&out, bytes.NewReader(b), int64(len(b))); err != nil {
		return nil, p.fault(file, err)
	}
	return out.Bytes(), nil
}

// spill keeps what is written in memory, and from inMemoryMost bytes on in a
// scratch file.
type spill struct {
	head bytes.Buffer
	file *os.File
	size int64
}

var errSpill = errors.New("write what is unpacked")

func (s *spill) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && s.size <= inMemoryMost {
		return s.head.Write(p)
	}
	if s.file == nil {
		f, err := durable.Scratch()
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errSpill, err)
		}
		s.file = f
		if _, err := f.Write(s.head.Bytes()); err != nil {
			return 0, fmt.Errorf("%w: %w", errSpill, err)
		}
		s.head = bytes.Buffer{}
	}
	n, err := s.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("%w: %w", errSpill, err)
	}
	return n, nil
}

func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
	}
}
