package table

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder writes files and returns their root.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestManyFiles: a directory or a pattern is read as one table, with the columns
// that stand in the path, whatever types the files have for themselves.
func TestManyFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		path  string // below the root
		want  string
	}{
		"a directory":            {map[string]string{"b.csv": "x,s\n3,c\n", "a.csv": "x,s\n1,a\n2,b\n", "_SUCCESS": "", ".a.csv.crc": "?"}, "", "x,s\n1,a\n2,b\n3,c\n"},
		"a pattern":              {map[string]string{"b.csv": "x\n3\n", "a.csv": "x\n1\n", "c.txt": "x\n9\n"}, "*.csv", "x\n1\n3\n"},
		"columns in other order": {map[string]string{"a.csv": "x,s\n1,a\n", "b.csv": "s;x\nb;2\n"}, "", "x,s\n1,a\n2,b\n"},
		"partitions":             {map[string]string{"date=2026-03-01/shop=7/a.csv": "x\n1\n", "date=2026-03-02/shop=8/a.csv": "x\n2\n2.5\n"}, "", "x,date,shop\n1,2026-03-01,7\n2,2026-03-02,8\n2.5,2026-03-02,8\n"},
		"partitions by pattern":  {map[string]string{"k=a%20b/a.csv": "x\n1\n", "k=__HIVE_DEFAULT_PARTITION__/a.csv": "x\n2\n"}, "*/*.csv", "x,k\n2,\n1,a b\n"},
		"texts in one of them":   {map[string]string{"a.csv": "x\n1\n", "b.csv": "x\nn.n.\n"}, "", "x\n1\nn.n.\n"},
		"missing, then times":    {map[string]string{"a.csv": "x,y\n,1\n", "b.csv": "x,y\n2026-03-01,2\n", "c.csv": "x,y\n,3\n"}, "", "x,y\n,1\n2026-03-01,2\n,3\n"},
		"missing, then texts":    {map[string]string{"a.csv": "x,y\n,1\n", "b.csv": "x,y\nr,2\n", "c.csv": "x,y\ns,3\nr,4\n"}, "", "x,y\n,1\nr,2\ns,3\nr,4\n"},
		"numbers and times":      {map[string]string{"a.csv": "x\n1\n", "b.csv": "x\n2026-03-01\n"}, "", "x\n1\n2026-03-01\n"},
		"no rows in the first":   {map[string]string{"a.csv": "x,s\n", "b.csv": "x,s\n1,a\n"}, "", "x,s\n1,a\n"},
		"one file in it":         {map[string]string{"a.csv": "x\n1\n"}, "", "x\n1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := both(t, filepath.Join(folder(t, c.files), c.path))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := WriteCSV(&b, got); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.want {
				t.Errorf("read\n%sexpected\n%s", b.String(), c.want)
			}
		})
	}
}

// TestManyFormats: files of different formats, packed or not, are one table; a
// type widened far down in one is found again.
func TestManyFormats(t *testing.T) {
	root := t.TempDir()
	var want []*Table
	for i, ext := range []string{".arrow", ".csv", ".parquet"} {
		levels := make([]string, 3000)
		x := make([]float64, len(levels))
		for k := range levels {
			levels[k], x[k] = fmt.Sprintf("level %d", (k*(i+3))%17), float64(i*1000+k)
		}
		part := Must(Strings("s", levels), Floats("x", x))
		if err := Write(filepath.Join(root, fmt.Sprint("part-", i, ext)), part); err != nil {
			t.Fatal(err)
		}
		want = append(want, part)
	}
	var late strings.Builder
	late.WriteString("x,s\n")
	for k := range 200_000 {
		fmt.Fprintf(&late, "%d,\n", k)
	}
	late.WriteString("n.n.,last\n")
	if err := os.WriteFile(filepath.Join(root, "z.csv.gz"), packed(t, "gzip", []byte(late.String())), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := both(t, root)
	if err != nil {
		t.Fatal(err)
	}
	if got.NumRows() != 9000+200_001 || got.Column("x").Type != String || got.Column("x").Text(9000) != "0" || got.Column("s").Text(209_000) != "last" {
		t.Errorf("%d rows, x is %s", got.NumRows(), got.Column("x").Type)
	}
	for i, part := range want {
		for k := range part.NumRows() {
			if row := i*3000 + k; got.Column("s").Text(row) != part.Column("s").Text(k) || got.Column("x").Text(row) != part.Column("x").Format(k) {
				t.Fatalf("row %d: %q, %q", row, got.Column("s").Text(row), got.Column("x").Text(row))
			}
		}
	}
	// Picked rows and picked columns are those of the whole.
	s, err := Open(root, ReadOptions{Columns: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows := []int{0, 2999, 3000, 8999, 9000, 209_000}
	some, err := gatherOnce(s, rows)
	for errors.Is(err, ErrRetyped) {
		some, err = gatherOnce(s, rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if len(some.Names()) != 1 || some.Column("s").Text(i) != got.Column("s").Text(row) {
			t.Errorf("row %d is %q, expected %q", row, some.Column("s").Text(i), got.Column("s").Text(row))
		}
	}
}

// TestManyFilesRefused: what does not fit together is named.
func TestManyFilesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files      map[string]string
		path, want string
	}{
		"another column":     {map[string]string{"a.csv": "x,s\n1,a\n", "b.csv": "x,t\n1,a\n"}, "", `b.csv: column "s": is missing, and is in `},
		"one more column":    {map[string]string{"a.csv": "x\n1\n", "b.csv": "x,t\n1,a\n"}, "", `b.csv: column "t": is not in `},
		"a stranger":         {map[string]string{"a.csv": "x\n1\n", "README.md": "read me"}, "", "README.md: is no data file by its name"},
		"an empty directory": {map[string]string{"d/.keep": ""}, "d", "there is no data file in this directory"},
		"no match":           {map[string]string{"a.csv": "x\n1\n"}, "*.parquet", "no file matches the pattern"},
		"a bad pattern":      {map[string]string{"a.csv": "x\n1\n"}, "[", "syntax error in pattern"},
		"a fault in one":     {map[string]string{"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n1,2\n3\n"}, "", `b.csv:3: value "3": the row has 1 values, the header names 2 columns`},
		"other partitions":   {map[string]string{"k=1/a.csv": "x\n1\n", "l=1/a.csv": "x\n1\n"}, "", `lies in directories of "l", `},
		"a column twice":     {map[string]string{"x=1/a.csv": "x\n1\n"}, "", "is a column of the file and a part of its path"},
	} {
		_, err := both(t, filepath.Join(folder(t, c.files), c.path))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
	root := folder(t, map[string]string{"date=2026-03-01/a.csv": "x\n1\n", "date=soon/b.csv": "x\nn.n.\n"})
	for _, types := range []map[string]Type{{"date": Time}, {"x": Float}} {
		var e *Error
		if _, err := Read(root, ReadOptions{Types: types}); !errors.As(err, &e) || !strings.Contains(e.File, "b.csv") {
			t.Errorf("%v: %v", types, err)
		}
	}
	if _, err := Read(filepath.Join(root, "gone"), ReadOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing of that name: %v", err)
	}
}
