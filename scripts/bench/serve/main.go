// Command serve puts prediction servers side by side: wrk asks each in turn for
// the same row, over and over, and medians of the rounds are printed beside two
// floors, which do the least that a server on net/http can: read the body and
// answer a constant; the same after a group-committed fsync.
//
//	serve -healml bin/healml -root ROOT -body ROW.json [-system 'NAME=COMMAND with {port}'] [-connections 1,32,64,256] [-seconds 5] [-runs 3]
//
// ROOT holds a trained model; it is copied. It needs wrk and Linux's /proc.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// system is a server to measure.
type system struct{ name, command string }

// round is what wrk saw of one system at one number of connections.
type round struct{ rate, p50, p99, cpu, failed float64 }

type systems []system

func (s *systems) String() string { return "" }
func (s *systems) Set(v string) error {
	name, command, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("expected NAME=COMMAND")
	}
	*s = append(*s, system{name, command})
	return nil
}

func main() {
	floor := flag.String("floor", "", "serve constants at this address, and do no more")
	floorLog := flag.String("floor-log", "", "file that the floor appends to and syncs before it answers")
	healml := flag.String("healml", "bin/healml", "the program")
	root := flag.String("root", "", "directory with a trained model")
	body := flag.String("body", "", "file with the row to ask for")
	connections := flag.String("connections", "1,32,64,256", "")
	seconds := flag.Int("seconds", 5, "of each measurement")
	runs := flag.Int("runs", 3, "rounds")
	var others systems
	flag.Var(&others, "system", "NAME=COMMAND with {port}, beside the others; any number of times")
	flag.Parse()
	if *floor != "" {
		log.Fatal(serveFloor(*floor, *floorLog))
	}
	if err := compare(*healml, *root, *body, others, strings.Split(*connections, ","), *seconds, *runs); err != nil {
		log.Fatal(err)
	}
}

// serveFloor answers a constant; with a log, after what waits was written in one
// call and synced.
func serveFloor(address, path string) error {
	answer := []byte(`{"predicted_sales":34.92,"prediction_id":"00000000-0000-7000-8000-000000000000","model_version":"v0001"}` + "\n")
	var queue chan chan error
	if path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		queue = make(chan chan error, 1024)
		go commit(f, queue)
	}
	http.HandleFunc("POST /predict", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil && queue != nil {
			done := make(chan error, 1)
			queue <- done
			err = <-done
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer) //nolint:errcheck // the client is gone: nobody to tell
	})
	return http.ListenAndServe(address, nil)
}

func commit(f *os.File, queue chan chan error) {
	row := bytes.Repeat([]byte("x"), 200)
	for first := range queue {
		waiting, buf := []chan error{first}, slices.Clone(row)
		for len(queue) > 0 && len(waiting) < 1024 {
			waiting, buf = append(waiting, <-queue), append(buf, row...)
		}
		_, err := f.Write(buf)
		if err == nil {
			err = f.Sync()
		}
		for _, w := range waiting {
			w <- err
		}
	}
}

func compare(healml, root, body string, others systems, connections []string, seconds, runs int) error {
	row, err := os.ReadFile(body)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(".", ".serve-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory of this run alone
	self, err := os.Executable()
	if err != nil {
		return err
	}
	script := filepath.Join(dir, "post.lua")
	lua := fmt.Sprintf("wrk.method=%q\nwrk.headers[\"Content-Type\"]=\"application/json\"\nwrk.body=[==[%s]==]\n", "POST", bytes.TrimSpace(row))
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		return err
	}
	own := []system{
		{"floor", self + " -floor 127.0.0.1:{port}"},
		{"floor, fsync", self + " -floor 127.0.0.1:{port} -floor-log " + filepath.Join(dir, "log")},
	}
	for _, durability := range []string{"ack", "interval"} {
		copied := filepath.Join(dir, durability)
		if out, err := exec.Command("cp", "-r", root, copied).CombinedOutput(); err != nil {
			return fmt.Errorf("copy: %w: %s", err, out)
		}
		own = append(own, system{"healml, " + durability, fmt.Sprintf("env HEALML_LOG_DURABILITY=%s %s --root %s --quiet serve --address 127.0.0.1:{port}", durability, healml, copied)})
	}
	all := append(own, others...)
	seen := map[string][]round{}
	for range runs {
		for i, s := range all {
			if err := measure(s, 18910+i, row, script, connections, seconds, seen); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	report(all, connections, seen)
	return nil
}

// measure starts a system, asks it at each number of connections, and ends it.
func measure(s system, port int, row []byte, script string, connections []string, seconds int, seen map[string][]round) (err error) {
	args := strings.Fields(strings.ReplaceAll(s.command, "{port}", strconv.Itoa(port)))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM))
		cmd.Wait() //nolint:errcheck // it was told to end
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/predict", port)
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Post(url, "application/json", bytes.NewReader(row))
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
	for _, c := range connections {
		threads := "2"
		if c == "1" {
			threads = "1"
		}
		before := cpu(cmd.Process.Pid)
		out, err := exec.Command("wrk", "-t", threads, "-c", c, "-d", fmt.Sprintf("%ds", seconds), "--latency", "-s", script, url).CombinedOutput()
		if err != nil {
			return fmt.Errorf("wrk: %w: %s", err, out)
		}
		r := parse(string(out))
		if n := number(string(out), `(\d+) requests in`); n > 0 {
			r.cpu = (cpu(cmd.Process.Pid) - before) / n * 1e6
		}
		key := s.name + " " + c
		seen[key] = append(seen[key], r)
	}
	return nil
}

func number(text, pattern string) float64 {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64) // digits
	return v
}

// parse reads wrk's report; latencies are in milliseconds.
func parse(out string) round {
	ms := func(q string) float64 {
		m := regexp.MustCompile(`\n\s+` + q + `%\s+([\d.]+)(us|ms|s|m)`).FindStringSubmatch(out)
		if m == nil {
			return 0
		}
		v, _ := strconv.ParseFloat(m[1], 64) // digits
		return v * map[string]float64{"us": .001, "ms": 1, "s": 1000, "m": 60000}[m[2]]
	}
	return round{rate: number(out, `Requests/sec:\s+([\d.]+)`), p50: ms("50"), p99: ms("99"), failed: number(out, `Non-2xx or 3xx responses: (\d+)`)}
}

// cpu is the processor time of a process and its children, in seconds.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseFloat(f[11], 64)   // digits
	system, _ := strconv.ParseFloat(f[12], 64) // digits
	total := (user + system) / 100
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none when it cannot be read
	for _, c := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(c); err == nil {
			total += cpu(n)
		}
	}
	return total
}

func report(all []system, connections []string, seen map[string][]round) {
	median := func(key string, of func(round) float64) float64 {
		var v []float64
		for _, r := range seen[key] {
			v = append(v, of(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	rate := func(r round) float64 { return r.rate }
	fmt.Printf("%-18s %5s %9s %8s %8s %8s %8s %8s %7s\n", "system", "conns", "rps", "p50 ms", "p99 ms", "CPU µs", "× floor", "× fsync", "failed")
	for _, s := range all {
		for _, c := range connections {
			key := s.name + " " + c
			fmt.Printf("%-18s %5s %9.0f %8.3f %8.3f %8.1f %8.3f %8.3f %7.0f\n", s.name, c, median(key, rate),
				median(key, func(r round) float64 { return r.p50 }), median(key, func(r round) float64 { return r.p99 }), median(key, func(r round) float64 { return r.cpu }),
				median(key, rate)/median("floor "+c, rate), median(key, rate)/median("floor, fsync "+c, rate), median(key, func(r round) float64 { return r.failed }))
		}
	}
}
