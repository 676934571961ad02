package registry

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/schema"
)

// refused checks that err is a VersionError about file, or any file when
// empty, and says want.
func refused(t *testing.T, err error, file, want string) {
	t.Helper()
	var v *VersionError
	if !errors.As(err, &v) {
		t.Fatalf("got %v, expected a *VersionError", err)
	}
	if file != "" && v.File != file || !strings.Contains(err.Error(), want) || v.Hint == "" {
		t.Errorf("got %v (file %q, hint %q), expected %q about %q", err, v.File, v.Hint, want, file)
	}
}

// Every bit of a version counts: whichever byte of whichever file is changed,
// the version is refused and the fault is put down to that file.
func TestLoadRefusesEveryChangedByte(t *testing.T) {
	r, versions := publish(t, 1)
	v := versions[0]
	l, err := r.Load(v)
	must(t, err)
	for _, name := range append(l.Manifest.names(), manifestFile) {
		path := filepath.Join(r.Path(v), name)
		whole := content(t, path)
		step := max(1, len(whole)/40)
		b := slices.Clone(whole)
		for at := 0; at < len(b); at += step {
			b[at] ^= 1 << (at % 8)
			must(t, os.WriteFile(path, b, 0o644))
			if _, err := r.Load(v); err == nil {
				t.Fatalf("%s: the change of byte %d went unnoticed", name, at)
			} else if at%97 == 0 {
				refused(t, err, name, "")
			}
			b[at] = whole[at]
		}
		for _, n := range []int{0, 1, len(b) / 2, len(b) - 1} {
			must(t, os.WriteFile(path, b[:n], 0o644))
			_, err := r.Load(v)
			refused(t, err, name, "")
		}
		must(t, os.WriteFile(path, append(slices.Clone(b), 0), 0o644))
		_, err := r.Load(v)
		refused(t, err, name, "")
		must(t, os.Remove(path))
		_, err = r.Load(v)
		refused(t, err, name, "not there")
		must(t, os.WriteFile(path, whole, 0o644))
	}
	must(t, r.Verify(v))
}

// The manifest vouches for the rest, so no bit of it may go unchecked.
func TestManifestRefusesEveryChangedBit(t *testing.T) {
	r, v := publish(t, 1)
	b := content(t, filepath.Join(r.Path(v[0]), manifestFile))
	for at := range b {
		for bit := range 8 {
			b[at] ^= 1 << bit
			if _, err := parseManifest(b); err == nil {
				t.Fatalf("the change of bit %d of byte %d went unnoticed", bit, at)
			}
			b[at] ^= 1 << bit
		}
	}
	for n := range b {
		if _, err := parseManifest(b[:n]); err == nil {
			t.Fatalf("the cut after byte %d went unnoticed", n)
		}
	}
}

// reseal changes the manifest of a version and gives it a right digest, as
// somebody would who wants to be believed.
func reseal(t *testing.T, dir string, change func(*Manifest)) {
	t.Helper()
	var m Manifest
	path := filepath.Join(dir, manifestFile)
	must(t, json.Unmarshal(content(t, path), &m))
	m.SHA256 = ""
	change(&m)
	b, err := seal(m)
	must(t, err)
	overwrite(t, path, b)
}

// replace puts other content into a version, with a manifest that vouches for
// it.
func replace(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	overwrite(t, filepath.Join(dir, name), b)
	reseal(t, dir, func(m *Manifest) { m.Files[name] = File{SHA256: digest(b), Bytes: int64(len(b))} })
}

func TestLoadRefusesForeignManifests(t *testing.T) {
	file := File{SHA256: noDigest}
	for want, change := range map[string]func(*Manifest){
		"format 2":                   func(m *Manifest) { m.Format = 2 },
		"format 0":                   func(m *Manifest) { m.Format = 0 },
		`"../../etc/passwd" is not`:  func(m *Manifest) { m.Files["../../etc/passwd"] = file },
		`"/etc/passwd" is not`:       func(m *Manifest) { m.Files["/etc/passwd"] = file },
		`"code/../x" is not`:         func(m *Manifest) { m.Files["code/../x"] = file },
		`"a/b/c" is not`:             func(m *Manifest) { m.Files["a/b/c"] = file },
		`".hidden" is not`:           func(m *Manifest) { m.Files[".hidden"] = file },
		`"x;y" is not`:               func(m *Manifest) { m.Files["x;y"] = file },
		`"manifest.json" is not`:     func(m *Manifest) { m.Files[manifestFile] = file },
		"golden.arrow is not listed": func(m *Manifest) { delete(m.Files, goldenFile) },
		"-1 bytes":                   func(m *Manifest) { m.Files["x"] = File{SHA256: noDigest, Bytes: -1} },
		"expected 64 hexadecimal":    func(m *Manifest) { m.Files["x"] = File{SHA256: "00"} },
		"at most 64 may be":          func(m *Manifest) { fill(m, file) },
		"its fingerprint":            func(m *Manifest) { m.Template = noDigest },
		"its content v0007":          func(m *Manifest) { m.Version = "v0007-00000000" },
		"MLmodel: it has":            func(m *Manifest) { m.Files["MLmodel"] = File{SHA256: noDigest, Bytes: 1} },
		"missing: it is listed in":   func(m *Manifest) { m.Files["missing"] = file },
	} {
		r, v := publish(t, 1)
		reseal(t, r.Path(v[0]), change)
		_, err := r.Load(v[0])
		refused(t, err, "", want)
	}
}

func fill(m *Manifest, f File) {
	for i := range maxFiles {
		m.Files["f"+string(rune('A'+i%26))+string(rune('a'+i/26))] = f
	}
}

// A manifest that vouches for everything does not make a wrong model right.
func TestLoadProvesWhatTheManifestVouchesFor(t *testing.T) {
	other := Open(t.TempDir())
	o, err := other.Publish(bundle(schema.Regression, 5))
	must(t, err)
	of := func(name string) []byte { return content(t, filepath.Join(other.Path(o), name)) }
	for _, c := range []struct{ file, want string }{
		{treesFile, "its content"},
		{goldenFile, "does not predict"},
	} {
		r, v := publish(t, 1)
		replace(t, r.Path(v[0]), c.file, of(c.file))
		_, err := r.Load(v[0])
		refused(t, err, "", c.want)
	}
	r, v := publish(t, 1)
	replace(t, r.Path(v[0]), lightgbmFile, of(lightgbmFile))
	_, err = r.Load(v[0])
	must(t, err) // Load has no use for model.lgb; Verify does
	refused(t, r.Verify(v[0]), lightgbmFile, "not the model of")

	r, v = publish(t, 1)
	replace(t, r.Path(v[0]), referenceFile, of(referenceFile)[:100])
	refused(t, r.Verify(v[0]), referenceFile, "not valid")

	r, v = publish(t, 1)
	replace(t, r.Path(v[0]), metricsFile, []byte("{"))
	_, err = r.Load(v[0])
	refused(t, err, metricsFile, "not valid")
}

func TestLoadRefusesNames(t *testing.T) {
	r, v := publish(t, 1)
	for _, name := range []string{"", ".", "..", "../" + filepath.Base(r.dir) + "/" + v[0], v[0] + "/", "/etc", "v0001", strings.ToUpper(v[0])} {
		_, err := r.Load(name)
		refused(t, err, "", "no name of a version")
	}
	_, err := r.Load("v0009-00000000")
	refused(t, err, "", "cannot be opened")
	must(t, os.Rename(r.Path(v[0]), r.Path("v0002-00000000")))
	_, err = r.Load("v0002-00000000")
	refused(t, err, manifestFile, "holds version "+v[0])
}

func TestLoadRefusesLinks(t *testing.T) {
	r, v := publish(t, 1)
	path := filepath.Join(r.Path(v[0]), metricsFile)
	must(t, os.Rename(path, filepath.Join(r.dir, "elsewhere")))
	must(t, os.Symlink("../elsewhere", path))
	_, err := r.Load(v[0])
	refused(t, err, metricsFile, "regular file")
}

func TestUnlisted(t *testing.T) {
	r, v := publish(t, 1)
	dir := r.Path(v[0])
	must(t, durable.MkdirAll(filepath.Join(dir, "code", "__pycache__")))
	overwrite(t, filepath.Join(dir, "code", "__pycache__", "healml_model.pyc"), nil)
	must(t, r.Verify(v[0]))
	overwrite(t, filepath.Join(dir, "code", "sitecustomize.py"), nil)
	overwrite(t, filepath.Join(dir, "extra"), nil)
	l, err := r.Load(v[0])
	must(t, err)
	if want := []string{"code/sitecustomize.py", "extra"}; !reflect.DeepEqual(l.Unlisted, want) {
		t.Errorf("unlisted %v, expected %v", l.Unlisted, want)
	}
	refused(t, r.Verify(v[0]), "code/sitecustomize.py, extra", "does not list")
}

// What was loaded is what is read later, or nothing.
func TestReferenceChangedAfterLoad(t *testing.T) {
	r, v := publish(t, 1)
	l, err := r.Load(v[0])
	must(t, err)
	overwrite(t, filepath.Join(l.Dir, referenceFile), []byte("x"))
	_, err = l.Reference()
	refused(t, err, referenceFile, "since the version was loaded")
}

func TestVerifyGoldenNoticesOneBit(t *testing.T) {
	r, v := publish(t, 1)
	l, err := r.Load(v[0])
	must(t, err)
	p := l.golden.Column("predicted_sales").Floats
	p[31] *= 1 + 0x1p-52
	if err := l.VerifyGolden(l.Model); err == nil || !strings.Contains(err.Error(), "row 32 has predicted_sales") {
		t.Errorf("got %v", err)
	}
}
