package durable

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// The layout of a framed file; docs/format/frames.md draws it.
const (
	frameVersion = 1
	frameMagic   = "HLFR"
	preambleLen  = 24  // magic, version, reserved, salt, header length, checksum
	blockAlign   = 512 // a header copy fills whole sectors
	frameHead    = 16  // length, checksum, sequence

	// MaxPayload bounds the payload of one frame, and MaxHeader the header of
	// a file, in bytes; a length beyond them is damage.
	MaxPayload = 64 << 20
	MaxHeader  = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrVersion is matched by the error of [ReadFrames] on a file of a version
// that this build does not know. Such a file is not damaged: leave it alone.
var ErrVersion = errors.New("unknown format version")

// FormatError says where a framed file is not what it should be.
type FormatError struct {
	Path   string
	Offset int64
	Reason string
	Err    error // ErrVersion, or nil
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: offset %d: %s", e.Path, e.Offset, e.Reason)
}

// Unwrap returns [ErrVersion] for an unknown version, nil otherwise.
func (e *FormatError) Unwrap() error { return e.Err }

// FrameWriter appends frames to a file that it made. It is not safe for use
// by several goroutines at once, save Size.
//
// After an error of Append or Sync every later call returns that error. The
// file has then been cut, if the disk allowed it, to its last good offset:
// after a failed Append the end of the last whole frame, after a failed Sync
// the end of what the last successful one covered.
type FrameWriter struct {
	f      File
	path   string
	seed   uint32 // checksum of the header, which starts every frame's
	buf    []byte
	size   int64 // end of the last whole frame
	synced int64 // end of what is known to be on disk
	last   uint64
	any    bool
	err    error
}

// CreateFrames makes a framed file at path, which must not exist, with the
// given header. When it returns, the file, its header and its name are on
// disk.
func CreateFrames(path string, header []byte) (*FrameWriter, error) {
	return Disk{}.CreateFrames(path, header)
}

// CreateFrames is the function of that name on d.
func (d Disk) CreateFrames(path string, header []byte) (*FrameWriter, error) {
	if len(header) > MaxHeader {
		return nil, fmt.Errorf("create %s: header of %d bytes, at most %d are allowed", path, len(header), MaxHeader)
	}
	f, err := d.fs().Create(path)
	if err != nil {
		return nil, failed("create", path, err)
	}
	block, seed := headerBlock(header)
	w := &FrameWriter{f: f, path: path, seed: seed, buf: make([]byte, 0, 1<<14)}
	block = append(block, block...)
	if _, err := f.Write(block); err != nil {
		return nil, d.abandon(w, failed("write", path, err))
	}
	if err := f.Sync(); err != nil {
		return nil, d.abandon(w, failed("sync", path, err))
	}
	dir := filepath.Dir(path)
	if err := d.fs().Sync(dir); err != nil {
		return nil, d.abandon(w, failed("sync", dir, err))
	}
	w.size = int64(len(block))
	w.synced = w.size
	return w, nil
}

// abandon drops a file that could not be begun.
func (d Disk) abandon(w *FrameWriter, err error) error {
	_ = w.f.Close()
	_ = d.fs().Remove(w.path) // best effort: without frames it reads as empty
	return err
}

// headerBlock is one copy of the header as it stands in the file, and the
// checksum that seeds those of the frames.
func headerBlock(header []byte) (block []byte, seed uint32) {
	n := preambleLen + len(header)
	block = make([]byte, (n+blockAlign-1)/blockAlign*blockAlign)
	copy(block, frameMagic)
	binary.LittleEndian.PutUint16(block[4:], frameVersion)
	_, _ = rand.Read(block[8:16]) // never fails: crypto/rand aborts the program instead
	binary.LittleEndian.PutUint32(block[16:], uint32(len(header)))
	copy(block[preambleLen:], header)
	seed = headerSum(block[:n])
	binary.LittleEndian.PutUint32(block[20:], seed)
	return block, seed
}

// headerSum is the checksum of preamble and header, leaving out itself.
func headerSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:20])
	return crc32.Update(sum, castagnoli, b[preambleLen:])
}

// Append writes one frame, in one write to the file, holding the payloads one
// after another. seq must be greater than that of the frame before. Nothing
// is promised to survive until Sync returned nil.
func (w *FrameWriter) Append(seq uint64, payloads ...[]byte) error {
	if w.err != nil {
		return w.err
	}
	n := 0
	for _, p := range payloads {
		n += len(p)
	}
	if n > MaxPayload {
		return fmt.Errorf("append to %s: payload of %d bytes, at most %d are allowed", w.path, n, MaxPayload)
	}
	if w.any && seq <= w.last {
		return fmt.Errorf("append to %s: sequence %d does not follow %d", w.path, seq, w.last)
	}
	w.buf = append(w.buf[:0], make([]byte, frameHead)...)
	for _, p := range payloads {
		w.buf = append(w.buf, p...)
	}
	binary.LittleEndian.PutUint32(w.buf, uint32(n))
	binary.LittleEndian.PutUint64(w.buf[8:], seq)
	binary.LittleEndian.PutUint32(w.buf[4:], frameSum(w.seed, w.buf))
	if _, err := w.f.Write(w.buf); err != nil {
		return w.fail("write", err, w.size)
	}
	w.size += int64(len(w.buf))
	w.last, w.any = seq, true
	return nil
}

// frameSum is the checksum of a whole frame, leaving out itself.
func frameSum(seed uint32, frame []byte) uint32 {
	sum := crc32.Update(seed, castagnoli, frame[:4])
	return crc32.Update(sum, castagnoli, frame[8:])
}

// Sync returns nil when every frame appended so far will survive a power cut.
func (w *FrameWriter) Sync() error {
	if w.err != nil {
		return w.err
	}
	if w.synced == w.size {
		return nil
	}
	if err := w.f.Sync(); err != nil {
		return w.fail("sync", err, w.synced)
	}
	w.synced = w.size
	return nil
}

// Discard cuts a file whose writer failed to what the last successful Sync
// covered, dropping whole frames that were appended since. Before a failure
// it does nothing.
func (w *FrameWriter) Discard() {
	if w.err != nil && w.f != nil && w.size > w.synced {
		w.cut(w.synced)
	}
}

// fail notes the writer's end and cuts the file to good.
func (w *FrameWriter) fail(op string, err error, good int64) error {
	w.err = failed(op, w.path, err)
	w.cut(good)
	return w.err
}

// cut shortens the file as far as the disk allows. Should it not, the tail is
// torn, which readers expect.
func (w *FrameWriter) cut(size int64) {
	w.size = size
	if w.f.Truncate(size) == nil {
		_ = w.f.Sync()
	}
}

// Size is the length of the file in whole frames, in bytes, header included.
func (w *FrameWriter) Size() int64 { return w.size }

// Path is the name of the file.
func (w *FrameWriter) Path() string { return w.path }

// Close syncs what was appended and closes the file. A second call does
// nothing.
func (w *FrameWriter) Close() error {
	if w.f == nil {
		return nil
	}
	err := w.Sync()
	if cerr := w.f.Close(); err == nil {
		err = failed("close", w.path, cerr)
	}
	w.f = nil
	if w.err == nil {
		w.err = fmt.Errorf("append to %s: closed", w.path)
	}
	return err
}

// Synced reports whether everything appended so far is on disk.
func (w *FrameWriter) Synced() bool { return w.synced == w.size }
