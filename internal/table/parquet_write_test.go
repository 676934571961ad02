package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
)

// TestParquetLayout looks at what a reader cannot see: row groups, which
// columns have a dictionary, compression and statistics.
func TestParquetLayout(t *testing.T) {
	const rows = groupRows + 1
	random, few := make([]float64, rows), make([]float64, rows)
	times, texts, ids := make([]int64, rows), make([]string, rows), make([]string, rows)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range rows {
		random[i] = rng.Float64()
		few[i] = float64(rng.IntN(100))
		times[i] = int64(i) * second
		texts[i] = fmt.Sprint("level", i%5)
		ids[i] = fmt.Sprint("id", i)
	}
	b, err := EncodeParquet(Must(
		Floats("random", random), Floats("few.values", few), Times("t", times), Strings("texts", texts), Strings("ids", ids)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if r.NumRowGroups() != 2 || r.MetaData().RowGroup(0).NumRows() != groupRows || r.NumRows() != rows {
		t.Errorf("%d row groups, the first of %d rows", r.NumRowGroups(), r.MetaData().RowGroup(0).NumRows())
	}
	for i, dictionary := range []bool{false, true, false, true, false} {
		m, err := r.MetaData().RowGroup(0).ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(m.Encodings(), parquet.Encodings.RLEDict); got != dictionary {
			t.Errorf("%s has a dictionary: %t, want %t", m.PathInSchema(), got, dictionary)
		}
		stats, err := m.Statistics()
		if err != nil || m.Compression() != compress.Codecs.Snappy || stats == nil || !stats.HasMinMax() || stats.NullCount() != 0 {
			t.Errorf("%s: %s, statistics %v, %v", m.PathInSchema(), m.Compression(), stats, err)
		}
	}
}

func TestRuns(t *testing.T) {
	tests := []struct {
		name              string
		b                 []byte
		width             int
		most, limit       uint64
		wantSeen, wantOne uint64
		bad               bool
	}{
		{"a run", []byte{5 << 1, 3}, 2, 5, 4, 5, 5, false},
		{"a run beyond the limit", []byte{5 << 1, 3}, 2, 5, 3, 5, 5, true},
		{"a run longer than asked for", []byte{200, 1, 1}, 1, 7, 2, 7, 7, false},
		{"a run of zeros", []byte{5 << 1, 0}, 1, 5, 2, 5, 0, false},
		{"a wide run", []byte{2 << 1, 0, 1}, 9, 2, 257, 2, 2, false},
		{"a wide run beyond the limit", []byte{2 << 1, 0, 1}, 9, 2, 256, 2, 2, true},
		{"no bits", []byte{8 << 1}, 0, 8, 1, 8, 0, false},
		{"packed", []byte{1<<1 | 1, 0b1011_0110}, 1, 8, 2, 8, 5, false},
		{"packed, not all asked for", []byte{1<<1 | 1, 0b1011_0110}, 1, 5, 2, 5, 3, false},
		{"packed, padding cut off", []byte{4<<1 | 1, 0xff, 0xff}, 1, 20, 2, 16, 16, false},
		{"two runs", []byte{3 << 1, 1, 1<<1 | 1, 1}, 1, 9, 2, 9, 4, false},
		{"short", []byte{3 << 1, 1}, 1, 9, 2, 3, 3, false},
		{"cut within a run", []byte{3 << 1}, 1, 3, 2, 3, 0, true},
		{"empty", nil, 1, 3, 2, 0, 0, false},
	}
	for _, tt := range tests {
		c := compact{b: tt.b}
		seen, ones := c.runs(tt.width, tt.most, tt.limit)
		if c.bad != tt.bad || !tt.bad && (seen != tt.wantSeen || tt.width == 1 && ones != tt.wantOne) {
			t.Errorf("%s: %d seen, %d ones, bad %t", tt.name, seen, ones, c.bad)
		}
	}
}

func TestDeltas(t *testing.T) {
	// Blocks of 8 in 1 part: 3 numbers that begin with 0; the least delta, the
	// width of 1 bit, 8 bits.
	run := []byte{8, 1, 3, 0, 0, 1, 0xff}
	tests := []struct {
		name    string
		b       []byte
		present uint64
		bad     bool
	}{
		{"whole", run, 3, false},
		{"fewer than present", run, 4, true},
		{"more than present", run, 2, true},
		{"cut", run[:6], 3, true},
		{"cut before the widths", run[:5], 3, true},
		{"one", []byte{8, 1, 1, 0}, 1, false},
		{"none", nil, 0, false},
		{"none, written out", []byte{8, 1, 0, 0}, 0, false},
		{"no parts", []byte{8, 0, 1, 0}, 1, true},
		{"more parts than numbers", []byte{8, 9, 1, 0}, 1, true},
		{"a great block", []byte{0xff, 0xff, 0xff, 1, 1, 1, 0}, 1, true},
	}
	for _, tt := range tests {
		c := compact{b: tt.b}
		if c.deltas(tt.present); c.bad != tt.bad {
			t.Errorf("%s: bad %t, want %t", tt.name, c.bad, tt.bad)
		}
	}
}
