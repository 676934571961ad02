package serve

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// counted counts how often the timers of a connection are set.
type counted struct {
	net.Conn
	sets int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.sets++
	return c.Conn.SetReadDeadline(t)
}

func pair(t *testing.T) (*lazyDeadlines, *counted, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	there, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	c := &counted{Conn: here}
	return &lazyDeadlines{Conn: c}, c, there
}

func TestLazyDeadlinesAreKept(t *testing.T) {
	c, timer, there := pair(t)
	b := make([]byte, 8)
	in := func(d time.Duration) { c.SetReadDeadline(time.Now().Add(d)) } //nolint:errcheck // of a connection that is open
	read := func() (time.Duration, error) {
		begin := time.Now()
		_, err := c.Read(b)
		return time.Since(begin), err
	}
	// Moved to later and later: one timer, and the last deadline counts.
	for i := range 100 {
		in(50*time.Millisecond + time.Duration(i)*time.Millisecond)
	}
	took, err := read()
	if !errors.Is(err, os.ErrDeadlineExceeded) || took < 100*time.Millisecond || took > 2*time.Second || timer.sets > 3 {
		t.Errorf("%v after %v, %d timers", err, took, timer.sets)
	}
	// Moved to earlier: it counts at once, also for a read that waits already.
	in(time.Hour)
	time.AfterFunc(30*time.Millisecond, func() { in(-time.Hour) })
	if took, err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || took > 2*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	// Taken away, after it was over: a read waits for what comes.
	c.SetReadDeadline(time.Time{})                                           //nolint:errcheck // of a connection that is open
	time.AfterFunc(30*time.Millisecond, func() { there.Write([]byte("x")) }) //nolint:errcheck // read below
	if took, err := read(); err != nil || took < 20*time.Millisecond {
		t.Errorf("%v after %v", err, took)
	}
	// One that is over keeps a read from what is there.
	there.Write([]byte("y")) //nolint:errcheck // read below
	in(-time.Second)
	if _, err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	in(time.Hour)
	if _, err := read(); err != nil || b[0] != 'y' {
		t.Errorf("%v %q", err, b[0])
	}
}

// TestLazyDeadlinesWriteAll writes more than the other side takes before a timer
// of an earlier deadline goes off.
func TestLazyDeadlinesWriteAll(t *testing.T) {
	c, _, there := pair(t)
	big := make([]byte, 16<<20)
	for i := range big {
		big[i] = byte(i * 7 >> 3)
	}
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // of a connection that is open
	c.SetWriteDeadline(time.Now().Add(time.Hour))             //nolint:errcheck // of a connection that is open
	got := make(chan []byte, 1)
	go func() {
		time.Sleep(100 * time.Millisecond)
		b := make([]byte, len(big))
		io.ReadFull(there, b) //nolint:errcheck // compared below
		got <- b
	}()
	if n, err := c.Write(big); n != len(big) || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if string(<-got) != string(big) {
		t.Error("other bytes came")
	}
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // of a connection that is open
	if n, err := c.Write(big); !errors.Is(err, os.ErrDeadlineExceeded) || n == len(big) {
		t.Errorf("%d %v", n, err)
	}
}
