package repair

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/healml/healml/internal/durable"
)

// feedFormat is the version of feed.json that this build writes and reads.
const feedFormat = 1

// Feed is the state of the feed, as the last check of the live window left it.
type Feed struct {
	Format int       `json:"format"`
	At     time.Time `json:"at"`            // when it was last looked at
	Since  time.Time `json:"since"`         // when the steps last changed
	Report string    `json:"report_id"`     // of that check
	Steps  []Step    `json:"steps"`         // in force, by column
	Model  string    `json:"model_version"` // whose reference the rows were held against
}

// Read reads the state of the feed. A file that is not there is a sound feed;
// one that is damaged, or of another format, is an error that names it.
func Read(path string) (*Feed, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Feed{Format: feedFormat}, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the state of the feed: %w", err)
	}
	var f Feed
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if f.Format != feedFormat {
		return nil, fmt.Errorf("read %s: format %d is not known to this build (it reads %d)", path, f.Format, feedFormat)
	}
	for _, s := range f.Steps {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return &f, nil
}

func (s *Step) check() error {
	switch {
	case s.Column == "":
		return errors.New("a step names no column")
	case s.Kind == Scale && !(s.Factor > 0 && s.Median > 0):
		return fmt.Errorf("column %q is scaled by %v about %v, expected numbers above 0", s.Column, s.Factor, s.Median)
	case s.Kind == Rename && s.Old == s.New:
		return fmt.Errorf("column %q: %q is renamed to itself", s.Column, s.Old)
	case s.Kind != Scale && s.Kind != Rename && s.Kind != Quarantine:
		return fmt.Errorf("column %q: %q is no repair known to this build", s.Column, s.Kind)
	}
	return nil
}

// Next is the state after a check that found steps.
func (f *Feed) Next(steps []Step, now time.Time, report, model string) *Feed {
	n := &Feed{Format: feedFormat, At: now.UTC(), Since: f.Since, Report: report, Model: model, Steps: append([]Step{}, steps...)}
	if !Same(f.Steps, steps) {
		n.Since = n.At
	}
	return n
}

// Same reports whether two lists take the same steps, whatever their reasons.
func Same(a, b []Step) bool {
	return slices.EqualFunc(a, b, func(x, y Step) bool {
		x.Why, y.Why = "", ""
		return x == y
	})
}

// Write replaces the state at path.
func (f *Feed) Write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of the feed: %w", err)
	}
	return durable.WriteFile(path, append(b, '\n'))
}

// Merge is a with those of b that are about a fault of which a has no step.
func Merge(a, b []Step) []Step {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.ContainsFunc(out, func(o Step) bool {
			return o.Column == s.Column && (o.Kind != Rename || s.Kind != Rename || o.New == s.New)
		}) {
			out = append(out, s)
		}
	}
	return out
}

// Words says what the step does.
func (s *Step) Words() string {
	switch s.Kind {
	case Scale:
		return fmt.Sprintf("%s is divided by %g where that makes it likelier", s.Column, s.Factor)
	case Rename:
		return fmt.Sprintf("%s: %q is read as %q", s.Column, s.New, s.Old)
	default:
		return s.Column + " is read as missing"
	}
}
