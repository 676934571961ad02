package main

import (
	"context"

	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
)

// againstFirst compares the rows of in with the reference of the first version
// of the lineage that l ends; nil when l is the first. Many steps, each too
// small to be seen from the version before it, may lead far from there. Only
// inputs are compared: the predictions are another model's and differ without
// any drift, and what all columns show together and the errors are left to the
// comparison with l. A first version that cannot be read is a warning, for the
// comparison that counts does without.
func (a *app) againstFirst(ctx context.Context, l *registry.Loaded, in monitor.Input) (*monitor.Baseline, error) {
	reg := a.registry()
	name, err := reg.First(l)
	if err != nil {
		a.warn("nothing is compared with the first version: %v", err)
	}
	if name == "" {
		return nil, nil
	}
	first, err := reg.Load(name)
	if err != nil {
		a.warn("nothing is compared with the first version: %v", err)
		return nil, nil
	}
	ref, err := first.Reference()
	if err != nil {
		a.warn("nothing is compared with the first version: %v", err)
		return nil, nil
	}
	in.Reference, in.ReferenceTime, in.ModelVersion = monitor.Of(ref), first.Model.Template.Time, name
	in.Partial = partial(first, ref)
	in.Predictions, in.Truth, in.Options.Together = nil, nil, false
	r, err := monitor.Compare(ctx, in)
	if err != nil {
		return nil, err
	}
	return &monitor.Baseline{Version: name, Drift: r.Drift, Columns: r.Ranked, Verdict: r.Verdict}, nil
}
