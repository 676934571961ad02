package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// patience bounds every wait for a process.
const patience = 60 * time.Second

// process is healml as a child, with what it has written so far. This test
// binary is healml when it is called so (see TestMain).
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{} // closed once the process is gone
}

// output is a buffer that one goroutine fills while others read.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs healml in root; it is killed at the latest when the test ends.
func start(t *testing.T, root string, env []string, args ...string) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ended: make(chan struct{})}
	p.cmd = &exec.Cmd{Path: binary, Args: append([]string{"healml"}, args...), Dir: root, Env: append(os.Environ(), env...), Stdout: &p.stdout, Stderr: &p.stderr}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as a crash would, if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.ended
}

// code waits until the process has ended and returns its exit code.
func (p *process) code(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%v still runs after %v; it wrote:\n%s", p.cmd.Args, patience, p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// healml runs one command to its end, which must be one of codes (0 when none
// is given), and returns its stdout.
func healml(t *testing.T, root string, codes []int, args ...string) string {
	t.Helper()
	p := start(t, root, nil, args...)
	got := p.code(t)
	for _, want := range append(codes, exitDone) {
		if got == want {
			return p.stdout.String()
		}
	}
	t.Fatalf("healml %s ended with %d:\n%s", strings.Join(args, " "), got, p.stderr.String())
	return ""
}

// wait polls until ok, for as long as patience lasts.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// server is a healml that serves.
type server struct {
	*process
	url string
}

var servingLine = regexp.MustCompile(`msg=serving address=(\S+)`)

// serveOn starts a server on a free port and waits until it is ready.
func serveOn(t *testing.T, root string, env ...string) *server {
	t.Helper()
	s := &server{process: start(t, root, env, "serve", "--address", "127.0.0.1:0")}
	wait(t, "the server's address", func() bool {
		if m := servingLine.FindStringSubmatch(s.stderr.String()); m != nil {
			s.url = "http://" + m[1]
		}
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.stderr.String())
		default:
		}
		return s.url != ""
	})
	if status, body := s.get(t, "/ready"); status != http.StatusOK {
		t.Fatalf("not ready: %d %s", status, body)
	}
	return s
}

func (s *server) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric is the value of a metric without labels.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, body := s.get(t, "/metrics")
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// answer is what a client reads of a prediction.
type answer struct {
	Value   float64 `json:"predicted_sales"`
	ID      string  `json:"prediction_id"`
	Version string  `json:"model_version"`
}

// ask sends one row. An error means that the answer did not arrive whole, or
// was not a prediction.
func ask(c *http.Client, url, row string) (a answer, err error) {
	resp, err := c.Post(url+"/predict", "application/json", strings.NewReader(row))
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return a, json.Unmarshal(b, &a)
}

// The rows that clients send: as CSV for the predict command, as JSON for the
// server.
const (
	rowsHeader = "date,category,region,price,promo\n"
	cheapCSV   = "2022-02-10,Toys,South,31.5,1\n"
	dearCSV    = "2022-02-12,Electronics,West,1021,0\n"
)

var rowsJSON = []string{
	`{"date":"2022-02-10","category":"Toys","region":"South","price":31.5,"promo":1}`,
	`{"date":"2022-02-12","category":"Electronics","region":"West","price":1021,"promo":0}`,
}

// shop makes a root with the sales of so many days and one version, in force,
// and returns both.
func shop(t *testing.T, days int) (root, version string) {
	t.Helper()
	root = t.TempDir()
	sales, _ := synth.Sales(1, synth.Options{Days: days, Still: true})
	if err := table.Write(filepath.Join(root, "sales.csv"), sales); err != nil {
		t.Fatal(err)
	}
	return root, trained(t, root, 20)
}

// trained publishes a version of so many trees and returns its name.
func trained(t *testing.T, root string, trees int) string {
	t.Helper()
	out := healml(t, root, []int{exitRejected}, "train", "sales.csv", "--target", "sales", "--set", fmt.Sprintf("num_iterations=%d", trees), "-o", "json")
	var r trainResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	return r.Version
}

// predicted is what a version predicts for rowsJSON, by the predict command.
func predicted(t *testing.T, root, version string) [2]float64 {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, "rows.csv"), []byte(rowsHeader+cheapCSV+dearCSV), 0o644); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(healml(t, root, nil, "predict", "rows.csv", "--version", version))).ReadAll()
	if err != nil || len(records) != 3 || records[0][1] != "predicted_sales" {
		t.Fatalf("%v %v", records, err)
	}
	var v [2]float64
	for i := range v {
		if v[i], err = strconv.ParseFloat(records[i+1][1], 64); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// TestHotSwapUnderLoad promotes two versions by turns, by the command and by
// the package, under constant load. No request fails, and every answer is that
// of the version it names.
func TestHotSwapUnderLoad(t *testing.T) {
	const swaps, clients = 100, 4
	root, first := shop(t, 60)
	versions := []string{first, trained(t, root, 3)}
	want := map[string][2]float64{}
	for _, v := range versions {
		want[v] = predicted(t, root, v)
	}
	if a, b := want[versions[0]], want[versions[1]]; a[0] == b[0] || a[1] == b[1] || a[0] == a[1] {
		t.Fatalf("the answers do not tell the versions apart: %v", want)
	}
	reg := registry.Open(filepath.Join(root, "exported_model"))
	if err := reg.Promote(first, "start", time.Now()); err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, root, "HEALML_SERVE_POLL=10ms")
	var done atomic.Bool
	served := map[string]*atomic.Int64{versions[0]: {}, versions[1]: {}}
	var group sync.WaitGroup
	stop := func() { done.Store(true); group.Wait() }
	defer stop()
	for c := range clients {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := c; !done.Load(); i++ {
				a, err := ask(client, s.url, rowsJSON[i%2])
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				if values, ok := want[a.Version]; !ok || a.Value != values[i%2] {
					t.Errorf("row %d: answer %+v, expected %v of that version", i%2, a, values)
					return
				}
				served[a.Version].Add(1)
			}
		})
	}
	for i := range swaps {
		next := versions[(i+1)%2]
		if i/2%2 == 0 {
			healml(t, root, nil, "models", "promote", next)
		} else if err := reg.Promote(next, "by the package", time.Now()); err != nil {
			t.Fatal(err)
		}
		before := served[next].Load()
		wait(t, next+" to answer", func() bool { return served[next].Load() > before || t.Failed() })
	}
	stop()
	if n := s.metric(t, "healml_model_swaps_total"); n != swaps {
		t.Errorf("%v swaps are counted, expected %d", n, swaps)
	}
	if n := s.metric(t, "healml_model_swap_failures_total"); n != 0 {
		t.Errorf("%v swaps failed", n)
	}
	a, b := served[versions[0]].Load(), served[versions[1]].Load()
	if n := s.metric(t, "healml_predictions_total"); int64(n) != a+b {
		t.Errorf("%v predictions are counted, %d were answered", n, a+b)
	}
	t.Logf("%d swaps: %d answers of %s, %d of %s, none failed", swaps, a, versions[0], b, versions[1])
}

// TestSIGTERMDrains stops a server while a request is half sent and others
// run: the half one is answered, none that was begun is lost, the log is
// closed.
func TestSIGTERMDrains(t *testing.T) {
	root, version := shop(t, 60)
	s := serveOn(t, root)
	address := strings.TrimPrefix(s.url, "http://")
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	row := rowsJSON[0]
	fmt.Fprintf(slow, "POST /predict HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", address, len(row))
	const reading = "HTTP/1.1 100 Continue\r\n\r\n" // is sent once the handler reads the body
	reply := make([]byte, len(reading))
	if _, err := io.ReadFull(slow, reply); err != nil || string(reply) != reading {
		t.Fatalf("%q %v", reply, err)
	}
	fmt.Fprint(slow, row[:20])

	var acknowledged atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				_, err := ask(client, s.url, row)
				switch {
				case err == nil:
					acknowledged.Add(1)
				case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
					return // not taken any more
				default:
					t.Errorf("while draining: %v", err)
					return
				}
			}
		})
	}
	wait(t, "load", func() bool { return acknowledged.Load() > 50 || t.Failed() })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	select {
	case <-s.ended:
		t.Fatalf("the server did not wait for the request in flight:\n%s", s.stderr.String())
	default:
	}
	fmt.Fprint(slow, row[20:])
	reply, err = io.ReadAll(slow)
	if err != nil || !bytes.HasPrefix(reply, []byte("HTTP/1.1 200 ")) || !bytes.Contains(reply, []byte(version)) {
		t.Errorf("the request in flight got %q, %v", reply, err)
	}
	if code := s.code(t); code != exitDone {
		t.Errorf("SIGTERM ended the server with %d:\n%s", code, s.stderr.String())
	}
	if open, err := filepath.Glob(filepath.Join(root, "data", "*", "wal", "*.open.seg")); err != nil || len(open) > 0 {
		t.Errorf("segments were left open: %v %v", open, err)
	}
	ids := logged(t, root)
	if int64(len(ids)) != acknowledged.Load()+1 {
		t.Errorf("%d rows are logged, %d were answered: what was begun was not finished", len(ids), acknowledged.Load()+1)
	}
	again := serveOn(t, root)
	if strings.Contains(again.stderr.String(), "recovered") {
		t.Errorf("a clean stop left something to recover:\n%s", again.stderr.String())
	}
	t.Logf("%d answers before the end, 1 while draining, %d logged", acknowledged.Load(), len(ids))
}

// TestSIGHUPReloads does not wait for the poll, and keeps what serves when the
// pointer is broken.
func TestSIGHUPReloads(t *testing.T) {
	root, first := shop(t, 60)
	second := trained(t, root, 3)
	dir := filepath.Join(root, "exported_model")
	reg := registry.Open(dir)
	if err := reg.Promote(first, "start", time.Now()); err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, root, "HEALML_SERVE_POLL=1h")
	serves := func() string {
		a, err := ask(http.DefaultClient, s.url, rowsJSON[0])
		if err != nil {
			t.Fatal(err)
		}
		return a.Version
	}
	hup := func() {
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := reg.Promote(second, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if v := serves(); v != first {
		t.Fatalf("%s serves before the signal, expected %s", v, first)
	}
	hup()
	wait(t, "the reload", func() bool { return serves() == second })

	if err := os.WriteFile(filepath.Join(dir, "CURRENT"), []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	hup()
	wait(t, "the failure to show", func() bool { return s.metric(t, "healml_degraded") == 1 })
	if v := serves(); v != second {
		t.Errorf("%s serves with a broken pointer, expected %s", v, second)
	}
	if err := reg.Promote(first, "mended", time.Now()); err != nil {
		t.Fatal(err)
	}
	hup()
	wait(t, "the mended pointer", func() bool { return serves() == first })
	wait(t, "the failure to clear", func() bool { return s.metric(t, "healml_degraded") == 0 })
}
