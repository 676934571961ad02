package serve

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/healml/healml/internal/access"
)

// scope says who may ask a route when the server has tokens. The zero value is
// none, so that a route that forgets it does not start.
type scope uint8

const (
	undeclared scope = iota
	anyone           // probes, which must work without secrets and tell none
	predicting
	telling // what came true
	operating
)

var scopes = [...]access.Scope{predicting: access.Predict, telling: access.Actuals, operating: access.Admin}

// authorize refuses a request without a token that is good for the scope. Why
// is told as RFC 6750 has it. It returns the name of the token.
func (s *Server) authorize(sc scope, h http.Header) (holder string, p *Problem) {
	if s.o.Tokens == nil || sc == anyone {
		return "", nil
	}
	scheme, secret, _ := strings.Cut(h.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if secret == "" || !strings.EqualFold(scheme, "Bearer") {
		s.metrics.denied.WithLabelValues("no_token").Inc()
		p = problem(http.StatusUnauthorized, "no-token", "A token is needed", "Send it as \"Authorization: Bearer TOKEN\".")
		p.challenge = `Bearer realm="healml"`
		return "", p
	}
	t := s.o.Tokens.Tokens().Find([]byte(secret), s.o.Now())
	switch {
	case t == nil:
		s.metrics.denied.WithLabelValues("bad_token").Inc()
		p = problem(http.StatusUnauthorized, "bad-token", "The token is not valid", "It is not known here, or it has expired.")
		p.challenge = `Bearer realm="healml", error="invalid_token"`
		return "", p
	case !t.Allows(scopes[sc]):
		s.metrics.denied.WithLabelValues("wrong_scope").Inc()
		p = problem(http.StatusForbidden, "wrong-scope", "The token is not good for this", "This needs the scope %q, which %s does not have.", scopes[sc], t.Name)
		p.challenge = `Bearer realm="healml", error="insufficient_scope", scope="` + string(scopes[sc]) + `"`
		return "", p
	}
	return t.Name, nil
}

// keys are the files of tokens and certificates that the server follows.
type keys struct {
	tokens       *access.File
	certificates *access.Certificates
	log          *slog.Logger

	mu    sync.Mutex
	blind [2]string // why a file could not be read last time
}

// follow takes what changed. A file that cannot be read is told once, and what
// it said before stays.
func (k *keys) follow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tokens != nil {
		k.took(0, "tokens", k.tokens.Refresh)
	}
	if k.certificates != nil {
		k.took(1, "certificate", k.certificates.Refresh)
	}
}

func (k *keys) took(i int, what string, refresh func() (bool, error)) {
	changed, err := refresh()
	switch {
	case err != nil && err.Error() != k.blind[i]:
		k.blind[i] = err.Error()
		k.log.Error("the "+what+" on disk cannot be taken; what was read before stays in force", "err", err)
	case err == nil:
		k.blind[i] = ""
		if changed {
			k.log.Info("took the new " + what)
		}
	}
}

// warnOpen says when strangers can ask.
func (s *Server) warnOpen(at net.Addr) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() {
		return
	}
	if s.o.Tokens == nil {
		s.o.Logger.Warn("whoever reaches the address may ask", "address", at.String(), "hint", "give serve.tokens, or listen on 127.0.0.1 behind a proxy")
	} else if s.o.Certificates == nil {
		s.o.Logger.Warn("tokens go over the network in the clear", "address", at.String(), "hint", "give serve.tls_cert and serve.tls_key, or listen on 127.0.0.1 behind a proxy")
	}
}
