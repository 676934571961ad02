package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	mostOutput = 64 << 10 // bytes kept of a command's output
	longEnv    = 4096     // bytes of a variable
)

// Command runs a program for each event, without a shell: the document on its
// stdin, and HEALML_EVENT (the kind), HEALML_EVENT_ID, HEALML_REPORT,
// HEALML_VERSION and HEALML_VERDICT in its environment. It succeeds when the
// program exits with 0.
type Command struct {
	// Args are the program and its arguments. A program with a slash is
	// relative to Dir, where the command runs; one without is looked up in
	// PATH.
	Args []string
	Dir  string
	// Timeout bounds a run; above 0. When it is over the program and all that
	// it started in its process group are killed.
	Timeout time.Duration
	// Output takes what the program wrote to stdout and stderr, a line a call.
	Output func(line string)
}

// Name implements [Channel].
func (c *Command) Name() string { return "command" }

// Bound implements [Channel].
func (c *Command) Bound() time.Duration { return c.Timeout }

// Program is the path of the program that would run.
func (c *Command) Program() (string, error) {
	if len(c.Args) == 0 {
		return "", errors.New("no program is named")
	}
	name := c.Args[0]
	if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
		dir, err := filepath.Abs(c.Dir)
		if err != nil {
			return "", fmt.Errorf("find the directory of %s: %w", name, err)
		}
		name = filepath.Join(dir, name)
	}
	return exec.LookPath(name)
}

// Send implements [Channel].
func (c *Command) Send(ctx context.Context, m Message) error {
	fail := func(err error) error {
		name := ""
		if len(c.Args) > 0 {
			name = " " + c.Args[0]
		}
		return &SendError{Where: "command" + name, Tries: 1, Err: err}
	}
	program, err := c.Program()
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	out := &capped{}
	cmd := exec.CommandContext(ctx, program, c.Args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Dir, bytes.NewReader(m.Body), out, out
	cmd.Env = environment(os.Environ(), m.Event)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for output of what it left running
	err = cmd.Run()
	last := c.tell(out)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(fmt.Errorf("killed: its time was over (%v at most)", c.Timeout))
	case errors.Is(err, exec.ErrWaitDelay): // it ended well, a child of it goes on
		return nil
	case err != nil && last != "":
		return fail(fmt.Errorf("%w: %q", err, cut(last, longText)))
	case err != nil:
		return fail(err)
	}
	return nil
}

// tell hands the output on and returns its last line.
func (c *Command) tell(out *capped) string {
	last := ""
	for line := range strings.Lines(strings.ToValidUTF8(string(out.kept), "�")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		last = line
		if c.Output != nil {
			c.Output(line)
		}
	}
	if out.lost > 0 && c.Output != nil {
		c.Output(fmt.Sprintf("… %d bytes more", out.lost))
	}
	return last
}

// environment is env with the event's variables, and without the settings of
// alerts, some of which are secret.
func environment(env []string, e *Event) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "HEALML_ALERT_") {
			out = append(out, kv)
		}
	}
	for _, v := range [][2]string{
		{"EVENT", e.Event}, {"EVENT_ID", e.ID}, {"REPORT", e.ReportID}, {"VERSION", e.ModelVersion}, {"VERDICT", e.Verdict},
	} {
		value := strings.ReplaceAll(v[1], "\x00", "")
		out = append(out, "HEALML_"+v[0]+"="+strings.ToValidUTF8(value[:min(len(value), longEnv)], ""))
	}
	return out
}

// capped keeps the first bytes written to it and counts the others.
type capped struct {
	kept []byte
	lost int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), mostOutput-len(c.kept))
	c.kept = append(c.kept, p[:n]...)
	c.lost += len(p) - n
	return len(p), nil
}
