package serve

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lazyDeadlines sets the deadlines of a connection as rarely as it can. Package
// net/http moves them several times a request, nearly always to later, and each
// move costs a microsecond of timers. Here a deadline that is moved to later
// leaves the timer as it is; when that goes off too early it is set anew and the
// read or write goes on. Deadlines are kept to the instant.
type lazyDeadlines struct {
	net.Conn
	read, write deadline
}

// deadline is when one direction gives up.
type deadline struct {
	mu     sync.Mutex
	wanted time.Time // zero: never
	armed  time.Time // what the connection's timer is set to; zero: not set
}

// set moves the deadline, and the timer only when it would go off too late.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	// By a time long ago net/http stops a read that waits. A timer that was set
	// to it is off, and every read would fail first.
	off := !d.armed.IsZero() && d.armed.Unix() < 2
	if !off && (t.IsZero() || !d.armed.IsZero() && !d.armed.After(t)) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// early says that err comes of a timer that went off for an earlier deadline than
// the one in force, and sets it anew: at once, when that one is over, too.
func (d *deadline) early(err error, arm func(time.Time) error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed.Equal(d.wanted) {
		return false
	}
	d.armed = d.wanted
	return arm(d.wanted) == nil
}

func (c *lazyDeadlines) SetReadDeadline(t time.Time) error {
	return c.read.set(t, c.Conn.SetReadDeadline)
}

func (c *lazyDeadlines) SetWriteDeadline(t time.Time) error {
	return c.write.set(t, c.Conn.SetWriteDeadline)
}

func (c *lazyDeadlines) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *lazyDeadlines) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if n > 0 || !c.read.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

func (c *lazyDeadlines) Write(b []byte) (int, error) {
	total := 0
	for {
		n, err := c.Conn.Write(b[total:])
		total += n
		if total == len(b) || !c.write.early(err, c.Conn.SetWriteDeadline) {
			return total, err
		}
	}
}
