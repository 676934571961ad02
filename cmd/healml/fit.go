package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/train"
)

// fitTimes is where the time of a fit went, in seconds: the BENCH line. Bin
// holds the reading too, but for the first look at the file.
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
	p, err := fitParams(a, schema.Regression, 0, set)
	if err != nil {
		return err
	}
	// Most of memory is a few slices without pointers: collecting garbage
	// costs next to nothing, letting it grow to a share of them would not.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	bad := a.budget()
	data, err := openFitData(path, bad, infer, p)
	if err != nil {
		return err
	}
	if err := a.setAside(path, bad, data.src.NumRows()); err != nil {
		return err
	}
	times := fitTimes{Load: a.clock().Sub(start).Seconds()}
	binning := a.clock()
	inf, err := data.read()
	data.src.Close()
	if err != nil {
		return err
	}
	data.src = nil
	a.tell(inf)
	if p, err = fitParams(a, inf.Task, len(inf.Classes), set); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	// Reading leaves garbage. What follows makes none, so nothing else would
	// give the memory back.
	debug.FreeOSMemory()
	ds, err := data.dataset(inf)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	debug.FreeOSMemory()
	bar := a.progress()
	defer bar.done()
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
	}{o.out, ds.NumRows(), len(res.Model.Trees)}
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

// fitParams are the parameters of a fit without early stopping.
func fitParams(a *app, task schema.Task, classes int, set map[string]string) (fit.Params, error) {
	p, err := train.Params(task, classes, a.conf.Seed, a.conf.Train.Threads, nil)
	if err != nil {
		return p, err
	}
	p.NumIterations, p.EarlyStoppingRound = fit.Defaults().NumIterations, 0
	for k, v := range set {
		if err := p.Set(k, v); err != nil {
			return p, err
		}
	}
	return p, nil
}
