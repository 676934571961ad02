package testdata

import (
	"os"
	"os/exec"
	"testing"
)

// Python returns the interpreter with the reference implementations
// (lightgbm, mlflow, pandas, pyarrow), named by HEALML_PYTHON. Without it a
// test fails under CI and is skipped elsewhere.
func Python(t testing.TB) string {
	t.Helper()
	name := os.Getenv("HEALML_PYTHON")
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "" {
		t.Skipf("no Python with the reference implementations at %q (set HEALML_PYTHON)", name)
	}
	t.Fatalf("no Python with the reference implementations at %q (set HEALML_PYTHON): %v", name, err)
	return ""
}
