package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/healml/healml/internal/durable"
)

// Error locates a fault in a data file.
type Error struct {
	File   string
	Line   int // 1-based line (CSV) or row (Parquet, Arrow); 0 when not known
	Column string
	Value  string
	Want   string // what was expected, or what is wrong
}

// Error reads FILE:LINE: column "C": value "V": WANT, without the parts that
// are not known. A long value is cut short.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, ": column %q", e.Column)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, ": value %q", shorten(e.Value))
	}
	b.WriteString(": ")
	b.WriteString(e.Want)
	return strings.TrimPrefix(b.String(), ": ")
}

// shorten cuts s to at most 60 bytes, at a character's edge.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// ReadOptions says how to read a file. The zero value infers everything.
type ReadOptions struct {
	// Columns, if not nil, names the columns to keep, which come in the
	// file's order; a name that the file lacks is an error unless Optional.
	Columns  []string
	Optional bool
	// Loose names columns of texts that hardly ever come twice, such as ids.
	// In a Parquet file read by [DecodeParquet] they are not looked up, which
	// takes most of the time: their Dict may then list a text twice.
	Loose []string
	// Types fixes the type of a column; a value that does not fit is an
	// *Error. Names that the file lacks are ignored. The type of other
	// columns is the file's own (Parquet, Arrow) or, in CSV, the first of
	// Float, Bool, Time and String that fits every value that is not missing
	// (docs/format/tables.md).
	Types map[string]Type
	// Bad is how many rows of CSV may be set aside, and takes them; nil: none.
	Bad *BadRows
}

// keep reports which of names are asked for.
func (o ReadOptions) keep(file string, names []string) ([]bool, error) {
	kept := make([]bool, len(names))
	if o.Columns == nil {
		for i := range kept {
			kept[i] = true
		}
		return kept, nil
	}
	for _, want := range o.Columns {
		i := slices.Index(names, want)
		switch {
		case i >= 0:
			kept[i] = true
		case !o.Optional:
			return nil, &Error{File: file, Column: want, Want: "is missing; the file has " + list(names)}
		}
	}
	return kept, nil
}

// list quotes names, at most a dozen of them.
func list(names []string) string {
	const most = 12
	quoted := make([]string, min(len(names), most))
	for i := range quoted {
		quoted[i] = fmt.Sprintf("%q", names[i])
	}
	s := strings.Join(quoted, ", ")
	if n := len(names) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// format is what a file's first bytes say that it holds.
type format int

const (
	formatCSV format = iota
	formatParquet
	formatArrow
	formatGzip
	formatZstd
)

func detect(b []byte) format {
	switch {
	case bytes.HasPrefix(b, []byte("PAR1")):
		return formatParquet
	case bytes.HasPrefix(b, []byte(arrowMagic)), bytes.HasPrefix(b, []byte("\xff\xff\xff\xff")):
		return formatArrow
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return formatGzip
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		return formatZstd
	}
	return formatCSV
}

// Read reads a CSV, Parquet or Arrow IPC file. The content decides, not the
// name; any of them may be packed with gzip or zstd. Path may stand for several,
// as in [Open]. Faults in the data are an *Error.
func Read(path string, o ReadOptions) (*Table, error) {
	files, err := Files(path)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 || files[0] != path {
		s, err := openMany(path, files, o)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.table()
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	if p := packingOf(detect(b)); p != nil {
		if b, err = p.unpackWhole(path, b); err != nil {
			return nil, err
		}
		if p := packingOf(detect(b)); p != nil {
			return nil, p.twice(path)
		}
	}
	switch detect(b) {
	case formatParquet:
		return DecodeParquet(path, b, o)
	case formatArrow:
		return DecodeArrow(path, b, o)
	}
	if o.Bad.allows() {
		var sound bytes.Buffer
		if err := o.Bad.sift(&sound, path, inMemory(b), o); err != nil {
			return nil, err
		}
		b = sound.Bytes()
	}
	return decodeCSV(path, b, o)
}

// ErrFormat says that a file name's extension names no format to write.
var ErrFormat = errors.New("the extension names no format")

// Write writes t to path, atomically. The extension names the format: .csv,
// .parquet or .arrow.
func Write(path string, t *Table) error {
	var encode func(*Table) ([]byte, error)
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv":
		return durable.Publish(path, func(w io.Writer) error { return WriteCSV(w, t) })
	case ".parquet":
		encode = EncodeParquet
	case ".arrow":
		encode = EncodeArrow
	default:
		return fmt.Errorf("write table %s: %w: %q, expected .csv, .parquet or .arrow", path, ErrFormat, ext)
	}
	b, err := encode(t)
	if err != nil {
		return fmt.Errorf("write table %s: %w", path, err)
	}
	return durable.Publish(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// guard runs read and turns a panic within it, with which the Arrow library
// answers many kinds of damage, into an *Error.
func guard[T any](file string, read func() (T, error)) (out T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damaged(file, p)
		}
	}()
	return read()
}

// inParallel calls do with 0 to n−1, on all processors, and waits.
func inParallel(n int, do func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// readColumns reads the named columns in parallel. The error is that of the
// first column with one, which it names.
func readColumns(file string, names []string, read func(i int) (*Column, error)) ([]*Column, error) {
	cols := make([]*Column, len(names))
	faults := make([]error, len(names))
	inParallel(len(names), func(i int) {
		cols[i], faults[i] = guard(file, func() (*Column, error) { return read(i) })
	})
	for i, err := range faults {
		var e *Error
		if errors.As(err, &e) && e.Column == "" {
			e.Column = names[i]
		}
		if err != nil {
			return nil, err
		}
	}
	return cols, nil
}

// assemble makes the table of columns read from a file that says that it has
// rows rows.
func assemble(file string, cols []*Column, rows int64, o ReadOptions) (*Table, error) {
	seen := make(map[string]bool, len(cols))
	for _, c := range cols {
		switch {
		case seen[c.Name]:
			return nil, &Error{File: file, Column: c.Name, Want: "the name stands for two columns; rename one of them"}
		case int64(c.Len()) != rows:
			return nil, &Error{File: file, Column: c.Name, Want: fmt.Sprintf("is damaged: it has %d rows, the file %d", c.Len(), rows)}
		}
		seen[c.Name] = true
	}
	cols, err := fit(file, cols, o)
	if err != nil {
		return nil, err
	}
	return New(cols...)
}

// damaged is the *Error for a file that breaks the rules of its format.
func damaged(file string, what any) *Error {
	return &Error{File: file, Want: fmt.Sprintf("is damaged: %v", what)}
}
