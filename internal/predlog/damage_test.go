package predlog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
)

// smallSegment is a closed segment with one row a frame, and where the frames
// begin.
func smallSegment(t testing.TB, rows int) (b []byte, starts []int) {
	t.Helper()
	dir := t.TempDir()
	w, err := OpenWriter(dir, WriterOptions{Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	layout := sales()
	for i := range rows {
		if err := w.Append(context.Background(), layout, []Record{sale(i)}); err != nil {
			t.Fatal(err)
		}
		files, err := listSegments(dir)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			r := sale(0)
			starts = append(starts, int(fileSize(files[0].path))-16-4-len(appendRecord(nil, layout, &r)))
		}
		starts = append(starts, int(fileSize(files[0].path)))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := listSegments(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if b, err = os.ReadFile(files[0].path); err != nil {
		t.Fatal(err)
	}
	return b, starts
}

func segmentIDs(t *testing.T, d *segmentData) []int {
	t.Helper()
	if d.header == nil {
		return nil
	}
	var ids []int
	tab := d.rows.table()
	for row := range tab.NumRows() {
		ids = append(ids, checkSale(t, tab, row))
	}
	return ids
}

// A byte changed anywhere in a segment costs at most the row that it stands
// in, is noticed, and never makes up a row.
func TestEveryByteOfASegmentFlipped(t *testing.T) {
	const rows = 4
	b, starts := smallSegment(t, rows)
	for at := range b {
		c := bytes.Clone(b)
		c[at] ^= 0x55
		d, err := decodeSegment("s", c)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		want := count(0, rows)
		hit := -1
		if at >= starts[0] {
			hit = 0
			for starts[hit+1] <= at {
				hit++
			}
			want = slices.DeleteFunc(want, func(i int) bool { return i == hit })
		}
		if got := segmentIDs(t, d); !slices.Equal(got, want) {
			t.Fatalf("byte %d: rows %v, expected %v", at, got, want)
		}
		if hit == rows-1 {
			if d.frames.Torn == 0 {
				t.Fatalf("byte %d: not noticed", at)
			}
			continue
		}
		if len(d.gaps) != 1 {
			t.Fatalf("byte %d: findings %v", at, d.gaps)
		}
		g := d.gaps[0]
		if hit < 0 && g.Rows != 0 {
			t.Fatalf("byte %d: %v", at, g)
		}
		if hit >= 0 && (g.Rows != 1 || g.FirstSeq != uint64(hit) || g.LastSeq != uint64(hit) || g.Offset != int64(starts[hit]) ||
			g.Bytes != int64(starts[hit+1]-starts[hit]) || g.To != sale(hit+1).At || hit > 0 && g.From != sale(hit-1).At) {
			t.Fatalf("byte %d: %+v", at, g)
		}
	}
}

func TestSegmentTruncatedAnywhere(t *testing.T) {
	const rows = 3
	b, starts := smallSegment(t, rows)
	for n := range b {
		d, err := decodeSegment("s", b[:n])
		if err != nil {
			t.Fatalf("cut to %d: %v", n, err)
		}
		whole := 0
		for whole < rows && starts[whole+1] <= n {
			whole++
		}
		if got := segmentIDs(t, d); !slices.Equal(got, count(0, whole)) || len(d.gaps) != 0 {
			t.Fatalf("cut to %d: rows %v, findings %v", n, got, d.gaps)
		}
		if torn := n - starts[whole]; n >= starts[0] && d.frames.Torn != int64(torn) {
			t.Fatalf("cut to %d: %d bytes torn, expected %d", n, d.frames.Torn, torn)
		}
	}
}

// corruptions is every way in which a segment in the middle of a log is
// spoiled, and what of its rows 10…19 must be read all the same.
var corruptions = []struct {
	name  string
	spoil func(b []byte, frames int) []byte // frames: where they begin
	want  []int
	torn  bool // a torn tail, and no finding
}{
	{"middle", func(b []byte, frames int) []byte { b[frames+(len(b)-frames)/2] ^= 1; return b }, append(count(10, 15), count(16, 20)...), false},
	{"sector zeroed", func(b []byte, frames int) []byte { clear(b[frames+20 : frames+150]); return b }, count(12, 20), false},
	{"first header copy", func(b []byte, _ int) []byte { clear(b[:512]); return b }, count(10, 20), false},
	{"second header copy", func(b []byte, frames int) []byte { clear(b[frames/2 : frames]); return b }, count(10, 20), false},
	{"both header copies", func(b []byte, frames int) []byte { clear(b[:frames]); return b }, nil, false},
	{"tail cut", func(b []byte, _ int) []byte { return b[:len(b)-3] }, count(10, 19), true},
	{"tail of zeros", func(b []byte, _ int) []byte { return append(b, make([]byte, 5000)...) }, count(10, 20), true},
	{"tail of noise", func(b []byte, _ int) []byte { return append(b, bytes.Repeat([]byte("noise"), 99)...) }, count(10, 20), true},
	{"a stretch twice", func(b []byte, frames int) []byte { return append(b[:len(b):len(b)], b[frames:]...) }, count(10, 20), true},
	{"empty", func([]byte, int) []byte { return nil }, nil, true},
	{"all zeros", func(b []byte, _ int) []byte { clear(b); return b }, nil, true},
	{"another file", func([]byte, int) []byte { return bytes.Repeat([]byte("PAR1 "), 999) }, nil, false},
}

// Damage in one segment is reported, costs no row outside it, blocks neither
// reading nor sealing, and the file is kept in quarantine.
func TestCorruptions(t *testing.T) {
	for _, c := range corruptions {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, 3, 10)
			files, err := listSegments(dir)
			if err != nil || len(files) != 3 {
				t.Fatal(files, err)
			}
			slices.SortFunc(files, func(a, b segmentFile) int { return firstRow(t, a) - firstRow(t, b) })
			b, err := os.ReadFile(files[1].path)
			if err != nil {
				t.Fatal(err)
			}
			_, frames, _ := durable.DecodeFrames("s", b, func(uint64, []byte) error { return errors.New("stop") }, false)
			if err := os.WriteFile(files[1].path, c.spoil(b, int(frames.Good)), 0o644); err != nil {
				t.Fatal(err)
			}
			want := slices.Concat(count(0, 10), c.want, count(20, 30))
			r := expectIDs(t, dir, want)
			v, err := Verify(dir)
			if err != nil || (len(r.Findings) == 0) != c.torn || len(v.Findings) != len(r.Findings) {
				t.Errorf("read found %v, verify %v, %v", r.Findings, v.Findings, err)
			}
			if lost := 10 - len(c.want); !c.torn && len(r.Findings) > 0 && r.Findings[0].Rows > 0 && r.Findings[0].Rows != int64(lost) {
				t.Errorf("%v: expected %d rows", r.Findings, lost)
			}
			s := sealAll(t, dir)
			if s.Segments != 3 || len(s.Quarantined) > 0 == c.torn || len(s.Findings) > 0 == c.torn {
				t.Errorf("seal %+v", s)
			}
			expectIDs(t, dir, want)
			if d, err := Stat(dir); err != nil || d.Segments != 0 || d.Quarantined != len(s.Quarantined) {
				t.Errorf("stat %+v, %v", d, err)
			}
			if v, err = Verify(dir); err != nil || len(v.Findings) != 0 {
				t.Errorf("after sealing: %v, %v", v.Findings, err)
			}
		})
	}
}

func firstRow(t *testing.T, f segmentFile) int {
	d, err := scanSegment(f)
	if err != nil {
		t.Fatal(err)
	}
	return checkSale(t, d.rows.table(), 0)
}

// A frame whose checksum holds and whose rows do not: nothing is made of it,
// and the file is kept.
func TestRowsThatDoNotFit(t *testing.T) {
	r := sale(0)
	good := appendRecord([]byte{1, 0, 0, 0}, sales(), &r)
	for name, payload := range map[string][]byte{
		"no row":    {0, 0, 0, 0},
		"too few":   append([]byte{2}, good[1:]...),
		"too many":  append(slices.Clone(good), 0),
		"short row": append([]byte{1, 0, 0, 0, 4, 0, 0, 0}, "text"...),
		"long row":  func() []byte { b := append(slices.Clone(good), 7); b[4]++; return b }(),
		"time":      func() []byte { b := slices.Clone(good); b[15] = 0xff; return b }(),
		"nothing":   nil,
	} {
		for _, open := range []bool{false, true} {
			dir := t.TempDir()
			if err := durable.MkdirAll(filepath.Join(dir, walDir)); err != nil {
				t.Fatal(err)
			}
			ext := map[bool]string{false: segmentExt, true: openExt}[open]
			header := `{"format":1,"kind":"predictions","layout":` + sales().key() + `}`
			w, err := durable.CreateFrames(filepath.Join(dir, walDir, "s"+ext), []byte(header))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Append(0, payload), w.Close()); err != nil {
				t.Fatal(err)
			}
			r := expectIDs(t, dir, nil)
			s := sealAll(t, dir)
			if len(r.Findings) != 1 || len(s.Findings) != 1 || len(s.Quarantined) != 1 {
				t.Errorf("%s, open %v: read %v, seal %+v", name, open, r.Findings, s)
			}
		}
	}
}

func TestUnknownVersionIsKept(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 2, 3)
	files, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := durable.CreateFrames(filepath.Join(dir, walDir, "20990101T000000000000Z-00000000.seg"), []byte(`{"format":2,"kind":"predictions"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := sealAll(t, dir)
		if len(s.Findings) != 1 || !strings.Contains(s.Findings[0].What, "format 2") || len(s.Quarantined) != 0 {
			t.Errorf("seal %+v", s)
		}
	}
	if s, err := Repair(dir, SealOptions{}); err != nil || len(s.Quarantined) != 0 {
		t.Errorf("repair %+v, %v", s, err)
	}
	if left, err := listSegments(dir); err != nil || len(left) != len(files)-1 {
		t.Errorf("left %v, %v", left, err)
	}
	expectIDs(t, dir, count(0, 6))
}

func TestDamagedParquetIsSkipped(t *testing.T) {
	dir := t.TempDir()
	fillDays(t, dir, 3)
	l, err := list(dir, 0, maxTime)
	if err != nil || len(l.sealed) != 3 {
		t.Fatal(l, err)
	}
	path := l.sealed[1].path
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(filepath.Dir(path), "notes.parquet")
	if err := errors.Join(os.WriteFile(path, append(b[:len(b)/2:len(b)/2], b[len(b)/2+1:]...), 0o644), os.WriteFile(foreign, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	ids := func() string {
		tab, _, err := Read(dir, 0, maxTime, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(tab.Column(ColumnID).Dict, " ")
	}
	if got := ids(); got != "id-0 id-2" {
		t.Errorf("read %q", got)
	}
	v, err := Verify(dir)
	if err != nil || len(v.Findings) != 2 || v.Findings[0].File != path || v.Findings[1].File != foreign || v.Files != 2 || v.Rows != 2 {
		t.Errorf("verify %+v, %v", v, err)
	}
	s, err := Repair(dir, SealOptions{})
	if err != nil || len(s.Quarantined) != 1 || filepath.Base(s.Quarantined[0]) != filepath.Base(path) {
		t.Errorf("repair %+v, %v", s, err)
	}
	if v, err = Verify(dir); err != nil || len(v.Findings) != 1 {
		t.Errorf("verify after repair: %+v, %v", v, err)
	}
	if got := ids(); got != "id-0 id-2" {
		t.Errorf("read %q after repair", got)
	}
}

// Whole Parquet that is not the one its name promises is not taken for it.
func TestExchangedParquetIsNoticed(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 2, 2)
	sealAll(t, dir)
	l, err := list(dir, 0, maxTime)
	if err != nil || len(l.sealed) != 2 {
		t.Fatal(l, err)
	}
	b, err := os.ReadFile(l.sealed[1].path)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(l.sealed[0].path, b); err != nil {
		t.Fatal(err)
	}
	ids, stats := readIDs(t, dir)
	if len(ids) != 2 || len(stats.Findings) != 1 || stats.Findings[0].File != l.sealed[0].path {
		t.Errorf("rows %v, findings %v", ids, stats.Findings)
	}
}

// Repair takes out damaged segments and leaves whole ones to Seal.
func TestRepairSegments(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 2, 5)
	files, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(files[0].path)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := os.WriteFile(files[0].path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Repair(dir, SealOptions{})
	if err != nil || len(s.Quarantined) != 1 || s.Rows != 5 {
		t.Errorf("repair %+v, %v", s, err)
	}
	if d, err := Stat(dir); err != nil || d.Segments != 1 || d.Files != 1 || d.Quarantined != 1 || d.FirstDay != "2024-01-10" || d.LastDay != "2024-01-10" || d.Days != 1 {
		t.Errorf("stat %+v, %v", d, err)
	}
	expectIDs(t, dir, count(0, 10))
}

func TestFindingString(t *testing.T) {
	f := Finding{File: "f.seg", What: "damaged: rows lost", Offset: 70, Bytes: 9, Rows: 3, FirstSeq: 4, LastSeq: 6, To: noon}
	if got := f.String(); got != "f.seg: damaged: rows lost; 9 bytes at offset 70; 3 rows (numbers 4 to 6) before 2024-01-10T12:00:00Z" {
		t.Error(got)
	}
	f.From = noon - second
	if got := f.String(); !strings.HasSuffix(got, "between 2024-01-10T11:59:59Z and 2024-01-10T12:00:00Z") {
		t.Error(got)
	}
}

// Bytes that no writer made are read without a panic and without more rows
// than they can hold.
func FuzzDecodeSegment(f *testing.F) {
	b, starts := smallSegment(f, 3)
	f.Add(b, []byte{})
	f.Add(b[:starts[1]+3], []byte{1, 0, 0, 0})
	f.Add(b[:starts[0]], b[starts[0]+16:starts[1]])
	f.Fuzz(func(t *testing.T, file, payload []byte) {
		if d, err := decodeSegment("s", file); err == nil && d.header != nil {
			if n := d.rows.table().NumRows(); n > len(file) {
				t.Fatalf("%d rows out of %d bytes", n, len(file))
			}
		}
		for _, h := range []*segmentHeader{{Kind: predictions, Layout: sales()}, {Kind: actuals}} {
			rows := newRowBuilder(h)
			err := rows.addFrame(payload)
			if n := rows.table().NumRows(); err != nil && n != 0 || err == nil && (n == 0 || n > len(payload)/12) {
				t.Fatalf("%d rows out of %d bytes, %v", n, len(payload), err)
			}
		}
	})
}
