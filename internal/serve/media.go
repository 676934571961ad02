package serve

import (
	"net/http"
	"strings"
)

// media is a form in which rows come and predictions go.
type media uint8

const (
	mediaJSON  media = iota // also what has no Content-Type, or another one than these
	mediaLines              // one JSON object a line
	mediaCSV
	mediaArrow // an IPC stream
	mediaText  // plain, of answers only
)

// mediaTypes are the values of Content-Type of answers, shared so that an
// answer allocates none.
var mediaTypes = [...][]string{
	mediaJSON:  {"application/json"},
	mediaLines: {"application/x-ndjson"},
	mediaCSV:   {"text/csv; charset=utf-8"},
	mediaArrow: {"application/vnd.apache.arrow.stream"},
	mediaText:  {"text/plain; charset=utf-8"},
}

// byName finds the form that a media type without parameters stands for.
func byName(name string) (media, bool) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "application/json":
		return mediaJSON, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return mediaLines, true
	case "text/csv":
		return mediaCSV, true
	case "application/vnd.apache.arrow.stream":
		return mediaArrow, true
	}
	return mediaJSON, false
}

// mediaOf is the form of a request's body. What names none of them is JSON:
// curl calls everything a form unless it is told otherwise.
func mediaOf(h http.Header) media {
	name, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	m, _ := byName(name)
	return m
}

// answerTo is the form of the answer to a body of form m: the first in Accept
// that there is, else the form of the body.
func answerTo(h http.Header, m media) media {
	for _, accept := range h["Accept"] {
		for part := range strings.SplitSeq(accept, ",") {
			name, _, _ := strings.Cut(part, ";")
			if a, ok := byName(name); ok {
				return a
			}
		}
	}
	return m
}

// tabular says that a form is read and written as a table.
func (m media) tabular() bool { return m == mediaCSV || m == mediaArrow }
