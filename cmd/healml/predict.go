package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/table"
)

type predictOptions struct {
	out     string
	version string
	log     bool
	lenient bool
	explain bool
}

func newPredictCommand(a *app) *cobra.Command {
	var o predictOptions
	cmd := &cobra.Command{
		Use:   "predict FILE",
		Short: "Score a file of rows",
		Long: `Scores every row of a CSV, Parquet or Arrow file. The result has prediction_id,
predicted_<target> and, for classes, p_<class>; one row for each row of the
file, in its order. A column prediction_id of the file is used as the id.

With --explain each raw column gets a column contribution_<column>, for classes
contribution_<class>_<column>: what it added to the raw score (TreeSHAP). With
contribution_bias, the expected raw score, a row's contributions add up to it.`,
		Example: "  healml predict new.csv --out scored.parquet --log",
		Args:    oneArg("FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runPredict(cmd.Context(), a, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "write the result here (.csv, .parquet or .arrow; default: CSV on stdout)")
	f.StringVar(&o.version, "version", "", "predict with this version (default: the one in force)")
	a.badRowsFlag(f)
	f.BoolVar(&o.log, "log", false, "append to the prediction log as serving would")
	f.BoolVar(&o.explain, "explain", false, "add what each column contributed to the raw score")
	f.BoolVar(&o.lenient, "lenient", false, "ignore columns that the model does not know")
	return cmd
}

func runPredict(ctx context.Context, a *app, file string, o predictOptions) error {
	if a.json() && o.out == "" {
		return usageError{errors.New("with -o json the predictions need a file of their own: name it with --out")}
	}
	loaded, err := a.load(o.version)
	if err != nil {
		return err
	}
	m := loaded.Model
	extras, err := a.extras()
	if err != nil {
		return err
	}
	beside := names(predlog.NewExtras(m.Template, extras))
	input, err := a.readInput(file, m, o.lenient, beside)
	if err != nil {
		return err
	}
	sound, changed, err := a.repaired(ctx, loaded, input.Drop(beside...))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	batch, err := m.Encoder().Table(sound)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	p := m.PredictBatch(batch, a.conf.Train.Threads)
	for i, yes := range changed {
		if yes {
			p.Flags[i] |= model.Repaired
		}
	}
	id, err := ids(file, input)
	if err != nil {
		return err
	}
	columns := append([]*table.Column{id}, p.Columns(m.Template)...)
	if o.explain {
		contributions, err := explain(m, batch, a.conf.Train.Threads)
		if err != nil {
			return err
		}
		columns = append(columns, contributions...)
	}
	result := table.Must(columns...)
	if o.log {
		if err := a.logBatch(file, m, input, id, p, extras); err != nil {
			return err
		}
	}
	flags := countFlags(p.Flags)
	if flags.unseen > 0 {
		a.notice("%d rows hold a category that training never saw", flags.unseen)
	}
	if flags.outOfRange > 0 {
		a.notice("%d rows hold a number beyond those seen in training", flags.outOfRange)
	}
	switch {
	case o.out != "":
		if err := table.Write(o.out, result); err != nil {
			return err
		}
	default:
		return table.WriteCSV(a.stdout, result)
	}
	summary := struct {
		Out        string `json:"out"`
		Rows       int    `json:"rows"`
		Version    string `json:"version"`
		Logged     bool   `json:"logged"`
		Unseen     int    `json:"unseen_rows"`
		Missing    int    `json:"missing_rows"`
		OutOfRange int    `json:"out_of_range_rows"`
		Repaired   int    `json:"repaired_rows"`
	}{o.out, result.NumRows(), m.Version, o.log, flags.unseen, flags.missing, flags.outOfRange, flags.repaired}
	return a.print(summary, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s: %d rows predicted by %s\n", o.out, summary.Rows, m.Version)
		return err
	})
}

// explain are the columns of contributions.
func explain(m *model.Model, b *feature.Batch, threads int) ([]*table.Column, error) {
	e, err := m.NewExplainer()
	var trees *gbdt.ModelError
	if errors.As(err, &trees) {
		return nil, fmt.Errorf("%w: %s cannot be explained: %w", errBadData, m.Version, err)
	}
	if err != nil {
		return nil, err
	}
	return e.Columns(b, threads), nil
}

// load loads a version, the one in force for "".
func (a *app) load(version string) (*registry.Loaded, error) {
	reg := a.registry()
	if version == "" {
		current, err := reg.Current()
		if err != nil {
			return nil, err
		}
		version = current
	}
	return reg.Load(version)
}

// readInput reads a file of raw rows as the model's template types them.
// beside names columns that are only logged.
func (a *app) readInput(file string, m *model.Model, lenient bool, beside []string) (*table.Table, error) {
	types := m.Encoder().Types()
	types["prediction_id"] = table.String
	for _, name := range beside {
		types[name] = table.String
	}
	t, err := a.readTable(file, table.ReadOptions{Types: types})
	if err != nil {
		return nil, err
	}
	if lenient {
		for _, name := range t.Names() {
			if name != "prediction_id" && m.Template.Column(name) < 0 && !slices.Contains(beside, name) {
				t = t.Drop(name)
			}
		}
	}
	return t, nil
}

func names(extras []predlog.Extra) []string {
	out := make([]string, len(extras))
	for i, x := range extras {
		out[i] = x.Name
	}
	return out
}

// ids are the rows' prediction ids: those of the file, or new ones.
func ids(file string, t *table.Table) (*table.Column, error) {
	given := t.Column("prediction_id")
	if given == nil {
		texts := make([]string, t.NumRows())
		for i := range texts {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("make prediction id: %w", err)
			}
			texts[i] = id.String()
		}
		return table.Strings("prediction_id", texts), nil
	}
	seen := make([]bool, len(given.Dict))
	for i, k := range given.Codes {
		switch {
		case k < 0:
			return nil, &table.Error{File: file, Line: i + 2, Column: given.Name, Want: "an id in every row, or no such column"}
		case seen[k]:
			return nil, &table.Error{File: file, Line: i + 2, Column: given.Name, Value: given.Dict[k], Want: "no id twice"}
		}
		seen[k] = true
	}
	return given, nil
}

// logBatch writes the rows to the prediction log: input as given, prediction,
// flags.
func (a *app) logBatch(file string, m *model.Model, input *table.Table, id *table.Column, p *model.Predictions, extras []predlog.Extra) error {
	n := input.NumRows()
	at := a.now().UnixMicro()
	times, flags, versions := make([]int64, n), make([]float64, n), make([]string, n)
	for i := range n {
		times[i], flags[i], versions[i] = at, float64(p.Flags[i]), m.Version
	}
	cols := []*table.Column{id, table.Times("prediction_time", times), table.Strings("model_version", versions), table.Floats("prediction_flags", flags)}
	cols = append(cols, p.Columns(m.Template)...)
	for _, c := range m.Template.Columns {
		if given := input.Column(c.Name); given != nil { // a text column may be left out
			cols = append(cols, given)
		}
	}
	t, err := table.New(predlog.Extend(cols, m.Template, input, extras)...)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return predlog.WriteBatch(a.predictions(), t, "predict")
}

type flagCounts struct{ unseen, missing, outOfRange, repaired int }

func countFlags(flags []model.Flag) (c flagCounts) {
	for _, f := range flags {
		if f&model.Unseen != 0 {
			c.unseen++
		}
		if f&model.Missing != 0 {
			c.missing++
		}
		if f&model.OutOfRange != 0 {
			c.outOfRange++
		}
		if f&model.Repaired != 0 {
			c.repaired++
		}
	}
	return c
}
