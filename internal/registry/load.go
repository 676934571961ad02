package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/healml/healml/internal/estimate"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Loaded is a version that passed every check of [Registry.Load].
type Loaded struct {
	Model    *model.Model
	Manifest Manifest
	Metrics  Metrics
	Dir      string // the version's directory
	// Unlisted are files in the directory that the manifest does not know,
	// in order. They are never read.
	Unlisted []string

	golden *table.Table
}

// What an operator can do about a version that is not whole.
const (
	hintRestore = "restore the directory from a copy, or serve the version before it: healml models rollback"
	hintUpgrade = "it was written by a newer healml: upgrade this one, or serve an older version: healml models rollback"
	hintList    = "healml models list names the versions present"
)

// Load reads a version and proves it: the manifest against its own digest,
// the size and SHA-256 of every listed file, the template and the trees
// against their formats, and the golden rows' predictions bit for bit. What
// fails is a *[VersionError].
func (r *Registry) Load(version string) (*Loaded, error) {
	if !ValidName(version) {
		return nil, &VersionError{Version: fmt.Sprintf("%.80q", version), Reason: "this is no name of a version", Hint: hintList}
	}
	l, err := LoadDir(r.Path(version))
	if err != nil {
		return nil, err
	}
	if l.Manifest.Version != version {
		return nil, &VersionError{Version: version, File: manifestFile,
			Reason: fmt.Sprintf("the directory holds version %s", l.Manifest.Version),
			Hint:   "a version must keep its name: rename the directory back"}
	}
	return l, nil
}

// LoadDir is Load for a version directory anywhere, under any name, such as
// one made by [Loaded.ExportMLflow].
func LoadDir(dir string) (*Loaded, error) {
	o := &opened{dir: dir, version: filepath.Base(dir)}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, o.fault("", "it cannot be opened", hintList, err)
	}
	defer root.Close()
	o.root = root
	if err := o.readManifest(); err != nil {
		return nil, err
	}
	if err := o.readFiles(); err != nil {
		return nil, err
	}
	l, err := o.prove()
	if err != nil {
		return nil, err
	}
	l.Dir = dir
	l.Unlisted, err = o.unlisted()
	if err != nil {
		return nil, o.fault("", "its files cannot be listed", "", err)
	}
	return l, nil
}

// opened is a version on its way through the checks.
type opened struct {
	dir, version string
	root         *os.Root
	manifest     *Manifest
	parsed       map[string][]byte // content of the files that are parsed, verified
}

func (o *opened) fault(file, reason, hint string, err error) *VersionError {
	return &VersionError{Version: o.version, File: file, Reason: reason, Hint: hint, Err: err}
}

func (o *opened) readManifest() error {
	b, err := o.read(manifestFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return o.fault(manifestFile, "it is not there, so this is no whole version", hintRestore, nil)
	}
	if err != nil {
		return o.fault(manifestFile, "it cannot be read", hintRestore, err)
	}
	m, err := parseManifest(b)
	if err != nil {
		hint := hintRestore
		if errors.Is(err, errNewer) {
			hint = hintUpgrade
		}
		return o.fault(manifestFile, "it is not valid", hint, err)
	}
	o.manifest = m
	return nil
}

// open opens a regular file inside the version and returns its size.
func (o *opened) open(name string) (*os.File, int64, error) {
	info, err := o.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s, expected a regular file", info.Mode().Type())
	}
	f, err := o.root.Open(name)
	return f, info.Size(), err
}

func (o *opened) read(name string, most int64) ([]byte, error) {
	f, size, err := o.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%d bytes, at most %d may be", size, most)
	}
	return io.ReadAll(io.LimitReader(f, size))
}

// parsedFiles are those whose content [prove] needs.
var parsedFiles = map[string]bool{templateFile: true, treesFile: true, goldenFile: true, metricsFile: true}

// readFiles compares every listed file with its size and SHA-256 and keeps
// the content of those that are parsed, so that what was hashed is what is
// parsed.
func (o *opened) readFiles() error {
	o.parsed = map[string][]byte{}
	for _, name := range o.manifest.names() {
		if err := o.check(name); err != nil {
			return err
		}
	}
	return nil
}

// check reads one listed file and compares it with the manifest.
func (o *opened) check(name string) error {
	want := o.manifest.Files[name]
	got, err := o.readFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o.fault(name, "it is listed in the manifest and not there", hintRestore, nil)
	case err != nil:
		return o.fault(name, "it cannot be read", hintRestore, err)
	case got.Bytes != want.Bytes:
		return o.fault(name, fmt.Sprintf("it has %d bytes, expected %d", got.Bytes, want.Bytes), hintRestore, nil)
	case got.SHA256 != want.SHA256:
		return o.fault(name, fmt.Sprintf("its SHA-256 is %.12s, expected %.12s: it was changed or damaged", got.SHA256, want.SHA256), hintRestore, nil)
	}
	return nil
}

func (o *opened) readFile(name string) (File, error) {
	if parsedFiles[name] {
		b, err := o.read(name, maxParsed)
		if err != nil {
			return File{}, err
		}
		o.parsed[name] = b
		return File{SHA256: digest(b), Bytes: int64(len(b))}, nil
	}
	f, _, err := o.open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxFile))
	return File{SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: n}, err
}

// prove parses the verified files and predicts the golden rows.
func (o *opened) prove() (*Loaded, error) {
	name := o.manifest.Version
	if want := versionNumberedLike(name, o.parsed[treesFile], o.parsed[templateFile]); name != want {
		return nil, o.fault(manifestFile, fmt.Sprintf("the version is called %s, its content %s", name, want), hintRestore, nil)
	}
	tmpl, err := schema.Parse(o.parsed[templateFile])
	if err != nil {
		return nil, o.fault(templateFile, "it is not valid", hintUpgrade, err)
	}
	if tmpl.Fingerprint != o.manifest.Template {
		return nil, o.fault(templateFile, fmt.Sprintf("its fingerprint is %.12s, the manifest's %.12s", tmpl.Fingerprint, o.manifest.Template), hintRestore, nil)
	}
	trees, err := decodeTrees(o.parsed[treesFile])
	if err != nil {
		return nil, o.fault(treesFile, "it is not valid", hintUpgrade, err)
	}
	l := &Loaded{Manifest: *o.manifest}
	if l.Model, err = model.New(name, tmpl, trees); err != nil {
		return nil, o.fault(treesFile, "it does not fit the template", hintRestore, err)
	}
	if err := json.Unmarshal(o.parsed[metricsFile], &l.Metrics); err != nil {
		return nil, o.fault(metricsFile, "it is not valid", hintRestore, err)
	}
	if l.golden, err = decodeGolden(o.parsed[goldenFile], l.Model); err != nil {
		return nil, o.fault(goldenFile, "it is not valid", hintRestore, err)
	}
	if err := l.VerifyGolden(l.Model); err != nil {
		return nil, o.fault(goldenFile, "this build does not predict what the version promised", hintRestore, err)
	}
	return l, nil
}

// unlisted are the files that the manifest does not know. Python's byte code
// caches do not count: MLflow leaves them in code/ when it loads the version.
func (o *opened) unlisted() ([]string, error) {
	var names []string
	err := fs.WalkDir(o.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path.Base(name) == "__pycache__":
			return fs.SkipDir
		case e.IsDir() || name == manifestFile:
			return nil
		}
		if _, listed := o.manifest.Files[name]; !listed {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// Reference reads the rows that traffic is compared with. The file is read
// and checked again, since a version does not keep it in memory.
func (l *Loaded) Reference() (*table.Table, error) {
	b, err := l.file(referenceFile)
	if err != nil {
		return nil, err
	}
	t, err := table.DecodeParquet(filepath.Join(l.Dir, referenceFile), b, table.ReadOptions{})
	if err != nil {
		return nil, &VersionError{Version: l.Model.Version, File: referenceFile, Reason: "it is not valid", Hint: hintRestore, Err: err}
	}
	return t, nil
}

// Estimator reads what the holdout says of the errors to come; nil when the
// version has none, as those that were made before there were any. Like the
// reference it is read and checked when asked for: serving does without.
func (l *Loaded) Estimator() (*estimate.Estimator, error) {
	if _, ok := l.Manifest.Files[estimatorFile]; !ok {
		return nil, nil
	}
	b, err := l.file(estimatorFile)
	if err != nil {
		return nil, err
	}
	e, err := parseEstimator(b, l.Model.Template)
	if err != nil {
		hint := hintRestore
		if errors.Is(err, estimate.ErrNewer) {
			hint = hintUpgrade
		}
		return nil, &VersionError{Version: l.Model.Version, File: estimatorFile, Reason: "it is not valid", Hint: hint, Err: err}
	}
	return e, nil
}

// parseEstimator reads estimator.json and checks that it fits the template.
func parseEstimator(b []byte, t *schema.Template) (*estimate.Estimator, error) {
	e, err := estimate.Parse(b)
	if err != nil {
		return nil, err
	}
	if e.Task != t.Task || e.K != t.Outputs() {
		return nil, fmt.Errorf("the estimator is of a %s task with %d outputs a row, the template of a %s task with %d", e.Task, e.K, t.Task, t.Outputs())
	}
	if e.Errors != nil && len(e.Errors.Features) != len(t.Features)+1 {
		return nil, fmt.Errorf("the estimator reads %d features, the template makes %d", len(e.Errors.Features)-1, len(t.Features))
	}
	return e, nil
}

// Golden are the golden rows with the predictions promised for them.
func (l *Loaded) Golden() *table.Table { return l.golden }

// file reads a file of the version, or its manifest, and checks that it is
// still what was loaded.
func (l *Loaded) file(name string) ([]byte, error) {
	fault := func(reason string, err error) error {
		return &VersionError{Version: l.Model.Version, File: name, Reason: reason, Hint: hintRestore, Err: err}
	}
	root, err := os.OpenRoot(l.Dir)
	if err != nil {
		return nil, fault("it cannot be read", err)
	}
	defer root.Close()
	b, err := (&opened{root: root}).read(name, maxFile)
	if err != nil {
		return nil, fault("it cannot be read", err)
	}
	same := digest(b) == l.Manifest.Files[name].SHA256
	if name == manifestFile {
		m, err := parseManifest(b)
		same = err == nil && m.SHA256 == l.Manifest.SHA256
	}
	if !same {
		return nil, fault("it was changed or damaged since the version was loaded", nil)
	}
	return b, nil
}

// Verify loads a version and checks the rest: that the reference and the
// estimator can be read, that model.lgb predicts the golden rows as model.arrow does, and that
// nothing lies in the directory that the manifest does not know.
func (r *Registry) Verify(version string) error {
	l, err := r.Load(version)
	if err != nil {
		return err
	}
	if _, err := l.Reference(); err != nil {
		return err
	}
	if _, err := l.Estimator(); err != nil {
		return err
	}
	b, err := l.file(lightgbmFile)
	if err != nil {
		return err
	}
	fault := func(file, reason, hint string, err error) error {
		return &VersionError{Version: version, File: file, Reason: reason, Hint: hint, Err: err}
	}
	if err := proveText(b, l); err != nil {
		return fault(lightgbmFile, "it is not the model of "+treesFile, hintRestore, err)
	}
	if l.Unlisted != nil {
		return fault(strings.Join(l.Unlisted, ", "), "the manifest does not list this",
			"it is not part of the version and nothing reads it: move it away", nil)
	}
	return nil
}

// proveText checks that LightGBM's text predicts the golden rows of l.
func proveText(text []byte, l *Loaded) error {
	trees, err := gbdt.ReadText(lightgbmFile, text)
	if err != nil {
		return err
	}
	m, err := model.New(l.Model.Version, l.Model.Template, trees)
	if err != nil {
		return err
	}
	return l.VerifyGolden(m)
}
