package table

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files are the data files that path stands for, in the order of their names:
// path itself; if it is a directory, the files in it and below it but those whose
// names begin with "." or "_"; if there is nothing of that name and it is a
// pattern of [filepath.Match], those that match. Below a directory a file that is
// no data file by its name is an error, and so is a path that stands for none.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filesBelow(path)
	case err == nil:
		return []string{path}, nil
	case !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(path, "*?["):
		return nil, fmt.Errorf("read table: %w", err)
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", path, err)
	}
	if len(found) == 0 {
		return nil, &Error{File: path, Want: "no file matches the pattern"}
	}
	var out []string
	for _, f := range found { // Glob sorts
		more, err := Files(f)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// extensions are those of data files, each of which may be packed.
var extensions = []string{".csv", ".tsv", ".txt", ".parquet", ".pq", ".arrow", ".feather", ".ipc"}

func filesBelow(dir string) (out []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read table: %w", err)
		}
		if hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_"); hidden && path != dir {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		name := strings.ToLower(d.Name())
		for _, packed := range []string{".gz", ".zst"} {
			name = strings.TrimSuffix(name, packed)
		}
		if !slices.Contains(extensions, filepath.Ext(name)) {
			return &Error{File: path, Want: fmt.Sprintf("is no data file by its name, expected one of %s, or those with .gz or .zst; take it out of %s, or name the files by a pattern", strings.Join(extensions, ", "), dir)}
		}
		out = append(out, path)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = &Error{File: dir, Want: "there is no data file in this directory"}
	}
	return out, err
}

// partition is a column that stands in the names of directories, as in
// date=2026-03-01/part-0.parquet.
type partition struct{ key, value string }

// partitionsOf are those of a file below root.
func partitionsOf(root, file string) (out []partition) {
	rel, err := filepath.Rel(root, file)
	if err != nil {
		return nil
	}
	for _, dir := range strings.Split(filepath.Dir(rel), string(filepath.Separator)) {
		if key, value, ok := strings.Cut(dir, "="); ok && key != "" {
			if value == "__HIVE_DEFAULT_PARTITION__" {
				value = ""
			}
			out = append(out, partition{key, unescape(value)})
		}
	}
	return out
}

// unescape puts bytes for their %XX, where that is one.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		var v byte
		if s[i] == '%' && i+3 <= len(s) {
			if n, err := fmt.Sscanf(s[i+1:i+3], "%02x", &v); n == 1 && err == nil {
				b.WriteByte(v)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Root is the directory below which the files lie that path stands for: path, if
// it is one, else that which the pattern begins with.
func Root(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path
	}
	dir := filepath.Dir(path)
	for strings.ContainsAny(dir, "*?[") {
		dir = filepath.Dir(dir)
	}
	return dir
}
