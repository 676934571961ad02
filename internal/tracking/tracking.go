// Package tracking tells an MLflow tracking server of the versions in a registry:
// a run each with parameters, metrics, the data set and lineage; the version's
// files as a model; a registered version; and the alias champion on the one that
// is in force.
//
// The registry on disk is the truth, and nothing waits for the server. What it
// was told is kept in a [Ledger]; what it was not is told at the next occasion,
// from the step on that failed.
package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/healml/healml/internal/registry"
)

// Server is an MLflow tracking server, from 2.9 on (aliases).
type Server struct {
	URL        string // http(s)://HOST[/PREFIX]
	Experiment string
	Model      string // name in the model registry
	Client     *http.Client
	// Authorize sets the credentials of a request; nil: none.
	Authorize func(*http.Request)
}

// Told is how far the server knows of a version.
type Told struct {
	RunID     string `json:"run_id,omitempty"`
	Artifacts string `json:"artifacts,omitempty"` // where its files go
	ModelID   string `json:"model_id,omitempty"`  // of servers from 3.0 on
	Uploaded  bool   `json:"uploaded,omitempty"`
	Number    string `json:"number,omitempty"` // in the model registry
	Done      bool   `json:"done,omitempty"`
}

// ErrServer is matched by what a server refuses, or answers without sense.
var ErrServer = errors.New("the MLflow server")

// refusal is an error document of the server.
type refusal struct {
	status        int
	Code, Message string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("answers %d %s %.200s", r.status, r.Code, r.Message)
}
func (r *refusal) Unwrap() error { return ErrServer }

const (
	api       = "/api/2.0/mlflow/"
	artifacts = "/api/2.0/mlflow-artifacts/artifacts/"
	champion  = "champion"
	maxAnswer = 4 << 20
)

// call sends a JSON document and reads the answer into out. A 200 that is no JSON
// is an error, too.
func (s *Server) call(ctx context.Context, method, name string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	at := strings.TrimRight(s.URL, "/") + api + name
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	b, err := s.send(ctx, method, at, "application/json", body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: %w answers what is no JSON: %w", name, ErrServer, err)
	}
	return nil
}

func (s *Server) send(ctx context.Context, method, at, contentType string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if s.Authorize != nil {
		s.Authorize(req)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		var r struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(b, &r) // a proxy's page has neither
		return nil, &refusal{resp.StatusCode, r.Code, r.Message}
	}
	return b, nil
}

// refused says that the server gave this as its reason.
func refused(err error, code string) bool {
	var r *refusal
	return errors.As(err, &r) && r.Code == code
}

func status(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// need is an error when a server that answered 200 left out what it must say.
func need(what, got string) error {
	if got == "" {
		return fmt.Errorf("%w does not say %s", ErrServer, what)
	}
	return nil
}

// pair is a tag, a parameter.
type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type info struct {
	RunID       string `json:"run_id"`
	ArtifactURI string `json:"artifact_uri"`
}

// Tell brings the server up to a version, from where t says on. After an error t
// holds what was done.
func (s *Server) Tell(ctx context.Context, l *registry.Loaded, t *Told) error {
	if t.Done {
		return nil
	}
	experiment, err := s.experiment(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, string, *registry.Loaded, *Told) error{s.run, s.describe, s.model, s.upload, s.register, s.finish} {
		if err := step(ctx, experiment, l, t); err != nil {
			return err
		}
	}
	t.Done = true
	return nil
}

func (s *Server) experiment(ctx context.Context) (string, error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err := s.call(ctx, http.MethodGet, "experiments/get-by-name", url.Values{"experiment_name": {s.Experiment}}, nil, &found)
	if err == nil {
		return found.Experiment.ID, need("the id of the experiment", found.Experiment.ID)
	}
	if !refused(err, "RESOURCE_DOES_NOT_EXIST") {
		return "", err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	err = s.call(ctx, http.MethodPost, "experiments/create", nil, map[string]string{"name": s.Experiment}, &made)
	if err != nil {
		return "", err
	}
	return made.ID, need("the id of the experiment", made.ID)
}

const versionTag = "healml.version"

// run finds the run of a version, or creates it.
func (s *Server) run(ctx context.Context, experiment string, l *registry.Loaded, t *Told) error {
	if t.RunID != "" {
		return nil
	}
	m := &l.Manifest
	var found struct {
		Runs []struct {
			Info info `json:"info"`
		} `json:"runs"`
	}
	search := map[string]any{"experiment_ids": []string{experiment}, "max_results": 1,
		"filter": fmt.Sprintf("tags.`%s` = '%s' and tags.`healml.manifest_sha256` = '%s'", versionTag, m.Version, m.SHA256)}
	if err := s.call(ctx, http.MethodPost, "runs/search", nil, search, &found); err != nil {
		return err
	}
	if len(found.Runs) > 0 {
		t.RunID, t.Artifacts = found.Runs[0].Info.RunID, found.Runs[0].Info.ArtifactURI
		return need("the id of the run", t.RunID)
	}
	tags := []pair{{versionTag, m.Version}, {"healml.manifest_sha256", m.SHA256}, {"healml.created_by", m.Lineage.CreatedBy}, {"mlflow.source.name", "healml"}, {"mlflow.source.type", "JOB"}}
	for _, p := range []pair{{"healml.parent", m.Lineage.Parent}, {"healml.reason", m.Lineage.Reason}, {"healml.incident", m.Lineage.Incident}, {"healml.program", m.Lineage.Program}} {
		if p.Value != "" {
			tags = append(tags, p)
		}
	}
	var made struct {
		Run struct {
			Info info `json:"info"`
		} `json:"run"`
	}
	create := map[string]any{"experiment_id": experiment, "run_name": m.Version, "start_time": m.Created.UnixMilli(), "tags": tags}
	if err := s.call(ctx, http.MethodPost, "runs/create", nil, create, &made); err != nil {
		return err
	}
	t.RunID, t.Artifacts = made.Run.Info.RunID, made.Run.Info.ArtifactURI
	return need("the id of the run", t.RunID)
}

// metric is one value of a metric.
type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int     `json:"step"`
}

// describe logs parameters, metrics and the data. It may be done again: parameters
// keep their values.
func (s *Server) describe(ctx context.Context, _ string, l *registry.Loaded, t *Told) error {
	if t.Uploaded {
		return nil
	}
	m := &l.Manifest
	at := m.Created.UnixMilli()
	var metrics []metric
	for _, part := range []struct {
		prefix string
		values map[string]float64
	}{{"", l.Metrics.Holdout}, {"baseline_", l.Metrics.Baseline}, {"last_value_", l.Metrics.Last}, {"champion_", l.Metrics.Champion}, {"newest_", l.Metrics.Newest}} {
		for _, k := range slices.Sorted(maps.Keys(part.values)) {
			metrics = append(metrics, metric{part.prefix + k, part.values[k], at, 0})
		}
	}
	metrics = append(metrics, metric{"iterations", float64(l.Metrics.Iterations), at, 0}, metric{"holdout_rows", float64(l.Metrics.Rows), at, 0}, metric{"rows", float64(m.Lineage.Rows), at, 0})
	params := []pair{{"seed", fmt.Sprint(m.Lineage.Seed)}, {"target", l.Model.Template.Target}, {"task", string(l.Model.Template.Task)}, {"metric", l.Metrics.Metric}}
	for _, k := range slices.Sorted(maps.Keys(m.Lineage.Parameters)) {
		params = append(params, pair{k, m.Lineage.Parameters[k]})
	}
	if len(params) > 100 { // the protocol's most
		params = params[:100]
	}
	if err := s.call(ctx, http.MethodPost, "runs/log-batch", nil, map[string]any{"run_id": t.RunID, "metrics": metrics, "params": params}, nil); err != nil {
		return err
	}
	if m.Lineage.DataSHA256 == "" {
		return nil
	}
	source, err := json.Marshal(map[string]string{"uri": m.Lineage.DataFile})
	if err != nil {
		return err
	}
	dataset := map[string]any{"name": first(path.Base(m.Lineage.DataFile), "data"), "digest": m.Lineage.DataSHA256[:min(36, len(m.Lineage.DataSHA256))], "source_type": "local", "source": string(source)}
	inputs := map[string]any{"run_id": t.RunID, "datasets": []any{map[string]any{"tags": []pair{{"mlflow.data.context", "training"}}, "dataset": dataset}}}
	return s.call(ctx, http.MethodPost, "runs/log-inputs", nil, inputs, nil)
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" && t != "." {
			return t
		}
	}
	return ""
}

// model creates the logged model of servers from 3.0 on; older ones keep files
// with the run.
func (s *Server) model(ctx context.Context, experiment string, _ *registry.Loaded, t *Told) error {
	if t.ModelID != "" || t.Uploaded {
		return nil
	}
	var made struct {
		Model struct {
			Info struct {
				ID  string `json:"model_id"`
				URI string `json:"artifact_uri"`
			} `json:"info"`
		} `json:"model"`
	}
	err := s.call(ctx, http.MethodPost, "logged-models", nil, map[string]any{"experiment_id": experiment, "name": s.Model, "model_type": "", "source_run_id": t.RunID}, &made)
	if status(err) == http.StatusNotFound {
		if !strings.HasSuffix(t.Artifacts, "/model") {
			t.Artifacts += "/model"
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(need("the id of the model", made.Model.Info.ID), need("where the model's files go", made.Model.Info.URI)); err != nil {
		return err
	}
	t.ModelID, t.Artifacts = made.Model.Info.ID, made.Model.Info.URI
	return nil
}

// upload puts the version's files where the server keeps artifacts.
func (s *Server) upload(ctx context.Context, _ string, l *registry.Loaded, t *Told) error {
	if t.Uploaded {
		return nil
	}
	at, ok := strings.CutPrefix(t.Artifacts, "mlflow-artifacts:/")
	if !ok {
		return fmt.Errorf("%w keeps artifacts at %.100q and does not pass them on; start it with --serve-artifacts", ErrServer, t.Artifacts)
	}
	files, err := l.Files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		to := strings.TrimRight(s.URL, "/") + artifacts + strings.TrimLeft(at, "/") + "/" + name
		if _, err := s.send(ctx, http.MethodPut, to, "application/octet-stream", bytes.NewReader(files[name])); err != nil {
			return fmt.Errorf("upload %s: %w", name, err)
		}
	}
	t.Uploaded = true
	return nil
}

// register makes a version in the model registry, or finds it.
func (s *Server) register(ctx context.Context, _ string, l *registry.Loaded, t *Told) error {
	if t.Number != "" {
		return nil
	}
	if t.ModelID != "" {
		if err := s.call(ctx, http.MethodPost, "runs/outputs", nil, map[string]any{"run_id": t.RunID, "models": []any{map[string]any{"model_id": t.ModelID, "step": 0}}}, nil); err != nil {
			return err
		}
		if err := s.call(ctx, http.MethodPatch, "logged-models/"+t.ModelID, nil, map[string]any{"model_id": t.ModelID, "status": "LOGGED_MODEL_READY"}, nil); err != nil {
			return err
		}
	}
	if err := s.call(ctx, http.MethodPost, "registered-models/create", nil, map[string]string{"name": s.Model}, nil); err != nil && !refused(err, "RESOURCE_ALREADY_EXISTS") {
		return err
	}
	var found struct {
		Versions []struct {
			Version string `json:"version"`
		} `json:"model_versions"`
	}
	query := url.Values{"filter": {fmt.Sprintf("run_id = '%s'", t.RunID)}, "max_results": {"1"}}
	if err := s.call(ctx, http.MethodGet, "model-versions/search", query, nil, &found); err != nil {
		return err
	}
	if len(found.Versions) > 0 {
		t.Number = found.Versions[0].Version
		return need("the number of the version", t.Number)
	}
	create := map[string]any{"name": s.Model, "run_id": t.RunID, "source": t.Artifacts, "tags": []pair{{versionTag, l.Manifest.Version}}, "description": l.Manifest.Lineage.Reason}
	if t.ModelID != "" {
		create["source"], create["model_id"] = "models:/"+t.ModelID, t.ModelID
	}
	var made struct {
		Version struct {
			Version string `json:"version"`
		} `json:"model_version"`
	}
	if err := s.call(ctx, http.MethodPost, "model-versions/create", nil, create, &made); err != nil {
		return err
	}
	t.Number = made.Version.Version
	return need("the number of the version", t.Number)
}

func (s *Server) finish(ctx context.Context, _ string, l *registry.Loaded, t *Told) error {
	return s.call(ctx, http.MethodPost, "runs/update", nil, map[string]any{"run_id": t.RunID, "status": "FINISHED", "end_time": l.Manifest.Created.UnixMilli()}, nil)
}

// Champion points the alias at a version of the model registry.
func (s *Server) Champion(ctx context.Context, number string) error {
	return s.call(ctx, http.MethodPost, "registered-models/alias", nil, map[string]string{"name": s.Model, "alias": champion, "version": number}, nil)
}
