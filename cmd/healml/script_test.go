package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// TestMain lets the test binary be healml itself, for scripts and for tests
// that need a process to kill.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"healml": main,
	})
}

// TestScripts runs every script of testdata; each reads as a page of the
// manual. Beside the usual commands they have:
//
//	sales FILE DAYS [TARGETLESS]  writes so many days of the shop's sales
//	exits CODE COMMAND…           runs a command that must end with CODE
//	flip FILE                     changes one byte in the middle of a file
//	nothing DIR                   fails when DIR has a file, however deep
//	sums FILE COLUMN              checks that contributions add up to COLUMN
//	holdport VAR                  listens on a port until the script ends
//	receiver VAR FILE [STATUS]    serves HTTP until the script ends, and sets
//	                              VAR to its address: it answers with the
//	                              content of STATUS, such as 503, or with 200,
//	                              and appends each request to FILE, a line of
//	                              "signed" or "unsigned" and the body
//
// $FOREIGN is the folder of models that LightGBM trained.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			foreign, err := filepath.Abs("testdata/foreign")
			e.Setenv("FOREIGN", foreign)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sales": scriptSales, "exits": scriptExits, "flip": scriptFlip, "nothing": scriptNothing, "holdport": scriptHoldPort, "sums": scriptSums, "receiver": scriptReceiver,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "mounts" {
				return canMount(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// canMount reports whether this user can make a small disk; under CI it must.
func canMount() bool {
	dir, err := os.MkdirTemp("", "mount")
	if err != nil {
		return false
	}
	ok := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "none", dir).Run() == nil
	return os.RemoveAll(dir) == nil && (ok || os.Getenv("CI") != "")
}

func scriptSales(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sales FILE DAYS [targetless]")
	}
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	t, _ := synth.Sales(1, synth.Options{Days: days, Still: true})
	if len(args) > 2 {
		t = t.Drop("sales")
	}
	ts.Check(table.Write(ts.MkAbs(args[0]), t))
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("%s ended with %d, expected %d", strings.Join(args[1:], " "), code, want)
	}
}

func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		ts.Check(err)
		b[len(b)/2] ^= 0x55
		ts.Check(os.WriteFile(name, b, 0o644))
	}
}

func scriptNothing(ts *testscript.TestScript, _ bool, args []string) {
	err := filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, "lock") && !strings.HasPrefix(path, ts.MkAbs("data/state")) {
			return fmt.Errorf("%s was left behind", path)
		}
		return err
	})
	ts.Check(err)
}

func scriptSums(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sums FILE|stdout COLUMN")
	}
	path := ts.MkAbs(args[0])
	if args[0] == "stdout" {
		path = ts.MkAbs("stdout.csv")
		ts.Check(os.WriteFile(path, []byte(ts.ReadFile("stdout")), 0o644))
	}
	t, err := table.Read(path, table.ReadOptions{})
	ts.Check(err)
	want := t.Column(args[1])
	if want == nil || t.NumRows() == 0 {
		ts.Fatalf("no rows of %s in %q", args[1], t.Names())
	}
	for i := range t.NumRows() {
		sum, n := 0.0, 0
		for _, c := range t.Columns() {
			if strings.HasPrefix(c.Name, "contribution_") {
				sum += c.Floats[i]
				n++
			}
		}
		if n == 0 || math.Abs(sum-want.Floats[i]) > 1e-9*math.Abs(sum) {
			ts.Fatalf("row %d: %d contributions add up to %v, %s is %v", i+1, n, sum, args[1], want.Floats[i])
		}
	}
}

func scriptHoldPort(ts *testscript.TestScript, _ bool, args []string) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	ts.Setenv(args[0], ln.Addr().String())
}

// scriptSecret is the key that receiver knows.
const scriptSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func scriptReceiver(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: receiver VAR FILE [STATUS]")
	}
	verifier, err := standardwebhooks.NewWebhook(scriptSecret)
	ts.Check(err)
	out, status := ts.MkAbs(args[1]), ""
	if len(args) > 2 {
		status = ts.MkAbs(args[2])
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		signed := "unsigned"
		if verifier.Verify(body, r.Header) == nil {
			signed = "signed"
		}
		old, _ := os.ReadFile(out)
		if err := os.WriteFile(out, append(old, []byte(signed+" "+string(body)+"\n")...), 0o644); err != nil {
			w.WriteHeader(500)
			return
		}
		if b, err := os.ReadFile(status); err == nil {
			if code, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				w.WriteHeader(code)
			}
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}
