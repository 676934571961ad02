package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestShippedModel trains the version that the repository ships again, as
// `make model` does, and compares every byte.
func TestShippedModel(t *testing.T) {
	t.Chdir("../..")
	root := t.TempDir()
	var msg bytes.Buffer
	args := []string{"--root", root, "--now", "2025-01-01T06:00:00Z", "train", "data/sales.csv", "--target", "sales", "--time", "date"}
	if code := run(context.Background(), args, nil, &msg, &msg); code != exitDone {
		t.Fatalf("train ended with %d: %s", code, &msg)
	}
	made, shipped := files(t, filepath.Join(root, "exported_model")), files(t, "exported_model")
	if len(shipped) < 8 {
		t.Fatalf("%d files are shipped, expected a whole version", len(shipped))
	}
	for name, want := range shipped {
		if got, ok := made[name]; !ok || !bytes.Equal(got, want) {
			t.Errorf("%s differs from what training makes; make model brings it up to date", name)
		}
	}
	for name := range made {
		if _, ok := shipped[name]; !ok {
			t.Errorf("%s is not shipped", name)
		}
	}
}

// files are the contents below dir by path, lock files left out.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		out[path[len(dir):]] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
