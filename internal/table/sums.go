package table

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
)

// Sums are checksums of a table's columns over names, types and values in
// their order, by which a table that is written and read in parts is compared
// with itself. They hold within one process only.
type Sums struct {
	Rows  int
	names []string
	sums  []columnSum
}

var sumSeed = maphash.MakeSeed()

// columnSum runs over values: h ← (h xor v)·p, p being the prime of FNV-1a, a
// bijection of h for each v, so that a change anywhere changes the end, but
// for a chance of 2⁻⁶⁴ when several do.
type columnSum struct {
	h   uint64
	typ Type
}

const (
	sumPrime   = 0x100000001b3
	sumMissing = 0x9e3779b97f4a7c15
)

func (s *columnSum) add(v uint64) {
	s.h = (s.h ^ v) * sumPrime
	s.h ^= s.h >> 29
}

func floatSum(v float64) uint64 {
	switch {
	case math.IsNaN(v):
		return sumMissing
	case v == 0:
		return 0 // 0 and −0 are one
	}
	return math.Float64bits(v)
}

func timeSum(v int64) uint64 {
	if v == NoTime {
		return sumMissing
	}
	return uint64(v)
}

// Add takes in the rows of t, whose columns are those of the table before.
func (s *Sums) Add(t *Table) error {
	if s.sums == nil {
		for _, c := range t.cols {
			s.names = append(s.names, c.Name)
			s.sums = append(s.sums, columnSum{typ: c.Type})
		}
	}
	if len(t.cols) != len(s.sums) {
		return fmt.Errorf("table: %d columns after %d", len(t.cols), len(s.sums))
	}
	for i, c := range t.cols {
		if c.Name != s.names[i] || c.Type != s.sums[i].typ {
			return fmt.Errorf("table: column %q after %q", c.Name, s.names[i])
		}
		s.sums[i].column(c)
	}
	s.Rows += t.rows
	return nil
}

func (s *columnSum) column(c *Column) {
	switch c.Type {
	case String:
		hashes := make([]uint64, len(c.Dict))
		for k, text := range c.Dict {
			hashes[k] = maphash.String(sumSeed, text)
		}
		for _, k := range c.Codes {
			if k < 0 {
				s.add(sumMissing)
			} else {
				s.add(hashes[k])
			}
		}
	case Time:
		for _, v := range c.Times {
			s.add(timeSum(v))
		}
	default:
		for _, v := range c.Floats {
			s.add(floatSum(v))
		}
	}
}

// Differs says how two tables differ by their sums, "" when they do not.
func (s *Sums) Differs(o *Sums) string {
	if s.Rows != o.Rows {
		return fmt.Sprintf("%d rows came back of %d", o.Rows, s.Rows)
	}
	if len(s.sums) != len(o.sums) {
		return fmt.Sprintf("%d columns came back of %d", len(o.sums), len(s.sums))
	}
	for i := range s.sums {
		if s.names[i] != o.names[i] || s.sums[i] != o.sums[i] {
			return fmt.Sprintf("column %q came back changed", s.names[i])
		}
	}
	return ""
}

// ParquetSums are the sums of a file that [ParquetWriter] wrote, read value by
// value: no column is built. name stands for the file in errors.
func ParquetSums(name string, b []byte) (*Sums, error) {
	return guard(name, func() (*Sums, error) {
		f, err := openParquet(name, content{at: bytes.NewReader(b), size: int64(len(b)), whole: b})
		if err != nil {
			return nil, err
		}
		fields, names := f.fields()
		s := &Sums{Rows: int(f.r.NumRows()), names: names, sums: make([]columnSum, len(fields))}
		_, err = readColumns(name, names, func(i int) (*Column, error) {
			descr, err := f.flat(fields[i])
			if err != nil {
				return nil, err
			}
			d := s.sums[i].decoder(descr.PhysicalType(), decoderOf(&builder{}, descr) != nil)
			if d == nil {
				return nil, f.unsupported(names[i], typeName(descr), castHint)
			}
			return nil, f.fault(f.decode(fields[i].leaf, descr, &scratch{}, d), names[i], 0)
		})
		return s, err
	})
}

// decoder adds the values of a column of one of the kinds that are written.
func (s *columnSum) decoder(physical parquet.Type, known bool) decoder {
	switch {
	case !known:
		return nil
	case physical == parquet.Types.Boolean:
		s.typ = Bool
		return sumEach(s, func(v bool) uint64 {
			if v {
				return floatSum(1)
			}
			return floatSum(0)
		})
	case physical == parquet.Types.Int64:
		s.typ = Time
		return sumEach(s, timeSum)
	case physical == parquet.Types.Double:
		s.typ = Float
		return sumEach(s, floatSum)
	case physical == parquet.Types.ByteArray:
		s.typ = String
		return sumEach(s, func(v parquet.ByteArray) uint64 { return maphash.Bytes(sumSeed, v) })
	}
	return nil
}

func sumEach[T any](s *columnSum, of func(T) uint64) decoder {
	const batch = 4096
	values := make([]T, batch)
	definition := make([]int16, batch)
	return func(r file.ColumnChunkReader, rows int64) error {
		typed, ok := r.(valueReader[T])
		if !ok {
			return fmt.Errorf("its logical type does not fit %s", r.Type())
		}
		for left := rows; left > 0; {
			n, read, err := typed.ReadBatch(min(left, batch), values, definition, nil)
			switch {
			case err != nil:
				return err
			case r.Err() != nil:
				return r.Err()
			case n <= 0:
				return fmt.Errorf("%d of %d rows could be read", rows-left, rows)
			}
			left -= n
			next := 0
			for _, d := range definition[:n] {
				if d == 0 {
					s.add(sumMissing)
					continue
				}
				if next == read {
					return errors.New("a page holds fewer values than it says")
				}
				s.add(of(values[next]))
				next++
			}
		}
		return nil
	}
}
