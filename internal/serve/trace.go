package serve

import "net/http"

// traceOf is the id of the trace that a request belongs to, by the header
// traceparent of W3C Trace Context, and whether it is sampled: recorded
// somewhere. A header that is not of a form that the recommendation knows
// counts as none.
func traceOf(h http.Header) (id string, sampled bool) {
	v := h["Traceparent"]
	if len(v) != 1 {
		return "", false
	}
	// version-trace-parent-flags: 00-<32>-<16>-<2>, longer in later versions
	s := v[0]
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" || s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' {
		return "", false
	}
	zeros := true
	for i := range 55 {
		c := s[i]
		switch {
		case i == 2 || i == 35 || i == 52:
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
			zeros = zeros && (c == '0' || i < 3 || i > 34)
		default:
			return "", false
		}
	}
	if zeros {
		return "", false
	}
	flags := s[54]
	return s[3:35], (flags&1 == 1) == (flags <= '9')
}

func first[A, B any](a A, _ B) A { return a }
