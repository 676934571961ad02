package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/healml/healml/internal/schema"
)

// TestChain: a history that was changed, cut or extended by hand is found out,
// whatever was done to it; one that was not is whole.
func TestChain(t *testing.T) {
	r := Open(t.TempDir())
	var v []string
	for i := range 3 {
		b := bundle(schema.Regression, uint64(i+1))
		if i > 0 {
			b.Lineage.Parent = v[i-1]
		}
		name, err := r.Publish(b)
		must(t, err)
		v = append(v, name)
	}
	must(t, r.Promote(v[0], "first", created))
	from, err := r.Pointer()
	must(t, err)
	must(t, r.Move(from, Move{To: v[1], Reason: "better", At: created.Add(time.Hour), Incident: "i20240301t133000z-0badcafe", SHA256: strings.Repeat("a", 64)}))
	must(t, r.Promote(v[2], "by hand", created.Add(2*time.Hour)))
	must(t, r.Promote(v[0], "back", created.Add(3*time.Hour)))

	d, err := r.Show(v[1])
	must(t, err)
	first, err := r.Show(v[0])
	must(t, err)
	if d.Manifest.Lineage.ParentSHA256 != first.Manifest.SHA256 {
		t.Errorf("the parent's digest is %q, expected %q", d.Manifest.Lineage.ParentSHA256, first.Manifest.SHA256)
	}
	services, err := r.Services(v[0])
	must(t, err)
	if len(services) != 2 || !services[0].Until.Equal(created.Add(time.Hour)) || !services[1].Until.IsZero() {
		t.Errorf("services %+v", services)
	}
	record := func(dir string, seq string) string { return filepath.Join(dir, "history", seq+".json") }
	for name, c := range map[string]struct {
		harm func(dir string)
		want string
	}{
		"nothing":         {func(string) {}, ""},
		"a reason edited": {func(dir string) { rewrite(t, record(dir, "000002"), "better", "worse!") }, "record 2: its digest"},
		"a record forged": {func(dir string) {
			b, err := os.ReadFile(record(dir, "000002"))
			must(t, err)
			var c Change
			must(t, unseal(b, changeFormat, &c))
			c.Reason, c.SHA256 = "forged", ""
			b, err = seal(c)
			must(t, err)
			must(t, os.WriteFile(record(dir, "000002"), b, 0o644))
		}, "it was replaced"},
		"a record removed":     {func(dir string) { must(t, os.Remove(record(dir, "000002"))) }, "record 3: the one before it is missing"},
		"the first removed":    {func(dir string) { must(t, os.Remove(record(dir, "000001"))) }, "record 2: the one before it is missing"},
		"the last removed":     {func(dir string) { must(t, os.Remove(record(dir, "000004"))) }, "CURRENT names"},
		"CURRENT by hand":      {func(dir string) { must(t, os.WriteFile(filepath.Join(dir, "CURRENT"), []byte(v[1]), 0o644)) }, "CURRENT names"},
		"a version was pruned": {func(dir string) { must(t, os.RemoveAll(filepath.Join(dir, v[1]))) }, ""},
		"a version replaced": {func(dir string) {
			path := filepath.Join(dir, v[1], manifestFile)
			b, err := os.ReadFile(path)
			must(t, err)
			var m Manifest
			must(t, unseal(b, manifestFormat, &m))
			m.Lineage.Reason, m.SHA256 = "another", ""
			b, err = seal(m)
			must(t, err)
			must(t, os.WriteFile(path, b, 0o644))
		}, "the version was replaced"},
	} {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(r.Dir())))
		c.harm(dir)
		links, err := Open(dir).Chain()
		must(t, err)
		var faults []string
		for _, l := range links {
			if l.Fault != "" {
				faults = append(faults, l.Fault)
			}
		}
		got := strings.Join(faults, "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

func rewrite(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.Replace(string(b), from, to, 1)), 0o644))
}
