package predlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// sealedFile is a Parquet file of a day. Its name is <name>.<sum>.parquet,
// sum being the first 16 hex digits of the SHA-256 of its bytes. The name is
// that of its segment or batch, or, of a merged file, "merged-<digest>".
type sealedFile struct {
	day, name, sum, path string
}

const (
	mergedPrefix = "merged-"
	batchPrefix  = "batch-"
	sumDigits    = 16
)

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:sumDigits]
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:sumDigits]
}

// parseSealedName is false for files that this package did not name.
func parseSealedName(day, path string) (sealedFile, bool) {
	base, ok := strings.CutSuffix(filepath.Base(path), parquetExt)
	name, sum, found := strings.Cut(base, ".")
	if !ok || !found || len(sum) != sumDigits || name == "" {
		return sealedFile{}, false
	}
	return sealedFile{day: day, name: name, sum: sum, path: path}, true
}

// listDays lists the days of a log that fall into [from, to) in order.
func listDays(dir string, from, to int64) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("list log: %w", err)
	}
	var days []string
	for _, e := range entries {
		d, ok := cutDay(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		if start, _ := dayStart(d); start < to && start > from-microsPerDay {
			days = append(days, d)
		}
	}
	return days, nil
}

// listSealed lists the sealed files of a day by name. foreign are the other
// Parquet files in its folder.
func listSealed(dir, day string) (files []sealedFile, foreign []string, err error) {
	folder := dayDir(dir, day)
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("list log: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if f, ok := parseSealedName(day, path); ok {
			files = append(files, f)
		} else if filepath.Ext(path) == parquetExt && !durable.IsTemp(e.Name()) {
			foreign = append(foreign, path)
		}
	}
	return files, foreign, nil
}

// errDamaged says that a sealed file's bytes are not those that its name
// promises.
var errDamaged = errors.New("its bytes do not match the checksum in its name")

// readSealed reads a sealed file. The checksum is compared first, so that no
// damaged byte reaches the Parquet decoder.
func readSealed(f sealedFile, o table.ReadOptions) (*table.Table, error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return decodeSealed(f, b, o)
}

// decodeSealed is readSealed of a file whose bytes are b.
func decodeSealed(f sealedFile, b []byte, o table.ReadOptions) (*table.Table, error) {
	if checksum(b) != f.sum {
		return nil, fmt.Errorf("read %s: %w", f.path, errDamaged)
	}
	t, err := table.DecodeParquet(f.path, b, o)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if c := t.Column(columnSegment); c == nil || c.Type != table.String {
		return nil, fmt.Errorf("read %s: no column %s", f.path, columnSegment)
	}
	return t, nil
}

// publishSealed writes t, which has a log_segment column, as a file of day,
// and reads it back.
func publishSealed(disk durable.Disk, dir, day, name string, t *table.Table) (sealedFile, error) {
	var buf bytes.Buffer
	w, err := table.NewParquetWriter(&buf, t)
	if err == nil {
		err = w.Write(t)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return sealedFile{}, fmt.Errorf("encode %s: %w", name, err)
	}
	var sums table.Sums
	if err := sums.Add(t); err != nil {
		return sealedFile{}, fmt.Errorf("encode %s: %w", name, err)
	}
	return publishBytes(disk, dir, day, name, buf.Bytes(), &sums)
}

// publishBytes publishes a file of the given sums, once what it holds was
// decoded and compared with them, and compares what is on disk with b.
func publishBytes(disk durable.Disk, dir, day, name string, b []byte, sums *table.Sums) (sealedFile, error) {
	back, err := table.ParquetSums(name, b)
	if err != nil {
		return sealedFile{}, fmt.Errorf("verify %s: %w", name, err)
	}
	if what := sums.Differs(back); what != "" {
		return sealedFile{}, fmt.Errorf("verify %s: %s", name, what)
	}
	f := sealedFile{day: day, name: name, sum: checksum(b)}
	f.path = filepath.Join(dayDir(dir, day), name+"."+f.sum+parquetExt)
	if err := errors.Join(disk.MkdirAll(filepath.Dir(f.path)), disk.SyncDir(dir)); err != nil {
		return sealedFile{}, fmt.Errorf("publish %s: %w", name, err)
	}
	if err := disk.WriteFile(f.path, b); err != nil {
		return sealedFile{}, fmt.Errorf("publish %s: %w", name, err)
	}
	if err := sameOnDisk(f.path, b); err != nil {
		return sealedFile{}, fmt.Errorf("verify %s: %w", f.path, err)
	}
	return f, nil
}

// sameOnDisk compares a file with what was written to it.
func sameOnDisk(path string, b []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := f.Read(buf)
		if n > len(b) || !bytes.Equal(buf[:n], b[:n]) {
			return errDamaged
		}
		b = b[n:]
		switch {
		case err == io.EOF && len(b) == 0:
			return nil
		case err == io.EOF:
			return errDamaged
		case err != nil:
			return err
		}
	}
}

// constant is a String column of n times the same text.
func constant(name, text string, n int) *table.Column {
	return &table.Column{Name: name, Type: table.String, Codes: make([]int32, n), Dict: []string{text}}
}

// splitDays groups row numbers by the UTC day of their time.
func splitDays(times []int64) map[string][]int {
	days := map[string][]int{}
	var name string
	var from int64 = -1
	for i, at := range times {
		if from < 0 || at < from || at >= from+microsPerDay {
			name = day(at)
			from, _ = dayStart(name)
		}
		days[name] = append(days[name], i)
	}
	return days
}

// sortedKeys are the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
