package monitor

import (
	"strings"

	"github.com/healml/healml/internal/present"
)

// changeWord is the kind of a [Change] or a [Fault] in a word or two; a kind
// that this build does not know stands for itself.
func changeWord(kind string) string {
	if k := wordsOf(kind); k.word != "" {
		return k.word
	}
	return present.Printable(kind)
}

// cure is what usually mends a fault of a kind, a sentence; empty for others.
func cure(kind string) string { return wordsOf(kind).cure }

func wordsOf(kind string) kindWord {
	for _, k := range kindWords() {
		if k.kind == kind {
			return k
		}
	}
	return kindWord{}
}

type kindWord struct{ kind, word, cure string }

func kindWords() []kindWord {
	return []kindWord{
		{ShiftChange, "moved", ""},
		{ScaleChange, "other spread", ""},
		{UnitChange, "other unit", "Convert the values at the source, or before they are sent."},
		{ClipChange, "cut off", ""},
		{FrozenChange, "stuck", "Look at the sensor or job that fills it: it repeats its last or its default value."},
		{MissingChange, "missing values", ""},
		{EmptyChange, "empty", "Look whether the source still fills it: a field that was renamed or a join that fails leaves nothing."},
		{AbsentChange, "gone", "Have the column sent again; if it will not come back, train without it."},
		{TypeChange, "texts for numbers", "Look at the parser: a decimal comma, a unit or a placeholder stands where a number should."},
		{NewLevelChange, "new level", ""},
		{LostLevelChange, "lost level", ""},
		{RenamedChange, "renamed", "Map the new name to the old one before rows are sent; or heal, once enough rows with it have their truth."},
		{ShareChange, "other shares", ""},
		{ShapeChange, "other shape", ""},
		{"duplicated", "repeated rows", "Look for a retry that sends rows twice, or a join that doubles them."},
		{"disorder", "out of order", "Send rows in the order of time; look for a batch that comes late."},
		{"volume", "number of rows", "Look for an outage, a filter, a second sender or a retry. If the business grew or shrank, nothing is broken."},
	}
}

// stepWords says how long the steps of a timeline are, which may differ
// between the samples.
func stepWords(step string) string {
	then, now, two := strings.Cut(step, ", then ")
	if !two {
		return present.Cut(present.Printable(step), longLevel)
	}
	return present.Cut(present.Printable(then), longLevel) + " in the reference and " + present.Cut(present.Printable(now), longLevel) + " now"
}
