package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/tracking"
)

func (a *app) mlflowLedger() string { return filepath.Join(a.state(), "mlflow.json") }

// trackingServer is the server of the configuration, nil without one. target names
// the model there when the configuration does not. Credentials are those of
// MLflow's own clients.
func (a *app) trackingServer(target string) *tracking.Server {
	c := a.conf.MLflow
	if c.TrackingURI == "" {
		return nil
	}
	s := &tracking.Server{URL: c.TrackingURI, Experiment: c.Experiment, Model: cmp.Or(c.Model, target, "healml"), Client: &http.Client{Timeout: c.Timeout}}
	user, password, token := os.Getenv("MLFLOW_TRACKING_USERNAME"), os.Getenv("MLFLOW_TRACKING_PASSWORD"), os.Getenv("MLFLOW_TRACKING_TOKEN")
	s.Authorize = func(r *http.Request) {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		} else if user != "" {
			r.SetBasicAuth(user, password)
		}
	}
	return s
}

// followMLflow tells the tracking server what it does not know, if this run may
// have changed that. Nothing waits for it but this command, for as long as
// mlflow.timeout; what fails is a warning, and told at the next occasion.
func (a *app) followMLflow(ctx context.Context) {
	if a.conf == nil || a.conf.MLflow.TrackingURI == "" || !a.ranJob && !a.tracked {
		return
	}
	reg := a.registry()
	target := ""
	if current, err := reg.Current(); err == nil && a.conf.MLflow.Model == "" {
		if l, err := reg.Load(current); err == nil {
			target = l.Model.Template.Target
		}
	}
	if err := durable.MkdirAll(a.state()); err != nil {
		a.warn("mlflow: %v", err)
		return
	}
	lock, err := durable.Lock(filepath.Join(a.state(), "mlflow.lock"))
	if errors.Is(err, durable.ErrLocked) {
		return // another command tells it
	}
	if err != nil {
		a.warn("mlflow: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.conf.MLflow.Timeout)
	defer cancel()
	err = tracking.Follow(ctx, a.trackingServer(target), reg, a.mlflowLedger())
	if err = errors.Join(err, lock.Unlock()); err != nil {
		a.warn("mlflow: %v; %s has not been told of everything, and will be at the next occasion", err, a.conf.MLflow.TrackingURI)
	}
}

// mlflowStatus is how far the tracking server knows of the registry.
type mlflowStatus struct {
	Server  string `json:"tracking_uri"`
	Pending int    `json:"pending"` // versions, and the champion, that it was not told of
}

// mlflowPending is nil without a tracking server.
func (a *app) mlflowPending() *mlflowStatus {
	uri := a.conf.MLflow.TrackingURI
	if uri == "" {
		return nil
	}
	l, err := tracking.ReadLedger(a.mlflowLedger(), uri)
	if err != nil {
		a.warn("%v", err)
		return nil
	}
	n, err := l.Pending(a.registry())
	if err != nil {
		a.warn("%v", err)
	}
	return &mlflowStatus{uri, n}
}
