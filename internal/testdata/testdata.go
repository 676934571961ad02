// Package testdata finds the real data sets that tests read. They are not part
// of the repository; HEALML_SHARED names the folder that holds them.
package testdata

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Shared returns the folder that holds data/ and bench/. It is named by
// HEALML_SHARED, by default "shared" beside the checkout. Without it a test
// fails under CI and is skipped elsewhere.
func Shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("HEALML_SHARED")
	if dir == "" {
		_, file, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(file), "..", "..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("the real data sets are not at %s (set HEALML_SHARED)", dir)
		}
		t.Fatalf("the real data sets are not at %s (set HEALML_SHARED): %v", dir, err)
	}
	return dir
}
