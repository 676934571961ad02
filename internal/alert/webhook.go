package alert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	mostTries    = 6
	mostRedirect = 3
	mostAnswer   = 64 << 10 // bytes read of an answer
	shownAnswer  = 120      // runes of it that an error shows
	longestWait  = 24 * time.Hour
)

// Webhook posts events to an address over HTTP, as Standard Webhooks has it:
// an answer of 2xx is success, everything else is not.
type Webhook struct {
	URL *url.URL
	// Key signs; nil: events go out without a signature.
	Key []byte
	// Timeout bounds one try, Total all tries of one run; both above 0.
	Timeout, Total time.Duration
	// Clock dates the tries, for the receiver's guard against replays.
	Clock func() time.Time
	// Agent is the User-Agent.
	Agent string
	// Wait is the first wait between tries; 0: half a second. It doubles.
	Wait time.Duration
	// Tries is how often it tries; 0: six times.
	Tries uint
}

// SendError says why a channel did not take an event.
type SendError struct {
	Where string // the channel, without secrets
	Tries int
	// Status is the HTTP status of the last answer; 0 when there was none.
	Status int
	// RetryAfter is how long the receiver asked to be left alone; 0: it did not.
	RetryAfter time.Duration
	Err        error
}

func (e *SendError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Where, e.Err)
	if e.Tries > 1 {
		s += fmt.Sprintf(" (%d tries)", e.Tries)
	}
	return s
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Refused reports whether the receiver answered that it does not want this
// event: to send it once more at once is of no use, but another may pass.
func (e *SendError) Refused() bool {
	return e.Status >= 300 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooEarly
}

// Name implements [Channel].
func (w *Webhook) Name() string { return "webhook" }

// Bound implements [Channel].
func (w *Webhook) Bound() time.Duration { return w.Total }

// Send implements [Channel]: it tries until the receiver answers 2xx, refuses,
// or Total is over. Between tries it waits, longer each time, with jitter; or
// for as long as the receiver says (Retry-After), if that is within Total.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, w.Total)
	defer cancel()
	client := w.client()
	defer client.CloseIdleConnections()
	last := &SendError{Where: "webhook " + Redacted(w.URL)}
	try := func() (struct{}, error) {
		last.Tries++
		last.Status, last.RetryAfter = 0, 0
		last.Err = w.try(ctx, client, m, last)
		switch {
		case last.Err == nil:
			return struct{}{}, nil
		case last.Refused():
			return struct{}{}, backoff.Permanent(last.Err)
		case last.RetryAfter > 0:
			return struct{}{}, &backoff.RetryAfterError{Duration: last.RetryAfter}
		}
		return struct{}{}, last.Err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = cmp.Or(w.Wait, 500*time.Millisecond)
	wait.Multiplier = 2
	if _, err := backoff.Retry(ctx, try, backoff.WithBackOff(wait), backoff.WithMaxTries(cmp.Or(w.Tries, mostTries)), backoff.WithMaxElapsedTime(w.Total)); err != nil {
		return last
	}
	return nil
}

// client follows a redirect only where the document goes along and nobody else
// sees it: to the same host, by 307 or 308.
func (w *Webhook) client() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: w.Timeout, MaxResponseHeaderBytes: mostAnswer}
	return &http.Client{
		Timeout: w.Timeout, Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			first := via[0].URL
			upgraded := first.Scheme == next.URL.Scheme || next.URL.Scheme == "https"
			if next.Method != http.MethodPost || next.URL.Host != first.Host || !upgraded || len(via) > mostRedirect {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// try posts once. It fills in what e says of the answer.
func (w *Webhook) try(ctx context.Context, client *http.Client, m Message, e *SendError) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL.String(), bytes.NewReader(m.Body))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	at := w.Clock()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.Agent)
	req.Header.Set("webhook-id", m.Event.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	if w.Key != nil {
		req.Header.Set("webhook-signature", sign(w.Key, m.Event.ID, at, m.Body))
	}
	resp, err := client.Do(req)
	if err != nil {
		return w.withoutAddress(err)
	}
	defer resp.Body.Close()
	// A body that breaks off changes nothing about the status.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e.Status, e.RetryAfter = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), at)
	said := w.shown(answer)
	if resp.StatusCode/100 == 3 {
		said = "; redirects to other hosts, and those that lose the document, are not followed: set alert.webhook to where the receiver is now"
	}
	return fmt.Errorf("answered %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode), said)
}

// withoutAddress takes the address out of an error of net/http.
func (w *Webhook) withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
		if u.Timeout() {
			err = fmt.Errorf("no answer in time: %w", u.Err)
		}
	}
	if w.betrayed(err.Error()) {
		return errors.New("an answer that cannot be understood")
	}
	return err
}

// shown is the beginning of an answer, for people; empty when it holds a part
// of the address that is not to be shown.
func (w *Webhook) shown(answer []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(answer), "�")), " ")
	if text == "" || !printable(text) || w.betrayed(text) {
		return ""
	}
	return ": " + strconv.Quote(cut(text, shownAnswer))
}

// betrayed reports whether a text holds a part of the address that may be
// secret: the user, the query, or a long part of the path.
func (w *Webhook) betrayed(text string) bool {
	secrets := []string{w.URL.RawQuery, w.URL.User.String(), w.URL.User.Username()}
	if password, ok := w.URL.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, values := range w.URL.Query() {
		secrets = append(secrets, values...)
	}
	for _, part := range strings.Split(w.URL.Path, "/") {
		if len(part) > 6 { // shorter ones are words of the route
			secrets = append(secrets, part)
		}
	}
	return slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(text, s) })
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// retryAfter reads the header: seconds, or a date; 0 when it has neither. No
// wait is longer than a day.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 63); err == nil {
		return time.Duration(min(n, uint64(longestWait/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return longestWait
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longestWait)
}
