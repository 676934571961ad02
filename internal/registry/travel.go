package registry

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/healml/healml/internal/durable"
)

// ManifestFile is the name of the manifest in a version.
const ManifestFile = manifestFile

// Files reads every file of a version, the manifest among them, and checks each.
func (l *Loaded) Files() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range append(slices.Collect(maps.Keys(l.Manifest.Files)), manifestFile) {
		b, err := l.file(name)
		if err != nil {
			return nil, err
		}
		out[name] = b
	}
	return out, nil
}

// Receive takes in a version from elsewhere: its manifest, and the files that
// fetch returns by the names in it. Nothing is in the registry before every byte
// was checked and the version proved itself; fresh is false when it was there
// already. Another version of the same name is an *[ExistsError].
func (r *Registry) Receive(manifest []byte, fetch func(name string) ([]byte, error)) (version string, fresh bool, err error) {
	m, err := parseManifest(manifest)
	if err != nil {
		return "", false, fmt.Errorf("receive: %s: %w", manifestFile, err)
	}
	version = m.Version
	if _, err := os.Lstat(r.Path(version)); err == nil {
		return version, false, r.sameAs(m)
	}
	files := map[string][]byte{manifestFile: manifest}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if !local(name) {
			return version, false, &VersionError{Version: version, File: name, Reason: "the manifest names a path outside of the version"}
		}
		b, err := fetch(name)
		if err != nil {
			return version, false, fmt.Errorf("receive %s: %w", version, err)
		}
		if digest(b) != m.Files[name].SHA256 {
			return version, false, &VersionError{Version: version, File: name, Reason: "it differs from what the manifest says of it", Hint: "push it again from where it was made"}
		}
		files[name] = b
	}
	err = r.locked(func() error {
		if _, err := os.Lstat(r.Path(version)); err == nil {
			return r.sameAs(m)
		}
		fresh = true
		return r.writeProven(version, files)
	})
	if err != nil {
		return version, false, fmt.Errorf("receive: %w", err)
	}
	return version, fresh, nil
}

// local says that a path from a manifest stays in its directory.
func local(name string) bool {
	return filepath.IsLocal(name) && path.Clean(name) == name && name != manifestFile
}

// sameAs is nil when the version that is there is m.
func (r *Registry) sameAs(m *Manifest) error {
	l, err := r.Load(m.Version)
	if err != nil {
		return err
	}
	if l.Manifest.SHA256 != m.SHA256 {
		return &ExistsError{Path: r.Path(m.Version), Reason: "is another version of that name", Hint: "move it away first"}
	}
	return nil
}

// writeProven writes a version that proves itself before it gets its name.
func (r *Registry) writeProven(version string, files map[string][]byte) error {
	tmp, err := r.disk.TempDir(r.dir)
	if err != nil {
		return err
	}
	if err = writeFiles(r.disk, tmp, files); err == nil {
		_, err = LoadDir(tmp)
	}
	if err == nil {
		err = r.disk.PublishDir(tmp, r.Path(version))
	}
	if err != nil {
		_ = r.disk.RemoveAll(tmp) // what a failing disk keeps of it is swept by the next change
		var disk *durable.WriteError
		if !errors.As(err, &disk) {
			return fmt.Errorf("%s does not prove itself: %w", version, err)
		}
	}
	return err
}
