package serve

import (
	"encoding/json"
	"net/http"
	"time"
)

// The states of a server.
const (
	stateServing  = "serving"  // the current version
	stateDegraded = "degraded" // another than the current version
	stateDraining = "draining" // about to stop
	stateNoModel  = "no_model" // nothing
)

func (s *Server) state() string {
	switch {
	case s.draining.Load():
		return stateDraining
	case s.holder.live.Load() == nil:
		return stateNoModel
	case s.holder.fault.Load() != nil:
		return stateDegraded
	}
	return stateServing
}

// status is one line for the supervisor.
func (s *Server) status() string {
	line := s.state()
	if v := s.holder.version(); v != "" {
		line += " " + v
	}
	return line
}

// healthDocument is the answer of /health.
type healthDocument struct {
	Status       string     `json:"status"` // "ok": the process answers
	ModelLoaded  bool       `json:"model_loaded"`
	ModelVersion string     `json:"model_version,omitempty"`
	State        string     `json:"state"`
	Logging      bool       `json:"logging"` // predictions are logged
	LoadedAt     *time.Time `json:"loaded_at,omitempty"`
	StartedAt    time.Time  `json:"started_at"`
	// Wanted and Why say, when degraded, what should serve and why it does not.
	Wanted string `json:"wanted_version,omitempty"`
	Why    string `json:"why,omitempty"`
	Build  string `json:"healml_version,omitempty"`
}

func (s *Server) document() healthDocument {
	d := healthDocument{Status: "ok", State: s.state(), Logging: s.o.Log != nil, StartedAt: s.started.UTC(), Build: s.o.Build}
	if v := s.holder.live.Load(); v != nil {
		at := v.since.UTC()
		d.ModelLoaded, d.ModelVersion, d.LoadedAt = true, v.version, &at
	}
	if f := s.holder.fault.Load(); f != nil {
		d.Wanted, d.Why = f.version, f.message
	}
	return d
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.document())
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	status := s.readiness()
	writeJSON(w, status, struct {
		Ready bool   `json:"ready"`
		State string `json:"state"`
	}{status == http.StatusOK, s.state()})
}

// readiness is 200 when predictions can be asked for, else 503.
func (s *Server) readiness() int {
	if state := s.state(); state == stateDraining || state == stateNoModel {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("serve: marshal answer: " + err.Error()) // plain data: cannot fail
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = mediaTypes[mediaJSON], []string{"no-store"}
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone: nobody to tell
}
