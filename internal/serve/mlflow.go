package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/healml/healml/internal/model"
)

// The routes of MLflow's scoring server, so that what calls `mlflow models
// serve` today can call this server instead: POST /invocations, GET /ping and
// GET /version. A body holds exactly one of
//
//	dataframe_split    {"columns":[…],"data":[[…],…]}, "index" is not read
//	dataframe_records  [{…},…]
//	instances          the same, or rows without names, in the model's order
//	inputs             {"column":[…],…}, or what instances takes
//
// or is text/csv. NaN, which pandas writes, is null, and columns that the
// model does not know are not read, as an MLflow signature has it.

// mlflowKeys are the ways to send rows.
var mlflowKeys = []string{"dataframe_split", "dataframe_records", "instances", "inputs"}

// invocations answers POST /invocations. Rows are predicted and logged as by
// /predict; the answer holds their names beside the predictions.
func (s *Server) invocations(r *http.Request, b *batch) *Problem {
	v := s.holder.live.Load()
	if v == nil {
		return noModel()
	}
	probabilities := false
	if b.media.tabular() {
		if p := s.decode(v.loose, b); p != nil {
			return p
		}
	} else {
		var err error
		if probabilities, err = v.loose.invocation(b, s.o.Limits.Rows); err != nil {
			return s.undecoded(err)
		}
		if p := b.fits(); p != nil {
			return p
		}
	}
	b.answer = mediaJSON
	if p := s.answer(r.Context(), v, b); p != nil {
		return p
	}
	v.appendScores(b, probabilities)
	return nil
}

// invocation reads b.body, and whether it asks for probabilities.
func (p *plan) invocation(b *batch, maxRows int) (probabilities bool, err error) {
	b.media = mediaJSON
	b.reset(len(p.cols))
	b.isArray = true
	l := &b.lexer
	l.nan = true
	if l.peek() != '{' {
		_, _, err := l.value(0)
		if err == nil {
			b.column("", "found no object; expected one with one of %s", shortList(mlflowKeys))
		}
		return false, err
	}
	// The keys may come in any order: a first pass finds them.
	at := map[string]int{}
	err = l.members(func(name string) error {
		if _, twice := at[name]; twice {
			b.column(name, "given twice")
		}
		l.peek()
		at[name] = l.i
		_, _, err := l.value(1)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := l.end(); err != nil {
		return false, err
	}
	given := ""
	for _, k := range mlflowKeys {
		if _, ok := at[k]; ok && given != "" {
			b.column(k, "given beside %q; expected exactly one of %s", given, shortList(mlflowKeys))
		} else if ok {
			given = k
		}
	}
	if given == "" {
		b.column("", "expected exactly one of %s", shortList(mlflowKeys))
	}
	if i, ok := at["params"]; ok {
		var params struct {
			Probabilities bool `json:"probabilities"`
		}
		l.i = i
		_, raw, err := l.value(1)
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(raw, &params); err != nil {
			b.column("params", "expected an object; \"probabilities\": true answers with those of the classes")
		}
		probabilities = params.Probabilities
	}
	if len(b.faults) > 0 {
		return false, nil
	}
	l.i = at[given]
	return probabilities, p.frame(b, given, maxRows)
}

// frame reads the rows that stand under a key of mlflowKeys.
func (p *plan) frame(b *batch, key string, maxRows int) error {
	l := &b.lexer
	switch c := l.peek(); {
	case c == '{' && key == "dataframe_split":
		return p.split(b, maxRows)
	case c == '{' && key == "inputs":
		return p.columns(b, maxRows)
	case c == '[' && key != "dataframe_split":
		order := p.inOrder()
		return l.elements(func() error {
			if err := p.openOf(b, maxRows); err != nil {
				return err
			}
			defer func() { b.rows++ }()
			if l.peek() == '[' && key != "dataframe_records" {
				return p.cells(b, order)
			}
			return p.row(b, 2)
		})
	}
	kind, raw, err := l.value(1)
	if err == nil {
		b.column(key, "%s", found(kind, raw))
	}
	return err
}

// openOf makes room for another row of at most maxRows.
func (p *plan) openOf(b *batch, maxRows int) error {
	if b.rows == maxRows {
		return errRows
	}
	p.open(b)
	return nil
}

// inOrder are the columns of the template, for rows without names.
func (p *plan) inOrder() []int {
	out := make([]int, len(p.encoder.Template().Columns))
	for i := range out {
		out[i] = i
	}
	return out
}

// split reads {"columns":[…],"data":[[…],…]}, in any order.
func (p *plan) split(b *batch, maxRows int) error {
	l := &b.lexer
	columns, data := -1, -1
	err := l.members(func(name string) error {
		l.peek()
		switch name {
		case "columns":
			columns = l.i
		case "data":
			data = l.i
		}
		_, _, err := l.value(2)
		return err
	})
	if err != nil {
		return err
	}
	at, end := p.inOrder(), l.i
	if columns >= 0 {
		l.i = columns
		if at, err = p.header(b); err != nil || len(b.faults) > 0 {
			return err
		}
	}
	if data < 0 || l.b[data] != '[' {
		b.column("data", "missing; expected an array with an array for each row")
		return nil
	}
	l.i = data
	err = l.elements(func() error {
		if err := p.openOf(b, maxRows); err != nil {
			return err
		}
		defer func() { b.rows++ }()
		return p.cells(b, at)
	})
	l.i = end
	return err
}

// header reads an array of column names and says what each stands for.
func (p *plan) header(b *batch) (at []int, err error) {
	l := &b.lexer
	if l.peek() != '[' {
		b.column("columns", "expected an array of names")
		return nil, nil
	}
	err = l.elements(func() error {
		kind, raw, err := l.value(3)
		if err != nil {
			return err
		}
		if !scalar(kind) {
			b.column("columns", "%s; expected a name", found(kind, raw))
			return nil
		}
		name := string(raw)
		col := p.lookup(raw, 0)
		if near := p.near(name); col == unknownField && near != "" {
			b.column(name, "unknown column; did you mean %q? Names are case-sensitive", near)
		}
		if col >= 0 && slices.Contains(at, col) {
			b.column(name, "given twice")
		}
		at = append(at, col)
		return nil
	})
	return at, err
}

// cells reads a row of values without names; at says what each stands for.
func (p *plan) cells(b *batch, at []int) error {
	l := &b.lexer
	if l.peek() != '[' {
		kind, raw, err := l.value(3)
		if err == nil {
			b.fault("", quoted(kind, raw), "found %s, expected an array", kind)
		}
		return err
	}
	n := 0
	err := l.elements(func() error {
		kind, raw, err := l.value(4)
		if err == nil && n < len(at) {
			p.cell(b, at[n], kind, raw)
		}
		n++
		return err
	})
	if err != nil {
		return err
	}
	if n != len(at) {
		b.fault("", nil, "%d values, expected %d", n, len(at))
		return nil
	}
	p.absent(b)
	return nil
}

// cell takes a value of the current row.
func (p *plan) cell(b *batch, col int, kind token, raw []byte) {
	switch {
	case col >= 0:
		b.seen[col] = b.rows + 1
		p.set(b, col, kind, raw)
	case col == rowID && kind != null:
		b.ids[b.rows] = b.id(kind, raw)
	}
}

// columns reads {"column":[…],…}: arrays of one length, or single values.
func (p *plan) columns(b *batch, maxRows int) error {
	var given []int
	rows := -1
	err := b.lexer.members(func(name string) error {
		col := p.lookup([]byte(name), 0)
		n, err := p.column(b, col, rows, maxRows)
		if err != nil {
			return err
		}
		if rows >= 0 && n != rows {
			b.column(name, "%d values, the columns before it have %d", n, rows)
		}
		rows = max(rows, n)
		if slices.Contains(given, col) {
			b.column(name, "given twice")
		} else if col >= 0 {
			given = append(given, col)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for b.rows = range max(rows, 0) {
		for _, col := range given {
			b.seen[col] = b.rows + 1
		}
		p.absent(b)
	}
	b.rows = max(rows, 0)
	return nil
}

// column reads the values of one column and returns how many there are. Rows
// are opened by the first column, and those beyond are not taken.
func (p *plan) column(b *batch, col, rows, maxRows int) (n int, err error) {
	l := &b.lexer
	take := func() error {
		kind, raw, err := l.value(3)
		if err != nil {
			return err
		}
		kind, raw = l.only(kind, raw)
		b.rows = n
		if rows < 0 {
			if err := p.openOf(b, maxRows); err != nil {
				return err
			}
		}
		if rows < 0 || n < rows {
			p.cell(b, col, kind, raw)
		}
		n++
		return nil
	}
	if l.peek() != '[' {
		return 1, take()
	}
	err = l.elements(take)
	return n, err
}

// appendScores appends the answer of /invocations: numbers, or the names of
// classes as the template has them, which are those of the Python loader of an
// exported version; or, for probabilities, a record for each row.
func (v *live) appendScores(b *batch, probabilities bool) {
	t, k := v.model.Template, v.model.Template.Outputs()
	b.out = append(b.out, `{"predictions":[`...)
	for i := range b.rows {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		outputs := b.outputs[i*k : (i+1)*k]
		if !t.Task.Classified() {
			b.out = appendFloat(b.out, outputs[0])
			continue
		}
		label := t.Classes[model.Best(outputs)]
		if !probabilities {
			b.out = appendString(b.out, label)
			continue
		}
		b.out = appendString(append(b.out, v.head...), label)
		for c, name := range t.ProbabilityNames() {
			b.out = appendFloat(append(appendString(append(b.out, ','), name), ':'), outputs[c])
		}
		b.out = append(b.out, '}')
	}
	b.out = append(b.out, `],"prediction_ids":[`...)
	for i := range b.records {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		b.out = appendString(b.out, b.records[i].ID)
	}
	b.out = append(append(append(b.out, ']'), v.tail...), "}\n"...)
}

// tellMLflow answers with a problem as MLflow's scoring server does: 400 for
// whatever is wrong with the rows.
func tellMLflow(w http.ResponseWriter, p *Problem) {
	q := *p
	code := "INTERNAL_ERROR"
	switch {
	case q.Status == http.StatusUnprocessableEntity, q.Status == http.StatusRequestEntityTooLarge:
		q.Status, code = http.StatusBadRequest, "BAD_REQUEST"
	case q.Status == http.StatusServiceUnavailable:
		code = "TEMPORARILY_UNAVAILABLE"
	case q.Status < 500:
		code = "BAD_REQUEST"
	}
	q.send(w, "application/json", struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}{code, q.sentence()})
}

// sentence is a problem in one text, with the first of its fields.
func (p *Problem) sentence() string {
	const told = 20
	out := p.Title + ": " + p.Detail
	for i, f := range p.Errors {
		if i == told {
			return fmt.Sprintf("%s … and %d more.", out, len(p.Errors)-told+p.Omitted)
		}
		out += " "
		if f.Row != nil {
			out += fmt.Sprintf("Row %d, ", *f.Row)
		}
		out += fmt.Sprintf("%q: %s.", f.Field, f.Message)
	}
	return out
}

// ping answers GET /ping.
func (s *Server) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = mediaTypes[mediaJSON]
	if s.holder.live.Load() == nil {
		w.WriteHeader(http.StatusNotFound)
	}
	w.Write([]byte("\n")) //nolint:errcheck // the client is gone: nobody to tell
}

// versionText answers GET /version with the version of the program.
func (s *Server) versionText(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = mediaTypes[mediaText]
	w.Write([]byte(s.o.Build)) //nolint:errcheck // the client is gone: nobody to tell
}
