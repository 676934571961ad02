// Package test checks what installs healml on a machine: install.sh, the unit
// and the crontab.
package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// install runs install.sh with a stand-in for the binary.
func install(t *testing.T, args ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "healml")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../install.sh", append([]string{"--binary", binary}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("install.sh %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// tree maps each file below dir to its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInstallPutsFourThingsInPlace(t *testing.T) {
	dest := t.TempDir()
	install(t, "--destdir", dest)
	files := tree(t, dest)
	for file, shipped := range map[string]string{
		"/etc/systemd/system/healml.service": "../systemd/healml.service",
		"/etc/cron.d/healml":                 "../../crontab",
	} {
		want, err := os.ReadFile(shipped)
		if err != nil {
			t.Fatal(err)
		}
		if files[file] != string(want) {
			t.Errorf("%s is not the shipped file", file)
		}
	}
	if _, ok := files["/usr/local/bin/healml"]; !ok || len(files) != 3 {
		t.Errorf("files %v, expected the binary, the unit and the crontab alone", files)
	}
	if info, err := os.Stat(filepath.Join(dest, "var/lib/healml")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("state directory: %v, %v; expected mode 0750", info, err)
	}
}

func TestInstallAgainKeepsWhatIsTheAdministrators(t *testing.T) {
	dest := t.TempDir()
	install(t, "--destdir", dest)
	config := filepath.Join(dest, "var/lib/healml/healml.yaml")
	cron := filepath.Join(dest, "etc/cron.d/healml")
	unit := filepath.Join(dest, "etc/systemd/system/healml.service")
	for _, file := range []string{config, cron, unit} {
		if err := os.WriteFile(file, []byte("edited\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := install(t, "--destdir", dest); !strings.Contains(out, "kept: /etc/cron.d/healml") {
		t.Errorf("the second run does not say that it kept the crontab:\n%s", out)
	}
	files := tree(t, dest)
	if files["/var/lib/healml/healml.yaml"] != "edited\n" || files["/etc/cron.d/healml"] != "edited\n" {
		t.Error("the second run overwrote the configuration or an edited crontab")
	}
	if files["/etc/systemd/system/healml.service"] == "edited\n" {
		t.Error("the second run left an old unit in place")
	}
}

func TestInstallElsewhere(t *testing.T) {
	dest := t.TempDir()
	install(t, "--destdir", dest, "--prefix", "/opt/ml", "--root", "/srv/heal")
	for file, content := range tree(t, dest) {
		if strings.Contains(content, "/var/lib/healml") || strings.Contains(content, "/usr/local/bin/healml") {
			t.Errorf("%s still names the usual paths", file)
		}
		if strings.HasSuffix(file, ".service") && !strings.Contains(content, "\nReadWritePaths=/srv/heal\n") {
			t.Errorf("%s may not write to the state directory", file)
		}
	}
	install(t, "--destdir", dest, "--prefix", "/opt/ml", "--root", "/srv/heal", "--uninstall")
	if left := tree(t, dest); len(left) != 0 {
		t.Errorf("after --uninstall there is still %v", left)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	dest := t.TempDir()
	out := install(t, "--destdir", dest, "--dry-run")
	if left := tree(t, dest); len(left) != 0 {
		t.Errorf("--dry-run wrote %v", left)
	}
	for _, step := range []string{"would run: install -m 0755", "would write: /etc/systemd/system/healml.service", "would write: /etc/cron.d/healml"} {
		if !strings.Contains(out, step) {
			t.Errorf("--dry-run does not print %q:\n%s", step, out)
		}
	}
}

func TestInstallRefusesPathsThatNeedQuoting(t *testing.T) {
	for _, root := range []string{"relative", "/with space", "/a#b", "/$HOME"} {
		if out, err := exec.Command("../install.sh", "--dry-run", "--root", root).CombinedOutput(); err == nil {
			t.Errorf("--root %q was taken:\n%s", root, out)
		}
	}
}

// Every line of the crontab is one that cron.d takes: five fields of time, the
// user, a command that names paths in full and has no %, which cron turns into
// a line feed. Each line's output has a tag of its own.
func TestCrontab(t *testing.T) {
	b, err := os.ReadFile("../../crontab")
	if err != nil {
		t.Fatal(err)
	}
	job := regexp.MustCompile(`^([0-9]+ [0-9*]+ \* \* \*)  healml  (nice -n \d+ )?/usr/local/bin/healml --root /var/lib/healml --quiet ([a-z ]+) 2>&1 \| logger -t (healml-[a-z]+)$`)
	verbs := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if line == "" || strings.HasPrefix(line, "#") || regexp.MustCompile(`^[A-Z]+=`).MatchString(line) {
			continue
		}
		m := job.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a line that cron.d takes: %s", line)
			continue
		}
		verbs[m[3]] = m[4]
	}
	for _, verb := range []string{"drift", "retrain", "log compact", "models prune"} {
		if verbs[verb] == "" {
			t.Errorf("the crontab lacks %q", verb)
		}
	}
	if !strings.HasSuffix(string(b), "\n") {
		t.Error("cron ignores a last line without a line feed")
	}
}

// systemd finds no fault in the unit, and its sandbox stays tight. Machines
// without systemd cannot tell.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Logf("no systemd-analyze on this machine")
		return
	}
	unit, err := os.ReadFile("../systemd/healml.service")
	if err != nil {
		t.Fatal(err)
	}
	// A Go program that panics, or gets the watchdog's SIGABRT, exits with 2.
	if !strings.Contains(string(unit), "\nRestart=always\n") || strings.Contains(string(unit), "RestartPreventExitStatus") {
		t.Error("the unit does not restart the server whatever its exit code")
	}
	// verify asks for an existing program.
	file := filepath.Join(t.TempDir(), "healml.service")
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/healml", "/bin/true")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), file) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", file).CombinedOutput()
	m := regexp.MustCompile(`exposure level for healml\.service: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 1.5 {
		t.Errorf("exposure level %s (%v), expected at most 1.5", m[1], err)
	}
}
