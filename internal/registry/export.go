package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/healml/healml/internal/durable"
)

// ExistsError says that an export would replace something.
type ExistsError struct {
	Path   string
	Reason string
	Hint   string
}

func (e *ExistsError) Error() string { return e.Path + " " + e.Reason }

// ExportMLflow copies the version to the directory out, which then stands
// alone: MLflow loads it, and so does [LoadDir]. out must not exist or be
// empty. With force, out may also be another MLflow model, which is replaced
// in one step. Every file is compared with the manifest on its way.
func (l *Loaded) ExportMLflow(out string, force bool) error {
	if err := replaceable(out, force); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	names := append(slices.Collect(maps.Keys(l.Manifest.Files)), manifestFile)
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		b, err := l.file(name)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		files[name] = b
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := durable.MkdirAll(parent); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	tmp, err := durable.TempDir(parent)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	old, fresh := filepath.Join(tmp, "old"), filepath.Join(tmp, "new")
	err = errors.Join(durable.MkdirAll(fresh), writeFiles(durable.Disk{}, fresh, files))
	if err == nil {
		err = swapDir(fresh, out, old)
	}
	if err = errors.Join(err, durable.RemoveAll(tmp)); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// swapDir moves out, if it exists, to old and fresh to out.
func swapDir(fresh, out, old string) error {
	if _, err := os.Lstat(out); err == nil {
		if err := durable.Rename(out, old); err != nil {
			return err
		}
	}
	return durable.PublishDir(fresh, out)
}

// replaceable reports whether a directory may be written at out.
func replaceable(out string, force bool) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return err
	case !force:
		return &ExistsError{Path: out, Reason: "exists and is not empty", Hint: "name another directory, or replace it with --force"}
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "MLmodel" }) {
		return &ExistsError{Path: out, Reason: "exists and is no MLflow model", Hint: "force replaces only earlier exports; name another directory"}
	}
	return nil
}

// ExportLightGBM writes the trees to the file out in LightGBM's text format.
// They read features, not raw columns: template.json says how to make the one
// from the other. An existing file is replaced only with force.
func (l *Loaded) ExportLightGBM(out string, force bool) error {
	b, err := l.file(lightgbmFile)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return ExportFile(out, b, force)
}

// ExportFile writes a file made of a version to out. What is there is replaced
// only with force; otherwise the error is an *[ExistsError].
func ExportFile(out string, b []byte, force bool) error {
	if _, err := os.Lstat(out); err == nil && !force {
		return fmt.Errorf("export: %w", &ExistsError{Path: out, Reason: "exists", Hint: "name another file, or replace it with --force"})
	}
	if err := durable.WriteFile(out, b); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
