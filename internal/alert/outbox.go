package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/durable"
)

// Channel is a way out. Send takes at most Bound.
type Channel interface {
	Name() string
	Send(ctx context.Context, m Message) error
	Bound() time.Duration
}

// outboxFormat is the version of an entry that this build writes.
const outboxFormat = 1

// The limits of an outbox.
const (
	MostEvents = 100                // that wait; of more, the oldest go
	MostAge    = 7 * 24 * time.Hour // of an event that waits
)

// Outbox is a directory of events that are to be sent, a file each, called by
// the event's id (docs/format/state.md). Any job may add; who sends holds the
// lock.
type Outbox struct {
	Dir string
	// Now dates what waits.
	Now func() time.Time
}

// entry is a file of the outbox.
type entry struct {
	Format  int             `json:"format"`
	Pending []pending       `json:"pending"`
	Event   json.RawMessage `json:"event"`

	message Message
}

// pending is a channel that has not taken the event.
type pending struct {
	Channel   string    `json:"channel"`
	Tries     int       `json:"tries"`
	Error     string    `json:"last_error,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"` // the receiver asked for it
}

func (o Outbox) path(id string) string { return filepath.Join(o.Dir, id+".json") }

// Add puts an event in, to be sent by the channels of these names. One that is
// there already is left alone. It returns how many events had to go for it.
func (o Outbox) Add(e *Event, channels []string) (dropped int, err error) {
	if err := durable.MkdirAll(o.Dir); err != nil {
		return 0, err
	}
	if _, err := os.Stat(o.path(e.ID)); err == nil {
		return 0, nil
	}
	m, err := NewMessage(e)
	if err != nil {
		return 0, err
	}
	in := entry{message: m}
	for _, name := range channels {
		in.Pending = append(in.Pending, pending{Channel: name})
	}
	ids, err := o.List()
	if err != nil {
		return 0, err
	}
	for ; len(ids) >= MostEvents; ids = ids[1:] {
		if err := durable.Remove(o.path(ids[0])); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, o.write(&in)
}

// List are the ids of the events that wait, oldest first.
func (o Outbox) List() ([]string, error) {
	entries, err := os.ReadDir(o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the outbox: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && eventID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (o Outbox) write(in *entry) error {
	in.Format, in.Event = outboxFormat, in.message.Body
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // which would change the event's bytes
	if err := enc.Encode(in); err != nil {
		return fmt.Errorf("encode outbox entry: %w", err)
	}
	return durable.WriteFile(o.path(in.message.Event.ID), b.Bytes())
}

// read reads an entry. fs.ErrNotExist: it is gone.
func (o Outbox) read(id string) (*entry, error) {
	b, err := os.ReadFile(o.path(id))
	if err != nil {
		return nil, err
	}
	var in entry
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if in.Format != outboxFormat {
		return nil, fmt.Errorf("format %d is not known to this build", in.Format)
	}
	var e Event
	if err := json.Unmarshal(in.Event, &e); err != nil || e.ID != id {
		return nil, fmt.Errorf("damaged: not the event %s", id)
	}
	in.message = Message{&e, in.Event}
	return &in, nil
}

// Result is what a delivery came to.
type Result struct {
	Sent    int     // events times channels
	Waiting int     // events that are left
	Busy    bool    // another run is sending; it takes what is here, too
	Faults  []error // one a channel that failed, and one an entry that was lost
}

// Deliver sends what waits, oldest first, and removes what every channel has
// taken. A channel that fails is left alone for the rest of the run, unless it
// only refused one event; it takes at most its Bound in all. Channels that are
// no longer configured are forgotten. The error is that of the disk; ctx that
// ends leaves the rest for another run.
func (o Outbox) Deliver(ctx context.Context, channels []Channel) (res Result, err error) {
	if ids, err := o.List(); err != nil || len(ids) == 0 {
		return res, err
	}
	lock, err := durable.Lock(filepath.Join(o.Dir, "lock"))
	if errors.Is(err, durable.ErrLocked) {
		return Result{Busy: true}, nil
	} else if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if _, err := durable.SweepTemp(o.Dir); err != nil {
		return res, err
	}
	d := delivery{Outbox: o, res: &res, seen: map[string]bool{}}
	for _, c := range channels {
		r := &route{Channel: c}
		d.routes = append(d.routes, r)
	}
	for { // until others have added nothing meanwhile
		batch, err := d.batch()
		if err != nil || len(batch) == 0 {
			return res, err
		}
		for _, r := range d.routes {
			if err := d.send(ctx, r, batch); err != nil {
				return res, err
			}
		}
		for _, in := range batch {
			if len(in.Pending) > 0 {
				res.Waiting++
			} else if err := durable.Remove(o.path(in.message.Event.ID)); err != nil {
				return res, err
			}
		}
	}
}

// delivery is one run of Deliver.
type delivery struct {
	Outbox
	routes []*route
	seen   map[string]bool
	res    *Result
}

// route is a channel during one run.
type route struct {
	Channel
	failed bool
}

// batch reads the entries that are new to this run, and drops those that are
// damaged or too old.
func (d *delivery) batch() ([]*entry, error) {
	ids, err := d.List()
	if err != nil {
		return nil, err
	}
	var out []*entry
	for _, id := range ids {
		if d.seen[id] {
			continue
		}
		d.seen[id] = true
		in, err := d.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			at, _ := time.Parse(time.RFC3339, in.message.Event.Time) // the zero time is too old
			if age := d.Now().Sub(at); age > MostAge {
				err = fmt.Errorf("not sent within %v: %s", MostAge, in.message.Event.Verdict)
			}
		}
		if err != nil {
			d.res.Faults = append(d.res.Faults, fmt.Errorf("event %s is dropped: %w", id, err))
			if err := durable.Remove(d.path(id)); err != nil {
				return nil, err
			}
			continue
		}
		in.forget(d.routes)
		out = append(out, in)
	}
	return out, nil
}

// forget drops the channels that are not among routes.
func (in *entry) forget(routes []*route) {
	in.Pending = slices.DeleteFunc(in.Pending, func(p pending) bool {
		return !slices.ContainsFunc(routes, func(r *route) bool { return r.Name() == p.Channel })
	})
}

// send sends a batch by one channel. No send begins when less than half of the
// channel's time is left.
func (d *delivery) send(ctx context.Context, r *route, batch []*entry) error {
	ctx, cancel := context.WithTimeout(ctx, r.Bound())
	defer cancel()
	enough, stop := context.WithTimeout(ctx, r.Bound()/2)
	defer stop()
	for _, in := range batch {
		i := slices.IndexFunc(in.Pending, func(p pending) bool { return p.Channel == r.Name() })
		if i < 0 {
			continue
		}
		if d.Now().Before(in.Pending[i].NotBefore) {
			r.failed = true
		}
		if r.failed || enough.Err() != nil {
			return nil
		}
		err := r.Send(ctx, in.message)
		if err == nil {
			in.Pending = slices.Delete(in.Pending, i, i+1)
			d.res.Sent++
		} else {
			d.failed(r, &in.Pending[i], err)
		}
		if len(in.Pending) > 0 {
			if err := d.write(in); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed notes why a channel did not take an event.
func (d *delivery) failed(r *route, p *pending, err error) {
	p.Tries++
	p.Error = err.Error()
	p.NotBefore = time.Time{}
	var s *SendError
	refused := errors.As(err, &s) && s.Refused()
	if s != nil && s.RetryAfter > 0 {
		p.NotBefore = d.Now().Add(s.RetryAfter).UTC()
	}
	if !r.failed && !slices.ContainsFunc(d.res.Faults, func(e error) bool { return e.Error() == err.Error() }) {
		d.res.Faults = append(d.res.Faults, err)
	}
	r.failed = !refused
}
