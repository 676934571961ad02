package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packers are the ways in which a file may come packed.
var packers = map[string]func(io.Writer) io.WriteCloser{
	"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			panic(err)
		}
		return z
	},
}

func packed(t testing.TB, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := packers[how](&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// both reads a file as a whole and part by part, which must agree.
func both(t *testing.T, path string) (*Table, error) {
	t.Helper()
	whole, err := Read(path, ReadOptions{})
	parts, other := sourceTable(t, path)
	if fmt.Sprint(err) != fmt.Sprint(other) {
		t.Fatalf("as a whole: %v\npart by part: %v", err, other)
	}
	if err == nil {
		mustEqual(t, parts, whole)
	}
	return whole, err
}

// sourceTable is a table of all that a Source passes.
func sourceTable(t *testing.T, path string) (*Table, error) {
	t.Helper()
	s, err := Open(path, ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for {
		if t, err := gatherOnce(s, nil); !errors.Is(err, ErrRetyped) {
			return t, err
		}
	}
}

// TestPacked: a packed file is read as what it holds; one that was cut, bent or
// packed twice is refused by name.
func TestPacked(t *testing.T) {
	dir := t.TempDir()
	table := Must(Floats("x", []float64{1.5, math.NaN()}), Strings("s", []string{"a", "b"}), Times("t", []int64{0, NoTime}))
	for _, ext := range []string{".csv", ".parquet", ".arrow"} {
		path := filepath.Join(dir, "table"+ext)
		if err := Write(path, table); err != nil {
			t.Fatal(err)
		}
		plain, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for how := range packers {
			file := filepath.Join(dir, "content-decides.txt")
			write := func(b []byte) {
				if err := os.WriteFile(file, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := packed(t, how, plain)
			write(b)
			got, err := both(t, file)
			if err != nil {
				t.Fatalf("%s, %s: %v", ext, how, err)
			}
			mustEqual(t, got, table)
			var e *Error
			for n := 4; n < len(b); n += 1 + len(b)/40 {
				write(b[:n])
				if _, err := both(t, file); !errors.As(err, &e) || !strings.Contains(e.Want, "is a damaged "+how+" file") {
					t.Errorf("%s, %s, cut after %d of %d bytes: %v", ext, how, n, len(b), err)
				}
			}
			bent := bytes.Clone(b)
			bent[len(bent)/2] ^= 0x55
			write(bent)
			if got, err := both(t, file); err == nil {
				t.Errorf("%s, %s: a bent file gave %v", ext, how, got)
			}
			write(packed(t, how, b))
			if _, err := both(t, file); !errors.As(err, &e) || !strings.Contains(e.Want, "twice; unpack it once") {
				t.Errorf("%s, %s, twice: %v", ext, how, err)
			}
		}
	}
}

// TestUnpacksToAFile: what is too much for memory is read from a file, which
// leaves nothing behind.
func TestUnpacksToAFile(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var text bytes.Buffer
	text.WriteString("a,b\n")
	rows := 0
	for ; text.Len() < inMemoryMost+1<<20; rows++ {
		fmt.Fprintf(&text, "%d,text %d\n", rows, rows%7)
	}
	for how := range packers {
		path := filepath.Join(dir, "big."+how)
		if err := os.WriteFile(path, packed(t, how, text.Bytes()), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.scratch) != 1 || s.NumRows() != rows {
			t.Errorf("%s: %d rows, expected %d from a file", how, s.NumRows(), rows)
		}
		got, err := gatherOnce(s, nil)
		if err != nil || got.Column("a").Floats[rows-1] != float64(rows-1) || got.Column("b").Text(rows-1) != fmt.Sprintf("text %d", (rows-1)%7) {
			t.Errorf("%s: the last row differs: %v", how, err)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", how, left, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		t.Setenv("TMPDIR", filepath.Join(tmp, "gone"))
		if _, err := Open(path, ReadOptions{}); err == nil || !strings.Contains(err.Error(), "write what is unpacked") {
			t.Errorf("%s without a folder for temporary files: %v", how, err)
		}
		t.Setenv("TMPDIR", tmp)
	}
}

// TestBomb: a file that unpacks to very much more than it is stops early.
func TestBomb(t *testing.T) {
	var sink int64
	p := &packing{name: "gzip", done: "gzipped", open: func(io.Reader) (io.Reader, func(), error) { return endless{}, func() {}, nil }}
	err := p.unpack(writerFunc(func(b []byte) (int, error) { sink += int64(len(b)); return len(b), nil }), nil, 1<<20)
	if !errors.Is(err, errBomb) || sink > bombBytes+8<<20 || !strings.Contains(p.fault("f.gz", err).Error(), "more than 500 times its size") {
		t.Errorf("after %d bytes: %v", sink, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
