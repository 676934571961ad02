package monitor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/healml/healml/internal/present"
)

// standing is what a report comes to, for the mark beside its verdict.
type standing string

const (
	calmStanding    standing = "calm"
	driftStanding   standing = "drift"
	faultStanding   standing = "fault"
	unknownStanding standing = "unknown"
)

func (r *Report) standing() standing {
	switch {
	case len(r.Faults) > 0:
		return faultStanding
	case r.Drift:
		return driftStanding
	case !r.EnoughRows:
		return unknownStanding
	}
	return calmStanding
}

// Words and Mark say the standing without colour.
func (s standing) Words() string {
	switch s {
	case calmStanding:
		return "No drift"
	case driftStanding:
		return "Drift"
	case faultStanding:
		return "Data fault"
	}
	return "Too few rows"
}

// Mark is one letter for the standing.
func (s standing) Mark() string {
	switch s {
	case calmStanding:
		return "✓"
	case driftStanding:
		return "≠"
	case faultStanding:
		return "!"
	}
	return "?"
}

// advice is one thing to do about a report, a sentence; Command may be empty.
type advice struct{ Do, Command string }

const mostAdvice = 4 // faults that are named one by one

// advice lists what to do next, in this order: mend the feed, look, heal. It
// is never empty: "Nothing" is advice.
func (r *Report) advice() []advice {
	var out []advice
	for i, f := range r.Faults {
		if i == mostAdvice {
			more := "1 more fault"
			if n := len(r.Faults) - i; n > 1 {
				more = fmt.Sprintf("%d more faults", n)
			}
			out = append(out, advice{Do: "Mend " + more + " of the feed, listed below."})
			break
		}
		if f.Column == "" {
			out = append(out, advice{Do: strings.TrimSpace("Look at the feed as a whole: " + present.Sentence(present.Printable(f.Detail)) + " " + cure(f.Kind))})
			continue
		}
		out = append(out, advice{Do: "Mend the feed of " + present.Shown(f.Column) + ": " + present.Sentence(present.Printable(f.Detail))})
	}
	if len(out) > 0 {
		out = append(out, advice{Do: "Compare again once it is mended. A model that learns from damaged rows learns the damage.", Command: r.again()})
	}
	return append(out, r.healing()...)
}

// again is the command that compares anew, empty for two files.
func (r *Report) again() string {
	if r.ModelVersion == "" {
		return ""
	}
	return "healml drift"
}

func (r *Report) healing() []advice {
	p := r.Performance
	suffers := p != nil && p.Drift
	switch {
	case !r.Drift && !r.EnoughRows:
		return []advice{{Do: fmt.Sprintf("Wait for more rows: a verdict takes %s of each sample.", present.Thousands(r.Settings.MinRows)), Command: r.again()}}
	case !r.Drift && len(r.Faults) > 0:
		return nil
	case !r.Drift && p.uneven():
		return []advice{{Do: "Nothing yet: the metric holds as a whole. The errors of a part of the rows changed, or what predictions mean; look at Performance below."}}
	case !r.Drift:
		return []advice{{Do: "Nothing. The rows look as those of the reference."}}
	case !suffers && r.onlyFaults():
		return nil
	case r.ModelVersion == "":
		return []advice{{Do: "Look at the drifted columns below. Where the change is meant, take newer rows for the reference."}}
	case suffers:
		return []advice{{Do: "See what healing would do: the predictions have become worse. This tries the cures on the labelled rows and changes nothing.", Command: "healml retrain --dry-run"}}
	case r.Estimate != nil && r.Estimate.Drift && r.Estimate.proven() && !p.told():
		return []advice{{Do: "See what healing would do. The predictions are expected to have become worse; send actuals, and it can be told.", Command: "healml retrain --dry-run"}}
	case p.told() && r.truthReaches() != beyondChange:
		return []advice{{Do: "See what healing would do. Little or no truth is known of the rows since the change, and the error on older ones says nothing of it. Send actuals, and it can be told.", Command: "healml retrain --dry-run"}}
	case p.told() && r.beyond():
		return []advice{{Do: "See what healing would do. The error on labelled rows is worse than tolerated, but by no more than it varies by itself: more truth or a longer window tells.", Command: "healml retrain --dry-run"}}
	case p.told():
		return []advice{{Do: "See what healing would do. There is time: the error on labelled rows is within what is tolerated.", Command: "healml retrain --dry-run"}}
	}
	return []advice{{Do: "See what healing would do. No truth is known of these rows yet: send actuals, and the error can be told.", Command: "healml retrain --dry-run"}}
}

// reach is how far the truth that is compared reaches.
type reach int

const (
	beyondChange reach = iota // beyond the beginning of the change, or it is not known
	intoInterval              // into the interval that holds the beginning
	beforeChange
)

// truthReaches says whether the rows whose truth is compared are of the time
// since the change. If not, the metric says nothing of it.
func (r *Report) truthReaches() reach {
	if r.Performance == nil || r.Since == nil || r.Since.Before {
		return beyondChange
	}
	until, timed, ok := momentOf(r.Performance.MatureUntil)
	if !ok || !timed {
		return beyondChange
	}
	if at, timed, ok := momentOf(r.Since.At); ok && timed && at >= until {
		return beforeChange
	}
	if hi, timed, ok := momentOf(r.Since.Hi); ok && timed && hi >= until {
		return intoInterval
	}
	return beyondChange
}

// told reports whether the metric could be told.
func (p *Performance) told() bool { return p != nil && !math.IsNaN(float64(p.Now)) }

// uneven reports whether errors changed in a part of the rows, or the meaning of
// predictions.
func (p *Performance) uneven() bool {
	return p != nil && (slices.ContainsFunc(p.Segments, func(s SegmentError) bool { return s.Drift }) || p.Calibration != nil && p.Calibration.Drift)
}

// onlyFaults reports whether every drifted input column has a fault of the
// feed, so that there is nothing to learn from.
func (r *Report) onlyFaults() bool {
	names := r.Drifted()
	for _, name := range names {
		if !r.faulty(name) {
			return false
		}
	}
	return len(names) > 0
}

// when shortens a moment: a date alone at midnight, no seconds, "row 12,345"
// for the number of a row. Other texts stay as they are.
func when(at string) string {
	if n, err := strconv.Atoi(at); err == nil {
		return "row " + present.Thousands(n)
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return present.Cut(present.Printable(at), longLevel)
	}
	return present.Moment(t)
}

// sinceWords dates a change, "since 2026-02-08, surely between 2026-02-06 and
// 2026-02-09"; empty when it cannot be told.
func sinceWords(s *Since) string {
	switch {
	case s == nil || s.At == "" && !s.Before:
		return ""
	case s.Before:
		return "since the window began, or before"
	case s.Lo == "" || s.Hi == "" || s.Lo == s.Hi:
		return "since " + when(s.At)
	}
	return fmt.Sprintf("since %s (between %s and %s)", when(s.At), when(s.Lo), when(s.Hi))
}

// told is what became of a drifted column, one sentence.
func (c *Column) told() string {
	s := c.Reason
	if c.Change != nil && c.Change.Text != "" {
		s = c.Change.Text
	}
	if s == "" {
		return "It is not distributed as it was."
	}
	return capital(present.Sentence(present.Printable(s)))
}

// capital makes the first letter of s a great one.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

func (c *Column) since() *Since {
	if c.Change == nil {
		return nil
	}
	return c.Change.Since
}

// where writes the conditions of a segment: `region is "North" and promo is "yes"`.
func (s *Segment) where() string {
	var parts []string
	for _, c := range s.Where {
		parts = append(parts, present.Shown(c.Column)+" is "+strconv.Quote(present.Printable(c.Level)))
	}
	return strings.Join(parts, " and ")
}

// told is the segment as a sentence.
func (s *Segment) told() string {
	if s.Text != "" {
		return capital(present.Sentence(present.Printable(s.Text)))
	}
	return fmt.Sprintf("%s of the rows, where %s, carry %s of the change.", present.Percent(float64(s.Share)), s.where(), present.Percent(float64(s.Explains)))
}

// budget says how often a report may be wrong.
func (r *Report) budget() string {
	if c := r.Calibration; c != nil && c.PerYear > 0 {
		s := fmt.Sprintf("at most %s a year", alarms(c.PerYear))
		if c.Checks > 0 {
			s += fmt.Sprintf(", over %s comparisons", present.Short(float64(c.Checks)))
		}
		return s
	}
	level := r.Settings.Alpha
	if c := r.Calibration; c != nil && c.Level > 0 {
		level = float64(c.Level)
	}
	if level == 0 {
		return "not known"
	}
	return "a chance of " + present.Percent(level) + " a comparison"
}

func alarms(n Number) string {
	if n == 1 {
		return "1 false alarm"
	}
	return present.Short(float64(n)) + " false alarms"
}

// bound says how the bound of the p-values came about.
func (r *Report) bound() []string {
	c := r.Calibration
	var out []string
	if c == nil {
		return append(out, fmt.Sprintf("The bounds of the p-values keep the chance of any false alarm in one comparison at %s, over all columns together (Holm's rule).", present.Percent(r.Settings.Alpha)))
	}
	if c.PerYear > 0 && c.Checks > 0 {
		out = append(out, fmt.Sprintf("The budget of %s a year, shared out over %s comparisons a year, leaves each a chance of %s.", alarms(c.PerYear), present.Short(float64(c.Checks)), present.Percent(float64(c.Level))))
	} else if c.Level > 0 {
		out = append(out, fmt.Sprintf("One comparison alarms without cause with a chance of %s.", present.Percent(float64(c.Level))))
	}
	if c.Resamples > 0 {
		out = append(out, fmt.Sprintf("The p-values were set by %s resamples of the reference, in blocks of %s steps, so that what the columns do by themselves counts as usual.", present.Thousands(c.Resamples), present.Thousands(c.Block)))
	} else {
		out = append(out, "The reference is too short to be resampled: the p-values are those of theory.")
	}
	if len(c.Seasons) > 0 {
		var names []string
		for _, s := range c.Seasons {
			names = append(names, present.Cut(present.Printable(s), longLevel))
		}
		out = append(out, "Like was compared with like, by: "+strings.Join(names, ", ")+".")
	}
	return out
}
