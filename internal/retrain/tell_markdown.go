package retrain

import (
	"fmt"
	"io"
	"strings"

	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/present"
)

// Story tells the incident in plain words (Markdown).
func (in *Incident) Story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", in.headline(), in.Reason)
	fmt.Fprintf(&b, "- When: %s\n- Champion: %s", in.At.UTC().Format("2006-01-02 15:04:05 UTC"), in.Champion)
	if !in.Learned.IsZero() {
		fmt.Fprintf(&b, ", which learnt from rows up to %s", in.Learned.UTC().Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(&b, "\n\n## What was seen\n\n")
	if len(in.Reasons) == 0 {
		fmt.Fprintf(&b, "Nothing that asks for a cure.\n")
	}
	for _, r := range in.Reasons {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	for _, e := range in.Excluded {
		fmt.Fprintf(&b, "- %d rows %s are not learnt from: %s in column %q\n", e.Rows, e.when(), e.told(), e.Column)
	}
	for _, e := range in.Repaired {
		fmt.Fprintf(&b, "- %d rows %s are learnt from as if a fault were undone: %s\n", e.Rows, e.when(), e.Why)
	}
	if r := in.versus(); r != nil {
		r.tell(&b)
	} else {
		fmt.Fprintf(&b, "\n%d labelled rows, %d of them unknown to the champion.\n", in.Rows, in.Labels)
	}
	in.tellCauses(&b)
	in.tellTrials(&b)
	fmt.Fprintf(&b, "\n## What was decided\n\n%s\n", in.decision())
	return b.String()
}

func (e *Exclusion) when() string {
	if e.From.IsZero() {
		return "without a time"
	}
	return fmt.Sprintf("from %s to %s", e.From.Format("2006-01-02 15:04"), e.To.Format("2006-01-02 15:04"))
}

func (in *Incident) headline() string {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		return fmt.Sprintf("Taken back: %s serves again in place of %s", in.Version, in.Champion)
	case in.ShadowUntil != nil:
		return fmt.Sprintf("In shadow: %s is compared with %s before it may take over", in.Version, in.Champion)
	case in.Promoted:
		return fmt.Sprintf("Healed: %s took over from %s", in.Version, in.Champion)
	case in.Action == heal.Keep:
		return fmt.Sprintf("Kept: %s stays", in.Champion)
	case in.Action == heal.None:
		return fmt.Sprintf("Nothing was done: %s stays", in.Champion)
	case in.Action == heal.Quarantine:
		return fmt.Sprintf("Quarantine: %d rows are not to be learnt from any more; %s stays", in.LeftOut, in.Champion)
	default:
		return fmt.Sprintf("Would %s %s", in.Action, in.Champion)
	}
}

func (in *Incident) tellTrials(b *strings.Builder) {
	if len(in.Trials) == 0 {
		return
	}
	if x := in.Break; x != nil {
		fmt.Fprintf(b, "\n## A break\n\nThe champion has %.5g on the newest rows, where %.5g was expected of it: something changed there. So they are cut in two, that cures can learn from the first and be judged on the second.\n", x.Loss, x.Expected)
	}
	in.tellRecord(b)
	first := in.Trials[0]
	fmt.Fprintf(b, "\n## What was tried\n\nEach cure learnt from what was known before the rows it was judged on: %d rows", first.All.Rows)
	if !first.From.IsZero() {
		fmt.Fprintf(b, " from %s to %s", first.From.Format("2006-01-02 15:04"), first.To.Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(b, ", of which the newest %d count for themselves too. Lower %s is better; the champion has %.5g on all and %.5g on the newest.\n\n", first.Newest.Rows, in.Metric, first.All.Champion, first.Newest.Champion)
	fmt.Fprintf(b, "| cure | all | gain | interval | newest | gain | interval |\n|---|---|---|---|---|---|---|\n")
	for _, t := range in.Trials {
		fmt.Fprintf(b, "| %s ", t.Cure)
		for _, m := range []heal.Match{t.All, t.Newest} {
			fmt.Fprintf(b, "| %.5g | %+.1f %% | %.3g to %.3g ", m.Loss, 100*m.Relative(), m.Gain.Lo, m.Gain.Hi)
		}
		fmt.Fprintln(b, "|")
	}
	fmt.Fprintln(b)
	for _, t := range in.Trials {
		for _, v := range t.Vetoes {
			fmt.Fprintf(b, "- %s is ruled out: %s\n", t.Cure, v)
		}
	}
	if len(in.Skipped) > 0 {
		fmt.Fprintf(b, "- Not tried, for want of time: %s\n", strings.Join(in.Skipped, "; "))
	}
}

// tellRecord tells how windows did before the newest block.
func (in *Incident) tellRecord(b *strings.Builder) {
	if len(in.Record) < 2 || len(in.Record[0].Losses) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## What to learn from\n\nHow much of the past each window would have learnt from, and what it would have lost on %d blocks before the newest:\n\n| window | %s | weight |\n|---|---|---|\n", len(in.Record[0].Losses), in.Metric)
	for _, r := range in.Record {
		fmt.Fprintf(b, "| %s | %.5g | %.0f %% |\n", r.Cure, r.Loss, 100*r.Weight)
	}
}

func (in *Incident) decision() string {
	switch {
	case in.Action == heal.Rollback && in.Bake != nil:
		return fmt.Sprintf("%s is in force again, and nothing is promoted until a human lets it: healml retrain --thaw", in.Version)
	case in.ShadowUntil != nil:
		return fmt.Sprintf("%s was fitted with the winning cure on everything known. Until %s it is compared with %s on the rows to come; when it is better there, too, it takes over. To promote it at once: healml models promote %s", in.Version, present.Moment(*in.ShadowUntil), in.Champion, in.Version)
	case in.Shadow != nil && in.Promoted:
		return fmt.Sprintf("%s is in force. To take it back: healml models rollback", in.Version)
	case in.Shadow != nil:
		return fmt.Sprintf("%s is dropped, %s stays.", in.Shadow.Bake.Promoted, in.Champion)
	case in.Promoted:
		return fmt.Sprintf("%s was fitted with the winning cure on everything known and is in force. To take it back: healml models rollback", in.Version)
	case in.Action == heal.Keep:
		return "No cure is proven better than leaving the champion alone, so it stays."
	case in.Action == heal.None:
		return "The champion stays."
	case in.Action == heal.Quarantine:
		return fmt.Sprintf("The champion stays, and %d rows are left out for ever. If they were right after all: heal.readmit: [%s]", in.LeftOut, in.ID)
	default:
		return fmt.Sprintf("The cure would be promoted (%s); this was a rehearsal.", in.Reason)
	}
}

// mostTold is how many causes a story tells.
const mostTold = 3

// tellCauses puts the likeliest causes into words.
func (in *Incident) tellCauses(b *strings.Builder) {
	if in.Diagnosis == nil {
		return
	}
	fmt.Fprintf(b, "\n## What is behind it\n\n")
	for i, c := range in.Diagnosis.Causes {
		if i >= mostTold || i > 0 && c.Probability < 0.05 {
			break
		}
		fmt.Fprintf(b, "%d. **%s**, %.0f %%", i+1, c, 100*c.Probability)
		if c.Harmless {
			fmt.Fprintf(b, ", and harmless: the model hardly rests on it")
		}
		fmt.Fprintf(b, "\n")
		for _, e := range c.Evidence {
			fmt.Fprintf(b, "   - %s\n", e)
		}
	}
}

func (b *BakeRecord) tell(w io.Writer) {
	v := b.Verdict
	fmt.Fprintf(w, "\n%s took over from %s at %s. Both scored the %d rows since whose truth came in, in %d blocks of time.\n\n", b.Bake.Promoted, b.Bake.Predecessor, b.Bake.Began.UTC().Format("2006-01-02 15:04"), v.Rows, v.Blocks)
	fmt.Fprintf(w, "| from | rows | %s of %s | %s of %s |\n|---|---|---|---|\n", b.Metric, b.Bake.Promoted, b.Metric, b.Bake.Predecessor)
	for _, k := range b.Blocks {
		fmt.Fprintf(w, "| %s | %d | %.5g | %.5g |\n", k.From.Format("2006-01-02 15:04"), k.Rows, k.Promoted, k.Predecessor)
	}
}

// told is an exclusion in a sentence's end.
func (e *Exclusion) told() string {
	out := e.Why
	if e.Source != "" {
		out += fmt.Sprintf(" (source %q)", e.Source)
	}
	return out
}
