// Package predlog keeps the two logs from which everything that healml learns
// about a model in production follows: the prediction log and the actuals
// log, the ground truth that comes in later.
//
// A log is a directory:
//
//	lock                      held by the one process that appends
//	seal.lock                 held while segments become Parquet
//	wal/<segment>.open.seg    a segment that is being appended to
//	wal/<segment>.seg         a closed one; it never changes again
//	wal/quarantine/           damaged files, after their good rows were saved
//	date=2024-01-10/*.parquet rows of that UTC day, for good
//
// A row goes one way. [Writer.Append] encodes it into a framed segment and
// returns when it is on disk: one goroutine writes what gathered while the
// last fsync ran, so that waiting is shared and never added. [Seal] turns
// closed segments into one Parquet file a day, reads it back, and only then
// deletes the segment; [Compact] merges the small files of a day. Batch
// predictions and files of actuals become Parquet at once ([WriteBatch],
// [WriteActuals]). [Read] takes all of it together, [OpenStream] joins both
// logs file by file in bounded memory, [Erase] removes rows for good and
// proves it, and [Prune] gives up whole days.
//
// # Exactly once
//
// Every row belongs to one segment, and a sealed file names the segment of
// each of its rows in the column log_segment. A process may die between
// publishing a file and deleting what it was made from; a reader then sees
// both, and takes a segment's rows of a day from one place only: from the
// segment itself while that exists, else from one of the sealed files. The
// names of sealed files follow from their content, so that a repeated step
// writes over what its first attempt left.
//
// # Damage
//
// Frames and sealed files carry checksums (docs/format/predlog.md). Damage in
// a segment costs the rows of the frames it hits; damage in a sealed file
// costs that file. Both are reported as a [Finding] and never stop the
// reading of anything else.
package predlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
)

// The columns of the prediction log, beside predicted_<target>, p_<class> of
// each class, and the raw columns.
const (
	ColumnID      = "prediction_id"
	ColumnTime    = "prediction_time"
	ColumnVersion = "model_version"
	ColumnFlags   = "prediction_flags"
)

// KeyedTarget is the target of the layout of rows that say what came true of
// predictions that are known by their columns: such a row has these, then
// ColumnActual and ColumnActualSource as texts, and a prediction of 0 that means
// nothing.
const KeyedTarget = "key"

// The columns of the actuals log, beside [ColumnID].
const (
	ColumnActual       = "actual"
	ColumnActualTime   = "actual_time"
	ColumnActualSource = "actual_source"
)

// Columns that stand in sealed files and that Read leaves out.
const (
	columnSegment = "log_segment" // the segment or batch that the row came in with
	columnSource  = "log_source"  // what the caller of WriteBatch named
)

// Errors of Append.
var (
	// ErrBusy says that the queue is full: the disk does not keep up.
	ErrBusy = errors.New("prediction log: queue is full")
	// ErrClosed says that the writer was closed.
	ErrClosed = errors.New("prediction log: closed")
)

// Names in a log's directory.
const (
	walDir        = "wal"
	quarantineDir = "quarantine"
	lockFile      = "lock"
	sealLockFile  = "seal.lock"
	dayPrefix     = "date="
	dayLayout     = "2006-01-02"
	parquetExt    = ".parquet"
)

// kind tells the two logs apart.
type kind string

const (
	predictions kind = "predictions"
	actuals     kind = "actuals"
)

// timeColumn is the column that orders the log and says a row's day.
func (k kind) timeColumn() string {
	if k == actuals {
		return ColumnActualTime
	}
	return ColumnTime
}

// Times of rows lie in [0, maxTime): the years 1970 to 9999.
const maxTime = 253402300800 * 1_000_000

const microsPerDay = 24 * 3600 * 1_000_000

// day is the UTC day of a time in microseconds, as its folder names it.
func day(us int64) string { return time.UnixMicro(us).UTC().Format(dayLayout) }

// dayStart is the inverse of day.
func dayStart(day string) (us int64, ok bool) {
	t, err := time.Parse(dayLayout, day)
	return t.UnixMicro(), err == nil
}

func dayDir(dir, day string) string { return filepath.Join(dir, dayPrefix+day) }

// cutDay returns the day that a folder of a log stands for.
func cutDay(name string) (day string, ok bool) {
	day, ok = strings.CutPrefix(name, dayPrefix)
	if ok {
		_, ok = dayStart(day)
	}
	return day, ok
}

// checkTime rejects a time that no day folder could be named after.
func checkTime(us int64) error {
	if us < 0 || us >= maxTime {
		return fmt.Errorf("time %d µs lies outside the years 1970 to 9999", us)
	}
	return nil
}

// lockSealer takes the lock under which sealed files come and go.
func lockSealer(dir string) (*durable.FileLock, error) {
	return durable.Lock(filepath.Join(dir, sealLockFile))
}

// sealing does work on the sealed files of the log in dir under their lock. A
// log that is not there gives it nothing to do. what names the work in the
// error of a lock that is taken.
func sealing(dir, what string, work func() error) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockSealer(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return errors.Join(work(), lock.Unlock())
}
