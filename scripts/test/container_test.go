package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestContainer builds the image around the program of this checkout and runs it
// as it is meant to run: without root, on a read-only file system, with its
// health check; a stop drains, and what was answered is in the log.
func TestContainer(t *testing.T) {
	for _, tool := range []string{"buildah", "podman", "runc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not to be had", tool)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("only root may run containers here")
	}
	dir := t.TempDir()
	env := containerEnv(t, dir)
	try := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := try(name, args...)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return out
	}
	image := filepath.Join(dir, "image")
	if err := os.MkdirAll(filepath.Join(image, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	env = append(env, "CGO_ENABLED=0")
	run("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(image, "healml"), "../../cmd/healml")
	if out, err := try("buildah", "bud", "--format", "docker", "--target", "ready", "-f", "../docker/Dockerfile", "-t", "healml-test", image); err != nil {
		t.Skipf("images cannot be built here: %v\n%s", err, out)
	}
	size := run("podman", "image", "inspect", "--format", "{{.Size}}", "healml-test")
	var bytes int
	if _, err := fmt.Sscan(size, &bytes); err != nil || bytes > 40<<20 {
		t.Errorf("the image has %s bytes, expected less than 40 MiB (%v)", size, err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sales, err := filepath.Abs("../../data")
	if err != nil {
		t.Fatal(err)
	}
	with := []string{"--read-only", "--cap-drop", "all", "--tmpfs", "/tmp", "-v", data + ":/data", "-v", sales + ":/in:ro"}
	if out, err := try("podman", append(append([]string{"run", "--rm"}, with...), "healml-test", "--quiet", "train", "/in/sales.csv", "--target", "sales", "--time", "date")...); err != nil {
		t.Skipf("containers cannot be run here: %v\n%s", err, out)
	}
	address := freeAddress(t)
	name := fmt.Sprintf("healml-test-%d", os.Getpid())
	run("podman", append(append([]string{"run", "-d", "--name", name, "-e", "HEALML_SERVE_ADDRESS=" + address}, with...), "healml-test")...)
	t.Cleanup(func() { try("podman", "rm", "-f", name) }) //nolint:errcheck // it is gone already when all went well
	ask := func() error {
		resp, err := http.Post("http://"+address+"/predict", "application/json", strings.NewReader(`{"date":"2024-01-10","category":"Electronics","region":"North","price":1000,"promo":1}`))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}
	for end := time.Now().Add(30 * time.Second); ask() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no answer: %v\n%s", ask(), run("podman", "logs", name))
		}
	}
	run("podman", "healthcheck", "run", name)
	run("podman", "stop", "-t", "15", name)
	if logs := run("podman", "logs", name); !strings.Contains(logs, "msg=drained") {
		t.Errorf("a stop did not drain:\n%s", logs)
	}
	if out := run("podman", append(append([]string{"run", "--rm"}, with...), "healml-test", "log", "verify")...); !strings.Contains(out, "predictions: 1 rows") {
		t.Errorf("the log holds %s", out)
	}
}

// containerEnv has the tools keep everything below dir.
func containerEnv(t *testing.T, dir string) []string {
	t.Helper()
	engine, storage := filepath.Join(dir, "containers.conf"), filepath.Join(dir, "storage.conf")
	for path, text := range map[string]string{
		engine: "[containers]\ncgroups=\"enabled\"\nnetns=\"host\"\nlog_driver=\"k8s-file\"\ndefault_ulimits=[\"nofile=20000:20000\",\"nproc=4096:4096\"]\n" +
			"[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"runc\"\n",
		storage: fmt.Sprintf("[storage]\ndriver=\"vfs\"\nrunroot=%q\ngraphroot=%q\n", filepath.Join(dir, "run"), filepath.Join(dir, "graph")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return append(os.Environ(), "CONTAINERS_CONF="+engine, "CONTAINERS_STORAGE_CONF="+storage, "BUILDAH_ISOLATION=chroot")
}

// freeAddress is a port that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
