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
