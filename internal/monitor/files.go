package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
