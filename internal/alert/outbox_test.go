package alert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// way is a channel that does as told.
type way struct {
	name string
	send func(m Message) error
	got  []string
}

func (w *way) Name() string         { return w.name }
func (w *way) Bound() time.Duration { return 10 * time.Second }
func (w *way) Send(_ context.Context, m Message) error {
	if w.send != nil {
		if err := w.send(m); err != nil {
			return err
		}
	}
	w.got = append(w.got, m.Event.ID)
	return nil
}

func box(t *testing.T) Outbox {
	return Outbox{Dir: filepath.Join(t.TempDir(), "alert", "outbox"), Now: func() time.Time { return noon }}
}

// add puts n events in, a minute apart and the last one now.
func add(t *testing.T, o Outbox, n int, channels ...string) []*Event {
	t.Helper()
	var out []*Event
	for i := range n {
		e := New(Event{Event: Drift, ReportID: fmt.Sprint("r", i), Verdict: "Drift: <a> & b."}, noon.Add(time.Duration(i-n+1)*time.Minute))
		out = append(out, e)
		if _, err := o.Add(e, channels); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func deliver(t *testing.T, o Outbox, channels ...Channel) Result {
	t.Helper()
	res, err := o.Deliver(context.Background(), channels)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestOutbox: a channel that fails keeps the event for itself alone, the
// others have done with it.
func TestOutbox(t *testing.T) {
	o := box(t)
	if res := deliver(t, o, &way{name: "a"}); res.Sent != 0 || res.Waiting != 0 {
		t.Errorf("an outbox that is not there: %+v", res)
	}
	events := add(t, o, 3, "a", "b")
	if _, err := o.Add(events[0], []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("out of order")
	var bodies []string
	a := &way{name: "a"}
	b := &way{name: "b", send: func(m Message) error { bodies = append(bodies, string(m.Body)); return broken }}
	res := deliver(t, o, a, b)
	if res.Sent != 3 || res.Waiting != 3 || len(res.Faults) != 1 || !errors.Is(res.Faults[0], broken) {
		t.Errorf("%+v", res)
	}
	if len(a.got) != 3 || a.got[0] != events[0].ID || len(bodies) != 1 {
		t.Errorf("a got %q, b was tried %d times", a.got, len(bodies))
	}
	body, _ := events[0].body()
	if bodies[0] != string(body) {
		t.Errorf("the outbox changed\n%s to\n%s", body, bodies[0])
	}
	b.send = nil
	if res := deliver(t, o, a, b); res.Sent != 3 || res.Waiting != 0 || len(b.got) != 3 || len(a.got) != 3 {
		t.Errorf("%+v, b got %q, a got %q", res, b.got, a.got)
	}
	if ids, err := o.List(); err != nil || len(ids) != 0 {
		t.Errorf("left: %q, %v", ids, err)
	}
}

// TestOutboxRefused: an event that the receiver does not want is passed over.
func TestOutboxRefused(t *testing.T) {
	o := box(t)
	events := add(t, o, 3, "a")
	a := &way{name: "a", send: func(m Message) error {
		if m.Event.ID == events[0].ID {
			return &SendError{Where: "a", Status: 413, Err: errors.New("answered 413")}
		}
		return nil
	}}
	if res := deliver(t, o, a); res.Sent != 2 || res.Waiting != 1 || len(res.Faults) != 1 {
		t.Errorf("%+v", res)
	}
}

// TestOutboxRetryAfter: a receiver that asked for an hour is left alone for it,
// quietly.
func TestOutboxRetryAfter(t *testing.T) {
	o := box(t)
	now := noon
	o.Now = func() time.Time { return now }
	add(t, o, 2, "a")
	tries := 0
	a := &way{name: "a", send: func(Message) error {
		tries++
		return &SendError{Where: "a", Status: 429, RetryAfter: time.Hour, Err: errors.New("answered 429")}
	}}
	if res := deliver(t, o, a); len(res.Faults) != 1 || tries != 1 {
		t.Errorf("%+v after %d tries", res, tries)
	}
	now = noon.Add(59 * time.Minute)
	if res := deliver(t, o, a); len(res.Faults) != 0 || tries != 1 || res.Waiting != 2 {
		t.Errorf("%+v after %d tries", res, tries)
	}
	now = noon.Add(time.Hour)
	a.send = nil
	if res := deliver(t, o, a); res.Sent != 2 || res.Waiting != 0 {
		t.Errorf("%+v", res)
	}
}

// TestOutboxGone: channels that are no longer configured are forgotten.
func TestOutboxGone(t *testing.T) {
	o := box(t)
	add(t, o, 2, "a", "b")
	a := &way{name: "a"}
	if res := deliver(t, o, a); res.Sent != 2 || res.Waiting != 0 {
		t.Errorf("%+v", res)
	}
	add(t, o, 1, "b")
	if res := deliver(t, o); res.Sent != 0 || res.Waiting != 0 || len(res.Faults) != 0 {
		t.Errorf("%+v", res)
	}
}

// TestOutboxFull: the oldest go.
func TestOutboxFull(t *testing.T) {
	o := box(t)
	events := add(t, o, MostEvents+3, "a")
	ids, err := o.List()
	if err != nil || len(ids) != MostEvents || ids[0] != events[3].ID {
		t.Errorf("%d events, the first %s, %v", len(ids), ids[0], err)
	}
	e := New(Event{Event: Drift, ReportID: "one more"}, noon.Add(time.Minute))
	if dropped, err := o.Add(e, []string{"a"}); dropped != 1 || err != nil {
		t.Errorf("%d dropped, %v", dropped, err)
	}
}

// TestOutboxDamaged: what cannot be read, and what is too old, is dropped and
// told; its neighbours go out.
func TestOutboxDamaged(t *testing.T) {
	whole := func(e *Event) string {
		body, _ := e.body()
		return `{"format":1,"pending":[{"channel":"a","tries":0}],"event":` + string(body) + `}`
	}
	victim := New(Event{Event: Drift, ReportID: "victim"}, noon.Add(-time.Hour))
	old := New(Event{Event: Drift, ReportID: "old", Verdict: "Drift: long ago."}, noon.Add(-MostAge-time.Second))
	for name, c := range map[string]struct{ id, text string }{
		"empty":          {victim.ID, ""},
		"cut":            {victim.ID, whole(victim)[:80]},
		"no event":       {victim.ID, `{"format":1,"pending":[]}`},
		"other event":    {victim.ID, whole(old)},
		"event a text":   {victim.ID, `{"format":1,"event":"x"}`},
		"newer format":   {victim.ID, strings.Replace(whole(victim), `"format":1,"pending"`, `"format":2,"pending"`, 1)},
		"zeros":          {victim.ID, strings.Repeat("\x00", 300)},
		"too old":        {old.ID, whole(old)},
		"without a time": {victim.ID, strings.Replace(whole(victim), victim.Time, "noon", 1)},
	} {
		o := box(t)
		add(t, o, 1, "a")
		write(t, o.path(c.id), c.text)
		write(t, filepath.Join(o.Dir, "note.txt"), "not ours")
		a := &way{name: "a"}
		res := deliver(t, o, a)
		if res.Sent != 1 || res.Waiting != 0 || len(res.Faults) != 1 || !strings.Contains(res.Faults[0].Error(), c.id) {
			t.Errorf("%s: %+v", name, res)
		}
		if ids, _ := o.List(); len(ids) != 0 {
			t.Errorf("%s: %q stay", name, ids)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, "note.txt")); err != nil {
			t.Error(err)
		}
	}
}

// TestOutboxShared: who finds the lock held leaves, and what it added goes out
// with the run that holds it.
func TestOutboxShared(t *testing.T) {
	o := box(t)
	events := add(t, o, 1, "a")
	late := New(Event{Event: Healed, IncidentID: "i1"}, noon.Add(time.Second))
	a := &way{name: "a"}
	a.send = func(m Message) error {
		if m.Event.ID == events[0].ID {
			if _, err := o.Add(late, []string{"a"}); err != nil {
				return err
			}
			if res := deliver(t, o, &way{name: "a"}); !res.Busy {
				t.Errorf("two send at once: %+v", res)
			}
		}
		return nil
	}
	if res := deliver(t, o, a); res.Sent != 2 || len(a.got) != 2 || a.got[1] != late.ID {
		t.Errorf("%+v, %q", res, a.got)
	}
}

// TestOutboxConcurrent: however many jobs add and send at once, every event is
// sent, and to an end once.
func TestOutboxConcurrent(t *testing.T) {
	o := box(t)
	var mu sync.Mutex
	count := map[string]int{}
	var wg sync.WaitGroup
	for job := range 4 {
		wg.Go(func() {
			for i := range 5 {
				e := New(Event{Event: Drift, ReportID: fmt.Sprint(job, " ", i)}, noon)
				if _, err := o.Add(e, []string{"a"}); err != nil {
					t.Error(err)
				}
				a := &way{name: "a", send: func(m Message) error {
					mu.Lock()
					defer mu.Unlock()
					count[m.Event.ID]++
					return nil
				}}
				if _, err := o.Deliver(context.Background(), []Channel{a}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a := &way{name: "a", send: func(m Message) error { count[m.Event.ID]++; return nil }}
	deliver(t, o, a)
	if len(count) != 20 {
		t.Errorf("%d of 20 events were sent", len(count))
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}

// TestOutboxKilled: what a killed writer left is swept.
func TestOutboxKilled(t *testing.T) {
	o := box(t)
	add(t, o, 1, "a")
	leftover := filepath.Join(o.Dir, ".tmp-999999999-deadbeef1")
	write(t, leftover, "{")
	deliver(t, o, &way{name: "a"})
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
		t.Error("the leftover stays")
	}
	if !durable.IsTemp(filepath.Base(leftover)) {
		t.Error("not a temporary name")
	}
}

// TestOutboxStops: the end of the program leaves the rest.
func TestOutboxStops(t *testing.T) {
	o := box(t)
	add(t, o, 3, "a")
	ctx, cancel := context.WithCancel(context.Background())
	a := &way{name: "a", send: func(Message) error { cancel(); return nil }}
	res, err := o.Deliver(ctx, []Channel{a})
	if err != nil || res.Sent != 1 || res.Waiting != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}
