package durable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// FrameStats says what a reader found in a framed file.
type FrameStats struct {
	Size   int64 // of the file, in bytes
	Good   int64 // bytes up to the end of the last frame before any damage
	Frames int   // frames handed out
	// Torn is the number of bytes after the last whole frame: an append that
	// a crash cut short. No promise was ever made about them.
	Torn int64
	// Damaged says that whole frames follow bytes that are none, so that
	// something once whole was lost, or that a header copy was lost.
	Damaged bool
	// Gaps are the damaged stretches in order; empty when only a header copy
	// was lost.
	Gaps []Gap
}

// Gap is a stretch of a framed file that holds no valid frame although valid
// ones follow it.
type Gap struct {
	Offset, Length int64
	// After and Before are the sequence numbers of the valid frames around
	// the gap; HasAfter is false when it stands at the file's beginning.
	After, Before uint64
	HasAfter      bool
}

// ReadFrames calls fn with each frame of the file at path in order, up to the
// first byte that is not part of a valid one, and returns the file's header.
// payload is valid only during the call; an error of fn ends the reading and
// is returned as it is. What follows the last frame is counted in the stats
// and is no error: a torn tail is what crashes leave.
//
// A file that ends before its header does, or holds only zeros, has no header
// (nil) and no frames. A file that is not a framed file at all, or of an
// unknown version ([ErrVersion]), is a [*FormatError].
func ReadFrames(path string, fn func(seq uint64, payload []byte) error) (header []byte, stats FrameStats, err error) {
	return readFrames(path, fn, false)
}

// SalvageFrames is [ReadFrames] that goes on behind damage, with every later
// frame that is whole. Frames are told from chance, and from frame-like bytes
// inside a payload, by a checksum that the file's own random salt seeds.
func SalvageFrames(path string, fn func(seq uint64, payload []byte) error) (header []byte, stats FrameStats, err error) {
	return readFrames(path, fn, true)
}

func readFrames(path string, fn func(uint64, []byte) error, salvage bool) ([]byte, FrameStats, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, FrameStats{}, fmt.Errorf("read frames: %w", err)
	}
	return DecodeFrames(path, b, fn, salvage)
}

// DecodeFrames is [ReadFrames], or [SalvageFrames] when salvage is set, on the
// bytes b of a file called name.
func DecodeFrames(name string, b []byte, fn func(seq uint64, payload []byte) error, salvage bool) (header []byte, stats FrameStats, err error) {
	stats.Size = int64(len(b))
	h, err := findHeader(name, b)
	if err != nil {
		return nil, stats, err
	}
	if h.header == nil {
		stats.Torn = stats.Size
		return nil, stats, nil
	}
	stats.Damaged = h.copyLost
	stats.Good = int64(h.end)
	s := scanner{b: b, seed: h.seed, at: h.end, budget: 16 * int64(len(b))}
	for s.at < len(b) {
		seq, payload, ok := s.frame(s.at)
		if !ok {
			gap, found := s.skip()
			if !found {
				stats.Torn = int64(len(b) - s.at)
				break
			}
			stats.Damaged = true
			stats.Gaps = append(stats.Gaps, gap)
			if !salvage {
				break
			}
			continue
		}
		if err := fn(seq, payload); err != nil {
			return h.header, stats, err
		}
		s.last, s.any = seq, true
		s.at += frameHead + len(payload)
		stats.Frames++
		if len(stats.Gaps) == 0 {
			stats.Good = int64(s.at)
		}
	}
	return h.header, stats, nil
}

// FrameHeader is the header of the framed file called name whose bytes are b,
// nil when the file was never begun.
func FrameHeader(name string, b []byte) ([]byte, error) {
	h, err := findHeader(name, b)
	return h.header, err
}

// foundHeader is the valid copy of a file's header.
type foundHeader struct {
	header   []byte // nil: the file was never begun
	seed     uint32
	end      int  // where the frames begin
	copyLost bool // one of the two copies is not as written
}

// findHeader looks for the two copies of the header; the second stands at the
// first sector boundary behind the first.
func findHeader(name string, b []byte) (foundHeader, error) {
	first, n := parseHeader(b)
	if first != nil {
		h := foundHeader{header: first, seed: binary.LittleEndian.Uint32(b[20:]), end: 2 * n}
		h.copyLost = len(b) < 2*n || !bytes.Equal(b[:n], b[n:2*n])
		if len(b) < 2*n { // torn while it was begun
			return foundHeader{}, nil
		}
		return h, nil
	}
	for at := blockAlign; at+preambleLen <= len(b) && at <= MaxHeader+blockAlign; at += blockAlign {
		if header, n := parseHeader(b[at:]); header != nil && n == at && 2*n <= len(b) {
			return foundHeader{header: header, seed: binary.LittleEndian.Uint32(b[at+20:]), end: 2 * n, copyLost: true}, nil
		}
	}
	if len(b) < 2*blockAlign || len(bytes.Trim(b, "\x00")) == 0 {
		return foundHeader{}, nil
	}
	if string(b[:4]) == frameMagic {
		if v := binary.LittleEndian.Uint16(b[4:]); v != frameVersion {
			return foundHeader{}, &FormatError{name, 4, fmt.Sprintf("version %d; this build knows version %d", v, frameVersion), ErrVersion}
		}
		if n := int64(binary.LittleEndian.Uint32(b[16:])); n <= MaxHeader && int64(len(b)) < 2*(preambleLen+n) {
			return foundHeader{}, nil // a long header, torn while it was written
		}
	}
	return foundHeader{}, &FormatError{Path: name, Reason: "no valid header: not a framed file, or both copies are damaged"}
}

// parseHeader returns the header that a copy at the beginning of b holds and
// the copy's padded length, or nil. The result is never nil otherwise.
func parseHeader(b []byte) (header []byte, padded int) {
	if len(b) < preambleLen || string(b[:4]) != frameMagic || binary.LittleEndian.Uint32(b[4:]) != frameVersion {
		return nil, 0
	}
	n := binary.LittleEndian.Uint32(b[16:])
	if n > MaxHeader || int(n) > len(b)-preambleLen {
		return nil, 0
	}
	end := preambleLen + int(n)
	if headerSum(b[:end]) != binary.LittleEndian.Uint32(b[20:]) {
		return nil, 0
	}
	return b[preambleLen:end:end], (end + blockAlign - 1) / blockAlign * blockAlign
}

// scanner steps through the frames of a file.
type scanner struct {
	b      []byte
	seed   uint32
	at     int
	last   uint64
	any    bool
	budget int64 // bytes that may still be checksummed in search of frames
}

// frame returns the valid frame at offset at.
func (s *scanner) frame(at int) (seq uint64, payload []byte, ok bool) {
	if at+frameHead > len(s.b) {
		return 0, nil, false
	}
	n := binary.LittleEndian.Uint32(s.b[at:])
	if n > MaxPayload || int(n) > len(s.b)-at-frameHead {
		return 0, nil, false
	}
	seq = binary.LittleEndian.Uint64(s.b[at+8:])
	if s.any && seq <= s.last {
		return 0, nil, false
	}
	end := at + frameHead + int(n)
	s.budget -= int64(n)
	if frameSum(s.seed, s.b[at:end]) != binary.LittleEndian.Uint32(s.b[at+4:]) {
		return 0, nil, false
	}
	return seq, s.b[at+frameHead : end : end], true
}

// skip moves to the next valid frame behind the damage at s.at. The search
// gives up once it has checksummed many times the file's length, which only
// bytes made for the purpose bring about.
func (s *scanner) skip() (Gap, bool) {
	for at := s.at + 1; at+frameHead <= len(s.b) && s.budget > 0; at++ {
		seq, _, ok := s.frame(at)
		if !ok {
			continue
		}
		gap := Gap{Offset: int64(s.at), Length: int64(at - s.at), After: s.last, HasAfter: s.any, Before: seq}
		s.at = at
		return gap, true
	}
	return Gap{}, false
}
