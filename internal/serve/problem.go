package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxFaults is how many bad fields one answer lists; the rest are counted.
const maxFaults = 1000

// Problem is an RFC 9457 problem document, the body of every answer that is
// not a success. Its media type is application/problem+json.
type Problem struct {
	Type   string       `json:"type"` // urn:healml:problem:<slug>, stable
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	ID     string       `json:"instance,omitempty"` // urn:uuid:…, also in the server's log
	Errors []FieldError `json:"errors,omitempty"`
	// Omitted counts the errors beyond those listed.
	Omitted int `json:"errors_omitted,omitempty"`

	retry time.Duration // sent as Retry-After when not zero
	allow string        // sent as Allow when not empty
	// challenge is sent as WWW-Authenticate when not empty.
	challenge string
	close     bool // the rest of the request is not worth reading
}

// FieldError is one bad field.
type FieldError struct {
	Row     *int            `json:"row,omitempty"` // index in the array that was sent
	Field   string          `json:"field"`         // empty when the whole row is at fault
	Message string          `json:"message"`
	Value   json.RawMessage `json:"value,omitempty"` // as sent, when it is short
}

// problem makes a Problem of one of the types in docs/api.md.
func problem(status int, slug, title, format string, args ...any) *Problem {
	return &Problem{Type: "urn:healml:problem:" + slug, Title: title, Status: status, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) write(w http.ResponseWriter) { p.send(w, "application/problem+json", p) }

// send answers with a problem's status and headers, and body in its place.
func (p *Problem) send(w http.ResponseWriter, contentType string, body any) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.close {
		h.Set("Connection", "close")
	}
	out, err := json.Marshal(body)
	if err != nil {
		panic("serve: marshal problem: " + err.Error()) // plain data: cannot fail
	}
	w.WriteHeader(p.Status)
	w.Write(append(out, '\n')) //nolint:errcheck // the client is gone: nobody to tell
}

func noModel() *Problem {
	p := problem(http.StatusServiceUnavailable, "no-model", "No model is loaded",
		"No version could be loaded. Train and promote one, or see `healml models list`; the server takes it without a restart.")
	p.retry = 10 * time.Second
	return p
}

func badFields(faults []FieldError, omitted int) *Problem {
	n := len(faults) + omitted
	detail := "1 field cannot be taken."
	if n != 1 {
		detail = fmt.Sprintf("%d fields cannot be taken.", n)
	}
	p := problem(http.StatusUnprocessableEntity, "invalid-fields", "Fields do not fit", "%s Nothing was predicted or stored.", detail)
	p.Errors, p.Omitted = faults, omitted
	return p
}

// quoted is the value of a FieldError for what a client sent: itself when it
// is a short JSON value, a string cut short otherwise.
func quoted(kind token, raw []byte) json.RawMessage {
	if s := string(raw); kind == text || kind == notNumber || shorten(s) != s {
		return appendString(nil, shorten(s))
	}
	return bytes.Clone(raw)
}
