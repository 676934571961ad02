package table

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// many reads files of the same columns one after the other as one.
type many struct {
	root  string // what partitions are below
	files []string
	o     ReadOptions
	names []string // of the Source's columns: those of the first file, then the partitions'
	parts [][]partition
	keys  []string
	// types are those that the columns of all files are read as. A column whose
	// type differs from file to file is text.
	types   map[string]Type
	kinds   []typeSeen // by column
	sources []*Source
	places  [][]int // of the columns of each file among names
	first   []int   // number of each file's first row
	rows    int
}

// typeSeen is what is known of a column's type. A file in which all of its values
// are missing says nothing of it.
type typeSeen struct {
	empty    Type // that missing values are passed as before any other was met
	passed   bool // that they were, in the scan under way
	found    Type // of the values that are not missing
	known    bool
	conflict bool // files differ
}

// meet is a part of the type t, with values or all missing. again says that what
// was passed in this scan is void.
func (k *typeSeen) meet(t Type, values bool) (again bool) {
	switch {
	case !values && !k.known && !k.passed:
		k.empty, k.passed = t, true
	case !values || k.known && k.found == t:
	case k.known:
		k.conflict = true
	default:
		k.found, k.known = t, true
		return k.passed && k.empty != t
	}
	return k.conflict
}

// as is what missing values are passed as.
func (k *typeSeen) as() Type {
	if k.known {
		return k.found
	}
	return k.empty
}

func openMany(path string, files []string, o ReadOptions) (*Source, error) {
	m := &many{root: Root(path), files: files, o: o, types: map[string]Type{}}
	for name, t := range o.Types {
		m.types[name] = t
	}
	if err := m.open(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return &Source{name: path, rows: m.rows, cols: m.names, scan: m.scan, stream: m.stream, close: m.close}, nil
}

// open opens all files and checks that their columns agree.
func (m *many) open() error {
	for i, file := range m.files {
		parts := partitionsOf(m.root, file)
		keys := make([]string, len(parts))
		for k, p := range parts {
			keys[k] = p.key
		}
		if i == 0 {
			m.keys = keys
		} else if !slices.Equal(keys, m.keys) {
			return &Error{File: file, Want: fmt.Sprintf("lies in directories of %s, %s in those of %s", listOr(keys, "no column"), m.files[0], listOr(m.keys, "no column"))}
		}
		m.parts = append(m.parts, parts)
		o := m.o
		o.Types = m.types
		o.Columns = without(m.o.Columns, keys)
		s, err := openOne(file, o)
		if err != nil {
			return err
		}
		m.sources = append(m.sources, s)
		if err := m.agree(i, s); err != nil {
			return err
		}
		m.first = append(m.first, m.rows)
		if m.rows += s.rows; m.rows > math.MaxInt32 {
			return &Error{File: file, Want: "with it there are more than 2³¹−1 rows"}
		}
	}
	return m.partitionTypes()
}

func without(names, keys []string) []string {
	if names == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(keys, n) })
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return list(names)
}

// agree places the columns of file i among those of the first.
func (m *many) agree(i int, s *Source) error {
	own := s.cols
	for _, key := range m.keys {
		if slices.Contains(own, key) {
			return &Error{File: m.files[i], Column: key, Want: "is a column of the file and a part of its path; rename one of them"}
		}
	}
	if i == 0 {
		m.names = slices.Clone(own)
		for _, key := range m.keys {
			if m.o.Columns == nil || slices.Contains(m.o.Columns, key) {
				m.names = append(m.names, key)
			}
		}
		if err := distinctNames(m.root, m.names); err != nil {
			return err
		}
	}
	shared := m.sources[0].cols
	for _, name := range shared {
		if !slices.Contains(own, name) {
			return &Error{File: m.files[i], Column: name, Want: "is missing, and is in " + m.files[0]}
		}
	}
	places := make([]int, len(own))
	for k, name := range own {
		if places[k] = slices.Index(shared, name); places[k] < 0 {
			return &Error{File: m.files[i], Column: name, Want: "is not in " + m.files[0]}
		}
	}
	m.places = append(m.places, places)
	return nil
}

// partitionTypes decides what the columns in the path are: what all their values
// can be read as.
func (m *many) partitionTypes() error {
	for k, key := range m.keys {
		t, fixed := m.types[key]
		b := builder{readPlan: readPlan{start: Float, fixed: fixed}, typ: Float}
		if fixed {
			b.typ, b.start = t, t
		}
		b.reserve(len(m.parts))
		for i, p := range m.parts {
			if !b.add([]byte(p[k].value)) {
				return &Error{File: m.files[i], Column: key, Value: p[k].value, Want: "in the path: expected " + expectation(t)}
			}
		}
		m.types[key] = b.typ
	}
	return nil
}

func (m *many) close() (err error) {
	for _, s := range m.sources {
		err = errors.Join(err, s.Close())
	}
	m.sources = nil
	return err
}

func (m *many) scan(picked []int, visit func(Part) error) error {
	return m.pass(picked, visit, func(s *Source, picked []int, visit func(Part) error) error { return s.Scan(picked, visit) })
}

func (m *many) stream(visit func(Part) error) error {
	return m.pass(nil, visit, func(s *Source, _ []int, visit func(Part) error) error { return s.Stream(visit) })
}

// pass reads the files in their order. Codes of texts are those of one dictionary
// a column, and types those of all files: where they differ the files are opened
// anew and ErrRetyped is returned.
func (m *many) pass(picked []int, visit func(Part) error, read func(*Source, []int, func(Part) error) error) error {
	dicts := make([]dictBuilder, len(m.names))
	for i := range dicts {
		dicts[i].index = map[string]int32{}
	}
	if m.kinds == nil {
		m.kinds = make([]typeSeen, len(m.names))
	}
	for at := range m.kinds {
		m.kinds[at].passed = false
	}
	again := make([]bool, len(m.names))
	retyped := false
	for i, s := range m.sources {
		mine, before := picked, m.first[i]
		if picked != nil {
			lo, hi := between(picked, m.first[i], m.first[i]+s.rows)
			mine, before = make([]int, hi-lo), lo
			for k, row := range picked[lo:hi] {
				mine[k] = row - m.first[i]
			}
		}
		maps := make([][]int32, len(m.names)) // from the file's codes to those of all
		err := read(s, mine, func(p Part) error {
			at := m.places[i][p.Index]
			k, values := &m.kinds[at], p.hasValues()
			if k.meet(p.Type, values) {
				again[at] = true
			}
			if again[at] {
				return nil
			}
			c := *p.Column
			switch {
			case !values && k.as() != c.Type:
				c = *AllMissing(c.Name, k.as(), c.Len())
			case c.Type == String:
				c.Codes = recoded(p.Codes, p.Dict, &maps[at], &dicts[at])
				c.Dict = dicts[at].dict
			}
			return visit(Part{Index: at, Row: before + p.Row, Column: &c})
		})
		switch {
		case errors.Is(err, ErrRetyped):
			retyped = true
		case err != nil:
			return err
		}
		n := s.rows
		if picked != nil {
			n = len(mine)
		}
		if err := m.passPartitions(i, before, n, dicts, visit); err != nil {
			return err
		}
	}
	if retyped { // what was seen is void
		m.kinds = nil
		return ErrRetyped
	}
	conflict := false
	for at := range m.kinds {
		if m.kinds[at].conflict {
			m.types[m.names[at]], m.kinds[at], conflict = String, typeSeen{}, true
		}
	}
	if conflict {
		if err := m.reopen(); err != nil {
			return err
		}
	}
	if slices.Contains(again, true) {
		return ErrRetyped
	}
	return nil
}

// recoded are codes of one file's dictionary as those of the dictionary of all.
// known grows with that of the file.
func recoded(codes []int32, dict []string, known *[]int32, all *dictBuilder) []int32 {
	for k := len(*known); k < len(dict); k++ {
		*known = append(*known, all.code(dict[k]))
	}
	out := make([]int32, len(codes))
	for i, k := range codes {
		out[i] = -1
		if k >= 0 {
			out[i] = (*known)[k]
		}
	}
	return out
}

// passPartitions passes the columns in the path of file i, n values each, in
// parts of some ten thousand.
func (m *many) passPartitions(i, before, n int, dicts []dictBuilder, visit func(Part) error) error {
	for at := len(m.sources[0].cols); at < len(m.names); at++ {
		k := slices.Index(m.keys, m.names[at])
		t := m.types[m.names[at]]
		for lo := 0; lo < n; lo += parquetRows {
			b := builder{readPlan: readPlan{fixed: true, start: t}, name: m.names[at], typ: t}
			b.reserve(min(parquetRows, n-lo))
			for range min(parquetRows, n-lo) {
				b.add([]byte(m.parts[i][k].value)) // it fits: partitionTypes saw it
			}
			if err := visit(Part{Index: at, Row: before + lo, Column: b.recoded(&dicts[at])}); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopen opens the files with the types that are known now.
func (m *many) reopen() error {
	if err := m.close(); err != nil {
		return err
	}
	m.parts, m.places, m.first, m.rows = nil, nil, nil, 0
	if b := m.o.Bad; b != nil { // they are found again
		b.Found, b.rows = nil, 0
	}
	return m.open()
}
