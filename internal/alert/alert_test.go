package alert

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestSignVector is the vector of the reference implementations of Standard
// Webhooks.
func TestSignVector(t *testing.T) {
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, expected %s", got, want)
	}
}

// TestSignVerifies: the reference implementation takes whatever is signed, and
// nothing that was changed.
func TestSignVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), leastKey, 64).Draw(t, "key")
		id := rapid.StringMatching(`[a-z0-9-]{1,40}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		at := time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "at"), 0)
		hook, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		h.Set("webhook-signature", sign(key, id, at, body))
		if err := hook.VerifyIgnoringTimestamp(body, h); err != nil {
			t.Fatal(err)
		}
		if hook.VerifyIgnoringTimestamp(append(body, ' '), h) == nil {
			t.Fatal("a changed body verifies")
		}
	})
}

func TestParseSecret(t *testing.T) {
	if key, err := ParseSecret(" whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\n"); err != nil || len(key) != 24 || key[23] != 23 {
		t.Errorf("%v, %v", key, err)
	}
	if key, err := ParseSecret("correct horse battery staple"); err != nil || string(key) != "correct horse battery staple" {
		t.Errorf("%q, %v", key, err)
	}
	for _, bad := range []string{"", "hunter2hunter2", "whsec_", "whsec_hunter2!hunter2!hunter2!hunter2!", "whsec_aHVudGVyMg=="} {
		if _, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%q: the error %q tells the secret", bad, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	for text, shown := range map[string]string{
		"https://hooks.example.com/services/T0/B0/sesame": "https://hooks.example.com/…",
		"http://bob:sesame@127.0.0.1:9/?token=sesame":     "http://127.0.0.1:9/…",
		"https://example.com":                             "https://example.com",
		"https://example.com/":                            "https://example.com",
		"https://[::1]:8080/?sesame":                      "https://[::1]:8080/…",
	} {
		u, err := ParseURL(text)
		if err != nil || Redacted(u) != shown {
			t.Errorf("%s: %v, %v, expected %s", text, u, err, shown)
		}
	}
	for _, bad := range []string{"", "sesame", "ftp://example.com/sesame", "http://bob:ses/ame@host/", "http://bob:ses ame@host/", "https:///sesame", "http://h/%zzsesame", "//example.com/sesame", "https://:80/sesame"} {
		if _, err := ParseURL(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "ses") && !strings.Contains(err.Error(), "services") || strings.Contains(err.Error(), "bob") {
			t.Errorf("%q: the error %q tells it", bad, err)
		}
	}
}

func drifted(n int) []Column {
	var out []Column
	for i := range n {
		out = append(out, Column{Column: fmt.Sprintf("c%02d", i), Role: "input", Change: "shift", Text: "moved by 3"})
	}
	return out
}

// TestEvent: the document has the keys that docs/format/alert.md has, none of
// those by which chats are steered, and says the same twice.
func TestEvent(t *testing.T) {
	columns := drifted(25)
	columns[0].Since = &Since{At: "2026-02-28T00:00:00Z", Lo: "2026-02-27T00:00:00Z", Hi: "2026-03-01T00:00:00Z"}
	columns[1].Since = &Since{At: "2026-02-22T00:00:00Z", Before: true}
	columns[2].Text = "the share of \"<!channel> @here\" went from 0 % to 3 %" + strings.Repeat(" and so on", 100)
	in := Event{Event: Drift, Host: "web-1", Verdict: "Drift: 25 of 30 columns.", ModelVersion: "v0003-1f0c9a2b", ReportID: "r20260301t120000z-5a2e0b17", Columns: columns}
	e, again := New(in, noon), New(in, noon)
	if e.ID != again.ID || !eventID.MatchString(e.ID) || !strings.HasPrefix(e.ID, "e20260301t120000z-") {
		t.Errorf("ids %s and %s", e.ID, again.ID)
	}
	in.ReportID = "r20260301t120000z-00000000"
	if New(in, noon).ID == e.ID {
		t.Error("two reports of one second have one id")
	}
	m, err := NewMessage(e)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(m.Body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"format", "id", "event", "time", "host", "text", "verdict", "model_version", "report_id", "drifted", "columns"} {
		if doc[key] == nil {
			t.Errorf("no key %q in %s", key, m.Body)
		}
	}
	for _, key := range []string{"type", "channel", "username", "props", "attachments", "blocks", "icon_url", "icon_emoji", "priority"} {
		if _, there := doc[key]; there {
			t.Errorf("the key %q steers chats", key)
		}
	}
	if doc["drifted"] != 25.0 || len(doc["columns"].([]any)) != MostColumns || len(m.Body) > 20_000 {
		t.Errorf("%v columns, %d listed, %d bytes", doc["drifted"], len(doc["columns"].([]any)), len(m.Body))
	}
	for _, want := range []string{"Drift: healml on web-1, model v0003-1f0c9a2b\nDrift: 25 of 30", "• c00: moved by 3 (since 2026-02-28T00:00:00Z)\n", "• c01: moved by 3 (before the window began)\n", "• and 5 more\n", "healml reports show r20260301t120000z-5a2e0b17"} {
		if !strings.Contains(e.Text, want) {
			t.Errorf("no %q in\n%s", want, e.Text)
		}
	}
	if strings.Contains(e.Text, "<!") || strings.Contains(e.Text, "@here") {
		t.Errorf("the text notifies people:\n%s", e.Text)
	}
	if !strings.Contains(e.Columns[2].Text, "<!channel>") || len([]rune(e.Columns[2].Text)) != longText {
		t.Errorf("column text %q", e.Columns[2].Text)
	}
}

// TestDocumented: the example of docs/format/alert.md is an event, with the
// text that this build writes of it.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/format/alert.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	dec := json.NewDecoder(strings.NewReader(example))
	dec.DisallowUnknownFields()
	var e Event
	if err := dec.Decode(&e); err != nil {
		t.Fatal(err)
	}
	if !eventID.MatchString(e.ID) || e.Text != e.text() || e.Format != Format || e.Drifted != len(e.Columns) {
		t.Errorf("the example is %+v with the text\n%s", e, e.text())
	}
	for i := range reflect.TypeFor[Event]().NumField() {
		key, _, _ := strings.Cut(reflect.TypeFor[Event]().Field(i).Tag.Get("json"), ",")
		if !strings.Contains(string(b), "`"+key+"`") {
			t.Errorf("the key %s is not in the document", key)
		}
	}
}

// TestState: the order of columns is none of its business, their names and
// roles and the version are.
func TestState(t *testing.T) {
	a, b := Column{Column: "a", Role: "input"}, Column{Column: "b", Role: "input"}
	same := State("v1", []Column{a, b})
	if State("v1", []Column{b, a}) != same {
		t.Error("the order counts")
	}
	b2 := b
	b2.Role = "prediction"
	for i, other := range []string{State("v2", []Column{a, b}), State("v1", []Column{a}), State("v1", []Column{a, b2}), State("v1", nil)} {
		if other == same {
			t.Errorf("state %d is the same", i)
		}
	}
}

// TestMemory lives through a week of hourly reports.
func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drift.json")
	const day = 24 * time.Hour
	for _, step := range []struct {
		after         time.Duration
		drift, enough bool
		state, want   string
	}{
		{0, false, true, "", ""},              // nothing to tell
		{1, true, true, "A", Drift},           // news
		{2, true, true, "A", ""},              // the same
		{3, true, true, "AB", Drift},          // another column
		{4, true, true, "A", ""},              // told three hours ago
		{5, false, false, "", ""},             // the feed died: no recovery
		{6, false, true, "", Recovered},       // recovered
		{7, false, true, "", ""},              // told
		{8, true, true, "A", ""},              // flaps
		{9, false, true, "", ""},              // still told
		{24, true, true, "A", ""},             // 23 hours
		{25, true, true, "A", Drift},          // a day
		{27, true, true, "AB", Drift},         // a day, too
		{28, true, false, "metric", Drift},    // too few rows, but the error is worse
		{49 + 24, true, true, "A", Drift},     // two days
		{-1000, true, true, "A", Drift},       // the clock was set back
		{-999, true, true, "A", ""},           //
		{-998, true, true, "AB in v2", Drift}, // another version
	} {
		m, err := ReadMemory(path)
		if err != nil {
			t.Fatal(err)
		}
		now := noon.Add(step.after * time.Hour)
		got := m.Next(step.drift, step.enough, step.state, now, day)
		if got != step.want {
			t.Errorf("after %d h: %q, expected %q", step.after, got, step.want)
		}
		if got == "" {
			continue
		}
		m.Note(got, step.state, now, day)
		if len(m.Sent) > 3 {
			t.Errorf("after %d h: %d states are remembered", step.after, len(m.Sent))
		}
		if err := m.Write(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryDamaged: a damaged file is an empty one.
func TestMemoryDamaged(t *testing.T) {
	for _, text := range []string{"", "{", "null", `{"format":2,"told":"drift"}`, `{"format":1,"sent":"x"}`, "\x00\xff"} {
		path := filepath.Join(t.TempDir(), "drift.json")
		write(t, path, text)
		if m, err := ReadMemory(path); err != nil || m.Told != "" || m.Next(true, true, "A", noon, time.Hour) != Drift {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
	if _, err := ReadMemory(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
}
