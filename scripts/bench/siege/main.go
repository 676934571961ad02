// Command siege tries to knock a healml server over and prints what became of
// it: hot swaps and restarts under load, three times the load that it can bear,
// and clients that mean it ill. Everything is on the loopback interface and
// bounded in count and time.
//
//	siege -healml bin/healml -root ROOT [-only swaps,restarts,overload,abuse] [-quick]
//
// ROOT holds a trained model; it is copied.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/healml/healml/internal/load"
)

var (
	healml = flag.String("healml", "bin/healml", "the program")
	root   = flag.String("root", "", "directory with a trained model")
	only   = flag.String("only", "swaps,restarts,overload,abuse", "what to try")
	quick  = flag.Bool("quick", false, "a tenth of it")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "siege:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "siege")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // below the directory for temporary files
	for _, part := range []string{"exported_model", "healml.yaml"} {
		if err := copyTree(filepath.Join(*root, part), filepath.Join(dir, part)); err != nil && part == "exported_model" {
			return err
		}
	}
	for _, name := range strings.Split(*only, ",") {
		try := map[string]func(string) error{"swaps": swaps, "restarts": restarts, "overload": overload, "abuse": abuse}[name]
		if try == nil {
			return fmt.Errorf("%q is not known", name)
		}
		if err := try(dir); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func copyTree(from, to string) error {
	out, err := exec.Command("cp", "-r", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy: %w: %s", err, out)
	}
	return nil
}

func times(n int) int {
	if *quick {
		return max(n/10, 1)
	}
	return n
}

// socket is a listener that outlives the servers on it, as systemd's does.
type socket struct {
	file *os.File
	url  string
}

func newSocket() (*socket, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	return &socket{f, "http://" + ln.Addr().String()}, err
}

// server is a running healml.
type server struct {
	cmd *exec.Cmd
	url string
	out bytes.Buffer
}

// serve starts a server on the socket and waits until it is ready.
func serve(dir string, s *socket, env ...string) (*server, error) {
	p := &server{cmd: exec.Command(*healml, "--root", dir, "serve"), url: s.url}
	p.cmd.Env = append(append(os.Environ(), "LISTEN_FDS=1"), env...)
	p.cmd.ExtraFiles = []*os.File{s.file}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 2000 {
		resp, err := http.Get(s.url + "/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, fmt.Errorf("the server does not get ready: %w: %s", p.stop(), p.out.String())
}

func (p *server) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// memory is the resident set in MB, and its greatest so far.
func (p *server) memory() (now, most float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64) // 0 when it is no number
		switch name {
		case "VmRSS":
			now = kb / 1024
		case "VmHWM":
			most = kb / 1024
		}
	}
	return now, most
}

// example is the row that the server shows.
func example(url string) ([]byte, error) {
	resp, err := http.Get(url + "/openapi.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var doc struct {
		Components struct {
			Schemas struct {
				Row struct{ Examples []json.RawMessage }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || len(doc.Components.Schemas.Row.Examples) == 0 {
		return nil, fmt.Errorf("no example row: %w", err)
	}
	return doc.Components.Schemas.Row.Examples[0], nil
}

func many(row []byte, n int) []byte {
	return []byte("[" + strings.Repeat(string(row)+",", n-1) + string(row) + "]")
}

// traffic asks from several clients until it is stopped, and counts answers,
// failures, and answers that mix two versions.
type traffic struct {
	answers, failures, mixed atomic.Int64
	versions                 sync.Map
	first                    sync.Once
	why                      atomic.Value
	done                     atomic.Bool
	clients                  sync.WaitGroup
}

func (t *traffic) fail(err error) {
	t.failures.Add(1)
	t.first.Do(func() { t.why.Store(err.Error()) })
}

func ask(url string, body []byte, clients int, keepAlive bool) *traffic {
	t := &traffic{}
	for range clients {
		t.clients.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: !keepAlive}}
			defer client.CloseIdleConnections()
			for !t.done.Load() {
				resp, err := client.Post(url+"/predict", "application/json", bytes.NewReader(body))
				if err != nil {
					t.fail(err)
					continue
				}
				var rows []struct {
					Version string `json:"model_version"`
				}
				err = json.NewDecoder(resp.Body).Decode(&rows)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || err != nil || len(rows) == 0 {
					t.fail(fmt.Errorf("status %d, %w", resp.StatusCode, err))
					continue
				}
				t.answers.Add(1)
				t.versions.Store(rows[0].Version, true)
				for _, r := range rows {
					if r.Version != rows[0].Version {
						t.mixed.Add(1)
					}
				}
			}
		})
	}
	return t
}

func (t *traffic) end(what string) {
	t.done.Store(true)
	t.clients.Wait()
	n := 0
	t.versions.Range(func(any, any) bool { n++; return true })
	fmt.Printf("%s: %d answers by %d versions, %d failed, %d mixed", what, t.answers.Load(), n, t.failures.Load(), t.mixed.Load())
	if why := t.why.Load(); why != nil {
		fmt.Printf(" (first: %v)", why)
	}
	fmt.Println()
}

// begin starts a server on a socket of its own, and asks it for an example row.
func begin(dir string, env ...string) (p *server, sock *socket, row []byte, err error) {
	if sock, err = newSocket(); err != nil {
		return nil, nil, nil, err
	}
	if p, err = serve(dir, sock, env...); err != nil {
		return nil, nil, nil, err
	}
	row, err = example(p.url)
	return p, sock, row, err
}

// swaps promotes one version and the other in turn under load.
func swaps(dir string) error {
	versions, err := filepath.Glob(filepath.Join(dir, "exported_model", "v*-*"))
	if err != nil || len(versions) < 2 {
		return fmt.Errorf("the root needs two versions, it has %d (%w)", len(versions), err)
	}
	p, _, row, err := begin(dir, "HEALML_SERVE_POLL=10ms")
	if err != nil {
		return err
	}
	t := ask(p.url, many(row, 20), 4, true)
	n := times(1000)
	for i := range n {
		if out, err := exec.Command(*healml, "--root", dir, "--quiet", "models", "promote", filepath.Base(versions[i%2])).CombinedOutput(); err != nil {
			return fmt.Errorf("promote: %w: %s", err, out)
		}
		before := t.answers.Load()
		for t.answers.Load() < before+2 {
			time.Sleep(time.Millisecond)
		}
	}
	t.end(fmt.Sprintf("%d promotions under load", n))
	fmt.Printf("  swaps counted by the server: %s\n", metric(p.url, "healml_model_swaps_total"))
	return p.stop()
}

func metric(url, name string) string {
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return v
		}
	}
	return "none"
}

// restarts ends the server and starts another on the same socket, under load of
// clients that connect anew for each request.
func restarts(dir string) error {
	p, sock, row, err := begin(dir)
	if err != nil {
		return err
	}
	t := ask(p.url, many(row, 1), 4, false)
	n := times(100)
	for range n {
		time.Sleep(50 * time.Millisecond)
		if err := p.stop(); err != nil {
			return fmt.Errorf("%w: %s", err, p.out.String())
		}
		if p, err = serve(dir, sock); err != nil {
			return err
		}
	}
	t.end(fmt.Sprintf("%d restarts under load with socket activation", n))
	return p.stop()
}

// overload asks for three times what the server bears at most, with batches, so
// that the load generator is not what is measured.
func overload(dir string) error {
	p, _, row, err := begin(dir)
	if err != nil {
		return err
	}
	long := time.Duration(times(60)) * time.Second
	o := load.Options{URL: p.url + "/predict", Body: many(row, 500), Header: http.Header{"Content-Type": {"application/json"}}, Connections: 32, Duration: 10 * time.Second, Timeout: 20 * time.Second, Now: time.Now}
	peak, err := load.Run(context.Background(), o)
	if err != nil {
		return err
	}
	show := func(what string, r *load.Result) {
		_, most := p.memory()
		fmt.Printf("%s: %.0f of 2xx a second, p50 %.0f ms, p99 %.0f ms, %d refused, %d others; memory at most %.0f MB\n", what,
			float64(r.Statuses["200"])/r.Seconds, r.Service.P50, r.Service.P99, r.Statuses["503"], r.Failed()-r.Statuses["503"], most)
	}
	show("peak, 500 rows a request", peak)
	o.Rate, o.Connections, o.Duration = 3*peak.Rate, 512, long
	over, err := load.Run(context.Background(), o)
	if err != nil {
		return err
	}
	show(fmt.Sprintf("three times that for %v", long), over)
	return p.stop()
}

// abuse has clients that send slowly, half-open connections, large and deep
// bodies, floods of headers, while others go on asking.
func abuse(dir string) error {
	p, _, row, err := begin(dir, "HEALML_SERVE_MAX_CONNECTIONS=12000")
	if err != nil {
		return err
	}
	at := strings.TrimPrefix(p.url, "http://")
	t := ask(p.url, many(row, 1), 4, true)
	before, _ := p.memory()
	step := func(what string, f func() error) {
		from := t.answers.Load()
		begin := time.Now()
		err := f()
		now, most := p.memory()
		fmt.Printf("  %s: memory %.0f MB, at most %.0f; %.0f answers a second meanwhile; %v\n", what, now, most, float64(t.answers.Load()-from)/time.Since(begin).Seconds(), errorText(err))
	}
	fmt.Printf("abuse, from %.0f MB on:\n", before)
	n := times(10000)
	step(fmt.Sprintf("%d slow clients", n), func() error { return slow(at, n) })
	step(fmt.Sprintf("%d half-open connections", n), func() error { return halfOpen(at, n) })
	step("200 bodies of 1 MiB sent slowly", func() error { return slowBodies(at, 200) })
	step("a body of 1 GB", func() error { return post(p.url, &zeros{left: 1 << 30}, -1) })
	step("a body that says it has 1 GB", func() error { return post(p.url, strings.NewReader("{}"), 1<<30) })
	step("1000 deep bodies", func() error {
		deep := strings.Repeat("[", 500_000)
		for range times(1000) {
			if err := post(p.url, strings.NewReader(deep), -1); err != nil && !strings.Contains(err.Error(), "status 4") {
				return err
			}
		}
		return nil
	})
	step("a body packed with gzip", func() error { return gzipped(p.url) })
	step("a flood of headers", func() error { return headers(at) })
	t.end("those who asked meanwhile")
	fmt.Printf("  panics: %s\n", metric(p.url, "healml_panics_total"))
	return p.stop()
}

func errorText(err error) string {
	if err == nil {
		return "as expected"
	}
	return err.Error()
}

// slow opens connections that send a byte of their headers now and then.
func slow(at string, n int) error {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range n {
		c, err := net.DialTimeout("tcp", at, 10*time.Second)
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(conns), err)
		}
		conns = append(conns, c)
	}
	text := "POST /predict HTTP/1.1\r\nHost: x\r\nX: "
	for i := range 12 {
		for _, c := range conns {
			c.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck // a client that is cut off is what is looked for
			c.Write([]byte{text[i]})                        //nolint:errcheck // a client that is cut off is what is looked for
		}
		time.Sleep(time.Second)
	}
	return cutOff(conns)
}

// cutOff counts the connections that the server closed.
func cutOff(conns []net.Conn) error {
	open := 0
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) //nolint:errcheck // read below
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	if open > 0 {
		return fmt.Errorf("%d of %d were not cut off", open, len(conns))
	}
	return nil
}

func halfOpen(at string, n int) error {
	var conns []net.Conn
	for range n {
		c, err := net.DialTimeout("tcp", at, 10*time.Second)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	time.Sleep(7 * time.Second)
	err := cutOff(conns)
	for _, c := range conns {
		c.Close()
	}
	return err
}

// slowBodies sends large bodies but for their last bytes.
func slowBodies(at string, n int) error {
	const size = 1 << 20
	body := bytes.Repeat([]byte(" "), size-100)
	refused := 0
	var conns []net.Conn
	for range n {
		c, err := net.DialTimeout("tcp", at, 10*time.Second)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		c.SetWriteDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // it may be refused
		fmt.Fprintf(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
		if _, err := c.Write(body); err != nil {
			refused++
		}
	}
	time.Sleep(12 * time.Second)
	for _, c := range conns {
		b := make([]byte, 64)
		c.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // read next
		if n, _ := c.Read(b); strings.Contains(string(b[:n]), " 503 ") {
			refused++
		}
		c.Close()
	}
	return fmt.Errorf("%d of %d were refused at once", refused, n)
}

type zeros struct{ left int64 }

func (z *zeros) Read(b []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	for i := range b[:n] {
		b[i] = ' '
	}
	z.left -= n
	return int(n), nil
}

func post(url string, body io.Reader, length int64) error {
	req, err := http.NewRequest("POST", url+"/predict", body)
	if err != nil {
		return err
	}
	req.ContentLength = length
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return fmt.Errorf("cut off")
	}
	resp.Body.Close()
	return fmt.Errorf("status %d", resp.StatusCode)
}

func gzipped(url string) error {
	req, err := http.NewRequest("POST", url+"/predict", strings.NewReader("\x1f\x8b"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return fmt.Errorf("status %d", resp.StatusCode)
}

func headers(at string) error {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // it may be cut off
	fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: x\r\n")
	sent := 0
	for ; sent < 1<<20; sent++ {
		if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", sent, strings.Repeat("y", 100)); err != nil {
			break
		}
	}
	b := make([]byte, 64)
	n, _ := c.Read(b) // what it answered, if it did
	line, _, _ := strings.Cut(string(b[:n]), "\r\n")
	return fmt.Errorf("answered %q after %d headers", line, sent)
}
