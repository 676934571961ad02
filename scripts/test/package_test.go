package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackages builds both packages and looks into them: what is where, what
// depends on what, and that removal leaves the state alone.
func TestPackages(t *testing.T) {
	nfpm := os.Getenv("HEALML_NFPM")
	if nfpm == "" {
		t.Skip("nfpm is not to be had")
	}
	binary, err := filepath.Abs("../../bin/healml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("bin/healml is not built: make build")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("../package/build.sh", nfpm, "v1.2.3", dir)
	packages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(packages) != 2 {
		t.Fatalf("packages are %q, %v", packages, err)
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not to be had")
	}
	deb := filepath.Join(dir, "healml_1.2.3_"+debArch(t)+".deb")
	if about := run("dpkg-deb", "-f", deb); !strings.Contains(about, "Version: 1.2.3\n") || !strings.Contains(about, "Recommends: cron\n") {
		t.Errorf("the package says\n%s", about)
	}
	out := filepath.Join(dir, "out")
	run("dpkg-deb", "-R", deb, out)
	files := tree(t, out)
	for file, says := range map[string]string{
		"/usr/lib/systemd/system/healml.service":        "ExecStart=/usr/bin/healml --root /var/lib/healml",
		"/usr/lib/systemd/system/healml.socket":         "ListenStream=",
		"/etc/cron.d/healml":                            "/usr/bin/healml --root /var/lib/healml --quiet drift",
		"/usr/share/bash-completion/completions/healml": "healml",
		"/usr/share/man/man1/healml-serve.1.gz":         "",
		"/usr/bin/healml":                               "",
		"/DEBIAN/conffiles":                             "/etc/cron.d/healml",
		"/DEBIAN/postinst":                              "useradd --system",
	} {
		if text, ok := files[file]; !ok || !strings.Contains(text, says) {
			t.Errorf("%s is not there, or does not say %q", file, says)
		}
	}
	if info, err := os.Stat(filepath.Join(out, "var/lib/healml")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the state directory: %v %v", info, err)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if strings.Contains(files["/DEBIAN/"+script], "rm ") || strings.Contains(files["/DEBIAN/"+script], "userdel") {
			t.Errorf("%s removes something", script)
		}
	}
	if got := run(filepath.Join(out, "DEBIAN", "prerm"), "upgrade"); got != "" {
		t.Errorf("an upgrade stops the server: %s", got)
	}
}

func debArch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
