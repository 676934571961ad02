package predlog

import (
	"fmt"
	"strconv"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// WriteActuals adds a table of ground truth to the actuals log in dir. t has
// the columns prediction_id, actual (of any type; it is kept as text) and
// actual_time, when it was received; source names where it came from.
// Further columns are dropped, and so are rows without id or value. Rows are
// joined by id with what is in the prediction log whenever that is read.
//
// contentHash stands for what was taken in, such as the hash of a file:
// actuals of a hash that is in the log are not written again, and already is
// true. n is the number of rows in the log from this content.
func WriteActuals(dir string, t *table.Table, source, contentHash string) (n int, already bool, err error) {
	return writeActuals(durable.Disk{}, dir, t, source, contentHash)
}

func writeActuals(disk durable.Disk, dir string, t *table.Table, source, contentHash string) (n int, already bool, err error) {
	id, value, at := t.Column(ColumnID), t.Column(ColumnActual), t.Column(ColumnActualTime)
	for name, c := range map[string]*table.Column{ColumnID: id, ColumnActual: value, ColumnActualTime: at} {
		if c == nil {
			return 0, false, fmt.Errorf("write actuals: column %s is missing", name)
		}
	}
	if contentHash == "" {
		return 0, false, fmt.Errorf("write actuals: no content hash")
	}
	var rows []int
	for i := range t.NumRows() {
		if !id.Missing(i) && !value.Missing(i) {
			rows = append(rows, i)
		}
	}
	if at.Type != table.Time {
		return 0, false, fmt.Errorf("write actuals: column %s is %s, expected time", ColumnActualTime, at.Type)
	}
	kept, err := table.New(
		id.Take(rows).AsText(),
		value.Take(rows).AsText(),
		at.Take(rows),
		constant(ColumnActualSource, source, len(rows)),
	)
	if err != nil {
		return 0, false, fmt.Errorf("write actuals: %w", err)
	}
	already = true
	err = inChunks(kept.NumRows(), func(chunk, lo, hi int) error {
		name := digest(contentHash)
		if chunk > 0 {
			name = digest(contentHash, strconv.Itoa(chunk))
		}
		there, err := publishBatch(disk, dir, actuals, batchPrefix+name, kept.Slice(lo, hi))
		already = already && there
		return err
	})
	return kept.NumRows(), already && err == nil, err
}
