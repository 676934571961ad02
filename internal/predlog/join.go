package predlog

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// JoinStats say how predictions and ground truth met.
type JoinStats struct {
	Predictions int     `json:"predictions"`
	Actuals     int     `json:"actuals"`
	Matched     int     `json:"matched"`    // predictions that have an actual
	Duplicates  int     `json:"duplicates"` // actuals that repeat the value before them for their id
	Conflicts   int     `json:"conflicts"`  // actuals that change it
	Unknown     int     `json:"unknown"`    // actuals whose id no prediction has
	Invalid     int     `json:"invalid"`    // actuals without a value, or, for a regression, not finite numbers
	Coverage    float64 `json:"coverage"`   // Matched / Predictions; 0 without predictions
}

// Join adds the ground truth to predictions: preds with the columns actual
// (Float for a regression, String for classes; missing where there is none)
// and actual_time and actual_source appended. actuals has the columns that [ReadActuals]
// returns; among several actuals of one id the one received last wins, and of
// those received at the same time the later row. Every prediction of an id
// gets it.
func Join(preds, actuals *table.Table, task schema.Task) (*table.Table, JoinStats) {
	stats := JoinStats{Predictions: preds.NumRows(), Actuals: actuals.NumRows()}
	last := newest(actuals, task, &stats)
	known := make(map[string]bool, preds.NumRows())
	id := preds.Column(ColumnID)
	n := preds.NumRows()
	value := &table.Column{Name: ColumnActual, Type: table.String}
	if !task.Classified() {
		value.Type = table.Float
	}
	var labels, sources texts
	at := make([]int64, n)
	for i := range n {
		key := id.Text(i)
		known[key] = true
		a, ok := last[key]
		at[i] = table.NoTime
		if ok {
			stats.Matched++
			at[i] = a.at
		}
		if ok && a.source != "" {
			sources.add([]byte(a.source))
		} else {
			sources.addMissing()
		}
		switch {
		case !task.Classified() && ok:
			value.Floats = append(value.Floats, a.number)
		case !task.Classified():
			value.Floats = append(value.Floats, math.NaN())
		case ok:
			labels.add([]byte(a.text))
		default:
			labels.addMissing()
		}
	}
	value.Codes, value.Dict = labels.codes, labels.dict
	for key, a := range last {
		if !known[key] {
			stats.Unknown += a.seen
		}
	}
	if n > 0 {
		stats.Coverage = float64(stats.Matched) / float64(n)
	}
	joined, err := preds.With(value, table.Times(ColumnActualTime, at), sources.column(ColumnActualSource))
	if err != nil {
		panic("predlog: join: " + err.Error()) // lengths are equal by construction
	}
	return joined, stats
}

// truth is the newest actual of an id.
type truth struct {
	text   string
	number float64
	at     int64
	source string
	seen   int // actuals of the id
}

// newest reduces actuals to the last received of each id and counts those
// that repeat, contradict or say nothing.
func newest(actuals *table.Table, task schema.Task, stats *JoinStats) map[string]truth {
	id, value, at := actuals.Column(ColumnID), actuals.Column(ColumnActual), actuals.Column(ColumnActualTime)
	source := actuals.Column(ColumnActualSource)
	last := make(map[string]truth, actuals.NumRows())
	for _, i := range byTime(at.Times) {
		a, ok := parseTruth(value.Text(i), task)
		if !ok || id.Missing(i) {
			stats.Invalid++
			continue
		}
		a.at, a.seen = at.Times[i], 1
		if source != nil && !source.Missing(i) {
			a.source = source.Text(i)
		}
		if before, again := last[id.Text(i)]; again {
			a.seen += before.seen
			if before.text == a.text && before.number == a.number {
				stats.Duplicates++
			} else {
				stats.Conflicts++
			}
		}
		last[id.Text(i)] = a
	}
	return last
}

// parseTruth reads an actual as given. Numbers are compared as such, so that
// 1 and 1.0 are one value.
func parseTruth(s string, task schema.Task) (truth, bool) {
	s = strings.TrimSpace(s)
	if table.IsMissing(s) {
		return truth{}, false
	}
	if task.Classified() {
		return truth{text: s}, true
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return truth{}, false
	}
	return truth{number: v}, true
}

// byTime is the row numbers in the order of times, equal ones as they stand.
func byTime(times []int64) []int {
	order := make([]int, len(times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	return order
}
