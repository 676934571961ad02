package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// dataOptions are the flags that say what a data file holds, over what the
// configuration says.
type dataOptions struct {
	target, time, task      string
	categorical, drop, keep []string
}

// infer merges the flags with the configuration. An objective among the
// training parameters says the task when nothing else does.
func (o *dataOptions) infer(c *config.Config, set map[string]string) feature.InferOptions {
	f := feature.InferOptions{Target: o.target, Time: o.time, Task: schema.Task(o.task), Categorical: o.categorical, Drop: o.drop, Keep: o.keep}
	if f.Target == "" {
		f.Target = c.Target
	}
	if f.Time == "" {
		f.Time = c.Time
	}
	if f.Task == "" {
		f.Task = schema.Task(c.Task)
	}
	if objective, ok := set["objective"]; ok && f.Task == "" {
		switch {
		case objective == "binary" || objective == "cross_entropy":
			f.Task = schema.Binary
		case strings.HasPrefix(objective, "multiclass"):
			f.Task = schema.Multiclass
		default:
			f.Task = schema.Regression
		}
	}
	for _, col := range c.Columns {
		switch schema.Kind(col.Kind) {
		case schema.Categorical:
			f.Categorical = append(f.Categorical, col.Name)
		case schema.Text:
			f.Text = append(f.Text, col.Name)
		case config.Drop:
			f.Drop = append(f.Drop, col.Name)
		default:
			f.Keep = append(f.Keep, col.Name)
		}
	}
	return f
}

// types fixes how the columns named by flags or configuration are read.
func types(o feature.InferOptions, c *config.Config) map[string]table.Type {
	t := map[string]table.Type{}
	for _, col := range c.Columns {
		if col.Kind != config.Drop {
			t[col.Name] = feature.TypeOf(schema.Kind(col.Kind))
		}
	}
	for _, name := range o.Categorical {
		t[name] = table.String
	}
	if o.Time != "" {
		t[o.Time] = table.Time
	}
	if o.Task == schema.Regression && o.Target != "" {
		t[o.Target] = table.Float
	}
	return t
}

// dataPath is the file to learn from: the argument, else the configuration's.
func (a *app) dataPath(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	if a.conf.Data == "" {
		return "", usageError{fmt.Errorf("no data: name a file, or set data in %s (healml init DATA --target COLUMN writes it)", config.FileName)}
	}
	if filepath.IsAbs(a.conf.Data) {
		return a.conf.Data, nil
	}
	return a.path(a.conf.Data), nil
}

// readLabelled reads a data file and infers what it holds.
func (a *app) readLabelled(path string, o dataOptions, set map[string]string) (*table.Table, *feature.Inferred, error) {
	infer := o.infer(a.conf, set)
	if infer.Target == "" {
		return nil, nil, usageError{fmt.Errorf("no target: name the column to predict with --target")}
	}
	if infer.Task != "" && !infer.Task.Valid() {
		return nil, nil, usageError{fmt.Errorf("--task is %q, expected regression, binary or multiclass", infer.Task)}
	}
	t, err := a.readTable(path, table.ReadOptions{Types: types(infer, a.conf)})
	if err != nil {
		return nil, nil, err
	}
	if t.NumRows() == 0 {
		return nil, nil, &table.Error{File: path, Want: "the file has no rows, only a header"}
	}
	inf, err := feature.Infer(t, infer)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, inf, nil
}

// tell reports what was inferred that a user should know.
func (a *app) tell(inf *feature.Inferred) {
	for _, w := range inf.Warnings {
		a.warn("%s", w)
	}
	for _, c := range inf.Choices {
		if !c.Use {
			a.notice("column %q is left out: %s", c.Name, c.Why)
		}
	}
}

// dataDigest is the SHA-256 of a data file, in hex; of several, that of a line
// each with their digests and their names below the first directory of the path.
func dataDigest(path string) (string, error) {
	files, err := table.Files(path)
	if err != nil {
		return "", err
	}
	if len(files) == 1 && files[0] == path {
		return fileDigest(path)
	}
	all := sha256.New()
	for _, file := range files {
		sum, err := fileDigest(file)
		if err != nil {
			return "", err
		}
		name, err := filepath.Rel(table.Root(path), file)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", file, err)
		}
		fmt.Fprintf(all, "%s  %s\n", sum, name)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// badRowsFlag lets a command's --bad-rows win over the configuration.
func (a *app) badRowsFlag(f *pflag.FlagSet) {
	f.Func("bad-rows", "rows of CSV that may be set aside as bad, as a `number` or a share such as 0.5% (default: bad_rows of the configuration, 0)", func(s string) error {
		_, err := table.ParseBadRows(s)
		a.badRows = s
		return err
	})
}

// budget is how many rows of one input may be bad; flag and configuration were
// checked before.
func (a *app) budget() *table.BadRows {
	s := a.conf.BadRows
	if a.badRows != "" {
		s = a.badRows
	}
	b, err := table.ParseBadRows(s)
	if err != nil {
		return nil
	}
	return b
}

// readTable reads a data file; rows that are bad, and may be, are set aside.
func (a *app) readTable(path string, o table.ReadOptions) (*table.Table, error) {
	o.Bad = a.budget()
	t, err := table.Read(path, o)
	if err != nil {
		return nil, err
	}
	return t, a.setAside(path, o.Bad, t.NumRows())
}

// setAside keeps the bad rows of a data file in data/bad/ and says so.
func (a *app) setAside(path string, b *table.BadRows, sound int) error {
	if b == nil || len(b.Found) == 0 {
		return nil
	}
	rows := b.Table()
	h := sha256.New()
	if err := table.WriteCSV(h, rows); err != nil {
		return fmt.Errorf("set bad rows aside: %w", err)
	}
	name := strings.TrimRight(strings.NewReplacer("*", "_", "?", "_", "[", "_", "]", "_").Replace(filepath.Base(path)), "/")
	name = fmt.Sprintf("%s-%.8s.csv", strings.TrimSuffix(name, filepath.Ext(name)), hex.EncodeToString(h.Sum(nil)))
	dir := a.path("data/bad")
	if err := durable.MkdirAll(dir); err != nil {
		return err
	}
	if err := table.Write(filepath.Join(dir, name), rows); err != nil {
		return fmt.Errorf("set bad rows aside: %w", err)
	}
	a.warn("%d of %d rows of %s are bad and were set aside in %s; the first: %v", len(b.Found), sound+len(b.Found), path, filepath.Join(dir, name), &b.Found[0].Error)
	return nil
}
