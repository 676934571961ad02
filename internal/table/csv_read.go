package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"unicode/utf8"
)

// ReadCSV reads a CSV file from r; name stands for it in errors. The
// delimiter, the line ends and the types of columns are found from the whole
// of the data, which is held in memory. A file without rows is a table of 0
// rows whose columns, unless fixed, are Float. docs/format/tables.md says what
// is taken in.
func ReadCSV(name string, r io.Reader, o ReadOptions) (*Table, error) {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return decodeCSV(name, b.Bytes(), o)
}

// decodeCSV reads data, to which it may append a line end.
//
// Every pass reads the file's rows once, in parallel over pieces. The first
// one parses each column in its likeliest type; a column that turned out to be
// of a later type is parsed again in the next pass. As types only ever move
// forward, the type found is the first that fits all values, and there are at
// most as many passes as types.
func decodeCSV(name string, data []byte, o ReadOptions) (*Table, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := checkText(name, data); err != nil {
		return nil, err
	}
	data = endLine(data)
	f := &csvFile{name: name, data: data, delim: findDelimiter(data)}
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	keep, err := o.keep(name, f.names)
	if err != nil {
		return nil, err
	}
	pieces := f.split(runtime.GOMAXPROCS(0))
	cols := make([]*Column, len(f.names))
	plan := make([]readPlan, len(f.names))
	for i, col := range f.names {
		t, fixed := o.Types[col]
		if !fixed {
			t = Float
		}
		plan[i] = readPlan{read: keep[i], start: t, fixed: fixed}
	}
	for again := true; again; {
		parts, err := f.pass(pieces, plan)
		if err != nil {
			return nil, err
		}
		again = settle(parts, plan, cols)
	}
	var kept []*Column
	for _, c := range cols {
		if c != nil {
			kept = append(kept, c)
		}
	}
	return New(kept...)
}

// readPlan says what a pass does with a column.
type readPlan struct {
	read  bool // else skip it
	start Type // the type to begin with
	fixed bool // the type is the caller's: a value that does not fit is an error
}

// pass reads all rows of f by plan, and returns one builder per column for
// each piece. The error is that of the first piece with one.
func (f *csvFile) pass(pieces []int, plan []readPlan) ([][]builder, error) {
	n := len(pieces) - 1
	parts := make([][]builder, n)
	faults := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s := f.scan(pieces[i], pieces[i+1])
			parts[i] = f.newBuilders(plan, pieces[i], pieces[i+1])
			faults[i] = s.rows(parts[i])
		})
	}
	wg.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, f.locate(err)
		}
	}
	return parts, nil
}

// settle joins the parts of every column whose type is now known and takes
// the column off the plan. It reports whether columns remain.
func settle(parts [][]builder, plan []readPlan, cols []*Column) (remain bool) {
	for i := range plan {
		p := &plan[i]
		if !p.read {
			continue
		}
		t, whole := p.start, true
		for _, part := range parts {
			t = max(t, part[i].typ)
		}
		for _, part := range parts {
			whole = whole && part[i].as(t)
		}
		if p.start = t; !whole {
			remain = true
			continue
		}
		p.read = false
		cols[i] = join(parts, i)
	}
	return remain
}

// join makes one column of the parts of column i, which have one type.
func join(parts [][]builder, i int) *Column {
	c := parts[0][i].column()
	if len(parts) == 1 {
		return c
	}
	same := make([]*Table, len(parts))
	for k, part := range parts {
		same[k] = Must(part[i].column())
	}
	t, err := Concat(same...)
	if err != nil {
		panic(err) // settle gave all parts one type
	}
	return t.cols[0]
}

// csvFile is a CSV file in memory. data is empty or ends with a line end.
type csvFile struct {
	name  string
	data  []byte
	delim byte
	names []string
	body  int // where the first row starts
}

// checkText refuses what is no UTF-8 text.
func checkText(name string, data []byte) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Error{File: name, Line: 1, Want: "is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"}
	}
	if err := checkBytes(name, data); err != nil {
		return err
	}
	return nil
}

// checkBytes is checkText for data from amid a file.
func checkBytes(name string, data []byte) *Error {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return &Error{File: name, Line: lineAt(data, i), Want: "has a NUL byte; it is no text file, or is damaged"}
	}
	if utf8.Valid(data) {
		return nil
	}
	i := 0
	for {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		i += size
	}
	return &Error{File: name, Line: lineAt(data, i),
		Want: fmt.Sprintf("byte 0x%02X is not UTF-8; if the file is Latin-1, convert it (iconv -f LATIN1 -t UTF-8)", data[i])}
}

// lineAt is the 1-based line that offset i lies in.
func lineAt(data []byte, i int) int {
	before := data[:i]
	n := bytes.Count(before, []byte("\n")) + bytes.Count(before, []byte("\r")) - bytes.Count(before, []byte("\r\n"))
	if bytes.HasSuffix(before, []byte("\r")) && i < len(data) && data[i] == '\n' {
		n--
	}
	return n + 1
}

// fault is an error at an offset of the data.
type fault struct {
	at     int
	column int // -1 when it concerns the line
	value  string
	want   string
}

func (e *fault) Error() string { return e.want }

// locate turns a fault into an *Error.
func (f *csvFile) locate(err error) error {
	var e *fault
	if !errors.As(err, &e) {
		return err
	}
	out := &Error{File: f.name, Line: lineAt(f.data, e.at), Value: e.value, Want: e.want}
	if e.column >= 0 {
		out.Column = f.names[e.column]
	}
	return out
}

// readHeader reads and checks the names of the columns.
func (f *csvFile) readHeader() error {
	s := f.scan(0, len(f.data))
	if !s.skipBlank() {
		return &Error{File: f.name, Want: "is empty; expected a header line that names the columns"}
	}
	start := s.pos
	for {
		b, quoted, err := s.field()
		if err != nil {
			return f.locate(err)
		}
		if !quoted {
			b = trim(b)
		}
		f.names = append(f.names, string(b))
		if !s.next() {
			break
		}
	}
	f.body = s.pos
	line := lineAt(f.data, start)
	if looksLikeData(f.names) {
		return &Error{File: f.name, Line: line, Value: f.names[0],
			Want: "expected a header line that names the columns; this line holds numbers only"}
	}
	if f.names[0] == "" && len(f.names) > 1 {
		f.names[0] = "unnamed_0"
	}
	seen := make(map[string]int, len(f.names))
	for i, name := range f.names {
		if name == "" {
			return &Error{File: f.name, Line: line, Want: fmt.Sprintf("column %d of %d has no name", i+1, len(f.names))}
		}
		if first, ok := seen[name]; ok {
			return &Error{File: f.name, Line: line, Column: name,
				Want: fmt.Sprintf("the name stands twice in the header, for columns %d and %d", first+1, i+1)}
		}
		seen[name] = i
	}
	return nil
}

// looksLikeData reports whether a header consists of numbers that are no
// numbering (0, 1, 2… or 1, 2, 3…) of the columns.
func looksLikeData(names []string) bool {
	numbered := true
	first := 0
	for i, name := range names {
		if i == 0 && name == "" && len(names) > 1 { // an index without a name
			first = 1
			continue
		}
		if _, _, ok := parseFloat([]byte(name)); !ok {
			return false
		}
		start := strconv.Itoa(i - first)
		numbered = numbered && (name == start || name == strconv.Itoa(i-first+1))
	}
	return !numbered
}

// split cuts the rows into at most n pieces that end with a row; the result
// holds the n+1 edges. A quote may hold a line end, so a file that has quotes
// stays whole, as does a small one.
func (f *csvFile) split(n int) []int {
	const small = 1 << 20
	rows := f.data[f.body:]
	edges := []int{f.body}
	if bytes.IndexByte(rows, '"') < 0 {
		size := max(small, len(rows)/n+1)
		for at := f.body + size; at < len(f.data); at = edges[len(edges)-1] + size {
			end := bytes.IndexByte(f.data[at:], '\n')
			if end < 0 {
				break
			}
			edges = append(edges, at+end+1)
		}
	}
	if last := edges[len(edges)-1]; last < len(f.data) || len(edges) == 1 {
		edges = append(edges, len(f.data))
	}
	return edges
}
