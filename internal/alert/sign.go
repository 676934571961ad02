package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// leastKey is the least length of a key in bytes that Standard Webhooks allows.
const leastKey = 24

// ParseSecret reads the key of the signatures: "whsec_" and base64, as
// Standard Webhooks writes it, or any other text, whose bytes are the key. It
// takes at least 24 bytes. No error repeats the secret.
func ParseSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	key := []byte(text)
	if coded, ok := strings.CutPrefix(text, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, fmt.Errorf("what follows whsec_ is not base64")
		}
	}
	if len(key) < leastKey {
		return nil, fmt.Errorf("a key of %d bytes, expected at least %d; openssl rand -base64 32 makes one, to be written behind whsec_", len(key), leastKey)
	}
	return key, nil
}

// sign is the value of webhook-signature: "v1," and the base64 of HMAC-SHA256
// over "id.timestamp.body" (https://www.standardwebhooks.com, 1.0.0).
func sign(key []byte, id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// ParseURL reads the address of a webhook. No error repeats it, since it holds
// secrets as often as not.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not an address such as https://hooks.example.com/services/…")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("expected an address that begins with https:// or http://")
	case u.Hostname() == "":
		return nil, fmt.Errorf("an address without a host")
	}
	return u, nil
}

// Redacted is what of an address may be shown: scheme and host.
func Redacted(u *url.URL) string {
	s := u.Scheme + "://" + u.Host
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		s += "/…"
	}
	return s
}
