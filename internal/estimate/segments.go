package estimate

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/healml/healml/internal/schema"
)

// Segment is a part of the rows by one column: a level, a third of the numbers,
// or the missing values.
type Segment struct {
	Column string `json:"column"`
	Level  string `json:"level"` // in words
	// Code is the level's code in the template, 0 or 1 of a boolean, −1 of
	// missing values; Lo ≤ v < Hi bounds numbers, nil being open. One of both
	// is set.
	Code *float64 `json:"code,omitempty"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`

	Loss Mean `json:"loss"`
	// Bias is the mean of [Residuals].
	Bias Mean `json:"bias"`
}

// Column is a raw column of the holdout in the template's terms.
type Column struct {
	Name   string
	Kind   schema.Kind
	Levels []string
	Values []float64 // numbers, or codes; NaN is missing
}

// What segments are looked at.
const (
	segmentColumns = 30
	segmentLevels  = 20 // the most frequent ones of a column
	SegmentRows    = 30 // least rows
	clusterSteps   = 20 // least steps that rows are taken to be alike in, where there are more
	missingCode    = -1
)

// Holds reports whether value v of the column belongs to the segment.
func (s *Segment) Holds(v float64) bool {
	if s.Code != nil {
		return v == *s.Code || *s.Code == missingCode && math.IsNaN(v)
	}
	return (s.Lo == nil || v >= *s.Lo) && (s.Hi == nil || v < *s.Hi) && !math.IsNaN(v)
}

// Measure takes loss and bias of the rows that belong to the segment. values,
// loss, residual and step have one element a row.
func (s *Segment) Measure(values, loss, residual []float64, step []int) (l, b Mean) {
	var rows []int
	for i, v := range values {
		if s.Holds(v) {
			rows = append(rows, i)
		}
	}
	at := takeInts(step, rows)
	return MeanOf(take(loss, rows), at), MeanOf(take(residual, rows), at)
}

func take(v []float64, rows []int) []float64 {
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = v[r]
	}
	return out
}

func takeInts(v, rows []int) []int {
	out := make([]int, len(rows))
	for i, r := range rows {
		out[i] = v[r]
	}
	return out
}

// segments measures all parts of the columns with enough rows.
func segments(columns []Column, loss, residual []float64, step []int) []Segment {
	out := []Segment{}
	for _, c := range columns[:min(len(columns), segmentColumns)] {
		for _, s := range c.parts() {
			s.Loss, s.Bias = s.Measure(c.Values, loss, residual, step)
			if s.Loss.Rows >= SegmentRows && s.Loss.Rows < len(loss) && s.Loss.Steps > 1 {
				out = append(out, s)
			}
		}
	}
	return out
}

// parts are the segments that a column has.
func (c *Column) parts() []Segment {
	code := func(v float64, level string) Segment { return Segment{Column: c.Name, Level: level, Code: &v} }
	var out []Segment
	switch c.Kind {
	case schema.Numeric:
		out = c.thirds()
	case schema.Boolean:
		out = []Segment{code(0, "false"), code(1, "true")}
	case schema.Categorical:
		count := make([]int, len(c.Levels))
		order := make([]int, len(c.Levels))
		for i := range order {
			order[i] = i
		}
		for _, v := range c.Values {
			if v >= 0 && v < float64(len(count)) {
				count[int(v)]++
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(count[b], count[a]) })
		for _, i := range order[:min(len(order), segmentLevels)] {
			out = append(out, code(float64(i), c.Levels[i]))
		}
	default:
		return nil
	}
	return append(out, code(missingCode, "missing"))
}

// thirds cuts numbers at their terciles; equal ones stay together.
func (c *Column) thirds() []Segment {
	var v []float64
	for _, x := range c.Values {
		if finite(x) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	var cuts []float64
	for _, q := range []int{1, 2} {
		if cut := v[q*len(v)/3]; cut > v[0] && (len(cuts) == 0 || cut > cuts[0]) {
			cuts = append(cuts, cut)
		}
	}
	text := func(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }
	switch len(cuts) {
	case 0:
		return nil
	case 1:
		a := cuts[0]
		return []Segment{{Column: c.Name, Level: "below " + text(a), Hi: &a}, {Column: c.Name, Level: text(a) + " or more", Lo: &a}}
	}
	a, b := cuts[0], cuts[1]
	return []Segment{
		{Column: c.Name, Level: "below " + text(a), Hi: &a},
		{Column: c.Name, Level: text(a) + " to " + text(b), Lo: &a, Hi: &b},
		{Column: c.Name, Level: text(b) + " or more", Lo: &b},
	}
}

func (m Mean) valid() bool {
	return m.Rows > 0 && m.Steps > 1 && m.Steps <= m.Rows && finite(m.Mean) && finite(m.Variance) && m.Variance >= 0
}

func (s *Segment) validate() error {
	if s.Column == "" || (s.Code == nil) == (s.Lo == nil && s.Hi == nil) || !s.Loss.valid() || !s.Bias.valid() {
		return errors.New("a segment has impossible numbers")
	}
	return nil
}
