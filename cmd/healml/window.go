package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// sincePromotion is what --since takes in place of a time.
const sincePromotion = "promotion"

// windowOptions are the flags that say which of the served rows are compared.
type windowOptions struct {
	window, since, until string
	rows                 int
	flags                *pflag.FlagSet
}

func (o *windowOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	f.StringVar(&o.window, "window", "", "how far back the live window reaches, such as 7d (default: drift.window)")
	f.IntVar(&o.rows, "rows", 0, "the live window is the newest `N` rows that were served")
	f.StringVar(&o.since, "since", "", "the live window begins at this `time`, such as 2026-03-01 or 2026-03-01T06:00:00Z, or with the last promotion: promotion")
	f.StringVar(&o.until, "until", "", "the live window ends at this `time` (default: now)")
}

// given lists the flags of o that are set, in the order of the help.
func (o *windowOptions) given(names ...string) (given []string) {
	for _, name := range names {
		if o.flags != nil && o.flags.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	return given
}

// refuse is a usage error when a flag is set that speaks of the live window.
func (o *windowOptions) refuse() error {
	if given := o.given("window", "rows", "since", "until"); given != nil {
		return usageError{fmt.Errorf("%s cannot go with --reference and --current: two files are compared as they are", strings.Join(given, ", "))}
	}
	return nil
}

// liveWindow says which of the rows that a version served are compared: those
// predicted later than from and up to to, or, when rows is not 0, the newest
// so many of those up to to.
type liveWindow struct {
	from, to  time.Time
	rows      int
	promotion bool // from is when the version took over
	latest    bool // it ends now
}

// parse reads the flags; without any it is the window of the configuration.
func (o *windowOptions) parse(now time.Time, c config.Drift) (w liveWindow, err error) {
	if begins := o.given("window", "rows", "since"); len(begins) > 1 {
		return w, usageError{fmt.Errorf("%s contradict each other: each says where the live window begins, so give one of them", strings.Join(begins, " and "))}
	}
	if w.to, err = parseMoment("until", o.until, now, "2026-03-08"); err != nil {
		return w, err
	}
	if w.to.After(now) {
		w.to = now
	}
	w.from, w.latest = w.to.Add(-c.Window), o.until == ""
	switch {
	case len(o.given("window")) > 0:
		d, err := config.ParseDuration(o.window)
		if err != nil || d <= 0 {
			return w, usageError{fmt.Errorf("--window is %q, expected such as 12h or 7d", o.window)}
		}
		w.from = w.to.Add(-d)
	case len(o.given("rows")) > 0:
		if o.rows < c.MinRows || o.rows > c.MaxRows {
			return w, usageError{fmt.Errorf("--rows is %d, expected %d (drift.min_rows) to %d (drift.max_rows)", o.rows, c.MinRows, c.MaxRows)}
		}
		w.rows = o.rows
	case o.since == sincePromotion:
		w.promotion = true
	case len(o.given("since")) > 0:
		if w.from, err = parseMoment("since", o.since, now, "2026-03-01, 2026-03-01T06:00:00Z or "+sincePromotion); err != nil {
			return w, err
		}
		return w, w.check("--since " + o.since)
	}
	return w, nil
}

// parseMoment reads the time that a flag holds; unset it is now.
func parseMoment(flag, text string, now time.Time, example string) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	us, ok := table.ParseTime(text)
	if !ok {
		return now, usageError{fmt.Errorf("--%s is %q, expected a time such as %s", flag, text, example)}
	}
	return time.UnixMicro(us).UTC(), nil
}

// check refuses a window that ends before it begins.
func (w liveWindow) check(begin string) error {
	if w.from.Before(w.to) {
		return nil
	}
	return usageError{fmt.Errorf("%s begins the live window at %s, which is not before its end, %s", begin, w.from.UTC().Format(time.RFC3339), w.to.UTC().Format(time.RFC3339))}
}

// settle finds out when the version took over, if that is asked for.
func (w *liveWindow) settle(reg *registry.Registry, l *registry.Loaded) (err error) {
	if !w.promotion {
		return nil
	}
	if w.from, err = promotedAt(reg, l); err != nil {
		return err
	}
	return w.check(fmt.Sprintf("--since %s (of %s)", sincePromotion, l.Manifest.Version))
}

// cut takes the window from what was served up to its end, in the order of
// time, at most so many rows, and sets from where rows decided.
func (w *liveWindow) cut(served *table.Table, most int) *table.Table {
	live := served
	if w.rows > 0 {
		most = min(most, w.rows)
	} else {
		live = since(served, predlog.ColumnTime, w.from)
	}
	n := live.NumRows()
	live = live.Slice(max(0, n-most), n)
	if w.rows > 0 {
		w.from = w.to
		if c := live.Column(predlog.ColumnTime); c != nil && c.Len() > 0 {
			w.from = time.UnixMicro(c.Times[0] - 1).UTC() // the window holds its first row
		}
	}
	return live
}

// length is that of the window, at least a second.
func (w liveWindow) length() time.Duration { return max(w.to.Sub(w.from), time.Second) }

// since are the rows whose time in column is later than from.
func since(t *table.Table, column string, from time.Time) *table.Table {
	c := t.Column(column)
	if c == nil {
		return t.Slice(0, 0)
	}
	var rows []int
	for i, us := range c.Times {
		if us != table.NoTime && us > from.UnixMicro() {
			rows = append(rows, i)
		}
	}
	return t.Take(rows)
}

// joined is the prediction log of [from, to), µs UTC, with the actuals that
// have come in by now beside it.
func (a *app) joined(task schema.Task, from, to int64) (*table.Table, predlog.JoinStats, error) {
	preds, read, err := predlog.Read(a.predictions(), from, to, predlog.ReadOptions{})
	if err != nil {
		return nil, predlog.JoinStats{}, err
	}
	actuals, readActuals, err := predlog.ReadActuals(a.actuals(), from, a.now().UnixMicro()+1, predlog.ReadOptions{})
	if err != nil {
		return nil, predlog.JoinStats{}, err
	}
	for _, f := range append(read.Findings, readActuals.Findings...) {
		a.warn("%v", f)
	}
	t, stats := predlog.Join(preds, actuals, task)
	return t, stats, nil
}
