package serve

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSupervisor plays systemd.
func TestSupervisor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := func() string {
		b := make([]byte, 1024)
		socket.SetReadDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // read below
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	sv, err := SupervisorFromEnv(func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": "7", "LISTEN_FDS": "1", "LISTEN_PID": "8"}[name]
	}, 7)
	if err != nil || sv != (Supervisor{Socket: path, Watchdog: 60 * time.Millisecond}) {
		t.Fatalf("%+v %v", sv, err)
	}
	r := newRig(t, nil)
	r.o.Supervisor = sv
	_, stop := r.run()
	if got := next(); got != "READY=1\nSTATUS=serving v1" {
		t.Errorf("%q", got)
	}
	if got := next(); got != "WATCHDOG=1\nSTATUS=serving v1" {
		t.Errorf("%q", got)
	}
	if err := r.Reload(); err != nil {
		t.Error(err)
	}
	for {
		got := next()
		if strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
			break
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for !strings.HasPrefix(next(), "STOPPING=1\n") {
	}
	if n := len(r.log.records()); n != 0 {
		t.Errorf("the probe left %d rows in the log", n)
	}
}

func TestNoSignOfLifeWhenTheProbeFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	r := newRig(t, nil)
	r.o.Supervisor.Socket = path
	r.log.sick = errors.New("fsync: input/output error")
	r.alive()
	r.log.sick = nil
	r.holder.live.Load().example = []byte("{}")
	r.alive()
	socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // read below
	if n, err := socket.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were sent: %v", n, err)
	}
}

func TestSupervisorFromEnv(t *testing.T) {
	for _, env := range []map[string]string{{"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "-1"}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "-1"}} {
		if _, err := SupervisorFromEnv(func(n string) string { return env[n] }, 1); err == nil {
			t.Errorf("%v was taken", env)
		}
	}
	if _, err := (Supervisor{Sockets: 2}).Listen(DefaultAddress); err == nil {
		t.Error("two sockets were taken")
	}
	ln, err := Supervisor{}.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

// TestSocketActivation starts this test again as a child that finds its
// listener on descriptor 3.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("SERVE_TEST_CHILD") != "" {
		sv, err := SupervisorFromEnv(os.Getenv, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		ln, err := sv.Listen("192.0.2.1:1") // no address of this machine: must not be used
		if err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "served") //nolint:errcheck // the parent looks
		c.Close()
		ln.Close()
		return
	}
	ln := listen(t)
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestSocketActivation$")
	child.Env = append(os.Environ(), "SERVE_TEST_CHILD=1", "LISTEN_FDS=1")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // read below
	if got, err := io.ReadAll(c); err != nil || string(got) != "served" {
		t.Errorf("%q %v", got, err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}
