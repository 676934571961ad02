package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// WriteBatch adds a table of predictions, with the columns that [Read]
// returns, to the log in dir. They become Parquet at once. source says where
// they came from and is kept with them.
//
// Writing the same batch again, that is the same ids by the same model
// versions in the same order, changes nothing, whatever its times; so a
// retry after any error is safe. No lock is taken: batches may be written
// while a server logs. A large batch becomes several files, which a crash may
// leave some of until the retry.
func WriteBatch(dir string, preds *table.Table, source string) error {
	return inChunks(preds.NumRows(), func(_, lo, hi int) error {
		_, err := writeBatch(durable.Disk{}, dir, predictions, preds.Slice(lo, hi), source)
		return err
	})
}

// chunkRows bounds the rows of one file of a batch: a file is read as a whole,
// so that it bounds the memory of whoever reads the log.
const chunkRows = 512 << 10

// inChunks calls write for rows [lo, hi) of n, chunk after chunk, once for no
// rows.
func inChunks(n int, write func(chunk, lo, hi int) error) error {
	for chunk := 0; chunk == 0 || chunk*chunkRows < n; chunk++ {
		if err := write(chunk, chunk*chunkRows, min(n, (chunk+1)*chunkRows)); err != nil {
			return err
		}
	}
	return nil
}

// batchOf names a batch of predictions after its ids and versions.
func batchOf(preds *table.Table) (string, error) {
	for _, name := range []string{ColumnID, ColumnVersion} {
		if c := preds.Column(name); c == nil || c.Type != table.String {
			return "", fmt.Errorf("write batch: column %s of texts is missing", name)
		}
	}
	id, version := preds.Column(ColumnID), preds.Column(ColumnVersion)
	parts := make([]string, 0, 2*preds.NumRows())
	for i := range preds.NumRows() {
		parts = append(parts, id.Text(i), version.Text(i))
	}
	return batchPrefix + digest(parts...), nil
}

// writeBatch publishes predictions and reports whether they were there.
func writeBatch(disk durable.Disk, dir string, k kind, t *table.Table, source string) (already bool, err error) {
	name, err := batchOf(t)
	if err != nil {
		return false, err
	}
	t, err = t.Drop(columnSegment).With(constant(columnSource, source, t.NumRows()))
	if err != nil {
		return false, fmt.Errorf("write batch: %w", err)
	}
	return publishBatch(disk, dir, k, name, t)
}

// publishBatch writes the rows of t under a batch's name, unless all of them
// are there.
func publishBatch(disk durable.Disk, dir string, k kind, name string, t *table.Table) (already bool, err error) {
	times := t.Column(k.timeColumn())
	if times == nil || times.Type != table.Time {
		return false, fmt.Errorf("write batch: column %s of times is missing", k.timeColumn())
	}
	for i, at := range times.Times {
		if err := checkTime(at); err != nil {
			return false, fmt.Errorf("write batch: row %d: %w", i+1, err)
		}
	}
	earlier, rows, err := findBatch(dir, name)
	if err != nil {
		return false, err
	}
	if t.NumRows() == 0 || rows == t.NumRows() {
		// The attempt that wrote them may have died before they were durable.
		for _, f := range earlier {
			if err := errors.Join(disk.SyncDir(filepath.Dir(f.path)), disk.SyncDir(dir)); err != nil {
				return false, fmt.Errorf("write batch: %w", err)
			}
		}
		return t.NumRows() > 0, nil
	}
	if t, err = t.With(constant(columnSegment, name, t.NumRows())); err != nil {
		return false, fmt.Errorf("write batch: %w", err)
	}
	days := splitDays(times.Times)
	var written []string
	for _, d := range sortedKeys(days) {
		f, err := publishSealed(disk, dir, d, name, pack(t.Take(days[d])))
		if err != nil {
			return false, err
		}
		written = append(written, f.path)
	}
	// An attempt that was cut short may have had other times.
	for _, f := range earlier {
		if !slices.Contains(written, f.path) {
			if err := disk.Remove(f.path); err != nil {
				return false, fmt.Errorf("write batch: %w", err)
			}
		}
	}
	return false, nil
}

// findBatch finds the files of a batch, and the rows in those that are whole.
func findBatch(dir, name string) (files []sealedFile, rows int, err error) {
	days, err := listDays(dir, 0, maxTime)
	if err != nil {
		return nil, 0, err
	}
	for _, d := range days {
		all, _, err := listSealed(dir, d)
		if err != nil {
			return nil, 0, err
		}
		for _, f := range all {
			if f.name != name {
				continue
			}
			files = append(files, f)
			t, err := readSealed(f, table.ReadOptions{Columns: []string{columnSegment}})
			if err == nil {
				rows += t.NumRows()
			} else if errors.Is(err, fs.ErrNotExist) {
				return nil, 0, err
			}
		}
	}
	return files, rows, nil
}
