package retrain

import (
	"fmt"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// labelHistory is how far before the window labels are looked at, to know how
// late they usually are.
const labelHistory = 90 * 24 * time.Hour

// look gathers what a diagnosis of what the report found is made from: the rows
// that could be learnt from and the logs.
func look(champion *registry.Loaded, rows *train.Rows, unseen int, o Options) (*Seen, error) {
	p, err := parameters(champion, o)
	if err != nil {
		return nil, err
	}
	s := &Seen{
		Report: o.Report, Rows: rows, Unseen: unseen, Champion: champion.Model, Params: p, Importance: champion.Metrics.Importance,
		Reference: o.Sources.Reference, Now: o.Now,
	}
	if o.Report != nil && o.Report.Window.From != "" {
		if s.From, err = time.Parse(time.RFC3339, o.Report.Window.From); err != nil {
			return nil, fmt.Errorf("window of report %s: %w", o.Report.ReportID, err)
		}
		if err := s.readLogs(o.Sources); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readLogs takes the window's rows, and when labels came in.
func (s *Seen) readLogs(src Sources) error {
	end := s.Now.UnixMicro() + 1
	preds, _, err := predlog.Read(src.Predictions, s.From.Add(-labelHistory).UnixMicro(), end, predlog.ReadOptions{})
	if err != nil {
		return fmt.Errorf("read predictions: %w", err)
	}
	actuals, _, err := predlog.ReadActuals(src.Actuals, 0, end, predlog.ReadOptions{})
	if err != nil {
		return fmt.Errorf("read actuals: %w", err)
	}
	joined, _ := predlog.Join(preds, actuals, s.Champion.Template.Task)
	served, came := joined.Column(predlog.ColumnTime), joined.Column(predlog.ColumnActualTime)
	var window []int
	for i := range joined.NumRows() {
		a := Arrival{Served: served.Times[i], Label: table.NoTime}
		if came != nil {
			a.Label = came.Times[i]
		}
		s.Labels = append(s.Labels, a)
		if a.Served >= s.From.UnixMicro() {
			window = append(window, i)
		}
	}
	s.Window = joined.Take(window)
	return nil
}
