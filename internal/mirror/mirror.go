// Package mirror carries versions to a bucket and back, so that a machine that
// trains and machines that serve need not see one another.
//
//	PREFIX/CURRENT            the version in force where it was pushed from
//	PREFIX/v0003-5f3a9c07/…   a version, file by file; its manifest comes last
//
// A bucket is trusted as little as a disk: what comes back is checked against its
// manifest and proves itself before it is in the registry. An object that is
// there is never replaced, except for CURRENT.
package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/healml/healml/internal/registry"
)

// Errors of a store.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("an object of that name is there already")
	// ErrUnreachable is matched when the store does not answer, or refuses us.
	ErrUnreachable = errors.New("the bucket cannot be reached")
)

// Store is a bucket. Keys have no leading slash.
type Store interface {
	// Get returns an object whole; ErrNotFound when there is none. More than most
	// bytes are an error.
	Get(ctx context.Context, key string, most int64) ([]byte, error)
	// Create writes an object that is not there; ErrExists when it is.
	Create(ctx context.Context, key string, b []byte) error
	// Replace writes an object, whether it is there or not.
	Replace(ctx context.Context, key string, b []byte) error
}

const (
	pointer     = "CURRENT"
	maxPointer  = 256
	maxManifest = 1 << 20
	maxFile     = 1 << 30
)

// Push carries a version there, and with point says that it is the one in force.
// What was carried before is not carried again. say is told of each file.
func Push(ctx context.Context, s Store, prefix string, l *registry.Loaded, point bool, say func(done, total int)) error {
	files, err := l.Files()
	if err != nil {
		return err
	}
	var names []string
	for name := range files {
		if name != registry.ManifestFile {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = append(names, registry.ManifestFile) // whoever finds it finds the rest
	version := l.Manifest.Version
	for i, name := range names {
		key := path.Join(prefix, version, name)
		if err := create(ctx, s, key, files[name]); err != nil {
			return fmt.Errorf("push %s: %w", version, err)
		}
		say(i+1, len(names))
	}
	if !point {
		return nil
	}
	if err := s.Replace(ctx, path.Join(prefix, pointer), []byte(version+"\n")); err != nil {
		return fmt.Errorf("push %s: %w", pointer, err)
	}
	return nil
}

// create writes an object unless it is there with the same content.
func create(ctx context.Context, s Store, key string, b []byte) error {
	err := s.Create(ctx, key, b)
	if !errors.Is(err, ErrExists) {
		return err
	}
	there, err := s.Get(ctx, key, int64(len(b)))
	if err != nil {
		return err
	}
	if !bytes.Equal(there, b) {
		return fmt.Errorf("%s: %w, with another content", key, ErrExists)
	}
	return nil
}

// Current is the version in force where it was pushed from.
func Current(ctx context.Context, s Store, prefix string) (string, error) {
	b, err := s.Get(ctx, path.Join(prefix, pointer), maxPointer)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path.Join(prefix, pointer), err)
	}
	version := strings.TrimSpace(string(b))
	if !registry.ValidName(version) {
		return "", fmt.Errorf("%s holds %.60q, which is no name of a version", path.Join(prefix, pointer), version)
	}
	return version, nil
}

// Pull takes a version into the registry; fresh is false when it was there.
func Pull(ctx context.Context, s Store, prefix, version string, reg *registry.Registry, say func(name string)) (fresh bool, err error) {
	if !registry.ValidName(version) {
		return false, fmt.Errorf("%.60q is no name of a version", version)
	}
	get := func(name string, most int64) ([]byte, error) {
		say(name)
		return s.Get(ctx, path.Join(prefix, version, name), most)
	}
	manifest, err := get(registry.ManifestFile, maxManifest)
	if err != nil {
		return false, fmt.Errorf("pull %s: %w", version, err)
	}
	name, fresh, err := reg.Receive(manifest, func(name string) ([]byte, error) { return get(name, maxFile) })
	if err == nil && name != version {
		err = fmt.Errorf("pull %s: the manifest there is that of %s", version, name)
	}
	return fresh, err
}
