package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/testdata"
)

// TestOthersReadIt trains on real data and has the others read all of it: the
// model through MLflow on raw columns and through LightGBM on encoded ones,
// with the predictions that healml makes; the log, the reference and the
// report through pyarrow and DuckDB; ONNX Runtime predicts from raw columns.
// Then it serves, and the clients of MLflow's
// scoring protocol and of the Open Inference Protocol ask for the same.
func TestOthersReadIt(t *testing.T) {
	python, shared := testdata.Python(t), testdata.Shared(t)
	root := t.TempDir()
	healml := func(codes string, args ...string) {
		t.Helper()
		var msg bytes.Buffer
		args = append([]string{"--root", root, "--now", "1992-10-08T00:00:00Z", "--quiet"}, args...)
		if code := run(context.Background(), args, nil, &msg, &msg); !strings.Contains(codes, fmt.Sprint(code)) {
			t.Fatalf("healml %s ended with %d: %s", strings.Join(args, " "), code, &msg)
		}
	}
	data := filepath.Join(shared, "data", "oj", "oj_demo_schema.csv")
	healml("0", "train", data, "--target", "sales", "--time", "date")
	all, err := table.Read(data, table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw, predicted := filepath.Join(root, "raw.csv"), filepath.Join(root, "predicted.csv")
	n := all.NumRows()
	if err := table.Write(raw, all.Drop("sales").Slice(n*4/5, n)); err != nil {
		t.Fatal(err)
	}
	healml("0", "predict", raw, "--out", predicted, "--log")
	healml("0 10", "drift")
	versions, err := filepath.Glob(filepath.Join(root, "exported_model", "v0001-*"))
	if err != nil || len(versions) != 1 {
		t.Fatalf("versions %q, %v", versions, err)
	}
	args := []string{filepath.Join("testdata", "interop.py"), versions[0], raw, predicted, "sales", filepath.Join(versions[0], "reference.parquet")}
	for _, pattern := range []string{"data/predictions/date=*/*.parquet", "data/reports/*/report.parquet"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		args = append(args, found...)
	}
	script(t, python, args...)
	graph := filepath.Join(root, "model.onnx")
	healml("0", "export", "--format", "onnx", "--out", graph)
	script(t, python, filepath.Join("testdata", "onnx.py"), graph, raw, predicted, "sales")
	s := serveOn(t, root)
	script(t, python, filepath.Join("testdata", "clients.py"), s.url, versions[0], raw, "sales")
}

// script runs a Python script, which says by its exit code whether all is well.
func script(t *testing.T, python string, args ...string) {
	t.Helper()
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestMLflowServer tells a real tracking server of versions, is taken back, and
// catches up after the server was away; MLflow's own client says what it knows.
func TestMLflowServer(t *testing.T) {
	python := testdata.Python(t)
	mlflow := filepath.Join(filepath.Dir(python), "mlflow")
	if _, err := os.Stat(mlflow); err != nil {
		t.Skip("mlflow is not to be had")
	}
	dir, root := t.TempDir(), t.TempDir()
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	healml := func(args ...string) string {
		t.Helper()
		var msg bytes.Buffer
		if code := run(context.Background(), append([]string{"--root", root, "--quiet"}, args...), nil, &msg, &msg); code != exitDone {
			t.Fatalf("healml %s ended with %d: %s", strings.Join(args, " "), code, &msg)
		}
		return msg.String()
	}
	t.Setenv("HEALML_MLFLOW_TRACKING_URI", "http://"+address)
	data, err := filepath.Abs("../../data/sales.csv")
	if err != nil {
		t.Fatal(err)
	}
	if said := healml("train", data, "--target", "sales", "--time", "date"); !strings.Contains(said, "has not been told of everything") {
		t.Errorf("a server that is away is not missed: %s", said)
	}
	server := exec.Command(mlflow, "server", "--host", host, "--port", port, "--workers", "1", "--backend-store-uri", "sqlite:///"+filepath.Join(dir, "m.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"), "--serve-artifacts")
	server.Dir, server.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		server.Wait()                                      //nolint:errcheck // it was killed
	})
	wait(t, "the tracking server", func() bool {
		resp, err := http.Get("http://" + address + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	healml("train", data, "--target", "sales", "--time", "date", "--set", "num_leaves=15")
	if said := healml("models", "rollback"); strings.Contains(said, "warning") {
		t.Error(said)
	}
	first := versionsOf(t, root)[0]
	predicted := filepath.Join(root, "predicted.csv")
	healml("predict", data, "--out", predicted, "--version", first)
	script(t, python, filepath.Join("testdata", "tracking.py"), "http://"+address, "sales", first, data, predicted)
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
