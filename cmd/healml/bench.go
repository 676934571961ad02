package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/load"
)

func newBenchCommand(a *app) *cobra.Command {
	var o load.Options
	var duration, timeout, body, token string
	var headers []string
	cmd := &cobra.Command{
		Use: "bench URL", Short: "Ask a server again and again, and say how long it takes", Args: oneArg("URL"),
		Example: "  healml bench http://127.0.0.1:8080/predict --rate 500 --duration 10s",
		Long: `Sends the same POST at a steady rate and reports how long answers took: p50 to
p99.9, from when each request was due, so that a server that stands still is
charged with the wait of all that were due meanwhile. Without --rate each
connection asks as soon as it has its answer, which says how much a server can
take, and flatters its latency.

Without --body the row is the example of the server's /openapi.json. What is
predicted is logged: do not bench a server whose log healing learns from.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			o.URL = args[0]
			if o.Duration, err = config.ParseDuration(duration); err != nil {
				return usageError{fmt.Errorf("--duration: %w", err)}
			}
			if o.Timeout, err = config.ParseDuration(timeout); err != nil {
				return usageError{fmt.Errorf("--timeout: %w", err)}
			}
			o.Header = http.Header{"Content-Type": {"application/json"}}
			for _, h := range headers {
				name, value, ok := strings.Cut(h, ":")
				if !ok {
					return usageError{fmt.Errorf("--header %q: expected \"Name: value\"", h)}
				}
				o.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
			}
			if token != "" {
				b, err := os.ReadFile(token)
				if err != nil {
					return usageError{fmt.Errorf("--token-file: %w", err)}
				}
				o.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(b)))
			}
			return a.bench(cmd.Context(), o, body)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.Rate, "rate", 0, "requests a second (0: as fast as answers come)")
	f.IntVar(&o.Connections, "connections", 16, "at most so many requests at once")
	f.StringVar(&duration, "duration", "10s", "how long to send")
	f.StringVar(&timeout, "timeout", "10s", "of one request")
	f.StringVar(&body, "body", "", "file to send")
	f.StringArrayVar(&headers, "header", nil, "\"Name: value\" to send along, any number of times")
	f.StringVar(&token, "token-file", "", "file with a token, sent as Authorization: Bearer")
	return cmd
}

func (a *app) bench(ctx context.Context, o load.Options, body string) error {
	const longest, most = time.Hour, 10_000
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return usageError{fmt.Errorf("%q: expected an address such as http://127.0.0.1:8080/predict", o.URL)}
	case o.Connections < 1 || o.Connections > most:
		return usageError{fmt.Errorf("--connections %d: expected 1 to %d", o.Connections, most)}
	case o.Duration <= 0 || o.Duration > longest:
		return usageError{fmt.Errorf("--duration %v: expected more than 0 and at most %v", o.Duration, longest)}
	case !(o.Rate >= 0 && o.Rate <= 1e6):
		return usageError{fmt.Errorf("--rate %v: expected 0 to 1,000,000", o.Rate)}
	}
	if body != "" {
		if o.Body, err = os.ReadFile(body); err != nil {
			return usageError{fmt.Errorf("--body: %w", err)}
		}
	} else if o.Body, err = exampleRow(ctx, u, o.Header, o.Timeout); err != nil {
		return fmt.Errorf("%w; name a file with --body", err)
	}
	p := a.progress()
	defer p.done()
	o.Now = time.Now // the load of a machine runs by its own clock
	o.Progress = func(n int64) { p.step("answered", int(n), 0) }
	r, err := load.Run(ctx, o)
	if err != nil {
		return err
	}
	p.done()
	if err := a.print(r, func(w io.Writer) error { return benchText(w, r) }); err != nil {
		return err
	}
	if r.Requests == 0 {
		return outcome(exitUnreachable)
	}
	return nil
}

// exampleRow is the row that a healml server shows in its description.
func exampleRow(ctx context.Context, u *url.URL, h http.Header, timeout time.Duration) ([]byte, error) {
	at := *u
	at.Path, at.RawQuery = "/openapi.json", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = h
	resp, err := (&http.Client{Timeout: timeout}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for an example row: %w", err)
	}
	defer resp.Body.Close()
	var doc struct {
		Components struct {
			Schemas struct {
				Row struct {
					Examples []json.RawMessage `json:"examples"`
				}
			} `json:"schemas"`
		} `json:"components"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&doc)
	if err == nil && len(doc.Components.Schemas.Row.Examples) == 0 {
		err = errors.New("there is none")
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, usageError{fmt.Errorf("%s does not show an example row (status %d): %w", &at, resp.StatusCode, err)}
	}
	return doc.Components.Schemas.Row.Examples[0], nil
}

func benchText(w io.Writer, r *load.Result) error {
	asked := "as fast as answers came"
	if r.Asked > 0 {
		asked = fmt.Sprintf("%.0f a second asked for", r.Asked)
	}
	fmt.Fprintf(w, "%d answers in %.1f s over %d connections: %.0f a second, %s\n\n", r.Requests, r.Seconds, r.Connections, r.Rate, asked)
	t := newTable(w, "ms", "p50", "p90", "p99", "p99.9", "max")
	line := func(name string, q load.Quantiles) {
		t.AppendRow(row(name, fmt.Sprintf("%.2f", q.P50), fmt.Sprintf("%.2f", q.P90), fmt.Sprintf("%.2f", q.P99), fmt.Sprintf("%.2f", q.P999), fmt.Sprintf("%.2f", q.Max)))
	}
	if r.Asked > 0 {
		line("since it was due", r.Latency)
	}
	line("since it was sent", r.Service)
	t.Render()
	for _, s := range slices.Sorted(maps.Keys(r.Statuses)) {
		if s[0] != '2' {
			fmt.Fprintf(w, "status %s: %d\n", s, r.Statuses[s])
		}
	}
	for _, e := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(w, "%s: %d\n", e, r.Errors[e])
	}
	if r.Unsent > 0 {
		fmt.Fprintf(w, "%d requests were due and never sent: all connections waited for answers\n", r.Unsent)
	}
	return nil
}
