package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/mlflow"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/table"
)

// Publish writes b as a new version and returns its name. It does not promote
// it. The version appears whole or not at all: everything is encoded, read
// back and proved in memory, written to a temporary directory, fsynced, and
// renamed. The same bundle under the same name gives the same bytes.
//
// The number in the name is the next free one, the rest are the first digits
// of the SHA-256 over model.arrow and template.json, one after the other.
func (r *Registry) Publish(b *Bundle) (version string, err error) {
	files, err := b.encode()
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	err = r.locked(func() error {
		n, err := r.nextNumber()
		if err != nil {
			return err
		}
		version = versionOf(n, files[treesFile], files[templateFile])
		chained := *b
		if parent, err := r.read(b.Lineage.Parent); err == nil {
			chained.Lineage.ParentSHA256 = parent.Manifest.SHA256
		}
		all, err := chained.complete(version, files)
		if err != nil {
			return err
		}
		return r.write(version, all)
	})
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	return version, nil
}

// versionOf is the name of the version with number n and this content.
func versionOf(n int, trees, template []byte) string {
	return fmt.Sprintf("v%04d-%.8s", n, digest(slices.Concat(trees, template)))
}

// versionNumberedLike is the name that this content has under the number of
// name.
func versionNumberedLike(name string, trees, template []byte) string {
	return versionOf(number(name), trees, template)
}

// nextNumber is one more than any number that exists or that ever served, so
// that a pruned version's name does not come back.
func (r *Registry) nextNumber() (int, error) {
	names, err := r.Versions()
	if err != nil {
		return 0, err
	}
	history, err := r.History()
	if err != nil {
		return 0, err
	}
	for _, h := range history {
		names = append(names, h.To)
	}
	n := 0
	for _, name := range names {
		n = max(n, number(name))
	}
	return n + 1, nil
}

// encode returns the files that do not depend on the version's name.
func (b *Bundle) encode() (map[string][]byte, error) {
	if b.Template == nil || b.Trees == nil || b.Reference == nil || b.Metrics == nil {
		return nil, errors.New("the bundle lacks a template, trees, a reference or metrics")
	}
	if err := b.Metrics.Validate(); err != nil {
		return nil, err
	}
	m, err := model.New("", b.Template, b.Trees)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{templateFile: b.Template.Marshal()}
	if files[metricsFile], err = json.MarshalIndent(b.Metrics, "", "  "); err != nil {
		return nil, fmt.Errorf("encode metrics: %w", err)
	}
	files[metricsFile] = append(files[metricsFile], '\n')
	if files[treesFile], err = encodeTrees(b.Trees); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := b.Trees.WriteText(&text); err != nil {
		return nil, err
	}
	files[lightgbmFile] = text.Bytes()
	if files[goldenFile], err = encodeGolden(b.Golden, m); err != nil {
		return nil, err
	}
	if files[referenceFile], err = table.EncodeParquet(b.Reference); err != nil {
		return nil, fmt.Errorf("encode reference: %w", err)
	}
	if b.Estimator != nil {
		if files[estimatorFile], err = b.Estimator.Marshal(); err != nil {
			return nil, err
		}
		if _, err := parseEstimator(files[estimatorFile], b.Template); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// complete adds MLflow's files and the manifest, and proves the whole as Load
// would.
func (b *Bundle) complete(version string, files map[string][]byte) (map[string][]byte, error) {
	created := b.Created.UTC().Truncate(time.Second)
	all := maps.Clone(files)
	size := int64(0)
	for _, f := range files {
		size += int64(len(f))
	}
	extra, err := mlflow.Files(mlflow.Model{
		Name:     version,
		Template: b.Template,
		Digest:   digest(slices.Concat(files[treesFile], files[templateFile])),
		Created:  created,
		Example:  b.Golden,
		Bytes:    size,
		Trees:    lightgbmFile,
	})
	if err != nil {
		return nil, err
	}
	maps.Copy(all, extra)
	m := &Manifest{
		Format:   manifestFormat,
		Version:  version,
		Created:  created,
		Template: b.Template.Fingerprint,
		Lineage:  b.Lineage,
		Files:    make(map[string]File, len(all)),
	}
	for name, f := range all {
		m.Files[name] = File{SHA256: digest(f), Bytes: int64(len(f))}
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if all[manifestFile], err = seal(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	o := &opened{version: version, manifest: m, parsed: all}
	l, err := o.prove()
	if err != nil {
		return nil, err
	}
	if err := proveText(all[lightgbmFile], l); err != nil {
		return nil, o.fault(lightgbmFile, "it is not the model of "+treesFile, "", err)
	}
	return all, nil
}

// write makes the version's directory appear.
func (r *Registry) write(version string, files map[string][]byte) error {
	tmp, err := r.disk.TempDir(r.dir)
	if err != nil {
		return err
	}
	err = writeFiles(r.disk, tmp, files)
	if err == nil {
		err = r.disk.PublishDir(tmp, r.Path(version))
	}
	if err != nil {
		// What a failing disk keeps of it is swept by the next change.
		_ = r.disk.RemoveAll(tmp)
	}
	return err
}

// writeFiles writes files by their paths into dir.
func writeFiles(disk durable.Disk, dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if sub := path.Dir(name); sub != "." {
			if err := disk.MkdirAll(filepath.Join(dir, sub)); err != nil {
				return err
			}
		}
		if err := disk.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), files[name]); err != nil {
			return err
		}
	}
	return nil
}
