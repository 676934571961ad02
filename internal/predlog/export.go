package predlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// Export writes what s joins to path, atomically, a file of the log at a time.
// The extension names the format: .csv or .parquet. The file has the union of
// the columns of all model versions; one that versions type differently comes
// as text. Rows stand by day and, of one day, as they were logged.
func (s *Stream) Export(path string) error {
	form, err := s.schema()
	if err != nil {
		return err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv":
		return durable.Publish(path, func(w io.Writer) error { return s.exportCSV(w, form) })
	case ".parquet":
		return durable.Publish(path, func(w io.Writer) error { return s.exportParquet(w, form) })
	default:
		return fmt.Errorf("export %s: %w: %q, expected .csv or .parquet", path, table.ErrFormat, ext)
	}
}

// schema is a table of no rows with the columns of all files, as their footers
// and headers say.
func (s *Stream) schema() (*table.Table, error) {
	shapes := []*table.Table{(&reader{kind: predictions}).none()}
	r := &reader{kind: predictions, to: maxTime, columns: s.o.Columns}
	for _, f := range s.preds.sealed {
		info, err := f.f.Stat()
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		t, err := table.ParquetShape(f.path, f.f, info.Size())
		if err != nil {
			continue // its rows are not read either
		}
		shapes = append(shapes, r.narrow(t.Drop(columnSegment, columnSource)))
	}
	for _, f := range s.preds.segments {
		t, err := f.shape()
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		if t != nil {
			shapes = append(shapes, r.narrow(t))
		}
	}
	t, err := table.Concat(unify(shapes)...)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return t.With(newJoined(0, s.o.Task).columns(nil, nil)...)
}

// shape is a table of no rows with the columns of a segment of predictions,
// nil when it has none that could be read.
func (f heldSegment) shape() (*table.Table, error) {
	b := make([]byte, min(f.size, 2*durable.MaxHeader))
	n, err := f.f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head, err := durable.FrameHeader(f.path, b[:n])
	if err != nil || head == nil {
		return nil, nil //nolint:nilerr // reading its rows reports it
	}
	h, err := parseHeader(f.path, head)
	if err != nil || h.Kind != predictions {
		return nil, nil //nolint:nilerr // as above
	}
	return newRowBuilder(h).table(), nil
}

// conform gives t the columns of form.
func conform(t, form *table.Table) *table.Table {
	cols := make([]*table.Column, len(form.Columns()))
	for i, want := range form.Columns() {
		c := t.Column(want.Name)
		switch {
		case c == nil:
			c = table.AllMissing(want.Name, want.Type, t.NumRows())
		case c.Type != want.Type:
			c = c.AsText()
		}
		cols[i] = c
	}
	return table.Must(cols...)
}

func (s *Stream) exportCSV(w io.Writer, form *table.Table) error {
	var head bytes.Buffer
	if err := table.WriteCSV(&head, form); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	return s.Each(func(t *table.Table) error {
		return table.WriteCSV(&skipper{w: w, n: head.Len()}, conform(t, form))
	})
}

// skipper drops the first n bytes.
type skipper struct {
	w io.Writer
	n int
}

func (s *skipper) Write(b []byte) (int, error) {
	drop := min(s.n, len(b))
	s.n -= drop
	n, err := s.w.Write(b[drop:])
	return drop + n, err
}

func (s *Stream) exportParquet(w io.Writer, form *table.Table) error {
	var out *table.ParquetWriter
	begin := func(t *table.Table) (err error) {
		out, err = table.NewParquetWriter(w, t)
		return err
	}
	err := s.Each(func(t *table.Table) error {
		t = conform(t, form)
		if out == nil {
			if err := begin(t); err != nil {
				return err
			}
		}
		return out.Write(t)
	})
	if err == nil && out == nil {
		err = begin(form)
	}
	if err != nil {
		return err
	}
	return out.Close()
}
