package durable_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/durable/faulty"
)

type frame struct {
	seq     uint64
	payload string
}

func decode(b []byte, salvage bool) (header []byte, frames []frame, s durable.FrameStats, err error) {
	header, s, err = durable.DecodeFrames("f", b, func(seq uint64, p []byte) error {
		frames = append(frames, frame{seq, string(p)})
		return nil
	}, salvage)
	return header, frames, s, err
}

// build writes a framed file and returns its bytes, the frames, and the
// offset behind each.
func build(t testing.TB, header string, payloads ...string) (b []byte, frames []frame, ends []int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	w, err := durable.CreateFrames(path, []byte(header))
	if err != nil {
		t.Fatal(err)
	}
	ends = append(ends, w.Size())
	for i, p := range payloads {
		f := frame{uint64(3*i + 2), p}
		if err := w.Append(f.seq, []byte(p[:len(p)/2]), []byte(p[len(p)/2:])); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
		ends = append(ends, w.Size())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return b, frames, ends
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		header := rapid.StringN(0, 1500, 1500).Draw(rt, "header")
		payloads := rapid.SliceOfN(rapid.StringN(0, 300, 300), 0, 8).Draw(rt, "payloads")
		b, want, _ := build(t, header, payloads...)
		h, got, s, err := decode(b, false)
		if err != nil || string(h) != header || fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("read %q %v, %v", h, got, err)
		}
		if s.Damaged || s.Torn != 0 || s.Good != int64(len(b)) || s.Frames != len(want) {
			rt.Fatalf("stats %+v", s)
		}
	})
}

func TestTruncatedAnywhere(t *testing.T) {
	b, want, ends := build(t, "the header", "first", "", strings.Repeat("third", 20))
	for n := range b {
		header, got, s, err := decode(b[:n], true)
		if err != nil {
			t.Fatalf("cut to %d: %v", n, err)
		}
		whole := 0
		for whole < len(want) && ends[whole+1] <= int64(n) {
			whole++
		}
		if fmt.Sprint(got) != fmt.Sprint(want[:whole]) {
			t.Fatalf("cut to %d: frames %v, expected %v", n, got, want[:whole])
		}
		if begun := int64(n) >= ends[0]; begun != (header != nil) {
			t.Fatalf("cut to %d: header %q", n, header)
		}
		if header != nil && (s.Damaged || s.Good != ends[whole] || s.Torn != int64(n)-ends[whole]) {
			t.Fatalf("cut to %d: stats %+v", n, s)
		}
	}
}

func TestEveryByteFlipped(t *testing.T) {
	b, want, ends := build(t, "the header", "first", "second", "", "fourth", "the fifth")
	for i := range b {
		for _, bit := range []byte{1, 0x80, 0xff} {
			c := bytes.Clone(b)
			c[i] ^= bit
			header, got, s, err := decode(c, true)
			if err != nil || string(header) != "the header" {
				t.Fatalf("byte %d: header %q, %v", i, header, err)
			}
			expected := want
			last := false
			if int64(i) >= ends[0] { // in a frame, which is lost alone
				k := 0
				for ends[k+1] <= int64(i) {
					k++
				}
				expected = append(append([]frame(nil), want[:k]...), want[k+1:]...)
				last = k == len(want)-1
			}
			if fmt.Sprint(got) != fmt.Sprint(expected) {
				t.Fatalf("byte %d: frames %v, expected %v", i, got, expected)
			}
			if s.Damaged == last || (s.Torn > 0) != last {
				t.Fatalf("byte %d: stats %+v", i, s)
			}
		}
	}
}

func TestReadFramesStopsAtDamage(t *testing.T) {
	b, want, ends := build(t, "h", "first", "second", "third")
	b[ends[1]+20] ^= 1
	_, got, s, err := decode(b, false)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want[:1]) {
		t.Errorf("frames %v, %v", got, err)
	}
	gap := durable.Gap{Offset: ends[1], Length: ends[2] - ends[1], After: 2, Before: 8, HasAfter: true}
	if !s.Damaged || s.Good != ends[1] || len(s.Gaps) != 1 || s.Gaps[0] != gap {
		t.Errorf("stats %+v, expected the gap %+v", s, gap)
	}
}

// A frame that stands, bit for bit, inside a payload of another file must not
// come alive when its surroundings are damaged.
func TestForeignFramesStayDead(t *testing.T) {
	other, _, ends := build(t, "h", "", "evil") // by its number it would fit
	b, want, at := build(t, "h", "first", string(other[ends[1]:]), "third")
	b[at[1]] ^= 0xff // the length of the frame that carries it
	_, got, _, err := decode(b, true)
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]frame{want[0], want[2]}) {
		t.Errorf("frames %v, %v", got, err)
	}
}

func TestRepeatedAndSwappedFramesAreDamage(t *testing.T) {
	b, want, ends := build(t, "h", "first", "second", "third")
	part := func(k int) []byte { return b[ends[k]:ends[k+1]] }
	c := bytes.Join([][]byte{b[:ends[1]], part(0), part(1), part(0), part(2)}, nil)
	_, got, s, err := decode(c, true)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || !s.Damaged || len(s.Gaps) != 2 {
		t.Errorf("frames %v, stats %+v, %v", got, s, err)
	}
}

func TestUnknownVersionIsLeftAlone(t *testing.T) {
	b, _, ends := build(t, "h", "first")
	for _, at := range []int64{0, ends[0] / 2} {
		binary.LittleEndian.PutUint16(b[at+4:], 2)
	}
	_, _, _, err := decode(b, true)
	var format *durable.FormatError
	if !errors.Is(err, durable.ErrVersion) || !errors.As(err, &format) || format.Offset != 4 {
		t.Errorf("error %v", err)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "short": []byte("HLFR"), "zeros": make([]byte, 5000)} {
		if header, frames, s, err := decode(b, true); header != nil || frames != nil || err != nil || s.Torn != int64(len(b)) {
			t.Errorf("%s: %q %v %+v %v", name, header, frames, s, err)
		}
	}
	_, _, _, err := decode(bytes.Repeat([]byte("PAR1"), 1000), true)
	var format *durable.FormatError
	if !errors.As(err, &format) || errors.Is(err, durable.ErrVersion) {
		t.Errorf("foreign file: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	w, err := durable.CreateFrames(filepath.Join(t.TempDir(), "f"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(5, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(5, []byte("x")); err == nil {
		t.Error("took a sequence number twice")
	}
	if err := w.Append(6, make([]byte, durable.MaxPayload+1)); err == nil {
		t.Error("took too long a payload")
	}
	if err := w.Append(6, []byte("still good")); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Append(7, nil); err == nil {
		t.Error("took a frame after Close")
	}
}

// After a failed write or sync nothing is appended any more, and the file
// holds exactly what was promised.
func TestWriterStopsAtTheFirstError(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		path := filepath.Join(t.TempDir(), "f")
		disk := faulty.New(nil)
		w, err := durable.Disk{FS: disk}.CreateFrames(path, []byte("h"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Append(0, []byte("kept")), w.Sync()); err != nil {
			t.Fatal(err)
		}
		size := w.Size()
		failing := true
		disk.SetFault(func(o faulty.Op) error {
			if o.Name == op && failing {
				failing = false
				return syscall.EIO
			}
			return nil
		})
		err = w.Append(1, []byte("dropped"))
		if err == nil {
			err = w.Sync()
		}
		if !errors.Is(err, syscall.EIO) || !errors.Is(err, durable.ErrWrite) {
			t.Fatalf("%s: error %v", op, err)
		}
		for _, again := range []error{w.Append(2, []byte("x")), w.Sync(), w.Close()} {
			if !errors.Is(again, err) {
				t.Errorf("%s: later error %v, expected the first, %v", op, again, err)
			}
		}
		b, rerr := os.ReadFile(path)
		if rerr != nil {
			t.Fatal(rerr)
		}
		_, got, s, derr := decode(b, true)
		if derr != nil || fmt.Sprint(got) != "[{0 kept}]" || s.Size != size || s.Torn != 0 {
			t.Errorf("%s: frames %v, stats %+v, %v", op, got, s, derr)
		}
	}
}

// Whatever operation the process dies in, with or without the power, a frame
// that Sync covered is there and nothing is there that was never appended.
func TestFramesSurviveEveryCrash(t *testing.T) {
	var synced int
	sweep(t, func(string) {},
		func(d durable.Disk, dir string) error {
			synced = 0
			w, err := d.CreateFrames(filepath.Join(dir, "f"), []byte("h"))
			if err != nil {
				return err
			}
			for i := range 6 {
				if err := w.Append(uint64(i), fmt.Appendf(nil, "frame %d", i)); err != nil {
					_ = w.Close()
					return err
				}
				if i%2 == 1 {
					if err := w.Sync(); err != nil {
						_ = w.Close()
						return err
					}
					synced = i + 1
				}
			}
			return w.Close()
		},
		func(t *testing.T, dir string, err error) {
			b, rerr := os.ReadFile(filepath.Join(dir, "f"))
			if rerr != nil {
				if synced > 0 {
					t.Fatal(rerr)
				}
				return
			}
			_, got, s, derr := decode(b, true)
			if derr != nil || s.Damaged {
				t.Fatalf("%v, %+v", derr, s)
			}
			if len(got) < synced {
				t.Errorf("%d frames, %d were synced", len(got), synced)
			}
			for i, f := range got {
				if want := (frame{uint64(i), fmt.Sprintf("frame %d", i)}); f != want {
					t.Errorf("frame %v, expected %v", f, want)
				}
			}
		})
}

func TestAppendDoesNotAllocate(t *testing.T) {
	w, err := durable.CreateFrames(filepath.Join(t.TempDir(), "f"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	payload := make([]byte, 200)
	seq := uint64(0)
	n := testing.AllocsPerRun(100, func() {
		seq++
		if err := w.Append(seq, payload); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzDecodeFrames(f *testing.F) {
	b, _, ends := build(f, "header", "first", "second")
	f.Add(b)
	f.Add(b[:ends[1]+3])
	f.Add(b[ends[0]/2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		header, frames, s, err := decode(b, true)
		if err != nil {
			return
		}
		total := int64(0)
		for _, fr := range frames {
			total += 16 + int64(len(fr.payload))
		}
		gaps := int64(0)
		for _, g := range s.Gaps {
			gaps += g.Length
		}
		if header != nil && s.Good > s.Size || total > s.Size || len(frames) != s.Frames {
			t.Fatalf("stats %+v for %d bytes of frames", s, total)
		}
		if n := int64(len(b)); header != nil && len(frames) > 0 && (n-total-gaps-s.Torn)%512 != 0 {
			t.Fatalf("%d bytes are not accounted for by %+v", n, s)
		}
	})
}
