package table

import (
	"bytes"
	"cmp"
	"errors"
	"runtime"
	"slices"
)

// csvWindow is a piece of a CSV file that ends with a row.
type csvWindow struct {
	off   int64
	size  int
	line  int  // lines before it
	row   int  // rows before it
	rows  int  // in it
	plain bool // no quotes, no carriage returns, no blank lines
}

// csvWindowSize is how much of a file is parsed at one go, in small files less, so
// that every processor has its share. A row that is longer makes a longer window.
const (
	csvWindowSize  = 2 << 20
	csvWindowLeast = 256 << 10
)

// windowFor is how much of a file of so many bytes is parsed at one go.
func windowFor(size int64) int64 {
	return max(csvWindowLeast, min(csvWindowSize, size/int64(2*runtime.GOMAXPROCS(0))))
}

// csvSource reads a CSV file window by window, as many at a time as there are
// processors.
type csvSource struct {
	content
	file    csvFile // its data are void
	plan    []readPlan
	kept    []int // numbers in the file of the Source's columns
	window  int64 // csvWindowSize but in tests
	windows []csvWindow
	slots   []csvSlot
	broken  bool // quotes do not work out
	sifted  bool // rows that are no text are taken out
}

// csvSlot is what one window is read to.
type csvSlot struct {
	data []byte
	cols []builder
}

func (s *Source) openCSV(c content, o ReadOptions) error {
	f := &csvSource{content: c, window: cmp.Or(s.window, windowFor(c.size)), file: csvFile{name: s.name}, slots: make([]csvSlot, runtime.GOMAXPROCS(0))}
	if err := f.index(); err != nil {
		return err
	}
	keep, err := o.keep(s.name, f.file.names)
	if err != nil {
		return err
	}
	for i, name := range f.file.names {
		t, fixed := o.Types[name]
		if !fixed {
			t = Float
		}
		f.plan = append(f.plan, readPlan{read: keep[i], start: t, fixed: fixed})
		if keep[i] {
			f.kept = append(f.kept, i)
			s.cols = append(s.cols, name)
		}
	}
	last := f.windows[len(f.windows)-1]
	s.rows, s.scan = last.row+last.rows, f.scan
	if f.broken {
		return f.scan(nil, func(Part) error { return nil })
	}
	f.guess()
	return nil
}

// index reads the header, checks the text and cuts the file into windows.
func (f *csvSource) index() error {
	data, err := f.readHeader()
	if err != nil {
		return err
	}
	off, line, row := int64(f.file.body), lineAt(data, f.file.body)-1, 0
	var buf []byte
	var bad *Error
	for off < f.size || len(f.windows) == 0 {
		w := csvWindow{off: off, line: line, row: row}
		for size := f.window; ; size *= 2 {
			n := min(size, f.size-off)
			b, err := f.span(off, n, buf)
			if err != nil {
				return err
			}
			if f.whole == nil {
				buf = b
			}
			last := off+n == f.size
			if data = f.cut(&w, b, last); len(data) > 0 || last {
				break
			}
		}
		if e := checkBytes(f.file.name, data); e != nil {
			e.Line += line
			if bytes.IndexByte(data, 0) >= 0 {
				return e // counts for more than bytes before that are no UTF-8
			}
			bad = cmp.Or(bad, e)
		}
		f.windows = append(f.windows, w)
		off += int64(w.size)
		line += lineAt(data, len(data)) - 1
		row += w.rows
	}
	if bad != nil {
		return bad
	}
	return nil
}

// readHeader reads the header from the start of the file, of which it takes
// as much as that needs: when there is no good header, all of it, so that the
// fault is the one of the whole. It returns what it took.
func (f *csvSource) readHeader() ([]byte, error) {
	const enough = 1 << 17 // to find the delimiter as in the whole
	for size := max(f.window, enough); ; size *= 2 {
		n := min(size, f.size)
		b, err := f.span(0, n, nil)
		if err != nil {
			return nil, err
		}
		bom := len(b)
		b = bytes.TrimPrefix(b, []byte("\ufeff"))
		bom -= len(b)
		whole := n == f.size
		if whole {
			if err := checkText(f.file.name, b); err != nil && !f.sifted {
				return nil, err
			}
			b = endLine(b)
		} else {
			b = b[:bytes.LastIndexByte(b, '\n')+1]
		}
		f.file.data, f.file.names, f.file.delim = b, nil, findDelimiter(b)
		err = f.file.readHeader()
		f.file.data = nil
		if err == nil {
			b = b[:f.file.body]
			err = checkText(f.file.name, b)
		}
		if err == nil {
			f.file.body = min(f.file.body+bom, int(f.size))
			return append(make([]byte, bom, bom+len(b)), b...), nil
		}
		if whole {
			return nil, err
		}
	}
}

// endLine appends a line end where there is none.
func endLine(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] != '\n' && b[n-1] != '\r' {
		return append(b, '\n')
	}
	return b
}

// cut makes w of the rows that b holds as a whole, and returns them. last says
// that the file ends with b.
func (f *csvSource) cut(w *csvWindow, b []byte, last bool) []byte {
	end := len(b)
	if !last {
		end = bytes.LastIndexByte(b, '\n') + 1
	}
	data := b[:end]
	w.plain = false
	switch {
	case bytes.IndexByte(data, '"') >= 0 && !f.broken:
		rows := data
		if last {
			rows = endLine(data[:end:end])
		}
		n, complete, whole := newScanner(rows, 0, f.file.delim).countRows()
		if !whole && !last {
			data = data[:complete]
		} else if !whole {
			f.broken = true
		}
		w.rows = n
	case bytes.IndexByte(data, '\r') >= 0, bytes.HasPrefix(data, []byte("\n")), bytes.Contains(data, []byte("\n\n")):
		s := newScanner(data, 0, f.file.delim)
		for w.rows = 0; s.skipBlank(); w.rows++ {
			s.skipLine()
		}
	default:
		w.plain = true
		if w.rows = bytes.Count(data, []byte("\n")); end > 0 && data[end-1] != '\n' {
			w.rows++
		}
	}
	w.size = len(data)
	return data[:len(data):len(data)]
}

// countRows counts the rows of a piece with quotes. It stops where quotes do
// not work out and returns where the last row before ends.
func (s *scanner) countRows() (rows, end int, whole bool) {
	for s.skipBlank() {
		for more := true; more; {
			if _, _, err := s.field(); err != nil {
				return rows, end, false
			}
			more = s.next()
		}
		rows++
		end = s.pos
	}
	return rows, len(s.data), true
}

// guessBytes are enough to guess types by.
const guessBytes = 128 << 10

// guess sets the types that the first values have.
func (f *csvSource) guess() {
	w := f.windows[0]
	if w.size > guessBytes {
		if b, err := f.span(w.off, guessBytes, nil); err == nil {
			if head := (csvWindow{off: w.off, line: w.line, row: w.row}); len(f.cut(&head, b, false)) > 0 {
				w = head
			}
		}
	}
	// A fault is found again by the scan.
	_ = f.parse(&f.slots[0], &w, nil)
	for i := range f.plan {
		f.plan[i].start = f.slots[0].cols[i].typ
	}
}

func (f *csvSource) scan(picked []int, visit func(Part) error) error {
	err := f.pass(picked, visit)
	if err == nil || errors.Is(err, ErrRetyped) || picked == nil {
		return err
	}
	// Rows that were not picked may have faults that come first.
	if all := f.pass(nil, func(Part) error { return nil }); all != nil && !errors.Is(all, ErrRetyped) {
		return all
	}
	return err
}

func (f *csvSource) pass(picked []int, visit func(Part) error) error {
	dicts := make([]dictBuilder, len(f.plan))
	starts := make([]Type, len(f.plan))
	for i, p := range f.plan {
		dicts[i].index, starts[i] = map[string]int32{}, p.start
	}
	retyped := false
	for batch := range slices.Chunk(f.windows, len(f.slots)) {
		faults := make([]error, max(len(batch), len(f.kept)))
		inParallel(len(batch), func(k int) { faults[k] = f.parse(&f.slots[k], &batch[k], picked) })
		if err := firstError(faults); err != nil {
			return err
		}
		for k := range batch {
			for i := range f.plan {
				if t := f.slots[k].cols[i].typ; t > f.plan[i].start {
					starts[i], retyped = max(starts[i], t), true
				}
			}
		}
		if retyped {
			continue // only to find the types of the rest
		}
		inParallel(len(f.kept), func(c int) {
			i := f.kept[c]
			for k := range batch {
				b, w := &f.slots[k].cols[i], &batch[k]
				p := Part{Index: c, Row: w.row, Column: b.recoded(&dicts[i])}
				if f.skips(w, picked) {
					p.Row, _ = between(picked, w.row, w.row)
				} else {
					p = picks(p, picked)
				}
				if faults[c] = visit(p); faults[c] != nil {
					return
				}
			}
		})
		if err := firstError(faults); err != nil {
			return err
		}
	}
	if !retyped {
		return nil
	}
	for i := range f.plan {
		f.plan[i].start = starts[i]
	}
	return ErrRetyped
}

func firstError(faults []error) error {
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// skips reports whether rows that are not picked are passed over in a window.
// They are read all the same where texts have their codes from them.
func (f *csvSource) skips(w *csvWindow, picked []int) bool {
	return picked != nil && w.plain &&
		!slices.ContainsFunc(f.plan, func(p readPlan) bool { return p.read && p.start == String })
}

// parse reads a window to a slot.
func (f *csvSource) parse(s *csvSlot, w *csvWindow, picked []int) error {
	if s.cols == nil {
		s.cols = make([]builder, len(f.plan))
	}
	rows := w.rows
	lo, hi := between(picked, w.row, w.row+w.rows)
	if f.skips(w, picked) {
		rows = hi - lo
	}
	for i, p := range f.plan {
		s.cols[i].renew(p, f.file.names[i], rows)
	}
	if rows == 0 && w.plain {
		return nil
	}
	data, err := f.span(w.off, int64(w.size), s.data)
	if err != nil {
		return err
	}
	data = endLine(data)
	if f.whole == nil {
		s.data = data
	}
	scan := newScanner(data, 0, f.file.delim)
	if f.skips(w, picked) {
		err = scan.picked(s.cols, picked[lo:hi], w.row)
	} else {
		err = scan.rows(s.cols)
	}
	if err == nil {
		return nil
	}
	err = (&csvFile{name: f.file.name, data: data, names: f.file.names}).locate(err)
	var e *Error
	if errors.As(err, &e) {
		e.Line += w.line
	}
	return err
}

// picked reads rows of a plain piece whose first row has number first.
func (s *scanner) picked(cols []builder, rows []int, first int) error {
	for _, r := range rows {
		for ; first < r; first++ {
			s.pos += bytes.IndexByte(s.data[s.pos:], '\n') + 1
		}
		first++
		if err := s.row(cols); err != nil {
			return err
		}
	}
	return nil
}

// renew empties c to be filled with other values by a plan.
func (c *builder) renew(p readPlan, name string, rows int) {
	floats, times, codes := c.floats[:0], c.times[:0], c.codes[:0]
	*c = builder{readPlan: p, name: name, typ: p.start, floats: floats, times: times, codes: codes}
	if !p.read {
		return
	}
	switch p.start {
	case String:
		c.codes = slices.Grow(c.codes, rows)
		c.index = map[string]int32{}
	case Time:
		c.times = slices.Grow(c.times, rows)
	default:
		c.floats = slices.Grow(c.floats, rows)
	}
}

// recoded is c's column with codes into the dictionary of all windows.
func (c *builder) recoded(all *dictBuilder) *Column {
	out := c.column()
	if c.typ != String {
		return out
	}
	out.recode(all)
	return out
}

// recode replaces a String column's codes by those of a dictionary to which
// its texts are added.
func (c *Column) recode(all *dictBuilder) {
	remap := make([]int32, len(c.Dict))
	for k, s := range c.Dict {
		remap[k] = all.code(s)
	}
	for i, k := range c.Codes {
		if k >= 0 {
			c.Codes[i] = remap[k]
		}
	}
	c.Dict = all.dict
}
