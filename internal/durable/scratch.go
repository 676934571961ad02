package durable

import (
	"errors"
	"os"
)

// Scratch makes a file in the system's folder for temporary files ($TMPDIR) for
// what is too much for memory. It has no name: closing it, or the end of the
// process, however it comes, removes it.
func Scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "healml-")
	if err != nil {
		return nil, failed("create", os.TempDir(), err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(failed("unname", f.Name(), err), f.Close())
	}
	return f, nil
}
