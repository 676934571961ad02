package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
)

// decodeAny is Read for bytes.
func decodeAny(b []byte) (*Table, error) {
	if bytes.HasPrefix(b, []byte("PAR1")) {
		return DecodeParquet("x", b, ReadOptions{})
	}
	return DecodeArrow("x", b, ReadOptions{})
}

// survive decodes b, which may be damaged: the outcome must be a table whose
// columns agree in length, or an *Error, at the cost of bounded memory.
func survive(t testing.TB, b []byte, decode func([]byte) (*Table, error)) (ok bool) {
	t.Helper()
	const most = 256 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := decode(b)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > most {
		t.Errorf("decoding %d bytes allocated %d MB", len(b), used>>20)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Want == "" || got != nil {
			t.Errorf("got %v and error %v (%T), want an *Error alone", got, err, err)
		}
		return false
	}
	for _, c := range got.Columns() {
		if c.Len() != got.NumRows() {
			t.Errorf("column %q has %d rows of %d", c.Name, c.Len(), got.NumRows())
		}
		for _, k := range c.Codes {
			if int(k) >= len(c.Dict) {
				t.Errorf("column %q: code %d of %d", c.Name, k, len(c.Dict))
			}
		}
	}
	return true
}

// samples are files of all encodings.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range glob(t, "testdata/small/*", 44) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = b
	}
	own := long().Slice(0, 500)
	var err error
	if files["own.parquet"], err = EncodeParquet(own); err != nil {
		t.Fatal(err)
	}
	if files["own.arrow"], err = EncodeArrow(own); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTruncated(t *testing.T) {
	for name, b := range samples(t) {
		step := max(len(b)/50, 1)
		for n := 4; n < len(b); n += step {
			if survive(t, b[:n:n], decodeAny) {
				t.Errorf("%s: %d of %d bytes read as a table", name, n, len(b))
			}
		}
		for n := len(b) - 20; n < len(b); n++ {
			if survive(t, b[:n:n], decodeAny) {
				t.Errorf("%s: %d of %d bytes read as a table", name, n, len(b))
			}
		}
	}
}

func TestFlippedBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, b := range samples(t) {
		for range 20 {
			bad := bytes.Clone(b)
			for range 1 + rng.IntN(3) {
				// The ends hold the metadata, where damage does most.
				at := rng.IntN(len(bad))
				switch rng.IntN(3) {
				case 0:
					at = max(len(bad)-1-rng.IntN(3000), 0)
				case 1:
					at = rng.IntN(min(len(bad), 600))
				}
				bad[at] ^= byte(1 + rng.IntN(255))
			}
			survive(t, bad, decodeAny)
		}
	}
}

// TestEveryMetadataByte sets each byte of the metadata of small files to
// two values that make lengths great or negative.
func TestEveryMetadataByte(t *testing.T) {
	files := samples(t)
	for _, name := range []string{"own.parquet", "own.arrow", "holes-view.arrow", "holes-int96.parquet"} {
		b := files[name]
		for _, span := range [][2]int{{0, min(500, len(b))}, {max(len(b)-600, 0), len(b)}} {
			for at := span[0]; at < span[1]; at++ {
				for _, v := range []byte{0xff, b[at] ^ 0x80} {
					bad := bytes.Clone(b)
					bad[at] = v
					survive(t, bad, decodeAny)
				}
			}
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	files := samples(t)
	parquet, arrow, stream := files["own.parquet"], files["own.arrow"], files["plain-lz4.arrow"]
	longFooter := bytes.Clone(parquet)
	binary.LittleEndian.PutUint32(longFooter[len(longFooter)-8:], 1<<31)
	encrypted := bytes.Clone(parquet)
	copy(encrypted[len(encrypted)-4:], "PARE")
	arrowFooter := bytes.Clone(arrow)
	binary.LittleEndian.PutUint32(arrowFooter[len(arrowFooter)-10:], 1<<31)
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"Parquet, empty", []byte("PAR1"), "does not start as a Parquet file"},
		{"Parquet, cut", parquet[:len(parquet)-1], "may be cut short"},
		{"Parquet, long footer", longFooter, "footer is longer than the file"},
		{"Parquet, encrypted", encrypted, "is an encrypted Parquet file"},
		{"Arrow, cut", arrow[:len(arrow)-1], "may be cut short"},
		{"Arrow, long footer", arrowFooter, "footer is longer than the file"},
		{"stream, cut at a message", stream[:len(stream)-8], "the end marker is missing"},
		{"stream, cut in a message", stream[:len(stream)/2], "runs over the end"},
		{"stream, something follows", append(bytes.Clone(stream), "more"...), "4 bytes follow the end"},
	}
	for _, tt := range tests {
		_, err := decodeAny(tt.b)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: %v, want an *Error with %q", tt.name, err, tt.want)
		}
	}
}

// TestRowsAreCounted checks that pages must hold the rows that the file says,
// and columns too.
func TestRowsAreCounted(t *testing.T) {
	b := samples(t)["own.parquet"]
	r, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.MetaData().Schema.NumColumns() {
		m, err := r.MetaData().RowGroup(0).ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		chunk, err := (&parquetFile{content: content{size: int64(len(b)), whole: b}}).chunk(m, &scratch{})
		if err != nil {
			t.Fatal(err)
		}
		for rows, ok := range map[int64]bool{499: false, 500: true, 501: false} {
			if err := checkPages(chunk, rows, m.Compression()); (err == nil) != ok {
				t.Errorf("column %d, %d rows: %v", i, rows, err)
			}
		}
		if err := checkPages(chunk[:len(chunk)-1], 500, m.Compression()); err == nil {
			t.Errorf("column %d: pages may run over the chunk's end", i)
		}
	}
	two := Floats("a", []float64{1, 2})
	var e *Error
	if _, err := assemble("x", []*Column{two}, 3, ReadOptions{}); !errors.As(err, &e) || e.Column != "a" {
		t.Errorf("2 rows of 3: %v", err)
	}
	if _, err := assemble("x", []*Column{two, two}, 2, ReadOptions{}); !errors.As(err, &e) || e.Column != "a" {
		t.Errorf("two columns of one name: %v", err)
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, s := range []string{
		"a,b\n1,x\n2,y\n", "\ufeffa;b\r\n1;\"x\"\"y\"\r\n", ",a\n0,1/2/2020\n", "a\r1\r2020-01-01T10:00:00+02:00\r",
		"a\tb\ntrue\tNA\n", "a|b\n9007199254740993|?\n", "\"a\nb\",c\n\"1\n\",2\n", "a,a\n", "a,b\n1\n", "\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decode := func(b []byte) (*Table, error) { return ReadCSV("x", bytes.NewReader(b), ReadOptions{}) }
		if !survive(t, b, decode) {
			return
		}
		// What was read is written such that it reads the same.
		first, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := WriteCSV(&out, first); err != nil {
			t.Fatal(err)
		}
		second, err := ReadCSV("x", &out, types(first))
		if err != nil {
			t.Fatalf("%v\n%q", err, out.Bytes())
		}
		mustEqual(t, second, first)
	})
}

func FuzzDecodeParquet(f *testing.F) { fuzzDecode(f, "PAR1") }

func FuzzDecodeArrow(f *testing.F) { fuzzDecode(f, "") }

func fuzzDecode(f *testing.F, magic string) {
	for _, b := range samples(f) {
		if bytes.HasPrefix(b, []byte("PAR1")) == (magic != "") {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if magic != "" {
			survive(t, b, func(b []byte) (*Table, error) { return DecodeParquet("x", b, ReadOptions{}) })
		} else {
			survive(t, b, func(b []byte) (*Table, error) { return DecodeArrow("x", b, ReadOptions{}) })
		}
	})
}
