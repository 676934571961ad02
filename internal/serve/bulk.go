package serve

import (
	"bytes"
	"errors"
	"math"
	"net/http"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// decodeTable reads a body in CSV or Arrow into b. What cannot be read as a
// table is a problem; columns and values that do not fit the plan are noted in
// b.faults.
func (s *Server) decodeTable(p *plan, b *batch) *Problem {
	b.reset(len(p.cols))
	b.isArray = true
	types := p.encoder.Types()
	types[idField] = table.String
	for _, c := range p.cols {
		if c.Kind == schema.Text {
			types[c.Name] = table.String
		}
	}
	var t *table.Table
	var err error
	if o := (table.ReadOptions{Types: types}); b.media == mediaCSV {
		t, err = table.ReadCSV("body", bytes.NewReader(b.body), o)
	} else {
		t, err = table.DecodeArrow("body", b.body, o)
	}
	if err != nil {
		return unreadTable(err)
	}
	if t.NumRows() > s.o.Limits.BulkRows {
		return tooManyRows(s.o.Limits.BulkRows)
	}
	p.table(b, t)
	return nil
}

// unreadTable is the answer to a body that is no table, or has a value that is
// not of its column's type.
func unreadTable(err error) *Problem {
	var e *table.Error
	if errors.As(err, &e) && e.Column != "" {
		f := FieldError{Field: e.Column, Message: e.Want}
		if e.Value != "" {
			f.Value = appendString(nil, shorten(e.Value))
		}
		p := badFields([]FieldError{f}, 0)
		p.Detail = err.Error() + ". Nothing was predicted or stored."
		return p
	}
	return problem(http.StatusBadRequest, "invalid-table", "The body is not a table", "Reading the body: %s.", err.Error())
}

// table fills b with the rows of t, by the rules of [plan.decode].
func (p *plan) table(b *batch, t *table.Table) {
	tmpl := p.encoder.Template()
	var extra []string
	for _, name := range t.Names() {
		at, ok := p.index[name]
		near := p.near(name)
		switch {
		case ok && at >= len(tmpl.Columns):
			extra = append(extra, name)
		case ok:
		case near != "":
			b.column(name, "unknown column; did you mean %q? Names are case-sensitive", near)
			extra = append(extra, name)
		case p.lenient:
			extra = append(extra, name)
		}
	}
	enc, err := p.encoder.Table(t.Drop(extra...))
	var mismatch *feature.MismatchError
	switch {
	case errors.As(err, &mismatch):
		for _, d := range mismatch.Differences {
			b.misfit(p, d)
		}
	case err != nil:
		b.column("", "%v", err)
	}
	if len(b.faults) > 0 {
		return
	}
	b.encoded = enc
	b.transpose(p, t, enc)
}

// column notes a fault of a whole column.
func (b *batch) column(name, format string, args ...any) {
	was := b.isArray
	b.isArray = false
	b.fault(name, nil, format, args...)
	b.isArray = was
}

func (b *batch) misfit(p *plan, d schema.Difference) {
	switch d.What {
	case "missing":
		b.column(d.Column, "missing; expected %s", wanted(&p.cols[p.index[d.Column]]))
	case "added":
		b.column(d.Column, "unknown column; the model reads %s", p.names())
	default:
		b.column(d.Column, "%s", d.Detail)
	}
}

// transpose fills b row by row from a table and its encoded columns.
func (b *batch) transpose(p *plan, t *table.Table, enc *feature.Batch) {
	n, k := enc.Rows, len(p.cols)
	b.values, b.texts, b.ids = sized(b.values, n*k), sized(b.texts, n*k), sized(b.ids, n)
	for i := range p.cols {
		c, src := &p.cols[i], t.Column(p.cols[i].Name)
		if i < len(enc.Raw) {
			for r, v := range enc.Raw[i] {
				b.values[r*k+i] = v
			}
		} else {
			for r := range n {
				b.values[r*k+i] = math.NaN()
			}
		}
		b.textsOf(i, k, c, src)
		b.check(i, k, c, src)
	}
	clear(b.ids)
	if at, own := p.index[idField]; own && at == rowID {
		if c := t.Column(idField); c != nil {
			b.named(c)
		}
	}
	b.rows = n
}

// textsOf sets the texts of column i of k.
func (b *batch) textsOf(i, k int, c *schema.Column, src *table.Column) {
	n := len(b.texts) / k
	if src == nil || c.Kind != schema.Categorical && c.Kind != schema.Text {
		for r := range n {
			b.texts[r*k+i] = ""
		}
		return
	}
	src = src.AsText()
	for r, code := range src.Codes {
		b.texts[r*k+i] = ""
		if code < 0 {
			continue
		}
		b.texts[r*k+i] = src.Dict[code]
		if c.Kind == schema.Text {
			b.values[r*k+i] = 0 // there is one
		}
	}
}

// check notes the values of column i of k that a row may not have.
func (b *batch) check(i, k int, c *schema.Column, src *table.Column) {
	if c.Kind == schema.Text || src == nil {
		return
	}
	for r := range len(b.values) / k {
		b.rows = r
		switch v := b.values[r*k+i]; {
		case math.IsNaN(v) && !c.Missing:
			b.fault(c.Name, nil, "missing, but training data had no missing values here; expected %s", wanted(c))
		case math.IsInf(v, 0):
			b.fault(c.Name, appendString(nil, src.Format(r)), "not a finite number; expected %s", wanted(c))
		}
	}
}

// named takes the names of rows.
func (b *batch) named(c *table.Column) {
	c = c.AsText()
	for r, code := range c.Codes {
		if code < 0 {
			continue
		}
		b.rows = r
		b.ids[r] = b.id(text, []byte(c.Dict[code]))
	}
}

// appendTable appends the answers to all rows as a table: prediction_id,
// predicted_<target>, p_<class>…, model_version, and flags, separated by
// blanks.
func (v *live) appendTable(b *batch) *Problem {
	flags := make([]model.Flag, b.rows)
	// Each name comes once: there is nothing to look up.
	ids := &table.Column{Name: idField, Type: table.String, Dict: make([]string, b.rows), Codes: make([]int32, b.rows)}
	said := &table.Column{Name: "flags", Type: table.String, Codes: make([]int32, b.rows)}
	known := map[model.Flag]int32{}
	for i := range b.records {
		f := model.Flag(b.records[i].Flags)
		ids.Dict[i], ids.Codes[i], flags[i] = b.records[i].ID, int32(i), f
		code, ok := known[f]
		if !ok {
			code = -1
			if f != 0 {
				code = int32(len(said.Dict))
				said.Dict = append(said.Dict, flagWords(f))
			}
			known[f] = code
		}
		said.Codes[i] = code
	}
	p := model.Predictions{Outputs: b.outputs, Flags: flags}
	version := &table.Column{Name: "model_version", Type: table.String, Dict: []string{v.version}, Codes: make([]int32, b.rows)}
	cols := append([]*table.Column{ids}, p.Columns(v.model.Template)...)
	t, err := table.New(append(cols, version, said)...)
	out := bytes.NewBuffer(b.out)
	if err == nil && b.answer == mediaCSV {
		err = table.WriteCSV(out, t)
	} else if err == nil {
		err = table.EncodeArrowStream(out, t)
	}
	if err != nil {
		return internalError("The answer could not be written: " + err.Error() + ".")
	}
	b.out = out.Bytes()
	return nil
}
