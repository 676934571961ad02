package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/healml/healml/internal/durable"
)

// memoryFormat is the version of the file that this build writes.
const memoryFormat = 1

// Memory is what one job has told, so that it does not tell the same again too
// soon. It belongs to that job alone, which holds its lock.
type Memory struct {
	Format int `json:"format"`
	// Told is the kind of the last event; empty before the first.
	Told string `json:"told,omitempty"`
	// Sent has the states that were told (see [State]) and when.
	Sent map[string]time.Time `json:"sent"`
}

// ReadMemory reads a file. One that is not there, is damaged, or is of a
// format that this build does not know counts as empty: the worst that follows
// is news told twice. The error is that of reading alone.
func ReadMemory(path string) (*Memory, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Memory{}, fmt.Errorf("read what was told: %w", err)
	}
	var m Memory
	if json.Unmarshal(b, &m) != nil || m.Format != memoryFormat {
		m = Memory{}
	}
	return &m, nil
}

// Write replaces the file at path.
func (m *Memory) Write(path string) error {
	m.Format = memoryFormat
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what was told: %w", err)
	}
	return durable.WriteFile(path, append(b, '\n'))
}

// Next is the kind of event that a report makes, empty for none. Drift is told
// unless the same state was within repeat; recovery is told once, and only by
// a report with enough rows for a verdict: a feed that died is no recovery.
func (m *Memory) Next(drift, enough bool, state string, now time.Time, repeat time.Duration) string {
	switch {
	case drift && m.Due(state, now, repeat):
		return Drift
	case !drift && enough && m.Told == Drift:
		return Recovered
	}
	return ""
}

// Due reports whether state may be told: it never was, or not within repeat.
// What was told later than now (the clock was set back) does not count.
func (m *Memory) Due(state string, now time.Time, repeat time.Duration) bool {
	at, told := m.Sent[state]
	return !told || at.After(now) || now.Sub(at) >= repeat
}

// Note remembers that an event was told, and forgets what repeat no longer
// needs.
func (m *Memory) Note(event, state string, now time.Time, repeat time.Duration) {
	m.Told = event
	kept := map[string]time.Time{}
	for s := range m.Sent {
		if !m.Due(s, now, repeat) {
			kept[s] = m.Sent[s]
		}
	}
	if state != "" {
		kept[state] = now.UTC()
	}
	m.Sent = kept
}
