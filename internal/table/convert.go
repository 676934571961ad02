package table

import "fmt"

// convert returns c as a column of type want, for files that come with types.
// Texts are parsed as in CSV and anything can become text; 0 and 1 are
// numbers as well as booleans. row is added to the rows of errors.
func convert(file string, c *Column, want Type) (*Column, error) {
	out := &Column{Name: c.Name, Type: want}
	switch {
	case c.Type == want:
		return c, nil
	case c.Type == String:
		return parseColumn(file, c, want)
	case want == String:
		return formatColumn(c), nil
	case c.Type == Bool && want == Float:
		out.Floats = c.Floats
		return out, nil
	case c.Type == Float && want == Bool:
		for i, v := range c.Floats {
			if v != 0 && v != 1 && v == v {
				return nil, misfit(file, c, i, want)
			}
		}
		out.Floats = c.Floats
		return out, nil
	}
	for i := range c.Len() {
		if !c.Missing(i) {
			return nil, misfit(file, c, i, want)
		}
	}
	b := builder{typ: want, name: c.Name}
	for range c.Len() {
		b.addMissing()
	}
	return b.column(), nil
}

// misfit is the *Error for a value that cannot be of type want.
func misfit(file string, c *Column, i int, want Type) *Error {
	return &Error{File: file, Line: i + 1, Column: c.Name, Value: c.Format(i),
		Want: fmt.Sprintf("expected %s; the file's column is of type %s", expectation(want), c.Type)}
}

// parseColumn parses every level of a String column once.
func parseColumn(file string, c *Column, want Type) (*Column, error) {
	levels := builder{readPlan: readPlan{fixed: true}, typ: want}
	bad := make([]bool, len(c.Dict))
	for k, s := range c.Dict {
		if bad[k] = !levels.add([]byte(s)); bad[k] {
			levels.addMissing()
		}
	}
	out := builder{typ: want, name: c.Name}
	for i, k := range c.Codes {
		switch {
		case k < 0:
			out.addMissing()
		case bad[k]:
			return nil, misfit(file, c, i, want)
		case want == Time:
			out.times = append(out.times, levels.times[k])
		default:
			out.floats = append(out.floats, levels.floats[k])
		}
	}
	return out.column(), nil
}

// formatColumn writes every value out as text.
func formatColumn(c *Column) *Column {
	out := builder{typ: String, name: c.Name}
	out.reserve(c.Len())
	var buf []byte
	for i := range c.Len() {
		if c.Missing(i) {
			out.addMissing()
			continue
		}
		buf = appendValue(buf[:0], c, i)
		out.codes = append(out.codes, out.code(buf))
	}
	return out.column()
}

// fit applies the options' types to columns that came with their own.
func fit(file string, cols []*Column, o ReadOptions) ([]*Column, error) {
	for i, c := range cols {
		want, fixed := o.Types[c.Name]
		if !fixed {
			continue
		}
		var err error
		if cols[i], err = convert(file, c, want); err != nil {
			return nil, err
		}
	}
	return cols, nil
}
