package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/access"
)

func newHealthCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the server on this machine whether it can predict", Args: noArgs, Example: "  healml health",
		Long: `Asks the server at serve.address for its state. Ends with 0 when predictions can
be asked for (serving, or degraded: another version than the one in force
serves), else with 69, so that it can be the health check of a container.`,
		RunE: func(*cobra.Command, []string) error {
			state := a.serverState()
			if err := a.print(map[string]string{"state": state}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, state)
				return err
			}); err != nil {
				return err
			}
			if state == "serving" || state == "degraded" {
				return nil
			}
			return outcome(exitUnreachable)
		},
	}
}

// serverState is the state that a server on this machine tells of itself,
// "stopped" when none answers.
func (a *app) serverState() string {
	client, url, err := a.localServer()
	if err != nil {
		return "unknown"
	}
	resp, err := client.Get(url + "/health")
	var alert tls.AlertError
	switch {
	case errors.As(err, &alert):
		return "unknown" // it wants a certificate of ours
	case err != nil:
		return "stopped"
	}
	defer resp.Body.Close()
	var health struct {
		State string `json:"state"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&health) != nil || health.State == "" {
		return "unknown"
	}
	return health.State
}

// localServer is how to reach the server of this root. What speaks TLS must show
// the very certificate of the configuration, whatever name it is made out to.
func (a *app) localServer() (*http.Client, string, error) {
	c := a.conf.Serve
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	client, scheme := &http.Client{Timeout: 2 * time.Second}, "http"
	if c.TLSCert != "" {
		certs, err := access.FollowCertificates(a.below(c.TLSCert), a.below(c.TLSKey), a.below(c.TLSClientCA))
		if err != nil {
			return nil, "", err
		}
		scheme = "https"
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // VerifyConnection is stricter
			VerifyConnection: func(s tls.ConnectionState) error {
				if !s.PeerCertificates[0].Equal(certs.Leaf()) {
					return errors.New("the server shows another certificate than serve.tls_cert")
				}
				return nil
			},
		}}
	}
	return client, scheme + "://" + net.JoinHostPort(host, port), nil
}

// keys are the tokens and certificates that the configuration names; nil where
// it names none.
func (a *app) keys() (*access.File, *access.Certificates, error) {
	c := a.conf.Serve
	var tokens *access.File
	var certificates *access.Certificates
	var err error
	if c.Tokens != "" {
		if tokens, err = access.Follow(a.below(c.Tokens)); err != nil {
			return nil, nil, usageError{fmt.Errorf("serve.tokens: %w; healml tokens add makes one", err)}
		}
	}
	if c.TLSCert != "" {
		if certificates, err = access.FollowCertificates(a.below(c.TLSCert), a.below(c.TLSKey), a.below(c.TLSClientCA)); err != nil {
			return nil, nil, usageError{fmt.Errorf("serve.tls_cert: %w", err)}
		}
	}
	return tokens, certificates, nil
}
