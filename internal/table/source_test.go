package table

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// gather reads b by way of a Source, from a file or memory, with CSV windows
// of so many bytes.
func gather(b []byte, o ReadOptions, window int64, whole bool, picked []int) (*Table, error) {
	s := &Source{name: "x", window: window}
	c := content{at: bytes.NewReader(b), size: int64(len(b))}
	if whole {
		c = inMemory(slices.Clip(b))
	}
	if err := s.openContent(c, o); err != nil {
		return nil, err
	}
	for {
		t, err := gatherOnce(s, picked)
		if picked != nil && err == nil {
			// Only a scan of all rows knows of all types and faults.
			_, err = gatherOnce(s, nil)
		}
		if !errors.Is(err, ErrRetyped) {
			return t, err
		}
	}
}

// gatherStream is gather by Stream.
func gatherStream(b []byte, o ReadOptions, window int64) (*Table, error) {
	s := &Source{name: "x", window: window}
	if err := s.openContent(content{at: bytes.NewReader(b), size: int64(len(b))}, o); err != nil {
		return nil, err
	}
	for {
		if t, err := gatherBy(s, s.NumRows(), s.Stream); !errors.Is(err, ErrRetyped) {
			return t, err
		}
	}
}

func gatherOnce(s *Source, picked []int) (*Table, error) {
	rows := s.NumRows()
	if picked != nil {
		rows = len(picked)
	}
	return gatherBy(s, rows, func(visit func(Part) error) error { return s.Scan(picked, visit) })
}

func gatherBy(s *Source, rows int, scan func(func(Part) error) error) (*Table, error) {
	cols := make([]*Column, len(s.Names()))
	busy := make([]sync.Mutex, len(cols))
	err := scan(func(p Part) error {
		if !busy[p.Index].TryLock() {
			return errors.New("two parts of one column at a time")
		}
		defer busy[p.Index].Unlock()
		if cols[p.Index] == nil {
			cols[p.Index] = &Column{Name: p.Name, Type: p.Type}
		}
		c := cols[p.Index]
		if p.Row != c.Len() || p.Type != c.Type || p.Name != c.Name || p.Name != s.Names()[p.Index] {
			return fmt.Errorf("a part of %q, %s, row %d; want %q, %s, row %d", p.Name, p.Type, p.Row, c.Name, c.Type, c.Len())
		}
		c.Floats, c.Codes, c.Times = append(c.Floats, p.Floats...), append(c.Codes, p.Codes...), append(c.Times, p.Times...)
		if len(p.Dict) > 0 {
			c.Dict = p.Dict
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, c := range cols {
		if c == nil {
			cols[i] = &Column{Name: s.Names()[i], Type: Float}
		}
		if cols[i].Len() != rows {
			return nil, fmt.Errorf("column %q has %d rows of %d", cols[i].Name, cols[i].Len(), rows)
		}
	}
	return New(cols...)
}

// sameAsWhole checks that b, read in parts, gives the table or the error that
// it gives when it is read as a whole.
func sameAsWhole(t testing.TB, b []byte, o ReadOptions, window int64) {
	t.Helper()
	var want *Table
	var wantErr error
	switch detect(b) {
	case formatParquet:
		want, wantErr = DecodeParquet("x", slices.Clip(b), o)
	case formatArrow:
		want, wantErr = DecodeArrow("x", slices.Clip(b), o)
	default:
		want, wantErr = decodeCSV("x", slices.Clip(b), o)
	}
	got, err := gatherStream(b, o, window)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("window %d, streamed: error\n%v, want\n%v", window, err, wantErr)
	}
	if err == nil {
		mustAgree(t, got, want)
	}
	for _, whole := range []bool{false, true} {
		got, err := gather(b, o, window, whole, nil)
		if wantErr != nil || err != nil {
			if fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("window %d: error\n%v, want\n%v", window, err, wantErr)
			}
			continue
		}
		mustAgree(t, got, want)
		if want.NumRows() == 0 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(len(b)), 1))
		rows := []int{}
		for i := range want.NumRows() {
			if r.IntN(3) == 0 {
				rows = append(rows, i)
			}
		}
		if got, err = gather(b, o, window, whole, rows); err != nil {
			t.Fatalf("window %d, rows %v: %v", window, rows, err)
		}
		mustAgree(t, got, want.Take(rows))
	}
}

// mustAgree is mustEqual for codes as well. Columns without values may have
// any type.
func mustAgree(t testing.TB, got, want *Table) {
	t.Helper()
	if want.NumRows() == 0 {
		if !slices.Equal(got.Names(), want.Names()) || got.NumRows() != 0 {
			t.Fatalf("got %q, want %q", got.Names(), want.Names())
		}
		return
	}
	for i, c := range want.Columns() {
		if g := got.Columns()[i]; !slices.Equal(g.Codes, c.Codes) {
			t.Fatalf("column %q, %s: codes %v, want %v, %s", c.Name, g.Type, g.Codes, c.Codes, c.Type)
		}
	}
	mustEqual(t, got, want)
}

func TestSourceReadsAsRead(t *testing.T) {
	for name, b := range samples(t) {
		t.Run(name, func(t *testing.T) {
			sameAsWhole(t, b, ReadOptions{}, 100)
			texts := ReadOptions{Types: map[string]Type{}}
			if whole, err := decodeAny(b); err == nil {
				for _, n := range whole.Names() {
					texts.Types[n] = String
				}
				sameAsWhole(t, b, texts, 100)
				sameAsWhole(t, b, ReadOptions{Columns: whole.Names()[:1]}, 100)
				sameAsWhole(t, b, ReadOptions{Types: map[string]Type{whole.Names()[0]: Bool}}, 100)
			}
			sameAsWhole(t, b[:len(b)/2], ReadOptions{}, 100)
		})
	}
}

// csvTexts have what makes parts of a CSV file hard to read: types that show
// late, quotes over line ends, blank lines, other line ends, and faults.
var csvTexts = []string{
	"a,b\n1,x\n2,y\n", "\ufeffa;b\r\n1;\"x\"\"y\"\r\n", ",a\n0,1/2/2020\n", "a\r1\r2020-01-01T10:00:00+02:00\r",
	"a\tb\ntrue\tNA\n", "a|b\n9007199254740993|?\n", "\"a\nb\",c\n\"1\n\",2\n", "a,a\n", "a,b\n1\n", "\"", "",
	"a\n", "a", "a,b", "\n\n", "a,b\n\n\n1,2\n\n3,4\n\n", "a,b\r\n1,2\r\n\r\n3,x\r\n",
	"a,b\n1,2\n1,3\n1,4\n1,5\n1,6\n1,late\n", "a,b\n1,2\n1,3\n1,true\n1,5\n1,6\n1,false\n",
	"a,b\n1,true\n1,false\n1,true\n1,1\n", "a,b\nx,1\ny,2\nz,3\nx,4\nw,5\ny,6\n,7\nv,8\n",
	"a,b\n1,2\n1,3\n1,4\n1,\"5\n\n5\"\n1,6\n1,\"a\"\"b\"\n", "a,b\n1,2\n1,3\n1,4\n1,\"open\n1,3\n1,3\n", "a,b\n1,2\n1,3\n1\n1,\"open\n1,3\n1,3\n",
	"a,b\n1,2\n1,\"x\"y\n1,4\n", "a,b\n1,2\n1,3\n1,4\n1,5,6\n1,5\n", "a,b\n1,2\n1,3\n1,4\n1,caf\xe9\n1,5\n", "a,b\n1,2\n1,3\n1\n1,\x00\n1,5\n",
	"a,b\n1,2\n1,3\n1,\"4\n\x00\"\n1,5\n", "a,b\n1,2\n\xff\xfe,3\n", "a,b\n1,2020-01-01\n,\n3,2021-01-01\n4,7\n",
	"a,b\n1,2\n1,9007199254740993\n1,2\n", "a,b\n" + strings.Repeat("1,a long value that no window of so few bytes holds\n", 20) + "2,3",
}

func TestSourceOfCSV(t *testing.T) {
	for _, text := range csvTexts {
		for _, window := range []int64{1, 7, 16, 64, 1 << 20} {
			for _, o := range []ReadOptions{{}, {Types: map[string]Type{"a": Float}}, {Types: map[string]Type{"b": Time, "a": String}}, {Columns: []string{"b"}}} {
				t.Run(fmt.Sprintf("%q/%d/%v", text[:min(len(text), 40)], window, o), func(t *testing.T) { sameAsWhole(t, []byte(text), o, window) })
			}
		}
	}
}

func FuzzSourceOfCSV(f *testing.F) {
	for i, s := range csvTexts {
		f.Add([]byte(s), uint8(3*i+1))
	}
	f.Fuzz(func(t *testing.T, b []byte, window uint8) {
		if detect(b) == formatCSV {
			sameAsWhole(t, b, ReadOptions{}, int64(window)+1)
		}
	})
}

// Damage gives an *Error, or a table as when the file is read as a whole.
func TestSourceOfDamagedFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	files := samples(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b := files[name]
		for range 10 {
			bad := slices.Clone(b)
			for range 1 + r.IntN(3) {
				bad[r.IntN(len(bad))] ^= byte(1 << r.IntN(8))
			}
			got, err := gather(bad, ReadOptions{}, 100, r.IntN(2) == 0, nil)
			var e *Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("%s: error %v (%T), want an *Error", name, err, err)
			}
			if err == nil && detect(bad) != formatCSV {
				if want, err := decodeAny(bad); err == nil {
					mustAgree(t, got, want)
				}
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	table := long()
	names := []string{"a.csv", "a.parquet", "a.arrow"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := Write(path, table); err != nil {
			t.Fatal(err)
		}
		want, err := Read(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s.NumRows() != want.NumRows() || !reflect.DeepEqual(s.Names(), want.Names()) || s.Columnar() != (name == "a.parquet") {
			t.Errorf("%s: %d rows of %q, columnar %t", name, s.NumRows(), s.Names(), s.Columnar())
		}
		for range 3 {
			got, err := gatherOnce(s, nil)
			if errors.Is(err, ErrRetyped) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			mustAgree(t, got, want)
		}
		stop := errors.New("stop")
		if err := s.Scan(nil, func(Part) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%s: error %v, want that of visit", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(filepath.Join(dir, "none.csv"), ReadOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v for a file that is not there", err)
	}
}
