package serve

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultAddress is where a server listens unless told otherwise: only
// programs on the same machine reach it.
const DefaultAddress = "127.0.0.1:8080"

// firstSocket is the first file descriptor that a supervisor hands over.
const firstSocket = 3

// Supervisor is the process that started the server and watches over it, by
// systemd's protocol (sd_notify(3), sd_listen_fds(3)). The zero value is
// nobody.
type Supervisor struct {
	Socket   string        // a datagram socket's path, or @name; "" tells nobody
	Watchdog time.Duration // within which it wants a sign of life; 0 for never
	Sockets  int           // sockets handed over, from descriptor 3 on
}

// SupervisorFromEnv reads NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID,
// LISTEN_FDS and LISTEN_PID through getenv, for the process pid.
func SupervisorFromEnv(getenv func(string) string, pid int) (Supervisor, error) {
	sv := Supervisor{Socket: getenv("NOTIFY_SOCKET")}
	mine := func(name string) bool { return getenv(name) == "" || getenv(name) == strconv.Itoa(pid) }
	if v := getenv("WATCHDOG_USEC"); v != "" && mine("WATCHDOG_PID") {
		us, err := strconv.ParseInt(v, 10, 64)
		if err != nil || us <= 0 {
			return sv, fmt.Errorf("WATCHDOG_USEC is %q, expected microseconds", v)
		}
		sv.Watchdog = time.Duration(us) * time.Microsecond
	}
	if v := getenv("LISTEN_FDS"); v != "" && mine("LISTEN_PID") {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return sv, fmt.Errorf("LISTEN_FDS is %q, expected a count", v)
		}
		sv.Sockets = n
	}
	return sv, nil
}

// Listen returns the socket that the supervisor handed over, which outlives a
// restart so that no connection is refused meanwhile, or else listens on
// address.
func (sv Supervisor) Listen(address string) (net.Listener, error) {
	switch sv.Sockets {
	case 0:
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return ln, nil
	case 1:
		f := os.NewFile(firstSocket, "LISTEN_FD_3")
		defer f.Close()
		ln, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("take over socket: %w", err)
		}
		return ln, nil
	}
	return nil, fmt.Errorf("the supervisor handed over %d sockets, expected 1", sv.Sockets)
}

// notify sends state. That it does not arrive is the supervisor's to notice.
func (sv Supervisor) notify(state string) {
	if sv.Socket == "" {
		return
	}
	name := sv.Socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	c.Write([]byte(state)) //nolint:errcheck // see above
	c.Close()
}

func (sv Supervisor) ready(status func() string) {
	if sv.Socket != "" {
		sv.notify("READY=1\nSTATUS=" + status())
	}
}

// reloading announces a reload as Type=notify-reload wants it.
func (sv Supervisor) reloading() {
	if sv.Socket == "" {
		return
	}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return
	}
	sv.notify("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10))
}

// limitConnections lets at most n connections be open at once.
func limitConnections(ln net.Listener, n int) *limitedListener {
	return &limitedListener{Listener: ln, free: make(chan struct{}, n), done: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	free  chan struct{}
	done  chan struct{}
	close sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: &lazyDeadlines{Conn: c}, free: l.free}, nil
}

// open is how many connections are.
func (l *limitedListener) open() int { return len(l.free) }

// Close may be called again, by package http.
func (l *limitedListener) Close() (err error) {
	l.close.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	return err
}

type limitedConn struct {
	net.Conn
	free  chan struct{}
	close sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.close.Do(func() { <-c.free })
	return err
}
