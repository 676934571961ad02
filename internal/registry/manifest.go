package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// manifestFormat is the version of manifest.json that this build writes and
// the newest that it reads.
const manifestFormat = 1

// The files of a version. The manifest lists all the others.
const (
	manifestFile  = "manifest.json"
	templateFile  = "template.json"
	treesFile     = "model.arrow"
	lightgbmFile  = "model.lgb"
	referenceFile = "reference.parquet"
	goldenFile    = "golden.arrow"
	metricsFile   = "metrics.json"
	estimatorFile = "estimator.json" // may be absent
)

// required are the files without which a version cannot be used.
var required = []string{templateFile, treesFile, lightgbmFile, referenceFile, goldenFile, metricsFile, "MLmodel"}

// Caps on what is read from a version that may be foreign or damaged.
const (
	maxManifest = 1 << 20
	maxFiles    = 64
	maxParsed   = 1 << 30 // a file that is taken into memory whole
	maxFile     = 8 << 30 // any other
)

// Manifest lists what a version holds (manifest.json). Its last field is a
// digest over the file itself, so that no byte of a version is unchecked.
type Manifest struct {
	Format   int             `json:"format"`
	Version  string          `json:"version"`  // the directory's name
	Created  time.Time       `json:"created"`  // UTC
	Template string          `json:"template"` // fingerprint of template.json
	Lineage  Lineage         `json:"lineage"`
	Files    map[string]File `json:"files"` // by path inside the directory, / between parts
	// SHA256 is over manifest.json with these 64 digits written as zeros.
	// It is set when the file is read.
	SHA256 string `json:"sha256"`
}

// File is what the manifest knows of one file.
type File struct {
	SHA256 string `json:"sha256"` // hex
	Bytes  int64  `json:"bytes"`
}

// Size is the sum of the sizes of all listed files in bytes.
func (m *Manifest) Size() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// names are the listed files in order.
func (m *Manifest) names() []string { return slices.Sorted(maps.Keys(m.Files)) }

var noDigest = strings.Repeat("0", 2*sha256.Size)

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// errNewer says that a file was written by a later program.
var errNewer = errors.New("is not known to this build")

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// seal returns v as JSON in which the last field, a string called sha256 and
// empty in v, is the digest over the text with zeros in that place.
func seal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	tail := []byte(`"sha256": ""` + "\n}")
	if !bytes.HasSuffix(b, tail) {
		return nil, errors.New("the value has no empty last field sha256")
	}
	b = fmt.Appendf(b[:len(b)-len(tail)], "\"sha256\": \"%s\"\n}\n", noDigest)
	sum := digest(b)
	copy(b[bytes.LastIndex(b, []byte(noDigest)):], sum)
	return b, nil
}

// unseal checks a sealed text and its format, which must be 1 to newest, and
// decodes it into v.
func unseal(b []byte, newest int, v any) error {
	var head struct {
		Format int    `json:"format"`
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if !hexDigest.MatchString(head.SHA256) {
		return fmt.Errorf("sha256 is %.80q, expected 64 lowercase hexadecimal digits", head.SHA256)
	}
	blank := slices.Clone(b)
	copy(blank[bytes.LastIndex(b, []byte(head.SHA256)):], noDigest)
	if got := digest(blank); got != head.SHA256 {
		return fmt.Errorf("its digest is %.12s, expected %.12s: it was changed or damaged", got, head.SHA256)
	}
	if head.Format < 1 || head.Format > newest {
		return fmt.Errorf("format %d %w, which reads 1 to %d", head.Format, errNewer, newest)
	}
	return json.Unmarshal(b, v)
}

// Seal is v as JSON whose last field, a string called sha256 and empty in v, is
// the digest over the text with zeros in that place.
func Seal(v any) ([]byte, error) { return seal(v) }

// Unseal checks what [Seal] made, and that its number called format is 1 to
// newest, and decodes it into v. An error that is a [NewerError] says that a
// later program wrote it.
func Unseal(b []byte, newest int, v any) error {
	err := unseal(b, newest, v)
	if errors.Is(err, errNewer) {
		return NewerError{err}
	}
	return err
}

// NewerError says that a file was written by a later program.
type NewerError struct{ error }

func (e NewerError) Unwrap() error { return e.error }

// allowed is the form of a file's path inside a version: a plain name, or one
// folder deep. Names are compared with this list of what may be, and never
// cleaned of what may not.
var allowed = regexp.MustCompile(`^([a-z][a-z0-9_]{0,31}/)?[A-Za-z0-9][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9]{1,15}){0,2}$`)

// parseManifest reads manifest.json.
func parseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := unseal(b, manifestFormat, &m); err != nil {
		return nil, err
	}
	return &m, m.validate()
}

func (m *Manifest) validate() error {
	if len(m.Files) > maxFiles {
		return fmt.Errorf("%d files are listed, at most %d may be", len(m.Files), maxFiles)
	}
	for _, name := range m.names() {
		f := m.Files[name]
		switch {
		case !allowed.MatchString(name) || name == manifestFile:
			return fmt.Errorf("the file name %.100q is not allowed", name)
		case f.Bytes < 0 || f.Bytes > maxFile:
			return fmt.Errorf("%s has %d bytes, at most %d may be", name, f.Bytes, int64(maxFile))
		case !hexDigest.MatchString(f.SHA256):
			return fmt.Errorf("%s has the SHA-256 %.80q, expected 64 hexadecimal digits", name, f.SHA256)
		}
	}
	for _, name := range required {
		if _, ok := m.Files[name]; !ok {
			return fmt.Errorf("%s is not listed", name)
		}
	}
	return nil
}
