// Package alert tells people and programs outside what healml found: an
// [Event] is one JSON document (docs/format/alert.md), a [Webhook] posts it,
// signed, a [Command] takes it on stdin, an [Outbox] keeps it on disk until
// that is done, and a [Memory] keeps the same news from being told again and
// again.
//
// A job's outcome never depends on any of it: what cannot be sent waits, and
// is tried again by the next run of any job. Every wait is bounded. Nothing
// secret gets into an error: of the webhook's address only the scheme and the
// host are ever shown, since the rest is often the key to a channel.
//
// The package knows nothing of reports and incidents; cmd makes events of
// them.
package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format is the version of the document that this build sends.
const Format = 1

// The kinds of an [Event].
const (
	Drift     = "drift"     // a report found drift
	Recovered = "recovered" // the first report without drift after one with
	Healed    = "healed"    // another version was put in force
	Rejected  = "rejected"  // cures were tried and none was proven better
	Test      = "test"      // sent by hand
)

// Event is what is sent. Its JSON keys are free of those by which Slack and
// Mattermost are steered (type, channel, username, props, attachments,
// blocks): they show Text and pass over the rest.
type Event struct {
	Format int    `json:"format"`
	ID     string `json:"id"` // see [New]
	// Event is the kind.
	Event string `json:"event"`
	Time  string `json:"time"` // RFC 3339, UTC
	// Host is the machine's name; empty when it has none.
	Host string `json:"host,omitempty"`
	// Text says it all to people, in lines.
	Text string `json:"text"`
	// Verdict is the report's, or the reason of the healing, in one sentence.
	Verdict      string `json:"verdict"`
	ModelVersion string `json:"model_version,omitempty"` // the version in force
	ReportID     string `json:"report_id,omitempty"`
	IncidentID   string `json:"incident_id,omitempty"`
	// Action is what the healing did; Promoted is the version that it put in
	// force.
	Action   string `json:"action,omitempty"`
	Promoted string `json:"promoted,omitempty"`
	// Drifted counts what drifted; Columns lists the first [MostColumns].
	Drifted int      `json:"drifted"`
	Columns []Column `json:"columns"`
}

// MostColumns is how many columns an event lists, which keeps it small.
const MostColumns = 20

// Column is one thing that drifted.
type Column struct {
	Column string `json:"column"`
	// Role is "input", "prediction", "metric", "estimate" (of the metric),
	// "dependence" (of two columns) or "together" (all columns).
	Role   string `json:"role"`
	Change string `json:"change,omitempty"` // the kind of change, as in the report
	Text   string `json:"text"`             // one sentence
	Since  *Since `json:"since,omitempty"`  // absent when it cannot be told
}

// Since dates the beginning of a change, as in the report.
type Since struct {
	At     string `json:"at"`
	Lo     string `json:"lo"`
	Hi     string `json:"hi"`
	Before bool   `json:"before"`
}

const (
	longText = 300 // runes of a sentence of one column
	longest  = 800 // runes of a verdict
)

// New completes an event: it counts and cuts the columns, writes the text, and
// names the event by its time and by what it is about, so that the same report
// or incident always makes the same id.
func New(e Event, now time.Time) *Event {
	e.Format, e.Time = Format, now.UTC().Format(time.RFC3339)
	e.Verdict = cut(e.Verdict, longest)
	e.Drifted = len(e.Columns)
	e.Columns = append([]Column{}, e.Columns[:min(len(e.Columns), MostColumns)]...)
	for i := range e.Columns {
		e.Columns[i].Text = cut(e.Columns[i].Text, longText)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{e.Event, e.Host, e.ReportID, e.IncidentID, e.ModelVersion}, "\n")))
	e.ID = fmt.Sprintf("e%s-%s", now.UTC().Format("20060102t150405z"), hex.EncodeToString(sum[:8]))
	e.Text = e.text()
	return &e
}

var eventID = regexp.MustCompile(`^e[0-9]{8}t[0-9]{6}z-[0-9a-f]{16}$`)

// title is the beginning of a message.
func (e *Event) title() string {
	switch e.Event {
	case Drift:
		return "Drift"
	case Recovered:
		return "Recovered"
	case Healed:
		if e.Action == "rollback" {
			return "Taken back"
		}
		return "Healed"
	case Rejected:
		return "No cure"
	case Test:
		return "Test"
	}
	return e.Event
}

// text is the message for people: a headline, the verdict, a line for each
// column, and where to read on.
func (e *Event) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: healml", e.title())
	if e.Host != "" {
		fmt.Fprintf(&b, " on %s", e.Host)
	}
	if e.ModelVersion != "" {
		fmt.Fprintf(&b, ", model %s", e.ModelVersion)
	}
	fmt.Fprintf(&b, "\n%s\n", e.Verdict)
	for _, c := range e.Columns {
		fmt.Fprintf(&b, "• %s: %s", c.Column, c.Text)
		switch {
		case c.Since == nil:
		case c.Since.Before:
			fmt.Fprint(&b, " (before the window began)")
		default:
			fmt.Fprintf(&b, " (since %s)", c.Since.At)
		}
		fmt.Fprintln(&b)
	}
	if more := e.Drifted - len(e.Columns); more > 0 {
		fmt.Fprintf(&b, "• and %d more\n", more)
	}
	switch {
	case e.Event == Healed && e.Action == "rollback":
		fmt.Fprintln(&b, "healml retrain --thaw lets healing act again")
	case e.Event == Healed:
		fmt.Fprintln(&b, "healml models rollback takes it back")
	}
	switch {
	case e.IncidentID != "":
		fmt.Fprintf(&b, "healml incidents show %s", e.IncidentID)
	case e.ReportID != "":
		fmt.Fprintf(&b, "healml reports show %s", e.ReportID)
	}
	return harmless.Replace(strings.TrimSpace(b.String()))
}

// harmless takes the marks out of a text by which a chat would notify people
// or make links: the text holds levels that anybody may have sent.
var harmless = strings.NewReplacer("<", "‹", ">", "›", "@", "@\u200b", "\r", " ", "\x00", "")

// cut shortens s to n runes.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// body is the event as it is sent: JSON on one line. Texts are not escaped for
// HTML, and bytes that are no UTF-8 become U+FFFD.
func (e *Event) body() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Message is an event on its way.
type Message struct {
	Event *Event
	// Body is the document, byte for byte the same at every try.
	Body []byte
}

// NewMessage encodes an event.
func NewMessage(e *Event) (Message, error) {
	body, err := e.body()
	return Message{e, body}, err
}

// State is what a report says apart from its numbers: a version and the set of
// what drifted, in any order. Reports with the same State are the same news.
func State(version string, columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Role + " " + c.Column
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(version + "\n" + strings.Join(slices.Compact(names), "\n")))
	return hex.EncodeToString(sum[:8])
}
