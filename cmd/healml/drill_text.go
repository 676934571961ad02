package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/healml/healml/internal/drill"
)

// faultWords says what was rehearsed.
func faultWords(f drill.Fault) string {
	switch f.Kind {
	case drill.UnitJump:
		return fmt.Sprintf("%s comes multiplied by %g", f.Column, f.Size)
	case drill.Rename:
		return "every level of " + f.Column + " is spelt otherwise"
	case drill.Missing:
		return f.Column + " is empty"
	case drill.Frozen:
		return f.Column + " repeats one value"
	case drill.Concept:
		return "what follows from the inputs turns round"
	case drill.Poison:
		return fmt.Sprintf("%.0f %% of the labels are wrong", 100*f.Share)
	}
	return fmt.Sprintf("labels come in %d steps late", drill.LateBy)
}

// tellDrills prints the steps of a single drill, and a line for each of several.
func tellDrills(w io.Writer, results []drillResult) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(results) == 1 {
		r := results[0]
		fmt.Fprintf(&b, "%s, steps %d to %d of %d; %s by step:\n\n", faultWords(r.Fault), r.From, r.To-1, len(r.Steps), r.Metric)
		fmt.Fprintln(tw, "STEP\tNO FAULT\tFAULT\tHEALED\tSEEN\tACTION\tCAUSE")
		for _, s := range r.Steps {
			mark := ""
			if s.Fault {
				mark = "*"
			}
			seen := ""
			if s.Alarm != "" {
				seen = "yes"
			}
			fmt.Fprintf(tw, "%d%s\t%.4g\t%.4g\t%.4g\t%s\t%s\t%s\n", s.Step, mark, s.Clean, s.Off, s.On, seen, s.Action, s.Cause)
		}
		_ = tw.Flush() // into memory
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(tw, "DRILL\tRESULT\tSEEN AFTER\tLOSS IN THE FAULT\tHEALED\tAFTER IT\tBACK AFTER\tHARM AVOIDED")
	for _, r := range results {
		v := r.Verdict
		result, seen := "passed", "never"
		if !v.Passed {
			result = "FAILED"
		}
		if v.Delay >= 0 {
			seen = fmt.Sprintf("%d steps", v.Delay)
		}
		after, back := fmt.Sprintf("x %.3g", v.After), "never"
		if v.Recovered >= 0 {
			back = fmt.Sprintf("%d steps", v.Recovered)
		}
		if v.After == 0 { // it never ends
			after, back = "-", "-"
		}
		fmt.Fprintf(tw, "%s %s\t%s\t%s\tx %.3g\tx %.3g\t%s\t%s\t%.0f %%\n", r.Kind, r.Column, result, seen, v.HarmOff, v.HarmOn, after, back, 100*v.Avoided)
	}
	_ = tw.Flush()
	for _, r := range results {
		for _, why := range r.Verdict.Why {
			fmt.Fprintf(&b, "%s: %s\n", r.Kind, why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
