package predlog

import (
	"fmt"
	"time"

	"github.com/healml/healml/internal/durable"
)

// PruneStats say what Prune removed.
type PruneStats struct {
	Days  []string `json:"days"`
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
}

// PruneOptions say which days of a log Prune removes. The zero value removes
// none.
type PruneOptions struct {
	// OlderThan removes the days that ended at or before it; the zero time
	// none.
	OlderThan time.Time
	// MaxBytes removes the oldest days while the sealed files have more; 0
	// removes none.
	MaxBytes int64
	// Room removes the oldest days while it says that there is none; nil
	// removes none.
	Room func() (bool, error)
	// KeepDays newest days with files are removed by OlderThan only.
	KeepDays int
}

// Prune removes whole days of the log in dir, the oldest first. Segments are
// not touched: seal them first. It may run while writers and readers do, but
// not beside Seal (durable.ErrLocked).
func Prune(dir string, o PruneOptions) (PruneStats, error) {
	var stats PruneStats
	err := sealing(dir, "prune log", func() error {
		if err := prune(dir, o, &stats); err != nil {
			return fmt.Errorf("prune log: %w", err)
		}
		return nil
	})
	return stats, err
}

// dayFiles are the sealed files of one day.
type dayFiles struct {
	day     string
	files   []sizedFile
	foreign int
	bytes   int64
}

func prune(dir string, o PruneOptions, stats *PruneStats) error {
	names, err := listDays(dir, 0, maxTime)
	if err != nil {
		return err
	}
	var days []dayFiles
	var total int64
	for _, name := range names {
		files, foreign, err := listSealed(dir, name)
		if err != nil {
			return err
		}
		d := dayFiles{day: name, foreign: len(foreign)}
		for _, f := range files {
			size := fileSize(f.path)
			d.files = append(d.files, sizedFile{f, size})
			d.bytes += size
		}
		total += d.bytes
		days = append(days, d)
	}
	for i, d := range days {
		start, _ := dayStart(d.day)
		expired := !o.OlderThan.IsZero() && start+microsPerDay <= o.OlderThan.UnixMicro()
		if !expired && len(days)-i > o.KeepDays {
			expired = o.MaxBytes > 0 && total > o.MaxBytes
			if !expired && o.Room != nil {
				room, err := o.Room()
				if err != nil {
					return err
				}
				expired = !room
			}
		}
		if !expired {
			continue
		}
		if err := removeDay(dir, d, stats); err != nil {
			return err
		}
		total -= d.bytes
	}
	return nil
}

func removeDay(dir string, d dayFiles, stats *PruneStats) error {
	for _, f := range d.files {
		if err := durable.Remove(f.path); err != nil {
			return err
		}
		stats.Files++
		stats.Bytes += f.size
	}
	stats.Days = append(stats.Days, d.day)
	if d.foreign == 0 {
		// Fails, harmlessly, while something else is in the folder.
		_ = durable.Remove(dayDir(dir, d.day))
	}
	return nil
}
