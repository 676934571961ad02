package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// fitTimes is where the time of a fit went, in seconds: the BENCH line.
type fitTimes struct {
	Load  float64 `json:"load_s"`
	Bin   float64 `json:"bin_s"`
	Train float64 `json:"train_s"`
}

// runFit fits on every row with the parameters as given and writes a LightGBM
// text file: no holdout, no registry. Whole numbers named as categories keep
// their values as codes, so that the file reads the data's own columns.
func runFit(ctx context.Context, a *app, path string, o trainOptions, set map[string]string) error {
	start := a.clock()
	infer := o.infer(a.conf, set)
	if infer.Target == "" {
		return usageError{fmt.Errorf("no target: name the column to predict with --target")}
	}
	t, err := table.Read(path, table.ReadOptions{})
	if err != nil {
		return err
	}
	inf, err := feature.Infer(t, infer)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	a.tell(inf)
	data, err := plainData(t, inf)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p, err := train.Params(inf.Task, len(inf.Classes), a.conf.Seed, a.conf.Train.Threads, nil)
	if err != nil {
		return err
	}
	p.NumIterations, p.EarlyStoppingRound = fit.Defaults().NumIterations, 0
	for k, v := range set {
		if err := p.Set(k, v); err != nil {
			return err
		}
	}
	bar := a.progress()
	defer bar.done()
	times := fitTimes{Load: a.clock().Sub(start).Seconds()}
	binning := a.clock()
	ds, err := fit.NewDataset(data, p)
	if err != nil {
		return err
	}
	times.Bin = a.clock().Sub(binning).Seconds()
	growing := a.clock()
	res, err := fit.TrainDataset(ctx, fit.View{Data: ds}, fit.View{}, p, func(i int, _ float64) { bar.step("fit", i, p.NumIterations) })
	if err != nil {
		return err
	}
	times.Train = a.clock().Sub(growing).Seconds()
	bar.done()
	if err := durable.Publish(o.out, res.Model.WriteText); err != nil {
		return err
	}
	if os.Getenv("HEALML_BENCH") != "" {
		return printBench(a.stdout, times)
	}
	total := a.clock().Sub(start).Round(time.Millisecond)
	result := struct {
		Out   string `json:"out"`
		Rows  int    `json:"rows"`
		Trees int    `json:"trees"`
	}{o.out, t.NumRows(), len(res.Model.Trees)}
	return a.print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s: %d trees of %d rows in %s\n", o.out, result.Trees, result.Rows, total)
		return err
	})
}

func printBench(w io.Writer, times fitTimes) error {
	b, err := json.Marshal(times)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "BENCH %s\n", b)
	return err
}

// plainData is the table as the trainer takes it.
func plainData(t *table.Table, inf *feature.Inferred) (*fit.Data, error) {
	d := &fit.Data{Label: feature.Labels(t.Column(inf.Target), inf.Classes)}
	for i, y := range d.Label {
		if math.IsNaN(y) {
			return nil, &table.Error{Line: i + 2, Column: inf.Target, Want: "a label in every row"}
		}
	}
	var features []schema.Feature
	for _, ch := range inf.Choices {
		c := t.Column(ch.Name)
		if !ch.Use || ch.Kind == schema.Time || ch.Kind == schema.Text {
			continue
		}
		values := c.Floats
		if c.Type == table.String {
			values = make([]float64, len(c.Codes))
			for i, k := range c.Codes {
				values[i] = float64(k)
				if k < 0 {
					values[i] = math.NaN()
				}
			}
		}
		features = append(features, schema.Feature{Name: ch.Name})
		d.Features = append(d.Features, values)
		d.Categorical = append(d.Categorical, ch.Kind == schema.Categorical)
	}
	if len(features) == 0 {
		return nil, feature.ErrNoFeatures
	}
	d.Names = train.SafeNames(features)
	return d, nil
}
