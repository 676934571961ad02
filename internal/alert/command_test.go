package alert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func command(t *testing.T, script string) (*Command, *[]string) {
	t.Helper()
	var lines []string
	return &Command{Args: []string{"sh", "-c", script}, Dir: t.TempDir(), Timeout: 20 * time.Second, Output: func(s string) { lines = append(lines, s) }}, &lines
}

func TestCommand(t *testing.T) {
	t.Setenv("HEALML_ALERT_SECRET", "sesame")
	t.Setenv("HEALML_ALERT_WEBHOOK", "https://sesame")
	c, lines := command(t, `cat > got.json; echo "$HEALML_EVENT $HEALML_EVENT_ID $HEALML_REPORT $HEALML_VERSION"; echo "$HEALML_VERDICT" >&2; env | grep -c sesame; printf 'no end'`)
	m := message(t, "r7")
	if err := c.Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(c.Dir, "got.json")); err != nil || string(b) != string(m.Body) {
		t.Errorf("stdin was %s, %v", b, err)
	}
	want := []string{"drift " + m.Event.ID + " r7 v1", "Drift: <1> & more.", "0", "no end"}
	if strings.Join(*lines, "|") != strings.Join(want, "|") {
		t.Errorf("output %q, expected %q", *lines, want)
	}
}

func TestCommandFails(t *testing.T) {
	c, _ := command(t, "echo first; echo the mail server is down >&2; exit 3")
	err := c.Send(context.Background(), message(t, "r1"))
	var e *SendError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), `exit status 3: "the mail server is down"`) {
		t.Errorf("%v", err)
	}
	for _, args := range [][]string{{"no-such-program-1"}, {"./missing.sh"}, {""}, nil, {"/"}, {"/etc/passwd"}} {
		c := &Command{Args: args, Dir: t.TempDir(), Timeout: time.Second}
		if err := c.Send(context.Background(), message(t, "r1")); err == nil {
			t.Errorf("%q ran", args)
		}
	}
}

// TestCommandRelative: a program with a slash is one of the directory.
func TestCommandRelative(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notify.sh"), []byte("#!/bin/sh\npwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var lines []string
	c := &Command{Args: []string{"./notify.sh"}, Dir: dir, Timeout: 20 * time.Second, Output: func(s string) { lines = append(lines, s) }}
	if err := c.Send(context.Background(), message(t, "r1")); err != nil || len(lines) != 1 || filepath.Base(lines[0]) != filepath.Base(dir) {
		t.Errorf("%q, %v", lines, err)
	}
}

// TestCommandHangs: when its time is over, it and its children are gone.
func TestCommandHangs(t *testing.T) {
	c, lines := command(t, "sleep 300 & echo $!; sleep 300")
	c.Timeout = 300 * time.Millisecond
	start := time.Now()
	err := c.Send(context.Background(), message(t, "r1"))
	if took := time.Since(start); err == nil || took > 5*time.Second || !strings.Contains(err.Error(), "its time was over (300ms") {
		t.Fatalf("%v after %v", err, took)
	}
	if len(*lines) != 1 {
		t.Fatalf("output %q", *lines)
	}
	child, err := strconv.Atoi((*lines)[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if !running(child) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the child %d lives on", child)
}

// running reports whether a process runs; one that nobody waited for does not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestCommandLeaves: a child that goes on and holds the output is no failure
// and holds nothing up.
func TestCommandLeaves(t *testing.T) {
	c, lines := command(t, "sleep 8 & echo done")
	start := time.Now()
	if err := c.Send(context.Background(), message(t, "r1")); err != nil || time.Since(start) > 6*time.Second || len(*lines) != 1 {
		t.Errorf("%v after %v, %q", err, time.Since(start), *lines)
	}
}

// TestCommandTalks: output without end is cut, and does not stop it.
func TestCommandTalks(t *testing.T) {
	c, lines := command(t, "head -c 1000000 /dev/zero | tr '\\0' 'x'")
	if err := c.Send(context.Background(), message(t, "r1")); err != nil || len(*lines) != 2 || len((*lines)[0]) != mostOutput || !strings.Contains((*lines)[1], "934464 bytes more") {
		t.Errorf("%v, %d lines", err, len(*lines))
	}
}

// TestCommandDeaf: one that does not read its input succeeds by its exit code.
func TestCommandDeaf(t *testing.T) {
	c, _ := command(t, "exit 0")
	m := message(t, "r1")
	m.Body = make([]byte, 1<<20)
	if err := c.Send(context.Background(), m); err != nil {
		t.Error(err)
	}
}
