package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/table"
)

// The files of a report's folder.
const (
	jsonFile    = "report.json"
	parquetFile = "report.parquet"
	htmlFile    = "report.html"
)

var reportID = regexp.MustCompile(`^r[0-9]{8}t[0-9]{6}z-[0-9a-f]{8}$`)

// ErrNoReport says that there is no report of an id.
var ErrNoReport = errors.New("no such report")

// WriteReport publishes r as dir/<report_id>/ with report.json,
// report.parquet and report.html, all or nothing, and returns that folder. A
// report that is there already has the same content and is left alone.
func WriteReport(dir string, r *Report) (string, error) {
	dst := filepath.Join(dir, r.ReportID)
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	if err := durable.MkdirAll(dir); err != nil {
		return "", err
	}
	tmp, err := durable.TempDir(dir)
	if err != nil {
		return "", err
	}
	if err := r.fill(tmp); err != nil {
		return "", errors.Join(err, durable.RemoveAll(tmp))
	}
	if err := durable.PublishDir(tmp, dst); err != nil {
		return "", errors.Join(err, durable.RemoveAll(tmp))
	}
	return dst, nil
}

func (r *Report) fill(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, jsonFile), append(b, '\n')); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, htmlFile), page.Bytes()); err != nil {
		return err
	}
	return table.Write(filepath.Join(dir, parquetFile), r.Table())
}

// ReadReport reads the report id of dir. The errors are ErrNoReport, and those
// of a file that is damaged or of a format that this build does not know.
func ReadReport(dir, id string) (*Report, error) {
	if !reportID.MatchString(id) {
		return nil, fmt.Errorf("%w: %q", ErrNoReport, id)
	}
	path := filepath.Join(dir, id, jsonFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoReport, id)
	} else if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read report %s: %w", path, err)
	}
	if r.Format < 1 || r.Format > Format {
		return nil, fmt.Errorf("read report %s: format %d is not known to this build (it reads 1 to %d)", path, r.Format, Format)
	}
	if err := errors.Join(complete(r.Order, r.Columns), complete(r.PredictionOrder, r.Prediction)); err != nil {
		return nil, fmt.Errorf("read report %s: %w", path, err)
	}
	return &r, nil
}

// complete checks that every column that is listed is described.
func complete(order []string, columns map[string]*Column) error {
	for _, name := range order {
		if columns[name] == nil {
			return fmt.Errorf("column %q is listed and not described", name)
		}
	}
	return nil
}

// ListReports are the ids of the reports in dir, oldest first.
func ListReports(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && reportID.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// PruneReports removes the oldest reports in dir until keep are left; keep 0
// removes none.
func PruneReports(dir string, keep int) error {
	ids, err := ListReports(dir)
	if err != nil || keep <= 0 {
		return err
	}
	for len(ids) > keep {
		if err := durable.RemoveAll(filepath.Join(dir, ids[0])); err != nil {
			return fmt.Errorf("prune reports: %w", err)
		}
		ids = ids[1:]
	}
	return nil
}

// Table is the report as rows of numbers, one a column and statistic: column,
// role (input, prediction, metric or estimate), kind, statistic, value, threshold (of
// the p_value) and drift. What the reference had stands under "…_then".
func (r *Report) Table() *table.Table {
	var b rowsBuilder
	for _, name := range r.Order {
		b.column(name, "input", r.Columns[name])
	}
	for _, name := range r.PredictionOrder {
		b.column(name, "prediction", r.Prediction[name])
	}
	if p := r.Performance; p != nil {
		b.name, b.role, b.kind, b.drift = string(p.Metric), "metric", "", p.Drift
		b.add("now", p.Now)
		b.add("lo", p.Lo)
		b.add("hi", p.Hi)
		b.add("then", p.Then)
		b.add("labelled_rows", Number(p.Labeled))
		b.add("p_value", p.P)
		b.add("coverage", p.Coverage)
	}
	if e := r.Estimate; e != nil {
		b.name, b.role, b.kind, b.drift = string(e.Metric), "estimate", "", e.Drift
		b.add("now", e.Now)
		b.add("lo", e.Lo)
		b.add("hi", e.Hi)
		b.add("then", e.Then)
		b.add("rows", Number(e.Rows))
	}
	flag := &table.Column{Name: "drift", Type: table.Bool, Floats: b.drifts}
	return table.Must(table.Strings("column", b.names), table.Strings("role", b.roles), table.Strings("kind", b.kinds),
		table.Strings("statistic", b.statistics), table.Floats("value", b.values), table.Floats("threshold", b.limits), flag)
}

// rowsBuilder gathers the rows of Table.
type rowsBuilder struct {
	name, role, kind string
	drift            bool

	names, roles, kinds, statistics []string
	values, limits, drifts          []float64
}

func (b *rowsBuilder) add(statistic string, value Number) {
	b.names = append(b.names, b.name)
	b.roles = append(b.roles, b.role)
	b.kinds = append(b.kinds, b.kind)
	b.statistics = append(b.statistics, statistic)
	b.values = append(b.values, float64(value))
	b.limits = append(b.limits, math.NaN())
	d := 0.0
	if b.drift {
		d = 1
	}
	b.drifts = append(b.drifts, d)
}

func (b *rowsBuilder) column(name, role string, c *Column) {
	b.name, b.role, b.kind, b.drift = name, role, string(c.Kind), c.Drift
	b.add("p_value", c.P)
	b.limits[len(b.limits)-1] = float64(c.Threshold)
	for _, s := range []struct {
		name  string
		value Number
	}{
		{"effect", c.Effect}, {"psi", c.PSI}, {"js", c.JS}, {"hellinger", c.Hellinger}, {"total_variation", c.TotalVariation}, {"l_infinity", c.LInfinity},
		{"ks", c.KS}, {"wasserstein", c.Wasserstein}, {"chi_square", c.ChiSquare}, {"unseen", c.Unseen},
		{"missing_then", c.Missing.Then}, {"missing", c.Missing.Now},
	} {
		b.add(s.name, s.value)
	}
	b.pair("mean", c.Mean)
	b.pair("std", c.Std)
	for _, q := range c.Quantiles {
		b.add(fmt.Sprintf("q%g_then", 100*q.Q), q.Then)
		b.add(fmt.Sprintf("q%g", 100*q.Q), q.Now)
	}
	for _, t := range c.Tests {
		b.add("p_"+t.Name, t.P)
	}
}

func (b *rowsBuilder) pair(name string, p *Pair) {
	if p != nil {
		b.add(name+"_then", p.Then)
		b.add(name, p.Now)
	}
}
